//! How far sound and picture are apart.
//!
//! Pure: times of flashes and beeps in, offsets out. An offset is beep minus
//! flash: **positive means that the sound is late**.

use serde::Serialize;

use crate::stats;

/// A flash and a beep further apart than this do not belong together. Half of
/// the distance between two marks: beyond it nobody can say which is which.
const FURTHEST: f64 = 0.5;

/// The offsets of one recording, in milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Sync {
    pub flashes: usize,
    pub beeps: usize,
    /// Flashes without a beep although the recording has sound around them.
    pub missing_beeps: usize,
    /// Beeps without a flash although the recording has pictures around them.
    pub missing_flashes: usize,
    /// Middle of all offsets, with its sign.
    pub median_ms: Option<f64>,
    /// Of the offsets without their sign.
    pub p50_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// How much later the sound gets in an hour.
    pub drift_ms_per_hour: Option<f64>,
    pub offsets: Vec<Offset>,
}

/// One pair of flash and beep.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Offset {
    /// When the flash is shown, in seconds.
    pub time: f64,
    /// Beep minus flash, in milliseconds.
    pub offset_ms: f64,
}

/// From first to last moment, in seconds.
pub type Span = (f64, f64);

/// Pairs each flash with the nearest beep; all times in seconds, in rising order.
pub fn compare(flashes: &[f64], beeps: &[f64], pictures: Span, sound: Span) -> Sync {
    let offsets: Vec<Offset> = flashes
        .iter()
        .filter_map(|&time| {
            let beep = nearest(beeps, time)?;
            Some(Offset { time, offset_ms: (beep - time) * 1000.0 })
        })
        .collect();
    let signed: Vec<f64> = offsets.iter().map(|offset| offset.offset_ms).collect();
    let absolute: Vec<f64> = signed.iter().map(|offset| offset.abs()).collect();
    let hours: Vec<_> = offsets.iter().map(|o| (o.time / 3600.0, o.offset_ms)).collect();
    Sync {
        flashes: flashes.len(),
        beeps: beeps.len(),
        missing_beeps: without_partner(flashes, beeps, sound),
        missing_flashes: without_partner(beeps, flashes, pictures),
        median_ms: stats::median(&signed),
        p50_ms: stats::percentile(&absolute, 0.5),
        p95_ms: stats::percentile(&absolute, 0.95),
        max_ms: stats::percentile(&absolute, 1.0),
        drift_ms_per_hour: stats::slope(&hours),
        offsets,
    }
}

fn nearest(times: &[f64], time: f64) -> Option<f64> {
    let next = times.partition_point(|&other| other < time);
    let around = &times[next.saturating_sub(1)..times.len().min(next + 1)];
    let distance = |other: &&f64| (*other - time).abs();
    around
        .iter()
        .min_by(|a, b| distance(a).total_cmp(&distance(b)))
        .filter(|other| distance(other) < FURTHEST)
        .copied()
}

/// How many of `times` have no partner although the other track covers all the
/// time in which the partner could be.
fn without_partner(times: &[f64], partners: &[f64], other_track: Span) -> usize {
    let covered = |time: f64| time - FURTHEST > other_track.0 && time + FURTHEST < other_track.1;
    times.iter().filter(|&&time| covered(time) && nearest(partners, time).is_none()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Span = (0.0, 100.0);

    fn every_second(count: u32, first: f64) -> Vec<f64> {
        (0..count).map(|second| first + f64::from(second)).collect()
    }

    fn near(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 1e-6)
    }

    #[test]
    fn late_sound_is_positive() {
        let sync = compare(&every_second(20, 1.0), &every_second(20, 1.12), ALL, ALL);
        assert!(near(sync.median_ms, 120.0) && near(sync.p95_ms, 120.0), "{sync:?}");
        assert!(near(sync.drift_ms_per_hour, 0.0));
        assert_eq!((sync.missing_beeps, sync.missing_flashes), (0, 0));
    }

    #[test]
    fn early_sound_is_negative_but_counts_as_much() {
        let sync = compare(&every_second(20, 1.0), &every_second(20, 0.75), ALL, ALL);
        assert!(near(sync.median_ms, -250.0) && near(sync.p50_ms, 250.0), "{sync:?}");
    }

    #[test]
    fn drift_is_the_growth_of_the_offset() {
        let flashes = every_second(60, 1.0);
        let beeps: Vec<f64> = flashes.iter().map(|time| time * (1.0 + 10e-6)).collect();
        assert!(near(compare(&flashes, &beeps, ALL, ALL).drift_ms_per_hour, 36.0));
    }

    #[test]
    fn lost_marks_are_counted_only_where_they_could_be_seen() {
        let mut beeps = every_second(20, 1.0);
        beeps.remove(7);
        let sync = compare(&every_second(20, 1.0), &beeps, ALL, ALL);
        assert_eq!((sync.missing_beeps, sync.missing_flashes, sync.offsets.len()), (1, 0, 19));
        let short = compare(&every_second(20, 1.0), &every_second(10, 1.0), ALL, (0.0, 10.4));
        assert_eq!(short.missing_beeps, 0);
    }

    #[test]
    fn a_recording_without_sound_has_no_offsets() {
        let sync = compare(&every_second(3, 1.0), &[], ALL, (0.0, 0.0));
        assert_eq!((sync.flashes, sync.missing_beeps, sync.median_ms), (3, 0, None));
    }
}
