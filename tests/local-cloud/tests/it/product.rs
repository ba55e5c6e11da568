//! The whole product: an agent's signed call starts the real recorder, which joins
//! the meeting; what it films is listed and played.

use std::path::Path;
use std::process::Stdio;

use local_cloud::{Agent, Cloud, MeetingHandle, Server};
use serde_json::{Value, json};

use crate::support::{
    agent, bins, films, has_lock, open_recordings, recording, settled, start, task_of, until,
    with_recorders,
};

/// Waits until the upload of the recording has a part.
async fn is_stored(cloud: &Cloud, key: &str) {
    until("a part is stored", async || {
        let s3 = cloud.s3();
        let uploads = s3.list_multipart_uploads().bucket(cloud.bucket()).prefix(key).send().await;
        let uploads = uploads.ok()?;
        let upload = uploads.uploads().first()?.upload_id()?.to_owned();
        let parts = s3.list_parts().bucket(cloud.bucket()).key(key).upload_id(upload).send().await;
        parts.ok().filter(|parts| !parts.parts().is_empty()).map(drop)
    })
    .await;
}

async fn fetch(cloud: &Cloud, key: &str, to: &Path) {
    let object = cloud.s3().get_object().bucket(cloud.bucket()).key(key).send().await.unwrap();
    std::fs::write(to, object.body.collect().await.unwrap().into_bytes()).unwrap();
}

/// What `recorder verify` finds in the object.
pub(crate) async fn verified(cloud: &Cloud, key: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("film.mp4");
    fetch(cloud, key, &file).await;
    let output = std::process::Command::new(bins().join("recorder"))
        .arg("verify")
        .arg(&file)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    // How smoothly it films on two cores beside a whole cloud is not the question here.
    let is_stutter = |problem: &&Value| problem.as_str().unwrap().starts_with("a sample of the");
    let problems: Vec<_> =
        found["problems"].as_array().unwrap().iter().filter(|it| !is_stutter(it)).collect();
    assert!(problems.is_empty(), "{found}");
    found
}

/// Has a real Firefox play it to its middle, and films that.
fn plays_in_firefox(url: &str) {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("player.html");
    let html = format!(
        r#"<!doctype html><video id="film" muted src="{}"></video><script>
  const film = document.getElementById("film");
  film.onloadedmetadata = () => {{ film.currentTime = film.duration / 2; }};
  film.onseeked = () => film.play();
  film.ontimeupdate = () => {{
    if (film.videoWidth === 1920 && film.currentTime > film.duration / 2 + 0.3)
      console.log("END_RECORDING");
  }};
</script>"#,
        url.replace('&', "&amp;")
    );
    std::fs::write(&page, html).unwrap();
    let output = std::process::Command::new(bins().join("recorder"))
        .args(["--local", "--size", "640x360", "--duration", "40s", "--output"])
        .arg(dir.path().join("films"))
        .arg("--url")
        .arg(format!("file://{}", page.display()))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(report["end"], json!({ "stopped": "page_ended" }), "{report}\n{log}");
}

