//! No recording is lost: each fault with many seeds, real processes and a real S3
//! server, through a proxy that makes the fault. After each the film exists or can
//! be recovered, is clean, and has what it must have.
//!
//! The recorder is `examples/feed.rs`: the same writer, muxer and upload, fed with
//! an encoded film faster than real time. `RECORDER_FAULT_SEEDS` sets how many seeds
//! each fault gets; `./dev faults` gives it many, and troubles that last minutes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::Client;
use recorder::config::environment;
use recorder::local::{BUCKET, Credentials, Server};
use recorder::recovery::bucket::Bucket;
use recorder::recovery::{self, Outcome, Rules};
use recorder::verify::verify;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::film::Film;
use crate::support::pages::{Answer, Pages};
use crate::support::proxy::{Fault, Proxy, Weather};
use crate::support::ranges::Player;
use crate::support::recorder::{RECORDING, Running, Site};
use crate::support::servers::{ACCESS_KEY, EncryptingStore, SECRET_KEY, client};
use crate::support::{HANGS, until};

/// Seeds of each fault, unless told otherwise.
const SEEDS: u64 = 20;

/// With more seeds than that a store is away, or its line slow, for up to three
/// minutes instead of three seconds.
const LONG: u64 = 60;

/// Of these the first ones go to each of two other servers, nobody's relation of ours.
const SEEDS_ELSEWHERE: u64 = 3;

/// How many films are fed at once: they mostly wait.
const AT_ONCE: usize = 6;

/// The film is fed so many times faster than it is.
const SPEED: f64 = 10.0;

/// Between checkpoints, in real time.
const CHECKPOINT: Duration = Duration::from_millis(500);

/// What may be lost by a kill, in seconds of film: two checkpoints and the time
/// that a request may take on a machine that has much else to do.
const BOUND: f64 = 30.0;

/// What happens to a recording.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Kill,
    KillAtTheEnd,
    TwoRecoveries,
    Requests(Fault, f64),
    Slow,
    Away,
    AwayAtTheEnd,
    NoRoom,
}

const TROUBLES: [(&str, Trouble); 15] = [
    ("SIGKILL", Trouble::Kill),
    ("SIGKILL during the ending", Trouble::KillAtTheEnd),
    ("two recoveries at once", Trouble::TwoRecoveries),
    ("500 on a third of the requests", Trouble::Requests(Fault::Status(500, "InternalError"), 0.3)),
    ("503 on a third of the requests", Trouble::Requests(Fault::Status(503, "SlowDown"), 0.3)),
    ("expired credentials", Trouble::Requests(Fault::Status(400, "ExpiredToken"), 0.3)),
    ("connection cut in the body", Trouble::Requests(Fault::Reset, 0.3)),
    ("answers lost", Trouble::Requests(Fault::LostAnswer, 0.3)),
    ("requests that arrive late", Trouble::Requests(Fault::Late, 0.3)),
    ("answers that never come", Trouble::Requests(Fault::Never, 0.05)),
    ("completion with 200 and an error", Trouble::Requests(Fault::ErrorWith200, 0.5)),
    ("slow line", Trouble::Slow),
    ("store away for a while", Trouble::Away),
    ("SIGTERM while the store is away", Trouble::AwayAtTheEnd),
    ("store away, no room to wait", Trouble::NoRoom),
];

