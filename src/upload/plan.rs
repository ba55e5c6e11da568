//! Which bytes go in which part of a multipart upload, and when it is complete.
//!
//! Pure: it must not know a store, a task or a clock. Bytes go in with
//! [`Planner::push`], receipts with [`Planner::part_done`]; what to do comes
//! out of [`Planner::poll`], to be called until it returns `None`.
//!
//! S3's rules kept here: parts are numbered 1 to 10,000, and every part but
//! the last has at least 5 MiB. Ours: a part number has one request at a time,
//! so that the store never keeps the older of two bodies; and part 1 is sent
//! again with its other head only when all other parts are stored, so that the
//! parts in the store are a good file at every moment.

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

    /// What follows the first `bytes` bytes.
    fn after(&self, mut bytes: usize) -> impl Iterator<Item = Bytes> {
        self.pieces.iter().filter_map(move |piece| {
            let skipped = bytes.min(piece.len());
            bytes -= skipped;
            (skipped < piece.len()).then(|| piece.slice(skipped..))
        })
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

/// What the file begins with once its end is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub bytes: Bytes,
    /// How many of the first bytes it stands in for; they are in part 1.
    pub replaces: usize,
}

/// What the store answered to a part; needed to complete the upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub etag: String,
    /// CRC-32 of the part, as the store was told.
    pub crc32: u32,
    /// Length of the part.
    pub bytes: u64,
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
    /// Part 1 with that head, until it is its turn.
    again: Option<Payload>,
    /// The open part that is on its way as it was at some moment, by number.
    checkpoint: Option<u16>,
    /// Bytes of the open part that were in the last checkpoint.
    checkpointed: usize,
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
            again: None,
            checkpoint: None,
            checkpointed: 0,
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
        size_of_part(self.schedule, self.receipts.len() + 1)
            .expect("push refuses what does not fit in the numbered parts")
    }

    /// The number of the open part.
    pub fn open_number(&self) -> u16 {
        u16::try_from(self.receipts.len() + 1).expect("part numbers end at 10,000")
    }

    /// The open part as it is now, to be stored under the number that its full
    /// form will have; answered by [`checkpoint_done`](Self::checkpoint_done).
    /// `None` if the store has these bytes, or is about to have them.
    pub fn checkpoint(&mut self) -> Option<Part> {
        if self.open_bytes == self.checkpointed || self.checkpoint.is_some() {
            return None;
        }
        let number = self.open_number();
        self.checkpoint = Some(number);
        self.checkpointed = self.open_bytes;
        Some(Part { number, payload: Payload::new(self.open.clone()) })
    }

    /// The request of the last checkpoint has come to an end. If it failed, the
    /// next checkpoint is not spared.
    pub fn checkpoint_done(&mut self, stored: bool) {
        self.checkpoint = None;
        if !stored {
            self.checkpointed = 0;
        }
    }

    fn cut(&mut self) {
        self.receipts.push(None);
        let number = u16::try_from(self.receipts.len()).expect("part numbers end at 10,000");
        let payload = Payload::new(std::mem::take(&mut self.open));
        (self.open_bytes, self.checkpointed) = (0, 0);
        if number == 1 {
            self.first = Some(payload.clone());
        }
        self.ready.push_back(Part { number, payload });
    }

    /// Says that no bytes follow; what is open becomes the last part. With a
    /// `head` part 1 is sent with it as the last of all.
    pub fn finish(&mut self, head: Option<Head>) {
        assert_eq!(self.end, End::NotYet, "an upload ends once");
        self.end = End::Finished;
        if self.open_bytes > 0 {
            self.cut();
        }
        if let (Some(head), Some(first)) = (head, &self.first) {
            let mut pieces = vec![head.bytes.clone()];
            pieces.extend(first.after(head.replaces));
            self.taken = self.taken - head.replaces as u64 + head.bytes.len() as u64;
            let again = Payload::new(pieces);
            match self.ready.front_mut() {
                // It is the only part, and was not sent yet.
                Some(part) if part.number == 1 && self.receipts.len() == 1 => part.payload = again,
                _ => self.again = Some(again),
            }
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
        // Parts are cut in order, and a checkpoint is of the part to be cut next.
        let waits = |part: &Part| self.checkpoint == Some(part.number);
        if !self.ready.front().is_none_or(waits) {
            return self.ready.pop_front().map(Action::Put);
        }
        if self.end != End::Finished || self.receipts.is_empty() || !self.ready.is_empty() {
            return None;
        }
        let receipts = self.receipts.iter().cloned().collect::<Option<Vec<_>>>()?;
        if let Some(payload) = self.again.take() {
            self.receipts[0] = None;
            return Some(Action::Put(Part { number: 1, payload }));
        }
        self.end = End::Completed;
        Some(Action::Complete((1..).zip(receipts).collect()))
    }

    /// Bytes pushed so far; after [`finish`](Self::finish) the length of the object.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Whether bytes may still come.
    pub fn is_open(&self) -> bool {
        self.end == End::NotYet
    }

    /// The pieces of the part that still grows.
    pub fn open(&self) -> &[Bytes] {
        &self.open
    }
}

