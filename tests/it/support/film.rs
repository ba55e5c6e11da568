//! What is in a recording, told by Debian's `ffprobe` and `ffmpeg`.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// A colour as a page names it, 0 to 255 each.
pub(crate) type Rgb = [u8; 3];

/// Side of the square that is looked at, in pixels.
const PATCH: usize = 16;

#[derive(Debug)]
pub(crate) struct Film {
    pub(crate) video: Value,
    pub(crate) audio: Value,
    /// Seconds of the longer track.
    pub(crate) seconds: f64,
}

impl Film {
    /// Reads a file that must have one picture track and one sound track, and
    /// must decode to its end without a complaint.
    pub(crate) fn open(path: &Path) -> Self {
        let path = path.to_str().unwrap();
        let shown = tool("ffprobe", &["-show_streams", "-show_format", "-of", "json", path]);
        let shown: Value = serde_json::from_slice(&shown).unwrap();
        let streams = shown["streams"].as_array().unwrap();
        let [video, audio] = &streams[..] else { panic!("not two streams: {shown}") };
        tool("ffmpeg", &["-i", path, "-f", "null", "-"]);
        let seconds = shown["format"]["duration"].as_str().unwrap().parse().unwrap();
        Self { video: video.clone(), audio: audio.clone(), seconds }
    }
}

/// How many pictures can be decoded of a file that may be cut off anywhere.
pub(crate) fn pictures(path: &Path) -> u64 {
    count(path, "-count_frames", "stream=nb_read_frames")
}

/// How many pictures are there to be decoded in such a file.
pub(crate) fn packets(path: &Path) -> u64 {
    count(path, "-count_packets", "stream=nb_read_packets")
}

fn count(path: &Path, how: &str, entry: &str) -> u64 {
    let output = Command::new("ffprobe")
        .args(["-v", "quiet", "-select_streams", "v", how])
        .args(["-show_entries", entry, "-of", "csv=p=0"])
        .arg(path)
        .output()
        .unwrap_or_else(|error| panic!("ffprobe cannot be started: {error}"));
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap_or(0)
}

/// The colours of the first and of the last picture at `(x, y)`, through the
/// standard that the file claims to follow.
pub(crate) fn ends(path: &Path, x: u32, y: u32) -> [Rgb; 2] {
    let path = path.to_str().unwrap();
    let crop = format!("crop={PATCH}:{PATCH}:{x}:{y}");
    let planes =
        tool("ffmpeg", &["-i", path, "-vf", &crop, "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]);
    let size = PATCH * PATCH * 3 / 2;
    let (first, last) = (&planes[..size], &planes[planes.len() - size..]);
    [first, last].map(rgb)
}

/// A crop of one picture as grey bytes, scaled to `width` x `height`.
pub(crate) fn grey(path: &Path, seconds: f64, crop: [u32; 4], width: u32, height: u32) -> Vec<u8> {
    let [x, y, w, h] = crop;
    let filter = format!("crop={w}:{h}:{x}:{y},scale={width}:{height},format=gray");
    let (at, path) = (seconds.to_string(), path.to_str().unwrap());
    let picture = ["-frames:v", "1", "-f", "rawvideo", "-"];
    tool("ffmpeg", &[&["-ss", &at, "-i", path, "-vf", &filter][..], &picture].concat())
}

/// The sound from `seconds` on, mono at 48 kHz.
pub(crate) fn sound(path: &Path, seconds: f64, length: f64) -> Vec<f64> {
    let (at, length, path) = (seconds.to_string(), length.to_string(), path.to_str().unwrap());
    let format = ["-ac", "1", "-ar", "48000", "-f", "s16le", "-"];
    let bytes = tool("ffmpeg", &[&["-ss", &at, "-t", &length, "-i", path][..], &format].concat());
    let samples = bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    samples.map(|sample| f64::from(sample) / 32768.0).collect()
}

/// The mean colour of a patch in BT.709 with limited range (ITU-R BT.709, 3 and 4).
fn rgb(patch: &[u8]) -> Rgb {
    let (luma, chroma) = patch.split_at(PATCH * PATCH);
    let (blue, red) = chroma.split_at(PATCH * PATCH / 4);
    let mean = |plane: &[u8]| {
        let sum: u32 = plane.iter().map(|value| u32::from(*value)).sum();
        f64::from(sum) / f64::from(u32::try_from(plane.len()).unwrap())
    };
    let luma = (mean(luma) - 16.0) / 219.0;
    let [blue, red] = [blue, red].map(|plane| (mean(plane) - 128.0) / 224.0);
    let (r, b) = (luma + 1.5748 * red, luma + 1.8556 * blue);
    let g = (luma - 0.2126 * r - 0.0722 * b) / 0.7152;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to a byte"
    )]
    [r, g, b].map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8)
}

/// Whether no part of the colour is further off than coding explains.
pub(crate) fn is_close(seen: Rgb, expected: Rgb) -> bool {
    seen.iter().zip(expected).all(|(seen, expected)| seen.abs_diff(expected) <= 3)
}

/// What the tool prints; it must have nothing to complain about.
fn tool(name: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(name).args(["-v", "error"]).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaint.is_empty(), "{name} {arguments:?}: {complaint}");
    output.stdout
}
