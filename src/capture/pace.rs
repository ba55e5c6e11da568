//! Whether the encoder keeps up, and what is to be done about it: less to do where it does
//! not, and as before once it has kept up for long.
//!
//! Pure: it is told of each picture whether it waits, and how many slots of the frame rate were
//! missed before it. It must not know what is done.

/// So many more pictures that found many others waiting than ones that did not: a second
/// without relief, because a machine may stall for a moment, and most of the others that may wait
/// can still come meanwhile.
const TOO_SLOW: u32 = 30;

/// So many slots that were missed before a picture count at most: more is a machine that stood
/// still.
const MOST_MISSED: u32 = 5;

/// So long an encoder may be slow that has just begun, as long as nothing is missed: it has a lot
/// to do at once, and what moves the picture has often just begun, too.
const BEGINNING_SECONDS: u32 = 3;

/// With so many in that count an encoder is not at ease; a burst of fewer says nothing.
const UNEASY: u32 = 15;

/// So long it is at ease before what was eased is taken back. Each time that this was
/// wrong it has to be twice as long: a change costs some pictures, and on a machine that is
/// too small it is always wrong.
const CALM_SECONDS: u32 = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Keep,
    /// There is too much to do.
    Ease,
    /// What was done last to ease it seems to be needed no more.
    Restore,
}

#[derive(Debug)]
pub(super) struct Pace {
    fps: u32,
    /// Pictures that do not count yet.
    beginning: u32,
    waiting: u32,
    /// Pictures since it was not at ease.
    calm: u32,
    /// So many of those restore something.
    patience: u32,
    /// The last step was to restore something.
    is_trying: bool,
}

impl Pace {
    pub(super) fn new(fps: u32) -> Self {
        let patience = CALM_SECONDS * fps;
        let mut pace = Self { fps, beginning: 0, waiting: 0, calm: 0, patience, is_trying: false };
        pace.begin();
        pace
    }

    /// With each encoder, and where it has been given less to do.
    pub(super) fn begin(&mut self) {
        self.beginning = BEGINNING_SECONDS * self.fps;
        self.waiting = 0;
    }

    /// With each picture: whether it `is_waiting` for many others, which wait for the encoder,
    /// whether something `is_eased`, and the slots that were `missed` since the one before, which
    /// count as it does.
    pub(super) fn step(&mut self, is_waiting: bool, is_eased: bool, missed: u32) -> Step {
        let slots = missed.min(MOST_MISSED) + 1;
        self.calm = if self.waiting >= UNEASY { 0 } else { self.calm.saturating_add(slots) };
        // Where pictures are missed already there is nothing to wait for.
        if self.beginning > 0 && missed == 0 {
            self.beginning -= 1;
            return Step::Keep;
        }
        self.waiting = if is_waiting {
            self.waiting.saturating_add(slots)
        } else {
            self.waiting.saturating_sub(slots)
        };
        if self.waiting >= TOO_SLOW {
            if std::mem::take(&mut self.is_trying) {
                self.patience = self.patience.saturating_mul(2);
            }
            self.begin();
            Step::Ease
        } else if is_eased && self.calm >= self.patience {
            self.is_trying = true;
            self.calm = 0;
            self.begin();
            Step::Restore
        } else {
            Step::Keep
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many pictures that wait, or do not where something is eased, something is to
    /// be done.
    fn next(pace: &mut Pace, is_waiting: bool) -> (u32, Step) {
        let mut steps =
            (1..1_000_000).map(|number| (number, pace.step(is_waiting, !is_waiting, 0)));
        steps.find(|(_, step)| *step != Step::Keep).expect("nothing is to be done")
    }

    fn minutes(count: u32) -> u32 {
        count * 60 * 30
    }

    #[test]
    fn an_encoder_is_too_slow_if_pictures_keep_waiting() {
        let mut pace = Pace::new(30);
        for number in 0..1000 {
            assert_eq!(
                pace.step(number % 2 == 0, false, 0),
                Step::Keep,
                "every other one is in time"
            );
        }
        // It has just begun, and then it is too slow for a second.
        assert_eq!(next(&mut Pace::new(30), true), (90 + 30, Step::Ease));
    }

    #[test]
    fn slots_that_were_missed_count_as_the_picture_after_them() {
        let mut pace = Pace::new(30);
        let at = (1..1000).find(|_| pace.step(true, false, 2) == Step::Ease);
        assert_eq!(at, Some(30 / 3), "not even at the beginning");
        let mut pace = Pace::new(30);
        for _ in 0..90 {
            pace.step(false, false, 0);
        }
        assert_eq!(pace.step(true, false, 300), Step::Keep, "it stood still");
    }

    #[test]
    fn what_was_eased_is_restored_after_a_minute_at_ease_and_then_kept() {
        let mut pace = Pace::new(30);
        next(&mut pace, true);
        for _ in 0..minutes(1) - UNEASY - 1 {
            assert_eq!(pace.step(false, true, 0), Step::Keep);
        }
        for _ in 0..UNEASY {
            assert_eq!(pace.step(true, true, 0), Step::Keep, "too many have to wait");
        }
        // Until they do not count any more, and a minute.
        assert_eq!(next(&mut pace, false), (1 + minutes(1), Step::Restore));
        for _ in 0..minutes(60) {
            assert_eq!(pace.step(false, false, 0), Step::Keep, "nothing is left to be restored");
        }
    }

    #[test]
    fn bursts_of_pictures_that_wait_do_not_keep_it_from_being_restored() {
        let mut pace = Pace::new(30);
        next(&mut pace, true);
        let at = (1..10_000).find(|number| pace.step(number % 100 < 10, true, 0) == Step::Restore);
        assert_eq!(at, Some(minutes(1)));
    }

    #[test]
    fn on_a_machine_that_is_too_small_it_is_tried_less_and_less_often() {
        let mut pace = Pace::new(30);
        for doublings in 0..5 {
            assert_eq!(next(&mut pace, true).1, Step::Ease);
            assert_eq!(next(&mut pace, false), (minutes(1 << doublings), Step::Restore));
        }
    }

    #[test]
    fn each_step_back_takes_its_minute() {
        let mut pace = Pace::new(30);
        assert_eq!(next(&mut pace, true).1, Step::Ease);
        assert_eq!(next(&mut pace, true).1, Step::Ease);
        assert_eq!(next(&mut pace, false), (minutes(1), Step::Restore));
        assert_eq!(next(&mut pace, false), (minutes(1), Step::Restore));
    }
}
