//! The clip maker and the analyser against each other, on files that Debian's
//! `ffmpeg` damages in known ways, and on a real display.

#![expect(clippy::unwrap_used, reason = "these are tests, their shared parts included")]

mod recordings;
mod stage;
