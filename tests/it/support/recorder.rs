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
use tokio::io::{AsyncBufReadExt as _, BufReader};
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
    stdout: watch::Receiver<String>,
    telling: JoinHandle<()>,
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
            .env("RECORDER_MEETING_PAGE", meeting_page())
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
        let (stdout, telling) = collected(child.stdout.take().unwrap());
        let (log, logging) = collected(child.stderr.take().unwrap());
        Running { child, mark: self.dir.path().to_owned(), stdout, telling, log, logging }
    }

    /// Starts it and waits for its end.
    pub(crate) async fn run(&self, command: Command) -> Ended {
        self.start(command).ended().await
    }

    /// Runs it while other programs of this place go on.
    pub(crate) async fn beside(&self, mut command: Command) -> Ended {
        let output =
            tokio::time::timeout(HANGS, command.output()).await.expect("it hangs").unwrap();
        let [stdout, log] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        Ended { status: output.status, stdout, log }
    }

    /// Removes the temporary files of recorders that could not.
    pub(crate) fn clear_tmp(&self) {
        std::fs::remove_dir_all(self.path("tmp")).unwrap();
        std::fs::create_dir(self.path("tmp")).unwrap();
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.path("recordings")
    }

    /// The recordings that are complete.
    pub(crate) fn objects(&self) -> Vec<PathBuf> {
        let beside = |path: &PathBuf| path.extension().is_some_and(|e| e == "json" || e == "vtt");
        files(&self.output()).into_iter().filter(|path| !beside(path)).collect()
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

    /// Waits until the log holds this text so often.
    pub(crate) async fn logged_times(&mut self, text: &str, times: usize) {
        let logged = self.log.wait_for(|log| log.matches(text).count() >= times);
        let has = matches!(tokio::time::timeout(HANGS, logged).await, Ok(Ok(_)));
        assert!(has, "the log never had {text} {times} times:\n{}", *self.log.borrow());
    }

    /// Waits until the log holds this text.
    pub(crate) async fn logged(&mut self, text: &str) {
        let logged = self.log.wait_for(|log| log.contains(text));
        let has = matches!(tokio::time::timeout(HANGS, logged).await, Ok(Ok(_)));
        assert!(has, "the log never had {text}:\n{}", *self.log.borrow());
    }

    /// The first line on stdout, as soon as it is there.
    pub(crate) async fn first_line(&mut self) -> String {
        let line = self.stdout.wait_for(|text| text.contains('\n'));
        match tokio::time::timeout(HANGS, line).await {
            Ok(Ok(text)) => text.lines().next().unwrap().to_owned(),
            _ => panic!("it said nothing:\n{}", *self.log.borrow()),
        }
    }

    /// Waits for the recorder's end and checks that it took everything along.
    pub(crate) async fn ended(self) -> Ended {
        let tmp = self.mark.join("tmp");
        let ended = self.ended_with_leftovers().await;
        let left = entries(&tmp);
        assert!(left.is_empty() || killed(ended.status), "{left:?} is left:\n{}", ended.log);
        ended
    }

    /// The same, for one that is to leave media on disk.
    pub(crate) async fn ended_with_leftovers(mut self) -> Ended {
        let Ok(status) = tokio::time::timeout(HANGS, self.child.wait()).await else {
            panic!("the recorder hangs:\n{}", *self.log.borrow());
        };
        let status = status.unwrap();
        let mark = self.mark.clone();
        until("the end of all processes", || processes::marked(&mark).is_empty().then_some(()))
            .await;
        self.telling.await.unwrap();
        self.logging.await.unwrap();
        let stdout = self.stdout.borrow().clone();
        let log = self.log.borrow().clone();
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

/// What comes out of a pipe, line by line.
fn collected(
    pipe: impl tokio::io::AsyncRead + Unpin + Send + 'static,
) -> (watch::Receiver<String>, JoinHandle<()>) {
    let mut lines = BufReader::new(pipe).lines();
    let (sender, text) = watch::channel(String::new());
    let task = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            sender.send_modify(|text| *text += &(line + "\n"));
        }
    });
    (text, task)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    entries(dir).into_iter().filter(|path| path.is_file()).collect()
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The page as `./dev` builds it.
pub(crate) fn meeting_page() -> String {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/recording-app/dist");
    assert!(Path::new(page).is_dir(), "{page} is missing: run ./dev setup");
    page.to_owned()
}

fn variable(name: &str) -> String {
    recorder::config::environment(name).unwrap()
}
