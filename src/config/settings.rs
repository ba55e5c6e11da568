//! The settings by name, and the reader that collects what is wrong with them.
//!
//! Every flag and variable of the process is named here once; what a value means
//! is decided in `config.rs`.

use super::{
    Command,
    problem::{Problem, Problems, Setting, Shown},
};

/// Says what kind of task a container is.
const TASK_TYPE: &str = "TASK_TYPE";

/// The one value of [`TASK_TYPE`] that is not a recording.
const PRE_WARM: &str = "PRE_WARM";

const LENGTH: &str = "a length of time with units";
const PATIENCE: &str = "a length of time with units, at most 24h";
const PROGRAM: &str = "the name or the path of a program";
const FOLDER: &str = "a folder";
const BYTES: &str = "a number of bytes: a whole number, or one with K, M or G behind it";

pub(super) const URL: Setting = Setting::new(
    "--url",
    "RECORDER_URL",
    "the http, https or file address of a page",
    "https://example.com/wallboard",
)
.shown_as(Shown::Address);
pub(super) const DURATION: Setting =
    Setting::new("--duration", "RECORDER_DURATION", LENGTH, "30s or 1h30m");
pub(super) const MAX_DURATION: Setting = Setting::new(
    "--max-duration",
    "RECORDER_MAX_DURATION",
    "a length of time with units, at most 24h",
    "2h",
);
pub(super) const PAGE_TIMEOUT: Setting = Setting::new(
    "--page-timeout",
    "RECORDER_PAGE_TIMEOUT",
    "a length of time with units, at most 10m",
    "1m",
);
pub(super) const AWAIT_START_MARKER: Setting =
    Setting::new("--await-start-marker", "RECORDER_AWAIT_START_MARKER", "true or false", "true");
pub(super) const CHECKPOINT: Setting = Setting::new(
    "--checkpoint",
    "RECORDER_CHECKPOINT",
    "a length of time with units from 1s to 1h, or 0",
    "10s",
);
pub(super) const OLDER_THAN: Setting = Setting::new("--older-than", "", LENGTH, "10m");
pub(super) const SPOOL_MEMORY: Setting =
    Setting::new("--spool-memory", "RECORDER_SPOOL_MEMORY", BYTES, "128M");
pub(super) const SPOOL_DISK: Setting =
    Setting::new("--spool-disk", "RECORDER_SPOOL_DISK", BYTES, "10G");
pub(super) const SEARCH_PATH: Setting =
    Setting::new("", "PATH", "a list of folders", "/usr/local/bin:/usr/bin:/bin");
pub(super) const SIZE: Setting = Setting::new(
    "--size",
    "",
    "width x height in pixels, even numbers from 640x360 to 3840x2160",
    "1920x1080",
);
pub(super) const WIDTH: Setting =
    Setting::new("", "RECORDING_SCREEN_WIDTH", "an even number of pixels from 640 to 3840", "1920");
pub(super) const HEIGHT: Setting = Setting::new(
    "",
    "RECORDING_SCREEN_HEIGHT",
    "an even number of pixels from 360 to 2160",
    "1080",
);
pub(super) const FPS: Setting =
    Setting::new("--fps", "RECORDER_FPS", "a whole number of pictures a second from 1 to 60", "30");
pub(super) const ENCODER: Setting =
    Setting::new("--encoder", "RECORDER_ENCODER", "x264, vaapi or nvenc", "vaapi");
pub(super) const MEETING: Setting = Setting::new(
    "",
    "CHIME_MEETING_DATA",
    "a Chime Meeting object as base64 of its JSON",
    "eyJNZWV0aW5nSWQiOiAuLi59",
)
.shown_as(Shown::Length);
pub(super) const ATTENDEE: Setting = Setting::new(
    "",
    "CHIME_ATTENDEE_DATA",
    "a Chime Attendee object as base64 of its JSON",
    "eyJBdHRlbmRlZUlkIjogLi4ufQ==",
)
.shown_as(Shown::Length);
pub(super) const NAMES: Setting = Setting::new(
    "",
    "RECORDER_ATTENDEE_NAMES",
    "names by attendee id or external user id, as base64 of a JSON object",
    "eyJhZ2VudC0xIjogIkFsaWNlIn0=",
)
.shown_as(Shown::Length);
pub(super) const MEETING_PAGE: Setting =
    Setting::new("--meeting-page", "RECORDER_MEETING_PAGE", FOLDER, "./recording-app/dist");
