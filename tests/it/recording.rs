//! Whole recordings: the real binary films real pages, and the film is looked at.

use std::path::Path;

use aws_sdk_s3::config::Credentials as S3Credentials;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use recorder::local::{BUCKET, Credentials, Server};
use recorder::upload::s3::{self, ClientSettings};
use rustix::process::Signal;
use serde_json::json;

use crate::support::film::{self, Film};
use crate::support::pages::{Answer, Pages};
use crate::support::processes::display_socket;
use crate::support::recorder::{RECORDING, Site};
use crate::support::until;

/// Four colours, one in each quarter: two that tell BT.709 from BT.601, one
/// that tells full range from limited, one as dark as they come.
const QUARTERS: &str = "<!doctype html><style>
    body { margin: 0; height: 100vh; display: grid; grid-template: 1fr 1fr / 1fr 1fr }
    </style><body><div style='background: #d02040'></div><div style='background: #20a060'></div>
    <div style='background: #f0f0f0'></div><div style='background: #101830'></div>";
const QUARTER_COLOURS: [(u32, u32, film::Rgb); 4] = [
    (300, 150, [0xd0, 0x20, 0x40]),
    (900, 150, [0x20, 0xa0, 0x60]),
    (300, 500, [0xf0, 0xf0, 0xf0]),
    (900, 500, [0x10, 0x18, 0x30]),
];

/// Red until it says that it begins, then blue until it says that it is over.
const MARKERS: &str = "<!doctype html><body style='background: #c00000'><script>
    setTimeout(() => {
        document.body.style.background = '#0000c0';
        console.log('START_RECORDING');
        setTimeout(() => console.log('END_RECORDING'), 2000);
    }, 1500);</script>";

/// At rest for longer than two groups of pictures, then green.
const RESTS: &str = "<!doctype html><body style='background: #c00000'><script>
    setTimeout(() => {
        console.log('START_RECORDING');
        setTimeout(() => document.body.style.background = '#20a060', 5300);
        setTimeout(() => console.log('END_RECORDING'), 6300);
    }, 500);</script>";

/// Has a film in a frame that drops a picture in every tenth of the browser's turns, as one whose
/// pictures are due just about them, from the second second on until the turns move, beside one that does not tell; and is
/// over when they have moved for good, by an eighth of the time between two or more, since the
/// first second.
const JUDDERS: &str = "<!doctype html><body>
    <iframe srcdoc='<video></video>' style='width: 10px; height: 10px'></iframe>
    <video></video><script>
    document.querySelector('video').getVideoPlaybackQuality = () => { throw Error('no'); };
    const TURN = 1000 / 30;
    let turns = 0, first = 0, moved = 0, dropped = 0;
    const turn = (now) => {
        const since = (now - first) / TURN;
        if (++turns === 30) first = now;
        if (turns > 30) moved = Math.abs(since - Math.round(since)) < 1 / 8 ? 0 : moved + 1;
        if (moved === 30) console.log('END_RECORDING');
        if (turns > 30 && turns % 10 === 0 && moved === 0) dropped++;
        document.body.style.background = `hsl(${turns} 50% 50%)`;
        requestAnimationFrame(turn);
    };
    addEventListener('load', () => {
        const film = document.querySelector('iframe').contentDocument.querySelector('video');
        film.getVideoPlaybackQuality = () => ({ droppedVideoFrames: dropped });
        requestAnimationFrame(turn);
    });</script>";

/// Goes to and fro between two sites, which Firefox gives a process each.
const WANDERS: &str = "<!doctype html><script>
    setTimeout(() => {
        const next = new URL(location);
        next.hostname = next.hostname === 'localhost' ? '127.0.0.1' : 'localhost';
        location = next;
    }, 300);</script>";

/// Like a log-in that sends whoever comes from one site to the next: each is red, too short to be
/// filmed, until the last, which is green.
const FORWARDS: &str = "<!doctype html><body style='background: #c00000'><script>
    const next = new URL(location);
    const times = Number(next.searchParams.get('times'));
    next.searchParams.set('times', times + 1);
    next.hostname = next.hostname === 'localhost' ? '127.0.0.1' : 'localhost';
    if (times === 5) document.body.style.background = '#20a060';
    else addEventListener('load', () => setTimeout(() => location = next, 30));</script>";

