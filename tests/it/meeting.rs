//! Whole recordings of meetings: the real SDK in the real Firefox, over real
//! WebRTC, in a meeting with synthetic participants.

use std::f64::consts::TAU;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use recorder::local::{BUCKET, Credentials, Server};
use recorder::meeting::watch::Rules;
use recorder::meeting::{Input, Look, Meeting};
use recorder::secret::Secret;
use rustix::process::Signal;
use serde_json::{Value, json};
use test_meeting::scenario::Scenario;
use test_meeting::sound::tone_of;
use test_meeting::{MeetingNames, Options};

use crate::support::film::{self, Film};
use crate::support::processes::{self, Process};
use crate::support::recorder::{Ended, RECORDING, Site, meeting_page};
use crate::support::servers::free_ports;
use crate::support::until;

/// In the log each time that the page may be filmed.
const LIVE: &str = r#""state":"Live""#;

/// Strength of one pitch (Goertzel), as an amplitude.
fn strength(samples: &[f64], pitch: f64) -> f64 {
    let factor = 2.0 * (TAU * pitch / 48_000.0).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, sample + factor * last - before);
    }
    let power = before * before + last * last - factor * before * last;
    power.max(0.0).sqrt() * 2.0 / f64::from(u32::try_from(samples.len()).unwrap())
}

/// The tile in the report as it is on the picture: x is not told, so the tiles of
/// four people are known by the layout of the page.
const TWO_BY_TWO: [[u32; 4]; 4] =
    [[26, 12, 928, 522], [966, 12, 928, 522], [26, 546, 928, 522], [966, 546, 928, 522]];

fn number_in(path: &Path, seconds: f64, tile: [u32; 4]) -> Option<u32> {
    let [x, y, width, height] = tile;
    // The cells of the band along the upper edge, one byte each.
    let band = film::grey(path, seconds, [x, y + height / 60, width, height / 24], 20, 1);
    test_media::marks::read_number(&band.try_into().unwrap())
}

fn reason(ended: &Ended) -> Value {
    ended.report()["end"].clone()
}

#[tokio::test]
async fn four_people_are_seen_moving_and_heard_in_turn() {
    let site = Site::new().await;
    let ended = site.run(site.local(&["--participants", "4", "--duration", "14s"])).await;
    let report = ended.report();
    assert_eq!(ended.status.code(), Some(0), "{report}");
    let path = site.object();
    let film = Film::open(&path);
    assert!(film.seconds > 13.5, "{film:?}");

    let names: Vec<_> =
        report["attendees"].as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["Alice", "Bob", "Chloé", "Dmitri"]);
    let tiles = report["tiles"].as_array().unwrap().last().unwrap()["tiles"].as_array().unwrap();
    assert_eq!(tiles.len(), 4, "{report}");
    for tile in TWO_BY_TWO {
        let numbers: Vec<_> =
            (0..8).filter_map(|n| number_in(&path, 4.0 + f64::from(n) / 2.0, tile)).collect();
        let mut distinct = numbers.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() >= 6, "the tile at {tile:?} shows {numbers:?}");
    }

    let speakers = report["speakers"].as_array().unwrap();
    let ids: Vec<_> =
        report["attendees"].as_array().unwrap().iter().map(|a| &a["attendee_id"]).collect();
    let mut heard = 0;
    for spoken in speakers {
        let who = ids.iter().position(|id| **id == spoken["attendee_id"]).unwrap();
        let (from, to) =
            (spoken["from_seconds"].as_f64().unwrap(), spoken["to_seconds"].as_f64().unwrap());
        if to - from < 3.0 {
            continue;
        }
        // A second of it, between two beeps' edges of the turn.
        let samples = film::sound(&path, from + 0.8, 1.5);
        for look in 0..4 {
            let loud = strength(&samples, tone_of(look)) > 0.05;
            assert_eq!(loud, look == who, "tone {look} while {who} speaks from {from} to {to}");
        }
        heard += 1;
    }
    assert!(heard >= 3, "{speakers:?}");

    let beside = |ending: &str| std::fs::read_to_string(path.with_extension(ending)).unwrap();
    let chapters = beside("vtt");
    assert!(chapters.starts_with("WEBVTT\n\n00:00:0"), "{chapters}");
    assert!(chapters.contains("\nBob\n"), "{chapters}");
    // Where the bucket is a folder of this machine is nobody else's business.
    let mut stored = report.clone();
    stored["object"].as_object_mut().unwrap().remove("path");
    assert_eq!(serde_json::from_str::<Value>(&beside("json")).unwrap(), stored);
}

