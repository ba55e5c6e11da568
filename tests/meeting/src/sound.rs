//! The sound of a meeting: those who speak, mixed, and a beep at each second.
//!
//! Each participant has a tone of their own, which swells as syllables do, so
//! that a recording tells who was heard when. One Opus packet is 20 ms. It must
//! not know meetings.

use std::f64::consts::TAU;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use test_media::marks::{MARK_SECONDS, TONE_HZ};

/// Samples of one packet at 48 kHz.
pub(crate) const PACKET: u64 = 960;
const RATE: u32 = 48_000;

/// Amplitudes: two who speak at once and the beep do not overdrive.
const VOICE: f64 = 0.2;
const BEEP: f64 = 0.3;

/// Syllables a second.
const SYLLABLES: f64 = 4.0;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("GStreamer cannot encode the sound of the test meeting")]
    Build(#[from] gst::glib::Error),
    #[error("the encoder of the test meeting's sound has ended")]
    Ended,
}

/// Encodes one meeting's sound, packet by packet.
#[derive(Debug)]
pub(crate) struct Sound {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
    /// The packet whose turn it is.
    next: u64,
    /// Packets made. The encoder hears no gap where packets were left out.
    encoded: u64,
}

/// The pitch of the participant with this look, in Hz. A quarter of an octave
/// apart, and none a whole multiple of another within twelve.
pub fn tone_of(look: usize) -> f64 {
    let step = f64::from(u32::try_from(look % 12).expect("less than twelve"));
    220.0 * 2f64.powf(step * 0.21)
}

impl Sound {
    pub(crate) fn new() -> Result<Self, Error> {
        gst::init()?;
        let pipeline = gst::parse::launch(&format!(
            "appsrc name=in format=time caps=audio/x-raw,format=S16LE,rate={RATE},channels=1,layout=interleaved \
             ! opusenc frame-size=20 bitrate=48000 complexity=2 audio-type=voice \
             ! appsink name=out sync=false"
        ))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().expect("elements in a pipeline");
        let named = |name| pipeline.by_name(name).expect("the pipeline was written with it");
        let source = named("in").downcast().expect("it is an appsrc");
        let sink = named("out").downcast().expect("it is an appsink");
        pipeline.set_state(gst::State::Playing).map_err(|_| Error::Ended)?;
        Ok(Self { pipeline, source, sink, next: 0, encoded: 0 })
    }

    /// Leaves a packet out that nobody would hear.
    pub(crate) fn skip(&mut self) {
        self.next += 1;
    }

    /// The next packet, with these looks speaking. Takes well under a millisecond.
    pub(crate) fn packet(&mut self, speaking: &[usize]) -> Result<Bytes, Error> {
        let first = self.next * PACKET;
        let samples = (first..first + PACKET).flat_map(|n| sample(n, speaking).to_le_bytes());
        let mut buffer = gst::Buffer::from_mut_slice(samples.collect::<Vec<u8>>());
        let writable = buffer.get_mut().expect("a fresh buffer has one owner");
        writable.set_pts(gst::ClockTime::from_mseconds(self.encoded * 20));
        writable.set_duration(gst::ClockTime::from_mseconds(20));
        self.next += 1;
        self.encoded += 1;
        self.source.push_buffer(buffer).map_err(|_| Error::Ended)?;
        let sample = self.sink.try_pull_sample(gst::ClockTime::SECOND).ok_or(Error::Ended)?;
        let map = sample.buffer().and_then(|buffer| buffer.map_readable().ok());
        map.map(|map| Bytes::copy_from_slice(&map)).ok_or(Error::Ended)
    }
}

impl Drop for Sound {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Sample `n` of the meeting.
#[expect(clippy::cast_precision_loss, reason = "a meeting has less than 2^52 samples")]
#[expect(clippy::cast_possible_truncation, reason = "a float is clamped to the type by `as`")]
fn sample(n: u64, speaking: &[usize]) -> i16 {
    let time = n as f64 / f64::from(RATE);
    let swell = 0.8 + 0.2 * (TAU * SYLLABLES * time).sin();
    let voices: f64 =
        speaking.iter().map(|look| VOICE * swell * (TAU * tone_of(*look) * time).sin()).sum();
    let beep = if time.fract() < MARK_SECONDS { BEEP * (TAU * TONE_HZ * time).sin() } else { 0.0 };
    ((voices + beep) * f64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Strength of one pitch in samples (Goertzel).
    fn strength(samples: &[i16], pitch: f64) -> f64 {
        let factor = 2.0 * (TAU * pitch / f64::from(RATE)).cos();
        let (mut before, mut last) = (0.0, 0.0);
        for sample in samples {
            (before, last) = (last, f64::from(*sample) / 32768.0 + factor * last - before);
        }
        let power = before * before + last * last - factor * before * last;
        power.sqrt() * 2.0 / f64::from(u32::try_from(samples.len()).unwrap())
    }

    /// One second of sound, encoded and decoded, without the start of the second.
    fn heard(speaking: &[usize]) -> Vec<i16> {
        let mut sound = Sound::new().unwrap();
        let pipeline = gst::parse::launch(
            "appsrc name=in format=time caps=audio/x-opus,channel-mapping-family=0,channels=1,rate=48000 \
             ! opusdec ! audio/x-raw,format=S16LE,rate=48000,channels=1 ! appsink name=out sync=false",
        );
        let pipeline = pipeline.unwrap().downcast::<gst::Pipeline>().unwrap();
        let source: gst_app::AppSrc = pipeline.by_name("in").unwrap().downcast().unwrap();
        let sink: gst_app::AppSink = pipeline.by_name("out").unwrap().downcast().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        for number in 0..50 {
            let packet = sound.packet(speaking).unwrap();
            assert!(!packet.is_empty());
            let mut buffer = gst::Buffer::from_slice(packet);
            buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_mseconds(number * 20));
            source.push_buffer(buffer).unwrap();
        }
        source.end_of_stream().unwrap();
        let mut samples = Vec::new();
        while let Ok(sample) = sink.pull_sample() {
            let map = sample.buffer().unwrap().map_readable().unwrap();
            samples.extend(map.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])));
        }
        pipeline.set_state(gst::State::Null).unwrap();
        samples.split_off(9600)
    }

    #[test]
    fn each_speaker_is_heard_and_nobody_else() {
        for speaking in [&[][..], &[0], &[3], &[0, 3]] {
            let samples = heard(speaking);
            for look in 0..6 {
                let loud = strength(&samples, tone_of(look)) > 0.05;
                assert_eq!(loud, speaking.contains(&look), "look {look} of {speaking:?}");
            }
        }
    }

    #[test]
    fn a_beep_starts_each_second_and_silence_follows() {
        let second: Vec<i16> = (0..u64::from(RATE)).map(|n| sample(n, &[])).collect();
        assert!(strength(&second[..4800], TONE_HZ) > 0.2);
        assert!(second[4900..].iter().all(|sample| *sample == 0));
    }
}