/// Nothing that an encoder could leave out, so that a part is soon full.
const NOISE: &str = "<!doctype html><body style='margin: 0'>
    <canvas width=480 height=270 style='width: 100vw; height: 100vh; image-rendering: pixelated'>
    </canvas><script>
    const canvas = document.querySelector('canvas').getContext('2d');
    const image = canvas.createImageData(480, 270);
    const words = new Uint32Array(image.data.buffer);
    const draw = () => {
        for (let i = 0; i < words.length; i++) words[i] = Math.random() * 0xffffff | 0xff000000;
        canvas.putImageData(image, 0, 0);
        requestAnimationFrame(draw);
    };
    draw();</script>";

const PLAIN: Answer = Answer::Html("<!doctype html><body style='background: #336699'>");
const SMALL: [&str; 2] = ["--size", "640x360"];

#[tokio::test]
async fn the_test_page_is_recorded_as_promised() {
    let site = Site::new().await;
    let ended = site.run(site.local(&["--duration", "4s"])).await;
    let report = ended.report();

    assert_eq!(ended.status.code(), Some(0), "{report}");
    assert_eq!(report["version"], 1);
    assert_eq!(report["end"], json!({ "stopped": "duration" }));
    assert_eq!(report["media"], "complete");
    assert_eq!(report["problems"], json!([]));
    let path = site.object();
    assert_eq!(report["object"]["bucket"], "recordings");
    assert_eq!(report["object"]["path"], path.to_str().unwrap());
    assert_eq!(report["object"]["bytes"], path.metadata().unwrap().len());
    assert!(report["sound"]["peak_db"].as_f64().unwrap() > -20.0, "{report}");
    for program in ["recorder", "Firefox", "geckodriver", "Xvfb", "PulseAudio"] {
        let memory = report["usage"][program]["peak_memory_bytes"].as_u64();
        assert!(memory.is_some_and(|bytes| bytes > 0), "{program}: {report}");
    }

    let film = Film::open(&path);
    for (property, expected) in [
        ("codec_name", "h264"),
        ("profile", "High"),
        ("pix_fmt", "yuv420p"),
        ("r_frame_rate", "30/1"),
        ("color_range", "tv"),
        ("color_space", "bt709"),
        ("color_transfer", "bt709"),
        ("color_primaries", "bt709"),
    ] {
        assert_eq!(film.video[property], expected, "{property}");
    }
    assert_eq!((&film.video["width"], &film.video["height"]), (&json!(1920), &json!(1080)));
    assert_eq!(film.audio["codec_name"], "aac");
    assert_eq!(film.audio["sample_rate"], "48000");
    assert_eq!(film.audio["channels"], 2);
    // Sound from the first picture on, though that comes when the encoder has looked ahead.
    let heard: f64 = film.audio["start_time"].as_str().unwrap().parse().unwrap();
    assert!(heard < 0.05, "the first {heard} s have no sound");
    assert_length(&film, 4.0, &report);
    assert!(site.open_uploads().is_empty());
}

#[tokio::test]
async fn colours_are_those_of_the_page_from_the_first_picture_to_the_last() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(QUARTERS)).await;
    let command = site.local(&["--url", &pages.url(), "--size", "1280x720", "--duration", "2s"]);
    let report = site.run(command).await.report();
    assert_eq!(report["media"], "complete", "{report}");
    for (x, y, expected) in QUARTER_COLOURS {
        assert_colour(&site.object(), (x, y), expected);
    }
}

#[tokio::test]
async fn a_page_says_itself_when_it_begins_and_when_it_is_over() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(MARKERS)).await;
    let mut command = site.local(&["--url", &pages.url(), "--await-start-marker"]);
    command.args(SMALL);
    let report = site.run(command).await.report();
    assert_eq!(report["end"], json!({ "stopped": "page_ended" }), "{report}");
    assert_eq!(report["media"], "complete");
    assert_colour(&site.object(), (300, 150), [0, 0, 0xc0]);
    Film::open(&site.object());
}

