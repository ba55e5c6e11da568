//! Reads a recording with `ffprobe` and `ffmpeg`: what the streams say about
//! themselves, and for every picture its time, its cells and its flash block.
//!
//! Decodes the file once. Times are the file's own, unshifted. Knows what is in
//! the file; not what ought to be there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::marks::{BAND_HEIGHT, CELLS, FLASH};
use crate::tool::{self, ToolError};

/// All that is read from one recording.
#[derive(Clone, Debug)]
pub struct Observation {
    pub streams: Vec<Stream>,
    /// Bytes of the file.
    pub bytes: u64,
    /// In the order of presentation.
    pub pictures: Vec<Picture>,
    /// The first sound stream, if there is one.
    pub sound: Option<Sound>,
}

/// What the container and the codec say about one stream; the names are those
/// of `ffprobe`.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
pub struct Stream {
    pub codec_type: String,
    #[serde(default)]
    pub codec_name: String,
    pub profile: Option<String>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub pix_fmt: Option<String>,
    /// Fractions such as `30/1`.
    pub r_frame_rate: Option<String>,
    pub avg_frame_rate: Option<String>,
    pub color_range: Option<String>,
    pub color_space: Option<String>,
    pub color_transfer: Option<String>,
    pub color_primaries: Option<String>,
    /// Decimal number of samples per second.
    pub sample_rate: Option<String>,
    pub channels: Option<u32>,
    /// Decimal seconds; absent when the container does not say.
    pub duration: Option<String>,
    pub start_time: Option<String>,
    /// Decimal bits per second.
    pub bit_rate: Option<String>,
}

/// One decoded picture, boiled down to its marks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Picture {
    /// Presentation time in seconds.
    pub time: f64,
    /// Mean brightness of each cell, 0 to 255.
    pub cells: [u8; CELLS],
    /// Mean brightness of the flash block, 0 to 255.
    pub flash: u8,
}

/// The first channel of the decoded sound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sound {
    /// Samples per second.
    pub rate: u32,
    /// Full scale is 1.
    pub samples: Vec<f32>,
    /// Index of the first sample of each decoded frame, and its time in
    /// seconds. Frames need not follow each other without a gap.
    pub frames: Vec<(usize, f64)>,
}

impl Sound {
    /// When sample `index` is heard, in seconds.
    pub fn time_of(&self, index: usize) -> f64 {
        let frame = self.frames.partition_point(|&(first, _)| first <= index);
        let (first, time) = frame.checked_sub(1).map_or((0, 0.0), |frame| self.frames[frame]);
        time + seconds(index - first, self.rate)
    }

    /// When the first sample starts and the last one ends, in seconds.
    pub fn span(&self) -> (f64, f64) {
        (self.time_of(0), self.time_of(self.samples.len()))
    }
}

/// The length of `samples`.
#[expect(clippy::cast_precision_loss, reason = "exact for days of sound")]
pub fn seconds(samples: usize, rate: u32) -> f64 {
    samples as f64 / f64::from(rate)
}

/// A part of the picture, in pixels, all of them even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    pub x: u32,
    pub y: u32,
    pub width: u32,
    pub height: u32,
}

