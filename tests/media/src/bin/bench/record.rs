//! One recording of one page by one recorder, and what it came to.
//!
//! Processor time is counted while recording only, without the first and the last
//! [`EDGE`].

use std::fmt::{self, Write as _};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Serialize;
use test_media::analysis::{Analysis, judge};
use test_media::children::{Child, command};
use test_media::cpu::{self, Look, Memory, Meter, Parts};
use test_media::numbers;
use test_media::observation::observe;
use test_media::page::{self, PLAYING, Server};
use test_media::peers::Peer;
use test_media::quality;
use test_media::stage::Stage;
use test_media::stats;
use test_media::workload::Workload;

use crate::meeting::Held;
use crate::soak::{Minute, Soak};

/// Longer than any recorder takes to get going or to close.
const EDGE: Duration = Duration::from_secs(3);
/// A browser on a busy machine takes its time.
const PAGE_PATIENCE: Duration = Duration::from_secs(90);
const END_PATIENCE: Duration = Duration::from_secs(90);

/// Beside its recording: what ours says at its end.
const REPORT: &str = "report";

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
    /// In the folder of the bench.
    pub(crate) file: PathBuf,
    pub(crate) cores: Parts,
    /// In bytes.
    pub(crate) peak_memory: Option<Memory>,
    pub(crate) analysis: Analysis,
    pub(crate) jitter_ms: Option<f64>,
    /// Likeness to the clip, in decibels.
    pub(crate) ssim_db: Option<f64>,
    /// The same, 0 to 100, where there is an ffmpeg that tells it.
    pub(crate) vmaf: Option<f64>,
    /// From the start of everything to the first recorded picture.
    pub(crate) start_seconds: Option<f64>,
    /// From the word to end until the file is complete.
    pub(crate) stop_seconds: Option<f64>,
    /// What the recorder says about itself.
    pub(crate) report: Option<serde_json::Value>,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = &self.analysis.numbers;
        write!(
            f,
            "{:.2} cores of {:.2}, {:.2} distinct a second, {} repeated, {} skipped, others {:.2}",
            self.cores.recorder,
            self.cores.total(),
            n.distinct_per_second,
            n.repeated,
            n.skipped,
            self.cores.others
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
    /// Starts Firefox with preferences that the recorder does not set.
    firefox: Option<PathBuf>,
    /// An ffmpeg with libvmaf.
    vmaf: Option<PathBuf>,
}

