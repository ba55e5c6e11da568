//! The bucket on disk: one folder, one ordinary file per object.
//!
//! Plain blocking file work, to be called off the async threads. It must not
//! know HTTP, requests or s3s's types beyond its error codes. Open uploads are
//! in `uploads.rs`.
//!
//! Objects carry no metadata of their own: the content type follows from the
//! name, and the `ETag` of a stored object from its size and time of change, so
//! that a person may copy, rename or replace files in the folder at will.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};
use tempfile::{Builder, NamedTempFile};

use super::key::{UPLOADS, relative_path};

/// Why something could not be done: S3's refusal, or the disk's.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    S3(#[from] S3Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

pub(super) type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The answer to the client. `dir` is named so that a person knows which
    /// disk is meant.
    pub(super) fn into_answer(self, dir: &Path) -> S3Error {
        let error = match self {
            Self::S3(error) => return error,
            Self::Io(error) => error,
        };
        let dir = dir.display();
        // AWS knows no full disk. The name is that of HTTP's status 507.
        if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            let code = S3ErrorCode::Custom("InsufficientStorage".into());
            let mut answer =
                S3Error::with_message(code, format!("no space left for the folder {dir}: {error}"));
            answer.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
            answer
        } else {
            s3_error!(InternalError, "cannot use the folder {dir}: {error}")
        }
    }
}

/// The bucket's folder.
#[derive(Clone, Debug)]
pub(super) struct Store {
    dir: PathBuf,
}

/// What is known of an object without reading it.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) key: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) modified: SystemTime,
    pub(super) e_tag: String,
}

impl Object {
    fn new(key: &str, metadata: &fs::Metadata) -> io::Result<Self> {
        Ok(Self {
            key: key.to_owned(),
            size: metadata.len(),
            modified: metadata.modified()?,
            e_tag: format!(
                "{:x}-{:x}-{:x}",
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.len()
            ),
        })
    }

    /// The MIME type, told by the name.
    pub(super) fn content_type(&self) -> &'static str {
        match Path::new(&self.key).extension().and_then(|e| e.to_str()) {
            Some("mp4") => "video/mp4",
            Some("json") => "application/json",
            Some("vtt") => "text/vtt",
            _ => "application/octet-stream",
        }
    }
}

impl Store {
    /// Creates the folder where it is missing and makes sure that it can be
    /// written to.
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let store = Self { dir: dir.to_owned() };
        store.temporary_file()?;
        Ok(store)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where open uploads and half-written objects live, created if missing.
    pub(super) fn uploads_dir(&self) -> io::Result<PathBuf> {
        let dir = self.dir.join(UPLOADS);
        fs::create_dir_all(&dir)?;
        Ok(dir)
    }

    /// A file for the content of an object that is not one yet. It removes
    /// itself unless it is [kept](Self::keep).
    pub(super) fn temporary_file(&self) -> io::Result<NamedTempFile> {
        new_file("object-").tempfile_in(self.uploads_dir()?)
    }

    /// Where the object `key` is or would be. Fails for keys that are no file
    /// name, and where a file stands in the way of a folder or the reverse.
    pub(super) fn path(&self, key: &str) -> S3Result<PathBuf> {
        let relative = relative_path(key)?;
        let path = self.dir.join(&relative);
        let folders = relative.ancestors().skip(1).map(|folder| self.dir.join(folder));
        for folder in folders {
            if folder.is_file() {
                let folder = folder.display();
                return Err(s3_error!(
                    InvalidArgument,
                    "key {key:?} needs the folder {folder}, which is a file"
                ));
            }
        }
        if path.is_dir() {
            let path = path.display();
            return Err(s3_error!(
                InvalidArgument,
                "key {key:?} needs the file {path}, which is a folder"
            ));
        }
        Ok(path)
    }

