//! The sound of a marked clip: a beep at each whole second, silence between.
//!
//! Pure; knows nothing of files or codecs.

use std::f64::consts::TAU;

use crate::marks::{MARK_SECONDS, TONE_HZ};

/// Samples per second of everything made here.
pub const RATE: u32 = 48_000;

const LOUDNESS: f64 = 0.5;

/// One channel, 16 bits a sample, exactly `seconds` long.
pub fn beeps(seconds: u32) -> Vec<i16> {
    let second = one_second();
    (0..seconds).flat_map(|_| second.iter().copied()).collect()
}

/// The beep is a whole number of periods, so it starts and ends at zero
/// without a click.
fn one_second() -> Vec<i16> {
    let rate = f64::from(RATE);
    (0..RATE)
        .map(|index| f64::from(index) / rate)
        .map(|time| if time < MARK_SECONDS { LOUDNESS * (TAU * TONE_HZ * time).sin() } else { 0.0 })
        .map(to_sample)
        .collect()
}

#[expect(clippy::cast_possible_truncation, reason = "the value is within one unit")]
fn to_sample(value: f64) -> i16 {
    (value * f64::from(i16::MAX)).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_starts_with_a_beep_and_goes_on_in_silence() {
        let samples = beeps(2);
        assert_eq!(samples.len(), 96_000);
        for second in samples.chunks(48_000) {
            assert_eq!(second[0], 0);
            assert!(second[12] > 16_000, "a quarter period in: {}", second[12]);
            assert!(second[4800..].iter().all(|&sample| sample == 0));
        }
    }
}
