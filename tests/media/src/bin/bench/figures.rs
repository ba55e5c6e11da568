//! The figures that are compared, over all runs, as a table and as bars.

use std::fmt::Write as _;

use serde::Serialize;
use test_media::cpu::mebibytes;
use test_media::plot::Plot;
use test_media::stats;
use test_media::sync::Sync;
use test_media::workload::Workload;

use crate::record::{Recorder, Run};

/// What a recording may take on two processors while the picture moves, in cores: everything, and
/// the recorder alone.
pub(crate) const CORES: f64 = 1.5;
const RECORDER_CORES: f64 = 0.6;
/// Of the recorder alone.
pub(crate) const MEBIBYTES: f64 = 300.0;
/// How far sound and picture may be apart at the 95th percentile.
pub(crate) const OFFSET_MS: f64 = 40.0;

/// A figure: its heading, its decimals, where it is from, and the file of its plot.
pub(crate) struct Figure {
    heading: &'static str,
    decimals: usize,
    value: fn(&Run) -> Option<f64>,
    pub(crate) plot: Option<&'static str>,
    goal: Option<f64>,
}

const fn figure(heading: &'static str, decimals: usize, value: fn(&Run) -> Option<f64>) -> Figure {
    Figure { heading, decimals, value, plot: None, goal: None }
}

const fn drawn(mut figure: Figure, file: &'static str, goal: Option<f64>) -> Figure {
    figure.plot = Some(file);
    figure.goal = goal;
    figure
}

/// What is read from the numbers in the picture, where there are any.
fn numbered(run: &Run, value: fn(&Run) -> f64) -> Option<f64> {
    let is_numbered = run.workload != Workload::Rest;
    run.analysis.numbers.first_number.filter(|_| is_numbered).map(|_| value(run))
}

fn to_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

/// From so many pairs of flash and beep on there is something to say of their offsets.
const PAIRS: usize = 5;

/// What is read from flashes and beeps, where enough of them belong together.
fn paired(run: &Run, value: fn(&Sync) -> Option<f64>) -> Option<f64> {
    value(&run.analysis.sync).filter(|_| run.analysis.sync.offsets.len() >= PAIRS)
}

pub(crate) const FIGURES: [Figure; 21] = [
    drawn(
        figure("capture+encode, cores", 2, |run| Some(run.cores.recorder)),
        "capture",
        Some(RECORDER_CORES),
    ),
    figure("with Firefox, cores", 2, |run| Some(run.cores.recorder + run.cores.browser)),
    drawn(figure("everything, cores", 2, |run| Some(run.cores.total())), "everything", Some(CORES)),
    drawn(
        figure("distinct fps", 2, |run| {
            numbered(run, |run| run.analysis.numbers.distinct_per_second)
        }),
        "distinct",
        Some(30.0),
    ),
    figure("repeated", 0, |run| numbered(run, |run| to_f64(run.analysis.numbers.repeated))),
    figure("skipped", 0, |run| numbered(run, |run| run.analysis.numbers.skipped.into())),
    figure("jitter p95, ms", 1, |run| numbered(run, |run| run.jitter_ms.unwrap_or_default())),
    figure("sound late, ms", 1, |run| paired(run, |sync| sync.median_ms)),
    figure("|A/V offset| p50, ms", 1, |run| paired(run, |sync| sync.p50_ms)),
    drawn(
        figure("|A/V offset| p95, ms", 1, |run| paired(run, |sync| sync.p95_ms)),
        "offset",
        Some(OFFSET_MS),
    ),
    figure("drift, ms a minute", 1, |run| paired(run, |sync| Some(sync.drift_ms_per_hour? / 60.0))),
    figure("beeps missing", 0, |run| numbered(run, |run| to_f64(run.analysis.sync.missing_beeps))),
    figure("flashes missing", 0, |run| {
        numbered(run, |run| to_f64(run.analysis.sync.missing_flashes))
    }),
    figure("SSIM to the clip, dB", 2, |run| run.ssim_db),
    figure("VMAF to the clip", 1, |run| run.vmaf),
    figure("file, kbit/s", 0, |run| {
        let bits = u32::try_from(run.analysis.bytes / 125).ok()?;
        (run.analysis.seconds > 0.0).then(|| f64::from(bits) / run.analysis.seconds)
    }),
    figure("peak memory, MiB", 0, |run| Some(mebibytes(run.peak_memory?.everything))),
    drawn(
        figure("its capture+encode, MiB", 0, |run| Some(mebibytes(run.peak_memory?.recorder))),
        "memory",
        Some(MEBIBYTES),
    ),
    figure("start, s", 2, |run| run.start_seconds),
    figure("stop, s", 2, |run| run.stop_seconds),
    figure("others, cores", 2, |run| Some(run.cores.others)),
];

