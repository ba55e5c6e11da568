//! Xvfb's frame buffer, which it keeps in a file in the format of `xwd`: a header, a table
//! of colours that nobody needs, and the pixels.
//!
//! It must not know X, nor which part of the screen is wanted.

use std::fs::File;
use std::io;
use std::path::Path;

use pixels::Pixel;

use super::planar::Screenful;
use super::shared::Shared;
use crate::config::Size;

/// The header's numbers before its last ones, which are not looked at, and what of them is.
const HEADER: usize = 20;
const HEADER_LEN: usize = 0;
const WIDTH: usize = 4;
const HEIGHT: usize = 5;
const BYTE_ORDER: usize = 7;
const BITS: usize = 11;
const ROW_LEN: usize = 12;
const MASKS: std::ops::Range<usize> = 14..17;
const COLOURS: usize = 19;
/// Bytes of an entry of the table of colours.
const COLOUR_LEN: usize = 12;

#[derive(Debug)]
pub(super) struct FrameBuffer {
    shared: Shared,
    layout: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// Bytes before the first pixel.
    start: usize,
    /// Pixels from one row to the next.
    stride: usize,
}

impl FrameBuffer {
    /// Of a screen of this size.
    pub(super) fn open(path: &Path, size: Size) -> io::Result<Self> {
        let shared = Shared::map(&File::open(path)?)?;
        // The header stays as it is.
        let layout = Layout::read(shared.at_rest(), size).map_err(io::Error::other)?;
        Ok(Self { shared, layout })
    }

    /// For whoever keeps the X server from drawing meanwhile.
    pub(super) fn at_rest(&self) -> Screenful<'_> {
        let Layout { start, stride } = self.layout;
        Screenful { pixels: self.shared.at_rest()[start..].as_chunks().0, stride }
    }
}

impl Layout {
    fn read(file: &[u8], size: Size) -> Result<Self, String> {
        let numbers = file.as_chunks::<4>().0.get(..HEADER).ok_or("it has no header")?;
        let number = |at: usize| u32::from_be_bytes(numbers[at]) as usize;
        let (width, height) = (number(WIDTH), number(HEIGHT));
        if (width, height) != (size.width.into(), size.height.into()) {
            return Err(format!("it is of a screen of {width}x{height}, not {size}"));
        }
        // The lowest byte first: blue, green, red.
        let format = (number(BITS), number(BYTE_ORDER), MASKS.map(number).collect::<Vec<_>>());
        if format != (32, 0, vec![0x00ff_0000, 0xff00, 0xff]) {
            return Err(format!("its pixels are of another format: {format:x?}"));
        }
        let start = number(HEADER_LEN) + number(COLOURS) * COLOUR_LEN;
        let (row_len, pixel_len) = (number(ROW_LEN), size_of::<Pixel>());
        if row_len < width * pixel_len || file.len() < start + row_len * height {
            let len = file.len();
            return Err(format!("{len} bytes are too few for rows of {row_len} from {start} on"));
        }
        Ok(Self { start, stride: row_len / pixel_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { width: 4, height: 2 };

    /// As Xvfb writes it, but for a row of padding.
    fn file(changed: &[(usize, u32)]) -> Vec<u8> {
        let mut numbers = [0u32; 25];
        numbers[HEADER_LEN] = 100;
        (numbers[WIDTH], numbers[HEIGHT], numbers[BITS], numbers[ROW_LEN]) = (4, 2, 32, 20);
        numbers[MASKS].copy_from_slice(&[0x00ff_0000, 0xff00, 0xff]);
        numbers[COLOURS] = 3;
        for (at, number) in changed {
            numbers[*at] = *number;
        }
        let header = numbers.into_iter().flat_map(u32::to_be_bytes);
        header.chain([0xee; 36]).chain(0..40).collect()
    }

    #[test]
    fn pixels_are_found_behind_header_and_colours() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, file(&[])).unwrap();
        let buffer = FrameBuffer::open(path.path(), SIZE).unwrap();
        let Screenful { pixels, stride } = buffer.at_rest();
        assert_eq!((stride, pixels.len(), pixels[0]), (5, 10, [0, 1, 2, 3]));
    }

    #[test]
    fn what_cannot_be_filmed_is_said() {
        let short = file(&[])[..100 + 36 + 39].to_vec();
        for (file, expected) in [
            (vec![0; 79], "it has no header"),
            (file(&[(WIDTH, 3)]), "it is of a screen of 3x2, not 4x2"),
            (file(&[(BITS, 16)]), "its pixels are of another format: (10, 0, [ff0000, ff00, ff])"),
            (
                file(&[(BYTE_ORDER, 1)]),
                "its pixels are of another format: (20, 1, [ff0000, ff00, ff])",
            ),
            (file(&[(ROW_LEN, 12)]), "176 bytes are too few for rows of 12 from 136 on"),
            (short, "175 bytes are too few for rows of 20 from 136 on"),
        ] {
            assert_eq!(Layout::read(&file, SIZE), Err(expected.to_owned()));
        }
    }
}
