//! Folders of a recording that is under way: what is in them is worth nothing after it, and may hold
//! the token of a meeting, so they do not stay, also where the recorder was killed.
//!
//! It must not know what is put there.

use std::fs::{DirEntry, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use crate::folder::{is_locked, private};

/// Locked for as long as the folder is in use. Not the folder itself: the lock of a file is known to
/// all hosts that share it.
const LOCK: &str = "in-use";

/// So long it takes at most from making it to locking it.
const NEW: Duration = Duration::from_mins(1);

/// A folder that is removed when it is dropped, and by the next one of its kind where its process
/// was killed.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: TempDir,
    _lock: Option<File>,
}

impl Folder {
    /// All that a recording needs for itself.
    pub(crate) fn of_recording(parent: &Path) -> io::Result<Self> {
        Self::new("recorder-work-", parent)
    }

    /// A new one in `parent`, as [`private`]; all of the same `prefix` there are of its kind.
    pub(crate) fn new(prefix: &str, parent: &Path) -> io::Result<Self> {
        let (kind, place) = (prefix.to_owned(), parent.to_owned());
        // Beside the start, which it would hold up on a slow disk.
        std::thread::spawn(move || remove_left(&kind, &place, NEW));
        let dir = private(prefix, parent)?;
        // Where there are no locks the folder stays when its process is killed.
        let lock = lock(dir.path()).ok();
        Ok(Self { dir, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }
}

fn lock(dir: &Path) -> io::Result<File> {
    let path = dir.join(LOCK);
    let file = File::create(&path)?;
    file.lock().or_else(|error| std::fs::remove_file(&path).and(Err(error)))?;
    Ok(file)
}

/// Removes what those left that were killed. What cannot be looked at or removed stays.
fn remove_left(prefix: &str, parent: &Path, older_than: Duration) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix));
        if is_one && is_left(&entry, older_than).unwrap_or(false) {
            let path = entry.path();
            match std::fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed what a recorder left"),
                Err(error) => tracing::debug!(%error, path = %path.display(), "stays"),
            }
        }
    }
}

fn is_left(entry: &DirEntry, older_than: Duration) -> io::Result<bool> {
    let metadata = entry.metadata()?;
    let is_ours = metadata.is_dir() && metadata.uid() == rustix::process::getuid().as_raw();
    if !is_ours {
        return Ok(false);
    }
    let lock = File::open(entry.path().join(LOCK))?;
    let is_old = lock.metadata()?.modified()?.elapsed().is_ok_and(|age| age >= older_than);
    Ok(is_old && !is_locked(&lock)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_removed_and_what_is_in_use_or_another_kind_stays() {
        let parent = tempfile::tempdir().unwrap();
        let used = Folder::new("recorder-work-", parent.path()).unwrap();
        let [left, other] = ["recorder-work-a", "recorder-spool-a"].map(|name| {
            let path = parent.path().join(name);
            std::fs::create_dir(&path).unwrap();
            std::fs::write(path.join("file"), "secret").unwrap();
            path
        });
        // Not known to be one of these.
        remove_left("recorder-work-", parent.path(), Duration::ZERO);
        assert!(left.exists());
        std::fs::write(left.join(LOCK), "").unwrap();
        remove_left("recorder-work-", parent.path(), Duration::from_hours(1));
        assert!(left.exists());
        remove_left("recorder-work-", parent.path(), Duration::ZERO);
        assert!(!left.exists() && other.exists() && used.path().exists());
        let path = used.path().to_owned();
        drop(used);
        assert!(!path.exists());
    }
}
