//! What each part of the product may do: contract A8, and nothing more. Data only.
//!
//! Beyond A8 is what the original did not do: a start looks up the user whose cache
//! is old, and finds and ends a task that it has to take back (as the sweeper does);
//! two Lambdas are new; the recorder may only write, and only recordings.
//!
//! The roles are made in ministack, whose IAM decides for all but the store. The
//! store is told the same documents.

use serde_json::{Value, json};

use crate::ministack::ACCOUNT;
use crate::sigv4::REGION;

/// The role of a recording's task.
pub(crate) const TASK_ROLE: &str = "recording-task";

/// The role with which ECS prepares a task.
pub(crate) const EXECUTION_ROLE: &str = "recording-execution";

/// The role of signed-in agents.
pub(crate) const AGENT_ROLE: &str = "agents";

/// What a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Any,
    Table,
    Bucket,
    /// Under `RECORDINGS/`.
    Recordings,
    /// Of the cluster.
    Tasks,
    TaskDefinition,
    /// The task role and the execution role: which of them `RunTask` checks was never
    /// certain (contract U1).
    TaskRoles,
    /// Of the Connect instance.
    Users,
    Groups,
    Contacts,
    UserPool,
    /// The routes of the API that an agent may call.
    Routes,
}

/// Under which condition a statement holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Always,
    /// The task is of the cluster.
    InCluster,
    /// The role goes to ECS.
    PassedToTasks,
}

type Statement = (&'static [&'static str], Resource, When);

/// Somebody, and what they may do.
#[derive(Debug)]
pub(crate) struct Role {
    pub(crate) name: &'static str,
    statements: &'static [Statement],
}

const READ: Statement = (&["dynamodb:GetItem", "dynamodb:Query"], Resource::Table, When::Always);
const WRITE: Statement = (
    &[
        "dynamodb:ConditionCheckItem",
        "dynamodb:DeleteItem",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
    ],
    Resource::Table,
    When::Always,
);
const RUN: Statement = (&["ecs:RunTask"], Resource::TaskDefinition, When::InCluster);
const START: Statement = (&["ecs:StartTask"], Resource::TaskDefinition, When::InCluster);
const PASS: Statement = (&["iam:PassRole"], Resource::TaskRoles, When::PassedToTasks);
/// Tasks of a cluster are listed as a right on its container instances.
const LIST: Statement = (&["ecs:ListTasks"], Resource::Any, When::InCluster);
const DESCRIBE: Statement = (&["ecs:DescribeTasks"], Resource::Tasks, When::Always);
const STOP: Statement = (&["ecs:StopTask"], Resource::Tasks, When::Always);
const INVITE: Statement = (&["chime:CreateAttendee"], Resource::Any, When::Always);
const REMOVE: Statement = (&["chime:DeleteAttendee"], Resource::Any, When::Always);
const USER: Statement = (&["connect:DescribeUser"], Resource::Users, When::Always);
const GROUP: Statement = (&["connect:DescribeUserHierarchyGroup"], Resource::Groups, When::Always);
const PLAY: Statement = (&["s3:GetObject"], Resource::Recordings, When::Always);
const REPAIR: Statement = (
    &["s3:AbortMultipartUpload", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject"],
    Resource::Recordings,
    When::Always,
);
/// Who may not list is not told that an object is not there, but that it is forbidden (not so the
/// store of these tests).
const UPLOADS: Statement =
    (&["s3:ListBucket", "s3:ListBucketMultipartUploads"], Resource::Bucket, When::Always);
const RECORD: Statement =
    (&["s3:AbortMultipartUpload", "s3:PutObject"], Resource::Recordings, When::Always);

pub(crate) const ROLES: [Role; 12] = [
    Role {
        name: "start-recording",
        statements: &[
            READ,
            WRITE,
            RUN,
            PASS,
            LIST,
            DESCRIBE,
            STOP,
            INVITE,
            REMOVE,
            USER,
            GROUP,
            (&["connect:UpdateContactAttributes"], Resource::Contacts, When::Always),
        ],
    },
    Role { name: "stop-recording", statements: &[READ, WRITE, LIST, DESCRIBE, STOP, REMOVE] },
    Role { name: "stop-recording-event", statements: &[READ, WRITE, LIST, DESCRIBE, STOP, REMOVE] },
    Role { name: "recording-summary", statements: &[READ, PLAY] },
    Role { name: "start-pre-warm", statements: &[START, PASS, LIST, DESCRIBE] },
    Role { name: "put-connect-user-cache", statements: &[READ, WRITE, USER, GROUP] },
    Role {
        name: "set-connect-user-id",
        statements: &[
            USER,
            (&["cognito-idp:AdminUpdateUserAttributes"], Resource::UserPool, When::Always),
        ],
    },
    Role {
        name: "recording-task-state",
        statements: &[READ, WRITE, LIST, DESCRIBE, STOP, REMOVE, REPAIR, UPLOADS],
    },
    Role {
        name: "recording-sweeper",
        statements: &[READ, WRITE, LIST, DESCRIBE, STOP, REMOVE, REPAIR, UPLOADS],
    },
    Role { name: TASK_ROLE, statements: &[RECORD] },
    // It would pull the image and write the log, and there is neither.
    Role { name: EXECUTION_ROLE, statements: &[] },
    Role {
        name: AGENT_ROLE,
        statements: &[(&["execute-api:Invoke"], Resource::Routes, When::Always)],
    },
];

/// Method and path of each route, and the Lambda behind it.
pub(crate) const ROUTES: [(&str, &str, &str); 5] = [
    ("POST", "/recording", "start-recording"),
    ("DELETE", "/recording", "stop-recording"),
    ("GET", "/recording-summary", "recording-summary"),
    ("POST", "/setConnectUserId", "set-connect-user-id"),
    ("PUT", "/connect-user-cache", "put-connect-user-cache"),
];

/// What things are called.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) table: String,
    pub(crate) bucket: String,
    pub(crate) cluster_arn: String,
    pub(crate) task_definition_arn: String,
    pub(crate) connect_instance_arn: String,
    pub(crate) user_pool: String,
    pub(crate) api: String,
}

