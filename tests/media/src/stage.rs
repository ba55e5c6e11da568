//! A display, a sound server and a browser that shows a page: what a recorder
//! that is given all of these records.
//!
//! Nothing of it is shared with anybody: the display number is chosen by the X
//! server, sockets and profile are in a folder of their own, and everything
//! ends when the [`Stage`] is dropped.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::children::{Child, ChildError, command};

/// How long each server may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a fresh profile of Firefox would otherwise ask, show or fetch.
const PREFERENCES: [(&str, &str); 13] = [
    ("app.normandy.enabled", "false"),
    ("app.update.enabled", "false"),
    ("browser.aboutwelcome.enabled", "false"),
    ("browser.sessionstore.resume_from_crash", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("browser.startup.homepage_override.mstone", "\"ignore\""),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("datareporting.policy.dataSubmissionPolicyBypassNotification", "true"),
    ("media.autoplay.default", "0"),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("termsofuse.bypassNotification", "true"),
    ("toolkit.telemetry.reportingpolicy.firstRun", "false"),
];

/// The stage could not be set.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    #[error("the folder of the stage cannot be written")]
    Folder(#[from] io::Error),
    #[error("the stage cannot be set")]
    Child(#[from] ChildError),
    #[error("Xvfb names no display")]
    NoDisplay,
}

/// A running display and sound server with a browser on them.
#[derive(Debug)]
pub struct Stage {
    // In the order in which they end: the browser first, its folder last.
    browser: Child,
    sound: Child,
    display: Child,
    display_name: String,
    sound_server: String,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Shows `url` full screen on a new display of `width` by `height` pixels.
    /// Returns when the browser has started, which is before the page shows.
    pub fn open(width: u32, height: u32, url: &str) -> Result<Self, StageError> {
        let folder = tempfile::Builder::new().prefix("stage-").tempdir()?;
        let (display, display_name) = open_display(width, height, folder.path())?;
        let (sound, sound_server) = open_sound(folder.path())?;

        let profile = folder.path().join("profile");
        fs::create_dir(&profile)?;
        fs::write(profile.join("user.js"), user_js())?;
        let mut firefox = command("firefox-esr");
        firefox.args(["--no-remote", "--kiosk", "--profile"]).arg(&profile);
        // Without a window manager kiosk alone does not fill the display.
        firefox.args(["--width", &width.to_string(), "--height", &height.to_string(), url]);
        firefox.env("HOME", folder.path()).env("MOZ_CRASHREPORTER_DISABLE", "1");
        connect(&mut firefox, &display_name, &sound_server);
        let browser = Child::start("firefox-esr", log(&mut firefox, folder.path(), "firefox")?)?;
        Ok(Self { browser, sound, display, display_name, sound_server, _folder: folder })
    }

    /// Lets `command` see the display and hear the sound. The sink is the
    /// default, its monitor the default source.
    pub fn connect(&self, command: &mut Command) {
        connect(command, &self.display_name, &self.sound_server);
    }

    /// Such as `:7`.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// The processes, each the head of a family.
    pub fn processes(&self) -> [u32; 3] {
        [self.display.id(), self.sound.id(), self.browser.id()]
    }
}

fn connect(command: &mut Command, display: &str, sound: &str) {
    command.env("DISPLAY", display).env("PULSE_SERVER", sound);
}

fn open_display(width: u32, height: u32, folder: &Path) -> Result<(Child, String), StageError> {
    let mut xvfb = command("Xvfb");
    xvfb.args(["-displayfd", "1", "-nolisten", "tcp", "-nocursor", "-screen", "0"]);
    xvfb.arg(format!("{width}x{height}x24"));
    log(&mut xvfb, folder, "xvfb")?.stdout(Stdio::piped());
    let mut child = Child::start("Xvfb", &mut xvfb)?;
    let number = child.first_line(PATIENCE)?;
    if number.is_empty() {
        return Err(StageError::NoDisplay);
    }
    Ok((child, format!(":{number}")))
}

fn open_sound(folder: &Path) -> Result<(Child, String), StageError> {
    let socket = folder.join("sound");
    let mut pulse = command("pulseaudio");
    pulse.args(["-n", "--daemonize=no", "--use-pid-file=no", "--exit-idle-time=-1"]);
    pulse.args(["-L", "module-null-sink sink_name=page rate=48000 channels=2"]);
    // Last, so that the sink is there when the socket answers.
    let protocol =
        format!("module-native-protocol-unix auth-anonymous=1 socket={}", socket.display());
    pulse.args(["-L", &protocol]).env("HOME", folder).env("XDG_RUNTIME_DIR", folder);
    let mut child = Child::start("pulseaudio", log(&mut pulse, folder, "pulseaudio")?)?;
    child.ready(PATIENCE, || UnixStream::connect(&socket).is_ok())?;
    Ok((child, format!("unix:{}", socket.display())))
}

/// What the servers say is for nobody; kept while they run.
fn log<'a>(command: &'a mut Command, folder: &Path, name: &str) -> io::Result<&'a mut Command> {
    let file = fs::File::create(folder.join(name).with_extension("log"))?;
    Ok(command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file))
}

fn user_js() -> String {
    PREFERENCES.map(|(name, value)| format!("user_pref(\"{name}\", {value});\n")).concat()
}
