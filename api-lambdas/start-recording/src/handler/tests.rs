//! Starts, with services in memory: what is refused, what is taken back.

use contract::fake::{Fake, a_meeting, a_recording, a_task, a_user, now};
use contract::items::User;
use contract::ports::ConnectUser;
use contract::task::Task;

use super::*;

fn services(fake: &Fake) -> Services<'_, Fake, Fake, Fake, Fake> {
    Services { table: fake, tasks: fake, meetings: fake, connect: fake }
}

fn settings() -> Settings {
    Settings {
        bucket: "recordings".into(),
        screen: Screen { width: "1920".into(), height: "1080".into() },
        attendee_name: "RECORDING".into(),
        container: "VideoCallEscalation-RecordingContainer".into(),
    }
}

fn caller() -> Caller {
    Caller {
        username: Some("agent".into()),
        email: Some("agent@example.org".into()),
        connect_user_id: Some("connect-1".into()),
    }
}

fn request(body: &Value) -> Request {
    let event = json!({
        "headers": { "content-type": "application/json" }, "body": body.to_string(),
    });
    serde_json::from_value(event).unwrap()
}

fn body() -> Value {
    json!({ "externalMeetingId": a_meeting().external_meeting_id })
}

fn id() -> RecordingId {
    a_recording().recording_id
}

async fn start_as(fake: &Fake, caller: &Caller, body: &Value) -> Result<Success, Refusal> {
    handle(&services(fake), &settings(), caller, &request(body), id(), now()).await
}

async fn start(fake: &Fake) -> Result<Success, Refusal> {
    start_as(fake, &caller(), &body()).await
}

/// Nothing of a start is left but its answer.
fn assert_taken_back(fake: &Fake, name: &str) {
    let state = fake.state();
    assert!(state.recordings.is_empty(), "{name}: a recording");
    assert!(state.locks.is_empty() && state.open.is_empty(), "{name}: a lock");
    assert!(state.attendees.is_empty() && state.invited.is_empty(), "{name}: an attendee");
    assert!(state.tasks.values().all(Task::is_ending), "{name}: a task");
}

#[tokio::test]
async fn a_start_leaves_the_items_the_attendee_and_the_task_of_the_contract() {
    let fake = Fake::new();
    let success = start(&fake).await.unwrap();
    assert_eq!(success.text, "Start Recording succeed!");
    assert_eq!(
        success.data,
        json!({ "recordingId": id(), "message": "Start recording initiated" })
    );
    let state = fake.state();
    let recording = state.recordings.values().next().unwrap();
    assert_eq!(
        serde_json::to_value(recording).unwrap(),
        json!({
            "externalMeetingId": a_meeting().external_meeting_id,
            "recordingId": id(), "ownerUsername": "agent", "ownerEmail": "agent@example.org",
            "connectUserId": "connect-1", "connectHierarchyGroupSummary": null,
            "createdAt": "2024-03-05T07:08:09.123Z", "recordingS3Bucket": "recordings",
            "recordingS3Object": format!(
                "RECORDINGS/2024/03/05/07/{}-{}-20240305T070809_UTC.mp4",
                a_meeting().external_meeting_id, id(),
            ),
            "ecsTaskARN": "arn:task/1", "chimeAttendeeId": format!("chime-{}", id()),
            "status": "started",
        })
    );
    let attendee = state.attendees.values().next().unwrap();
    assert_eq!(attendee.attendee_name, "RECORDING");
    assert_eq!(attendee.chime_attendee_data["JoinToken"], "secret");
    assert_eq!(state.locks.len(), 1);
    assert_eq!(state.orders[0].recording, id());
    // What is claimed is claimed before anything is made.
    let order: Vec<_> = state.done.iter().map(String::as_str).collect();
    let at = |what| order.iter().position(|done| *done == what).unwrap();
    assert!(at("claim") < at("invite") && at("invite") < at("run") && at("run") < at("note_task"));
}

