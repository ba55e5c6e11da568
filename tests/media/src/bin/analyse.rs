//! Prints what is found in a recording of a marked picture.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::path::PathBuf;

use clap::Parser;
use test_media::analysis::analyse;

/// Measures a recording of the clip or of the recorder's test page
#[derive(Debug, Parser)]
struct Arguments {
    /// The recording
    file: PathBuf,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let analysis = analyse(&arguments.file)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&analysis)?);
    } else {
        println!("{analysis}");
    }
    Ok(())
}
