//! Captures the display and the sound, encoded, as samples on one clock.
//!
//! Behind [`Capture`] lie GStreamer and X, and nothing else of the crate knows
//! them. Where the pictures come from is the business of `screen.rs` alone.
//! It must not know the file format, the upload, or why a recording ends.

mod areas;
mod bus;
mod coder;
mod display;
mod drift;
mod frame_buffer;
mod glance;
mod grid;
mod held;
mod outlet;
mod pace;
pub(crate) mod pipeline;
mod planar;
mod rest;
mod running;
mod sample;
mod screen;
mod shared;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::children::sound::SAMPLE_RATE;
use crate::config::Size;
use crate::error::chain;
use crate::events::{Event, Failure, Stage};
use crate::media::{Rhythm, Sample, Timestamp, Track, TrackConfig};
use crate::secret::scrub;

use coder::Coder;
pub use display::Curtain;
use display::Grabber;
use drift::Drift;

/// Samples between encoder and writer: two seconds of both tracks. Past that the
/// encoder waits, and pictures are missed and counted.
const SAMPLES_IN_TRANSIT: usize = 160;

/// What codes the pictures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum VideoEncoder {
    /// The processors.
    #[default]
    X264,
    /// A graphics card of Intel or AMD, through VA-API.
    Vaapi,
    /// A graphics card of NVIDIA.
    Nvenc,
}

/// Where to capture, and what it should become.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Such as `:3`.
    pub display: String,
    /// Where the display keeps what is drawn, in the format of `xwd`.
    pub frame_buffer: PathBuf,
    /// Such as `unix:/run/…/pulse.socket`.
    pub sound_server: String,
    pub sound_monitor: String,
    pub size: Size,
    pub fps: u32,
    pub encoder: VideoEncoder,
    /// Threads of the encoder: the processors this process may use, which in a
    /// container are fewer than the host has.
    pub threads: u32,
}

#[cfg(test)]
impl Settings {
    /// For tests that say what matters to them.
    fn nowhere() -> Self {
        Self {
            display: String::new(),
            frame_buffer: PathBuf::new(),
            sound_server: String::new(),
            sound_monitor: String::new(),
            size: Size { width: 320, height: 180 },
            fps: 30,
            encoder: VideoEncoder::X264,
            threads: 1,
        }
    }
}

/// How many threads code pictures. Where there are more than two each has one of its own in hand,
/// which is in no file yet: half a second of them at most.
pub fn threads(fps: u32, processors: u32) -> u32 {
    processors.min((fps / 2).max(pipeline::FEW_PROCESSORS))
}

