//! The instance of Amazon Connect: its users, their groups, and its contacts.

use aws_config::{Region, SdkConfig};
use reqwest::Method;
use serde_json::{Value, json};

use super::signed::{Call, Signed};
use super::{Trouble, lacks};
use crate::names::escaped;
use crate::ports::{Answer, Connect, ConnectUser, Fault};
use crate::settings::Reader;

const SERVICE: &str = "Connect";

/// The name that the agents' application gives to the attribute.
const PLAYBACK_URL: &str = "videoRecordingPlaybackURL";

/// Which instance.
#[derive(Clone, Debug)]
pub struct Settings {
    instance: String,
    region: Option<String>,
    endpoint: Option<String>,
}

impl Settings {
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            instance: reader.need("ConnectInstanceId"),
            region: reader.find("ConnectInstanceRegion"),
            endpoint: reader.find("AWS_ENDPOINT_URL_CONNECT"),
        }
    }
}

/// The instance.
#[derive(Clone, Debug)]
pub struct Instance {
    service: Signed,
    id: String,
}

impl Instance {
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Self {
        let mut sdk = sdk.to_builder();
        if let Some(region) = settings.region {
            sdk.set_region(Region::new(region));
        }
        let service = Signed::new(&sdk.build(), "connect", settings.endpoint);
        Self { service, id: settings.instance }
    }

    async fn call(
        &self,
        method: Method,
        path: String,
        body: Option<Value>,
    ) -> Result<Value, Trouble> {
        let headers = &[("content-type", "application/json")];
        self.service.call(&Call { method, path, headers, body }).await
    }
}

impl Connect for Instance {
    async fn user(&self, id: &str) -> Answer<Option<ConnectUser>> {
        const ACTION: &str = "describe the user";
        let path = format!("/users/{}/{}", escaped(&self.id), escaped(id));
        match self.call(Method::GET, path, None).await {
            Ok(answer) => user(&answer["User"])
                .map(Some)
                .ok_or_else(|| lacks(SERVICE, ACTION, "the answer has no user")),
            Err(Trouble::Answer { code, .. }) if code == "ResourceNotFoundException" => Ok(None),
            Err(trouble) => Err(fault(ACTION)(trouble)),
        }
    }

    async fn group(&self, id: &str) -> Answer<Value> {
        const ACTION: &str = "describe the group";
        let path = format!("/user-hierarchy-groups/{}/{}", escaped(&self.id), escaped(id));
        let mut answer = self.call(Method::GET, path, None).await.map_err(fault(ACTION))?;
        let group = answer["HierarchyGroup"].take();
        if group.is_object() {
            Ok(group)
        } else {
            Err(lacks(SERVICE, ACTION, "the answer has no group"))
        }
    }

    async fn set_playback_url(&self, contact_id: &str, url: &str) -> Answer<()> {
        let body = json!({
            "InstanceId": self.id,
            "InitialContactId": contact_id,
            "Attributes": { PLAYBACK_URL: url },
        });
        let answer = self.call(Method::POST, "/contact/attributes".into(), Some(body)).await;
        answer.map_err(fault("put the address of the recording into the contact"))?;
        Ok(())
    }
}

fn fault(action: &'static str) -> impl Fn(Trouble) -> Fault {
    move |trouble| Fault { service: SERVICE, action, source: Some(Box::new(trouble)) }
}

/// The `User` object, if it is one.
fn user(object: &Value) -> Option<ConnectUser> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let profiles = object.get("SecurityProfileIds").and_then(Value::as_array);
    Some(ConnectUser {
        username: text("Username")?,
        hierarchy_group_id: text("HierarchyGroupId").filter(|id| !id.is_empty()),
        security_profile_ids: profiles
            .map(|ids| ids.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_in_its_own_region() {
        let sdk = SdkConfig::builder().region(Region::new("eu-central-1")).build();
        for (region, expected) in [(None, "eu-central-1"), (Some("us-west-2"), "us-west-2")] {
            let settings = Settings {
                instance: "i".into(),
                region: region.map(str::to_owned),
                endpoint: None,
            };
            let asked = format!("{:?}", Instance::new(&sdk, settings));
            let host = format!("https://connect.{expected}.amazonaws.com");
            assert!(asked.contains(&host), "{asked}");
        }
    }

    #[test]
    fn a_user_is_understood_with_and_without_a_group() {
        let described = json!({
            "Id": "u", "Username": "agent", "HierarchyGroupId": "g",
            "SecurityProfileIds": ["p", "q"], "PhoneConfig": {},
        });
        let expected = ConnectUser {
            username: "agent".into(),
            hierarchy_group_id: Some("g".into()),
            security_profile_ids: vec!["p".into(), "q".into()],
        };
        assert_eq!(user(&described), Some(expected.clone()));
        let alone =
            ConnectUser { hierarchy_group_id: None, security_profile_ids: Vec::new(), ..expected };
        assert_eq!(user(&json!({ "Username": "agent", "HierarchyGroupId": "" })), Some(alone));
        assert_eq!(user(&Value::Null), None);
    }
}
