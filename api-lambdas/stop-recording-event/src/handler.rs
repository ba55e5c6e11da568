//! The end of a meeting, as Chime tells `EventBridge`, ends its recordings.
//!
//! What is not stopped is an error, so that the event comes again; each time only
//! what is still in progress is tried. An event that names no meeting would be the
//! same the next time, so it is told in the log and forgotten.
//!
//! Events may come twice, late or not at all: for those the worker leaves by
//! itself, and the sweeper looks.

use contract::http::{Success, text};
use contract::lambda::Error;
use contract::names::MeetingId;
use contract::ports::{Meetings, Table, Tasks};
use contract::stop::{Counts, Services, stop_recordings};
use jiff::Timestamp;
use serde_json::Value;

const TEXT: &str = "Stop Recording Event Target succeed!";

/// What ECS is told.
const WHY: &str = "The meeting has ended";

/// The one event of Chime that means something here.
const MEETING_ENDED: &str = "chime:MeetingEnded";

/// `event` is whatever came: one of another form must not come for ever.
pub(crate) async fn handle(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings>,
    event: &Value,
    now: Timestamp,
) -> Result<Success, Error> {
    let detail = &event["detail"];
    let Some(meeting) = ended_meeting(detail) else {
        return Ok(Success::new(TEXT, Counts::default()));
    };
    // The meeting that ended, not the one of the table: as a rule it is gone, and
    // its attendees with it.
    let in_chime = text(detail, "meetingId");
    let counts = stop_recordings(services, &meeting, in_chime, WHY, now).await?;
    match counts.recordings_not_stopped {
        0 => Ok(Success::new(TEXT, counts)),
        more => Err(format!("the meeting has ended, but not {more} of its recordings").into()),
    }
}

/// The meeting that an event says has ended.
fn ended_meeting(detail: &Value) -> Option<MeetingId> {
    let kind = text(detail, "eventType");
    if kind != Some(MEETING_ENDED) {
        tracing::info!(kind, "the event is not about the end of a meeting");
        return None;
    }
    let meeting = text(detail, "externalMeetingId").and_then(MeetingId::new);
    if meeting.is_none() {
        tracing::warn!("the event does not say which meeting has ended");
    }
    meeting
}

#[cfg(test)]
mod tests {
    use contract::fake::{Fake, a_meeting, a_recording, a_task, now};
    use contract::items::{Recording, Status};
    use contract::names::RecordingId;
    use contract::ports::Meetings as _;
    use contract::time::iso;
    use jiff::SignedDuration;
    use serde_json::json;

    use super::*;

    fn event(kind: &str, meeting: &Value) -> Value {
        json!({
            "version": "0", "source": "aws.chime", "detail-type": "Chime Meeting State Change",
            "time": "2024-03-05T07:08:08Z", "region": "us-east-1", "resources": [],
            "detail": {
                "version": "0", "eventType": kind, "timestamp": 1_709_622_488_000_i64,
                "meetingId": "chime-1", "externalMeetingId": meeting, "mediaRegion": "us-east-1",
            },
        })
    }

    fn ended() -> Value {
        event(MEETING_ENDED, &json!(a_meeting().external_meeting_id))
    }

