//! A second S3 server, nobody's relation of ours: SeaweedFS, which really
//! encrypts, with ministack as its key service. `./dev` installs both.
//!
//! Where an emulator is known to be wrong, the reason stands beside the
//! work-around.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use aws_sdk_s3::Client;
use recorder::upload::s3::{self, ClientSettings};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::until;

pub(crate) const ACCESS_KEY: &str = "AKIDEXAMPLE";
pub(crate) const SECRET_KEY: &str = "wJalrXUtnFEMIexample";
pub(crate) const REGION: &str = "us-east-1";

/// Both servers. Dropped, they are killed.
#[derive(Debug)]
pub(crate) struct EncryptingStore {
    _servers: [Server; 2],
    pub(crate) endpoint: String,
    /// The key service, which is an S3 server too, of other authors.
    pub(crate) ministack: String,
    /// ARN of a key that encrypts.
    pub(crate) key: String,
}

#[derive(Debug)]
struct Server(Child);

impl EncryptingStore {
    /// Starts both with everything they write under `dir`.
    pub(crate) async fn start(dir: &Path) -> Self {
        let kms_port = free_ports(1)[0];
        let ministack = format!("http://127.0.0.1:{kms_port}");
        let kms = Server::start(
            Command::new("ministack").env("GATEWAY_PORT", kms_port.to_string()).current_dir(dir),
        );
        let key = create_key(kms_port).await;
        let config = dir.join("s3.json");
        let settings = json!({
            "identities": [{
                "name": "recorder",
                "credentials": [{ "accessKey": ACCESS_KEY, "secretKey": SECRET_KEY }],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }],
            "kms": { "default_provider": "aws", "providers": { "aws": {
                "type": "aws", "region": REGION, "endpoint": ministack,
                "access_key": "test", "secret_key": "test",
            } } },
        });
        std::fs::write(&config, settings.to_string()).unwrap();
        let ports = free_ports(4);
        let data = dir.join("weed");
        std::fs::create_dir(&data).unwrap();
        let weed = Server::start(
            Command::new("weed")
                .arg("server")
                .arg(format!("-dir={}", data.display()))
                .args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"])
                .arg(format!("-s3.config={}", config.display()))
                .arg(format!("-s3.port={}", ports[0]))
                .arg(format!("-master.port={}", ports[1]))
                .arg(format!("-volume.port={}", ports[2]))
                .arg(format!("-filer.port={}", ports[3]))
                .args(["-master.volumeSizeLimitMB=64", "-volume.max=50"])
                // Services beside S3, whose ports are fixed, and reports to its makers.
                .args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false"])
                .current_dir(dir),
        );
        let endpoint = format!("http://127.0.0.1:{}", ports[0]);
        Self { _servers: [weed, kms], endpoint, ministack, key }
    }

    pub(crate) async fn client(&self) -> Client {
        client(&self.endpoint, ACCESS_KEY, SECRET_KEY).await
    }

    /// Makes a bucket and waits until the server can store an encrypted object:
    /// its port is open some seconds before.
    pub(crate) async fn create_bucket(&self, client: &Client, name: &str) {
        let deadline = tokio::time::Instant::now() + super::HANGS;
        while let Err(error) = self.try_bucket(client, name).await {
            assert!(tokio::time::Instant::now() < deadline, "nothing can be stored: {error:?}");
            tokio::time::sleep(super::LOOK).await;
        }
    }

    async fn try_bucket(&self, client: &Client, name: &str) -> Result<(), aws_sdk_s3::Error> {
        // It exists from the second try on.
        let _ = client.create_bucket().bucket(name).send().await;
        let put = client.put_object().bucket(name).key("probe");
        put.server_side_encryption(aws_sdk_s3::types::ServerSideEncryption::AwsKms)
            .ssekms_key_id(&self.key)
            .send()
            .await?;
        Ok(())
    }
}

/// Of any server here.
pub(crate) async fn client(endpoint: &str, access_key: &str, secret_key: &str) -> Client {
    let credentials =
        aws_sdk_s3::config::Credentials::new(access_key, secret_key, None, None, "test");
    s3::client(ClientSettings {
        region: Some(REGION.into()),
        endpoint: Some(endpoint.to_owned()),
        force_path_style: true,
        credentials: Some(credentials),
    })
    .await
}

impl Server {
    fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_owned();
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|error| {
            panic!("{} cannot be started, ./dev installs it: {error}", name.display())
        }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not in order: SeaweedFS takes many seconds for that.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks the key service for a key, as soon as it listens.
async fn create_key(port: u16) -> String {
    let address = ("127.0.0.1", port);
    until("the key service", || std::net::TcpStream::connect(address).ok()).await;
    let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
        content-type: application/x-amz-json-1.1\r\nx-amz-target: TrentService.CreateKey\r\n\
        authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/kms/aws4_request, \
        SignedHeaders=host, Signature=0\r\ncontent-length: 2\r\n\r\n{}";
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    // The body may come in chunks, each with its length before it.
    let body = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    let body: Value = serde_json::from_str(body).unwrap();
    body["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
}

/// Ports that nobody listens on, and nobody 10,000 above: SeaweedFS takes both.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let mut listeners = Vec::new();
    let mut refused = Vec::new();
    while listeners.len() < 2 * count {
        let low = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = low.local_addr().unwrap().port();
        let high = port.checked_add(10_000).map(|high| TcpListener::bind(("127.0.0.1", high)));
        match high {
            Some(Ok(high)) => listeners.extend([low, high]),
            // Kept, so that the next one is another.
            _ => refused.push(low),
        }
    }
    listeners.iter().step_by(2).map(|low| low.local_addr().unwrap().port()).collect()
}
