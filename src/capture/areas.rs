//! Which parts of the screen are worth grabbing, given what was drawn.
//!
//! Pure: rectangles in, rectangles out. It must not know what is in them.

use crate::config::Size;

/// More pieces than these cost more in requests than they save in pixels.
const MOST: usize = 8;

/// What the display says was drawn: left, top, width, height.
pub(super) type Drawn = (i16, i16, u16, u16);

/// A rectangle of the screen with even edges, because 4:2:0 keeps one colour for two
/// by two pixels. Never empty, and never outside of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) x: u16,
    pub(super) y: u16,
    pub(super) width: u16,
    pub(super) height: u16,
}

impl Area {
    pub(super) fn whole(Size { width, height }: Size) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    pub(super) fn pixels(self) -> usize {
        usize::from(self.width) * usize::from(self.height)
    }

    /// What of a rectangle with any edges is on the screen, and what is missing to
    /// even edges.
    fn around((x, y, width, height): Drawn, size: Size) -> Option<Self> {
        let clipped = |from: i16, length: u16, limit: u16| {
            let (from, limit) = (i32::from(from), i32::from(limit));
            let to = (from + i32::from(length)).clamp(0, limit);
            let from = from.clamp(0, limit) & !1;
            let length = (to - from + 1) & !1;
            let fits = "it is on the screen";
            (length > 0)
                .then(|| (u16::try_from(from).expect(fits), u16::try_from(length).expect(fits)))
        };
        let (x, width) = clipped(x, width, size.width)?;
        let (y, height) = clipped(y, height, size.height)?;
        Some(Self { x, y, width, height })
    }

    /// The smallest area with both in it.
    fn with(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let right = (self.x + self.width).max(other.x + other.width);
        let bottom = (self.y + self.height).max(other.y + other.height);
        Self { x, y, width: right - x, height: bottom - y }
    }
}

/// Covers all of `drawn` that is on the screen: piece by piece where that saves a
/// good part of the pixels, else the area around everything. The screen has even
/// sides.
pub(super) fn cover(drawn: impl Iterator<Item = Drawn>, size: Size) -> Vec<Area> {
    let pieces: Vec<Area> = drawn.filter_map(|one| Area::around(one, size)).collect();
    let Some(all) = pieces.iter().copied().reduce(Area::with) else { return Vec::new() };
    let pixels: usize = pieces.iter().map(|piece| piece.pixels()).sum();
    if pieces.len() <= MOST && pixels * 4 <= all.pixels() * 3 { pieces } else { vec![all] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZE: Size = Size { width: 640, height: 360 };

    fn area(x: u16, y: u16, width: u16, height: u16) -> Area {
        Area { x, y, width, height }
    }

    #[test]
    fn one_piece_is_grabbed_alone_and_pieces_that_fill_their_surroundings_at_once() {
        let cases: [(&[Drawn], Vec<Area>); 7] = [
            (&[], vec![]),
            (&[(10, 20, 30, 40)], vec![area(10, 20, 30, 40)]),
            // Odd edges grow outwards.
            (&[(11, 21, 1, 3)], vec![area(10, 20, 2, 4)]),
            // What is off the screen is not there.
            (&[(-10, -10, 20, 20)], vec![area(0, 0, 10, 10)]),
            (&[(700, 10, 20, 20), (630, 350, 50, 50)], vec![area(630, 350, 10, 10)]),
            // Two corners.
            (
                &[(0, 0, 100, 100), (540, 260, 100, 100)],
                vec![area(0, 0, 100, 100), area(540, 260, 100, 100)],
            ),
            // Four tiles with a thin gap.
            (
                &[(0, 0, 318, 178), (322, 0, 318, 178), (0, 182, 318, 178), (322, 182, 318, 178)],
                vec![area(0, 0, 640, 360)],
            ),
        ];
        for (drawn, expected) in cases {
            assert_eq!(cover(drawn.iter().copied(), SIZE), expected, "{drawn:?}");
        }
    }

    #[test]
    fn many_pieces_become_one() {
        let drawn = (0..9).map(|n| (n * 60, n * 30, 10, 10));
        assert_eq!(cover(drawn, SIZE), [area(0, 0, 490, 250)]);
    }

    proptest! {
        #[test]
        fn every_drawn_pixel_is_covered_and_the_areas_fit_the_screen(
            drawn in prop::collection::vec((-50i16..700, -50i16..400, 0u16..700, 0u16..400), 0..12),
        ) {
            let areas = cover(drawn.iter().copied(), SIZE);
            let pixels: usize = areas.iter().map(|area| area.pixels()).sum();
            prop_assert!(pixels <= Area::whole(SIZE).pixels());
            for area in &areas {
                prop_assert_eq!((area.x | area.y | area.width | area.height) & 1, 0);
                prop_assert!(area.pixels() > 0);
                prop_assert!(area.x + area.width <= SIZE.width);
                prop_assert!(area.y + area.height <= SIZE.height);
            }
            let holds = |x: i32, y: i32| areas.iter().any(|area| {
                (area.x.into()..i32::from(area.x + area.width)).contains(&x)
                    && (area.y.into()..i32::from(area.y + area.height)).contains(&y)
            });
            for (x, y, width, height) in drawn {
                let corner = |from: i16, length: u16, limit: u16| {
                    let (first, last) = (i32::from(from), i32::from(from) + i32::from(length) - 1);
                    (first.max(0), last.min(i32::from(limit) - 1))
                };
                let (left, right) = corner(x, width, SIZE.width);
                let (top, bottom) = corner(y, height, SIZE.height);
                if left <= right && top <= bottom {
                    for (x, y) in [(left, top), (right, top), (left, bottom), (right, bottom)] {
                        prop_assert!(holds(x, y), "{},{}", x, y);
                    }
                }
            }
        }
    }
}
