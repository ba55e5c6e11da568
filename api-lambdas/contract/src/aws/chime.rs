//! Meetings of the Chime SDK: the attendee of a recording comes and goes.

use aws_config::SdkConfig;
use aws_sdk_chimesdkmeetings::Client;
use aws_sdk_chimesdkmeetings::config::{Builder, Region};
use aws_sdk_chimesdkmeetings::operation::create_attendee::CreateAttendeeError;
use aws_sdk_chimesdkmeetings::operation::delete_attendee::DeleteAttendeeError;
use aws_sdk_chimesdkmeetings::types::{Attendee, AttendeeCapabilities, MediaCapabilities};
use serde_json::{Map, Value, json};

use super::{fault, lacks};
use crate::ports::{Answer, Invited, Meetings};
use crate::settings::Reader;

const SERVICE: &str = "Chime";

/// Where the agents' application makes its meetings if nothing else is said.
const USUAL_REGION: &str = "us-east-1";

/// Where the meetings are controlled.
#[derive(Clone, Debug)]
pub struct Settings {
    region: String,
}

impl Settings {
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self { region: reader.find("CHIME_REGION").unwrap_or_else(|| USUAL_REGION.into()) }
    }
}

/// The service.
#[derive(Clone, Debug)]
pub struct Chime {
    client: Client,
}

impl Chime {
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Self {
        let config = Builder::from(sdk).region(Region::new(settings.region)).build();
        Self { client: Client::from_conf(config) }
    }
}

impl Meetings for Chime {
    async fn invite(&self, chime_meeting_id: &str, external_user_id: &str) -> Answer<Invited> {
        const ACTION: &str = "make the attendee";
        let answer = self
            .client
            .create_attendee()
            .meeting_id(chime_meeting_id)
            .external_user_id(external_user_id)
            .capabilities(receive_only())
            .send()
            .await;
        match answer {
            Ok(answer) => {
                let attendee = answer
                    .attendee
                    .ok_or_else(|| lacks(SERVICE, ACTION, "the answer has no attendee"))?;
                Ok(Invited::Attendee(described(&attendee)))
            }
            // "The meeting has ended" and "Meeting not found" are both this.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateAttendeeError::is_not_found_exception) =>
            {
                Ok(Invited::NoMeeting)
            }
            Err(error) => Err(fault(SERVICE, ACTION)(error)),
        }
    }

    async fn remove(&self, chime_meeting_id: &str, chime_attendee_id: &str) -> Answer<()> {
        let answer = self
            .client
            .delete_attendee()
            .meeting_id(chime_meeting_id)
            .attendee_id(chime_attendee_id)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DeleteAttendeeError::is_not_found_exception) =>
            {
                Ok(())
            }
            Err(error) => Err(fault(SERVICE, "remove the attendee")(error)),
        }
    }
}

/// Whoever has the token of a recording's attendee can only listen and watch.
fn receive_only() -> AttendeeCapabilities {
    AttendeeCapabilities::builder()
        .audio(MediaCapabilities::Receive)
        .video(MediaCapabilities::Receive)
        .content(MediaCapabilities::Receive)
        .build()
        .expect("all three are set")
}

/// The Attendee object as the page's SDK takes it.
fn described(attendee: &Attendee) -> Value {
    let mut object = Map::new();
    for (key, value) in [
        ("ExternalUserId", attendee.external_user_id()),
        ("AttendeeId", attendee.attendee_id()),
        ("JoinToken", attendee.join_token()),
    ] {
        object.extend(value.map(|value| (key.to_owned(), value.into())));
    }
    if let Some(may) = attendee.capabilities() {
        let may = json!({
            "Audio": may.audio().as_str(),
            "Video": may.video().as_str(),
            "Content": may.content().as_str(),
        });
        object.insert("Capabilities".into(), may);
    }
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attendee_has_the_names_that_the_page_knows() {
        let attendee = Attendee::builder()
            .external_user_id("u")
            .attendee_id("a")
            .join_token("t")
            .capabilities(receive_only())
            .build();
        assert_eq!(
            described(&attendee),
            json!({
                "ExternalUserId": "u", "AttendeeId": "a", "JoinToken": "t",
                "Capabilities": { "Audio": "Receive", "Video": "Receive", "Content": "Receive" },
            })
        );
        assert_eq!(described(&Attendee::builder().build()), json!({}));
    }
}