pub(super) const LAYOUT: Setting =
    Setting::new("--layout", "RECORDER_LAYOUT", "grid or speaker", "speaker");
pub(super) const TITLE: Setting =
    Setting::new("--title", "RECORDER_TITLE", "a line of at most 200 characters", "Claim 4711");
pub(super) const CLOCK: Setting =
    Setting::new("--clock", "RECORDER_CLOCK", "true or false", "true");
pub(super) const EMPTY_TIMEOUT: Setting =
    Setting::new("--empty-timeout", "RECORDER_EMPTY_TIMEOUT", PATIENCE, "2m");
pub(super) const WAITING_TIMEOUT: Setting =
    Setting::new("--waiting-timeout", "RECORDER_WAITING_TIMEOUT", PATIENCE, "10m");
pub(super) const PARTICIPANTS: Setting =
    Setting::new("--participants", "", "a whole number from 0 to 25", "4");
pub(super) const SCENARIO: Setting = Setting::new("--scenario", "", "a file", "call.toml");
pub(super) const MEDIA_ADDRESS: Setting = Setting::new(
    "--media-address",
    "",
    "an IP address of this machine that is not 127.0.0.1",
    "192.0.2.10",
);
pub(super) const PORT: Setting = Setting::new("--port", "", "a port from 1 to 65535", "8080");
pub(super) const MEETING_ID: Setting =
    Setting::new("--meeting-id", "", "1 to 64 characters, no control characters", "call-1");
pub(super) const CACHE_HOME: Setting = Setting::new("", "XDG_CACHE_HOME", FOLDER, "/var/cache");
pub(super) const HOME: Setting = Setting::new("", "HOME", FOLDER, "/srv/recorder");
pub(super) const OUTPUT: Setting = Setting::new("--output", "", FOLDER, "/srv/recordings");
pub(super) const BUCKET: Setting = Setting::new(
    "--bucket",
    "RECORDING_BUCKET_NAME",
    "the name of a bucket: 3 to 63 lower-case letters, digits, hyphens and dots",
    "my-recordings",
)
.of_container();
/// With `--local`.
pub(super) const FILE: Setting = Setting::new(
    "--key",
    "RECORDING_FILE_NAME",
    "the name of a file in the folder, as a path: at most 1024 bytes and 255 for each part, \
     no empty part, no '.' or '..', none that begins with .uploads, no control characters",
    "2026/11/22/call.mp4",
)
.of_container();
pub(super) const KEY: Setting = Setting::new(
    "--key",
    "RECORDING_FILE_NAME",
    "the name of the object: at most 1024 bytes, no '/' at its ends, no '.' or '..' as a folder, \
     no control characters",
    "RECORDINGS/2026/11/22/18/call.mp4",
)
.of_container();
pub(super) const REGION: Setting =
    Setting::new("--region", "AWS_REGION", "the region of the bucket", "eu-central-1")
        .of_container();
pub(super) const S3_ENDPOINT: Setting = Setting::new(
    "--s3-endpoint",
    "RECORDER_S3_ENDPOINT",
    "an http or https address without user, password and query",
    "http://127.0.0.1:9000",
)
.shown_as(Shown::Address)
.of_container();
pub(super) const S3_PATH_STYLE: Setting =
    Setting::new("--s3-path-style", "RECORDER_S3_PATH_STYLE", "true or false", "true")
        .of_container();
pub(super) const SSE_KMS_KEY: Setting = Setting::new(
    "--sse-kms-key",
    "RECORDER_SSE_KMS_KEY",
    "the id, ARN or alias of a KMS key, or aws:kms for the default one",
    "alias/recordings",
)
.of_container();
pub(super) const FIREFOX: Setting =
    Setting::new("--firefox", "RECORDER_FIREFOX", PROGRAM, "firefox-esr");