#[tokio::test]
async fn what_is_missing_or_unsound_is_refused_in_the_order_of_the_contract() {
    let nobody = Caller { username: None, email: None, connect_user_id: None };
    let named = Caller { username: Some("agent".into()), ..nobody.clone() };
    let mailed = Caller { email: Some("a@x.org".into()), ..named.clone() };
    let none = json!({});
    for (caller, body, status, message) in [
        (&nobody, &none, 400, "Must provide External Meeting Id"),
        (&caller(), &json!({ "externalMeetingId": "" }), 400, "Must provide External Meeting Id"),
        (&caller(), &json!({ "externalMeetingId": 7 }), 400, "Must provide External Meeting Id"),
        (
            &caller(),
            &json!({ "externalMeetingId": "x".repeat(65) }),
            400,
            "Must provide External Meeting Id",
        ),
        (&nobody, &body(), 400, "Must provide meeting owner username"),
        (&named, &body(), 400, "Must provide meeting owner email"),
        (&mailed, &body(), 400, "Must provide connectUserId"),
        (
            &caller(),
            &json!({ "externalMeetingId": "another" }),
            404,
            "Start Recording Error, meeting not found",
        ),
        (
            &Caller { username: Some("other".into()), ..caller() },
            &body(),
            400,
            "Start Recording Error, user is not the owner",
        ),
    ] {
        let fake = Fake::new();
        let refusal = start_as(&fake, caller, body).await.unwrap_err();
        assert_eq!((refusal.status, refusal.to_string().as_str()), (status, message));
        assert_taken_back(&fake, message);
        assert!(!fake.state().done.contains(&"claim".to_owned()), "{message}");
    }
}

#[tokio::test]
async fn a_meeting_has_one_recording_at_a_time() {
    let fake = Fake::new();
    start(&fake).await.unwrap();
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!(
        (refusal.status, refusal.to_string().as_str()),
        (409, "Recording already in progress")
    );
    assert_eq!(fake.state().orders.len(), 1);
}

/// Both have looked before either has claimed.
#[tokio::test]
async fn the_later_of_two_starts_at_once_makes_nothing() {
    let fake = Fake::new();
    let lock =
        contract::items::Lock { recording_id: RecordingId::random(), created_at: iso(now()) };
    fake.state().locks.insert(a_meeting().external_meeting_id, lock.clone());
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (409, "in_progress"));
    let state = fake.state();
    assert!(state.recordings.is_empty() && state.invited.is_empty() && state.orders.is_empty());
    assert_eq!(state.locks.values().next(), Some(&lock));
}

#[tokio::test]
async fn a_recording_whose_task_is_proven_dead_does_not_block_the_next() {
    let old = RecordingId::random();
    let recorded = |task: Option<&str>| Recording {
        recording_id: old.clone(),
        task: task.map(str::to_owned),
        created_at: "2024-03-05T06:00:00.000Z".into(),
        ..a_recording()
    };
    let dead = Task { last_status: "STOPPED".into(), ..a_task() };
    let of_old = |task: Task| Task { started_by: old.started_by(), ..task };
    for (name, recording, task, free) in [
        ("it lives", recorded(Some("arn:task/1")), Some(a_task()), false),
        ("it is dead", recorded(Some("arn:task/1")), Some(dead.clone()), true),
        ("ECS has forgotten it", recorded(Some("arn:task/1")), None, true),
        (
            "ECS does not know it yet",
            Recording { created_at: iso(now()), ..recorded(Some("arn:task/1")) },
            None,
            false,
        ),
        ("it was never noted and lives", recorded(None), Some(of_old(a_task())), false),
        ("it was never noted and is dead", recorded(None), Some(of_old(dead)), true),
        ("it never was", recorded(None), None, true),
        (
            "it is being started",
            Recording { created_at: iso(now()), ..recorded(None) },
            None,
            false,
        ),
    ] {
        let fake = Fake::new();
        fake.add(recording);
        if let Some(task) = task {
            fake.state().tasks.insert("arn:task/1".into(), task);
        }
        let answer = start(&fake).await;
        assert_eq!(answer.is_ok(), free, "{name}");
        let state = fake.state();
        let before = &state.recordings[&(a_meeting().external_meeting_id, old.clone())];
        assert_eq!(before.in_progress(), !free, "{name}");
        // The old one is still to be settled.
        assert!(state.open.contains_key(&old), "{name}");
    }
}

#[tokio::test]
async fn an_ended_meeting_is_not_recorded() {
    let fake = Fake::new();
    let ended = Meeting { ended_at: Some(iso(now())), ..a_meeting() };
    fake.state().meetings.insert(ended.external_meeting_id.clone(), ended);
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (409, "meeting_ended"));

    let fake = Fake::new();
    fake.state().meeting_is_gone = true;
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (409, "meeting_ended"));
    assert_taken_back(&fake, "a meeting that Chime has ended");
}

