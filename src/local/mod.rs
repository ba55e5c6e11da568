//! The S3 server inside the process, for `recorder --local`.
//!
//! It keeps one bucket, [`BUCKET`], under one folder: the object `a/b.mp4` is
//! the file `a/b.mp4` in it, which a person can open; open multipart uploads
//! are in `.uploads`. The recorder talks to it with the very client it uses for
//! AWS, so it is as strict as S3. It must not know recordings, and nothing but
//! files outlives it: the upload of a killed recorder can be listed and
//! completed by the next.
//!
//! ```text
//! mod.rs ──▶ service.rs ──▶ store.rs     objects as files
//! sockets    s3s's trait ├▶ uploads.rs   parts as files, completion
//!                        ├▶ body.rs      streams ◀─▶ files, digest.rs on the way
//!                        └▶ rules.rs, convert.rs   parameters and types
//! ```

mod body;
mod convert;
mod digest;
mod key;
pub mod meeting;
mod rules;
mod service;
mod store;
mod uploads;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use base64::Engine;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::upload::s3::{self, ClientSettings};
use service::Service;
use store::Store;

/// The one bucket there is.
pub const BUCKET: &str = "recordings";

/// A page with a moving picture, its frame number, and a flash and a beep each
/// second: what is recorded if nobody names a page.
pub const TEST_PAGE: &str = include_str!("testpage.html");

/// Whether an object of this key can be a file here.
pub(crate) fn is_key(key: &str) -> bool {
    key::relative_path(key).is_ok()
}

/// How long to wait when no connection can be accepted, which happens when the
/// process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a client has to sign its requests with.
#[derive(Clone)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
}

impl Credentials {
    /// New ones for this process: nobody else on the machine gets at the folder
    /// through the server.
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        // The kernel answers less than 256 bytes whole once it has booted.
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .expect("the kernel has random bytes");
        let secret_key = base64::prelude::BASE64_STANDARD.encode(bytes);
        Self { access_key: "recorder".into(), secret_key }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("access_key", &self.access_key).finish_non_exhaustive()
    }
}

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be created or written to.
    #[error("cannot write recordings to the folder {}", dir.display())]
    Folder { dir: PathBuf, source: io::Error },
    /// The loopback interface has no port for us.
    #[error("cannot listen on 127.0.0.1")]
    Listen { source: io::Error },
}

/// A running server. Dropped without [`stop`](Self::stop), it ends in the
/// background when its last request has.
#[derive(Debug)]
pub struct Server {
    dir: PathBuf,
    address: SocketAddr,
    stop: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves the folder `dir`, which is created where it is missing, on a free
    /// port of the loopback interface.
    pub async fn start(dir: &Path, credentials: Credentials) -> Result<Self, Error> {
        let store = {
            let dir = dir.to_owned();
            let opened = tokio::task::spawn_blocking(move || Store::open(&dir)).await;
            opened.unwrap_or_else(|error| Err(error.into()))
        };
        let store = store.map_err(|source| Error::Folder { dir: dir.to_owned(), source })?;
        let mut service = S3ServiceBuilder::new(Service::new(store));
        service.set_auth(SimpleAuth::from_single(credentials.access_key, credentials.secret_key));

        let listen = |source| Error::Listen { source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let (stop, stopped) = watch::channel(());
        let task = tokio::spawn(serve(listener, service.build(), stopped));
        Ok(Self { dir: dir.to_owned(), address, stop, task })
    }

    /// The URL that clients need, `http://127.0.0.1:PORT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The file that is the object `key` once it is complete.
    pub fn object_path(&self, key: &str) -> PathBuf {
        self.dir.join(key)
    }

    /// Whether the process that opened an upload in the folder is still alive.
    pub fn is_held(dir: &Path, upload_id: &str) -> io::Result<bool> {
        Store::open(dir)?.is_held(upload_id)
    }

    /// Takes no new requests, finishes those in flight and ends. How long that
    /// may take is the caller's to bound.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the local S3 server broke");
        }
    }
}

/// A running server and a client of it.
#[derive(Debug)]
pub struct Opened {
    pub server: Server,
    pub client: aws_sdk_s3::Client,
}

impl Opened {
    /// Opens the folder `dir` for this process alone.
    pub async fn start(dir: &Path) -> Result<Self, Error> {
        let Credentials { access_key, secret_key } = Credentials::random();
        let credentials =
            Credentials { access_key: access_key.clone(), secret_key: secret_key.clone() };
        let server = Server::start(dir, credentials).await?;
        let client = s3::client(ClientSettings {
            // Any will do, but requests are signed for one.
            region: Some("us-east-1".into()),
            endpoint: Some(server.endpoint()),
            force_path_style: true,
            credentials: Some(aws_credential_types::Credentials::new(
                access_key, secret_key, None, None, "local",
            )),
        })
        .await;
        Ok(Self { server, client })
    }
}

async fn serve(listener: TcpListener, service: S3Service, mut stopped: watch::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, service.clone(), stopped.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the local S3 server cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            // Nothing is ever sent: the channel closes.
            _ = stopped.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn connection(stream: TcpStream, service: S3Service, mut stopped: watch::Receiver<()>) {
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection to the local S3 server broke");
    }
}
