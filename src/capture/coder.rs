//! Codes the pictures it is handed, by one encoder after the other.
//!
//! There is one at a time. It is ended where the picture rests, whose coded form is then
//! used again (`rest.rs`), and where it is too slow and a faster one takes over. Driven
//! by the grabbing thread (`display.rs`); it must not know X.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use gstreamer as gst;
use gstreamer::prelude::*;

use super::grid::slot;
use super::outlet::{Counts, Outlet};
use super::pace::{Pace, Step};
use super::pipeline::{self, Method};
use super::planar::Picture;
use super::rest::Rest;
use super::running::{Ended, Running};
use super::{Media, Relief, Settings, VideoEncoder};
use crate::media::Sample;

/// From one picture to the next while an encoder warms up: all are over before anything can be
/// filmed.
const WARM_UP_STEP: gst::ClockTime = gst::ClockTime::from_useconds(100);

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

#[derive(Debug)]
enum State {
    Coding(Running),
    /// The last pictures of an encoder that is given up leave it, and what is shown meanwhile
    /// waits for the next one.
    Changing {
        before: Running,
        waiting: Vec<gst::Buffer>,
    },
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
    /// The last picture, without a time, and when it was shown last.
    last: Option<gst::Buffer>,
    shown_at: Option<i64>,
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
        let mut coder = Self {
            pipeline: pipeline.clone(),
            outlet: Arc::new(Outlet::new(settings, sender, counts)),
            state: State::Over,
            method: method(settings),
            pace: Pace::new(settings.fps),
            relief,
            last: None,
            shown_at: None,
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
        self.outlet.wait_for_beginning();
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

    /// Whether the next picture has to wait until one that waits already is coded.
    pub(super) fn is_full(&self) -> bool {
        let State::Coding(running) = &self.state else { return false };
        let source = &running.encoder.source;
        source.current_level_buffers() >= source.max_buffers()
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
            let group = self.outlet.take_group();
            // Short where the encoder did not begin a group where it was asked to.
            let length = pipeline::key_interval(self.outlet.settings.fps) as usize;
            let rest = (group.len() == length).then(|| Rest::new(group)).flatten();
            self.state = match rest {
                Some(rest) => State::Resting(rest),
                None => State::Coding(self.begun()?),
            };
        }
        if let State::Resting(rest) = &mut self.state {
            if is_same {
                let samples = rest.show(presentation);
                return self.again(samples);
            }
            self.end_rest()?;
            self.state = State::Coding(self.begun()?);
        }
        if let State::Changing { before, waiting } = &self.state {
            if waiting.len() >= pipeline::MOST_WAITING_ANEW as usize {
                self.part(leave)?;
            } else if before.has_ended() {
                self.take_over()?;
            }
        }
        let missed = self.missed(presentation);
        self.ease(missed, leave)?;
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

    /// Slots without a picture since the last one that was shown.
    fn missed(&mut self, presentation: i64) -> u32 {
        let since = presentation - self.shown_at.replace(presentation).unwrap_or(presentation);
        let slot = slot(self.outlet.settings.fps);
        u32::try_from((since + slot / 2) / slot - 1).unwrap_or_default()
    }

    /// Does something about an encoder that is too slow, and takes it back where it keeps up.
    /// Before this picture so many slots were `missed`.
    fn ease(&mut self, missed: u32, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        let State::Coding(running) = &self.state else { return Ok(()) };
        let source = &running.encoder.source;
        let queue = source.current_level_buffers();
        // One that has taken over has caught up.
        if queue < u64::from(pipeline::MOST_WAITING) {
            source.set_max_buffers(pipeline::MOST_WAITING.into());
        }
        let is_eased = self.is_smaller() || self.method == Method::X264Light;
        match self.pace.step(queue >= pipeline::MANY_WAITING, is_eased, missed) {
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
        if let Some(relief) = self.relief.as_ref().filter(|_| !self.is_smaller()) {
            tracing::warn!("the processors are short: the page is to receive smaller pictures");
            let counts = &self.outlet.counts;
            counts.smaller_after.get_or_init(|| counts.coded.load(Ordering::Relaxed));
            relief.send_replace(true);
        } else if self.method == Method::X264 {
            tracing::warn!("the processors are short: pictures are coded with less effort");
            self.change(Method::X264Light, leave)?;
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

    /// Goes on with another encoder, and with what waits for the one before. What is in that,
    /// half a second of film, is coded first, and what is shown meanwhile waits: nothing could be
    /// grabbed by whoever waited for that, and two encoders at once leave the browser too little.
    fn change(&mut self, method: Method, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        self.part(leave)?;
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Coding(before) => State::Changing { before, waiting: vec![] },
            other => other,
        };
        if let State::Changing { before, waiting } = &mut self.state {
            *waiting = before.give_up(leave)?;
            self.method = method;
        }
        Ok(())
    }

    /// Waits until the last picture of an encoder that is given up is out.
    fn part(&mut self, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        let State::Changing { before, .. } = &self.state else { return Ok(()) };
        before.wait(leave)?;
        self.take_over()
    }

    /// Begins with the next encoder, for which there is the memory that the one before gives
    /// back.
    fn take_over(&mut self) -> Result<(), Ended> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Changing { before, waiting } => {
                pipeline::remove_encoder(&self.pipeline, &before.encoder);
                let mut next = self.begun()?;
                next.encoder.source.set_max_buffers(pipeline::MOST_WAITING_ANEW.into());
                for picture in waiting {
                    next.stillness.add(false);
                    next.encoder.source.push_buffer(picture).map_err(|_| Ended)?;
                }
                self.state = State::Coding(next);
            }
            other => self.state = other,
        }
        Ok(())
    }

    /// With an encoder that has just begun.
    fn begun(&mut self) -> Result<Running, Ended> {
        self.pace.begin();
        self.start().map_err(|error| self.failed(&error))
    }

    /// Hands the last picture to the encoder; whether it was the same before.
    fn code(&mut self, presentation: i64, is_same: bool) -> Result<(), Ended> {
        let Some(last) = &self.last else { return Ok(()) };
        let is_smaller = self.is_smaller();
        self.outlet.counts.smaller.fetch_add(is_smaller.into(), Ordering::Relaxed);
        // Shares the picture's memory.
        let mut buffer = last.copy();
        let writable = buffer.get_mut().expect("a fresh copy has one owner");
        let start = u64::try_from(presentation).expect("slots come after the start");
        writable.set_pts(gst::ClockTime::from_nseconds(start));
        writable.set_duration(gst::ClockTime::SECOND / u64::from(self.outlet.settings.fps));
        match &mut self.state {
            State::Coding(running) => {
                running.stillness.add(is_same);
                if self.outlet.begins(presentation) {
                    running.encoder.ask_for_key();
                }
                running.encoder.source.push_buffer(buffer).map(drop).map_err(|_| Ended)
            }
            State::Changing { waiting, .. } => {
                waiting.push(buffer);
                Ok(())
            }
            State::Resting(_) | State::Over => Ok(()),
        }
    }

    fn start(&self) -> Result<Running, gst::glib::BoolError> {
        Running::start(&self.pipeline, self.method, &self.outlet)
    }

    /// Ends the encoder and waits until all its pictures are out, after those of the one before.
    fn drain(&mut self, leave: &dyn Fn() -> bool) -> Result<(), Ended> {
        self.part(leave)?;
        let State::Coding(running) = std::mem::replace(&mut self.state, State::Over) else {
            return Ok(());
        };
        let told = running.encoder.source.end_of_stream().map_err(|_| Ended);
        let is_out = told.and_then(|_| running.wait(leave));
        pipeline::remove_encoder(&self.pipeline, &running.encoder);
        is_out
    }

    fn failed(&self, error: &gst::glib::BoolError) -> Ended {
        gst::element_error!(self.pipeline, gst::StreamError::Encode, ("no new encoder: {error}"));
        Ended
    }
}

impl Drop for Coder {
    fn drop(&mut self) {
        if let State::Coding(running) | State::Changing { before: running, .. } = &self.state {
            pipeline::remove_encoder(&self.pipeline, &running.encoder);
        }
        self.outlet.close();
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

    /// Shows a new picture in the slots of `drawn` and the last in all others, and changes to
    /// less effort and back after those of `changes`. What comes out, and how much of it was
    /// coded again.
    fn coded(slots: usize, drawn: &[usize], changes: &[usize]) -> (Vec<Sample>, u64) {
        coded_with(&Settings::nowhere(), slots, drawn, changes)
    }

    fn coded_with(
        settings: &Settings,
        slots: usize,
        drawn: &[usize],
        changes: &[usize],
    ) -> (Vec<Sample>, u64) {
        coded_from(settings, None, slots, drawn, changes)
    }

    /// By an encoder that has warmed up, if the film begins in a `later` slot.
    fn coded_from(
        settings: &Settings,
        later: Option<usize>,
        slots: usize,
        drawn: &[usize],
        changes: &[usize],
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
            if changes.contains(&number) {
                let is_eased = coder.method == Method::X264Light;
                if is_eased { coder.restore(&stay) } else { coder.lighten(&stay) }.unwrap();
                let is_changing = matches!(coder.state, State::Changing { .. });
                assert!(is_changing, "nobody waits for the one before");
            }
        }
        coder.finish(&stay);
        if let [_] = changes {
            let eased_after = counts.eased_after.get().copied().unwrap_or(slots as u64);
            let later =
                [&counts.eased, &counts.coded_again].map(|count| count.load(Ordering::Relaxed));
            assert_eq!(eased_after + later[0] + later[1], slots as u64);
        }
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
        let (samples, again) = coded(250, &[0, 203, 204], &[]);
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
            let (mut samples, _) = coded_from(&settings, Some(50), 130, &drawn, &[]);
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
        let (samples, again) = coded_from(&Settings::nowhere(), Some(50), 200, &[0], &[]);
        assert_eq!(samples.len(), 200);
        assert_eq!(again, 200 - 60);
    }

