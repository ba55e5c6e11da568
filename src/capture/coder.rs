//! Codes the pictures it is handed, by one encoder after the other.
//!
//! There is one at a time. It is ended where the picture rests, whose coded form is then
//! used again (`rest.rs`), and where it is too slow and a faster one takes over. Driven
//! by the grabbing thread (`display.rs`); it must not know X.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use super::pace::{Pace, Step};
use super::pipeline::{self, Method};
use super::planar::Picture;
use super::rest::{Rest, Stillness};
use super::sample;
use super::{Media, Relief, Settings, VideoEncoder};
use crate::media::{Sample, Track, TrackConfig};

/// How often an encoder that is to end is asked whether the whole capture ends.
const LOOK_UP: Duration = Duration::from_millis(20);

/// From one picture to the next while an encoder warms up: all are over before anything can be
/// filmed.
const WARM_UP_STEP: gst::ClockTime = gst::ClockTime::from_useconds(100);

/// From one picture's decode time to the next: 1 ms, some units of any file.
const LEAST_STEP: i64 = 1_000_000;

/// Counts for the report.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) coded: AtomicU64,
    pub(super) coded_again: AtomicU64,
    /// How many were coded before the page was first asked for smaller pictures, and how many
    /// while it was.
    pub(super) smaller_after: OnceLock<u64>,
    pub(super) smaller: AtomicU64,
    /// How many were coded before it was first with less effort, and how many with it.
    pub(super) eased_after: OnceLock<u64>,
    pub(super) eased: AtomicU64,
}

/// The capture has ended, or the encoder has failed and says so itself.
#[derive(Debug)]
pub(super) struct Ended;

/// The one that was asked for, if it works here.
fn method(settings: &Settings) -> Method {
    let card = match settings.encoder {
        VideoEncoder::X264 => return Method::X264,
        VideoEncoder::Vaapi => Method::Vaapi,
        VideoEncoder::Nvenc => Method::Nvenc,
    };
    if pipeline::can_code(settings, card) {
        return card;
    }
    let asked = settings.encoder;
    tracing::warn!(?asked, "the graphics card codes no picture here: x264 does it instead");
    Method::X264
}

/// What is coded leaves here, in order and once.
#[derive(Debug)]
struct Outlet {
    settings: Settings,
    counts: Arc<Counts>,
    state: Mutex<Leaving>,
}

#[derive(Debug)]
struct Leaving {
    /// Until the end: what keeps the channel open.
    sender: Option<tokio::sync::mpsc::Sender<Media>>,
    described: Option<TrackConfig>,
    /// The last group of pictures, from its key picture on.
    group: Vec<Sample>,
    decode: i64,
    /// Where the film begins: what is shown before only warmed the encoder up.
    begin: i64,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Sample(#[from] sample::Error),
    #[error("an encoder of the same settings describes its pictures in another way")]
    Description,
    #[error("nobody takes the pictures any more")]
    Ended,
}

impl Outlet {
    /// With the first picture of each encoder: all have to describe the track in one way.
    fn describe(&self, coded: &gst::Sample) -> Result<(), Error> {
        let config = sample::video_config(self.settings.size, coded)?;
        let known = self.state().described.replace(config.clone());
        match known {
            Some(known) if known != config => Err(Error::Description),
            Some(_) => Ok(()),
            None => self.send(Media::Track(config)),
        }
    }

    fn put(&self, mut sample: Sample) -> Result<(), Error> {
        {
            let mut state = self.state();
            if sample.presentation.0 < state.begin {
                return Ok(());
            }
            // The first one's lead reaches back to the pictures before the film.
            let slot = 1_000_000_000 / i64::from(self.settings.fps);
            sample.decode.0 = sample.decode.0.max(state.begin.saturating_sub(slot));
            // An encoder's lead may differ a little from that of the one before.
            sample.decode.0 = sample.decode.0.max(state.decode.saturating_add(LEAST_STEP));
            state.decode = sample.decode.0;
            if sample.sync {
                state.group.clear();
            }
            state.group.push(sample.clone());
        }
        self.counts.coded.fetch_add(1, Ordering::Relaxed);
        self.send(Media::Sample(sample))
    }

