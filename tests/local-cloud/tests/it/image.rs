//! The image, run as the task definition runs it: what the product does with the
//! recorder as a process, it does with the recorder in its container.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::Timestamp;
use local_cloud::Cloud;
use local_cloud::ecs::TaskKind;
use serde_json::Value;

use crate::product::verified;
use crate::support::{
    Site, agent, films, options, recording, settled, start, task_of, until, variable,
};

/// Of the image, unpacked.
const MOST_BYTES: u64 = 1_050_000_000;

/// A minute of them.
const PICTURES: u64 = 60 * 30;

fn docker(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker").join(name)
}

/// A cloud in which tasks are containers.
async fn with_containers() -> Site {
    let task = TaskKind::Recorder {
        program: docker("task.sh").canonicalize().unwrap(),
        // For the script: podman's images are under it.
        environment: vec![
            ("HOME".to_owned(), variable("HOME")),
            ("XDG_CACHE_HOME".to_owned(), cache()),
        ],
        directory: "tasks".into(),
    };
    Site::start(options(task)).await
}

#[expect(clippy::disallowed_methods, reason = "where image.sh keeps images")]
fn cache() -> String {
    std::env::var("XDG_CACHE_HOME").unwrap_or_default()
}

fn podman(args: &[&str]) -> Output {
    Command::new(docker("image.sh")).arg("podman").args(args).output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// The one container that runs.
fn container() -> String {
    let listed = podman(&["ps", "--quiet", "--filter", "ancestor=localhost/recorder"]);
    let ids = text(&listed);
    assert_eq!(ids.lines().count(), 1, "{listed:?}");
    ids
}

fn health(container: &str) -> (Option<i32>, Value) {
    let output = podman(&["exec", container, "recorder", "health"]);
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// The names of the processes that show pages, and the system-call filters of each;
/// beside those of Firefox itself.
fn filters(container: &str) -> (Vec<(String, u32)>, u32) {
    let read = "grep -H -e ^Name: -e ^Seccomp_filters: /proc/[0-9]*/status";
    let listed = text(&podman(&["exec", container, "sh", "-c", read]));
    let values: Vec<&str> = listed.lines().filter_map(|line| line.rsplit('\t').next()).collect();
    let (mut pages, mut browser) = (Vec::new(), 0);
    for pair in values.chunks_exact(2) {
        let (name, filters) = (pair[0], pair[1].parse().unwrap());
        match name {
            "firefox-esr" => browser = filters,
            "Isolated Web Co" | "Web Content" => pages.push((name.to_owned(), filters)),
            _ => {}
        }
    }
    (pages, browser)
}

async fn ends_well(cloud: &Cloud, arn: &str) {
    let ended = cloud.ecs().wait_stopped(arn).await.unwrap();
    let log = cloud.ecs().log(arn);
    assert_eq!(ended.exit_code, Some(0), "{ended:?}\n{log}");
    assert!(!log.contains("starts without its cache"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_image_records_a_call_within_the_limits_of_its_task() {
    let cloud = with_containers().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("image", &alice, 4).await.unwrap();
    let id = start(&cloud, &alice, &meeting).await;
    let arn = task_of(&cloud, &id).arn;
    films(&cloud, &id).await;

    let container = container();
    until("the recorder in the image is well", async || {
        let (code, said) = health(&container);
        (code == Some(0) && said["recorder"]["state"] == "recording").then_some(())
    })
    .await;
    // Nobody but the recorder's own user, who can write nowhere but in /tmp.
    let inside = podman(&["exec", &container, "sh", "-c", "id -u; touch /usr/x /var/x /x"]);
    assert_eq!(text(&inside), "10001");
    let refused = String::from_utf8_lossy(&inside.stderr).into_owned();
    assert_eq!(refused.matches("Read-only file system").count(), 3, "{refused}");

    // The page is shut in by Firefox as well, not by the container alone.
    let (pages, browser) = filters(&container);
    assert!(!pages.is_empty());
    for (name, filters) in pages {
        assert!(filters > browser, "{name}: {filters} filters, Firefox itself: {browser}");
    }

    until("a minute is recorded", async || {
        let (code, said) = health(&container);
        assert_eq!(code, Some(0), "{said}");
        (said["recorder"]["pictures"].as_u64()? >= PICTURES).then_some(())
    })
    .await;
    let stopped = alice.delete_recording("image").await.unwrap();
    assert_eq!(stopped.status, 200, "{stopped:?}");
    ends_well(&cloud, &arn).await;
    settled(&cloud, "image", &id, "complete").await;

    let item = recording(&cloud, "image", &id).await.unwrap();
    let found = verified(&cloud, item["recordingS3Object"].as_str().unwrap()).await;
    assert_eq!(found["form"], "plain");
    assert!(found["duration_seconds"].as_f64().unwrap() >= 60.0, "{found}");
    let report = cloud.ecs().report(&arn).unwrap();
    assert_eq!(report["media"], "complete", "{report}");
    assert_eq!(report["exit_code"], 0, "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_instance_is_warmed_by_the_image() {
    let cloud = with_containers().await;
    cloud.ecs().instance_connected("i-0123456789abcdef0", Timestamp::now()).await.unwrap();
    let arn = until("the pre-warm task runs", async || {
        cloud.ecs().tasks().first().map(|task| task.arn.clone())
    })
    .await;
    ends_well(&cloud, &arn).await;
    assert!(cloud.ecs().log(&arn).contains("the image is on this host now"));
}

#[test]
fn the_doctor_finds_everything_in_the_image() {
    let output = Command::new(docker("task.sh")).arg("doctor").output().unwrap();
    let (said, log) = (text(&output), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{said}\n{log}");
    assert!(said.contains("0 problems, 0 warnings"), "{said}");
}

#[test]
fn the_image_stays_as_small_as_it_is() {
    let told = text(&podman(&["image", "inspect", "--format", "{{.Size}}", "localhost/recorder"]));
    let bytes: u64 = told.parse().unwrap();
    // Each byte is pulled by each new instance, before its first recording.
    assert!(bytes < MOST_BYTES, "{bytes} bytes; docs/image.md tells what they are");
}