#[tokio::test]
async fn a_page_that_goes_elsewhere_again_and_again_is_recorded_on() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(WANDERS)).await;
    let mut command = site.local(&["--url", &pages.url(), "--duration", "8s"]);
    command.args(SMALL);
    let report = site.run(command).await.report();
    assert_eq!(report["end"], json!({ "stopped": "duration" }), "{report}");
    assert_eq!(report["media"], "complete", "{report}");
    Film::open(&site.object());
}

#[tokio::test]
async fn a_page_that_forwards_is_filmed_where_it_ends_up() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(FORWARDS)).await;
    let mut command = site.local(&["--url", &pages.url(), "--duration", "2s"]);
    command.args(SMALL);
    let report = site.run(command).await.report();
    assert_eq!(report["end"], json!({ "stopped": "duration" }), "{report}");
    for colour in film::ends(&site.object(), 300, 150) {
        assert!(film::is_close(colour, [0x20, 0xa0, 0x60]), "{colour:?}");
    }
}

#[tokio::test]
async fn where_a_film_judders_the_turns_of_the_browser_are_moved() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(JUDDERS)).await;
    let mut command = site.local(&["--url", &pages.url(), "--duration", "40s"]);
    command.args(SMALL);
    let report = site.run(command).await.report();
    assert_eq!(report["end"], json!({ "stopped": "page_ended" }), "{report}");
    assert_eq!(report["media"], "complete", "{report}");
    assert_eq!(report["films"]["moves"], 1, "{report}");
    assert!(report["films"]["dropped"].as_u64().unwrap() >= 2, "{report}");
}

#[tokio::test]
async fn a_page_that_rests_is_coded_once_and_what_it_draws_next_is_seen() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(RESTS)).await;
    let url = pages.url();
    let flags = [&["--url", &url, "--await-start-marker"], &SMALL[..]].concat();
    let report = site.run(site.local(&flags)).await.report();
    assert_eq!(report["end"], json!({ "stopped": "page_ended" }), "{report}");
    let again = report["pictures"]["coded_again"].as_u64().unwrap();
    assert!(again >= 60, "{report}");
    let film = Film::open(&site.object());
    assert_length(&film, 6.3, &report);
    assert_eq!(film::pictures(&site.object()), report["pictures"]["encoded"]);
    let [first, last] = film::ends(&site.object(), 300, 150);
    assert!(film::is_close(first, [0xc0, 0, 0]), "{first:?}");
    assert!(film::is_close(last, [0x20, 0xa0, 0x60]), "{last:?}");
}

#[tokio::test]
async fn a_page_that_opens_a_dialogue_is_recorded_without_it() {
    let site = Site::new().await;
    let html = "<!doctype html><body style='background: #336699'><script>alert('hello')</script>";
    let pages = Pages::serve(Answer::Html(html)).await;
    let mut command = site.local(&["--url", &pages.url(), "--duration", "2s"]);
    command.args(SMALL);
    let report = site.run(command).await.report();
    assert_eq!(report["media"], "complete", "{report}");
    for place in [(312, 100), (312, 172), (312, 250)] {
        assert_colour(&site.object(), place, [0x33, 0x66, 0x99]);
    }
}

#[tokio::test]
async fn the_longest_length_ends_a_recording_that_nothing_else_ends() {
    let site = Site::new().await;
    let mut command = site.local(&["--max-duration", "2s"]);
    command.args(SMALL);
    let report = site.run(command).await.report();
    assert_eq!(report["end"], json!({ "stopped": "max_duration" }), "{report}");
    assert_length(&Film::open(&site.object()), 2.0, &report);
}

#[tokio::test]
async fn a_signal_ends_a_recording_and_the_file_is_complete() {
    let site = Site::new().await;
    let pages = Pages::serve(PLAIN).await;
    let mut recorder = site.start(site.local(&["--url", &pages.url(), "--duration", "1h"]));
    recorder.logged(RECORDING).await;
    recorder.signal(Signal::TERM);
    let ended = recorder.ended().await;
    let report = ended.report();
    assert_eq!(ended.status.code(), Some(0), "{report}");
    assert_eq!(report["end"], json!({ "stopped": "signal" }));
    assert_eq!(report["media"], "complete");
    let film = Film::open(&site.object());
    assert_length(&film, report["duration_seconds"].as_f64().unwrap(), &report);
}