    /// Whether a film that waited for its beginning begins with this picture.
    fn begins(&self, presentation: i64) -> bool {
        let mut state = self.state();
        let begins = state.begin == i64::MAX;
        if begins {
            state.begin = presentation;
        }
        begins
    }

    /// A full channel holds whoever sends.
    fn send(&self, media: Media) -> Result<(), Error> {
        let sender = self.state().sender.clone().ok_or(Error::Ended)?;
        sender.blocking_send(media).map_err(|_| Error::Ended)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, Leaving> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One encoder that runs.
#[derive(Debug)]
struct Running {
    encoder: pipeline::Encoder,
    /// Told when the last of its pictures is out.
    ended: mpsc::Receiver<()>,
    stillness: Stillness,
}

#[derive(Debug)]
enum State {
    Coding(Running),
    Resting(Rest),
    Over,
}

#[derive(Debug)]
pub(super) struct Coder {
    pipeline: gst::Pipeline,
    outlet: Arc<Outlet>,
    state: State,
    method: Method,
    pace: Pace,
    /// Whom to ask for smaller pictures.
    relief: Option<Relief>,
    /// The last picture, without a time.
    last: Option<gst::Buffer>,
}

impl Coder {
    /// With its first encoder in the `pipeline`.
    pub(super) fn new(
        pipeline: &gst::Pipeline,
        settings: &Settings,
        sender: tokio::sync::mpsc::Sender<Media>,
        counts: Arc<Counts>,
        relief: Option<Relief>,
    ) -> Result<Self, gst::glib::BoolError> {
        let state = Leaving {
            sender: Some(sender),
            described: None,
            group: vec![],
            decode: i64::MIN,
            begin: i64::MIN,
        };
        let outlet = Outlet { settings: settings.clone(), counts, state: Mutex::new(state) };
        let mut coder = Self {
            pipeline: pipeline.clone(),
            outlet: Arc::new(outlet),
            state: State::Over,
            method: method(settings),
            pace: Pace::new(settings.fps),
            relief,
            last: None,
        };
        coder.state = State::Coding(coder.start()?);
        Ok(coder)
    }

    /// What codes the pictures.
    pub(super) fn encoder(&self) -> VideoEncoder {
        match self.method {
            Method::Vaapi => VideoEncoder::Vaapi,
            Method::Nvenc => VideoEncoder::Nvenc,
            Method::X264 | Method::X264Light => VideoEncoder::X264,
        }
    }

    /// Has the encoder code `picture` as often as it takes until it has touched all the memory
    /// that it needs. A third of a second goes into that where a virtual machine gets its memory
    /// page by page, in which a picture that is filmed would have to wait. With the first of
    /// those the coded stream begins anew.
    pub(super) fn warm_up(&self, picture: Picture) {
        let State::Coding(running) = &self.state else { return };
        if self.method != Method::X264 {
            return;
        }
        self.outlet.state().begin = i64::MAX;
        let picture = gst::Buffer::from_slice(picture);
        let Settings { fps, threads, .. } = self.outlet.settings;
        for number in 0..pipeline::pictures_to_warm_up(fps, threads) {
            let mut buffer = picture.copy();
            let writable = buffer.get_mut().expect("a fresh copy has one owner");
            writable.set_pts(WARM_UP_STEP * u64::from(number));
            // A pipeline that has ended says why itself.
            if running.encoder.source.push_buffer(buffer).is_err() {
                return;
            }
        }
    }

    /// Time on the clock of the capture, once it runs.
    pub(super) fn now(&self) -> Option<i64> {
        let now = self.pipeline.current_running_time()?.nseconds();
        Some(i64::try_from(now).expect("a recording lasts less than 292 years"))
    }

    /// The picture that was shown last.
    pub(super) fn last(&self) -> Option<&gst::Buffer> {
        self.last.as_ref()
    }

    /// Shows `picture`, or the last one again, in the slot that begins at `presentation`.
    /// Waits while the encoder is too busy. `leave` tells that the capture ends at once.
    pub(super) fn show(
        &mut self,
        picture: Option<gst::Buffer>,
        presentation: i64,
        leave: &dyn Fn() -> bool,
    ) -> Result<(), Ended> {
        let is_same = picture.is_none();
        if let State::Coding(running) = &self.state
            && running.stillness.rests(is_same)
        {
            self.drain(leave)?;
            let group = std::mem::take(&mut self.outlet.state().group);
            // Short where the encoder did not begin a group where it was asked to.
            let length = pipeline::key_interval(self.outlet.settings.fps) as usize;
            let rest = (group.len() == length).then(|| Rest::new(group)).flatten();
            self.state = match rest {
                Some(rest) => State::Resting(rest),
                None => self.begun()?,
            };
        }
        if let State::Resting(rest) = &mut self.state {
            if is_same {
                let samples = rest.show(presentation);
                return self.again(samples);
            }
            self.end_rest()?;
            self.state = self.begun()?;
        }
        self.ease(leave)?;
        if let Some(picture) = picture {
            self.last = Some(picture);
        }
        self.code(presentation, is_same)
    }

    /// Ends the track after the last picture.
    pub(super) fn finish(mut self, leave: &dyn Fn() -> bool) {
        // An encoder that fails says so itself, and what is out is kept.
        let _ = self.end_rest();
        let _ = self.drain(leave);
    }

    /// Leaves the rest, if there is one, with what is not out of it yet.
    fn end_rest(&mut self) -> Result<(), Ended> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Resting(rest) => self.again(rest.end()),
            other => {
                self.state = other;
                Ok(())
            }
        }
    }

