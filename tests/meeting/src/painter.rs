//! Paints what synthetic cameras see and what a shared screen shows, as I420.
//!
//! Pure: the same number gives the same picture. Each has the marks of
//! `test_media::marks` (frame number as cells, flash at each second), so that a
//! recording of it can be measured.

use test_media::marks::{self, BAND_HEIGHT, CELLS, FLASH};

type Colour = (u8, u8, u8);

const BLACK: Colour = (16, 128, 128);
const WHITE: Colour = (235, 128, 128);
const SKIN: [Colour; 4] = [(190, 108, 150), (160, 108, 152), (120, 112, 150), (80, 118, 144)];
const INK: Colour = (50, 128, 128);
const MOUTH: Colour = (70, 110, 190);

/// One picture in the making.
#[derive(Debug)]
pub(crate) struct Canvas {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) bytes: Vec<u8>,
}

/// An upright ellipse by its centre and half axes, in pixels.
#[derive(Clone, Copy, Debug)]
struct Ellipse {
    x: u32,
    y: u32,
    across: u32,
    down: u32,
}

impl Canvas {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let pixels = width as usize * height as usize;
        Self { width, height, bytes: vec![128; pixels * 3 / 2] }
    }

    /// Clipped at the edges.
    fn fill(&mut self, x: u32, y: u32, width: u32, height: u32, colour: Colour) {
        let stride = self.width as usize;
        let pixels = stride * self.height as usize;
        let (left, right) = (x.min(self.width) as usize, (x + width).min(self.width) as usize);
        let (luma, chroma) = self.bytes.split_at_mut(pixels);
        let (u, v) = chroma.split_at_mut(pixels / 4);
        for row in y.min(self.height) as usize..(y + height).min(self.height) as usize {
            luma[row * stride..][left..right].fill(colour.0);
            let half = row / 2 * (stride / 2);
            u[half..][left / 2..right / 2].fill(colour.1);
            v[half..][left / 2..right / 2].fill(colour.2);
        }
    }

    fn ellipse(&mut self, ellipse: Ellipse, colour: Colour) {
        let Ellipse { x, y, across, down } = ellipse;
        for row in y.saturating_sub(down)..y + down {
            let off = row.abs_diff(y);
            let half = across * (down * down - off * off).isqrt() / down.max(1);
            self.fill(x.saturating_sub(half), row, half * 2, 1, colour);
        }
    }

    /// Frame number and flash, over everything else.
    pub(crate) fn mark(&mut self, number: u32, fps: u32) {
        let (width, height) = (self.width, self.height);
        let shade = |lit: bool| if lit { WHITE } else { BLACK };
        let cells = u32::try_from(CELLS).expect("twenty");
        for cell in 0..cells {
            let (left, right) = (width * cell / cells, width * (cell + 1) / cells);
            let lit = number >> cell & 1 == 1;
            self.fill(left, 0, right - left, BAND_HEIGHT.of(height), shade(lit));
        }
        let (x, y) = (FLASH.left.of(width), FLASH.top.of(height));
        let (w, h) = (FLASH.width.of(width), FLASH.height.of(height));
        self.fill(x, y, w, h, shade(marks::is_flash(number, fps)));
    }
}

/// The camera of the person with this look: a head that nods and turns, blinks and
/// talks, before a wall of a colour of its own.
pub(crate) fn camera(canvas: &mut Canvas, look: usize, number: u32, fps: u32) {
    let (width, height) = (canvas.width, canvas.height);
    canvas.fill(0, 0, width, height, wall(look));
    // A window in the wall tells apart what scrolls and what stands.
    canvas.fill(width / 20, height / 5, width / 6, height / 3, (200, 140, 120));
    let sway = |period: u32, reach: u32| {
        let phase = number % period;
        phase.min(period - phase) * reach * 2 / period
    };
    let x = width * 2 / 5 + sway(120, width / 12);
    let y = height * 9 / 20 + sway(60, height / 24);
    let skin = SKIN[look % SKIN.len()];
    let shirt = wall(look + 7);
    canvas.ellipse(Ellipse { x, y: height, across: width / 5, down: height * 3 / 10 }, shirt);
    canvas.ellipse(Ellipse { x, y, across: height / 5, down: height / 4 }, skin);
    let eye = height / 36;
    // A blink of a tenth of a second, every two.
    let open = if number % (2 * fps) < fps / 10 { 1 } else { eye };
    for side in [x - height / 12, x + height / 12] {
        canvas.ellipse(Ellipse { x: side, y: y - height / 14, across: eye, down: open }, INK);
    }
    let mouth = height / 60 + sway(10, height / 30);
    let lips = Ellipse { x, y: y + height / 9, across: height / 14, down: mouth.max(1) };
    canvas.ellipse(lips, MOUTH);
    canvas.mark(number, fps);
}

/// 25 walls that can be told apart: five shades by five tints.
fn wall(look: usize) -> Colour {
    const TINTS: [(u8, u8); 5] = [(160, 100), (100, 120), (110, 165), (150, 150), (90, 170)];
    const SHADES: [u8; 5] = [110, 150, 90, 130, 170];
    let (u, v) = TINTS[look % 5];
    (SHADES[(look / 5 + look) % 5], u, v)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn walls_differ_and_pictures_move() {
        let walls: BTreeSet<_> = (0..25).map(wall).collect();
        assert_eq!(walls.len(), 25);
        let picture = |number| {
            let mut canvas = Canvas::new(320, 180);
            camera(&mut canvas, 3, number, 30);
            canvas.bytes
        };
        assert_eq!(picture(5), picture(5));
        let all: BTreeSet<_> = (0..60).map(picture).collect();
        assert_eq!(all.len(), 60);
    }

    #[test]
    fn the_number_can_be_read_back_at_every_size() {
        for (width, height) in [(320, 180), (640, 360), (1280, 720)] {
            for number in [0, 1, 29, 239] {
                let mut canvas = Canvas::new(width, height);
                camera(&mut canvas, 0, number, 30);
                let cells = std::array::from_fn(|cell| {
                    let x = usize::try_from(width).unwrap() * (2 * cell + 1) / (2 * CELLS);
                    canvas.bytes[3 * width as usize + x]
                });
                assert_eq!(marks::read_number(&cells), Some(number));
            }
        }
    }
}
