//! Pictures wait a moment before they are coded, so that the last ones can still be
//! left out: that a page is lost is known just after the browser has drawn
//! something else in its place.
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
    slots: VecDeque<Slot<P>>,
    length: usize,
}

impl<P> Held<P> {
    pub(super) fn new(fps: u32) -> Self {
        Self { slots: VecDeque::new(), length: length(fps) as usize }
    }

    pub(super) fn put(&mut self, picture: Option<P>, presentation: i64) {
        self.slots.push_back((picture, presentation));
    }

    /// The slot that has waited long enough.
    pub(super) fn next(&mut self) -> Option<Slot<P>> {
        if self.slots.len() > self.length { self.slots.pop_front() } else { None }
    }

    /// At the end nothing waits any more.
    pub(super) fn release(&mut self) {
        self.length = 0;
    }

    /// Leaves out all pictures that wait; how many those were.
    pub(super) fn leave_out(&mut self) -> u64 {
        self.slots.iter_mut().map(|(picture, _)| u64::from(picture.take().is_some())).sum()
    }

    /// The newest picture that waits.
    pub(super) fn last(&self) -> Option<&P> {
        self.slots.iter().rev().find_map(|(picture, _)| picture.as_ref())
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
    fn pictures_that_are_left_out_leave_their_slots() {
        let mut held = Held::new(30);
        for (time, picture) in [(0, Some('a')), (1, None), (2, Some('b'))] {
            held.put(picture, time);
        }
        assert_eq!(held.leave_out(), 2);
        assert_eq!((held.leave_out(), held.last()), (0, None));
        held.put(Some('c'), 3);
        assert_eq!(held.last(), Some(&'c'));
        held.release();
        assert_eq!(drained(&mut held), [(None, 0), (None, 1), (None, 2), (Some('c'), 3)]);
    }
}
