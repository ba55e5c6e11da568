//! How long the Lambdas' binaries take until they work, and how much memory.
//!
//! It is what Lambda does: a process, told where its runtime API is, asks that for
//! events. Each event here is one that a function passes over or refuses by itself, so
//! that no other service is in the figures; the sweeper has none such, and only
//! starts. It must not know the local cloud.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{Path as Name, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::functions::{FUNCTIONS, Function};
use crate::sigv4::REGION;

/// A process that takes so long has failed.
const HANGS: Duration = Duration::from_secs(20);

/// It starts, and any event makes it look for work.
const HAS_NO_SUCH_EVENT: &str = "recording-sweeper";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{name} cannot be run", name = name.display())]
    Run { name: std::path::PathBuf, source: std::io::Error },
    #[error("the runtime API cannot listen on loopback")]
    Listen(#[source] std::io::Error),
    #[error("{function}: {what}")]
    Failed { function: &'static str, what: String },
}

/// What a process has done.
#[derive(Debug)]
enum Said {
    Asks(Instant),
    Answers(Instant),
    Fails(String),
}

/// The runtime API of one process.
#[derive(Debug)]
struct Runtime {
    event: Mutex<Option<Value>>,
    said: mpsc::UnboundedSender<Said>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    /// Until it asks for its first event.
    ready: Duration,
    /// From there until its answer; the process's first.
    answer: Option<Duration>,
    /// The most memory it had, in kibibytes.
    memory: u64,
}

/// Runs each function of `bins`, folders with a `bootstrap` or plain binaries, so many
/// times, and gives a table of medians and maxima.
pub async fn measure(bins: &Path, times: usize) -> Result<String, Error> {
    let mut table = format!(
        "{times} processes each: median (maximum)\n{:<24}{:>16}{:>18}{:>18}\n",
        "function", "ready", "first answer", "memory"
    );
    for function in &FUNCTIONS {
        let mut runs = Vec::new();
        for _ in 0..times {
            runs.push(run(bins, function).await?);
        }
        let ready = told(runs.iter().map(|run| milliseconds(run.ready)), "ms");
        let answer = told(runs.iter().filter_map(|run| run.answer.map(milliseconds)), "ms");
        #[expect(clippy::cast_precision_loss, reason = "a process has less than 2^52 KiB")]
        let memory = told(runs.iter().map(|run| run.memory as f64 / 1024.0), "MiB");
        let _ = writeln!(table, "{:<24}{ready:>16}{answer:>18}{memory:>18}", function.name);
    }
    Ok(table)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn told(values: impl Iterator<Item = f64>, unit: &str) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let most = values.last();
    most.map_or("-".into(), |most| format!("{:.1} ({most:.1}) {unit}", values[values.len() / 2]))
}

async fn run(bins: &Path, function: &'static Function) -> Result<Run, Error> {
    let failed = |what: String| Error::Failed { function: function.name, what };
    let packaged = bins.join(function.name).join("bootstrap");
    let program = if packaged.is_file() { packaged } else { bins.join(function.name) };
    let (say, mut said) = mpsc::unbounded_channel();
    let event = (function.name != HAS_NO_SUCH_EVENT).then(event);
    let expects_answer = event.is_some();
    let runtime = Arc::new(Runtime { event: Mutex::new(event), said: say });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(Error::Listen)?;
    let address = listener.local_addr().map_err(Error::Listen)?;
    let server = tokio::spawn(axum::serve(listener, router(runtime)).into_future());

    let mut command = tokio::process::Command::new(&program);
    command
        .env_clear()
        .envs(environment(function))
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let begun = Instant::now();
    let mut process =
        command.spawn().map_err(|source| Error::Run { name: program.clone(), source })?;
    let watched = async {
        let mut asked = None;
        loop {
            match said.recv().await {
                Some(Said::Asks(at)) if asked.is_none() => {
                    asked = Some(at);
                    if !expects_answer {
                        return Ok((at, None));
                    }
                }
                Some(Said::Answers(at)) => {
                    let asked = asked.ok_or_else(|| failed("it answers nobody".into()))?;
                    return Ok((asked, Some(at - asked)));
                }
                Some(Said::Fails(what)) => return Err(failed(what)),
                Some(Said::Asks(_)) => {}
                None => return Err(failed("the runtime API has ended".into())),
            }
        }
    };
    let (asked, answer) = tokio::select! {
        watched = watched => watched?,
        ended = process.wait() => return Err(failed(format!("it has ended: {ended:?}"))),
        () = tokio::time::sleep(HANGS) => return Err(failed(format!("nothing for {HANGS:?}"))),
    };
    let memory = process.id().and_then(peak_memory);
    let memory = memory.ok_or_else(|| failed("its memory cannot be read".into()))?;
    server.abort();
    Ok(Run { ready: asked - begun, answer, memory })
}

/// In kibibytes.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// A request without a token; no event means anything by that.
fn event() -> Value {
    json!({
        "version": "2.0",
        "headers": {},
        "queryStringParameters": { "externalMeetingId": "m" },
        "requestContext": { "requestId": "r", "http": { "method": "POST", "path": "/" } },
        "body": "{\"externalMeetingId\":\"m\"}",
    })
}

fn environment(function: &Function) -> BTreeMap<&'static str, String> {
    let own = function.environment_with(|name| match name {
        "ECS_CLUSTER_ARN" => format!("arn:aws:ecs:{REGION}:111122223333:cluster/c"),
        "ECS_TASK_DEFINITION_ARN" => {
            format!("arn:aws:ecs:{REGION}:111122223333:task-definition/t:1")
        }
        "RECORDING_SCREEN_HEIGHT" => "1080".into(),
        "RECORDING_SCREEN_WIDTH" => "1920".into(),
        "recordingPresignedURLExpiresMinutes" => "15".into(),
        "DDB_REGION" | "ECS_CLUSTER_REGION" => REGION.into(),
        name => name.to_lowercase(),
    });
    let told = [
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_FUNCTION_NAME", function.name),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_REGION", REGION),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ];
    own.into_iter().chain(told.map(|(name, value)| (name, value.to_owned()))).collect()
}

fn router(runtime: Arc<Runtime>) -> Router {
    Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/{what}", post(answered))
        .route("/2018-06-01/runtime/init/error", post(failed))
        .with_state(runtime)
}

async fn next(State(runtime): State<Arc<Runtime>>) -> Response {
    let _ = runtime.said.send(Said::Asks(Instant::now()));
    let event = runtime.event.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(event) = event else {
        // As Lambda, which freezes it meanwhile.
        return std::future::pending().await;
    };
    let headers = [
        ("lambda-runtime-aws-request-id", "00000000-0000-4000-8000-000000000000"),
        ("lambda-runtime-deadline-ms", "99999999999999"),
        ("lambda-runtime-invoked-function-arn", "arn:aws:lambda:us-east-1:111122223333:function:f"),
    ];
    (headers, event.to_string()).into_response()
}

async fn answered(
    State(runtime): State<Arc<Runtime>>,
    Name((_, what)): Name<(String, String)>,
    body: String,
) -> StatusCode {
    let said = match what.as_str() {
        "response" => Said::Answers(Instant::now()),
        _ => Said::Fails(body),
    };
    let _ = runtime.said.send(said);
    StatusCode::ACCEPTED
}

async fn failed(State(runtime): State<Arc<Runtime>>, body: String) -> StatusCode {
    let _ = runtime.said.send(Said::Fails(body));
    StatusCode::ACCEPTED
}
