//! From GStreamer's encoded buffer to our [`Sample`]: the only copy of a payload
//! on its way to the file, made on the encoder's thread.

use bytes::Bytes;
use gstreamer as gst;

use super::pipeline::{AUDIO_BITRATE, AUDIO_CHANNELS};
use crate::children::sound::SAMPLE_RATE;
use crate::config::Size;
use crate::media::{Sample, Timestamp, Track, TrackConfig};

/// What AAC-LC's encoder puts in front of the sound it is given, in samples per
/// channel: a decoder's first output is this much silence, so a frame is heard
/// this much later than the encoder says. libavcodec's `initial_padding`.
const AAC_DELAY_SAMPLES: i64 = 1024;

/// AAC-LC, 48 kHz, two channels (ISO/IEC 14496-3, 1.6.2.1): 5 bits object type
/// 2, 4 bits rate index 3, 4 bits channels 2, 3 bits zero.
const AAC_CONFIG: [u8; 2] = [0x11, 0x90];

#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the encoder sent a buffer without {0}")]
    Without(&'static str),
    #[error("the encoder's buffer could not be read")]
    Unreadable,
}

pub(super) fn convert(track: Track, sample: &gst::Sample) -> Result<Sample, Error> {
    let buffer = sample.buffer().ok_or(Error::Without("data"))?;
    let pts = buffer.pts().ok_or(Error::Without("a presentation timestamp"))?;
    // x264 shifts its decode times below zero when it reorders, GStreamer's
    // segment then starts later; running time undoes that.
    let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
    let segment = segment.ok_or(Error::Without("a time segment"))?;
    let running = |time: gst::ClockTime| {
        let signed = segment.to_running_time_full(time).ok_or(Error::Without("a running time"))?;
        let nanos = |time: gst::ClockTime| {
            i64::try_from(time.nseconds()).expect("a recording lasts less than 292 years")
        };
        Ok(match signed {
            gst::Signed::Positive(time) => nanos(time),
            gst::Signed::Negative(time) => -nanos(time),
        })
    };
    let presentation = running(pts)?;
    let decode = buffer.dts().map_or(Ok(presentation), running)?;
    let delay = match track {
        Track::Video => 0,
        Track::Audio => AAC_DELAY_SAMPLES * 1_000_000_000 / i64::from(SAMPLE_RATE),
    };
    let data = buffer.map_readable().map_err(|_| Error::Unreadable)?;
    Ok(Sample {
        track,
        presentation: Timestamp(presentation - delay),
        decode: Timestamp(decode - delay),
        sync: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
        data: Bytes::copy_from_slice(&data),
    })
}

/// The picture's track, known with the first coded picture.
pub(super) fn video_config(size: Size, sample: &gst::Sample) -> Result<TrackConfig, Error> {
    let caps = sample.caps().ok_or(Error::Without("a format"))?;
    let structure = caps.structure(0).ok_or(Error::Without("a format"))?;
    let config =
        structure.get::<gst::Buffer>("codec_data").map_err(|_| Error::Without("codec data"))?;
    let config = config.map_readable().map_err(|_| Error::Unreadable)?;
    Ok(TrackConfig::Video {
        width: size.width,
        height: size.height,
        decoder_config: Bytes::copy_from_slice(&config),
    })
}

/// The sound's track, known without any sound: a recording whose sound never
/// comes must not wait for it.
pub(super) fn audio_config() -> TrackConfig {
    TrackConfig::Audio {
        sample_rate: SAMPLE_RATE,
        channels: AUDIO_CHANNELS,
        bitrate: AUDIO_BITRATE,
        decoder_config: Bytes::from_static(&AAC_CONFIG),
    }
}
