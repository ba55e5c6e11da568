//! One picture of a marked clip, painted into an I420 buffer.
//!
//! What moves is there to give an encoder the work that a call gives it: bands
//! that slide, discs that bounce, and mild noise as from a camera. The marks
//! are painted last, so nothing covers them. Pure: the same number gives the
//! same picture.

use crate::marks::{self, BAND_HEIGHT, CELLS, FLASH};

/// Limited-range luma of black and white, and chroma of grey.
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const GREY: u8 = 128;

/// Horizontal strips. Two of them slide, opposite ways, and have new noise in
/// every picture; the others are the wall behind.
const STRIPS: u32 = 5;
/// Pixels between two crests of the brightness in a strip.
const PERIOD: u32 = 256;
/// Peak to peak, in luma steps.
const NOISE: u32 = 5;
/// Rows take their noise from random places of a table of this length.
const NOISE_PLACES: u32 = 1 << 14;

const DISCS: [Disc; 5] = [
    Disc { speed: (11, 5), start: (100, 700), colour: (200, 90, 170) },
    Disc { speed: (7, 9), start: (900, 300), colour: (60, 190, 90) },
    Disc { speed: (5, 4), start: (1500, 900), colour: (150, 60, 140) },
    Disc { speed: (13, 3), start: (400, 200), colour: (110, 140, 220) },
    Disc { speed: (3, 8), start: (1200, 500), colour: (40, 150, 60) },
];

struct Disc {
    /// Pixels per picture, rightward and downward.
    speed: (u32, u32),
    start: (u32, u32),
    /// Luma and the two chroma values.
    colour: (u8, u8, u8),
}

/// Digits of three by five dots, top row in the highest three bits.
const DIGITS: [u16; 10] = [
    0b111_101_101_101_111,
    0b010_110_010_010_111,
    0b111_001_111_100_111,
    0b111_001_111_001_111,
    0b101_101_111_001_001,
    0b111_100_111_001_111,
    0b111_100_111_101_111,
    0b111_001_001_010_010,
    0b111_101_111_101_111,
    0b111_101_111_001_111,
];

/// Paints the pictures of one size.
#[derive(Debug)]
pub struct Painter {
    width: u32,
    height: u32,
    fps: u32,
    wave: Vec<u8>,
    noise: Vec<u8>,
}

impl Painter {
    /// Width and height are in pixels and even.
    pub fn new(width: u32, height: u32, fps: u32) -> Self {
        let wave = (0..width + PERIOD).map(wave_at).collect();
        let mut random = Random::new(0);
        let noise = (0..width + NOISE_PLACES).map(|_| low_byte(random.below(NOISE))).collect();
        Self { width, height, fps, wave, noise }
    }

    /// Bytes of one picture.
    pub fn size(&self) -> usize {
        self.width as usize * self.height as usize * 3 / 2
    }

    /// Overwrites `buffer`, which is [`Self::size`] long, with picture `number`.
    pub fn paint(&self, number: u32, buffer: &mut [u8]) {
        let luma_size = self.width as usize * self.height as usize;
        let (luma, chroma) = buffer.split_at_mut(luma_size);
        let (u, v) = chroma.split_at_mut(luma_size / 4);
        let mut canvas = Canvas { width: self.width as usize, luma, u, v };
        self.paint_strips(number, &mut canvas);
        for disc in &DISCS {
            self.paint_disc(disc, number, &mut canvas);
        }
        self.paint_digits(number, &mut canvas);
        self.paint_marks(number, &mut canvas);
    }

    fn paint_strips(&self, number: u32, canvas: &mut Canvas<'_>) {
        let mut still = Random::new(0);
        let mut moving = Random::new(number + 1);
        let rows = canvas.luma.chunks_exact_mut(self.width as usize);
        for (y, row) in (0..).zip(rows) {
            let (slid, random) = match y * STRIPS / self.height {
                1 => (number * 6, &mut moving),
                3 => (PERIOD - number * 4 % PERIOD, &mut moving),
                _ => (0, &mut still),
            };
            let slant = y / 4;
            let shift = ((slant + slid) % PERIOD) as usize;
            let place = random.below(NOISE_PLACES) as usize;
            let sources = self.wave[shift..].iter().zip(&self.noise[place..]);
            for (pixel, (wave, noise)) in row.iter_mut().zip(sources) {
                *pixel = wave + noise;
            }
        }
        let half = self.width as usize / 2;
        let rows = canvas.u.chunks_exact_mut(half).zip(canvas.v.chunks_exact_mut(half));
        for (y, (u, v)) in (0..).zip(rows) {
            u.copy_from_slice(&self.wave[..half]);
            v.fill(low_byte(100 + 60 * y * 2 / self.height));
        }
    }

    fn paint_disc(&self, disc: &Disc, number: u32, canvas: &mut Canvas<'_>) {
        let radius = self.height / 12;
        let centre_x = bounce(disc.start.0 + number * disc.speed.0, radius, self.width);
        let centre_y = bounce(disc.start.1 + number * disc.speed.1, radius, self.height);
        for y in centre_y - radius..centre_y + radius {
            let half_chord = (radius * radius - centre_y.abs_diff(y).pow(2)).isqrt();
            canvas.fill(centre_x - half_chord, y, half_chord * 2, 1, disc.colour);
        }
    }

