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
    let mut hang_up = signal(SignalKind::hangup())?;
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
    hang_up: &mut Signal,
) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        _ = hang_up.recv() => "SIGHUP",
    }
}
