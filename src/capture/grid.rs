//! Which picture stands in which slot of the constant frame rate.
//!
//! Pure: times go in, steps come out. It must not know X, GStreamer or a clock.
//!
//! A page draws when it likes. A timer that samples it beats against its own
//! rhythm: now a picture is sampled twice, now one never. So the slots follow
//! the page. Slot `n` is shown at `n` × its length. A slot shows what is
//! drawn while it lasts: what is drawn late in it was due early in it, because the page
//! is composed at the frame rate. The windows drift to where the page's pictures come:
//!
//! ```text
//!   window of slot n: one slot long, from a quarter before its centre (middle + phase)
//!  ┄┄┄┄┄┄┄┄├───────────┬───────────┬───────────┬───────────┤
//!        -1/4       centre       +1/4        +1/2        +3/4
//!  an early └ what comes from here  │                       └─ the slot passes: the
//!  picture    on is grabbed at      │                          last picture is repeated
//!  waits      once                  └─ an early one is grabbed, if nothing newer came
//! ```
//!
//! Pictures are late more often and by more than they are early, hence the longer side.
//! What comes early may be yesterday's: a picture that was late for its own slot, or the
//! first of two of a page that draws twice a slot. The one that comes near the centre is
//! better. Where none does, the windows move to the early ones.
//!
//! A picture may be so late that its slot has passed. It is taken for the next slot's, and when
//! that one's own comes within the same window each gets the slot that it was drawn for, because
//! the newest slots are held back for a moment (`held.rs`).

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Take the picture now and show it from this time on.
    Grab { presentation: i64 },
    /// Take the picture now and show it in the slot before the next one, whose own picture was
    /// late for the slot before that.
    GrabLast,
    /// Show the last picture again, from this time on.
    Repeat { presentation: i64 },
    /// Nothing, until this time or until the page draws.
    WaitUntil(i64),
}

/// How many slots may be made up for with repeated pictures. After a longer
/// delay the machine is short of time, and repeats would cost more of it.
const CATCH_UP_SLOTS: i64 = 3;

/// How far the windows move towards each picture: slow enough to ignore a late
/// one, fast enough to follow a new rhythm within half a second.
const FOLLOW: i64 = 8;

const SECOND: i64 = 1_000_000_000;

/// How long a picture is shown.
pub(super) fn slot(fps: u32) -> i64 {
    SECOND / i64::from(fps)
}

/// All times are nanoseconds of running time.
#[derive(Debug)]
pub(super) struct Grid {
    fps: i64,
    /// Length of a slot.
    slot: i64,
    origin: i64,
    /// The first slot without a picture.
    next: i64,
    /// Where the page's pictures come, relative to the middle of their slots.
    phase: i64,
    missed: u64,
}

impl Grid {
    /// A grid whose first slot is at `origin`.
    fn new(fps: u32, origin: i64) -> Self {
        let slot = slot(fps);
        Self { fps: fps.into(), slot, origin, next: 0, phase: 0, missed: 0 }
    }

    /// A grid that begins with what was drawn at `drawn`, in the rhythm of that and of what
    /// was drawn `before`.
    pub(super) fn beginning_with(fps: u32, drawn: i64, before: &[i64]) -> Self {
        let slot = slot(fps);
        let middle = drawn + deviation(slot, before.iter().map(|before| before - drawn));
        Self::new(fps, (middle - slot / 2).max(0))
    }

    /// Which of two drawings counts, where `pending` is in no picture yet: the first one
    /// that is not early.
    pub(super) fn better(&self, pending: Option<i64>, drawn: i64) -> i64 {
        pending.filter(|pending| !self.is_early(*pending)).unwrap_or(drawn)
    }

