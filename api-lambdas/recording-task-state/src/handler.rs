//! An ECS Task State Change of a recording's task: once it runs that is noted; once
//! it is dead the recording is settled, whatever it died of.
//!
//! Events may come twice, late and in any order: what is settled is not open any
//! more, and is left alone.

use contract::aws::cluster::task_of_event;
use contract::finish::{Services, finish};
use contract::http::Success;
use contract::items::OpenRecording;
use contract::lambda::Error;
use contract::metrics::Metric;
use contract::ports::{Meetings, Objects, Recovery, Table, Tasks};
use contract::task::Task;
use jiff::Timestamp;
use serde_json::{Value, json};

const TEXT: &str = "Recording Task State succeed!";

/// What was done, and the numbers about it.
#[derive(Debug, PartialEq)]
pub(crate) struct Done {
    pub(crate) success: Success,
    pub(crate) metrics: Vec<Metric>,
}

/// An error means that the event has to come again.
pub(crate) async fn handle(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings, impl Objects, impl Recovery>,
    event: &Value,
    now: Timestamp,
) -> Result<Done, Error> {
    let task = event.get("detail").and_then(task_of_event);
    let Some((task, id)) = task.and_then(|task| task.recording().map(|id| (task, id))) else {
        return Ok(done("not a recording's task", Vec::new()));
    };
    let Some(open) = services.table.open_recording(&id).await? else {
        return Ok(done("settled already", Vec::new()));
    };
    if task.is_dead() {
        return settle(services, &open, &task, now).await;
    }
    if task.last_status == "RUNNING" {
        services.table.note_running(&open.external_meeting_id, &id).await?;
        return Ok(done("running", Vec::new()));
    }
    Ok(done("on its way", Vec::new()))
}

async fn settle(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings, impl Objects, impl Recovery>,
    open: &OpenRecording,
    task: &Task,
    now: Timestamp,
) -> Result<Done, Error> {
    if is_recorded_by_another(services.table, services.tasks, open, task).await? {
        return Ok(done("another task records", Vec::new()));
    }
    let ending = finish(services, open, Some(task), now).await?;
    let status = ending.status;
    let mut metrics = vec![Metric::count("Settled", 1)];
    if status.is_short() {
        metrics.push(Metric::count("NotComplete", 1));
    }
    if status == contract::items::Status::Recovered {
        metrics.push(Metric::count("OrphansRepaired", 1));
    }
    Ok(done(status.as_str(), metrics))
}

/// Whether the recording has another task, which lives.
async fn is_recorded_by_another(
    table: &impl Table,
    tasks: &impl Tasks,
    open: &OpenRecording,
    dead: &Task,
) -> Result<bool, Error> {
    let recording = table.recording(&open.external_meeting_id, &open.recording_id).await?;
    let Some(noted) = recording.and_then(|recording| recording.task) else { return Ok(false) };
    if noted == dead.arn {
        return Ok(false);
    }
    Ok(tasks.get(&noted).await?.is_some_and(|task| !task.is_dead()))
}

fn done(what: &str, metrics: Vec<Metric>) -> Done {
    Done { success: Success::new(TEXT, json!({ "recording": what })), metrics }
}

#[cfg(test)]
mod tests {
    use contract::fake::{Fake, a_recording, a_task, now};
    use contract::items::{Recording, Status};
    use contract::ports::{Recovered, Report};

    use super::*;