#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    recorder: Recorder,
    workload: Workload,
    figures: Vec<Spread>,
}

/// One figure over all runs; `None` where no run has it.
#[derive(Debug, Serialize)]
struct Spread {
    figure: &'static str,
    /// How many have it, of how many.
    runs: (usize, usize),
    median: Option<f64>,
    least: Option<f64>,
    greatest: Option<f64>,
}

impl Summary {
    pub(crate) fn of(recorder: Recorder, workload: Workload, runs: &[Run]) -> Self {
        let runs: Vec<&Run> = runs
            .iter()
            .filter(|run| run.recorder == recorder && run.workload == workload)
            .collect();
        let spread = |figure: &Figure| {
            let values: Vec<f64> = runs.iter().filter_map(|run| (figure.value)(run)).collect();
            Spread {
                figure: figure.heading,
                runs: (values.len(), runs.len()),
                median: stats::median(&values),
                least: values.iter().copied().reduce(f64::min),
                greatest: values.iter().copied().reduce(f64::max),
            }
        };
        Self { recorder, workload, figures: FIGURES.iter().map(spread).collect() }
    }
}

/// In Markdown, so that it can stand in a document as it is printed.
pub(crate) fn table(title: &str, summaries: &[Summary]) -> String {
    let mut text = format!("| {title} |");
    for summary in summaries {
        let _ = write!(text, " {} |", summary.recorder.name());
    }
    text += "\n|---|";
    text += &"---|".repeat(summaries.len());
    text.push('\n');
    for (row, figure) in FIGURES.iter().enumerate() {
        let _ = write!(text, "| {} |", figure.heading.replace('|', "\\|"));
        for summary in summaries {
            let _ = write!(text, " {} |", cell(&summary.figures[row], figure.decimals));
        }
        text.push('\n');
    }
    text
}

fn cell(spread: &Spread, decimals: usize) -> String {
    match (spread.median, spread.least, spread.greatest) {
        (Some(median), Some(least), Some(greatest)) => {
            let of = match spread.runs {
                (some, all) if some < all => format!("; {some} of {all} runs"),
                _ => String::new(),
            };
            format!("{median:.decimals$} ({least:.decimals$}-{greatest:.decimals$}{of})")
        }
        _ => "-".to_owned(),
    }
}

/// One figure's medians as bars.
pub(crate) fn plot(
    figure: &Figure,
    row: usize,
    recorders: &[Recorder],
    workloads: &[Workload],
    summaries: &[Summary],
) -> String {
    let names: Vec<&str> = recorders.iter().map(|recorder| recorder.name()).collect();
    let of = |workload: Workload, recorder: Recorder| {
        let mut found = summaries.iter();
        let found = found.find(|one| one.workload == workload && one.recorder == recorder)?;
        found.figures[row].median
    };
    let groups: Vec<(&str, Vec<Option<f64>>)> = workloads
        .iter()
        .map(|&workload| {
            (workload.name(), recorders.iter().map(|&one| of(workload, one)).collect())
        })
        .collect();
    Plot { title: figure.heading, recorders: &names, workloads: &groups, goal: figure.goal }.svg()
}
