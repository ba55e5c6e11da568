//! Makes what a deployment makes: table, bucket, pools, roles, Lambdas, API, rules.
//!
//! Names and settings are those of the contract. It must not know what the product
//! does with them.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Method;
use serde_json::{Value, json};

use crate::functions::FUNCTIONS;
use crate::ministack::{ACCOUNT, Ministack};
use crate::policies::{AGENT_ROLE, Names, ROLES, ROUTES, role_arn};
use crate::sigv4::{self, Caller, REGION};
use crate::store::{self, BUCKET, Store};

/// As contract A4 calls it.
pub(crate) const TABLE: &str = "VideoCallEscalationDB";

/// Users with this security profile may play recordings.
pub const PLAYBACK_PROFILE: &str = "5f0c3c5e-0000-4000-8000-00000000000a";

/// A hierarchy group of the top level.
pub const GROUP: &str = "5f0c3c5e-0000-4000-8000-00000000000b";

/// The id of the Connect instance.
pub(crate) const INSTANCE: &str = "5f0c3c5e-0000-4000-8000-00000000000c";

/// The name of a recording's attendee.
pub const ATTENDEE_NAME: &str = "RECORDING";

/// Where the agents' application comes from, whose pages may call the API.
pub const ORIGIN: &str = "https://app.example.com";

/// Contract A5.1.
const ALLOWED_HEADERS: [&str; 8] = [
    "Content-Type",
    "X-Amz-Date",
    "Authorization",
    "X-Api-Key",
    "X-Amz-Security-Token",
    "X-Amz-User-Agent",
    // A browser that signs its body sends it.
    "X-Amz-Content-Sha256",
    "cognitoIdToken",
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Call(#[from] sigv4::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("{call}: the answer has no {what}: {answer}")]
    Lacks { call: &'static str, what: &'static str, answer: Value },
    #[error("{program} is missing in {bins}; build it first", bins = bins.display())]
    NoBinary { program: &'static str, bins: std::path::PathBuf },
}

/// The servers, and what is told of those that are not set up here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) ministack: &'a Ministack,
    pub(crate) store: &'a Store,
    /// Where the table is, with the right to make it.
    pub(crate) tables: &'a Caller,
    pub(crate) meetings: &'a str,
    pub(crate) cluster: Cluster<'a>,
    /// Where Connect is.
    pub(crate) connect: &'a str,
    /// The folder with the Lambdas' binaries.
    pub(crate) bins: &'a Path,
}

/// Of ECS.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cluster<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) arn: &'a str,
    pub(crate) task_definition_arn: &'a str,
    pub(crate) container: &'a str,
}

pub(crate) fn instance_arn() -> String {
    format!("arn:aws:connect:{REGION}:{ACCOUNT}:instance/{INSTANCE}")
}

/// What was made that has a name of its own.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) pool: Pool,
    pub(crate) api: String,
}

/// Where agents sign in.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) identities: String,
}

impl Pool {
    /// As the identity pool calls it.
    pub(crate) fn provider(&self) -> String {
        format!("cognito-idp.{REGION}.amazonaws.com/{}", self.id)
    }
}

pub(crate) async fn set_up(parts: Parts<'_>) -> Result<Made, Error> {
    for function in &FUNCTIONS {
        if !parts.bins.join(function.name).is_file() {
            return Err(Error::NoBinary { program: function.name, bins: parts.bins.to_owned() });
        }
    }
    let root = parts.ministack.root();
    let (pool, ..) = tokio::try_join!(make_pool(root), encrypt(parts), make_table(parts.tables))?;
    let api = make_api(root).await?;
    let names = Names {
        table: TABLE.into(),
        bucket: BUCKET.into(),
        cluster_arn: parts.cluster.arn.into(),
        task_definition_arn: parts.cluster.task_definition_arn.into(),
        connect_instance_arn: instance_arn(),
        user_pool: pool.id.clone(),
        api: api.clone(),
    };
    make_roles(parts, &names).await?;
    make_functions(parts, &pool).await?;
    tokio::try_join!(make_routes(root, &api), make_rules(root), admit_agents(root, &pool))?;
    Ok(Made { pool, api })
}

async fn encrypt(parts: Parts<'_>) -> Result<(), Error> {
    const CALL: &str = "TrentService.CreateKey";
    let answer = parts.ministack.root().target("kms", CALL, &json!({})).await?;
    let key = text(CALL, &answer["KeyMetadata"], "Arn")?;
    Ok(parts.store.encrypt(&key).await?)
}