/// A scenario in the site's folder.
fn scenario(site: &Site, text: &str) -> String {
    let path = site.path("scenario.toml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_end_of_a_meeting_ends_the_recording_with_its_reason() {
    let site = Site::new().await;
    for (step, expected) in [
        ("do = \"end_meeting\"", "meeting_ended"),
        ("do = \"remove\"", "attendee_removed"),
        ("do = \"status\"\nstatus = 301", "joined_elsewhere"),
        ("do = \"leave\"\nwho = \"a\"", "room_empty"),
    ] {
        let file = scenario(
            &site,
            // What AWS itself has in a meeting is nobody.
            &format!(
                "[[participant]]\nid = \"a\"\n[[participant]]\nid = \"pipeline\"\n\
                 external_user_id = \"aws:MediaPipeline-1\"\ncamera = false\n\
                 [[step]]\nat = \"3s\"\n{step}\n"
            ),
        );
        let flags = ["--scenario", &file, "--empty-timeout", "1s", "--size", "640x360"];
        let ended = site.run(site.local(&flags)).await;
        assert_eq!(reason(&ended), json!({ "stopped": expected }), "{}", ended.log);
        assert_eq!(ended.status.code(), Some(0));
        let report = ended.report();
        assert_eq!(report["attendees"].as_array().unwrap().len(), 1, "{report}");
        let seconds = report["duration_seconds"].as_f64().unwrap();
        assert!(seconds > 1.0, "{seconds}");
    }
    assert_eq!(site.objects().len(), 4);
}

#[tokio::test]
async fn who_joined_without_sound_is_there_for_as_long_as_they_are_seen() {
    let site = Site::new().await;
    let file = scenario(
        &site,
        "[[participant]]\nid = \"a\"\nsound = false\n\
         [[step]]\nat = \"3s\"\ndo = \"camera_off\"\nwho = \"a\"\n",
    );
    let flags = ["--scenario", &file, "--empty-timeout", "1s", "--size", "640x360"];
    let ended = site.run(site.local(&flags)).await;
    let report = ended.report();
    assert_eq!(reason(&ended), json!({ "stopped": "room_empty" }), "{}", ended.log);
    assert_eq!(report["attendees"][0]["name"], "a", "{report}");
    let shown = report["tiles"].as_array().unwrap();
    assert!(shown.iter().any(|scene| scene["tiles"].as_array().unwrap().len() == 1), "{report}");
}

#[tokio::test]
async fn what_happens_in_the_meeting_is_in_the_report() {
    let site = Site::new().await;
    let name = "<img src=x onerror=alert(1)> \u{202e}evil 👩‍💻 ".repeat(250);
    let file = scenario(
        &site,
        &format!(
            "[[participant]]\nid = \"a\"\nname = '''{name}'''\nexternal_user_id = \"~>?é {}\"\n\
             [[participant]]\nid = \"b\"\npresent = false\n\
             [[step]]\nat = \"2s\"\ndo = \"join\"\nwho = \"b\"\n\
             [[step]]\nat = \"3s\"\ndo = \"share_on\"\nwho = \"b\"\n\
             [[step]]\nat = \"5s\"\ndo = \"camera_off\"\nwho = \"a\"\n\
             [[step]]\nat = \"6s\"\ndo = \"drop\"\nwho = \"b\"\n\
             [[step]]\nat = \"8s\"\ndo = \"end_meeting\"\n",
            "x".repeat(59)
        ),
    );
    let ended = site.run(site.local(&["--scenario", &file])).await;
    let report = ended.report();
    assert_eq!(reason(&ended), json!({ "stopped": "meeting_ended" }), "{}", ended.log);
    let stays = report["attendees"].as_array().unwrap();
    assert_eq!(stays.len(), 2, "{report}");
    assert!(stays[0]["name"].as_str().unwrap().starts_with("<img src=x onerror=alert(1)>"));
    assert_eq!(stays[0]["external_user_id"].as_str().unwrap().chars().count(), 64);
    assert_eq!((&stays[1]["name"], &stays[1]["dropped"]), (&json!("b"), &json!(true)));
    let (joined, left) =
        (stays[1]["joined_seconds"].as_f64().unwrap(), stays[1]["left_seconds"].as_f64().unwrap());
    assert!((left - joined - 4.0).abs() < 1.0, "there from {joined} to {left}");
    let scenes: Vec<Vec<bool>> = report["tiles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|scene| {
            let tiles = scene["tiles"].as_array().unwrap();
            tiles.iter().map(|tile| tile["content"].as_bool().unwrap()).collect()
        })
        .collect();
    let scenes = |wanted: &[bool]| scenes.iter().any(|scene| scene == wanted);
    assert!(scenes(&[false]) && scenes(&[false, false]), "{report}");
    assert!(scenes(&[true, false, false]) && scenes(&[true, false]), "{report}");
}

