//! Sweeps, with services in memory.

use contract::fake::{Fake, a_recording, a_task, now, open};
use contract::items::Status;
use contract::ports::{OpenUpload, Recovered};

use super::*;

fn services(fake: &Fake) -> Services<'_, Fake, Fake, Fake, Fake, Fake> {
    Services { table: fake, tasks: fake, meetings: fake, objects: fake, recovery: fake }
}

/// Ten minutes after the recording was claimed.
fn later() -> Timestamp {
    now() + SignedDuration::from_mins(10)
}

fn with(recording: Recording, task: Option<Task>) -> Fake {
    let fake = Fake::new();
    fake.add(recording);
    if let Some(task) = task {
        fake.state().tasks.insert(task.arn.clone(), task);
    }
    fake
}

fn recorded() -> Recording {
    Recording { task: Some(a_task().arn), status: Some(Status::Running), ..a_recording() }
}

fn dead() -> Task {
    Task {
        last_status: "STOPPED".into(),
        desired_status: "STOPPED".into(),
        exit_code: Some(137),
        stopped_at: Some(now()),
        ..a_task()
    }
}

#[test]
fn each_state_of_a_recording_has_its_step() {
    let open = open(&a_recording(), "chime-1");
    let ended = Recording { ended_at: Some("2024-03-05T07:09:00.000Z".into()), ..recorded() };
    let alive = [a_task()];
    let ending = [Task { desired_status: "STOPPED".into(), ..a_task() }];
    let long = now() + LONGEST + SignedDuration::from_secs(1);
    for (name, recording, tasks, at, step) in [
        ("recording", Some(&recorded()), &alive[..], later(), Step::Leave),
        ("just claimed", Some(&a_recording()), &[][..], now(), Step::Leave),
        ("its start died", Some(&a_recording()), &[][..], later(), Step::Settle),
        ("its task died", Some(&recorded()), &[][..], later(), Step::Settle),
        ("its end was missed", Some(&ended), &[][..], later(), Step::Settle),
        ("not noted", Some(&a_recording()), &alive[..], later(), Step::Note(&alive[0])),
        (
            "a stop that ECS did not hear",
            Some(&ended),
            &alive[..],
            later(),
            Step::Tell(&alive[0], "The recording was stopped"),
        ),
        ("completing its file", Some(&ended), &ending[..], later(), Step::Leave),
        (
            "for ever",
            Some(&recorded()),
            &alive[..],
            long,
            Step::Tell(&alive[0], "The recording has lasted too long"),
        ),
        (
            "without an item",
            None,
            &alive[..],
            later(),
            Step::Tell(&alive[0], "The recording is not known"),
        ),
        ("without anything", None, &[][..], later(), Step::Settle),
    ] {
        assert_eq!(decide(&open, recording, tasks, at), step, "{name}");
    }
}

#[tokio::test]
async fn a_recording_whose_event_was_lost_is_settled() {
    let fake = with(recorded(), Some(dead()));
    let found = Recovered::Recovered { bytes: Some(5), duration_seconds: Some(1.0) };
    fake.state().objects.insert(a_recording().key, found);
    let swept = sweep(&services(&fake), later()).await.unwrap();
    assert_eq!(swept, Swept { open: 1, settled: 1, not_complete: 1, ..Swept::default() });
    let state = fake.state();
    let recording = state.recordings.values().next().unwrap();
    assert_eq!(recording.status, Some(Status::Recovered));
    assert!(recording.status_reason.as_ref().unwrap().contains("exit code 137"));
    assert!(state.open.is_empty() && state.locks.is_empty());
}

#[tokio::test]
async fn an_end_whose_event_is_on_its_way_is_left_to_it() {
    let just = Task { stopped_at: Some(later() - SignedDuration::from_secs(9)), ..dead() };
    let fake = with(recorded(), Some(just));
    let swept = sweep(&services(&fake), later()).await.unwrap();
    assert_eq!(swept, Swept { open: 1, ..Swept::default() });
    assert_eq!(fake.state().open.len(), 1);
}

#[tokio::test]
async fn a_start_that_died_after_its_claim_frees_the_meeting() {
    let fake = with(a_recording(), None);
    let swept = sweep(&services(&fake), later()).await.unwrap();
    assert_eq!(swept.settled, 1);
    assert!(fake.state().locks.is_empty());
    // A start that is only under way is not disturbed.
    let fake = with(a_recording(), None);
    assert_eq!(sweep(&services(&fake), now()).await.unwrap().settled, 0);
    assert_eq!(fake.state().locks.len(), 1);
}

