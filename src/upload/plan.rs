//! Which bytes go in which part of a multipart upload, and when it is complete.
//!
//! Pure: it must not know a store, a task or a clock. Bytes go in with
//! [`Planner::push`], receipts with [`Planner::part_done`]; what to do comes
//! out of [`Planner::poll`], to be called until it returns `None`.
//!
//! S3's rules kept here: parts are numbered 1 to 10,000, and every part but
//! the last has at least 5 MiB.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

const MIB: usize = 1024 * 1024;

/// S3 refuses to complete an upload with a smaller part before the last.
pub const MIN_PART_BYTES: usize = 5 * MIB;

/// S3 knows no part number above this one.
pub const MAX_PARTS: u16 = 10_000;

/// How large parts are, up to and including part number `until`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) until: u16,
    pub(crate) part_bytes: usize,
}

/// Small at first, because what is not in a stored part dies with the process:
/// 5 MiB is 14 s of film at 3 Mbit/s. Larger later, because the numbers end at
/// 10,000. An hour at 8 Mbit/s stays in the first step, 24 hours (80 GiB) end
/// in the last one, and all steps together hold [`CAPACITY`]. No part is so
/// large that a few in flight would not fit in memory.
const SCHEDULE: &[Step] = &[
    Step { until: 1_000, part_bytes: MIN_PART_BYTES },
    Step { until: 3_000, part_bytes: 8 * MIB },
    Step { until: 5_000, part_bytes: 16 * MIB },
    Step { until: MAX_PARTS, part_bytes: 32 * MIB },
];

/// The most bytes an upload can take: 208 GiB, 24 hours at 20 Mbit/s.
pub const CAPACITY: u64 = capacity(SCHEDULE);

const fn capacity(schedule: &[Step]) -> u64 {
    let (mut sum, mut before, mut i) = (0, 0, 0);
    while i < schedule.len() {
        let Step { until, part_bytes } = schedule[i];
        sum += (until - before) as u64 * part_bytes as u64;
        before = until;
        i += 1;
    }
    sum
}

/// The body of a part: pieces in order, never joined, cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    pieces: Arc<[Bytes]>,
    len: usize,
}

impl Payload {
    pub fn new(pieces: Vec<Bytes>) -> Self {
        let len = pieces.iter().map(Bytes::len).sum();
        Self { pieces: pieces.into(), len }
    }

    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Without the media itself.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Payload")
            .field("pieces", &self.pieces.len())
            .field("len", &self.len)
            .finish()
    }
}

/// A part that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// From 1 to [`MAX_PARTS`], without gaps.
    pub number: u16,
    pub payload: Payload,
}

/// What the store answered to a part; needed to complete the upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub etag: String,
    /// Base64 of the big-endian CRC-32 of the part, where the store keeps one.
    pub checksum: Option<String>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Put(Part),
    /// All receipts, ascending by part number. Comes once, and last.
    Complete(Vec<(u16, Receipt)>),
}

/// The bytes do not fit in an upload any more; none of them was taken.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{more} more bytes after {taken} exceed the {capacity} bytes that an upload can hold")]
pub struct Exceeded {
    pub taken: u64,
    pub more: u64,
    pub capacity: u64,
}

