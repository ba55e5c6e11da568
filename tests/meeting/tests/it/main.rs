//! The test meeting as its clients see it: the real AWS SDK asks its API, and a
//! plain WebSocket client signals.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod api;
mod signaling;

use std::path::PathBuf;

use test_meeting::{Options, Server};

/// A server on any port. Its pictures are kept from test to test, as `./dev` keeps them.
async fn server() -> Server {
    let media = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("meeting");
    Server::start(Options { port: None, media_address: None, media }).await.unwrap()
}
