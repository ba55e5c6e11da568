//! The operating system's wish to end: the only place that knows signal numbers.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Finish the recording and leave.
    Finish,
    /// Leave with what there is.
    Force,
}

/// Listens from now on, also as PID 1, where the kernel ignores a signal that
/// nobody listens for. The first signal is [`Stop::Finish`], every later one
/// [`Stop::Force`].
///
/// # Errors
/// If the kernel refuses a handler.
pub fn listen() -> std::io::Result<mpsc::UnboundedReceiver<Stop>> {
    // SIGTERM is how ECS stops a task, SIGINT is Ctrl-C, SIGHUP a closed terminal.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A closed terminal does not end what was started with nohup.
    let mut hang_up =
        if is_ignored(SignalKind::hangup()) { None } else { Some(signal(SignalKind::hangup())?) };
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut stop = Stop::Finish;
        loop {
            let name = next(&mut terminate, &mut interrupt, &mut hang_up).await;
            tracing::info!(signal = name, ?stop, "signal received");
            if sender.send(stop).is_err() {
                return;
            }
            stop = Stop::Force;
        }
    });
    Ok(receiver)
}

async fn next(
    terminate: &mut Signal,
    interrupt: &mut Signal,
    hang_up: &mut Option<Signal>,
) -> &'static str {
    let closed = async {
        match hang_up {
            Some(hang_up) => hang_up.recv().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = closed => "SIGHUP",
    }
}

/// Whether the process was started with this signal ignored (`SigIgn` of `proc_pid_status(5)`).
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (kind.as_raw_value() - 1) & 1 == 1
}