/// Cuts one stream of bytes into the parts of one upload.
#[derive(Debug)]
pub struct Planner {
    schedule: &'static [Step],
    /// The pieces of the part that still grows.
    open: Vec<Bytes>,
    open_bytes: usize,
    taken: u64,
    /// Cut, but not pulled yet.
    ready: VecDeque<Part>,
    /// Part 1 as it was sent: it is sent again with another head when the film
    /// has ended and its index is known.
    first: Option<Payload>,
    /// One entry for every part cut; index 0 is part 1.
    receipts: Vec<Option<Receipt>>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    /// All bytes are in, receipts are missing.
    Finished,
    /// `Complete` has been handed out.
    Completed,
}

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner {
    #[must_use]
    pub fn new() -> Self {
        Self::with_schedule(SCHEDULE)
    }

    /// With other part sizes, so that tests reach the limits with few bytes.
    pub(crate) fn with_schedule(schedule: &'static [Step]) -> Self {
        Self {
            schedule,
            open: Vec::new(),
            open_bytes: 0,
            taken: 0,
            ready: VecDeque::new(),
            first: None,
            receipts: Vec::new(),
            end: End::NotYet,
        }
    }

    /// Appends all pieces, or none of them if they exceed the capacity.
    pub fn push(&mut self, pieces: Vec<Bytes>) -> Result<(), Exceeded> {
        assert_eq!(self.end, End::NotYet, "bytes come before the end");
        let more = pieces.iter().map(|piece| piece.len() as u64).sum();
        let capacity = capacity(self.schedule);
        if self.taken + more > capacity {
            return Err(Exceeded { taken: self.taken, more, capacity });
        }
        self.taken += more;
        for piece in pieces {
            self.append(piece);
        }
        Ok(())
    }

    fn append(&mut self, mut piece: Bytes) {
        while !piece.is_empty() {
            let room = self.part_bytes() - self.open_bytes;
            let head = piece.split_to(piece.len().min(room));
            self.open_bytes += head.len();
            self.open.push(head);
            if self.open_bytes == self.part_bytes() {
                self.cut();
            }
        }
    }

    /// The size at which the open part is full.
    fn part_bytes(&self) -> usize {
        let number = self.receipts.len() + 1;
        self.schedule
            .iter()
            .find(|step| number <= usize::from(step.until))
            .expect("push refuses what does not fit in the numbered parts")
            .part_bytes
    }

    fn cut(&mut self) {
        self.receipts.push(None);
        let number = u16::try_from(self.receipts.len()).expect("part numbers end at 10,000");
        let payload = Payload::new(std::mem::take(&mut self.open));
        self.open_bytes = 0;
        if number == 1 {
            self.first = Some(payload.clone());
        }
        self.ready.push_back(Part { number, payload });
    }

    /// Says that no bytes follow; what is open becomes the last part.
    pub fn finish(&mut self) {
        assert_eq!(self.end, End::NotYet, "an upload ends once");
        self.end = End::Finished;
        if self.open_bytes > 0 {
            self.cut();
        }
    }

    /// The store has part `number`. Receipts may come in any order.
    pub fn part_done(&mut self, number: u16, receipt: Receipt) {
        let slot = usize::from(number)
            .checked_sub(1)
            .and_then(|index| self.receipts.get_mut(index))
            .expect("a receipt is for a part that was cut");
        *slot = Some(receipt);
    }

    /// The next thing to do, if there is one now. An upload that got no byte
    /// never has anything to do.
    pub fn poll(&mut self) -> Option<Action> {
        if let Some(part) = self.ready.pop_front() {
            return Some(Action::Put(part));
        }
        if self.end != End::Finished || self.receipts.is_empty() {
            return None;
        }
        let receipts = self.receipts.iter().cloned().collect::<Option<Vec<_>>>()?;
        self.end = End::Completed;
        Some(Action::Complete((1..).zip(receipts).collect()))
    }

    /// Bytes pushed so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Part 1 as it was cut, once it was.
    pub fn first_part(&self) -> Option<&Payload> {
        self.first.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sizes that grow like the real ones, in bytes instead of mebibytes.
    const TINY: &[Step] = &[
        Step { until: 2, part_bytes: 5 },
        Step { until: 4, part_bytes: 8 },
        Step { until: MAX_PARTS, part_bytes: 11 },
    ];
    const ONE_BYTE_PARTS: &[Step] = &[Step { until: MAX_PARTS, part_bytes: 1 }];

    fn receipt(number: u16) -> Receipt {
        Receipt { etag: format!("etag-{number}"), checksum: None }
    }

    fn parts(planner: &mut Planner) -> Vec<Part> {
        std::iter::from_fn(|| match planner.poll() {
            Some(Action::Put(part)) => Some(part),
            Some(Action::Complete(_)) => panic!("no receipt was given"),
            None => None,
        })
        .collect()
    }

    fn joined(parts: &[Part]) -> Vec<u8> {
        parts.iter().flat_map(|part| part.payload.pieces()).flatten().copied().collect()
    }

    fn sizes_of(bytes: usize) -> Vec<usize> {
        let mut planner = Planner::with_schedule(TINY);
        planner.push(vec![Bytes::from(vec![7; bytes])]).unwrap();
        planner.finish();
        parts(&mut planner).iter().map(|part| part.payload.len()).collect()
    }

    #[test]
    fn the_schedule_holds_a_day_at_twenty_megabits_a_second() {
        let sum: u64 = (1..=MAX_PARTS)
            .map(|number| {
                SCHEDULE.iter().find(|step| number <= step.until).unwrap().part_bytes as u64
            })
            .sum();
        assert_eq!(CAPACITY, sum);
        assert_eq!(CAPACITY >> 30, 208);
        let a_day = 24 * 3600 * 20_000_000 / 8;
        assert!(sum > a_day);
    }

    #[test]
    fn the_schedule_never_goes_below_the_floor_and_never_shrinks() {
        assert!(SCHEDULE.iter().all(|step| step.part_bytes >= MIN_PART_BYTES));
        assert!(SCHEDULE.is_sorted_by(|a, b| a.until < b.until && a.part_bytes <= b.part_bytes));
        assert_eq!(SCHEDULE.last().unwrap().until, MAX_PARTS);
    }

    #[test]
    fn the_tail_becomes_the_last_part_whatever_its_size() {
        for (bytes, sizes) in [
            (0, vec![]),
            (1, vec![1]),
            (5, vec![5]),
            (6, vec![5, 1]),
            (10, vec![5, 5]),
            (18, vec![5, 5, 8]),
            (27, vec![5, 5, 8, 8, 1]),
            (37, vec![5, 5, 8, 8, 11]),
        ] {
            assert_eq!(sizes_of(bytes), sizes, "of {bytes} bytes");
        }
    }

    #[test]
    fn an_upload_without_bytes_has_nothing_to_complete() {
        let mut planner = Planner::new();
        planner.push(vec![Bytes::new()]).unwrap();
        planner.finish();
        assert_eq!(planner.poll(), None);
    }

    #[test]
    fn part_ten_thousand_is_made_and_no_part_follows() {
        let mut planner = Planner::with_schedule(ONE_BYTE_PARTS);
        planner.push(vec![Bytes::from(vec![1; 9_999])]).unwrap();
        let refused = planner.push(vec![Bytes::from_static(b"ab")]);
        assert_eq!(refused, Err(Exceeded { taken: 9_999, more: 2, capacity: 10_000 }));
        planner.push(vec![Bytes::from_static(b"c")]).unwrap();
        assert!(planner.push(vec![Bytes::from_static(b"d")]).is_err());
        planner.finish();
        let parts = parts(&mut planner);
        assert_eq!(parts.last().map(|part| part.number), Some(MAX_PARTS));
        assert_eq!(joined(&parts)[9_998..], *b"\x01c");
    }

    #[test]
    fn the_first_part_is_kept_as_it_was_sent() {
        let mut planner = Planner::with_schedule(TINY);
        planner.push(vec![Bytes::from_static(b"abc")]).unwrap();
        assert_eq!(planner.first_part(), None);
        planner.push(vec![Bytes::from_static(b"defgh")]).unwrap();
        let first = planner.first_part().unwrap();
        assert_eq!(first.pieces(), [Bytes::from_static(b"abc"), Bytes::from_static(b"de")]);
    }

    #[test]
    fn pieces_are_shared_with_the_caller_not_copied() {
        let piece = Bytes::from(vec![3; 4]);
        let mut planner = Planner::with_schedule(TINY);
        planner.push(vec![piece.clone()]).unwrap();
        planner.finish();
        assert_eq!(parts(&mut planner)[0].payload.pieces()[0].as_ptr(), piece.as_ptr());
    }

    proptest! {
        #[test]
        fn parts_joined_are_the_input(pieces in pieces(), finish_early in any::<bool>()) {
            let input: Vec<u8> = pieces.iter().flatten().flatten().copied().collect();
            let mut planner = Planner::with_schedule(TINY);
            let mut made = Vec::new();
            for list in pieces {
                planner.push(list).unwrap();
                if finish_early {
                    made.extend(parts(&mut planner));
                }
            }
            prop_assert_eq!(planner.taken(), input.len() as u64);
            planner.finish();
            made.extend(parts(&mut planner));

            prop_assert_eq!(joined(&made), input);
            for (index, part) in made.iter().enumerate() {
                prop_assert_eq!(usize::from(part.number), index + 1);
                prop_assert!(!part.payload.is_empty());
                if index + 1 < made.len() {
                    prop_assert!(part.payload.len() >= TINY[0].part_bytes);
                }
            }
        }

        #[test]
        fn receipts_may_come_in_any_order(
            bytes in 1..400_usize,
            order in any::<prop::sample::Index>(),
            seed in prop::collection::vec(any::<u32>(), 50),
        ) {
            let mut planner = Planner::with_schedule(TINY);
            planner.push(vec![Bytes::from(vec![0; bytes])]).unwrap();
            planner.finish();
            let mut numbers: Vec<u16> =
                parts(&mut planner).iter().map(|part| part.number).collect();
            numbers.sort_by_key(|&number| seed[usize::from(number)]);
            let last = numbers.remove(order.index(numbers.len()));
            for &number in &numbers {
                planner.part_done(number, receipt(number));
                prop_assert_eq!(planner.poll(), None);
            }
            planner.part_done(last, receipt(last));

            let count = u16::try_from(numbers.len() + 1).unwrap();
            let expected = (1..=count).map(|number| (number, receipt(number))).collect();
            prop_assert_eq!(planner.poll(), Some(Action::Complete(expected)));
            prop_assert_eq!(planner.poll(), None);
        }
    }

    /// Calls of `push`, each with a list of pieces, empty ones among them.
    fn pieces() -> impl Strategy<Value = Vec<Vec<Bytes>>> {
        let piece = prop::collection::vec(any::<u8>(), 0..30).prop_map(Bytes::from);
        prop::collection::vec(prop::collection::vec(piece, 0..4), 0..20)
    }
}
