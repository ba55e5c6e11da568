//! Pictures as the encoder takes them, I420 in BT.709's limited range: their memory,
//! and how the screen's pixels get into them. It must not know when one is taken.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::MmapMut;
use pixels::Pixel;

use super::areas::Area;
use crate::config::Size;

/// The pixels of the whole screen, row by row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screenful<'a> {
    pub(super) pixels: &'a [Pixel],
    /// Pixels from one row to the next.
    pub(super) stride: usize,
}

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

    /// Puts an area of the screen into the same place of a picture.
    pub(super) fn put(&self, area: Area, screen: Screenful<'_>, picture: &mut [u8]) {
        let [x, y, width, height] = [area.x, area.y, area.width, area.height].map(usize::from);
        let [luma, blue, red] = self.planes(picture);
        for y in (y..y + height).step_by(2) {
            let row = |y: usize| &screen.pixels[y * screen.stride + x..][..width];
            let luma = &mut luma[y * self.strides[0]..][..2 * self.strides[0]];
            let (upper, lower) = luma.split_at_mut(self.strides[0]);
            let luma = [upper, lower].map(|row| &mut row[x..][..width]);
            let chroma = [(&mut *blue, self.strides[1]), (&mut *red, self.strides[2])]
                .map(|(plane, stride)| &mut plane[y / 2 * stride + x / 2..][..width / 2]);
            pixels::convert([row(y), row(y + 1)], luma, chroma);
        }
    }

    fn planes<'a>(&self, picture: &'a mut [u8]) -> [&'a mut [u8]; 3] {
        let (luma, chroma) = picture.split_at_mut(self.starts[1]);
        let (blue, red) = chroma.split_at_mut(self.starts[2] - self.starts[1]);
        [luma, blue, red]
    }
}

/// So many pictures are lent out between two looks at what nobody needs: ten seconds of a page
/// that moves.
const LENDINGS: u32 = 300;

/// A fixed number of pictures' memory, lent out and given back. What came back last is lent
/// first, and what was not needed for long goes back to the system.
#[derive(Debug)]
pub(super) struct Pool(Arc<Mutex<Free>>);

/// What nobody has.
#[derive(Debug)]
struct Free {
    /// Bytes of a picture.
    len: usize,
    memory: Vec<MmapMut>,
    /// So many more may be asked of the system, now and if nobody has any.
    spare: usize,
    most_spare: usize,
    /// How many were lent out since the last look at what nobody needs, and the fewest that were
    /// free meanwhile.
    lendings: u32,
    fewest: usize,
    /// So many were not needed, and go back with the next lendings.
    unneeded: usize,
}

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
    /// Until then.
    bytes: Option<MmapMut>,
    pool: Arc<Mutex<Free>>,
}

impl Pool {
    /// Of pictures of `len` bytes.
    pub(super) fn new(Supply { ready, spare }: Supply, len: usize) -> io::Result<Self> {
        let memory = || -> io::Result<MmapMut> {
            let mut memory = MmapMut::map_anon(len)?;
            // A promise of the system's until something is written.
            memory.fill(16);
            Ok(memory)
        };
        let memory: Vec<_> = (0..ready).map(|_| memory()).collect::<Result<_, _>>()?;
        let (most_spare, fewest) = (spare, ready);
        let free = Free { len, memory, spare, most_spare, lendings: 0, fewest, unneeded: 0 };
        Ok(Self(Arc::new(Mutex::new(free))))
    }

    /// A free picture with whatever was in it, unless all are lent out.
    pub(super) fn lend(&self) -> Option<Picture> {
        let bytes = locked(&self.0).lend()?;
        Some(Picture { bytes: Some(bytes), pool: Arc::clone(&self.0) })
    }
}

impl Free {
    fn lend(&mut self) -> Option<MmapMut> {
        let bytes = match self.memory.pop() {
            Some(bytes) => bytes,
            None if self.spare > 0 => {
                // A system without memory is as a pool without any.
                let bytes = MmapMut::map_anon(self.len).ok()?;
                self.spare -= 1;
                bytes
            }
            None => return None,
        };
        self.fewest = self.fewest.min(self.memory.len());
        self.lendings += 1;
        if self.lendings == LENDINGS {
            self.unneeded = self.fewest.min(self.most_spare - self.spare);
            self.lendings = 0;
            self.fewest = self.memory.len();
        }
        // They may be needed again meanwhile.
        self.unneeded = self.unneeded.min(self.memory.len());
        // One with each, for that takes the system a moment in which nothing is grabbed.
        if self.unneeded > 0 {
            // What is lent last is what nobody had.
            self.memory.remove(0);
            self.spare += 1;
            self.unneeded -= 1;
        }
        Some(bytes)
    }
}

fn locked(free: &Mutex<Free>) -> MutexGuard<'_, Free> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsRef<[u8]> for Picture {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }
}

impl AsMut<[u8]> for Picture {
    fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        locked(&self.pool).memory.extend(self.bytes.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blue, green and red.
    type Colour = [u8; 3];

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
            // Of the area alone: around it the screen has another colour.
            let stride = 90;
            let mut pixels = vec![[90, 20, 200, 0]; stride * 30];
            for row in pixels.chunks_mut(stride).skip(4).take(18) {
                row[6..76].fill([colour[0], colour[1], colour[2], 0]);
            }
            let mut picture = vec![7; layout.len];
            layout.put(area, Screenful { pixels: &pixels, stride }, &mut picture);
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
        let pool = Pool::new(Supply { ready: 0, spare: 1 }, 16).unwrap();
        let picture = pool.lend().unwrap();
        assert!(pool.lend().is_none(), "it is lent out");
        drop(picture);
        let picture = pool.lend().unwrap();
        drop(pool);
        assert_eq!(picture.as_ref().len(), 16);
    }

    #[test]
    fn memory_that_nobody_needed_for_long_is_given_back() {
        let pool = Pool::new(Supply { ready: 2, spare: 4 }, 16).unwrap();
        let lent = || -> Vec<_> { std::iter::from_fn(|| pool.lend()).collect() };
        let at_once = |count: usize| drop((0..count).map(|_| pool.lend()).collect::<Vec<_>>());
        let has = || locked(&pool.0).memory.len();
        assert_eq!(has(), 2);
        assert_eq!(lent().len(), 6);
        assert_eq!(has(), 6, "it may be needed again");
        // Each two look once; the first of them knows of the burst.
        for expected in [6, 3, 3] {
            (0..LENDINGS / 3).for_each(|_| at_once(3));
            assert_eq!(has(), expected);
        }
        for expected in [3, 2, 2] {
            (0..LENDINGS).for_each(|_| at_once(1));
            assert_eq!(has(), expected, "what was ready stays");
        }
        assert_eq!(lent().len(), 6);
    }
}
