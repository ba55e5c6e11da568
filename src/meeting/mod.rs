//! A Chime meeting as something to record: its page, served from here, and what
//! the page tells about the meeting.
//!
//! ```text
//! page ──WebSocket──▶ server.rs ──▶ watch.rs: live? over? lost?
//!                     sockets       └──▶ minutes.rs ──▶ report, chapters.rs
//! ```
//!
//! It must not know browsers or capture: whoever opens the address that
//! [`Meeting::open`] gives asks [`Meeting::live`] and then [`Meeting::over`].

pub mod chapters;
pub mod contract;
pub mod minutes;
pub mod server;
pub mod watch;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::sync::mpsc;
use url::Url;

use crate::media::Rhythm;
use crate::secret::{Secret, scrub};
use contract::{Level, Message};
use minutes::Account;
use server::{Heard, Server};
use watch::{Rules, Verdict, Watch};

/// Characters of a name that the page is given: no tile has room for more.
const LONGEST_NAME: usize = 256;

/// All that the page is given to join with and to show.
#[derive(Clone, Debug)]
pub struct Input {
    /// Base64 of the JSON of the Chime Meeting object.
    pub meeting: Secret,
    /// Likewise of the Attendee object; it holds the join token.
    pub attendee: Secret,
    /// By attendee id or external user id.
    pub names: BTreeMap<String, String>,
    pub look: Look,
}

/// How the page is laid out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    pub layout: Layout,
    /// In a header above the tiles.
    pub title: Option<String>,
    /// The time of day, in the header.
    pub clock: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// All tiles of one size.
    #[default]
    Grid,
    /// Whoever speaks large, the others beside.
    Speaker,
}

/// A meeting that is being recorded.
#[derive(Debug)]
pub struct Meeting {
    input: Input,
    server: Server,
    watch: Arc<Mutex<Watch>>,
    heard: mpsc::UnboundedReceiver<Heard>,
}

/// What has been noted of a meeting, readable while it goes on and after.
#[derive(Clone, Debug)]
pub struct Noted(Arc<Mutex<Watch>>);

impl Meeting {
    /// Serves the page in `dir`; nothing joins yet.
    pub async fn start(dir: &Path, input: Input, rules: Rules) -> Result<Self, server::Error> {
        let server = Server::start(dir).await?;
        let (_, heard) = server.expect_page();
        let watch = Arc::new(Mutex::new(Watch::new(rules, Instant::now())));
        Ok(Self { input, server, watch, heard })
    }

    pub fn noted(&self) -> Noted {
        Noted(Arc::clone(&self.watch))
    }

    /// The address under which the page joins. What a page says that was opened
    /// before is not heard any more.
    pub fn open(&mut self) -> Url {
        let (token, heard) = self.server.expect_page();
        self.heard = heard;
        self.watch().opening();
        let mut address = page_address(self.server.address(), &self.input);
        address.query_pairs_mut().append_pair("worker", &token);
        address
    }

    /// Completes when the page may be filmed, with the verdict if it never may.
    pub async fn live(&mut self) -> Result<(), Verdict> {
        match self.verdict().await {
            Verdict::Live => Ok(()),
            verdict => Err(verdict),
        }
    }

    /// Completes when the page is over or lost. Nothing is lost when it is cancelled.
    pub async fn over(&mut self) -> Verdict {
        loop {
            match self.verdict().await {
                Verdict::Live => {}
                verdict => return verdict,
            }
        }
    }

    /// Where `true` lets the page, now and when it is opened again, receive pictures no larger
    /// than it draws them.
    pub fn relief(&self) -> tokio::sync::watch::Sender<bool> {
        self.server.relief()
    }

    /// Where the page is told when its pictures are shown.
    pub fn rhythm(&self) -> tokio::sync::watch::Sender<Option<Rhythm>> {
        self.server.rhythm()
    }

    /// The meeting cannot be filmed, until its page is live again.
    pub fn interrupted(&self, reason: &str) {
        self.watch().interrupted(Instant::now(), reason);
    }