#[tokio::test]
async fn a_closed_terminal_does_not_end_what_was_started_with_nohup() {
    let site = Site::new().await;
    let mut command = site.program("nohup");
    command.arg(env!("CARGO_BIN_EXE_recorder")).args(["--local", "--output"]).arg(site.output());
    command.args(["--duration", "3s"]).args(SMALL);
    let mut recorder = site.start(command);
    recorder.logged(RECORDING).await;
    recorder.signal(Signal::HUP);
    let report = recorder.ended().await.report();
    assert_eq!(report["end"], json!({ "stopped": "duration" }), "{report}");
}

#[tokio::test]
async fn a_second_signal_hurries_and_what_was_recorded_is_kept() {
    let site = Site::new().await;
    let mut command = site.local(&[]);
    command.args(SMALL);
    let mut recorder = site.start(command);
    recorder.logged(RECORDING).await;
    recorder.signal(Signal::INT);
    recorder.logged("signal received").await;
    recorder.signal(Signal::INT);
    let ended = recorder.ended().await;
    let report = ended.report();
    assert_eq!(report["end"], json!({ "stopped": "signal" }), "{report}");
    // How far it had come when the second one was heard is up to the machine.
    match ended.status.code() {
        // Sound may not have begun by then, and a track without a sample is left out.
        Some(0 | 3) => assert!(film::pictures(&site.object()) > 0),
        // The store may still complete what nobody waits for any more.
        Some(4) => assert_eq!(site.open_uploads().len() + site.objects().len(), 1),
        code => panic!("exit code {code:?}: {report}"),
    }
}

#[tokio::test]
async fn two_recorders_on_one_machine_do_not_meet() {
    let site = Site::new().await;
    let colours: [(&str, film::Rgb); 2] = [("a", [0xa0, 0x60, 0x20]), ("b", [0x20, 0x60, 0xa0])];
    let pages = [
        Pages::serve(Answer::Html("<!doctype html><body style='background: #a06020'>")).await,
        Pages::serve(Answer::Html("<!doctype html><body style='background: #2060a0'>")).await,
    ];
    let recorders: Vec<_> = colours
        .iter()
        .zip(&pages)
        .map(|((name, _), pages)| {
            let key = format!("{name}.mp4");
            let mut command = site.local(&["--url", &pages.url(), "--key", &key]);
            command.args(SMALL).args(["--duration", "3s"]);
            site.start(command)
        })
        .collect();
    for recorder in recorders {
        let report = recorder.ended().await.report();
        assert_eq!(report["media"], "complete", "{report}");
    }
    for (name, colour) in colours {
        let path = site.output().join(name).with_extension("mp4");
        assert_colour(&path, (300, 150), colour);
    }
}

#[tokio::test]
async fn a_recorder_that_is_killed_leaves_no_process_and_an_upload_that_can_be_completed() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(NOISE)).await;
    let mut recorder = site.start(site.local(&["--url", &pages.url(), "--key", "killed.mp4"]));
    recorder.logged(RECORDING).await;
    let display = recorder.process("firefox-esr").variable("DISPLAY").unwrap().to_owned();
    let socket = display_socket(&display);
    assert!(socket.is_some(), "{display} has no socket");
    // The first may be stored before the first pictures have left the encoder.
    recorder.logged_times("part stored", 2).await;
    recorder.signal(Signal::KILL);
    // That every process is gone is checked for every recorder.
    let ended = recorder.ended().await;
    assert_eq!(ended.status.code(), None);
    assert_eq!(ended.stdout, "");
    until("the end of the display's socket", || (display_socket(&display) != socket).then_some(()))
        .await;

    assert!(site.objects().is_empty());
    complete_open_upload(&site).await;
    // How many pictures a part takes is the encoder's business, and the machine's.
    let (stored, decoded) = (film::packets(&site.object()), film::pictures(&site.object()));
    assert!(stored > 0, "nothing was kept");
    assert_eq!(decoded, stored, "what was kept cannot be decoded");
}

