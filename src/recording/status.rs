//! The line that a person watches while it records.
//!
//! Only on a terminal; a log gets none of it. It must not know where its
//! numbers come from.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use super::machine::State;
use crate::capture::Pictures;

/// The readings of one moment.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot {
    pub state: State,
    pub length: Duration,
    pub bytes: u64,
    pub pictures: Pictures,
    /// Peak of the last second in dB below full scale.
    pub loudness: Option<f64>,
}

/// Shows the latest [`Snapshot`] in the last line of the terminal.
#[derive(Debug)]
pub struct StatusLine {
    shown: bool,
    before: std::cell::Cell<u64>,
}

impl StatusLine {
    /// Shown if `wanted` and somebody looks: on a terminal.
    pub fn new(wanted: bool) -> Self {
        let shown = wanted && std::io::stderr().is_terminal();
        Self { shown, before: std::cell::Cell::new(0) }
    }

    /// Called once a second.
    pub(super) fn show(&self, snapshot: &Snapshot) {
        let before = self.before.replace(snapshot.pictures.encoded);
        if self.shown {
            let fps = snapshot.pictures.encoded.saturating_sub(before);
            self.write(&format!("\r{}\x1b[K", line(snapshot, fps)));
        }
    }

    pub(super) fn clear(&self) {
        if self.shown {
            self.write("\r\x1b[K");
        }
    }

    #[expect(clippy::unused_self, reason = "only who has the line may write it")]
    fn write(&self, text: &str) {
        // A terminal that is gone is no reason to end a recording.
        let _ = std::io::stderr().write_all(text.as_bytes());
    }
}

fn line(snapshot: &Snapshot, fps: u64) -> String {
    let state = match snapshot.state {
        State::Starting => return "starting the browser and opening the page".into(),
        State::Recording => "recording",
        State::Draining | State::Finishing => "finishing",
        State::Closing | State::Done => "closing",
    };
    let seconds = snapshot.length.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let megabytes = snapshot.bytes / 1_000_000;
    let tenths = snapshot.bytes / 100_000 % 10;
    let lost = snapshot.pictures.missed;
    let loudness = match snapshot.loudness {
        Some(peak) if peak > SILENCE_DB => format!("{peak:.0} dB"),
        _ => "silence".into(),
    };
    format!(
        "{state} {hours:02}:{minutes:02}:{seconds:02}  {megabytes}.{tenths} MB  {fps} fps  \
         {lost} frames lost  sound {loudness}"
    )
}

/// Below what 16 bits can hold nothing is heard.
const SILENCE_DB: f64 = -96.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_time_size_rate_losses_and_loudness() {
        let snapshot = Snapshot {
            state: State::Recording,
            length: Duration::from_secs(3723),
            bytes: 12_345_678,
            pictures: Pictures { missed: 3, ..Pictures::default() },
            loudness: Some(-18.4),
        };
        assert_eq!(
            line(&snapshot, 30),
            "recording 01:02:03  12.3 MB  30 fps  3 frames lost  sound -18 dB"
        );
        let silent = Snapshot { loudness: Some(f64::NEG_INFINITY), ..snapshot };
        assert!(line(&silent, 30).ends_with("sound silence"));
    }
}
