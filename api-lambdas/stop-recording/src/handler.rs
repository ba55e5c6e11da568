//! `DELETE /recording`: the owner of a meeting ends its recordings.
//!
//! ```text
//! checks ─▶ the meeting is the caller's ─▶ every recording in progress is stopped ─▶ 200, counts
//!                                          └── there is none ─▶ 404, counts
//! ```
//!
//! How a recording is stopped is `contract::stop`'s business, which the end of the
//! meeting shares.

use contract::http::{Refusal, Request, Success, text};
use contract::identity::Caller;
use contract::names::MeetingId;
use contract::ports::{Fault, Meetings, Table, Tasks};
use contract::stop::{Counts, Services, stop_recordings};
use jiff::Timestamp;
use serde_json::json;

const TEXT: &str = "Stop Recording succeed!";
const LATER: &str = "Stop Recording Error, please try again later";

/// What ECS is told.
const WHY: &str = "Stopped by the owner of the meeting";

pub(crate) async fn handle(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings>,
    caller: &Caller,
    request: &Request,
    now: Timestamp,
) -> Result<Success, Refusal> {
    let body = request.json();
    let id = text(&body, "externalMeetingId")
        .and_then(MeetingId::new)
        .ok_or_else(|| Refusal::new(400, "Must provide External Meeting Id", "no_meeting_id"))?;
    let username =
        caller.username.as_deref().filter(|name| !name.is_empty()).ok_or_else(|| {
            Refusal::new(400, "Must provide meeting owner username", "no_username")
        })?;
    let meeting = services.table.meeting(&id).await.map_err(later("meeting"))?;
    let meeting = meeting.ok_or_else(|| nothing_in_progress("meeting_not_found"))?;
    // Before anything is told about the meeting's recordings.
    if meeting.owner_username != username {
        let message = "Stop Recording Error, user is not the owner";
        return Err(Refusal::new(400, message, "not_the_owner"));
    }
    let in_chime = Some(meeting.chime_meeting_id.as_str());
    let counts = stop_recordings(services, &id, in_chime, WHY, now).await;
    let counts = counts.map_err(later("recordings"))?;
    if counts == Counts::default() {
        return Err(nothing_in_progress("nothing_in_progress"));
    }
    Ok(Success::new(TEXT, counts))
}

/// Agents' applications look at the counts, whatever the status is.
fn nothing_in_progress(reason: &'static str) -> Refusal {
    Refusal::new(404, "No recording in progress", reason).with(json!(Counts::default()))
}

fn later(reason: &'static str) -> impl Fn(Fault) -> Refusal {
    move |error| Refusal::new(500, LATER, reason).because(error)
}

#[cfg(test)]
mod tests;
