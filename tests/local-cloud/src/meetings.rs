//! Meetings, as the agents' application begins and ends them: in Chime, and in the
//! table. It must not know of recordings.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use test_meeting::{MeetingNames, Scenario};

use crate::agent::Agent;
use crate::attributes::item_from_plain;
use crate::cloud::{Cloud, Error};
use crate::setup::{TABLE, text};
use crate::sigv4::REGION;

/// Items of a meeting are kept for 45 days.
const KEPT_SECONDS: i64 = 45 * 24 * 3600;

/// A meeting that is held, with its item in the table.
#[derive(Clone, Debug)]
pub struct MeetingHandle {
    pub external_meeting_id: String,
    pub chime_meeting_id: String,
    /// The Meeting object of Chime.
    pub meeting: Value,
}

impl Cloud {
    /// Begins a meeting, and writes it into the table as the agents' application does:
    /// with its owner as an attendee.
    pub async fn start_meeting(
        &self,
        external_meeting_id: &str,
        owner: &Agent,
        participants: usize,
    ) -> Result<MeetingHandle, Error> {
        let scenario = Scenario::standard(participants, false);
        let names =
            MeetingNames { meeting_id: None, external_meeting_id: external_meeting_id.into() };
        let hosted = self.meetings().host(scenario, names).await;
        let meeting = hosted.map_err(|source| Error::Meeting { source })?.meeting;
        let chime_meeting_id = text("CreateMeeting", &meeting, "MeetingId")?;
        let owner_id = uuid::Uuid::new_v4().to_string();
        let path = format!("/meetings/{chime_meeting_id}/attendees");
        let body = json!({ "ExternalUserId": owner_id });
        let chime = self.unguarded_meetings();
        let answer = chime.rest("chime", Method::POST, &path, &body).await?;
        let attendee = &answer["Attendee"];

        let now = Timestamp::now();
        let created_at = iso(now);
        let partition = format!("M#{external_meeting_id}");
        let item = json!({
            "PK": partition,
            "SK": partition,
            "entityType": "Meeting",
            "createdAt": created_at,
            "TTL": now.as_second() + KEPT_SECONDS,
            "externalMeetingId": external_meeting_id,
            "meetingTitle": external_meeting_id,
            "ownerUsername": owner.username(),
            "ownerName": owner.username(),
            "ownerEmail": owner.email(),
            "chimeMeetingId": chime_meeting_id,
            "chimeMeetingData": meeting,
        });
        let attendee = json!({
            "PK": partition,
            "SK": format!("A#{owner_id}"),
            "entityType": "Attendee",
            "createdAt": created_at,
            "TTL": now.as_second() + KEPT_SECONDS,
            "externalUserId": owner_id,
            "attendeeName": owner.username(),
            "attendeeEmail": owner.email(),
            "chimeAttendeeId": attendee["AttendeeId"],
            "chimeAttendeeData": attendee,
            "isOwner": true,
        });
        let put = |item: &Value| json!({ "TableName": TABLE, "Item": item_from_plain(item) });
        let mut once = put(&item);
        once["ConditionExpression"] = "attribute_not_exists(PK)".into();
        let write = json!({ "TransactItems": [{ "Put": once }, { "Put": put(&attendee) }] });
        let target = "DynamoDB_20120810.TransactWriteItems";
        self.tables().target("dynamodb", target, &write).await?;
        let external_meeting_id = external_meeting_id.to_owned();
        Ok(MeetingHandle { external_meeting_id, chime_meeting_id, meeting })
    }

    /// Ends a meeting for everybody, as the agents' application does: it writes that
    /// into the table, too. Chime tells `EventBridge`.
    pub async fn end_meeting(&self, meeting: &MeetingHandle) -> Result<(), Error> {
        let key = json!({ "S": format!("M#{}", meeting.external_meeting_id) });
        let update = json!({
            "TableName": TABLE,
            "Key": { "PK": key, "SK": key },
            "UpdateExpression": "SET endedAt = :now",
            "ExpressionAttributeValues": { ":now": { "S": iso(Timestamp::now()) } },
        });
        self.tables().target("dynamodb", "DynamoDB_20120810.UpdateItem", &update).await?;
        let chime = self.unguarded_meetings();
        let path = format!("/meetings/{}", meeting.chime_meeting_id);
        chime.rest("chime", Method::DELETE, &path, &json!({})).await?;
        let detail = json!({
            "version": "0",
            "eventType": "chime:MeetingEnded",
            "timestamp": Timestamp::now().as_millisecond(),
            "meetingId": meeting.chime_meeting_id,
            "externalMeetingId": meeting.external_meeting_id,
            "mediaRegion": REGION,
        });
        self.put_event("aws.chime", "Chime Meeting State Change", &detail).await
    }
}

/// As the items have it.
fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
