//! What the store does not take yet, on disk: one file for each part, in a
//! folder that exists only while it is needed.
//!
//! ```text
//! recorder-spool-x1Ayz0/00012.part    the bytes of part 12
//!                       upload.json   whose they are, written when they stay
//! ```
//!
//! It must not know why a part waits, nor when it is sent.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::plan::Payload;
use super::store::{Object, UploadId};
use crate::folder;

/// Says whose parts they are.
const MANIFEST: &str = "upload.json";

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
    /// Made when the first part comes, removed with this.
    dir: Option<TempDir>,
    parts: BTreeMap<u16, u64>,
}

/// A part that is on disk.
#[derive(Clone, Debug)]
pub(super) struct Spooled {
    number: u16,
    path: PathBuf,
    bytes: u64,
}

/// What a spool says of itself when it stays behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub bucket: String,
    pub key: String,
    pub upload_id: String,
    /// Numbers and lengths; the bytes of part 12 are in `00012.part`.
    pub parts: BTreeMap<u16, u64>,
}

impl Spool {
    pub(super) fn new(config: Config) -> Self {
        Self { config, dir: None, parts: BTreeMap::new() }
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
        let path = self.dir()?.join(file_name(number));
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

    /// Has the folder stay, if there is anything in it, and says where it is.
    pub(super) fn leave(
        &mut self,
        object: &Object,
        upload: &UploadId,
    ) -> io::Result<Option<PathBuf>> {
        if self.parts.is_empty() {
            return Ok(None);
        }
        let Some(dir) = self.dir.take() else { return Ok(None) };
        let dir = dir.keep();
        let manifest = Manifest {
            bucket: object.bucket.clone(),
            key: object.key.clone(),
            upload_id: upload.0.clone(),
            parts: self.parts.clone(),
        };
        std::fs::write(dir.join(MANIFEST), serde_json::to_vec_pretty(&manifest)?)?;
        Ok(Some(dir))
    }

    fn dir(&mut self) -> io::Result<&Path> {
        if self.dir.is_none() {
            std::fs::create_dir_all(&self.config.dir)?;
            let made = folder::private("recorder-spool-", &self.config.dir);
            self.dir = Some(made.map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", self.config.dir.display()))
            })?);
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

    /// Where the bytes of a part are.
    pub fn part(&self, dir: &Path, number: u16) -> PathBuf {
        dir.join(file_name(number))
    }
}

fn file_name(number: u16) -> String {
    format!("{number:05}.part")
}

fn write(path: &Path, payload: &Payload) -> io::Result<()> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut file = std::fs::File::create(path).map_err(named)?;
    for piece in payload.pieces() {
        file.write_all(piece).map_err(named)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn payload(bytes: &'static [u8]) -> Payload {
        Payload::new(bytes.chunks(2).map(Bytes::from_static).collect())
    }

    #[tokio::test]
    async fn a_part_comes_back_as_it_went_and_takes_its_file_along() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(Config { dir: dir.path().join("a/b"), limit: 10 });
        let part = spool.keep(7, payload(b"seven")).await.unwrap();
        assert_eq!(part.read().await.unwrap().pieces().concat(), b"seven");
        assert_eq!(spool.bytes(), 5);
        spool.drop(&part);
        assert_eq!(spool.bytes(), 0);
        let (object, upload) =
            (Object { bucket: "b".into(), key: "k".into() }, UploadId("u".into()));
        assert_eq!(spool.leave(&object, &upload).unwrap(), None);
        drop(spool);
        assert_eq!(std::fs::read_dir(dir.path().join("a/b")).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn the_limit_holds_until_the_end_and_what_stays_says_whose_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = Spool::new(Config { dir: dir.path().into(), limit: 8 });
        spool.keep(1, payload(b"first")).await.unwrap();
        let error = spool.keep(2, payload(b"second")).await.unwrap_err();
        assert!(error.to_string().contains("--spool-disk"), "{error}");
        spool.keep_last(2, payload(b"second")).await.unwrap();
        let object = Object { bucket: "b".into(), key: "k".into() };
        let left = spool.leave(&object, &UploadId("u".into())).unwrap().unwrap();
        drop(spool);
        let manifest = Manifest::read(&left).unwrap();
        assert_eq!(manifest.parts, BTreeMap::from([(1, 5), (2, 6)]));
        assert_eq!(std::fs::read(manifest.part(&left, 2)).unwrap(), b"second");
        assert_eq!((&*manifest.key, &*manifest.upload_id), ("k", "u"));
    }
}
