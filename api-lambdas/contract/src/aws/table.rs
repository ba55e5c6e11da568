//! The table: items as `items.rs` describes them, moved in and out.
//!
//! Whoever changes a recording looks first, writes under the condition that it is
//! still so, and looks again if it is not:
//!
//! ```text
//!          ┌───────────── pause ◀── another has written ──┐
//!          ▼                                              │
//!  recording, lock ──▶ plan (pure) ──▶ one transaction ───┴──▶ done
//! ```
//!
//! So nobody overwrites what somebody else has written meanwhile, a recording and
//! its lock never disagree, and a Lambda that is asked again does it again.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Builder, Region};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::CancellationReason;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::plan::{
    Attributes, Found, Key, Plan, RECORDING, Write, claimed, closed, item, noted_running,
    noted_task, s, settled, unclaimed,
};
use super::{Trouble, fault};
use crate::items::{Attendee, KEPT, Lock, Meeting, OPEN, OpenRecording, Recording, User};
use crate::names::{MeetingId, RecordingId};
use crate::ports::{Answer, Claim, Ending, Fault, Table, Written};
use crate::settings::Reader;
use crate::time::ttl;

const SERVICE: &str = "DynamoDB";

/// How often a write is tried that others get in the way of. They are few: the
/// Lambdas that know one recording.
const TRIES: u32 = 6;

/// Before the second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// Which table.
#[derive(Clone, Debug)]
pub struct Settings {
    table: String,
    /// `None`: the Lambda's own.
    region: Option<String>,
}

impl Settings {
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self { table: reader.need("DDB_TABLE"), region: reader.find("DDB_REGION") }
    }
}

/// The table.
#[derive(Clone, Debug)]
pub struct DynamoTable {
    client: Client,
    name: String,
}

impl DynamoTable {
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Self {
        let mut config = Builder::from(sdk);
        if let Some(region) = settings.region {
            config = config.region(Region::new(region));
        }
        Self { client: Client::from_conf(config.build()), name: settings.table }
    }

    async fn get<T: DeserializeOwned>(&self, action: &'static str, key: Key) -> Answer<Option<T>> {
        let answer = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await
            .map_err(fault(SERVICE, action))?;
        let item = answer.item.map(serde_dynamo::from_item).transpose();
        item.map_err(|error| not_understood(action, error))
    }

    /// All of a partition whose sort key begins with `prefix`. An item that is not
    /// understood is told and left out: the others must not suffer from it.
    async fn query<T: DeserializeOwned>(
        &self,
        action: &'static str,
        partition: &str,
        prefix: Option<&str>,
    ) -> Answer<Vec<T>> {
        let condition = match prefix {
            Some(_) => "PK = :partition AND begins_with(SK, :prefix)",
            None => "PK = :partition",
        };
        let mut query = self
            .client
            .query()
            .table_name(&self.name)
            .consistent_read(true)
            .key_condition_expression(condition)
            .expression_attribute_values(":partition", s(partition));
        if let Some(prefix) = prefix {
            query = query.expression_attribute_values(":prefix", s(prefix));
        }
        let mut items = query.into_paginator().items().send();
        let mut found = Vec::new();
        while let Some(item) = items.try_next().await.map_err(fault(SERVICE, action))? {
            let sort = item.get("SK").and_then(|key| key.as_s().ok()).cloned();
            match serde_dynamo::from_item(item) {
                Ok(item) => found.push(item),
                Err(error) => {
                    let error = error.to_string();
                    tracing::error!(partition, sort, error, "an item is not understood");
                }
            }
        }
        Ok(found)
    }

    async fn put(
        &self,
        action: &'static str,
        item: Result<Attributes, serde_dynamo::Error>,
    ) -> Answer<()> {
        let item = item.map_err(|error| not_understood(action, error))?;
        self.client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .send()
            .await
            .map_err(fault(SERVICE, action))?;
        Ok(())
    }

