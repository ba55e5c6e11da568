//! What goes wrong around a recording: each fault is made with the real parts,
//! and the recorder has to say truthfully what became of the recording.
//!
//! That nothing is left running or lying about is checked after every run, by
//! `support::recorder`.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::time::Duration;

use recorder::local::{BUCKET, Credentials, Server};
use recorder::upload::spool;
use rustix::process::Signal;
use serde_json::json;
use test_media::analysis::analyse;

use crate::support::film::Film;
use crate::support::pages::{self, Answer, Pages};
use crate::support::recorder::{Ended, RECORDING, Site};

#[tokio::test]
async fn a_program_that_is_missing_or_fails_is_named_and_nothing_is_recorded() {
    let site = Site::new().await;
    let broken = site.path("broken-server");
    std::fs::write(&broken, "#!/bin/sh\necho no such screen >&2\nexit 3\n").unwrap();
    std::fs::set_permissions(&broken, std::fs::Permissions::from_mode(0o755)).unwrap();
    let broken = broken.to_str().unwrap();
    for (flag, program, stage, said) in [
        ("--firefox", "/nowhere/firefox", "browser", "apt-get install firefox-esr"),
        ("--geckodriver", "no-such-driver", "browser", "cargo install --locked geckodriver"),
        ("--xvfb", "/nowhere/Xvfb", "display", "apt-get install xvfb"),
        ("--pulseaudio", "no-such-server", "sound", "apt-get install pulseaudio"),
        ("--xvfb", broken, "display", "exit status: 3"),
        ("--xvfb", broken, "display", "no such screen"),
    ] {
        let ended = site.run(site.local(&[flag, program])).await;
        assert_nothing_recorded(&site, &ended, stage, "recorder", said);
    }
}

#[tokio::test]
async fn an_element_of_gstreamer_that_is_missing_is_named_with_its_package() {
    let site = Site::new().await;
    let mut command = site.local(&[]);
    command
        .env("GST_PLUGIN_SYSTEM_PATH_1_0", site.path("no-plugins"))
        .env("GST_REGISTRY", site.path("registry"));
    let ended = site.run(command).await;
    let said = "x264enc (Debian package gstreamer1.0-plugins-ugly)";
    assert_nothing_recorded(&site, &ended, "capture", "recorder", said);
}

#[tokio::test]
async fn a_page_that_does_not_load_is_not_filmed() {
    let site = Site::new().await;
    let deserted = pages::deserted().await;
    for (address, said) in [
        ("http://no-such-host.invalid/", "its host name is not known"),
        (&deserted, "the connection was refused"),
        ("file:///no/such/page.html", "there is no such file"),
    ] {
        let ended = site.run(site.local(&["--url", address])).await;
        assert_nothing_recorded(&site, &ended, "page", "request", said);
    }
    for (answer, said) in [
        (Answer::Status(404), "HTTP status 404"),
        (Answer::Status(500), "HTTP status 500"),
        (Answer::HangUp, "the connection was cut"),
        (Answer::Silence, "had not finished loading after 3s (--page-timeout)"),
        (Answer::Endless, "had not finished loading after 3s (--page-timeout)"),
    ] {
        let pages = Pages::serve(answer).await;
        let command = site.local(&["--url", &pages.url(), "--page-timeout", "3s"]);
        let ended = site.run(command).await;
        assert_nothing_recorded(&site, &ended, "page", "request", said);
    }
}

