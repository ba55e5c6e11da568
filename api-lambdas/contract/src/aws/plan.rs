//! What is written to the table, and under which conditions: keys, items, and for
//! each change of a recording a plan made of what was found. Pure; `table.rs` does it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, Delete, Put, TransactWriteItem, Update};
use jiff::Timestamp;
use serde::Serialize;

use crate::items::{KEPT, LOCK, Lock, OPEN, OpenRecording, Recording, Status};
use crate::names::{MeetingId, RecordingId};
use crate::ports::{Ending, Written};
use crate::time::{iso, ttl};

/// What begins the sort key of a recording.
pub(super) const RECORDING: &str = "REC#";

/// An item, or a part of one.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// Where an item is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    partition: String,
    sort: String,
}

impl Key {
    pub(super) fn meeting(id: &MeetingId) -> Self {
        Self { partition: id.partition(), sort: id.partition() }
    }

    pub(super) fn recording(meeting: &MeetingId, id: &RecordingId) -> Self {
        Self { partition: meeting.partition(), sort: format!("{RECORDING}{id}") }
    }

    pub(super) fn lock(meeting: &MeetingId) -> Self {
        Self { partition: meeting.partition(), sort: LOCK.into() }
    }

    pub(super) fn attendee(meeting: &MeetingId, external_user_id: &str) -> Self {
        Self { partition: meeting.partition(), sort: format!("A#{external_user_id}") }
    }

    pub(super) fn open(id: &RecordingId) -> Self {
        Self { partition: OPEN.into(), sort: id.as_str().into() }
    }

    pub(super) fn user(connect_user_id: &str) -> Self {
        let key = format!("CUC#{connect_user_id}");
        Self { partition: key.clone(), sort: key }
    }

    pub(super) fn attributes(self) -> Attributes {
        [("PK", self.partition), ("SK", self.sort)].map(|(name, key)| (name.into(), s(key))).into()
    }
}

/// A text as an attribute.
pub(super) fn s(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

fn n(number: &impl ToString) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// A whole item: its own attributes, and those that every item has.
pub(super) fn item(
    key: Key,
    kind: &str,
    kept_until: i64,
    content: &impl Serialize,
) -> Result<Attributes, serde_dynamo::Error> {
    let mut item: Attributes = serde_dynamo::to_item(content)?;
    item.extend(key.attributes());
    item.insert("entityType".into(), s(kind));
    item.insert("TTL".into(), n(&kept_until));
    Ok(item)
}

/// What there is of a recording before somebody writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) recording: Option<Recording>,
    /// Whether the meeting's lock is this recording's.
    pub(super) holds_lock: bool,
}

impl Found {
    fn in_progress(&self) -> Option<&Recording> {
        self.recording.as_ref().filter(|recording| recording.in_progress())
    }
}

/// What is to be written, and what the caller is told after it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) writes: Vec<Write>,
    pub(super) answer: Written,
}

impl Plan {
    fn nothing() -> Self {
        Self { writes: Vec::new(), answer: Written::Not }
    }
}

/// One write of a transaction.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Write {
    /// Unless there is such an item.
    Put(Attributes),
    Change(Key, Change),
    Delete(Key),
    /// Of the meeting's lock, if it is this recording's.
    Release(MeetingId, RecordingId),
}

/// The change of a recording that is there, and still as it was found.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    set: Vec<(&'static str, AttributeValue)>,
    remove: Vec<&'static str>,
    only: Only,
}

/// In which state a recording is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Whatever,
    InProgress,
    /// In progress, and with this status, or without one.
    InProgressAs(Status),
    InProgressWithoutStatus,
}

impl Change {
    fn new(only: Only) -> Self {
        Self { set: Vec::new(), remove: Vec::new(), only }
    }

    fn set(mut self, name: &'static str, value: AttributeValue) -> Self {
        self.set.push((name, value));
        self
    }

    /// Writes a value, or removes what is there.
    fn put(mut self, name: &'static str, value: Option<AttributeValue>) -> Self {
        match value {
            Some(value) => self.set.push((name, value)),
            None => self.remove.push(name),
        }
        self
    }

