//! The muxer itself: decides what goes into which fragment, and keeps count of
//! the bytes. Must not know how a sample gets its times (`timeline`) nor what a
//! box looks like (`header`, `fragment`).

use std::mem;

use bytes::Bytes;

use super::fragment::{self, TrackRun};
use super::index::TrackIndex;
use super::timeline::{Timed, Timeline};
use super::{Config, Error, Index, header};
use crate::media::{Sample, Track, TrackConfig};

/// Payload at which a fragment is closed whatever its length: bounds memory when
/// times hardly advance, and keeps offsets within a fragment in 31 bits.
const FRAGMENT_BYTES: u64 = 32 << 20;

/// Writes a fragmented MP4, piece by piece.
///
/// Holds at most one open fragment and one more sample of each track. A track
/// never waits for the other: if one falls silent the fragments contain the
/// other alone.
#[derive(Debug)]
pub struct Muxer {
    video: Lane,
    audio: Lane,
    /// Bytes of data in the open fragment.
    payload: u64,
    /// Number of fragments written.
    fragments: u32,
    index: Index,
}

/// What ends a file.
#[derive(Debug)]
pub struct Finished {
    /// The last bytes to append.
    pub tail: Vec<Bytes>,
    pub index: Index,
}

/// One track's way into the open fragment.
#[derive(Debug)]
struct Lane {
    timeline: Timeline,
    /// Length of a full fragment, in units of the track's timescale.
    limit: u64,
    /// The track's samples in the open fragment.
    open: Vec<Timed>,
}

impl Muxer {
    /// Returns the muxer and the first bytes of the file, `ftyp` and `moov`.
    pub fn new(config: Config) -> Result<(Self, Bytes), Error> {
        let header = Bytes::from(header::encode(&config)?);
        let video = Lane::new(&config.video, &config);
        let audio = Lane::new(&config.audio, &config);
        let index = Index {
            header_bytes: header.len() as u64,
            bytes: header.len() as u64,
            video: TrackIndex::new(header::timescale(&config.video)),
            audio: TrackIndex::new(header::timescale(&config.audio)),
            config,
        };
        Ok((Self { video, audio, payload: 0, fragments: 0, index }, header))
    }

    /// Takes the next sample of a track, in decode order; the tracks may
    /// interleave in any way. Returns the bytes to append: nothing, or a whole
    /// fragment, with the data of its samples passed on as it came.
    ///
    /// What cannot be shown is dropped and counted ([`TrackIndex::dropped`]):
    /// pictures that end before the origin, sound that begins before it, and
    /// pictures before the first sync sample.
    pub fn push(&mut self, sample: Sample) -> Result<Vec<Bytes>, Error> {
        let track = sample.track;
        let opens_fragment = track == Track::Video && sample.sync;
        let ready = self.lane(track).timeline.push(sample)?;
        self.add(track, ready);
        if opens_fragment || self.lane(track).is_full() || self.payload >= FRAGMENT_BYTES {
            return Ok(self.close_fragment());
        }
        Ok(Vec::new())
    }

    /// Closes the last fragment. The last sample of a track is taken to last as
    /// long as the one before it, or what is usual if there is no other.
    pub fn finish(mut self) -> Finished {
        for track in [Track::Video, Track::Audio] {
            let last = self.lane(track).timeline.finish();
            self.add(track, last);
        }
        Finished { tail: self.close_fragment(), index: self.index }
    }

    /// What the bytes handed out so far contain.
    pub fn index(&self) -> &Index {
        &self.index
    }

    fn lane(&mut self, track: Track) -> &mut Lane {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }

    fn add(&mut self, track: Track, ready: Option<Timed>) {
        self.payload += ready.as_ref().map_or(0, |sample| u64::from(sample.size()));
        let lane = self.lane(track);
        lane.open.extend(ready);
        let dropped = lane.timeline.dropped();
        self.index.track_mut(track).dropped = dropped;
    }

    fn close_fragment(&mut self) -> Vec<Bytes> {
        let video = mem::take(&mut self.video.open);
        let audio = mem::take(&mut self.audio.open);
        self.payload = 0;
        let mut runs = vec![
            TrackRun { track: Track::Video, samples: video },
            TrackRun { track: Track::Audio, samples: audio },
        ];
        runs.retain(|run| !run.samples.is_empty());
        if runs.is_empty() {
            return Vec::new();
        }
        self.fragments += 1;
        let head = fragment::head(self.fragments, &runs);
        self.index.bytes += head.len() as u64;
        let mut bytes = vec![Bytes::from(head)];
        for run in runs {
            let offset = self.index.bytes;
            let entries = run.samples.iter().map(Timed::entry);
            self.index.track_mut(run.track).append(run.track, offset, entries);
            self.index.bytes += run.bytes();
            bytes.extend(run.samples.into_iter().map(|sample| sample.data));
        }
        bytes
    }
}

impl Lane {
    fn new(track: &TrackConfig, config: &Config) -> Self {
        let timescale = header::timescale(track);
        let usual = header::usual_duration(track.track());
        let limit = config.fragment.as_nanos() * u128::from(timescale) / 1_000_000_000;
        Self {
            timeline: Timeline::new(track.track(), timescale, usual, config.origin),
            limit: limit.try_into().unwrap_or(u64::MAX),
            open: Vec::new(),
        }
    }

    fn is_full(&self) -> bool {
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else { return false };
        last.end() - first.decode >= self.limit
    }
}
