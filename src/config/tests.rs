//! The rules that hold between settings; those of single values are in `parse.rs`.

use clap::{CommandFactory, Parser};

use super::*;

const MEETING: &str = "eyJNZWV0aW5nSWQiOiJtIiwiTWVkaWFSZWdpb24iOiJldS1jZW50cmFsLTEifQ==";
const ATTENDEE: &str = "eyJBdHRlbmRlZUlkIjoiYSIsIkpvaW5Ub2tlbiI6Ik1BUktFUiJ9";

/// A container that has all it needs.
const CONTAINER: [(&str, &str); 4] = [
    ("RECORDER_URL", "https://example.com/"),
    ("RECORDING_BUCKET_NAME", "my-recordings"),
    ("RECORDING_FILE_NAME", "RECORDINGS/a.mp4"),
    ("AWS_REGION", "eu-central-1"),
];

fn resolved(flags: &str, variables: &[(&str, &str)]) -> Result<Command, Problems> {
    let cli = Cli::try_parse_from(["recorder"].into_iter().chain(flags.split_whitespace()));
    // The last one wins, so that a test can change one of `CONTAINER`.
    let lookup = |name: &str| {
        let found = variables.iter().rev().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    resolve(cli.unwrap(), &lookup, "2026-11-22T18:32:01.5Z".parse().unwrap())
}

fn recorded(flags: &str, variables: &[(&str, &str)]) -> Config {
    match resolved(flags, variables) {
        Ok(Command::Record(config)) => *config,
        other => panic!("{other:?}"),
    }
}

fn contained(flags: &str, variables: &[(&str, &str)]) -> Config {
    recorded(flags, &[&CONTAINER, variables].concat())
}

fn bucket_of(config: Config) -> Bucket {
    match config.destination {
        Destination::S3 { bucket, .. } => bucket,
        local @ Destination::Local { .. } => panic!("{local:?}"),
    }
}

/// The problems, one line each.
fn problems(flags: &str, variables: &[(&str, &str)]) -> Vec<String> {
    resolved(flags, variables).unwrap_err().into_iter().map(|problem| problem.to_string()).collect()
}

fn contained_problems(flags: &str, variables: &[(&str, &str)]) -> Vec<String> {
    problems(flags, &[&CONTAINER, variables].concat())
}

impl Tools {
    /// What a Debian machine has, for tests of those who start them.
    pub(crate) fn of_debian() -> Self {
        Self {
            firefox: "firefox-esr".into(),
            firefox_cache: None,
            geckodriver: "geckodriver".into(),
            xvfb: "Xvfb".into(),
            pulseaudio: "pulseaudio".into(),
            search_path: DEFAULT_SEARCH_PATH.into(),
        }
    }
}

#[test]
fn a_local_recording_needs_no_settings() {
    let config = recorded("--local", &[]);
    assert_eq!(config.source, Source::TestPage);
    assert_eq!(
        config.recording,
        Recording {
            size: Size { width: 1920, height: 1080 },
            fps: 30,
            encoder: crate::capture::VideoEncoder::X264,
            duration: None,
            max_duration: Duration::from_hours(12),
            page_timeout: Duration::from_secs(30),
            await_start_marker: false,
            durability: Durability {
                checkpoint: Some(Duration::from_secs(5)),
                spool_memory: 64 << 20,
                spool_disk: 2 << 30,
            },
        }
    );
    assert_eq!(
        config.destination,
        Destination::Local {
            dir: "./recordings".into(),
            key: "recording-20261122T183201.500Z.mp4".to_owned(),
        }
    );
    assert_eq!(config.tools.firefox, PathBuf::from("firefox-esr"));
    assert_eq!(config.temp_dir, PathBuf::from("/tmp"));
    assert_eq!(config.logging, Logging::without_settings());
}

#[test]
fn a_local_recording_leaves_the_orders_of_a_container_alone() {
    let orders = [
        ("TASK_TYPE", "PRE_WARM"),
        ("RECORDING_BUCKET_NAME", "?"),
        ("RECORDING_FILE_NAME", "/"),
        ("RECORDING_SCREEN_WIDTH", "?"),
        ("AWS_REGION", "?"),
        ("RECORDER_S3_ENDPOINT", "?"),
        ("RECORDER_S3_PATH_STYLE", "?"),
        ("RECORDER_SSE_KMS_KEY", "? ?"),
    ];
    assert_eq!(recorded("--local", &orders), recorded("--local", &[]));
}

#[test]
fn a_local_recording_takes_its_flags() {
    let config = recorded(
        "--local --url http://example.com/a --duration 30s --output /srv/films --size 1280x720 \
         --fps 25 --max-duration 1h --page-timeout 5s --key a/b.mp4 --temp-dir /var/tmp \
         --firefox /opt/firefox --firefox-cache /srv/warm --geckodriver gd --xvfb x --pulseaudio p --log debug \
         --log-format json",
        &[],
    );
    let recording = config.recording;
    let Source::Url(url) = config.source else { panic!("not a page") };
    assert_eq!(url.expose().as_str(), "http://example.com/a");
    assert_eq!(recording.size, Size { width: 1280, height: 720 });
    assert_eq!(recording.fps, 25);
    assert_eq!(recording.duration, Some(Duration::from_secs(30)));
    assert_eq!(recording.max_duration, Duration::from_hours(1));
    assert_eq!(recording.page_timeout, Duration::from_secs(5));
    let (dir, key) = ("/srv/films".into(), "a/b.mp4".to_owned());
    assert_eq!(config.destination, Destination::Local { dir, key });
    assert_eq!(config.temp_dir, PathBuf::from("/var/tmp"));
    assert_eq!(
        config.tools,
        Tools {
            firefox: "/opt/firefox".into(),
            firefox_cache: Some("/srv/warm".into()),
            geckodriver: "gd".into(),
            xvfb: "x".into(),
            pulseaudio: "p".into(),
            search_path: DEFAULT_SEARCH_PATH.into(),
        }
    );
    assert_eq!(
        config.logging,
        Logging { format: Format::Json, filter: Filter::parse("debug").unwrap() }
    );
}

#[test]
fn a_container_records_in_its_own_size_unless_told() {
    for (variables, width, height) in [
        (&[][..], 1280, 720),
        (&[("RECORDING_SCREEN_WIDTH", ""), ("RECORDING_SCREEN_HEIGHT", "")], 1280, 720),
        (&[("RECORDING_SCREEN_WIDTH", "1920"), ("RECORDING_SCREEN_HEIGHT", "1080")], 1920, 1080),
        (&[("RECORDING_SCREEN_HEIGHT", "1080")], 1280, 1080),
    ] {
        assert_eq!(contained("", variables).recording.size, Size { width, height });
    }
    let flag = contained("--size 640x480", &[("RECORDING_SCREEN_WIDTH", "1920")]);
    assert_eq!(flag.recording.size, Size { width: 640, height: 480 });
}

#[test]
fn a_container_records_into_its_bucket() {
    let config = contained("", &[("TASK_TYPE", "RECORDING")]);
    assert_eq!(
        config.destination,
        Destination::S3 {
            bucket: Bucket {
                name: "my-recordings".to_owned(),
                region: "eu-central-1".to_owned(),
                endpoint: None,
                path_style: false,
                encryption: None,
            },
            key: "RECORDINGS/a.mp4".to_owned(),
        }
    );
}

#[test]
fn an_endpoint_brings_path_style_and_a_region() {
    let endpoint = ("RECORDER_S3_ENDPOINT", "http://127.0.0.1:9000");
    let bucket = bucket_of(contained("", &[endpoint, ("AWS_REGION", "")]));
    assert_eq!(bucket.endpoint.unwrap().as_str(), "http://127.0.0.1:9000/");
    assert_eq!((bucket.region.as_str(), bucket.path_style), ("us-east-1", true));
    assert_eq!(bucket_of(contained("", &[endpoint])).region, "eu-central-1");
    assert!(!bucket_of(contained("--s3-path-style=false", &[endpoint])).path_style);
    assert!(bucket_of(contained("--s3-path-style", &[])).path_style);
    let kms = bucket_of(contained("--sse-kms-key alias/aws/s3", &[]));
    assert_eq!(kms.encryption, Some(Encryption::Key("alias/aws/s3".to_owned())));
}

#[test]
fn every_flag_beats_its_variable_and_an_empty_variable_is_none() {
    for (flag, variable) in [
        ("--url https://a/", ("RECORDER_URL", "?")),
        ("--duration 1s", ("RECORDER_DURATION", "?")),
        ("--max-duration 1h", ("RECORDER_MAX_DURATION", "?")),
        ("--page-timeout 1s", ("RECORDER_PAGE_TIMEOUT", "?")),
        ("--fps 1", ("RECORDER_FPS", "?")),
        ("--await-start-marker", ("RECORDER_AWAIT_START_MARKER", "?")),
        ("--key k", ("RECORDING_FILE_NAME", "/")),
        ("--bucket abc", ("RECORDING_BUCKET_NAME", "?")),
        ("--region r", ("AWS_REGION", "?")),
        ("--s3-endpoint http://a/", ("RECORDER_S3_ENDPOINT", "?")),
        ("--s3-path-style", ("RECORDER_S3_PATH_STYLE", "?")),
        ("--sse-kms-key k", ("RECORDER_SSE_KMS_KEY", "?")),
        ("--firefox f", ("RECORDER_FIREFOX", "\0")),
        ("--firefox-cache c", ("RECORDER_FIREFOX_CACHE", "\0")),
        ("--geckodriver g", ("RECORDER_GECKODRIVER", "\0")),
        ("--xvfb x", ("RECORDER_XVFB", "\0")),
        ("--pulseaudio p", ("RECORDER_PULSEAUDIO", "\0")),
        ("--temp-dir t", ("RECORDER_TEMP_DIR", "\0")),
        ("--log info", ("RECORDER_LOG", "?")),
        ("--log-format json", ("RECORDER_LOG_FORMAT", "?")),
    ] {
        let alone = contained_problems("", &[variable]);
        assert!(alone.len() == 1 && alone[0].starts_with(variable.0), "{alone:?}");
        assert_eq!(contained(flag, &[variable]), contained(flag, &[]));
        let name = flag.split(' ').next().unwrap();
        assert_eq!(contained(flag, &[(variable.0, "")]), contained(flag, &[]), "{name}");
        // The same text means the same wherever it is given.
        let text = flag.split_once(' ').map_or("true", |(_, text)| text);
        assert_eq!(contained("", &[(variable.0, text)]), contained(flag, &[]), "{name}");
    }
    assert_eq!(contained("", &[("TMPDIR", "/t")]).temp_dir, PathBuf::from("/t"));
}

#[test]
fn pre_warming_looks_at_nothing_else() {
    let pre_warm = ("TASK_TYPE", "PRE_WARM");
    let wrong = [pre_warm, ("RECORDER_FPS", "?"), ("RECORDER_LOG", "?")];
    assert_eq!(resolved("", &wrong), Ok(Command::PreWarm));
    for task in ["RECORDING", "", "pre_warm", "PRE_WARM "] {
        assert_eq!(contained("", &[("TASK_TYPE", task)]), contained("", &[]));
    }
    assert!(matches!(resolved("doctor", &[pre_warm]), Ok(Command::Doctor(_))));
}

#[test]
fn a_container_without_orders_is_told_what_is_missing() {
    assert_eq!(
        resolved("", &[]).unwrap_err().to_string(),
        "4 settings are wrong, nothing was started:\n  \
         CHIME_MEETING_DATA and CHIME_ATTENDEE_DATA, or RECORDER_URL (or --url): are missing: say \
         which meeting or which page to record\n  \
         RECORDING_BUCKET_NAME (or --bucket) is missing: expected the name of a bucket: 3 to 63 \
         lower-case letters, digits, hyphens and dots, for example my-recordings\n  \
         AWS_REGION (or --region) is missing: expected the region of the bucket, for example \
         eu-central-1\n  \
         RECORDING_FILE_NAME (or --key) is missing: expected the name of the object: at most 1024 \
         bytes, no '/' at its ends, no '.' or '..' as a folder, no control characters, for example \
         RECORDINGS/2026/11/22/18/call.mp4"
    );
}

#[test]
fn all_problems_come_in_one_message() {
    let found = problems(
        "--fps 99 --duration 30 --s3-path-style=yes --output here --log loud --log-format xml",
        &[
            ("RECORDER_URL", "example.com"),
            ("RECORDER_MAX_DURATION", "25h"),
            ("RECORDER_PAGE_TIMEOUT", "11m"),
            ("RECORDING_SCREEN_WIDTH", "1921"),
            ("RECORDING_SCREEN_HEIGHT", "tall"),
            ("RECORDING_BUCKET_NAME", "My_Bucket"),
            ("RECORDING_FILE_NAME", "/film.mp4"),
            ("AWS_REGION", "EU"),
            ("RECORDER_S3_ENDPOINT", "localhost"),
            ("RECORDER_SSE_KMS_KEY", "a key"),
            ("RECORDER_XVFB", "\0"),
        ],
    );
    let starts = [
        "RECORDER_URL 'example.com': expected the http, https or file address",
        "RECORDING_SCREEN_WIDTH '1921': expected an even number of pixels from 640 to 3840",
        "RECORDING_SCREEN_HEIGHT 'tall': expected an even number of pixels from 360 to 2160",
        "--fps '99': expected a whole number of pictures a second from 1 to 60, for example 30",
        "--duration '30': expected a length of time with units, for example 30s or 1h30m",
        "RECORDER_MAX_DURATION '25h': expected a length of time with units, at most 24h",
        "RECORDER_PAGE_TIMEOUT '11m': expected a length of time with units, at most 10m",
        "--output: goes with --local only",
        "RECORDING_BUCKET_NAME 'My_Bucket': expected the name of a bucket",
        "RECORDER_S3_ENDPOINT 'localhost': expected an http or https address",
        "AWS_REGION 'EU': expected the region",
        "--s3-path-style 'yes': expected true or false, for example true",
        "RECORDER_SSE_KMS_KEY 'a key': expected the id, ARN or alias",
        "RECORDING_FILE_NAME '/film.mp4': expected the name of the object",
        r"RECORDER_XVFB '\0': expected the name or the path of a program, for example Xvfb",
        "--log-format 'xml': expected human or json",
        "--log 'loud': expected off, error, warn, info, debug or trace",
    ];
    assert_eq!(found.len(), starts.len(), "{found:#?}");
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}\n{start}");
    }
}

