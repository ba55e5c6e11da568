//! The end of a recording whose task is dead: what it left becomes a file, and the
//! items say truthfully what there is. Done by whoever notices first, again and
//! again without harm.

use jiff::Timestamp;

use crate::items::{OpenRecording, Status};
use crate::names::RecordingId;
use crate::ports::{Answer, Ending, Meetings, Objects, Recovered, Recovery, Report, Table, Tasks};
use crate::task::Task;

/// How long a reason may be in an item, in characters.
const LONGEST_REASON: usize = 500;

/// The services of whoever settles recordings.
#[derive(Debug)]
pub struct Services<'a, T, K, M, O, R> {
    pub table: &'a T,
    pub tasks: &'a K,
    pub meetings: &'a M,
    pub objects: &'a O,
    pub recovery: &'a R,
}

/// Settles a recording whose task is dead, or never was: `task` is what ECS still
/// knows of it. An error means that it is to be done again.
pub async fn finish(
    &Services { table, meetings, objects, recovery, .. }: &Services<
        '_,
        impl Table,
        impl Tasks,
        impl Meetings,
        impl Objects,
        impl Recovery,
    >,
    open: &OpenRecording,
    task: Option<&Task>,
    now: Timestamp,
) -> Answer<Ending> {
    let OpenRecording { recording_id, external_meeting_id, bucket, key, .. } = open;
    let report = objects.report(bucket, key).await?;
    let whole = report.as_ref().is_some_and(|report| report.status().is_some());
    let recovered = if whole { None } else { Some(recovery.recover(bucket, key).await?) };
    let ending = ending(task, report.as_ref(), recovered.as_ref(), now);
    let recording = table.recording(external_meeting_id, recording_id).await?;
    let attendee = recording.and_then(|recording| recording.chime_attendee_id);
    remove_attendee(meetings, open, attendee.as_deref(), recording_id).await;
    table.settle(external_meeting_id, recording_id, &ending).await?;
    tracing::info!(
        recording = recording_id.as_str(),
        status = ending.status.as_str(),
        reason = ending.reason,
        "settled"
    );
    Ok(ending)
}

/// A bot that is in the roster no more must not look like one.
async fn remove_attendee(
    meetings: &impl Meetings,
    open: &OpenRecording,
    attendee: Option<&str>,
    recording: &RecordingId,
) {
    let Some(attendee) = attendee else { return };
    if let Err(error) = meetings.remove(&open.chime_meeting_id, attendee).await {
        let error = crate::lambda::chain(&error);
        tracing::warn!(recording = recording.as_str(), error, "the attendee is not removed");
    }
}

/// What the recording became, by what the task, its report and the bucket say. Pure.
fn ending(
    task: Option<&Task>,
    report: Option<&Report>,
    recovered: Option<&Recovered>,
    now: Timestamp,
) -> Ending {
    let exit_code = task.and_then(|task| task.exit_code);
    let (status, bytes, duration_seconds) = match (report, recovered) {
        (Some(report), None) => {
            let status = report.status().unwrap_or(Status::Failed);
            (status, report.bytes, report.duration_seconds)
        }
        (_, Some(Recovered::Recovered { bytes, duration_seconds })) => {
            (Status::Recovered, *bytes, *duration_seconds)
        }
        // Completed before, by the recorder, which could not tell; or by a repair whose end nobody
        // noted.
        (_, Some(Recovered::WasComplete { bytes, duration_seconds })) => {
            let is_asked = report.is_some_and(|report| report.completing);
            let status = match exit_code {
                code if code == Some(0) || is_asked => Status::Complete,
                Some(3) => Status::Truncated,
                _ => Status::Recovered,
            };
            (status, *bytes, *duration_seconds)
        }
        (_, Some(Recovered::Nothing) | None) => {
            let wanted = exit_code == Some(0);
            (if wanted { Status::Empty } else { Status::Failed }, None, None)
        }
    };
    let stopped_at = task.and_then(|task| task.stopped_at);
    Ending {
        ended_at: stopped_at.unwrap_or(now),
        status,
        reason: reason(task, report),
        duration_seconds,
        bytes,
        chapters_key: report
            .filter(|_| status.has_file())
            .and_then(|report| report.chapters_key.clone()),
    }
}

