//! Chime's Meetings API: the test meeting's, behind a gate.
//!
//! The test meeting asks nobody for a signature, so calls come through here, where
//! they need one, and a policy that allows them. It must not know what a meeting is.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Response, StatusCode};
use axum::response::IntoResponse;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::gate::{Denied, Gate};
use crate::ministack::ACCOUNT;

/// Requests and answers have some kilobytes.
const LONGEST_BODY: usize = 1 << 20;

#[derive(Debug, thiserror::Error)]
#[error("Chime cannot listen on loopback")]
pub struct Error {
    source: std::io::Error,
}

/// The service. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct Chime {
    endpoint: String,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Door {
    gate: Gate,
    meetings: String,
    http: reqwest::Client,
}

impl Chime {
    /// `meetings` is where the test meeting is.
    pub(crate) async fn start(
        gate: Gate,
        meetings: String,
        http: &reqwest::Client,
    ) -> Result<Self, Error> {
        let listen = async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen.await.map_err(|source| Error { source })?;
        let door = Arc::new(Door { gate, meetings, http: http.clone() });
        let router = Router::new().fallback(pass).with_state(door);
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "Chime cannot be reached any more");
            }
        });
        Ok(Self { endpoint: format!("http://{address}"), server })
    }

    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Drop for Chime {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass(State(door): State<Arc<Door>>, request: Request) -> Response<Body> {
    door.pass(request).await.unwrap_or_else(IntoResponse::into_response)
}

impl Door {
    async fn pass(&self, request: Request) -> Result<Response<Body>, Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, LONGEST_BODY).await;
        let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
        let path = parts.uri.path();
        let (action, meeting) =
            asked(&parts.method, path).ok_or_else(|| StatusCode::NOT_FOUND.into_response())?;
        let resource = match meeting {
            Some(meeting) => format!("arn:aws:chime::{ACCOUNT}:meeting/{meeting}"),
            None => format!("arn:aws:chime::{ACCOUNT}:meeting/*"),
        };
        let denied = Denied::into_rest_json;
        self.gate.verify(&parts, &body).await.map_err(denied)?;
        let action = format!("chime:{action}");
        self.gate.check(&parts.headers, &action, &resource, &[]).await.map_err(denied)?;

        let answer = self
            .http
            .request(parts.method.clone(), format!("{}{}", self.meetings, parts.uri))
            .headers(content_type(&parts.headers))
            .body(body)
            .send()
            .await
            .map_err(|error| lost(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let mut passed =
            Response::new(Body::from(answer.bytes().await.map_err(|error| lost(&error))?));
        *passed.status_mut() = status;
        for name in ["content-type", "x-amzn-errortype"] {
            if let Some(value) = headers.get(name) {
                passed.headers_mut().insert(name, value.clone());
            }
        }
        Ok(passed)
    }
}

/// The operation, and the meeting that it is about.
fn asked<'a>(method: &Method, path: &'a str) -> Option<(&'static str, Option<&'a str>)> {
    let path: Vec<_> = path.trim_matches('/').split('/').collect();
    let operation = match (method.as_str(), path.as_slice()) {
        ("POST", ["meetings"]) => return Some(("CreateMeeting", None)),
        ("GET", ["meetings", _]) => "GetMeeting",
        ("DELETE", ["meetings", _]) => "DeleteMeeting",
        ("GET", ["meetings", _, "attendees"]) => "ListAttendees",
        ("POST", ["meetings", _, "attendees"]) => "CreateAttendee",
        ("GET", ["meetings", _, "attendees", _]) => "GetAttendee",
        ("DELETE", ["meetings", _, "attendees", _]) => "DeleteAttendee",
        _ => return None,
    };
    Some((operation, path.get(1).copied()))
}

fn content_type(headers: &HeaderMap) -> HeaderMap {
    const NAME: &str = "content-type";
    headers
        .get(NAME)
        .map(|value| (axum::http::header::CONTENT_TYPE, value.clone()))
        .into_iter()
        .collect()
}

fn lost(error: &reqwest::Error) -> Response<Body> {
    (StatusCode::BAD_GATEWAY, format!("the test meeting does not answer: {error}")).into_response()
}
