//! Serves the meeting page on the loopback interface, and hears what it says.
//!
//! The page is a folder of static files. Its WebSocket is under an address that
//! only the page that was opened last knows; what any other says is refused. The page is told
//! whether the processors are short, and where its pictures are in the recording. It must not
//! know what the messages mean.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ws::{Message as Frame, WebSocket, WebSocketUpgrade};
use axum::extract::{Path as Segment, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use futures_util::TryFutureExt;
use tokio::net::TcpListener;
use tokio::sync::watch::error::RecvError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tower_http::services::ServeDir;
use tower_http::set_header::SetResponseHeaderLayer;
use url::Url;

use super::contract::{Advice, Message};
use crate::media::Rhythm;

/// The start of the page.
const INDEX: &str = "index.html";

/// The longest message that is read: 25 names at their longest are a tenth of it.
const LONGEST_MESSAGE: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the meeting page is not in {}; build it (cd recording-app && npm ci && npm run build) \
         or name its folder with --meeting-page",
        dir.display()
    )]
    NoPage { dir: PathBuf },
    #[error("the meeting page cannot be served on 127.0.0.1")]
    Listen(#[source] io::Error),
}

/// What came from the page, and when.
#[derive(Debug)]
pub enum Heard {
    Said(Instant, Message),
    /// Its connection is gone.
    Gone,
}

#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    current: Arc<Mutex<Current>>,
    is_short: watch::Sender<bool>,
    rhythm: watch::Sender<Option<Rhythm>>,
    task: JoinHandle<()>,
}

/// What a connection is given.
#[derive(Clone, Debug)]
struct Shared {
    current: Arc<Mutex<Current>>,
    news: News,
}

/// What a connection has to be told.
#[derive(Clone, Debug)]
struct News {
    is_short: watch::Receiver<bool>,
    /// What it was told of that.
    is_told: bool,
    rhythm: watch::Receiver<Option<Rhythm>>,
}

/// Some moment by two clocks. Moving one since then has not moved what a page reckons by that was
/// opened just before.
#[derive(Clone, Copy, Debug)]
struct Clock {
    here: Instant,
    since_1970: Duration,
}

/// The page that is listened to.
#[derive(Debug)]
struct Current {
    token: String,
    heard: mpsc::UnboundedSender<Heard>,
}

impl Server {
    /// Serves the page in `dir` on a free port, for as long as this lives.
    pub async fn start(dir: &Path) -> Result<Self, Error> {
        if !dir.join(INDEX).is_file() {
            return Err(Error::NoPage { dir: dir.to_owned() });
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Listen)?;
        let address = listener.local_addr().map_err(Error::Listen)?;
        let (heard, _) = mpsc::unbounded_channel();
        let current = Arc::new(Mutex::new(Current { token: token(), heard }));
        let (is_short, short) = watch::channel(false);
        let (rhythm, told) = watch::channel(None);
        let news = News { is_short: short, is_told: false, rhythm: told };
        let shared = Shared { current: Arc::clone(&current), news };
        let header = |name: HeaderName, value: &'static str| {
            SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value))
        };
        let app = Router::new()
            .route("/worker/{token}", get(listen))
            .fallback_service(ServeDir::new(dir))
            .layer(header(header::CACHE_CONTROL, "no-store"))
            // The address of the page holds the join token.
            .layer(header(header::REFERRER_POLICY, "no-referrer"))
            .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .with_state(shared);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the meeting page is not served any more");
            }
        });
        Ok(Self { address, current, is_short, rhythm, task })
    }

    /// The page without any input.
    pub fn address(&self) -> Url {
        let address = format!("http://{}/{INDEX}", self.address);
        address.parse().expect("a socket address makes an address")
    }

    /// Where `true` is told to the page, now and whenever it connects, and `false` after it.
    pub fn relief(&self) -> watch::Sender<bool> {
        self.is_short.clone()
    }

    /// Where the page is told when its pictures are shown, the newest word when it connects.
    pub fn rhythm(&self) -> watch::Sender<Option<Rhythm>> {
        self.rhythm.clone()
    }

    /// From now on only a page with the token that comes back is heard, over the
    /// channel that comes with it.
    pub fn expect_page(&self) -> (String, mpsc::UnboundedReceiver<Heard>) {
        let (heard, messages) = mpsc::unbounded_channel();
        let token = token();
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Current { token: token.clone(), heard };
        (token, messages)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(
    Segment(token): Segment<String>,
    State(Shared { current, news }): State<Shared>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let heard = {
        let current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.token != token {
            return StatusCode::FORBIDDEN.into_response();
        }
        current.heard.clone()
    };
    upgrade.max_message_size(LONGEST_MESSAGE).on_upgrade(move |socket| talk(socket, heard, news))
}

impl Clock {
    fn now() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { here: Instant::now(), since_1970 }
    }

    /// Microseconds since 1970.
    fn micros(self, at: Instant) -> u64 {
        let since = self.since_1970 + at.saturating_duration_since(self.here);
        let since = since.saturating_sub(self.here.saturating_duration_since(at));
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }
}

