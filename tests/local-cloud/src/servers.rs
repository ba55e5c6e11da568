//! Programs that are started as servers, and end with whoever started them.
//!
//! Each runs in a process group of its own, which a drop kills, and is told by the
//! kernel to end when this process dies without one. What it prints goes to a file,
//! whose end an error quotes. It must not know which servers there are.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::time::Instant;

/// How often it is looked whether a server is ready.
const LOOK: Duration = Duration::from_millis(50);

/// Everything starts at once, on machines with two cores that are busy.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// For a server that is asked to end in order.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// How much of its log an error quotes.
const QUOTED_BYTES: usize = 2000;

/// What to start.
#[derive(Debug)]
pub(crate) struct Spec {
    /// The name in errors, and of the log.
    pub(crate) name: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
    /// All that it gets: nothing is inherited, least of all credentials.
    pub(crate) env: Vec<(&'static str, OsString)>,
    /// Where it runs and where its log is.
    pub(crate) dir: PathBuf,
    /// What the kernel sends it when this process is gone. SIGTERM for a server that
    /// has children of its own.
    pub(crate) on_orphaned: &'static str,
    /// Files that it makes elsewhere and leaves behind when it is killed.
    pub(crate) litter: Vec<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0} was not found on PATH; ./dev installs it")]
    NotFound(&'static str),
    #[error("the variable {0} is not set; ./dev sets it")]
    NotSet(&'static str),
    #[error("{name} cannot be started")]
    Start { name: &'static str, source: io::Error },
    #[error("{name} has ended ({status}); its log ends with:\n{log}")]
    Ended { name: &'static str, status: String, log: String },
    #[error("{name} was not ready within {START_TIMEOUT:?} ({last}); its log ends with:\n{log}")]
    NotReady { name: &'static str, last: String, log: String },
    #[error("no port from {} to {} is free", PORTS.start, PORTS.end - 1)]
    Port,
}

/// A running server. Dropped, it and whatever it started are killed.
#[derive(Debug)]
pub(crate) struct Server {
    spec: Spec,
    child: Child,
}

impl Server {
    pub(crate) fn start(spec: Spec) -> Result<Self, Error> {
        let child = spawn(&spec)?;
        Ok(Self { spec, child })
    }

    /// Waits until `probe` succeeds; it is asked again until then, or until the
    /// server has ended or takes too long.
    pub(crate) async fn ready<T, E, F>(&mut self, mut probe: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, E>>,
        E: std::fmt::Display,
    {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let last = match probe().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error.to_string(),
            };
            let (name, log) = (self.spec.name, self.spec.log_path());
            if let Ok(Some(status)) = self.child.try_wait() {
                let status = status.to_string();
                return Err(Error::Ended { name, status, log: tail(&log) });
            }
            if Instant::now() > deadline {
                return Err(Error::NotReady { name, last, log: tail(&log) });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends the server and starts it again as it was, on its port and its folder.
    /// `ending` is what it is told: one that keeps its data anyhow is killed.
    pub(crate) async fn restart(&mut self, ending: Signal) -> Result<(), Error> {
        self.signal(ending);
        let deadline = Instant::now() + END_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            tokio::time::sleep(LOOK).await;
        }
        self.kill();
        self.child = spawn(&self.spec)?;
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = Pid::from_raw(self.child.id().cast_signed()) {
            // The only error is that nobody of the group is left.
            let _ = kill_process_group(group, signal);
        }
    }

    fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
        for file in &self.spec.litter {
            // Some it may have removed itself.
            let _ = std::fs::remove_file(file);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Spec {
    fn log_path(&self) -> PathBuf {
        self.dir.join(format!("{}.log", self.name))
    }

    /// Through `setpriv`, which is part of every Debian, since to tell the kernel in
    /// a program's stead takes unsafe code.
    fn command(&self) -> io::Result<Command> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", self.on_orphaned, "--"])
            .arg(&self.program)
            .args(&self.args)
            .env_clear()
            .env("PATH", search_path())
            .env("LANG", "C.UTF-8")
            .envs(self.env.iter().map(|(name, value)| (*name, value)))
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        Ok(command)
    }
}

fn spawn(spec: &Spec) -> Result<Child, Error> {
    let command = spec.command();
    command
        .and_then(spawn_from_lasting_thread)
        .map_err(|source| Error::Start { name: spec.name, source })
}

/// What the kernel calls a parent is the thread that made the child, and a test's
/// thread ends with the test.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static THREAD: OnceLock<Sender<Order>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        let (orders, ordered) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in ordered {
                // Whoever asked may be gone; then the child is, too.
                if let Err(unwanted) = reply.send(command.spawn())
                    && let Ok(mut child) = unwanted.0
                {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        });
        orders
    });
    let (reply, replied) = channel();
    let gone = |_| io::Error::other("the thread that starts programs is gone");
    thread.send((command, reply)).map_err(|error| gone(error.to_string()))?;
    replied.recv().map_err(|error| gone(error.to_string()))?
}

/// The end of a log.
fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let from = bytes.len().saturating_sub(QUOTED_BYTES);
    String::from_utf8_lossy(&bytes[from..]).trim().to_owned()
}

/// The program of this name, as a shell would find it.
pub(crate) fn on_path(name: &'static str) -> Result<PathBuf, Error> {
    std::env::split_paths(&search_path())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .ok_or(Error::NotFound(name))
}

pub(crate) fn search_path() -> OsString {
    variable("PATH").unwrap_or_else(|| "/usr/bin:/bin".into())
}

#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads variables")]
pub(crate) fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The folder in which programs keep what they can make again.
pub(crate) fn cache() -> PathBuf {
    let caches = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let caches = caches.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".cache")));
    caches.unwrap_or_else(std::env::temp_dir)
}

