//! The sound server that the browser plays to and the capture listens to:
//! PulseAudio with one null sink.
//!
//! Its socket lies in a folder of this recording alone, so that no other sound
//! server of the machine is touched. Without the default modules nothing ever
//! suspends the sink: an idle sink that sleeps is a silent recording.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::net::UnixStream;

use super::process::{Child, Error, Spec};
use crate::config::Tools;

/// PulseAudio accepts clients within 0.3 s on an idle machine.
const READY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the socket is tried while the server starts.
const RETRY: Duration = Duration::from_millis(10);
pub(crate) const MEND: &str =
    "install it (Debian: apt-get install pulseaudio) or name it with --pulseaudio";

/// In the folder of a recording, whose longest socket it is.
const SOCKET: &str = "pulse.socket";
/// What the kernel takes as the address of a socket, the closing zero included
/// (unix(7), `sun_path`).
const SOCKET_ADDRESS: usize = 108;

const SINK: &str = "recorder";
/// One rate from the page's mixer to the encoder, so that nothing resamples.
pub const SAMPLE_RATE: u32 = 48_000;

#[derive(Debug)]
pub struct Sound {
    child: Child,
    socket: PathBuf,
}

impl Sound {
    /// Starts the server with its socket and state under `dir`, and waits until
    /// it accepts clients.
    pub async fn start(tools: &Tools, dir: &Path) -> Result<Self, Error> {
        let socket = dir.join(SOCKET);
        let mut child = Child::spawn(
            &Spec {
                name: "PulseAudio",
                program: tools.pulseaudio.clone(),
                search_path: tools.search_path.clone(),
                args: [
                    // No start-up script, no configuration of the machine.
                    "-n",
                    "-F",
                    "/dev/null",
                    "--daemonize=no",
                    "--use-pid-file=no",
                    "--exit-idle-time=-1",
                    "--disallow-exit",
                    "--log-target=stderr",
                    "--log-level=notice",
                    // Where that is allowed; elsewhere it goes on without.
                    "--high-priority=yes",
                    "--realtime=yes",
                    // A sink that can be rewound begins with a block of two seconds, and
                    // takes from nobody until that is over: a film that is heard stands
                    // still meanwhile, and a meeting's sound piles up.
                    &format!(
                        "--load=module-null-sink sink_name={SINK} rate={SAMPLE_RATE} channels=2 \
                         format=float32le norewinds=yes"
                    ),
                    // The folder is open to this user only; that is the access control.
                    &format!(
                        "--load=module-native-protocol-unix auth-anonymous=1 \
                         auth-cookie-enabled=0 socket={}",
                        socket.display()
                    ),
                ]
                .map(Into::into)
                .into(),
                env: vec![
                    ("HOME", dir.into()),
                    ("PULSE_RUNTIME_PATH", dir.join("pulse").into()),
                    ("PULSE_STATE_PATH", dir.join("pulse").into()),
                ],
                on_orphaned: Signal::TERM,
            },
            MEND,
        )?;
        let stdout = child.take_stdout();
        child.log_stdout(stdout);
        let accepts = async {
            while UnixStream::connect(&socket).await.is_err() {
                tokio::time::sleep(RETRY).await;
            }
        };
        child.until("its socket", READY, accepts).await?;
        Ok(Self { child, socket })
    }

    /// What goes into `PULSE_SERVER`.
    pub fn server(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    /// The source on which everything the browser plays is heard.
    pub fn monitor(&self) -> String {
        format!("{SINK}.monitor")
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub async fn stop(mut self) {
        self.child.stop(PATIENCE).await;
    }
}

/// Why the sound server cannot have its socket in the folder, if it cannot.
pub(crate) fn unfit(dir: &Path) -> Option<String> {
    let socket = dir.join(SOCKET);
    let bytes = socket.as_os_str().as_bytes();
    let over = (bytes.len() + 1).saturating_sub(SOCKET_ADDRESS);
    if over > 0 {
        return Some(format!("it is {over} bytes too long for the address of a socket"));
    }
    // Its arguments, and what it tells its clients, are lists.
    let is_list = bytes.iter().any(u8::is_ascii_whitespace);
    is_list.then(|| "PulseAudio takes no path with a space".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_may_be_too_long_or_have_a_space() {
        let fits = "/tmp/".to_owned() + &"a".repeat(89);
        assert_eq!(unfit(Path::new(&fits)), None);
        for (dir, why) in [(fits + "a", "1 bytes too long"), ("/tmp/my films".into(), "a space")] {
            let told = unfit(Path::new(&dir)).unwrap_or_default();
            assert!(told.contains(why), "{dir}: {told:?}");
        }
    }

    #[tokio::test]
    async fn the_sink_never_plays_far_ahead() {
        let tools = Tools::of_debian();
        let dir = tempfile::tempdir().unwrap();
        let sound = Sound::start(&tools, dir.path()).await.unwrap();
        let mut asked = tokio::process::Command::new("pactl");
        asked.env("PULSE_SERVER", sound.server()).env("LANG", "C").args(["list", "sinks"]);
        let told = asked.output().await.unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        // "Latency: 1979 usec, configured 50000 usec", the second being the longest block.
        let block = told.rsplit_once(" usec").and_then(|(before, _)| before.rsplit(' ').next());
        let block: u32 = block.unwrap_or_else(|| panic!("{told}")).parse().unwrap();
        assert!(block <= 50_000, "a block of {block} microseconds");
        sound.stop().await;
    }
}
