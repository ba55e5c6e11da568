//! The stop of a meeting's recordings: asked for by its owner, or by the end of
//! the meeting. Every recording is tried, whatever becomes of the others.

use jiff::Timestamp;
use serde::Serialize;

use crate::items::Recording;
use crate::lambda::chain;
use crate::names::MeetingId;
use crate::ports::{Answer, Meetings, Stop, Table, Tasks, Written};

/// How many recordings of a meeting were in progress, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub recordings_stopped: u32,
    pub recordings_not_stopped: u32,
}

/// The services that a stop needs.
#[derive(Debug)]
pub struct Services<'a, T, K, M> {
    pub table: &'a T,
    pub tasks: &'a K,
    pub meetings: &'a M,
}

/// Stops what is in progress. `chime_meeting_id` is the meeting in Chime, if it is
/// known: the recording's attendee is removed from it. `why` is for ECS.
pub async fn stop_recordings(
    &Services { table, tasks, meetings }: &Services<'_, impl Table, impl Tasks, impl Meetings>,
    meeting: &MeetingId,
    chime_meeting_id: Option<&str>,
    why: &str,
    now: Timestamp,
) -> Answer<Counts> {
    let mut counts = Counts::default();
    for recording in table.recordings(meeting).await? {
        if !recording.in_progress() {
            continue;
        }
        if stop_recording(table, tasks, &recording, why, now).await {
            counts.recordings_stopped += 1;
        } else {
            counts.recordings_not_stopped += 1;
        }
        let attendee = recording.chime_attendee_id.as_deref();
        if let Some((meeting, attendee)) = chime_meeting_id.zip(attendee)
            && let Err(error) = meetings.remove(meeting, attendee).await
        {
            // The task leaves by itself; what is left is a name in the roster.
            let recording = recording.recording_id.as_str();
            tracing::warn!(recording, error = chain(&error), "the attendee is not removed");
        }
    }
    Ok(counts)
}

/// Whether the recording has no task any more that was not told to end, and says so.
async fn stop_recording(
    table: &impl Table,
    tasks: &impl Tasks,
    recording: &Recording,
    why: &str,
    now: Timestamp,
) -> bool {
    let id = &recording.recording_id;
    // Without an ARN it is being started, or was by a Lambda that died: its task may
    // exist all the same. One that is ordered only after this is ended by whoever
    // ordered it, who finds the recording closed.
    let found = match &recording.task {
        Some(task) => Ok(vec![task.clone()]),
        None => tasks.of(id).await.map(|found| {
            found.into_iter().filter(|task| !task.is_dead()).map(|task| task.arn).collect()
        }),
    };
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            tracing::error!(recording = id.as_str(), error = chain(&error), "not stopped");
            return false;
        }
    };
    for task in found {
        match tasks.stop(&task, why).await {
            Ok(Stop::Asked | Stop::Gone) => {}
            Ok(Stop::Refused) => {
                tracing::error!(recording = id.as_str(), task, "ECS does not stop the task");
                return false;
            }
            Err(error) => {
                let error = chain(&error);
                tracing::error!(recording = id.as_str(), task, error, "the task is not stopped");
                return false;
            }
        }
    }
    match table.close(&recording.external_meeting_id, id, now).await {
        Ok(Written::Now) => true,
        Ok(Written::Not) => {
            tracing::info!(recording = id.as_str(), "somebody else has closed it");
            true
        }
        Err(error) => {
            let error = chain(&error);
            tracing::error!(recording = id.as_str(), error, "stopped, but not closed");
            false
        }
    }
}
