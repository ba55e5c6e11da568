//! Turns a screen into the colours of a film, as the recorder does it and as GStreamer does,
//! and prints what each takes of the processor.
//!
//! The screen is the whole picture, as when all of it has been drawn. A copy of the same
//! pixels is beside them, because no conversion can do with less than to read them.

#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use std::hint::black_box;

use anyhow::ensure;
use clap::Parser;
use pixels::Pixel;
use test_media::cpu::used;
use test_media::tool::run;

/// Prints processor time of a screen's way to I420
#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, default_value_t = 1920)]
    width: usize,
    #[arg(long, default_value_t = 1080)]
    height: usize,
    /// Screens of each run
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    screens: u32,
    /// Runs of each, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let Arguments { width, height, screens, runs } = arguments;
    ensure!(
        width > 0 && height > 0 && width.is_multiple_of(2) && height.is_multiple_of(2),
        "a picture of {width}x{height} pixels has no samples of chroma of its own: \
         give even numbers (--width, --height)"
    );
    let screen = screen(width, height);
    let mut copied = screen.clone();
    let mut picture = vec![0; width * height * 3 / 2];
    let mut costs = [const { vec![] }; 3];
    for _ in 0..runs {
        costs[0].push(own(|| {
            for _ in 0..screens {
                black_box(&mut copied).copy_from_slice(black_box(&screen));
            }
        })?);
        costs[1].push(own(|| {
            for _ in 0..screens {
                convert(black_box(&screen), width, black_box(&mut picture));
            }
        })?);
        costs[2].push(videoconvert(&arguments)?);
    }
    println!("| {width}x{height} | processor, ms a screen |\n|---|---|");
    let names = ["a copy of its pixels", "the recorder's (`pixels/`)", "`videoconvert`"];
    for (name, costs) in names.iter().zip(&mut costs) {
        costs.sort_by(f64::total_cmp);
        let each = |seconds: f64| seconds * 1000.0 / f64::from(screens);
        let (least, most) = (each(costs[0]), each(costs[costs.len() - 1]));
        let middle = each(costs[costs.len() / 2]);
        println!("| {name} | {middle:.2} ({least:.2}-{most:.2}) |");
    }
    Ok(())
}

/// Many colours: what it shows must not matter to anyone's time.
fn screen(width: usize, height: usize) -> Vec<Pixel> {
    let colours = (0u32..).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes());
    colours.take(width * height).collect()
}

/// As `src/capture/planar.rs` does it with a screen that was drawn anew.
fn convert(screen: &[Pixel], width: usize, picture: &mut [u8]) {
    let (luma, chroma) = picture.split_at_mut(screen.len());
    let (blue, red) = chroma.split_at_mut(screen.len() / 4);
    let chroma = blue.chunks_exact_mut(width / 2).zip(red.chunks_exact_mut(width / 2));
    let rows = screen.chunks_exact(2 * width).zip(luma.chunks_exact_mut(2 * width));
    for ((pixels, luma), (blue, red)) in rows.zip(chroma) {
        pixels::convert(
            pixels.split_at(width).into(),
            luma.split_at_mut(width).into(),
            [blue, red],
        );
    }
}

/// Seconds of the processor that `work` takes.
fn own(work: impl FnOnce()) -> anyhow::Result<f64> {
    let before = used()?[0];
    work();
    Ok(used()?[0] - before)
}

/// Seconds of the processor of a chain with GStreamer's element, without those of the same
/// chain without it.
fn videoconvert(arguments: &Arguments) -> anyhow::Result<f64> {
    let chain = |conversion: &[&str]| -> anyhow::Result<f64> {
        let Arguments { width, height, screens, .. } = arguments;
        let count = format!("num-buffers={screens}");
        let raw = format!("video/x-raw,format=BGRx,width={width},height={height}");
        let head = ["-q", "videotestsrc", "pattern=solid-color", &count, "!", &raw, "!"];
        let before = used()?[1];
        run("gst-launch-1.0", [&head, conversion, &["fakesink"]].concat())?;
        Ok(used()?[1] - before)
    };
    let colours = "video/x-raw,format=I420,colorimetry=bt709";
    Ok(chain(&["videoconvert", "!", colours, "!"])? - chain(&[])?)
}
