//! Prints what is found in a recording of a marked picture.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::path::PathBuf;

use clap::Parser;
use test_media::analysis::analyse;
use test_media::workload::Workload;

/// Measures a recording of the recorder's test page, or of a page of the bench
#[derive(Debug, Parser)]
struct Arguments {
    /// The recording
    file: PathBuf,
    /// The page it shows, in 1920x1080; the test page or the clip if not given
    #[arg(long)]
    workload: Option<Workload>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let region = arguments.workload.and_then(|workload| workload.region(1920, 1080));
    let analysis = analyse(&arguments.file, region)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&analysis)?);
    } else {
        println!("{analysis}");
    }
    Ok(())
}
