//! By how much the sound's clock has drifted from that of the pictures.
//!
//! Sound is timed by counting its samples, and the sound server's second is not quite a
//! second: PulseAudio's null sink rounds the time of each of its blocks down, which makes a
//! third of a second in an hour (docs/encoding.md). What arrives tells: sound that is counted too fast comes ever sooner after
//! it was heard. Pure: times go in, a correction comes out. It must not know GStreamer.

/// The soonest arrival of so long counts: any single one may be late, none is too soon.
const WINDOW: i64 = 10_000_000_000;

/// Less is noise.
const LEAST: i64 = 1_000_000;

/// The most that a clock is believed to be wrong by, in millionths: what is beyond that is a
/// machine that stands still.
const MOST_PPM: i64 = 500;

/// All times are nanoseconds of running time.
#[derive(Debug, Default)]
pub(super) struct Drift {
    window: Option<Window>,
    /// The soonest arrival in the first window, and when that began.
    first: Option<Window>,
    wanted: i64,
    correction: i64,
    is_moving: bool,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    begin: i64,
    soonest: i64,
}

impl Drift {
    /// Sound arrived at `now` that by its count ended at `end`.
    pub(super) fn arrived(&mut self, now: i64, end: i64) {
        let after = now - end;
        let window = self.window.get_or_insert(Window { begin: now, soonest: after });
        window.soonest = window.soonest.min(after);
        if now - window.begin < WINDOW {
            return;
        }
        let window = *window;
        self.window = None;
        let first = *self.first.get_or_insert(window);
        let most = (now - first.begin) / 1_000_000 * MOST_PPM;
        self.wanted = (window.soonest - first.soonest).clamp(-most, most);
    }

    /// What to add to the time of the next frame of sound. It moves by no more than `step`,
    /// one sample, from frame to frame, so that nobody hears it.
    pub(super) fn correction(&mut self, step: i64) -> i64 {
        let off = self.wanted - self.correction;
        self.is_moving = off.abs() >= LEAST || self.is_moving && off != 0;
        if self.is_moving {
            self.correction += off.clamp(-step, step);
        }
        self.correction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: i64 = 10_000_000;
    const STEP: i64 = 1_000_000_000 / 48_000;

    /// The corrections after each minute where sound is counted faster by so many
    /// millionths, and arrives after the times of `delay`, by the number of the block.
    fn corrected(minutes: i64, ppm: i64, delay: impl Fn(i64) -> i64) -> Vec<i64> {
        let mut drift = Drift::default();
        let mut corrections = vec![];
        for block in 0..minutes * 6000 {
            let end = block * BLOCK;
            let heard = end - end / 1_000_000 * ppm;
            drift.arrived(heard + delay(block), end);
            let correction = drift.correction(STEP);
            if (block + 1) % 6000 == 0 {
                corrections.push(correction);
            }
        }
        corrections
    }

    #[test]
    fn a_clock_that_runs_fast_or_slow_is_followed() {
        for ppm in [92, -92] {
            let late = |block: i64| 20_000_000 + block * 7_919_317 % 30_000_000;
            for (minute, correction) in (1..).zip(corrected(60, ppm, late)) {
                let wanted = -ppm * minute * 60 * 1000;
                let off = (correction - wanted).abs();
                assert!(off < 4_000_000, "minute {minute}: {correction}, not {wanted}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_right_is_left_alone() {
        assert!(
            corrected(10, 0, |block| block * 7_919_317 % 30_000_000).iter().all(|one| *one == 0)
        );
    }

    #[test]
    fn a_machine_that_stands_still_is_not_taken_for_a_clock() {
        // For half a minute everything comes two seconds late.
        let late = |block: i64| if (12_000..15_000).contains(&block) { 2_000_000_000 } else { 0 };
        let corrections = corrected(10, 0, late);
        assert!(corrections.iter().all(|one| one.abs() <= 80_000_000), "{corrections:?}");
        assert_eq!(corrections.last(), Some(&0));
    }

    #[test]
    fn a_frame_is_never_moved_by_more_than_one_sample() {
        let mut drift = Drift::default();
        let mut before = 0;
        for block in 0..100_000 {
            let end = block * BLOCK;
            drift.arrived(end - end / 2000, end);
            let correction = drift.correction(STEP);
            assert!((correction - before).abs() <= STEP);
            before = correction;
        }
        assert!(before < -100_000_000, "{before}");
    }
}
