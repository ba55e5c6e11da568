//! What flows: one encoded sample on its way from the encoder to the file.
//!
//! Pure vocabulary, shared by capture (which makes samples) and the muxer
//! (which writes them). It must not know GStreamer, MP4 or S3.

use std::time::Instant;

use bytes::Bytes;

/// Which of the two tracks of a recording a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Track {
    Video,
    Audio,
}

/// Nanoseconds on the capture pipeline's clock, counted from its start.
///
/// Signed, because the first sound of an encoder with a start-up delay belongs
/// before the first picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const ZERO: Self = Self(0);

    /// This instant in units of `timescale` per second, rounded to the nearest.
    #[must_use]
    pub fn to_units(self, timescale: u32) -> i64 {
        let scaled = i128::from(self.0) * i128::from(timescale);
        let half = i128::from(NANOS_PER_SECOND) / 2;
        let rounded = (scaled + half).div_euclid(i128::from(NANOS_PER_SECOND));
        i64::try_from(rounded).expect("a recording lasts less than 2^63 units")
    }
}

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// Where in a recording is what its page draws, by one of its pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// When the page draws such a picture, as a mean of the last ones.
    pub drawn: Instant,
    /// What is heard now is played while it is shown.
    pub shown: Instant,
}

/// One encoded picture (an access unit in length-prefixed AVC form) or one
/// encoded frame of sound (a raw AAC frame without ADTS header).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    pub track: Track,
    /// When it is shown or heard.
    pub presentation: Timestamp,
    /// When it has to be decoded; equals `presentation` without B-frames.
    pub decode: Timestamp,
    /// Whether decoding can start here. Always true for sound.
    pub sync: bool,
    pub data: Bytes,
}

/// How a track is encoded, as far as a file has to say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrackConfig {
    Video {
        width: u16,
        height: u16,
        /// The `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15, 5.3.3.1).
        decoder_config: Bytes,
    },
    Audio {
        sample_rate: u32,
        channels: u16,
        /// Bits per second, as asked of the encoder.
        bitrate: u32,
        /// The `AudioSpecificConfig` (ISO/IEC 14496-3, 1.6.2.1).
        decoder_config: Bytes,
    },
}

impl TrackConfig {
    #[must_use]
    pub fn track(&self) -> Track {
        match self {
            Self::Video { .. } => Track::Video,
            Self::Audio { .. } => Track::Audio,
        }
    }
}
