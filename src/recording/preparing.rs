//! The start of a recording: everything that can start at once does.
//!
//! The upload is created beside the scene, so that a bucket that is missing or
//! closed ends the start before a browser is up.

use std::sync::Arc;

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::scene::{Closed, Ground, Scene, Show};
use crate::capture::{self, Capture, Filmed, Media, VideoEncoder};
use crate::error::chain;
use crate::events::{Event, Failure, Stage};
use crate::meeting::Meeting;
use crate::secret::scrub;
use crate::upload::store::PartStore;
use crate::upload::{self, Uploader};

/// A scene with the capture that grabs it, still throwing everything away.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) scene: Scene,
    pub(super) capture: Capture,
    pub(super) media: mpsc::Receiver<Media>,
}

/// What the start needs to know.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) show: Show,
    pub(super) fps: u32,
    pub(super) encoder: VideoEncoder,
    pub(super) threads: u32,
}

#[derive(Debug)]
pub(super) struct Preparing<S> {
    upload: Pending<Uploader<S>>,
    set: Pending<Set>,
    give_up: oneshot::Sender<()>,
}

/// One of the things that are being started.
#[derive(Debug)]
enum Pending<T> {
    Starting(JoinHandle<Result<T, Failure>>),
    Ready(T),
    /// It failed, or was taken by whoever uses it now.
    Gone,
}

impl<S: PartStore> Preparing<S> {
    pub(super) fn begin(
        plan: Plan,
        store: Arc<S>,
        config: upload::Config,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let phases = plan.show.phases.clone();
        let upload = async move {
            let _phase = phases.begin("upload");
            Uploader::start(store, config)
                .await
                .map_err(|error| Failure::new(Stage::Upload, scrub(&chain(&error))))
        };
        let (give_up, stopped) = oneshot::channel();
        Self {
            upload: Pending::Starting(tokio::spawn(upload)),
            set: Pending::Starting(tokio::spawn(set(plan, events, stopped))),
            give_up,
        }
    }

    /// Completes when all is ready, and when something has failed. Afterwards it
    /// never completes again. Nothing is lost when it is cancelled.
    pub(super) async fn event(&mut self) -> Event {
        loop {
            let failed = tokio::select! {
                failed = self.upload.started() => failed,
                failed = self.set.started() => failed,
            };
            if let Some(failure) = failed {
                return Event::Failed(failure);
            }
            if matches!((&self.upload, &self.set), (Pending::Ready(_), Pending::Ready(_))) {
                return Event::Prepared;
            }
        }
    }

    /// What is ready, once all of it is.
    pub(super) fn take(&mut self) -> Option<(Uploader<S>, Set)> {
        Some((self.upload.take()?, self.set.take()?))
    }

    /// Gives up the start. The upload is removed, for nothing is in it.
    pub(super) async fn clear(mut self) {
        // A start that is complete or failed does not listen any more.
        let _ = self.give_up.send(());
        let _ = self.set.started_if_pending().await;
        if let Some(Set { scene, capture, media }) = self.set.take() {
            drop(media);
            clear_capture(capture).await;
            scene.close().await;
        }
        // It may be just about to exist.
        let _ = self.upload.started_if_pending().await;
        if let Some(mut upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(error = scrub(&chain(&error)), "an empty upload stays open");
        }
    }
}

impl<T> Pending<T> {
    /// Completes when the thing has started, or failed to.
    async fn started(&mut self) -> Option<Failure> {
        if !matches!(self, Self::Starting(_)) {
            std::future::pending::<()>().await;
        }
        self.started_if_pending().await
    }

    /// Completes with the failure if the thing fails to start, else never.
    async fn failed(&mut self) -> Failure {
        loop {
            if let Some(failure) = self.started().await {
                return failure;
            }
        }
    }

    async fn started_if_pending(&mut self) -> Option<Failure> {
        let Self::Starting(task) = self else { return None };
        match task.await {
            Ok(Ok(ready)) => {
                *self = Self::Ready(ready);
                None
            }
            Ok(Err(failure)) => {
                *self = Self::Gone;
                Some(failure)
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn take(&mut self) -> Option<T> {
        match std::mem::replace(self, Self::Gone) {
            Self::Ready(ready) => Some(ready),
            other => {
                *self = other;
                None
            }
        }
    }
}

/// Sets up the scene and its capture, unless it is `stopped` before that.
async fn set(
    plan: Plan,
    events: mpsc::UnboundedSender<Event>,
    stopped: oneshot::Receiver<()>,
) -> Result<Set, Failure> {
    let Plan { mut show, fps, encoder, threads } = plan;
    let mut stopped = stopped.map(|_| Failure::new(Stage::Start, "the start was given up"));
    let ground = tokio::select! {
        ground = Ground::start(&show) => ground?,
        failure = &mut stopped => return Err(failure),
    };
    let settings = capture::Settings {
        display: ground.display.name().to_owned(),
        frame_buffer: ground.display.frame_buffer(),
        sound_server: ground.sound.server(),
        sound_monitor: ground.sound.monitor(),
        size: show.page.size,
        fps,
        encoder,
        threads,
    };
    // Loading GStreamer's plugins takes as long as starting a browser.
    let filmed = |meeting: &Meeting| Filmed { relief: meeting.relief(), rhythm: meeting.rhythm() };
    let (phases, filmed) = (show.phases.clone(), show.meeting.as_ref().map(filmed));
    let mut capture = Pending::Starting(tokio::task::spawn_blocking(move || {
        let _phase = phases.begin("capture");
        Capture::prepare(&settings, events, filmed)
            .map_err(|error| Failure::new(Stage::Capture, scrub(&chain(&error))))
    }));
    let browser = tokio::select! {
        browser = ground.open(&mut show) => browser.map_err(Closed::into_failure),
        failure = capture.failed() => Err(failure),
        failure = stopped => Err(failure),
    };
    let failed = capture.started_if_pending().await;
    match (browser, capture.take()) {
        (Ok(browser), Some((capture, media))) => {
            Ok(Set { scene: Scene::new(ground, browser, show), capture, media })
        }
        (browser, capture) => {
            // The capture first: it would only complain about a display that is gone.
            if let Some((capture, _)) = capture {
                clear_capture(capture).await;
            }
            let failure = match browser {
                Ok(mut browser) => {
                    browser.close().await;
                    failed.expect("a capture that is not there has failed")
                }
                Err(failure) => failure,
            };
            ground.close().await;
            Err(failure)
        }
    }
}

/// Ends a capture without holding up a worker of the runtime.
pub(super) async fn clear_capture(capture: Capture) {
    if let Err(error) = tokio::task::spawn_blocking(move || drop(capture)).await {
        tracing::warn!(%error, "the capture was not cleared in order");
    }
}