    /// The number for people: left, under the band, on black.
    fn paint_digits(&self, number: u32, canvas: &mut Canvas<'_>) {
        let dot = (self.height / 90).max(2) & !1;
        let left = self.width / 32;
        let top = BAND_HEIGHT.of(self.height) + dot * 2;
        canvas.fill(left, top, dot * 25, dot * 7, (BLACK, GREY, GREY));
        for place in 0..6 {
            let digit = DIGITS[(number / 10_u32.pow(5 - place) % 10) as usize];
            for bit in (0..15).filter(|bit| digit >> (14 - bit) & 1 == 1) {
                let x = left + dot * (1 + place * 4 + bit % 3);
                canvas.fill(x, top + dot * (1 + bit / 3), dot, dot, (WHITE, GREY, GREY));
            }
        }
    }

    fn paint_marks(&self, number: u32, canvas: &mut Canvas<'_>) {
        let shade = |lit: bool| (if lit { WHITE } else { BLACK }, GREY, GREY);
        for cell in 0..u32::try_from(CELLS).expect("twenty") {
            let cells = u32::try_from(CELLS).expect("twenty");
            let left = self.width * cell / cells;
            let right = self.width * (cell + 1) / cells;
            let lit = number >> cell & 1 == 1;
            canvas.fill(left, 0, right - left, BAND_HEIGHT.of(self.height), shade(lit));
        }
        canvas.fill(
            FLASH.left.of(self.width),
            FLASH.top.of(self.height),
            FLASH.width.of(self.width),
            FLASH.height.of(self.height),
            shade(marks::is_flash(number, self.fps)),
        );
    }
}

/// The three planes of one I420 picture.
struct Canvas<'a> {
    width: usize,
    luma: &'a mut [u8],
    u: &'a mut [u8],
    v: &'a mut [u8],
}

impl Canvas<'_> {
    /// Fills a rectangle inside the picture with luma and chroma.
    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, colour: (u8, u8, u8)) {
        let (left, right) = (x as usize, (x + width) as usize);
        for row in y as usize..(y + height) as usize {
            self.luma[row * self.width..][left..right].fill(colour.0);
            let chroma_row = row / 2 * (self.width / 2);
            self.u[chroma_row..][left / 2..right / 2].fill(colour.1);
            self.v[chroma_row..][left / 2..right / 2].fill(colour.2);
        }
    }
}

/// Brightness along a strip: up and down within a period, kept clear of black
/// and white so that noise can be added.
fn wave_at(x: u32) -> u8 {
    let phase = x % PERIOD;
    low_byte(60 + phase.min(PERIOD - phase))
}

/// A position that walks between the edges of `0..length`, `radius` from each.
fn bounce(walked: u32, radius: u32, length: u32) -> u32 {
    let way = length - 2 * radius;
    let phase = walked % (2 * way);
    radius + phase.min(2 * way - phase)
}

/// Marsaglia's xorshift: enough for noise, and the same on every machine.
struct Random(u32);

impl Random {
    fn new(seed: u32) -> Self {
        // Never zero, where it would stay for ever.
        Self(seed.wrapping_mul(0x9E37_79B9) | 1)
    }

    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) % limit
    }
}

fn low_byte(value: u32) -> u8 {
    u8::try_from(value).expect("levels are made to fit a byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(number: u32) -> Vec<u8> {
        let painter = Painter::new(320, 180, 30);
        let mut buffer = vec![0; painter.size()];
        painter.paint(number, &mut buffer);
        buffer
    }

    #[test]
    fn the_painted_number_is_read_back() {
        for number in [0, 1, 2, 29, 30, 12_345, (1 << 20) - 1] {
            let picture = painted(number);
            let cells = std::array::from_fn(|cell| picture[8 * 320 + cell * 16 + 8]);
            assert_eq!(marks::read_number(&cells), Some(number));
        }
    }

    #[test]
    fn the_flash_block_is_white_in_the_first_three_pictures_of_a_second_only() {
        let middle = 135 * 320 + 240;
        for number in 0..60 {
            let expected = if number % 30 < 3 { WHITE } else { BLACK };
            assert_eq!(painted(number)[middle], expected, "picture {number}");
        }
    }

    #[test]
    fn at_least_a_third_of_the_blocks_differ_from_the_picture_before_beyond_the_noise() {
        let (before, after) = (painted(40), painted(41));
        let moved = |x: usize, y: usize| {
            let sum = |picture: &[u8]| -> u32 {
                (0..8)
                    .flat_map(|dy| &picture[(y + dy) * 320 + x..][..8])
                    .map(|&p| u32::from(p))
                    .sum()
            };
            sum(&before).abs_diff(sum(&after)) > 64 * 2
        };
        let blocks: Vec<_> = (0..22).flat_map(|y| (0..40).map(move |x| (x * 8, y * 8))).collect();
        let changed = blocks.iter().filter(|&&(x, y)| moved(x, y)).count();
        assert!(changed * 3 >= blocks.len(), "{changed} of {}", blocks.len());
    }
}
