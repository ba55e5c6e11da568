//! An agent: somebody who signs in to the user pool and calls the API, as the
//! agents' application does.

use std::fmt;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::connect::ConnectUser;
use crate::setup::{self, GROUP, PLAYBACK_PROFILE, Pool, instance_arn, text};
use crate::sigv4::{self, Call, Caller, Keys, REGION, Reply};

/// What the pool asks for: long, and of all kinds of characters.
const PASSWORD: &str = "Agent-12345678";

/// Somebody to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    pub username: String,
    pub email: String,
    /// Who they are in Connect.
    pub connect_user_id: String,
    /// Whether the pool knows that already.
    pub is_onboarded: bool,
    /// Their hierarchy group in Connect.
    pub group: Option<String>,
    pub security_profiles: Vec<String>,
}

impl Plan {
    /// Somebody of [`GROUP`] who may play recordings.
    pub fn new(username: &str) -> Self {
        Self {
            username: username.into(),
            email: format!("{username}@example.com"),
            connect_user_id: Uuid::new_v4().to_string(),
            is_onboarded: true,
            group: Some(GROUP.into()),
            security_profiles: vec![PLAYBACK_PROFILE.into()],
        }
    }

    /// As Connect has them. Who signs in by e-mail is called by it, without a `+`.
    pub(crate) fn connect_user(&self) -> ConnectUser {
        let (local, domain) = self.email.rsplit_once('@').unwrap_or((&self.email, ""));
        ConnectUser {
            id: self.connect_user_id.clone(),
            username: format!("{}@{domain}", local.replacen('+', "_", 1)),
            hierarchy_group_id: self.group.clone(),
            security_profile_ids: self.security_profiles.clone(),
        }
    }
}

/// A hierarchy group as Connect has it. `path` has the ids of the groups above it,
/// from the top, and its own; each is named like its id.
pub(crate) fn hierarchy_group(path: &[&str]) -> Value {
    const LEVELS: [&str; 5] = ["LevelOne", "LevelTwo", "LevelThree", "LevelFour", "LevelFive"];
    let described = |id: &str| {
        let arn = format!("{}/agent-group/{id}", instance_arn());
        json!({ "Id": id, "Arn": arn, "Name": id })
    };
    let levels = LEVELS.iter().zip(path);
    let levels: Value = levels.map(|(level, id)| ((*level).to_owned(), described(id))).collect();
    let mut group = described(path.last().copied().unwrap_or_default());
    group["LevelId"] = path.len().to_string().into();
    group["HierarchyPath"] = levels;
    group
}

/// What the API answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Null where it is no JSON.
    pub body: Value,
    pub headers: HeaderMap,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self { status: reply.status.as_u16(), body: reply.json(), headers: reply.headers }
    }
}

/// The API as clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
}

impl Api {
    pub(crate) async fn call(
        &self,
        keys: Option<&Keys>,
        (method, path): (Method, &str),
        body: Option<&Value>,
        token: Option<&str>,
    ) -> Result<Answer, sigv4::Error> {
        let caller = Caller::new(self.http.clone(), &self.url, keys.cloned());
        let mut headers = Vec::new();
        if body.is_some() {
            headers.push(("content-type", "application/json".to_owned()));
        }
        if let Some(token) = token {
            headers.push(("cognitoidtoken", token.to_owned()));
        }
        let body = body.map(Value::to_string).unwrap_or_default().into();
        let call = Call { method, path, headers, body };
        Ok(caller.send("execute-api", call).await?.into())
    }

    pub(crate) async fn preflight(
        &self,
        origin: &str,
        method: &Method,
        path: &str,
    ) -> Result<Answer, sigv4::Error> {
        let caller = Caller::new(self.http.clone(), &self.url, None);
        let headers = vec![
            ("origin", origin.to_owned()),
            ("access-control-request-method", method.to_string()),
            ("access-control-request-headers", "authorization,cognitoidtoken".to_owned()),
        ];
        let call = Call { method: Method::OPTIONS, path, headers, body: Bytes::new() };
        Ok(caller.send("execute-api", call).await?.into())
    }
}

/// An agent who is signed in.
#[derive(Clone)]
pub struct Agent {
    plan: Plan,
    api: Api,
    /// Of ministack, where nothing of this is signed.
    sign_in: Caller,
    pool: Pool,
    keys: Keys,
    id_token: String,
}

/// Without keys and token.
impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("username", &self.plan.username).finish_non_exhaustive()
    }
}

impl Agent {
    /// Makes the user and signs them in.
    pub(crate) async fn make(
        root: &Caller,
        sign_in: Caller,
        (pool, api): (&Pool, &Api),
        plan: Plan,
    ) -> Result<Self, setup::Error> {
        let attribute = |name: &str, value: &str| json!({ "Name": name, "Value": value });
        let mut attributes =
            vec![attribute("email", &plan.email), attribute("email_verified", "true")];
        if plan.is_onboarded {
            attributes.push(attribute("custom:connectUserId", &plan.connect_user_id));
        }
        let create = json!({
            "UserPoolId": pool.id,
            "Username": plan.username,
            "MessageAction": "SUPPRESS",
            "UserAttributes": attributes,
        });
        let target = "AWSCognitoIdentityProviderService.AdminCreateUser";
        root.target("cognito-idp", target, &create).await?;
        let password = json!({
            "UserPoolId": pool.id,
            "Username": plan.username,
            "Password": PASSWORD,
            "Permanent": true,
        });
        let target = "AWSCognitoIdentityProviderService.AdminSetUserPassword";
        root.target("cognito-idp", target, &password).await?;
        let (pool, api) = (pool.clone(), api.clone());
        let keys = Keys {
            access_key_id: String::new(),
            secret_access_key: String::new(),
            session_token: None,
        };
        let mut agent = Self { plan, api, sign_in, pool, keys, id_token: String::new() };
        agent.sign_in().await?;
        Ok(agent)
    }

