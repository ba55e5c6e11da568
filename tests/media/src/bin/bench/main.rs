//! Records the same pages with different recorders in turn and compares what
//! they cost and what they lose.
//!
//! A benchmark, not a test: nothing here passes or fails. Every recording gets a
//! fresh browser; figures are medians over the runs with their least and
//! greatest value.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what it is for")]

mod figures;
mod meeting;
mod record;
mod soak;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use serde_json::json;
use test_media::peers::Peer;
use test_media::workload::Workload;
use test_media::{starts, stats};

use figures::{FIGURES, Summary};
use record::{Bench, Machine, Recorder};

/// As many distinct pictures a second has a recording that is worth the name.
const SMOOTH: f64 = 29.0;

/// Compares recorders on pages with numbered, flashing and beeping clips
#[derive(Debug, Parser)]
// `./dev` gives some before what somebody types.
#[command(args_override_self = true)]
struct Arguments {
    /// The `recorder` binary; without it only the others run
    #[arg(long)]
    recorder: Option<PathBuf>,
    /// What is recorded, with commas; all if not given
    #[arg(long, value_delimiter = ',')]
    workload: Vec<Workload>,
    /// Ours alone
    #[arg(long, conflicts_with = "beside")]
    alone: bool,
    /// Whose recorders are beside ours, with commas; if not given, those that are in use
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Peer::USUAL, hide_default_value = true)]
    beside: Vec<Peer>,
    /// Set in our Firefox, as NAME=VALUE with a value of JavaScript; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    preference: Vec<String>,
    /// An ffmpeg with libvmaf, for a figure with it
    #[arg(long)]
    vmaf: Option<PathBuf>,
    /// Keep so many processors busy meanwhile
    #[arg(long, value_name = "PROCESSORS", default_value_t = 0)]
    burden: u32,
    /// Length of each recording
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(10..))]
    seconds: u32,
    /// Recordings by each recorder
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Record so many times at once, from one up, until one is no longer smooth; and
    /// do nothing else
    #[arg(long, value_name = "MOST")]
    recordings: Option<u32>,
    /// Record the first workload once, for so many minutes, and tell of each; and do
    /// nothing else
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u32).range(1..=600))]
    soak: Option<u32>,
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
    /// Also draw the figures into this folder, as SVG
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Where clips and recordings are kept
    #[arg(long, default_value = "target/bench")]
    output: PathBuf,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let workloads = if arguments.workload.is_empty() {
        <Workload as clap::ValueEnum>::value_variants().to_vec()
    } else {
        arguments.workload.clone()
    };
    let size = (arguments.width, arguments.height);
    let seconds = arguments.soak.map_or(arguments.seconds, |minutes| minutes * 60);
    let bench = Bench::new(&arguments.output, arguments.recorder.clone(), size, seconds)?
        .with_preferences(&arguments.preference)?
        .with_vmaf(arguments.vmaf.clone());
    for _ in 0..arguments.burden {
        // For as long as this program lives.
        std::thread::spawn(|| {
            loop {
                std::hint::spin_loop();
            }
        });
    }
    if let Some(most) = arguments.recordings {
        return at_once(&bench, workloads[0], most, arguments.json.as_deref());
    }
    if arguments.soak.is_some() {
        return soak(&bench, workloads[0], &arguments);
    }
    let mut recorders = Vec::new();
    if !arguments.alone {
        recorders.extend(arguments.beside.iter().copied().map(Recorder::Peer));
    }
    recorders.extend(arguments.recorder.is_some().then_some(Recorder::Ours));

    let machine = Machine::of_this();
    println!("{machine}\n");
    let mut runs = Vec::new();
    let mut summaries = Vec::new();
    for &workload in &workloads {
        let first = runs.len();
        for number in 1..=arguments.runs {
            // Another one begins each time: a machine may become slower or faster meanwhile.
            let mut in_turn = recorders.clone();
            in_turn.rotate_left((number as usize - 1) % recorders.len().max(1));
            for recorder in in_turn {
                let run = bench.run(recorder, workload, number)?;
                eprintln!("{}, {} {number}: {run}", workload.name(), recorder.name());
                runs.push(run);
            }
        }
        let of_workload: Vec<Summary> =
            recorders.iter().map(|&one| Summary::of(one, workload, &runs[first..])).collect();
        println!("{}", figures::table(workload.name(), &of_workload));
        summaries.extend(of_workload);
    }
    let starts = match &arguments.recorder {
        Some(recorder) if arguments.starts > 0 => {
            starts::measure(recorder, &arguments.output.join("starts"), arguments.starts)?
        }
        _ => Vec::new(),
    };
    if !starts.is_empty() {
        println!("{}", starts::table(&starts));
    }
    if let Some(folder) = &arguments.plots {
        draw(folder, &recorders, &workloads, &summaries)?;
        if let Some(chart) = starts::chart(&starts) {
            write(&folder.join("start.svg"), &chart)?;
        }
    }
    if let Some(path) = &arguments.json {
        let all = json!({
            "seconds": arguments.seconds,
            "size": [arguments.width, arguments.height],
            "machine": machine,
            "summaries": summaries,
            "runs": runs,
            "starts": starts,
        });
        write_json(path, &all)?;
    }
    Ok(())
}

/// Whether anything grows or drifts.
fn soak(bench: &Bench, workload: Workload, arguments: &Arguments) -> anyhow::Result<()> {
    let soak = bench.soak(workload)?;
    println!("{}, minute by minute\n{}", workload.name(), soak.table());
    if let Some(folder) = &arguments.plots {
        soak.draw(folder)?;
    }
    if let Some(path) = &arguments.json {
        write_json(path, &json!({ "machine": Machine::of_this(), "soak": soak }))?;
    }
    Ok(())
}

/// How many recordings this machine holds.
fn at_once(
    bench: &Bench,
    workload: Workload,
    most: u32,
    json: Option<&Path>,
) -> anyhow::Result<()> {
    let machine = Machine::of_this();
    println!("{machine}\n\n{}, at once", workload.name());
    let mut all = Vec::new();
    let mut smooth = 0;
    println!("recordings  least distinct fps  median  cores");
    for count in 1..=most {
        let runs = bench.at_once(workload, count)?;
        let fps: Vec<f64> =
            runs.iter().map(|run| run.analysis.numbers.distinct_per_second).collect();
        let least = fps.iter().copied().fold(f64::INFINITY, f64::min);
        let cores: f64 = runs.iter().map(|run| run.cores.total()).sum();
        let median = stats::median(&fps).unwrap_or(f64::NAN);
        println!("{count:>10}  {least:>18.2}  {median:>6.2}  {cores:>5.2}");
        all.push(runs);
        if least < SMOOTH {
            break;
        }
        smooth = count;
    }
    let more = if smooth == most { " or more" } else { "" };
    println!("{smooth}{more} recordings at {SMOOTH} distinct pictures a second");
    if let Some(path) = json {
        write_json(path, &json!({ "machine": machine, "smooth": smooth, "at_once": all }))?;
    }
    Ok(())
}

fn draw(
    folder: &Path,
    recorders: &[Recorder],
    workloads: &[Workload],
    summaries: &[Summary],
) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for (row, figure) in FIGURES.iter().enumerate() {
        let Some(file) = figure.plot else { continue };
        let svg = figures::plot(figure, row, recorders, workloads, summaries);
        write(&folder.join(file).with_extension("svg"), &svg)?;
    }
    Ok(())
}

fn write_json(path: &Path, all: &serde_json::Value) -> anyhow::Result<()> {
    write(path, &format!("{}\n", serde_json::to_string(all)?))
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
