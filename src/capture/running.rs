//! One encoder from its start to its end. It must not know why it is given up, nor for which
//! other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::outlet::{Error, Outlet};
use super::pipeline::{self, Method};
use super::rest::Stillness;
use super::sample;
use crate::media::Track;

/// How often an encoder that is to end is asked whether the whole capture ends.
const LOOK_UP: Duration = Duration::from_millis(20);

/// The capture has ended, or the encoder has failed and says so itself.
#[derive(Debug)]
pub(super) struct Ended;

/// One encoder that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) encoder: pipeline::Encoder,
    /// Told when the last of its pictures is out.
    ended: mpsc::Receiver<()>,
    /// It is to be handed no picture any more, not even what waits for it.
    is_over: Arc<AtomicBool>,
    /// That, and then nothing.
    waiting: mpsc::Receiver<Option<gst::Buffer>>,
    pub(super) stillness: Stillness,
}

impl Running {
    /// Adds one to the `pipeline`, which may run.
    pub(super) fn start(
        pipeline: &gst::Pipeline,
        method: Method,
        outlet: &Arc<Outlet>,
    ) -> Result<Self, gst::glib::BoolError> {
        let encoder = pipeline::add_encoder(pipeline, &outlet.settings, method)?;
        let stillness = Stillness::new(pipeline::key_interval(outlet.settings.fps));
        let (out, ended) = mpsc::channel();
        let outlet = Arc::clone(outlet);
        let mut is_described = false;
        let is_light = method == Method::X264Light;
        let mut take = move |coded: &gst::Sample| {
            if !std::mem::replace(&mut is_described, true) {
                outlet.describe(coded)?;
            }
            if is_light {
                outlet.counts.ease();
            }
            outlet.put(sample::convert(Track::Video, coded)?)
        };
        let callbacks = gst_app::AppSinkCallbacks::builder()
            .new_sample(move |sink| {
                let coded = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
                take(&coded).map(|()| gst::FlowSuccess::Ok).map_err(|error| match error {
                    Error::Ended => gst::FlowError::Eos,
                    error => {
                        gst::element_error!(sink, gst::StreamError::Encode, ("{error}"));
                        gst::FlowError::Error
                    }
                })
            })
            .eos(move |_| {
                // Nobody waits where the capture ends at once.
                let _ = out.send(());
            })
            .build();
        encoder.sink.set_callbacks(callbacks);
        let pad = encoder.source.static_pad("src").expect("a source gives something");
        let (turned_back, waiting) = mpsc::channel();
        let is_over = Arc::new(AtomicBool::new(false));
        turn_back(&pad, Arc::clone(&is_over), turned_back);
        encoder.start()?;
        Ok(Self { encoder, ended, is_over, waiting, stillness })
    }

    /// Whether the last of its pictures is out, which is told once.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.try_recv().is_ok()
    }

    /// Waits until the last of its pictures is out, unless that was told.
    pub(super) fn wait(&self, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        next(&self.ended, leave)
    }

    /// Ends it with what it has, and takes back what it has not been handed yet. That is as long
    /// as it works at one picture.
    pub(super) fn give_up(&self, leave: &dyn Fn() -> bool) -> Result<Vec<gst::Buffer>, Ended> {
        self.is_over.store(true, Ordering::Release);
        self.encoder.source.end_of_stream().map_err(|_| Ended)?;
        let mut waiting = vec![];
        while let Some(picture) = next(&self.waiting, leave)? {
            waiting.push(picture);
        }
        Ok(waiting)
    }
}

/// What somebody else tells, unless the whole capture ends.
fn next<T>(told: &mpsc::Receiver<T>, leave: &dyn Fn() -> bool) -> Result<T, Ended> {
    loop {
        match told.recv_timeout(LOOK_UP) {
            Ok(told) => return Ok(told),
            Err(mpsc::RecvTimeoutError::Timeout) if !leave() => {}
            Err(_) => return Err(Ended),
        }
    }
}

/// Once `is_over`, tells what comes to a `pad` instead of letting it through, and nothing with
/// the end of it.
fn turn_back(pad: &gst::Pad, is_over: Arc<AtomicBool>, told: mpsc::Sender<Option<gst::Buffer>>) {
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |_, info| {
        let is_kept = match &info.data {
            Some(gst::PadProbeData::Buffer(picture)) if is_over.load(Ordering::Acquire) => {
                told.send(Some(picture.clone())).is_ok()
            }
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Eos => {
                // Nobody listens where the whole capture ends.
                let _ = told.send(None);
                false
            }
            _ => false,
        };
        if is_kept { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Ok }
    });
}
