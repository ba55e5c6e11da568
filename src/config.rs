//! The settings, typed and checked: from here on nobody reads a variable.
//!
//! [`resolve`] turns the raw command line and the environment into a [`Command`]
//! or into *all* problems at once. Nothing here looks at the machine: whether a
//! program, folder or bucket exists is for those who use it to find out.
//!
//! A flag beats its variable, an empty variable counts as not set, and with
//! `--local` the variables that make up a container's orders are not read at all,
//! so that a shell set up for AWS changes nothing; but for the meeting to join,
//! which is no matter of AWS.

mod destination;
pub mod meeting;
mod parse;
mod problem;
pub mod recovery;
mod settings;

use std::{path::PathBuf, time::Duration};

use jiff::Timestamp;
use url::Url;

use crate::{
    capture::VideoEncoder,
    cli::{
        Cli, DoctorArgs, DurabilityArgs, HealthArgs, LogArgs, MachineArgs, MeetingPageArgs,
        RecordingArgs, Task, TestMeetingArgs,
    },
    logging::{Filter, Format, Logging},
    secret::{PrivateUrl, Secret},
};
use destination::{bucket, local_destination, refuse_output, refuse_s3_flags, s3_destination};
pub use problem::{Problem, Problems};
use settings::{Read, Reader};

/// Size of the picture in a container that is told none (contract of the task).
const CONTAINER_SIZE: Size = Size { width: 1280, height: 720 };

/// Size of the picture with `--local`: what recordings are made in.
const LOCAL_SIZE: Size = Size { width: 1920, height: 1080 };

/// Pictures a second: what pages and cameras deliver.
const DEFAULT_FPS: u32 = 30;

/// Longest recording: a meeting that nobody closes must not fill a bucket.
const DEFAULT_MAX_DURATION: Duration = Duration::from_hours(12);

/// Longest recording that can be asked for: Chime ends meetings then, and the
/// parts of an upload are planned for it.
const LONGEST_DURATION: Duration = Duration::from_hours(24);

/// What a killed process may lose.
const DEFAULT_CHECKPOINT: Duration = Duration::from_secs(5);

/// Three minutes at 3 Mbit/s.
const DEFAULT_SPOOL_MEMORY: u64 = 64 << 20;

/// An hour and a half at 3 Mbit/s, and a tenth of the least disk of a task.
const DEFAULT_SPOOL_DISK: u64 = 2 << 30;

/// How long a page may load: a slow site on two busy cores needs ten seconds.
const DEFAULT_PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest time to load that can be asked for; beyond it the page is broken.
const LONGEST_PAGE_TIMEOUT: Duration = Duration::from_mins(10);

/// Folder for the recordings with `--local`.
const DEFAULT_OUTPUT: &str = "./recordings";

/// Region in signatures for servers that have none; they take any.
const ENDPOINT_REGION: &str = "us-east-1";

/// Folder for profiles and sockets where the system names none.
const DEFAULT_TEMP_DIR: &str = "/tmp";

/// Programs as Debian names them, found on PATH.
const DEFAULT_FIREFOX: &str = "firefox-esr";
const DEFAULT_GECKODRIVER: &str = "geckodriver";
const DEFAULT_XVFB: &str = "Xvfb";
const DEFAULT_PULSEAUDIO: &str = "pulseaudio";

/// Where Debian keeps programs, for a process that was given no PATH.
const DEFAULT_SEARCH_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// What the process is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Say so and exit: the image is on this host now (`TASK_TYPE=PRE_WARM`).
    PreWarm,
    Record(Box<Config>),
    Doctor(Doctor),
    /// Say whether the recorder is well that writes this file.
    Health(PathBuf),
    /// Make recordings of what dead recorders left.
    Recover(recovery::Recover),
    /// Say whether a recording is good.
    Verify(recovery::Verify),
    /// Serve a meeting with synthetic participants, and record nothing.
    Meeting(meeting::Serve),
    Bench(Vec<std::ffi::OsString>),
}

/// Everything about one recording. Pass on the piece that is needed, not the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub source: Source,
    pub recording: Recording,
    pub destination: Destination,
    pub tools: Tools,
    /// Where profiles and sockets go.
    pub temp_dir: PathBuf,
    /// Where it is told once a second how the recording is.
    pub health_file: Option<PathBuf>,
    pub logging: Logging,
}

