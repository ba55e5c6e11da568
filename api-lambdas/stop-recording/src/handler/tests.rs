//! Stops of recordings, with services in memory.

use contract::fake::{Fake, a_meeting, a_recording, a_task, now};
use contract::items::{Recording, Status};
use contract::names::RecordingId;
use contract::ports::Meetings as _;
use contract::time::iso;
use serde_json::Value;

use super::*;

const ID: &str = "0b6d3c1e-1111-4222-8333-444455556666";

fn caller(username: Option<&str>) -> Caller {
    Caller { username: username.map(str::to_owned), email: None, connect_user_id: None }
}

fn request(body: &Value) -> Request {
    Request {
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        body: Some(body.to_string()),
        ..Request::default()
    }
}

async fn stop(fake: &Fake, username: Option<&str>, body: &Value) -> Result<Success, Refusal> {
    let services = Services { table: fake, tasks: fake, meetings: fake };
    handle(&services, &caller(username), &request(body), now()).await
}

async fn stop_as_owner(fake: &Fake) -> Result<Success, Refusal> {
    stop(fake, Some("agent"), &json!({ "externalMeetingId": ID })).await
}

/// A recording of the meeting that runs, with its task and its attendee.
async fn started() -> Fake {
    let fake = Fake::new();
    let id = a_recording().recording_id;
    fake.invite("chime-1", id.as_str()).await.unwrap();
    fake.add(Recording {
        task: Some(a_task().arn),
        chime_attendee_id: Some(format!("chime-{id}")),
        status: Some(Status::Running),
        ..a_recording()
    });
    fake.state().tasks.insert(a_task().arn, a_task());
    fake
}

/// Another recording of the meeting in progress, which has no task yet.
fn another() -> Recording {
    let id = RecordingId::new("00000000-0000-4000-8000-000000000000").unwrap();
    Recording { recording_id: id, ..a_recording() }
}

fn counts(stopped: u32, not_stopped: u32) -> Value {
    json!({ "recordingsStopped": stopped, "recordingsNotStopped": not_stopped })
}

fn ended_at(fake: &Fake, recording: &Recording) -> Option<String> {
    let key = (a_meeting().external_meeting_id, recording.recording_id.clone());
    fake.state().recordings[&key].ended_at.clone()
}

