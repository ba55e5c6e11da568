//! The page that is recorded: opening it, and knowing when it is over.
//!
//! A page is ready when it has loaded with a good status, fills the display and
//! has been painted. An error page of the browser is never ready.

use std::time::Duration;

use fantoccini::error::CmdError;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use url::Url;

use super::console::Console;
use super::turns::{Films, Turns};
use super::{Browser, Error, Firefox};
use crate::config::Size;
use crate::events::{Event, Failure, Stage, StopReason};
use crate::secret::{redact_url, scrub};

/// How late a page may answer: a busy one on two cores is late, one that hangs never answers.
const HEARTBEAT_DEADLINE: Duration = Duration::from_secs(10);

/// How often the page has to show that it is alive, and how its films have fared.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// The answer is late on purpose: one that is being waited for is refused at once when
/// the page crashes, and not a heartbeat later. The browser's own page in the place of one that
/// has crashed before answers at once, where its driver may ask it (`turns.rs`).
///
/// With it comes how many pictures of each film the browser has not shown meanwhile, by its own
/// count: of all films of the page and of frames that it may look into.
const BEAT: &str = "
    const [wait, done] = arguments;
    const isCrashed = document.documentURI.startsWith('about:tabcrashed');
    const films = (page) => [
        ...page.querySelectorAll('video'),
        ...[...page.querySelectorAll('iframe')].flatMap((frame) =>
            frame.contentDocument ? films(frame.contentDocument) : []),
    ];
    const dropped = (film) => {
        // A page may have put something of its own in its place.
        try { return film.getVideoPlaybackQuality().droppedVideoFrames; } catch { return 0; }
    };
    const before = films(document).map((film) => [film, dropped(film)]);
    // A film that began anew counts anew.
    const since = () => before.map(([film, count]) => Math.max(0, dropped(film) - count));
    setTimeout(() => done({ isCrashed, dropped: since() }), isCrashed ? 0 : wait);";

const CRASHED: &str = "the browser shows a page of its own, as after a crash";

/// The browser's own pages take no questions of most drivers.
const UNSUPPORTED: &str = "unsupported operation";

/// What there is to know about the page.
#[derive(Clone, Debug)]
pub struct Page {
    pub url: Url,
    pub size: Size,
    /// From the moment when it can be opened or asked until it is painted.
    pub timeout: Duration,
    /// It shows what goes on without it, so Firefox opens it as soon as it can. Any other
    /// page begins when it is opened, and is opened when it can be filmed.
    pub is_live: bool,
    /// Where the pictures that its films lose are counted, and kept from getting lost; none
    /// where the page cares for that itself.
    pub films: Option<watch::Sender<Films>>,
    /// Wait for the page's own `START_RECORDING` as well.
    pub await_start_marker: bool,
    /// How often a second Firefox composes the page: once for each picture.
    pub frame_rate: u32,
}

/// What the page answers when it has loaded.
#[derive(Debug, Deserialize)]
struct Loaded {
    /// The address shown, which for an error page is not the one asked for.
    address: String,
    /// 0 where there is no HTTP.
    status: u64,
    width: u64,
    height: u64,
}

/// Answers when everything that belongs to the page is there, its view has the given size (a kiosk
/// window grows to the whole display only some time after it is there; not for ever), and what it
/// has drawn so far is on the display. The first frame callback runs before its frame is composed,
/// and Firefox holds the next ones back only when two frames are on their way to the display: at the
/// fourth the first has arrived.
const AWAIT_PAINTED: &str = "
    const [width, height, patience, done] = arguments;
    const size = () => [innerWidth, innerHeight].map((side) => Math.round(side * devicePixelRatio));
    const answer = () => {
        const [navigation] = performance.getEntriesByType('navigation');
        const [width, height] = size();
        const status = navigation?.responseStatus ?? 0;
        done({ address: document.documentURI, status, width, height });
    };
    const after = (frames) => frames ? requestAnimationFrame(() => after(frames - 1)) : answer();
    const paint = () => (document.fonts?.ready ?? Promise.resolve()).then(() => after(4));
    const look = (until) => {
        const [wide, high] = size();
        (wide === width && high === height) || performance.now() > until
            ? paint() : requestAnimationFrame(() => look(until));
    };
    const loaded = () => look(performance.now() + patience);
    // The browser's own: nothing yet, or an error page, which is never complete.
    if (document.documentURI.startsWith('about:')) answer();
    else if (document.readyState === 'complete') loaded();
    else addEventListener('load', loaded);";

