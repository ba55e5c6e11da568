//! The items of the table, attribute by attribute. Pure: `aws/table.rs` moves them.
//!
//! What the original wrote is written the same way: a value that is not there is
//! no attribute, a hierarchy group's summary that is not there is a NULL. What it
//! did not know are the attributes from `status` on, and two items:
//!
//! | entityType | PK | SK | for as long as |
//! |---|---|---|---|
//! | `RecordingLock` | the meeting's | `RLOCK` | a recording of the meeting may run |
//! | `OpenRecording` | `RECORDINGS#OPEN` | the recording's id | its task or its upload may need work |
//!
//! `RLOCK` sorts behind every range that readers of a meeting's partition ask for.
//! The open recordings are one partition, so that whoever looks after them need
//! not read the table.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::names::{MeetingId, RecordingId};
use crate::time::{iso, ttl};

/// How long items of a meeting are kept.
pub const KEPT: SignedDuration = SignedDuration::from_hours(45 * 24);

/// How long it is known which group and profiles a user has.
pub const USER_KEPT: SignedDuration = SignedDuration::from_hours(12);

/// From this age on a user is looked up again, in whole minutes.
pub const USER_FRESH_MINUTES: i64 = 5;

/// The partition of [`OpenRecording`]s.
pub const OPEN: &str = "RECORDINGS#OPEN";

/// The sort key of a [`Lock`].
pub const LOCK: &str = "RLOCK";

/// A call, written by the application that made it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meeting {
    pub external_meeting_id: MeetingId,
    pub owner_username: String,
    pub chime_meeting_id: String,
    /// The Meeting object of Chime.
    pub chime_meeting_data: Value,
    /// Set when the meeting was ended for everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// The attendee of a recording. Its Attendee object has the join token.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attendee {
    pub external_user_id: String,
    pub attendee_name: String,
    pub chime_attendee_id: String,
    pub chime_attendee_data: Value,
    pub created_at: String,
}

/// Without the join token.
impl std::fmt::Debug for Attendee {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attendee")
            .field("external_user_id", &self.external_user_id)
            .field("chime_attendee_id", &self.chime_attendee_id)
            .finish_non_exhaustive()
    }
}

/// What a recording is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Claimed; attendee and task are being made.
    Starting,
    /// ECS has accepted the task.
    Started,
    /// The task runs.
    Running,
    /// Its end was asked for; the file is being completed.
    Stopping,
    /// The file is whole.
    Complete,
    /// There is a file, but it is shorter than it should be.
    Truncated,
    /// The task died; what it had stored was made a file.
    Recovered,
    /// The task ended before anything was recorded, as it was told.
    Empty,
    /// There is no file.
    Failed,
}

impl Status {
    /// Whether nothing more will happen to the recording.
    pub fn is_final(self) -> bool {
        match self {
            Self::Starting | Self::Started | Self::Running | Self::Stopping => false,
            Self::Complete | Self::Truncated | Self::Recovered | Self::Empty | Self::Failed => true,
        }
    }

    /// Whether there is an object to play.
    pub fn has_file(self) -> bool {
        matches!(self, Self::Complete | Self::Truncated | Self::Recovered)
    }

    /// Whether the end is one that somebody has to look at: there is not the file that was wanted.
    pub fn is_short(self) -> bool {
        matches!(self, Self::Truncated | Self::Recovered | Self::Failed)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Complete => "complete",
            Self::Truncated => "truncated",
            Self::Recovered => "recovered",
            Self::Empty => "empty",
            Self::Failed => "failed",
        }
    }
}

/// One recording of a meeting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recording {
    pub external_meeting_id: MeetingId,
    pub recording_id: RecordingId,
    pub owner_username: String,
    pub owner_email: String,
    pub connect_user_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_hierarchy_group_id: Option<String>,
    /// A NULL where there is none.
    #[serde(default)]
    pub connect_hierarchy_group_summary: Option<Value>,
    pub created_at: String,
    /// Absent or empty: in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    #[serde(rename = "recordingS3Bucket")]
    pub bucket: String,
    #[serde(rename = "recordingS3Object")]
    pub key: String,
    #[serde(default, rename = "ecsTaskARN", skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Of its attendee in Chime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chime_attendee_id: Option<String>,
    /// Absent on items of the original.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Key of the speakers as WebVTT chapters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chapters_key: Option<String>,
}

