//! Whether a film judders.
//!
//! The browser composes a page once a slot, and shows the picture of a film whose time has
//! come. Where that is just about when the page is composed, one picture is seen twice and the next
//! one never, again and again, until one of both moves.
//!
//! Pure: it is told of each slot. It must not know what is done about it.

use std::collections::VecDeque;

/// So long is looked at, and at least a third of that.
const SECONDS: u32 = 3;

/// So many slots for which nothing was drawn, between two for which something was, are no chance.
const GAPS: usize = 3;

/// A film of 25 pictures a second leaves out every sixth slot of 30; one that judders fewer.
const SLOTS_PER_GAP: usize = 6;

/// So long what was done about it has to help. Each time that it did not, the next try waits twice
/// as long, because there must be another cause.
const PATIENCE_SECONDS: u32 = 5;

#[derive(Debug)]
pub(super) struct Judder {
    fps: u32,
    /// Whether something was drawn for each of the last slots.
    slots: VecDeque<bool>,
    /// Slots since it was told that the film judders.
    told: u32,
    /// So many of those have to be.
    patience: u32,
}

impl Judder {
    pub(super) fn new(fps: u32) -> Self {
        Self { fps, slots: VecDeque::new(), told: u32::MAX, patience: PATIENCE_SECONDS * fps }
    }

    /// With each slot: whether something `is_drawn` for it. Tells whether the film judders and
    /// something is to be done about it.
    pub(super) fn step(&mut self, is_drawn: bool) -> bool {
        self.told = self.told.saturating_add(1);
        if self.slots.len() == (SECONDS * self.fps) as usize {
            self.slots.pop_front();
        }
        self.slots.push_back(is_drawn);
        if self.told < self.patience || !self.is_seen() {
            return false;
        }
        self.patience = if self.told < 2 * self.patience {
            self.patience.saturating_mul(2)
        } else {
            PATIENCE_SECONDS * self.fps
        };
        self.told = 0;
        self.slots.clear();
        true
    }

    /// Slots were left out: what came before them tells nothing any more.
    pub(super) fn interrupted(&mut self) {
        self.slots.clear();
    }

    fn is_seen(&self) -> bool {
        let slots = &self.slots;
        let gaps = slots.iter().filter(|is_drawn| !**is_drawn).count();
        let alone = (2..slots.len()).filter(|at| slots[at - 2] && !slots[at - 1] && slots[*at]);
        slots.len() >= self.fps as usize
            && gaps < slots.len() / SLOTS_PER_GAP
            && alone.count() >= GAPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In which slots of a page of so many it was told that the film judders.
    fn told(judder: &mut Judder, slots: usize, is_drawn: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..slots).filter(|slot| judder.step(is_drawn(*slot))).collect()
    }

    #[test]
    fn what_is_drawn_at_its_own_rate_does_not_judder() {
        for (page, fps) in
            [("a film", 30), ("a film of 25", 25), ("of 24", 24), ("of 15", 15), ("at rest", 0)]
        {
            let is_drawn = |slot: usize| (slot + 1) * fps / 30 > slot * fps / 30;
            assert_eq!(told(&mut Judder::new(30), 10_000, is_drawn), [0; 0], "{page}");
        }
    }

    #[test]
    fn a_film_that_leaves_out_a_slot_again_and_again_judders() {
        for every in [7, 13, 29] {
            let told = told(&mut Judder::new(30), 120, |slot| slot % every != every - 1);
            let third = 3 * every;
            assert_eq!(told[0], third.max(29), "every {every}: {told:?}");
        }
        // Twice in three seconds, and a stall, may have any cause.
        assert_eq!(told(&mut Judder::new(30), 10_000, |slot| slot % 45 != 0), [0; 0]);
        assert_eq!(told(&mut Judder::new(30), 10_000, |slot| slot % 90 > 8), [0; 0]);
    }

    #[test]
    fn nothing_is_done_while_the_last_time_may_help_and_less_and_less_where_it_does_not() {
        let mut judder = Judder::new(30);
        let told = told(&mut judder, 100_000, |slot| slot % 10 != 0);
        let waits: Vec<_> = told.windows(2).map(|pair| (pair[1] - pair[0]) / 150).collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 32], "times five seconds");
    }

    #[test]
    fn after_it_helped_it_is_tried_again_as_soon_as_before() {
        let mut judder = Judder::new(30);
        told(&mut judder, 2000, |slot| slot % 10 != 0);
        assert!(judder.patience > 300);
        for _ in 0..2 {
            told(&mut judder, 10_000, |_| true);
            let told = told(&mut judder, 400, |slot| slot % 10 != 0);
            let [first, second, ..] = told[..] else { panic!("{told:?}") };
            assert!(second - first < 160, "{told:?}");
        }
    }

    #[test]
    fn what_was_before_slots_that_were_left_out_does_not_count() {
        let mut judder = Judder::new(30);
        told(&mut judder, 29, |slot| slot % 10 != 0);
        judder.interrupted();
        assert_eq!(told(&mut judder, 29, |slot| slot % 10 != 0), [0; 0]);
    }
}