/// What `recorder doctor` looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Doctor {
    /// `None` when no bucket is named: S3 is left out then.
    pub bucket: Option<Bucket>,
    pub tools: Tools,
    pub temp_dir: PathBuf,
    pub logging: Logging,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    pub size: Size,
    /// Pictures a second, 1 to 60.
    pub fps: u32,
    pub encoder: VideoEncoder,
    /// `None` goes on until something else ends it.
    pub duration: Option<Duration>,
    pub max_duration: Duration,
    /// How long the page may take to load.
    pub page_timeout: Duration,
    /// Whether the page says itself when it is worth filming.
    pub await_start_marker: bool,
    pub durability: Durability,
}

/// What may be lost, and what may wait for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// At most this much is lost when the process is killed; `None`: a part.
    pub checkpoint: Option<Duration>,
    /// Bytes that may wait in memory.
    pub spool_memory: u64,
    /// Bytes that may wait on disk then.
    pub spool_disk: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Url(PrivateUrl),
    /// The page inside of this process that shows and sounds the time.
    TestPage,
    /// A Chime meeting.
    Meeting {
        join: meeting::Join,
        meeting: meeting::Meeting,
    },
    /// The meeting inside of this process, with synthetic participants.
    TestMeeting {
        test: meeting::TestMeeting,
        meeting: meeting::Meeting,
    },
}

/// Pixels; even numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    pub width: u16,
    pub height: u16,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The S3 server inside of this process, which keeps its objects under `dir`.
    Local {
        dir: PathBuf,
        key: String,
    },
    S3 {
        bucket: Bucket,
        key: String,
    },
}

/// A bucket and how to reach it. Credentials come from the SDK's own chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    pub region: String,
    /// `None` is Amazon S3.
    pub endpoint: Option<Url>,
    /// Whether the bucket stands in the path of the address, not in the host name.
    pub path_style: bool,
    /// `None` leaves encryption to the bucket's default.
    pub encryption: Option<Encryption>,
}

/// Encryption of the object by KMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// The account's `aws/s3` key.
    DefaultKey,
    /// By id, ARN or alias.
    Key(String),
}

/// Programs: a bare name is looked up on PATH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    pub firefox: PathBuf,
    /// What Firefox prepared at an earlier start.
    pub firefox_cache: Option<PathBuf>,
    pub geckodriver: PathBuf,
    pub xvfb: PathBuf,
    pub pulseaudio: PathBuf,
    /// The PATH on which bare names are looked up, passed on to the programs.
    pub search_path: String,
}

/// A variable of this process; a value that is not UTF-8 comes with replacement
/// characters and is refused like any other wrong text.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads variables")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
}

/// Says what to do, or everything that is wrong with the settings.
///
/// `lookup` reads a variable (see [`environment`]); `now` names a local recording.
pub fn resolve(
    cli: Cli,
    lookup: &dyn Fn(&str) -> Option<String>,
    now: Timestamp,
) -> Result<Command, Problems> {
    let local = match &cli.subcommand {
        Some(Task::Recover(args)) => args.local.local,
        _ => cli.local.local,
    };
    let mut reader = Reader::new(lookup, local);
    let command = match cli.subcommand {
        Some(Task::Doctor(args)) => doctor(&mut reader, args).map(Command::Doctor),
        Some(Task::Health(args)) => health(&mut reader, args).map(Command::Health),
        Some(Task::Recover(args)) => recovery::recover(&mut reader, args).map(Command::Recover),
        Some(Task::Verify(args)) => recovery::verify(&mut reader, args).map(Command::Verify),
        Some(Task::Meeting(args)) => meeting::serve(&mut reader, args).map(Command::Meeting),
        Some(Task::Bench(args)) => Ok(Command::Bench(args.arguments)),
        None if reader.is_pre_warm() => Ok(Command::PreWarm),
        None => config(&mut reader, cli, now).map(Box::new).map(Command::Record),
    };
    reader.finish(command)
}

