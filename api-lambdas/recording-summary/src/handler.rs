//! `GET /recording-summary`: the recordings of a meeting that the caller may see,
//! oldest first, each with an address to play it from.
//!
//! ```text
//! checks ─▶ who the caller is ─▶ may play at all ─▶ recordings ─▶ those of their groups
//!           (500)                (403)              (404)         (403)      │
//!                                                        one address each ◀──┘
//! ```
//!
//! How a recording ended is written by whoever settles it, some time after its end.
//! Until then the worker's report in the bucket is asked, which nobody waits long
//! for: a recording is played without its numbers just as well.

use std::time::Duration;

use contract::http::{Refusal, Request, Success};
use contract::identity::Caller;
use contract::items::{Recording, Status, User};
use contract::names::{MeetingId, RecordingId};
use contract::ports::{Answer, Fault, Objects, Report, Table};
use contract::settings::Reader;
use contract::visibility::may_see;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

const TEXT: &str = "Get Recording Summary succeed!";
const LATER: &str = "Get Recording Summary Error, please try again later";
const DENIED: &str = "Get Recording Summary Error, permission denied";

/// How many recordings are looked up in the bucket at once.
const AT_ONCE: usize = 8;

/// A Lambda is ended after 20 s.
const REPORTS_TIMEOUT: Duration = Duration::from_secs(5);

/// What a deployment sets.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The security profile in Connect of those who may play recordings.
    pub(crate) profile: String,
    /// How long an address is good for.
    pub(crate) minutes: u32,
    /// How long reports are waited for, all of them together.
    pub(crate) reports_timeout: Duration,
}

impl Settings {
    /// `SigV4` signs for seven days at the most.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            profile: reader.need("recordingPlaybackSecurityProfileId"),
            minutes: reader.number("recordingPresignedURLExpiresMinutes", 1..=7 * 24 * 60, 15),
            reports_timeout: REPORTS_TIMEOUT,
        }
    }
}

/// The services that a summary needs.
#[derive(Debug)]
pub(crate) struct Services<'a, T, O> {
    pub(crate) table: &'a T,
    pub(crate) objects: &'a O,
}

/// A recording as the caller is told of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    recording_id: RecordingId,
    created_at: String,
    /// Absent as long as it is in progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<String>,
    #[serde(rename = "recordingURL", skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// The speakers as WebVTT.
    #[serde(rename = "chaptersURL", skip_serializing_if = "Option::is_none")]
    chapters_url: Option<String>,
}

pub(crate) async fn handle(
    &Services { table, objects }: &Services<'_, impl Table, impl Objects>,
    settings: &Settings,
    caller: &Caller,
    request: &Request,
    now: Timestamp,
) -> Result<Success, Refusal> {
    let meeting = request
        .query("externalMeetingId")
        .and_then(MeetingId::new)
        .ok_or_else(|| Refusal::new(400, "Must provide External Meeting Id", "no_meeting_id"))?;
    let user = caller
        .connect_user_id
        .as_deref()
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Refusal::new(400, "Must provide connectUserId", "no_connect_user_id"))?;
    let user = table.user(user).await.map_err(later("user"))?;
    let user = user.filter(|user| user.is_known(now)).ok_or_else(|| {
        Refusal::new(500, LATER, "user_unknown")
            .because("the cache does not know the user, who has to log in again")
    })?;
    if !user.security_profile_ids.contains(&settings.profile) {
        return Err(Refusal::new(403, DENIED, "no_playback_profile"));
    }
    let recordings = table.recordings(&meeting).await.map_err(later("recordings"))?;
    let recordings = visible(&user, recordings)?;
    // Futures in a list of their own: a closure that makes them would not be general
    // enough for the compiler.
    let summaries = summaries(objects, settings, recordings, now);
    let summaries: Vec<_> =
        stream::iter(summaries).buffered(AT_ONCE).try_collect().await.map_err(later("presign"))?;
    Ok(Success::new(TEXT, summaries))
}