/// How much picture is held back or in the encoder, and in no file yet.
pub fn encoder_delay(fps: u32, threads: u32) -> Duration {
    Duration::from_secs(1) * (pipeline::pictures_in_encoder(fps, threads) + held::length(fps)) / fps
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("GStreamer could not be initialised")]
    Init(#[source] glib::Error),
    #[error("GStreamer lacks {}", missing_text(.0))]
    Missing(Vec<(&'static str, &'static str)>),
    #[error("the capture graph could not be built")]
    Graph(#[from] glib::BoolError),
    #[error(transparent)]
    Display(#[from] screen::Error),
    #[error("the capture could not be started")]
    Start(#[source] gst::StateChangeError),
}

/// How whatever is filmed hears, by `true`, that the processors are short, and by `false` that
/// they suffice again.
pub type Relief = watch::Sender<bool>;

/// What a page hears of its recording that can make something of it.
#[derive(Clone, Debug)]
pub struct Filmed {
    pub relief: Relief,
    /// Told each second.
    pub rhythm: watch::Sender<Option<Rhythm>>,
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
    /// What codes them, which may not be what was asked for.
    pub encoder: VideoEncoder,
    /// Grabbed from the display.
    pub captured: u64,
    /// Shown again in the file, because nothing was drawn meanwhile.
    pub repeated: u64,
    /// Slots of the frame rate that the file lacks, because time was short.
    pub missed: u64,
    /// In the file.
    pub encoded: u64,
    /// Of those, the ones whose coded form was used again, because the picture rested.
    pub coded_again: u64,
    /// After so many the page was asked to receive smaller pictures for the first time, because
    /// the processors were short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smaller_after: Option<u64>,
    /// So many were shown to the encoder while the page was asked for that.
    pub smaller: u64,
    /// After so many the encoder went on with less effort for the first time, because the
    /// processors were short.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eased_after: Option<u64>,
    /// So many were coded with less effort.
    pub eased: u64,
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
    /// Present until the capture is stopped.
    grabber: Mutex<Option<Grabber>>,
    encoder: VideoEncoder,
    pictures: Arc<display::Counts>,
    coder_counts: Arc<outlet::Counts>,
    sound: Arc<Sound>,
    loudness: watch::Receiver<Loudness>,
    bus: JoinHandle<()>,
}

/// The sound on its way through the graph.
#[derive(Debug, Default)]
struct Sound {
    is_kept: AtomicBool,
    gaps: AtomicU64,
    drift: Mutex<Drift>,
}

impl Sound {
    fn drift(&self) -> std::sync::MutexGuard<'_, Drift> {
        self.drift.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture {
    /// Builds the graph and sets it going with everything it grabs thrown away,
    /// so that clocks and servers have settled when the first picture counts. What is `filmed`
    /// is asked for relief before pictures are coded with less effort.
    pub fn prepare(
        settings: &Settings,
        events: mpsc::UnboundedSender<Event>,
        filmed: Option<Filmed>,
    ) -> Result<(Self, mpsc::Receiver<Media>), Error> {
        gst::init().map_err(Error::Init)?;
        let graph = pipeline::build(settings)?;
        let sound = Arc::new(Sound::default());
        watch_sound(&graph, &sound);
        let (sender, receiver) = mpsc::channel(SAMPLES_IN_TRANSIT);
        sender.try_send(Media::Track(sample::audio_config())).expect("the channel is empty");
        forward_sound(&graph.audio_sink, sender.clone(), &sound);
        let coder_counts = Arc::new(outlet::Counts::default());
        let counts = Arc::clone(&coder_counts);
        let (relief, rhythm) = filmed.map(|Filmed { relief, rhythm }| (relief, rhythm)).unzip();
        let coder = Coder::new(&graph.pipeline, settings, sender, counts, relief)?;
        let (level, loudness) = watch::channel(Loudness::default());
        let encoder = coder.encoder();
        let pictures = Arc::new(display::Counts::default());
        let lost = events.clone();
        let grabber = Grabber::start(
            settings,
            pipeline::supply(settings.fps, settings.threads),
            coder,
            Arc::clone(&pictures),
            rhythm,
            move |error| {
                let failure = Failure::new(Stage::Display, scrub(&chain(&error)));
                // The recording is over when nobody listens any more.
                let _ = lost.send(Event::Failed(failure));
            },
        )?;
        let bus = graph.pipeline.bus().expect("a pipeline has a bus");
        let bus = tokio::spawn(bus::watch(bus, events, level));
        let grabber = Mutex::new(Some(grabber));
        let capture =
            Self { graph, grabber, encoder, pictures, coder_counts, sound, loudness, bus };
        capture.graph.pipeline.set_state(gst::State::Playing).map_err(Error::Start)?;
        Ok((capture, receiver))
    }

    /// From now on pictures and sound are kept.
    pub fn start(&self) {
        self.sound.is_kept.store(true, Ordering::Relaxed);
        self.with_grabber(Grabber::film);
    }

    /// What hides the display from the recording; `None` once the capture is stopped.
    pub fn curtain(&self) -> Option<Curtain> {
        let grabber = self.grabber.lock().unwrap_or_else(PoisonError::into_inner);
        grabber.as_ref().map(Grabber::curtain)
    }

    /// Ends both tracks. The channel closes when the last sample is through.
    pub fn send_eos(&self) {
        self.with_grabber(Grabber::finish);
        if !self.graph.audio_source.send_event(gst::event::Eos::new()) {
            tracing::warn!("the sound refuses to end in order");
        }
    }

    /// Ends at once; samples still in the encoders are lost, and the channel
    /// closes. Blocks while GStreamer's threads end.
    pub fn stop(&self) {
        if let Err(error) = self.graph.pipeline.set_state(gst::State::Null) {
            tracing::warn!(%error, "the capture does not stop");
        }
        // After the pipeline, which no longer holds up what it is handed.
        drop(self.grabber.lock().unwrap_or_else(PoisonError::into_inner).take());
        // Without an end of the stream the callbacks still hold the channel open.
        self.graph.audio_sink.set_callbacks(gst_app::AppSinkCallbacks::builder().build());
    }

    pub fn pictures(&self) -> Pictures {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Pictures {
            encoder: self.encoder,
            captured: load(&self.pictures.captured),
            repeated: load(&self.pictures.repeated),
            missed: load(&self.pictures.missed),
            encoded: load(&self.coder_counts.coded),
            coded_again: load(&self.coder_counts.coded_again),
            smaller_after: self.coder_counts.smaller_after.get().copied(),
            smaller: self.coder_counts.smaller.load(Ordering::Relaxed),
            eased_after: self.coder_counts.eased_after.get().copied(),
            eased: self.coder_counts.eased.load(Ordering::Relaxed),
        }
    }

    fn with_grabber(&self, order: impl FnOnce(&Grabber)) {
        if let Some(grabber) = &*self.grabber.lock().unwrap_or_else(PoisonError::into_inner) {
            order(grabber);
        }
    }

    /// How often the sound was interrupted because nobody took it in time.
    pub fn sound_gaps(&self) -> u64 {
        self.sound.gaps.load(Ordering::Relaxed)
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

/// Loads GStreamer, as a capture would, and makes sure that every element of the
/// graph is there. Its version, such as `GStreamer 1.22.0`. Blocks: the first time
/// on a machine all plugins are looked at, which takes seconds.
pub fn check() -> Result<String, Error> {
    gst::init().map_err(Error::Init)?;
    let missing = pipeline::missing_elements();
    if missing.is_empty() { Ok(gst::version_string().into()) } else { Err(Error::Missing(missing)) }
}

/// Throws the sound away until it is to be kept, and counts the gaps in it then. When it
/// arrives tells from the beginning.
///
/// Not by a `valve`: one that opens makes the source agree on its format anew,
/// and a `pulsesrc` that had not yet done so then never does.
fn watch_sound(graph: &pipeline::Graph, sound: &Arc<Sound>) {
    let source = graph.audio_source.downgrade();
    let pad = graph.audio_source.static_pad("src").expect("a source has a source pad");
    let sound = Arc::clone(sound);
    let first = AtomicBool::new(true);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let starts_anew =
            info.buffer().is_some_and(|buffer| buffer.flags().contains(gst::BufferFlags::DISCONT));
        if let Some((now, end)) = arrival(&source, info.buffer()) {
            // The first block comes sooner than all others.
            if starts_anew {
                sound.drift().begins_anew();
            } else {
                sound.drift().arrived(now, end);
            }
        }
        if !sound.is_kept.load(Ordering::Relaxed) {
            return gst::PadProbeReturn::Drop;
        }
        // The first one that is kept follows a gap of our own making.
        let is_first = first.swap(false, Ordering::Relaxed);
        if starts_anew && !is_first {
            sound.gaps.fetch_add(1, Ordering::Relaxed);
        }
        gst::PadProbeReturn::Ok
    });
}

/// When sound comes, and when it ended by its own count, in nanoseconds of running time.
fn arrival(
    source: &gst::glib::WeakRef<gst::Element>,
    buffer: Option<&gst::Buffer>,
) -> Option<(i64, i64)> {
    let (buffer, now) = (buffer?, source.upgrade()?.current_running_time()?);
    let end = buffer.pts()? + buffer.duration()?;
    let nanos = |time: gst::ClockTime| i64::try_from(time.nseconds()).ok();
    Some((nanos(now)?, nanos(end)?))
}

/// Hands the coded sound to the writer. A full channel holds the encoder.
fn forward_sound(sink: &gst_app::AppSink, sender: mpsc::Sender<Media>, sound: &Arc<Sound>) {
    let sound = Arc::clone(sound);
    let step = 1_000_000_000 / i64::from(SAMPLE_RATE);
    // Dropped at the end of the stream: that is what closes the channel.
    let sender = Arc::new(Mutex::new(Some(sender)));
    let at_end = Arc::clone(&sender);
    let callbacks = gst_app::AppSinkCallbacks::builder()
        .new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            let sender = sender.lock().map_err(|_| gst::FlowError::Error)?.clone();
            let sender = sender.ok_or(gst::FlowError::Eos)?;
            let mut sample = sample::convert(Track::Audio, &sample).map_err(|error| {
                gst::element_error!(sink, gst::StreamError::Encode, ("{error}"));
                gst::FlowError::Error
            })?;
            let correction = sound.drift().correction(step);
            sample.presentation.0 += correction;
            sample.decode.0 += correction;
            sender.blocking_send(Media::Sample(sample)).map_err(|_| gst::FlowError::Eos)?;
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
    let elements: Vec<_> = missing
        .iter()
        .map(|(name, package)| format!("{name} (Debian package {package})"))
        .collect();
    elements.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_half_a_second_of_pictures_is_in_the_hands_of_threads() {
        for (fps, processors, expected) in
            [(30, 1, 1), (30, 2, 2), (30, 4, 4), (30, 64, 15), (60, 64, 30), (5, 8, 2), (1, 64, 2)]
        {
            assert_eq!(threads(fps, processors), expected, "{fps} a second, {processors}");
        }
    }

    #[test]
    fn sound_gets_the_time_of_the_clock_and_not_of_its_count() {
        const FRAMES: i64 = 4000;
        let step = 1_000_000_000 / i64::from(SAMPLE_RATE);
        let frame = |number: i64| number * 1024 * 1_000_000_000 / i64::from(SAMPLE_RATE);
        gst::init().unwrap();
        let caps = gst::Caps::builder("audio/mpeg").build();
        let source = gst_app::AppSrc::builder().caps(&caps).format(gst::Format::Time).build();
        let sink = gst_app::AppSink::builder().sync(false).build();
        let pipeline = gst::Pipeline::new();
        pipeline.add_many([source.upcast_ref::<gst::Element>(), sink.upcast_ref()]).unwrap();
        source.link(&sink).unwrap();
        let sound = Arc::new(Sound::default());
        // Ten minutes that were counted too fast by 100 millionths, heard from the first on.
        for block in 0..60_000 {
            let begin = block * drift::BLOCK;
            sound.drift().arrived(begin - begin / 10_000, begin + drift::BLOCK);
            if block == 0 {
                assert_eq!(sound.drift().correction(step), 0);
            }
        }
        let (sender, mut receiver) = mpsc::channel(SAMPLES_IN_TRANSIT);
        forward_sound(&sink, sender, &sound);
        pipeline.set_state(gst::State::Playing).unwrap();
        for number in 0..FRAMES {
            let mut coded = gst::Buffer::from_slice([0u8; 8]);
            let time = gst::ClockTime::from_nseconds(u64::try_from(frame(number)).unwrap());
            coded.get_mut().unwrap().set_pts(time);
            source.push_buffer(coded).unwrap();
        }
        source.end_of_stream().unwrap();
        let mut corrections = vec![];
        while let Some(Media::Sample(sample)) = receiver.blocking_recv() {
            // What the encoder puts in front is taken off each.
            let number = i64::try_from(corrections.len()).unwrap();
            corrections.push(sample.presentation.0 + frame(1) - frame(number));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(corrections.len(), usize::try_from(FRAMES).unwrap());
        // By a sample from frame to frame, and so not at once.
        assert!((-21_000..0).contains(&corrections[0]), "{}", corrections[0]);
        let last = corrections[corrections.len() - 1];
        assert!((-60_000_000..-58_000_000).contains(&last), "{last}");
    }

    /// Sound that is watched, with a clock that the test sets.
    struct Watched {
        graph: pipeline::Graph,
        source: gst_app::AppSrc,
        sound: Arc<Sound>,
    }

    impl Watched {
        fn new() -> Self {
            gst::init().unwrap();
            let source = gst_app::AppSrc::builder().format(gst::Format::Time).build();
            let audio_sink = gst_app::AppSink::builder().sync(false).async_(false).build();
            let graph = pipeline::Graph {
                pipeline: gst::Pipeline::new(),
                audio_source: source.clone().upcast(),
                audio_sink: audio_sink.clone(),
            };
            let pipeline = &graph.pipeline;
            pipeline
                .add_many([source.upcast_ref::<gst::Element>(), audio_sink.upcast_ref()])
                .unwrap();
            source.link(&audio_sink).unwrap();
            let sound = Arc::new(Sound::default());
            watch_sound(&graph, &sound);
            pipeline.set_state(gst::State::Playing).unwrap();
            source.set_clock(Some(&gst::SystemClock::obtain())).unwrap();
            Self { graph, source, sound }
        }

        /// A block arrives so many milliseconds after the start that by its count begins at `begin`.
        fn arrive(&self, now: u64, begin: u64, is_new: bool) {
            let mut block = gst::Buffer::from_slice([0u8; 8]);
            let writable = block.get_mut().unwrap();
            writable.set_pts(gst::ClockTime::from_mseconds(begin));
            writable.set_duration(gst::ClockTime::from_mseconds(10));
            if is_new {
                writable.set_flags(gst::BufferFlags::DISCONT);
            }
            let clock = gst::SystemClock::obtain();
            self.source.set_base_time(clock.time() - gst::ClockTime::from_mseconds(now));
            self.source.push_buffer(block).unwrap();
        }

        /// Waits for what has arrived to come through; false when all of it was thrown away.
        fn comes_through(&self) -> bool {
            self.graph.audio_sink.try_pull_sample(gst::ClockTime::from_seconds(5)).is_some()
        }

        fn correction_ms(&self) -> f64 {
            let correction = self.sound.drift().correction(1_000_000_000);
            f64::from(i32::try_from(correction).unwrap()) / 1e6
        }
    }

    impl Drop for Watched {
        fn drop(&mut self) {
            self.graph.pipeline.set_state(gst::State::Null).unwrap();
        }
    }

    #[test]
    fn sound_that_arrives_tells_of_its_clock_and_of_gaps() {
        let watched = Watched::new();
        watched.sound.is_kept.store(true, Ordering::Relaxed);
        let arrive = |now, begin, is_new| {
            watched.arrive(now, begin, is_new);
            assert!(watched.comes_through());
        };
        // What begins the sound is no gap.
        arrive(10, 10, true);
        assert!(watched.correction_ms().abs() < 5.0);
        // By its count it is ahead, and by less after a gap; the soonest of a few blocks tells.
        for (now, ahead) in [(1000, 40), (8000, 5), (13_000, 5), (20_000, 15), (25_000, 15)] {
            for block in 0..5 {
                arrive(now, now + ahead, now == 8000 && block == 0);
            }
        }
        assert_eq!(watched.sound.gaps.load(Ordering::Relaxed), 1);
        let correction = watched.correction_ms();
        assert!((-15.0..-13.0).contains(&correction), "{correction}");
    }

    #[test]
    fn sound_that_is_thrown_away_tells_where_its_count_began() {
        let watched = Watched::new();
        // The first one does not, which comes too soon.
        watched.arrive(500, 600, true);
        for _ in 0..5 {
            watched.arrive(500, 530, false);
        }
        watched.source.end_of_stream().unwrap();
        assert!(!watched.comes_through());
        let correction = watched.correction_ms();
        assert!((-30.0..-28.0).contains(&correction), "{correction}");
    }
}
