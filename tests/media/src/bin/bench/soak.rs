//! One long recording by ours, minute by minute: whether anything grows or drifts.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use test_media::analysis::Analysis;
use test_media::cpu::{Memory, mebibytes};
use test_media::plot::Plot;
use test_media::stats;

use crate::figures::{CORES, MEBIBYTES, OFFSET_MS};

/// Of thirty a second, over all of it.
const DISTINCT: f64 = 29.5;
const DRIFT_MS_PER_HOUR: f64 = 20.0;

/// What one minute came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Minute {
    pub(crate) cores: Option<f64>,
    /// The most, in bytes.
    pub(crate) memory: Option<Memory>,
    pub(crate) distinct_per_second: f64,
    /// Middle of the offsets of the minute: positive where the sound is late.
    pub(crate) sound_late_ms: Option<f64>,
}

/// The whole recording.
#[derive(Debug, Serialize)]
pub(crate) struct Soak {
    pub(crate) minutes: Vec<Minute>,
    pub(crate) whole: Analysis,
    /// What the recorder says about itself.
    pub(crate) report: Option<Value>,
}

impl Soak {
    pub(crate) fn table(&self) -> String {
        let mut rows =
            vec!["minute  cores  memory, MiB  recorder's  distinct fps  sound late, ms".to_owned()];
        rows.extend((1..).zip(&self.minutes).map(|(number, minute)| {
            format!(
                "{number:>6}  {:>5}  {:>11}  {:>10}  {:>12.2}  {:>14}",
                text(minute.cores, 2),
                text(minute.memory.map(|memory| mebibytes(memory.everything)), 0),
                text(minute.memory.map(|memory| mebibytes(memory.recorder)), 0),
                minute.distinct_per_second,
                text(minute.sound_late_ms, 1)
            )
        }));
        rows.push(format!("\nthe whole recording\n{}\n", self.whole));
        rows.push(self.beside_budgets());
        if let Some(report) = &self.report {
            rows.push(format!("\n{}", by_its_report(report)));
        }
        rows.join("\n")
    }

    /// What was allowed, and what the minutes came to.
    fn beside_budgets(&self) -> String {
        let of = |value: fn(&Minute) -> Option<f64>| -> Vec<f64> {
            self.minutes.iter().filter_map(value).collect()
        };
        let cores = of(|minute| minute.cores);
        let distinct = of(|minute| Some(minute.distinct_per_second));
        let late = of(|minute| minute.sound_late_ms);
        let memory = of(|minute| minute.memory.map(|memory| mebibytes(memory.recorder)));
        let sync = &self.whole.sync;
        let least = |values: &[f64]| values.iter().copied().reduce(f64::min);
        let most = |values: &[f64]| values.iter().copied().reduce(f64::max);
        [
            "| | budget | came to |\n|---|---|---|".to_owned(),
            format!(
                "| everything, cores | {CORES} | {} in the middle minute ({} to {}) |",
                text(stats::median(&cores), 2),
                text(least(&cores), 2),
                text(most(&cores), 2)
            ),
            format!(
                "| distinct pictures a second | {DISTINCT} | {:.2}, {} in the worst minute |",
                self.whole.numbers.distinct_per_second,
                text(least(&distinct), 2)
            ),
            format!(
                "| offset of sound and picture, p95 | {OFFSET_MS} ms | {} ms; minutes {} to {} ms late |",
                text(sync.p95_ms, 1),
                text(least(&late), 1),
                text(most(&late), 1)
            ),
            format!(
                "| drift in an hour | {DRIFT_MS_PER_HOUR} ms | {} ms |",
                text(sync.drift_ms_per_hour, 0)
            ),
            format!(
                "| memory of the recorder | {MEBIBYTES} MiB, flat | {} MiB in the first minute, {} in the last, {} at most |",
                text(memory.first().copied(), 0),
                text(memory.last().copied(), 0),
                text(most(&memory), 0)
            ),
        ]
        .join("\n")
    }

    /// One picture for each figure.
    pub(crate) fn draw(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let of = |value: fn(&Minute) -> Option<f64>| {
            self.minutes.iter().map(value).collect::<Vec<Option<f64>>>()
        };
        let figures = [
            (
                "soak-cores",
                "Cores of everything, by minute",
                of(|minute| minute.cores),
                Some(CORES),
            ),
            (
                "soak-memory",
                "Resident memory of everything, MiB, by minute",
                of(|minute| minute.memory.map(|memory| mebibytes(memory.everything))),
                None,
            ),
            (
                "soak-recorder",
                "Resident memory of the recorder alone, MiB, by minute",
                of(|minute| minute.memory.map(|memory| mebibytes(memory.recorder))),
                Some(MEBIBYTES),
            ),
            (
                "soak-distinct",
                "Distinct pictures a second, by minute",
                of(|minute| Some(minute.distinct_per_second)),
                Some(30.0),
            ),
            (
                "soak-offset",
                "Distance of sound and picture, ms, by minute",
                of(|minute| minute.sound_late_ms.map(f64::abs)),
                Some(OFFSET_MS),
            ),
        ];
        for (file, title, values, goal) in figures {
            // Every fifth minute has its number, for which there is room in an hour.
            let names: Vec<String> = (1..=values.len())
                .map(|number| if number % 5 == 0 { number.to_string() } else { String::new() })
                .collect();
            let minutes: Vec<(&str, Vec<Option<f64>>)> = names
                .iter()
                .map(String::as_str)
                .zip(values.into_iter().map(|one| vec![one]))
                .collect();
            let plot = Plot { title, recorders: &["recorder"], workloads: &minutes, goal };
            let path = folder.join(file).with_extension("svg");
            fs::write(&path, plot.svg())
                .with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }
}

fn text(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

/// What was lost or coded with less effort, and who took the processors, as the recorder tells it.
fn by_its_report(report: &Value) -> String {
    let pictures = &report["pictures"];
    let part = |count: &str| {
        let part = Some(pictures[count].as_f64()? * 100.0 / pictures["encoded"].as_f64()?);
        part.filter(|part| part.is_finite())
    };
    let usage = report["usage"].as_object().into_iter().flatten();
    let usage = usage
        .map(|(program, usage)| format!("{program} {} s", text(usage["cpu_seconds"].as_f64(), 0)));
    format!(
        "by its report: {} pictures missed, {} repeated, {} % smaller, {} % with less effort, \
         {} gaps in the sound; processor time of {}",
        text(pictures["missed"].as_f64(), 0),
        text(pictures["repeated"].as_f64(), 0),
        text(part("smaller"), 0),
        text(part("eased"), 0),
        text(report["sound"]["gaps"].as_f64(), 0),
        usage.collect::<Vec<String>>().join(", ")
    )
}