/// Those that the user may see, oldest first.
fn visible(user: &User, mut recordings: Vec<Recording>) -> Result<Vec<Recording>, Refusal> {
    if recordings.is_empty() {
        let message = "Get Recording Summary Error, recordings not found for the provided meeting";
        return Err(Refusal::new(404, message, "no_recordings"));
    }
    recordings.retain(|recording| may_see(user, recording));
    if recordings.is_empty() {
        return Err(Refusal::new(403, DENIED, "other_group"));
    }
    // All instants are written in one form, in which they sort as texts.
    recordings.sort_by(|one, other| {
        (&one.created_at, &one.recording_id).cmp(&(&other.created_at, &other.recording_id))
    });
    Ok(recordings)
}

fn summaries<O: Objects>(
    objects: &O,
    settings: &Settings,
    recordings: Vec<Recording>,
    now: Timestamp,
) -> Vec<impl Future<Output = Answer<Summary>> + Send> {
    let deadline = Instant::now() + settings.reports_timeout;
    recordings
        .into_iter()
        .map(|recording| summary(objects, settings.minutes, recording, deadline, now))
        .collect()
}

async fn summary(
    objects: &impl Objects,
    minutes: u32,
    mut recording: Recording,
    deadline: Instant,
    now: Timestamp,
) -> Answer<Summary> {
    if recording.in_progress() {
        return Ok(in_progress(recording));
    }
    if !recording.status.is_some_and(Status::is_final)
        && let Some(report) = report(objects, &recording, deadline).await
    {
        believe(&mut recording, report);
    }
    // Until it is known that there is no file, there may be one. Nobody has settled
    // the original's recordings.
    let is_missing = recording.status.is_some_and(|status| status.is_final() && !status.has_file());
    let address = |key| objects.presign(&recording.bucket, key, minutes, now);
    let (url, chapters_url) = match (is_missing, recording.chapters_key.as_deref()) {
        (true, _) => (None, None),
        (false, None) => (Some(address(&recording.key).await?), None),
        (false, Some(chapters)) => {
            (Some(address(&recording.key).await?), Some(address(chapters).await?))
        }
    };
    Ok(Summary {
        recording_id: recording.recording_id,
        created_at: recording.created_at,
        ended_at: recording.ended_at,
        url,
        status: recording.status,
        duration_seconds: recording.duration_seconds,
        bytes: recording.bytes,
        chapters_url,
    })
}

/// There is no file before the end, so there is no address either.
fn in_progress(recording: Recording) -> Summary {
    Summary {
        recording_id: recording.recording_id,
        created_at: recording.created_at,
        ended_at: None,
        url: None,
        status: Some(recording.status.unwrap_or(Status::Running)),
        duration_seconds: None,
        bytes: None,
        chapters_url: None,
    }
}

/// The worker's report, if there is one to be had in time.
async fn report(
    objects: &impl Objects,
    recording: &Recording,
    deadline: Instant,
) -> Option<Report> {
    let id = recording.recording_id.as_str();
    let asked = objects.report(&recording.bucket, &recording.key);
    match timeout_at(deadline, asked).await {
        Ok(Ok(report)) => report,
        Ok(Err(error)) => {
            let error = contract::lambda::chain(&error);
            tracing::warn!(recording = id, error, "its report is not read");
            None
        }
        Err(_) => {
            tracing::warn!(recording = id, "its report is not read: S3 takes too long");
            None
        }
    }
}

/// Notes what a report says of the file. Where it says that there is none yet, the
/// upload may still be made one.
fn believe(recording: &mut Recording, report: Report) {
    let Some(status) = report.status() else { return };
    recording.status = Some(status);
    recording.duration_seconds = report.duration_seconds;
    recording.bytes = report.bytes;
    recording.chapters_key = report.chapters_key;
}

fn later(reason: &'static str) -> impl Fn(Fault) -> Refusal {
    move |error| Refusal::new(500, LATER, reason).because(error)
}

#[cfg(test)]
mod tests;
