//! How much of the picture survived: structural similarity of recorded pictures with
//! the pictures of the clip that carry the same number, and VMAF where there is an ffmpeg
//! that has it.
//!
//! Only the brightness counts, and that of the colours as a player shows them: recorders
//! differ in the matrix by which they turn colours into brightness. Knows pictures by
//! their number; not who recorded them.

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::numbers::number_in;
use crate::observation::{Picture, Region, Stream};
use crate::tool::{self, ToolError};

/// Pictures that are compared: enough for a mean, few enough to decode twice.
const SAMPLES: usize = 40;

/// Pixels of a window, and from one window to the next.
const WINDOW: usize = 8;
const STEP: usize = 4;

/// The constants of the measure's definition (Wang et al. 2004) for 8 bits.
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// Pictures of a recording, each with the clip's of the same number, in brightness.
#[derive(Debug)]
pub struct Pairs {
    pictures: Vec<[Vec<u8>; 2]>,
    /// Pixels.
    width: u32,
    height: u32,
}

impl Pairs {
    /// From all over the recording. `region` is where the clip is in it, and `stream` its
    /// picture.
    pub fn read(
        recording: &Path,
        pictures: &[Picture],
        clip: &Path,
        region: Region,
        stream: Option<&Stream>,
    ) -> Result<Self, ToolError> {
        let Region { width, height, .. } = region;
        let matrix = match stream.and_then(|stream| stream.color_space.as_deref()) {
            Some("bt709") => "bt709",
            _ => UNTAGGED,
        };
        let numbered: Vec<(usize, u32)> = pictures
            .iter()
            .enumerate()
            .filter_map(|(index, picture)| Some((index, number_in(picture)?)))
            .collect();
        let mut chosen: Vec<(usize, u32)> =
            numbered.iter().copied().step_by(step(numbered.len())).collect();
        if chosen.is_empty() {
            return Ok(Self { pictures: vec![], width, height });
        }
        // Both files are decoded once, in order, and a clip may have started again.
        chosen.sort_by_key(|&(_, number)| number);
        chosen.dedup_by_key(|&mut (_, number)| number);
        let numbers = chosen.iter().map(|&(_, number)| number as usize);
        let sources = grey(clip, numbers, None, UNTAGGED)?;
        let size = (width * height) as usize;
        let of_number: HashMap<u32, &[u8]> =
            chosen.iter().map(|&(_, number)| number).zip(sources.chunks_exact(size)).collect();
        chosen.sort_unstable();
        let indices = chosen.iter().map(|&(index, _)| index);
        let recorded = grey(recording, indices, Some(region), matrix)?;
        // A decoder may not give the last pictures of a file.
        let pictures = chosen.iter().zip(recorded.chunks_exact(size)).filter_map(|(one, ours)| {
            let theirs = of_number.get(&one.1)?;
            Some([ours.to_vec(), theirs.to_vec()])
        });
        Ok(Self { pictures: pictures.collect(), width, height })
    }

    /// Mean structural similarity, in decibels as x264 and ffmpeg print it: 10 is 0.9, 20 is
    /// 0.99. `None` if there are no pictures.
    pub fn ssim_db(&self) -> Option<f64> {
        let count = u32::try_from(self.pictures.len()).ok().filter(|&count| count > 0)?;
        let width = self.width as usize;
        let each = self.pictures.iter().map(|[ours, theirs]| ssim(ours, theirs, width));
        let mean = each.sum::<f64>() / f64::from(count);
        Some(-10.0 * (1.0 - mean).max(1e-10).log10())
    }

    /// 0 to 100, by the model that libvmaf brings, without its term for motion: the pictures
    /// do not follow each other. `ffmpeg` is one with libvmaf. `None` if there are no pictures.
    pub fn vmaf(&self, ffmpeg: &Path) -> anyhow::Result<Option<f64>> {
        if self.pictures.is_empty() {
            return Ok(None);
        }
        let folder = tempfile::tempdir()?;
        let mut inputs = Vec::new();
        for (side, name) in ["ours", "theirs"].into_iter().enumerate() {
            let path = folder.path().join(name);
            let mut file = fs::File::create(&path)?;
            self.pictures.iter().try_for_each(|pair| file.write_all(&pair[side]))?;
            inputs.push(path);
        }
        let size = format!("{}x{}", self.width, self.height);
        let raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-video_size", &size, "-i"];
        let mut command = Command::new(ffmpeg);
        command.args(["-hide_banner", "-nostdin", "-nostats"]);
        for path in &inputs {
            command.args(raw).arg(path);
        }
        command.args(["-lavfi", VMAF, "-f", "null", "-"]);
        let output =
            command.output().with_context(|| format!("{} cannot be started", ffmpeg.display()))?;
        let log = String::from_utf8_lossy(&output.stderr);
        vmaf_in(&log).map(Some)
    }
}