/// Why it ended, as far as anybody knows.
fn reason(task: Option<&Task>, report: Option<&Report>) -> String {
    let mut told = Vec::new();
    if let Some(report) = report {
        told.push(report.end.clone());
    }
    match task {
        Some(task) => {
            match task.exit_code {
                Some(code) => told.push(format!("exit code {code}")),
                None => told.push("no exit code".into()),
            }
            told.extend(task.stopped_reason.clone());
        }
        None => told.push("the task is not known to ECS".into()),
    }
    told.retain(|text| !text.is_empty());
    told.join("; ").chars().take(LONGEST_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::a_task;
    use crate::time::parse;

    fn report(media: &str) -> Report {
        Report {
            media: media.into(),
            end: "meeting_ended".into(),
            duration_seconds: Some(9.5),
            bytes: Some(1000),
            chapters_key: Some("k.vtt".into()),
            completing: false,
        }
    }

    fn dead(exit_code: Option<i32>) -> Task {
        Task {
            last_status: "STOPPED".into(),
            exit_code,
            stopped_reason: Some("Essential container in task exited".into()),
            stopped_at: parse("2024-03-05T08:00:00Z"),
            ..a_task()
        }
    }

    #[test]
    fn a_recording_becomes_what_there_is() {
        let found =
            |bytes| Recovered::Recovered { bytes: Some(bytes), duration_seconds: Some(3.0) };
        let whole = |bytes| Recovered::WasComplete { bytes: Some(bytes), duration_seconds: None };
        let now = parse("2024-03-05T09:00:00Z").unwrap();
        for (name, exit_code, report, recovered, status, bytes) in [
            (
                "an ordinary end",
                Some(0),
                Some(report("complete")),
                None,
                Status::Complete,
                Some(1000),
            ),
            ("cut short", Some(3), Some(report("truncated")), None, Status::Truncated, Some(1000)),
            (
                "left open",
                Some(4),
                Some(report("upload_open")),
                Some(found(7)),
                Status::Recovered,
                Some(7),
            ),
            ("killed", Some(137), None, Some(found(7)), Status::Recovered, Some(7)),
            ("told nobody", Some(0), None, Some(whole(8)), Status::Complete, Some(8)),
            ("cut short, told nobody", Some(3), None, Some(whole(8)), Status::Truncated, Some(8)),
            ("repaired before", Some(137), None, Some(whole(8)), Status::Recovered, Some(8)),
            (
                "left open and repaired before",
                Some(4),
                Some(report("upload_open")),
                Some(whole(8)),
                Status::Recovered,
                Some(8),
            ),
            (
                "completed, and heard nothing of it",
                Some(4),
                Some(Report { completing: true, ..report("upload_open") }),
                Some(whole(8)),
                Status::Complete,
                Some(8),
            ),
            (
                "nothing, as told",
                Some(0),
                Some(report("nothing")),
                Some(Recovered::Nothing),
                Status::Empty,
                None,
            ),
            (
                "failed at the start",
                Some(1),
                Some(report("nothing")),
                Some(Recovered::Nothing),
                Status::Failed,
                None,
            ),
            ("never ran", None, None, Some(Recovered::Nothing), Status::Failed, None),
        ] {
            let ending = ending(Some(&dead(exit_code)), report.as_ref(), recovered.as_ref(), now);
            assert_eq!((ending.status, ending.bytes), (status, bytes), "{name}");
            assert_eq!(ending.ended_at, parse("2024-03-05T08:00:00Z").unwrap(), "{name}");
            assert!(ending.reason.contains("Essential container"), "{name}: {}", ending.reason);
            let chapters = ending.chapters_key.is_some();
            assert_eq!(chapters, status.has_file() && report.is_some(), "{name}");
        }
    }

    #[test]
    fn a_task_that_nobody_knows_has_ended_by_now() {
        let now = parse("2024-03-05T09:00:00Z").unwrap();
        let ending = ending(None, None, Some(&Recovered::Nothing), now);
        assert_eq!((ending.ended_at, ending.status), (now, Status::Failed));
        assert_eq!(ending.reason, "the task is not known to ECS");
    }

    #[test]
    fn a_reason_has_a_sound_length() {
        let task = Task { stopped_reason: Some("x".repeat(9_000)), ..dead(Some(1)) };
        assert_eq!(reason(Some(&task), None).chars().count(), LONGEST_REASON);
    }
}
