//! The screen's colours become those of a film: red, green and blue become luma and chroma of
//! BT.709 in limited range, with one sample of chroma for two by two pixels (I420).
//!
//! A crate of its own because it is compiled with all optimisations also where the rest is
//! not: its plain loops become the vector instructions of the processor that runs them. It
//! must not know where rows lie, nor what a picture is.

use multiversion::multiversion;

/// Blue, green, red, and a byte that means nothing.
pub type Pixel = [u8; 4];

/// So many pixels of a row are worked on at once: what is kept of them between luma and
/// chroma stays in the first-level cache.
const CHUNK: usize = 64;

/// Bits after the point of the weights.
const POINT: u32 = 16;

/// What a colour of blue, green and red adds to a sample.
type Weights = [i32; 3];

const LUMA_OF_BLUE: f64 = 0.0722;
const LUMA_OF_RED: f64 = 0.2126;
const LUMA_OF_GREEN: f64 = 1.0 - LUMA_OF_BLUE - LUMA_OF_RED;
/// From black to white, of 255 steps.
const LUMA_STEPS: f64 = 219.0 / 255.0;
/// From the most to the least of a colour's difference from luma.
const CHROMA_STEPS: f64 = 224.0 / 255.0;

const LUMA: Weights = weights([LUMA_OF_BLUE, LUMA_OF_GREEN, LUMA_OF_RED], LUMA_STEPS);
const BLUE: Weights = weights(
    [1.0 - LUMA_OF_BLUE, -LUMA_OF_GREEN, -LUMA_OF_RED],
    CHROMA_STEPS / (2.0 * (1.0 - LUMA_OF_BLUE)),
);
const RED: Weights = weights(
    [-LUMA_OF_BLUE, -LUMA_OF_GREEN, 1.0 - LUMA_OF_RED],
    CHROMA_STEPS / (2.0 * (1.0 - LUMA_OF_RED)),
);

#[expect(clippy::cast_possible_truncation, reason = "a weight is less than one")]
const fn weights(parts: [f64; 3], steps: f64) -> Weights {
    let mut weights = [0; 3];
    let mut index = 0;
    while index < 3 {
        weights[index] = (parts[index] * steps * (1u32 << POINT) as f64).round() as i32;
        index += 1;
    }
    weights
}

/// The weighted sum of values that are `scale` bits too large, from `zero` on, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "limited range is within a byte whatever the colours are"
)]
#[inline]
fn sample([blue, green, red]: [i32; 3], weights: Weights, zero: i32, scale: u32) -> u8 {
    let half = 1 << (POINT + scale - 1);
    let offset = (zero << (POINT + scale)) + half;
    let sum = weights[0] * blue + weights[1] * green + weights[2] * red + offset;
    (sum >> (POINT + scale)) as u8
}

/// Turns two rows of pixels into two rows of luma and one of each chroma, blue and red. The
/// colour of chroma is the mean of its four pixels.
///
/// # Panics
///
/// If the rows are not all equally long, an even number of pixels, and those of chroma half
/// as long.
pub fn convert(rows: [&[Pixel]; 2], luma: [&mut [u8]; 2], chroma: [&mut [u8]; 2]) {
    let width = rows[0].len();
    assert!(width.is_multiple_of(2), "{width} pixels");
    let lengths = [rows[1].len(), luma[0].len(), luma[1].len()];
    assert!(lengths == [width; 3], "{lengths:?} for {width} pixels");
    let lengths = [chroma[0].len(), chroma[1].len()];
    assert!(lengths == [width / 2; 2], "{lengths:?} of chroma for {width} pixels");
    let [upper, lower] = rows;
    let [blue, red] = chroma;
    let [upper_luma, lower_luma] = luma;
    vectors(upper, lower, upper_luma, lower_luma, blue, red);
}

