//! What becomes of a task: its process, from the first moment to the last.
//!
//! As in a container, only the first process is asked to end, and with it all others
//! of its group end.

use std::fs::{self, File};
use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::Instant;

use super::task::{Task, Wish};
use super::{Shared, TaskKind};

pub(super) const STDOUT: &str = "stdout";
pub(super) const STDERR: &str = "stderr";

/// So much of a task's id names its folder: a socket's path below it must be short.
const NAME_LENGTH: usize = 8;

/// The exit code of what a signal has ended is this and the signal's number.
const SIGNALLED: i32 = 128;

const NO_IMAGE: &str = "CannotPullContainerError: Error response from daemon: the registry \
    cannot be reached";

/// What runs in the task's container.
enum Process {
    Real { child: Child, pid: Pid },
    Pretended { exit_code: Option<i32> },
}

/// Where a task's process is at home; `None` if it has none.
pub(super) fn folder(kind: &TaskKind, task: &Task) -> Option<PathBuf> {
    let TaskKind::Recorder { directory, .. } = kind else { return None };
    Some(directory.join(&task.id()[..NAME_LENGTH]))
}

/// Leads a task through its life.
pub(super) async fn live(shared: Arc<Shared>, arn: String) {
    shared.change(&arn, |task| task.last_status = "PENDING");
    let begun = {
        let state = shared.state();
        let Some(task) = state.tasks.iter().find(|task| task.arn == arn) else { return };
        if task.desired_status == "STOPPED" {
            Err(None)
        } else if task.dies {
            Err(Some(NO_IMAGE.to_owned()))
        } else {
            let cannot = |error| Some(format!("CannotStartContainerError: {error}"));
            let process = Process::start(&shared.options.kind, task).map_err(cannot);
            process.map(|process| (process, task.wishes()))
        }
    };
    let (mut process, mut wishes) = match begun {
        Ok(begun) => begun,
        Err(reason) => return shared.change(&arn, |task| task.failed_to_start(reason)),
    };
    shared.change(&arn, |task| task.runs(process.id()));
    let mut killed_at = None;
    let exit_code = loop {
        tokio::select! {
            exit_code = process.ended() => break exit_code,
            wish = next(&mut wishes) => match wish {
                Wish::Run => {}
                Wish::Stop => {
                    shared.change(&arn, |task| task.last_status = "DEACTIVATING");
                    process.terminate();
                    killed_at = Some(Instant::now() + shared.options.stop_timeout);
                }
                Wish::Kill => process.kill(),
            },
            () = at(killed_at) => {
                process.kill();
                killed_at = None;
            }
        }
    };
    shared.change(&arn, |task| task.exited(exit_code));
    shared.change(&arn, Task::stopped);
}

async fn next(wishes: &mut watch::Receiver<Wish>) -> Wish {
    match wishes.changed().await {
        Ok(()) => *wishes.borrow_and_update(),
        Err(_) => pending().await,
    }
}

/// At the instant, or never.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => pending().await,
    }
}

impl Process {
    fn start(kind: &TaskKind, task: &Task) -> io::Result<Self> {
        let (TaskKind::Recorder { program, environment, .. }, Some(home)) =
            (kind, folder(kind, task))
        else {
            return Ok(Self::Pretended { exit_code: None });
        };
        let temp = home.join("tmp");
        fs::create_dir_all(&temp)?;
        let child = Command::new(program)
            .env_clear()
            .env("TMPDIR", temp)
            .envs(environment.iter().cloned())
            .envs(task.environment())
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(File::create(home.join(STDOUT))?)
            .stderr(File::create(home.join(STDERR))?)
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("it has ended before it was seen"))?;
        Ok(Self::Real { child, pid })
    }

    fn id(&self) -> Option<u32> {
        match self {
            Self::Real { child, .. } => child.id(),
            Self::Pretended { .. } => None,
        }
    }

    /// Its exit code, once it has ended and taken all others along.
    async fn ended(&mut self) -> i32 {
        match self {
            Self::Real { child, pid } => {
                let status = child.wait().await;
                // Most often it was the last one.
                let _ = kill_process_group(*pid, Signal::KILL);
                status.map_or(SIGNALLED, exit_code)
            }
            Self::Pretended { exit_code: Some(code) } => *code,
            Self::Pretended { exit_code: None } => pending().await,
        }
    }

    /// Asks it to end. It has not been waited for yet, so the number is still its own.
    fn terminate(&mut self) {
        match self {
            Self::Real { pid, .. } => {
                let _ = kill_process(*pid, Signal::TERM);
            }
            Self::Pretended { exit_code } => *exit_code = Some(0),
        }
    }

    fn kill(&mut self) {
        match self {
            Self::Real { pid, .. } => {
                let _ = kill_process_group(*pid, Signal::KILL);
            }
            Self::Pretended { exit_code } => {
                *exit_code = Some(SIGNALLED + Signal::KILL.as_raw());
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.id().is_some() {
            self.kill();
        }
    }
}

/// As a container has it.
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().unwrap_or_else(|| SIGNALLED + status.signal().unwrap_or_default())
}
