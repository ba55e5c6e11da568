//! The services a Lambda works with, as traits that say what it wants of them.
//! `aws/` has the real ones, `fake.rs` those that can be told to fail.

use jiff::Timestamp;
use serde_json::Value;

use crate::items::{Attendee, Lock, Meeting, OpenRecording, Recording, Status, User};
use crate::names::{MeetingId, RecordingId};
use crate::task::{Order, Task};

/// A service did not do what it was asked to. Whoever asked may ask again.
#[derive(Debug, thiserror::Error)]
#[error("{service} did not {action}")]
pub struct Fault {
    /// Such as `DynamoDB`.
    pub service: &'static str,
    /// What it should have done: `put the recording`.
    pub action: &'static str,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

pub type Answer<T> = Result<T, Fault>;

/// Whether a recording could be claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    Claimed,
    /// Another recording of the meeting holds the lock.
    Taken,
}

/// Whether a conditional write found what it wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    Now,
    /// Somebody else had done it before, or the item is gone.
    Not,
}

/// How a recording ended, once nothing more will happen to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// Used if nobody has written one before.
    pub ended_at: Timestamp,
    pub status: Status,
    pub reason: String,
    pub duration_seconds: Option<f64>,
    pub bytes: Option<u64>,
    pub chapters_key: Option<String>,
}

/// The table. Every read is consistent and reads all pages.
pub trait Table: Send + Sync {
    fn meeting(&self, id: &MeetingId) -> impl Future<Output = Answer<Option<Meeting>>> + Send;

    /// All recordings of a meeting, by their ids.
    fn recordings(&self, id: &MeetingId) -> impl Future<Output = Answer<Vec<Recording>>> + Send;

    fn recording(
        &self,
        meeting: &MeetingId,
        id: &RecordingId,
    ) -> impl Future<Output = Answer<Option<Recording>>> + Send;

    fn lock(&self, meeting: &MeetingId) -> impl Future<Output = Answer<Option<Lock>>> + Send;

    /// In one transaction: the recording, the meeting's lock (if there is none) and
    /// the open recording.
    fn claim(
        &self,
        recording: &Recording,
        chime_meeting_id: &str,
        now: Timestamp,
    ) -> impl Future<Output = Answer<Claim>> + Send;

    /// Takes a claim back, as if it had never been: recording, lock and open recording.
    fn unclaim(&self, recording: &Recording) -> impl Future<Output = Answer<()>> + Send;

    /// `meeting` is the meeting's external id.
    fn put_attendee(
        &self,
        meeting: &MeetingId,
        attendee: &Attendee,
        now: Timestamp,
    ) -> impl Future<Output = Answer<()>> + Send;

    fn delete_attendee(
        &self,
        meeting: &MeetingId,
        id: &RecordingId,
    ) -> impl Future<Output = Answer<()>> + Send;

    /// Notes the task and the attendee of a recording, unless that has ended meanwhile.
    fn note_task(
        &self,
        recording: &Recording,
        task: &str,
        chime_attendee_id: Option<&str>,
    ) -> impl Future<Output = Answer<Written>> + Send;

    /// Notes that the task runs, unless the recording has ended meanwhile.
    fn note_running(
        &self,
        meeting: &MeetingId,
        id: &RecordingId,
    ) -> impl Future<Output = Answer<Written>> + Send;

    /// Its end was asked for: writes `endedAt` if nobody has, and releases the lock.
    /// The recording stays open.
    fn close(
        &self,
        meeting: &MeetingId,
        id: &RecordingId,
        now: Timestamp,
    ) -> impl Future<Output = Answer<Written>> + Send;

    /// Nothing more will happen to it: writes how it ended, releases the lock and
    /// removes the open recording.
    fn settle(
        &self,
        meeting: &MeetingId,
        id: &RecordingId,
        ending: &Ending,
    ) -> impl Future<Output = Answer<()>> + Send;

    fn open_recordings(&self) -> impl Future<Output = Answer<Vec<OpenRecording>>> + Send;

    fn open_recording(
        &self,
        id: &RecordingId,
    ) -> impl Future<Output = Answer<Option<OpenRecording>>> + Send;

    /// What is known of a user, however old it is.
    fn user(&self, connect_user_id: &str) -> impl Future<Output = Answer<Option<User>>> + Send;

    fn put_user(&self, user: &User) -> impl Future<Output = Answer<()>> + Send;
}

/// Whether ECS took an order.
#[derive(Debug)]
pub enum Run {
    /// The task's ARN.
    Accepted(String),
    /// There is no task, and why.
    Refused(String),
}

/// What became of the wish that a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    Asked,
    /// ECS knows it no more: it ended over an hour ago.
    Gone,
    /// ECS does not stop it.
    Refused,
}

/// Tasks in the recording cluster.
pub trait Tasks: Send + Sync {
    /// May be repeated: the same order is one task. An error leaves open whether
    /// there is one.
    fn run(&self, order: &Order) -> impl Future<Output = Answer<Run>> + Send;