    /// What to do at `now`, where `drawn` is when the page drew something that is not in
    /// any picture yet, `has_gap` that a slot just before can still get a picture of its own, and
    /// `is_full` that whoever takes the pictures takes the next only when one more is coded.
    pub(super) fn step(
        &mut self,
        now: i64,
        drawn: Option<i64>,
        has_gap: bool,
        is_full: bool,
    ) -> Step {
        let behind = (now - self.closes()).div_euclid(self.slot);
        // A repeated picture would take the place of one that shows something else, be late
        // itself, and so would all after it: the film would stand still.
        if is_full && behind >= 0 {
            self.miss(behind + 1);
        } else if behind > CATCH_UP_SLOTS {
            self.miss(behind);
        }
        if now >= self.closes() {
            return Step::Repeat { presentation: self.take() };
        }
        let latest = self.centre() + self.slot / 4;
        match drawn {
            Some(drawn) if self.is_early(drawn) && has_gap => {
                self.follow(drawn);
                Step::GrabLast
            }
            Some(drawn) if self.is_early(drawn) && now < latest => Step::WaitUntil(latest),
            Some(drawn) => {
                self.follow(drawn);
                Step::Grab { presentation: self.take() }
            }
            None => Step::WaitUntil(self.closes()),
        }
    }

    /// When the page draws what is shown in the slot before the last one, as its pictures came
    /// lately, and when that slot is shown.
    pub(super) fn rhythm(&self) -> (i64, i64) {
        let shown = self.time() - 2 * self.slot;
        (shown + self.slot / 2 + self.phase, shown)
    }

    /// Slots that stayed without any picture because time was short.
    pub(super) fn missed(&self) -> u64 {
        self.missed
    }

    fn miss(&mut self, slots: i64) {
        self.next += slots;
        self.missed += slots.unsigned_abs();
    }

    fn take(&mut self) -> i64 {
        let presentation = self.time();
        self.next += 1;
        presentation
    }

    /// When the next slot is shown. Counted from the origin, so that no rounding
    /// adds up.
    fn time(&self) -> i64 {
        self.origin + self.next * SECOND / self.fps
    }

    fn centre(&self) -> i64 {
        self.time() + self.slot / 2 + self.phase
    }

    fn closes(&self) -> i64 {
        self.centre() + self.slot * 3 / 4
    }

    fn is_early(&self, drawn: i64) -> bool {
        drawn < self.centre() - self.slot / 4
    }

    fn follow(&mut self, drawn: i64) {
        let mut late = drawn - self.centre();
        // It was drawn near the centre of the slot before, which had its picture already.
        if late < -self.slot * 3 / 4 {
            late += self.slot;
        }
        // What waited for longer says nothing about the page.
        if late > -self.slot * 3 / 4 {
            self.phase += late / FOLLOW;
            self.settle();
        }
    }

    /// Far away from its time a picture belongs to the neighbour: the page is
    /// slower or faster than the grid, or a machine that stalled has left the windows a slot
    /// behind it. Pictures that are late for a while are no such thing, hence the longer side; and
    /// where they go to they are far from where they would go back.
    fn settle(&mut self) {
        if self.phase > self.slot {
            self.phase -= self.slot;
        } else if self.phase < -self.slot * 9 / 16 {
            self.phase += self.slot;
        }
    }
}