    #[test]
    fn each_rest_of_a_recording_is_found() {
        let (samples, again) = coded(700, &[0, 203, 204, 450], &[]);
        assert_whole(&samples, 700);
        // Of the group that begins with slot 203 not all pictures are the same.
        assert_eq!(again, (203 - 60) + (450 - (263 + 60)) + (700 - (450 + 60)));
    }

    #[test]
    fn a_picture_that_rests_is_found_where_the_encoder_was_eased_too() {
        let (samples, again) = coded(200, &[0], &[20]);
        assert_whole(&samples, 200);
        // What waited for the first encoder is in the next one's first group, and may keep that
        // from being taken for a rest.
        assert!(again >= 200 - (21 + 2 * 60), "{again}");
    }

    #[test]
    fn a_rest_may_end_with_the_recording() {
        for slots in [60, 61, 62, 63, 66, 67, 121] {
            let (samples, again) = coded(slots, &[0], &[]);
            assert_whole(&samples, slots);
            assert_eq!(again, slots as u64 - 60);
        }
    }

    #[test]
    fn a_moving_picture_is_never_shown_again() {
        let drawn: Vec<_> = (0..200).step_by(7).collect();
        let (samples, again) = coded(200, &drawn, &[]);
        assert_whole(&samples, 200);
        assert_eq!(again, 0);
    }

