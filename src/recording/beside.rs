//! What lies beside the recording: the report as `….json`, and who spoke when as
//! `….vtt`. The recording is safe by then, so a failure here is only told.

use std::time::Duration;

use bytes::Bytes;

use super::machine::Media;
use super::report::Report;
use crate::error::chain;
use crate::meeting::chapters::{self, webvtt};
use crate::meeting::minutes::Chapter;
use crate::secret::scrub;
use crate::upload::store::PartStore;

const REPORT: &str = "application/json";

/// For each of two. Part of the margin that the stop ladder keeps free (`EXIT_MARGIN`).
const PATIENCE: Duration = Duration::from_secs(4);

/// Stores both, and has the report tell which of them are there.
pub(super) async fn store<S: PartStore>(
    store: &S,
    report: &mut Report,
    chapters: Option<Vec<Chapter>>,
) {
    // Beside nothing there is nothing to explain.
    if report.outcome.media == Media::Nothing {
        return;
    }
    if let Some(chapters) = chapters {
        let key = name(&report.object.key, "vtt");
        let text = webvtt(&chapters).into();
        report.object.chapters_key = put(store, key, chapters::CONTENT_TYPE, text).await;
    }
    let key = name(&report.object.key, "json");
    report.object.report_key = Some(key.clone());
    let json = serde_json::to_vec(&report).expect("a report is plain data").into();
    report.object.report_key = put(store, key, REPORT, json).await;
}

async fn put<S: PartStore>(
    store: &S,
    key: String,
    content_type: &'static str,
    bytes: Bytes,
) -> Option<String> {
    match tokio::time::timeout(PATIENCE, store.put_beside(&key, content_type, bytes)).await {
        Ok(Ok(())) => Some(key),
        Ok(Err(error)) => {
            tracing::warn!(key, error = scrub(&chain(&error)), "not stored beside the recording");
            None
        }
        Err(_) => {
            tracing::warn!(key, "not stored beside the recording within {PATIENCE:?}");
            None
        }
    }
}

/// The key of the recording with another ending.
fn name(key: &str, ending: &str) -> String {
    format!("{}.{ending}", key.strip_suffix(".mp4").unwrap_or(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ending_changes() {
        assert_eq!(name("a/b.mp4", "json"), "a/b.json");
        assert_eq!(name("a.mp4/b", "vtt"), "a.mp4/b.vtt");
    }
}
