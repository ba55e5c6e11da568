//! Folders for what nobody else on the machine may read: the address of a meeting with its
//! token, and media that wait.
//!
//! It must not know what is put there.

use std::fs::{File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

/// A new folder in `parent` for this user alone, removed when it is dropped.
pub(crate) fn private(prefix: &str, parent: &Path) -> io::Result<TempDir> {
    let only_ours = Permissions::from_mode(0o700);
    tempfile::Builder::new().prefix(prefix).permissions(only_ours).tempdir_in(parent)
}

/// Whether another process has locked the file or folder for itself. Two who ask at once do not
/// take each other for that.
pub(crate) fn is_locked(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_may_look_into_it() {
        let parent = tempfile::tempdir().unwrap();
        let folder = private("recorder-", parent.path()).unwrap();
        let mode = std::fs::metadata(folder.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
