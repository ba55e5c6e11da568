//! One recording of one page by one recorder, and what it came to.
//!
//! Processor time is counted while recording only, without the first and the last
//! [`EDGE`].

use std::fmt;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use test_media::analysis::{Analysis, judge};
use test_media::children::{Child, command};
use test_media::cpu::{self, Look, Meter, Parts};
use test_media::numbers;
use test_media::observation::observe;
use test_media::page::{self, PLAYING, Server};
use test_media::peers::Peer;
use test_media::quality;
use test_media::stage::Stage;
use test_media::workload::Workload;

/// Longer than any recorder takes to get going or to close.
const EDGE: Duration = Duration::from_secs(3);
/// A browser on a busy machine takes its time.
const PAGE_PATIENCE: Duration = Duration::from_secs(90);
const END_PATIENCE: Duration = Duration::from_secs(90);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Recorder {
    Peer(Peer),
    Ours,
}

impl Recorder {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Peer(peer) => peer.name(),
            Self::Ours => "recorder",
        }
    }
}

/// What one recording came to.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) recorder: Recorder,
    pub(crate) workload: Workload,
    pub(crate) file: PathBuf,
    pub(crate) cores: Parts,
    /// Bytes of everything at once; what processes share counts for each.
    pub(crate) peak_memory: Option<u64>,
    /// Load of the machine over the minute before.
    pub(crate) load_before: String,
    pub(crate) analysis: Analysis,
    pub(crate) jitter_ms: Option<f64>,
    /// Likeness to the clip, in decibels.
    pub(crate) ssim_db: Option<f64>,
    /// What the recorder says about itself.
    pub(crate) report: Option<serde_json::Value>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = &self.analysis.numbers;
        write!(
            f,
            "{:.2} cores of {:.2}, {:.2} distinct a second, {} repeated, {} skipped, load {}",
            self.cores.recorder,
            self.cores.total(),
            n.distinct_per_second,
            n.repeated,
            n.skipped,
            self.load_before
        )
    }
}

/// The pages on their server, and what was asked for.
pub(crate) struct Bench {
    output: PathBuf,
    recorder: Option<PathBuf>,
    size: (u32, u32),
    seconds: u32,
    site: String,
    server: Server,
}

/// What a recorder left, and when it ended.
struct Film {
    file: PathBuf,
    looks: Vec<Look>,
    ended: Instant,
    report: Option<serde_json::Value>,
}

impl Bench {
    pub(crate) fn new(
        output: &Path,
        recorder: Option<PathBuf>,
        size: (u32, u32),
        seconds: u32,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(output)?;
        let (address, server) = page::serve(output)?;
        Ok(Self { output: output.to_owned(), recorder, size, seconds, site: address, server })
    }

    pub(crate) fn run(
        &self,
        recorder: Recorder,
        workload: Workload,
        number: u32,
    ) -> anyhow::Result<Run> {
        let url = self.address(workload)?;
        let load_before = load()?;
        let film = match recorder {
            Recorder::Peer(peer) => self.record_with(peer, &url, number),
            Recorder::Ours => self.record_with_ours(&url, number).and_then(Recording::ended),
        };
        let film = film.with_context(|| format!("{} failed", recorder.name()))?;
        self.judged(recorder, workload, load_before, film)
    }

    /// So many recordings by ours that begin at the same time.
    pub(crate) fn at_once(&self, workload: Workload, count: u32) -> anyhow::Result<Vec<Run>> {
        let url = self.address(workload)?;
        let load_before = load()?;
        let begun: Vec<Recording> = (1..=count)
            .map(|number| self.record_with_ours(&url, number))
            .collect::<Result<_, _>>()?;
        // Waited for together: one that is looked at late would be counted too long.
        let ended: Vec<_> = std::thread::scope(|scope| {
            let waiting: Vec<_> =
                begun.into_iter().map(|one| scope.spawn(|| one.ended())).collect();
            waiting.into_iter().map(|one| one.join().expect("waiting does not panic")).collect()
        });
        ended
            .into_iter()
            .map(|one| self.judged(Recorder::Ours, workload, load_before.clone(), one?))
            .collect()
    }

    /// The address of the workload's page.
    fn address(&self, workload: Workload) -> anyhow::Result<String> {
        // Long enough that a short recording does not see it start again.
        let page = workload.write(&self.output, self.size, (self.seconds + 20).min(60))?;
        Ok(format!("{}{page}", self.site))
    }

