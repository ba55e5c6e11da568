//! A picture at rest: its coded form is used again, instead of being made again.
//!
//! Pure: samples go in, samples with later times come out. It must not know the
//! encoder, X or a clock.
//!
//! A closed group of pictures needs nothing but itself to be decoded. If all its
//! pictures are the same, and the display still shows it, the group may follow itself
//! as it is, with later times, until something is drawn. It may be left wherever all
//! pictures decoded so far are shown without a gap.

use crate::media::{Sample, Timestamp};

/// Tells when the last group is one of a picture at rest.
#[derive(Debug)]
pub(super) struct Stillness {
    /// Pictures in a group.
    length: u32,
    /// How many of the open group are there.
    count: u32,
    still: bool,
}

impl Stillness {
    pub(super) fn new(length: u32) -> Self {
        Self { length, count: 0, still: true }
    }

    /// Whether the next picture begins a group, and those of the group before and this one
    /// are all the same.
    pub(super) fn rests(&self, is_same: bool) -> bool {
        self.count == self.length && self.still && is_same
    }

    /// The encoder takes a picture.
    pub(super) fn add(&mut self, is_same: bool) {
        if self.count == self.length {
            (self.count, self.still) = (0, true);
        }
        // The first one of a group may differ from what was before.
        self.still &= self.count == 0 || is_same;
        self.count += 1;
    }
}

/// A group that is shown again and again.
#[derive(Debug)]
pub(super) struct Rest {
    /// In the order of decoding.
    group: Vec<Sample>,
    /// Which slot of the group each sample is shown in.
    slots: Vec<usize>,
    /// By how much decoding is ahead of the first slot that is shown.
    lead: i64,
    /// Samples of the group that are out.
    out: usize,
    /// Times of slots whose samples are not out.
    pending: Vec<i64>,
}

impl Rest {
    /// `group` as it was coded; `None` if it does not stand for itself.
    pub(super) fn new(group: Vec<Sample>) -> Option<Self> {
        group.first().filter(|first| first.sync)?;
        let mut shown: Vec<_> = group.iter().map(|sample| sample.presentation).collect();
        shown.sort_unstable();
        let slot = |sample: &Sample| shown.binary_search(&sample.presentation).ok();
        let slots: Vec<_> = group.iter().map(slot).collect::<Option<_>>()?;
        // So much that no picture of the group is decoded after it is shown.
        let late = shown.iter().zip(&group).map(|(time, sample)| time.0 - sample.presentation.0);
        let lead = late.max()?;
        Some(Self { group, slots, lead, out: 0, pending: vec![] })
    }

    /// Shows the picture in one more slot. Returns what is complete, in the order of
    /// decoding.
    pub(super) fn show(&mut self, presentation: i64) -> Vec<Sample> {
        self.pending.push(presentation);
        let places = self.out..self.out + self.pending.len();
        let is_complete = self.slots[places.clone()].iter().all(|slot| places.contains(slot));
        if is_complete { self.next() } else { vec![] }
    }

    /// What is left for the slots that were shown, in the order of decoding. Pictures that
    /// would be decoded after these are left out; all that is left shows the same.
    pub(super) fn end(mut self) -> Vec<Sample> {
        self.next()
    }

    /// As many samples as slots wait for one. They have the order that they have in the group.
    fn next(&mut self) -> Vec<Sample> {
        let places = self.out..self.out + self.pending.len();
        let mut shown = self.slots[places.clone()].to_vec();
        shown.sort_unstable();
        let samples = places.clone().zip(&self.pending).map(|(place, decode)| {
            let order = shown.partition_point(|slot| *slot < self.slots[place]);
            Sample {
                presentation: Timestamp(self.pending[order]),
                // Slots may have been missed since.
                decode: Timestamp((decode - self.lead).min(self.pending[order])),
                ..self.group[place].clone()
            }
        });
        let samples = samples.collect();
        self.out = places.end % self.group.len();
        self.pending.clear();
        samples
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::media::Track;

    const SLOT: i64 = 33;

    /// As x264 orders them: a picture that is coded from both sides follows the later
    /// of its sides. The last one of a group has nothing behind it.
    fn group(length: usize, between: usize) -> Vec<Sample> {
        let mut order = vec![0];
        let mut next = 1;
        while next < length {
            let later = (next + between).min(length - 1);
            order.push(later);
            order.extend(next..later);
            next = later + 1;
        }
        let lead = if between > 0 { SLOT } else { 0 };
        let sample = |(place, slot): (usize, usize)| Sample {
            track: Track::Video,
            presentation: Timestamp(i64::try_from(slot).unwrap() * SLOT),
            decode: Timestamp(i64::try_from(place).unwrap() * SLOT - lead),
            sync: place == 0,
            data: Bytes::from(vec![u8::try_from(slot).unwrap()]),
        };
        order.into_iter().enumerate().map(sample).collect()
    }

    proptest! {
        #[test]
        fn every_slot_is_shown_once_in_order_by_its_own_sample(
            length in 1..70usize,
            between in 0..6usize,
            // By how many slots each is away from the one before.
            steps in prop::collection::vec(prop_oneof![9 => Just(1), 1 => 1..40i64], 0..200),
        ) {
            let group = group(length, between);
            let mut rest = Rest::new(group.clone()).unwrap();
            let times = steps.iter().scan(1000, |time, step| {
                *time += step * SLOT;
                Some(*time)
            });
            let times: Vec<i64> = times.collect();
            let mut samples = vec![];
            for time in &times {
                samples.extend(rest.show(*time));
            }
            let left = rest.end();
            prop_assert!(left.len() <= between, "{} left", left.len());
            samples.extend(left);
            for (place, sample) in samples.iter().enumerate() {
                let first = &group[place % length];
                prop_assert_eq!(&sample.data, &first.data);
                prop_assert_eq!(sample.sync, place % length == 0);
                prop_assert!(sample.decode <= sample.presentation);
            }
            prop_assert!(samples.windows(2).all(|two| two[0].decode < two[1].decode));
            let mut shown: Vec<_> = samples.iter().map(|sample| sample.presentation.0).collect();
            shown.sort_unstable();
            prop_assert_eq!(shown, times);
        }
    }

    #[test]
    fn a_group_that_does_not_begin_with_a_key_picture_is_not_shown_again() {
        assert!(Rest::new(vec![]).is_none());
        assert!(Rest::new(group(9, 2).split_off(1)).is_none());
    }

    #[test]
    fn only_a_group_of_one_picture_that_is_still_shown_comes_again() {
        let rests = |pictures: &[bool]| {
            let mut stillness = Stillness::new(3);
            pictures.iter().position(|is_same| {
                let rests = stillness.rests(*is_same);
                stillness.add(*is_same);
                rests
            })
        };
        assert_eq!(rests(&[false, true, true, true]), Some(3));
        assert_eq!(rests(&[false, true, true, false]), None, "something was drawn just now");
        assert_eq!(rests(&[true, false, true, true]), None, "something was drawn in the group");
        assert_eq!(rests(&[true, false, true, true, true, true, true]), Some(6));
        assert_eq!(rests(&[true, true]), None);
    }
}
