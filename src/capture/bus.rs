//! GStreamer's messages, as far as they matter: what broke, and how loud it is.
//!
//! It must not know what follows from a failure.

use futures_util::StreamExt;
use gstreamer as gst;
use gstreamer::prelude::*;
use tokio::sync::{mpsc, watch};

use super::Loudness;
use super::pipeline::{AUDIO_LEVEL, AUDIO_SOURCE};
use crate::events::{Event, Failure, Stage};
use crate::secret::scrub;

/// Reads the bus until the pipeline is gone.
pub(super) async fn watch(
    bus: gst::Bus,
    events: mpsc::UnboundedSender<Event>,
    loudness: watch::Sender<Loudness>,
) {
    let mut messages = bus.stream();
    while let Some(message) = messages.next().await {
        match message.view() {
            gst::MessageView::Error(error) => {
                let failure = Failure::new(stage(&message), scrub(&text(error)));
                // The recording is over when nobody listens any more.
                let _ = events.send(Event::Failed(failure));
            }
            gst::MessageView::Warning(warning) => {
                tracing::warn!(
                    element = source(&message),
                    warning = scrub(&warning.error().to_string()),
                    "the capture warns"
                );
            }
            gst::MessageView::Element(element) => {
                if let Some(decibels) = peak(element) {
                    loudness.send_modify(|loudness| {
                        loudness.now = Some(decibels);
                        let highest = loudness.highest.map_or(decibels, |peak| peak.max(decibels));
                        loudness.highest = Some(highest);
                    });
                }
            }
            _ => {}
        }
    }
}

fn source(message: &gst::Message) -> String {
    message.src().map(|source| source.name().to_string()).unwrap_or_default()
}

fn stage(message: &gst::Message) -> Stage {
    match source(message).as_str() {
        AUDIO_SOURCE => Stage::Sound,
        _ => Stage::Capture,
    }
}

fn text(error: &gst::message::Error) -> String {
    match error.debug() {
        Some(debug) => format!("{} ({debug})", error.error()),
        None => error.error().to_string(),
    }
}

/// The loudest channel of a `level` message, in dB below full scale.
fn peak(element: &gst::message::Element) -> Option<f64> {
    let structure = element.structure()?;
    if structure.name() != AUDIO_LEVEL {
        return None;
    }
    let peaks = structure.get::<gst::glib::ValueArray>("peak").ok()?;
    peaks.iter().filter_map(|value| value.get::<f64>().ok()).reduce(f64::max)
}
