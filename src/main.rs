//! The process: signals first, then settings, then the one thing it is asked to
//! do, and what came of it as a report and an exit code. No logic lives here.

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use recorder::cli::Cli;
use recorder::config::{self, Command, Config};
use recorder::error::chain;
use recorder::logging::{self, Logging};
use recorder::secret::scrub;
use recorder::{health, recovery, run, signals};

/// Nothing was started; the message says why. See docs/stopping.md.
const WRONG_SETTINGS: u8 = 2;
/// It failed before anything was recorded.
const FAILED: u8 = 1;

fn main() -> ExitCode {
    let started = Instant::now();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(FAILED, &format!("the runtime could not be started: {error}")),
    };
    let code = runtime.block_on(process(started));
    // Whatever still blocks (a display that hangs) must not hold the exit back.
    runtime.shutdown_background();
    code
}

async fn process(started: Instant) -> ExitCode {
    let stops = match signals::listen() {
        Ok(stops) => stops,
        Err(error) => return refuse(FAILED, &format!("signals cannot be heard: {error}")),
    };
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version are answers, not errors.
        Err(answer) if !answer.use_stderr() => {
            let _ = answer.print();
            return ExitCode::SUCCESS;
        }
        // clap repeats what was typed, and that may hold a token.
        Err(error) => return refuse(WRONG_SETTINGS, &scrub(&error.to_string())),
    };
    match config::resolve(cli, &config::environment, jiff::Timestamp::now()) {
        Err(problems) => refuse(WRONG_SETTINGS, &problems.to_string()),
        Ok(Command::PreWarm) => {
            logging::init(&Logging::without_settings());
            tracing::info!("the image is on this host now; nothing is recorded");
            ExitCode::SUCCESS
        }
        Ok(Command::Doctor(doctor)) => {
            logging::init(&doctor.logging);
            recorder::doctor::run(&doctor, stops).await
        }
        Ok(Command::Health(file)) => health::check(&file),
        Ok(Command::Recover(settings)) => {
            logging::init(&settings.logging);
            until_stopped(Box::pin(recovery::command::run_recover(&settings)), stops).await
        }
        Ok(Command::Verify(settings)) => {
            logging::init(&settings.logging);
            until_stopped(Box::pin(recovery::command::run_verify(&settings)), stops).await
        }
        Ok(Command::Meeting(serve)) => {
            logging::init(&serve.logging);
            match run::serve(&serve, stops).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => refuse(FAILED, &scrub(&chain(&error))),
            }
        }
        Ok(Command::Bench(arguments)) => {
            refuse(FAILED, &chain(&recorder::bench::become_bench(&arguments)))
        }
        Ok(Command::Record(config)) => {
            logging::init(&config.logging);
            record(&config, started, stops).await
        }
    }
}

async fn record(
    config: &Config,
    started: Instant,
    stops: tokio::sync::mpsc::UnboundedReceiver<signals::Stop>,
) -> ExitCode {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "recorder");
    let report = run::run(config, started, stops).await;
    report.log();
    let json = serde_json::to_string(&report).expect("a report is plain data");
    // Who closed stdout does not want to know; the exit code is told anyway.
    let _ = writeln!(std::io::stdout(), "{json}");
    ExitCode::from(report.exit_code)
}

/// What may be interrupted anywhere, and done again.
async fn until_stopped(
    work: impl Future<Output = ExitCode>,
    mut stops: tokio::sync::mpsc::UnboundedReceiver<signals::Stop>,
) -> ExitCode {
    tokio::select! {
        code = work => code,
        Some(_) = stops.recv() => refuse(FAILED, "stopped before it was done: it may be run again"),
    }
}

fn refuse(code: u8, message: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{}", message.trim_end());
    ExitCode::from(code)
}
