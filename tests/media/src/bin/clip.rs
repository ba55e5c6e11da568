//! Makes a clip and serves the page that plays it, until its input ends.

#![expect(clippy::print_stdout, reason = "the address is its outcome")]

use std::io::{self, Read};
use std::path::PathBuf;

use clap::Parser;
use test_media::clip::{ClipSpec, cached_clip};
use test_media::page;

/// Serves a page with a numbered, flashing and beeping clip; ends with Ctrl-D or Ctrl-C
#[derive(Debug, Parser)]
struct Arguments {
    /// Where clips are kept and the page is written
    folder: PathBuf,
    #[arg(long, default_value_t = 1920)]
    width: u32,
    #[arg(long, default_value_t = 1080)]
    height: u32,
    #[arg(long, default_value_t = 30)]
    fps: u32,
    /// Length of the clip, which is played over and over
    #[arg(long, default_value_t = 30)]
    seconds: u32,
}

fn main() -> anyhow::Result<()> {
    let Arguments { folder, width, height, fps, seconds } = Arguments::parse();
    let clip = cached_clip(&folder, &ClipSpec { width, height, fps, seconds })?;
    let page = page::write_page(&clip)?;
    let (url, _server) = page::serve(&folder)?;
    println!("{url}{page}");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
