//! The cloud: starts everything, and is what a test holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::{Agent, Answer, Api, Plan, hierarchy_group};
use crate::attributes::{item_from_plain, item_to_plain};
use crate::chime::Chime;
use crate::connect::{self, Connect};
use crate::dynamodb::DynamoDb;
use crate::ecs::{self, Ecs, TaskKind};
use crate::events::Events;
use crate::gate::Gate;
use crate::meetings::MeetingHandle;
use crate::ministack::{ACCOUNT, Ministack};
use crate::model::{self, Model};
use crate::policies::{EXECUTION_ROLE, TASK_ROLE, role_arn};
use crate::servers::{self, cache, free_ports, on_path, search_path, variable};
use crate::setup::{self, Cluster, GROUP, INSTANCE, Made, Parts, Pool, TABLE, set_up};
use crate::sigv4::{self, Call, Caller, Keys, REGION};
use crate::store::{self, BUCKET, Store};

/// As contract A9 calls it.
const CLUSTER: &str = "VideoCallEscalation-Recording";
const TASK_DEFINITION: &str = "VideoCallEscalation-Recording:1";
pub(crate) const CONTAINER: &str = "VideoCallEscalation-RecordingContainer";

/// Names the folder of the meeting page.
const MEETING_PAGE: &str = "RECORDER_MEETING_PAGE";

/// The most that a container is given to end.
const STOP_TIMEOUT: Duration = Duration::from_mins(2);

/// Connections that are not used are closed before a server does it.
const IDLE: Duration = Duration::from_secs(10);

/// What to start.
#[derive(Debug)]
pub struct Options {
    /// The folder with `recorder` and the Lambdas' binaries.
    pub bins: PathBuf,
    pub dynamodb: Dynamodb,
    /// What a recording's task is. A program is looked for in `bins`, a folder is
    /// made in the cloud's own, unless their paths are absolute; a recorder is told
    /// beside its own environment where the store is and with which credentials.
    pub task: TaskKind,
    /// The folder in which the pictures of the test meeting are kept.
    pub media: PathBuf,
    /// Of the API; `None` is any that is free.
    pub port: Option<u16>,
}

impl Options {
    /// Real recordings, with Amazon's DynamoDB, and the pictures where `recorder`
    /// keeps them, too.
    pub fn new(bins: PathBuf) -> Self {
        let task = TaskKind::Recorder {
            program: "recorder".into(),
            environment: Vec::new(),
            directory: "tasks".into(),
        };
        let media = cache().join("recorder").join("meeting");
        Self { bins, dynamodb: Dynamodb::Local, task, media, port: None }
    }
}

/// Where the table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dynamodb {
    /// In Amazon's own: right in what it accepts and refuses, without IAM.
    Local,
    /// In ministack: with IAM, but it never says that transactions are in conflict.
    Ministack,
}