    fn expression(&self) -> String {
        let set: Vec<_> = self.set.iter().map(|(name, _)| format!("#{name} = :{name}")).collect();
        let remove: Vec<_> = self.remove.iter().map(|name| format!("#{name}")).collect();
        let remove = if remove.is_empty() {
            String::new()
        } else {
            format!(" REMOVE {}", remove.join(", "))
        };
        format!("SET {}{remove}", set.join(", "))
    }

    fn condition(&self) -> &'static str {
        match self.only {
            Only::Whatever => "attribute_exists(PK)",
            Only::InProgress => {
                "attribute_exists(PK) AND (attribute_not_exists(endedAt) OR endedAt = :empty)"
            }
            Only::InProgressAs(_) => {
                "attribute_exists(PK) AND (attribute_not_exists(endedAt) OR endedAt = :empty) \
                 AND #status = :before"
            }
            Only::InProgressWithoutStatus => {
                "attribute_exists(PK) AND (attribute_not_exists(endedAt) OR endedAt = :empty) \
                 AND attribute_not_exists(#status)"
            }
        }
    }

    /// `DynamoDB` takes reserved words only by other names, and `status` is one.
    fn names(&self) -> HashMap<String, String> {
        let changed = self.set.iter().map(|(name, _)| *name).chain(self.remove.iter().copied());
        let held = match self.only {
            Only::InProgressAs(_) | Only::InProgressWithoutStatus => Some("status"),
            Only::Whatever | Only::InProgress => None,
        };
        changed.chain(held).map(|name| (format!("#{name}"), name.to_owned())).collect()
    }

    /// Exactly those that the expressions use: `DynamoDB` refuses any other.
    fn values(&self) -> Attributes {
        let mut values: Attributes =
            self.set.iter().map(|(name, value)| (format!(":{name}"), value.clone())).collect();
        if self.only != Only::Whatever {
            values.insert(":empty".into(), s(""));
        }
        if let Only::InProgressAs(status) = self.only {
            values.insert(":before".into(), s(status.as_str()));
        }
        values
    }
}

impl Write {
    pub(super) fn item(self, table: &str) -> TransactWriteItem {
        const WHOLE: &str = "table, and item or key, are set";
        let delete = |key: Key| Delete::builder().table_name(table).set_key(Some(key.attributes()));
        let write = TransactWriteItem::builder();
        let write = match self {
            Self::Put(item) => {
                let put = Put::builder()
                    .table_name(table)
                    .set_item(Some(item))
                    .condition_expression("attribute_not_exists(PK)");
                write.put(put.build().expect(WHOLE))
            }
            Self::Change(key, change) => {
                let update = Update::builder()
                    .table_name(table)
                    .set_key(Some(key.attributes()))
                    .update_expression(change.expression())
                    .condition_expression(change.condition())
                    .set_expression_attribute_names(Some(change.names()))
                    .set_expression_attribute_values(Some(change.values()));
                write.update(update.build().expect(WHOLE))
            }
            Self::Delete(key) => write.delete(delete(key).build().expect(WHOLE)),
            Self::Release(meeting, id) => {
                let delete = delete(Key::lock(&meeting))
                    .condition_expression("recordingId = :id")
                    .expression_attribute_values(":id", s(id.as_str()));
                write.delete(delete.build().expect(WHOLE))
            }
        };
        write.build()
    }
}

/// The three items of a claim, each of which must not be there.
pub(super) fn claimed(
    recording: &Recording,
    chime_meeting_id: &str,
    now: Timestamp,
) -> Result<Vec<Write>, serde_dynamo::Error> {
    let (meeting, id) = (&recording.external_meeting_id, &recording.recording_id);
    let lock = Lock { recording_id: id.clone(), created_at: recording.created_at.clone() };
    let open = OpenRecording {
        recording_id: id.clone(),
        external_meeting_id: meeting.clone(),
        chime_meeting_id: chime_meeting_id.to_owned(),
        created_at: recording.created_at.clone(),
        bucket: recording.bucket.clone(),
        key: recording.key.clone(),
    };
    let until = ttl(now, KEPT);
    Ok(vec![
        Write::Put(item(Key::recording(meeting, id), "Recording", until, recording)?),
        Write::Put(item(Key::lock(meeting), "RecordingLock", until, &lock)?),
        Write::Put(item(Key::open(id), "OpenRecording", until, &open)?),
    ])
}

