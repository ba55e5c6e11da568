//! The recording on its way into the store, while it is being made.
//!
//! [`Uploader`] takes bytes, has [`plan`] cut them into parts, and sends
//! several parts at once through a [`PartStore`], again and again where that
//! can help. It must not know what the bytes mean, nor how a store is spoken to.
//!
//! ```text
//! start ──> put* ──┬─> finish    an object, or nothing if no byte came
//!                  ├─> abandon   parts stay, the upload stays open
//!                  └─> abort     parts are thrown away
//! ```
//!
//! Each part is a task of the uploader's own set. Dropping the uploader stops
//! all of them; what the store has by then stays there.

pub mod plan;
pub mod s3;
pub mod store;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use plan::{Action, Exceeded, Part, Planner, Receipt};
use store::{Completed, Kind, Object, PartStore, StoreError, UploadId};

/// Enough to fill the line while one part waits for its answer.
pub const PARTS_IN_FLIGHT: usize = 4;

/// Three minutes at 3 Mbit/s, and two of the largest parts.
pub const BUFFER_BYTES: u64 = 64 * 1024 * 1024;

/// A store that answers nothing useful for this long is taken for gone.
pub const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

/// Nothing is lost yet at the start, and a person may be waiting for the error.
pub const GIVE_UP_STARTING_AFTER: Duration = Duration::from_secs(15);

/// Ceiling of the first pause before a request is repeated; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Ceiling of the first pause after the store asked for fewer requests.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// No pause is longer: the store may be back any moment, and media waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How an upload behaves.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Parts sent at the same time, at least 1.
    pub parts_in_flight: usize,
    /// Bytes held before [`Uploader::put`] waits: accepted, but not stored.
    pub buffer_bytes: u64,
    /// How long a part, or the completion, is tried.
    pub give_up_after: Duration,
    /// How long the creation of the upload is tried.
    pub give_up_starting_after: Duration,
    /// Random numbers in `0.0..=1.0` that spread repeated requests.
    pub jitter: fn() -> f64,
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    pub bytes_accepted: u64,
    pub bytes_stored: u64,
    pub parts_stored: u16,
    /// Requests repeated here (the SDK's own short retries are not counted).
    pub retries: u64,
    /// How often `put` had to wait for room.
    pub stalls: u64,
    /// How long it waited in all.
    pub stalled: Duration,
}