    fn services(fake: &Fake) -> Services<'_, Fake, Fake, Fake, Fake, Fake> {
        Services { table: fake, tasks: fake, meetings: fake, objects: fake, recovery: fake }
    }

    fn event(last_status: &str) -> Value {
        json!({
            "source": "aws.ecs", "detail-type": "ECS Task State Change",
            "detail": {
                "taskArn": a_task().arn, "startedBy": a_task().started_by,
                "lastStatus": last_status, "desiredStatus": "RUNNING",
                "stopCode": "EssentialContainerExited",
                "stoppedReason": "Essential container in task exited",
                "containers": [{ "name": "recorder", "exitCode": 137 }],
                "stoppedAt": "2024-03-05T08:00:00.000Z",
            },
        })
    }

    /// A recording in progress whose attendee is in the meeting.
    fn recorded() -> Fake {
        let fake = Fake::new();
        fake.add(Recording {
            task: Some(a_task().arn),
            chime_attendee_id: Some("chime-a".into()),
            status: Some(Status::Started),
            ..a_recording()
        });
        let mut state = fake.state();
        state.invited.insert("a".into());
        state.tasks.insert(a_task().arn, a_task());
        drop(state);
        fake
    }

    fn the_recording(fake: &Fake) -> Recording {
        fake.state().recordings.values().next().unwrap().clone()
    }

    #[tokio::test]
    async fn a_task_that_runs_is_noted() {
        let fake = recorded();
        handle(&services(&fake), &event("RUNNING"), now()).await.unwrap();
        assert_eq!(the_recording(&fake).status, Some(Status::Running));
        assert_eq!(fake.state().open.len(), 1);
    }

    #[tokio::test]
    async fn a_killed_task_leaves_a_recovered_recording_and_a_free_meeting() {
        let fake = recorded();
        let found = Recovered::Recovered { bytes: Some(5), duration_seconds: Some(2.5) };
        fake.state().objects.insert(a_recording().key, found);
        handle(&services(&fake), &event("STOPPED"), now()).await.unwrap();
        let recording = the_recording(&fake);
        assert_eq!(recording.status, Some(Status::Recovered));
        assert_eq!((recording.bytes, recording.duration_seconds), (Some(5), Some(2.5)));
        assert_eq!(recording.ended_at.as_deref(), Some("2024-03-05T08:00:00.000Z"));
        assert!(recording.status_reason.unwrap().contains("exit code 137"));
        let state = fake.state();
        assert!(state.locks.is_empty() && state.open.is_empty() && state.invited.is_empty());
    }

    #[tokio::test]
    async fn an_ordinary_end_takes_its_numbers_from_the_report() {
        let fake = recorded();
        let report = Report {
            media: "complete".into(),
            end: "signal".into(),
            duration_seconds: Some(60.0),
            bytes: Some(9),
            chapters_key: Some("k.vtt".into()),
            completing: false,
        };
        fake.state().reports.insert(a_recording().key, report);
        handle(&services(&fake), &event("STOPPED"), now()).await.unwrap();
        let recording = the_recording(&fake);
        assert_eq!(recording.status, Some(Status::Complete));
        assert_eq!(recording.chapters_key.as_deref(), Some("k.vtt"));
        assert!(!fake.state().done.contains(&"recover".to_owned()));
    }

    #[tokio::test]
    async fn an_end_that_was_asked_for_keeps_its_time() {
        let fake = recorded();
        let recording = the_recording(&fake);
        contract::ports::Table::close(
            &fake,
            &recording.external_meeting_id,
            &recording.recording_id,
            now(),
        )
        .await
        .unwrap();
        handle(&services(&fake), &event("STOPPED"), now()).await.unwrap();
        assert_eq!(the_recording(&fake).ended_at.as_deref(), Some("2024-03-05T07:08:09.123Z"));
    }

    #[tokio::test]
    async fn the_same_event_twice_changes_nothing() {
        let fake = recorded();
        handle(&services(&fake), &event("STOPPED"), now()).await.unwrap();
        let before = the_recording(&fake);
        let again = handle(&services(&fake), &event("STOPPED"), now()).await.unwrap();
        assert_eq!(again.success.data["recording"], "settled already");
        handle(&services(&fake), &event("RUNNING"), now()).await.unwrap();
        assert_eq!(the_recording(&fake), before);
    }

    #[tokio::test]
    async fn what_cannot_be_settled_comes_again() {
        for failing in ["report", "recover", "settle", "open_recording"] {
            let fake = recorded();
            let found = Recovered::Recovered { bytes: Some(5), duration_seconds: Some(2.5) };
            fake.state().objects.insert(a_recording().key, found);
            fake.state().failing.insert(failing);
            handle(&services(&fake), &event("STOPPED"), now()).await.unwrap_err();
            assert!(the_recording(&fake).in_progress(), "{failing}");
            fake.state().failing.clear();
            handle(&services(&fake), &event("STOPPED"), now()).await.unwrap();
            // Whoever comes again finds an object, and it is a repaired one all the same.
            assert_eq!(the_recording(&fake).status, Some(Status::Recovered), "{failing}");
        }
    }

    #[tokio::test]
    async fn an_attendee_that_stays_does_not_hold_the_recording_up() {
        let fake = recorded();
        fake.state().failing.insert("remove");
        handle(&services(&fake), &event("STOPPED"), now()).await.unwrap();
        assert!(fake.state().open.is_empty());
    }

    #[tokio::test]
    async fn the_death_of_a_second_task_does_not_end_a_recording() {
        let fake = recorded();
        let mut event = event("STOPPED");
        event["detail"]["taskArn"] = "arn:task/other".into();
        let done = handle(&services(&fake), &event, now()).await.unwrap();
        assert_eq!(done.success.data["recording"], "another task records");
        assert!(the_recording(&fake).in_progress());
    }

    #[tokio::test]
    async fn tasks_of_others_are_left_alone() {
        let fake = recorded();
        for detail in [
            json!({}),
            json!({ "taskArn": "a", "startedBy": "PreWarm-i-1", "lastStatus": "STOPPED" }),
            json!({ "taskArn": "a", "lastStatus": "STOPPED" }),
        ] {
            let done = handle(&services(&fake), &json!({ "detail": detail }), now()).await.unwrap();
            assert_eq!(done.success.data["recording"], "not a recording's task");
        }
        assert!(fake.state().done.is_empty());
    }
}