#[tokio::test]
async fn firefox_takes_what_it_prepared_at_an_earlier_start() {
    let site = Site::new().await;
    let cache = site.path("firefox-cache");
    let mut warm = site.program(concat!(env!("CARGO_MANIFEST_DIR"), "/docker/warm-firefox.sh"));
    warm.arg(&cache).arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/browser/preferences.js"));
    assert!(warm.status().await.unwrap().success());

    let pages = Pages::serve(Answer::Html(QUARTERS)).await;
    let mut command = site.local(&["--url", &pages.url(), "--firefox-cache"]);
    command.arg(&cache).args(SMALL);
    let mut recorder = site.start(command);
    recorder.logged(RECORDING).await;
    // So Firefox calls one that it has taken; one of another build it removes.
    let folders = std::fs::read_dir(site.path("tmp")).unwrap().map(|entry| entry.unwrap().path());
    let prepared = "startupCache/scriptCache-current.bin";
    let profile: Vec<_> = folders
        .map(|folder| folder.join("profile"))
        .filter(|profile| profile.join(prepared).exists())
        .collect();
    // And it goes by the name that it had then.
    let name = |profile: &Path| {
        let preferences = std::fs::read_to_string(profile.join("prefs.js")).unwrap();
        let named = preferences.lines().find(|line| line.contains("toolkit.profiles.storeID"));
        named.map(str::to_owned)
    };
    let names: Vec<_> = profile.iter().map(|profile| name(profile)).collect();
    recorder.signal(Signal::TERM);
    let ended = recorder.ended().await;
    let given = name(&cache);
    assert!(given.is_some(), "it has no name");
    assert_eq!(names, [given], "{}", ended.log);
    assert!(!ended.log.contains("starts without its cache"), "{}", ended.log);
    Film::open(&site.object());
}

/// What anybody can do with the bucket alone.
async fn complete_open_upload(site: &Site) {
    let credentials = Credentials::random();
    let server = Server::start(&site.output(), credentials.clone()).await.unwrap();
    let Credentials { access_key, secret_key } = credentials;
    let s3 = s3::client(ClientSettings {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(server.endpoint()),
        force_path_style: true,
        credentials: Some(S3Credentials::new(access_key, secret_key, None, None, "test")),
    })
    .await;
    let listed = s3.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    let [upload] = listed.uploads() else { panic!("not one upload: {listed:?}") };
    let (key, id) = (upload.key().unwrap(), upload.upload_id().unwrap());
    let listed = s3.list_parts().bucket(BUCKET).key(key).upload_id(id).send().await.unwrap();
    let parts = listed.parts().iter().map(|part| {
        CompletedPart::builder()
            .set_part_number(part.part_number())
            .set_e_tag(part.e_tag().map(str::to_owned))
            .set_checksum_crc32(part.checksum_crc32().map(str::to_owned))
            .build()
    });
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
    let request = s3.complete_multipart_upload().bucket(BUCKET).key(key).upload_id(id);
    request.multipart_upload(parts).send().await.unwrap();
    server.stop().await;
}

/// In a container it is the first process, for which the kernel ignores every
/// signal that nobody listens for.
#[tokio::test]
async fn as_the_first_process_of_a_container_it_stops_on_a_signal() {
    let site = Site::new().await;
    let mut command = site.program("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(env!("CARGO_BIN_EXE_recorder")).args(["--local", "--output"]).arg(site.output());
    command.args(SMALL);
    let mut unshare = site.start(command);
    unshare.logged(RECORDING).await;
    // Seen from here it has another number.
    unshare.process("recorder").kill(Signal::TERM);
    let ended = unshare.ended().await;
    let report = ended.report();
    assert_eq!(ended.status.code(), Some(0), "{report}");
    assert_eq!(report["end"], json!({ "stopped": "signal" }));
    Film::open(&site.object());
}

fn assert_colour(path: &Path, (x, y): (u32, u32), expected: film::Rgb) {
    let [first, last] = film::ends(path, x, y);
    for (which, seen) in [("first", first), ("last", last)] {
        let is_close = film::is_close(seen, expected);
        assert!(is_close, "the {which} picture is {seen:?} at {x},{y}, not {expected:?}");
    }
}

fn assert_length(film: &Film, expected: f64, report: &serde_json::Value) {
    let told = report["duration_seconds"].as_f64().unwrap();
    for seconds in [film.seconds, told] {
        assert!((seconds - expected).abs() <= 0.5, "{seconds} s, not {expected} s: {report}");
    }
}