    #[test]
    fn a_faster_encoder_takes_over_without_a_gap() {
        let drawn: Vec<_> = (0..100).collect();
        // With few processors and with many, and back at once.
        for threads in [1, 4] {
            for changes in [&[40][..], &[40, 41, 50]] {
                let settings = Settings { threads, ..Settings::nowhere() };
                let (samples, _) = coded_with(&settings, 100, &drawn, changes);
                assert_whole(&samples, 100);
                let keys = samples.iter().filter(|sample| sample.sync);
                let keys: Vec<_> = keys.map(|key| key.presentation.0).collect();
                // Or the one or two that still waited for the first. What comes to the second
                // while it waits goes on to the next, too.
                let is_first = |slot: i64| keys.iter().any(|key| (key - slot).abs() < 1000);
                assert!([39, 40, 41].map(slot).map(is_first).contains(&true), "{keys:?}");
            }
        }
    }

    #[test]
    fn a_film_may_end_while_one_encoder_takes_over_from_another() {
        for change in [97, 98, 99] {
            let drawn: Vec<_> = (0..100).collect();
            let (samples, _) = coded(100, &drawn, &[change]);
            assert_whole(&samples, 100);
        }
    }

    #[test]
    fn what_waits_for_an_encoder_that_is_given_up_is_coded_by_the_next() {
        let drawn: Vec<_> = (0..130).collect();
        let (mut samples, _) = coded_from(&Settings::nowhere(), Some(50), 130, &drawn, &[40, 90]);
        for sample in &mut samples {
            sample.presentation.0 -= slot(50);
        }
        assert_whole(&samples, 130);
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
            (*asked.borrow(), counts.smaller_after.get().copied(), is_eased)
        };
        assert_eq!(seen(&coder), (false, None, false));
        coder.lighten(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), false));
        coder.show(Some(picture(16)), slot(0), &|| false).unwrap();
        coder.lighten(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), true));
        coder.lighten(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), true), "no more can be done");
        coder.show(Some(picture(16)), slot(1), &|| false).unwrap();
        coder.restore(&|| false).unwrap();
        assert_eq!(seen(&coder), (true, Some(0), false));
        coder.show(Some(picture(16)), slot(2), &|| false).unwrap();
        coder.restore(&|| false).unwrap();
        assert_eq!(seen(&coder), (false, Some(0), false));
        coder.show(Some(picture(16)), slot(3), &|| false).unwrap();
        assert_eq!(counts.smaller.load(Ordering::Relaxed), 3);
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

    #[test]
    fn an_encoder_is_full_as_long_as_nobody_takes_what_it_has_coded() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let (sender, mut media) = tokio::sync::mpsc::channel(1);
        let mut coder =
            Coder::new(&pipeline, &Settings::nowhere(), sender, Arc::default(), None).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        assert!(!coder.is_full());
        let mut number = 0;
        while !coder.is_full() {
            coder.show(Some(picture(number)), slot(number.into()), &|| false).unwrap();
            number = number.checked_add(1).expect("it takes without end");
        }
        let taker = std::thread::spawn(move || while media.blocking_recv().is_some() {});
        while coder.is_full() {
            std::thread::yield_now();
        }
        coder.finish(&|| false);
        taker.join().unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
