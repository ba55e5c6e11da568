//! Captures the display and the sound, encoded, as samples on one clock.
//!
//! Behind [`Capture`] lies GStreamer, and nothing else of the crate knows it.
//! Where the pictures come from is settled in `pipeline.rs` alone, so that
//! another way to grab the display changes nothing here.
//! It must not know the file format, the upload, or why a recording ends.

mod bus;
pub(crate) mod pipeline;
mod sample;
mod xlib;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::config::Size;
use crate::events::Event;
use crate::media::{Sample, Timestamp, Track, TrackConfig};

/// Samples between encoder and writer: two seconds of both tracks. Past that the
/// encoder waits, and pictures are missed and counted.
const SAMPLES_IN_TRANSIT: usize = 160;

/// Where to capture, and what it should become.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Such as `:3`.
    pub display: String,
    /// Such as `unix:/run/…/pulse.socket`.
    pub sound_server: String,
    pub sound_monitor: String,
    pub size: Size,
    pub fps: u32,
    /// Threads of the encoder: the processors this process may use, which in a
    /// container are fewer than the host has.
    pub threads: u32,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("GStreamer could not be initialised")]
    Init(#[source] glib::Error),
    #[error("GStreamer lacks {}", missing_text(.0))]
    Missing(Vec<(&'static str, &'static str)>),
    #[error("the capture graph could not be built")]
    Graph(#[from] glib::BoolError),
    #[error("the capture could not be started")]
    Start(#[source] gst::StateChangeError),
}

/// What goes from the capture to the writer.
#[derive(Debug)]
pub enum Media {
    /// Always ahead of the track's first sample.
    Track(TrackConfig),
    Sample(Sample),
}

/// Counts of pictures, for the report and the status line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pictures {
    /// Grabbed from the display.
    pub captured: u64,
    /// Slots of the frame rate in which no picture could be grabbed.
    pub missed: u64,
    /// Shown twice in the file, to keep the frame rate constant.
    pub repeated: u64,
    /// Grabbed but not in the file.
    pub dropped: u64,
    /// In the file.
    pub encoded: u64,
}

/// Peaks in dB below full scale; minus infinity is silence.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Loudness {
    /// Of the last second.
    pub now: Option<f64>,
    /// Of all that was kept.
    pub highest: Option<f64>,
}

/// A running capture. Nothing is kept of what it grabs until [`Capture::start`].
#[derive(Debug)]
pub struct Capture {
    graph: pipeline::Graph,
    counters: Arc<Counters>,
    loudness: watch::Receiver<Loudness>,
    bus: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Counters {
    captured: AtomicU64,
    missed: AtomicU64,
    encoded: AtomicU64,
    sound_gaps: AtomicU64,
}

impl Capture {
    /// Builds the graph and sets it going with everything it grabs thrown away,
    /// so that clocks and servers have settled when the first picture counts.
    pub fn prepare(
        settings: &Settings,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<(Self, mpsc::Receiver<Media>), Error> {
        xlib::survive_loss_of_display();
        gst::init().map_err(Error::Init)?;
        let graph = pipeline::build(settings)?;
        let counters = Arc::new(Counters::default());
        count_pictures(&graph, settings.fps, &counters);
        count_gaps(&graph, &counters);
        let (sender, receiver) = mpsc::channel(SAMPLES_IN_TRANSIT);
        sender.try_send(Media::Track(sample::audio_config())).expect("the channel is empty");
        forward(&graph.video_sink, Track::Video, settings.size, sender.clone(), &counters);
        forward(&graph.audio_sink, Track::Audio, settings.size, sender, &counters);
        let (level, loudness) = watch::channel(Loudness::default());
        let bus = graph.pipeline.bus().expect("a pipeline has a bus");
        let bus = tokio::spawn(bus::watch(bus, events, level));
        let capture = Self { graph, counters, loudness, bus };
        capture.graph.pipeline.set_state(gst::State::Playing).map_err(Error::Start)?;
        Ok((capture, receiver))
    }

    /// From now on pictures and sound are kept.
    pub fn start(&self) {
        for valve in &self.graph.valves {
            valve.set_property("drop", false);
        }
    }

    /// Ends both tracks. The channel closes when the last sample is through.
    pub fn send_eos(&self) {
        // Valves that never opened would hold the end back as well.
        self.start();
        if !self.graph.pipeline.send_event(gst::event::Eos::new()) {
            tracing::warn!("the capture refuses to end in order");
        }
    }

    /// Ends at once; samples still in the encoders are lost, and the channel
    /// closes. Blocks while GStreamer's threads end.
    pub fn stop(&self) {
        // The callbacks hold the channel open. They go first: without a display
        // the source hangs, and GStreamer with it.
        for sink in [&self.graph.video_sink, &self.graph.audio_sink] {
            sink.set_callbacks(gst_app::AppSinkCallbacks::builder().build());
        }
        if let Err(error) = self.graph.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "the capture does not stop");
        }
    }

