//! How long the recorder takes from its start to the first recorded picture of a
//! meeting, by its own account.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::flame::{self, Mark, Phase};
use crate::stats;

/// Seconds from the start of the process.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// The page has joined and shows the first pictures.
    pub ready: f64,
    pub first_frame: f64,
    /// What it did until it was ready.
    pub phases: Vec<Phase>,
}

/// Records a second of a meeting with four participants `runs` times, after one
/// time that is not counted, because it makes the pictures of the participants.
pub fn measure(recorder: &Path, folder: &Path, runs: u32) -> anyhow::Result<Vec<Start>> {
    record(recorder, folder)?;
    (0..runs).map(|_| record(recorder, folder)).collect()
}

fn record(recorder: &Path, folder: &Path) -> anyhow::Result<Start> {
    let output = Command::new(recorder)
        .args(["--local", "--participants", "4", "--duration", "1s", "--log", "warn", "--output"])
        .arg(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be started", recorder.display()))?;
    ensure!(output.status.success(), "the recorder ended with {}", output.status);
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("the recorder's report is no JSON")?;
    let time = |name: &str| {
        report["times"][name].as_f64().with_context(|| format!("the report lacks {name}"))
    };
    Ok(Start {
        ready: time("ready_after_seconds")?,
        first_frame: time("first_frame_after_seconds")?,
        phases: serde_json::from_value(report["times"]["phases"].clone())
            .context("the report lacks the phases of the start")?,
    })
}

/// The start in the middle of all, phase by phase.
pub fn chart(starts: &[Start]) -> Option<String> {
    let mut sorted: Vec<&Start> = starts.iter().collect();
    sorted.sort_by(|one, other| one.first_frame.total_cmp(&other.first_frame));
    let middle = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    let marks = [Mark { name: "first picture", seconds: middle.first_frame }];
    let title = "From the start of the process to the first picture of a meeting of four";
    Some(flame::chart(title, &middle.phases, &marks))
}

/// The table that people read.
pub fn table(starts: &[Start]) -> String {
    let row = |name: &str, ready: f64, first: f64| format!("{name:<6} {ready:>8.2}  {first:>14.2}");
    let numbered = (1..).zip(starts);
    let mut rows: Vec<String> =
        numbered.map(|(n, start)| row(&format!("{n}"), start.ready, start.first_frame)).collect();
    rows.insert(0, "start  ready, s  first frame, s".into());
    let median = |value: fn(&Start) -> f64| {
        stats::median(&starts.iter().map(value).collect::<Vec<_>>()).unwrap_or(f64::NAN)
    };
    rows.push(row("median", median(|start| start.ready), median(|start| start.first_frame)));
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts() -> [Start; 3] {
        [3.0, 2.0, 9.0].map(|ready| Start {
            ready,
            first_frame: ready + 0.1,
            phases: vec![Phase { name: "page".into(), from_seconds: 0.0, to_seconds: ready }],
        })
    }

    #[test]
    fn the_chart_is_of_the_start_in_the_middle() {
        let chart = chart(&starts()).unwrap();
        assert!(chart.contains("3000 ms") && chart.contains("first picture: 3.10 s"), "{chart}");
        assert_eq!(super::chart(&[]), None);
    }

    #[test]
    fn the_table_has_a_row_for_each_start_and_the_median() {
        let starts = starts();
        let table = table(&starts);
        let rows: Vec<_> = table.lines().collect();
        assert_eq!(rows.len(), 5, "{table}");
        assert_eq!(rows[4].split_whitespace().collect::<Vec<_>>(), ["median", "3.00", "3.10"]);
    }
}
