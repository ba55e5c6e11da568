//! A recording in small: display, sound and browser are started, a page is shown
//! and a moment of it captured, with the code that records. Everything is gone
//! again in the end.
//!
//! It must not know where the media would go: nothing is kept.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use url::Url;

use super::finding::Finding;
use crate::browser::{self, Browser, Page};
use crate::capture::{self, Capture, Media, VideoEncoder};
use crate::children::display::Display;
use crate::children::process;
use crate::children::sound::Sound;
use crate::config::{Size, Tools};
use crate::error::chain;
use crate::events::Event;
use crate::media::Track;
use crate::phases::Phases;
use crate::recording;
use crate::secret::scrub;

const SIZE: Size = Size { width: 1280, height: 720 };
const FPS: u32 = 30;
/// Needs neither network nor disk.
const PAGE: &str = "data:text/html,<title>recorder doctor</title>";
/// What a recording gives its page if nothing else is asked for.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// Both tracks flow within a second of the start, on a busy machine in a few.
const FIRST_SAMPLES: Duration = Duration::from_secs(10);

const GSTREAMER: &str = "GStreamer";
const DISPLAY: &str = "display";
const SOUND: &str = "sound";
const BROWSER: &str = "browser";
const CAPTURE: &str = "capture";

const ASK_LOG: &str = "read what it says with --log debug";
const BROWSER_MEND: &str =
    "first what is named above; then read what Firefox says with --log debug";

/// All of it, for a machine on which it cannot be tried.
pub(super) fn left_out(why: &str) -> Vec<Finding> {
    let names = [GSTREAMER, DISPLAY, SOUND, BROWSER, CAPTURE];
    names.map(|name| Finding::left_out(name, why)).into()
}

/// Plays it with all files under `dir`.
pub(super) async fn check(tools: &Tools, dir: &Path) -> Vec<Finding> {
    let (elements, display, sound) = tokio::join!(
        blocking(capture::check),
        Display::start(tools, dir, SIZE),
        Sound::start(tools, dir),
    );
    let can_capture = elements.is_ok();
    let mut findings = vec![
        gstreamer(elements),
        started(DISPLAY, &display, |display| format!("Xvfb runs as {}", display.name())),
        started(SOUND, &sound, |_| "PulseAudio runs with a null sink".to_owned()),
    ];
    if let (Ok(display), Ok(sound)) = (&display, &sound) {
        let capture = async {
            if can_capture {
                film(display, sound).await
            } else {
                Finding::left_out(CAPTURE, "needs GStreamer")
            }
        };
        let (browser, capture) = tokio::join!(browse(tools, dir, display, sound), capture);
        findings.extend([browser, capture]);
    } else {
        findings.extend(
            [BROWSER, CAPTURE].map(|name| Finding::left_out(name, "needs display and sound")),
        );
    }
    if let Ok(display) = display {
        display.stop().await;
    }
    if let Ok(sound) = sound {
        sound.stop().await;
    }
    findings
}

fn gstreamer(checked: Result<String, capture::Error>) -> Finding {
    match checked {
        Ok(version) => Finding::ok(
            GSTREAMER,
            format!("{}, every element is there", version.trim_start_matches("GStreamer ")),
        ),
        Err(capture::Error::Missing(missing)) => {
            let elements: Vec<_> = missing.iter().map(|(element, _)| *element).collect();
            let packages: BTreeSet<_> = missing.iter().map(|(_, package)| *package).collect();
            let packages: Vec<_> = packages.into_iter().collect();
            let found = format!("lacks {}", elements.join(", "));
            Finding::problem(GSTREAMER, found, format!("apt-get install {}", packages.join(" ")))
        }
        Err(error) => Finding::problem(
            GSTREAMER,
            scrub(&chain(&error)),
            "apt-get install gstreamer1.0-plugins-base",
        ),
    }
}

fn started<T>(
    name: &'static str,
    child: &Result<T, process::Error>,
    found: impl FnOnce(&T) -> String,
) -> Finding {
    match child {
        Ok(child) => Finding::ok(name, found(child)),
        Err(error) => broken(name, error, ASK_LOG),
    }
}

/// A program that is missing has a line of its own, with the mend.
fn broken(name: &'static str, error: &process::Error, mend: &str) -> Finding {
    match error {
        process::Error::NotFound { program, .. } => {
            Finding::left_out(name, format!("needs {}", program.display()))
        }
        error => Finding::problem(name, scrub(&chain(error)), mend),
    }
}

async fn browse(tools: &Tools, dir: &Path, display: &Display, sound: &Sound) -> Finding {
    let page = Page {
        url: Url::parse(PAGE).expect("a valid address"),
        size: SIZE,
        timeout: PAGE_TIMEOUT,
        is_live: false,
        films: None,
        await_start_marker: false,
        frame_rate: FPS,
    };
    let phases = Phases::since(Instant::now());
    let opened = match Browser::launch(tools, dir, display, sound, &page, &phases).await {
        Ok(mut browser) => {
            let opened = browser.open(&page).await;
            browser.close().await;
            opened
        }
        Err(error) => Err(error),
    };
    match opened {
        Ok(()) => Finding::ok(BROWSER, format!("Firefox shows a page of {SIZE}")),
        Err(browser::Error::Child(error)) => broken(BROWSER, &error, BROWSER_MEND),
        Err(error) => Finding::problem(BROWSER, error.into_failure().message, BROWSER_MEND),
    }
}

/// Captures until both tracks have come through their encoders.
async fn film(display: &Display, sound: &Sound) -> Finding {
    let settings = capture::Settings {
        display: display.name().to_owned(),
        frame_buffer: display.frame_buffer(),
        sound_server: sound.server(),
        sound_monitor: sound.monitor(),
        size: SIZE,
        fps: FPS,
        encoder: VideoEncoder::X264,
        threads: recording::threads(FPS),
    };
    let (sender, events) = mpsc::unbounded_channel();
    let (capture, media) = match blocking(move || Capture::prepare(&settings, sender, None)).await {
        Ok(prepared) => prepared,
        Err(error) => return Finding::problem(CAPTURE, scrub(&chain(&error)), ASK_LOG),
    };
    capture.start();
    let filmed = both_tracks(media, events).await;
    blocking(move || drop(capture)).await;
    match filmed {
        Ok(()) => Finding::ok(CAPTURE, "picture and sound are encoded"),
        Err(reason) => Finding::problem(CAPTURE, reason, ASK_LOG),
    }
}

/// Takes the channels, so that the capture waits for nobody afterwards.
async fn both_tracks(
    mut media: mpsc::Receiver<Media>,
    mut events: mpsc::UnboundedReceiver<Event>,
) -> Result<(), String> {
    let deadline = tokio::time::sleep(FIRST_SAMPLES);
    tokio::pin!(deadline);
    let mut missing = vec![(Track::Video, "picture"), (Track::Audio, "sound")];
    while let Some((_, what)) = missing.first() {
        tokio::select! {
            Some(Event::Failed(failure)) = events.recv() => return Err(failure.message),
            taken = media.recv() => match taken {
                Some(Media::Sample(sample)) => missing.retain(|(it, _)| *it != sample.track),
                Some(Media::Track(_)) => {}
                None => return Err("it ended by itself".to_owned()),
            },
            () = &mut deadline => {
                return Err(format!("no {what} came out of it within {FIRST_SAMPLES:?}"));
            }
        }
    }
    Ok(())
}

/// GStreamer loads plugins and waits for threads while the caller waits.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
