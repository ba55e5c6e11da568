//! The services in memory, for tests: they keep what they are given as the real
//! ones do, note what was asked of them, and fail when they are told to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::items::{Attendee, Lock, Meeting, OpenRecording, Recording, Status, User};
use crate::names::{MeetingId, RecordingId, object_key};
use crate::ports::{
    Answer, Claim, Connect, ConnectUser, Ending, Fault, Invited, Meetings, Objects, OpenUpload,
    Recovered, Recovery, Report, Run, Stop, Table, Tasks, UserPool, Written,
};
use crate::task::{Order, Task};
use crate::time::{iso, parse};

/// The instant at which tests take place.
pub fn now() -> Timestamp {
    parse("2024-03-05T07:08:09.123Z").expect("an instant")
}

pub fn a_meeting() -> Meeting {
    Meeting {
        external_meeting_id: MeetingId::new("0b6d3c1e-1111-4222-8333-444455556666").expect("an id"),
        owner_username: "agent".into(),
        chime_meeting_id: "chime-1".into(),
        chime_meeting_data: json!({ "MeetingId": "chime-1" }),
        ended_at: None,
    }
}

pub fn a_recording() -> Recording {
    let meeting = a_meeting().external_meeting_id;
    let id = RecordingId::new("9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd").expect("an id");
    Recording {
        key: object_key(&meeting, &id, now()),
        external_meeting_id: meeting,
        recording_id: id,
        owner_username: "agent".into(),
        owner_email: "agent@example.org".into(),
        connect_user_id: "connect-1".into(),
        connect_hierarchy_group_id: None,
        connect_hierarchy_group_summary: None,
        created_at: iso(now()),
        ended_at: None,
        bucket: "recordings".into(),
        task: None,
        chime_attendee_id: None,
        status: Some(Status::Starting),
        status_reason: None,
        duration_seconds: None,
        bytes: None,
        chapters_key: None,
    }
}

pub fn a_user() -> User {
    User::new("connect-1".into(), None, vec!["playback".into()], now())
}

/// The task of [`a_recording`], which runs.
pub fn a_task() -> Task {
    Task {
        arn: "arn:task/1".into(),
        started_by: a_recording().recording_id.started_by(),
        last_status: "RUNNING".into(),
        desired_status: "RUNNING".into(),
        stopped_reason: None,
        exit_code: None,
        created_at: Some(now()),
        stopped_at: None,
    }
}

/// All services at once.
#[derive(Debug, Default)]
pub struct Fake {
    state: Mutex<State>,
}

/// What is kept, for tests to look at and to prepare.
#[derive(Debug, Default)]
pub struct State {
    pub meetings: BTreeMap<MeetingId, Meeting>,
    pub recordings: BTreeMap<(MeetingId, RecordingId), Recording>,
    pub locks: BTreeMap<MeetingId, Lock>,
    pub open: BTreeMap<RecordingId, OpenRecording>,
    pub attendees: BTreeMap<(MeetingId, String), Attendee>,
    pub users: BTreeMap<String, User>,
    pub tasks: BTreeMap<String, Task>,
    pub orders: Vec<Order>,
    /// Attendees in Chime, by external user id.
    pub invited: BTreeSet<String>,
    pub connect_users: BTreeMap<String, ConnectUser>,
    pub contacts: BTreeMap<String, String>,
    /// Connect user ids by the pool's user names.
    pub pool: BTreeMap<String, String>,
    pub reports: BTreeMap<String, Report>,
    /// Objects and what there is of them, by key.
    pub objects: BTreeMap<String, Recovered>,
    pub uploads: Vec<OpenUpload>,
    /// What was done, in order.
    pub done: Vec<String>,
    /// Actions that fail from now on, by their names.
    pub failing: BTreeSet<&'static str>,
    /// What `RunTask` refuses with.
    pub refuses: Option<String>,
    pub meeting_is_gone: bool,
    /// Somebody stops the recording while its task is ordered.
    pub closes_during_run: bool,
}