pub(crate) fn role_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

impl Role {
    /// The policy, as IAM takes it; `None` for a role that may do nothing.
    pub(crate) fn policy(&self, names: &Names) -> Option<Value> {
        policy(self.statements.iter(), names)
    }

    /// The part of it that the store decides about.
    pub(crate) fn store_policy(&self, bucket: &str) -> Option<Value> {
        let of_store = |statement: &&Statement| statement.0[0].starts_with("s3:");
        let names = Names { bucket: bucket.into(), ..Names::default() };
        policy(self.statements.iter().filter(of_store), &names)
    }
}

fn policy<'a>(statements: impl Iterator<Item = &'a Statement>, names: &Names) -> Option<Value> {
    let statements: Vec<_> = statements
        .map(|(actions, resource, when)| {
            let mut statement =
                json!({ "Effect": "Allow", "Action": actions, "Resource": resource.arns(names) });
            match when {
                When::Always => {}
                When::InCluster => {
                    statement["Condition"] =
                        json!({ "ArnEquals": { "ecs:cluster": names.cluster_arn } });
                }
                When::PassedToTasks => {
                    let tasks = "ecs-tasks.amazonaws.com";
                    statement["Condition"] =
                        json!({ "StringEquals": { "iam:PassedToService": tasks } });
                }
            }
            statement
        })
        .collect();
    (!statements.is_empty()).then(|| json!({ "Version": "2012-10-17", "Statement": statements }))
}

impl Resource {
    fn arns(self, names: &Names) -> Vec<String> {
        let Names { table, bucket, cluster_arn, connect_instance_arn: connect, .. } = names;
        match self {
            Self::Any => vec!["*".into()],
            Self::Table => vec![format!("arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{table}")],
            Self::Bucket => vec![format!("arn:aws:s3:::{bucket}")],
            Self::Recordings => vec![format!("arn:aws:s3:::{bucket}/RECORDINGS/*")],
            Self::Tasks => {
                let cluster = cluster_arn.rsplit('/').next().unwrap_or_default();
                vec![format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{cluster}/*")]
            }
            Self::TaskDefinition => vec![names.task_definition_arn.clone()],
            Self::TaskRoles => vec![role_arn(EXECUTION_ROLE), role_arn(TASK_ROLE)],
            Self::Users => vec![format!("{connect}/user/*"), format!("{connect}/agent/*")],
            Self::Groups => vec![format!("{connect}/agent-group/*")],
            Self::Contacts => vec![format!("{connect}/contact/*")],
            Self::UserPool => {
                let pool = &names.user_pool;
                vec![format!("arn:aws:cognito-idp:{REGION}:{ACCOUNT}:userpool/{pool}")]
            }
            Self::Routes => {
                let api = format!("arn:aws:execute-api:{REGION}:{ACCOUNT}:{}/$default", names.api);
                ROUTES.iter().map(|(method, path, _)| format!("{api}/{method}{path}")).collect()
            }
        }
    }
}
