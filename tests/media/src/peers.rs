//! How others record: the commands that ours is measured beside, as they are.
//!
//! Each is given a display and a sound server. Nothing is mended: delays, rates
//! without effect and timers are part of what is measured.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::children::command;

/// Somebody else's recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// The project that this one succeeds.
    Original,
    /// The demonstration that the original came from, in its newest form.
    Ancestor,
    /// What open-source recorders of meetings do with `GStreamer`.
    Gstreamer,
    /// The same where it grabs only what was drawn.
    GstreamerDamage,
}

impl Peer {
    /// Those in use.
    pub const USUAL: [Self; 3] = [Self::Original, Self::Ancestor, Self::Gstreamer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Original => "original",
            Self::Ancestor => "ancestor",
            Self::Gstreamer => "GStreamer",
            Self::GstreamerDamage => "GStreamer by damage",
        }
    }

    /// The command that records `display` into `file` until it is told to end. It has
    /// to be connected to the sound server.
    pub fn record(
        self,
        display: &str,
        (width, height): (u32, u32),
        file: &Path,
    ) -> io::Result<Command> {
        let size = format!("{width}x{height}");
        let (program, arguments) = match self {
            Self::Original => ("ffmpeg", ffmpeg(display, &size, "fast", 250, "", 500)),
            Self::Ancestor => {
                let flags = "+default_base_moof";
                ("ffmpeg", ffmpeg(display, &size, "veryfast", 350, flags, 1000))
            }
            Self::Gstreamer => ("gst-launch-1.0", gstreamer(display, false)),
            Self::GstreamerDamage => ("gst-launch-1.0", gstreamer(display, true)),
        };
        let mut recorder = command(program);
        recorder.args(arguments.split_whitespace());
        recorder.stdin(Stdio::null());
        if program == "ffmpeg" {
            recorder.stdout(File::create(file)?);
        } else {
            recorder.arg(format!("location={}", file.display())).stdout(Stdio::null());
        }
        Ok(recorder)
    }
}

/// With a delay of the sound in milliseconds and a fragment's length in microseconds. The rates are
/// bits a second and without effect. With `-r` for its input ffmpeg counts pictures instead of
/// looking at their times: where it grabs fewer than 30 a second they go by faster than they were.
fn ffmpeg(
    display: &str,
    size: &str,
    preset: &str,
    delay: u32,
    flags: &str,
    fragment: u32,
) -> String {
    format!(
        "-hide_banner -loglevel error -nostdin -y \
         -f x11grab -video_size {size} -r 30 -draw_mouse 0 -i {display} \
         -f pulse -ac 2 -i default \
         -c:v libx264 -pix_fmt yuv420p -profile:v main -preset {preset} -g 60 \
         -x264opts nal-hrd=cbr:no-scenecut -minrate 3000 -maxrate 3000 \
         -filter_complex adelay={delay}|{delay},aresample=async=1:first_pts=0 \
         -c:a aac -b:a 160k -ac 2 -ar 44100 \
         -movflags frag_keyframe+empty_moov{flags} -frag_duration {fragment} -f mp4 pipe:1"
    )
}

/// The sink comes last and lacks its file.
fn gstreamer(display: &str, by_damage: bool) -> String {
    format!(
        "-q -e mp4mux name=mux fragment-duration=1000 \
         ximagesrc display-name={display} use-damage={by_damage} show-pointer=false \
         ! video/x-raw,framerate=30/1 \
         ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=3000000000 leaky=downstream \
         ! videoconvert ! videorate ! video/x-raw,format=I420,framerate=30/1 \
         ! x264enc bitrate=4500 speed-preset=veryfast tune=0 key-int-max=60 \
           vbv-buf-capacity=2000 threads=2 \
         ! video/x-h264,profile=main ! h264parse ! queue ! mux. \
         pulsesrc ! queue ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2 \
         ! avenc_aac bitrate=128000 ! aacparse ! queue ! mux. \
         mux. ! filesink"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_names_its_display_its_file_and_its_rate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("film.mp4");
        for peer in <Peer as clap::ValueEnum>::value_variants() {
            let recorder = peer.record(":7", (1920, 1080), &file).unwrap();
            let line = format!("{recorder:?}");
            assert!(line.contains(":7"), "{line}");
            assert!(line.contains("30"), "{line}");
            let to_file = line.contains("film.mp4") || line.contains("pipe:1");
            assert!(to_file, "{line}");
        }
    }
}
