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
use test_media::quality::vmaf_in;

/// What holds for all of them but those of [`PEERS`]: a cap of 4.5 Mbit/s over two
/// seconds, closed groups of two seconds.
const COMMON: &str = "vbv-maxrate=4500:vbv-bufsize=9000:keyint=60:scenecut=0:open-gop=0";
/// As in `peers.rs`, where no rate has an effect: Main profile, and a key picture each two
/// seconds. GStreamer's chain codes as the ancestor does, but at a constant rate.
const PEERS: &str = "keyint=60:scenecut=0:8x8dct=0";
const NOTHING_AHEAD: &str = "bframes=0:rc-lookahead=0:sync-lookahead=0:mbtree=0";

/// Name, preset, rate factor, further settings.
type Setting = (&'static str, &'static str, f64, &'static str);

/// What the recorder's have in common, as in its `src/capture/pipeline.rs`.
macro_rules! ours {
    ($more:literal) => {
        concat!(
            "bframes=5:b-adapt=0:rc-lookahead=12:sync-lookahead=0:mbtree=1:qcomp=0.4:\
             b-pyramid=none:weightp=0:",
            $more
        )
    };
}

/// The recorder's with one processor or two, and what is set otherwise: the last word counts.
macro_rules! two {
    ($more:literal) => {
        concat!(ours!("sliced-threads=1:aq-mode=2:partitions=p8x8,i8x8,i4x4:deblock=-1,-1"), $more)
    };
}

const SETTINGS: [Setting; 18] = [
    ("ultrafast, nothing ahead", "ultrafast", 23.0, NOTHING_AHEAD),
    ("superfast, nothing ahead", "superfast", 23.0, NOTHING_AHEAD),
    ("veryfast, nothing ahead", "veryfast", 23.0, NOTHING_AHEAD),
    ("superfast, 3 B-frames", "superfast", 23.0, "bframes=3:b-adapt=0:rc-lookahead=0:mbtree=0"),
    ("superfast, looks 12 ahead", "superfast", 20.0, "bframes=0:rc-lookahead=12:mbtree=1"),
    ("both, 3 and 12", "superfast", 20.0, "bframes=3:b-adapt=0:rc-lookahead=12:mbtree=1"),
    ("both, 3 and 40", "superfast", 23.0, "bframes=3:b-adapt=0:rc-lookahead=40:mbtree=1"),
    (
        "both, 3 and 12, and a stronger tree",
        "superfast",
        19.0,
        "bframes=3:b-adapt=0:rc-lookahead=12:mbtree=1:qcomp=0.4",
    ),
    (
        "the same, no B-frame a reference",
        "superfast",
        19.0,
        "bframes=3:b-adapt=0:rc-lookahead=12:mbtree=1:qcomp=0.4:b-pyramid=none:weightp=0",
    ),
    ("the recorder's with one processor or two", "superfast", 19.0, two!("")),
    (
        "the recorder's with more",
        "superfast",
        19.0,
        ours!("subme=2:aq-mode=2:partitions=p8x8,i8x8,i4x4:deblock=-1,-1"),
    ),
    (
        "the recorder's where processors are short",
        "ultrafast",
        19.0,
        ours!("sliced-threads=1:cabac=1:8x8dct=1:weightb=1"),
    ),
    ("with two, and quantizers as in the preset", "superfast", 19.0, two!(":aq-mode=1")),
    (
        "with two, and quantizers that follow half as much",
        "superfast",
        19.0,
        two!(":aq-strength=0.5"),
    ),
    ("with two, and 3 B-frames in a row", "superfast", 19.0, two!(":bframes=3")),
    ("with two, and a picture for each thread", "superfast", 19.0, two!(":sliced-threads=0")),
    ("the ancestor's", "veryfast", 23.0, PEERS),
    ("the original's", "fast", 23.0, PEERS),
];

/// Rate factors among which that for `--kbit` is looked for, and how close it has to come.
const FACTORS: (f64, f64) = (12.0, 40.0);
const CLOSE: f64 = 0.01;
const MOST_TRIES: u32 = 12;

/// Prints processor time, bit rate and likeness for settings of x264
#[derive(Debug, Parser)]
// `./dev` gives some before what somebody types.
#[command(args_override_self = true)]
struct Arguments {
    /// The film; without it the clip of the bench
    film: Option<PathBuf>,
    /// Seconds of it
    #[arg(long, default_value_t = 6)]
    seconds: u32,
    /// Threads of the encoder
    #[arg(long, default_value_t = 2)]
    threads: u32,
    /// Compare at this bit rate (kbit/s) instead of each at its own rate factor
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..))]
    kbit: Option<u32>,
    /// An ffmpeg with libvmaf, for a column with it
    #[arg(long)]
    vmaf: Option<PathBuf>,
    /// Where the clip is kept
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