impl News {
    /// Completes when there is something to tell. Nothing is lost when it is cancelled.
    async fn next(&mut self, clock: Clock) -> Advice {
        let Self { is_short, is_told, rhythm } = self;
        let change = is_short.wait_for(|is_short| is_short != is_told).map_ok(|now| *now);
        tokio::select! {
            Ok(now) = change => {
                *is_told = now;
                if now { Advice::ProcessorsShort } else { Advice::ProcessorsSuffice }
            }
            Ok(Rhythm { drawn, shown }) = newest(rhythm) => {
                Advice::Rhythm { drawn_us: clock.micros(drawn), shown_us: clock.micros(shown) }
            }
            else => std::future::pending().await,
        }
    }
}

/// What was told last, once.
async fn newest(rhythm: &mut watch::Receiver<Option<Rhythm>>) -> Result<Rhythm, RecvError> {
    loop {
        rhythm.changed().await?;
        if let Some(rhythm) = *rhythm.borrow_and_update() {
            return Ok(rhythm);
        }
    }
}

async fn talk(mut socket: WebSocket, heard: mpsc::UnboundedSender<Heard>, mut news: News) {
    let clock = Clock::now();
    loop {
        let frame = tokio::select! {
            frame = socket.recv() => frame,
            advice = news.next(clock) => {
                let text = serde_json::to_string(&advice).expect("it is plain data");
                // A connection that is gone is seen when it is heard next.
                let _ = socket.send(Frame::text(text)).await;
                continue;
            }
        };
        let Some(Ok(frame)) = frame else { break };
        let Frame::Text(text) = frame else { continue };
        match serde_json::from_str(&text) {
            // Nobody listens once the recording is over.
            Ok(message) => drop(heard.send(Heard::Said(Instant::now(), message))),
            // Not the text: it may hold what the page was given.
            Err(error) => tracing::warn!(%error, "the meeting page said something unknown"),
        }
    }
    let _ = heard.send(Heard::Gone);
}

/// 128 random bits as text.
fn token() -> String {
    let mut bytes = [0; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .expect("the kernel has random bytes");
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use tokio_tungstenite::connect_async;

    use super::*;

    #[tokio::test]
    async fn each_page_hears_what_there_is_to_tell_once_and_what_comes_later() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(INDEX), "").unwrap();
        let server = Server::start(dir.path()).await.unwrap();
        let address = |token: &str| format!("ws://{}/worker/{token}", server.address);
        assert!(connect_async(address("another")).await.is_err(), "nobody is told");

        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let drawn = Instant::now();
        let rhythm = |later| Rhythm {
            drawn: drawn + Duration::from_millis(later),
            shown: drawn + Duration::from_millis(later + 8),
        };
        server.rhythm().send_replace(Some(rhythm(0)));
        server.rhythm().send_replace(Some(rhythm(1000)));
        for _ in 0..2 {
            let (token, _heard) = server.expect_page();
            let (mut page, _) = connect_async(address(&token)).await.unwrap();
            let mut hear = async || -> Advice {
                let frame = page.next().await.unwrap().unwrap();
                serde_json::from_str(frame.to_text().unwrap()).unwrap()
            };
            let Advice::Rhythm { drawn_us, shown_us } = hear().await else {
                panic!("that was told before it came")
            };
            assert_eq!(shown_us - drawn_us, 8000);
            let told = Duration::from_micros(drawn_us).checked_sub(before).unwrap();
            // Two clocks that were read one after the other.
            assert!((500..1500).contains(&told.as_millis()), "{told:?}");
            server.relief().send_replace(true);
            assert_eq!(hear().await, Advice::ProcessorsShort);
            server.relief().send_replace(false);
            assert_eq!(hear().await, Advice::ProcessorsSuffice);
        }
    }
}
