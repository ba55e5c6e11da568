//! Builds the capture graph: what is connected to what, and with which settings.
//!
//! ```text
//! appsrc (coder.rs) → x264enc, or a graphics card's → appsink
//! pulsesrc → queue → audioconvert → level → avenc_aac → appsink
//! ```
//!
//! Both sources are stamped by one clock, so picture and sound need no constant
//! between them. No callback and no policy is set up here. Why each number of the encoders is
//! what it is: `docs/encoding.md`.

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::drift;
use super::planar::{Layout, Supply};
use super::{Error, Settings, glance, held};
use crate::children::sound::SAMPLE_RATE;

/// Names by which messages and failures are told apart.
pub(super) const AUDIO_SOURCE: &str = "sound";
pub(super) const AUDIO_LEVEL: &str = "level";

/// Pictures that may wait for the encoder, 3 MB each at 1080p: one that has looked ahead for
/// the first time has a third of a second of work to do at once, while the browser has just
/// begun.
pub(super) const MOST_WAITING: u32 = 18;
/// The same for an encoder that takes over, until it has caught up: what waited for the one
/// before, and a second while that ends.
pub(super) const MOST_WAITING_ANEW: u32 = 3 * MOST_WAITING;
/// There is memory at once for so many of them.
const READY_PICTURES: u32 = 2;
/// Where so many wait, and go on to, the machine is too small. Fewer may wait for
/// seconds on one that is just large enough, and nothing is lost.
pub(super) const MANY_WAITING: u64 = 6;
/// Sound that may wait: it costs nothing, and a gap in it is heard.
const WAITING_SOUND: gst::ClockTime = gst::ClockTime::from_seconds(2);

/// Constant rate factor: quality as long as the cap below allows it.
const RATE_FACTOR: u32 = 19;
/// The cap in kbit/s, held over [`VBV_MILLISECONDS`] by x264's buffer model.
const MAX_KBIT: u32 = 4500;
const VBV_MILLISECONDS: u32 = 2000;
/// Seconds from one key picture to the next: how exactly players can seek, and
/// the longest fragment.
const KEY_INTERVAL_SECONDS: u32 = 2;
/// Pictures in a row that are coded from those at both sides, and are no one's reference.
const B_FRAMES: u32 = 5;
/// Pictures that the encoder looks ahead, to spend bits on what stays (macroblock
/// tree): fewer bytes and a better picture for little work. Two rows of B-frames, each with what
/// follows; more would take more memory.
const LOOK_AHEAD: u32 = 2 * (B_FRAMES + 1);
/// How long a card may take for its first picture.
const TRIAL: gst::ClockTime = gst::ClockTime::from_seconds(3);
/// Bits per second of the sound.
pub(super) const AUDIO_BITRATE: u32 = 160_000;
pub(super) const AUDIO_CHANNELS: u16 = 2;

/// The graph and the places in it that somebody has to reach.
pub(super) struct Graph {
    pub(super) pipeline: gst::Pipeline,
    pub(super) audio_source: gst::Element,
    pub(super) audio_sink: gst_app::AppSink,
}

/// The elements of one encoder of pictures, from its start to its end.
#[derive(Debug)]
pub(super) struct Encoder {
    pub(super) source: gst_app::AppSrc,
    pub(super) sink: gst_app::AppSink,
    pub(super) elements: Vec<gst::Element>,
}

/// How pictures are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// On a graphics card.
    Vaapi,
    Nvenc,
    /// On the processors.
    X264,
    /// The same, with so little work that it still comes through where they are short.
    X264Light,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

/// The elements the graph is made of and the Debian package of each.
pub(crate) const ELEMENTS: &[(&str, &str)] = &[
    ("appsrc", "gstreamer1.0-plugins-base"),
    ("pulsesrc", "gstreamer1.0-pulseaudio"),
    ("queue", "libgstreamer1.0-0"),
    ("audioconvert", "gstreamer1.0-plugins-base"),
    ("level", "gstreamer1.0-plugins-good"),
    ("x264enc", "gstreamer1.0-plugins-ugly"),
    ("avenc_aac", "gstreamer1.0-libav"),
    ("capsfilter", "libgstreamer1.0-0"),
];