    async fn verdict(&mut self) -> Verdict {
        loop {
            let deadline = self.watch().deadline();
            let heard = tokio::select! {
                heard = self.heard.recv() => heard,
                () = until(deadline) => {
                    if let Some(verdict) = self.watch().tick(Instant::now()) {
                        return verdict;
                    }
                    continue;
                }
            };
            let verdict = match heard {
                Some(Heard::Said(at, message)) => {
                    log(&message);
                    self.watch().handle(at, &message)
                }
                Some(Heard::Gone) => self.watch().disconnected(),
                // The server ended: so has the process's use of it.
                None => std::future::pending().await,
            };
            if let Some(verdict) = verdict {
                return verdict;
            }
        }
    }

    fn watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    /// All of it, for a recording from `first` to `last`.
    pub fn account(&self, first: Instant, last: Instant) -> Account {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).minutes().account(first, last)
    }
}

/// The page with its input, each value percent-encoded.
pub fn page_address(mut page: Url, input: &Input) -> Url {
    // An address has room for 64 kB.
    let shortened = |name: &String| name.chars().take(LONGEST_NAME).collect::<String>();
    let names: BTreeMap<_, _> =
        input.names.iter().map(|(id, name)| (id, shortened(name))).collect();
    let names = serde_json::to_vec(&names).expect("names are plain data");
    let mut query = page.query_pairs_mut();
    query
        .append_pair("chimeMeetingData", input.meeting.expose())
        .append_pair("chimeAttendeeData", input.attendee.expose());
    if !input.names.is_empty() {
        query.append_pair("names", &BASE64_STANDARD.encode(names));
    }
    if input.look.layout == Layout::Speaker {
        query.append_pair("layout", "speaker");
    }
    if let Some(title) = &input.look.title {
        query.append_pair("title", title);
    }
    if input.look.clock {
        query.append_pair("clock", "true");
    }
    drop(query);
    page
}

fn log(message: &Message) {
    match message {
        Message::State(state) => tracing::info!(?state, "meeting page"),
        Message::Log { level: Level::Error, message } => {
            tracing::error!(message = scrub(message), "meeting page");
        }
        Message::Log { level: Level::Warn, message } => {
            tracing::warn!(message = scrub(message), "meeting page");
        }
        Message::Connection { quality } => tracing::info!(?quality, "connection to the meeting"),
        // Names are the participants' own business: counts are enough for a log.
        Message::Tiles { tiles } => tracing::debug!(tiles = tiles.len(), "meeting page"),
        Message::Joined { attendee_id, .. } => tracing::debug!(attendee_id, "joined"),
        Message::Left { attendee_id, dropped } => tracing::debug!(attendee_id, dropped, "left"),
        Message::Speakers { attendee_ids } => {
            tracing::debug!(speakers = attendee_ids.len(), "meeting page");
        }
        Message::Hello { .. } | Message::Muted { .. } | Message::Heartbeat { .. } => {}
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_input_of_the_page_survives_its_address() {
        let input = Input {
            // Standard base64 has what an address gives a meaning of its own.
            meeting: Secret::new("a+b/c=="),
            attendee: Secret::new("d+e/f=="),
            names: BTreeMap::from([("id".to_owned(), "<é> & co".to_owned())]),
            look: Look { layout: Layout::Speaker, title: Some("A & B".into()), clock: true },
        };
        let address = page_address("http://127.0.0.1:1/index.html".parse().unwrap(), &input);
        let pairs: BTreeMap<_, _> = address.query_pairs().into_owned().collect();
        assert_eq!(pairs["chimeMeetingData"], "a+b/c==");
        assert_eq!(pairs["chimeAttendeeData"], "d+e/f==");
        let names = BASE64_STANDARD.decode(&pairs["names"]).unwrap();
        assert_eq!(
            serde_json::from_slice::<BTreeMap<String, String>>(&names).unwrap(),
            input.names
        );
        assert_eq!((pairs["layout"].as_str(), pairs["title"].as_str()), ("speaker", "A & B"));
        assert!(!format!("{input:?}").contains("a+b"));
    }
}
