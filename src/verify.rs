//! Whether a file is a good recording: its boxes, where its samples are, whether
//! decoding can begin where it says, how long picture and sound are, and where
//! something is missing.
//!
//! Reads one file, and must not know where it came from. It decodes nothing: that
//! every picture decodes is what the tests see to with ffmpeg.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::media::{Track, TrackConfig};
use crate::mp4::{Form, Scanned, Scanner, TrackIndex, Unreadable};

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// A sample that lasts longer is a hole in the film: pictures come at least once a
/// second, and a frame of sound lasts 21 ms.
const GAP: Duration = Duration::from_secs(1);

/// Picture and sound end together, but for a fragment and what is in the encoders.
const UNEVEN: Duration = Duration::from_secs(1);

/// Type of the NAL unit of a picture that depends on no other (ITU-T H.264, 7.4.1).
const IDR: u8 = 5;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Findings {
    /// `plain` or `fragmented`.
    pub form: &'static str,
    pub bytes: u64,
    pub duration_seconds: f64,
    pub video: Option<TrackFindings>,
    pub audio: Option<TrackFindings>,
    /// Empty for a good recording. Each is a sentence.
    pub problems: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrackFindings {
    pub samples: u32,
    pub sync_samples: u32,
    /// When the first sample is decoded.
    pub start_seconds: f64,
    pub duration_seconds: f64,
    pub longest_sample_seconds: f64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{path} cannot be read")]
    Read { path: String, source: io::Error },
    #[error("{path} is no recording: {source}")]
    NoRecording { path: String, source: Unreadable },
}

/// Looks at a file from its first to its last byte. Blocks.
pub fn verify(path: &Path) -> Result<Findings, Error> {
    let name = || path.display().to_string();
    let read = |source| Error::Read { path: name(), source };
    let mut file = File::open(path).map_err(read)?;
    let mut reading = Scanner::new();
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).map_err(read)? {
            0 => break,
            bytes => reading.push(&piece[..bytes]),
        }
    }
    let scanned = reading.finish().map_err(|source| Error::NoRecording { path: name(), source })?;
    let mut problems = Vec::new();
    if let Some(rest) = &scanned.rest {
        problems.push(format!("from byte {} on: {rest}", scanned.good));
    }
    look_at_tracks(&scanned, &mut problems);
    look_at_sync_samples(&file, &scanned, &mut problems).map_err(read)?;
    let index = &scanned.index;
    Ok(Findings {
        form: match scanned.form {
            Form::Fragmented => "fragmented",
            Form::Plain => "plain",
        },
        bytes: scanned.length,
        duration_seconds: index.duration().as_secs_f64(),
        video: findings(Track::Video, &index.video),
        audio: findings(Track::Audio, &index.audio),
        problems,
    })
}

fn findings(track: Track, index: &TrackIndex) -> Option<TrackFindings> {
    if index.samples() == 0 {
        return None;
    }
    Some(TrackFindings {
        samples: index.samples(),
        sync_samples: match track {
            Track::Video => u32::try_from(index.sync.len()).unwrap_or(u32::MAX),
            Track::Audio => index.samples(),
        },
        start_seconds: index.time(index.start).as_secs_f64(),
        duration_seconds: index.duration().as_secs_f64(),
        longest_sample_seconds: longest(index).as_secs_f64(),
    })
}

fn longest(index: &TrackIndex) -> Duration {
    let longest = index.durations.iter().map(|run| run.value).max().unwrap_or(0);
    index.time(longest.into())
}

/// Whether the samples are in the file, without holes, and both tracks are there
/// as long as the other.
fn look_at_tracks(scanned: &Scanned, problems: &mut Vec<String>) {
    let index = &scanned.index;
    let mut ends = Vec::new();
    for (name, track) in [("picture", &index.video), ("sound", &index.audio)] {
        if track.samples() == 0 {
            problems.push(format!("there is no {name}"));
            continue;
        }
        ends.push(track.time(track.end()));
        let outside = track
            .places()
            .find(|place| place.offset.saturating_add(place.size.into()) > scanned.good);
        if let Some(place) = outside {
            problems.push(format!("sample {} of the {name} is not in the file", place.number));
        }
        let longest = longest(track);
        if longest > GAP {
            problems.push(format!("a sample of the {name} lasts {:.3} s", longest.as_secs_f64()));
        }
    }
    if let [video, audio] = ends[..]
        && video.abs_diff(audio) > UNEVEN
    {
        let (video, audio) = (video.as_secs_f64(), audio.as_secs_f64());
        problems.push(format!("the picture ends at {video:.3} s, the sound at {audio:.3} s"));
    }
}

/// Whether each sync sample is whole and can be decoded first.
fn look_at_sync_samples(
    file: &File,
    scanned: &Scanned,
    problems: &mut Vec<String>,
) -> io::Result<()> {
    let video = &scanned.index.video;
    let TrackConfig::Video { decoder_config, .. } = &scanned.index.config.video else {
        return Ok(());
    };
    // The lengths of NAL units have 1, 2 or 4 bytes (ISO/IEC 14496-15, 5.3.3.1).
    let length_bytes = usize::from(decoder_config.get(4).copied().unwrap_or(3) & 3) + 1;
    if video.samples() > 0 && video.sync.first() != Some(&1) {
        problems.push("the first picture depends on another".to_owned());
    }
    let mut sync = video.sync.iter().peekable();
    for place in video.places() {
        if sync.next_if(|&&number| number == place.number).is_none() {
            continue;
        }
        if place.offset.saturating_add(place.size.into()) > scanned.good {
            break;
        }
        let mut sample = vec![0; place.size as usize];
        file.read_exact_at(&mut sample, place.offset)?;
        if !is_sync_sample(&sample, length_bytes) {
            problems.push(format!("sync sample {} cannot be decoded by itself", place.number));
        }
    }
    Ok(())
}

/// Whether a sample is nothing but whole NAL units, one of them of an IDR picture.
fn is_sync_sample(mut sample: &[u8], length_bytes: usize) -> bool {
    let mut idr = false;
    while !sample.is_empty() {
        let Some((length, rest)) = sample.split_at_checked(length_bytes) else { return false };
        let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
        let Some((unit, rest)) = rest.split_at_checked(length) else { return false };
        let Some(first) = unit.first() else { return false };
        idr |= first & 0x1f == IDR;
        sample = rest;
    }
    idr
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_sample_is_whole_units_with_an_idr_picture() {
        let cases: [(&[u8], bool); 7] = [
            (b"\0\0\0\x02\x65a", true),
            (b"\0\0\0\x01\x09\0\0\0\x03\x65ab", true),
            // Of a picture that depends on others.
            (b"\0\0\0\x02\x41a", false),
            (b"\0\0\0\x03\x65a", false),
            (b"\0\0\0\x02\x65a\0\0", false),
            (b"\0\0\0\0", false),
            (b"", false),
        ];
        for (sample, expected) in cases {
            assert_eq!(is_sync_sample(sample, 4), expected, "{}", sample.escape_ascii());
        }
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("film.mp4");
        assert!(matches!(verify(&path), Err(Error::Read { .. })));
        std::fs::write(&path, b"not a film at all").unwrap();
        let error = verify(&path).unwrap_err();
        assert!(crate::error::chain(&error).contains("film.mp4 is no recording"), "{error}");
    }
}
