//! The recording on its way into the store, while it is being made.
//!
//! [`Uploader`] takes bytes, has [`plan`] cut them into parts, and sends
//! several parts at once through a [`PartStore`], again and again where that
//! can help. What the store does not take in time waits in memory, then on disk
//! ([`spool`]). It must not know what the bytes mean, nor how a store is spoken to.
//!
//! ```text
//! start ──> put* ──┬─> finish    an object, or nothing if no byte came
//!                  ├─> abandon   parts stay, the upload stays open, what is
//!                  │             not stored stays on disk
//!                  └─> abort     parts are thrown away
//! ```
//!
//! Each part is a task of the uploader's own set. Dropping the uploader stops
//! all of them; what the store has by then stays there.

mod doubt;
pub mod plan;
mod retries;
pub mod s3;
pub mod spool;
pub mod store;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use doubt::Doubted;
use plan::{Action, Exceeded, Head, Part, Payload, Planner, Receipt};
use retries::Retries;
use spool::{Spool, Spooled};
use store::{Completed, Kind, Object, PartStore, StoreError, UploadId};

/// Enough to fill the line while one part waits for its answer.
pub const PARTS_IN_FLIGHT: usize = 4;

/// A recording lasts longer than any trouble of the store that passes; whoever
/// ends the recording also ends the attempts.
pub const NEVER_GIVE_UP: Duration = Duration::MAX;

/// Nothing is lost yet at the start, and a person may be waiting for the error.
pub const GIVE_UP_STARTING_AFTER: Duration = Duration::from_secs(15);

/// So often parts are stored again that something older has replaced.
const REPLACEMENTS: u32 = 3;

/// How an upload behaves.
#[derive(Clone, Debug)]
pub struct Config {
    /// Parts sent at the same time, at least 1.
    pub parts_in_flight: usize,
    /// How often the open part is stored as it is, so that a dead process has
    /// lost no more than that. `None`: only full parts are stored.
    pub checkpoint: Option<Duration>,
    /// Bytes that may wait in memory; those on their way, and the open part, are
    /// counted but cannot be moved.
    pub memory_bytes: u64,
    /// Where the rest waits.
    pub spool: spool::Config,
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
    /// In full parts.
    pub bytes_stored: u64,
    /// Full parts.
    pub parts_stored: u16,
    /// How often the open part was stored, and its bytes in all.
    pub checkpoints: u64,
    pub checkpoint_bytes: u64,
    /// Requests that were sent again.
    pub retries: u64,
    /// The most bytes that waited on disk at one time.
    pub spooled_bytes: u64,
}

/// What an unfinished upload leaves in the store: all that is needed to list, complete or abort it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    pub object: Object,
    pub upload: UploadId,
    /// Full parts known to be stored; one in flight may be there too.
    pub parts: u16,
    /// The folder with what the store does not have, if there is any.
    pub spool: Option<PathBuf>,
    /// The completion was asked for and not answered: there may be an object.
    pub completing: bool,
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Shared, because a failure is told again by every later call.
    #[error("the recording cannot be stored")]
    Store(#[source] Arc<StoreError>),
    #[error("the recording is too long for one upload")]
    TooLong(#[source] Arc<Exceeded>),
    #[error("the store takes nothing, and nothing more can wait on disk")]
    Spool(#[source] Arc<io::Error>),
}

/// One upload, from its creation to its end.
#[derive(Debug)]
pub struct Uploader<S> {
    store: Arc<S>,
    upload: UploadId,
    config: Config,
    planner: Planner,
    /// Cut, but not on their way.
    waiting: VecDeque<(u16, Body)>,
    /// On their way, for the case that they do not arrive.
    under_way: BTreeMap<u16, Body>,
    /// Stored, and perhaps replaced meanwhile.
    doubted: Doubted,
    requests: JoinSet<Answer>,
    spool: Spool,
    /// When the last checkpoint began.
    checkpointed: Instant,
    /// Length of part 1, once it is stored.
    first_bytes: Option<u64>,
    /// The store has every part.
    sent: bool,
    completing: bool,
    progress: watch::Sender<Progress>,
    failed: Option<Error>,
}

/// Where the bytes of a part are.
#[derive(Clone, Debug)]
enum Body {
    Memory(Payload),
    Disk(Spooled),
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(payload) => payload.len() as u64,
            Self::Disk(spooled) => spooled.len(),
        }
    }

    async fn read(self) -> Result<Payload, Error> {
        match self {
            Self::Memory(payload) => Ok(payload),
            Self::Disk(spooled) => {
                spooled.read().await.map_err(|error| Error::Spool(Arc::new(error)))
            }
        }
    }
}

