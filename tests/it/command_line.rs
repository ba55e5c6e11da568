//! The process as it is called: by a container's variables or by flags, and what
//! it says on which stream.

use std::os::unix::fs::symlink;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use recorder::local::{BUCKET, Credentials, Server};
use rustix::process::Signal;
use serde_json::json;
use tokio::process::Command;

use crate::support::film::Film;
use crate::support::pages::{Answer, Pages};
use crate::support::recorder::{RECORDING, Site};

/// What must be seen nowhere. Looks like the tokens of Chime, which are base64.
const TOKEN: &str = "QXR0ZW5kZWVKb2luVG9rZW4tU0VDUkVULU1BUktFUi0xMjM0NTY3ODkw";
const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const KEY: &str = "RECORDINGS/2026/11/22/18/a call.mp4";

/// A page that talks about its address, as many do.
const TALKATIVE: &str = "<!doctype html><body style='background: #336699'><script>
    console.log('opened', location.href);
    console.error(location.search);
    setTimeout(() => { throw new Error('at ' + location.href) });
    fetch('/nothing' + location.search);</script>";

#[tokio::test]
async fn a_pre_warm_task_says_one_line_and_starts_nothing() {
    let site = Site::new().await;
    let mut command = site.recorder(&[]);
    // Neither programs nor settings are looked at.
    command.env("TASK_TYPE", "PRE_WARM").env("PATH", "/nowhere").env("TMPDIR", "/nowhere");
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.log.lines().count(), 1, "{}", ended.log);
}

#[tokio::test]
async fn all_that_is_wrong_with_the_settings_is_said_at_once() {
    let site = Site::new().await;
    let mut command = site.recorder(&["--fps", "many", "--duration", "10"]);
    command.env("RECORDER_URL", "ftp://example.com/").env("RECORDING_SCREEN_WIDTH", "wide");
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    assert_eq!(ended.stdout, "");
    for told in [
        "--fps",
        "many",
        "--duration",
        "30s",
        "RECORDER_URL",
        "ftp://example.com/",
        "RECORDING_SCREEN_WIDTH",
        "wide",
        "RECORDING_BUCKET_NAME",
        "RECORDING_FILE_NAME",
        "AWS_REGION",
    ] {
        assert!(ended.log.contains(told), "{told} is not in {}", ended.log);
    }
}

#[tokio::test]
async fn a_flag_that_does_not_exist_is_a_wrong_setting() {
    let site = Site::new().await;
    let ended = site.run(site.recorder(&["--local", "--no-such-flag"])).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    assert_eq!(ended.stdout, "");
    assert!(ended.log.contains("--no-such-flag"), "{}", ended.log);
}

#[tokio::test]
async fn the_bench_is_the_program_beside_it() {
    let site = Site::new().await;
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let recorder = dir.path().join("recorder");
    std::fs::hard_link(env!("CARGO_BIN_EXE_recorder"), &recorder).unwrap();
    let asked = ["bench", "--workload", "clip", "--help"];
    let mut command = site.program(recorder.to_str().unwrap());
    command.args(asked);
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("cargo build -p test-media --bin bench"), "{}", ended.log);

    symlink("/bin/echo", dir.path().join("bench")).unwrap();
    let mut command = site.program(recorder.to_str().unwrap());
    command.args(asked);
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let told = format!("--recorder {} --workload clip --help", recorder.display());
    assert_eq!(ended.stdout.trim(), told);
}

#[tokio::test]
async fn a_container_records_into_its_bucket_and_tells_no_secret() {
    let site = Site::new().await;
    let pages = Pages::serve(Answer::Html(TALKATIVE)).await;
    let credentials =
        Credentials { access_key: ACCESS_KEY.to_owned(), secret_key: SECRET_KEY.to_owned() };
    let server = Server::start(&site.output(), credentials).await.unwrap();
    let mut recorder = site.start(container(&site, &server, &pages));
    recorder.logged(RECORDING).await;
    let secrets = [TOKEN, SECRET_KEY, &joined("AttendeeId"), &joined("MeetingId")];
    for process in recorder.processes() {
        let arguments = process.arguments.join(" ");
        for secret in secrets {
            assert!(!arguments.contains(secret), "{arguments}");
        }
        let is_recorder = process.pid == recorder.pid();
        assert!(is_recorder || process.variable("AWS_SECRET_ACCESS_KEY").is_none(), "{process:?}");
    }
    // That is how ECS stops a task.
    recorder.signal(Signal::TERM);
    let ended = recorder.ended().await;
    server.stop().await;

    let report = ended.report();
    assert_eq!(ended.status.code(), Some(0), "{report}");
    assert_eq!(report["end"], json!({ "stopped": "signal" }));
    assert_eq!(report["object"]["bucket"], BUCKET);
    assert_eq!(report["object"]["key"], KEY);
    let film = Film::open(&site.output().join(KEY));
    assert_eq!((&film.video["width"], &film.video["height"]), (&json!(640), &json!(360)));
    // The page was heard, so there was something to mask.
    assert!(ended.log.contains("console.log: \\\"opened\\\""), "{}", ended.log);
    for secret in secrets {
        assert!(!ended.stdout.contains(secret), "{}", ended.stdout);
        let lines: Vec<_> = ended.log.lines().filter(|line| line.contains(secret)).collect();
        assert!(lines.is_empty(), "{lines:#?}");
    }
}

/// The recorder as ECS starts it: told everything by variables.
fn container(site: &Site, server: &Server, pages: &Pages) -> Command {
    let mut command = site.recorder(&[]);
    command
        .env("CHIME_MEETING_DATA", joined("MeetingId"))
        .env("CHIME_ATTENDEE_DATA", joined("AttendeeId"))
        .env("RECORDING_BUCKET_NAME", BUCKET)
        .env("RECORDING_FILE_NAME", KEY)
        .env("RECORDING_SCREEN_WIDTH", "640")
        .env("RECORDING_SCREEN_HEIGHT", "360")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("RECORDER_S3_ENDPOINT", server.endpoint())
        .env("RECORDER_URL", format!("{}?token={TOKEN}#{TOKEN}", pages.url()))
        .env("RECORDER_LOG", "trace");
    command
}

/// Join data with the token in it, encoded as the variables want it.
fn joined(id: &str) -> String {
    BASE64_STANDARD.encode(json!({ id: "1234", "JoinToken": TOKEN }).to_string())
}

#[tokio::test]
async fn nothing_is_recovered_where_nothing_is() {
    let site = Site::new().await;
    let missing = site.path("no-such-folder");
    let mut command = site.recorder(&["recover", "--local", "--all", "--output"]);
    command.arg(&missing);
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("no-such-folder"), "{}", ended.log);
    assert!(!missing.exists());
    // Nor is it looked for in the bucket of the environment.
    let mut command = site.recorder(&["recover", "--all", "--output", "films"]);
    command.env("RECORDING_BUCKET_NAME", BUCKET).env("AWS_REGION", "eu-central-1");
    let ended = site.run(command).await;
    assert_eq!(ended.status.code(), Some(2), "{}", ended.log);
    assert!(ended.log.contains("--output"), "{}", ended.log);
}

#[tokio::test]
async fn a_name_that_no_file_can_have_is_refused_before_anything_is_started() {
    let site = Site::new().await;
    for key in ["a//b.mp4", ".uploads/a.mp4"] {
        let ended = site.run(site.local(&["--key", key])).await;
        assert_eq!(ended.status.code(), Some(2), "{key}: {}", ended.log);
        assert!(ended.log.contains("--key"), "{}", ended.log);
    }
}