impl Fake {
    /// With [`a_meeting`] and [`a_user`] in it.
    pub fn new() -> Self {
        let fake = Self::default();
        let meeting = a_meeting();
        let mut state = fake.state();
        state.meetings.insert(meeting.external_meeting_id.clone(), meeting);
        state.users.insert(a_user().connect_user_id, a_user());
        drop(state);
        fake
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a recording in as if it had been claimed.
    pub fn add(&self, recording: Recording) {
        let mut state = self.state();
        let meeting = recording.external_meeting_id.clone();
        let id = recording.recording_id.clone();
        if recording.in_progress() {
            let created_at = recording.created_at.clone();
            state.locks.insert(meeting.clone(), Lock { recording_id: id.clone(), created_at });
        }
        state.open.insert(id.clone(), open(&recording, "chime-1"));
        state.recordings.insert((meeting, id), recording);
    }

    /// Notes an action, which may have been told to fail.
    fn act(&self, service: &'static str, action: &'static str) -> Answer<MutexGuard<'_, State>> {
        let mut state = self.state();
        state.done.push(action.into());
        if state.failing.contains(action) {
            return Err(Fault { service, action, source: None });
        }
        Ok(state)
    }
}

impl State {
    fn recording_mut(&mut self, meeting: &MeetingId, id: &RecordingId) -> Option<&mut Recording> {
        self.recordings.get_mut(&(meeting.clone(), id.clone()))
    }

    fn release(&mut self, meeting: &MeetingId, id: &RecordingId) {
        if self.locks.get(meeting).is_some_and(|lock| lock.recording_id == *id) {
            self.locks.remove(meeting);
        }
    }
}

/// The open recording that belongs to a claim.
pub fn open(recording: &Recording, chime_meeting_id: &str) -> OpenRecording {
    OpenRecording {
        recording_id: recording.recording_id.clone(),
        external_meeting_id: recording.external_meeting_id.clone(),
        chime_meeting_id: chime_meeting_id.into(),
        created_at: recording.created_at.clone(),
        bucket: recording.bucket.clone(),
        key: recording.key.clone(),
    }
}

const TABLE: &str = "DynamoDB";

impl Table for Fake {
    async fn meeting(&self, id: &MeetingId) -> Answer<Option<Meeting>> {
        Ok(self.act(TABLE, "meeting")?.meetings.get(id).cloned())
    }

    async fn recordings(&self, id: &MeetingId) -> Answer<Vec<Recording>> {
        let state = self.act(TABLE, "recordings")?;
        let of = state.recordings.iter().filter(|((meeting, _), _)| meeting == id);
        Ok(of.map(|(_, recording)| recording.clone()).collect())
    }

    async fn recording(&self, meeting: &MeetingId, id: &RecordingId) -> Answer<Option<Recording>> {
        let state = self.act(TABLE, "recording")?;
        Ok(state.recordings.get(&(meeting.clone(), id.clone())).cloned())
    }

    async fn lock(&self, meeting: &MeetingId) -> Answer<Option<Lock>> {
        Ok(self.act(TABLE, "lock")?.locks.get(meeting).cloned())
    }

    async fn claim(
        &self,
        recording: &Recording,
        chime_meeting_id: &str,
        _: Timestamp,
    ) -> Answer<Claim> {
        let mut state = self.act(TABLE, "claim")?;
        let (meeting, id) = (&recording.external_meeting_id, &recording.recording_id);
        if state.locks.contains_key(meeting) {
            return Ok(Claim::Taken);
        }
        let lock = Lock { recording_id: id.clone(), created_at: recording.created_at.clone() };
        state.locks.insert(meeting.clone(), lock);
        state.open.insert(id.clone(), open(recording, chime_meeting_id));
        state.recordings.insert((meeting.clone(), id.clone()), recording.clone());
        Ok(Claim::Claimed)
    }

    async fn unclaim(&self, recording: &Recording) -> Answer<()> {
        let mut state = self.act(TABLE, "unclaim")?;
        let (meeting, id) = (&recording.external_meeting_id, &recording.recording_id);
        state.release(meeting, id);
        state.open.remove(id);
        state.recordings.remove(&(meeting.clone(), id.clone()));
        Ok(())
    }

    async fn put_attendee(
        &self,
        meeting: &MeetingId,
        attendee: &Attendee,
        _: Timestamp,
    ) -> Answer<()> {
        let mut state = self.act(TABLE, "put_attendee")?;
        let key = (meeting.clone(), attendee.external_user_id.clone());
        state.attendees.insert(key, attendee.clone());
        Ok(())
    }

    async fn delete_attendee(&self, meeting: &MeetingId, id: &RecordingId) -> Answer<()> {
        let mut state = self.act(TABLE, "delete_attendee")?;
        state.attendees.remove(&(meeting.clone(), id.as_str().to_owned()));
        Ok(())
    }

