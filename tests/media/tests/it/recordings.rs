//! What was done to a file is exactly what the analyser finds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use test_media::analysis::{Analysis, analyse};
use test_media::clip::{ClipError, ClipSpec, make_clip};

const SPEC: ClipSpec = ClipSpec { width: 480, height: 270, fps: 30, seconds: 6 };
const FRAMES: usize = 180;

/// Made anew in each run: these tests are also about how it is made.
static CLIP: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clip.webm");
    make_clip(&path, &SPEC).unwrap();
    path
});

/// Encodes the clip as a recorder would and analyses the outcome. `options`
/// damage it; `CLIP` among them is the clip once more.
fn recorded(options: &str) -> Analysis {
    recorded_from("", options)
}

/// The same, with options for reading the clip.
fn recorded_from(input: &str, options: &str) -> Analysis {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.mp4");
    let clip = CLIP.to_str().unwrap();
    let status = Command::new("ffmpeg")
        // The sound of the clip has 6.5 ms before zero that a decoder drops.
        // Without `-copyts` ffmpeg moves both tracks by that, the pictures
        // then back to a multiple of 1/30 s.
        .args("-v error -nostdin -y -copyts".split_whitespace())
        .args(input.split_whitespace())
        .args(["-i", clip])
        .args(options.split_whitespace().map(|word| if word == "CLIP" { clip } else { word }))
        .args("-c:v libx264 -preset ultrafast -c:a aac -b:a 160k".split_whitespace())
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    analyse(&path, None).unwrap()
}

#[track_caller]
fn assert_counts(analysis: &Analysis, distinct: usize, repeated: usize, skipped: u32) {
    let numbers = &analysis.numbers;
    let counts = (numbers.distinct, numbers.repeated, numbers.skipped, numbers.unreadable);
    assert_eq!(counts, (distinct, repeated, skipped, 0), "{analysis}");
}

#[track_caller]
fn assert_offset(analysis: &Analysis, milliseconds: f64) {
    let sync = &analysis.sync;
    let (median, worst) = (sync.median_ms.unwrap(), sync.max_ms.unwrap());
    assert!((median - milliseconds).abs() < 2.0, "{analysis}");
    assert!((worst - milliseconds.abs()).abs() < 2.0, "{analysis}");
}

#[test]
fn the_clip_itself_is_perfect() {
    let analysis = analyse(&CLIP, None).unwrap();
    assert_counts(&analysis, FRAMES, 0, 0);
    assert_eq!(analysis.numbers.first_number, Some(0));
    assert!((analysis.numbers.distinct_per_second - 30.0).abs() < 0.01, "{analysis}");
    assert_offset(&analysis, 0.0);
    let video = analysis.video().unwrap();
    assert_eq!((video.codec_name.as_str(), video.width), ("vp8", Some(480)));
    assert_eq!(analysis.audio().unwrap().codec_name, "opus");
}

#[test]
fn a_faithful_recording_is_found_faithful() {
    let analysis = recorded("");
    assert_counts(&analysis, FRAMES, 0, 0);
    // The flash of second 0 has no dark picture before it.
    assert_eq!((analysis.sync.flashes, analysis.sync.missing_beeps), (5, 0), "{analysis}");
    assert_offset(&analysis, 0.0);
    assert!((analysis.peak_dbfs.unwrap() + 6.0).abs() < 1.5, "{analysis}");
    assert_eq!(analysis.video().unwrap().avg_frame_rate.as_deref(), Some("30/1"));
}

#[test]
fn shifted_sound_is_measured_with_its_sign() {
    let late = recorded("-itsoffset 0.120 -i CLIP -map 0:v -map 1:a");
    assert_offset(&late, 120.0);
    let late_by_filter = recorded("-af adelay=250:all=1");
    assert_offset(&late_by_filter, 250.0);
    let early = recorded_from("-itsoffset 0.2", "-i CLIP -map 0:v -map 1:a");
    assert_offset(&early, -200.0);
}

#[test]
fn dropped_pictures_are_counted_by_number() {
    let dropped = recorded("-vf select='not(between(n,50,52)+eq(n,100))' -fps_mode vfr");
    assert_counts(&dropped, FRAMES - 4, 0, 4);
    assert_eq!(dropped.numbers.pictures, FRAMES - 4);
    assert_offset(&dropped, 0.0);
}

#[test]
fn a_picture_shown_in_the_place_of_others_is_repeated_and_they_are_skipped() {
    let repeated = recorded("-vf select='not(between(n,50,52)+eq(n,100))',fps=30");
    assert_counts(&repeated, FRAMES - 4, 4, 4);
}

#[test]
fn a_recording_that_starts_and_ends_within_the_clip_is_still_read() {
    let part = recorded("-vf trim=2.05:5.05 -af atrim=2.05:5.05 -avoid_negative_ts make_zero");
    let numbers = &part.numbers;
    assert_eq!((numbers.distinct, numbers.repeated, numbers.skipped), (90, 0, 0), "{part}");
    assert_eq!((numbers.first_number, numbers.last_number), (Some(62), Some(151)));
    assert_offset(&part, 0.0);
}

#[test]
fn a_looping_clip_loses_nothing() {
    let twice = recorded_from("-stream_loop 1", "-vf fps=30");
    assert_eq!(twice.numbers.loops, 1, "{twice}");
    assert!(twice.numbers.skipped <= 1 && twice.numbers.distinct + 1 >= 2 * FRAMES, "{twice}");
}

#[test]
fn a_scaled_recording_is_read() {
    for size in ["854:480", "1280:720", "320:180"] {
        let scaled = recorded(&format!("-vf scale={size}"));
        assert_counts(&scaled, FRAMES, 0, 0);
        assert_offset(&scaled, 0.0);
    }
}

#[test]
fn a_missing_beep_is_missed() {
    let muted = recorded("-af volume=0:enable='between(t,2.9,3.3)'");
    assert_eq!((muted.sync.missing_beeps, muted.sync.offsets.len()), (1, 4), "{muted}");
}

#[test]
fn a_mixture_of_two_pictures_is_unreadable() {
    let mixed = recorded("-vf tmix=frames=2:enable='between(n,40,44)'");
    assert_eq!(mixed.numbers.unreadable, 5, "{mixed}");
}

#[test]
fn a_recording_without_sound_has_pictures_only() {
    let silent = recorded("-an");
    assert_counts(&silent, FRAMES, 0, 0);
    assert_eq!((silent.sync.beeps, silent.peak_dbfs), (0, None));
}

#[test]
fn drifting_sound_has_a_slope() {
    // Faster by a thousandth: 3.6 s early after an hour.
    let drifting = recorded("-af asetrate=48048,aresample=48000");
    let drift = drifting.sync.drift_ms_per_hour.unwrap();
    assert!((drift + 3600.0).abs() < 400.0, "{drifting}");
}

#[test]
fn impossible_clips_and_missing_files_are_refused() {
    let odd = make_clip(Path::new("/tmp/never"), &ClipSpec { width: 1921, ..SPEC });
    assert!(matches!(odd, Err(ClipError::Size(1921, 270))));
    assert!(analyse(Path::new("/nowhere.mp4"), None).is_err());
}
