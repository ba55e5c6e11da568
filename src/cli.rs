//! The command line as it was typed: flags, help, and nothing else.
//!
//! Values stay text here. What they mean, which environment variable stands in
//! for which flag, the defaults and all checks are in `config.rs`; this file only
//! tells people about them.

#![expect(clippy::doc_markdown, reason = "the documentation of the flags is the help text")]
#![allow(rustdoc::bare_urls, reason = "the doc comments here are help texts")]

mod recovery;
mod s3;

use clap::{Args, Parser, Subcommand};

use crate::secret::Secret;
pub use recovery::{DurabilityArgs, RecoverArgs, VerifyArgs};
pub use s3::S3Args;

/// Records a web page, picture and sound, as MP4 into S3 while it plays
///
/// Without `--local` it takes its orders from the environment, as a container
/// does, and needs a bucket. With `--local` it needs no AWS and no settings: the
/// recording lands in a folder.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "recorder",
    version,
    max_term_width = 100,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    after_long_help = AFTER_HELP
)]
pub struct Cli {
    #[command(subcommand)]
    pub subcommand: Option<Task>,
    #[command(flatten)]
    pub recording: RecordingArgs,
    #[command(flatten)]
    pub meeting: MeetingPageArgs,
    #[command(flatten)]
    pub local: LocalArgs,
    #[command(flatten)]
    pub test_meeting: TestMeetingArgs,
    #[command(flatten)]
    pub s3: S3Args,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub health: HealthArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

/// What to do instead of recording.
#[derive(Clone, Debug, Subcommand)]
pub enum Task {
    /// Check what a recording needs on this machine and say how to mend it
    ///
    /// Looks at the programs, the GStreamer elements, shared memory, fonts, display
    /// and sound; with `--bucket` also at S3 and its credentials.
    Doctor(DoctorArgs),
    /// Say whether the recorder that writes the health file is well
    ///
    /// For the health check of a container. Prints one JSON object; the exit code is 0
    /// if it is well: it is heard of, and while it records there are pictures.
    Health(HealthArgs),
    /// Make a recording of what a recorder left that was killed
    ///
    /// Completes the open upload with the parts that are there, and makes an ordinary
    /// MP4 of it. Each recording is one JSON object on stdout. It may be run again, and
    /// twice at once.
    Recover(RecoverArgs),
    /// Say whether a recording is good
    ///
    /// Walks through boxes, samples and times. Prints one JSON object; the exit code is
    /// 0 if it has no problems.
    Verify(VerifyArgs),
    /// Hold a meeting with synthetic participants on this machine, for looking at it
    ///
    /// It speaks the protocols of Amazon Chime SDK. The first line on stdout is one
    /// JSON object with the join data, an address at which an ordinary browser joins,
    /// and the address that takes orders. It goes on until it is stopped.
    Meeting(ServeArgs),
    /// Measure this recorder beside others' commands, on this machine
    ///
    /// Runs the program `bench` that is built beside this one, with all arguments that
    /// follow; `recorder bench --help` is its own help. docs/bench.md tells of the figures.
    #[command(disable_help_flag = true)]
    Bench(BenchArgs),
}

#[derive(Clone, Debug, Default, Args)]
pub struct BenchArgs {
    /// What the bench is told
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<std::ffi::OsString>,
}

/// How a meeting is shown.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Meetings")]
pub struct LookArgs {
    /// Folder of the built meeting page
    ///
    /// Default: /usr/local/share/recorder/recording-app; ./dev names its own
    /// Variable: RECORDER_MEETING_PAGE
    /// Example: ./recording-app/dist
    #[arg(long, verbatim_doc_comment, value_name = "DIR")]
    pub meeting_page: Option<String>,

    /// How the tiles are laid out: grid or speaker
    ///
    /// Default: grid
    /// Variable: RECORDER_LAYOUT
    /// Example: speaker
    #[arg(long, verbatim_doc_comment, value_name = "NAME")]
    pub layout: Option<String>,

    /// Header above the tiles
    ///
    /// Default: no header
    /// Variable: RECORDER_TITLE
    /// Example: --title 'Claim 4711'
    #[arg(long, verbatim_doc_comment, value_name = "TEXT")]
    pub title: Option<String>,