    async fn tell(fake: &Fake, event: &Value, now: Timestamp) -> Result<Success, Error> {
        handle(&Services { table: fake, tasks: fake, meetings: fake }, event, now).await
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

    fn counts(stopped: u32, not_stopped: u32) -> Value {
        json!({ "recordingsStopped": stopped, "recordingsNotStopped": not_stopped })
    }

    fn ended_at(fake: &Fake, id: &RecordingId) -> Option<String> {
        let key = (a_meeting().external_meeting_id, id.clone());
        fake.state().recordings[&key].ended_at.clone()
    }

    #[tokio::test]
    async fn the_end_of_a_meeting_ends_its_recording() {
        let fake = started().await;
        let success = tell(&fake, &ended(), now()).await.unwrap();
        assert_eq!(
            success.reply("r-1").body,
            json!({
                "success": "Stop Recording Event Target succeed!",
                "data": counts(1, 0), "reqId": "r-1",
            })
        );
        assert_eq!(ended_at(&fake, &a_recording().recording_id), Some(iso(now())));
        let state = fake.state();
        assert!(state.tasks[&a_task().arn].is_ending());
        assert!(state.locks.is_empty() && state.invited.is_empty());
    }

    #[tokio::test]
    async fn the_same_event_again_changes_nothing_and_succeeds() {
        let fake = started().await;
        tell(&fake, &ended(), now()).await.unwrap();
        let later = now() + SignedDuration::from_mins(1);
        assert_eq!(tell(&fake, &ended(), later).await.unwrap().data, counts(0, 0));
        assert_eq!(ended_at(&fake, &a_recording().recording_id), Some(iso(now())));
        let stops = fake.state().done.iter().filter(|action| *action == "stop").count();
        assert_eq!(stops, 1);
    }

    #[tokio::test]
    async fn a_meeting_without_recordings_is_no_failure() {
        let fake = Fake::new();
        fake.state().meetings.clear();
        assert_eq!(tell(&fake, &ended(), now()).await.unwrap().data, counts(0, 0));
    }

    #[tokio::test]
    async fn an_event_that_means_nothing_here_never_comes_again() {
        for event in [
            event("chime:MeetingStarted", &json!(a_meeting().external_meeting_id)),
            event("chime:AttendeeLeft", &json!(a_meeting().external_meeting_id)),
            event(MEETING_ENDED, &Value::Null),
            event(MEETING_ENDED, &json!(7)),
            event(MEETING_ENDED, &json!("")),
            event(MEETING_ENDED, &json!("x".repeat(65))),
            json!({ "detail": { "eventType": MEETING_ENDED } }),
            json!({ "detail": "chime:MeetingEnded" }),
            json!({}),
            json!([]),
            Value::Null,
        ] {
            let fake = started().await;
            let before = fake.state().done.len();
            let success = tell(&fake, &event, now()).await.unwrap();
            assert_eq!((success.text, success.data), (TEXT, counts(0, 0)), "{event}");
            assert_eq!(fake.state().done.len(), before, "{event}");
        }
    }

    #[tokio::test]
    async fn whatever_is_not_stopped_makes_the_event_come_again() {
        // The original answered that all went well, and nobody tried again.
        for action in ["recordings", "stop", "close"] {
            let fake = started().await;
            fake.state().failing.insert(action);
            assert!(tell(&fake, &ended(), now()).await.is_err(), "{action}");
            assert_eq!(ended_at(&fake, &a_recording().recording_id), None, "{action}");

            fake.state().failing.clear();
            assert_eq!(tell(&fake, &ended(), now()).await.unwrap().data, counts(1, 0), "{action}");
            assert_eq!(ended_at(&fake, &a_recording().recording_id), Some(iso(now())), "{action}");
        }
    }

    #[tokio::test]
    async fn what_could_be_stopped_is_stopped_even_if_the_event_comes_again() {
        let fake = started().await;
        let other = RecordingId::new("00000000-0000-4000-8000-000000000000").unwrap();
        fake.add(Recording { recording_id: other.clone(), ..a_recording() });
        fake.state().failing.insert("stop");
        let error = tell(&fake, &ended(), now()).await.unwrap_err();
        assert_eq!(error.to_string(), "the meeting has ended, but not 1 of its recordings");
        assert_eq!(ended_at(&fake, &other), Some(iso(now())));
    }

    #[tokio::test]
    async fn an_attendee_that_stays_does_not_make_the_event_come_again() {
        let fake = started().await;
        fake.state().failing.insert("remove");
        assert_eq!(tell(&fake, &ended(), now()).await.unwrap().data, counts(1, 0));
    }

    #[tokio::test]
    async fn an_event_without_the_meeting_in_chime_stops_all_the_same() {
        let fake = started().await;
        let meeting = a_meeting().external_meeting_id;
        let detail = json!({ "eventType": MEETING_ENDED, "externalMeetingId": meeting });
        let success = tell(&fake, &json!({ "detail": detail }), now()).await.unwrap();
        assert_eq!(success.data, counts(1, 0));
        assert!(!fake.state().done.contains(&"remove".to_owned()));
    }
}
