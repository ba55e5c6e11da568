//! The user pool of the agents: which user of Connect each of them is.

use aws_config::SdkConfig;
use reqwest::Method;
use serde_json::json;

use super::signed::{Call, Signed};
use crate::ports::{Answer, Fault, UserPool};
use crate::settings::Reader;

const HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/x-amz-json-1.1"),
    ("x-amz-target", "AWSCognitoIdentityProviderService.AdminUpdateUserAttributes"),
];

/// Comes back as a claim of the user's tokens.
const CONNECT_USER_ID: &str = "custom:connectUserId";

/// Which pool.
#[derive(Clone, Debug)]
pub struct Settings {
    pool: String,
    endpoint: Option<String>,
}

impl Settings {
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            pool: reader.need("CognitoUserPoolId"),
            endpoint: reader.find("AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER"),
        }
    }
}

/// The pool.
#[derive(Clone, Debug)]
pub struct Pool {
    service: Signed,
    id: String,
}

impl Pool {
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Self {
        Self { service: Signed::new(sdk, "cognito-idp", settings.endpoint), id: settings.pool }
    }
}

impl UserPool for Pool {
    async fn set_connect_user_id(&self, username: &str, connect_user_id: &str) -> Answer<()> {
        let call = Call {
            method: Method::POST,
            path: "/".into(),
            headers: &HEADERS,
            body: Some(json!({
                "UserPoolId": self.id,
                "Username": username,
                "UserAttributes": [{ "Name": CONNECT_USER_ID, "Value": connect_user_id }],
            })),
        };
        self.service.call(&call).await.map_err(|trouble| Fault {
            service: "Cognito",
            action: "set the user's Connect id",
            source: Some(Box::new(trouble)),
        })?;
        Ok(())
    }
}