    async fn note_task(
        &self,
        recording: &Recording,
        task: &str,
        chime_attendee_id: Option<&str>,
    ) -> Answer<Written> {
        let mut state = self.act(TABLE, "note_task")?;
        let (meeting, id) = (&recording.external_meeting_id, &recording.recording_id);
        match state.recording_mut(meeting, id).filter(|recording| recording.in_progress()) {
            Some(recording) => {
                recording.task = Some(task.into());
                recording.status = Some(Status::Started);
                if let Some(attendee) = chime_attendee_id {
                    recording.chime_attendee_id = Some(attendee.into());
                }
                Ok(Written::Now)
            }
            None => Ok(Written::Not),
        }
    }

    async fn note_running(&self, meeting: &MeetingId, id: &RecordingId) -> Answer<Written> {
        let mut state = self.act(TABLE, "note_running")?;
        match state.recording_mut(meeting, id).filter(|recording| recording.in_progress()) {
            Some(recording) => {
                recording.status = Some(Status::Running);
                Ok(Written::Now)
            }
            None => Ok(Written::Not),
        }
    }

    async fn close(
        &self,
        meeting: &MeetingId,
        id: &RecordingId,
        now: Timestamp,
    ) -> Answer<Written> {
        let mut state = self.act(TABLE, "close")?;
        state.release(meeting, id);
        match state.recording_mut(meeting, id).filter(|recording| recording.in_progress()) {
            Some(recording) => {
                recording.ended_at = Some(iso(now));
                recording.status = Some(Status::Stopping);
                Ok(Written::Now)
            }
            None => Ok(Written::Not),
        }
    }

    async fn settle(&self, meeting: &MeetingId, id: &RecordingId, ending: &Ending) -> Answer<()> {
        let mut state = self.act(TABLE, "settle")?;
        state.release(meeting, id);
        state.open.remove(id);
        if let Some(recording) = state.recording_mut(meeting, id) {
            if recording.in_progress() {
                recording.ended_at = Some(iso(ending.ended_at));
            }
            recording.status = Some(ending.status);
            recording.status_reason = Some(ending.reason.clone());
            recording.duration_seconds = ending.duration_seconds;
            recording.bytes = ending.bytes;
            recording.chapters_key.clone_from(&ending.chapters_key);
        }
        Ok(())
    }

    async fn open_recordings(&self) -> Answer<Vec<OpenRecording>> {
        Ok(self.act(TABLE, "open_recordings")?.open.values().cloned().collect())
    }

    async fn open_recording(&self, id: &RecordingId) -> Answer<Option<OpenRecording>> {
        Ok(self.act(TABLE, "open_recording")?.open.get(id).cloned())
    }

    async fn user(&self, connect_user_id: &str) -> Answer<Option<User>> {
        Ok(self.act(TABLE, "user")?.users.get(connect_user_id).cloned())
    }

    async fn put_user(&self, user: &User) -> Answer<()> {
        let mut state = self.act(TABLE, "put_user")?;
        state.users.insert(user.connect_user_id.clone(), user.clone());
        Ok(())
    }
}

const ECS: &str = "ECS";

impl Tasks for Fake {
    async fn run(&self, order: &Order) -> Answer<Run> {
        let mut state = self.act(ECS, "run")?;
        if let Some(reason) = &state.refuses {
            return Ok(Run::Refused(reason.clone()));
        }
        if state.closes_during_run {
            state.locks.clear();
            for recording in state.recordings.values_mut() {
                recording.ended_at = Some(iso(now()));
            }
        }
        state.orders.push(order.clone());
        let number = state.orders.len();
        let task = Task {
            arn: format!("arn:task/{number}"),
            started_by: order.recording.started_by(),
            last_status: "PROVISIONING".into(),
            ..a_task()
        };
        let arn = task.arn.clone();
        state.tasks.insert(arn.clone(), task);
        Ok(Run::Accepted(arn))
    }

    async fn stop(&self, task: &str, _: &str) -> Answer<Stop> {
        let mut state = self.act(ECS, "stop")?;
        match state.tasks.get_mut(task) {
            Some(task) => {
                task.desired_status = "STOPPED".into();
                Ok(Stop::Asked)
            }
            None => Ok(Stop::Gone),
        }
    }

    async fn of(&self, id: &RecordingId) -> Answer<Vec<Task>> {
        let state = self.act(ECS, "of")?;
        let of = state.tasks.values().filter(|task| task.recording().as_ref() == Some(id));
        Ok(of.cloned().collect())
    }

