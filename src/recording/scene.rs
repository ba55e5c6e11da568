//! All that stands around a recording: display, sound, and the browser with the
//! page. Built as fast as its parts allow, watched, and cleared away.
//!
//! It must not know what is recorded from it, nor what follows from a loss.

use std::path::Path;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::browser::{self, Browser, Page};
use crate::capture;
use crate::children::display::Display;
use crate::children::process;
use crate::children::sound::Sound;
use crate::config::Tools;
use crate::error::chain;
use crate::events::{Event, Failure, Stage};
use crate::secret::scrub;

/// Display and sound: what the browser and the capture both need first.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) display: Display,
    pub(super) sound: Sound,
}

/// Everything, with the page ready to be filmed.
#[derive(Debug)]
pub(super) struct Scene {
    ground: Ground,
    browser: Browser,
}

/// Whoever looks after a scene while it is being filmed.
#[derive(Debug)]
pub(super) struct Keeper {
    clear: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Ground {
    pub(super) async fn start(tools: &Tools, dir: &Path, page: &Page) -> Result<Self, Failure> {
        let display = async {
            Display::start(tools, page.size).await.map_err(|error| failure(Stage::Display, &error))
        };
        let sound =
            async { Sound::start(tools, dir).await.map_err(|error| failure(Stage::Sound, &error)) };
        let (display, sound) = tokio::try_join!(display, sound)?;
        Ok(Self { display, sound })
    }

    /// What the capture has to know of this scene.
    pub(super) fn capture_settings(
        &self,
        page: &Page,
        fps: u32,
        threads: u32,
    ) -> capture::Settings {
        capture::Settings {
            display: self.display.name().to_owned(),
            sound_server: self.sound.server(),
            sound_monitor: self.sound.monitor(),
            size: page.size,
            fps,
            threads,
        }
    }

    /// Starts the browser and opens the page on this ground.
    pub(super) async fn open(
        &self,
        tools: &Tools,
        dir: &Path,
        page: &Page,
    ) -> Result<Browser, Failure> {
        let launched =
            Browser::launch(tools, dir, &self.display, &self.sound, page.size, page.timeout).await;
        let mut browser = launched.map_err(browser::Error::into_failure)?;
        browser.open(page).await.map_err(browser::Error::into_failure)?;
        Ok(browser)
    }

    pub(super) async fn close(self) {
        tokio::join!(self.sound.stop(), self.display.stop());
    }
}

impl Scene {
    pub(super) fn new(ground: Ground, browser: Browser) -> Self {
        Self { ground, browser }
    }

    /// Every program of the scene, for the account of what they cost.
    pub(super) fn groups(&mut self) -> Vec<(&'static str, rustix::process::Pid)> {
        let Ground { display, sound } = &mut self.ground;
        let ground = [display.child(), sound.child()].map(|child| (child.name(), child.group()));
        ground.into_iter().chain(self.browser.groups()).collect()
    }

    /// Reports the first thing that is over or lost, until the scene is cleared.
    pub(super) fn keep(mut self, events: mpsc::UnboundedSender<Event>) -> Keeper {
        let (clear, cleared) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut cleared = cleared;
            tokio::select! {
                event = self.over() => {
                    // The recording is over when nobody listens any more.
                    let _ = events.send(event);
                    let _ = cleared.await;
                }
                _ = &mut cleared => {}
            }
            self.close().await;
        });
        Keeper { clear, task }
    }

    async fn over(&mut self) -> Event {
        let Self { ground: Ground { display, sound }, browser } = self;
        tokio::select! {
            // Without its display or sound server the browser ends too; the
            // cause is told, not the effect.
            biased;
            error = display.child().ended() => Event::Failed(failure(Stage::Display, &error)),
            error = sound.child().ended() => Event::Failed(failure(Stage::Sound, &error)),
            event = browser.over() => event,
        }
    }

    pub(super) async fn close(self) {
        // The browser first: it would only complain about a display that is gone.
        self.browser.close().await;
        self.ground.close().await;
    }
}

impl Keeper {
    /// Clears the scene away; completes when all of it is gone and reaped.
    pub(super) async fn clear(self) {
        // The keeper may be waiting for this, or have died with a panic.
        let _ = self.clear.send(());
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the scene was not cleared in order");
        }
    }
}

fn failure(stage: Stage, error: &process::Error) -> Failure {
    Failure::new(stage, scrub(&chain(error)))
}
