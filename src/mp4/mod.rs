//! The recording as a file: encoded samples in, bytes of an MP4 out.
//!
//! ```text
//!  Sample ──▶ Timeline (one per track) ──▶ open fragment ──▶ moof + mdat ──▶ bytes to append
//!             units, origin, durations      until it is full       │
//!                                                                  ▼
//!                                                                Index
//! ```
//!
//! The file is fragmented (ISO/IEC 14496-12, 8.8): a header that never changes,
//! then fragments that each describe only themselves. Whatever was appended up
//! to the end of some fragment is a file that plays. The [`Index`] remembers
//! where every sample went, so that a recording which ends well gets an ordinary
//! header in front of the same media bytes: [`plain_head`].
//!
//! Nothing here knows files, S3, clocks or tasks: the caller passes times in and
//! carries the bytes away. Output grows only at its end.

mod fragment;
mod header;
mod index;
mod muxer;
mod plain;
mod scan;
mod tables;
#[cfg(test)]
mod tests;
mod timeline;

use std::time::Duration;

pub use index::{Chunk, Index, Place, Run, TrackIndex};
pub use muxer::{Finished, Muxer};
pub use plain::plain_head;
pub use scan::{Form, Scanned, Scanner, Unreadable};

use crate::media::{Timestamp, Track, TrackConfig};

/// The usual [`Config::fragment`]: what a file loses at most when it is cut off
/// between fragments, for about 320 bytes of header each.
pub const FRAGMENT: Duration = Duration::from_millis(500);

/// What a [`Muxer`] has to know before the first sample.
#[derive(Clone, Debug)]
pub struct Config {
    pub video: TrackConfig,
    pub audio: TrackConfig,
    /// Length at which a fragment is closed, by whichever track gets there
    /// first; usually [`FRAGMENT`]. A video sync sample opens a new one anyway.
    pub fragment: Duration,
    /// Seconds since the Unix epoch, for the creation times in the file.
    pub created_unix: u64,
    /// The presentation time that becomes 0 in the file: best that of a video
    /// sync sample, for pictures can only be shown from one on.
    pub origin: Timestamp,
}

/// Why the muxer refuses a configuration or a sample. A refused sample leaves
/// it as it was: the recording so far can still be finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the configuration given for the {expected:?} track is one for {given:?}")]
    WrongTrack { expected: Track, given: Track },

    #[error("video decoder configuration of {length} bytes is no AVCDecoderConfigurationRecord")]
    VideoConfig { length: usize, source: mp4_atom::Error },

    #[error("audio configuration of {sample_rate} Hz and {length} bytes of AudioSpecificConfig")]
    AudioConfig { sample_rate: u32, length: usize },

    /// A broken promise of the encoder. Times closer than one unit of the
    /// track's timescale count as the same.
    #[error("decode time {decode} ns of the {track:?} track does not come after {previous} ns")]
    Order { track: Track, previous: i64, decode: i64 },

    /// The distance is a sample's duration, which has 32 bits (13 h of video).
    #[error("decode time {decode} ns of the {track:?} track is too long after {previous} ns")]
    Gap { track: Track, previous: i64, decode: i64 },

    #[error("presentation at {presentation} ns is too far from decode at {decode} ns ({track:?})")]
    Reordering { track: Track, presentation: i64, decode: i64 },

    #[error("sample of {length} bytes at {decode} ns of the {track:?} track is too large")]
    Size { track: Track, length: usize, decode: i64 },
}