#[tokio::test]
async fn a_page_that_crashes_is_opened_again_into_the_same_file() {
    let site = Site::new().await;
    let mut running = site.start(site.local(&["--participants", "2", "--size", "640x360"]));
    running.logged(RECORDING).await;
    // Some seconds of it are in the file: the second speaker has had a turn.
    running.logged_times("\"speakers\":", 3).await;
    running.process("Isolated Web Co").kill(Signal::KILL);
    running.logged_times(LIVE, 2).await;
    running.signal(Signal::TERM);
    let ended = running.ended().await;
    let report = ended.report();
    assert_eq!(reason(&ended), json!({ "stopped": "signal" }), "{}", ended.log);
    let gaps = report["reconnects"].as_array().unwrap();
    assert_eq!(gaps.len(), 1, "{report}");
    let (from, to) =
        (gaps[0]["from_seconds"].as_f64().unwrap(), gaps[0]["to_seconds"].as_f64().unwrap());
    assert!(to > from, "{report}");
    // The picture stands still meanwhile: no crash page, no desktop.
    let path = site.object();
    let whole = [0, 0, 640, 360];
    let before = film::grey(&path, (from - 0.1).max(0.0), whole, 64, 36);
    let during = film::grey(&path, f64::midpoint(from, to), whole, 64, 36);
    let differing = before.iter().zip(&during).filter(|(a, b)| a.abs_diff(**b) > 40).count();
    assert!(differing < 64 * 36 / 10, "{differing} of {} points differ", 64 * 36);
    Film::open(&path);
}

#[tokio::test]
async fn a_local_recording_joins_a_meeting_that_another_process_holds() {
    let site = Site::new().await;
    let mut meeting = site.start(site.recorder(&["meeting", "--participants", "2"]));
    let told: Value = serde_json::from_str(&meeting.first_line().await).unwrap();
    let mut command = site.local(&["--duration", "2s", "--size", "640x360"]);
    for name in ["CHIME_MEETING_DATA", "CHIME_ATTENDEE_DATA"] {
        command.env(name, told[name].as_str().unwrap());
    }
    let mut running = site.start(command);
    running.logged("recording complete").await;
    meeting.signal(Signal::TERM);
    let ended = running.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let report = ended.report();
    let there = report["attendees"].as_array().unwrap().iter().map(|one| one["name"].clone());
    assert_eq!(there.collect::<Vec<_>>(), ["Alice", "Bob"], "{report}");
    Film::open(&site.object());
}