    /// Hands on what is coded already.
    fn again(&self, samples: Vec<Sample>) -> Result<(), Ended> {
        for sample in samples {
            self.outlet.counts.coded_again.fetch_add(1, Ordering::Relaxed);
            self.outlet.put(sample).map_err(|_| Ended)?;
        }
        Ok(())
    }

    /// Does something about an encoder that is too slow, and takes it back where it keeps up.
    fn ease(&mut self, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        let State::Coding(running) = &self.state else { return Ok(()) };
        let queue = running.encoder.source.current_level_buffers();
        let is_eased = self.is_smaller() || self.method == Method::X264Light;
        match self.pace.step(queue >= pipeline::MANY_WAITING, is_eased) {
            Step::Keep => Ok(()),
            Step::Ease => self.lighten(leave),
            Step::Restore => self.restore(leave),
        }
    }

    /// Whether the page is asked for smaller pictures.
    fn is_smaller(&self) -> bool {
        self.relief.as_ref().is_some_and(|relief| *relief.borrow())
    }

    /// First asks for smaller pictures, which leave more of the processors to the encoder. The
    /// next time, or if nobody can be asked, it goes on with less effort.
    fn lighten(&mut self, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        let counts = Arc::clone(&self.outlet.counts);
        let coded = || counts.coded.load(Ordering::Relaxed);
        if let Some(relief) = self.relief.as_ref().filter(|_| !self.is_smaller()) {
            tracing::warn!("the processors are short: the page is to receive smaller pictures");
            counts.smaller_after.get_or_init(coded);
            relief.send_replace(true);
        } else if self.method == Method::X264 {
            tracing::warn!("the processors are short: pictures are coded with less effort");
            self.change(Method::X264Light, leave)?;
            // With those that were still in the encoder before.
            counts.eased_after.get_or_init(coded);
        }
        Ok(())
    }

    /// Takes back what was done last.
    fn restore(&mut self, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        if self.method == Method::X264Light {
            tracing::info!("the processors suffice: pictures are coded with the usual effort");
            self.change(Method::X264, leave)?;
        } else if let Some(relief) = &self.relief {
            tracing::info!("the processors suffice: the page is to receive the usual pictures");
            relief.send_replace(false);
        }
        Ok(())
    }

    /// Ends the encoder and goes on with another.
    fn change(&mut self, method: Method, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        self.method = method;
        self.drain(leave)?;
        self.state = self.begun()?;
        Ok(())
    }

    /// With an encoder that has just begun.
    fn begun(&mut self) -> Result<State, Ended> {
        self.pace.begin();
        self.start().map(State::Coding).map_err(|error| self.failed(&error))
    }