/// As if there had never been a claim.
pub(super) fn unclaimed(found: &Found, meeting: &MeetingId, id: &RecordingId) -> Plan {
    let mut writes = vec![Write::Delete(Key::recording(meeting, id)), Write::Delete(Key::open(id))];
    writes.extend(released(found, meeting, id));
    Plan { writes, answer: Written::Now }
}

/// With a task. It may be known before that it runs: that is not taken back.
pub(super) fn noted_task(found: &Found, task: &str, chime_attendee_id: Option<&str>) -> Plan {
    let Some(recording) = found.in_progress() else { return Plan::nothing() };
    let only = recording.status.map_or(Only::InProgressWithoutStatus, Only::InProgressAs);
    let mut change = Change::new(only).set("ecsTaskARN", s(task));
    if matches!(recording.status, None | Some(Status::Starting)) {
        change = change.set("status", s(Status::Started.as_str()));
    }
    if let Some(attendee) = chime_attendee_id {
        change = change.set("chimeAttendeeId", s(attendee));
    }
    Plan { writes: vec![changed(recording, change)], answer: Written::Now }
}

/// With a task that runs.
pub(super) fn noted_running(found: &Found) -> Plan {
    let Some(recording) = found.in_progress() else { return Plan::nothing() };
    let change = Change::new(Only::InProgress).set("status", s(Status::Running.as_str()));
    Plan { writes: vec![changed(recording, change)], answer: Written::Now }
}

/// Ended, and the meeting free. The lock goes even if the recording had ended before.
pub(super) fn closed(found: &Found, meeting: &MeetingId, id: &RecordingId, now: Timestamp) -> Plan {
    let mut writes = Vec::from_iter(released(found, meeting, id));
    let Some(recording) = found.in_progress() else {
        return Plan { writes, answer: Written::Not };
    };
    let change = Change::new(Only::InProgress)
        .set("endedAt", s(iso(now)))
        .set("status", s(Status::Stopping.as_str()));
    writes.push(changed(recording, change));
    Plan { writes, answer: Written::Now }
}

/// With how it ended, the meeting free, and nothing left to look after.
pub(super) fn settled(
    found: &Found,
    meeting: &MeetingId,
    id: &RecordingId,
    ending: &Ending,
) -> Plan {
    let mut writes = vec![Write::Delete(Key::open(id))];
    writes.extend(released(found, meeting, id));
    if let Some(recording) = &found.recording {
        let in_progress = recording.in_progress();
        let mut change = Change::new(if in_progress { Only::InProgress } else { Only::Whatever })
            .set("status", s(ending.status.as_str()))
            .set("statusReason", s(&ending.reason))
            .put("durationSeconds", ending.duration_seconds.as_ref().map(n))
            .put("bytes", ending.bytes.as_ref().map(n))
            .put("chaptersKey", ending.chapters_key.as_ref().map(s));
        if in_progress {
            change = change.set("endedAt", s(iso(ending.ended_at)));
        }
        writes.push(changed(recording, change));
    }
    Plan { writes, answer: Written::Now }
}

fn changed(recording: &Recording, change: Change) -> Write {
    let Recording { external_meeting_id, recording_id, .. } = recording;
    Write::Change(Key::recording(external_meeting_id, recording_id), change)
}

