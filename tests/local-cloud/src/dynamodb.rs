//! DynamoDB Local: Amazon's own, with real validation and transactions.
//!
//! It knows nothing of IAM, and takes any credentials. Its data are on disk, so that
//! it can be ended and started again.

use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::json;

use crate::ministack;
use crate::servers::{self, Server, Spec, on_path, variable};
use crate::sigv4::Caller;

/// Names the folder that has the jar. `./dev` installs it.
const FOLDER: &str = "RECORDER_DYNAMODB_LOCAL";

/// A running DynamoDB Local.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    server: Server,
    caller: Caller,
}

impl DynamoDb {
    /// Starts it with all that it writes under `dir`.
    pub(crate) fn start(
        dir: &Path,
        port: u16,
        http: &reqwest::Client,
    ) -> Result<Self, servers::Error> {
        let failed = |source| servers::Error::Start { name: "dynamodb", source };
        let folder = variable(FOLDER).map(PathBuf::from);
        let folder = folder.ok_or(servers::Error::NotSet(FOLDER))?;
        let data = dir.join("dynamodb");
        std::fs::create_dir(&data).map_err(failed)?;
        let server = Server::start(Spec {
            name: "dynamodb",
            program: on_path("java")?,
            args: vec![
                format!("-Djava.library.path={}", folder.join("DynamoDBLocal_lib").display())
                    .into(),
                // It would take a quarter of the machine's memory.
                "-Xmx256m".into(),
                "-jar".into(),
                folder.join("DynamoDBLocal.jar").into(),
                "-sharedDb".into(),
                "-dbPath".into(),
                data.into(),
                "-disableTelemetry".into(),
                "-port".into(),
                port.to_string().into(),
            ],
            env: vec![("HOME", dir.into())],
            dir: dir.to_owned(),
            on_orphaned: "KILL",
            litter: Vec::new(),
        })?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let caller = Caller::new(http.clone(), endpoint, Some(ministack::root()));
        Ok(Self { server, caller })
    }

    pub(crate) async fn ready(&mut self) -> Result<(), servers::Error> {
        let caller = self.caller.clone();
        self.server
            .ready(move || {
                let caller = caller.clone();
                async move {
                    caller.target("dynamodb", "DynamoDB_20120810.ListTables", &json!({})).await
                }
            })
            .await
            .map(drop)
    }

    pub(crate) async fn restart(&mut self) -> Result<(), servers::Error> {
        self.server.restart(Signal::TERM).await?;
        self.ready().await
    }

    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }
}