/// A program that has ended is the reason why its page cannot be asked, and may be seen to have
/// ended a little later. Far less than what is held back of the film (`capture/held.rs`).
const PROGRAMS_FIRST: Duration = Duration::from_millis(30);

/// What is shown until the page's answer is there; no page to be filmed has this address.
const NOTHING: &str = "about:blank";

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// The window manager's part of the start takes a tenth of a second; a busy
/// machine gets fifty times as long.
const VIEW_PATIENCE: Duration = Duration::from_secs(5);

impl Browser {
    /// Loads the page, if that is not done yet, and waits until it can be filmed.
    pub async fn open(&mut self, page: &Page) -> Result<(), Error> {
        let Self { firefox, session, console, .. } = self;
        let load = async {
            if !page.is_live {
                let opened = session.goto(page.url.as_str()).await;
                let url = || redact_url(&page.url);
                opened.map_err(|error| Error::Load { url: url(), reason: refused(&error) })?;
            }
            while !is_ready(session, console, page).await? {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::select! {
            loaded = tokio::time::timeout(page.timeout, load) => {
                loaded.unwrap_or_else(|_| {
                    Err(Error::Slow { url: redact_url(&page.url), deadline: page.timeout })
                })
            }
            ended = firefox.ended() => Err(ended.into()),
        }
    }

    /// Completes when the page is over or lost, with the event that says so.
    pub async fn over(&mut self) -> Event {
        let Self { firefox, driver, session, console, turns } = self;
        let lost = tokio::select! {
            () = console.ended() => return Event::StopRequested(StopReason::PageEnded),
            ended = firefox.ended() => ended.to_string(),
            ended = driver.ended() => ended.to_string(),
            reason = silent(session, turns) => format!("the page is lost: {reason}"),
        };
        Event::Failed(Failure::new(Stage::Browser, scrub(&lost)))
    }
}

/// Completes with the reason when the page stops answering.
async fn silent(session: &Firefox, turns: &mut Turns) -> String {
    let millis = u64::try_from(HEARTBEAT.as_millis()).expect("a small constant");
    loop {
        let beat = async {
            turns.come_back(session).await?;
            session.execute_async(BEAT, vec![millis.into()]).await
        };
        match tokio::time::timeout(HEARTBEAT + HEARTBEAT_DEADLINE, beat).await {
            Ok(Ok(answer)) if answer["isCrashed"] == true => return CRASHED.into(),
            Ok(Ok(answer)) => {
                let dropped = serde_json::from_value::<Vec<u64>>(answer["dropped"].clone());
                turns.note(&dropped.unwrap_or_default(), session).await;
            }
            // A page may navigate; then a question finds nobody. So it does while the browser's own
            // comes in the place of one that has crashed.
            Ok(Err(CmdError::Standard(error))) if error.error() == "javascript error" => {
                tokio::time::sleep(LOOK).await;
            }
            Ok(Err(CmdError::Standard(error))) if error.error() == UNSUPPORTED => {
                return CRASHED.into();
            }
            Ok(Err(error)) => {
                tokio::time::sleep(PROGRAMS_FIRST).await;
                return error.to_string();
            }
            Err(_) => return format!("no answer for {HEARTBEAT_DEADLINE:?}"),
        }
    }
}

/// Waits until a document is there with all that belongs to it, and can be filmed. Not so where there
/// is none yet, or where another one follows meanwhile, which is asked all of it anew.
async fn is_ready(session: &Firefox, console: &mut Console, page: &Page) -> Result<bool, Error> {
    if page.await_start_marker {
        // One that cannot be filmed does not say it.
        let Some(painted) = ask(session, page).await? else { return Ok(false) };
        painted.check_answer(page)?;
        console.started().await;
    }
    // Last: a page may change its looks right before it says that it begins.
    let Some(painted) = ask(session, page).await? else { return Ok(false) };
    painted.check_answer(page)?;
    painted.check_view(page)?;
    Ok(true)
}

/// The page's answer when it is painted; none where there is none, or another one follows: the driver
/// says so, or nothing at all.
async fn ask(session: &Firefox, page: &Page) -> Result<Option<Loaded>, Error> {
    let Size { width, height } = page.size;
    let patience = u64::try_from(VIEW_PATIENCE.as_millis()).expect("a small constant");
    let given = vec![width.into(), height.into(), patience.into()];
    let silent = |reason: &str| Error::Silent { reason: scrub(reason) };
    let answer = match session.execute_async(AWAIT_PAINTED, given).await {
        Err(CmdError::Standard(error)) if error.error() == UNSUPPORTED => {
            return Err(silent(CRASHED));
        }
        Ok(Value::Null) | Err(CmdError::Standard(_)) => return Ok(None),
        Ok(answer) => answer,
        Err(error) => return Err(silent(&error.to_string())),
    };
    let loaded: Loaded =
        serde_json::from_value(answer).map_err(|error| silent(&error.to_string()))?;
    Ok(Some(loaded).filter(|loaded| loaded.address != NOTHING))
}

impl Loaded {
    fn check_answer(&self, page: &Page) -> Result<(), Error> {
        let url = || redact_url(&page.url);
        if self.address.starts_with("about:") && page.url.scheme() != "about" {
            return Err(Error::Load { url: url(), reason: neterror(&self.address) });
        }
        if self.status >= 400 {
            return Err(Error::Status { url: url(), status: self.status });
        }
        Ok(())
    }

    fn check_view(&self, page: &Page) -> Result<(), Error> {
        let expected = page.size;
        if (self.width, self.height) != (expected.width.into(), expected.height.into()) {
            return Err(Error::View { width: self.width, height: self.height, expected });
        }
        Ok(())
    }
}

/// Why the browser did not even begin: «Error: deniedPortAccess».
fn refused(error: &CmdError) -> String {
    let message = error.to_string();
    let code = message.rsplit(": ").next().unwrap_or_default();
    if code.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        words(Some(code))
    } else {
        scrub(&message)
    }
}

/// Words for Firefox's error page `about:neterror?e=CODE&…`.
fn neterror(address: &str) -> String {
    let code = Url::parse(address).ok().and_then(|url| {
        url.query_pairs().find(|(name, _)| name == "e").map(|(_, code)| code.into_owned())
    });
    words(code.as_deref())
}

fn words(code: Option<&str>) -> String {
    match code {
        Some("dnsNotFound") => "its host name is not known".into(),
        Some("connectionFailure") => "the connection was refused".into(),
        Some("netTimeout") => "the server did not answer".into(),
        Some("netReset" | "netInterrupt") => "the connection was cut".into(),
        Some("fileNotFound") => "there is no such file".into(),
        Some("fileAccessDenied") => "the file may not be read".into(),
        Some("nssBadCert") => "its certificate is not trusted".into(),
        Some(code) if code.starts_with("nssFailure") || code.contains("ertificate") => {
            "its certificate is not trusted".into()
        }
        Some(code) => format!("the browser says {code}"),
        None => "the browser shows an error page".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> Page {
        Page {
            url: Url::parse("https://example.org/?token=hunter2").expect("a valid address"),
            size: Size { width: 1280, height: 720 },
            timeout: Duration::from_secs(30),
            is_live: false,
            films: None,
            await_start_marker: false,
            frame_rate: 30,
        }
    }

    fn loaded(address: &str, status: u64, width: u64) -> Loaded {
        Loaded { address: address.into(), status, width, height: 720 }
    }

    #[test]
    fn error_pages_bad_statuses_and_wrong_sizes_are_not_filmed() {
        let check =
            |loaded: Loaded| loaded.check_answer(&page()).and_then(|()| loaded.check_view(&page()));
        assert!(check(loaded("https://example.org/", 200, 1280)).is_ok());
        assert!(check(loaded("https://example.org/", 0, 1280)).is_ok());
        for (loaded, expected) in [
            (loaded("about:neterror?e=dnsNotFound&u=x", 0, 1280), "its host name is not known"),
            (loaded("about:neterror?e=nssBadCert&u=x", 0, 1280), "is not trusted"),
            (loaded("about:blank", 0, 1280), "shows an error page"),
            (loaded("https://example.org/", 404, 1280), "HTTP status 404"),
            (loaded("https://example.org/", 503, 1280), "HTTP status 503"),
            (loaded("https://example.org/", 200, 1264), "view is 1264x720, not the 1280x720"),
        ] {
            let error = check(loaded).expect_err("this page must not be filmed").to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
