//! Child processes that never outlive whoever started them.
//!
//! Each leads a process group of its own, which is killed when the [`Child`] is
//! dropped. Should this process be killed itself, the kernel kills the child.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

/// How often a condition is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A child did not come up, or ended too early, or would not end.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("{0} cannot be started")]
    Start(String, #[source] io::Error),
    #[error("{0} cannot be watched")]
    Watch(String, #[source] io::Error),
    #[error("{0} ended with {1} before it was ready")]
    Ended(String, ExitStatus),
    #[error("{0} is not ready after {1:?}")]
    NotReady(String, Duration),
    #[error("{0} does not end within {1:?}")]
    NotEnding(String, Duration),
}

/// A running child process.
pub struct Child {
    name: String,
    inner: std::process::Child,
    pid: Pid,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Child({} {})", self.name, self.pid.as_raw_nonzero())
    }
}

/// A command for `program` that dies with the thread that starts it, which is
/// therefore to be the main thread.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

impl Child {
    /// Starts `command`, which is called `name` in messages.
    pub fn start(name: &str, command: &mut Command) -> Result<Self, ChildError> {
        let start_error = |source| ChildError::Start(name.to_owned(), source);
        let inner = command.process_group(0).spawn().map_err(start_error)?;
        let pid = Pid::from_child(&inner);
        Ok(Self { name: name.to_owned(), inner, pid })
    }

    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Waits until `ready` says so.
    pub fn ready(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut() -> bool,
    ) -> Result<(), ChildError> {
        let deadline = Instant::now() + limit;
        while !ready() {
            if let Some(status) = self.ended_within(LOOK_EVERY)? {
                return Err(ChildError::Ended(self.name.clone(), status));
            }
            if Instant::now() > deadline {
                return Err(ChildError::NotReady(self.name.clone(), limit));
            }
        }
        Ok(())
    }

    /// The first line that the child prints; its output has to be piped.
    pub fn first_line(&mut self, limit: Duration) -> Result<String, ChildError> {
        let watch_error = |source| ChildError::Watch(self.name.clone(), source);
        let output = self.inner.stdout.take().expect("the caller piped it");
        if !readable_within(&output, limit).map_err(watch_error)? {
            return Err(ChildError::NotReady(self.name.clone(), limit));
        }
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(watch_error)?;
        Ok(line.trim_end().to_owned())
    }

    /// How the child ended, or `None` when it still runs after `limit`.
    pub fn ended_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>, ChildError> {
        let watch_error = |source| ChildError::Watch(self.name.clone(), source);
        if let Some(status) = self.inner.try_wait().map_err(watch_error)? {
            return Ok(Some(status));
        }
        let watched = pidfd_open(self.pid, PidfdFlags::empty()).map_err(io::Error::from);
        readable_within(&watched.map_err(watch_error)?, limit).map_err(watch_error)?;
        self.inner.try_wait().map_err(watch_error)
    }

    /// Waits for the end.
    pub fn end(&mut self, limit: Duration) -> Result<ExitStatus, ChildError> {
        self.ended_within(limit)?.ok_or_else(|| ChildError::NotEnding(self.name.clone(), limit))
    }

    /// Asks the child to end, with SIGINT: every peer closes its file for that.
    pub fn interrupt(&self) {
        // Fails only when the child has ended, which is what is asked for.
        let _ = kill_process(self.pid, Signal::INT);
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // The group may hold children of a child that has ended already. Both
        // calls fail only when there is nothing left to kill or to reap.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.inner.wait();
    }
}

fn readable_within(source: &impl std::os::fd::AsFd, limit: Duration) -> io::Result<bool> {
    let limit = Timespec {
        tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    };
    let ready = poll(&mut [PollFd::new(source, PollFlags::IN)], Some(&limit))?;
    Ok(ready > 0)
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn the_end_of_a_child_is_noticed() {
        let mut child = Child::start("true", &mut command("true")).unwrap();
        assert!(child.end(SOON).unwrap().success());
    }

    #[test]
    fn a_child_that_ends_is_never_ready() {
        let mut child = Child::start("false", &mut command("false")).unwrap();
        let error = child.ready(SOON, || false).unwrap_err();
        assert_eq!(error.to_string(), "false ended with exit status: 1 before it was ready");
    }

    #[test]
    fn a_child_asked_to_end_does() {
        // Whoever runs the tests in the background has them ignore the signal, and so does what
        // they start.
        let mut sleep = command("env");
        sleep.args(["--default-signal=INT", "sh", "-c", "echo ready; exec sleep 1000"]);
        let mut child = Child::start("sleep", sleep.stdout(Stdio::piped())).unwrap();
        assert_eq!(child.first_line(SOON).unwrap(), "ready");
        assert!(child.ended_within(Duration::from_millis(1)).unwrap().is_none());
        child.interrupt();
        child.end(SOON).unwrap();
    }

    #[test]
    fn grandchildren_go_with_the_child() {
        let script = "sleep 1000 & echo $!; wait";
        let mut shell = command("sh");
        let mut child =
            Child::start("sh", shell.args(["-c", script]).stdout(Stdio::piped())).unwrap();
        let grandchild: i32 = child.first_line(SOON).unwrap().parse().unwrap();
        let grandchild = Pid::from_raw(grandchild).unwrap();
        let watched = pidfd_open(grandchild, PidfdFlags::empty()).unwrap();
        drop(child);
        assert!(readable_within(&watched, SOON).unwrap(), "{grandchild:?} is alive");
    }
}
