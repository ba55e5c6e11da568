//! From a configuration to a recording: makes the folder, the store and the
//! address of the page, and hands them to [`recording::run`].
//!
//! The only place that knows that a recording can stay on this machine.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use url::Url;

use crate::children::sound;
use crate::config::meeting::{Join, Meeting as MeetingSettings};
use crate::config::{Bucket, Config, Destination, Encryption, Source};
use crate::error::chain;
use crate::events::{Failure, Stage, StopReason};
use crate::health::Health;
use crate::logging::Format;
use crate::meeting::{Input, Meeting};
use crate::recording::machine::End;
use crate::recording::report::Report;
use crate::recording::status::StatusLine;
use crate::recording::{self, Setup, Shown};
use crate::secret::scrub;
use crate::signals::Stop;
use crate::upload::s3::{self, ClientSettings, S3Store};
use crate::upload::store::Object;
use crate::work_folder::Folder;

/// Part of the margin that the stop ladder keeps free (`EXIT_MARGIN`).
#[cfg(feature = "local")]
const SERVER_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(feature = "local")]
const LOCAL_BUCKET: &str = crate::local::BUCKET;
#[cfg(not(feature = "local"))]
const LOCAL_BUCKET: &str = "";

/// Why a recording could not even begin; nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no folder for temporary files can be made in {dir:?} (--temp-dir)")]
    TempDir { dir: std::path::PathBuf, source: std::io::Error },
    #[error(
        "the folder for temporary files {dir:?} cannot be used: {why}; name another with --temp-dir"
    )]
    Unfit { dir: std::path::PathBuf, why: String },
    #[cfg(feature = "local")]
    #[error("the recordings cannot be kept in this folder")]
    Local(#[from] crate::local::Error),
    #[cfg(not(feature = "local"))]
    #[error("this build of the recorder has no --local")]
    NoLocal,
    #[cfg(not(feature = "local"))]
    #[error("this build of the recorder has no test page")]
    NoTestPage,
    #[error("the meeting page cannot be shown")]
    Page(#[from] crate::meeting::server::Error),
    #[cfg(feature = "local")]
    #[error("the meeting cannot be held")]
    Meeting(#[from] crate::local::meeting::Error),
    #[cfg(not(feature = "local"))]
    #[error("this build of the recorder has no meeting of its own")]
    NoTestMeeting,
}

/// Records as configured. `started` is when the process started.
pub async fn run(
    config: &Config,
    started: Instant,
    stops: mpsc::UnboundedReceiver<Stop>,
) -> Report {
    let started_at = jiff::Timestamp::now();
    let end = match record(config, started, stops).await {
        Ok(Some(report)) => return report,
        Ok(None) => End::Stopped(StopReason::Signal),
        Err(error) => End::Failed(Failure::new(Stage::Start, scrub(&chain(&error)))),
    };
    let (bucket, key) = match &config.destination {
        Destination::S3 { bucket, key } => (&*bucket.name, key),
        Destination::Local { key, .. } => (LOCAL_BUCKET, key),
    };
    Report::not_begun(bucket, key, started_at, end)
}

/// `None`: it was stopped before there was anything to record.
async fn record(
    config: &Config,
    started: Instant,
    mut stops: mpsc::UnboundedReceiver<Stop>,
) -> Result<Option<Report>, Error> {
    let dir = Folder::of_recording(&config.temp_dir)
        .map_err(|source| Error::TempDir { dir: config.temp_dir.clone(), source })?;
    if let Some(why) = sound::unfit(dir.path()) {
        return Err(Error::Unfit { dir: config.temp_dir.clone(), why });
    }
    #[cfg(feature = "local")]
    let opened = match &config.destination {
        Destination::S3 { .. } => None,
        // Before a meeting is made, which takes its time.
        Destination::Local { dir, .. } => Some(crate::local::Opened::start(dir).await?),
    };
    let (shown, held) = tokio::select! {
        shown = shown(&config.source, dir.path()) => shown?,
        Some(_) = stops.recv() => return Ok(None),
    };
    let setup = |store| Setup {
        recording: &config.recording,
        tools: &config.tools,
        store: Arc::new(store),
        dir: dir.path(),
        spool_dir: &config.temp_dir,
        started,
        status: StatusLine::new(config.logging.format != Format::Json),
        health: config.health_file.clone().map(Health::new),
    };
    let report = match &config.destination {
        Destination::S3 { bucket, key } => {
            let client = s3::client(client_settings(bucket)).await;
            let object = Object { bucket: bucket.name.clone(), key: key.clone() };
            let store = S3Store::new(client, object, encryption(bucket));
            Ok(recording::run(setup(store), shown, stops).await)
        }
        #[cfg(feature = "local")]
        Destination::Local { key, .. } => {
            let crate::local::Opened { server, client } = opened.expect("opened above");
            let object = Object { bucket: crate::local::BUCKET.into(), key: key.clone() };
            let store = S3Store::new(client, object, s3::Encryption::BucketDefault);
            let mut report = recording::run(setup(store), shown, stops).await;
            if report.object.bytes.is_some() {
                report.object.path = Some(server.object_path(key));
            }
            // Whoever still asks it for something has been told all that there is.
            let _ = tokio::time::timeout(SERVER_PATIENCE, server.stop()).await;
            Ok(report)
        }
        #[cfg(not(feature = "local"))]
        Destination::Local { .. } => Err(Error::NoLocal),
    };
    held.end();
    report.map(Some)
}

/// What goes on in this process for as long as it is filmed.
#[derive(Debug)]
enum Held {
    Nothing,
    #[cfg(feature = "local")]
    Meeting(crate::local::meeting::Held),
}

impl Held {
    fn end(self) {
        match self {
            Self::Nothing => {}
            #[cfg(feature = "local")]
            Self::Meeting(meeting) => meeting.end(),
        }
    }
}

/// What to film. `dir` may take a page that is part of the recorder.
async fn shown(source: &Source, dir: &Path) -> Result<(Shown, Held), Error> {
    match source {
        Source::Url(url) => Ok((Shown::Page(url.expose().clone()), Held::Nothing)),
        Source::TestPage => Ok((Shown::Page(test_page(dir)?), Held::Nothing)),
        Source::Meeting { join, meeting } => {
            Ok((joined(join.clone(), meeting).await?, Held::Nothing))
        }
        #[cfg(feature = "local")]
        Source::TestMeeting { test, meeting } => {
            let (held, join) = crate::local::meeting::hold(test, None, None).await?;
            Ok((joined(join, meeting).await?, Held::Meeting(held)))
        }
        #[cfg(not(feature = "local"))]
        Source::TestMeeting { .. } => Err(Error::NoTestMeeting),
    }
}

async fn joined(join: Join, settings: &MeetingSettings) -> Result<Shown, Error> {
    let MeetingSettings { page, look, rules } = settings;
    let input = Input {
        meeting: join.meeting,
        attendee: join.attendee,
        names: join.names,
        look: look.clone(),
    };
    Ok(Shown::Meeting(Meeting::start(page, input, *rules).await?))
}

#[cfg(feature = "local")]
fn test_page(dir: &Path) -> Result<Url, Error> {
    let file = dir.join("testpage.html");
    std::fs::write(&file, crate::local::TEST_PAGE)
        .map_err(|source| Error::TempDir { dir: dir.to_owned(), source })?;
    Ok(Url::from_file_path(&file).expect("a temporary folder has an absolute path"))
}

#[cfg(not(feature = "local"))]
fn test_page(_dir: &Path) -> Result<Url, Error> {
    Err(Error::NoTestPage)
}

/// How to reach a bucket, for recording and for looking at it.
pub(crate) fn client_settings(bucket: &Bucket) -> ClientSettings {
    ClientSettings {
        region: Some(bucket.region.clone()),
        endpoint: bucket.endpoint.as_ref().map(ToString::to_string),
        force_path_style: bucket.path_style,
        credentials: None,
    }
}

/// How the objects of a bucket are encrypted.
pub(crate) fn encryption(bucket: &Bucket) -> s3::Encryption {
    match &bucket.encryption {
        None => s3::Encryption::BucketDefault,
        Some(Encryption::DefaultKey) => s3::Encryption::Kms,
        Some(Encryption::Key(key)) => s3::Encryption::KmsKey(key.clone()),
    }
}

/// Holds a meeting with nobody recording it, until it is stopped.
#[cfg(feature = "local")]
pub async fn serve(
    settings: &crate::config::meeting::Serve,
    mut stops: mpsc::UnboundedReceiver<Stop>,
) -> Result<(), Error> {
    use std::io::Write;

    let crate::config::meeting::Serve { meeting, page, look, port, meeting_id, .. } = settings;
    let (held, join) = tokio::select! {
        held = crate::local::meeting::hold(meeting, *port, meeting_id.clone()) => held?,
        Some(_) = stops.recv() => return Ok(()),
    };
    let server = crate::meeting::server::Server::start(page).await?;
    let told = serde_json::json!({
        "page": crate::meeting::page_address(server.address(), &Input {
            meeting: join.meeting.clone(),
            attendee: join.attendee.clone(),
            names: join.names.clone(),
            look: look.clone(),
        })
        .as_str(),
        "endpoint": held.endpoint(),
        "CHIME_MEETING_DATA": join.meeting.expose(),
        "CHIME_ATTENDEE_DATA": join.attendee.expose(),
        "names": join.names,
    });
    // Who closed stdout does not want to know.
    let _ = writeln!(std::io::stdout(), "{told}");
    tracing::info!("open the address of \"page\" in a browser; SIGINT ends the meeting");
    let _ = stops.recv().await;
    held.end();
    Ok(())
}

#[cfg(not(feature = "local"))]
#[expect(clippy::unused_async, reason = "as with the feature")]
pub async fn serve(
    _: &crate::config::meeting::Serve,
    _: mpsc::UnboundedReceiver<Stop>,
) -> Result<(), Error> {
    Err(Error::NoTestMeeting)
}