impl Recording {
    pub fn in_progress(&self) -> bool {
        self.ended_at.as_deref().unwrap_or_default().is_empty()
    }
}

/// Says that a meeting is being recorded: there is one at the most.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lock {
    pub recording_id: RecordingId,
    pub created_at: String,
}

/// A recording that somebody still has to look after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenRecording {
    pub recording_id: RecordingId,
    pub external_meeting_id: MeetingId,
    pub chime_meeting_id: String,
    pub created_at: String,
    #[serde(rename = "recordingS3Bucket")]
    pub bucket: String,
    #[serde(rename = "recordingS3Object")]
    pub key: String,
}

/// What Connect says of a user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    pub connect_user_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hierarchy_group_id: Option<String>,
    /// A NULL where there is none.
    #[serde(default)]
    pub hierarchy_group_summary: Option<Value>,
    #[serde(default)]
    pub security_profile_ids: Vec<String>,
    pub created_at: String,
    /// Epoch seconds.
    #[serde(rename = "TTL")]
    pub ttl: i64,
}

impl User {
    pub fn new(
        connect_user_id: String,
        group: Option<(String, Value)>,
        security_profile_ids: Vec<String>,
        now: Timestamp,
    ) -> Self {
        let (hierarchy_group_id, hierarchy_group_summary) = group.unzip();
        Self {
            connect_user_id,
            hierarchy_group_id,
            hierarchy_group_summary,
            security_profile_ids,
            created_at: iso(now),
            ttl: ttl(now, USER_KEPT),
        }
    }

    /// Whether it may be used: `DynamoDB` removes items only some time after they
    /// may go.
    pub fn is_known(&self, now: Timestamp) -> bool {
        self.ttl >= now.as_second()
    }

    /// Whether it need not be looked up again.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let Some(created) = crate::time::parse(&self.created_at) else { return false };
        let age = now.duration_since(created).as_secs().div_euclid(60);
        self.is_known(now) && age <= USER_FRESH_MINUTES
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::time::parse;

    fn at(text: &str) -> Timestamp {
        parse(text).unwrap()
    }

    #[test]
    fn a_user_is_looked_up_again_from_six_full_minutes_on() {
        let user = User::new("u".into(), None, Vec::new(), at("2024-03-05T07:00:00.000Z"));
        assert!(user.is_fresh(at("2024-03-05T07:00:00Z")));
        assert!(user.is_fresh(at("2024-03-05T07:05:59Z")));
        assert!(!user.is_fresh(at("2024-03-05T07:06:00Z")));
        assert!(user.is_known(at("2024-03-05T19:00:00Z")));
        assert!(!user.is_known(at("2024-03-05T19:00:01Z")));
    }

    #[test]
    fn what_is_not_there_is_absent_but_for_the_group_which_is_null() {
        let user = User::new("u".into(), None, vec!["p".into()], at("2024-03-05T07:00:00Z"));
        assert_eq!(
            serde_json::to_value(&user).unwrap(),
            json!({
                "connectUserId": "u", "hierarchyGroupSummary": null, "securityProfileIds": ["p"],
                "createdAt": "2024-03-05T07:00:00.000Z", "TTL": 1_709_665_200,
            })
        );
    }

    #[test]
    fn a_recording_of_the_original_is_understood() {
        let recording: Recording = serde_json::from_value(json!({
            "PK": "M#ab", "SK": "REC#9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd",
            "entityType": "Recording", "TTL": 1, "externalMeetingId": "ab",
            "recordingId": "9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd",
            "ownerUsername": "o", "ownerEmail": "o@x.org", "connectUserId": "u",
            "connectHierarchyGroupSummary": null, "createdAt": "2024-03-05T07:08:09.123Z",
            "recordingS3Bucket": "b", "recordingS3Object": "k", "ecsTaskARN": "arn",
        }))
        .unwrap();
        assert!(recording.in_progress() && recording.status.is_none());
        let ended = Recording { ended_at: Some(String::new()), ..recording.clone() };
        assert!(ended.in_progress());
        let ended = Recording { ended_at: Some("2024-03-05T07:09:00.000Z".into()), ..recording };
        assert!(!ended.in_progress());
    }

    #[test]
    fn a_status_is_written_as_it_is_named() {
        use Status::*;
        for status in
            [Starting, Started, Running, Stopping, Complete, Truncated, Recovered, Empty, Failed]
        {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
            assert!(status.is_final() || !status.has_file());
        }
    }
}
