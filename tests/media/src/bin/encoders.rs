//! Encodes the clip, or any film, with several settings of x264 and prints what each
//! costs and gives: the grid from which the recorder's setting was chosen.
//!
//! Works on a decoded file, so that nothing but the encoder is measured; through
//! Debian's `ffmpeg`, which loads the same libx264 as the recorder.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use clap::Parser;
use test_media::clip::{ClipSpec, cached_clip};

/// What holds for all of them but the original's: a cap of 4.5 Mbit/s over two
/// seconds, closed groups of two seconds.
const COMMON: &str = "vbv-maxrate=4500:vbv-bufsize=9000:keyint=60:scenecut=0:open-gop=0";
const NOTHING_AHEAD: &str = "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0";

/// Name, preset, rate factor, further settings.
type Setting = (&'static str, &'static str, u32, &'static str);

const SETTINGS: [Setting; 12] = [
    ("ultrafast, nothing ahead", "ultrafast", 23, NOTHING_AHEAD),
    ("superfast, nothing ahead", "superfast", 23, NOTHING_AHEAD),
    ("veryfast, nothing ahead", "veryfast", 23, NOTHING_AHEAD),
    ("superfast, 3 B-frames", "superfast", 23, "bframes=3:b-adapt=0:rc-lookahead=0:mbtree=0"),
    ("superfast, looks 15 ahead", "superfast", 21, "bframes=0:rc-lookahead=15:mbtree=1"),
    ("both, 2 and 10", "superfast", 20, "bframes=2:b-adapt=0:rc-lookahead=10:mbtree=1"),
    ("both, 3 and 15", "superfast", 21, "bframes=3:b-adapt=0:rc-lookahead=15:mbtree=1"),
    (
        "the same, smaller blocks, less smoothing: the recorder's",
        "superfast",
        21,
        "bframes=3:b-adapt=0:rc-lookahead=15:mbtree=1:partitions=p8x8,i8x8,i4x4:deblock=-1,-1",
    ),
    ("both, 3 and 40", "superfast", 23, "bframes=3:b-adapt=0:rc-lookahead=40:mbtree=1"),
    (
        "ultrafast, both: the recorder's where processors are short",
        "ultrafast",
        21,
        "bframes=3:b-adapt=0:rc-lookahead=15:mbtree=1:cabac=1:8x8dct=1:weightp=1:weightb=1",
    ),
    ("veryfast as it is", "veryfast", 23, ""),
    ("the original's", "fast", 23, ""),
];

/// Prints processor time, bit rate and likeness for settings of x264
#[derive(Debug, Parser)]
struct Arguments {
    /// The film; without it the clip of the bench
    film: Option<PathBuf>,
    /// Seconds of it
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// Threads of the encoder
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Where the clip is kept
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let film = if let Some(film) = &arguments.film {
        film.clone()
    } else {
        let spec = ClipSpec { width: 1920, height: 1080, fps: 30, seconds: 35 };
        cached_clip(&arguments.output, &spec)?
    };
    let folder = tempfile::tempdir()?;
    let raw = folder.path().join("film.y4m");
    let length = arguments.seconds.to_string();
    ffmpeg(&[&["-i"], &[text(&film)?], &["-t", &length, "-pix_fmt", "yuv420p"], &[text(&raw)?]])?;
    println!("| x264 | processor, s | kbit/s | SSIM, dB |\n|---|---|---|---|");
    for setting in SETTINGS {
        let coded = folder.path().join("coded.mp4");
        let seconds = encode(&raw, &coded, setting, arguments.threads)?;
        let bits = u32::try_from(std::fs::metadata(&coded)?.len() / 125)?;
        let likeness = likeness(&coded, &raw)?;
        println!(
            "| {} | {seconds:.1} | {} | {likeness:.2} |",
            setting.0,
            bits / arguments.seconds.max(1)
        );
    }
    Ok(())
}

/// Seconds of processor time, reading the film included.
fn encode(raw: &Path, coded: &Path, setting: Setting, threads: u32) -> anyhow::Result<f64> {
    let (name, preset, factor, more) = setting;
    let is_original = preset == "fast";
    let common = if is_original { "keyint=60" } else { COMMON };
    let parameters = format!("{common}:{more}");
    let parameters = parameters.trim_end_matches(':');
    let (factor, threads) = (factor.to_string(), threads.to_string());
    let log = ffmpeg(&[
        &["-benchmark", "-i", text(raw)?, "-c:v", "libx264", "-preset", preset, "-crf", &factor],
        &["-threads", &threads, "-x264-params", parameters, text(coded)?],
    ])?;
    let used = log.lines().find_map(|line| line.strip_prefix("bench: utime=")?.split('s').next());
    used.and_then(|used| used.parse().ok()).with_context(|| format!("{name}: no time in {log}"))
}

/// In decibels, as ffmpeg prints it for the brightness.
fn likeness(coded: &Path, raw: &Path) -> anyhow::Result<f64> {
    let log =
        ffmpeg(&[&["-i", text(coded)?, "-i", text(raw)?, "-lavfi", "ssim", "-f", "null", "-"]])?;
    let found = log
        .rsplit_once("SSIM Y:")
        .and_then(|(_, rest)| rest.split_once('(').and_then(|(_, rest)| rest.split_once(')')));
    let decibels = found.and_then(|(decibels, _)| decibels.parse().ok());
    decibels.with_context(|| format!("no SSIM in {log}"))
}

/// What it wrote to stderr.
fn ffmpeg(arguments: &[&[&str]]) -> anyhow::Result<String> {
    let output = Command::new("ffmpeg")
        .args(["-hide_banner", "-nostdin", "-nostats", "-y"])
        .args(arguments.concat())
        .output()
        .context("ffmpeg cannot be started")?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "ffmpeg ended with {}: {log}", output.status);
    Ok(log)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path is no text")
}
