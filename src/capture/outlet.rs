//! Where all that is coded of the picture leaves for the writer: in order, once, and described
//! by one track. It must not know who codes it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use gstreamer as gst;

use super::{Media, Settings, sample};
use crate::media::{Sample, TrackConfig};

/// From one picture's decode time to the next: 1 ms, some units of any file.
const LEAST_STEP: i64 = 1_000_000;

/// Counts for the report.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) coded: AtomicU64,
    pub(super) coded_again: AtomicU64,
    /// How many were coded before the page was first asked for smaller pictures, and how many
    /// were handed to an encoder while it was.
    pub(super) smaller_after: OnceLock<u64>,
    pub(super) smaller: AtomicU64,
    /// How many were coded before any was with less effort, and how many were.
    pub(super) eased_after: OnceLock<u64>,
    pub(super) eased: AtomicU64,
}

impl Counts {
    /// With each that was coded with less effort, before it leaves.
    pub(super) fn ease(&self) {
        self.eased_after.get_or_init(|| self.coded.load(Ordering::Relaxed));
        self.eased.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is coded leaves here, in order and once.
#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) settings: Settings,
    pub(super) counts: Arc<Counts>,
    state: Mutex<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    /// Until the end: what keeps the channel open.
    sender: Option<tokio::sync::mpsc::Sender<Media>>,
    described: Option<TrackConfig>,
    /// The last group of pictures, from its key picture on.
    group: Vec<Sample>,
    decode: i64,
    /// Where the film begins: what is shown before only warmed the encoder up.
    begin: i64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Sample(#[from] sample::Error),
    #[error("an encoder of the same settings describes its pictures in another way")]
    Description,
    #[error("nobody takes the pictures any more")]
    Ended,
}

impl Outlet {
    pub(super) fn new(
        settings: &Settings,
        sender: tokio::sync::mpsc::Sender<Media>,
        counts: Arc<Counts>,
    ) -> Self {
        let state = Leaving {
            sender: Some(sender),
            described: None,
            group: vec![],
            decode: i64::MIN,
            begin: i64::MIN,
        };
        Self { settings: settings.clone(), counts, state: Mutex::new(state) }
    }

    /// With the first picture of each encoder: all have to describe the track in one way.
    pub(super) fn describe(&self, coded: &gst::Sample) -> Result<(), Error> {
        let config = sample::video_config(self.settings.size, coded)?;
        let known = self.state().described.replace(config.clone());
        match known {
            Some(known) if known != config => Err(Error::Description),
            Some(_) => Ok(()),
            None => self.send(Media::Track(config)),
        }
    }

    pub(super) fn put(&self, mut sample: Sample) -> Result<(), Error> {
        {
            let mut state = self.state();
            if sample.presentation.0 < state.begin {
                return Ok(());
            }
            // The first one's lead reaches back to the pictures before the film.
            let slot = 1_000_000_000 / i64::from(self.settings.fps);
            sample.decode.0 = sample.decode.0.max(state.begin.saturating_sub(slot));
            // An encoder's lead may differ a little from that of the one before.
            sample.decode.0 = sample.decode.0.max(state.decode.saturating_add(LEAST_STEP));
            state.decode = sample.decode.0;
            if sample.sync {
                state.group.clear();
            }
            state.group.push(sample.clone());
        }
        self.counts.coded.fetch_add(1, Ordering::Relaxed);
        self.send(Media::Sample(sample))
    }

    /// Whether a film that waited for its beginning begins with this picture.
    pub(super) fn begins(&self, presentation: i64) -> bool {
        let mut state = self.state();
        let begins = state.begin == i64::MAX;
        if begins {
            state.begin = presentation;
        }
        begins
    }

    /// Nothing is of the film before it [`begins`](Self::begins).
    pub(super) fn wait_for_beginning(&self) {
        self.state().begin = i64::MAX;
    }

    /// The last group of pictures, from its key picture on.
    pub(super) fn take_group(&self) -> Vec<Sample> {
        std::mem::take(&mut self.state().group)
    }

    pub(super) fn close(&self) {
        self.state().sender = None;
    }

    /// A full channel holds whoever sends.
    fn send(&self, media: Media) -> Result<(), Error> {
        let sender = self.state().sender.clone().ok_or(Error::Ended)?;
        sender.blocking_send(media).map_err(|_| Error::Ended)
    }

    fn state(&self) -> MutexGuard<'_, Leaving> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