/// The elements of [`ELEMENTS`] that this machine does not have, with the
/// package that brings each.
pub(crate) fn missing_elements() -> Vec<(&'static str, &'static str)> {
    let known = |name: &str| gst::ElementFactory::find(name).is_some();
    ELEMENTS.iter().filter(|(name, _)| !known(name)).copied().collect()
}

pub(super) fn build(settings: &Settings) -> Result<Graph, Error> {
    let missing = missing_elements();
    if !missing.is_empty() {
        return Err(Error::Missing(missing));
    }
    let audio_source = make("pulsesrc", AUDIO_SOURCE)
        .property("server", &settings.sound_server)
        .property("device", &settings.sound_monitor)
        .property("client-name", "recorder")
        .property("provide-clock", false)
        .property("latency-time", drift::BLOCK / 1000)
        .build()?;

    let sound = gst::Caps::builder("audio/x-raw")
        .field("rate", i32::try_from(SAMPLE_RATE).expect("a small constant"))
        .field("channels", i32::from(AUDIO_CHANNELS))
        .build();
    let audio = [
        audio_source.clone(),
        caps_filter("audio-raw", &sound)?,
        queue("audio-queue")
            .property("max-size-buffers", 0u32)
            .property("max-size-bytes", 0u32)
            .property("max-size-time", WAITING_SOUND.nseconds())
            .build()?,
        make("audioconvert", "audio-convert").build()?,
        make("level", AUDIO_LEVEL)
            .property("interval", gst::ClockTime::SECOND.nseconds())
            .build()?,
        // The encoder takes planar floats only.
        make("audioconvert", "audio-planar").build()?,
        make("avenc_aac", "aac")
            .property("bitrate", i32::try_from(AUDIO_BITRATE).expect("a small constant"))
            .build()?,
    ];
    let pipeline = gst::Pipeline::with_name("capture");
    // As a file holds them: no ADTS headers, the decoder's configuration beside them.
    let coded_audio = gst::Caps::builder("audio/mpeg").field("stream-format", "raw").build();
    let audio_sink = sink("audio-sink", &coded_audio);
    pipeline.add_many(&audio)?;
    pipeline.add(&audio_sink)?;
    gst::Element::link_many(audio.iter().chain([audio_sink.upcast_ref()]))?;
    Ok(Graph { pipeline, audio_source, audio_sink })
}

/// Adds an encoder to the `pipeline`, which may run.
pub(super) fn add_encoder(
    pipeline: &gst::Pipeline,
    settings: &Settings,
    method: Method,
) -> Result<Encoder, glib::BoolError> {
    let fps = i32::try_from(settings.fps).expect("the configuration allows 60 at most");
    let raw = gst::Caps::builder("video/x-raw")
        .field("format", "I420")
        .field("framerate", gst::Fraction::new(fps, 1))
        .field("width", i32::from(settings.size.width))
        .field("height", i32::from(settings.size.height))
        // The page's colours as a player will read them back.
        .field("colorimetry", "bt709")
        .build();
    let source = gst_app::AppSrc::builder()
        .name("pictures")
        .caps(&raw)
        .format(gst::Format::Time)
        .is_live(true)
        .block(true)
        .max_buffers(MOST_WAITING.into())
        // Pictures alone are counted.
        .max_bytes(0)
        .build();
    // No start codes, as a file holds them, the decoder's configuration beside them.
    let coded = gst::Caps::builder("video/x-h264")
        .field("stream-format", "avc")
        .field("alignment", "au")
        .field("profile", "high")
        .build();
    let sink = sink("coded-pictures", &coded);
    let mut elements = vec![source.clone().upcast()];
    elements.append(&mut coding(settings, method)?);
    elements.push(sink.clone().upcast());
    pipeline.add_many(&elements)?;
    gst::Element::link_many(&elements)?;
    Ok(Encoder { source, sink, elements })
}