/// What a recorder left, and when it ended.
struct Film {
    file: PathBuf,
    /// Until it was told to record, for one that does not say how long its start took.
    start_seconds: Option<f64>,
    looks: Vec<Look>,
    ended: Instant,
    stop_seconds: Option<f64>,
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
        Ok(Self {
            output: output.to_owned(),
            recorder,
            size,
            seconds,
            site: address,
            server,
            firefox: None,
            vmaf: None,
        })
    }

    /// Has likeness told in VMAF, too, by an ffmpeg that can.
    pub(crate) fn with_vmaf(mut self, ffmpeg: Option<PathBuf>) -> Self {
        self.vmaf = ffmpeg;
        self
    }

    /// Lets ours start Firefox through a script that adds to the profile.
    pub(crate) fn with_preferences(mut self, preferences: &[String]) -> anyhow::Result<Self> {
        if preferences.is_empty() {
            return Ok(self);
        }
        let mut script = String::from(
            "#!/bin/sh\nfor argument; do [ \"$last\" = --profile ] && profile=$argument; \
             last=$argument; done\n",
        );
        for preference in preferences {
            let (name, value) = preference.split_once('=').context("a preference is NAME=VALUE")?;
            let line = format!("user_pref(\"{name}\", {value});").replace('\'', "'\\''");
            writeln!(script, "echo '{line}' >> \"$profile/user.js\"")?;
        }
        script.push_str("exec firefox-esr \"$@\"\n");
        let path = self.output.canonicalize()?.join("firefox.sh");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        self.firefox = Some(path);
        Ok(self)
    }

    pub(crate) fn run(
        &self,
        recorder: Recorder,
        workload: Workload,
        number: u32,
    ) -> anyhow::Result<Run> {
        let meeting = self.hold_meeting(workload)?;
        let film = match recorder {
            Recorder::Peer(peer) => self.record_with(peer, workload, number, meeting),
            Recorder::Ours => {
                self.record_with_ours(workload, number, meeting).and_then(Recording::ended)
            }
        };
        let film = film.with_context(|| format!("{} failed", recorder.name()))?;
        self.judged(recorder, workload, film)
    }

    /// One recording by ours, looked at minute by minute.
    pub(crate) fn soak(&self, workload: Workload) -> anyhow::Result<Soak> {
        let meeting = self.hold_meeting(workload)?;
        let film = self.record_with_ours(workload, 1, meeting).and_then(Recording::ended)?;
        let Film { file, looks, ended, report, .. } = film;
        let begun = ended.checked_sub(self.length()).context("the clock has only just started")?;
        let observation = observe(&file, workload.region(self.size.0, self.size.1))?;
        let whole = judge(&observation);
        let pictures = &observation.pictures;
        let minute = |number: u32| {
            let (from, to) = (f64::from(number) * 60.0, f64::from(number + 1) * 60.0);
            let first = pictures.partition_point(|picture| picture.time < from);
            let last = pictures.partition_point(|picture| picture.time < to);
            let within = |time: f64| (from..to).contains(&time);
            let offsets = whole.sync.offsets.iter().filter(|offset| within(offset.time));
            let offsets: Vec<f64> = offsets.map(|offset| offset.offset_ms).collect();
            let moment = |seconds| begun + Duration::from_secs_f64(seconds);
            let looks: Vec<Look> = looks
                .iter()
                .filter(|look| (moment(from)..moment(to)).contains(&look.at))
                .copied()
                .collect();
            Minute {
                cores: cpu::cores(&looks, moment(from), moment(to)).map(|cores| cores.total()),
                memory: cpu::peak_memory(&looks),
                distinct_per_second: numbers::count(&pictures[first..last]).distinct_per_second,
                sound_late_ms: stats::median(&offsets),
            }
        };
        let minutes = (0..self.seconds / 60).map(minute).collect();
        Ok(Soak { minutes, whole, report })
    }

    /// So many recordings by ours that begin at the same time.
    pub(crate) fn at_once(&self, workload: Workload, count: u32) -> anyhow::Result<Vec<Run>> {
        let meetings: Vec<_> =
            (1..=count).map(|_| self.hold_meeting(workload)).collect::<Result<_, _>>()?;
        let begun: Vec<Recording> = (1..)
            .zip(meetings)
            .map(|(number, meeting)| self.record_with_ours(workload, number, meeting))
            .collect::<Result<_, _>>()?;
        // Waited for together: one that is looked at late would be counted too long.
        let ended: Vec<_> = std::thread::scope(|scope| {
            let waiting: Vec<_> =
                begun.into_iter().map(|one| scope.spawn(|| one.ended())).collect();
            waiting.into_iter().map(|one| one.join().expect("waiting does not panic")).collect()
        });
        ended.into_iter().map(|one| self.judged(Recorder::Ours, workload, one?)).collect()
    }

    /// The address of the workload's page.
    fn address(&self, workload: Workload) -> anyhow::Result<String> {
        // Long enough that a short recording does not see it start again.
        let page = workload.write(&self.output, self.size, (self.seconds + 20).min(60))?;
        Ok(format!("{}{page}", self.site))
    }

    fn judged(&self, recorder: Recorder, workload: Workload, film: Film) -> anyhow::Result<Run> {
        let Film { file, start_seconds, looks, ended, stop_seconds, report } = film;
        // Counted from the end: nobody knows from outside when ours began to record.
        let before_end = |time| ended.checked_sub(time).context("the clock has only just started");
        let (from, to) = (before_end(self.length().saturating_sub(EDGE))?, before_end(EDGE)?);
        let cores = cpu::cores(&looks, from, to).context("the recording is too short")?;
        let region = workload.region(self.size.0, self.size.1);
        let observation = observe(&file, region)?;
        let clip = workload.clip(&self.output, self.size, (self.seconds + 20).min(60))?;
        let analysis = judge(&observation);
        let pairs = match (clip, region) {
            (Some(clip), Some(region)) => {
                let pictures = &observation.pictures;
                Some(quality::Pairs::read(&file, pictures, &clip, region, analysis.video())?)
            }
            _ => None,
        };
        let vmaf = match (&pairs, &self.vmaf) {
            (Some(pairs), Some(ffmpeg)) => pairs.vmaf(ffmpeg)?,
            _ => None,
        };
        let told = || report.as_ref()?["times"]["first_frame_after_seconds"].as_f64();
        let start_seconds = start_seconds.or_else(told);
        Ok(Run {
            recorder,
            workload,
            file: file.strip_prefix(&self.output).unwrap_or(&file).to_owned(),
            cores,
            peak_memory: cpu::peak_memory(&looks),
            analysis,
            jitter_ms: numbers::jitter_ms(&observation.pictures),
            ssim_db: pairs.and_then(|pairs| pairs.ssim_db()),
            vmaf,
            start_seconds,
            stop_seconds,
            report,
        })
    }

    /// The one that is the workload, or `None` if that is another.
    fn hold_meeting(&self, workload: Workload) -> anyhow::Result<Option<Held>> {
        if workload != Workload::Meeting {
            return Ok(None);
        }
        let binary = self.recorder.as_ref().context("a meeting is held by the recorder")?;
        Held::start(binary, PAGE_PATIENCE).map(Some)
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// A peer's command, on a display and a sound server that it is given.
    fn record_with(
        &self,
        peer: Peer,
        workload: Workload,
        number: u32,
        mut meeting: Option<Held>,
    ) -> anyhow::Result<Film> {
        let file = self
            .output
            .join(format!("{}-{number}.mp4", peer.name().to_lowercase().replace(' ', "-")));
        self.server.forget();
        let url = match &meeting {
            Some(meeting) => meeting.page.clone(),
            None => self.address(workload)?,
        };
        let begun = Instant::now();
        let stage = Stage::open(self.size.0, self.size.1, &url)?;
        if let Some(meeting) = &mut meeting {
            meeting.joined(PAGE_PATIENCE)?;
        } else {
            let plays = self.server.wait_for(PLAYING, PAGE_PATIENCE);
            ensure!(plays, "the page does not play the clip");
        }
        let mut line = peer.record(stage.display_name(), self.size, &file)?;
        stage.connect(&mut line);
        // What the command takes to begin nobody knows from outside.
        let start_seconds = Some(begun.elapsed().as_secs_f64());
        let mut child = Child::start(peer.name(), &mut line)?;
        let meter = Meter::start([&stage.processes()[..], &[child.id()]].concat());
        if let Some(status) = child.ended_within(self.length())? {
            bail!("{} ended with {status}", peer.name());
        }
        let ended = Instant::now();
        child.interrupt();
        child.end(END_PATIENCE)?;
        let stop_seconds = Some(ended.elapsed().as_secs_f64());
        Ok(Film { file, start_seconds, looks: meter.finish(), ended, stop_seconds, report: None })
    }

    /// Our recorder, which brings everything but the page.
    fn record_with_ours(
        &self,
        workload: Workload,
        number: u32,
        meeting: Option<Held>,
    ) -> anyhow::Result<Recording> {
        let binary = self.recorder.as_ref().context("no recorder was given")?;
        let folder = self.output.join(format!("recorder-{number}"));
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        let (width, height) = self.size;
        let mut ours = command(binary);
        ours.args(["--local", "--output"]).arg(&folder);
        if let Some(meeting) = &meeting {
            ours.envs(meeting.join.iter().map(|(name, value)| (name, value)));
        } else {
            ours.args(["--url", &self.address(workload)?]);
        }
        ours.args(["--duration", &format!("{}s", self.seconds)]);
        ours.args(["--size", &format!("{width}x{height}")]);
        if let Some(firefox) = &self.firefox {
            ours.arg("--firefox").arg(firefox);
        }
        // Not a pipe: the report of an hour is more than one holds, and is read at the end.
        ours.stdin(Stdio::null()).stdout(File::create(folder.join(REPORT))?);
        ours.stderr(File::create(folder.join("log"))?);
        let child = Child::start("recorder", &mut ours)?;
        let meter = Meter::start(vec![child.id()]);
        let patience = PAGE_PATIENCE + self.length() + END_PATIENCE;
        Ok(Recording { child, meter, folder, patience, _meeting: meeting })
    }
}

