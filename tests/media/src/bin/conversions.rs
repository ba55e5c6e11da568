//! Turns a screen into the colours of a film, as the recorder does it and as GStreamer does,
//! and prints what each takes of the processor.
//!
//! The screen is the whole picture, as when all of it has been drawn. A copy of the same
//! pixels is beside them, because no conversion can do with less than to read them.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;

use clap::Parser;
use pixels::Pixel;
use test_media::cpu::{Used, used};
use test_media::stats;
use test_media::tool::run;

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;

/// Prints processor time of a screen's way to I420
#[derive(Debug, Parser)]
struct Arguments {
    /// Screens of each run
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    screens: u32,
    /// Runs of each, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

fn main() -> anyhow::Result<()> {
    let Arguments { screens, runs } = Arguments::parse();
    let screen = screen();
    let mut copied = screen.clone();
    let mut picture = vec![0; WIDTH * HEIGHT * 3 / 2];
    let mut costs = [const { vec![] }; 3];
    for _ in 0..runs {
        let copy = || black_box(&mut copied).copy_from_slice(black_box(&screen));
        costs[0].push(own(screens, copy)?);
        let convert = || convert(black_box(&screen), black_box(&mut picture));
        costs[1].push(own(screens, convert)?);
        costs[2].push(videoconvert(screens)?);
    }
    println!("| {WIDTH}x{HEIGHT} | processor, ms a screen |\n|---|---|");
    let names = ["a copy of its pixels", "the recorder's (`pixels/`)", "`videoconvert`"];
    for (name, costs) in names.iter().zip(&costs) {
        let each =
            |seconds: Option<f64>| seconds.expect("there is a run") * 1000.0 / f64::from(screens);
        let median = each(stats::median(costs));
        let [least, most] = [0.0, 1.0].map(|part| each(stats::percentile(costs, part)));
        println!("| {name} | {median:.2} ({least:.2}-{most:.2}) |");
    }
    Ok(())
}

/// Many colours: what it shows must not matter to anyone's time.
fn screen() -> Vec<Pixel> {
    let colours = (0u32..).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    colours.take(WIDTH * HEIGHT).collect()
}

/// As `src/capture/planar.rs` does it with a screen that was drawn anew.
fn convert(screen: &[Pixel], picture: &mut [u8]) {
    let (luma, chroma) = picture.split_at_mut(screen.len());
    let (blue, red) = chroma.split_at_mut(screen.len() / 4);
    let chroma = blue.chunks_exact_mut(WIDTH / 2).zip(red.chunks_exact_mut(WIDTH / 2));
    let rows = screen.chunks_exact(2 * WIDTH).zip(luma.chunks_exact_mut(2 * WIDTH));
    for ((pixels, luma), (blue, red)) in rows.zip(chroma) {
        pixels::convert(
            pixels.split_at(WIDTH).into(),
            luma.split_at_mut(WIDTH).into(),
            [blue, red],
        );
    }
}

/// Seconds of the processor that it takes to do `work` so many `times`.
fn own(times: u32, mut work: impl FnMut()) -> anyhow::Result<f64> {
    let Used { own: before, .. } = used()?;
    for _ in 0..times {
        work();
    }
    Ok(used()?.own - before)
}

/// Seconds of the processor of a chain with GStreamer's element, without those of the same
/// chain without it.
fn videoconvert(screens: u32) -> anyhow::Result<f64> {
    let chain = |conversion: &[&str]| -> anyhow::Result<f64> {
        let count = format!("num-buffers={screens}");
        let raw = format!("video/x-raw,format=BGRx,width={WIDTH},height={HEIGHT}");
        let head = ["-q", "videotestsrc", "pattern=solid-color", &count, "!", &raw, "!"];
        let Used { children: before, .. } = used()?;
        run("gst-launch-1.0", [&head, conversion, &["fakesink"]].concat())?;
        Ok(used()?.children - before)
    };
    let colours = "video/x-raw,format=I420,colorimetry=bt709";
    Ok(chain(&["videoconvert", "!", colours, "!"])? - chain(&[])?)
}