impl Encoder {
    /// Sets it going with the pipeline.
    pub(super) fn start(&self) -> Result<(), glib::BoolError> {
        self.elements.iter().rev().try_for_each(gst::Element::sync_state_with_parent)
    }

    /// Lets the next picture that it is handed be a key picture.
    pub(super) fn ask_for_key(&self) {
        // Downstream it keeps its place among the pictures, and without a time it is for the
        // next one. With one, and upstream, an encoder that has put nothing out yet takes it for
        // whatever comes.
        let wish = gst::Structure::builder("GstForceKeyUnit")
            .field("all-headers", false)
            .field("count", 0u32)
            .build();
        if !self.source.send_event(gst::event::CustomDownstream::new(wish)) {
            tracing::warn!("the encoder does not take the wish for a key picture");
        }
    }
}

/// Whether `method` codes a picture here: a card may be absent, busy or unable.
pub(super) fn can_code(settings: &Settings, method: Method) -> bool {
    let coded = || -> Result<bool, glib::BoolError> {
        let pipeline = gst::Pipeline::new();
        let encoder = add_encoder(&pipeline, settings, method)?;
        let playing = pipeline.set_state(gst::State::Playing).is_ok();
        let mut picture = gst::Buffer::from_slice(vec![128; Layout::new(settings.size).len]);
        picture.get_mut().expect("a fresh one has one owner").set_pts(gst::ClockTime::ZERO);
        let took = playing
            && encoder.source.push_buffer(picture).is_ok()
            && encoder.source.end_of_stream().is_ok();
        let came = took && encoder.sink.try_pull_sample(TRIAL).is_some();
        // One that does not even stop is not to be trusted either.
        Ok(pipeline.set_state(gst::State::Null).is_ok() && came)
    };
    coded().unwrap_or(false)
}

/// Takes an encoder out that has ended or is not wanted any more.
pub(super) fn remove_encoder(pipeline: &gst::Pipeline, encoder: &Encoder) {
    for element in &encoder.elements {
        if let Err(error) = element.set_state(gst::State::Null) {
            tracing::warn!(%error, "the encoder does not stop");
        }
    }
    // One that is not in the pipeline has nothing to be taken out of.
    let _ = pipeline.remove_many(&encoder.elements);
    encoder.sink.set_callbacks(gst_app::AppSinkCallbacks::builder().build());
}

/// What stands between source and sink.
fn coding(settings: &Settings, method: Method) -> Result<Vec<gst::Element>, glib::BoolError> {
    let key_interval = key_interval(settings.fps);
    let card = |encoder: gst::element_factory::ElementBuilder<'_>| {
        Ok(vec![
            make("videoconvert", "card-convert").build()?,
            encoder.build()?,
            // The cards' encoders write start codes.
            make("h264parse", "card-parse").build()?,
        ])
    };
    match method {
        Method::X264 if settings.threads > FEW_PROCESSORS => Ok(vec![x264(settings, FINE)?]),
        Method::X264 => Ok(vec![x264(settings, FULL)?]),
        Method::X264Light => Ok(vec![x264(settings, LIGHT)?]),
        Method::Vaapi => card(
            make("vah264enc", "vaapi")
                .property_from_str("rate-control", "vbr")
                .property("bitrate", MAX_KBIT)
                .property("key-int-max", key_interval),
        ),
        Method::Nvenc => card(
            make("nvh264enc", "nvenc")
                .property_from_str("rc-mode", "vbr")
                .property("bitrate", MAX_KBIT)
                .property("gop-size", i32::try_from(key_interval).expect("at most 120")),
        ),
    }
}

/// x264's preset, and what is set beside it.
type Effort = (&'static str, &'static str);