    /// Hands the last picture to the encoder; whether it was the same before.
    fn code(&mut self, presentation: i64, is_same: bool) -> Result<(), Ended> {
        let (is_smaller, is_light) = (self.is_smaller(), self.method == Method::X264Light);
        let (State::Coding(running), Some(last)) = (&mut self.state, &self.last) else {
            return Ok(());
        };
        running.stillness.add(is_same);
        let counts = &self.outlet.counts;
        counts.smaller.fetch_add(is_smaller.into(), Ordering::Relaxed);
        counts.eased.fetch_add(is_light.into(), Ordering::Relaxed);
        if self.outlet.begins(presentation) {
            running.encoder.ask_for_key();
        }
        // Shares the picture's memory.
        let mut buffer = last.copy();
        let writable = buffer.get_mut().expect("a fresh copy has one owner");
        let presentation = u64::try_from(presentation).expect("slots come after the start");
        writable.set_pts(gst::ClockTime::from_nseconds(presentation));
        writable.set_duration(gst::ClockTime::SECOND / u64::from(self.outlet.settings.fps));
        running.encoder.source.push_buffer(buffer).map(drop).map_err(|_| Ended)
    }

    fn start(&self) -> Result<Running, gst::glib::BoolError> {
        let outlet = &self.outlet;
        let encoder = pipeline::add_encoder(&self.pipeline, &outlet.settings, self.method)?;
        let (out, ended) = mpsc::channel();
        let outlet = Arc::clone(outlet);
        let mut is_described = false;
        let mut take = move |coded: &gst::Sample| {
            if !std::mem::replace(&mut is_described, true) {
                outlet.describe(coded)?;
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
        encoder.start()?;
        let length = pipeline::key_interval(self.outlet.settings.fps);
        Ok(Running { encoder, ended, stillness: Stillness::new(length) })
    }

    /// Ends the encoder and waits until all its pictures are out.
    fn drain(&mut self, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        let State::Coding(running) = std::mem::replace(&mut self.state, State::Over) else {
            return Ok(());
        };
        let told = running.encoder.source.end_of_stream();
        let is_out = told.is_ok()
            && loop {
                match running.ended.recv_timeout(LOOK_UP) {
                    Ok(()) => break true,
                    Err(mpsc::RecvTimeoutError::Timeout) if !leave() => {}
                    Err(_) => break false,
                }
            };
        pipeline::remove_encoder(&self.pipeline, &running.encoder);
        if is_out { Ok(()) } else { Err(Ended) }
    }

    fn failed(&self, error: &gst::glib::BoolError) -> Ended {
        gst::element_error!(self.pipeline, gst::StreamError::Encode, ("no new encoder: {error}"));
        Ended
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        if let State::Coding(running) = std::mem::replace(&mut self.state, State::Over) {
            pipeline::remove_encoder(&self.pipeline, &running.encoder);
        }
        self.outlet.state().sender = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::planar::{Pool, Supply};
    use crate::config::Size;

    fn picture(grey: u8) -> gst::Buffer {
        gst::Buffer::from_slice(vec![grey; 320 * 180 * 3 / 2])
    }

    fn slot(number: usize) -> i64 {
        i64::try_from(number).unwrap() * 1_000_000_000 / 30
    }

    /// Shows a new picture in the slots of `drawn` and the last in all others. What comes
    /// out, and how much of it was coded again.
    fn coded(slots: usize, drawn: &[usize], eased: Option<usize>) -> (Vec<Sample>, u64) {
        coded_with(&Settings::nowhere(), slots, drawn, eased)
    }

    fn coded_with(
        settings: &Settings,
        slots: usize,
        drawn: &[usize],
        eased: Option<usize>,
    ) -> (Vec<Sample>, u64) {
        coded_from(settings, None, slots, drawn, eased)
    }

    /// By an encoder that has warmed up, if the film begins in a `later` slot.
    fn coded_from(
        settings: &Settings,
        later: Option<usize>,
        slots: usize,
        drawn: &[usize],
        eased: Option<usize>,
    ) -> (Vec<Sample>, u64) {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let bus = pipeline.bus().unwrap();
        let failing = pipeline.clone();
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Error(error) = message.view() {
                eprintln!("{}", error.error());
                // Whoever waits for the encoder hears that it has ended.
                failing.call_async(|failing| {
                    failing.set_state(gst::State::Null).unwrap();
                });
            }
            gst::BusSyncReply::Drop
        });
        let (sender, mut media) = tokio::sync::mpsc::channel(slots + 1);
        let counts = Arc::new(Counts::default());
        let mut coder = Coder::new(&pipeline, settings, sender, Arc::clone(&counts), None).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let stay = || false;
        if later.is_some() {
            let pool = Pool::new(Supply { ready: 1, spare: 0 }, 320 * 180 * 3 / 2).unwrap();
            coder.warm_up(pool.lend().unwrap());
        }
        for number in 0..slots {
            let shade = u8::try_from(40 + number * 150 / slots).unwrap();
            let picture = drawn.contains(&number).then(|| picture(shade));
            // A warm encoder may be handed more than it takes, so that pictures wait, but not so
            // many that it is eased; any other nothing before it has taken what came before.
            let room = if later.is_some() { pipeline::MANY_WAITING } else { 1 };
            while let State::Coding(running) = &coder.state
                && running.encoder.source.current_level_buffers() >= room
                && pipeline.current_state() == gst::State::Playing
            {
                std::thread::yield_now();
            }
            coder.show(picture, slot(later.unwrap_or(0) + number), &stay).unwrap();
            if eased == Some(number) {
                coder.lighten(&stay).unwrap();
            }
        }
        coder.finish(&stay);
        let mut samples = vec![];
        let mut described = 0;
        while let Some(media) = media.blocking_recv() {
            match media {
                Media::Track(_) => described += 1,
                Media::Sample(sample) => samples.push(sample),
            }
        }
        pipeline.set_state(gst::State::Null).unwrap();
        assert_eq!(described, 1, "the track is described once");
        (samples, counts.coded_again.load(Ordering::Relaxed))
    }

    fn assert_whole(samples: &[Sample], slots: usize) {
        let mut shown: Vec<_> = samples.iter().map(|sample| sample.presentation.0).collect();
        shown.sort_unstable();
        assert_eq!(shown.len(), slots);
        for (number, shown) in shown.iter().enumerate() {
            // GStreamer's times are whole nanoseconds, x264's are whole slots.
            assert!((shown - slot(number)).abs() < 1000, "slot {number} is shown at {shown}");
        }
        let order = samples.windows(2).all(|two| two[0].decode < two[1].decode);
        assert!(order, "decode times rise");
        assert!(samples[0].sync);
    }

    #[test]
    fn a_picture_at_rest_is_coded_once_and_shown_until_something_is_drawn() {
        let (samples, again) = coded(250, &[0, 203, 204], None);
        assert_whole(&samples, 250);
        // The first group is coded, and all of the rest comes from it.
        assert_eq!(again, 203 - 60);
        let keys: Vec<_> = samples.iter().filter(|sample| sample.sync).collect();
        let key = |number: usize| keys[number].presentation.0;
        assert_eq!(keys[0].data, keys[1].data);
        assert!((key(1) - slot(60)).abs() < 1000 && (key(2) - slot(120)).abs() < 1000);
        // What is drawn is the first of its encoder.
        assert!((key(4) - slot(203)).abs() < 1000, "{}", key(4));
    }

    #[test]
    fn nothing_of_what_warms_an_encoder_up_is_in_the_film() {
        let drawn: Vec<_> = (0..130).collect();
        for threads in [1, 4] {
            let settings = Settings { threads, ..Settings::nowhere() };
            let (mut samples, _) = coded_from(&settings, Some(50), 130, &drawn, None);
            assert!(samples[0].decode.0 >= slot(49), "{:?}", samples[0].decode);
            for sample in &mut samples {
                sample.presentation.0 -= slot(50);
            }
            assert_whole(&samples, 130);
            let keys = samples.iter().filter(|sample| sample.sync);
            let keys: Vec<_> = keys.map(|key| key.presentation.0).collect();
            assert_eq!(keys.len(), 3, "{keys:?}");
            for (key, expected) in keys.iter().zip([0, 60, 120]) {
                assert!((key - slot(expected)).abs() < 1000, "{keys:?}");
            }
        }
    }

    #[test]
    fn a_film_that_rests_from_its_first_picture_is_found_by_a_warm_encoder() {
        let (samples, again) = coded_from(&Settings::nowhere(), Some(50), 200, &[0], None);
        assert_eq!(samples.len(), 200);
        assert_eq!(again, 200 - 60);
    }

    #[test]
    fn each_rest_of_a_recording_is_found() {
        let (samples, again) = coded(700, &[0, 203, 204, 450], None);
        assert_whole(&samples, 700);
        // Of the group that begins with slot 203 not all pictures are the same.
        assert_eq!(again, (203 - 60) + (450 - (263 + 60)) + (700 - (450 + 60)));
    }

    #[test]
    fn a_picture_that_rests_is_found_where_the_encoder_was_eased_too() {
        let (samples, again) = coded(200, &[0], Some(20));
        assert_whole(&samples, 200);
        assert_eq!(again, 200 - (21 + 60));
    }

    #[test]
    fn a_rest_may_end_with_the_recording() {
        for slots in [60, 61, 62, 63, 66, 67, 121] {
            let (samples, again) = coded(slots, &[0], None);
            assert_whole(&samples, slots);
            assert_eq!(again, slots as u64 - 60);
        }
    }

    #[test]
    fn a_moving_picture_is_never_shown_again() {
        let drawn: Vec<_> = (0..200).step_by(7).collect();
        let (samples, again) = coded(200, &drawn, None);
        assert_whole(&samples, 200);
        assert_eq!(again, 0);
    }

    #[test]
    fn a_faster_encoder_takes_over_without_a_gap() {
        let drawn: Vec<_> = (0..100).collect();
        // With few processors and with many.
        for threads in [1, 4] {
            let settings = Settings { threads, ..Settings::nowhere() };
            let (samples, _) = coded_with(&settings, 100, &drawn, Some(40));
            assert_whole(&samples, 100);
            let keys = samples.iter().filter(|sample| sample.sync).map(|key| key.presentation.0);
            assert_eq!(keys.filter(|key| (key - slot(41)).abs() < 1000).count(), 1);
        }
    }

    #[test]
    fn smaller_pictures_are_asked_for_first_and_less_effort_is_taken_back_first() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        // There is room for all that is coded.
        let (sender, _media) = tokio::sync::mpsc::channel(16);
        let counts = Arc::new(Counts::default());
        let relief = Relief::new(false);
        let asked = relief.subscribe();
        let told = Arc::clone(&counts);
        let mut coder =
            Coder::new(&pipeline, &Settings::nowhere(), sender, told, Some(relief)).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let seen = |coder: &Coder| {
            let is_eased = coder.method == Method::X264Light;
            let Counts { smaller_after, eased_after, .. } = &*counts;
            (*asked.borrow(), smaller_after.get().copied(), eased_after.get().copied(), is_eased)
        };
        assert_eq!(seen(&coder), (false, None, None, false));
        coder.lighten(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), None, false));
        coder.show(Some(picture(16)), slot(0), &|| false).unwrap();
        coder.lighten(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), Some(1), true));
        coder.lighten(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), Some(1), true), "no more can be done");
        coder.show(Some(picture(16)), slot(1), &|| false).unwrap();
        coder.restore(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), Some(1), false));
        coder.show(Some(picture(16)), slot(2), &|| false).unwrap();
        coder.restore(&|| false).unwrap();
        assert_eq!(seen(&coder), (false, Some(0), Some(1), false));
        coder.show(Some(picture(16)), slot(3), &|| false).unwrap();
        let Counts { smaller, eased, .. } = &*counts;
        assert_eq!((smaller.load(Ordering::Relaxed), eased.load(Ordering::Relaxed)), (3, 1));
        pipeline.set_state(gst::State::Null).unwrap();
    }

    #[test]
    fn many_processors_look_for_motion_more_finely() {
        gst::init().unwrap();
        let options = |threads| -> String {
            let settings = Settings { threads, ..Settings::nowhere() };
            let pipeline = gst::Pipeline::new();
            let encoder = pipeline::add_encoder(&pipeline, &settings, Method::X264).unwrap();
            encoder.elements[1].property("option-string")
        };
        assert!(options(3).contains(":subme=2:"), "{}", options(3));
        assert!(!options(2).contains("subme"), "{}", options(2));
    }

    #[test]
    fn what_codes_no_picture_here_is_told_from_what_does() {
        gst::init().unwrap();
        assert!(pipeline::can_code(&Settings::nowhere(), Method::X264));
        // Too small for any encoder, present or not.
        let settings = Settings { size: Size { width: 0, height: 0 }, ..Settings::nowhere() };
        assert!(!pipeline::can_code(&settings, Method::X264));
        for encoder in [VideoEncoder::Vaapi, VideoEncoder::Nvenc] {
            assert_eq!(method(&Settings { encoder, ..settings.clone() }), Method::X264);
        }
    }
}
