//! By how much the sound's count is off the clock of the pictures.
//!
//! Sound is timed by counting its samples. Where the count begins depends on when the first
//! block happened to be read, and the sound server's second is not quite a second: PulseAudio's
//! null sink rounds the time of each of its blocks down, which makes a third of a second in an
//! hour (docs/encoding.md). What arrives tells both: the server hands a block over when it begins
//! to play it. Pure: times go in, a correction comes out. It must not know GStreamer.

/// How much sound the server is asked to hand over at once, in nanoseconds.
pub(super) const BLOCK: i64 = 10_000_000;

/// The soonest arrival of so long counts: any single one may be late, none is too soon.
const WINDOW: i64 = 10_000_000_000;

/// Less is noise.
const LEAST: i64 = 1_000_000;

/// The most that the beginning of a count is believed to be off by, and that a clock is believed
/// to be wrong by, in millionths: what is beyond that is a machine that stands still.
const MOST_AT_FIRST: i64 = 100_000_000;
const MOST_PPM: i64 = 500;

/// All times are nanoseconds of running time.
#[derive(Debug, Default)]
pub(super) struct Drift {
    begin: Option<i64>,
    window: Option<Window>,
    wanted: i64,
    /// Nothing before the first frame of sound.
    correction: Option<i64>,
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
        let late = now - (end - BLOCK);
        let begin = *self.begin.get_or_insert(now);
        let window = self.window.get_or_insert(Window { begin: now, soonest: late });
        window.soonest = window.soonest.min(late);
        let Window { begin: since, soonest } = *window;
        // The first frame goes by all that came before it.
        let is_first = self.correction.is_none();
        let is_over = !is_first && now - since >= WINDOW;
        if is_over || is_first {
            let most = MOST_AT_FIRST + (now - begin) / 1_000_000 * MOST_PPM;
            self.wanted = soonest.clamp(-most, most);
        }
        if is_over {
            self.window = None;
        }
    }

    /// The count begins anew: what arrived before tells nothing any more.
    pub(super) fn begins_anew(&mut self) {
        self.window = None;
    }

    /// What to add to the time of the next frame of sound. From frame to frame it moves by no
    /// more than `step`, one sample, so that nobody hears it.
    pub(super) fn correction(&mut self, step: i64) -> i64 {
        let correction = self.correction.get_or_insert(self.wanted);
        let off = self.wanted - *correction;
        self.is_moving = off.abs() >= LEAST || self.is_moving && off != 0;
        if self.is_moving {
            *correction += off.clamp(-step, step);
        }
        *correction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 1_000_000_000 / 48_000;

    /// Where the next block ends whose count began `off` too late.
    fn end(block: i64, off: i64) -> i64 {
        (block + 1) * BLOCK + off
    }

    /// The corrections after each minute where sound is counted faster by so many
    /// millionths, and arrives after it began by the times of `delay`, by the number of the block.
    fn corrected(minutes: i64, ppm: i64, delay: impl Fn(i64) -> i64) -> Vec<i64> {
        let mut drift = Drift::default();
        let mut corrections = vec![];
        for block in 0..minutes * 6000 {
            let begin = block * BLOCK;
            let heard = begin - begin / 1_000_000 * ppm;
            drift.arrived(heard + delay(block), begin + BLOCK);
            let correction = drift.correction(STEP);
            if (block + 1) % 6000 == 0 {
                corrections.push(correction);
            }
        }
        corrections
    }

    fn jitter(block: i64) -> i64 {
        block * 7_919_317 % 30_000_000
    }

    #[test]
    fn a_clock_that_runs_fast_or_slow_is_followed() {
        for ppm in [92, -92] {
            for (minute, correction) in (1..).zip(corrected(60, ppm, jitter)) {
                let wanted = -ppm * minute * 60 * 1000;
                let off = (correction - wanted).abs();
                assert!(off < 4_000_000, "minute {minute}: {correction}, not {wanted}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_right_is_left_alone() {
        assert!(corrected(10, 0, jitter).iter().all(|one| *one == 0));
    }

    #[test]
    fn a_count_that_began_early_or_late_is_right_from_the_first_frame() {
        let counts = [-40_000_000, -3_000_000, 500_000, 16_000_000, 40_000_000];
        for (off, first) in counts.into_iter().flat_map(|off| [(off, 200), (off, 1004)]) {
            let mut drift = Drift::default();
            for block in 0..first {
                drift.arrived(block * BLOCK + jitter(block), end(block, off));
            }
            assert_eq!(drift.correction(STEP), -off);
            // And stays.
            for block in first..10_000 {
                drift.arrived(block * BLOCK + jitter(block), end(block, off));
                assert_eq!(drift.correction(STEP), -off);
            }
        }
    }

    #[test]
    fn a_count_that_begins_anew_is_looked_at_anew() {
        let mut drift = Drift::default();
        // By its count 20 ms too late before a gap, right after it.
        for block in 0..900 {
            drift.arrived(block * BLOCK, end(block, 20_000_000));
        }
        assert_eq!(drift.correction(STEP), -20_000_000);
        drift.begins_anew();
        for block in 900..3000 {
            drift.arrived(block * BLOCK, end(block, 0));
            drift.correction(STEP);
        }
        assert_eq!(drift.correction(STEP), 0);
    }

    #[test]
    fn a_machine_that_stands_still_is_not_taken_for_a_clock() {
        // For half a minute everything comes two seconds late.
        let late = |block: i64| if (12_000..15_000).contains(&block) { 2_000_000_000 } else { 0 };
        let corrections = corrected(10, 0, late);
        assert!(corrections.iter().all(|one| one.abs() <= 100_000_000), "{corrections:?}");
        assert_eq!(corrections.last(), Some(&0));
        // Nor when it does so at first.
        let mut drift = Drift::default();
        drift.arrived(2_000_000_000, BLOCK);
        assert_eq!(drift.correction(STEP), MOST_AT_FIRST);
    }

    #[test]
    fn a_frame_is_never_moved_by_more_than_one_sample() {
        let mut drift = Drift::default();
        let mut before = 0;
        for block in 0..100_000 {
            let begin = block * BLOCK;
            drift.arrived(begin - begin / 2000, begin + BLOCK);
            let correction = drift.correction(STEP);
            assert!((correction - before).abs() <= STEP);
            before = correction;
        }
        assert!(before < -100_000_000, "{before}");
    }
}
