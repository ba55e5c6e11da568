//! Parts that are stored, and of which something older may still arrive.
//!
//! A request that was given up without an answer may be complete on its way, in the buffers of
//! two kernels or of a proxy. When it arrives after a newer one it replaces what that stored,
//! and the store refuses to complete the upload with a part that it no longer has. So the
//! newest of such parts are kept until the upload is completed. Pure; it must not know how a
//! part is sent.

use std::collections::{BTreeSet, VecDeque};

use super::Body;

/// So many bytes are kept, or the newest part alone: six of the first thousand, which is
/// longer than anything is on its way.
const MOST_BYTES: u64 = 32 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Doubted {
    /// Numbers with which a request was sent that nobody answered.
    unanswered: BTreeSet<u16>,
    /// The newest last; none of them twice.
    parts: VecDeque<(u16, Body)>,
}

impl Doubted {
    /// A request for this part was given up.
    pub(super) fn add(&mut self, number: u16) {
        self.unanswered.insert(number);
    }

    /// The part is stored. Returns what need not be kept, which may be `body` itself.
    pub(super) fn stored(&mut self, number: u16, body: Body) -> Vec<Body> {
        if !self.unanswered.contains(&number) {
            return vec![body];
        }
        let (older, others) = std::mem::take(&mut self.parts)
            .into_iter()
            .partition::<VecDeque<_>, _>(|(other, _)| *other == number);
        self.parts = others;
        self.parts.push_back((number, body));
        let mut dropped: Vec<Body> = older.into_iter().map(|(_, body)| body).collect();
        while self.bytes() > MOST_BYTES && self.parts.len() > 1 {
            dropped.extend(self.parts.pop_front().map(|(_, body)| body));
        }
        dropped
    }

    /// What is kept, the oldest first.
    pub(super) fn parts(&self) -> impl Iterator<Item = (u16, &Body)> {
        self.parts.iter().map(|(number, body)| (*number, body))
    }

    fn bytes(&self) -> u64 {
        self.parts().map(|(_, body)| body.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::upload::plan::Payload;

    fn body(bytes: usize) -> Body {
        Body::Memory(Payload::new(vec![Bytes::from(vec![0; bytes])]))
    }

    fn kept(doubted: &Doubted) -> Vec<(u16, u64)> {
        doubted.parts().map(|(number, body)| (number, body.len())).collect()
    }

    #[test]
    fn only_parts_with_an_unanswered_request_are_kept_in_their_newest_form() {
        let mut doubted = Doubted::default();
        doubted.add(2);
        assert_eq!(doubted.stored(1, body(1)).len(), 1);
        assert_eq!(doubted.stored(2, body(2)).len(), 0);
        assert_eq!(kept(&doubted), [(2, 2)]);
        assert_eq!(doubted.stored(2, body(3)).len(), 1, "the form before");
        assert_eq!(kept(&doubted), [(2, 3)]);
    }

    #[test]
    fn the_oldest_are_dropped_and_one_always_stays() {
        let mut doubted = Doubted::default();
        (1..=4).for_each(|number| doubted.add(number));
        let half = usize::try_from(MOST_BYTES / 2).unwrap();
        assert_eq!(doubted.stored(1, body(half)).len(), 0);
        assert_eq!(doubted.stored(2, body(half)).len(), 0);
        assert_eq!(doubted.stored(3, body(1)).len(), 1);
        assert_eq!(kept(&doubted), [(2, half as u64), (3, 1)]);
        assert_eq!(doubted.stored(4, body(3 * half)).len(), 2);
        assert_eq!(kept(&doubted), [(4, 3 * half as u64)]);
    }
}