/// What became of a request.
#[derive(Debug)]
enum Answer {
    /// With how often it was asked before.
    Part(u16, Result<(Receipt, u32), Error>),
    Checkpoint(u16, Result<(), StoreError>),
}

impl<S: PartStore> Uploader<S> {
    /// Creates the upload. The store is known to take the recording after
    /// this, so it belongs at the start of the process, before media exists.
    pub async fn start(store: Arc<S>, config: Config) -> Result<Self, Error> {
        let progress = watch::Sender::new(Progress::default());
        let retries = Retries { progress: &progress, jitter: config.jitter };
        let upload = retries
            .of(config.give_up_starting_after, |_| store.create())
            .await
            .map_err(|error| Error::Store(Arc::new(error)))?;
        let spool = Spool::new(config.spool.clone(), store.object(), &upload);
        Ok(Self {
            store,
            upload,
            planner: Planner::new(),
            waiting: VecDeque::new(),
            under_way: BTreeMap::new(),
            doubted: Doubted::default(),
            requests: JoinSet::new(),
            spool,
            checkpointed: Instant::now(),
            first_bytes: None,
            sent: false,
            completing: false,
            config,
            progress,
            failed: None,
        })
    }

    /// Appends `pieces` to the recording, never waiting for the store: what it
    /// does not take in time waits in memory, then on disk. Where those are full,
    /// or a part has failed for good, this and every later call is an error, and
    /// only [`abandon`](Self::abandon) is left to do. [`Error::TooLong`] takes
    /// nothing and leaves an upload that can be finished.
    ///
    /// What was put by one call becomes durable as a whole: `pieces` should end
    /// where a reader of the object can stop.
    pub async fn put(&mut self, pieces: Vec<Bytes>) -> Result<(), Error> {
        while let Some(ended) = self.requests.try_join_next() {
            self.note(ended);
        }
        self.check()?;
        self.planner.push(pieces).map_err(|error| Error::TooLong(Arc::new(error)))?;
        let taken = self.planner.taken();
        self.progress.send_modify(|progress| progress.bytes_accepted = taken);
        self.pump();
        self.checkpoint_if_due();
        self.make_room().await.inspect_err(|error| self.failed = Some(error.clone()))
    }

    /// Takes what the planner has ready, and sends as much as may be in flight.
    /// Returns the parts of the object when all is stored.
    fn pump(&mut self) -> Option<Vec<(u16, Receipt)>> {
        let completed = loop {
            match self.planner.poll() {
                Some(Action::Put(Part { number, payload })) => {
                    self.waiting.push_back((number, Body::Memory(payload)));
                }
                Some(Action::Complete(parts)) => break Some(parts),
                None => break None,
            }
        };
        while self.under_way.len() < self.config.parts_in_flight {
            let Some((number, body)) = self.waiting.pop_front() else { break };
            self.send(number, body);
        }
        completed
    }

    fn send(&mut self, number: u16, body: Body) {
        self.under_way.insert(number, body.clone());
        // Part 1 is sent again with its other head.
        let before = self.first_bytes.filter(|_| number == 1);
        let (store, upload) = (Arc::clone(&self.store), self.upload.clone());
        let (progress, config) = (self.progress.clone(), &self.config);
        let (give_up_after, jitter) = (config.give_up_after, config.jitter);
        self.requests.spawn(async move {
            let payload = match body.read().await {
                Ok(payload) => payload,
                Err(error) => return Answer::Part(number, Err(error)),
            };
            let stored = Retries { progress: &progress, jitter }
                .of(give_up_after, |attempt| {
                    let stored = store.put_part(&upload, number, payload.clone(), attempt);
                    async move { Ok((stored.await?, attempt)) }
                })
                .await;
            if let Ok((receipt, _)) = &stored {
                tracing::debug!(part = number, bytes = receipt.bytes, "part stored");
                progress.send_modify(|progress| {
                    progress.bytes_stored += receipt.bytes;
                    progress.bytes_stored -= before.unwrap_or(0);
                    progress.parts_stored += u16::from(before.is_none());
                });
            }
            Answer::Part(number, stored.map_err(|error| Error::Store(Arc::new(error))))
        });
    }