    /// Makes `file` the object `key`, in one step for whoever reads it.
    pub(super) fn keep(&self, file: NamedTempFile, key: &str) -> Result<()> {
        let path = self.path(key)?;
        file.as_file().sync_data()?;
        publish(&file.into_temp_path(), &path)?;
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Result<(File, Object)> {
        let no_such_key = || s3_error!(NoSuchKey, "no object {key:?}");
        // A folder, or a file where a folder is needed: both are no object.
        let file = match File::open(self.dir.join(relative_path(key)?)) {
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Err(no_such_key().into());
            }
            file => file?,
        };
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(no_such_key().into());
        }
        Ok((file, Object::new(key, &metadata)?))
    }

    /// Succeeds for an object that does not exist, as S3 does.
    pub(super) fn delete(&self, key: &str) -> Result<()> {
        match self.get(key) {
            Err(Error::S3(error)) if *error.code() == S3ErrorCode::NoSuchKey => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Ok(fs::remove_file(self.path(key)?)?),
        }
    }

    /// All objects whose key begins with `prefix`, in S3's order.
    pub(super) fn list(&self, prefix: &str) -> Result<Vec<Object>> {
        let mut objects = Vec::new();
        walk(&self.dir, "", prefix, &mut objects)?;
        objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(objects)
    }
}

fn walk(dir: &Path, parent: &str, prefix: &str, found: &mut Vec<Object>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(key) = name.to_str().map(|name| format!("{parent}{name}")) else { continue };
        if relative_path(&key).is_err() {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            let folder = key + "/";
            if folder.starts_with(prefix) || prefix.starts_with(&folder) {
                walk(&entry.path(), &folder, prefix, found)?;
            }
        } else if kind.is_file() && key.starts_with(prefix) {
            match entry.metadata() {
                // Deleted since the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                metadata => found.push(Object::new(&key, &metadata?)?),
            }
        }
    }
    Ok(())
}

/// Moves a finished file to where an object is read.
pub(super) fn publish(file: &Path, object: &Path) -> io::Result<()> {
    if let Some(folder) = object.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::rename(file, object)
}

/// Temporary files become what a person opens, so they get ordinary
/// permissions: everything, less the umask.
pub(super) fn new_file(prefix: &str) -> Builder<'_, 'static> {
    let mut builder = Builder::new();
    builder.prefix(prefix).permissions(Permissions::from_mode(0o666));
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_insufficient_storage_and_names_the_folder() {
        for errno in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let error = Error::from(io::Error::from(errno));
            let answer = error.into_answer(Path::new("/films"));
            assert_eq!(answer.code().as_str(), "InsufficientStorage");
            assert_eq!(answer.status_code().unwrap().as_u16(), 507);
            assert!(answer.message().unwrap().contains("/films"), "{answer}");
        }
    }

    #[test]
    fn other_trouble_with_the_disk_is_an_internal_error_with_its_reason() {
        let error = Error::from(io::Error::from(rustix::io::Errno::IO));
        let answer = error.into_answer(Path::new("/films"));
        assert_eq!(answer.code(), &S3ErrorCode::InternalError);
        assert!(answer.message().unwrap().contains("/films"), "{answer}");
    }

    #[test]
    fn the_name_of_an_object_tells_its_type() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        for (key, expected) in [
            ("a.mp4", "video/mp4"),
            ("a.mp4.json", "application/json"),
            ("a/b.vtt", "text/vtt"),
            ("mp4", "application/octet-stream"),
        ] {
            store.keep(store.temporary_file().unwrap(), key).unwrap();
            assert_eq!(store.get(key).unwrap().1.content_type(), expected);
        }
    }

    #[test]
    fn a_file_in_the_way_of_a_folder_is_said_before_anything_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        store.keep(store.temporary_file().unwrap(), "a/b").unwrap();
        for key in ["a", "a/b/c", "a/b/c/d"] {
            assert_eq!(store.path(key).unwrap_err().code(), &S3ErrorCode::InvalidArgument);
            assert!(
                matches!(store.get(key), Err(Error::S3(e)) if *e.code() == S3ErrorCode::NoSuchKey)
            );
        }
    }
}
