//! A real browser on a real display plays the clip, and what is on the display
//! can be read.

use std::process::Stdio;
use std::time::Duration;

use test_media::analysis::analyse;
use test_media::children::{Child, command};
use test_media::clip::{ClipSpec, make_clip};
use test_media::page::{self, PLAYING};
use test_media::stage::Stage;

/// For a machine that is busy with other things.
const PATIENCE: Duration = Duration::from_mins(2);

#[test]
fn the_clip_fills_the_display_and_is_heard() {
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("clip.webm");
    make_clip(&clip, &ClipSpec { width: 640, height: 360, fps: 30, seconds: 20 }).unwrap();
    let page = page::write_page(&clip).unwrap();
    let (url, server) = page::serve(folder.path()).unwrap();
    let stage = Stage::open(640, 360, &(url + &page)).unwrap();
    assert!(server.wait_for(PLAYING, PATIENCE), "the page does not play");

    let recording = folder.path().join("recording.mp4");
    let mut ffmpeg = command("ffmpeg");
    ffmpeg.args("-v error -y -nostdin -f x11grab -video_size 640x360 -i".split(' '));
    ffmpeg.arg(stage.display_name()).args("-f pulse -i default -t 5".split(' '));
    ffmpeg.arg(&recording).stdin(Stdio::null());
    stage.connect(&mut ffmpeg);
    let mut ffmpeg = Child::start("ffmpeg", &mut ffmpeg).unwrap();
    assert!(ffmpeg.end(PATIENCE).unwrap().success());

    let analysis = analyse(&recording, None).unwrap();
    let numbers = &analysis.numbers;
    assert!(numbers.distinct > 1 && numbers.unreadable < numbers.pictures / 2, "{analysis}");
    assert!(numbers.last_number.unwrap() < 600, "{analysis}");
    assert!(analysis.sync.beeps > 0, "{analysis}");
}
