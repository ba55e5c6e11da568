//! Everything that is found out about one recording.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::beeps;
use crate::numbers::{self, Numbers};
use crate::observation::{Observation, ObserveError, Region, Stream, observe};
use crate::sync::{self, Sync};

/// The findings about one recording of a marked picture.
#[derive(Clone, Debug, Serialize)]
pub struct Analysis {
    /// Bytes of the file.
    pub bytes: u64,
    pub streams: Vec<Stream>,
    /// Seconds from the first picture to the end of the last, or of what its numbers tell of, where
    /// pictures go by faster than they were.
    pub seconds: f64,
    pub numbers: Numbers,
    pub sync: Sync,
    /// Largest sample in decibels of full scale; `None` for silence or no sound.
    pub peak_dbfs: Option<f64>,
}

/// Reads and judges the recording at `path`, by marks that are in `region` or, without
/// one, fill the picture.
pub fn analyse(path: &Path, region: Option<Region>) -> Result<Analysis, ObserveError> {
    Ok(judge(&observe(path, region)?))
}

/// Judges a recording that has been read.
pub fn judge(observation: &Observation) -> Analysis {
    let Observation { streams, bytes, pictures, sound } = observation;
    let sound = sound.clone().unwrap_or_default();
    let length = numbers::length_in_seconds(pictures);
    let numbers = numbers::count(pictures);
    let first = pictures.first().map_or(0.0, |picture| picture.time);
    Analysis {
        bytes: *bytes,
        streams: streams.clone(),
        seconds: length.max(numbers.seconds),
        numbers,
        sync: sync::compare(
            &numbers::flashes(pictures),
            &beeps::onsets(&sound),
            (first, first + length),
            sound.span(),
        ),
        peak_dbfs: beeps::peak_dbfs(&sound),
    }
}

impl Analysis {
    /// The first picture stream.
    pub fn video(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.codec_type == "video")
    }

    /// The first sound stream.
    pub fn audio(&self) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.codec_type == "audio")
    }
}

/// A short table for a terminal.
impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for stream in &self.streams {
            writeln!(f, "{:<10} {}", stream.codec_type, Summary(stream))?;
        }
        let n = &self.numbers;
        writeln!(f, "length     {:.2} s, {} bytes", self.seconds, self.bytes)?;
        writeln!(
            f,
            "pictures   {}: {} distinct ({:.2} a second), {} repeated, {} skipped, {} unreadable",
            n.pictures, n.distinct, n.distinct_per_second, n.repeated, n.skipped, n.unreadable
        )?;
        writeln!(
            f,
            "numbers    {} to {}, {} loops, {} steps back",
            Maybe(n.first_number.map(f64::from), 0),
            Maybe(n.last_number.map(f64::from), 0),
            n.loops,
            n.stepped_back
        )?;
        let s = &self.sync;
        writeln!(
            f,
            "marks      {} flashes ({} missing), {} beeps ({} missing), peak {} dB",
            s.flashes,
            s.missing_flashes,
            s.beeps,
            s.missing_beeps,
            Maybe(self.peak_dbfs, 1)
        )?;
        write!(
            f,
            "sound late {} ms at the median; p50 {}, p95 {}, max {} ms either way; drift {} ms an hour",
            Maybe(s.median_ms, 1),
            Maybe(s.p50_ms, 1),
            Maybe(s.p95_ms, 1),
            Maybe(s.max_ms, 1),
            Maybe(s.drift_ms_per_hour, 0)
        )
    }
}

/// A figure with this many decimals, or a dash.
struct Maybe(Option<f64>, usize);

impl fmt::Display for Maybe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self(Some(value), decimals) => write!(f, "{value:.decimals$}"),
            Self(None, _) => f.write_str("-"),
        }
    }
}

struct Summary<'a>(&'a Stream);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stream { codec_name, width, height, channels, .. } = self.0;
        f.write_str(codec_name)?;
        if let (Some(width), Some(height)) = (width, height) {
            write!(f, " {width}x{height}")?;
        }
        if let Some(channels) = channels {
            write!(f, ", {channels} channels")?;
        }
        let words = [
            ("", &self.0.profile),
            ("rate ", &self.0.sample_rate),
            ("fps ", &self.0.avg_frame_rate),
            ("", &self.0.pix_fmt),
            ("range ", &self.0.color_range),
            ("matrix ", &self.0.color_space),
            ("duration ", &self.0.duration),
            ("bits/s ", &self.0.bit_rate),
        ];
        for (label, value) in words {
            if let Some(value) = value.as_deref().filter(|value| *value != "0/0") {
                write!(f, ", {label}{value}")?;
            }
        }
        Ok(())
    }
}
