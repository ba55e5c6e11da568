//! Calls of AWS services without their SDKs: a request, signed, and its answer.
//!
//! Two dozen operations are called once each to set the cloud up; a client for each
//! service would be compiled for that. It must not know which services there are.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use serde_json::Value;

/// Everything is there.
pub const REGION: &str = "us-east-1";

/// A form, as the older services take it.
const FORM: &str = "application/x-www-form-urlencoded; charset=utf-8";

/// Signs requests.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    pub access_key_id: String,
    pub secret_access_key: String,
    /// Of temporary credentials.
    pub session_token: Option<String>,
}

/// Without the secrets.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{call}: the request cannot be made")]
    Request { call: String, source: http::Error },
    #[error("{call}: the request cannot be signed")]
    Sign { call: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{call}: no answer")]
    NoAnswer { call: String, source: reqwest::Error },
    #[error("{call} was refused with {status}: {body}")]
    Refused { call: String, status: StatusCode, body: String },
    #[error("{call}: the answer is not understood: {body}")]
    NotUnderstood { call: String, body: String },
}

/// Whatever a service answered.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Null for a body that is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A request that is not signed yet.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    pub method: Method,
    /// With the query, if there is one.
    pub path: &'a str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// Somebody who calls services at one address.
#[derive(Clone, Debug)]
pub struct Caller {
    http: reqwest::Client,
    endpoint: String,
    /// `None`: calls are not signed.
    keys: Option<Keys>,
}

impl Caller {
    pub fn new(http: reqwest::Client, endpoint: impl Into<String>, keys: Option<Keys>) -> Self {
        Self { http, endpoint: endpoint.into(), keys }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// A call of a service that names the operation in a header.
    pub async fn target(&self, service: &str, target: &str, body: &Value) -> Result<Value, Error> {
        let headers = vec![
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("x-amz-target", target.to_owned()),
        ];
        let body = body.to_string().into();
        let call = Call { method: Method::POST, path: "/", headers, body };
        let reply = self.send(service, call).await?;
        understood(target, &succeeded(target, reply)?)
    }

    /// A call of a service that names things by paths.
    pub async fn rest(
        &self,
        service: &str,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, Error> {
        let name = format!("{service} {method} {path}");
        let headers = vec![("content-type", "application/json".to_owned())];
        let body = body.to_string().into();
        let reply = self.send(service, Call { method, path, headers, body }).await?;
        understood(&name, &succeeded(&name, reply)?)
    }

    /// A call of a service that takes forms; the answer is XML.
    pub async fn form(&self, service: &str, fields: &[(&str, &str)]) -> Result<String, Error> {
        let name = format!("{service} {}", fields.first().map_or("?", |(_, action)| *action));
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let headers = vec![("content-type", FORM.to_owned())];
        let call = Call { method: Method::POST, path: "/", headers, body: body.into() };
        Ok(succeeded(&name, self.send(service, call).await?)?.text())
    }

    /// The answer, whatever it is.
    pub async fn send(&self, service: &str, call: Call<'_>) -> Result<Reply, Error> {
        let name = format!("{service} {} {}", call.method, call.path);
        let no_answer = |source| Error::NoAnswer { call: name.clone(), source };
        let mut request = http::Request::builder()
            .method(call.method)
            .uri(format!("{}{}", self.endpoint, call.path));
        for (header, value) in call.headers {
            request = request.header(header, value);
        }
        let mut request = request
            .body(call.body)
            .map_err(|source| Error::Request { call: name.clone(), source })?;
        if let Some(keys) = &self.keys {
            sign_request(&mut request, service, keys)
                .map_err(|source| Error::Sign { call: name.clone(), source })?;
        }
        let request = request.try_into().map_err(no_answer)?;
        let answer = self.http.execute(request).await.map_err(no_answer)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(no_answer)?;
        Ok(Reply { status, headers, body })
    }
}

fn succeeded(call: &str, reply: Reply) -> Result<Reply, Error> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    Err(Error::Refused { call: call.to_owned(), status: reply.status, body: reply.text() })
}

fn understood(call: &str, reply: &Reply) -> Result<Value, Error> {
    if reply.body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&reply.body)
        .map_err(|_| Error::NotUnderstood { call: call.to_owned(), body: reply.text() })
}

/// What is between two tags of an answer in XML, the first time they come.
pub(crate) fn element(xml: &str, name: &str) -> Option<String> {
    let (_, after) = xml.split_once(&format!("<{name}>"))?;
    let (value, _) = after.split_once(&format!("</{name}>"))?;
    Some(value.to_owned())
}

fn sign_request(
    request: &mut http::Request<Bytes>,
    service: &str,
    keys: &Keys,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let identity = Credentials::new(
        &keys.access_key_id,
        &keys.secret_access_key,
        keys.session_token.clone(),
        None,
        "local-cloud",
    )
    .into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name(service)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let uri = request.uri().to_string();
    let headers = request.headers().iter().map(|(name, value)| {
        (name.as_str(), std::str::from_utf8(value.as_bytes()).unwrap_or_default())
    });
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(request.method().as_str(), uri, headers, body)?;
    let (instructions, _) = sign(signable, &params)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}
