//! `POST /recording`: claims the recording first, then makes its attendee and its
//! task, then notes the task. Whatever fails takes back what was done before it.
//!
//! ```text
//! checks ─▶ claim (recording, lock, open recording: one transaction)
//!             ├─▶ attendee in Chime, its item ─▶ task ─▶ note the task ─▶ 200
//!             └── any failure ─▶ end the task, remove the attendee, take the claim back
//! ```
//!
//! A claim that cannot be taken back (or a Lambda that dies here) is found by the
//! sweeper.

use contract::connect::fresh_user;
use contract::http::{Refusal, Request, Success, text};
use contract::identity::Caller;
use contract::items::{Attendee, Meeting, Recording, Status};
use contract::names::{MeetingId, RecordingId, object_key};
use contract::ports::{Claim, Connect, Fault, Invited, Meetings, Run, Table, Tasks, Written};
use contract::task::{Order, Screen, Task};
use contract::time::iso;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// How long a start may take: within it a lock whose recording has no task is not
/// stale. A Lambda is ended after 20 s.
const START_TIMEOUT: SignedDuration = SignedDuration::from_secs(60);

const TEXT: &str = "Start Recording succeed!";
const LATER: &str = "Start Recording Error, please try again later";

/// What a deployment sets.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) bucket: String,
    pub(crate) screen: Screen,
    pub(crate) attendee_name: String,
    /// Of the container in the task definition.
    pub(crate) container: String,
}

/// The services that a start needs.
#[derive(Debug)]
pub(crate) struct Services<'a, T, K, M, C> {
    pub(crate) table: &'a T,
    pub(crate) tasks: &'a K,
    pub(crate) meetings: &'a M,
    pub(crate) connect: &'a C,
}

/// What a request asks for, once it is known to be sound.
#[derive(Debug)]
struct Asked<'a> {
    meeting: MeetingId,
    username: &'a str,
    email: &'a str,
    connect_user_id: &'a str,
}

pub(crate) async fn handle(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings, impl Connect>,
    settings: &Settings,
    caller: &Caller,
    request: &Request,
    id: RecordingId,
    now: Timestamp,
) -> Result<Success, Refusal> {
    let body = request.json();
    let asked = asked(&body, caller)?;
    let &Services { table, tasks, connect, .. } = services;
    let meeting = recordable(table, &asked).await?;
    let before = table.recordings(&asked.meeting).await.map_err(later("recordings"))?;
    free(table, tasks, &before, &asked.meeting, now).await?;
    let user = fresh_user(table, connect, asked.connect_user_id, now).await;
    let user = user.map_err(later("user"))?.ok_or_else(|| {
        Refusal::new(500, LATER, "user_unknown")
            .because("the cache does not know the user, who has to log in again")
    })?;

    let recording = Recording {
        key: object_key(&asked.meeting, &id, now),
        external_meeting_id: asked.meeting,
        recording_id: id,
        owner_username: asked.username.into(),
        owner_email: asked.email.into(),
        connect_user_id: asked.connect_user_id.into(),
        connect_hierarchy_group_id: user.hierarchy_group_id,
        connect_hierarchy_group_summary: user.hierarchy_group_summary,
        created_at: iso(now),
        ended_at: None,
        bucket: settings.bucket.clone(),
        task: None,
        chime_attendee_id: None,
        status: Some(Status::Starting),
        status_reason: None,
        duration_seconds: None,
        bytes: None,
        chapters_key: None,
    };
    match table.claim(&recording, &meeting.chime_meeting_id, now).await {
        Ok(Claim::Claimed) => {}
        Ok(Claim::Taken) => return Err(in_progress()),
        // It may have been written all the same; the sweeper would find it.
        Err(error) => {
            take_back(services, &recording, &meeting, Made::default()).await;
            return Err(later("claim")(error));
        }
    }
    let mut made = Made::default();
    if let Err(refusal) = begin(services, settings, &recording, &meeting, &mut made, now).await {
        take_back(services, &recording, &meeting, made).await;
        return Err(refusal);
    }
    if before.is_empty() {
        tell_contact(connect, &body).await;
    }
    tracing::info!(recording = recording.recording_id.as_str(), task = made.task, "started");
    let data = json!({
        "recordingId": recording.recording_id, "message": "Start recording initiated",
    });
    Ok(Success::new(TEXT, data))
}

