//! Makes a marked clip: a `WebM` file that any browser plays without help.
//!
//! Picture and sound are exact by construction: picture `n` is at `n / fps`
//! seconds, flash and beep start at each whole second. Encoding is left to
//! Debian's `ffmpeg`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::picture::Painter;
use crate::sound;
use crate::tool::{self, ToolError};

/// What a clip is made from; two clips of the same kind are the same picture by
/// picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipSpec {
    /// Pixels, even, at least 160.
    pub width: u32,
    /// Pixels, even, at least 90.
    pub height: u32,
    /// Whole pictures per second.
    pub fps: u32,
    /// The clip starts again after this long.
    pub seconds: u32,
}

impl ClipSpec {
    /// Pictures in the clip; their numbers are `0..frames`.
    pub fn frames(&self) -> u32 {
        self.fps * self.seconds
    }

    /// A file name that says all there is to say. The first number grows when
    /// clips start to look different.
    fn file_name(&self) -> String {
        let Self { width, height, fps, seconds } = self;
        format!("clip-1-{width}x{height}-{fps}fps-{seconds}s.webm")
    }

    /// About what a good camera sends: 8 Mbit/s at 1080p30.
    fn bits_per_second(&self) -> u32 {
        (self.width * self.height / 8 * self.fps).max(1_000_000)
    }
}

/// Seconds that an Opus decoder throws away at the start. ffmpeg 5.1 writes this
/// into the file but forgets to move the sound by as much.
const OPUS_DELAY: f64 = 0.0065;

/// A clip could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    #[error("a clip cannot be {0} by {1} pixels: both must be even, at least 160 by 90")]
    Size(u32, u32),
    #[error("the clip {path} cannot be written")]
    Write { path: PathBuf, source: io::Error },
    #[error("the clip cannot be encoded")]
    Encode(#[from] ToolError),
}

/// The clip in `folder`, made now if it is not there yet.
///
/// Several processes may ask for the same clip at once: each makes its own and
/// the last one stays, so nobody sees half a file.
pub fn cached_clip(folder: &Path, spec: &ClipSpec) -> Result<PathBuf, ClipError> {
    let path = folder.join(spec.file_name());
    if !path.exists() {
        let write_error = |source| ClipError::Write { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(write_error)?;
        let unfinished = tempfile::Builder::new()
            .prefix("unfinished-")
            .suffix(".webm")
            .tempfile_in(folder)
            .map_err(write_error)?;
        make_clip(unfinished.path(), spec)?;
        unfinished.persist(&path).map_err(|error| write_error(error.error))?;
    }
    Ok(path)
}

/// Writes a clip (VP8 and Opus in `WebM`) to `path`.
pub fn make_clip(path: &Path, spec: &ClipSpec) -> Result<(), ClipError> {
    let &ClipSpec { width, height, fps, seconds } = spec;
    if width % 2 + height % 2 > 0 || width < 160 || height < 90 {
        return Err(ClipError::Size(width, height));
    }
    let sound =
        sound_file(seconds).map_err(|source| ClipError::Write { path: path.to_owned(), source })?;

    let mut arguments: Vec<OsString> = Vec::new();
    let mut add = |text: &str| arguments.extend(text.split_whitespace().map(OsString::from));
    add("-hide_banner -loglevel error -y -f rawvideo -pix_fmt yuv420p -color_range tv");
    add(&format!("-video_size {width}x{height} -framerate {fps} -i pipe:0"));
    add(&format!("-itsoffset {OPUS_DELAY} -f s16le -ar {} -ac 1 -i", sound::RATE));
    arguments.push(sound.path().into());
    let mut add = |text: &str| arguments.extend(text.split_whitespace().map(OsString::from));
    // A second thread would wait for the first by spinning: several times the
    // work on a busy machine.
    add("-c:v libvpx -deadline realtime -cpu-used 16 -threads 1");
    add(&format!("-b:v {} -g {}", spec.bits_per_second(), fps * 2));
    add("-c:a libopus -b:a 128k -f webm");
    arguments.push(path.into());

    tool::run_with_input("ffmpeg", arguments, |input| write_pictures(spec, input))?;
    Ok(())
}

fn write_pictures(spec: &ClipSpec, output: &mut dyn Write) -> io::Result<()> {
    let painter = Painter::new(spec.width, spec.height, spec.fps);
    let mut picture = vec![0; painter.size()];
    for number in 0..spec.frames() {
        painter.paint(number, &mut picture);
        output.write_all(&picture)?;
    }
    Ok(())
}

fn sound_file(seconds: u32) -> io::Result<tempfile::NamedTempFile> {
    let bytes: Vec<u8> = sound::beeps(seconds).into_iter().flat_map(i16::to_le_bytes).collect();
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(&bytes)?;
    Ok(file)
}