pub(super) const FIREFOX_CACHE: Setting = Setting::new(
    "--firefox-cache",
    "RECORDER_FIREFOX_CACHE",
    FOLDER,
    "/usr/local/share/recorder/firefox",
);
pub(super) const GECKODRIVER: Setting =
    Setting::new("--geckodriver", "RECORDER_GECKODRIVER", PROGRAM, "/usr/local/bin/geckodriver");
pub(super) const XVFB: Setting = Setting::new("--xvfb", "RECORDER_XVFB", PROGRAM, "Xvfb");
pub(super) const PULSEAUDIO: Setting =
    Setting::new("--pulseaudio", "RECORDER_PULSEAUDIO", PROGRAM, "pulseaudio");
pub(super) const TEMP_DIR: Setting =
    Setting::new("--temp-dir", "RECORDER_TEMP_DIR", FOLDER, "/var/tmp");
pub(super) const HEALTH_FILE: Setting =
    Setting::new("--health-file", "RECORDER_HEALTH_FILE", "a file", "/tmp/recorder-health.json");
pub(super) const SYSTEM_TEMP_DIR: Setting = Setting::new("", "TMPDIR", FOLDER, "/tmp");
pub(super) const LOG: Setting = Setting::new(
    "--log",
    "RECORDER_LOG",
    "off, error, warn, info, debug or trace, also by module",
    "info,recorder::upload=debug",
);
pub(super) const LOG_FORMAT: Setting =
    Setting::new("--log-format", "RECORDER_LOG_FORMAT", "human or json", "json");

/// Marks a value that cannot be had; why is in the list of problems already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted;

pub(super) type Read<T> = Result<T, Noted>;

/// Reads settings one by one and goes on after a wrong one.
pub(super) struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Whether the variables that make up a container's orders are left alone.
    local: bool,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lookup: &'a dyn Fn(&str) -> Option<String>, local: bool) -> Self {
        Self { lookup, local, problems: Vec::new() }
    }

    /// The flag, else the variable, else nothing.
    pub(super) fn read<T>(
        &mut self,
        flag: Option<String>,
        setting: &Setting,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Read<Option<T>> {
        let (place, text) = match (flag, self.variable(setting)) {
            (Some(text), _) => (setting.flag, text),
            (None, Some(text)) => (setting.variable, text),
            (None, None) => return Ok(None),
        };
        match parse(&text) {
            Some(value) => Ok(Some(value)),
            None => Err(self.note(Problem::rejected(place, &text, setting))),
        }
    }

    /// Like [`Self::read`]; to have nothing is a problem.
    pub(super) fn need<T>(
        &mut self,
        flag: Option<String>,
        setting: &Setting,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Read<T> {
        match self.read(flag, setting, parse)? {
            Some(value) => Ok(value),
            None => Err(self.missing(setting)),
        }
    }

    pub(super) fn is_given(&self, flag: Option<&str>, setting: &Setting) -> bool {
        flag.is_some() || self.variable(setting).is_some()
    }

    /// Whether the container is only there to have its image pulled.
    pub(super) fn is_pre_warm(&self) -> bool {
        !self.local && (self.lookup)(TASK_TYPE).as_deref() == Some(PRE_WARM)
    }

    pub(super) fn missing(&mut self, setting: &Setting) -> Noted {
        self.note(Problem::missing(setting))
    }

    pub(super) fn refuse(&mut self, place: &str, reason: impl Into<String>) -> Noted {
        self.note(Problem::refused(place, reason))
    }

    pub(super) fn finish(self, command: Read<Command>) -> Result<Command, Problems> {
        match (Problems::new(self.problems), command) {
            (Some(problems), _) => Err(problems),
            (None, Ok(command)) => Ok(command),
            (None, Err(Noted)) => unreachable!("what is noted is in the list of problems"),
        }
    }

    fn variable(&self, setting: &Setting) -> Option<String> {
        if setting.variable.is_empty() || (self.local && setting.of_container) {
            return None;
        }
        (self.lookup)(setting.variable).filter(|text| !text.is_empty())
    }

    fn note(&mut self, problem: Problem) -> Noted {
        self.problems.push(problem);
        Noted
    }
}