#[test]
fn lengths_have_to_fit_each_other() {
    assert_eq!(
        problems("--local --duration 2h --max-duration 1h", &[]),
        ["RECORDER_DURATION (or --duration): 7200s is longer than the 3600s of --max-duration"]
    );
    assert_eq!(problems("--local --duration 13h", &[]).len(), 1);
    recorded("--local --duration 1h --max-duration 1h", &[]);
}

#[test]
fn local_and_s3_flags_do_not_go_together() {
    let found = problems(
        "--local --bucket abc --region r --s3-endpoint http://a/ --s3-path-style --sse-kms-key k",
        &[],
    );
    let flags: Vec<_> = found.iter().filter_map(|problem| problem.split(':').next()).collect();
    let s3 = ["--bucket", "--region", "--s3-endpoint", "--s3-path-style", "--sse-kms-key"];
    assert_eq!(flags, s3);
}

#[test]
fn a_meeting_needs_both_halves() {
    let (no_page, meeting, attendee) =
        (("RECORDER_URL", ""), ("CHIME_MEETING_DATA", MEETING), ("CHIME_ATTENDEE_DATA", ATTENDEE));
    for (given, expected) in [
        (&[no_page, meeting][..], "CHIME_ATTENDEE_DATA is missing: expected a Chime Attendee"),
        (&[no_page, attendee], "CHIME_MEETING_DATA is missing: expected a Chime Meeting"),
        (&[no_page], "CHIME_MEETING_DATA and CHIME_ATTENDEE_DATA, or RECORDER_URL (or --url)"),
    ] {
        let problems = contained_problems("", given);
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{problems:?}");
    }
    let names = ("RECORDER_ATTENDEE_NAMES", "eyJhIjogIkFsaWNlIn0=");
    let Source::Meeting { join, meeting } =
        contained("", &[no_page, meeting, attendee, names]).source
    else {
        panic!("not a meeting");
    };
    assert_eq!((join.meeting.expose(), join.attendee.expose()), (MEETING, ATTENDEE));
    assert_eq!(join.names["a"], "Alice");
    assert_eq!(meeting.rules.empty, Duration::from_mins(2));
    assert_eq!(meeting.rules.nobody, Duration::from_mins(10));
    // A page needs no meeting, not even a right one.
    contained("", &[("CHIME_MEETING_DATA", "?")]);
}