async fn make_table(tables: &Caller) -> Result<(), Error> {
    let table = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            { "AttributeName": "PK", "AttributeType": "S" },
            { "AttributeName": "SK", "AttributeType": "S" },
        ],
        "KeySchema": [
            { "AttributeName": "PK", "KeyType": "HASH" },
            { "AttributeName": "SK", "KeyType": "RANGE" },
        ],
    });
    let ttl = json!({
        "TableName": TABLE,
        "TimeToLiveSpecification": { "Enabled": true, "AttributeName": "TTL" },
    });
    // Both servers have it ready when they answer.
    tables.target("dynamodb", "DynamoDB_20120810.CreateTable", &table).await?;
    tables.target("dynamodb", "DynamoDB_20120810.UpdateTimeToLive", &ttl).await?;
    Ok(())
}

pub(crate) async fn make_pool(root: &Caller) -> Result<Pool, Error> {
    const POOL: &str = "AWSCognitoIdentityProviderService.CreateUserPool";
    const CLIENT: &str = "AWSCognitoIdentityProviderService.CreateUserPoolClient";
    const IDENTITIES: &str = "AWSCognitoIdentityService.CreateIdentityPool";
    let pool = json!({
        "PoolName": "VideoCallEscalation",
        "AutoVerifiedAttributes": ["email"],
        "Schema": [{
            "Name": "connectUserId",
            "AttributeDataType": "String",
            "Mutable": true,
            "StringAttributeConstraints": { "MinLength": "36", "MaxLength": "36" },
        }],
    });
    let answer = root.target("cognito-idp", POOL, &pool).await?;
    let id = text(POOL, &answer["UserPool"], "Id")?;
    let client = json!({
        "UserPoolId": id,
        "ClientName": "agents",
        "ExplicitAuthFlows": ["ALLOW_USER_PASSWORD_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"],
    });
    let answer = root.target("cognito-idp", CLIENT, &client).await?;
    let client = text(CLIENT, &answer["UserPoolClient"], "ClientId")?;
    let mut pool = Pool { id, client, identities: String::new() };
    let identities = json!({
        "IdentityPoolName": "agents",
        "AllowUnauthenticatedIdentities": false,
        "CognitoIdentityProviders": [{
            "ProviderName": pool.provider(),
            "ClientId": pool.client,
            "ServerSideTokenCheck": false,
        }],
    });
    let answer = root.target("cognito-identity", IDENTITIES, &identities).await?;
    pool.identities = text(IDENTITIES, &answer, "IdentityPoolId")?;
    Ok(pool)
}

async fn make_api(root: &Caller) -> Result<String, Error> {
    let api = json!({
        "name": "VideoCallEscalation-RecordingAPI",
        "protocolType": "HTTP",
        "corsConfiguration": {
            "allowOrigins": [ORIGIN],
            "allowMethods": ["GET", "POST", "PUT", "DELETE", "OPTIONS"],
            "allowHeaders": ALLOWED_HEADERS,
        },
    });
    let answer = root.rest("apigateway", Method::POST, "/v2/apis", &api).await?;
    text("CreateApi", &answer, "apiId")
}

async fn make_roles(parts: Parts<'_>, names: &Names) -> Result<(), Error> {
    let root = parts.ministack.root();
    // Nobody assumes them but the emulator, which does not ask.
    let trust = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Service": ["lambda.amazonaws.com", "ecs-tasks.amazonaws.com"] },
        "Action": "sts:AssumeRole",
    }] });
    for role in &ROLES {
        let create = [
            ("Action", "CreateRole"),
            ("Version", "2010-05-08"),
            ("RoleName", role.name),
            ("AssumeRolePolicyDocument", &trust.to_string()),
        ];
        root.form("iam", &create).await?;
        if let Some(policy) = role.policy(names) {
            let put = [
                ("Action", "PutRolePolicy"),
                ("Version", "2010-05-08"),
                ("RoleName", role.name),
                ("PolicyName", role.name),
                ("PolicyDocument", &policy.to_string()),
            ];
            root.form("iam", &put).await?;
        }
        if role.store_policy(BUCKET).is_some() {
            let keys = parts.store.session(role.name).await?;
            parts.ministack.give_session(role.name, &keys).await?;
        }
    }
    Ok(())
}

async fn make_functions(parts: Parts<'_>, pool: &Pool) -> Result<(), Error> {
    let values = variables(parts, pool);
    for function in &FUNCTIONS {
        let code = BASE64_STANDARD.encode(function.package(parts.bins));
        let body = json!({
            "FunctionName": function.name,
            "Role": role_arn(function.name),
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Timeout": function.timeout_seconds,
            "MemorySize": 256,
            "Environment": { "Variables": function.environment(&values) },
            "Code": { "ZipFile": code },
        });
        let path = "/2015-03-31/functions";
        parts.ministack.root().rest("lambda", Method::POST, path, &body).await?;
    }
    Ok(())
}

