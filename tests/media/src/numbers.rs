//! What the frame numbers of a recording say: shown once, repeated, skipped.
//!
//! Pure: numbers in, counts out.

use serde::Serialize;

use crate::marks::{FRAMES_PER_SECOND, WHITE_ABOVE, read_number};
use crate::observation::Picture;
use crate::stats;

/// The counts of one recording. Every picture is either unreadable, distinct
/// or repeated.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Numbers {
    /// Pictures in the file.
    pub pictures: usize,
    /// Pictures whose number differs from the readable one before.
    pub distinct: usize,
    /// Distinct pictures per second of what was recorded, from the first readable picture on: of the
    /// film, or of what its numbers tell of where that is more, because it goes by too fast.
    pub distinct_per_second: f64,
    /// How long what it shows took, by its numbers.
    pub seconds: f64,
    /// Pictures with the same number as the readable one before.
    pub repeated: usize,
    /// Numbers that were passed over between two readable pictures; one that
    /// was there but illegible is among them.
    pub skipped: u32,
    /// Times the number went back by less than half a loop.
    pub stepped_back: usize,
    /// Times the number started again.
    pub loops: usize,
    /// Pictures whose number is not legible, blank ones included.
    pub unreadable: usize,
    /// Index of the first and the last readable picture, counted from zero.
    pub first_readable: Option<usize>,
    pub last_readable: Option<usize>,
    /// The numbers in them.
    pub first_number: Option<u32>,
    pub last_number: Option<u32>,
}

/// The number in a picture, or `None` when there is none to read.
///
/// A white page is not the highest number, and a black page is not number zero:
/// that one comes with a flash.
pub fn number_in(picture: &Picture) -> Option<u32> {
    let number = read_number(&picture.cells)?;
    let lit = picture.flash > WHITE_ABOVE;
    let blank = (number == 0 && !lit) || number == ALL_WHITE;
    (!blank).then_some(number)
}

const ALL_WHITE: u32 = (1 << crate::marks::CELLS) - 1;

/// Counts over all pictures, given in the order of presentation.
///
/// A source that starts again is known by its number falling by more than half
/// of the highest one seen; it is taken to be whole seconds long.
pub fn count(pictures: &[Picture]) -> Numbers {
    let read: Vec<Option<u32>> = pictures.iter().map(number_in).collect();
    let readable: Vec<(usize, u32)> =
        read.iter().enumerate().filter_map(|(index, number)| Some((index, (*number)?))).collect();
    let mut numbers = Numbers {
        pictures: pictures.len(),
        unreadable: pictures.len() - readable.len(),
        distinct: readable.len().min(1),
        first_readable: readable.first().map(|first| first.0),
        first_number: readable.first().map(|first| first.1),
        last_readable: readable.last().map(|last| last.0),
        last_number: readable.last().map(|last| last.1),
        ..Numbers::default()
    };
    let highest = readable.iter().map(|&(_, number)| number).max().unwrap_or(0);
    let length = (highest + 1).next_multiple_of(FRAMES_PER_SECOND);
    for pair in readable.windows(2) {
        let (before, number) = (pair[0].1, pair[1].1);
        numbers.distinct += usize::from(number != before);
        if number == before {
            numbers.repeated += 1;
        } else if number > before {
            numbers.skipped += number - before - 1;
        } else if before - number > highest / 2 {
            numbers.loops += 1;
            numbers.skipped += length - 1 - before + number;
        } else {
            numbers.stepped_back += 1;
        }
    }
    let before =
        numbers.first_readable.map_or(0.0, |first| pictures[first].time - pictures[0].time);
    numbers.seconds = to_f64(numbers.distinct) + f64::from(numbers.skipped);
    numbers.seconds /= f64::from(FRAMES_PER_SECOND);
    let seconds = numbers.seconds.max(length_in_seconds(pictures) - before);
    if seconds > 0.0 {
        numbers.distinct_per_second = to_f64(numbers.distinct) / seconds;
    }
    numbers
}

/// How unevenly the pictures follow each other: by how many milliseconds the time of a
/// picture differs from what its number says, at the 95th percentile. `None` without
/// numbers.
pub fn jitter_ms(pictures: &[Picture]) -> Option<f64> {
    let readable: Vec<(f64, u32)> =
        pictures.iter().filter_map(|picture| Some((picture.time, number_in(picture)?))).collect();
    let highest = readable.iter().map(|&(_, number)| number).max()?;
    let length = (highest + 1).next_multiple_of(FRAMES_PER_SECOND);
    let (mut looped, mut before) = (0, 0);
    let late: Vec<f64> = readable
        .iter()
        .map(|&(time, number)| {
            if before > number && before - number > highest / 2 {
                looped += length;
            }
            before = number;
            time - f64::from(looped + number) / f64::from(FRAMES_PER_SECOND)
        })
        .collect();
    let middle = stats::median(&late)?;
    let off: Vec<f64> = late.iter().map(|late| (late - middle).abs() * 1000.0).collect();
    stats::percentile(&off, 0.95)
}

/// From the first picture to the end of the last one, which is taken to last as
/// long as the others do on average.
pub fn length_in_seconds(pictures: &[Picture]) -> f64 {
    let (Some(first), Some(last)) = (pictures.first(), pictures.last()) else { return 0.0 };
    let count = to_f64(pictures.len());
    (last.time - first.time) * count / (count - 1.0).max(1.0)
}