#[tokio::test]
async fn the_owner_ends_the_recording_and_its_attendee() {
    let fake = started().await;
    let success = stop_as_owner(&fake).await.unwrap();
    assert_eq!(
        success.reply("r-1").body,
        json!({ "success": "Stop Recording succeed!", "data": counts(1, 0), "reqId": "r-1" })
    );
    assert_eq!(ended_at(&fake, &a_recording()), Some(iso(now())));
    let state = fake.state();
    assert!(state.tasks[&a_task().arn].is_ending());
    assert!(state.locks.is_empty() && state.invited.is_empty());
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anything_is_read() {
    let body = json!({ "externalMeetingId": ID });
    let sound = Some("agent");
    for (username, body, message) in [
        (sound, json!({}), "Must provide External Meeting Id"),
        (sound, json!({ "externalMeetingId": "" }), "Must provide External Meeting Id"),
        (sound, json!({ "externalMeetingId": 7 }), "Must provide External Meeting Id"),
        (sound, json!({ "externalMeetingId": "x" }), "Must provide External Meeting Id"),
        (sound, json!({ "externalMeetingId": "x".repeat(65) }), "Must provide External Meeting Id"),
        (sound, json!([ID]), "Must provide External Meeting Id"),
        (None, json!({}), "Must provide External Meeting Id"),
        (None, body.clone(), "Must provide meeting owner username"),
        (Some(""), body, "Must provide meeting owner username"),
    ] {
        let fake = started().await;
        let before = fake.state().done.len();
        let refusal = stop(&fake, username, &body).await.unwrap_err();
        assert_eq!((refusal.status, &*refusal.message), (400, message), "{username:?} {body}");
        assert_eq!(fake.state().done.len(), before, "{username:?} {body}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_none() {
    let fake = started().await;
    let body = Some(json!({ "externalMeetingId": ID }).to_string());
    let request = Request { body, ..Request::default() };
    let services = Services { table: &fake, tasks: &fake, meetings: &fake };
    let refusal = handle(&services, &caller(Some("agent")), &request, now()).await.unwrap_err();
    assert_eq!(&*refusal.message, "Must provide External Meeting Id");
}

#[tokio::test]
async fn a_stop_with_nothing_in_progress_is_rejected_with_the_counts() {
    let wanted =
        json!({ "message": "No recording in progress", "data": counts(0, 0), "reqId": "r-1" });
    let ended = Recording { ended_at: Some(iso(now())), ..a_recording() };
    for (name, meeting, recording) in [
        ("no meeting", false, None),
        ("never recorded", true, None),
        ("ended before", true, Some(ended)),
    ] {
        let fake = Fake::new();
        if !meeting {
            fake.state().meetings.clear();
        }
        if let Some(recording) = recording {
            fake.add(recording);
        }
        let refusal = stop_as_owner(&fake).await.unwrap_err();
        assert_eq!((refusal.status, refusal.reply("r-1").body), (404, wanted.clone()), "{name}");
        assert!(!fake.state().done.contains(&"close".to_owned()), "{name}");
    }
}

#[tokio::test]
async fn the_second_stop_finds_nothing_and_changes_nothing() {
    let fake = started().await;
    stop_as_owner(&fake).await.unwrap();
    let later = now() + jiff::SignedDuration::from_secs(9);
    let body = json!({ "externalMeetingId": ID });
    let services = Services { table: &fake, tasks: &fake, meetings: &fake };
    let again = handle(&services, &caller(Some("agent")), &request(&body), later).await;
    assert_eq!(again.unwrap_err().status, 404);
    assert_eq!(ended_at(&fake, &a_recording()), Some(iso(now())));
}

#[tokio::test]
async fn nobody_but_the_owner_stops_a_recording() {
    // The original stopped it for any agent who was signed in.
    for username in ["other", "Agent", "agent "] {
        let fake = started().await;
        let body = json!({ "externalMeetingId": ID });
        let refusal = stop(&fake, Some(username), &body).await.unwrap_err();
        assert_eq!(
            (refusal.status, &*refusal.message),
            (400, "Stop Recording Error, user is not the owner"),
        );
        assert_eq!(refusal.data, None);
        assert_eq!(ended_at(&fake, &a_recording()), None);
        assert!(!fake.state().tasks[&a_task().arn].is_ending());
    }
}

#[tokio::test]
async fn a_task_that_ecs_has_forgotten_counts_as_stopped() {
    // The original ended in a 500 then, on every stop, and the item stayed open.
    let fake = started().await;
    fake.state().tasks.clear();
    assert_eq!(stop_as_owner(&fake).await.unwrap().data, counts(1, 0));
    assert_eq!(ended_at(&fake, &a_recording()), Some(iso(now())));
}

#[tokio::test]
async fn a_recording_that_is_not_stopped_is_counted_and_holds_up_no_other() {
    let fake = started().await;
    fake.add(another());
    fake.state().failing.insert("stop");
    assert_eq!(stop_as_owner(&fake).await.unwrap().data, counts(1, 1));
    assert_eq!(ended_at(&fake, &a_recording()), None);
    assert_eq!(ended_at(&fake, &another()), Some(iso(now())));

    // It is found again as soon as ECS answers.
    fake.state().failing.clear();
    assert_eq!(stop_as_owner(&fake).await.unwrap().data, counts(1, 0));
    assert_eq!(ended_at(&fake, &a_recording()), Some(iso(now())));
}

#[tokio::test]
async fn a_recording_that_is_only_being_started_is_stopped() {
    // The original found nothing before the task was noted, and the bot went on.
    let fake = Fake::new();
    fake.add(another());
    assert_eq!(stop_as_owner(&fake).await.unwrap().data, counts(1, 0));
    assert_eq!(ended_at(&fake, &another()), Some(iso(now())));
}

#[tokio::test]
async fn an_attendee_that_stays_does_not_make_the_stop_fail() {
    let fake = started().await;
    fake.state().failing.insert("remove");
    assert_eq!(stop_as_owner(&fake).await.unwrap().data, counts(1, 0));
}

#[tokio::test]
async fn a_table_that_does_not_answer_is_for_later() {
    for action in ["meeting", "recordings"] {
        let fake = started().await;
        fake.state().failing.insert(action);
        let refusal = stop_as_owner(&fake).await.unwrap_err();
        assert_eq!(
            (refusal.status, &*refusal.message),
            (500, "Stop Recording Error, please try again later"),
            "{action}"
        );
        assert!(refusal.source.is_some(), "the log has no cause for {action}");
        assert_eq!(ended_at(&fake, &a_recording()), None, "{action}");
    }
}
