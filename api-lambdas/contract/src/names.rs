//! Ids that come from outside, and the names that are made of them: keys of the
//! table, the key in the bucket. Pure.
//!
//! An id of a meeting is any text of a sound length, so nothing here puts it into
//! a name unescaped but the table's keys, where it means nothing.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What every recording's key in the bucket begins with: permissions are given on it.
pub const PREFIX: &str = "RECORDINGS/";

/// `startedBy` of a recording's task is this and the recording's id.
pub const STARTED_BY: &str = "Recording-";

/// A meeting as the agents' application calls it: 2 to 64 characters, none of
/// them a control character.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MeetingId(String);

impl MeetingId {
    pub fn new(text: &str) -> Option<Self> {
        let length = text.chars().count();
        let sound = (2..=64).contains(&length) && !text.chars().any(char::is_control);
        sound.then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition of everything that belongs to the meeting.
    pub fn partition(&self) -> String {
        format!("M#{}", self.0)
    }
}

impl fmt::Display for MeetingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One recording, and the external user id of its attendee: a UUID of version 4
/// in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordingId(String);

impl RecordingId {
    pub fn random() -> Self {
        Self(Uuid::new_v4().to_string())
    }

    pub fn new(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(|uuid| Self(uuid.to_string()))
    }

    /// The recording whose task was started by this, if it is one of ours.
    pub fn of_task(started_by: &str) -> Option<Self> {
        Self::new(started_by.strip_prefix(STARTED_BY)?)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn started_by(&self) -> String {
        format!("{STARTED_BY}{}", self.0)
    }
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key of a recording in the bucket, all dates from the one instant of its
/// creation, in UTC. Nobody parses it: the Recording item has it whole.
pub fn object_key(meeting: &MeetingId, recording: &RecordingId, created: Timestamp) -> String {
    let folder = created.strftime("%Y/%m/%d/%H");
    let at = created.strftime("%Y%m%dT%H%M%S");
    format!("{PREFIX}{folder}/{}-{recording}-{at}_UTC.mp4", escaped(meeting.as_str()))
}

/// The key of what lies beside a recording, such as its report.
pub fn beside(key: &str, ending: &str) -> String {
    format!("{}.{ending}", key.strip_suffix(".mp4").unwrap_or(key))
}

/// For one piece of a path: everything but letters, digits and `-_.~` as percent
/// and two hex digits, so that it stays one piece.
pub fn escaped(text: &str) -> String {
    use fmt::Write as _;

    text.bytes().fold(String::with_capacity(text.len()), |mut made, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            made.push(byte.into());
        } else {
            write!(made, "%{byte:02X}").expect("a string takes everything");
        }
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse;

    const RECORDING: &str = "9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd";

    #[test]
    fn the_key_has_hyphens_and_one_instant() {
        let meeting = MeetingId::new("0b6d3c1e-1111-4222-8333-444455556666").unwrap();
        let recording = RecordingId::new(RECORDING).unwrap();
        assert_eq!(
            object_key(&meeting, &recording, parse("2024-03-05T07:08:09.123Z").unwrap()),
            "RECORDINGS/2024/03/05/07/0b6d3c1e-1111-4222-8333-444455556666-\
             9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd-20240305T070809_UTC.mp4"
        );
    }

    #[test]
    fn a_hostile_meeting_stays_one_piece_of_the_key() {
        let recording = RecordingId::new(RECORDING).unwrap();
        for (meeting, piece) in [
            ("../../etc/passwd", "..%2F..%2Fetc%2Fpasswd"),
            ("a b?c#d", "a%20b%3Fc%23d"),
            ("é会", "%C3%A9%E4%BC%9A"),
            ("a~b>c", "a~b%3Ec"),
        ] {
            let meeting = MeetingId::new(meeting).unwrap();
            let key = object_key(&meeting, &recording, parse("2024-03-05T07:08:09Z").unwrap());
            assert!(key.starts_with(&format!("RECORDINGS/2024/03/05/07/{piece}-9f8e")), "{key}");
            assert_eq!(key.matches('/').count(), 5, "{key}");
        }
    }

    #[test]
    fn a_meeting_id_has_two_to_sixty_four_characters() {
        for (text, sound) in [
            ("", false),
            ("a", false),
            ("ab", true),
            (&"é".repeat(64), true),
            (&"é".repeat(65), false),
            ("a\nb", false),
            ("a\u{0}b", false),
        ] {
            assert_eq!(MeetingId::new(text).is_some(), sound, "{text:?}");
        }
    }

    #[test]
    fn a_task_tells_its_recording() {
        assert_eq!(
            RecordingId::of_task(&format!("Recording-{RECORDING}")).unwrap().as_str(),
            RECORDING
        );
        for other in ["PreWarm-i-0123", "Recording-", "Recording-x", RECORDING, ""] {
            assert_eq!(RecordingId::of_task(other), None, "{other}");
        }
    }

    #[test]
    fn what_lies_beside_a_recording_has_its_name() {
        assert_eq!(beside("RECORDINGS/a.mp4", "json"), "RECORDINGS/a.json");
    }
}