#[expect(clippy::cast_precision_loss, reason = "no recording has 2^52 pictures")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

/// When each flash starts, in seconds: the time of the first bright picture
/// after a dark one.
pub fn flashes(pictures: &[Picture]) -> Vec<f64> {
    let bright = |picture: &Picture| picture.flash > 127;
    pictures
        .windows(2)
        .filter(|pair| !bright(&pair[0]) && bright(&pair[1]))
        .map(|pair| pair[1].time)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::{CELLS, is_flash};

    /// A picture every 1/30 s; `None` is one that cannot be read.
    fn shown(numbers: &[Option<u32>]) -> Vec<Picture> {
        (0..)
            .zip(numbers)
            .map(|(index, number)| Picture {
                time: 5.0 + f64::from(index) / 30.0,
                cells: number.map_or([128; CELLS], |number| {
                    std::array::from_fn(|bit| if number >> bit & 1 == 1 { 235 } else { 16 })
                }),
                flash: if number.is_some_and(|number| is_flash(number, 30)) { 235 } else { 16 },
            })
            .collect()
    }

    fn counted(numbers: impl IntoIterator<Item = u32>) -> Numbers {
        count(&shown(&numbers.into_iter().map(Some).collect::<Vec<_>>()))
    }

    #[test]
    fn a_perfect_recording_shows_each_number_once() {
        let numbers = counted(100..160);
        assert_eq!((numbers.pictures, numbers.distinct), (60, 60));
        assert_eq!((numbers.repeated, numbers.skipped, numbers.loops), (0, 0, 0));
        assert!((numbers.distinct_per_second - 30.0).abs() < 1e-9);
        assert_eq!((numbers.first_number, numbers.last_number), (Some(100), Some(159)));
    }

    #[test]
    fn a_film_that_goes_by_too_fast_is_as_long_as_what_it_shows() {
        // Each third picture, shown for one slot.
        let numbers = counted((0..60).map(|picture| 100 + 3 * picture));
        assert!((numbers.seconds - 178.0 / 30.0).abs() < 1e-9, "{numbers:?}");
        assert!((numbers.distinct_per_second - 60.0 / numbers.seconds).abs() < 1e-9);
    }

    #[test]
    fn what_was_before_the_first_number_is_not_counted() {
        let late = (0..30).map(|_| None).chain((100..160).map(Some));
        let numbers = count(&shown(&late.collect::<Vec<_>>()));
        assert!((numbers.distinct_per_second - 30.0).abs() < 1e-9, "{numbers:?}");
    }

    #[test]
    fn repeated_and_skipped_numbers_are_told_apart() {
        let numbers = counted([10, 11, 11, 11, 12, 15, 16]);
        assert_eq!((numbers.repeated, numbers.skipped, numbers.distinct), (2, 2, 5));
    }

    #[test]
    fn a_loop_is_no_skip_but_what_it_lost_is() {
        let clean = counted((50..90).chain(0..40));
        assert_eq!((clean.loops, clean.skipped, clean.stepped_back), (1, 0, 0));
        let lossy = counted((50..89).chain(2..40));
        assert_eq!((lossy.loops, lossy.skipped, lossy.stepped_back), (1, 3, 0));
    }

    #[test]
    fn a_small_step_back_is_not_a_loop() {
        let numbers = counted([100, 101, 100, 102]);
        assert_eq!((numbers.stepped_back, numbers.loops, numbers.skipped), (1, 0, 1));
    }

    #[test]
    fn pictures_without_a_legible_number_are_set_apart() {
        let numbers = count(&shown(&[None, Some(7), None, Some(9), Some(10), None]));
        assert_eq!((numbers.unreadable, numbers.distinct, numbers.skipped), (3, 3, 1));
        assert_eq!((numbers.first_readable, numbers.last_readable), (Some(1), Some(4)));
    }

    #[test]
    fn black_and_white_pages_are_not_numbers() {
        let page =
            |brightness| Picture { time: 0.0, cells: [brightness; CELLS], flash: brightness };
        assert_eq!(number_in(&page(16)), None);
        assert_eq!(number_in(&page(235)), None);
        assert_eq!(number_in(&Picture { flash: 235, ..page(16) }), Some(0));
    }

    #[test]
    fn a_picture_that_is_shown_late_is_uneven_and_a_loop_is_not() {
        let jitter = |numbers: Vec<u32>| {
            jitter_ms(&shown(&numbers.into_iter().map(Some).collect::<Vec<_>>())).unwrap()
        };
        assert!(jitter((50..90).chain(0..40).collect()) < 1e-6);
        // Every fifth is one picture late.
        let late = (1..=100).map(|n| if n % 5 == 0 { n - 1 } else { n }).collect();
        assert!((jitter(late) - 1000.0 / 30.0).abs() < 1e-6);
        assert_eq!(jitter_ms(&[]), None);
    }

    #[test]
    fn nothing_to_count_is_not_an_error() {
        assert_eq!(count(&[]), Numbers::default());
        assert_eq!(counted([4]).distinct, 1);
    }

    #[test]
    fn a_flash_is_timed_only_when_its_start_is_seen() {
        let pictures = shown(&(31..100).map(Some).collect::<Vec<_>>());
        let times = flashes(&pictures);
        assert_eq!(times.len(), 2, "the flash under way at the start does not count: {times:?}");
        assert!((times[0] - (5.0 + 29.0 / 30.0)).abs() < 1e-9);
    }
}