/// Where in a slot drawings come that are so `far` from one that is known: their mean, and
/// that one's, on a circle of one slot.
fn deviation(slot: i64, far: impl Iterator<Item = i64>) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "what is lost is far below a nanosecond")]
    let angle = |far: i64| std::f64::consts::TAU * far.rem_euclid(slot) as f64 / slot as f64;
    let (sine, cosine) = far
        .map(angle)
        .fold((0.0, 1.0), |(sine, cosine), angle| (sine + angle.sin(), cosine + angle.cos()));
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "half a slot at most"
    )]
    let mean = (f64::atan2(sine, cosine) / std::f64::consts::TAU * slot as f64) as i64;
    mean
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::capture::held::Held;

    const SLOT: i64 = SECOND / 30;

    /// When a slot is shown.
    fn time(slot: usize) -> i64 {
        i64::try_from(slot).unwrap() * SECOND / 30
    }

    /// Which drawing each slot shows: its index, or `None` before the first.
    fn film(drawings: &[i64]) -> Vec<Option<usize>> {
        filmed(drawings).0
    }

    /// Runs a page that draws at `drawings` for as long as it draws. Returns its film, and
    /// how long each drawing that was grabbed had waited for that.
    fn filmed(drawings: &[i64]) -> (Vec<Option<usize>>, Vec<i64>) {
        let mut grid = Grid::new(30, 0);
        let mut held = Held::new(30);
        let (mut now, mut dirty, mut coming) = (0, None, 0usize);
        let (mut shown, mut slots, mut waits) = (None, vec![], vec![]);
        let mut count = 0;
        let mut put = |held: &mut Held<usize>, picture, presentation| {
            assert_eq!(presentation, time(count));
            count += 1;
            held.put(picture, presentation);
        };
        let mut is_over = false;
        while !is_over {
            match grid.step(now, dirty, held.has_gap(), false) {
                Step::Grab { presentation } => {
                    put(&mut held, Some(coming - 1), presentation);
                    waits.extend(dirty.take().map(|drawn| now - drawn));
                }
                Step::GrabLast => {
                    held.put_last(coming - 1);
                    waits.extend(dirty.take().map(|drawn| now - drawn));
                }
                Step::Repeat { presentation } => put(&mut held, None, presentation),
                Step::WaitUntil(until) => {
                    assert!(until > now, "a wait takes time");
                    match drawings.get(coming) {
                        Some(drawing) if *drawing <= until => {
                            now = now.max(*drawing);
                            dirty = Some(grid.better(dirty, *drawing));
                            coming += 1;
                        }
                        Some(_) => now = until,
                        None => {
                            held.release();
                            is_over = true;
                        }
                    }
                }
            }
            while let Some((picture, _)) = held.next() {
                shown = picture.or(shown);
                slots.push(shown);
            }
        }
        (slots, waits)
    }

    /// Repeated and skipped drawings in a film.
    fn faults(film: &[Option<usize>]) -> (usize, usize) {
        let shown: Vec<usize> = film.iter().flatten().copied().collect();
        let repeated = shown.windows(2).filter(|pair| pair[0] == pair[1]).count();
        let skipped = shown.windows(2).map(|pair| (pair[1] - pair[0]).saturating_sub(1)).sum();
        (repeated, skipped)
    }

    proptest! {
        #[test]
        fn two_pictures_that_are_late_by_less_than_a_slot_are_both_seen(
            start in SLOT * 3 / 8..SLOT * 5 / 8,
            lateness in prop::collection::vec(0..SLOT * 7 / 8, 300),
            jitter in prop::collection::vec(-SLOT / 17..SLOT / 17, 300),
        ) {
            let drawings: Vec<i64> = lateness
                .iter()
                .zip(jitter)
                .zip(1..)
                .map(|((late, jitter), n)| start + n * SLOT + if n % 8 < 2 { *late } else { jitter })
                .collect();
            let film = film(&drawings);
            // The last ones may have nothing after them that shows that they are late.
            prop_assert_eq!(faults(&film[30..film.len() - 6]), (0, 0));
        }

        #[test]
        fn a_page_of_the_same_rate_is_filmed_picture_by_picture(
            // What comes sooner may go to where it is late.
            start in SLOT / 8..SLOT,
            jitter in prop::collection::vec(-SLOT / 6..SLOT / 6, 300),
        ) {
            let drawings: Vec<i64> = jitter
                .iter()
                .zip(1..)
                .map(|(jitter, n)| start + n * SLOT + jitter)
                .collect();
            let film = film(&drawings);
            // The windows find the page's rhythm in the first second, but for one page in a hundred
            // thousand: where jitter holds them between two slots it takes some pictures more.
            prop_assert_eq!(faults(&film[45..]), (0, 0));
        }

        #[test]
        fn a_page_of_the_double_rate_is_filmed_in_equal_steps(
            start in 0..SLOT / 2,
            jitter in prop::collection::vec(-SLOT / 12..SLOT / 12, 600),
        ) {
            let drawings: Vec<i64> = jitter
                .iter()
                .zip(1..)
                .map(|(jitter, n)| start + n * SLOT / 2 + jitter)
                .collect();
            let film = film(&drawings);
            let shown: Vec<usize> = film[150..].iter().flatten().copied().collect();
            let uneven = shown.windows(2).filter(|pair| pair[1] - pair[0] != 2).count();
            // Finding one of the two costs a step now and then: fewer than one in ten,
            // where a timer would come to one in two.
            prop_assert!(uneven * 10 < shown.len(), "{:?}", shown);
        }

        #[test]
        fn no_slot_stays_empty_and_nothing_shows_before_it_is_drawn(
            mut drawings in prop::collection::vec(0..20 * SLOT, 1..60),
        ) {
            drawings.sort_unstable();
            let film = film(&drawings);
            for (slot, shown) in film.iter().enumerate() {
                if let Some(shown) = shown {
                    let late = time(slot) - drawings[*shown];
                    prop_assert!(late > -7 * SLOT / 2, "slot {slot} shows what comes {late} ns later");
                }
            }
        }
    }

    /// When each slot is shown, counted from the drawing that it shows.
    fn lateness(film: &[Option<usize>], drawings: &[i64]) -> Vec<i64> {
        let slots = film.iter().enumerate();
        slots.filter_map(|(slot, shown)| shown.map(|shown| time(slot) - drawings[shown])).collect()
    }

    #[test]
    fn a_page_whose_rhythm_moves_is_soon_grabbed_at_once_again() {
        for part in 1..32 {
            let sooner = SLOT * part / 32;
            let drawings: Vec<i64> =
                (1..=160).map(|n| SLOT / 2 + n * SLOT - if n > 80 { sooner } else { 0 }).collect();
            let (film, waits) = filmed(&drawings);
            let last = &waits[waits.len() - 30..];
            assert!(last.iter().all(|wait| *wait == 0), "{part}: {last:?}");
            // Half a slot before it was drawn would be best.
            for late in lateness(&film, &drawings) {
                assert!((late + SLOT / 2).abs() <= SLOT, "{part}: {late}");
            }
        }
    }

    #[test]
    fn a_machine_that_stalls_does_not_leave_pictures_a_slot_later_for_good() {
        // All late by up to more than a slot, and back, longer than slots are held back.
        for most in 0..48 {
            let late = |n: i64| match n {
                80..100 => most * SLOT / 24,
                100..124 => (most - 2 * (n - 100)).max(0) * SLOT / 24,
                _ => 0,
            };
            let drawings: Vec<i64> =
                (1..=220).map(|n| SLOT / 2 + SLOT / 4 + n * SLOT + late(n)).collect();
            let film = film(&drawings);
            for late in &lateness(&film, &drawings)[190..] {
                let from_middle = late + SLOT / 2;
                let room = -SLOT..=SLOT * 9 / 16;
                assert!(room.contains(&from_middle), "{most}: {from_middle}");
            }
        }
    }

    #[test]
    fn one_late_picture_costs_nothing_and_no_other_comes_later_for_it() {
        let mut drawings: Vec<i64> = (1..=120).map(|n| SLOT / 2 + n * SLOT).collect();
        drawings[60] += SLOT * 7 / 8;
        let film = film(&drawings);
        assert_eq!(faults(&film), (0, 0));
        let late = lateness(&film, &drawings);
        assert!((late[50] - late.last().unwrap()).abs() < SLOT / 100, "but for rounding");
    }

    #[test]
    fn a_film_begins_in_the_rhythm_of_what_was_drawn_before_it() {
        // This one is late by a third of a slot; those before were not.
        let drawn = 20 * SLOT + SLOT / 3;
        let before: Vec<i64> = (2..10).map(|n| n * SLOT).collect();
        let mut grid = Grid::beginning_with(30, drawn, &before);
        let Step::Grab { presentation } = grid.step(drawn, Some(drawn), false, false) else {
            panic!("it is in its slot");
        };
        let middle = presentation + SLOT / 2;
        assert!((middle - 20 * SLOT).abs() < SLOT / 16, "{} of a slot", middle - 20 * SLOT);
        // Alone it is the rhythm.
        let mut grid = Grid::beginning_with(30, drawn, &[]);
        assert_eq!(
            grid.step(drawn, Some(drawn), false, false),
            Step::Grab { presentation: drawn - SLOT / 2 }
        );
    }

    #[test]
    fn a_slower_page_repeats_now_and_then_and_skips_nothing() {
        let drawings: Vec<i64> = (1..=250).map(|n| n * SECOND / 25).collect();
        let (repeated, skipped) = faults(&film(&drawings));
        assert_eq!(skipped, 0);
        assert!((45..=55).contains(&repeated), "{repeated} repeats for 50 missing pictures");
    }

    #[test]
    fn a_page_at_rest_repeats_its_picture_in_every_slot() {
        let slots = film(&[0, SECOND]);
        assert!((28..=30).contains(&slots.len()), "{} slots", slots.len());
        assert!(slots[..28].iter().all(|shown| *shown == Some(0)));
    }

    /// Films a page of the same rate for an encoder that takes `cost` for each new picture, a
    /// quarter of it for the same again, and before which eighteen may wait. Which drawing the
    /// pictures that are coded show, and when they are shown.
    fn film_for_slow_encoder(cost: i64, drawings: usize) -> Vec<(usize, i64)> {
        let (mut grid, mut held) = (Grid::new(30, 0), Held::new(30));
        // When the pictures that wait are coded.
        let mut waiting: VecDeque<i64> = VecDeque::new();
        let (mut now, mut dirty, mut coming, mut shown) = (0, None, 0, 0);
        let mut coded: Vec<(usize, i64)> = vec![];
        while coming < drawings {
            waiting.retain(|done| *done > now);
            // What was drawn meanwhile is known from now on.
            while time(coming + 1) <= now {
                coming += 1;
                dirty = Some(grid.better(dirty, now));
            }
            match grid.step(now, dirty, held.has_gap(), waiting.len() >= 18) {
                Step::Grab { presentation } => {
                    held.put(Some(coming), presentation);
                    dirty = None;
                }
                Step::GrabLast => {
                    held.put_last(coming);
                    dirty = None;
                }
                Step::Repeat { presentation } => held.put(None, presentation),
                Step::WaitUntil(until) => now = until.min(time(coming + 1)),
            }
            while let Some((picture, presentation)) = held.next() {
                if waiting.len() >= 18 {
                    now = waiting.pop_front().unwrap().max(now);
                }
                let cost = if picture.is_some() { cost } else { cost / 4 };
                waiting.push_back(waiting.back().copied().unwrap_or(now).max(now) + cost);
                shown = picture.unwrap_or(shown);
                coded.push((shown, presentation));
            }
        }
        coded
    }

    proptest! {
        #[test]
        fn a_slow_encoder_is_handed_what_is_new_at_its_own_pace(cost in SLOT..6 * SLOT) {
            let coded = film_for_slow_encoder(cost, 900);
            // When it has enough to do.
            let (first, last) = (300, 900);
            let coded: Vec<_> = coded.iter().filter(|(shown, _)| *shown >= first).collect();
            let mut distinct: Vec<_> = coded.iter().map(|(shown, _)| *shown).collect();
            distinct.dedup();
            let possible = i64::try_from(last - first).unwrap() * SLOT / cost;
            let distinct = i64::try_from(distinct.len()).unwrap();
            prop_assert!(distinct * 10 >= possible * 8, "{distinct} of {possible}");
            for pair in coded.windows(2) {
                let still = pair[1].1 - pair[0].1;
                prop_assert!(still <= cost + 2 * SLOT, "{still} at {:?}", pair[0]);
            }
        }
    }

    #[test]
    fn a_short_delay_is_made_up_for_and_a_long_one_is_not() {
        let mut grid = Grid::new(30, 0);
        assert!(matches!(
            grid.step(2 * SLOT, None, false, false),
            Step::Repeat { presentation: 0 }
        ));
        assert_eq!(grid.missed(), 0);
        assert!(
            matches!(grid.step(41 * SLOT / 2, None, false, false), Step::Repeat { presentation } if presentation > 18 * SLOT)
        );
        assert!(grid.missed() >= 17, "{}", grid.missed());
    }
}