#[tokio::test]
async fn a_container_records_a_meeting_whose_server_is_killed_and_comes_back() {
    let site = Site::new().await;
    let credentials = Credentials { access_key: "key".into(), secret_key: "secret".into() };
    let store = Server::start(&site.output(), credentials).await.unwrap();
    let (port, id) = (free_ports(1)[0].to_string(), "~>?é 会".to_owned() + &"x".repeat(58));
    let serve = || {
        let mut command = site.recorder(&["meeting", "--port", &port, "--meeting-id", &id]);
        command.args(["--participants", "2"]);
        site.start(command)
    };
    let mut meeting = serve();
    let told: Value = serde_json::from_str(&meeting.first_line().await).unwrap();

    // Nothing but what a task is given, and where the store is.
    let mut command = site.recorder(&[]);
    command.env("TASK_TYPE", "RECORDING");
    for name in ["CHIME_MEETING_DATA", "CHIME_ATTENDEE_DATA"] {
        command.env(name, told[name].as_str().unwrap());
    }
    command
        .env("RECORDING_SCREEN_WIDTH", "640")
        .env("RECORDING_SCREEN_HEIGHT", "360")
        .env("RECORDING_FILE_NAME", "a/call.mp4")
        .env("RECORDER_LOG", "debug");
    for (name, value) in [
        ("RECORDING_BUCKET_NAME", BUCKET),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("RECORDER_S3_ENDPOINT", &store.endpoint()),
    ] {
        command.env(name, value);
    }
    let mut running = site.start(command);
    running.logged(RECORDING).await;
    meeting.signal(Signal::KILL);
    running.logged("Reconnecting").await;
    let meeting = serve();
    running.logged_times(LIVE, 2).await;
    running.signal(Signal::TERM);
    running.logged("recording complete").await;
    meeting.signal(Signal::TERM);
    let ended = running.ended().await;
    let report = ended.report();
    assert_eq!(reason(&ended), json!({ "stopped": "signal" }), "{}", ended.log);
    let [gap] = &report["reconnects"].as_array().unwrap()[..] else { panic!("{report}") };
    let speeches = report["speakers"].as_array().unwrap();
    let seconds = |of: &Value, name: &str| of[name].as_f64().unwrap();
    for speech in speeches {
        let is_before = seconds(speech, "to_seconds") <= seconds(gap, "from_seconds");
        let is_after = seconds(speech, "from_seconds") >= seconds(gap, "to_seconds");
        assert!(is_before || is_after, "{speech} while nobody could be heard: {gap}");
    }
    assert!(!speeches.is_empty(), "{report}");
    assert_eq!(report["object"]["key"], "a/call.mp4");
    let token = {
        use base64::Engine as _;
        let json =
            base64::prelude::BASE64_STANDARD.decode(told["CHIME_ATTENDEE_DATA"].as_str().unwrap());
        let attendee: Value = serde_json::from_slice(&json.unwrap()).unwrap();
        attendee["JoinToken"].as_str().unwrap().to_owned()
    };
    assert!(!ended.log.contains(&token), "the join token is in the log");
    assert_eq!(meeting.ended().await.status.code(), Some(0));
}

#[tokio::test]
async fn a_recording_begins_when_every_tile_has_its_picture() {
    let site = Site::new().await;
    let ended = site.run(site.local(&["--participants", "4", "--share", "--duration", "1s"])).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    // The shared slide is nearly white, the tile without it nearly black.
    let [slide] = film::grey(&site.object(), 0.0, [400, 300, 400, 200], 1, 1)[..] else { panic!() };
    assert!(slide > 128, "{slide}");
}