/// A server to record to, and the film.
#[derive(Debug)]
struct Stage {
    endpoint: String,
    bucket: &'static str,
    client: Client,
    film: PathBuf,
    dir: PathBuf,
    credentials: [String; 2],
    /// How many times longer troubles last than in the fast form.
    lasting: u64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_no_recording_is_lost() {
    let site = Site::new().await;
    let film = site.path("film.mp4");
    make_film(&film);
    let ours = Credentials { access_key: "feed".into(), secret_key: "feed".into() };
    let server = Server::start(&site.output(), ours).await.unwrap();
    let other = EncryptingStore::start(&site.path("")).await;
    let other_client = other.client().await;
    other.create_bucket(&other_client, "films").await;
    let seeds = environment("RECORDER_FAULT_SEEDS").map_or(SEEDS, |text| text.parse().unwrap());
    let lasting = if seeds > SEEDS { LONG } else { 1 };
    let here = Arc::new(Stage {
        lasting,
        endpoint: server.endpoint(),
        bucket: BUCKET,
        client: client(&server.endpoint(), "feed", "feed").await,
        film: film.clone(),
        dir: site.path("tmp"),
        credentials: ["feed".into(), "feed".into()],
    });
    let elsewhere = Arc::new(Stage {
        lasting,
        endpoint: other.endpoint.clone(),
        bucket: "films",
        client: other_client,
        film: film.clone(),
        dir: site.path("tmp"),
        credentials: [ACCESS_KEY.into(), SECRET_KEY.into()],
    });
    let third_client = client(&other.ministack, "test", "test").await;
    third_client.create_bucket().bucket("films").send().await.unwrap();
    let and_there = Arc::new(Stage {
        lasting,
        endpoint: other.ministack.clone(),
        bucket: "films",
        client: third_client,
        film,
        dir: site.path("tmp"),
        credentials: ["test".into(), "test".into()],
    });

    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for (name, trouble) in TROUBLES {
        for seed in 0..seeds {
            let stage = match seed / SEEDS_ELSEWHERE {
                0 => &elsewhere,
                1 => &and_there,
                _ => &here,
            };
            let stage = Arc::clone(stage);
            let room = Arc::clone(&room);
            runs.spawn(async move {
                let _turn = room.acquire_owned().await.unwrap();
                let run = Box::pin(live(&stage, name, trouble, seed));
                let patience = 3 * HANGS + HANGS * 6 * u32::try_from(stage.lasting / LONG).unwrap();
                let run = tokio::time::timeout(patience, run).await;
                let run = run.unwrap_or_else(|_| panic!("{name}, seed {seed}: hangs"));
                (name, run)
            });
        }
    }
    let mut table: BTreeMap<&str, (u32, f64)> = BTreeMap::new();
    while let Some(run) = runs.join_next().await {
        let (name, lost) =
            run.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
        let row = table.entry(name).or_default();
        *row = (row.0 + 1, row.1.max(lost));
    }
    let mut told = "\nfault                              runs  lost at most\n".to_owned();
    for (name, _) in TROUBLES {
        let (runs, lost) = table[name];
        writeln!(told, "{name:<34} {runs:>4}  {lost:>6.2} s of film").unwrap();
    }
    // Not by a macro, whose output a passed test swallows.
    std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes()).unwrap();
    server.stop().await;
}