    /// Sends the open part as it is, if it is time and it has grown. It is tried
    /// once: the next checkpoint has more in it.
    fn checkpoint_if_due(&mut self) {
        let due = self.config.checkpoint.is_some_and(|every| self.checkpointed.elapsed() >= every);
        // A store that is behind with full parts is not given more to do.
        if !due || !self.waiting.is_empty() {
            return;
        }
        let Some(Part { number, payload }) = self.planner.checkpoint() else { return };
        self.checkpointed = Instant::now();
        let (store, upload) = (Arc::clone(&self.store), self.upload.clone());
        let progress = self.progress.clone();
        self.requests.spawn(async move {
            let stored = store.put_part(&upload, number, payload, 0).await;
            let stored = stored.map(|receipt| {
                tracing::debug!(part = number, bytes = receipt.bytes, "open part stored");
                progress.send_modify(|progress| {
                    progress.checkpoints += 1;
                    progress.checkpoint_bytes += receipt.bytes;
                });
            });
            Answer::Checkpoint(number, stored)
        });
    }

    /// Moves parts that wait from memory to disk until what is left may stay.
    async fn make_room(&mut self) -> Result<(), Error> {
        while self.in_memory() > self.config.memory_bytes {
            // The last one has the longest to wait.
            let last = self.waiting.iter_mut().rev();
            let mut in_memory = last.filter(|(_, body)| matches!(body, Body::Memory(_)));
            let Some((number, body)) = in_memory.next() else { break };
            let Body::Memory(payload) = body else { unreachable!("filtered") };
            let kept = self.spool.keep(*number, payload.clone()).await;
            *body = Body::Disk(kept.map_err(|error| Error::Spool(Arc::new(error)))?);
            let spooled = self.spool.bytes();
            self.progress.send_modify(|progress| {
                progress.spooled_bytes = progress.spooled_bytes.max(spooled);
            });
        }
        Ok(())
    }

    fn in_memory(&self) -> u64 {
        let waiting = self.waiting.iter().map(|(_, body)| body);
        let doubted = self.doubted.parts().map(|(_, body)| body);
        let bodies = waiting.chain(self.under_way.values()).chain(doubted).map(|body| match body {
            Body::Memory(payload) => payload.len() as u64,
            Body::Disk(_) => 0,
        });
        let open: usize = self.planner.open().iter().map(Bytes::len).sum();
        bodies.sum::<u64>() + open as u64
    }

