//! A request as an HTTP API hands it to a Lambda (payload format 2.0), and what
//! goes back. Pure.
//!
//! Requests come from outside: whatever is not as it should be is missing.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The longest body that is looked at, in bytes; ours have three short texts.
const LONGEST_BODY: usize = 16 << 10;

/// What of the event is used. Header names are in lower case.
#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request {
    pub headers: BTreeMap<String, String>,
    pub query_string_parameters: Option<BTreeMap<String, String>>,
    pub request_context: Context,
    pub body: Option<String>,
    pub is_base64_encoded: bool,
}

/// Neither token nor body, which may hold anything.
impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Context {
    pub authorizer: Option<Authorizer>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Authorizer {
    pub iam: Option<Iam>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Iam {
    pub cognito_identity: Option<CognitoIdentity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CognitoIdentity {
    /// Who vouches for the caller, among others
    /// `{idp-domain}/{userPoolId}:CognitoSignIn:{sub}`.
    pub amr: Vec<String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |(key, _): &(&String, &String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|(_, value)| value.as_str())
    }

    pub fn query(&self, name: &str) -> Option<&str> {
        self.query_string_parameters.as_ref()?.get(name).map(String::as_str)
    }

    /// The body, if it is a JSON object and says that it is JSON.
    pub fn json(&self) -> Value {
        let kind = self.header("content-type").unwrap_or_default().to_ascii_lowercase();
        let is_json = kind.contains("application/json");
        let body = self
            .body
            .as_deref()
            .filter(|body| is_json && !self.is_base64_encoded && body.len() <= LONGEST_BODY);
        // serde_json gives up on bodies that are nested too deeply.
        body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default()
    }
}

/// A text of a JSON object that is not empty.
pub fn text<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    body.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// What a handler answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

/// A request that is refused, or that went wrong on our side.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub status: u16,
    /// For the caller.
    pub message: Cow<'static, str>,
    /// Which of the reasons it was, for metrics: a few words with underscores.
    pub reason: &'static str,
    pub data: Option<Value>,
    /// For the log.
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    pub fn new(status: u16, message: impl Into<Cow<'static, str>>, reason: &'static str) -> Self {
        Self { status, message: message.into(), reason, data: None, source: None }
    }

    #[must_use]
    pub fn because(self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: Some(cause.into()), ..self }
    }

    #[must_use]
    pub fn with(self, data: Value) -> Self {
        Self { data: Some(data), ..self }
    }

    pub fn reply(&self, request_id: &str) -> Reply {
        let mut body = json!({ "message": self.message, "reqId": request_id });
        if let Some(data) = &self.data {
            body["data"] = data.clone();
        }
        Reply { status: self.status, body }
    }
}

/// What a handler has to say if all went well: the text, and the data.
#[derive(Clone, Debug, PartialEq)]
pub struct Success {
    pub text: &'static str,
    pub data: Value,
}

impl Success {
    pub fn new(text: &'static str, data: impl Serialize) -> Self {
        let data = serde_json::to_value(data).expect("what is answered is plain data");
        Self { text, data }
    }

    pub fn reply(&self, request_id: &str) -> Reply {
        let Self { text, data } = self;
        Reply { status: 200, body: json!({ "success": text, "data": data, "reqId": request_id }) }
    }
}

impl Reply {
    /// As an HTTP API wants it.
    pub fn event(&self) -> Value {
        json!({
            "statusCode": self.status,
            "headers": { "Content-Type": "application/json" },
            "body": self.body.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(event: Value) -> Request {
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_body_is_read_only_if_it_says_that_it_is_json() {
        for (kind, read) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("text/plain", false),
            ("", false),
        ] {
            let request =
                request(json!({ "headers": { "content-type": kind }, "body": r#"{"a":"b"}"# }));
            assert_eq!(text(&request.json(), "a"), read.then_some("b"), "{kind}");
        }
        assert_eq!(request(json!({ "body": r#"{"a":"b"}"# })).json(), Value::Null);
    }

    #[test]
    fn a_hostile_body_is_no_body() {
        let headers = json!({ "content-type": "application/json" });
        let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
        let long = format!(r#"{{"a":"{}"}}"#, "x".repeat(LONGEST_BODY));
        for body in [&deep, &long, "{", "", "\u{0}"] {
            let request = request(json!({ "headers": headers, "body": body }));
            assert_eq!(text(&request.json(), "a"), None);
        }
        for body in [r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":""}"#, r#"{"a":["b"]}"#, "[]", "7"] {
            let request = request(json!({ "headers": headers, "body": body }));
            assert_eq!(text(&request.json(), "a"), None, "{body}");
        }
        let encoded =
            request(json!({ "headers": headers, "body": "eyJhIjoiYiJ9", "isBase64Encoded": true }));
        assert_eq!(encoded.json(), Value::Null);
    }

    #[test]
    fn a_request_without_anything_is_one() {
        let request = request(json!({ "version": "2.0" }));
        assert_eq!((request.header("x"), request.query("y")), (None, None));
        assert!(request.request_context.authorizer.is_none());
    }

    #[test]
    fn answers_have_the_envelopes_of_the_api() {
        let reply = Success::new("Done!", json!({ "a": 1 })).reply("r-1");
        assert_eq!(
            reply.event(),
            json!({
                "statusCode": 200,
                "headers": { "Content-Type": "application/json" },
                "body": json!({ "success": "Done!", "data": { "a": 1 }, "reqId": "r-1" }).to_string(),
            })
        );
        let refusal = Refusal::new(409, "Recording already in progress", "in_progress");
        let reply = refusal.reply("r-2");
        assert_eq!(reply.status, 409);
        assert_eq!(
            reply.body,
            json!({ "message": "Recording already in progress", "reqId": "r-2" })
        );
    }
}