    async fn get(&self, task: &str) -> Answer<Option<Task>> {
        Ok(self.act(ECS, "get")?.tasks.get(task).cloned())
    }

    async fn alive(&self) -> Answer<Vec<Task>> {
        let state = self.act(ECS, "alive")?;
        Ok(state.tasks.values().filter(|task| !task.is_dead()).cloned().collect())
    }

    async fn pre_warm(&self, _: &str, ec2_instance: &str) -> Answer<Option<String>> {
        let mut state = self.act(ECS, "pre_warm")?;
        if state.refuses.is_some() {
            return Ok(None);
        }
        let task = Task { started_by: format!("PreWarm-{ec2_instance}"), ..a_task() };
        let arn = task.arn.clone();
        state.tasks.insert(arn.clone(), task);
        Ok(Some(arn))
    }

    async fn was_pre_warmed(&self, ec2_instance: &str) -> Answer<bool> {
        let state = self.act(ECS, "was_pre_warmed")?;
        let by = format!("PreWarm-{ec2_instance}");
        Ok(state.tasks.values().any(|task| task.started_by == by))
    }
}

impl Meetings for Fake {
    async fn invite(&self, _: &str, external_user_id: &str) -> Answer<Invited> {
        let mut state = self.act("Chime", "invite")?;
        if state.meeting_is_gone {
            return Ok(Invited::NoMeeting);
        }
        state.invited.insert(external_user_id.into());
        Ok(Invited::Attendee(json!({
            "ExternalUserId": external_user_id,
            "AttendeeId": format!("chime-{external_user_id}"),
            "JoinToken": "secret",
        })))
    }

    async fn remove(&self, _: &str, chime_attendee_id: &str) -> Answer<()> {
        let mut state = self.act("Chime", "remove")?;
        let id = chime_attendee_id.strip_prefix("chime-").unwrap_or(chime_attendee_id);
        state.invited.remove(id);
        Ok(())
    }
}

impl Connect for Fake {
    async fn user(&self, id: &str) -> Answer<Option<ConnectUser>> {
        Ok(self.act("Connect", "describe_user")?.connect_users.get(id).cloned())
    }

    async fn group(&self, id: &str) -> Answer<Value> {
        drop(self.act("Connect", "describe_group")?);
        Ok(json!({ "Id": id, "LevelId": "1", "HierarchyPath": { "LevelOne": { "Id": id } } }))
    }

    async fn set_playback_url(&self, contact_id: &str, url: &str) -> Answer<()> {
        let mut state = self.act("Connect", "set_playback_url")?;
        state.contacts.insert(contact_id.into(), url.into());
        Ok(())
    }
}

impl UserPool for Fake {
    async fn set_connect_user_id(&self, username: &str, connect_user_id: &str) -> Answer<()> {
        let mut state = self.act("Cognito", "set_connect_user_id")?;
        state.pool.insert(username.into(), connect_user_id.into());
        Ok(())
    }
}

impl Objects for Fake {
    async fn presign(&self, bucket: &str, key: &str, minutes: u32, _: Timestamp) -> Answer<String> {
        drop(self.act("S3", "presign")?);
        Ok(format!("https://{bucket}/{key}?X-Amz-Expires={}", minutes * 60))
    }

    async fn report(&self, _: &str, key: &str) -> Answer<Option<Report>> {
        Ok(self.act("S3", "report")?.reports.get(key).cloned())
    }
}

impl Recovery for Fake {
    async fn recover(&self, _: &str, key: &str) -> Answer<Recovered> {
        let mut state = self.act("S3", "recover")?;
        let Some(found) = state.objects.get_mut(key) else { return Ok(Recovered::Nothing) };
        // Whoever comes next finds what this one made.
        let next = match found.clone() {
            Recovered::Recovered { bytes, duration_seconds } => {
                Recovered::WasComplete { bytes, duration_seconds }
            }
            other => other,
        };
        Ok(std::mem::replace(found, next))
    }

    async fn open_uploads(&self) -> Answer<Vec<OpenUpload>> {
        Ok(self.act("S3", "open_uploads")?.uploads.clone())
    }

    async fn recover_upload(&self, upload: &OpenUpload, _: Duration) -> Answer<Option<Recovered>> {
        let mut state = self.act("S3", "recover_upload")?;
        state.uploads.retain(|other| other.id != upload.id);
        Ok(Some(state.objects.get(&upload.key).cloned().unwrap_or(Recovered::Nothing)))
    }
}
