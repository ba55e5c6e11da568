//! A meeting on loopback that speaks the signaling and media protocols of
//! Amazon Chime SDK, with synthetic participants.
//!
//! ```text
//! scenario ─┐                      ┌──▶ signaling.rs ──WebSocket──▶ client
//! control ──┴▶ meeting.rs ▶ room.rs┤        │
//!              its clock    state  └──▶ media.rs ────RTP──────────▶ client
//! api.rs: the Meetings API        clips.rs, sound.rs: what is sent
//! ```
//!
//! The protocol's specification is the behaviour of amazon-chime-sdk-js 3.32;
//! `proto.rs` has its messages. It must not know who joins: a recorder is one
//! attendee among others.

mod address;
mod answer;
mod api;
pub mod clips;
mod identity;
mod media;
mod meeting;
mod painter;
mod proto;
mod room;
pub mod scenario;
mod signaling;
pub mod sound;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use scenario::Scenario;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// Of signaling, API and control, on 127.0.0.1; `None` is any that is free.
    pub port: Option<u16>,
    /// Of the media; `None` is found by itself. Browsers refuse 127.0.0.1.
    pub media_address: Option<IpAddr>,
    /// The folder in which encoded pictures are kept.
    pub media: PathBuf,
}

/// What a meeting is called.
#[derive(Clone, Debug)]
pub struct MeetingNames {
    /// The same id gives the same join data, also in another process.
    pub meeting_id: Option<String>,
    pub external_meeting_id: String,
}

/// A meeting with an attendee for whoever asked for it.
#[derive(Clone, Debug)]
pub struct Hosted {
    /// The Meeting object as the Meetings API gives it.
    pub meeting: Value,
    /// The Attendee object; it holds a join token.
    pub attendee: Value,
    /// Display names by external user id.
    pub names: BTreeMap<String, String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("port {port} of 127.0.0.1 cannot be listened on")]
    Listen { port: u16, source: std::io::Error },
    #[error(transparent)]
    Address(#[from] address::Error),
    #[error(transparent)]
    Clips(#[from] clips::Error),
    #[error(transparent)]
    Sound(#[from] sound::Error),
}

/// A running server. Dropped, it ends at once.
#[derive(Debug)]
pub struct Server {
    hall: Arc<api::Hall>,
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Listens on 127.0.0.1. There is no meeting yet.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let media_address = address::choose(options.media_address)?;
        let port = options.port.unwrap_or(0);
        let listen = |source| Error::Listen { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let library = clips::Library::open(options.media)?;
        let hall = Arc::new(api::Hall::new(address, media_address, library));
        let app = api::router(Arc::clone(&hall));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the test meeting is not served any more");
            }
        });
        tracing::info!(%address, %media_address, "test meeting");
        Ok(Self { hall, address, task })
    }

    /// `http://127.0.0.1:PORT`: the Meetings API, and `/control/{meeting}`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Begins a meeting. Its scenario starts when the first client is connected.
    pub async fn host(&self, plan: Scenario, names: MeetingNames) -> Result<Hosted, Error> {
        self.hall.host(plan, names).await
    }

    /// What `GET /control/{meeting}` tells, if there is such a meeting.
    pub fn described(&self, meeting_id: &str) -> Option<serde_json::Value> {
        self.hall.described(meeting_id)
    }

    /// Ends every meeting.
    pub fn stop(self) {
        self.hall.end();
        self.task.abort();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}