#[tokio::test]
async fn a_bucket_that_cannot_be_written_is_known_before_the_browser_is_up() {
    let site = Site::new().await;
    let credentials = |secret: &str| Credentials {
        access_key: "somebody".to_owned(),
        secret_key: secret.to_owned(),
    };
    let server = Server::start(&site.output(), credentials("right")).await.unwrap();
    for (bucket, secret, said) in
        [("no-such-bucket", "right", "NoSuchBucket"), (BUCKET, "wrong", "SignatureDoesNotMatch")]
    {
        let mut command =
            site.recorder(&["--url", "http://no-such-host.invalid/", "--key", "a.mp4"]);
        command.args(["--log", "debug", "--bucket", bucket, "--s3-endpoint", &server.endpoint()]);
        command.env("AWS_ACCESS_KEY_ID", "somebody").env("AWS_SECRET_ACCESS_KEY", secret);
        let ended = site.run(command).await;
        assert_nothing_recorded(&site, &ended, "upload", "destination", said);
        // It is started when Firefox is up.
        assert!(!ended.log.contains("geckodriver"), "{}", ended.log);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_full_disk_ends_a_recording_with_the_reason() {
    let site = Site::new().await;
    std::fs::create_dir(site.output()).unwrap();
    // The file system is seen by the recorder alone and goes with it.
    let mount = "mount -t tmpfs -o size=64k recorder \"$0\" && exec \"$@\"";
    let mut command = site.program("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "sh", "-c", mount]).arg(site.output());
    command.arg(env!("CARGO_BIN_EXE_recorder")).args(["--local", "--duration", "3s"]);
    command.arg("--output").arg(site.output());
    let ended = site.start(command).ended_with_leftovers().await;
    let report = ended.report();
    assert_eq!(ended.status.code(), Some(4), "{report}");
    assert_eq!(report["media"], "upload_open");
    assert_eq!(report["blame"], "destination", "{report}");
    let problem = &report["problems"][0]["failed"];
    assert_eq!(problem["stage"], "upload", "{report}");
    assert!(problem["message"].as_str().unwrap().contains("no space left"), "{report}");
    // Nothing of it was stored, and all of it was kept.
    let folder = report["object"]["spool"].as_str().unwrap_or_else(|| panic!("{report}"));
    let folder = Path::new(folder);
    assert!(!spool::Manifest::read(folder).unwrap().is_sent);
    assert_eq!(spool::parts(folder).unwrap().into_keys().collect::<Vec<_>>(), [1]);
    let part = std::fs::read(spool::part(folder, 1)).unwrap();
    assert_eq!(&part[4..8], b"ftyp");
    site.clear_tmp();
}

#[tokio::test]
async fn what_was_recorded_is_kept_when_a_program_dies() {
    let site = Site::new().await;
    for (program, stage) in [
        ("pulseaudio", "sound"),
        ("Xvfb", "display"),
        ("firefox-esr", "browser"),
        ("geckodriver", "browser"),
        // The page's own process, which Firefox outlives.
        ("file:// Content", "browser"),
    ] {
        let key = format!("{}.mp4", program.replace(['/', ':'], ""));
        let mut recorder = site.start(site.local(&["--size", "640x360", "--key", &key]));
        recorder.logged(RECORDING).await;
        recorder.process(program).kill(Signal::KILL);
        let ended = recorder.ended().await;
        let report = ended.report();
        assert_eq!(ended.status.code(), Some(3), "{program}: {report}\n{}", ended.log);
        assert_eq!(report["end"]["failed"]["stage"], stage, "{program}: {report}");
        assert_eq!(report["blame"], "recorder");
        let object = site.output().join(key);
        Film::open(&object);
        // What stands in the page's place is not in it: neither a crash page nor the desktop.
        let numbers = analyse(&object, None).unwrap().numbers;
        assert!(numbers.distinct > 0 && numbers.unreadable == 0, "{program}: {numbers:?}");
        assert!(site.open_uploads().is_empty());
    }
}

#[tokio::test]
async fn a_page_that_crashes_while_nobody_asks_it_is_noticed() {
    let site = Site::new().await;
    let mut recorder = site.start(site.local(&["--size", "640x360"]));
    recorder.logged(RECORDING).await;
    let driver = recorder.process("geckodriver");
    driver.kill(Signal::STOP);
    // So long a question waits for its answer (HEARTBEAT in page.rs); the next one comes later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    recorder.process("file:// Content").kill(Signal::KILL);
    driver.kill(Signal::CONT);
    let ended = recorder.ended().await;
    let report = ended.report();
    assert_eq!(ended.status.code(), Some(3), "{report}\n{}", ended.log);
    assert_eq!(report["end"]["failed"]["stage"], "browser", "{report}");
    let message = report["end"]["failed"]["message"].as_str().unwrap();
    assert!(message.contains("as after a crash"), "{report}");
    Film::open(&site.object());
}

/// When to stop a recorder that has only just been started.
#[derive(Clone, Copy, Debug)]
enum Moment {
    After(Duration),
    Started(&'static str),
}

#[tokio::test]
async fn a_stop_while_it_starts_ends_it_at_once_and_leaves_nothing() {
    let site = Site::new().await;
    // So that no moment is too late.
    let pages = Pages::serve(Answer::Silence).await;
    let moments = [0, 50, 150, 300].map(|millis| Moment::After(Duration::from_millis(millis)));
    for moment in moments
        .into_iter()
        .chain(["Xvfb", "PulseAudio", "Firefox", "geckodriver"].map(Moment::Started))
    {
        let mut recorder = site.start(site.local(&["--url", &pages.url()]));
        match moment {
            Moment::After(duration) => tokio::time::sleep(duration).await,
            Moment::Started(child) => {
                recorder.logged(&format!(r#""message":"child started","child":"{child}""#)).await;
            }
        }
        recorder.signal(Signal::TERM);
        let ended = recorder.ended().await;
        assert!(site.objects().is_empty() && site.open_uploads().is_empty(), "{moment:?}");
        if ended.status.signal() == Some(Signal::TERM.as_raw()) {
            // It came before the process could listen, and before it did anything.
            assert_eq!((ended.log.as_str(), ended.stdout.as_str()), ("", ""), "{moment:?}");
            continue;
        }
        let report = ended.report();
        assert_eq!(ended.status.code(), Some(0), "{moment:?}: {report}");
        assert_eq!(report["end"], json!({ "stopped": "signal" }), "{moment:?}");
        assert_eq!(report["media"], "nothing", "{moment:?}");
        assert_eq!(report["problems"], json!([]), "{moment:?}");
    }
}

fn assert_nothing_recorded(site: &Site, ended: &Ended, stage: &str, blame: &str, said: &str) {
    let report = ended.report();
    assert_eq!(ended.status.code(), Some(1), "{said}: {report}");
    assert_eq!(report["media"], "nothing", "{said}: {report}");
    let failed = &report["end"]["failed"];
    assert_eq!(failed["stage"], stage, "{said}: {report}");
    assert_eq!(report["blame"], blame, "{said}: {report}");
    assert!(failed["message"].as_str().unwrap().contains(said), "{said}: {report}");
    assert!(site.objects().is_empty() && site.open_uploads().is_empty(), "{said}");
}