#[tokio::test]
async fn a_killed_recorder_loses_what_was_not_checkpointed_and_no_more() {
    let site = Site::new().await;
    let arguments = ["--size", "640x360", "--key", "film.mp4", "--checkpoint", "2s"];
    let mut recorder = site.start(site.local(&arguments));
    recorder.logged(RECORDING).await;
    let recover = |what: &[&str]| {
        let mut command = site.recorder(&["recover", "--local", "--output"]);
        command.arg(site.output()).args(what);
        command
    };
    // As long as it lives nobody takes its upload.
    let ended = site.beside(recover(&["--key", "film.mp4"])).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.stdout.contains(r#""outcome":"alive""#), "{}", ended.stdout);
    assert!(ended.log.contains("--force"), "{}", ended.log);

    tokio::time::sleep(Duration::from_secs(8)).await;
    recorder.signal(Signal::KILL);
    recorder.ended().await;
    assert!(site.objects().is_empty() && site.open_uploads().len() == 1);
    // The folder of temporary files of a killed process stays.
    site.clear_tmp();

    // Nor does one whose description was not written stand in the way.
    let broken = site.output().join(".uploads").join("x".repeat(32));
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("upload.json"), "").unwrap();
    let ended = site.run(recover(&["--all"])).await;
    std::fs::remove_dir_all(&broken).unwrap();
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), &told["outcome"]), (Some(0), &"recovered".into()), "{told}");
    assert!(site.open_uploads().is_empty());
    let film = Film::open(&site.object());
    assert!(film.seconds >= 5.0, "of 8 s and more there are {} s", film.seconds);
    let ended = site.run(site.recorder(&["verify", site.object().to_str().unwrap()])).await;
    let found: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((ended.status.code(), &found["form"]), (Some(0), &"plain".into()), "{found}");

    // Another upload of the same name is not put in its place.
    let mut recorder = site.start(site.local(&arguments));
    // The first checkpoint has hardly more than the head of the file in it.
    recorder.logged_times(r#""message":"open part stored""#, 2).await;
    recorder.signal(Signal::KILL);
    recorder.ended().await;
    site.clear_tmp();
    let ended = site.run(recover(&["--all"])).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("there is an object"), "{}", ended.log);
    assert_eq!(site.open_uploads().len(), 1);
    assert_eq!(Film::open(&site.object()).seconds.to_bits(), film.seconds.to_bits());
    let forced = site.run(recover(&["--key", "film.mp4", "--force"])).await;
    assert_eq!(forced.status.code(), Some(0), "{}", forced.log);
    Film::open(&site.object());

    // Again, and there is nothing to do.
    let ended = site.run(recover(&["--key", "film.mp4"])).await;
    assert!(ended.stdout.contains(r#""outcome":"was_complete""#), "{}", ended.stdout);
    let ended = site.run(recover(&["--key", "no-such.mp4"])).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.log.contains("neither an open upload nor an object"), "{}", ended.log);
}

/// A server of the site's folder, and a way to it that may be cut.
async fn server(site: &Site) -> (Server, Proxy) {
    let ours = Credentials { access_key: "film".into(), secret_key: "secret".into() };
    let server = Server::start(&site.output(), ours).await.unwrap();
    let proxy = Proxy::start(&server.endpoint(), 1).await;
    (server, proxy)
}

/// Lets the command use such a server.
fn with(mut command: Command, endpoint: &str) -> Command {
    command
        .args(["--bucket", BUCKET, "--s3-endpoint", endpoint])
        .env("AWS_ACCESS_KEY_ID", "film")
        .env("AWS_SECRET_ACCESS_KEY", "secret");
    command
}