#[test]
fn a_local_recording_joins_a_meeting_that_is_named_and_nothing_else_asked_for() {
    let join = [("CHIME_MEETING_DATA", MEETING), ("CHIME_ATTENDEE_DATA", ATTENDEE)];
    let source = |flags: &str| recorded(flags, &join).source;
    assert!(matches!(source("--local"), Source::Meeting { .. }));
    assert!(matches!(source("--local --participants 2"), Source::TestMeeting { .. }));
    assert!(matches!(source("--local --url http://a/"), Source::Url(_)));
    for (variables, expected) in [
        (&join[..1], "CHIME_ATTENDEE_DATA"),
        (&[("RECORDER_ATTENDEE_NAMES", "?")], "RECORDER_ATTENDEE_NAMES"),
    ] {
        let problems = problems("--local", variables);
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
}

#[test]
fn a_meeting_of_its_own_is_for_local_recordings() {
    let standard = |flags: &str| match recorded(flags, &[("HOME", "/h")]).source {
        Source::TestMeeting { test, .. } => test,
        other => panic!("{other:?}"),
    };
    let test = standard("--local --share");
    assert_eq!(test.people, meeting::People::Standard { participants: 4, share: true });
    assert_eq!(test.cache, PathBuf::from("/h/.cache/recorder/meeting"));
    assert_eq!(
        standard("--local --scenario call.toml").people,
        meeting::People::Scenario("call.toml".into())
    );
    for (flags, expected) in [
        ("--local --participants 26", "--participants"),
        ("--local --share --scenario a", "--scenario"),
        ("--local --share --url http://a/", "--url"),
        ("--local --share --empty-timeout 5", "--empty-timeout"),
        ("--local --layout heap", "--layout"),
    ] {
        let problems = problems(flags, &[]);
        assert!(problems.iter().any(|problem| problem.starts_with(expected)), "{problems:?}");
    }
    assert!(contained_problems("--participants 4", &[])[0].contains("--local only"));
}

#[test]
fn doctor_asks_for_a_bucket_only_if_s3_is_meant() {
    let doctor = |flags: &str, variables: &[(&str, &str)]| match resolved(flags, variables) {
        Ok(Command::Doctor(doctor)) => doctor,
        other => panic!("{other:?}"),
    };
    assert_eq!(doctor("doctor", &[("AWS_REGION", "eu-central-1")]).bucket, None);
    let bucket = doctor("doctor --xvfb x", &CONTAINER);
    assert_eq!(bucket.bucket.unwrap().name, "my-recordings");
    assert_eq!(bucket.tools.xvfb, PathBuf::from("x"));
    let endpoint_alone = problems("doctor --s3-endpoint http://a/", &[]);
    assert!(endpoint_alone[0].starts_with("RECORDING_BUCKET_NAME (or --bucket) is missing"));
    assert_eq!(problems("doctor --bucket abc --log loud", &[]).len(), 2);
}

#[test]
fn secrets_are_in_nothing_that_is_printed() {
    let marker = "MARKER";
    let address = format!("https://user:{marker}@example.com/?token={marker}&x#{marker}");
    let config = contained("", &[("RECORDER_URL", &address)]);
    assert!(!format!("{config:?} {config:#?}").contains(marker));
    let Source::Url(url) = &config.source else { panic!("not a page") };
    assert_eq!(url.expose().as_str(), address);
    let join = meeting::Join {
        meeting: Secret::new(marker),
        attendee: Secret::new(marker),
        names: std::collections::BTreeMap::new(),
    };
    assert!(!format!("{join:?} {join:#?}").contains(marker));

    let long = format!("{marker}{MEETING}");
    let unreadable = address.replace("https", "MARKER ");
    for (name, text) in [
        ("CHIME_MEETING_DATA", marker),
        ("CHIME_ATTENDEE_DATA", marker),
        ("RECORDER_S3_ENDPOINT", &address),
        ("RECORDER_URL", &address.replace("https", "ftp")),
        ("RECORDER_URL", &unreadable),
        ("RECORDER_FPS", &long),
        ("RECORDING_BUCKET_NAME", &long),
        ("AWS_REGION", &long),
    ] {
        let variables = [&CONTAINER[..], &[("RECORDER_URL", ""), (name, text)]].concat();
        let problems = resolved("", &variables).unwrap_err();
        assert!(!format!("{problems} {problems:?} {problems:#?}").contains(marker), "{problems}");
    }
}

#[test]
fn help_names_every_variable_and_default() {
    let help = Cli::command().render_long_help().to_string();
    let said: Vec<&str> = help.split(|c: char| c.is_whitespace() || ".,;".contains(c)).collect();
    for word in [
        "RECORDER_URL",
        "RECORDER_DURATION",
        "RECORDER_MAX_DURATION",
        "RECORDER_PAGE_TIMEOUT",
        "RECORDER_FPS",
        "RECORDER_AWAIT_START_MARKER",
        "RECORDING_SCREEN_WIDTH",
        "RECORDING_SCREEN_HEIGHT",
        "RECORDING_BUCKET_NAME",
        "RECORDING_FILE_NAME",
        "AWS_REGION",
        "RECORDER_S3_ENDPOINT",
        "RECORDER_S3_PATH_STYLE",
        "RECORDER_SSE_KMS_KEY",
        "RECORDER_FIREFOX",
        "RECORDER_FIREFOX_CACHE",
        "RECORDER_GECKODRIVER",
        "RECORDER_XVFB",
        "RECORDER_PULSEAUDIO",
        "RECORDER_TEMP_DIR",
        "TMPDIR",
        "RECORDER_LOG",
        "RECORDER_LOG_FORMAT",
        "TASK_TYPE",
        "CHIME_MEETING_DATA",
        "CHIME_ATTENDEE_DATA",
        "1920x1080",
        "1280x720",
        "12h",
        "24h",
        "10m",
        "30s",
        "30",
        "us-east-1",
        DEFAULT_FIREFOX,
        DEFAULT_GECKODRIVER,
        DEFAULT_XVFB,
        DEFAULT_PULSEAUDIO,
        DEFAULT_TEMP_DIR,
    ] {
        assert!(said.contains(&word), "{word} is not in the help");
    }
    assert!(help.contains(DEFAULT_OUTPUT));
}

#[test]
fn the_deployment_counts_on_what_the_worker_does() {
    let told: serde_json::Value =
        serde_json::from_str(include_str!("../../deploy/lib/worker.json")).unwrap();
    let ours = [
        ("stopTimeoutSeconds", crate::recording::machine::STOP_TIMEOUT.as_secs()),
        ("longestRecordingHours", LONGEST_DURATION.as_secs() / 3600),
        ("spoolDiskGiB", DEFAULT_SPOOL_DISK >> 30),
    ];
    for (name, value) in ours {
        assert_eq!(told[name], value, "{name} of deploy/lib/worker.json");
    }
}