async fn begun(cloud: &Cloud, name: &str) -> (Agent, MeetingHandle, String, String) {
    let alice = agent(cloud, "alice").await;
    let meeting = cloud.start_meeting(name, &alice, 2).await.unwrap();
    let id = start(cloud, &alice, &meeting).await;
    let item = recording(cloud, name, &id).await.unwrap();
    let key = item["recordingS3Object"].as_str().unwrap().to_owned();
    (alice, meeting, id, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_recorded_stopped_listed_and_played() {
    let cloud = with_recorders().await;
    let (alice, _, id, key) = begun(&cloud, "call").await;
    let item = recording(&cloud, "call", &id).await.unwrap();
    for (name, value) in [
        ("entityType", json!("Recording")),
        ("externalMeetingId", json!("call")),
        ("recordingId", json!(id)),
        ("ownerUsername", json!("alice")),
        ("ownerEmail", json!("alice@example.com")),
        ("connectHierarchyGroupSummary", Value::Null),
        ("recordingS3Bucket", json!(cloud.bucket())),
        ("ecsTaskARN", json!(task_of(&cloud, &id).arn)),
    ] {
        assert_eq!(item[name], value, "{name} of {item}");
    }
    assert!(item.get("connectHierarchyGroupId").is_none() && item.get("endedAt").is_none());
    let created: jiff::Timestamp = item["createdAt"].as_str().unwrap().parse().unwrap();
    let kept = item["TTL"].as_i64().unwrap() - created.as_second();
    assert!((3_888_000..=3_888_001).contains(&kept), "{kept}");
    assert!(key.starts_with(&format!("RECORDINGS/{}/call-{id}-", created.strftime("%Y/%m/%d/%H"))));
    assert!(has_lock(&cloud, "call").await);

    films(&cloud, &id).await;
    settled(&cloud, "call", &id, "running").await;
    let listed = alice.recording_summary("call").await.unwrap();
    let row = &listed.body["data"][0];
    assert!(row.get("recordingURL").is_none() && row["status"] == "running", "{row}");
    is_stored(&cloud, &key).await;
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;

    let stopped = alice.delete_recording("call").await.unwrap();
    assert_eq!(stopped.body["success"], "Stop Recording succeed!");
    assert_eq!(stopped.body["data"], json!({ "recordingsStopped": 1, "recordingsNotStopped": 0 }));
    let item = recording(&cloud, "call", &id).await.unwrap();
    assert!(item["endedAt"].is_string());
    assert!(!has_lock(&cloud, "call").await);
    let ended = cloud.ecs().wait_stopped(&task_of(&cloud, &id).arn).await.unwrap();
    assert_eq!(ended.exit_code, Some(0), "{}", cloud.ecs().log(&ended.arn));
    let item = settled(&cloud, "call", &id, "complete").await;
    assert!(open_recordings(&cloud).await.is_empty());

    let found = verified(&cloud, &key).await;
    assert_eq!(found["form"], "plain");
    assert_eq!(item["bytes"], found["bytes"]);
    // The report's length is that of the picture, the file's that of its longer track.
    let length = found["duration_seconds"].as_f64().unwrap();
    let told = item["durationSeconds"].as_f64().unwrap();
    assert!((length - told).abs() < 0.5, "{told} s of {length} s");
    let listed = alice.recording_summary("call").await.unwrap();
    let row = &listed.body["data"][0];
    assert_eq!(row["status"], "complete");
    // Whole seconds come back as an integer from one and as a fraction from the other.
    assert_eq!(row["durationSeconds"].as_f64(), Some(told));
    let url = row["recordingURL"].as_str().unwrap().to_owned();
    assert!(url.contains("X-Amz-Expires=900"), "{url}");
    assert!(row["chaptersURL"].is_string(), "{row}");
    let range = reqwest::Client::new().get(&url).header("range", "bytes=0-7").send().await.unwrap();
    assert_eq!(range.status(), 206);
    assert_eq!(range.headers()["content-type"], "video/mp4");
    assert_eq!(&range.bytes().await.unwrap()[4..], b"ftyp");
    // Nobody else's object, and no other one.
    let other = url.replace("call-", "coll-");
    assert_eq!(reqwest::get(&other).await.unwrap().status(), 403);
    tokio::task::spawn_blocking(move || plays_in_firefox(&url)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_recorder_leaves_its_film_its_reason_and_a_free_meeting() {
    let cloud = with_recorders().await;
    let (alice, meeting, id, key) = begun(&cloud, "killed").await;
    films(&cloud, &id).await;
    is_stored(&cloud, &key).await;
    // Until there is more than the beginning of a file.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    cloud.ecs().kill(&task_of(&cloud, &id).arn).unwrap();
    let item = settled(&cloud, "killed", &id, "recovered").await;
    assert!(item["statusReason"].as_str().unwrap().contains("exit code 137"), "{item}");
    assert!(item["endedAt"].is_string(), "{item}");
    assert!(item["durationSeconds"].as_f64().unwrap() > 0.0, "{item}");
    assert_eq!(verified(&cloud, &key).await["form"], "plain");
    let row = &alice.recording_summary("killed").await.unwrap().body["data"][0];
    assert_eq!(row["status"], "recovered");
    assert!(row["recordingURL"].is_string());

    let next = start(&cloud, &alice, &meeting).await;
    films(&cloud, &next).await;
    assert_eq!(alice.delete_recording("killed").await.unwrap().status, 200);
    settled(&cloud, "killed", &next, "complete").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_meeting_ends_the_recording_with_a_whole_file() {
    let cloud = with_recorders().await;
    let (_, meeting, id, key) = begun(&cloud, "over").await;
    films(&cloud, &id).await;
    is_stored(&cloud, &key).await;
    cloud.end_meeting(&meeting).await.unwrap();
    let item = settled(&cloud, "over", &id, "complete").await;
    assert!(item["durationSeconds"].as_f64().unwrap() > 0.0);
    assert_eq!(verified(&cloud, &key).await["form"], "plain");
    assert!(!has_lock(&cloud, "over").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_restart_in_the_middle_cost_nothing() {
    let mut cloud = with_recorders().await;
    let (alice, _, id, key) = begun(&cloud, "restarts").await;
    films(&cloud, &id).await;
    is_stored(&cloud, &key).await;
    cloud.restart(Server::Dynamodb).await.unwrap();
    // The store is away while the recording is stopped.
    let stopping = alice.delete_recording("restarts");
    let (stopped, restarted) = tokio::join!(stopping, cloud.restart(Server::Store));
    restarted.unwrap();
    assert_eq!(stopped.unwrap().body["data"]["recordingsStopped"], 1);
    settled(&cloud, "restarts", &id, "complete").await;
    assert_eq!(verified(&cloud, &key).await["form"], "plain");
}
