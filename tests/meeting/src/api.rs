//! HTTP: the Meetings API as `ChimeSDKMeetings` has it, the signaling's address,
//! and control.
//!
//! Requests are not asked for a signature: it is a test server on loopback.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::rejection::JsonRejection;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::clips::Library;
use crate::meeting::{Meeting, clips_of};
use crate::scenario::{Action, Scenario};
use crate::sound::Sound;
use crate::{Error, Hosted, MeetingNames, identity, room, signaling};

/// What a client asks for beside its token, and gets back.
const PROTOCOL: &str = "_aws_wt_session";
const REGION: &str = "us-east-1";
/// The attendee that is made for whoever hosts a meeting.
const RECORDER: &str = "recorder";
const PAGE: usize = 20;

/// All meetings.
#[derive(Debug)]
pub(crate) struct Hall {
    address: SocketAddr,
    media_address: IpAddr,
    library: Arc<Library>,
    meetings: Mutex<BTreeMap<String, Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    meeting: Arc<Meeting>,
    object: Value,
    /// By attendee id.
    attendees: BTreeMap<String, Attendee>,
    request_token: Option<String>,
}

#[derive(Clone, Debug)]
struct Attendee {
    external_user_id: String,
    object: Value,
}

impl Hall {
    pub(crate) fn new(address: SocketAddr, media_address: IpAddr, library: Library) -> Self {
        let meetings = Mutex::default();
        Self { address, media_address, library: Arc::new(library), meetings }
    }

    pub(crate) async fn host(&self, plan: Scenario, names: MeetingNames) -> Result<Hosted, Error> {
        let display = plan.participants.iter();
        let display = display.map(|one| (one.external_user_id.clone(), one.name.clone())).collect();
        let id = names.meeting_id.unwrap_or_else(|| random_id("meeting"));
        let object = self.open(&id, &names.external_meeting_id, plan, None).await?;
        let attendee = self.with(&id, |entry| entry.attendee(&id, RECORDER, None).object.clone());
        let attendee = attendee.unwrap_or_default();
        Ok(Hosted { meeting: object, attendee, names: display })
    }

    pub(crate) fn described(&self, id: &str) -> Option<Value> {
        self.with(id, |entry| entry.meeting.described())
    }

    pub(crate) fn end(&self) {
        for (_, entry) in std::mem::take(&mut *self.meetings()) {
            entry.meeting.end();
        }
    }