/// A recording could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ObserveError {
    #[error("{0} cannot be read")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} cannot be decoded")]
    Decode(PathBuf, #[source] ToolError),
    #[error("ffprobe printed no description of {0}")]
    Describe(PathBuf, #[source] serde_json::Error),
    #[error("{0} has no picture")]
    NoPicture(PathBuf),
    #[error("ffmpeg printed {0:?} where a frame was expected")]
    Timeline(String),
}

/// Reads the recording at `path`, in any container that ffmpeg knows. The marks are
/// those of the region, or of the whole picture.
pub fn observe(path: &Path, region: Option<Region>) -> Result<Observation, ObserveError> {
    let read_error = |source| ObserveError::Read(path.to_owned(), source);
    let bytes = fs::metadata(path).map_err(read_error)?.len();
    let streams = describe(path)?;
    let has = |kind: &str| streams.iter().any(|stream| stream.codec_type == kind);
    if !has("video") {
        return Err(ObserveError::NoPicture(path.to_owned()));
    }
    let folder = tempfile::tempdir().map_err(read_error)?;
    decode(path, folder.path(), region, has("audio"))?;
    let pictures = read_pictures(folder.path())?;
    let sound = if has("audio") { Some(read_sound(folder.path())?) } else { None };
    Ok(Observation { streams, bytes, pictures, sound })
}

fn describe(path: &Path) -> Result<Vec<Stream>, ObserveError> {
    #[derive(Deserialize)]
    struct Description {
        streams: Vec<Stream>,
    }
    let options = ["-v", "error", "-show_streams", "-of", "json", "-i"].map(Path::new);
    let json = tool::run("ffprobe", options.into_iter().chain([path]))
        .map_err(|source| ObserveError::Decode(path.to_owned(), source))?;
    serde_json::from_slice::<Description>(&json)
        .map(|description| description.streams)
        .map_err(|source| ObserveError::Describe(path.to_owned(), source))
}

const PIXELS: &str = "pixels";
const PIXEL_TIMES: &str = "pixel-times";
const SAMPLES: &str = "samples";
const SAMPLE_TIMES: &str = "sample-times";

/// Writes the marks and the sound as raw data into `folder`, and beside each
/// the list of its frames with their times.
fn decode(
    path: &Path,
    folder: &Path,
    region: Option<Region>,
    with_sound: bool,
) -> Result<(), ObserveError> {
    let crop = region.map_or_else(String::new, |Region { x, y, width, height }| {
        format!("crop={width}:{height}:{x}:{y},")
    });
    // One row of pixels per picture: the cells, then the flash block. Of the
    // block only the middle counts, so that its edges may blur.
    let filter = format!(
        "[0:v:0]{crop}split[a][b];\
         [a]crop=iw:ih*{}/{}:0:0,scale={CELLS}:1:flags=area,format=gray[band];\
         [b]crop=iw*{}/{}/2:ih*{}/{}/2:iw*{}/{}+ow/2:ih*{}/{}+oh/2,\
         scale=1:1:flags=area,format=gray[flash];\
         [band][flash]hstack,split[pixels][times]",
        BAND_HEIGHT.numerator,
        BAND_HEIGHT.denominator,
        FLASH.width.numerator,
        FLASH.width.denominator,
        FLASH.height.numerator,
        FLASH.height.denominator,
        FLASH.left.numerator,
        FLASH.left.denominator,
        FLASH.top.numerator,
        FLASH.top.denominator,
    );
    // Without a time base of its own every output would round to its frame rate.
    let picture = "-fps_mode passthrough -enc_time_base 1:90000";
    // The first channel: a mixture would depend on how ffmpeg weighs them.
    let sound = "-map 0:a:0 -af pan=mono|c0=c0 -c:a pcm_f32le";
    let mut arguments = Arguments::new();
    arguments.words("-hide_banner -loglevel error -nostdin -y -copyts -i").path(path);
    arguments.words("-filter_complex").word(&filter);
    arguments.words("-map [pixels] -f rawvideo").words(picture).path(&folder.join(PIXELS));
    arguments.words("-map [times] -f framecrc").words(picture).path(&folder.join(PIXEL_TIMES));
    if with_sound {
        arguments.words(sound).words("-f f32le").path(&folder.join(SAMPLES));
        arguments.words(sound).words("-f framecrc").path(&folder.join(SAMPLE_TIMES));
    }
    tool::run("ffmpeg", arguments.0)
        .map(drop)
        .map_err(|source| ObserveError::Decode(path.to_owned(), source))
}

struct Arguments(Vec<std::ffi::OsString>);

impl Arguments {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn words(&mut self, text: &str) -> &mut Self {
        self.0.extend(text.split_whitespace().map(Into::into));
        self
    }

    fn word(&mut self, text: &str) -> &mut Self {
        self.0.push(text.into());
        self
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.0.push(path.into());
        self
    }
}

fn read_pictures(folder: &Path) -> Result<Vec<Picture>, ObserveError> {
    let pixels = read(&folder.join(PIXELS))?;
    let (times, _) = read_timeline(&folder.join(PIXEL_TIMES))?;
    let (rows, _) = pixels.as_chunks::<{ CELLS + 1 }>();
    let pictures = rows.iter().zip(times).map(|(row, frame)| {
        let (cells, flash) = row.split_last_chunk::<1>().expect("a row is never empty");
        let cells = cells.try_into().expect("what is left of a row is its cells");
        Picture { time: frame.time, cells, flash: flash[0] }
    });
    Ok(pictures.collect())
}

fn read_sound(folder: &Path) -> Result<Sound, ObserveError> {
    let bytes = read(&folder.join(SAMPLES))?;
    let (timeline, rate) = read_timeline(&folder.join(SAMPLE_TIMES))?;
    let (samples, _) = bytes.as_chunks::<4>();
    let samples = samples.iter().map(|&sample| f32::from_le_bytes(sample)).collect();
    let mut first = 0;
    let frames = timeline.iter().map(|frame| {
        let start = first;
        first += frame.bytes / 4;
        (start, frame.time)
    });
    Ok(Sound { rate, frames: frames.collect(), samples })
}

fn read(path: &Path) -> Result<Vec<u8>, ObserveError> {
    fs::read(path).map_err(|source| ObserveError::Read(path.to_owned(), source))
}

struct Frame {
    time: f64,
    bytes: usize,
}

/// Reads what ffmpeg's `framecrc` writes: `#tb 0: 1/90000`, and a line for each
/// frame with stream, decode time, presentation time, duration, bytes, checksum.
/// Gives the frames and the units per second.
fn read_timeline(path: &Path) -> Result<(Vec<Frame>, u32), ObserveError> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    let mut rate = 1;
    let mut frames = Vec::new();
    for line in text.lines() {
        let unexpected = || ObserveError::Timeline(line.to_owned());
        if let Some(base) = line.strip_prefix("#tb 0: 1/") {
            rate = base.parse().map_err(|_| unexpected())?;
        } else if !line.starts_with('#') {
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [_, _, time, _, bytes, ..] = fields[..] else { return Err(unexpected()) };
            let units: f64 = time.parse().map_err(|_| unexpected())?;
            let bytes = bytes.parse().map_err(|_| unexpected())?;
            frames.push(Frame { time: units / f64::from(rate), bytes });
        }
    }
    Ok((frames, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_timed_by_its_own_frame_across_a_gap() {
        let sound =
            Sound { rate: 1000, samples: vec![0.0; 200], frames: vec![(0, 0.5), (100, 0.7)] };
        for (index, time) in [(0, 0.5), (99, 0.599), (100, 0.7), (150, 0.75), (200, 0.8)] {
            assert!((sound.time_of(index) - time).abs() < 1e-9, "sample {index}");
        }
    }
}