/// The score that ffmpeg's libvmaf prints at its end.
pub fn vmaf_in(log: &str) -> anyhow::Result<f64> {
    let score = log.rsplit_once("VMAF score: ").and_then(|(_, rest)| rest.lines().next());
    let score = score.and_then(|score| score.trim().parse().ok());
    score.with_context(|| format!("no VMAF in {log}"))
}

const VMAF: &str = "[0]format=yuv420p[ours];[1]format=yuv420p[theirs];[ours][theirs]\
    libvmaf=n_threads=2:model='version=vmaf_v0.6.1\\:motion.motion_force_zero=true'";

/// From one picture that is compared to the next: out of step with groups of 60 pictures,
/// whose first one is coded better than the others.
fn step(count: usize) -> usize {
    let least = count.div_ceil(SAMPLES);
    let is_in_step = |step: usize| [2, 3, 5].iter().any(|&prime| step.is_multiple_of(prime));
    (least..least + 7).find(|&step| !is_in_step(step)).unwrap_or(1)
}

/// The matrix of a file that does not tell, as players and ffmpeg take it.
const UNTAGGED: &str = "bt601";

/// The brightness of some pictures of a file, by their index, one after the other.
fn grey(
    path: &Path,
    indices: impl Iterator<Item = usize>,
    region: Option<Region>,
    matrix: &str,
) -> Result<Vec<u8>, ToolError> {
    let wanted: Vec<String> = indices.map(|index| format!("eq(n\\,{index})")).collect();
    let crop = region.map_or_else(String::new, |Region { x, y, width, height }| {
        format!("crop={width}:{height}:{x}:{y},")
    });
    let colours = format!("scale=in_color_matrix={matrix}:in_range=tv:out_range=pc,format=gbrp");
    let filter = format!("{crop}select='{}',{colours},format=gray", wanted.join("+"));
    let path = path.to_string_lossy();
    tool::run(
        "ffmpeg",
        [
            "-v",
            "error",
            "-nostdin",
            "-i",
            &path,
            "-an",
            "-vf",
            &filter,
            "-fps_mode",
            "passthrough",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray",
            "pipe:1",
        ],
    )
}

/// Mean over all windows of two pictures of the same size.
fn ssim(ours: &[u8], theirs: &[u8], width: usize) -> f64 {
    let height = ours.len() / width;
    let mut sum = 0.0;
    let mut windows = 0u32;
    for y in (0..=height - WINDOW).step_by(STEP) {
        for x in (0..=width - WINDOW).step_by(STEP) {
            sum += window(ours, theirs, width, y * width + x);
            windows += 1;
        }
    }
    sum / f64::from(windows.max(1))
}

fn window(ours: &[u8], theirs: &[u8], width: usize, start: usize) -> f64 {
    let (mut a, mut b, mut aa, mut bb, mut ab) = (0u32, 0u32, 0u32, 0u32, 0u32);
    for row in 0..WINDOW {
        let at = start + row * width;
        for (&p, &q) in ours[at..at + WINDOW].iter().zip(&theirs[at..at + WINDOW]) {
            let (p, q) = (u32::from(p), u32::from(q));
            a += p;
            b += q;
            aa += p * p;
            bb += q * q;
            ab += p * q;
        }
    }
    let n = f64::from(u32::try_from(WINDOW * WINDOW).expect("sixty-four"));
    let (mean_a, mean_b) = (f64::from(a) / n, f64::from(b) / n);
    let variance_a = f64::from(aa) / n - mean_a * mean_a;
    let variance_b = f64::from(bb) / n - mean_b * mean_b;
    let covariance = f64::from(ab) / n - mean_a * mean_b;
    (2.0 * mean_a * mean_b + C1) * (2.0 * covariance + C2)
        / ((mean_a * mean_a + mean_b * mean_b + C1) * (variance_a + variance_b + C2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_like_itself_and_less_like_a_worse_one() {
        let picture: Vec<u8> = (0..64u32 * 32).map(|n| (n * 37 % 200) as u8).collect();
        let noisy = |by: u8| -> Vec<u8> {
            (0..).zip(&picture).map(|(n, &p)| if n % 3 == 0 { p + by } else { p }).collect()
        };
        let same = ssim(&picture, &picture, 64);
        let (near, far) = (ssim(&picture, &noisy(5), 64), ssim(&picture, &noisy(50), 64));
        assert!((same - 1.0).abs() < 1e-9, "{same}");
        assert!(near < same && far < near && far > 0.0, "{near} {far}");
    }

    #[test]
    fn pictures_that_are_compared_stand_anywhere_in_their_groups() {
        for (count, expected) in [(1, 1), (40, 1), (41, 7), (600, 17), (1800, 47)] {
            assert_eq!(step(count), expected, "{count}");
        }
    }
}
