//! ministack: IAM, Cognito, the HTTP API, the Lambdas, the event bus, keys and logs.
//!
//! It starts through `ministack.py`, which says what it changes and why.

use std::path::Path;

use serde_json::{Value, json};

use crate::servers::{self, Server, Spec, on_path};
use crate::sigv4::{self, Caller, Keys};

/// The account of everything.
pub const ACCOUNT: &str = "111122223333";

/// The account itself: ministack never checks the secret of this key.
pub(crate) fn root() -> Keys {
    Keys { access_key_id: "test".into(), secret_access_key: "test".into(), session_token: None }
}

/// A running ministack.
#[derive(Debug)]
pub(crate) struct Ministack {
    server: Server,
    endpoint: String,
    caller: Caller,
    http: reqwest::Client,
}

impl Ministack {
    /// Starts it with all that it writes under `dir`.
    pub(crate) fn start(
        dir: &Path,
        port: u16,
        http: &reqwest::Client,
    ) -> Result<Self, servers::Error> {
        let failed = |source| servers::Error::Start { name: "ministack", source };
        // The python that stands beside it has what it is made of.
        let python = on_path("ministack")?.with_file_name("python3");
        // Not under its own name, which is the package's.
        let launcher = dir.join("launcher.py");
        std::fs::write(&launcher, include_str!("ministack.py")).map_err(failed)?;
        let temp = dir.join("tmp");
        std::fs::create_dir(&temp).map_err(failed)?;
        let server = Server::start(Spec {
            name: "ministack",
            program: python,
            args: vec![launcher.into()],
            // Whatever is here is handed to the Lambdas, too.
            env: vec![
                ("AUTH", "true".into()),
                ("BIND_HOST", "127.0.0.1".into()),
                ("GATEWAY_PORT", port.to_string().into()),
                ("HOME", dir.into()),
                // Else it listens on a fixed port of all addresses.
                ("IOT_MTLS_ENABLED", "0".into()),
                // Else the keys of its user pools are left behind.
                ("STATE_DIR", dir.join("state").into()),
                ("LAMBDA_ASYNC_RETRY_BASE_SECONDS", "0.2".into()),
                ("LOG_LEVEL", "WARNING".into()),
                ("MINISTACK_ACCOUNT_ID", ACCOUNT.into()),
                ("PYTHONUNBUFFERED", "1".into()),
                // The code of functions is unpacked here, and left behind.
                ("TMPDIR", temp.into()),
            ],
            dir: dir.to_owned(),
            // In order: its Lambdas end with it.
            on_orphaned: "TERM",
            litter: Vec::new(),
        })?;
        let endpoint = format!("http://127.0.0.1:{port}");
        let caller = Caller::new(http.clone(), &endpoint, Some(root()));
        Ok(Self { server, endpoint, caller, http: http.clone() })
    }

    pub(crate) async fn ready(&mut self) -> Result<(), servers::Error> {
        let url = format!("{}/_ministack/ready", self.endpoint);
        let http = self.http.clone();
        self.server
            .ready(move || {
                let asked = http.get(&url).send();
                async move { asked.await?.error_for_status().map(drop) }
            })
            .await
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Who may do everything.
    pub(crate) fn root(&self) -> &Caller {
        &self.caller
    }

    /// Gives the functions that have this role credentials that others issued.
    pub(crate) async fn give_session(&self, role: &str, keys: &Keys) -> Result<(), sigv4::Error> {
        let session = json!({ role: {
            "accessKeyId": keys.access_key_id,
            "secretAccessKey": keys.secret_access_key,
            "sessionToken": keys.session_token,
        } });
        let path = "/_test/sessions";
        self.caller.rest("lambda", http::Method::POST, path, &session).await.map(drop)
    }

    /// A token with these claims, signed with the key of the pool.
    pub(crate) async fn token(&self, pool: &str, claims: &Value) -> Result<Value, sigv4::Error> {
        let asked = json!({ "pool": pool, "claims": claims });
        self.caller.rest("cognito-idp", http::Method::POST, "/_test/tokens", &asked).await
    }
}
