//! One child process that cannot outlive the recorder.
//!
//! Every program the recorder starts goes through [`Child`]: in a process group
//! of its own, with an environment of its own, told by the kernel to end when
//! the recorder dies however that happens, and reaped in the end. What a child
//! prints goes to the log, with secrets masked. It must not know which programs
//! there are.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::io::retry_on_intr;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::secret::scrub;

/// How many of a child's last lines an error message quotes.
const QUOTED_LINES: usize = 8;

/// What to start, and how.
#[derive(Debug)]
pub struct Spec {
    /// The name in logs, errors and the report.
    pub name: &'static str,
    pub program: PathBuf,
    /// Where a bare name is looked up, by the child as well.
    pub search_path: String,
    pub args: Vec<OsString>,
    /// Added to the few variables every child gets; nothing is inherited, so
    /// that credentials of the recorder never reach a browser.
    pub env: Vec<(&'static str, OsString)>,
    /// What the kernel sends when the recorder is gone: SIGTERM for a program
    /// that tidies up after itself at once, SIGKILL for one that may not.
    pub on_orphaned: Signal,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program:?} was not found; {mend}")]
    NotFound { program: PathBuf, mend: &'static str },
    #[error("{program:?} could not be started")]
    Spawn { program: PathBuf, source: io::Error },
    #[error("no folder for {name} could be made in {}", dir.display())]
    Folder { name: &'static str, dir: PathBuf, source: io::Error },
    #[error("{name} ended early ({status}){said}")]
    Ended { name: &'static str, status: ExitStatus, said: String },
    #[error("{name} was not ready within {deadline:?} (waited for {awaited}){said}")]
    NotReady { name: &'static str, awaited: &'static str, deadline: Duration, said: String },
    #[error("{name} could not be watched")]
    Wait { name: &'static str, source: io::Error },
}

/// A running child. Dropping it ends its whole group as losing the recorder would.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    group: Pid,
    inner: tokio::process::Child,
    said: Said,
    readers: Vec<JoinHandle<()>>,
    on_dropped: Signal,
    reaped: bool,
}

/// The last lines a child printed.
#[derive(Clone, Debug, Default)]
struct Said(
    // Written by the reader tasks, read by whoever words an error: a channel
    // would only move the same buffer to one more task.
    Arc<Mutex<VecDeque<String>>>,
);

impl Child {
    /// Starts the program. Its standard error goes to the log; its standard
    /// output is the caller's, see [`Child::take_stdout`].
    pub fn spawn(spec: &Spec, mend: &'static str) -> Result<Self, Error> {
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .env_clear()
            .env("PATH", &spec.search_path)
            // A locale that knows all of Unicode.
            .env("LANG", "C.UTF-8")
            .envs(spec.env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        die_with_parent(&mut command, spec.on_orphaned);
        let mut inner = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NotFound { program: spec.program.clone(), mend },
            _ => Error::Spawn { program: spec.program.clone(), source },
        })?;
        let group = inner
            .id()
            .and_then(|id| Pid::from_raw(id.cast_signed()))
            .expect("a child that was not awaited has an id");
        let said = Said::default();
        let stderr = inner.stderr.take().expect("standard error is piped");
        let readers = vec![tokio::spawn(log_lines(spec.name, stderr, said.clone()))];
        tracing::debug!(child = spec.name, pid = group.as_raw_nonzero().get(), "child started");
        let on_dropped = spec.on_orphaned;
        Ok(Self { name: spec.name, group, inner, said, readers, on_dropped, reaped: false })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The id of the process group, which is the child's own process id.
    pub fn group(&self) -> Pid {
        self.group
    }

    /// What the child prints. Whoever takes it reads it to the end.
    pub fn take_stdout(&mut self) -> ChildStdout {
        self.inner.stdout.take().expect("standard output is taken once")
    }

    /// Sends what is left of the standard output to the log.
    pub fn log_stdout(&mut self, rest: impl AsyncRead + Unpin + Send + 'static) {
        self.readers.push(tokio::spawn(log_lines(self.name, rest, self.said.clone())));
    }

    /// Completes when the child has ended by itself, with an error that quotes
    /// its last words.
    pub async fn ended(&mut self) -> Error {
        match self.inner.wait().await {
            Ok(status) => {
                // Only after the pipes are drained are the last words known.
                for reader in self.readers.drain(..) {
                    let _ = reader.await;
                }
                Error::Ended { name: self.name, status, said: self.said.quoted() }
            }
            Err(source) => Error::Wait { name: self.name, source },
        }
    }

    /// Waits for `ready`, but neither past the child's end nor past `deadline`.
    pub async fn until<T>(
        &mut self,
        awaited: &'static str,
        deadline: Duration,
        ready: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let said = self.said.clone();
        let name = self.name;
        tokio::select! {
            biased;
            value = ready => Ok(value),
            ended = self.ended() => Err(ended),
            () = tokio::time::sleep(deadline) =>
                Err(Error::NotReady { name, awaited, deadline, said: said.quoted() }),
        }
    }

    /// Asks the whole group to end, insists after `patience`, and reaps the child.
    pub async fn stop(&mut self, patience: Duration) {
        // A group number that is free again may belong to somebody else.
        if self.reaped {
            return;
        }
        self.signal(Signal::TERM);
        if tokio::time::timeout(patience, self.inner.wait()).await.is_err() {
            tracing::debug!(child = self.name, ?patience, "child did not end when asked");
        }
        // Also after an orderly end: a member of the group may be left behind.
        self.signal(Signal::KILL);
        match self.inner.wait().await {
            Ok(_) => self.reaped = true,
            Err(error) => tracing::warn!(child = self.name, %error, "child could not be reaped"),
        }
    }

    /// Takes the processors from the whole group. One that is frozen ends by SIGKILL alone.
    pub fn freeze(&self) {
        // A group number that is free again may belong to somebody else.
        if !self.reaped {
            self.signal(Signal::STOP);
        }
    }

    fn signal(&self, signal: Signal) {
        // The only error is that nobody of the group is left.
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // A group number that is free again may belong to somebody else.
        if !self.reaped {
            self.signal(self.on_dropped);
            DROPPED.lock().unwrap_or_else(PoisonError::into_inner).push(self.group);
        }
    }
}

impl Said {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == QUOTED_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn quoted(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("; it said: {}", lines.join(" | "))
    }
}

/// Children that were dropped while they ran, and may not be gone yet.
// A drop cannot wait, and whoever drops a child does not know of the others.
static DROPPED: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// Waits until every child that was dropped is gone and reaped, but not longer
/// than `patience`.
pub async fn dropped_are_gone(patience: Duration) {
    let dropped = std::mem::take(&mut *DROPPED.lock().unwrap_or_else(PoisonError::into_inner));
    let reap = tokio::task::spawn_blocking(move || {
        for pid in dropped {
            // The only error is that the runtime was faster.
            let _ = retry_on_intr(|| waitpid(Some(pid), WaitOptions::empty()));
        }
    });
    if tokio::time::timeout(patience, reap).await.is_err() {
        tracing::warn!(?patience, "children are left behind");
    }
}

async fn log_lines(name: &'static str, pipe: impl AsyncRead + Unpin, said: Said) {
    let mut lines = BufReader::new(pipe).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = scrub(String::from_utf8_lossy(&line).trim());
        if !line.is_empty() {
            tracing::debug!(child = name, line, "child said");
            said.push(line);
        }
    }
}

#[expect(unsafe_code, reason = "between fork and exec only the kernel can be asked")]
fn die_with_parent(command: &mut Command, signal: Signal) {
    let parent = rustix::process::getpid();
    // SAFETY: the closure runs between fork and exec and makes two system calls
    // that are async-signal-safe; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))?;
            // The recorder may have died before the kernel was told.
            if rustix::process::getppid() == Some(parent) {
                Ok(())
            } else {
                Err(io::Error::from_raw_os_error(rustix::io::Errno::SRCH.raw_os_error()))
            }
        });
    }
}
