//! Finds the beeps in the sound of a recording.
//!
//! Pure. A beep is where the 1 kHz tone stands out; clicks, hum and other
//! noise do not count.

use std::f32::consts::TAU;

use crate::marks::{MARK_SECONDS, TONE_HZ};
use crate::observation::Sound;

/// Length of the window in which the tone is measured: five periods.
const WINDOW_SECONDS: f64 = 0.005;
/// Distance between two such measurements.
const HOP_SECONDS: f64 = 0.001;
/// Beeps softer than this (-46 dB of full scale) are taken for noise.
const SOFTEST: f32 = 0.005;
/// A tone counts while it is at least this part of the loudest one.
const PART_OF_LOUDEST: f32 = 0.4;
/// Tones shorter than this part of a beep are something else, for example the
/// rest of a beep that was under way when the recording started.
const SHORTEST_PART: f64 = 0.5;

/// When each beep starts, in seconds, to about a millisecond.
///
/// A beep that is already sounding at the first sample has no known start and
/// is left out.
pub fn onsets(sound: &Sound) -> Vec<f64> {
    let length = |seconds: f64| samples(seconds, sound.rate);
    let (window, hop) = (length(WINDOW_SECONDS), length(HOP_SECONDS));
    if sound.samples.len() < window || hop == 0 {
        return Vec::new();
    }
    let levels = tone_levels(&sound.samples, sound.rate, window, hop);
    let loudest = levels.iter().copied().fold(0.0, f32::max);
    let threshold = (loudest * PART_OF_LOUDEST).max(SOFTEST);

    let shortest = length(MARK_SECONDS * SHORTEST_PART) / hop;
    let mut onsets = Vec::new();
    let mut index = 0;
    for run in levels.chunk_by(|a, b| (*a >= threshold) == (*b >= threshold)) {
        let loud = run[0] >= threshold;
        if loud && run.len() >= shortest && index > 0 {
            let first = first_swing(&sound.samples, index * hop, window, threshold);
            onsets.push(sound.time_of(first));
        }
        index += run.len();
    }
    onsets
}

/// The largest sample, in decibels of full scale; `None` for digital silence.
pub fn peak_dbfs(sound: &Sound) -> Option<f64> {
    let peak = sound.samples.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
    (peak > 0.0).then(|| 20.0 * f64::from(peak).log10())
}

/// Amplitude of the tone in every window, one window each `hop` samples.
fn tone_levels(samples: &[f32], rate: u32, window: usize, hop: usize) -> Vec<f32> {
    let (sines, cosines): (Vec<f32>, Vec<f32>) = (0_u16..)
        .take(window)
        .map(|index| (TAU * tone_hz() * f32::from(index) / rate_f32(rate)).sin_cos())
        .unzip();
    let sum =
        |part: &[f32], wave: &[f32]| -> f32 { part.iter().zip(wave).map(|(a, b)| a * b).sum() };
    let scale = 2.0 / rate_f32(u32::try_from(window).expect("a window is short"));
    samples
        .windows(window)
        .step_by(hop)
        .map(|part| sum(part, &sines).hypot(sum(part, &cosines)) * scale)
        .collect()
}

/// The tone level crosses the threshold when part of a window has the tone, so
/// the beep itself starts within that window: at the first sample that swings
/// as far as the threshold.
fn first_swing(samples: &[f32], start: usize, window: usize, threshold: f32) -> usize {
    let end = (start + window).min(samples.len());
    (start..end).find(|&index| samples[index].abs() >= threshold).unwrap_or(start)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "short and positive")]
fn samples(seconds: f64, rate: u32) -> usize {
    (seconds * f64::from(rate)).round() as usize
}

#[expect(clippy::cast_possible_truncation, reason = "1000 is exact")]
fn tone_hz() -> f32 {
    TONE_HZ as f32
}

#[expect(clippy::cast_precision_loss, reason = "rates and window lengths are far below 2^24")]
fn rate_f32(value: u32) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 48_000;

    /// Two seconds with a beep of `amplitude` from each of `starts`.
    fn sound_with(starts: &[usize], amplitude: f32) -> Sound {
        let mut samples = vec![0.0; 2 * RATE as usize];
        for &start in starts {
            for (index, sample) in (0_u16..4800).zip(&mut samples[start..]) {
                *sample = amplitude * (TAU * 1000.0 * f32::from(index) / 48_000.0).sin();
            }
        }
        Sound { rate: RATE, samples, frames: vec![(0, 10.0)] }
    }

    #[test]
    fn a_beep_is_found_within_half_a_millisecond_at_any_place_and_loudness() {
        for start in [4_801, 20_000, 33_333, 47_977] {
            for amplitude in [0.02, 0.3, 1.0] {
                let found = onsets(&sound_with(&[start, start + 36_000], amplitude));
                assert_eq!(found.len(), 2, "{start} {amplitude}");
                let expected = 10.0 + f64::from(u32::try_from(start).unwrap()) / 48_000.0;
                assert!((found[0] - expected).abs() < 0.0005, "{start} {amplitude}: {found:?}");
            }
        }
    }

    #[test]
    fn hum_clicks_and_noise_are_not_beeps() {
        let mut sound = sound_with(&[24_000], 0.3);
        for (index, sample) in (0_u16..).zip(sound.samples.iter_mut().take(60_000)) {
            *sample += 0.1 * (TAU * 50.0 * f32::from(index) / 48_000.0).sin();
        }
        sound.samples[5_000] = 1.0;
        sound.samples[70_000] = -1.0;
        assert_eq!(onsets(&sound).len(), 1);
    }

    #[test]
    fn a_beep_under_way_at_the_start_is_left_out() {
        let mut sound = sound_with(&[0, 48_000], 0.5);
        sound.samples.drain(..500);
        assert_eq!(onsets(&sound).len(), 1);
    }

    #[test]
    fn silence_has_no_beeps_and_no_peak() {
        let silence = sound_with(&[], 0.0);
        assert!(onsets(&silence).is_empty());
        assert_eq!(peak_dbfs(&silence), None);
        assert!(onsets(&Sound::default()).is_empty());
        let loud = sound_with(&[0], 0.5);
        assert!((peak_dbfs(&loud).unwrap() + 6.02).abs() < 0.01);
    }
}
