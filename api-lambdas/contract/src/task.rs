//! A recording's task: what it is told, and what ECS says of it. Pure.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::items::Recording;
use crate::names::RecordingId;

/// ECS takes no longer overrides, in characters of their JSON.
const LONGEST_OVERRIDES: usize = 8192;

/// What a recording's task is to do. Its variables hold a join token.
#[derive(Clone, PartialEq)]
pub struct Order {
    pub recording: RecordingId,
    /// In the order in which they are sent.
    pub environment: Vec<(&'static str, String)>,
}

/// Names only: the values hold a join token.
impl std::fmt::Debug for Order {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("Order").field("recording", &self.recording).field("names", &names).finish()
    }
}

/// Size of the picture, in pixels as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    pub width: String,
    pub height: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task's overrides have {0} characters, {LONGEST_OVERRIDES} are the most")]
pub struct TooLong(pub usize);

impl Order {
    /// `container` is the name of the container that is told.
    pub fn new(
        recording: &Recording,
        meeting: &Value,
        attendee: &Value,
        screen: &Screen,
        container: &str,
    ) -> Result<Self, TooLong> {
        let environment = vec![
            ("TASK_TYPE", "RECORDING".to_owned()),
            ("CHIME_MEETING_DATA", encoded(meeting)),
            ("CHIME_ATTENDEE_DATA", encoded(attendee)),
            ("RECORDING_BUCKET_NAME", recording.bucket.clone()),
            ("RECORDING_FILE_NAME", recording.key.clone()),
            ("RECORDING_SCREEN_WIDTH", screen.width.clone()),
            ("RECORDING_SCREEN_HEIGHT", screen.height.clone()),
        ];
        let order = Self { recording: recording.recording_id.clone(), environment };
        let length = order.overrides(container).to_string().chars().count();
        if length > LONGEST_OVERRIDES { Err(TooLong(length)) } else { Ok(order) }
    }

    /// As `RunTask` has it.
    fn overrides(&self, container: &str) -> Value {
        let environment: Vec<_> = self
            .environment
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }))
            .collect();
        json!({ "containerOverrides": [{ "name": container, "environment": environment }] })
    }
}

/// Base64 of an object's JSON, as the worker and its page take it.
fn encoded(object: &Value) -> String {
    BASE64_STANDARD.encode(object.to_string())
}

/// A task as ECS describes it, in an answer or in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub arn: String,
    pub started_by: String,
    /// `PROVISIONING` to `STOPPED`.
    pub last_status: String,
    pub desired_status: String,
    pub stopped_reason: Option<String>,
    /// Of the recorder.
    pub exit_code: Option<i32>,
    pub created_at: Option<jiff::Timestamp>,
    pub stopped_at: Option<jiff::Timestamp>,
}

impl Task {
    pub fn recording(&self) -> Option<RecordingId> {
        RecordingId::of_task(&self.started_by)
    }

    pub fn is_dead(&self) -> bool {
        self.last_status == "STOPPED"
    }

    /// Whether its end was asked for.
    pub fn is_ending(&self) -> bool {
        self.desired_status == "STOPPED"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::a_recording;

    fn order(meeting: &Value, attendee: &Value) -> Result<Order, TooLong> {
        let screen = Screen { width: "1920".into(), height: "1080".into() };
        Order::new(
            &a_recording(),
            meeting,
            attendee,
            &screen,
            "VideoCallEscalation-RecordingContainer",
        )
    }

    #[test]
    fn a_task_gets_the_seven_variables_in_their_order() {
        let order = order(&json!({ "MeetingId": "m" }), &json!({ "AttendeeId": "a" })).unwrap();
        let names: Vec<_> = order.environment.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names,
            [
                "TASK_TYPE",
                "CHIME_MEETING_DATA",
                "CHIME_ATTENDEE_DATA",
                "RECORDING_BUCKET_NAME",
                "RECORDING_FILE_NAME",
                "RECORDING_SCREEN_WIDTH",
                "RECORDING_SCREEN_HEIGHT",
            ]
        );
        assert_eq!(order.environment[0].1, "RECORDING");
    }

    #[test]
    fn join_data_survive_base64_whatever_the_meeting_is_called() {
        let long = "x".repeat(64);
        for id in ["a~b", "a>b", "a?b", "é", "a b", "þþ", long.as_str()] {
            let meeting = json!({ "ExternalMeetingId": id, "Unknown": [1, null] });
            let order = order(&meeting, &json!({})).unwrap();
            let bytes = BASE64_STANDARD.decode(&order.environment[1].1).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap(), meeting);
        }
    }

    #[test]
    fn overrides_that_ecs_would_refuse_are_refused_before() {
        let fits = order(&json!("x".repeat(4_000)), &json!({}));
        assert!(fits.is_ok());
        let error = order(&json!("x".repeat(6_500)), &json!({})).unwrap_err();
        assert!(error.0 > LONGEST_OVERRIDES, "{error}");
    }

    #[test]
    fn an_order_is_never_printed_with_its_token() {
        let order = order(&json!({}), &json!({ "JoinToken": "secret" })).unwrap();
        let printed = format!("{order:?}");
        assert!(!printed.contains(&encoded(&json!({ "JoinToken": "secret" }))), "{printed}");
        assert!(printed.contains("CHIME_ATTENDEE_DATA"), "{printed}");
    }
}
