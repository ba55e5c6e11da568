//! How often a lost page is opened again before the recording gives up.
//!
//! Pure: the time goes in, a decision comes out.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The failure with this number, within [`WITHIN`], is the last.
const FAILURES: usize = 3;
const WITHIN: Duration = Duration::from_mins(5);

#[derive(Debug, Default)]
pub(super) struct Rejoins {
    failures: VecDeque<Instant>,
}

impl Rejoins {
    /// Notes a failure, and says whether another start is worth it.
    pub(super) fn allow(&mut self, now: Instant) -> bool {
        while self.failures.front().is_some_and(|first| now.duration_since(*first) > WITHIN) {
            self.failures.pop_front();
        }
        self.failures.push_back(now);
        self.failures.len() < FAILURES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_failure_in_five_minutes_is_the_last() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rejoins = Rejoins::default();
        assert!(rejoins.allow(at(0)));
        assert!(rejoins.allow(at(299)));
        assert!(!rejoins.allow(at(300)));

        let mut rejoins = Rejoins::default();
        let allowed: Vec<_> = (0..10).map(|n| rejoins.allow(at(n * 200))).collect();
        assert!(allowed.iter().all(|allowed| *allowed), "failures far apart do not add up");
    }
}
