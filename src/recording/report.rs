//! What a recording says of itself at its end: one JSON object, the truth in
//! numbers. `docs/report.md` explains each field.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use super::machine::{DeadlineReason, End, Media, Outcome, Problem};
use crate::browser::Films;
use crate::capture::Pictures;
use crate::children::usage::Usage;
use crate::events::Blame;
use crate::meeting::minutes::Account;
use crate::phases::Phase;
use crate::upload;
use crate::upload::store;
use crate::writer::Written;

/// Grows when a field changes its meaning or goes; new fields may come any time.
pub const VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub version: u32,
    pub recorder: &'static str,
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Who has to act, where something failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blame: Option<Blame>,
    pub exit_code: u8,
    pub object: Object,
    /// Length of the media.
    pub duration_seconds: f64,
    pub times: Times,
    pub pictures: Pictures,
    /// Of a page that is no meeting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub films: Option<Films>,
    pub sound: Sound,
    pub upload: Upload,
    /// Of a meeting: who was there, who spoke, what was shown.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub meeting: Option<Account>,
    /// The recorder itself and every program it started, by name.
    pub usage: BTreeMap<&'static str, Usage>,
}

/// Where the recording is.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// The file, where the bucket is a folder of this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Of the completed object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Whether that is the checksum of what was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
    /// Of the upload that was left open: whoever has it can complete it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u16>,
    /// The folder with what the store did not take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spool: Option<PathBuf>,
    /// The store was asked to complete the upload and did not answer: it may have
    /// done so.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub completing: bool,
    /// Of this report, beside the recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report_key: Option<String>,
    /// Of a meeting's chapters, beside the recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chapters_key: Option<String>,
}

/// When things happened. Instants are UTC; spans count from the process's start.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Times {
    pub started_at: String,
    pub ended_at: String,
    /// When the first picture was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_frame_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_after_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_frame_after_seconds: Option<f64>,
    /// From the reason to end to the completed upload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_seconds: Option<f64>,
    /// The parts of the start, some of them at the same time.
    pub phases: Vec<Phase>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Sound {
    /// Encoded frames of 1024 samples.
    pub frames: u64,
    /// How often sound was lost because nobody took it in time.
    pub gaps: u64,
    /// Loudest moment in dB below full scale; absent if there was only silence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_db: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Upload {
    pub bytes_accepted: u64,
    pub bytes_stored: u64,
    pub parts_stored: u16,
    /// Requests sent again.
    pub retries: u64,
    /// How often the open part was stored, and its bytes in all.
    pub checkpoints: u64,
    pub checkpoint_bytes: u64,
    /// The most bytes that waited on disk at one time.
    pub spooled_bytes: u64,
}

impl Report {
    /// Of a recording that ended before anything was begun.
    #[must_use]
    pub fn not_begun(bucket: &str, key: &str, started_at: jiff::Timestamp, end: End) -> Self {
        let outcome = Outcome { end, media: Media::Nothing, problems: Vec::new() };
        Self {
            version: VERSION,
            recorder: env!("CARGO_PKG_VERSION"),
            blame: blame(&outcome),
            exit_code: outcome.exit_code(),
            outcome,
            object: Object { bucket: bucket.into(), key: key.into(), ..Object::default() },
            duration_seconds: 0.0,
            times: Times {
                started_at: instant(started_at),
                ended_at: instant(jiff::Timestamp::now()),
                ..Times::default()
            },
            pictures: Pictures::default(),
            films: None,
            sound: Sound::default(),
            upload: Upload::default(),
            meeting: None,
            usage: BTreeMap::new(),
        }
    }

    /// The end of the log: where the recording is, or why there is none.
    pub fn log(&self) {
        let Object { bucket, key, path, upload_id, parts, spool, .. } = &self.object;
        let seconds = self.duration_seconds;
        match (&self.outcome.end, self.outcome.media) {
            (End::Stopped(reason), Media::Complete) => {
                tracing::info!(bucket, key, seconds, ?reason, "recording complete");
            }
            (_, Media::Complete | Media::Truncated) => {
                tracing::error!(bucket, key, seconds, end = %self.end(), "recording cut short");
            }
            (_, Media::UploadOpen) => {
                let parts = parts.unwrap_or_default();
                let upload_id = upload_id.as_deref().unwrap_or_default();
                let spool = spool.as_ref().map(|dir| tracing::field::display(dir.display()));
                tracing::error!(
                    bucket, key, upload_id, parts, spool, end = %self.end(),
                    "the upload is left open: `recorder recover` completes it"
                );
            }
            (End::Stopped(_), Media::Nothing) => {
                tracing::info!("stopped before anything was recorded");
            }
            (End::Failed(_), Media::Nothing) => {
                tracing::error!(end = %self.end(), "nothing was recorded");
            }
        }
        if let Some(path) = path {
            tracing::info!(path = %path.display(), "the recording");
        }
    }

    fn end(&self) -> String {
        match &self.outcome.end {
            End::Stopped(reason) => format!("{reason:?}"),
            End::Failed(failure) => failure.message.clone(),
        }
    }
}

impl Object {
    pub(super) fn new(object: &store::Object, written: Written) -> Self {
        let mut told =
            Self { bucket: object.bucket.clone(), key: object.key.clone(), ..Self::default() };
        if let Some(completed) = written.completed {
            told.bytes = Some(completed.bytes);
            told.etag = Some(completed.etag);
            told.checksum = completed.checksum;
            told.verified = completed.verified;
        }
        if let Some(left) = written.left {
            told.upload_id = Some(left.upload.0);
            told.parts = Some(left.parts);
            told.spool = left.spool;
            told.completing = left.completing;
        }
        told
    }
}

impl Upload {
    pub(super) fn new(progress: upload::Progress) -> Self {
        Self {
            bytes_accepted: progress.bytes_accepted,
            bytes_stored: progress.bytes_stored,
            parts_stored: progress.parts_stored,
            retries: progress.retries,
            checkpoints: progress.checkpoints,
            checkpoint_bytes: progress.checkpoint_bytes,
            spooled_bytes: progress.spooled_bytes,
        }
    }
}

/// Who has to act: on what ended the recording, or on what kept it from being
/// stored after an ordinary end.
pub(super) fn blame(outcome: &Outcome) -> Option<Blame> {
    if let End::Failed(failure) = &outcome.end {
        return Some(failure.blame());
    }
    let failed = |problem: &Problem| match problem {
        Problem::Failed(failure) => Some(failure.blame()),
        // All media was with the upload by then.
        Problem::Deadline(DeadlineReason::Finish) => Some(Blame::Destination),
        Problem::Deadline(_) | Problem::Forced => None,
    };
    outcome.problems.iter().find_map(failed).filter(|_| outcome.media == Media::UploadOpen)
}

/// Seconds to the nearest millisecond.
pub(super) fn seconds(span: std::time::Duration) -> f64 {
    (span.as_secs_f64() * 1000.0).round() / 1000.0
}

/// ISO 8601 in UTC with milliseconds, as all of the product writes instants.
pub(super) fn instant(date: jiff::Timestamp) -> String {
    date.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}