    fn stop(&self, task: &str, reason: &str) -> impl Future<Output = Answer<Stop>> + Send;

    /// Those of one recording, ended ones included as long as ECS knows them.
    fn of(&self, id: &RecordingId) -> impl Future<Output = Answer<Vec<Task>>> + Send;

    /// One by its ARN, as long as ECS knows it.
    fn get(&self, task: &str) -> impl Future<Output = Answer<Option<Task>>> + Send;

    /// All that have not ended.
    fn alive(&self) -> impl Future<Output = Answer<Vec<Task>>> + Send;

    /// Runs the pre-warm task on one instance; the task's ARN. `None`: it has no room, because
    /// recordings are there before, which fetch the image themselves.
    fn pre_warm(
        &self,
        container_instance: &str,
        ec2_instance: &str,
    ) -> impl Future<Output = Answer<Option<String>>> + Send;

    /// Whether a pre-warm task was started for the instance in the last hour.
    fn was_pre_warmed(&self, ec2_instance: &str) -> impl Future<Output = Answer<bool>> + Send;
}

/// Whether Chime made an attendee.
#[derive(Debug)]
pub enum Invited {
    /// The Attendee object.
    Attendee(Value),
    /// The meeting has ended.
    NoMeeting,
}

/// Meetings of Chime.
pub trait Meetings: Send + Sync {
    /// An attendee that hears and sees, but is neither heard nor seen. The same
    /// external user id is the same attendee.
    fn invite(
        &self,
        chime_meeting_id: &str,
        external_user_id: &str,
    ) -> impl Future<Output = Answer<Invited>> + Send;

    /// Succeeds too if the attendee or the meeting is gone.
    fn remove(
        &self,
        chime_meeting_id: &str,
        chime_attendee_id: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// A user as Connect describes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectUser {
    pub username: String,
    pub hierarchy_group_id: Option<String>,
    pub security_profile_ids: Vec<String>,
}

/// Amazon Connect.
pub trait Connect: Send + Sync {
    fn user(&self, id: &str) -> impl Future<Output = Answer<Option<ConnectUser>>> + Send;

    /// The `HierarchyGroup` object.
    fn group(&self, id: &str) -> impl Future<Output = Answer<Value>> + Send;

    /// Puts the address at which recordings are played into the contact.
    fn set_playback_url(
        &self,
        contact_id: &str,
        url: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// The user pool of the agents.
pub trait UserPool: Send + Sync {
    fn set_connect_user_id(
        &self,
        username: &str,
        connect_user_id: &str,
    ) -> impl Future<Output = Answer<()>> + Send;
}

/// What the worker's report says that others want to know.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// `complete`, `truncated`, `upload_open` or `nothing`.
    pub media: String,
    /// Why it ended: a stop reason, or what failed.
    pub end: String,
    pub duration_seconds: Option<f64>,
    pub bytes: Option<u64>,
    pub chapters_key: Option<String>,
    /// It had stored all of it and asked for the object, and nobody told it that there is one.
    pub completing: bool,
}

impl Report {
    /// What the recording became; `None` where its media may still be made a file.
    pub fn status(&self) -> Option<Status> {
        match self.media.as_str() {
            "complete" => Some(Status::Complete),
            "truncated" => Some(Status::Truncated),
            _ => None,
        }
    }
}

/// The bucket of the recordings, to play from.
pub trait Objects: Send + Sync {
    /// An address at which an object can be fetched for so many minutes.
    fn presign(
        &self,
        bucket: &str,
        key: &str,
        minutes: u32,
        now: Timestamp,
    ) -> impl Future<Output = Answer<String>> + Send;

    /// The report beside a recording, if there is one.
    fn report(
        &self,
        bucket: &str,
        key: &str,
    ) -> impl Future<Output = Answer<Option<Report>>> + Send;
}

/// What a recovery found and did.
#[derive(Clone, Debug, PartialEq)]
pub enum Recovered {
    /// The object was made of an open upload, or is an ordinary MP4 only now.
    Recovered { bytes: Option<u64>, duration_seconds: Option<f64> },
    /// The object was whole before.
    WasComplete { bytes: Option<u64>, duration_seconds: Option<f64> },
    /// Neither object nor media.
    Nothing,
}

/// An upload that nobody has completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    pub key: String,
    pub id: String,
    /// When it was begun.
    pub begun: Option<Timestamp>,
}

/// The repair of recordings whose task died.
pub trait Recovery: Send + Sync {
    /// Makes the recording of what its dead task left. May be repeated, and done
    /// twice at once.
    fn recover(&self, bucket: &str, key: &str) -> impl Future<Output = Answer<Recovered>> + Send;

    /// The uploads of recordings that are open.
    fn open_uploads(&self) -> impl Future<Output = Answer<Vec<OpenUpload>>> + Send;

    /// Like [`Self::recover`], for one upload, if its newest part is older than that.
    /// `None`: it is not.
    fn recover_upload(
        &self,
        upload: &OpenUpload,
        older_than: std::time::Duration,
    ) -> impl Future<Output = Answer<Option<Recovered>>> + Send;
}