    /// Writes all or nothing. False: nothing, because something is not as it was
    /// found, or because somebody else is writing.
    async fn transact(
        &self,
        action: &'static str,
        token: Option<&RecordingId>,
        writes: &[Write],
    ) -> Answer<bool> {
        let writes = writes.iter().map(|write| write.clone().item(&self.name)).collect();
        let answer = self
            .client
            .transact_write_items()
            .set_client_request_token(token.map(|id| id.as_str().to_owned()))
            .set_transact_items(Some(writes))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(is_contention) => Ok(false),
            Err(error) => Err(fault(SERVICE, action)(error)),
        }
    }

    async fn look(&self, meeting: &MeetingId, id: &RecordingId) -> Answer<Found> {
        let (recording, lock) = tokio::try_join!(self.recording(meeting, id), self.lock(meeting))?;
        let holds_lock = lock.is_some_and(|lock| lock.recording_id == *id);
        Ok(Found { recording, holds_lock })
    }

    /// Looks, plans and writes, until nobody gets in between.
    async fn write(
        &self,
        action: &'static str,
        meeting: &MeetingId,
        id: &RecordingId,
        plan: impl Fn(&Found) -> Plan + Send + Sync,
    ) -> Answer<Written> {
        for attempt in 0..TRIES {
            tokio::time::sleep(pause(attempt, fastrand::f64())).await;
            let Plan { writes, answer } = plan(&self.look(meeting, id).await?);
            if writes.is_empty() || self.transact(action, None, &writes).await? {
                return Ok(answer);
            }
        }
        Err(contended(action))
    }
}

impl Table for DynamoTable {
    async fn meeting(&self, id: &MeetingId) -> Answer<Option<Meeting>> {
        self.get("read the meeting", Key::meeting(id)).await
    }

    async fn recordings(&self, id: &MeetingId) -> Answer<Vec<Recording>> {
        self.query("list the recordings", &id.partition(), Some(RECORDING)).await
    }

    async fn recording(&self, meeting: &MeetingId, id: &RecordingId) -> Answer<Option<Recording>> {
        self.get("read the recording", Key::recording(meeting, id)).await
    }

    async fn lock(&self, meeting: &MeetingId) -> Answer<Option<Lock>> {
        self.get("read the lock", Key::lock(meeting)).await
    }

    async fn claim(
        &self,
        recording: &Recording,
        chime_meeting_id: &str,
        now: Timestamp,
    ) -> Answer<Claim> {
        const ACTION: &str = "claim the meeting";
        let (meeting, id) = (&recording.external_meeting_id, &recording.recording_id);
        let writes = claimed(recording, chime_meeting_id, now)
            .map_err(|error| not_understood(ACTION, error))?;
        for attempt in 0..TRIES {
            tokio::time::sleep(pause(attempt, fastrand::f64())).await;
            if self.transact(ACTION, Some(id), &writes).await? {
                return Ok(Claim::Claimed);
            }
            match self.lock(meeting).await? {
                Some(lock) if lock.recording_id != *id => return Ok(Claim::Taken),
                // Written by an attempt whose answer was lost.
                Some(_) => return Ok(Claim::Claimed),
                // Another start is under way, or what held the meeting has just ended.
                None => {}
            }
        }
        Err(contended(ACTION))
    }

    async fn unclaim(&self, recording: &Recording) -> Answer<()> {
        let (meeting, id) = (&recording.external_meeting_id, &recording.recording_id);
        let plan = |found: &Found| unclaimed(found, meeting, id);
        self.write("take the claim back", meeting, id, plan).await?;
        Ok(())
    }

    async fn put_attendee(
        &self,
        meeting: &MeetingId,
        attendee: &Attendee,
        now: Timestamp,
    ) -> Answer<()> {
        let key = Key::attendee(meeting, &attendee.external_user_id);
        self.put("put the attendee", item(key, "Attendee", ttl(now, KEPT), attendee)).await
    }

    async fn delete_attendee(&self, meeting: &MeetingId, id: &RecordingId) -> Answer<()> {
        let key = Key::attendee(meeting, id.as_str());
        self.client
            .delete_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .send()
            .await
            .map_err(fault(SERVICE, "delete the attendee"))?;
        Ok(())
    }

    async fn note_task(
        &self,
        recording: &Recording,
        task: &str,
        chime_attendee_id: Option<&str>,
    ) -> Answer<Written> {
        let (meeting, id) = (&recording.external_meeting_id, &recording.recording_id);
        let plan = |found: &Found| noted_task(found, task, chime_attendee_id);
        self.write("note the task", meeting, id, plan).await
    }

