//! Records the same page with different recorders in turn and compares what
//! they cost and what they lose.
//!
//! A benchmark, not a test: nothing here passes or fails. Every recording gets a
//! fresh browser; figures are medians over the runs with their least and
//! greatest value. Processor time is counted while recording only, without the
//! first and the last [`EDGE`].

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use serde::Serialize;
use test_media::analysis::{Analysis, analyse};
use test_media::children::{Child, command};
use test_media::clip::{ClipSpec, cached_clip};
use test_media::cpu::{self, Look, Meter, Parts};
use test_media::page::{self, PLAYING, Server};
use test_media::stage::Stage;
use test_media::{starts, stats};

/// Longer than any recorder takes to get going or to close.
const EDGE: Duration = Duration::from_secs(3);
/// A browser on a busy machine takes its time.
const PAGE_PATIENCE: Duration = Duration::from_secs(90);
const END_PATIENCE: Duration = Duration::from_secs(90);

/// Compares recorders on one page with a numbered, flashing and beeping clip
#[derive(Debug, Parser)]
struct Arguments {
    /// The `recorder` binary; without it only the original's ffmpeg command runs
    #[arg(long)]
    recorder: Option<PathBuf>,
    /// Length of each recording
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(10..))]
    seconds: u32,
    /// Recordings by each recorder
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Starts of the recorder in a meeting, for the table of start times
    #[arg(long, default_value_t = 10)]
    starts: u32,
    #[arg(long, default_value_t = 1920)]
    width: u32,
    #[arg(long, default_value_t = 1080)]
    height: u32,
    /// Also write everything that was measured to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the clip and the recordings are kept
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Pipeline {
    Original,
    Recorder,
}

impl Pipeline {
    fn name(self) -> &'static str {
        match self {
            Self::Original => "original (ffmpeg)",
            Self::Recorder => "recorder",
        }
    }
}

/// What one recording came to.
#[derive(Debug, Serialize)]
struct Run {
    pipeline: Pipeline,
    file: PathBuf,
    cores: Parts,
    /// Load of the machine over the minute before.
    load_before: String,
    analysis: Analysis,
    /// What the recorder says about itself.
    report: Option<serde_json::Value>,
}

