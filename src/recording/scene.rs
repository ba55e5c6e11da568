//! All that stands around a recording: display, sound, and the browser with the
//! page. Built as fast as its parts allow, watched, and cleared away.
//!
//! A lost meeting page is opened again, behind a closed curtain. It must not know
//! what is recorded from it, nor what follows from a loss for good.

use std::path::PathBuf;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::rejoin::Rejoins;
use crate::browser::{self, Browser, Page};
use crate::capture::Curtain;
use crate::children::display::Display;
use crate::children::process;
use crate::children::sound::Sound;
use crate::config::Tools;
use crate::error::chain;
use crate::events::{Event, Failure, Stage, StopReason};
use crate::meeting::Meeting;
use crate::meeting::watch::Verdict;
use crate::phases::Phases;
use crate::secret::scrub;

/// How to show the page, as often as it takes.
#[derive(Debug)]
pub(super) struct Show {
    pub(super) tools: Tools,
    pub(super) dir: PathBuf,
    pub(super) page: Page,
    /// What the page tells of itself; it has a new address each time that it is opened again.
    pub(super) meeting: Option<Meeting>,
    pub(super) phases: Phases,
}

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
    plan: Show,
}

/// Whoever looks after a scene while it is being filmed.
#[derive(Debug)]
pub(super) struct Keeper {
    /// Until it is told.
    rest: Option<oneshot::Sender<()>>,
    clear: oneshot::Sender<()>,
    groups: mpsc::UnboundedReceiver<Group>,
    task: JoinHandle<()>,
}