/// The size of a part that is followed by others; `None` for a number that no
/// part has.
pub fn full_part_bytes(number: u16) -> Option<usize> {
    size_of_part(SCHEDULE, usize::from(number)).filter(|_| number > 0)
}

fn size_of_part(schedule: &[Step], number: usize) -> Option<usize> {
    let step = schedule.iter().find(|step| number <= usize::from(step.until))?;
    Some(step.part_bytes)
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
        Receipt { etag: format!("etag-{number}"), crc32: 0, bytes: 0 }
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
        planner.finish(None);
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
        planner.finish(None);
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
        planner.finish(None);
        let parts = parts(&mut planner);
        assert_eq!(parts.last().map(|part| part.number), Some(MAX_PARTS));
        assert_eq!(joined(&parts)[9_998..], *b"\x01c");
    }

    #[test]
    fn part_1_gets_its_other_head_when_all_else_is_stored() {
        let mut planner = Planner::with_schedule(TINY);
        for piece in [&b"ab"[..], b"cd", b"efgh"] {
            planner.push(vec![Bytes::from_static(piece)]).unwrap();
        }
        planner.finish(Some(Head { bytes: Bytes::from_static(b"HEAD"), replaces: 3 }));
        assert_eq!(joined(&parts(&mut planner)), b"abcdefgh");
        assert_eq!(planner.taken(), 9);
        planner.part_done(1, receipt(1));
        assert_eq!(planner.poll(), None, "part 2 is missing");
        planner.part_done(2, receipt(2));
        let again = parts(&mut planner);
        assert_eq!((again[0].number, joined(&again)), (1, b"HEADde".to_vec()));
        planner.part_done(1, Receipt { bytes: 6, ..receipt(1) });
        let Some(Action::Complete(receipts)) = planner.poll() else { panic!("not complete") };
        assert_eq!(receipts[0].1.bytes, 6, "the receipt of the later part 1");
    }

    #[test]
    fn an_only_part_is_sent_once() {
        let mut planner = Planner::with_schedule(TINY);
        planner.push(vec![Bytes::from_static(b"abcd")]).unwrap();
        planner.finish(Some(Head { bytes: Bytes::from_static(b"HEAD"), replaces: 3 }));
        assert_eq!(joined(&parts(&mut planner)), b"HEADd");
        planner.part_done(1, receipt(1));
        assert!(matches!(planner.poll(), Some(Action::Complete(_))));
    }

    #[test]
    fn a_film_without_bytes_gets_no_head() {
        let mut planner = Planner::with_schedule(TINY);
        planner.finish(Some(Head { bytes: Bytes::from_static(b"HEAD"), replaces: 0 }));
        assert_eq!((planner.poll(), planner.taken()), (None, 0));
    }

    #[test]
    fn a_checkpoint_is_the_open_part_under_its_later_number() {
        let mut planner = Planner::with_schedule(TINY);
        assert_eq!(planner.checkpoint(), None, "nothing is open");
        planner.push(vec![Bytes::from_static(b"abcdefg")]).unwrap();
        parts(&mut planner);
        let checkpoint = planner.checkpoint().unwrap();
        assert_eq!((checkpoint.number, joined(&[checkpoint])), (2, b"fg".to_vec()));
        planner.push(vec![Bytes::from_static(b"h")]).unwrap();
        assert_eq!(planner.checkpoint(), None, "one at a time");
        planner.checkpoint_done(true);
        let checkpoint = planner.checkpoint().unwrap();
        assert_eq!(joined(&[checkpoint]), b"fgh");
        planner.checkpoint_done(true);
        assert_eq!(planner.checkpoint(), None, "nothing is new");
    }

    #[test]
    fn a_failed_checkpoint_is_not_taken_for_stored() {
        let mut planner = Planner::with_schedule(TINY);
        planner.push(vec![Bytes::from_static(b"ab")]).unwrap();
        planner.checkpoint().unwrap();
        planner.checkpoint_done(false);
        assert_eq!(planner.checkpoint().map(|part| part.number), Some(1));
    }

    #[test]
    fn the_sizes_of_parts_are_told_by_number() {
        for (number, size) in [
            (0, None),
            (1, Some(5)),
            (1_000, Some(5)),
            (1_001, Some(8)),
            (10_000, Some(32)),
            (10_001, None),
        ] {
            assert_eq!(full_part_bytes(number), size.map(|size| size * MIB), "{number}");
        }
    }

    #[test]
    fn pieces_are_shared_with_the_caller_not_copied() {
        let piece = Bytes::from(vec![3; 4]);
        let mut planner = Planner::with_schedule(TINY);
        planner.push(vec![piece.clone()]).unwrap();
        planner.finish(None);
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
            planner.finish(None);
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

        /// Whatever the order of answers: a number has one request at a time, the
        /// last body sent under a number is the right one, and the parts in the
        /// store are the input up to a moment, or the whole with its head.
        #[test]
        fn the_store_holds_a_good_file_at_every_moment(
            pushes in prop::collection::vec(1..20_usize, 1..12),
            choices in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 200),
        ) {
            let mut planner = Planner::with_schedule(TINY);
            let mut choices = choices.into_iter().cycle();
            let (mut input, mut store) = (Vec::new(), std::collections::BTreeMap::new());
            let mut under_way: Vec<(bool, Part)> = Vec::new();
            let mut pushes = pushes.into_iter();
            let head = Head { bytes: Bytes::from_static(b"HEAD"), replaces: 1 };
            let mut ended = false;
            loop {
                if let Some(len) = pushes.next() {
                    let from = input.len();
                    input.extend((from..from + len).map(|n| u8::try_from(n % 251).unwrap()));
                    planner.push(vec![Bytes::copy_from_slice(&input[from..])]).unwrap();
                } else if !ended {
                    ended = true;
                    planner.finish(Some(head.clone()));
                }
                if !ended && choices.next().unwrap().1 {
                    under_way.extend(planner.checkpoint().map(|part| (true, part)));
                }
                let completed = loop {
                    match planner.poll() {
                        Some(Action::Put(part)) => under_way.push((false, part)),
                        Some(Action::Complete(_)) => break true,
                        None => break false,
                    }
                };
                let mut numbers: Vec<_> = under_way.iter().map(|(_, part)| part.number).collect();
                numbers.sort_unstable();
                prop_assert!(numbers.is_sorted_by(|a, b| a < b), "{:?}", numbers);
                if completed {
                    break;
                }
                let (index, answers) = choices.next().unwrap();
                if under_way.is_empty() || !(answers || ended) {
                    continue;
                }
                let (checkpoint, part) = under_way.remove(index.index(under_way.len()));
                store.insert(part.number, joined(std::slice::from_ref(&part)));
                if checkpoint {
                    planner.checkpoint_done(true);
                } else {
                    planner.part_done(part.number, receipt(part.number));
                }
                let whole: Vec<u8> = store.values().flatten().copied().collect();
                let complete = store.keys().copied().eq(1..=u16::try_from(store.len()).unwrap());
                let full = store.iter().rev().skip(1).all(|(&number, part)| {
                    part.len() == size_of_part(TINY, number.into()).unwrap() || part.starts_with(b"HEAD")
                });
                if complete && full {
                    let plain = [b"HEAD", &input[1..]].concat();
                    prop_assert!(input.starts_with(&whole) || whole == plain, "{:?}", whole);
                }
            }
            let whole: Vec<u8> = store.values().flatten().copied().collect();
            prop_assert_eq!(&whole, &[b"HEAD", &input[1..]].concat());
            prop_assert_eq!(planner.taken(), whole.len() as u64);
        }

        #[test]
        fn receipts_may_come_in_any_order(
            bytes in 1..400_usize,
            order in any::<prop::sample::Index>(),
            seed in prop::collection::vec(any::<u32>(), 50),
        ) {
            let mut planner = Planner::with_schedule(TINY);
            planner.push(vec![Bytes::from(vec![0; bytes])]).unwrap();
            planner.finish(None);
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