/// Below the ports that the kernel gives to whoever asks for any (32,768 and up, by
/// default), also 10,000 above: a server listens some time after its port was found,
/// and meanwhile a connection of the machine must not be given the same.
const PORTS: Range<u16> = 12_000..22_000;

/// Ports that nobody listens on, and nobody 10,000 above: SeaweedFS takes both.
pub(crate) fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT], Error> {
    // Nor another cloud of this process.
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ports = [0; COUNT];
    for port in &mut ports {
        *port = loop {
            if given.len() == PORTS.len() {
                return Err(Error::Port);
            }
            let found = fastrand::u16(PORTS);
            let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
            if given.insert(found) && free(found) && free(found + 10_000) {
                break found;
            }
        };
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(dir: &Path, script: &str) -> Spec {
        Spec {
            name: "shell",
            program: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            env: Vec::new(),
            dir: dir.to_owned(),
            on_orphaned: "KILL",
            litter: vec![dir.join("litter")],
        }
    }

    /// The number that the server wrote there, once it has.
    fn read(path: &Path) -> Result<i32, String> {
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        text.trim().parse().map_err(|_| format!("{text:?} is no number"))
    }

    fn lives(process: i32) -> bool {
        // A child of the server is reaped by whoever inherits it, after its end.
        let status = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        !status.is_empty() && !status.contains(") Z ")
    }

    #[tokio::test]
    async fn a_server_takes_its_children_and_its_litter_along() {
        let dir = tempfile::tempdir().unwrap();
        let child = dir.path().join("child");
        let script = "touch litter; sleep 600 & echo $! > child; wait";
        let mut server = Server::start(spec(dir.path(), script)).unwrap();
        let process = server.ready(|| async { read(&child) }).await.unwrap();
        assert!(lives(process) && dir.path().join("litter").exists());
        drop(server);
        while lives(process) {
            tokio::time::sleep(LOOK).await;
        }
        assert!(!dir.path().join("litter").exists());
    }

    #[tokio::test]
    async fn a_server_that_ends_is_quoted_and_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let mut server = Server::start(spec(dir.path(), "echo no port >&2; exit 3")).unwrap();
        let error = server.ready(|| async { Err::<(), _>("not yet") }).await.unwrap_err();
        let told = error.to_string();
        assert!(
            told.contains("shell") && told.contains("exit status: 3") && told.contains("no port"),
            "{told}"
        );
    }

    #[tokio::test]
    async fn a_server_is_started_again_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let script =
            "trap 'echo 0 > ended; exit' TERM; echo $$ > number; while :; do sleep 1; done";
        let mut server = Server::start(spec(dir.path(), script)).unwrap();
        let number = dir.path().join("number");
        let first = server.ready(|| async { read(&number) }).await.unwrap();
        std::fs::remove_file(&number).unwrap();
        server.restart(Signal::TERM).await.unwrap();
        let second = server.ready(|| async { read(&number) }).await.unwrap();
        assert_ne!(first, second);
        assert_eq!(read(&dir.path().join("ended")), Ok(0));
    }

    #[test]
    fn no_port_is_given_twice_nor_by_the_kernel() {
        let first: [u16; 3] = free_ports().unwrap();
        let second: [u16; 3] = free_ports().unwrap();
        let all: BTreeSet<_> = first.iter().chain(&second).collect();
        assert_eq!(all.len(), 6);
        assert!(all.into_iter().all(|port| port + 10_000 < 32_768));
    }
}
