//! What the store does not take yet, on disk: one file for each part, in a
//! folder that exists only while it is needed.
//!
//! ```text
//! recorder-spool-x1Ayz0/upload.json   whose they are
//!                       00012.part    the bytes of part 12, all of them
//!                       00013.new     some of part 13, which is being written
//! ```
//!
//! So a folder says all that there is to know of it at any moment, also where its recorder was
//! killed or the disk filled up.
//!
//! It must not know why a part waits, nor when it is sent.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::plan::Payload;
use super::store::{Object, UploadId};
use crate::folder;

/// Says whose parts they are.
const MANIFEST: &str = "upload.json";

/// Behind the number of a part, in the name of its file.
const PART: &str = ".part";

/// A file that is not whole yet.
const UNFINISHED: &str = "new";

/// Where parts may wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The folder of the folder.
    pub dir: PathBuf,
    /// The most bytes that may be in it. What is kept at the end, when nothing
    /// can be sent any more, may exceed it by what was in memory.
    pub limit: u64,
}

/// The folder of one upload.
#[derive(Debug)]
pub(super) struct Spool {
    config: Config,
    manifest: Manifest,
    /// Made when the first part comes, removed with this.
    dir: Option<TempDir>,
    /// The folder, locked for as long as somebody may still send what is in it.
    held: Option<File>,
    parts: BTreeMap<u16, u64>,
}

/// A part that is on disk.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    number: u16,
    path: PathBuf,
    bytes: u64,
}

/// Whose parts are in a spool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub bucket: String,
    pub key: String,
    pub upload_id: String,
    /// The store has all of them.
    #[serde(default)]
    pub is_sent: bool,
}

impl Spool {
    /// For parts of the `upload` of an `object`.
    pub(super) fn new(config: Config, object: &Object, upload: &UploadId) -> Self {
        let manifest = Manifest {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            upload_id: upload.0.clone(),
            is_sent: false,
        };
        Self { config, manifest, dir: None, held: None, parts: BTreeMap::new() }
    }

    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.values().sum()
    }

    /// Writes a part, unless that exceeds the limit.
    pub(super) async fn keep(&mut self, number: u16, payload: Payload) -> io::Result<Spooled> {
        let (bytes, limit) = (self.bytes() + payload.len() as u64, self.config.limit);
        if bytes > limit {
            let reason = format!("{bytes} bytes are more than the {limit} of --spool-disk");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, reason));
        }
        self.keep_last(number, payload).await
    }

    /// Writes a part, whatever the limit is: it would be lost otherwise.
    pub(super) async fn keep_last(&mut self, number: u16, payload: Payload) -> io::Result<Spooled> {
        let length = payload.len() as u64;
        let path = part(self.dir()?, number);
        let written = path.clone();
        tokio::task::spawn_blocking(move || write(&written, &payload)).await??;
        self.parts.insert(number, length);
        Ok(Spooled { number, path, bytes: length })
    }

    /// Removes a part that is stored.
    pub(super) fn drop(&mut self, spooled: &Spooled) {
        self.parts.remove(&spooled.number);
        if let Err(error) = std::fs::remove_file(&spooled.path) {
            tracing::warn!(%error, part = spooled.number, "a stored part stays on disk");
        }
    }

    /// Has the folder stay, if there is anything in it, and says where it is. `is_sent` that the
    /// store has all of it.
    pub(super) fn leave(&mut self, is_sent: bool) -> Option<PathBuf> {
        self.held = None;
        let dir = self.dir.take().filter(|_| !self.parts.is_empty())?.keep();
        if is_sent && let Err(error) = self.manifest.clone().note_sent(&dir) {
            tracing::warn!(%error, "the folder does not say that the store has all of it");
        }
        Some(dir)
    }

    fn dir(&mut self) -> io::Result<&Path> {
        if self.dir.is_none() {
            std::fs::create_dir_all(&self.config.dir)?;
            let made = folder::private("recorder-spool-", &self.config.dir).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", self.config.dir.display()))
            })?;
            let held = File::open(made.path())?;
            held.lock()?;
            self.manifest.write(made.path())?;
            (self.dir, self.held) = (Some(made), Some(held));
        }
        Ok(self.dir.as_ref().expect("made above").path())
    }
}

impl Spooled {
    pub(super) fn len(&self) -> u64 {
        self.bytes
    }

    pub(super) async fn read(&self) -> io::Result<Payload> {
        Ok(Payload::new(vec![tokio::fs::read(&self.path).await?.into()]))
    }
}

