//! Whether a film judders.
//!
//! The browser composes a page in turns, and shows the picture of a film whose time has come.
//! Where that is just about a turn, one picture is seen twice and the next one never, again and
//! again, until one of both moves.
//!
//! Pure: it is told how many pictures were never seen. It must not know what is done about it.

use std::collections::VecDeque;

/// So many answers of the page are looked at: three seconds.
const ANSWERS: usize = 6;

/// So many pictures in that are no chance, if not all at once: the machine may stall.
const DROPPED: u64 = 3;
const AT_ONCE: usize = 1;

/// For so many answers what was done about it is to help: a second.
const PATIENCE: u32 = 2;

/// Where it has helped for so many more, a next time has another cause. Before, each try waits
/// twice as long as the last one, because it may be in vain.
const CALM: u32 = 20;

#[derive(Debug)]
pub(super) struct Judder {
    /// How many were dropped by each of the last answers.
    dropped: VecDeque<u64>,
    /// Answers since it was told that a film judders.
    told: u32,
    /// So many of those have to be.
    patience: u32,
}

impl Default for Judder {
    fn default() -> Self {
        Self { dropped: VecDeque::new(), told: u32::MAX, patience: PATIENCE }
    }
}

impl Judder {
    /// With each answer: how many pictures were `dropped` since the last one. Tells whether a film
    /// judders and something is to be done about it.
    pub(super) fn step(&mut self, dropped: u64) -> bool {
        self.told = self.told.saturating_add(1);
        if self.dropped.len() == ANSWERS {
            self.dropped.pop_front();
        }
        self.dropped.push_back(dropped);
        if self.told < self.patience || !self.is_seen() {
            return false;
        }
        self.patience = if self.told < self.patience.saturating_add(CALM) {
            self.patience.saturating_mul(2)
        } else {
            PATIENCE
        };
        self.told = 0;
        self.dropped.clear();
        true
    }

    fn is_seen(&self) -> bool {
        let times = self.dropped.iter().filter(|dropped| **dropped > 0).count();
        times > AT_ONCE && self.dropped.iter().sum::<u64>() >= DROPPED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With which of so many answers it was told that a film judders.
    fn told(judder: &mut Judder, answers: usize, dropped: impl Fn(usize) -> u64) -> Vec<usize> {
        (0..answers).filter(|answer| judder.step(dropped(*answer))).collect()
    }

    #[test]
    fn a_film_that_drops_pictures_again_and_again_judders() {
        for (per_answer, every, first) in [(2, 1, 1), (1, 1, 2), (1, 2, 4), (2, 3, 3)] {
            let dropped = |answer| if answer % every == 0 { per_answer } else { 0 };
            let told = told(&mut Judder::default(), 12, dropped);
            assert_eq!(told.first(), Some(&first), "{per_answer} every {every}: {told:?}");
        }
    }

    #[test]
    fn a_stall_and_a_picture_here_and_there_may_have_any_cause() {
        for (at_once, every) in [(0, 1), (20, 6), (1, 3), (2, 10)] {
            let dropped = |answer| if answer % every == 0 { at_once } else { 0 };
            assert_eq!(told(&mut Judder::default(), 10_000, dropped), [0; 0], "{at_once}, {every}");
        }
    }

    #[test]
    fn less_and_less_is_done_where_it_does_not_help() {
        let told = told(&mut Judder::default(), 10_000, |_| 2);
        let waits: Vec<_> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits[..6], [2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn after_it_helped_it_is_tried_again_as_soon_as_before() {
        let mut judder = Judder::default();
        told(&mut judder, 100, |_| 2);
        assert_eq!(judder.patience, 64);
        told(&mut judder, 1000, |_| 0);
        let told = told(&mut judder, 10, |_| 2);
        assert_eq!(told[..2], [1, 3], "{told:?}");
    }
}