    /// Show the time of day in the header
    ///
    /// Values: true, false
    /// Default: false
    /// Variable: RECORDER_CLOCK
    /// Example: --clock
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub clock: Option<String>,
}

/// How a meeting is shown, and when an empty one ends.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Meetings")]
pub struct MeetingPageArgs {
    #[command(flatten)]
    pub look: LookArgs,

    /// Stop when everybody has left for this long
    ///
    /// Units: h, m, s; at most 24h
    /// Default: 2m
    /// Variable: RECORDER_EMPTY_TIMEOUT
    /// Example: 30s
    #[arg(long, verbatim_doc_comment, value_name = "LENGTH")]
    pub empty_timeout: Option<String>,

    /// Stop when nobody has come at all for this long
    ///
    /// Units: h, m, s; at most 24h
    /// Default: 10m
    /// Variable: RECORDER_WAITING_TIMEOUT
    /// Example: 5m
    #[arg(long, verbatim_doc_comment, value_name = "LENGTH")]
    pub waiting_timeout: Option<String>,
}

/// Who is in the meeting inside of this process.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "A meeting without AWS")]
pub struct TestMeetingArgs {
    /// Record a meeting with so many synthetic participants, who speak in turn
    ///
    /// Range: 0 to 25
    /// Default: 4, when one of these flags is given
    /// Example: 9
    #[arg(long, verbatim_doc_comment, value_name = "NUMBER")]
    pub participants: Option<String>,

    /// The first participant shares a screen
    ///
    /// Default: nobody does
    /// Example: --participants 4 --share
    #[arg(long, verbatim_doc_comment)]
    pub share: bool,

    /// Who is there and what they do, as a TOML file
    ///
    /// Default: none
    /// Example: tests/meeting/scenarios/support-call.toml
    #[arg(long, verbatim_doc_comment, value_name = "FILE")]
    pub scenario: Option<String>,

    /// Address of this machine for the meeting's media; not 127.0.0.1
    ///
    /// Default: the address of the default route, else of the first interface
    /// Example: 192.0.2.10
    #[arg(long, verbatim_doc_comment, value_name = "IP")]
    pub media_address: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    pub meeting: TestMeetingArgs,

    /// Port on 127.0.0.1 for signaling and control
    ///
    /// Default: any that is free
    /// Example: 8080
    #[arg(long, verbatim_doc_comment, value_name = "PORT", help_heading = "This meeting")]
    pub port: Option<String>,

    /// Id of the meeting. The same id gives the same join data.
    ///
    /// Default: recorder-meeting
    /// Example: call-1
    #[arg(long, verbatim_doc_comment, value_name = "ID", help_heading = "This meeting")]
    pub meeting_id: Option<String>,