impl Manifest {
    /// Of a spool that was left behind.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let path = dir.join(MANIFEST);
        let named =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let text = std::fs::read(&path).map_err(named)?;
        serde_json::from_slice(&text).map_err(|error| named(error.into()))
    }

    fn write(&self, dir: &Path) -> io::Result<()> {
        let text = Payload::new(vec![serde_json::to_vec_pretty(self)?.into()]);
        write(&dir.join(MANIFEST), &text)
    }

    /// Says in the folder `dir` that the store has all of it.
    pub fn note_sent(&mut self, dir: &Path) -> io::Result<()> {
        self.is_sent = true;
        self.write(dir)
    }
}

/// Whether the recorder lives whose folder this is.
pub fn is_held(dir: &Path) -> io::Result<bool> {
    folder::is_locked(&File::open(dir)?)
}

/// The parts in a folder that was left behind: numbers and lengths.
pub fn parts(dir: &Path) -> io::Result<BTreeMap<u16, u64>> {
    let mut parts = BTreeMap::new();
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(PART)?.parse().ok());
        if let Some(number) = number {
            parts.insert(number, entry.metadata()?.len());
        }
    }
    Ok(parts)
}

/// Where the bytes of a part are.
pub fn part(dir: &Path, number: u16) -> PathBuf {
    dir.join(format!("{number:05}{PART}"))
}

/// A file that is there is whole.
fn write(path: &Path, payload: &Payload) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let whole = || {
        let mut file = File::create(&unfinished)?;
        payload.pieces().iter().try_for_each(|piece| file.write_all(piece))?;
        std::fs::rename(&unfinished, path)
    };
    whole().map_err(|error| {
        // It takes room that another part could have.
        let _ = std::fs::remove_file(&unfinished);
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn payload(bytes: &'static [u8]) -> Payload {
        Payload::new(bytes.chunks(2).map(Bytes::from_static).collect())
    }

    fn spool(dir: &Path, limit: u64) -> Spool {
        let object = Object { bucket: "b".into(), key: "k".into() };
        Spool::new(Config { dir: dir.into(), limit }, &object, &UploadId("u".into()))
    }

    #[tokio::test]
    async fn a_part_comes_back_as_it_went_and_takes_its_file_along() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(&dir.path().join("a/b"), 10);
        let part = spool.keep(7, payload(b"seven")).await.unwrap();
        assert_eq!(part.read().await.unwrap().pieces().concat(), b"seven");
        assert_eq!(spool.bytes(), 5);
        spool.drop(&part);
        assert_eq!(spool.bytes(), 0);
        assert_eq!(spool.leave(false), None);
        drop(spool);
        assert_eq!(std::fs::read_dir(dir.path().join("a/b")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_limit_holds_until_the_end_and_what_stays_says_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path(), 8);
        spool.keep(1, payload(b"first")).await.unwrap();
        let error = spool.keep(2, payload(b"second")).await.unwrap_err();
        assert!(error.to_string().contains("--spool-disk"), "{error}");
        spool.keep_last(2, payload(b"second")).await.unwrap();
        let left = spool.leave(false).unwrap();
        assert!(!is_held(&left).unwrap());
        drop(spool);
        assert_eq!(parts(&left).unwrap(), BTreeMap::from([(1, 5), (2, 6)]));
        assert_eq!(std::fs::read(part(&left, 2)).unwrap(), b"second");
        let mut manifest = Manifest::read(&left).unwrap();
        assert_eq!((&*manifest.key, &*manifest.upload_id, manifest.is_sent), ("k", "u", false));
        manifest.note_sent(&left).unwrap();
        assert_eq!(Manifest::read(&left).unwrap(), manifest);
        assert!(manifest.is_sent);
    }

    #[tokio::test]
    async fn a_folder_says_whose_it_is_before_anybody_leaves_it_and_has_whole_parts_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path(), 100);
        spool.keep(3, payload(b"third")).await.unwrap();
        let folder = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap().path();
        // As where the disk is full in the middle of a part: its name is taken.
        std::fs::create_dir(folder.join("00004.new")).unwrap();
        spool.keep(4, payload(b"fourth")).await.unwrap_err();
        std::fs::write(folder.join("00005.new"), b"fif").unwrap();
        assert_eq!(Manifest::read(&folder).unwrap().upload_id, "u");
        assert!(is_held(&folder).unwrap());
        assert_eq!(parts(&folder).unwrap(), BTreeMap::from([(3, 5)]));
    }
}