fn main() -> anyhow::Result<()> {
    let bench = Bench::new(Arguments::parse())?;
    let mut pipelines = vec![Pipeline::Original];
    pipelines.extend(bench.arguments.recorder.is_some().then_some(Pipeline::Recorder));

    let mut runs = Vec::new();
    for number in 1..=bench.arguments.runs {
        for &pipeline in &pipelines {
            let run = bench.run(pipeline, number)?;
            eprintln!("{} {number}, load {}\n{}\n", pipeline.name(), run.load_before, run.analysis);
            runs.push(run);
        }
    }
    let summaries: Vec<Summary> = pipelines.iter().map(|&one| Summary::of(one, &runs)).collect();
    print_table(&summaries);
    let starts = match &bench.arguments.recorder {
        Some(recorder) if bench.arguments.starts > 0 => {
            let folder = bench.arguments.output.join("starts");
            starts::measure(recorder, &folder, bench.arguments.starts)?
        }
        _ => Vec::new(),
    };
    if !starts.is_empty() {
        println!("\n{}", starts::table(&starts));
    }
    if let Some(path) = &bench.arguments.json {
        let all = serde_json::json!({
            "seconds": bench.arguments.seconds,
            "size": [bench.arguments.width, bench.arguments.height],
            "processors": std::thread::available_parallelism().map(usize::from).ok(),
            "summaries": summaries,
            "runs": runs,
            "starts": starts,
        });
        fs::write(path, serde_json::to_string_pretty(&all)?)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

/// The page on its server, and what was asked for.
struct Bench {
    arguments: Arguments,
    server: Server,
    url: String,
}

impl Bench {
    fn new(arguments: Arguments) -> anyhow::Result<Self> {
        let &Arguments { width, height, seconds, .. } = &arguments;
        // Long enough that a short recording does not see it start again.
        let seconds = (seconds + 20).min(60);
        let clip = cached_clip(&arguments.output, &ClipSpec { width, height, fps: 30, seconds })?;
        let page = page::write_page(&clip)?;
        let (site, server) = page::serve(&arguments.output)?;
        Ok(Self { url: site + &page, arguments, server })
    }

    fn run(&self, pipeline: Pipeline, number: u32) -> anyhow::Result<Run> {
        let load_before = load()?;
        let recorded = match pipeline {
            Pipeline::Original => self.record_with_original(number),
            Pipeline::Recorder => self.record_with_ours(number),
        };
        let Recorded { file, looks, ended, report } =
            recorded.with_context(|| format!("{} failed", pipeline.name()))?;
        // Counted from the end: nobody knows from outside when ours began to record.
        let before_end = |time| ended.checked_sub(time).context("the clock has only just started");
        let (from, to) = (before_end(self.length().saturating_sub(EDGE))?, before_end(EDGE)?);
        let cores = cpu::cores(&looks, from, to).context("the recording is too short")?;
        let analysis = analyse(&file)?;
        Ok(Run { pipeline, file, cores, load_before, analysis, report })
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds.into())
    }

    /// The original's command, on a display and a sound server that it is given.
    fn record_with_original(&self, number: u32) -> anyhow::Result<Recorded> {
        let Arguments { width, height, .. } = self.arguments;
        let file = self.arguments.output.join(format!("original-{number}.mp4"));
        self.server.forget();
        let stage = Stage::open(width, height, &self.url)?;
        ensure!(self.server.wait_for(PLAYING, PAGE_PATIENCE), "the page does not play the clip");

        let mut ffmpeg = command("ffmpeg");
        ffmpeg.args(original_arguments(width, height, stage.display_name()));
        ffmpeg.stdin(Stdio::null()).stdout(File::create(&file)?);
        stage.connect(&mut ffmpeg);
        let mut recorder = Child::start("ffmpeg", &mut ffmpeg)?;
        let meter = Meter::start([&stage.processes()[..], &[recorder.id()]].concat());
        if let Some(status) = recorder.ended_within(self.length())? {
            bail!("ffmpeg ended with {status}");
        }
        let ended = Instant::now();
        recorder.terminate();
        recorder.end(END_PATIENCE)?;
        Ok(Recorded { file, looks: meter.finish(), ended, report: None })
    }

    /// Our recorder, which brings everything but the page.
    fn record_with_ours(&self, number: u32) -> anyhow::Result<Recorded> {
        let Arguments { width, height, seconds, recorder, .. } = &self.arguments;
        let binary = recorder.as_ref().context("no recorder was given")?;
        let folder = self.arguments.output.join(format!("recorder-{number}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;

        let mut ours = command(binary);
        ours.args(["--local", "--url", &self.url, "--output"]).arg(&folder);
        ours.args(["--duration", &format!("{seconds}s"), "--size", &format!("{width}x{height}")]);
        ours.stdin(Stdio::null()).stdout(Stdio::piped());
        ours.stderr(File::create(folder.join("log"))?);
        let mut child = Child::start("recorder", &mut ours)?;
        let meter = Meter::start(vec![child.id()]);
        let mut output = child.output().context("its output is piped")?;
        let status = child.end(PAGE_PATIENCE + self.length() + END_PATIENCE)?;
        let ended = Instant::now();
        let looks = meter.finish();
        let mut report = String::new();
        output.read_to_string(&mut report)?;
        ensure!(status.success(), "it ended with {status}, see {}", folder.join("log").display());
        let file = only_recording(&folder)?;
        Ok(Recorded { file, looks, ended, report: serde_json::from_str(&report).ok() })
    }
}

struct Recorded {
    file: PathBuf,
    looks: Vec<Look>,
    ended: Instant,
    report: Option<serde_json::Value>,
}

/// How the project that this one succeeds called ffmpeg, 250 ms of delay and
/// ineffective rates included.
fn original_arguments(width: u32, height: u32, display: &str) -> Vec<String> {
    format!(
        "-hide_banner -loglevel error -nostdin -y \
         -f x11grab -video_size {width}x{height} -framerate 30 -draw_mouse 0 -i {display} \
         -f pulse -ac 2 -i default \
         -c:v libx264 -pix_fmt yuv420p -profile:v main -preset fast -g 60 \
         -x264opts nal-hrd=cbr:no-scenecut -minrate 3000 -maxrate 3000 \
         -filter_complex adelay=250|250,aresample=async=1:first_pts=0 \
         -c:a aac -b:a 160k -ac 2 -ar 44100 \
         -movflags frag_keyframe+empty_moov -frag_duration 500 -f mp4 pipe:1"
    )
    .split_whitespace()
    .map(str::to_owned)
    .collect()
}

/// The one MP4 below `folder`, whatever the store calls it.
fn only_recording(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "mp4") {
                found.push(path);
            }
        }
    }
    match &found[..] {
        [file] => Ok(file.clone()),
        others => bail!("{} recordings in {}", others.len(), folder.display()),
    }
}