/// Where there are more than [`FEW_PROCESSORS`], of which the browser needs most.
const FINE: Effort = ("superfast", ":subme=2:aq-mode=2:partitions=p8x8,i8x8,i4x4:deblock=-1,-1");
pub(super) const FEW_PROCESSORS: u32 = 2;
/// Slices of one picture need fewer of them in memory than pictures of their own.
const FULL: Effort =
    ("superfast", ":sliced-threads=1:aq-mode=2:partitions=p8x8,i8x8,i4x4:deblock=-1,-1");
/// What is in the decoder's configuration is the same as with [`FULL`].
const LIGHT: Effort = ("ultrafast", ":sliced-threads=1:cabac=1:8x8dct=1:weightb=1");

/// What holds for all: closed groups of a fixed length, no thread that looks ahead, and the
/// macroblock tree half as strong again as x264's own.
const ALWAYS: &str = "scenecut=0:open-gop=0:sync-lookahead=0:b-pyramid=none:weightp=0:qcomp=0.4";

fn x264(settings: &Settings, (preset, options): Effort) -> Result<gst::Element, glib::BoolError> {
    let encoder = make("x264enc", "x264")
        .property_from_str("speed-preset", preset)
        .property_from_str("pass", "qual")
        .property("quantizer", RATE_FACTOR)
        .property("bitrate", MAX_KBIT)
        .property("vbv-buf-capacity", VBV_MILLISECONDS)
        .property("key-int-max", key_interval(settings.fps))
        .property("bframes", B_FRAMES)
        // Choosing where they stand costs more than it saves.
        .property("b-adapt", false)
        .property("rc-lookahead", i32::try_from(look_ahead(settings.fps)).expect("at most 12"))
        .property("mb-tree", true)
        .property("threads", settings.threads)
        .property("option-string", format!("{ALWAYS}{options}"))
        .build()?;
    // `x264_encoder_encode` copies the picture it is called with, and x264enc calls it at once
    // and keeps what it was handed only for its time.
    glance::of_pad(&encoder.static_pad("sink").expect("an encoder takes something"));
    Ok(encoder)
}

/// Pictures from one key picture to the next.
pub(super) fn key_interval(fps: u32) -> u32 {
    fps * KEY_INTERVAL_SECONDS
}

/// At most half a second: what is in the encoder is lost with the process.
fn look_ahead(fps: u32) -> u32 {
    LOOK_AHEAD.min(fps.div_ceil(2))
}

/// Pictures that may be in the encoder. Where there are many threads each codes one, where
/// there are few they share one.
pub(super) fn pictures_in_encoder(fps: u32, threads: u32) -> u32 {
    let at_once = if threads > FEW_PROCESSORS { threads } else { 1 };
    look_ahead(fps) + B_FRAMES + at_once
}

/// After so many an encoder has all the memory that it will ever need.
pub(super) fn pictures_to_warm_up(fps: u32, threads: u32) -> u32 {
    pictures_in_encoder(fps, threads) + B_FRAMES + 1
}

/// Pictures there has to be memory for: those that wait for the encoder; those that are held
/// back before; one being made, one being taken and one kept to be shown again. A card may keep
/// what it codes.
pub(super) fn supply(fps: u32, threads: u32) -> Supply {
    let ready = READY_PICTURES + held::length(fps) + 3;
    let spare = MOST_WAITING_ANEW - READY_PICTURES + pictures_in_encoder(fps, threads);
    Supply { ready: ready as usize, spare: spare as usize }
}

fn make<'a>(element: &'a str, name: &'a str) -> gst::element_factory::ElementBuilder<'a> {
    gst::ElementFactory::make(element).name(name)
}

fn queue(name: &str) -> gst::element_factory::ElementBuilder<'_> {
    make("queue", name)
}

fn caps_filter(name: &str, caps: &gst::Caps) -> Result<gst::Element, glib::BoolError> {
    make("capsfilter", name).property("caps", caps).build()
}

fn sink(name: &str, caps: &gst::Caps) -> gst_app::AppSink {
    // Not `async`: one that is added later would hold up the clock of all.
    gst_app::AppSink::builder().name(name).caps(caps).sync(false).async_(false).build()
}