/// All variables of all Lambdas.
fn variables(parts: Parts<'_>, pool: &Pool) -> BTreeMap<&'static str, String> {
    let ministack = parts.ministack.endpoint();
    [
        ("AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS", parts.meetings),
        ("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER", ministack),
        ("AWS_ENDPOINT_URL_CONNECT", parts.connect),
        ("AWS_ENDPOINT_URL_DYNAMODB", parts.tables.endpoint()),
        ("AWS_ENDPOINT_URL_ECS", parts.cluster.endpoint),
        ("AWS_ENDPOINT_URL_S3", parts.store.endpoint()),
        ("AWS_S3_FORCE_PATH_STYLE", "true"),
        // Its tokens name the issuer that AWS has.
        ("COGNITO_JWKS_URL", &format!("{ministack}/{}/.well-known/jwks.json", pool.id)),
        ("CognitoUserPoolClientId", &pool.client),
        ("CognitoUserPoolId", &pool.id),
        ("ConnectInstanceId", INSTANCE),
        ("ConnectInstanceRegion", REGION),
        ("DDB_REGION", REGION),
        ("DDB_TABLE", TABLE),
        ("ECS_CLUSTER_ARN", parts.cluster.arn),
        ("ECS_CLUSTER_REGION", REGION),
        ("ECS_CONTAINER_NAME", parts.cluster.container),
        ("ECS_TASK_DEFINITION_ARN", parts.cluster.task_definition_arn),
        ("RECORDING_ATTENDEE_NAME", ATTENDEE_NAME),
        ("RECORDING_BUCKET_NAME", BUCKET),
        ("RECORDING_SCREEN_HEIGHT", "1080"),
        ("RECORDING_SCREEN_WIDTH", "1920"),
        ("recordingPlaybackSecurityProfileId", PLAYBACK_PROFILE),
        ("recordingPresignedURLExpiresMinutes", "15"),
    ]
    .map(|(name, value)| (name, value.to_owned()))
    .into()
}

pub(crate) fn function_arn(name: &str) -> String {
    format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}")
}

async fn make_routes(root: &Caller, api: &str) -> Result<(), Error> {
    for (method, path, function) in ROUTES {
        let integration = json!({
            "integrationType": "AWS_PROXY",
            "integrationMethod": "POST",
            "integrationUri": function_arn(function),
            "payloadFormatVersion": "2.0",
        });
        let integrations = format!("/v2/apis/{api}/integrations");
        let answer = root.rest("apigateway", Method::POST, &integrations, &integration).await?;
        let integration = text("CreateIntegration", &answer, "integrationId")?;
        let route = json!({
            "routeKey": format!("{method} {path}"),
            "authorizationType": "AWS_IAM",
            "target": format!("integrations/{integration}"),
        });
        root.rest("apigateway", Method::POST, &format!("/v2/apis/{api}/routes"), &route).await?;
    }
    let stage = json!({ "stageName": "$default", "autoDeploy": true });
    root.rest("apigateway", Method::POST, &format!("/v2/apis/{api}/stages"), &stage).await?;
    Ok(())
}

async fn make_rules(root: &Caller) -> Result<(), Error> {
    let meeting_ended =
        json!({ "source": ["aws.chime"], "detail": { "eventType": ["chime:MeetingEnded"] } });
    let instance = json!({
        "source": ["aws.ecs"], "detail-type": ["ECS Container Instance State Change"],
    });
    let task = json!({ "source": ["aws.ecs"], "detail-type": ["ECS Task State Change"] });
    let rules = [
        ("stop-recording-event", "EventPattern", meeting_ended.to_string()),
        ("start-pre-warm", "EventPattern", instance.to_string()),
        ("recording-task-state", "EventPattern", task.to_string()),
        ("recording-sweeper", "ScheduleExpression", "rate(5 minutes)".into()),
    ];
    for (function, kind, what) in rules {
        let rule = json!({ "Name": function, kind: what });
        root.target("events", "AWSEvents.PutRule", &rule).await?;
        let target = json!({
            "Rule": function,
            "Targets": [{ "Id": function, "Arn": function_arn(function) }],
        });
        root.target("events", "AWSEvents.PutTargets", &target).await?;
    }
    Ok(())
}

/// Gives the agents' role to whoever is signed in.
pub(crate) async fn admit_agents(root: &Caller, pool: &Pool) -> Result<(), Error> {
    let roles = json!({
        "IdentityPoolId": pool.identities,
        "Roles": { "authenticated": role_arn(AGENT_ROLE) },
    });
    let target = "AWSCognitoIdentityService.SetIdentityPoolRoles";
    root.target("cognito-identity", target, &roles).await?;
    Ok(())
}

/// A text that an answer has to have.
pub(crate) fn text(
    call: &'static str,
    answer: &Value,
    what: &'static str,
) -> Result<String, Error> {
    answer[what].as_str().map(str::to_owned).ok_or_else(|| Error::Lacks {
        call,
        what,
        answer: answer.clone(),
    })
}
