//! One long recording by ours, minute by minute: whether anything grows or drifts.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;
use test_media::analysis::Analysis;
use test_media::cpu::{Memory, mebibytes};
use test_media::plot::Plot;

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
    pub(crate) report: Option<serde_json::Value>,
}

impl Soak {
    pub(crate) fn table(&self) -> String {
        let mut rows =
            vec!["minute  cores  memory, MiB  recorder's  distinct fps  sound late, ms".to_owned()];
        let text = |value: Option<f64>, decimals: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
        };
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
        rows.push(format!("\nthe whole recording\n{}", self.whole));
        rows.join("\n")
    }

    /// One picture for each figure.
    pub(crate) fn draw(&self, folder: &Path) -> anyhow::Result<()> {
        fs::create_dir_all(folder)?;
        let of = |value: fn(&Minute) -> Option<f64>| {
            self.minutes.iter().map(value).collect::<Vec<Option<f64>>>()
        };
        let figures = [
            ("soak-cores", "Cores of everything, by minute", of(|minute| minute.cores), Some(1.5)),
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
                Some(300.0),
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
                Some(40.0),
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