fn load() -> anyhow::Result<String> {
    let loads = fs::read_to_string("/proc/loadavg").context("the load cannot be read")?;
    Ok(loads.split(' ').next().unwrap_or_default().to_owned())
}

/// A figure that is compared: its heading, its decimals, and where it is from.
type Figure = (&'static str, usize, fn(&Run) -> Option<f64>);

const FIGURES: [Figure; 10] = [
    ("capture+encode, cores", 2, |run| Some(run.cores.recorder)),
    ("with Firefox, cores", 2, |run| Some(run.cores.recorder + run.cores.browser)),
    ("everything, cores", 2, |run| Some(run.cores.total())),
    ("distinct fps", 2, |run| Some(run.analysis.numbers.distinct_per_second)),
    ("repeated", 0, |run| u32::try_from(run.analysis.numbers.repeated).ok().map(f64::from)),
    ("skipped", 0, |run| Some(run.analysis.numbers.skipped.into())),
    ("sound late, ms", 1, |run| run.analysis.sync.median_ms),
    ("|A/V offset| p50, ms", 1, |run| run.analysis.sync.p50_ms),
    ("|A/V offset| p95, ms", 1, |run| run.analysis.sync.p95_ms),
    ("file, kB", 0, |run| u32::try_from(run.analysis.bytes / 1000).ok().map(f64::from)),
];

#[derive(Debug, Serialize)]
struct Summary {
    pipeline: Pipeline,
    figures: Vec<Spread>,
}

/// One figure over all runs; `None` where no run has it.
#[derive(Debug, Serialize)]
struct Spread {
    figure: &'static str,
    median: Option<f64>,
    least: Option<f64>,
    greatest: Option<f64>,
}

impl Summary {
    fn of(pipeline: Pipeline, runs: &[Run]) -> Self {
        let runs: Vec<&Run> = runs.iter().filter(|run| run.pipeline == pipeline).collect();
        let spread = |&(figure, _, value): &Figure| {
            let values: Vec<f64> = runs.iter().filter_map(|run| value(run)).collect();
            Spread {
                figure,
                median: stats::median(&values),
                least: values.iter().copied().reduce(f64::min),
                greatest: values.iter().copied().reduce(f64::max),
            }
        };
        Self { pipeline, figures: FIGURES.iter().map(spread).collect() }
    }
}

fn print_table(summaries: &[Summary]) {
    print!("{:<22}", "median (least-greatest)");
    for summary in summaries {
        print!("  {:<26}", summary.pipeline.name());
    }
    println!();
    for (row, (heading, decimals, _)) in FIGURES.iter().enumerate() {
        print!("{heading:<22} ");
        for summary in summaries {
            print!("  {:<26}", cell(&summary.figures[row], *decimals));
        }
        println!();
    }
}

fn cell(spread: &Spread, decimals: usize) -> String {
    match (spread.median, spread.least, spread.greatest) {
        (Some(median), Some(least), Some(greatest)) => {
            format!("{median:.decimals$} ({least:.decimals$}-{greatest:.decimals$})")
        }
        _ => "-".to_owned(),
    }
}