#[tokio::test]
async fn a_meeting_needs_no_network_but_loopback() {
    let site = Site::new().await;
    let mut command = site.program("unshare");
    let script = "ip link set lo up && ip address add 192.0.2.10/32 dev lo && \
        ip route add default dev lo src 192.0.2.10 && exec \"$@\"";
    command.args(["--net", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_recorder")).args(["--local", "--output"]).arg(site.output());
    command.args(["--participants", "2", "--duration", "3s", "--size", "640x360"]);
    let ended = site.run(command).await;
    let report = ended.report();
    assert_eq!(reason(&ended), json!({ "stopped": "duration" }), "{}", ended.log);
    assert_eq!(report["attendees"].as_array().unwrap().len(), 2);

    let mut command = site.program("unshare");
    command.args(["--net", "--map-root-user"]).arg(env!("CARGO_BIN_EXE_recorder"));
    command.args(["--local", "--participants", "2"]);
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.log.contains("ip route add default dev lo"), "{}", ended.log);
}

#[tokio::test]
async fn a_meeting_that_is_not_there_is_refused_with_its_reason() {
    let site = Site::new().await;
    let file =
        scenario(&site, "[[participant]]\nid = \"a\"\n[[step]]\nat = 0\ndo = \"end_meeting\"\n");
    let missing = site.path("no-page");
    let mut command = site.local(&["--participants", "1"]);
    command.env("RECORDER_MEETING_PAGE", &missing);
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.log.contains("npm run build"), "{}", ended.log);
    // Whoever counts reports hears of it.
    let report = ended.report();
    assert_eq!((&report["media"], &report["blame"]), (&json!("nothing"), &json!("recorder")));
    assert_eq!(report["end"]["failed"]["stage"], "start", "{report}");

    let ended = site.run(site.local(&["--scenario", "/no/such/file.toml"])).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.log.contains("/no/such/file.toml"), "{}", ended.log);

    std::fs::write(&file, "[[participant]]\nid = \"a\"\n[[step]]\nat = 0\ndo = \"dance\"\n")
        .unwrap();
    let ended = site.run(site.local(&["--scenario", &file])).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.log.contains("dance"), "{}", ended.log);
}

/// A page that says what it is told of its rhythm, and draws in each turn.
const TOLD: &str = r#"<!doctype html><title>told</title><div style="height: 100vh"></div><script>
    const token = new URLSearchParams(location.search).get("worker");
    const socket = new WebSocket(`ws://${location.host}/worker/${token}`);
    const tell = (message) => socket.send(JSON.stringify(message));
    socket.onopen = () => {
        tell({ type: "hello", version: 1 });
        tell({ type: "state", state: "live" });
    };
    socket.onmessage = ({ data }) => {
        const { type, drawnUs, shownUs } = JSON.parse(data);
        const times = [performance.timeOrigin * 1000, drawnUs, Date.now() * 1000, shownUs];
        const message = `rhythm-heard ${times.map(Math.round).join(" ")} end`;
        if (type === "rhythm") tell({ type: "log", level: "warn", message });
    };
    let turns = 0;
    const draw = () => {
        document.querySelector("div").style.background = turns++ % 2 ? "navy" : "teal";
        requestAnimationFrame(draw);
    };
    draw();
</script>"#;

#[tokio::test]
async fn a_page_is_told_when_what_it_draws_is_shown() {
    let site = Site::new().await;
    let page = site.path("told");
    std::fs::create_dir(&page).unwrap();
    std::fs::write(page.join("index.html"), TOLD).unwrap();
    let mut command = site.local(&["--participants", "1", "--duration", "4s"]);
    command.env("RECORDER_MEETING_PAGE", &page);
    let ended = site.run(command).await;
    let told: Vec<Vec<i64>> = ended
        .log
        .split("rhythm-heard ")
        .filter_map(|text| text.split_once(" end"))
        .map(|(times, _)| times.split(' ').map(|time| time.parse().unwrap()).collect())
        .collect();
    assert!(!told.is_empty(), "{}", ended.log);
    for times in told {
        let [opened, drawn, now, shown] = times[..] else { panic!("{times:?}") };
        assert!(opened < drawn && drawn < now + 1000, "{times:?}");
        assert!((shown - drawn).abs() < 33_334, "{times:?}");
    }
}