fn doctor(reader: &mut Reader<'_>, args: DoctorArgs) -> Read<Doctor> {
    let has_bucket = reader.is_given(args.s3.bucket.as_deref(), &settings::BUCKET)
        || reader
            .is_given(args.s3.s3_endpoint.as_ref().map(Secret::expose), &settings::S3_ENDPOINT);
    let bucket = if has_bucket { bucket(reader, args.s3).map(Some) } else { Ok(None) };
    let machine = machine(reader, args.machine);
    // Its answer stands on stdout; what warns on the way is no part of it.
    let logging = logging(reader, args.log, Filter::errors());
    let (tools, temp_dir) = machine?;
    Ok(Doctor { bucket: bucket?, tools, temp_dir, logging: logging? })
}

fn health(reader: &mut Reader<'_>, args: HealthArgs) -> Read<PathBuf> {
    reader.need(args.health_file, &settings::HEALTH_FILE, parse::path)
}

// Here and below: first read everything, so that every problem is found, and only
// then give up with `?`.
fn config(reader: &mut Reader<'_>, cli: Cli, now: Timestamp) -> Read<Config> {
    let local = cli.local.local;
    let key = cli.recording.key.clone();
    let source = source(reader, cli.recording.url.clone(), cli.meeting, cli.test_meeting, local);
    let recording = recording(reader, cli.recording, local);
    let destination = if local {
        refuse_s3_flags(reader, &cli.s3);
        local_destination(reader, cli.local.output, key, now)
    } else {
        refuse_output(reader, &cli.local);
        s3_destination(reader, cli.s3, key)
    };
    let machine = machine(reader, cli.machine);
    let health_file = reader.read(cli.health.health_file, &settings::HEALTH_FILE, parse::path);
    let logging = logging(reader, cli.log, Filter::default());
    let (tools, temp_dir) = machine?;
    Ok(Config {
        source: source?,
        recording: recording?,
        destination: destination?,
        tools,
        temp_dir,
        health_file: health_file?,
        logging: logging?,
    })
}

fn recording(reader: &mut Reader<'_>, args: RecordingArgs, local: bool) -> Read<Recording> {
    let size = size(reader, args.size, local);
    let fps = reader.read(args.fps, &settings::FPS, parse::fps);
    let encoder = reader.read(args.encoder, &settings::ENCODER, parse::encoder);
    let duration = reader.read(args.duration, &settings::DURATION, parse::duration);
    let max_duration = reader.read(args.max_duration, &settings::MAX_DURATION, |text| {
        parse::duration(text).filter(|length| *length <= LONGEST_DURATION)
    });
    let page_timeout = reader.read(args.page_timeout, &settings::PAGE_TIMEOUT, |text| {
        parse::duration(text).filter(|length| *length <= LONGEST_PAGE_TIMEOUT)
    });
    let await_start_marker =
        reader.read(args.await_start_marker, &settings::AWAIT_START_MARKER, parse::boolean);
    let durability = durability(reader, args.durability);
    let (duration, max_duration) = (duration?, max_duration?.unwrap_or(DEFAULT_MAX_DURATION));
    if let Some(duration) = duration
        && duration > max_duration
    {
        let (asked, most) = (duration.as_secs(), max_duration.as_secs());
        reader.refuse(
            &settings::DURATION.places(),
            format!("{asked}s is longer than the {most}s of --max-duration"),
        );
    }
    Ok(Recording {
        size: size?,
        fps: fps?.unwrap_or(DEFAULT_FPS),
        encoder: encoder?.unwrap_or_default(),
        duration,
        max_duration,
        page_timeout: page_timeout?.unwrap_or(DEFAULT_PAGE_TIMEOUT),
        await_start_marker: await_start_marker?.unwrap_or(false),
        durability: durability?,
    })
}

fn durability(reader: &mut Reader<'_>, args: DurabilityArgs) -> Read<Durability> {
    let checkpoint = reader.read(args.checkpoint, &settings::CHECKPOINT, parse::checkpoint);
    let memory = reader.read(args.spool_memory, &settings::SPOOL_MEMORY, parse::bytes);
    let disk = reader.read(args.spool_disk, &settings::SPOOL_DISK, parse::bytes);
    Ok(Durability {
        checkpoint: Some(checkpoint?.unwrap_or(DEFAULT_CHECKPOINT))
            .filter(|every| !every.is_zero()),
        spool_memory: memory?.unwrap_or(DEFAULT_SPOOL_MEMORY),
        spool_disk: disk?.unwrap_or(DEFAULT_SPOOL_DISK),
    })
}

