//! What runs on this machine on behalf of one recorder, told by the kernel.
//!
//! A recorder under test is given a `PATH` that names its folder, and so is
//! everything that it starts: that is the mark by which they are found. A
//! process that is dead but not reaped has no environment any more.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    pub(crate) parent: i32,
    /// At most 15 bytes of the program's name.
    pub(crate) name: String,
    /// It was told to do nothing, and does nothing.
    pub(crate) is_frozen: bool,
    pub(crate) arguments: Vec<String>,
    environment: Vec<String>,
}

impl Process {
    pub(crate) fn kill(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find_map(|entry| entry.strip_prefix(name)?.strip_prefix('='))
    }
}

/// All that were started with `mark` in their environment.
pub(crate) fn marked(mark: &Path) -> Vec<Process> {
    let numbers = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let name = entry.unwrap().file_name();
        Pid::from_raw(name.to_str()?.parse().ok()?)
    });
    let mark = mark.as_os_str().as_bytes();
    numbers.filter_map(|pid| process(pid, mark)).collect()
}

/// Nothing if it has no mark, is not ours to look at, or is gone meanwhile.
fn process(pid: Pid, mark: &[u8]) -> Option<Process> {
    let folder = PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()));
    let environment = fs::read(folder.join("environ")).ok()?;
    if !environment.windows(mark.len()).any(|part| part == mark) {
        return None;
    }
    let arguments = fs::read(folder.join("cmdline")).ok()?;
    // «123 (the name) S 1 …»
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (before, after) = stat.rsplit_once(") ")?;
    let (_, name) = before.split_once(" (")?;
    let mut after = after.split(' ');
    let is_frozen = after.next()? == "T";
    let parent = after.next()?.parse().ok()?;
    let (name, arguments, environment) =
        (name.to_owned(), strings(&arguments), strings(&environment));
    Some(Process { pid, parent, name, is_frozen, arguments, environment })
}

fn strings(bytes: &[u8]) -> Vec<String> {
    let parts = bytes.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    parts.map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

/// The socket of the X server for `display` (`:3`). Another server may take the
/// number later: it is told apart by its inode.
pub(crate) fn display_socket(display: &str) -> Option<(PathBuf, u64)> {
    let path = PathBuf::from(format!("/tmp/.X11-unix/X{}", display.trim_start_matches(':')));
    let inode = fs::symlink_metadata(&path).ok()?.ino();
    Some((path, inode))
}