/// Completes when the browser is there and does nothing any more.
async fn browser_rests(recorder: &Running) {
    until("a browser that does nothing any more", || {
        let processes = recorder.processes();
        let mut browser = processes.iter().filter(|process| process.name.contains("firefox"));
        let first = browser.next().expect("the browser is there until the file is closed");
        (first.is_frozen && browser.all(|process| process.is_frozen)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_browser_whose_page_is_over_takes_no_processor_from_what_is_left_to_do() {
    let site = Site::new().await;
    let (server, proxy) = server(&site).await;
    let ends = "<script>setTimeout(() => console.log('END_RECORDING'), 3000)</script>";
    let pages = Pages::serve(Answer::Html(ends)).await;
    let command = site.recorder(&["--url", &pages.url(), "--key", "film.mp4", "--size", "640x360"]);
    let mut recorder = site.start(with(command, &proxy.endpoint));
    recorder.logged(RECORDING).await;
    proxy.set(Weather::Away);
    recorder.logged(r#""state":"Finishing""#).await;
    browser_rests(&recorder).await;
    proxy.set(Weather::Fine);
    let ended = recorder.ended().await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert_eq!(ended.report()["end"]["stopped"], "page_ended");
    server.stop().await;
}

#[tokio::test]
async fn a_stop_while_the_store_is_away_keeps_the_film_on_disk() {
    let site = Site::new().await;
    let (server, proxy) = server(&site).await;
    let page = concat!("file://", env!("CARGO_MANIFEST_DIR"), "/src/local/testpage.html");
    let command = site.recorder(&["--url", page, "--key", "film.mp4", "--size", "640x360"]);
    let mut recorder = site.start(with(command, &proxy.endpoint));
    recorder.logged(RECORDING).await;
    proxy.set(Weather::Away);
    tokio::time::sleep(Duration::from_secs(3)).await;
    recorder.signal(Signal::TERM);
    recorder.logged(r#""state":"Finishing""#).await;
    browser_rests(&recorder).await;
    // Not to wait for the deadline.
    recorder.signal(Signal::TERM);
    let ended = recorder.ended_with_leftovers().await;
    let report = ended.report();
    assert_eq!(ended.status.code(), Some(4), "{report}");
    let spool = report["object"]["spool"].as_str().unwrap_or_else(|| panic!("{report}"));
    let upload = report["object"]["upload_id"].as_str().unwrap();
    for said in [spool, upload, "recorder recover"] {
        assert!(ended.log.contains(said), "{said} in {}", ended.log);
    }
    let command = |spool: &Path| {
        let mut command = site.recorder(&["recover", "--spool"]);
        command.arg(spool);
        with(command, &proxy.endpoint)
    };
    let recover = async |spool: &Path| site.beside(command(spool)).await;
    proxy.set(Weather::Fine);
    // Of another bucket nobody can say what became of it.
    let elsewhere = ["recover", "--spool", spool, "--bucket", "another-bucket", "--region", "r"];
    let mut elsewhere = site.recorder(&elsewhere);
    elsewhere.args(["--s3-endpoint", &proxy.endpoint]);
    let ended = site.beside(elsewhere).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("--bucket recordings"), "{}", ended.log);
    // A folder of which nothing was sent when the upload was completed.
    let late = site.path("late");
    std::fs::create_dir(&late).unwrap();
    for entry in std::fs::read_dir(spool).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), late.join(entry.file_name())).unwrap();
    }
    // Another recording of that name came first.
    let store = client(&server.endpoint(), "film", "secret").await;
    let object = || store.put_object().bucket(BUCKET).key("film.mp4");
    object().body(b"another".to_vec().into()).send().await.unwrap();
    let ended = recover(Path::new(spool)).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("--force"), "{}", ended.log);
    store.delete_object().bucket(BUCKET).key("film.mp4").send().await.unwrap();

    // A recovery ends when it is told to, here while it completes the upload.
    proxy.set(Weather::Held);
    let recovery = site.start(command(Path::new(spool)));
    proxy.held().await;
    recovery.signal(Signal::INT);
    let ended = recovery.ended_with_leftovers().await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("it may be run again"), "{}", ended.log);
    proxy.set(Weather::Fine);
    let ended = recover(Path::new(spool)).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let film = Film::open(&site.object());
    let expected = report["duration_seconds"].as_f64().unwrap();
    assert!((film.seconds - expected).abs() < 0.2, "{} of {expected} s", film.seconds);
    let ended = recover(Path::new(spool)).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(ended.stdout.contains(r#""outcome":"was_complete""#), "{}", ended.stdout);
    let ended = recover(&late).await;
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
    assert!(ended.log.contains("without what is in"), "{}", ended.log);
    site.clear_tmp();
    server.stop().await;
}

/// Ten minutes, through the writer and the store of `--local`, seen by a browser.
#[tokio::test]
async fn a_browser_knows_the_length_at_once_and_seeks_with_few_bytes() {
    let site = Site::new().await;
    let film = site.path("film.mp4");
    make_film(&film);
    let fed = Command::new(feeder())
        .args(["--seconds", "600", "--speed", "0", "--key", "long.mp4", "--output"])
        .arg(site.output())
        .arg("--film")
        .arg(&film)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8(fed.stdout).unwrap();
    let report: Value = serde_json::from_str(told.lines().last().unwrap()).unwrap();
    assert_eq!((&report["outcome"], &report["verified"]), (&"completed".into(), &true.into()));
    let ten_minutes = site.output().join("long.mp4");
    assert_eq!(verify(&ten_minutes).unwrap().problems, Vec::<String>::new());

    let player = Player::serve(&ten_minutes);
    let watching = ["--url", &player.url, "--size", "640x360", "--key", "watched.mp4"];
    let ended = site.run(site.local(&watching)).await;
    assert_jumped_with_few_bytes(&player, &ended.log);

    // It splits a film by other code.
    let player = Player::serve(&ten_minutes);
    let mut chromium = chromium(&player.url, &site.path("chromium")).spawn().unwrap();
    tokio::time::timeout(HANGS, player.told(2)).await.unwrap();
    chromium.kill().await.unwrap();
    assert_jumped_with_few_bytes(&player, "Chromium");
}

fn assert_jumped_with_few_bytes(player: &Player, watched: &str) {
    let log = player.log.borrow();
    let [(duration, before), (jumped, after)] = &log.told[..] else {
        panic!("{:?}\n{watched}", log.told)
    };
    // The sound is half a frame longer.
    assert!(duration.starts_with("duration=600.01"), "{watched}: {duration}");
    assert!(jumped.starts_with("jumped=300"), "{watched}: {jumped}");
    let moov_and_more = 3 << 20;
    assert!(*before < moov_and_more, "{watched}: {before} bytes until the length was known");
    assert!(after - before < 3 << 20, "{watched}: {} bytes for the jump", after - before);
}

/// A window of its own, without what it asks the network for by itself.
fn chromium(url: &str, profile: &Path) -> Command {
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        // Its sandbox refuses root, and the page is ours.
        .args(["--no-sandbox", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

#[tokio::test]
async fn a_damaged_recording_is_told_from_a_good_one() {
    let site = Site::new().await;
    let ended = site.run(site.local(&["--size", "640x360", "--duration", "2s"])).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    let film = std::fs::read(site.object()).unwrap();
    let half = film.len() / 2;
    for (name, bytes, code, said) in [
        ("whole.mp4", film.clone(), 0, r#""problems":[]"#),
        ("half.mp4", film[..half].to_vec(), 1, "is not in the file"),
        ("empty.mp4", vec![], 1, "is no recording"),
        ("more.mp4", [&film[..], b"more than that"].concat(), 1, "from byte"),
    ] {
        let path = site.path(name);
        std::fs::write(&path, bytes).unwrap();
        let ended = site.run(site.recorder(&["verify", path.to_str().unwrap()])).await;
        assert_eq!(ended.status.code(), Some(code), "{name}: {}{}", ended.stdout, ended.log);
        let told = ended.stdout + &ended.log;
        assert!(told.contains(said), "{name}: {told}");
    }
}

/// What a recorder had sent when it was killed may be stored after its parts were listed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_replaced_while_it_is_recovered_is_looked_at_again() {
    let site = Site::new().await;
    let film = site.path("film.mp4");
    make_film(&film);
    let ours = || Credentials { access_key: "film".into(), secret_key: "secret".into() };
    let server = Server::start(&site.output(), ours()).await.unwrap();
    let stage = Stage {
        endpoint: server.endpoint(),
        bucket: BUCKET,
        client: client(&server.endpoint(), "film", "secret").await,
        film,
        dir: site.path("tmp"),
        credentials: ["film".into(), "secret".into()],
        lasting: 1,
    };
    let bucket = Bucket::new(stage.client.clone(), BUCKET);
    let mut feeder = Feed::start(&stage, &stage.endpoint, "killed.mp4", 20, Trouble::Kill);
    let first = async || {
        let open = bucket.open_uploads("killed.mp4").await.unwrap();
        let parts = bucket.parts(open.first()?).await.unwrap();
        parts?.into_iter().next()
    };
    while first().await.is_none() {
        feeder.until(0).await;
    }
    feeder.kill().await;
    let part = first().await.unwrap();
    assert_eq!(part.number, 1);
    let files = std::fs::read_dir(&site.open_uploads()[0]).unwrap();
    let mut contents = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
    let whole = contents.find(|bytes| bytes.len() as u64 == part.bytes).unwrap();

    let put = async |key: &str, id: &str, bytes: &[u8]| {
        let part = stage.client.upload_part().bucket(BUCKET).key(key).upload_id(id);
        part.part_number(1).body(bytes.to_vec().into()).send().await.unwrap();
    };
    let begun = async |key: &str, bytes: &[u8]| {
        let upload = stage.client.create_multipart_upload().bucket(BUCKET).key(key).send();
        let id = upload.await.unwrap().upload_id.unwrap();
        put(key, &id, bytes).await;
        id
    };
    let rules = Rules { older_than: Duration::ZERO, force: true, held_in: None };
    begun("whole.mp4", &whole).await;
    recovery::recover(&bucket, "whole.mp4", None, &rules).await.unwrap();
    let expected = length(&stage, &bucket, "whole.mp4", "the whole part").await;

    // Half of it is stored when the recovery looks, the whole when it completes.
    let id = begun("film.mp4", &whole[..whole.len() / 2]).await;
    let proxy = Proxy::start(&stage.endpoint, 0).await;
    proxy.set(Weather::Held);
    let behind = Bucket::new(client(&proxy.endpoint, "film", "secret").await, BUCKET);
    let replace = async {
        proxy.held().await;
        put("film.mp4", &id, &whole).await;
        proxy.set(Weather::Fine);
    };
    let recovery = recovery::recover(&behind, "film.mp4", None, &rules);
    let (recovered, ()) = tokio::join!(recovery, replace);
    assert_eq!(recovered.unwrap().outcome, Outcome::Recovered);
    let found = length(&stage, &bucket, "film.mp4", "the replaced part").await;
    assert_eq!(found.to_bits(), expected.to_bits(), "{found} s of {expected} s");

    // What a recovery had copied that was interrupted then is not taken for a recording.
    let store = &stage.client;
    let object = store.put_object().bucket(BUCKET).key("copied.mp4");
    object.body(whole.clone().into()).send().await.unwrap();
    let copy = store.create_multipart_upload().bucket(BUCKET).key("copied.mp4").send();
    let id = copy.await.unwrap().upload_id.unwrap();
    let part = store.upload_part().bucket(BUCKET).key("copied.mp4").upload_id(id).part_number(2);
    part.body(whole.clone().into()).send().await.unwrap();
    let recovered = recovery::recover(&bucket, "copied.mp4", None, &rules).await.unwrap();
    assert_eq!(recovered.outcome, Outcome::Recovered);
    let found = length(&stage, &bucket, "copied.mp4", "the object").await;
    assert_eq!(found.to_bits(), expected.to_bits(), "{found} s of {expected} s");
    server.stop().await;
}

/// One recording with its trouble; returns the seconds of film that were lost.
async fn live(stage: &Stage, name: &str, trouble: Trouble, seed: u64) -> f64 {
    let mut chance = fastrand::Rng::with_seed(seed);
    let key = format!("{} {seed}.mp4", name.replace(' ', "-"));
    let proxy = Proxy::start(&stage.endpoint, seed).await;
    let seconds = match trouble {
        // Long enough to fill what is there.
        Trouble::NoRoom => 50,
        _ => 8 + chance.u64(0..12),
    };
    let feeder = Feed::start(stage, &proxy.endpoint, &key, seconds, trouble);
    // Somewhere in the film.
    let moment = match trouble {
        Trouble::NoRoom => chance.u64(300..3000),
        _ => chance.u64(300..seconds * 1000 - 500),
    };
    let bound = match trouble {
        Trouble::Kill | Trouble::TwoRecoveries | Trouble::KillAtTheEnd => BOUND,
        // What waits for the writer when it gives up.
        Trouble::NoRoom => 2.0,
        _ => 0.0,
    };
    let (mut fed, report) =
        undergo(feeder, &proxy, trouble, moment, &mut chance, stage.lasting).await;
    drop(proxy);
    let context = format!("{name}, seed {seed}, at {moment} of {seconds} s: {report:?}");
    let bucket = Bucket::new(stage.client.clone(), stage.bucket);
    let rules = Rules { older_than: Duration::ZERO, force: true, held_in: None };
    if let Some(report) = &report {
        fed = report["fed_ms"].as_u64().unwrap_or_else(|| panic!("{context}"));
        let completes = !matches!(trouble, Trouble::AwayAtTheEnd | Trouble::NoRoom);
        assert_eq!(report["outcome"] == "completed", completes, "{context}");
        if matches!(trouble, Trouble::NoRoom) {
            let said = report["outcome"].as_str().unwrap();
            assert!(said.contains("--spool-disk"), "{context}");
        }
        if let Some(spool) = report["left"]["spool"].as_str() {
            let recovered = recovery::recover_spool(&bucket, Path::new(spool), false).await;
            recovered.unwrap_or_else(|error| panic!("{context}: {error}"));
            std::fs::remove_dir_all(spool).unwrap();
        } else if !completes {
            panic!("{context}: nothing was kept");
        }
    } else if matches!(trouble, Trouble::TwoRecoveries) {
        let both = tokio::join!(
            recovery::recover(&bucket, &key, None, &rules),
            recovery::recover(&bucket, &key, None, &rules)
        );
        for recovered in [both.0, both.1] {
            assert!(is_recovered(&recovered), "{context}: {recovered:?}");
        }
    } else {
        let recovered = recovery::recover(&bucket, &key, None, &rules).await;
        assert!(is_recovered(&recovered), "{context}: {recovered:?}");
    }
    let length = length(stage, &bucket, &key, &context).await;
    #[expect(clippy::cast_precision_loss, reason = "minutes")]
    let lost = (fed as f64 / 1000.0 - length).max(0.0);
    assert!(lost <= bound + 0.1, "{context}: {lost} s of {fed} ms are lost");
    lost
}

/// The example that feeds: Cargo builds it with the tests.
fn feeder() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap().join("examples/feed");
    assert!(program.exists(), "{} is missing: cargo build --examples", program.display());
    program
}

/// Feeds until `moment`, in milliseconds of film, and makes the trouble. Returns
/// the milliseconds that were fed, and what a process that was not killed told.
async fn undergo(
    mut feeder: Feed,
    proxy: &Proxy,
    trouble: Trouble,
    moment: u64,
    chance: &mut fastrand::Rng,
    lasting: u64,
) -> (u64, Option<Value>) {
    let mut fed = feeder.until(moment).await;
    let report = match trouble {
        Trouble::Kill | Trouble::TwoRecoveries => {
            fed = feeder.kill().await.unwrap_or(fed);
            None
        }
        Trouble::KillAtTheEnd => {
            feeder.signal(Signal::TERM);
            tokio::time::sleep(Duration::from_millis(chance.u64(0..80))).await;
            fed = feeder.kill().await.unwrap_or(fed);
            None
        }
        Trouble::Requests(fault, share) => {
            proxy.set(Weather::Faulty(fault, share));
            Some(feeder.report().await)
        }
        Trouble::Slow => {
            proxy.set(Weather::Slow(8 * 1024));
            tokio::time::sleep(Duration::from_millis(chance.u64(100..3000 * lasting))).await;
            proxy.set(Weather::Fine);
            Some(feeder.report().await)
        }
        Trouble::Away => {
            proxy.set(Weather::Away);
            tokio::time::sleep(Duration::from_millis(chance.u64(100..3000 * lasting))).await;
            proxy.set(Weather::Fine);
            Some(feeder.report().await)
        }
        Trouble::AwayAtTheEnd => {
            proxy.set(Weather::Away);
            feeder.signal(Signal::TERM);
            Some(feeder.report().await)
        }
        Trouble::NoRoom => {
            proxy.set(Weather::Away);
            Some(feeder.report().await)
        }
    };
    (fed, report)
}

/// Seconds of the film in the store, which must be a clean ordinary MP4.
async fn length(stage: &Stage, bucket: &Bucket, key: &str, context: &str) -> f64 {
    let Some(found) = bucket.find(key).await.unwrap() else { return 0.0 };
    let body = bucket.read(&found, 0, found.bytes).await.unwrap().unwrap();
    let copy = tempfile::NamedTempFile::new_in(&stage.dir).unwrap();
    std::fs::write(copy.path(), body.collect().await.unwrap().into_bytes()).unwrap();
    let found = verify(copy.path()).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!((found.form, &found.problems[..]), ("plain", &[][..]), "{context}");
    found.video.unwrap().duration_seconds
}

/// Whether a recovery did what can be done: before part 1 was stored there is
/// nothing, and whether it should have been stored by then is for the bound to say.
fn is_recovered(recovered: &Result<recovery::Recovered, recovery::Error>) -> bool {
    use recovery::Error::{NoBeginning, Nothing};
    matches!(recovered, Ok(_) | Err(Nothing(_) | NoBeginning { .. }))
}

/// A feeding process.
#[derive(Debug)]
struct Feed {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Feed {
    fn start(stage: &Stage, endpoint: &str, key: &str, seconds: u64, trouble: Trouble) -> Self {
        let (memory, disk, finish) = match trouble {
            Trouble::NoRoom => (1 << 20, 6 << 20, 60_000),
            Trouble::AwayAtTheEnd => (64 << 20, 1 << 30, 700),
            _ => (8 << 20, 1 << 30, 60_000 + 5000 * stage.lasting),
        };
        let mut child = Command::new(feeder())
            .args(["--endpoint", endpoint, "--bucket", stage.bucket, "--key", key])
            .args(["--seconds", &seconds.to_string(), "--speed", &SPEED.to_string()])
            .args(["--checkpoint", &CHECKPOINT.as_millis().to_string()])
            .args(["--spool-memory", &memory.to_string(), "--spool-disk", &disk.to_string()])
            .args(["--finish", &finish.to_string()])
            .arg("--film")
            .arg(&stage.film)
            .arg("--spool-dir")
            .arg(&stage.dir)
            .env("AWS_ACCESS_KEY_ID", &stage.credentials[0])
            .env("AWS_SECRET_ACCESS_KEY", &stage.credentials[1])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until so many milliseconds of film have been fed.
    async fn until(&mut self, millis: u64) -> u64 {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            let fed = line.strip_prefix("fed ").unwrap_or_else(|| panic!("it ended: {line}"));
            let fed = fed.parse().unwrap();
            if fed >= millis {
                return fed;
            }
        }
        panic!("it said nothing")
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// Kills it, and returns what it had fed if it said so meanwhile.
    async fn kill(&mut self) -> Option<u64> {
        self.child.kill().await.unwrap();
        let mut fed = None;
        while let Ok(Some(line)) = self.lines.next_line().await {
            fed = line.strip_prefix("fed ").map(|fed| fed.parse().unwrap()).or(fed);
        }
        fed
    }

    /// Waits for its end and its last line.
    async fn report(mut self) -> Value {
        let mut last = String::new();
        while let Some(line) = self.lines.next_line().await.unwrap() {
            last = line;
        }
        self.child.wait().await.unwrap();
        serde_json::from_str(&last).unwrap_or_else(|error| panic!("{error} in {last:?}"))
    }
}

/// Four seconds of 8 Mbit/s: a part each five seconds, half a second as it is fed.
fn make_film(path: &Path) {
    let arguments = "-v error -f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi \
        -i sine=frequency=440 -t 4 -vf noise=c0s=60:c0f=t -c:v libx264 -preset ultrafast \
        -bf 0 -g 60 -b:v 8M -pix_fmt yuv420p -c:a aac -b:a 96000 -ar 48000 -ac 2";
    let made = std::process::Command::new("ffmpeg")
        .args(arguments.split_whitespace())
        .arg(path)
        .status()
        .unwrap();
    assert!(made.success());
}