#[tokio::test]
async fn whatever_fails_takes_back_what_was_done_before() {
    const AGAIN: &str = "Start Recording Error, please try again later";
    for (failing, message) in [
        ("meeting", AGAIN),
        ("recordings", AGAIN),
        ("user", AGAIN),
        ("claim", AGAIN),
        ("invite", "Create Attendee Error, please try again later"),
        ("put_attendee", "Create Attendee Error, please try again later"),
        ("run", AGAIN),
        ("note_task", AGAIN),
    ] {
        let fake = Fake::new();
        fake.state().failing.insert(failing);
        let refusal = start(&fake).await.unwrap_err();
        assert_eq!((refusal.status, refusal.to_string().as_str()), (500, message), "{failing}");
        assert_taken_back(&fake, failing);
    }
}

#[tokio::test]
async fn a_cluster_without_room_is_told_apart() {
    let fake = Fake::new();
    fake.state().refuses = Some("RESOURCE:MEMORY".into());
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (500, "no_capacity"));
    assert_taken_back(&fake, "no room");
}

#[tokio::test]
async fn a_task_that_cannot_be_ended_keeps_its_recording_for_the_sweeper() {
    let fake = Fake::new();
    fake.state().failing.extend(["note_task", "stop"]);
    start(&fake).await.unwrap_err();
    assert_eq!(fake.state().open.len(), 1);
    assert_eq!(fake.state().recordings.len(), 1);
}

#[tokio::test]
async fn a_stop_between_claim_and_task_ends_the_task() {
    let fake = Fake::new();
    fake.state().closes_during_run = true;
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (409, "stopped_meanwhile"));
    assert_taken_back(&fake, "stopped meanwhile");
}

#[tokio::test]
async fn a_recording_carries_the_group_that_its_owner_has_now() {
    let fake = Fake::new();
    let old = a_user().created_at;
    let outdated = User { created_at: "2024-03-05T07:00:00.000Z".into(), ..a_user() };
    assert_ne!(old, outdated.created_at);
    fake.state().users.insert("connect-1".into(), outdated);
    fake.state().connect_users.insert(
        "connect-1".into(),
        ConnectUser {
            username: "agent".into(),
            hierarchy_group_id: Some("group-2".into()),
            security_profile_ids: Vec::new(),
        },
    );
    start(&fake).await.unwrap();
    let kept = fake.state();
    let recording = kept.recordings.values().next().unwrap();
    assert_eq!(recording.connect_hierarchy_group_id.as_deref(), Some("group-2"));
    assert_eq!(recording.connect_hierarchy_group_summary.as_ref().unwrap()["Id"], "group-2");
}

#[tokio::test]
async fn a_user_whom_the_cache_does_not_know_cannot_start() {
    let fake = Fake::new();
    fake.state().users.clear();
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (500, "user_unknown"));
    assert_taken_back(&fake, "unknown");
}

#[tokio::test]
async fn the_contact_learns_where_the_first_recording_is_played() {
    let asked = json!({
        "externalMeetingId": a_meeting().external_meeting_id,
        "connectContactId": "contact-1", "videoRecordingPlaybackURL": "https://x.org/recording/m",
    });
    let fake = Fake::new();
    start_as(&fake, &caller(), &asked).await.unwrap();
    assert_eq!(fake.state().contacts["contact-1"], "https://x.org/recording/m");

    // Not the second one, whatever became of the first.
    let fake = Fake::new();
    fake.add(Recording {
        recording_id: RecordingId::random(),
        ended_at: Some(iso(now())),
        ..a_recording()
    });
    fake.state().locks.clear();
    start_as(&fake, &caller(), &asked).await.unwrap();
    assert!(fake.state().contacts.is_empty());

    // And a contact that cannot be told does not cost the recording.
    let fake = Fake::new();
    fake.state().failing.insert("set_playback_url");
    start_as(&fake, &caller(), &asked).await.unwrap();
}

#[tokio::test]
async fn overrides_that_ecs_would_refuse_are_not_sent() {
    let fake = Fake::new();
    let long = Meeting { chime_meeting_data: json!("x".repeat(9_000)), ..a_meeting() };
    fake.state().meetings.insert(long.external_meeting_id.clone(), long);
    let refusal = start(&fake).await.unwrap_err();
    assert_eq!((refusal.status, refusal.reason), (500, "overrides_too_long"));
    assert!(!fake.state().done.contains(&"run".to_owned()));
    assert_taken_back(&fake, "too long");
}
