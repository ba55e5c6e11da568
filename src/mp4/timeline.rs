//! One track's samples on the time axis of the file.
//!
//! Turns clock times into units counted from the origin, drops what comes before
//! it, and holds one sample back, because a sample lasts until the next. Knows
//! neither boxes nor the other track.

use bytes::Bytes;

use super::Error;
use super::index::Entry;
use crate::media::{Sample, Timestamp, Track};

/// Limit of |presentation - decode|, so that a composition offset fits 32 bits
/// after the shift below: 3.3 h of video.
const REORDERING: u64 = 1 << 30;

/// Largest sample: keeps every offset inside a fragment in 31 bits.
const SAMPLE_BYTES: usize = 1 << 30;

/// A sample with its place in the file, in units of the track's timescale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timed {
    pub(super) decode: u64,
    pub(super) duration: u32,
    /// Presentation time less decode time.
    pub(super) offset: i32,
    pub(super) sync: bool,
    pub(super) data: Bytes,
}

impl Timed {
    /// When the next sample of the track is decoded.
    pub(super) fn end(&self) -> u64 {
        self.decode + u64::from(self.duration)
    }

    pub(super) fn entry(&self) -> Entry {
        let Self { decode, duration, offset, sync, .. } = *self;
        Entry { decode, duration, offset, sync, size: self.size() }
    }

    /// Length of the data.
    pub(super) fn size(&self) -> u32 {
        u32::try_from(self.data.len()).expect("a sample has at most SAMPLE_BYTES")
    }
}

/// A sample that waits for its successor, in units from the origin.
#[derive(Debug)]
struct Held {
    decode: i64,
    presentation: i64,
    sync: bool,
    data: Bytes,
}

#[derive(Debug)]
pub(super) struct Timeline {
    track: Track,
    timescale: u32,
    origin: Timestamp,
    /// Decode time of the last sample accepted, kept or not.
    previous: Option<Timestamp>,
    held: Option<Held>,
    /// Duration of the last sample, as its successor told; before that, a guess.
    duration: u32,
    /// What decode times are moved by so that none is negative: the encoder's
    /// reordering delay. `None` until the first sample is kept.
    shift: Option<i64>,
    dropped: u64,
}

impl Timeline {
    /// `single` is the duration of the only sample of a track, in units.
    pub(super) fn new(track: Track, timescale: u32, single: u32, origin: Timestamp) -> Self {
        Self {
            track,
            timescale,
            origin,
            previous: None,
            held: None,
            duration: single,
            shift: None,
            dropped: 0,
        }
    }

    /// Samples left out: before the origin, or before the first sync sample.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes a sample and returns the one before it, which now has a duration.
    pub(super) fn push(&mut self, sample: Sample) -> Result<Option<Timed>, Error> {
        let distance = self.check(&sample)?;
        let next = Held {
            decode: self.units(sample.decode),
            presentation: self.units(sample.presentation),
            sync: sample.sync || self.track == Track::Audio,
            data: sample.data,
        };
        self.previous = Some(sample.decode);
        if let Some(distance) = distance {
            self.duration = distance;
        }
        let ready = self.release();
        if self.shift.is_none() && !next.sync {
            self.dropped += 1;
        } else {
            self.held = Some(next);
        }
        Ok(ready)
    }

    /// Returns the last sample, taken to last as long as the one before it.
    pub(super) fn finish(&mut self) -> Option<Timed> {
        self.release()
    }

    /// Distance to the previous sample in units, if the sample can follow it.
    fn check(&self, sample: &Sample) -> Result<Option<u32>, Error> {
        let track = self.track;
        let (decode, presentation) = (sample.decode.0, sample.presentation.0);
        let length = sample.data.len();
        if length > SAMPLE_BYTES {
            return Err(Error::Size { track, length, decode });
        }
        let at = self.units(sample.decode);
        if self.units(sample.presentation).abs_diff(at) > REORDERING {
            return Err(Error::Reordering { track, presentation, decode });
        }
        let Some(previous) = self.previous else { return Ok(None) };
        let distance = at - self.units(previous);
        let previous = previous.0;
        if distance <= 0 {
            return Err(Error::Order { track, previous, decode });
        }
        match u32::try_from(distance) {
            Ok(distance) => Ok(Some(distance)),
            Err(_) => Err(Error::Gap { track, previous, decode }),
        }
    }