/// One by ours that goes on.
struct Recording {
    child: Child,
    meter: Meter,
    folder: PathBuf,
    patience: Duration,
    /// Goes on as long.
    _meeting: Option<Held>,
}

impl Recording {
    fn ended(self) -> anyhow::Result<Film> {
        let Self { mut child, meter, folder, patience, _meeting } = self;
        let status = child.end(patience)?;
        let ended = Instant::now();
        let looks = meter.finish();
        ensure!(status.success(), "it ended with {status}, see {}", folder.join("log").display());
        let file = only_recording(&folder)?;
        // Where the folder lies is the business of this machine.
        let here = format!("{}/", folder.canonicalize()?.display());
        let report = fs::read_to_string(folder.join(REPORT))?.replace(&here, "");
        let report: Option<serde_json::Value> = serde_json::from_str(&report).ok();
        // It ends by itself, and knows best when that began.
        let stop_seconds =
            report.as_ref().and_then(|report| report["times"]["stop_seconds"].as_f64());
        Ok(Film { file, start_seconds: None, looks, ended, stop_seconds, report })
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

/// What the figures were measured on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    processors: Option<usize>,
    model: Option<String>,
    kernel: Option<String>,
    memory_mib: Option<u64>,
}

impl Machine {
    /// As far as it tells about itself.
    pub(crate) fn of_this() -> Self {
        let line = |file: &str, name: &str| {
            let text = fs::read_to_string(file).ok()?;
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.split(':').nth(1))?;
            Some(value.trim().to_owned())
        };
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").ok();
        let memory = line("/proc/meminfo", "MemTotal");
        let kibibytes = memory.and_then(|memory| memory.split(' ').next()?.parse::<u64>().ok());
        Self {
            processors: std::thread::available_parallelism().map(usize::from).ok(),
            model: line("/proc/cpuinfo", "model name"),
            kernel: kernel.map(|kernel| kernel.trim().to_owned()),
            memory_mib: kibibytes.map(|kibibytes| kibibytes / 1024),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        write!(
            f,
            "{} processors ({}), {} MiB of memory, Linux {}",
            self.processors.unwrap_or_default(),
            known(&self.model),
            self.memory_mib.unwrap_or_default(),
            known(&self.kernel)
        )
    }
}