    fn judged(
        &self,
        recorder: Recorder,
        workload: Workload,
        load_before: String,
        film: Film,
    ) -> anyhow::Result<Run> {
        let Film { file, looks, ended, report } = film;
        // Counted from the end: nobody knows from outside when ours began to record.
        let before_end = |time| ended.checked_sub(time).context("the clock has only just started");
        let (from, to) = (before_end(self.length().saturating_sub(EDGE))?, before_end(EDGE)?);
        let cores = cpu::cores(&looks, from, to).context("the recording is too short")?;
        let region = workload.region(self.size.0, self.size.1);
        let observation = observe(&file, region)?;
        let clip = workload.clip(&self.output, self.size, (self.seconds + 20).min(60))?;
        let analysis = judge(&observation);
        let ssim_db = match (clip, region) {
            (Some(clip), Some(region)) => {
                let pictures = &observation.pictures;
                quality::ssim_db(&file, pictures, &clip, region, analysis.video())?
            }
            _ => None,
        };
        Ok(Run {
            recorder,
            workload,
            file,
            cores,
            peak_memory: cpu::peak_memory(&looks),
            load_before,
            analysis,
            jitter_ms: numbers::jitter_ms(&observation.pictures),
            ssim_db,
            report,
        })
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// A peer's command, on a display and a sound server that it is given.
    fn record_with(&self, peer: Peer, url: &str, number: u32) -> anyhow::Result<Film> {
        let file = self.output.join(format!("{}-{number}.mp4", peer.name().to_lowercase()));
        self.server.forget();
        let stage = Stage::open(self.size.0, self.size.1, url)?;
        ensure!(self.server.wait_for(PLAYING, PAGE_PATIENCE), "the page does not play the clip");
        let mut line = peer.record(stage.display_name(), self.size, &file)?;
        stage.connect(&mut line);
        let mut child = Child::start(peer.name(), &mut line)?;
        let meter = Meter::start([&stage.processes()[..], &[child.id()]].concat());
        if let Some(status) = child.ended_within(self.length())? {
            bail!("{} ended with {status}", peer.name());
        }
        let ended = Instant::now();
        child.interrupt();
        child.end(END_PATIENCE)?;
        Ok(Film { file, looks: meter.finish(), ended, report: None })
    }

    /// Our recorder, which brings everything but the page.
    fn record_with_ours(&self, url: &str, number: u32) -> anyhow::Result<Recording> {
        let binary = self.recorder.as_ref().context("no recorder was given")?;
        let folder = self.output.join(format!("recorder-{number}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let (width, height) = self.size;
        let mut ours = command(binary);
        ours.args(["--local", "--url", url, "--output"]).arg(&folder);
        ours.args(["--duration", &format!("{}s", self.seconds)]);
        ours.args(["--size", &format!("{width}x{height}")]);
        ours.stdin(Stdio::null()).stdout(Stdio::piped());
        ours.stderr(File::create(folder.join("log"))?);
        let child = Child::start("recorder", &mut ours)?;
        let meter = Meter::start(vec![child.id()]);
        let patience = PAGE_PATIENCE + self.length() + END_PATIENCE;
        Ok(Recording { child, meter, folder, patience })
    }
}

/// One by ours that goes on.
struct Recording {
    child: Child,
    meter: Meter,
    folder: PathBuf,
    patience: Duration,
}

impl Recording {
    fn ended(self) -> anyhow::Result<Film> {
        let Self { mut child, meter, folder, patience } = self;
        let mut output = child.output().context("its output is piped")?;
        let status = child.end(patience)?;
        let ended = Instant::now();
        let looks = meter.finish();
        let mut report = String::new();
        output.read_to_string(&mut report)?;
        ensure!(status.success(), "it ended with {status}, see {}", folder.join("log").display());
        let file = only_recording(&folder)?;
        Ok(Film { file, looks, ended, report: serde_json::from_str(&report).ok() })
    }
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

/// What the figures were measured on.
pub(crate) fn machine() -> serde_json::Value {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    serde_json::json!({
        "processors": std::thread::available_parallelism().map(usize::from).ok(),
        "model": model.map(str::trim),
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|it| it.trim().to_owned()),
    })
}