/// What an unfinished upload leaves in the store: all that is needed to list,
/// complete or abort it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub object: Object,
    pub upload: UploadId,
    /// Parts known to be stored; one in flight may be there too.
    pub parts: u16,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Shared, because a failure is told again by every later call.
    #[error("the recording cannot be stored")]
    Store(#[source] Arc<StoreError>),
    #[error("the recording is too long for one upload")]
    TooLong(#[source] Arc<Exceeded>),
}

/// One upload, from its creation to its end.
#[derive(Debug)]
pub struct Uploader<S> {
    store: Arc<S>,
    upload: UploadId,
    config: Config,
    planner: Planner,
    parts: JoinSet<Result<(u16, Receipt), StoreError>>,
    in_flight: Arc<Semaphore>,
    progress: watch::Sender<Progress>,
    failed: Option<Arc<StoreError>>,
}

impl<S: PartStore> Uploader<S> {
    /// Creates the upload. The store is known to take the recording after
    /// this, so it belongs at the start of the process, before media exists.
    pub async fn start(store: Arc<S>, config: Config) -> Result<Self, Error> {
        let progress = watch::Sender::new(Progress::default());
        let upload =
            with_retries(config, config.give_up_starting_after, &progress, || store.create())
                .await
                .map_err(|error| Error::Store(Arc::new(error)))?;
        Ok(Self {
            store,
            upload,
            config,
            planner: Planner::new(),
            parts: JoinSet::new(),
            in_flight: Arc::new(Semaphore::new(config.parts_in_flight)),
            progress,
            failed: None,
        })
    }

    /// Appends `pieces` to the recording. Waits only while the buffer is full,
    /// and before it takes a byte: a cancelled call has taken nothing, one that
    /// returned `Ok` all. Reports any part that has failed for good.
    /// [`Error::TooLong`] takes nothing and leaves an upload that can be finished.
    pub async fn put(&mut self, pieces: Vec<Bytes>) -> Result<(), Error> {
        self.wait_for_room().await?;
        self.planner.push(pieces).map_err(|error| Error::TooLong(Arc::new(error)))?;
        let taken = self.planner.taken();
        self.progress.send_modify(|progress| progress.bytes_accepted = taken);
        while let Some(action) = self.planner.poll() {
            match action {
                Action::Put(part) => self.send(part),
                Action::Complete(_) => unreachable!("the planner completes after its end"),
            }
        }
        Ok(())
    }

    async fn wait_for_room(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.parts.try_join_next() {
            self.note(ended);
        }
        if self.failed.is_none() && self.is_full() {
            let since = Instant::now();
            while self.failed.is_none() && self.is_full() {
                // Without a part under way no room can come; the open part
                // alone may exceed a small buffer.
                let Some(ended) = self.parts.join_next().await else { break };
                self.note(ended);
            }
            self.progress.send_modify(|progress| {
                progress.stalls += 1;
                progress.stalled += since.elapsed();
            });
        }
        self.check()
    }

    fn is_full(&self) -> bool {
        let progress = self.progress.borrow();
        progress.bytes_accepted - progress.bytes_stored >= self.config.buffer_bytes
    }

    /// Sends a part as soon as fewer than the allowed number are in flight.
    fn send(&mut self, part: Part) {
        let Part { number, payload } = part;
        let (store, upload) = (Arc::clone(&self.store), self.upload.clone());
        let (in_flight, progress) = (Arc::clone(&self.in_flight), self.progress.clone());
        let config = self.config;
        self.parts.spawn(async move {
            let _permit = in_flight.acquire_owned().await.expect("the semaphore is never closed");
            let receipt = with_retries(config, config.give_up_after, &progress, || {
                store.put_part(&upload, number, payload.clone())
            })
            .await?;
            tracing::debug!(part = number, bytes = payload.len(), "part stored");
            progress.send_modify(|progress| {
                progress.bytes_stored += payload.len() as u64;
                progress.parts_stored += 1;
            });
            Ok((number, receipt))
        });
    }

    fn note(&mut self, ended: Result<Result<(u16, Receipt), StoreError>, JoinError>) {
        match ended {
            Ok(Ok((number, receipt))) => self.planner.part_done(number, receipt),
            // The first failure is the one that explains the others.
            Ok(Err(error)) => {
                self.failed.get_or_insert(Arc::new(error));
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), |error| Err(Error::Store(error)))
    }

    /// Sends what is left and completes the object. `None` if no byte ever
    /// came: then there is no object, and the upload is aborted.
    ///
    /// After an error the upload is open in the store, as [`Uploader::left`]
    /// said before.
    pub async fn finish(mut self) -> Result<Option<Completed>, Error> {
        self.planner.finish();
        loop {
            self.check()?;
            match self.planner.poll() {
                Some(Action::Put(part)) => self.send(part),
                Some(Action::Complete(parts)) => return self.complete(&parts).await.map(Some),
                None => match self.parts.join_next().await {
                    Some(ended) => self.note(ended),
                    None => break,
                },
            }
        }
        self.abort().await.map(|()| None)
    }

    async fn complete(&self, parts: &[(u16, Receipt)]) -> Result<Completed, Error> {
        with_retries(self.config, self.config.give_up_after, &self.progress, || {
            self.store.complete(&self.upload, parts, self.planner.taken())
        })
        .await
        .map_err(|error| Error::Store(Arc::new(error)))
    }

    /// Stops at once and leaves the upload open.
    #[must_use = "only this says where the recording is"]
    pub fn abandon(self) -> Left {
        self.left()
    }

    /// What would be left in the store if everything stopped now.
    pub fn left(&self) -> Left {
        Left {
            object: self.store.object().clone(),
            upload: self.upload.clone(),
            parts: self.progress.borrow().parts_stored,
        }
    }

    /// Throws everything away; only for an upload in which nothing is worth
    /// keeping.
    pub async fn abort(mut self) -> Result<(), Error> {
        // A part that arrives after the abort would be kept, and paid for.
        self.parts.shutdown().await;
        with_retries(self.config, self.config.give_up_starting_after, &self.progress, || {
            self.store.abort(&self.upload)
        })
        .await
        .map_err(|error| Error::Store(Arc::new(error)))
    }

    /// Follows the upload, and keeps its last state after the end.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}

/// Repeats a request while that can help and `give_up_after` has not passed.
async fn with_retries<T, F: Future<Output = Result<T, StoreError>>>(
    config: Config,
    give_up_after: Duration,
    progress: &watch::Sender<Progress>,
    mut request: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let started = Instant::now();
    let mut backoff = Backoff { ceiling: FIRST_PAUSE };
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let left = give_up_after.saturating_sub(started.elapsed());
        let Some(pause) = backoff.pause(error.kind, left, (config.jitter)()) else {
            return Err(error);
        };
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            ?pause,
            "the store did not take a request, asking again"
        );
        progress.send_modify(|progress| progress.retries += 1);
        tokio::time::sleep(pause).await;
    }
}

/// The pauses between the attempts of one request: exponential, with full
/// jitter, so that many parts that fail together do not come back together.
#[derive(Debug)]
struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// How long to wait after a failure of this kind, or `None` if repeating
    /// cannot help or the wait would not end within `left`.
    fn pause(&mut self, kind: Kind, left: Duration, jitter: f64) -> Option<Duration> {
        if kind == Kind::Throttled {
            self.ceiling = self.ceiling.max(THROTTLED_PAUSE);
        }
        let pause = self.ceiling.mul_f64(jitter);
        self.ceiling = (self.ceiling * 2).min(LONGEST_PAUSE);
        (kind.is_retryable() && pause < left).then_some(pause)
    }
}
