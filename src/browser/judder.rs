//! Whether a film judders.
//!
//! The browser composes a page in turns, and shows the picture of a film whose time has come.
//! Where that is just about a turn, one picture is seen twice and the next one never, again and
//! again, until one of both moves.
//!
//! Pure: it is told how many pictures of each film were never seen. It must not know what is done about it.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// So many answers of the page are looked at: three seconds.
const ANSWERS: usize = 6;

/// So many of those that tell of a film that drops a few pictures are no chance.
const TIMES: usize = 2;

/// In half a second. More are dropped by a film that has more pictures than there are turns, and
/// where the machine stalls.
const A_FEW: RangeInclusive<u64> = 1..=3;

/// For so many answers what was done about it is to help: a second.
const PATIENCE: u32 = 2;

/// Where it has helped for so many more, a next time has another cause. Before, each try waits
/// twice as long as the last one, because it may be in vain.
const CALM: u32 = 20;

#[derive(Debug)]
pub(super) struct Judder {
    /// Which of the last answers told of such a film.
    answers: VecDeque<bool>,
    /// Answers since it was told that a film judders.
    told: u32,
    /// So many of those have to be.
    patience: u32,
}

impl Default for Judder {
    fn default() -> Self {
        Self { answers: VecDeque::new(), told: u32::MAX, patience: PATIENCE }
    }
}

impl Judder {
    /// With each answer: how many pictures each film has `dropped` since the last one. Tells
    /// whether one judders and something is to be done about it.
    pub(super) fn step(&mut self, dropped: &[u64]) -> bool {
        self.told = self.told.saturating_add(1);
        if self.answers.len() == ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back(dropped.iter().any(|dropped| A_FEW.contains(dropped)));
        let times = self.answers.iter().filter(|is_such| **is_such).count();
        if self.told < self.patience || times < TIMES {
            return false;
        }
        self.patience = if self.told < self.patience.saturating_add(CALM) {
            self.patience.saturating_mul(2)
        } else {
            PATIENCE
        };
        self.told = 0;
        self.answers.clear();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With which of so many answers it was told that a film judders.
    fn told(judder: &mut Judder, answers: usize, dropped: impl Fn(usize) -> u64) -> Vec<usize> {
        // Beside it is a film that fares well.
        (0..answers).filter(|answer| judder.step(&[0, dropped(*answer)])).collect()
    }

    #[test]
    fn a_film_that_drops_pictures_again_and_again_judders() {
        for every in [1, 2, 5] {
            let told = told(&mut Judder::default(), 12, |answer| u64::from(answer % every == 0));
            assert_eq!(told.first(), Some(&every), "{every}: {told:?}");
        }
    }

    #[test]
    fn a_picture_here_and_there_and_a_film_of_more_pictures_than_turns_are_no_judder() {
        for (dropped, every) in [(0, 1), (3, ANSWERS), (15, 1)] {
            let dropped = |answer| if answer % every == 0 { dropped } else { 0 };
            assert_eq!(told(&mut Judder::default(), 10_000, dropped), [0; 0], "every {every}");
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