fn source(
    reader: &mut Reader<'_>,
    url: Option<Secret>,
    page: MeetingPageArgs,
    test: TestMeetingArgs,
    local: bool,
) -> Read<Source> {
    let url = url.map(|url| url.expose().to_owned());
    let url = reader.read(url, &settings::URL, parse::page_url);
    let meeting = meeting::page(reader, page);
    if meeting::asked_for(&test) {
        if !local {
            return Err(reader.refuse(
                "--participants, --share, --scenario and --media-address",
                "go with --local only",
            ));
        }
        let test = meeting::test_meeting(reader, test);
        return match url? {
            Some(_) => Err(reader.refuse(
                settings::URL.flag,
                "does not go with --participants, --share, --scenario and --media-address",
            )),
            None => Ok(Source::TestMeeting { test: test?, meeting: meeting? }),
        };
    }
    if let Some(url) = url? {
        return Ok(Source::Url(PrivateUrl::new(url)));
    }
    match meeting::join(reader)? {
        Some(join) => Ok(Source::Meeting { join, meeting: meeting? }),
        None if local => Ok(Source::TestPage),
        None => Err(reader.refuse(
            "CHIME_MEETING_DATA and CHIME_ATTENDEE_DATA, or RECORDER_URL (or --url)",
            "are missing: say which meeting or which page to record",
        )),
    }
}

fn size(reader: &mut Reader<'_>, flag: Option<String>, local: bool) -> Read<Size> {
    if flag.is_some() || local {
        return Ok(reader.read(flag, &settings::SIZE, parse::size)?.unwrap_or(LOCAL_SIZE));
    }
    let width = reader.read(None, &settings::WIDTH, parse::width);
    let height = reader.read(None, &settings::HEIGHT, parse::height);
    Ok(Size {
        width: width?.unwrap_or(CONTAINER_SIZE.width),
        height: height?.unwrap_or(CONTAINER_SIZE.height),
    })
}

fn machine(reader: &mut Reader<'_>, args: MachineArgs) -> Read<(Tools, PathBuf)> {
    let firefox = reader.read(args.firefox, &settings::FIREFOX, parse::path);
    let firefox_cache = reader.read(args.firefox_cache, &settings::FIREFOX_CACHE, parse::path);
    let geckodriver = reader.read(args.geckodriver, &settings::GECKODRIVER, parse::path);
    let xvfb = reader.read(args.xvfb, &settings::XVFB, parse::path);
    let pulseaudio = reader.read(args.pulseaudio, &settings::PULSEAUDIO, parse::path);
    let search_path = reader.read(None, &settings::SEARCH_PATH, parse::search_path);
    let temp_dir = temp_dir(reader, args.temp_dir);
    let tools = Tools {
        firefox: firefox?.unwrap_or_else(|| DEFAULT_FIREFOX.into()),
        firefox_cache: firefox_cache?,
        geckodriver: geckodriver?.unwrap_or_else(|| DEFAULT_GECKODRIVER.into()),
        xvfb: xvfb?.unwrap_or_else(|| DEFAULT_XVFB.into()),
        pulseaudio: pulseaudio?.unwrap_or_else(|| DEFAULT_PULSEAUDIO.into()),
        search_path: search_path?.unwrap_or_else(|| DEFAULT_SEARCH_PATH.into()),
    };
    Ok((tools, temp_dir?))
}

fn temp_dir(reader: &mut Reader<'_>, flag: Option<String>) -> Read<PathBuf> {
    let given = reader.read(flag, &settings::TEMP_DIR, parse::path);
    let system = reader.read(None, &settings::SYSTEM_TEMP_DIR, parse::path);
    Ok(given?.or(system?).unwrap_or_else(|| DEFAULT_TEMP_DIR.into()))
}

fn logging(reader: &mut Reader<'_>, args: LogArgs, default: Filter) -> Read<Logging> {
    let format = reader.read(args.log_format, &settings::LOG_FORMAT, Format::parse);
    let filter = reader.read(args.log, &settings::LOG, Filter::parse);
    Ok(Logging { format: format?.unwrap_or(Format::Auto), filter: filter?.unwrap_or(default) })
}

#[cfg(test)]
mod tests;