    /// Places the held sample, which lasts `self.duration`.
    fn release(&mut self) -> Option<Timed> {
        let held = self.held.take()?;
        let end = held.decode + i64::from(self.duration);
        let (shift, presentation) = match self.shift {
            Some(shift) => (shift, held.presentation),
            None => self.start(&held)?,
        };
        let delay = held.presentation - held.decode;
        let decode = presentation - delay + shift;
        Some(Timed {
            decode: decode.try_into().expect("the shift lifts the first decode time to 0"),
            duration: (end + shift - decode).try_into().expect("checked on entry"),
            offset: (presentation - decode).try_into().expect("checked on entry"),
            sync: held.sync,
            data: held.data,
        })
    }

    /// Decides whether the track starts with this sample; if so, with which
    /// shift and when the sample is presented.
    fn start(&mut self, held: &Held) -> Option<(i64, i64)> {
        // A picture that is up when the film begins is shown from then on. A
        // frame of sound cannot be cut: moved, it would delay all that follows.
        let too_early = match self.track {
            Track::Video => held.presentation + i64::from(self.duration) <= 0,
            Track::Audio => held.presentation < 0,
        };
        if too_early {
            self.dropped += 1;
            return None;
        }
        let presentation = held.presentation.max(0);
        let delay = held.presentation - held.decode;
        let shift = (delay - presentation).max(0);
        self.shift = Some(shift);
        Some((shift, presentation))
    }

    fn units(&self, at: Timestamp) -> i64 {
        Timestamp(at.0.saturating_sub(self.origin.0)).to_units(self.timescale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One unit is a millisecond; a track of one sample lasts 100.
    fn run(track: Track, samples: &[(i64, i64, bool)]) -> (Vec<(u64, i32, u32)>, u64) {
        let mut timeline = Timeline::new(track, 1000, 100, Timestamp(5_000_000_000));
        let at = |millis: i64| Timestamp(5_000_000_000 + millis * 1_000_000);
        let mut out = Vec::new();
        for &(decode, presentation, sync) in samples {
            let (decode, presentation) = (at(decode), at(presentation));
            let sample = Sample { track, presentation, decode, sync, data: Bytes::new() };
            out.extend(timeline.push(sample).unwrap());
        }
        out.extend(timeline.finish());
        let found = out.iter().map(|timed| (timed.decode, timed.offset, timed.duration));
        (found.collect(), timeline.dropped())
    }

    #[test]
    fn a_sample_lasts_until_the_next() {
        let samples = [(0, 0, true), (40, 40, false), (70, 70, false)];
        assert_eq!(run(Track::Video, &samples), (vec![(0, 0, 40), (40, 0, 30), (70, 0, 30)], 0));
    }

    #[test]
    fn video_waits_for_a_sync_sample() {
        let samples = [(0, 0, false), (40, 40, false), (80, 80, true), (120, 120, false)];
        assert_eq!(run(Track::Video, &samples), (vec![(80, 0, 40), (120, 0, 40)], 2));
    }

    #[test]
    fn a_picture_that_is_up_at_the_origin_is_shown_from_there() {
        let samples = [(-80, -80, true), (-30, -30, true), (10, 10, false)];
        assert_eq!(run(Track::Video, &samples), (vec![(0, 0, 10), (10, 0, 40)], 1));
        let ends_at_origin = [(-40, -40, true), (0, 0, true)];
        assert_eq!(run(Track::Video, &ends_at_origin), (vec![(0, 0, 40)], 1));
    }

    #[test]
    fn pictures_after_a_dropped_sync_sample_wait_for_the_next() {
        let samples = [(-80, -80, true), (-40, -40, false), (0, 0, false), (40, 40, true)];
        assert_eq!(run(Track::Video, &samples), (vec![(40, 0, 40)], 3));
    }

    #[test]
    fn a_frame_of_sound_that_begins_before_the_origin_is_dropped() {
        let samples = [(-43, -43, true), (-21, -21, true), (0, 0, true), (21, 21, true)];
        assert_eq!(run(Track::Audio, &samples), (vec![(0, 0, 21), (21, 0, 21)], 2));
        assert_eq!(run(Track::Audio, &[(-21, -21, true), (1, 1, true)]), (vec![(1, 0, 22)], 1));
    }

    #[test]
    fn sound_may_start_at_any_frame() {
        assert_eq!(run(Track::Audio, &[(5, 5, false)]), (vec![(5, 0, 100)], 0));
    }

    #[test]
    fn reordered_pictures_are_decoded_from_0_and_shown_on_time() {
        // I P B: decoded 80 ahead of the origin, since the I is shown at it.
        let samples = [(-80, 0, true), (-40, 80, false), (0, 40, false)];
        let expected = vec![(0, 0, 40), (40, 40, 40), (80, -40, 40)];
        assert_eq!(run(Track::Video, &samples), (expected, 0));
    }
}
