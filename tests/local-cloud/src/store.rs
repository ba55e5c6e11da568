//! SeaweedFS: the recordings, really encrypted, with ministack as its key service.
//!
//! It checks signatures and policies itself. It takes temporary credentials only if
//! it has issued them, so it issues those of the product's roles, with the policies
//! of `policies.rs`, and ministack gives them to the Lambdas.
//!
//! Known to differ from S3: an object that is not there is said to be not there to
//! those who may not list, too; to create, send and complete an upload are actions
//! of their own, which it takes `s3:PutObject` for.

use std::path::{Path, PathBuf};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::error::DisplayErrorContext;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::ministack;
use crate::policies::{ROLES, role_arn};
use crate::servers::{self, Server, Spec, free_ports, on_path};
use crate::sigv4::{self, Caller, Keys, REGION, element};

/// As contract A9 calls it.
pub(crate) const BUCKET: &str = "videocallescalation-recordingbucket-111122223333-us-east-1";

/// A working day: longer than anything that is tried here, and the most that it gives.
const SESSION_SECONDS: &str = "43200";

/// A running SeaweedFS.
#[derive(Debug)]
pub(crate) struct Store {
    server: Server,
    endpoint: String,
    client: Client,
    owner: Caller,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("SeaweedFS does not {action}: {told}")]
    Refused { action: &'static str, told: String },
    #[error(transparent)]
    Call(#[from] sigv4::Error),
    #[error("SeaweedFS gives no credentials for {role}: {answer}")]
    NoSession { role: String, answer: String },
}

impl Store {
    /// Starts it with all that it writes under `dir`. It asks for keys at
    /// `key_service` when it encrypts.
    pub(crate) fn start(
        dir: &Path,
        key_service: &str,
        http: &reqwest::Client,
    ) -> Result<Self, servers::Error> {
        let failed = |source| servers::Error::Start { name: "weed", source };
        let owner = Keys {
            access_key_id: "STOREOWNER".into(),
            secret_access_key: hex(fastrand::u128(..)),
            session_token: None,
        };
        let settings = dir.join("s3.json");
        std::fs::write(&settings, owner_of_all(&owner, key_service).to_string()).map_err(failed)?;
        let roles = dir.join("s3-roles.json");
        std::fs::write(&roles, roles_of_product().to_string()).map_err(failed)?;
        let data = dir.join("weed");
        std::fs::create_dir(&data).map_err(failed)?;

        let [s3, master, volume, filer] = free_ports()?;
        // It talks to itself through sockets in a folder that cannot be chosen.
        let sockets = [("s3", s3), ("master", master), ("volume", volume), ("filer", filer)];
        let socket = |(name, port)| format!("/tmp/seaweedfs-{name}-grpc-{}.sock", port + 10_000);
        let server = Server::start(Spec {
            name: "weed",
            program: on_path("weed")?,
            args: [
                "server".to_owned(),
                format!("-dir={}", data.display()),
                "-ip=127.0.0.1".into(),
                "-ip.bind=127.0.0.1".into(),
                "-s3".into(),
                format!("-s3.port={s3}"),
                format!("-s3.config={}", settings.display()),
                format!("-s3.iam.config={}", roles.display()),
                format!("-s3.localSocket={}", dir.join("s3.sock").display()),
                // These two would listen on fixed ports.
                "-s3.port.iceberg=0".into(),
                "-s3.port.lance=0".into(),
                format!("-master.port={master}"),
                // It would report itself to its makers.
                "-master.telemetry=false".into(),
                "-master.volumeSizeLimitMB=64".into(),
                format!("-volume.port={volume}"),
                "-volume.max=50".into(),
                format!("-filer.port={filer}"),
                format!("-filer.localSocket={}", dir.join("filer.sock").display()),
            ]
            .map(Into::into)
            .into(),
            env: vec![("HOME", dir.into())],
            dir: dir.to_owned(),
            on_orphaned: "KILL",
            litter: sockets.map(socket).map(PathBuf::from).into(),
        })?;
        let endpoint = format!("http://127.0.0.1:{s3}");
        let client = client(&endpoint, &owner);
        let owner = Caller::new(http.clone(), &endpoint, Some(owner));
        Ok(Self { server, endpoint, client, owner })
    }

    /// Waits until it can store an object: its port is open some seconds before.
    pub(crate) async fn ready(&mut self) -> Result<(), servers::Error> {
        let client = self.client.clone();
        self.server
            .ready(move || {
                let client = client.clone();
                async move { probe(&client).await }
            })
            .await
    }

    /// Encrypts what is stored from now on.
    pub(crate) async fn encrypt(&self, key_arn: &str) -> Result<(), Error> {
        const ACTION: &str = "encrypt the bucket";
        let refused = |told| Error::Refused { action: ACTION, told };
        let by_default = ServerSideEncryptionByDefault::builder()
            .sse_algorithm(ServerSideEncryption::AwsKms)
            .kms_master_key_id(key_arn)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let rule = ServerSideEncryptionRule::builder()
            .apply_server_side_encryption_by_default(by_default)
            .build();
        let configuration = ServerSideEncryptionConfiguration::builder()
            .rules(rule)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        self.client
            .put_bucket_encryption()
            .bucket(BUCKET)
            .server_side_encryption_configuration(configuration)
            .send()
            .await
            .map_err(|error| refused(DisplayErrorContext(error).to_string()))?;
        Ok(())
    }

    /// Credentials for whoever has this role.
    pub(crate) async fn session(&self, role: &str) -> Result<Keys, Error> {
        let arn = role_arn(role);
        let fields = [
            ("Action", "AssumeRole"),
            ("Version", "2011-06-15"),
            ("RoleArn", &arn),
            ("RoleSessionName", role),
            ("DurationSeconds", SESSION_SECONDS),
        ];
        let answer = self.owner.form("sts", &fields).await?;
        let keys = || {
            Some(Keys {
                access_key_id: element(&answer, "AccessKeyId")?,
                secret_access_key: element(&answer, "SecretAccessKey")?,
                session_token: Some(element(&answer, "SessionToken")?),
            })
        };
        keys().ok_or_else(|| Error::NoSession { role: role.into(), answer: answer.clone() })
    }

    /// Kills it and starts it again: what it has stored is on disk, and in order it
    /// ends after many seconds only.
    pub(crate) async fn restart(&mut self) -> Result<(), servers::Error> {
        self.server.restart(Signal::KILL).await?;
        self.ready().await
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Who may do everything.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }
}

/// A client of the store.
pub(crate) fn client(endpoint: &str, keys: &Keys) -> Client {
    let Keys { access_key_id, secret_access_key, session_token } = keys;
    let credentials =
        Credentials::new(access_key_id, secret_access_key, session_token.clone(), None, "test");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(credentials)
        .build();
    Client::from_conf(config)
}

/// Whether the bucket is there and takes an object.
async fn probe(client: &Client) -> Result<(), String> {
    const KEY: &str = "probe";
    // It exists from the second try on.
    let made = client.create_bucket().bucket(BUCKET).send().await;
    let made = made.map(drop).map_err(|error| DisplayErrorContext(error).to_string());
    let body = ByteStream::from_static(b"probe");
    let put = client.put_object().bucket(BUCKET).key(KEY).body(body).send().await;
    put.map_err(|error| format!("{}; {made:?}", DisplayErrorContext(error)))?;
    let deleted = client.delete_object().bucket(BUCKET).key(KEY).send().await;
    deleted.map(drop).map_err(|error| DisplayErrorContext(error).to_string())
}

fn owner_of_all(owner: &Keys, key_service: &str) -> Value {
    let of_keys = ministack::root();
    json!({
        "identities": [{
            "name": "owner",
            "credentials": [{
                "accessKey": owner.access_key_id,
                "secretKey": owner.secret_access_key,
            }],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }],
        "kms": { "default_provider": "aws", "providers": { "aws": {
            "type": "aws",
            "region": REGION,
            "endpoint": key_service,
            "access_key": of_keys.access_key_id,
            "secret_key": of_keys.secret_access_key,
        } } },
    })
}

/// The roles that have to do with the store, and what they may do in it.
fn roles_of_product() -> Value {
    let known: Vec<_> =
        ROLES.iter().filter_map(|role| Some((role.name, role.store_policy(BUCKET)?))).collect();
    // Only the owner asks for sessions, and only here.
    let trust = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": ["sts:AssumeRole"] },
    ] });
    let roles = known.iter().map(|(name, _)| {
        json!({
            "roleName": name,
            "roleArn": role_arn(name),
            "trustPolicy": trust,
            "attachedPolicies": [name],
        })
    });
    let policies = known.iter().map(|(name, policy)| json!({ "name": name, "document": policy }));
    json!({
        "sts": {
            "issuer": "local-cloud",
            "tokenDuration": "1h",
            "maxSessionLength": "12h",
            "signingKey": BASE64_STANDARD.encode(hex(fastrand::u128(..))),
        },
        "policy": { "defaultEffect": "Deny" },
        "roles": roles.collect::<Vec<_>>(),
        "policies": policies.collect::<Vec<_>>(),
    })
}