fn asked<'a>(body: &Value, caller: &'a Caller) -> Result<Asked<'a>, Refusal> {
    let meeting = text(body, "externalMeetingId")
        .and_then(MeetingId::new)
        .ok_or_else(|| Refusal::new(400, "Must provide External Meeting Id", "no_meeting_id"))?;
    let need = |value: &'a Option<String>, message, reason| {
        value
            .as_deref()
            .filter(|text| !text.is_empty())
            .ok_or_else(|| Refusal::new(400, message, reason))
    };
    Ok(Asked {
        meeting,
        username: need(&caller.username, "Must provide meeting owner username", "no_username")?,
        email: need(&caller.email, "Must provide meeting owner email", "no_email")?,
        connect_user_id: need(
            &caller.connect_user_id,
            "Must provide connectUserId",
            "no_connect_user_id",
        )?,
    })
}

/// The meeting, if there is one that the caller may record.
async fn recordable(table: &impl Table, asked: &Asked<'_>) -> Result<Meeting, Refusal> {
    let meeting = table.meeting(&asked.meeting).await.map_err(later("meeting"))?;
    let meeting = meeting.ok_or_else(|| {
        Refusal::new(404, "Start Recording Error, meeting not found", "meeting_not_found")
    })?;
    if meeting.owner_username != asked.username {
        let message = "Start Recording Error, user is not the owner";
        return Err(Refusal::new(400, message, "not_the_owner"));
    }
    if meeting.ended_at.as_deref().is_some_and(|at| !at.is_empty()) {
        return Err(meeting_ended());
    }
    Ok(meeting)
}

/// Whether the meeting may be recorded now. A recording that holds it although its
/// task is dead is closed here; the sweeper settles it.
async fn free(
    table: &impl Table,
    tasks: &impl Tasks,
    before: &[Recording],
    meeting: &MeetingId,
    now: Timestamp,
) -> Result<(), Refusal> {
    for recording in before.iter().filter(|recording| recording.in_progress()) {
        if !is_dead(tasks, recording, now).await.map_err(later("stale_lock"))? {
            return Err(in_progress());
        }
        let id = &recording.recording_id;
        tracing::warn!(recording = id.as_str(), "its task is dead: the meeting is free again");
        table.close(meeting, id, now).await.map_err(later("stale_lock"))?;
    }
    Ok(())
}

/// Whether it is proven that a recording in progress has no task any more.
async fn is_dead(tasks: &impl Tasks, recording: &Recording, now: Timestamp) -> Result<bool, Fault> {
    let created = contract::time::parse(&recording.created_at);
    let is_new = created.is_some_and(|created| now.duration_since(created) < START_TIMEOUT);
    if let Some(task) = &recording.task {
        // ECS may not know a task yet that it took a moment ago.
        return Ok(tasks.get(task).await?.map_or(!is_new, |task| task.is_dead()));
    }
    Ok(!is_new && tasks.of(&recording.recording_id).await?.iter().all(Task::is_dead))
}

/// What there is beside the claim.
#[derive(Debug, Default)]
struct Made {
    attendee: Option<String>,
    /// Whether a task may have been ordered.
    ordered: bool,
    task: Option<String>,
}