    async fn note_running(&self, meeting: &MeetingId, id: &RecordingId) -> Answer<Written> {
        self.write("note that the task runs", meeting, id, noted_running).await
    }

    async fn close(
        &self,
        meeting: &MeetingId,
        id: &RecordingId,
        now: Timestamp,
    ) -> Answer<Written> {
        let plan = |found: &Found| closed(found, meeting, id, now);
        self.write("close the recording", meeting, id, plan).await
    }

    async fn settle(&self, meeting: &MeetingId, id: &RecordingId, ending: &Ending) -> Answer<()> {
        let plan = |found: &Found| settled(found, meeting, id, ending);
        self.write("settle the recording", meeting, id, plan).await?;
        Ok(())
    }

    async fn open_recordings(&self) -> Answer<Vec<OpenRecording>> {
        self.query("list the open recordings", OPEN, None).await
    }

    async fn open_recording(&self, id: &RecordingId) -> Answer<Option<OpenRecording>> {
        self.get("read the open recording", Key::open(id)).await
    }

    async fn user(&self, connect_user_id: &str) -> Answer<Option<User>> {
        self.get("read the user", Key::user(connect_user_id)).await
    }

    async fn put_user(&self, user: &User) -> Answer<()> {
        let key = Key::user(&user.connect_user_id);
        self.put("put the user", item(key, "ConnectUserCache", user.ttl, user)).await
    }
}

/// Whether a transaction failed only because of what others wrote or are writing, or
/// because there was too much of it: then it is worth another look.
fn is_contention(error: &TransactWriteItemsError) -> bool {
    match error {
        TransactWriteItemsError::TransactionCanceledException(canceled) => {
            canceled.cancellation_reasons().iter().all(is_contention_of_one)
        }
        TransactWriteItemsError::TransactionInProgressException(_) => true,
        _ => false,
    }
}

/// A write that was not the reason has the code `None`.
fn is_contention_of_one(reason: &CancellationReason) -> bool {
    matches!(
        reason.code(),
        None | Some(
            "None"
                | "ConditionalCheckFailed"
                | "TransactionConflict"
                | "ThrottlingError"
                | "ProvisionedThroughputExceeded"
        )
    )
}

/// How long to wait before an attempt; `luck` from 0 to 1 keeps two from meeting
/// again and again.
fn pause(attempt: u32, luck: f64) -> Duration {
    let Some(doublings) = attempt.checked_sub(1) else { return Duration::ZERO };
    (FIRST_PAUSE * 2_u32.pow(doublings)).mul_f64(0.5 + luck / 2.0)
}

fn contended(action: &'static str) -> Fault {
    let source = Trouble::Lacks("others write the same again and again");
    Fault { service: SERVICE, action, source: Some(Box::new(source)) }
}

fn not_understood(action: &'static str, error: serde_dynamo::Error) -> Fault {
    Fault { service: SERVICE, action, source: Some(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;

    use super::*;

    fn canceled(codes: &[&str]) -> TransactWriteItemsError {
        let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build());
        let canceled = TransactionCanceledException::builder()
            .set_cancellation_reasons(Some(reasons.collect()))
            .build();
        TransactWriteItemsError::TransactionCanceledException(canceled)
    }

    #[test]
    fn another_look_is_taken_where_others_were_in_the_way() {
        for (codes, again) in [
            (&["None", "ConditionalCheckFailed", "None"][..], true),
            (&["TransactionConflict", "None", "None"], true),
            (&["ThrottlingError", "None"], true),
            (&["ValidationError", "None"], false),
            (&["ConditionalCheckFailed", "ItemCollectionSizeLimitExceeded"], false),
        ] {
            assert_eq!(is_contention(&canceled(codes)), again, "{codes:?}");
        }
    }

    #[test]
    fn pauses_grow_and_all_of_them_fit_into_a_lambda() {
        assert_eq!(pause(0, 1.0), Duration::ZERO);
        assert_eq!(pause(1, 0.0), Duration::from_millis(10));
        assert_eq!(pause(3, 1.0), Duration::from_millis(80));
        let all: Duration = (0..TRIES).map(|attempt| pause(attempt, 1.0)).sum();
        assert!(all < Duration::from_secs(1), "{all:?}");
    }
}