fn released(found: &Found, meeting: &MeetingId, id: &RecordingId) -> Option<Write> {
    found.holds_lock.then(|| Write::Release(meeting.clone(), id.clone()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::fake::{a_recording, a_user, now};
    use crate::items::{Attendee, Meeting, User};

    fn found(recording: Recording, holds_lock: bool) -> Found {
        Found { recording: Some(recording), holds_lock }
    }

    fn ended() -> Recording {
        Recording { ended_at: Some("2024-03-05T07:30:00.000Z".into()), ..a_recording() }
    }

    /// What an item is in the table, in the table's own notation.
    fn notation(item: &Attributes) -> Value {
        item.iter().map(|(name, value)| (name.clone(), notation_of(value))).collect()
    }

    fn notation_of(value: &AttributeValue) -> Value {
        match value {
            AttributeValue::S(text) => json!({ "S": text }),
            AttributeValue::N(number) => json!({ "N": number }),
            AttributeValue::Null(_) => json!({ "NULL": true }),
            AttributeValue::M(map) => json!({ "M": notation(map) }),
            AttributeValue::L(list) => {
                json!({ "L": list.iter().map(notation_of).collect::<Vec<_>>() })
            }
            other => panic!("nothing writes {other:?}"),
        }
    }

    fn key(partition: &str, sort: &str) -> Key {
        Key { partition: partition.into(), sort: sort.into() }
    }

    /// The change that a plan makes of the recording.
    fn change(plan: &Plan) -> &Change {
        let mut changes = plan.writes.iter().filter_map(|write| match write {
            Write::Change(_, change) => Some(change),
            _ => None,
        });
        let change = changes.next().expect("the recording is changed");
        assert!(changes.next().is_none(), "only once");
        change
    }

    #[test]
    fn a_recording_is_written_as_the_original_did() {
        let recording = Recording {
            connect_hierarchy_group_id: Some("g".into()),
            connect_hierarchy_group_summary: Some(json!({ "Id": "g", "HierarchyPath": {} })),
            ..a_recording()
        };
        let writes = claimed(&recording, "chime-1", now()).unwrap();
        let [Write::Put(item), Write::Put(lock), Write::Put(open)] = writes.as_slice() else {
            panic!("{writes:?}");
        };
        let meeting = "M#0b6d3c1e-1111-4222-8333-444455556666";
        let id = "9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd";
        let expected = json!({
            "PK": { "S": meeting },
            "SK": { "S": format!("REC#{id}") },
            "entityType": { "S": "Recording" },
            "TTL": { "N": "1713510489" },
            "externalMeetingId": { "S": "0b6d3c1e-1111-4222-8333-444455556666" },
            "recordingId": { "S": id },
            "ownerUsername": { "S": "agent" },
            "ownerEmail": { "S": "agent@example.org" },
            "connectUserId": { "S": "connect-1" },
            "connectHierarchyGroupId": { "S": "g" },
            "connectHierarchyGroupSummary": {
                "M": { "Id": { "S": "g" }, "HierarchyPath": { "M": {} } },
            },
            "createdAt": { "S": "2024-03-05T07:08:09.123Z" },
            "recordingS3Bucket": { "S": "recordings" },
            "recordingS3Object": { "S": recording.key },
            "status": { "S": "starting" },
        });
        assert_eq!(notation(item), expected);
        assert_eq!(
            notation(lock),
            json!({
                "PK": { "S": meeting }, "SK": { "S": "RLOCK" },
                "entityType": { "S": "RecordingLock" }, "TTL": { "N": "1713510489" },
                "recordingId": { "S": id }, "createdAt": { "S": "2024-03-05T07:08:09.123Z" },
            })
        );
        assert_eq!(notation(open)["PK"], json!({ "S": "RECORDINGS#OPEN" }));
        assert_eq!(notation(open)["SK"], json!({ "S": id }));
        assert_eq!(notation(open)["entityType"], json!({ "S": "OpenRecording" }));
        assert_eq!(notation(open)["chimeMeetingId"], json!({ "S": "chime-1" }));
    }

    #[test]
    fn a_group_that_is_not_there_is_a_null_and_its_id_is_absent() {
        let writes = claimed(&a_recording(), "chime-1", now()).unwrap();
        let Write::Put(item) = &writes[0] else { panic!("{writes:?}") };
        assert_eq!(notation(item)["connectHierarchyGroupSummary"], json!({ "NULL": true }));
        assert!(!item.contains_key("connectHierarchyGroupId") && !item.contains_key("endedAt"));
        let read: Recording = serde_dynamo::from_item(item.clone()).unwrap();
        assert_eq!(read, a_recording());
    }

    #[test]
    fn a_user_is_kept_for_as_long_as_they_say() {
        let user = a_user();
        let item = item(Key::user("connect-1"), "ConnectUserCache", user.ttl, &user).unwrap();
        assert_eq!(
            notation(&item),
            json!({
                "PK": { "S": "CUC#connect-1" }, "SK": { "S": "CUC#connect-1" },
                "entityType": { "S": "ConnectUserCache" }, "TTL": { "N": "1709665689" },
                "connectUserId": { "S": "connect-1" }, "hierarchyGroupSummary": { "NULL": true },
                "securityProfileIds": { "L": [{ "S": "playback" }] },
                "createdAt": { "S": "2024-03-05T07:08:09.123Z" },
            })
        );
        assert_eq!(serde_dynamo::from_item::<_, User>(item).unwrap(), user);
    }

    #[test]
    fn an_attendee_has_its_object_and_no_owner() {
        let attendee = Attendee {
            external_user_id: "u".into(),
            attendee_name: "RECORDING".into(),
            chime_attendee_id: "a".into(),
            chime_attendee_data: json!({ "AttendeeId": "a", "JoinToken": "t" }),
            created_at: iso(now()),
        };
        let meeting = a_recording().external_meeting_id;
        let key = Key::attendee(&meeting, &attendee.external_user_id);
        assert_eq!(key, self::key("M#0b6d3c1e-1111-4222-8333-444455556666", "A#u"));
        let item = notation(&item(key, "Attendee", ttl(now(), KEPT), &attendee).unwrap());
        assert_eq!(item["chimeAttendeeData"]["M"]["JoinToken"], json!({ "S": "t" }));
        assert!(item.get("isOwner").is_none());
    }

    #[test]
    fn a_meeting_of_the_application_is_understood_with_all_else_it_has() {
        let object = json!({
            "MeetingId": "m", "MediaRegion": "eu-central-1", "MediaPlacement": { "x": "y" },
            "TenantIds": [], "MeetingFeatures": { "Attendee": { "MaxCount": 250 } },
        });
        let content = json!({
            "externalMeetingId": "ab", "meetingTitle": "t", "ownerUsername": "o",
            "ownerName": "n", "ownerEmail": "e", "chimeMeetingId": "m",
            "chimeMeetingData": object, "createdAt": "2024-03-05T07:08:09.123Z",
            "more": [1, 2.5, null, true],
        });
        let id = MeetingId::new("ab").unwrap();
        let item = item(Key::meeting(&id), "Meeting", 1, &content).unwrap();
        let meeting: Meeting = serde_dynamo::from_item(item).unwrap();
        assert_eq!(meeting.chime_meeting_data, object);
        assert_eq!((meeting.external_meeting_id, meeting.ended_at), (id, None));
    }

    #[test]
    fn a_task_is_noted_without_taking_back_that_it_runs() {
        for (status, written, condition) in [
            (Some(Status::Starting), Some("started"), "#status = :before"),
            (None, Some("started"), "attribute_not_exists(#status)"),
            (Some(Status::Started), None, "#status = :before"),
            (Some(Status::Running), None, "#status = :before"),
        ] {
            let recording = Recording { status, ..a_recording() };
            let plan = noted_task(&found(recording, true), "arn", Some("attendee"));
            let change = change(&plan);
            let values = change.values();
            assert_eq!(values.get(":status"), written.map(s).as_ref(), "{status:?}");
            assert_eq!(values[":ecsTaskARN"], s("arn"));
            assert_eq!(values[":chimeAttendeeId"], s("attendee"));
            assert!(change.condition().ends_with(condition), "{}", change.condition());
        }
        let without = noted_task(&found(a_recording(), true), "arn", None);
        assert_eq!(
            change(&without).expression(),
            "SET #ecsTaskARN = :ecsTaskARN, #status = :status"
        );
    }

    #[test]
    fn nothing_is_noted_of_a_recording_that_has_ended_or_is_not_there() {
        for found in [found(ended(), true), Found::default()] {
            assert_eq!(noted_task(&found, "arn", None), Plan::nothing());
            assert_eq!(noted_running(&found), Plan::nothing());
        }
    }

    #[test]
    fn a_recording_is_closed_once_but_its_lock_goes_in_any_case() {
        let (meeting, id) = (a_recording().external_meeting_id, a_recording().recording_id);
        let release = Write::Release(meeting.clone(), id.clone());
        let close = |found: &Found| closed(found, &meeting, &id, now());

        let plan = close(&found(a_recording(), true));
        assert_eq!((plan.answer, &plan.writes[0]), (Written::Now, &release));
        assert_eq!(change(&plan).values()[":endedAt"], s("2024-03-05T07:08:09.123Z"));
        assert_eq!(change(&plan).values()[":status"], s("stopping"));
        // Of the original, or while another recording holds the meeting.
        let plan = close(&found(Recording { status: None, ..a_recording() }, false));
        assert_eq!((plan.answer, plan.writes.len()), (Written::Now, 1));
        let again = Plan { writes: vec![release], answer: Written::Not };
        assert_eq!(close(&found(ended(), true)), again);
        assert_eq!(close(&Found { recording: None, holds_lock: true }), again);
        assert_eq!(close(&found(ended(), false)), Plan::nothing());
    }

    #[test]
    fn an_end_that_was_written_before_stays_when_a_recording_is_settled() {
        let (meeting, id) = (a_recording().external_meeting_id, a_recording().recording_id);
        let ending = Ending {
            ended_at: now(),
            status: Status::Complete,
            reason: "signal".into(),
            duration_seconds: Some(9.5),
            bytes: Some(1 << 40),
            chapters_key: None,
        };
        let settle = |found: &Found| settled(found, &meeting, &id, &ending);

        let plan = settle(&found(ended(), false));
        let change = change(&plan);
        assert_eq!(
            change.expression(),
            "SET #status = :status, #statusReason = :statusReason, \
             #durationSeconds = :durationSeconds, #bytes = :bytes REMOVE #chaptersKey"
        );
        assert_eq!(change.condition(), "attribute_exists(PK)");
        assert_eq!(change.values()[":bytes"], n(&1_099_511_627_776_u64));
        assert_eq!(change.values()[":durationSeconds"], n(&"9.5"));
        assert_eq!(plan.writes[0], Write::Delete(key(OPEN, id.as_str())));

        for open in [None, Some(String::new())] {
            let plan = settle(&found(Recording { ended_at: open, ..a_recording() }, true));
            assert_eq!(self::change(&plan).values()[":endedAt"], s("2024-03-05T07:08:09.123Z"));
            assert_eq!(plan.writes[1], Write::Release(meeting.clone(), id.clone()));
        }
        // No part of an item is made of one that is gone.
        let plan = settle(&Found { recording: None, holds_lock: true });
        assert_eq!(plan.writes.len(), 2);
    }

    #[test]
    fn expressions_use_every_name_and_value_that_they_are_given() {
        let value = || s("x");
        for only in [
            Only::Whatever,
            Only::InProgress,
            Only::InProgressAs(Status::Running),
            Only::InProgressWithoutStatus,
        ] {
            let change = Change::new(only).set("a", value()).put("b", None).put("c", Some(value()));
            let used = format!("{} {}", change.expression(), change.condition());
            let is_used = |name: &String| used.contains(name.as_str());
            assert!(change.names().keys().all(is_used), "{used} {:?}", change.names());
            assert!(change.values().keys().all(is_used), "{used} {:?}", change.values());
            let given = change.names().len() + change.values().len();
            let words = used.split([' ', ',', '(', ')']);
            let mut named: Vec<_> = words.filter(|word| word.starts_with(['#', ':'])).collect();
            named.sort_unstable();
            named.dedup();
            assert_eq!(named.len(), given, "{used}");
        }
    }

    #[test]
    fn a_lock_is_released_only_by_its_owner() {
        let (meeting, id) = (a_recording().external_meeting_id, a_recording().recording_id);
        let write = Write::Release(meeting, id.clone()).item("t");
        let delete = write.delete().unwrap();
        assert_eq!(delete.condition_expression(), Some("recordingId = :id"));
        let values = delete.expression_attribute_values().unwrap();
        assert_eq!(values[":id"], s(id.as_str()));
        assert_eq!(delete.key()["SK"], s("RLOCK"));
    }
}
