//! Hands pictures to an element that copies each one while it takes it and never looks at it
//! again, but keeps it for long: its memory is free for another picture before it lets go.
//!
//! x264enc is such an element, and keeps a score of pictures of 3 MB each. It must not know
//! where pictures come from.

#![expect(unsafe_code, reason = "what is kept and not looked at outlives its owner")]

use std::sync::{Mutex, PoisonError};

use gstreamer as gst;
use gstreamer::prelude::*;

/// Bytes that belong to somebody else.
#[derive(Debug)]
struct Glance {
    start: *const u8,
    len: usize,
}

// SAFETY: the bytes do not change while their owner is kept in the probe below, and nobody
// reads them afterwards.
unsafe impl Send for Glance {}

impl AsRef<[u8]> for Glance {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: GStreamer calls this once, when a buffer is made around it, while the owner
        // is there, and keeps the address. The owner stays for as long as the element takes
        // the buffer, and the caller of `of_pad` answers for the element after that.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

/// Gives the memory of each buffer that comes to `pad` back when the next one comes.
///
/// The element of the pad must be done with the bytes of a buffer when it has taken it, even
/// if it keeps it.
pub(super) fn of_pad(pad: &gst::Pad) {
    // A pad takes one buffer after the other: this is the one that is being taken.
    let taken = Mutex::new(None);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
        let Some(buffer) = info.buffer_mut() else { return gst::PadProbeReturn::Ok };
        // One that cannot be read is the element's to complain about.
        let Ok(owner) = buffer.clone().into_mapped_buffer_readable() else {
            return gst::PadProbeReturn::Ok;
        };
        let glance = Glance { start: owner.as_ptr(), len: owner.len() };
        let mut shown = gst::Buffer::from_slice(glance);
        let writable = shown.get_mut().expect("a fresh one has one owner");
        writable.set_pts(owner.buffer().pts());
        writable.set_duration(owner.buffer().duration());
        *buffer = shown;
        *taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(owner);
        gst::PadProbeReturn::Ok
    });
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use gstreamer_app as gst_app;

    use super::*;
    use crate::capture::Settings;
    use crate::capture::pipeline::{self, Method};
    use crate::capture::planar::{Pool, Supply};

    const LEN: usize = 320 * 180 * 3 / 2;

    /// A dozen pictures through the memory of two: one is being taken, and one is being made.
    /// Returns how bright they are.
    fn push(source: &gst_app::AppSrc) -> Vec<u8> {
        let pool = Pool::new(Supply { ready: 2, spare: 0 }, LEN).unwrap();
        let shades: Vec<u8> = (2..14).map(|number| number * 16).collect();
        let patience = Instant::now() + Duration::from_secs(20);
        for (number, shade) in (0..).zip(&shades) {
            let mut picture = loop {
                if let Some(picture) = pool.lend() {
                    break picture;
                }
                assert!(Instant::now() < patience, "picture {number}: no memory came back");
                std::thread::yield_now();
            };
            picture.as_mut().fill(*shade);
            let mut buffer = gst::Buffer::from_slice(picture);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::SECOND * number / 30);
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        shades
    }

    #[test]
    fn two_pictures_of_memory_serve_an_encoder_that_keeps_a_dozen_and_all_are_right() {
        gst::init().unwrap();
        let chain = gst::parse::launch(
            "appsrc name=in format=time caps=video/x-raw,format=I420,width=320,height=180,\
             framerate=30/1 ! x264enc name=x264 pass=qual quantizer=10 rc-lookahead=20 \
             ! avdec_h264 ! video/x-raw,format=I420 ! appsink name=out sync=false",
        );
        let chain = chain.unwrap().downcast::<gst::Pipeline>().unwrap();
        let source = chain.by_name("in").unwrap().downcast::<gst_app::AppSrc>().unwrap();
        let sink = chain.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        of_pad(&chain.by_name("x264").unwrap().static_pad("sink").unwrap());
        chain.set_state(gst::State::Playing).unwrap();
        for (number, shade) in push(&source).iter().enumerate() {
            let decoded = sink.pull_sample().unwrap();
            let luma = decoded.buffer().unwrap().map_readable().unwrap()[1000];
            assert!(luma.abs_diff(*shade) <= 2, "picture {number}: {luma} instead of {shade}");
        }
        chain.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn the_capture_s_own_encoders_keep_no_memory_of_pictures() {
        gst::init().unwrap();
        for (method, threads) in [(Method::X264, 1), (Method::X264, 4), (Method::X264Light, 2)] {
            let settings = Settings { threads, ..Settings::nowhere() };
            let chain = gst::Pipeline::new();
            let encoder = pipeline::add_encoder(&chain, &settings, method).unwrap();
            chain.set_state(gst::State::Playing).unwrap();
            let pushed = push(&encoder.source).len();
            let coded = std::iter::from_fn(|| encoder.sink.pull_sample().ok()).count();
            assert_eq!(coded, pushed, "{method:?} with {threads} threads");
            chain.set_state(gst::State::Null).unwrap();
        }
    }
}
