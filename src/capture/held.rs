//! Pictures wait a moment before they are coded, so that the last ones can still be
//! left out: that a page is lost is known just after the browser has drawn
//! something else in its place. Meanwhile a late picture can still get the slot that it was
//! drawn for (`grid.rs`).
//!
//! Pure: it must not know what a picture is, nor why one is left out.

use std::collections::VecDeque;

/// How many slots wait: an eighth of a second.
pub(super) fn length(fps: u32) -> u32 {
    fps.div_ceil(8)
}

/// A slot: its picture, or none where that before it is shown again, and its time.
type Slot<P> = (Option<P>, i64);

#[derive(Debug)]
pub(super) struct Held<P> {
    slots: VecDeque<Waiting<P>>,
    length: usize,
}

#[derive(Debug)]
struct Waiting<P> {
    slot: Slot<P>,
    /// Its picture was in the next slot first.
    is_moved: bool,
}

impl<P> Held<P> {
    pub(super) fn new(fps: u32) -> Self {
        Self { slots: VecDeque::new(), length: length(fps) as usize }
    }

    pub(super) fn put(&mut self, picture: Option<P>, presentation: i64) {
        self.slots.push_back(Waiting { slot: (picture, presentation), is_moved: false });
    }

    /// Whether [`Held::put_last`] may be called: a slot has no picture, and none behind it was
    /// moved already, for it would be seen far too soon.
    pub(super) fn has_gap(&self) -> bool {
        let mut last = self.slots.iter().rev();
        last.find(|waiting| waiting.is_moved || waiting.slot.0.is_none())
            .is_some_and(|waiting| waiting.slot.0.is_none())
    }

    /// Puts a picture into the last slot. What stands there was late, as all before it up to the
    /// last slot that has none: each moves into the slot before its own.
    pub(super) fn put_last(&mut self, picture: P) {
        let mut coming = Some(picture);
        let mut is_moved = false;
        for waiting in self.slots.iter_mut().rev() {
            std::mem::swap(&mut waiting.slot.0, &mut coming);
            waiting.is_moved = std::mem::replace(&mut is_moved, true);
            if coming.is_none() {
                return;
            }
        }
    }

    /// The slot that has waited long enough.
    pub(super) fn next(&mut self) -> Option<Slot<P>> {
        if self.slots.len() <= self.length {
            return None;
        }
        self.slots.pop_front().map(|waiting| waiting.slot)
    }

    /// At the end nothing waits any more.
    pub(super) fn release(&mut self) {
        self.length = 0;
    }

    /// Leaves out all pictures that wait; whether there were any.
    pub(super) fn leave_out(&mut self) -> bool {
        let any = self.last().is_some();
        self.slots.iter_mut().for_each(|waiting| waiting.slot.0 = None);
        any
    }

    /// The newest picture that waits.
    pub(super) fn last(&self) -> Option<&P> {
        self.slots.iter().rev().find_map(|waiting| waiting.slot.0.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(held: &mut Held<char>) -> Vec<Slot<char>> {
        std::iter::from_fn(|| held.next()).collect()
    }

    #[test]
    fn slots_wait_for_an_eighth_of_a_second_and_keep_their_order() {
        let mut held = Held::new(30);
        for (time, picture) in (0..).zip("abcd".chars()) {
            held.put(Some(picture), time);
            assert_eq!(drained(&mut held), []);
        }
        held.put(None, 4);
        assert_eq!(drained(&mut held), [(Some('a'), 0)]);
        assert_eq!(held.last(), Some(&'d'));
        held.release();
        let rest = [(Some('b'), 1), (Some('c'), 2), (Some('d'), 3), (None, 4)];
        assert_eq!(drained(&mut held), rest);
    }

    #[test]
    fn what_was_late_moves_into_the_slot_before_up_to_the_last_without_a_picture() {
        for (before, expected) in [
            ([Some('a'), Some('b'), None, Some('c')], "abcx"),
            ([None, Some('a'), Some('b'), Some('c')], "abcx"),
            ([None, None, Some('a'), Some('b')], "-abx"),
        ] {
            let mut held = Held::new(30);
            for (time, picture) in (0..).zip(before) {
                held.put(picture, time);
            }
            assert!(held.has_gap());
            held.put_last('x');
            assert_eq!(held.last(), Some(&'x'));
            assert!(!held.has_gap(), "none moves twice");
            held.release();
            let after = drained(&mut held);
            assert!((0..).zip(&after).all(|(time, slot)| time == slot.1), "{after:?}");
            let after: String = after.iter().map(|(picture, _)| picture.unwrap_or('-')).collect();
            assert_eq!(after, expected);
        }
    }

    #[test]
    fn a_last_slot_without_a_picture_gets_one_alone() {
        let mut held = Held::new(30);
        for (time, picture) in [(0, None), (1, Some('a')), (2, None)] {
            held.put(picture, time);
        }
        held.put_last('x');
        held.release();
        assert_eq!(drained(&mut held), [(None, 0), (Some('a'), 1), (Some('x'), 2)]);
    }

    #[test]
    fn pictures_that_are_left_out_leave_their_slots() {
        let mut held = Held::new(30);
        for (time, picture) in [(0, Some('a')), (1, None), (2, Some('b'))] {
            held.put(picture, time);
        }
        assert!(held.leave_out());
        assert_eq!((held.leave_out(), held.last()), (false, None));
        held.put(Some('c'), 3);
        assert_eq!(held.last(), Some(&'c'));
        held.release();
        assert_eq!(drained(&mut held), [(None, 0), (None, 1), (None, 2), (Some('c'), 3)]);
    }
}