    fn note(&mut self, ended: Result<Answer, JoinError>) {
        match ended {
            Ok(Answer::Part(number, Ok((receipt, attempts)))) => {
                if attempts > 0 {
                    self.doubted.add(number);
                }
                let body = self.under_way.remove(&number);
                for body in body.into_iter().flat_map(|body| self.doubted.stored(number, body)) {
                    if let Body::Disk(spooled) = body {
                        self.spool.drop(&spooled);
                    }
                }
                if number == 1 {
                    self.first_bytes = Some(receipt.bytes);
                }
                self.planner.part_done(number, receipt);
            }
            // The first failure is the one that explains the others.
            Ok(Answer::Part(_, Err(error))) => {
                self.failed.get_or_insert(error);
            }
            Ok(Answer::Checkpoint(_, Ok(()))) => self.planner.checkpoint_done(true),
            Ok(Answer::Checkpoint(number, Err(error))) => {
                self.doubted.add(number);
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the open part is not stored yet");
                self.planner.checkpoint_done(false);
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Sends what is left, with `head` in the place of the first bytes, and
    /// completes the object. `None` if no byte ever came: then there is no
    /// object, and the upload is aborted.
    ///
    /// Cancelled or failed it leaves an upload to [`abandon`](Self::abandon).
    pub async fn finish(&mut self, head: Option<Head>) -> Result<Option<Completed>, Error> {
        self.planner.finish(head);
        loop {
            self.check()?;
            if let Some(parts) = self.pump() {
                return self.complete(parts).await.map(Some);
            }
            match self.requests.join_next().await {
                Some(ended) => self.note(ended),
                None => break,
            }
        }
        self.abort().await.map(|()| None)
    }

    async fn complete(&mut self, mut parts: Vec<(u16, Receipt)>) -> Result<Completed, Error> {
        let bytes = self.planner.taken();
        let mut replacements = 0;
        let completed = loop {
            (self.sent, self.completing) = (true, true);
            let completed = self
                .retries()
                .of(self.config.give_up_after, |_| self.store.complete(&self.upload, &parts, bytes))
                .await;
            let error = match completed {
                Ok(completed) => break completed,
                Err(error) => error,
            };
            self.sent = error.kind != Kind::Replaced;
            self.completing = error.kind.may_have_happened();
            let is_kept = self.doubted.parts().next().is_some();
            if self.sent || !is_kept || replacements == REPLACEMENTS {
                return Err(Error::Store(Arc::new(error)));
            }
            replacements += 1;
            tracing::warn!(%error, "a request that was given up has arrived after all");
            self.put_again(&mut parts).await?;
        };
        if completed.verified == Some(false) {
            tracing::error!(
                object = %self.store.object(), checksum = completed.checksum,
                "the store's checksum of the object is not ours: look at it with `recorder verify`"
            );
        }
        Ok(completed)
    }

    fn retries(&self) -> Retries<'_> {
        Retries { progress: &self.progress, jitter: self.config.jitter }
    }

    /// Stores all parts again that may have been replaced.
    async fn put_again(&self, parts: &mut [(u16, Receipt)]) -> Result<(), Error> {
        for (number, body) in self.doubted.parts() {
            let payload = body.clone().read().await?;
            let receipt = self
                .retries()
                .of(self.config.give_up_after, |attempt| {
                    self.store.put_part(&self.upload, number, payload.clone(), attempt)
                })
                .await
                .map_err(|error| Error::Store(Arc::new(error)))?;
            parts[usize::from(number) - 1].1 = receipt;
        }
        Ok(())
    }

    /// Stops at once and leaves the upload open. What the store does not have is
    /// put on disk, or may have lost again, with the `tail` that would have been put next.
    pub async fn abandon(&mut self, tail: Vec<Bytes>) -> Left {
        if self.planner.is_open()
            && let Err(error) = self.planner.push(tail)
        {
            tracing::error!(%error, "the last moments are lost");
        }
        self.pump();
        self.requests.abort_all();
        while let Some(ended) = self.requests.join_next().await {
            // What was stored before that need not be kept.
            if ended.is_ok() {
                self.note(ended);
            }
        }
        // What waited for a checkpoint that nobody answered waits for nothing any more.
        self.planner.checkpoint_done(false);
        while let Some(Action::Put(part)) = self.planner.poll() {
            self.waiting.push_back((part.number, Body::Memory(part.payload)));
        }
        let open = Payload::new(self.planner.open().to_vec());
        // First what is stored: part 1 may be there and on its way in its other form.
        let mut rest: Vec<(u16, Body)> =
            self.doubted.parts().map(|(number, body)| (number, body.clone())).collect();
        rest.extend(self.under_way.iter().map(|(number, body)| (*number, body.clone())));
        rest.extend(self.waiting.iter().cloned());
        if !open.is_empty() {
            rest.push((self.planner.open_number(), Body::Memory(open)));
        }
        for (number, body) in rest {
            let Body::Memory(payload) = body else { continue };
            if let Err(error) = self.spool.keep_last(number, payload).await {
                tracing::error!(part = number, %error, "a part can be kept nowhere");
            }
        }
        Left {
            object: self.store.object().clone(),
            upload: self.upload.clone(),
            parts: self.progress.borrow().parts_stored,
            spool: self.spool.leave(self.sent),
            completing: self.completing,
        }
    }

    /// Throws everything away; only for an upload in which nothing is worth keeping.
    pub async fn abort(&mut self) -> Result<(), Error> {
        // A part that arrives after the abort would be kept, and paid for.
        self.requests.shutdown().await;
        self.retries()
            .of(self.config.give_up_starting_after, |_| self.store.abort(&self.upload))
            .await
            .map_err(|error| Error::Store(Arc::new(error)))
    }

    /// Follows the upload, and keeps its last state after the end.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }
}