/// What a setting comes to.
struct Coded {
    /// Seconds of processor time, reading the film included.
    seconds: f64,
    kbit: f64,
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
    let decoded = ["-t", &length, "-pix_fmt", "yuv420p", text(&raw)?];
    ffmpeg(FFMPEG, &[&["-i", text(&film)?], &decoded])?;
    let (heading, line) =
        if arguments.vmaf.is_some() { (" VMAF |", "---|") } else { Default::default() };
    println!(
        "| x264 | rate factor | processor, s | kbit/s | SSIM, dB |{heading}\n|---|---|---|---|---|{line}"
    );
    for setting in SETTINGS {
        let coded = folder.path().join("coded.mp4");
        let encode = |factor| encode(&raw, &coded, setting, factor, &arguments);
        let (factor, cost) = match arguments.kbit {
            Some(kbit) => at_rate(kbit, encode)?,
            None => (setting.2, encode(setting.2)?),
        };
        let Coded { seconds, kbit } = cost;
        print!(
            "| {} | {factor:.1} | {seconds:.1} | {kbit:.0} | {:.2} |",
            setting.0,
            likeness(&coded, &raw)?
        );
        match &arguments.vmaf {
            Some(ffmpeg) => println!(" {:.1} |", vmaf(ffmpeg, &coded, &raw)?),
            None => println!(),
        }
    }
    Ok(())
}

/// A rate factor that gives about so many kbit/s, with what it comes to: where the rate jumps
/// between two neighbouring factors, one of them.
fn at_rate(
    wanted: u32,
    mut encode: impl FnMut(f64) -> anyhow::Result<Coded>,
) -> anyhow::Result<(f64, Coded)> {
    let wanted = f64::from(wanted);
    let (mut low, mut high) = FACTORS;
    let mut tries = 0;
    loop {
        let factor = f64::midpoint(low, high);
        let coded = encode(factor)?;
        tries += 1;
        if (coded.kbit / wanted - 1.0).abs() < CLOSE || tries == MOST_TRIES {
            return Ok((factor, coded));
        }
        if coded.kbit > wanted {
            low = factor;
        } else {
            high = factor;
        }
    }
}

fn encode(
    raw: &Path,
    coded: &Path,
    setting: Setting,
    factor: f64,
    arguments: &Arguments,
) -> anyhow::Result<Coded> {
    let (name, preset, _, more) = setting;
    let parameters = if more == PEERS { PEERS.to_owned() } else { format!("{COMMON}:{more}") };
    let (factor, threads) = (factor.to_string(), arguments.threads.to_string());
    let log = ffmpeg(
        FFMPEG,
        &[
            &["-benchmark", "-i", text(raw)?, "-c:v", "libx264", "-preset", preset],
            &["-crf", &factor, "-threads", &threads, "-x264-params", &parameters, text(coded)?],
        ],
    )?;
    let seconds = processor_seconds(&log);
    let seconds = seconds.with_context(|| format!("{name}: no time in {log}"))?;
    let kbit = f64::from(u32::try_from(std::fs::metadata(coded)?.len() / 125)?);
    Ok(Coded { seconds, kbit: kbit / f64::from(arguments.seconds.max(1)) })
}

/// From a line such as `bench: utime=2.301s stime=0.120s rtime=1.377s`.
fn processor_seconds(log: &str) -> Option<f64> {
    let line = log.lines().find_map(|line| line.strip_prefix("bench: utime="))?;
    let (user, rest) = line.split_once("s stime=")?;
    let (system, _) = rest.split_once("s ")?;
    Some(user.parse::<f64>().ok()? + system.parse::<f64>().ok()?)
}

/// In decibels, as ffmpeg prints it for the brightness.
fn likeness(coded: &Path, raw: &Path) -> anyhow::Result<f64> {
    let log = compare(FFMPEG, coded, raw, "ssim")?;
    let found = log
        .rsplit_once("SSIM Y:")
        .and_then(|(_, rest)| rest.split_once('(').and_then(|(_, rest)| rest.split_once(')')));
    let decibels = found.and_then(|(decibels, _)| decibels.parse().ok());
    decibels.with_context(|| format!("no SSIM in {log}"))
}

/// By the model that libvmaf brings.
fn vmaf(ffmpeg: &Path, coded: &Path, raw: &Path) -> anyhow::Result<f64> {
    vmaf_in(&compare(text(ffmpeg)?, coded, raw, "libvmaf")?)
}

/// What is said of the coded film beside the raw one.
fn compare(program: &str, coded: &Path, raw: &Path, filter: &str) -> anyhow::Result<String> {
    ffmpeg(program, &[&["-i", text(coded)?, "-i", text(raw)?, "-lavfi", filter, "-f", "null", "-"]])
}

const FFMPEG: &str = "ffmpeg";

/// What it wrote to stderr.
fn ffmpeg(program: &str, arguments: &[&[&str]]) -> anyhow::Result<String> {
    let output = Command::new(program)
        .args(["-hide_banner", "-nostdin", "-nostats", "-y"])
        .args(arguments.concat())
        .output()
        .with_context(|| format!("{program} cannot be started"))?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{program} ended with {}: {log}", output.status);
    Ok(log)
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("the path is no text")
}
