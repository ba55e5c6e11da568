//! Where the marks of a picture are and what they mean: the one agreement
//! between whoever draws a marked picture and whoever reads it.
//!
//! Every place is a fraction of the picture, so that a marked picture may be
//! scaled. The built-in test page of the recorder draws the same marks.

/// Cells in the band along the top edge; cell `b` is white when bit `b` of the
/// frame number is set, else black. All are equally wide.
pub const CELLS: usize = 20;

/// Height of the band, in parts of the picture's height.
pub const BAND_HEIGHT: Fraction = Fraction { numerator: 100, denominator: 1080 };

/// A block in the middle of the lower right quarter: white during a flash, else
/// black.
pub const FLASH: Area = Area {
    left: Fraction { numerator: 5, denominator: 8 },
    top: Fraction { numerator: 5, denominator: 8 },
    width: Fraction { numerator: 1, denominator: 4 },
    height: Fraction { numerator: 1, denominator: 4 },
};

/// Flash and beep start at each whole second and last this long.
pub const MARK_SECONDS: f64 = 0.1;

/// The pitch of the beep; between beeps there is silence.
pub const TONE_HZ: f64 = 1000.0;

/// The frame numbers of the sources count at this rate unless they say otherwise.
pub const FRAMES_PER_SECOND: u32 = 30;

/// The mean brightness of a cell or of the flash block, 0 to 255, below which
/// it is black and above which it is white. What lies between is a mixture of
/// two pictures.
pub const BLACK_BELOW: u8 = 85;
pub const WHITE_ABOVE: u8 = 170;

/// A part of a length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fraction {
    pub numerator: u32,
    pub denominator: u32,
}

impl Fraction {
    /// This part of `length`, rounded down.
    pub fn of(self, length: u32) -> u32 {
        length * self.numerator / self.denominator
    }
}

/// A rectangle in parts of the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub left: Fraction,
    pub top: Fraction,
    pub width: Fraction,
    pub height: Fraction,
}

/// Whether the picture with this number is one of a flash, at `fps` pictures a
/// second.
pub fn is_flash(number: u32, fps: u32) -> bool {
    f64::from(number % fps) < MARK_SECONDS * f64::from(fps)
}

/// The frame number that the brightness of the cells says, or `None` when a
/// cell is neither black nor white.
pub fn read_number(cells: &[u8; CELLS]) -> Option<u32> {
    cells.iter().enumerate().try_fold(0, |number, (bit, &brightness)| match brightness {
        b if b < BLACK_BELOW => Some(number),
        b if b > WHITE_ABOVE => Some(number | 1 << bit),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_its_cells() {
        let mut cells = [16; CELLS];
        assert_eq!(read_number(&cells), Some(0));
        cells[0] = 235;
        cells[3] = 235;
        cells[19] = 235;
        assert_eq!(read_number(&cells), Some(1 + 8 + (1 << 19)));
    }

    #[test]
    fn a_grey_cell_makes_the_number_unreadable() {
        let mut cells = [16; CELLS];
        cells[7] = 126;
        assert_eq!(read_number(&cells), None);
    }

    #[test]
    fn a_flash_lasts_three_pictures_of_thirty() {
        let flashes: Vec<u32> = (0..62).filter(|&n| is_flash(n, 30)).collect();
        assert_eq!(flashes, [0, 1, 2, 30, 31, 32, 60, 61]);
    }
}
