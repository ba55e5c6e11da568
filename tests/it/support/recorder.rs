//! The real `recorder`, started as a process of its own in a folder of its own.
//!
//! Only one test at a time has a [`Site`]: a recording needs both cores of a
//! small machine. Whatever a test is about, a recorder that has ended must have
//! left nothing running and nothing lying about; [`Running::ended`] sees to it.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::task::JoinHandle;

use super::processes::{self, Process};
use super::{HANGS, until};

static TURN: Mutex<()> = Mutex::const_new(());

/// In the log once the first picture is on its way to the file.
pub(crate) const RECORDING: &str = r#""state":"Recording""#;

/// A place to record in.
#[derive(Debug)]
pub(crate) struct Site {
    dir: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A recorder that was started. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    mark: PathBuf,
    stdout: JoinHandle<String>,
    log: watch::Receiver<String>,
    logging: JoinHandle<()>,
}

/// What a recorder leaves behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) log: String,
}

impl Site {
    /// Waits for its turn.
    pub(crate) async fn new() -> Self {
        let turn = TURN.lock().await;
        let dir = tempfile::Builder::new().prefix("recorder-test-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        Self { dir, _turn: turn }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A recorder with nothing but `arguments`, in a clean environment.
    pub(crate) fn recorder(&self, arguments: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_recorder"));
        command.args(arguments);
        command
    }

    /// A recorder that keeps what it records under [`Self::output`].
    pub(crate) fn local(&self, arguments: &[&str]) -> Command {
        let mut command = self.recorder(&["--local", "--log", "debug", "--output"]);
        command.arg(self.output()).args(arguments);
        command
    }

    /// Any program, marked as belonging here.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command
            .env_clear()
            .env("PATH", format!("{}:{}", self.path("bin").display(), variable("PATH")))
            // Where GStreamer keeps its list of plugins.
            .env("HOME", variable("HOME"))
            .env("TMPDIR", self.path("tmp"))
            .current_dir(self.dir.path())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn start(&self, mut command: Command) -> Running {
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let stdout = tokio::spawn(async move {
            let mut text = String::new();
            pipe.read_to_string(&mut text).await.unwrap();
            text
        });
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = watch::channel(String::new());
        let logging = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                sender.send_modify(|log| *log += &(line + "\n"));
            }
        });
        Running { child, mark: self.dir.path().to_owned(), stdout, log, logging }
    }

    /// Starts it and waits for its end.
    pub(crate) async fn run(&self, command: Command) -> Ended {
        self.start(command).ended().await
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.path("recordings")
    }

    /// The recordings that are complete.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        files(&self.output())
    }

    /// The one recording that there must be.
    pub(crate) fn object(&self) -> PathBuf {
        let objects = self.objects();
        assert_eq!(objects.len(), 1, "{objects:?}");
        objects.into_iter().next().unwrap()
    }

    /// The folders of the uploads that are open.
    pub(crate) fn open_uploads(&self) -> Vec<PathBuf> {
        entries(&self.output().join(".uploads"))
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Everything that runs for this recorder, itself included.
    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::marked(&self.mark)
    }

    /// The process of this name that is nearest to the recorder.
    pub(crate) fn process(&self, name: &str) -> Process {
        let (all, parent) = (self.processes(), self.pid().as_raw_nonzero().get());
        let mut named: Vec<_> = all.iter().filter(|process| process.name == name).collect();
        named.sort_by_key(|process| process.parent != parent);
        named
            .first()
            .copied()
            .unwrap_or_else(|| panic!("there is no {name} among {all:#?}"))
            .clone()
    }

    /// Waits until the log holds this text.
    pub(crate) async fn logged(&mut self, text: &str) {
        let logged = self.log.wait_for(|log| log.contains(text));
        let has = matches!(tokio::time::timeout(HANGS, logged).await, Ok(Ok(_)));
        assert!(has, "the log never had {text}:\n{}", *self.log.borrow());
    }

    /// Waits for the recorder's end and checks that it took everything along.
    pub(crate) async fn ended(mut self) -> Ended {
        let Ok(status) = tokio::time::timeout(HANGS, self.child.wait()).await else {
            panic!("the recorder hangs:\n{}", *self.log.borrow());
        };
        let status = status.unwrap();
        let mark = self.mark.clone();
        until("the end of all processes", || processes::marked(&mark).is_empty().then_some(()))
            .await;
        let (stdout, ()) = (self.stdout.await.unwrap(), self.logging.await.unwrap());
        let log = self.log.borrow().clone();
        let left = entries(&mark.join("tmp"));
        assert!(left.is_empty() || killed(status), "{left:?} is left behind:\n{log}");
        Ended { status, stdout, log }
    }
}

impl Ended {
    /// The one JSON object on stdout, whose exit code must be the process's.
    pub(crate) fn report(&self) -> Value {
        let report: Value = serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", self.stdout, self.log));
        assert_eq!(report["exit_code"].as_i64(), self.status.code().map(i64::from), "{report}");
        report
    }
}

/// A process that got a SIGKILL cannot tidy up.
fn killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    status.signal() == Some(Signal::KILL.as_raw())
}

fn files(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_file()).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn variable(name: &str) -> String {
    recorder::config::environment(name).unwrap()
}