#[tokio::test]
async fn a_task_that_the_item_does_not_know_is_noted() {
    let fake = with(a_recording(), Some(a_task()));
    assert_eq!(sweep(&services(&fake), later()).await.unwrap().tasks_noted, 1);
    let state = fake.state();
    assert_eq!(state.recordings.values().next().unwrap().task, Some(a_task().arn));
}

#[tokio::test]
async fn a_task_without_a_recording_is_ended_unless_it_is_new_or_not_ours() {
    let orphan = Task { arn: "arn:task/orphan".into(), ..a_task() };
    let foreign = Task { arn: "arn:task/x".into(), started_by: "PreWarm-i-1".into(), ..a_task() };
    let fake = Fake::new();
    fake.state().tasks.insert(orphan.arn.clone(), orphan.clone());
    fake.state().tasks.insert(foreign.arn.clone(), foreign.clone());
    assert_eq!(sweep(&services(&fake), now()).await.unwrap(), Swept::default());
    assert_eq!(sweep(&services(&fake), later()).await.unwrap().orphan_tasks, 1);
    let tasks = fake.state().tasks.clone();
    assert!(tasks[&orphan.arn].is_ending() && !tasks[&foreign.arn].is_ending());
    // It is told once.
    assert_eq!(sweep(&services(&fake), later()).await.unwrap().orphan_tasks, 0);
}

#[tokio::test]
async fn an_upload_is_mended_only_if_no_recording_is_at_work_on_it() {
    let fake = with(recorded(), Some(a_task()));
    let upload = |key: &str| OpenUpload { key: key.into(), id: key.into(), begun: None };
    let found = Recovered::Recovered { bytes: Some(5), duration_seconds: Some(1.0) };
    fake.state().objects.insert("RECORDINGS/orphan.mp4".into(), found);
    fake.state().uploads = vec![upload(&a_recording().key), upload("RECORDINGS/orphan.mp4")];
    assert_eq!(sweep(&services(&fake), later()).await.unwrap().orphan_uploads, 1);
    assert_eq!(fake.state().uploads, [upload(&a_recording().key)]);
}

#[tokio::test]
async fn what_fails_is_counted_and_does_not_keep_the_others_waiting() {
    let fake = with(recorded(), Some(dead()));
    let orphan = OpenUpload { key: "RECORDINGS/orphan.mp4".into(), id: "u".into(), begun: None };
    let found = Recovered::Recovered { bytes: Some(5), duration_seconds: Some(1.0) };
    fake.state().objects.insert(orphan.key.clone(), found);
    fake.state().uploads.push(orphan);
    fake.state().failing.insert("settle");
    let swept = sweep(&services(&fake), later()).await.unwrap();
    assert_eq!((swept.failures, swept.settled, swept.orphan_uploads), (1, 0, 1));
    fake.state().failing.clear();
    assert_eq!(sweep(&services(&fake), later()).await.unwrap().settled, 1);
}

#[tokio::test]
async fn nothing_is_taken_for_dead_because_a_list_could_not_be_had() {
    for failing in ["alive", "open_recordings", "open_uploads"] {
        let fake = with(recorded(), Some(a_task()));
        fake.state().failing.insert(failing);
        sweep(&services(&fake), later()).await.unwrap_err();
        assert_eq!(fake.state().open.len(), 1, "{failing}");
    }
}

#[test]
fn the_numbers_say_what_was_repaired() {
    let swept = Swept {
        open: 9,
        settled: 1,
        not_complete: 1,
        orphan_tasks: 2,
        failures: 3,
        ..Swept::default()
    };
    let values: Vec<_> = swept.metrics().iter().map(|metric| (metric.name, metric.value)).collect();
    assert_eq!(
        values,
        [
            ("NotComplete", 1.0),
            ("OpenRecordings", 9.0),
            ("OrphansRepaired", 3.0),
            ("RepairFailures", 3.0)
        ]
    );
}

#[test]
fn the_deployment_counts_on_what_the_sweeper_does() {
    let told: serde_json::Value =
        serde_json::from_str(include_str!("../../../../deploy/lib/worker.json")).unwrap();
    assert_eq!(told["orphanAfterMinutes"], GRACE.as_mins());
    assert_eq!(told["orphanUploadAfterMinutes"], UPLOAD_AGE.as_secs() / 60);
    // What the bucket takes away must long have been repaired.
    let lifecycle = SignedDuration::from_hours(told["uploadAgeDays"].as_i64().unwrap() * 24);
    let sweep = SignedDuration::from_mins(told["sweeperMinutes"].as_i64().unwrap());
    let repaired = LONGEST + SignedDuration::try_from(UPLOAD_AGE).unwrap() + sweep;
    assert!(lifecycle > repaired * 2, "{lifecycle:?} {repaired:?}");
}