/// What can be ended and started again with all that it has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// Only [`Dynamodb::Local`] is one.
    Dynamodb,
    Store,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the cloud has no folder")]
    Folder { source: std::io::Error },
    #[error("the machine has no HTTP client")]
    Client { source: reqwest::Error },
    #[error(transparent)]
    Server(#[from] servers::Error),
    #[error(transparent)]
    Setup(#[from] setup::Error),
    #[error(transparent)]
    Call(#[from] sigv4::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("the test meeting cannot be held")]
    Meeting { source: test_meeting::Error },
    #[error(transparent)]
    Chime(#[from] crate::chime::Error),
    #[error(transparent)]
    Connect(#[from] connect::Error),
    #[error(transparent)]
    Model(#[from] model::Error),
    #[error(transparent)]
    Ecs(#[from] ecs::Error),
    #[error("the table of this cloud is in ministack, which keeps nothing")]
    NotRestartable,
}

/// All of it. Dropped, everything ends, and nothing is left behind.
// In the order in which they end: first who calls others.
#[derive(Debug)]
pub struct Cloud {
    ecs: Ecs,
    ministack: Ministack,
    _chime: Chime,
    connect: Connect,
    meetings: test_meeting::Server,
    store: Store,
    dynamodb: Option<DynamoDb>,
    api: Api,
    made: Made,
    http: reqwest::Client,
    _dir: TempDir,
}

impl Cloud {
    pub async fn start(options: Options) -> Result<Self, Error> {
        let dir = tempfile::Builder::new()
            .prefix("local-cloud-")
            .tempdir()
            .map_err(|source| Error::Folder { source })?;
        // A proxy of the environment knows nothing of loopback.
        let client = || reqwest::Client::builder().no_proxy().pool_idle_timeout(IDLE);
        let http = client().build().map_err(|source| Error::Client { source })?;

        let [gateway, dynamodb] = free_ports()?;
        let gateway = options.port.unwrap_or(gateway);
        let mut ministack = Ministack::start(dir.path(), gateway, &http)?;
        let mut store = Store::start(dir.path(), ministack.endpoint(), &http)?;
        let mut dynamodb = match options.dynamodb {
            Dynamodb::Local => Some(DynamoDb::start(dir.path(), dynamodb, &http)?),
            Dynamodb::Ministack => None,
        };
        let meetings =
            test_meeting::Options { port: None, media_address: None, media: options.media };
        let meetings = async {
            let started = test_meeting::Server::start(meetings).await;
            started.map_err(|source| Error::Meeting { source })
        };
        let table = async {
            match &mut dynamodb {
                Some(dynamodb) => dynamodb.ready().await,
                None => Ok(()),
            }
        };
        let (meetings, ..) = tokio::try_join!(
            meetings,
            async { Ok(ministack.ready().await?) },
            async { Ok(store.ready().await?) },
            async { Ok(table.await?) },
        )?;

        let gate = Gate::new(ministack.endpoint());
        let models = model::botocore_data(&on_path("ministack")?)?;
        let chime = Chime::start(gate.clone(), meetings.endpoint(), &http).await?;
        let task_keys = store.session(TASK_ROLE).await?;
        let task = told(options.task, &options.bins, dir.path(), &store, &task_keys);
        let ecs = Ecs::start(ecs::Options {
            gate: Some(gate.clone()),
            events: Some(events(&ministack)),
            model: Model::load(&models, "ecs")?,
            account: ACCOUNT.into(),
            region: REGION.into(),
            cluster: CLUSTER.into(),
            task_definition: task_definition(),
            roles: vec![role_arn(EXECUTION_ROLE), role_arn(TASK_ROLE)],
            container: CONTAINER.into(),
            kind: task,
            stop_timeout: STOP_TIMEOUT,
        })
        .await?;

        let connect = Connect::start(connect::Options {
            gate: Some(gate),
            model: Model::load(&models, "connect")?,
            account: ACCOUNT.into(),
            region: REGION.into(),
            instance: INSTANCE.into(),
        })
        .await?;
        connect.put_group(hierarchy_group(&[GROUP]));

        let made = set_up(Parts {
            ministack: &ministack,
            store: &store,
            tables: dynamodb.as_ref().map_or(ministack.root(), DynamoDb::caller),
            meetings: chime.endpoint(),
            cluster: Cluster {
                endpoint: ecs.endpoint(),
                arn: &ecs.cluster_arn(),
                task_definition_arn: &task_definition(),
                container: CONTAINER,
            },
            connect: connect.endpoint(),
            bins: &options.bins,
        })
        .await?;

        // The resolver of the system does not know names below `localhost`, which
        // browsers and curl take for this machine.
        let host = format!("{}.execute-api.localhost", made.api);
        let address = ([127, 0, 0, 1], gateway).into();
        let api = client().resolve(&host, address).build();
        let api = api.map_err(|source| Error::Client { source })?;
        let api = Api { http: api, url: format!("http://{host}:{gateway}") };
        Ok(Self {
            ecs,
            ministack,
            _chime: chime,
            connect,
            meetings,
            store,
            dynamodb,
            api,
            made,
            http,
            _dir: dir,
        })
    }

    /// The address of the HTTP API, for browsers and curl. Another client has to be
    /// told that names below `localhost` are 127.0.0.1.
    pub fn api(&self) -> &str {
        &self.api.url
    }

    pub fn ecs(&self) -> &Ecs {
        &self.ecs
    }

    pub fn connect(&self) -> &Connect {
        &self.connect
    }

    pub fn meetings(&self) -> &test_meeting::Server {
        &self.meetings
    }

    /// The bucket of the recordings.
    pub fn bucket(&self) -> &str {
        BUCKET
    }

    /// A client of the store that may do everything.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        self.store.client().clone()
    }

    /// All items of a partition, by sort key.
    pub async fn table_items(&self, partition: &str) -> Result<Vec<Value>, Error> {
        let mut items = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut query = json!({
                "TableName": TABLE,
                "ConsistentRead": true,
                "KeyConditionExpression": "PK = :partition",
                "ExpressionAttributeValues": { ":partition": { "S": partition } },
            });
            if !after.is_null() {
                query["ExclusiveStartKey"] = after;
            }
            let answer =
                self.tables().target("dynamodb", "DynamoDB_20120810.Query", &query).await?;
            items.extend(answer["Items"].as_array().into_iter().flatten().map(item_to_plain));
            after = answer["LastEvaluatedKey"].clone();
            if after.is_null() {
                return Ok(items);
            }
        }
    }

    /// Puts an item, given as plain JSON, in place of whatever was there.
    pub async fn put_item(&self, item: &Value) -> Result<(), Error> {
        let put = json!({ "TableName": TABLE, "Item": item_from_plain(item) });
        self.tables().target("dynamodb", "DynamoDB_20120810.PutItem", &put).await?;
        Ok(())
    }

    /// Calls a Lambda and waits: its error if it had one, and what it answered.
    pub async fn invoke(
        &self,
        function: &str,
        payload: &Value,
    ) -> Result<(Option<String>, Value), Error> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let headers = vec![("content-type", "application/json".to_owned())];
        let body = payload.to_string().into();
        let call = Call { method: Method::POST, path: &path, headers, body };
        let reply = self.ministack.root().send("lambda", call).await?;
        let failed = reply.headers.get("x-amz-function-error");
        let failed = failed.map(|kind| String::from_utf8_lossy(kind.as_bytes()).into_owned());
        if !reply.status.is_success() {
            let (status, body) = (reply.status, reply.text());
            return Err(sigv4::Error::Refused { call: function.into(), status, body }.into());
        }
        Ok((failed, reply.json()))
    }

    /// Puts an event on the bus, as the service `source`.
    pub async fn put_event(
        &self,
        source: &str,
        detail_type: &str,
        detail: &Value,
    ) -> Result<(), Error> {
        let entry =
            json!({ "Source": source, "DetailType": detail_type, "Detail": detail.to_string() });
        let put = json!({ "Entries": [entry] });
        let answer = self.ministack.root().target("events", "AWSEvents.PutEvents", &put).await?;
        if answer["FailedEntryCount"] == 0 {
            return Ok(());
        }
        let (call, body) = ("AWSEvents.PutEvents".to_owned(), answer.to_string());
        Err(sigv4::Error::Refused { call, status: http::StatusCode::OK, body }.into())
    }

    /// What a Lambda has logged so far.
    pub async fn logs(&self, function: &str) -> Result<String, Error> {
        let mut log = String::new();
        let mut next = Value::Null;
        loop {
            let mut filter = json!({ "logGroupName": format!("/aws/lambda/{function}") });
            if !next.is_null() {
                filter["nextToken"] = next;
            }
            let target = "Logs_20140328.FilterLogEvents";
            let answer = match self.ministack.root().target("logs", target, &filter).await {
                // It was never called.
                Err(sigv4::Error::Refused { body, .. })
                    if body.contains("ResourceNotFoundException") =>
                {
                    return Ok(log);
                }
                answer => answer?,
            };
            for event in answer["events"].as_array().into_iter().flatten() {
                log.push_str(event["message"].as_str().unwrap_or_default().trim_end());
                log.push('\n');
            }
            next = answer["nextToken"].clone();
            if next.is_null() {
                return Ok(log);
            }
        }
    }

    /// Ends a server and starts it again with what it has stored.
    pub async fn restart(&mut self, server: Server) -> Result<(), Error> {
        match (server, &mut self.dynamodb) {
            (Server::Store, _) => self.store.restart().await?,
            (Server::Dynamodb, Some(dynamodb)) => dynamodb.restart().await?,
            (Server::Dynamodb, None) => return Err(Error::NotRestartable),
        }
        Ok(())
    }

    /// A call of the API that nobody has signed.
    pub async fn call_unsigned(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Error> {
        Ok(self.api.call(None, (method, path), body, None).await?)
    }

    /// What a browser asks on behalf of a page of this origin, before it calls.
    pub async fn preflight(
        &self,
        origin: &str,
        method: &Method,
        path: &str,
    ) -> Result<Answer, Error> {
        Ok(self.api.preflight(origin, method, path).await?)
    }

    /// Makes a hierarchy group in Connect. `path` has the ids of those above it, from
    /// the top, and its own.
    pub fn make_group(&self, path: &[&str]) {
        self.connect.put_group(hierarchy_group(path));
    }

    /// An agent who may play recordings, signed in.
    pub async fn agent(&self, name: &str) -> Result<Agent, Error> {
        self.agent_as(Plan::new(name)).await
    }

    /// An agent as `plan` says, signed in.
    pub async fn agent_as(&self, plan: Plan) -> Result<Agent, Error> {
        self.connect.put_user(plan.connect_user());
        self.user_of(&self.made.pool, plan).await
    }

    /// Somebody of another application of the same account: its own pools, but the
    /// right to call this API.
    pub async fn stranger(&self, plan: Plan) -> Result<Agent, Error> {
        let pool = setup::make_pool(self.ministack.root()).await?;
        setup::admit_agents(self.ministack.root(), &pool).await?;
        self.user_of(&pool, plan).await
    }

    async fn user_of(&self, pool: &Pool, plan: Plan) -> Result<Agent, Error> {
        let sign_in = Caller::new(self.http.clone(), self.ministack.endpoint(), None);
        Ok(Agent::make(self.ministack.root(), sign_in, (pool, &self.api), plan).await?)
    }

    /// A token that the pool has signed: the agent's, with these claims changed.
    pub async fn token(&self, agent: &Agent, changed: &Value) -> Result<String, Error> {
        let mut claims = agent.claims();
        for (claim, value) in changed.as_object().into_iter().flatten() {
            claims[claim] = value.clone();
        }
        let answer = self.ministack.token(&self.made.pool.id, &claims).await?;
        Ok(setup::text("/_test/tokens", &answer, "token")?)
    }

    /// The ids of the attendees who are connected.
    pub async fn present(&self, meeting: &MeetingHandle) -> Result<Vec<String>, Error> {
        let path = format!("/control/{}", meeting.chime_meeting_id);
        let meetings = self.unguarded_meetings();
        let described = meetings.rest("chime", Method::GET, &path, &Value::Null).await?;
        let clients = described["clients"].as_array().into_iter().flatten();
        let present = clients.filter(|client| client["connected"] == true);
        Ok(present.filter_map(|client| client["attendeeId"].as_str().map(str::to_owned)).collect())
    }

    /// The test meeting itself, where nobody is asked for rights.
    pub(crate) fn unguarded_meetings(&self) -> Caller {
        Caller::new(self.http.clone(), self.meetings.endpoint(), None)
    }

    /// Where the table is, with the right to do everything.
    pub(crate) fn tables(&self) -> &Caller {
        self.dynamodb.as_ref().map_or(self.ministack.root(), DynamoDb::caller)
    }
}

fn task_definition() -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{TASK_DEFINITION}")
}

fn events(ministack: &Ministack) -> Events {
    Events::new(ministack.endpoint(), REGION)
}

/// A task that knows where the store is, as on AWS from its definition and its role.
fn told(task: TaskKind, bins: &Path, dir: &Path, store: &Store, keys: &Keys) -> TaskKind {
    match task {
        TaskKind::Recorder { program, mut environment, directory } => {
            let session_token = keys.session_token.clone().unwrap_or_default();
            let path = search_path().to_string_lossy().into_owned();
            let told = [
                ("AWS_ACCESS_KEY_ID", keys.access_key_id.as_str()),
                ("AWS_REGION", REGION),
                ("AWS_SECRET_ACCESS_KEY", &keys.secret_access_key),
                ("AWS_SESSION_TOKEN", &session_token),
                ("PATH", &path),
                ("RECORDER_S3_ENDPOINT", store.endpoint()),
                ("RECORDER_S3_PATH_STYLE", "true"),
            ];
            // Where the image has it, or this machine.
            if let Some(page) = variable(MEETING_PAGE) {
                let page = page.to_string_lossy().into_owned();
                environment.push((MEETING_PAGE.to_owned(), page));
            }
            for (name, value) in told {
                if environment.iter().all(|(known, _)| known != name) {
                    environment.push((name.to_owned(), value.to_owned()));
                }
            }
            let (program, directory) = (bins.join(program), dir.join(directory));
            TaskKind::Recorder { program, environment, directory }
        }
        TaskKind::Stub => TaskKind::Stub,
    }
}