/// A program, and the process group it runs in.
pub(super) type Group = (&'static str, rustix::process::Pid);

/// Why there is no page to film.
#[derive(Debug)]
pub(super) enum Closed {
    Failed(Failure),
    /// The meeting is over, or does not take the recording.
    Over(StopReason),
}

impl Ground {
    pub(super) async fn start(plan: &Show) -> Result<Self, Failure> {
        let Show { tools, dir, page, phases, .. } = plan;
        let display = async {
            let _phase = phases.begin("display");
            Display::start(tools, dir, page.size)
                .await
                .map_err(|error| failure(Stage::Display, &error))
        };
        let sound = async {
            let _phase = phases.begin("sound");
            Sound::start(tools, dir).await.map_err(|error| failure(Stage::Sound, &error))
        };
        let (display, sound) = tokio::try_join!(display, sound)?;
        Ok(Self { display, sound })
    }

    /// Starts the browser and opens the page on this ground, until it can be filmed.
    pub(super) async fn open(&self, plan: &mut Show) -> Result<Browser, Closed> {
        let Show { tools, dir, page, meeting, phases } = plan;
        let launched = Browser::launch(tools, dir, &self.display, &self.sound, page, phases).await;
        let mut browser = launched.map_err(browser::Error::into_failure)?;
        let loading = phases.begin("page");
        browser.open(page).await.map_err(browser::Error::into_failure)?;
        drop(loading);
        if let Some(meeting) = meeting {
            let _phase = phases.begin("meeting");
            let live = async {
                tokio::select! {
                    live = meeting.live() => live.map_err(Closed::from),
                    event = browser.over() => Err(Closed::from(event)),
                }
            };
            let slow = |_| {
                let message = format!(
                    "the meeting page had not joined after {:?} (--page-timeout)",
                    page.timeout
                );
                Failure::new(Stage::Page, message)
            };
            tokio::time::timeout(page.timeout, live).await.map_err(slow)??;
        }
        Ok(browser)
    }

    pub(super) async fn close(self) {
        tokio::join!(self.sound.stop(), self.display.stop());
    }
}

impl Scene {
    pub(super) fn new(ground: Ground, browser: Browser, plan: Show) -> Self {
        Self { ground, browser, plan }
    }

    /// Every program of the scene, for the account of what they cost.
    pub(super) fn groups(&mut self) -> Vec<Group> {
        let Ground { display, sound } = &mut self.ground;
        let ground = [display.child(), sound.child()].map(|child| (child.name(), child.group()));
        ground.into_iter().chain(self.browser.groups()).collect()
    }

    /// Reports the first thing that is over or lost for good, until the scene is
    /// cleared. `curtain` hides what nobody should see.
    pub(super) fn keep(
        mut self,
        curtain: Option<Curtain>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Keeper {
        let (clear, mut cleared) = oneshot::channel();
        let (rest, resting) = oneshot::channel();
        let (started, groups) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let kept = async {
                let event = self.over(curtain, &started).await;
                // The recording is over when nobody listens any more.
                let _ = events.send(event);
                std::future::pending::<()>().await;
            };
            tokio::select! {
                biased;
                _ = &mut cleared => {}
                Ok(()) = resting => {
                    self.browser.freeze();
                    let _ = cleared.await;
                }
                () = kept => {}
            }
            self.close().await;
        });
        Keeper { rest: Some(rest), clear, groups, task }
    }

    async fn over(
        &mut self,
        curtain: Option<Curtain>,
        started: &mpsc::UnboundedSender<Group>,
    ) -> Event {
        let mut rejoins = Rejoins::default();
        loop {
            let lost = match self.ended().await {
                Ended::Page(Closed::Failed(failure)) => failure,
                Ended::Page(over @ Closed::Over(_)) => return over.into(),
                Ended::Ground(failure) => return Event::Failed(failure),
            };
            if let Some(curtain) = &curtain {
                curtain.close();
            }
            let Some(meeting) = &self.plan.meeting else {
                // Any other page would begin again, and that would be another recording.
                return Event::Failed(lost);
            };
            meeting.interrupted(&lost.message);
            if let Err(closed) = self.rejoin(&mut rejoins, lost, started).await {
                return closed.into();
            }
            if let Some(curtain) = &curtain {
                curtain.open();
            }
        }
    }

    /// Opens the page again after it was `lost`, unless it is lost too often.
    async fn rejoin(
        &mut self,
        rejoins: &mut Rejoins,
        mut lost: Failure,
        started: &mpsc::UnboundedSender<Group>,
    ) -> Result<(), Closed> {
        loop {
            let Some(pause) = rejoins.pause(Instant::now()) else {
                lost.message = format!("the page was lost too often: {}", lost.message);
                return Err(Closed::Failed(lost));
            };
            tracing::warn!(reason = %lost.message, ?pause, "the meeting page is opened again");
            self.browser.close().await;
            tokio::time::sleep(pause).await;
            if let Some(meeting) = &mut self.plan.meeting {
                self.plan.page.url = meeting.open();
            }
            match self.ground.open(&mut self.plan).await {
                Ok(browser) => {
                    self.browser = browser;
                    for group in self.browser.groups() {
                        // Nobody reads it when the recording is over.
                        let _ = started.send(group);
                    }
                    return Ok(());
                }
                Err(Closed::Failed(failure)) => lost = failure,
                Err(over @ Closed::Over(_)) => return Err(over),
            }
        }
    }

    async fn ended(&mut self) -> Ended {
        let Self { ground: Ground { display, sound }, browser, plan } = self;
        let meeting = async {
            match &mut plan.meeting {
                Some(meeting) => meeting.over().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Without its display or sound server the browser ends too; the
            // cause is told, not the effect.
            biased;
            error = display.child().ended() => Ended::Ground(failure(Stage::Display, &error)),
            error = sound.child().ended() => Ended::Ground(failure(Stage::Sound, &error)),
            verdict = meeting => Ended::Page(verdict.into()),
            event = browser.over() => Ended::Page(event.into()),
        }
    }

    pub(super) async fn close(mut self) {
        // The browser first: it would only complain about a display that is gone.
        self.browser.close().await;
        self.ground.close().await;
    }
}

/// What has ended.
#[derive(Debug)]
enum Ended {
    Page(Closed),
    Ground(Failure),
}

impl Keeper {
    /// Nothing of the scene is filmed any more: the browser takes no processor time from now on,
    /// and nothing that happens to it is told.
    pub(super) fn rest(&mut self) {
        if let Some(rest) = self.rest.take() {
            // The keeper may have died with a panic.
            let _ = rest.send(());
        }
    }

    /// Clears the scene away; completes when all of it is gone and reaped.
    pub(super) async fn clear(self) {
        // The keeper may be waiting for this, or have died with a panic.
        let _ = self.clear.send(());
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the scene was not cleared in order");
        }
    }

    /// A program that was started since the scene is kept.
    pub(super) fn new_group(&mut self) -> Option<Group> {
        self.groups.try_recv().ok()
    }
}

impl From<Failure> for Closed {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Verdict> for Closed {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Over(reason) => Self::Over(reason),
            Verdict::Lost(reason) => Self::Failed(Failure::new(Stage::Page, scrub(&reason))),
            Verdict::Live => unreachable!("to be live is no end"),
        }
    }
}

impl From<Event> for Closed {
    fn from(event: Event) -> Self {
        match event {
            Event::StopRequested(reason) => Self::Over(reason),
            Event::Failed(failure) => Self::Failed(failure),
            event => unreachable!("a browser does not end with {event:?}"),
        }
    }
}

impl From<Closed> for Event {
    fn from(closed: Closed) -> Self {
        match closed {
            Closed::Failed(failure) => Self::Failed(failure),
            Closed::Over(reason) => Self::StopRequested(reason),
        }
    }
}

impl Closed {
    /// Before anything was recorded even an orderly end is a failure.
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Over(reason) => {
                let name = serde_json::to_value(reason).expect("a reason is plain data");
                let name = name.as_str().unwrap_or_default().replace('_', " ");
                Failure::new(Stage::Page, format!("the page was over before it was filmed: {name}"))
            }
        }
    }
}

fn failure(stage: Stage, error: &process::Error) -> Failure {
    Failure::new(stage, scrub(&chain(error)))
}