    async fn open(
        &self,
        id: &str,
        external_id: &str,
        plan: Scenario,
        request_token: Option<String>,
    ) -> Result<Value, Error> {
        let (library, scenario) = (Arc::clone(&self.library), plan.clone());
        let made = tokio::task::spawn_blocking(move || {
            Ok::<_, Error>((clips_of(&library, &scenario)?, Sound::new()?))
        });
        let (clips, sound) = match made.await {
            Ok(made) => made?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let object = self.meeting_object(id, external_id);
        let entry = Entry {
            meeting: Meeting::begin(id, plan, clips, sound),
            object: object.clone(),
            attendees: BTreeMap::new(),
            request_token,
        };
        if let Some(before) = self.meetings().insert(id.into(), entry) {
            before.meeting.end();
        }
        Ok(object)
    }

    fn meeting_object(&self, id: &str, external_id: &str) -> Value {
        let host = self.address;
        json!({
            "MeetingId": id,
            "ExternalMeetingId": external_id,
            "MediaRegion": REGION,
            "MediaPlacement": {
                "AudioHostUrl": "media.test:3478",
                "AudioFallbackUrl": format!("ws://{host}/fallback/{}", encoded(id)),
                // The SDK puts a query behind it.
                "SignalingUrl": format!("ws://{host}/signaling/{}", encoded(id)),
                "TurnControlUrl": format!("http://{host}/turn"),
            },
            "TenantIds": [],
            "MeetingArn": format!("arn:aws:chime:{REGION}:000000000000:meeting/{}", encoded(id)),
        })
    }

    fn with<T>(&self, id: &str, then: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.meetings().get_mut(id).map(then)
    }

    /// For the Meetings API, which does not know a meeting any more that has ended.
    fn with_open<T>(&self, id: &str, then: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.meetings().get_mut(id).filter(|entry| !entry.meeting.has_ended()).map(then)
    }

    fn meetings(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The same external user id is the same attendee.
    fn attendee(
        &mut self,
        meeting: &str,
        external_user_id: &str,
        capabilities: Option<&Value>,
    ) -> &Attendee {
        let id = room::attendee_id(meeting, external_user_id);
        self.attendees.entry(id.clone()).or_insert_with(|| {
            let all =
                json!({ "Audio": "SendReceive", "Video": "SendReceive", "Content": "SendReceive" });
            Attendee {
                external_user_id: external_user_id.into(),
                object: json!({
                    "ExternalUserId": external_user_id,
                    "AttendeeId": id,
                    "JoinToken": identity::token(&format!("{meeting} {external_user_id}")),
                    "Capabilities": capabilities.cloned().unwrap_or(all),
                }),
            }
        })
    }

    /// The attendee with this token, which may be for their shared screen.
    fn with_token(&self, token: &str) -> Option<(String, String)> {
        let found = self.attendees.iter().find(|(_, one)| one.object["JoinToken"] == token);
        found.map(|(id, attendee)| (id.clone(), attendee.external_user_id.clone()))
    }
}

pub(crate) fn router(hall: Arc<Hall>) -> Router {
    Router::new()
        .route("/meetings", axum::routing::post(create_meeting))
        .route("/meetings/{meeting}", get(get_meeting).delete(delete_meeting))
        .route("/meetings/{meeting}/attendees", get(list_attendees).post(create_attendee))
        .route(
            "/meetings/{meeting}/attendees/{attendee}",
            get(get_attendee).delete(delete_attendee),
        )
        .route("/control/{meeting}", get(describe).post(control))
        .route("/signaling/{meeting}", get(signal))
        .with_state(hall)
}

type Shared = State<Arc<Hall>>;

/// An error as the service tells it.
struct Fault(StatusCode, &'static str, String);

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let body = json!({ "Code": code, "Message": message, "RequestId": random_id("request") });
        (status, [("x-amzn-errortype", code)], Json(body)).into_response()
    }
}

fn not_found(what: &str, id: &str) -> Fault {
    Fault(StatusCode::NOT_FOUND, "NotFoundException", format!("{what} {id} was not found"))
}

fn bad(message: impl Into<String>) -> Fault {
    Fault(StatusCode::BAD_REQUEST, "BadRequestException", message.into())
}

fn body(body: Result<Json<Value>, JsonRejection>) -> Result<Value, Fault> {
    body.map(|Json(value)| value).map_err(|error| bad(error.body_text()))
}

/// A text of the body that has to be there and have a sound length.
fn text(
    body: &Value,
    name: &str,
    length: std::ops::RangeInclusive<usize>,
) -> Result<String, Fault> {
    let text = body[name].as_str().unwrap_or_default();
    if !length.contains(&text.chars().count()) {
        let (least, most) = (length.start(), length.end());
        return Err(bad(format!("{name} must have {least} to {most} characters")));
    }
    Ok(text.to_owned())
}

async fn create_meeting(
    State(hall): Shared,
    request: Result<Json<Value>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let request = body(request)?;
    let token = text(&request, "ClientRequestToken", 2..=64)?;
    let external_id = text(&request, "ExternalMeetingId", 2..=64)?;
    text(&request, "MediaRegion", 2..=64)?;
    let known = hall.meetings().values().find_map(|entry| {
        (entry.request_token.as_ref() == Some(&token)).then(|| entry.object.clone())
    });
    if let Some(object) = known {
        return Ok((StatusCode::CREATED, Json(json!({ "Meeting": object }))));
    }
    let id = random_id("meeting");
    let opened = hall.open(&id, &external_id, Scenario::default(), Some(token)).await;
    let object = opened.map_err(|error| {
        Fault(StatusCode::INTERNAL_SERVER_ERROR, "ServiceFailureException", error.to_string())
    })?;
    Ok((StatusCode::CREATED, Json(json!({ "Meeting": object }))))
}

async fn get_meeting(State(hall): Shared, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    let object = hall.with_open(&id, |entry| entry.object.clone());
    object
        .map(|meeting| Json(json!({ "Meeting": meeting })))
        .ok_or_else(|| not_found("Meeting", &id))
}

/// Succeeds for a meeting that is not there, as the service does.
async fn delete_meeting(State(hall): Shared, Path(id): Path<String>) -> StatusCode {
    if let Some(meeting) = hall.with(&id, |entry| Arc::clone(&entry.meeting))
        && let Err(error) = meeting.apply(&Action::EndMeeting)
    {
        tracing::warn!(%error, "the meeting does not end");
    }
    StatusCode::NO_CONTENT
}

async fn create_attendee(
    State(hall): Shared,
    Path(id): Path<String>,
    request: Result<Json<Value>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Fault> {
    let request = body(request)?;
    let external_user_id = text(&request, "ExternalUserId", 2..=64)?;
    let capabilities = request.get("Capabilities").filter(|value| value.is_object());
    let object = hall.with_open(&id, |entry| {
        entry.attendee(&id, &external_user_id, capabilities).object.clone()
    });
    let object = object.ok_or_else(|| not_found("Meeting", &id))?;
    Ok((StatusCode::CREATED, Json(json!({ "Attendee": object }))))
}

async fn get_attendee(
    State(hall): Shared,
    Path((id, attendee)): Path<(String, String)>,
) -> Result<Json<Value>, Fault> {
    let found =
        hall.with_open(&id, |entry| entry.attendees.get(&attendee).map(|one| one.object.clone()));
    let found = found.ok_or_else(|| not_found("Meeting", &id))?;
    found
        .map(|object| Json(json!({ "Attendee": object })))
        .ok_or_else(|| not_found("Attendee", &attendee))
}

async fn delete_attendee(
    State(hall): Shared,
    Path((id, attendee)): Path<(String, String)>,
) -> Result<StatusCode, Fault> {
    let removed = hall.with_open(&id, |entry| {
        entry.attendees.remove(&attendee).map(|_| Arc::clone(&entry.meeting))
    });
    let meeting = removed
        .ok_or_else(|| not_found("Meeting", &id))?
        .ok_or_else(|| not_found("Attendee", &attendee))?;
    meeting.remove(&attendee);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Paging {
    #[serde(rename = "next-token")]
    next_token: Option<String>,
    #[serde(rename = "max-results")]
    max_results: Option<usize>,
}

async fn list_attendees(
    State(hall): Shared,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Value>, Fault> {
    let attendees = hall.with_open(&id, |entry| entry.attendees.clone());
    let attendees = attendees.ok_or_else(|| not_found("Meeting", &id))?;
    let count = paging.max_results.unwrap_or(PAGE).clamp(1, 100);
    let after = paging.next_token.unwrap_or_default();
    let mut rest = attendees.iter().filter(|(attendee, _)| **attendee > after);
    let page: Vec<_> = rest.by_ref().take(count).collect();
    let last = page.last().map(|(attendee, _)| (*attendee).clone());
    let next = last.filter(|_| rest.next().is_some());
    let objects: Vec<_> = page.iter().map(|(_, attendee)| attendee.object.clone()).collect();
    Ok(Json(json!({ "Attendees": objects, "NextToken": next })))
}

async fn describe(State(hall): Shared, Path(id): Path<String>) -> Result<Json<Value>, Fault> {
    hall.described(&id).map(Json).ok_or_else(|| not_found("Meeting", &id))
}

async fn control(
    State(hall): Shared,
    Path(id): Path<String>,
    request: Result<Json<Value>, JsonRejection>,
) -> Result<Json<Value>, Fault> {
    let action: Action =
        serde_json::from_value(body(request)?).map_err(|error| bad(error.to_string()))?;
    let meeting = hall.with(&id, |entry| Arc::clone(&entry.meeting));
    let meeting = meeting.ok_or_else(|| not_found("Meeting", &id))?;
    meeting.apply(&action).map_err(|error| bad(error.to_string()))?;
    Ok(Json(json!({})))
}

async fn signal(
    State(hall): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let protocols = headers.get("sec-websocket-protocol").and_then(|value| value.to_str().ok());
    let token = protocols.and_then(|list| list.split(',').map(str::trim).nth(1));
    let token = token.unwrap_or_default();
    let found = hall.with(&id, |entry| (Arc::clone(&entry.meeting), entry.with_token(token)));
    let Some((meeting, attendee)) = found else { return not_found("Meeting", &id).into_response() };
    if !meeting.is_open() {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let media_address = hall.media_address;
    upgrade
        .protocols([PROTOCOL])
        .on_upgrade(move |socket| signaling::serve(socket, meeting, attendee, media_address))
}

fn random_id(what: &str) -> String {
    identity::uuid(&format!("{what} {}", fastrand::u128(..)))
}

/// For one segment of a path.
fn encoded(id: &str) -> String {
    id.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