    pub fn pictures(&self) -> Pictures {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Pictures {
            captured: load(&self.counters.captured),
            missed: load(&self.counters.missed),
            repeated: self.graph.rate.property::<u64>("duplicate"),
            dropped: self.graph.rate.property::<u64>("drop"),
            encoded: load(&self.counters.encoded),
        }
    }

    /// How often the sound was interrupted because nobody took it in time.
    pub fn sound_gaps(&self) -> u64 {
        self.counters.sound_gaps.load(Ordering::Relaxed)
    }

    pub fn loudness(&self) -> Loudness {
        *self.loudness.borrow()
    }

    /// How long ago `time` was.
    pub fn age(&self, time: Timestamp) -> Duration {
        let now = self.graph.pipeline.current_running_time().unwrap_or_default().nseconds();
        Duration::from_nanos(now.saturating_add_signed(-time.0))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
        self.bus.abort();
    }
}

/// Counts the pictures that pass the valve and the slots without one.
fn count_pictures(graph: &pipeline::Graph, fps: u32, counters: &Arc<Counters>) {
    let [valve, _] = &graph.valves;
    let pad = valve.static_pad("src").expect("a valve has a source pad");
    let counters = Arc::clone(counters);
    let slot = gst::ClockTime::SECOND.nseconds() / u64::from(fps);
    let last = AtomicU64::new(u64::MAX);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        if let Some(pts) = info.buffer().and_then(|buffer| buffer.pts()) {
            let pts = pts.nseconds();
            let before = last.swap(pts, Ordering::Relaxed);
            if before != u64::MAX {
                let slots = (pts.saturating_sub(before) + slot / 2) / slot;
                counters.missed.fetch_add(slots.saturating_sub(1), Ordering::Relaxed);
            }
            counters.captured.fetch_add(1, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

fn count_gaps(graph: &pipeline::Graph, counters: &Arc<Counters>) {
    let [_, valve] = &graph.valves;
    let pad = valve.static_pad("src").expect("a valve has a source pad");
    let counters = Arc::clone(counters);
    let first = AtomicU64::new(1);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        // The first buffer after the valve opened follows a gap of our own making.
        let first = first.swap(0, Ordering::Relaxed) == 1;
        let gap = info.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT));
        if gap && !first {
            counters.sound_gaps.fetch_add(1, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Hands what an encoder makes to the writer. A full channel holds the encoder.
fn forward(
    sink: &gst_app::AppSink,
    track: Track,
    size: Size,
    sender: mpsc::Sender<Media>,
    counters: &Arc<Counters>,
) {
    let counters = Arc::clone(counters);
    // Dropped at the end of the stream: that is what closes the channel.
    let sender = std::sync::Mutex::new(Some(sender));
    let sender = Arc::new(sender);
    let at_end = Arc::clone(&sender);
    let mut described = track == Track::Audio;
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let sender = sender.lock().map_err(|_| gst::FlowError::Error)?.clone();
            let sender = sender.ok_or(gst::FlowError::Eos)?;
            let send = |media| sender.blocking_send(media).map_err(|_| gst::FlowError::Eos);
            let broken = |error: sample::Error| {
                gst::element_error!(sink, gst::StreamError::Encode, ("{error}"));
                gst::FlowError::Error
            };
            if !described {
                send(Media::Track(sample::video_config(size, &sample).map_err(broken)?))?;
                described = true;
            }
            if track == Track::Video {
                counters.encoded.fetch_add(1, Ordering::Relaxed);
            }
            send(Media::Sample(sample::convert(track, &sample).map_err(broken)?))?;
            Ok(gst::FlowSuccess::Ok)
        })
        .eos(move |_| {
            if let Ok(mut sender) = at_end.lock() {
                *sender = None;
            }
        })
        .build();
    sink.set_callbacks(callbacks);
}

fn missing_text(missing: &[(&str, &str)]) -> String {
    let elements: Vec<_> =
        missing.iter().map(|(name, package)| format!("{name} (Debian package {package})")).collect();
    elements.join(", ")
}