#[multiversion(targets("x86_64+avx2", "x86_64+sse4.1"))]
fn vectors(
    upper: &[Pixel],
    lower: &[Pixel],
    upper_luma: &mut [u8],
    lower_luma: &mut [u8],
    blue: &mut [u8],
    red: &mut [u8],
) {
    // The colours of a column of two pixels, added up. All is in 32 bits, of which the
    // compiler makes vectors; of sums of 16 bits it makes none.
    let mut columns = [[0i32; CHUNK]; 3];
    for start in (0..upper.len()).step_by(CHUNK) {
        let width = CHUNK.min(upper.len() - start);
        let (upper, lower) = (&upper[start..][..width], &lower[start..][..width]);
        let upper_luma = &mut upper_luma[start..][..width];
        let lower_luma = &mut lower_luma[start..][..width];
        for x in 0..width {
            let [above, below] = [upper[x], lower[x]].map(|[b, g, r, _]| [b, g, r].map(i32::from));
            upper_luma[x] = sample(above, LUMA, 16, 0);
            lower_luma[x] = sample(below, LUMA, 16, 0);
            for colour in 0..3 {
                columns[colour][x] = above[colour] + below[colour];
            }
        }
        let blue = &mut blue[start / 2..][..width / 2];
        let red = &mut red[start / 2..][..width / 2];
        for x in 0..width / 2 {
            let sum = |of: &[i32; CHUNK]| of[2 * x] + of[2 * x + 1];
            let sums = [sum(&columns[0]), sum(&columns[1]), sum(&columns[2])];
            blue[x] = sample(sums, BLUE, 128, 2);
            red[x] = sample(sums, RED, 128, 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// By the formulas of BT.709: luma, blue and red.
    fn exactly([blue, green, red]: [f64; 3]) -> [f64; 3] {
        let [blue, green, red] = [blue, green, red].map(|part| part / 255.0);
        let luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        [
            16.0 + 219.0 * luma,
            128.0 + 224.0 * (blue - luma) / 1.8556,
            128.0 + 224.0 * (red - luma) / 1.5748,
        ]
    }

    proptest! {
        #[test]
        fn every_sample_is_right_within_rounding(
            columns in vec(any::<[[Pixel; 2]; 2]>(), 0..=2 * CHUNK),
        ) {
            let row = |y: usize| -> Vec<Pixel> { columns.iter().flat_map(|four| four[y]).collect() };
            let (upper, lower) = (row(0), row(1));
            let mut luma = [vec![7; upper.len()], vec![7; upper.len()]];
            let mut chroma = [vec![7; columns.len()], vec![7; columns.len()]];
            convert(
                [&upper, &lower],
                luma.each_mut().map(Vec::as_mut_slice),
                chroma.each_mut().map(Vec::as_mut_slice),
            );
            for (row, luma) in [upper, lower].iter().zip(&luma) {
                for ([b, g, r, _], found) in row.iter().zip(luma) {
                    let [expected, ..] = exactly([*b, *g, *r].map(f64::from));
                    let wrong = (f64::from(*found) - expected).abs();
                    prop_assert!(wrong < 0.51, "luma {found} for {expected}");
                }
            }
            for (x, four) in columns.iter().enumerate() {
                let of = |colour: usize| {
                    four.iter().flatten().map(|pixel| f64::from(pixel[colour])).sum::<f64>() / 4.0
                };
                let [_, blue, red] = exactly([of(0), of(1), of(2)]);
                for (plane, expected) in chroma.iter().zip([blue, red]) {
                    let wrong = (f64::from(plane[x]) - expected).abs();
                    prop_assert!(wrong < 0.51, "chroma {} for {expected}", plane[x]);
                }
            }
        }
    }

    #[test]
    #[should_panic(expected = "3 pixels")]
    fn an_odd_row_is_refused() {
        convert([&[[0; 4]; 3]; 2], [&mut [0; 3], &mut [0; 3]], [&mut [0], &mut [0]]);
    }
}
