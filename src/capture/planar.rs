//! Pictures as the encoder takes them, I420 in BT.709's limited range: their memory,
//! and how the screen's pixels get into them. It must not know when one is taken.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dcv_color_primitives::{ColorSpace, ImageFormat, PixelFormat, convert_image};

use super::areas::Area;
use crate::config::Size;

/// Bytes of a pixel of the screen: blue, green, red and one unused.
pub(super) const PIXEL: usize = 4;

const SCREEN: ImageFormat =
    ImageFormat { pixel_format: PixelFormat::Bgra, color_space: ColorSpace::Rgb, num_planes: 1 };
const PLANAR: ImageFormat =
    ImageFormat { pixel_format: PixelFormat::I420, color_space: ColorSpace::Bt709, num_planes: 3 };

/// Where GStreamer looks for the planes of a picture of this size, if it is not told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Bytes from one row to the next, of luma and of each of the chromas.
    strides: [usize; 3],
    /// Where each plane begins.
    starts: [usize; 3],
    /// Bytes of a picture.
    pub(super) len: usize,
}

impl Layout {
    /// `size` has even sides.
    pub(super) fn new(size: Size) -> Self {
        let (width, height) = (usize::from(size.width), usize::from(size.height));
        let (luma, chroma) = (width.next_multiple_of(4), (width / 2).next_multiple_of(4));
        let (luma_len, chroma_len) = (luma * height, chroma * height / 2);
        Self {
            strides: [luma, chroma, chroma],
            starts: [0, luma_len, luma_len + chroma_len],
            len: luma_len + 2 * chroma_len,
        }
    }

    /// Puts an area of the screen into a picture. `pixels` has the area's rows, one
    /// right after the other.
    pub(super) fn put(&self, area: Area, pixels: &[u8], picture: &mut [u8]) {
        let (x, y) = (usize::from(area.x), usize::from(area.y));
        let [luma, blue, red] = self.planes(picture);
        let chroma_at = y / 2 * self.strides[1] + x / 2;
        let mut planes =
            [&mut luma[y * self.strides[0] + x..], &mut blue[chroma_at..], &mut red[chroma_at..]];
        convert_image(
            area.width.into(),
            area.height.into(),
            &SCREEN,
            Some(&[usize::from(area.width) * PIXEL]),
            &[pixels],
            &PLANAR,
            Some(&self.strides),
            &mut planes,
        )
        .expect("an area has even sides and lies in the picture");
    }

    fn planes<'a>(&self, picture: &'a mut [u8]) -> [&'a mut [u8]; 3] {
        let (luma, chroma) = picture.split_at_mut(self.starts[1]);
        let (blue, red) = chroma.split_at_mut(self.starts[2] - self.starts[1]);
        [luma, blue, red]
    }
}

/// A fixed number of pictures' memory, lent out and given back. What came back last is lent
/// first: what is never needed stays a promise of the system's.
#[derive(Debug)]
pub(super) struct Pool(Free);

type Free = Arc<Mutex<Vec<Vec<u8>>>>;

/// How many pictures a pool has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Supply {
    /// The memory of these is there at once, before there is haste.
    pub(super) ready: usize,
    /// That of these is found when it is needed.
    pub(super) spare: usize,
}

/// The memory of one picture. Going back to its pool is its `Drop`.
#[derive(Debug)]
pub(super) struct Picture {
    bytes: Vec<u8>,
    pool: Free,
}

impl Pool {
    /// Of pictures of `len` bytes.
    pub(super) fn new(Supply { ready, spare }: Supply, len: usize) -> Self {
        // Zeros would not be written.
        let fills = std::iter::repeat_n(0, spare).chain(std::iter::repeat_n(16, ready));
        Self(Arc::new(Mutex::new(fills.map(|fill| vec![fill; len]).collect())))
    }

    /// A free picture with whatever was in it, unless all are lent out.
    pub(super) fn lend(&self) -> Option<Picture> {
        let bytes = locked(&self.0).pop()?;
        Some(Picture { bytes, pool: Arc::clone(&self.0) })
    }
}

fn locked(free: &Free) -> MutexGuard<'_, Vec<Vec<u8>>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsRef<[u8]> for Picture {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Picture {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        locked(&self.pool).push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blue, green and red.
    type Colour = [u8; 3];

    fn filled(area: Area, [blue, green, red]: Colour) -> Vec<u8> {
        [blue, green, red, 0].repeat(area.pixels())
    }

    /// By the formulas of BT.709.
    fn expected([blue, green, red]: Colour) -> [f64; 3] {
        let [blue, green, red] = [blue, green, red].map(|part| f64::from(part) / 255.0);
        let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        [
            16.0 + 219.0 * luma,
            128.0 + 224.0 * (blue - luma) / 1.8556,
            128.0 + 224.0 * (red - luma) / 1.5748,
        ]
    }

    #[test]
    fn colours_are_right_within_rounding_in_every_corner_of_the_area_and_nowhere_else() {
        // No multiple of what SIMD takes at once, and with padded rows.
        let size = Size { width: 86, height: 30 };
        let layout = Layout::new(size);
        assert_eq!((layout.strides, layout.len), ([88, 44, 44], 88 * 30 + 2 * 44 * 15));
        let area = Area { x: 6, y: 4, width: 70, height: 18 };
        for colour in
            [[255, 255, 255], [0, 0, 0], [0, 0, 255], [0, 255, 0], [255, 0, 0], [160, 96, 32]]
        {
            let mut picture = vec![7; layout.len];
            layout.put(area, &filled(area, colour), &mut picture);
            for (plane, value) in expected(colour).into_iter().enumerate() {
                let scale = if plane == 0 { 1 } else { 2 };
                for y in 0..usize::from(size.height) / scale {
                    for x in 0..usize::from(size.width) / scale {
                        let found = picture[layout.starts[plane] + y * layout.strides[plane] + x];
                        let inside =
                            (6..76).contains(&(x * scale)) && (4..22).contains(&(y * scale));
                        let right = if inside { value } else { 7.0 };
                        let wrong = (f64::from(found) - right).abs();
                        assert!(wrong <= 0.51, "{colour:?} plane {plane} at {x},{y}: {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_picture_goes_back_to_its_pool_and_outlives_it() {
        let pool = Pool::new(Supply { ready: 0, spare: 1 }, 16);
        let picture = pool.lend().unwrap();
        assert!(pool.lend().is_none(), "it is lent out");
        drop(picture);
        let picture = pool.lend().unwrap();
        drop(pool);
        assert_eq!(picture.as_ref().len(), 16);
    }
}
