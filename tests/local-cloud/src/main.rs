//! The command: starts the cloud with an agent and a meeting, prints what to type to
//! record that, and waits.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use http::Method;
use local_cloud::{Cloud, Error, Options};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

/// Runs the whole product on this machine, and one meeting to record
#[derive(Debug, Parser)]
struct Args {
    /// So many people in the meeting, at most 25
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    participants: usize,
    /// Port of the API on 127.0.0.1; any that is free if not given
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Folder with recorder and the Lambdas' binaries; the one of this program if not
    /// given
    #[arg(long, value_name = "FOLDER")]
    bins: Option<PathBuf>,
    /// Measures how fast the Lambdas in this folder start, and does nothing else
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["participants", "port", "bins"])]
    cold_start: Option<PathBuf>,
}

/// Processes of each Lambda.
const COLD_STARTS: usize = 15;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .init();
    match Box::pin(run(args)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell_error(&*error);
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(folder) = args.cold_start {
        tell(&local_cloud::cold_start::measure(&folder, COLD_STARTS).await?);
        return Ok(());
    }
    // Before anything is started that a signal would leave behind.
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let ended = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    let bins = match args.bins {
        Some(bins) => bins,
        None => std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default(),
    };
    let options = Options { port: args.port, ..Options::new(bins) };
    let served = async {
        let cloud = Cloud::start(options).await?;
        introduce(&cloud, args.participants).await?;
        // Held until a signal ends it.
        std::future::pending::<()>().await;
        drop(cloud);
        Ok::<_, Error>(())
    };
    tokio::select! {
        served = served => Ok(served?),
        () = ended => Ok(()),
    }
}

/// Makes an agent and a meeting of theirs, and prints how to record it.
async fn introduce(cloud: &Cloud, participants: usize) -> Result<(), Error> {
    const MEETING: &str = "meeting-1";
    let agent = cloud.agent("agent").await?;
    let meeting = cloud.start_meeting(MEETING, &agent, participants).await?;
    agent.put_connect_user_cache().await?;
    let body = json!({ "externalMeetingId": MEETING });
    let start = agent.curl(&Method::POST, "/recording", Some(&body));
    let stop = agent.curl(&Method::DELETE, "/recording", Some(&body));
    let summary = format!("/recording-summary?externalMeetingId={MEETING}");
    let summary = agent.curl(&Method::GET, &summary, None);
    let told = format!(
        "HTTP API     {api}\n\
         Meetings API {meetings}\n\
         Meeting      {MEETING} (in Chime: {chime}), with {participants} people\n\
         Agent        {username}, who may call for an hour\n\
         \n\
         Start:\n  {start}\n\
         Stop:\n  {stop}\n\
         Summary:\n  {summary}\n\
         Play:\n  {summary} | python3 -c 'import json, sys; \
         print(json.load(sys.stdin)[\"data\"][-1][\"recordingURL\"])' | xargs ffplay\n\
         \n\
         Ctrl-C ends everything.",
        api = cloud.api(),
        meetings = cloud.meetings().endpoint(),
        chime = meeting.chime_meeting_id,
        username = agent.username(),
    );
    tell(&told);
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what the command is for")]
fn tell(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "there is no other place to say it")]
fn tell_error(error: &(dyn std::error::Error + 'static)) {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because {error}");
        cause = error.source();
    }
}