    #[command(flatten)]
    pub look: LookArgs,

    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArgs {
    #[command(flatten)]
    pub s3: S3Args,
    #[command(flatten)]
    pub machine: MachineArgs,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What to record")]
pub struct RecordingArgs {
    /// Address of the page: http, https or file
    ///
    /// Default: the built-in test page with --local, unless a meeting is asked for
    /// Variable: RECORDER_URL
    /// Example: https://example.com/wallboard
    #[arg(long, verbatim_doc_comment, value_name = "URL")]
    pub url: Option<Secret>,

    /// Stop after this length of recording
    ///
    /// Units: h, m, s
    /// Default: no end but a stop signal, the page's own end or --max-duration
    /// Variable: RECORDER_DURATION
    /// Example: 30s, 1h30m
    #[arg(long, verbatim_doc_comment, value_name = "LENGTH")]
    pub duration: Option<String>,

    /// Longest recording, whatever else happens
    ///
    /// Units: h, m, s; at most 24h
    /// Default: 12h
    /// Variable: RECORDER_MAX_DURATION
    /// Example: 2h
    #[arg(long, verbatim_doc_comment, value_name = "LENGTH")]
    pub max_duration: Option<String>,

    /// Size of the picture and of the browser's window
    ///
    /// Units: pixels, even numbers, 640x360 to 3840x2160
    /// Default: 1920x1080 with --local, else 1280x720
    /// Variables: RECORDING_SCREEN_WIDTH, RECORDING_SCREEN_HEIGHT (not read with --local)
    /// Example: 1920x1080
    #[arg(long, verbatim_doc_comment, value_name = "WIDTHxHEIGHT")]
    pub size: Option<String>,

    /// Pictures a second
    ///
    /// Range: 1 to 60
    /// Default: 30
    /// Variable: RECORDER_FPS
    /// Example: 25
    #[arg(long, verbatim_doc_comment, value_name = "NUMBER")]
    pub fps: Option<String>,

    /// What codes the pictures: x264 on the processors, vaapi (Intel, AMD) or nvenc
    /// (NVIDIA) on a graphics card, and x264 as well where the card cannot
    ///
    /// Default: x264
    /// Variable: RECORDER_ENCODER
    /// Example: vaapi
    #[arg(long, verbatim_doc_comment, value_name = "ENCODER")]
    pub encoder: Option<String>,

    /// How long the page may take to load before the recording fails
    ///
    /// Units: h, m, s; at most 10m
    /// Default: 30s
    /// Variable: RECORDER_PAGE_TIMEOUT
    /// Example: 1m
    #[arg(long, verbatim_doc_comment, value_name = "LENGTH")]
    pub page_timeout: Option<String>,

    /// Start when the page writes START_RECORDING with console.log, not when it has
    /// loaded
    ///
    /// true or false. --page-timeout covers this wait too. The page's END_RECORDING
    /// always ends the recording. Default: false. Variable:
    /// RECORDER_AWAIT_START_MARKER. Example: --await-start-marker
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub await_start_marker: Option<String>,

    /// Name of the object, at most 1024 bytes
    ///
    /// Default: recording-DATE.mp4 with --local, else needed
    /// Variable: RECORDING_FILE_NAME
    /// Example: RECORDINGS/2026/11/22/18/call.mp4
    #[arg(long, verbatim_doc_comment, value_name = "NAME")]
    pub key: Option<String>,

    #[command(flatten)]
    pub durability: DurabilityArgs,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Recording without AWS")]
pub struct LocalArgs {
    /// Record into a folder, through an S3 server inside of this process
    ///
    /// Needs no AWS and no credentials. The variables of the container (TASK_TYPE,
    /// RECORDING_*, AWS_REGION, RECORDER_S3_*, RECORDER_SSE_KMS_KEY) are not read, but
    /// for CHIME_MEETING_DATA and CHIME_ATTENDEE_DATA: that meeting is recorded.
    #[arg(long, verbatim_doc_comment)]
    pub local: bool,

    /// Folder for the recordings, made when missing; with --local only
    ///
    /// Default: ./recordings
    /// Example: /srv/recordings
    #[arg(long, verbatim_doc_comment, value_name = "DIR")]
    pub output: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "This machine")]
pub struct MachineArgs {
    /// Firefox, by name on PATH or by path
    ///
    /// Default: firefox-esr
    /// Variable: RECORDER_FIREFOX
    /// Example: /opt/firefox/firefox
    #[arg(long, verbatim_doc_comment, value_name = "PROGRAM")]
    pub firefox: Option<String>,

    /// Folder with what Firefox prepared at an earlier start, by docker/warm-firefox.sh:
    /// a recording starts in three fifths of the time
    ///
    /// Default: none; the image and ./dev name their own
    /// Variable: RECORDER_FIREFOX_CACHE
    /// Example: /usr/local/share/recorder/firefox
    #[arg(long, verbatim_doc_comment, value_name = "DIR")]
    pub firefox_cache: Option<String>,

    /// geckodriver, by name on PATH or by path
    ///
    /// Default: geckodriver
    /// Variable: RECORDER_GECKODRIVER
    /// Example: /usr/local/bin/geckodriver
    #[arg(long, verbatim_doc_comment, value_name = "PROGRAM")]
    pub geckodriver: Option<String>,

    /// X server without a screen, by name on PATH or by path
    ///
    /// Default: Xvfb
    /// Variable: RECORDER_XVFB
    /// Example: /usr/bin/Xvfb
    #[arg(long, verbatim_doc_comment, value_name = "PROGRAM")]
    pub xvfb: Option<String>,

    /// Sound server, by name on PATH or by path
    ///
    /// Default: pulseaudio
    /// Variable: RECORDER_PULSEAUDIO
    /// Example: /usr/bin/pulseaudio
    #[arg(long, verbatim_doc_comment, value_name = "PROGRAM")]
    pub pulseaudio: Option<String>,

    /// Folder for profiles and sockets, emptied at the end
    ///
    /// Its path: at most 73 bytes, without spaces
    /// Default: TMPDIR, else /tmp
    /// Variable: RECORDER_TEMP_DIR
    /// Example: /var/tmp
    #[arg(long, verbatim_doc_comment, value_name = "DIR")]
    pub temp_dir: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Health")]
pub struct HealthArgs {
    /// File in which a recording tells once a second how it is
    ///
    /// Default: none is written
    /// Variable: RECORDER_HEALTH_FILE
    /// Example: /tmp/recorder-health.json
    #[arg(long, verbatim_doc_comment, value_name = "FILE")]
    pub health_file: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Log on stderr")]
pub struct LogArgs {
    /// How much is logged
    ///
    /// off, error, warn, info, debug or trace, also by module.
    /// Default: info, for doctor error. Other crates stay at warn unless named, and never say more than debug
    /// Variable: RECORDER_LOG
    /// Example: info,recorder::upload=debug
    #[arg(long, verbatim_doc_comment, value_name = "LEVEL")]
    pub log: Option<String>,

    /// How a line looks: human or json
    ///
    /// Default: human on a terminal, else json
    /// Variable: RECORDER_LOG_FORMAT
    /// Example: json
    #[arg(long, verbatim_doc_comment, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

const AFTER_HELP: &str = "\
A flag beats its variable; an empty variable counts as not set. A length of time
always names its unit: 30s, 5m, 1h30m.

Variables without a flag:
  TASK_TYPE            PRE_WARM: log one line and exit 0. Anything else: record.
                       Not read with --local.
  CHIME_MEETING_DATA   The Chime meeting to record, as base64 of its JSON.
  CHIME_ATTENDEE_DATA  The Chime attendee to join as, likewise. Neither is read
                       when a page or a test meeting is asked for.
  RECORDER_ATTENDEE_NAMES
                       Names to show, by attendee id or external user id, as base64
                       of a JSON object of texts. Default: the external user id, or
                       what stands behind its last '#'; Guest if that is a UUID or
                       nothing.

Examples:
  recorder --local --duration 30s
  recorder --local --participants 4 --share --duration 30s
  recorder --local --url https://example.com/wallboard --output /srv/recordings
  recorder --url https://example.com/wallboard --bucket my-recordings \\
      --region eu-central-1 --key wallboard.mp4
  recorder doctor --bucket my-recordings --region eu-central-1";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::secret::scrub;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_are_kept_as_typed() {
        let cli = Cli::try_parse_from(["recorder", "--local", "--fps", "many", "--s3-path-style"])
            .unwrap();
        assert!(cli.local.local);
        assert_eq!(cli.recording.fps.as_deref(), Some("many"));
        assert_eq!(cli.s3.s3_path_style.as_deref(), Some("true"));
        assert!(cli.subcommand.is_none());
    }

    #[test]
    fn doctor_takes_the_settings_it_checks() {
        let cli = Cli::try_parse_from(["recorder", "doctor", "--bucket", "b", "--xvfb", "X"]);
        let Some(Task::Doctor(doctor)) = cli.unwrap().subcommand else { panic!("not a doctor") };
        assert_eq!(doctor.s3.bucket.as_deref(), Some("b"));
        assert_eq!(doctor.machine.xvfb.as_deref(), Some("X"));
        assert!(Cli::try_parse_from(["recorder", "doctor", "--fps", "30"]).is_err());
        assert!(Cli::try_parse_from(["recorder", "--fps", "30", "doctor"]).is_err());
    }

    #[test]
    fn each_flag_has_a_heading_a_default_and_an_example() {
        let command = Cli::command();
        for arg in command.get_arguments().filter(|arg| arg.get_id() != "local") {
            let long = arg.get_long_help().unwrap_or_default().to_string();
            let name = arg.get_long().unwrap();
            assert!(arg.get_help_heading().is_some(), "--{name} has no heading");
            assert!(long.contains("Default: "), "--{name}: {long}");
            assert!(long.contains("Example: "), "--{name}: {long}");
        }
    }

    #[test]
    fn an_address_never_shows_its_token() {
        let marker = "MARKER";
        let address = format!("https://user:{marker}@host/?token={marker}#{marker}");
        let cli = Cli::try_parse_from(["recorder", "--url", &address, "--s3-endpoint", &address])
            .unwrap();
        assert!(!format!("{cli:?} {cli:#?}").contains(marker));
        // What clap says about a stray address passes through `scrub` on its way out.
        let error = Cli::try_parse_from(["recorder", &address]).unwrap_err().to_string();
        assert!(!scrub(&error).contains(marker), "{error}");
    }
}