async fn begin(
    Services { table, tasks, meetings, .. }: &Services<
        '_,
        impl Table,
        impl Tasks,
        impl Meetings,
        impl Connect,
    >,
    settings: &Settings,
    recording: &Recording,
    meeting: &Meeting,
    made: &mut Made,
    now: Timestamp,
) -> Result<(), Refusal> {
    let id = &recording.recording_id;
    let no_attendee = |error| {
        Refusal::new(500, "Create Attendee Error, please try again later", "attendee")
            .because(error)
    };
    let attendee = match meetings.invite(&meeting.chime_meeting_id, id.as_str()).await {
        Ok(Invited::Attendee(attendee)) => attendee,
        Ok(Invited::NoMeeting) => return Err(meeting_ended()),
        Err(error) => return Err(no_attendee(error)),
    };
    let attendee_id = attendee.get("AttendeeId").and_then(Value::as_str).unwrap_or_default();
    let attendee_id = attendee_id.to_owned();
    made.attendee = Some(attendee_id.clone());
    let item = Attendee {
        external_user_id: id.as_str().into(),
        attendee_name: settings.attendee_name.clone(),
        chime_attendee_id: attendee_id.clone(),
        chime_attendee_data: attendee.clone(),
        created_at: iso(now),
    };
    let put = table.put_attendee(&recording.external_meeting_id, &item, now).await;
    put.map_err(no_attendee)?;

    let order = Order::new(
        recording,
        &meeting.chime_meeting_data,
        &attendee,
        &settings.screen,
        &settings.container,
    )
    .map_err(|error| Refusal::new(500, LATER, "overrides_too_long").because(error))?;
    made.ordered = true;
    let task = match tasks.run(&order).await.map_err(later("run_task"))? {
        Run::Accepted(task) => task,
        Run::Refused(reason) => {
            made.ordered = false;
            return Err(Refusal::new(500, LATER, "no_capacity").because(reason));
        }
    };
    made.task = Some(task.clone());
    match table.note_task(recording, &task, Some(&attendee_id)).await {
        Ok(Written::Now) => Ok(()),
        Ok(Written::Not) => {
            Err(Refusal::new(409, "Recording stopped before it started", "stopped_meanwhile"))
        }
        Err(error) => Err(later("note_task")(error)),
    }
}

/// Undoes what was made, newest first. What fails is told and left to the sweeper.
async fn take_back(
    Services { table, tasks, meetings, .. }: &Services<
        '_,
        impl Table,
        impl Tasks,
        impl Meetings,
        impl Connect,
    >,
    recording: &Recording,
    meeting: &Meeting,
    made: Made,
) {
    let id = &recording.recording_id;
    let left = |what: &str, error: &Fault| {
        let error = contract::lambda::chain(error);
        tracing::error!(recording = id.as_str(), error, "{what} is left to the sweeper");
    };
    let mut ended = true;
    for task in tasks_of(*tasks, id, &made).await.unwrap_or_else(|error| {
        left("the task", &error);
        ended = false;
        Vec::new()
    }) {
        if let Err(error) = tasks.stop(&task, "The recording could not be started").await {
            left("the task", &error);
            ended = false;
        }
    }
    if let Some(attendee) = &made.attendee {
        if let Err(error) = meetings.remove(&meeting.chime_meeting_id, attendee).await {
            left("the attendee", &error);
        }
        let gone = table.delete_attendee(&recording.external_meeting_id, id).await;
        if let Err(error) = gone {
            left("the attendee's item", &error);
        }
    }
    // As long as there may be a task, its recording must be found.
    if ended && let Err(error) = table.unclaim(recording).await {
        left("the claim", &error);
    }
}

/// The tasks that may have come of the order.
async fn tasks_of(tasks: &impl Tasks, id: &RecordingId, made: &Made) -> Result<Vec<String>, Fault> {
    match (&made.task, made.ordered) {
        (Some(task), _) => Ok(vec![task.clone()]),
        (None, false) => Ok(Vec::new()),
        (None, true) => {
            let found = tasks.of(id).await?;
            Ok(found.into_iter().filter(|task| !task.is_dead()).map(|task| task.arn).collect())
        }
    }
}

/// The first recording of a meeting puts the address of its playback into the
/// contact. Nobody misses a recording because of that.
async fn tell_contact(connect: &impl Connect, body: &Value) {
    let asked = text(body, "connectContactId").zip(text(body, "videoRecordingPlaybackURL"));
    let Some((contact, url)) = asked else { return };
    if let Err(error) = connect.set_playback_url(contact, url).await {
        let error = contract::lambda::chain(&error);
        tracing::warn!(error, "the contact does not know where its recording is played");
    }
}

fn in_progress() -> Refusal {
    Refusal::new(409, "Recording already in progress", "in_progress")
}

fn meeting_ended() -> Refusal {
    Refusal::new(409, "Start Recording Error, meeting has ended", "meeting_ended")
}

fn later(reason: &'static str) -> impl Fn(Fault) -> Refusal {
    move |error| Refusal::new(500, LATER, reason).because(error)
}

#[cfg(test)]
mod tests;