    /// Signs in, again: the token says from now on what the pool knows now.
    pub async fn sign_in(&mut self) -> Result<(), setup::Error> {
        const AUTH: &str = "AWSCognitoIdentityProviderService.InitiateAuth";
        const ID: &str = "AWSCognitoIdentityService.GetId";
        const CREDENTIALS: &str = "AWSCognitoIdentityService.GetCredentialsForIdentity";
        let auth = json!({
            "ClientId": self.pool.client,
            "AuthFlow": "USER_PASSWORD_AUTH",
            "AuthParameters": { "USERNAME": self.plan.username, "PASSWORD": PASSWORD },
        });
        let answer = self.sign_in.target("cognito-idp", AUTH, &auth).await?;
        self.id_token = text(AUTH, &answer["AuthenticationResult"], "IdToken")?;
        let logins = json!({ self.pool.provider(): self.id_token });
        let get = json!({ "IdentityPoolId": self.pool.identities, "Logins": logins });
        let answer = self.sign_in.target("cognito-identity", ID, &get).await?;
        let get = json!({ "IdentityId": text(ID, &answer, "IdentityId")?, "Logins": logins });
        let answer = self.sign_in.target("cognito-identity", CREDENTIALS, &get).await?;
        let credentials = &answer["Credentials"];
        self.keys = Keys {
            access_key_id: text(CREDENTIALS, credentials, "AccessKeyId")?,
            secret_access_key: text(CREDENTIALS, credentials, "SecretKey")?,
            session_token: Some(text(CREDENTIALS, credentials, "SessionToken")?),
        };
        Ok(())
    }

    pub fn username(&self) -> &str {
        &self.plan.username
    }

    pub fn email(&self) -> &str {
        &self.plan.email
    }

    pub fn connect_user_id(&self) -> &str {
        &self.plan.connect_user_id
    }

    pub fn id_token(&self) -> &str {
        &self.id_token
    }

    /// What the token says.
    pub(crate) fn claims(&self) -> Value {
        let claims = self.id_token.split('.').nth(1).unwrap_or_default();
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap_or_default();
        serde_json::from_slice(&claims).unwrap_or_default()
    }

    /// Keys of the identity pool.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    pub async fn post_recording(&self, body: &Value) -> Result<Answer, sigv4::Error> {
        self.own(Method::POST, "/recording", Some(body)).await
    }

    pub async fn delete_recording(&self, meeting: &str) -> Result<Answer, sigv4::Error> {
        let body = json!({ "externalMeetingId": meeting });
        self.own(Method::DELETE, "/recording", Some(&body)).await
    }

    pub async fn recording_summary(&self, meeting: &str) -> Result<Answer, sigv4::Error> {
        let query = [("externalMeetingId", meeting)];
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(query)
            .finish()
            // A blank as the signature has it.
            .replace('+', "%20");
        self.own(Method::GET, &format!("/recording-summary?{query}"), None).await
    }

    pub async fn put_connect_user_cache(&self) -> Result<Answer, sigv4::Error> {
        self.own(Method::PUT, "/connect-user-cache", None).await
    }

    pub async fn set_connect_user_id(&self, body: &Value) -> Result<Answer, sigv4::Error> {
        self.own(Method::POST, "/setConnectUserId", Some(body)).await
    }

    async fn own(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, sigv4::Error> {
        self.call(method, path, body, Some(&self.id_token)).await
    }

    /// A call that this agent signs, with whatever token, or none.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        token: Option<&str>,
    ) -> Result<Answer, sigv4::Error> {
        self.api.call(Some(&self.keys), (method, path), body, token).await
    }

    /// A command line that makes the call. It has the agent's keys and token.
    pub fn curl(&self, method: &Method, path: &str, body: Option<&Value>) -> String {
        let Keys { access_key_id, secret_access_key, session_token } = &self.keys;
        let mut command = format!(
            "curl -sS -X {method} --aws-sigv4 aws:amz:{REGION}:execute-api \
             --user {access_key_id}:{secret_access_key}"
        );
        let mut header = |name: &str, value: &str| {
            let _ = write!(command, " -H {}", quoted(&format!("{name}: {value}")));
        };
        header("x-amz-security-token", session_token.as_deref().unwrap_or_default());
        header("cognitoidtoken", &self.id_token);
        if body.is_some() {
            header("content-type", "application/json");
        }
        if let Some(body) = body {
            let _ = write!(command, " -d {}", quoted(&body.to_string()));
        }
        let _ = write!(command, " {}", quoted(&format!("{}{path}", self.api.url)));
        command
    }
}

/// One word for a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
