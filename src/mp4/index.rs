//! What the muxer remembers of a file: enough to describe it by one plain
//! `moov` later (ISO/IEC 14496-12, 8.6 and 8.7), in the same compact forms.
//!
//! An hour of 30 pictures and 46.9 frames of sound a second, in fragments of
//! 500 ms, takes 1.35 MB: 4 bytes a sample for sizes (1.11 MB), 16 bytes for
//! each track in each fragment (0.23 MB), 4 bytes a video sync sample (7 kB each
//! 2 s). Regular durations and offsets cost nothing, every change 8 bytes: at
//! worst, when no two pictures last equally long, another 0.86 MB. Growing
//! vectors may reserve as much again. Media bytes are never kept.

use std::time::Duration;

use super::Config;
use crate::media::Track;

/// The whole file so far.
#[derive(Clone, Debug)]
pub struct Index {
    /// As given to the muxer: sample entries, creation time, origin.
    pub config: Config,
    /// Length of `ftyp` and `moov`; the first fragment begins here.
    pub header_bytes: u64,
    /// Length of everything handed out.
    pub bytes: u64,
    pub video: TrackIndex,
    pub audio: TrackIndex,
}

impl Index {
    /// To the end of the longer track.
    pub fn duration(&self) -> Duration {
        let end = |track: &TrackIndex| {
            if track.samples() == 0 { Duration::ZERO } else { track.time(track.end()) }
        };
        end(&self.video).max(end(&self.audio))
    }

    pub fn track(&self, track: Track) -> &TrackIndex {
        match track {
            Track::Video => &self.video,
            Track::Audio => &self.audio,
        }
    }

    pub(super) fn track_mut(&mut self, track: Track) -> &mut TrackIndex {
        match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        }
    }
}

/// The samples of one track, in decode order. Times are in units of the
/// timescale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackIndex {
    /// Units per second.
    pub timescale: u32,
    /// Decode time of the first sample: above 0 if the track starts late.
    pub start: u64,
    /// Bytes of every sample (`stsz`).
    pub sizes: Vec<u32>,
    /// Decode times as distances (`stts`).
    pub durations: Vec<Run<u32>>,
    /// Presentation time less decode time (`ctts`, version 1).
    pub composition_offsets: Vec<Run<i32>>,
    /// Numbers of the sync samples, the first sample being 1 (`stss`). Empty for
    /// sound, where every sample is one.
    pub sync: Vec<u32>,
    /// Where the samples are (`stsc`, `co64`).
    pub chunks: Vec<Chunk>,
    /// Samples that were not written: before the origin, or video before its
    /// first sync sample.
    pub dropped: u64,
    /// Sum of all durations.
    units: u64,
}

/// `count` samples in a row with the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<T> {
    pub count: u32,
    pub value: T,
}

/// The samples of one track in one fragment, which lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes from the start of the file.
    pub offset: u64,
    pub samples: u32,
}

/// One sample's bytes in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1 on.
    pub number: u32,
    pub offset: u64,
    pub size: u32,
}

/// One sample without its bytes, in units of the timescale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) decode: u64,
    pub(super) duration: u32,
    /// Presentation time less decode time.
    pub(super) offset: i32,
    pub(super) sync: bool,
    /// Bytes.
    pub(super) size: u32,
}

impl TrackIndex {
    pub(super) fn new(timescale: u32) -> Self {
        Self {
            timescale,
            start: 0,
            sizes: Vec::new(),
            durations: Vec::new(),
            composition_offsets: Vec::new(),
            sync: Vec::new(),
            chunks: Vec::new(),
            dropped: 0,
            units: 0,
        }
    }

    /// Number of samples in the file.
    pub fn samples(&self) -> u32 {
        count(self.sizes.len())
    }

    /// From the first sample to the end of the last.
    pub fn duration(&self) -> Duration {
        self.time(self.units)
    }

    /// Units of the timescale as a span.
    pub fn time(&self, units: u64) -> Duration {
        let timescale = u64::from(self.timescale);
        let nanos = (units % timescale) * 1_000_000_000 / timescale;
        Duration::from_secs(units / timescale) + Duration::from_nanos(nanos)
    }

    /// Sum of all durations, in units of the timescale.
    pub(super) fn units(&self) -> u64 {
        self.units
    }

    /// When the sample after the last one would be decoded.
    pub fn end(&self) -> u64 {
        self.start + self.units
    }

    /// Where each sample is.
    pub fn places(&self) -> impl Iterator<Item = Place> {
        let mut sizes = (1..).zip(self.sizes.iter().copied());
        self.chunks.iter().flat_map(move |chunk| {
            let mut offset = chunk.offset;
            let samples = sizes.by_ref().take(chunk.samples as usize);
            let places: Vec<Place> = samples
                .map(|(number, size)| {
                    let place = Place { number, offset, size };
                    // A file that is not ours may name any offset.
                    offset = offset.saturating_add(size.into());
                    place
                })
                .collect();
            places
        })
    }

    /// Notes a chunk that begins `offset` bytes into the file.
    pub(super) fn append(
        &mut self,
        track: Track,
        offset: u64,
        samples: impl ExactSizeIterator<Item = Entry>,
    ) {
        self.chunks.push(Chunk { offset, samples: count(samples.len()) });
        for sample in samples {
            if self.sizes.is_empty() {
                self.start = sample.decode;
            }
            self.sizes.push(sample.size);
            extend(&mut self.durations, sample.duration);
            extend(&mut self.composition_offsets, sample.offset);
            if track == Track::Video && sample.sync {
                self.sync.push(self.samples());
            }
            self.units += u64::from(sample.duration);
        }
    }
}

fn extend<T: PartialEq>(runs: &mut Vec<Run<T>>, value: T) {
    match runs.last_mut() {
        Some(run) if run.value == value => run.count += 1,
        _ => runs.push(Run { count: 1, value }),
    }
}

fn count(samples: usize) -> u32 {
    samples.try_into().expect("2^32 samples take years")
}
