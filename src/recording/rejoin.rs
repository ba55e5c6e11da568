//! How often a lost page is opened again before the recording gives up.
//!
//! Pure: the time goes in, a decision comes out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long to wait after each failure within [`WITHIN`]; the next one is the last.
const PAUSES: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(1),
    Duration::from_mins(1),
];
const WITHIN: Duration = Duration::from_mins(10);

#[derive(Debug, Default)]
pub(super) struct Rejoins {
    failures: VecDeque<Instant>,
}

impl Rejoins {
    /// Notes a failure, and says how long to wait before another start; `None`: it is not worth it.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Duration> {
        while self.failures.front().is_some_and(|first| now.duration_since(*first) > WITHIN) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        PAUSES.get(self.failures.len() - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meeting_that_is_away_is_waited_for_and_one_that_stays_away_is_given_up() {
        let start = Instant::now();
        let mut rejoins = Rejoins::default();
        let mut waited = Duration::ZERO;
        while let Some(pause) = rejoins.pause(start + waited) {
            // A start that fails takes some seconds, too.
            waited += pause + Duration::from_secs(3);
        }
        assert!((3 * 60..5 * 60).contains(&waited.as_secs()), "{waited:?}");
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let start = Instant::now();
        let mut rejoins = Rejoins::default();
        for n in 0..10 {
            assert_eq!(rejoins.pause(start + n * Duration::from_mins(11)), Some(Duration::ZERO));
        }
    }
}