/// Threads for scripts of workers in the processes of pages, if there is one of a page.
fn workers_of_pages(site: &Site) -> Option<usize> {
    let pages = processes::marked(&site.path("")).into_iter();
    let pages = pages.filter(|process| process.name.starts_with("Isolated Web"));
    let workers = |page: Process| {
        let threads = std::fs::read_dir(format!("/proc/{}/task", page.pid.as_raw_nonzero()));
        let names = threads.unwrap().map(|thread| {
            std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default()
        });
        names.filter(|name| name.trim_end() == "DOM Worker").count()
    };
    pages.map(workers).reduce(std::ops::Add::add)
}

#[tokio::test]
async fn where_processors_are_short_no_picture_is_received_that_is_larger_than_its_tile() {
    const MEETING: &str = "m";
    let site = Site::new().await;
    let media = Path::new(env!("CARGO_TARGET_TMPDIR")).join("meeting");
    let options = Options { port: None, media_address: None, media };
    let server = test_meeting::Server::start(options).await.unwrap();
    let names =
        MeetingNames { meeting_id: Some(MEETING.into()), external_meeting_id: MEETING.into() };
    let hosted = server.host(Scenario::standard(4, false), names).await.unwrap();
    let encoded = |value: &Value| Secret::new(BASE64_STANDARD.encode(value.to_string()));
    let input = Input {
        meeting: encoded(&hosted.meeting),
        attendee: encoded(&hosted.attendee),
        names: hosted.names,
        look: Look::default(),
    };
    let rules = Rules { empty: Duration::from_mins(1), nobody: Duration::from_mins(1) };
    let mut meeting = Meeting::start(Path::new(&meeting_page()), input, rules).await.unwrap();
    let relief = meeting.relief();

    let firefox = |profile: &str, page: &str| {
        let profile = site.path(profile);
        std::fs::create_dir(&profile).unwrap();
        let sound = "user_pref(\"media.autoplay.default\", 0);\n";
        std::fs::write(profile.join("user.js"), sound).unwrap();
        let mut command = site.program("firefox-esr");
        command.args(["--headless", "--width", "1920", "--height", "1080", "--profile"]);
        command.arg(profile).arg(page).spawn().unwrap()
    };
    let widths = || {
        let clients = server.described(MEETING).unwrap()["clients"].clone();
        clients[0]["pictureWidths"].as_array().unwrap().clone()
    };
    let mut browser = firefox("first", meeting.open().as_str());
    meeting.live().await.unwrap();
    let all = |width: u32| (widths() == vec![json!(width); 4]).then_some(());
    until("the encodings that fit the tiles", || all(1280)).await;
    // Nor do the pictures go through a script.
    assert_eq!(workers_of_pages(&site), Some(0));
    relief.send_replace(true);
    until("smaller ones", || all(640)).await;

    // A page that is opened again hears it, too.
    browser.kill().await.unwrap();
    until("nothing is sent", || (widths().len() != 4).then_some(())).await;
    let mut browser = firefox("second", meeting.open().as_str());
    meeting.live().await.unwrap();
    until("smaller ones again", || all(640)).await;
    relief.send_replace(false);
    until("the usual ones again", || all(1280)).await;
    browser.kill().await.unwrap();
    server.stop();
}

#[tokio::test]
async fn a_meeting_that_is_being_prepared_is_stopped_at_once() {
    let site = Site::new().await;
    let mut command = site.local(&["--participants", "25"]);
    // Where it has to make all that they show and say.
    command.env("XDG_CACHE_HOME", site.path("cache"));
    let mut recorder = site.start(command);
    recorder.logged(r#""message":"recorder""#).await;
    recorder.signal(Signal::INT);
    let ended = recorder.ended().await;
    let report = ended.report();
    assert_eq!(report["end"], json!({ "stopped": "signal" }), "{report}");
    assert_eq!((&report["media"], &report["times"]["phases"]), (&json!("nothing"), &json!([])));
}