fn hex(number: u128) -> String {
    format!("{number:032x}")
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::error::ProvideErrorMetadata;

    use super::*;
    use crate::policies::TASK_ROLE;

    /// "yes", or the code of the refusal.
    fn told<T, E: ProvideErrorMetadata>(answer: Result<T, E>) -> String {
        answer.map_or_else(|error| error.code().unwrap_or("no code").into(), |_| "yes".into())
    }

    /// What somebody with this role may do with a recording and beside it: read, write,
    /// delete, list, look for uploads.
    async fn rights(store: &Store, role: &str) -> [String; 6] {
        let keys = store.session(role).await.unwrap();
        let client = client(store.endpoint(), &keys);
        let of = |key: &str| (client.get_object(), client.put_object(), key.to_owned());
        let (get, put, key) = of("RECORDINGS/a");
        let (_, beside, other) = of("a");
        let body = || ByteStream::from_static(b"a");
        [
            told(get.bucket(BUCKET).key(&key).send().await),
            told(put.bucket(BUCKET).key(&key).body(body()).send().await),
            told(beside.bucket(BUCKET).key(other).body(body()).send().await),
            told(client.delete_object().bucket(BUCKET).key(key).send().await),
            told(client.list_objects_v2().bucket(BUCKET).send().await),
            told(client.list_multipart_uploads().bucket(BUCKET).send().await),
        ]
    }

    #[tokio::test]
    async fn a_role_may_do_what_its_policy_says_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let http = reqwest::Client::new();
        let mut store = Store::start(dir.path(), "http://127.0.0.1:1", &http).unwrap();
        store.ready().await.unwrap();
        let body = ByteStream::from_static(b"a");
        let put = store.client().put_object().bucket(BUCKET).key("RECORDINGS/a").body(body);
        put.send().await.unwrap();
        let no = "AccessDenied";
        assert_eq!(rights(&store, "recording-summary").await, ["yes", no, no, no, no, no]);
        assert_eq!(rights(&store, "recording-sweeper").await, ["yes", "yes", no, no, "yes", "yes"]);
        assert_eq!(rights(&store, TASK_ROLE).await, [no, "yes", no, no, no, no]);
        let error = store.session("stop-recording").await.unwrap_err();
        assert!(error.to_string().contains("403"), "{error}");
    }
}
