//! Recordings whose recorder died: an open upload becomes an object, and a
//! fragmented object an ordinary MP4.
//!
//! ```text
//!  open upload ──▶ parts that follow each other ──▶ complete ──▶ object
//!                  (a spool adds what the store lacks)             │
//!              fragments read, index made, media copied by the store
//!                                                                  ▼
//!                                                            ordinary MP4
//! ```
//!
//! Every step may be repeated, and two recoveries may run at once: a completed
//! upload is completed, and the media is only copied from the very object that
//! was read. Media is never thrown away: what does not follow stays what it was
//! until the upload is completed without it, and that is told.

pub mod bucket;
#[cfg(feature = "record")]
pub mod command;
mod prefix;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::Serialize;

use crate::mp4::{Form, Scanned, Scanner, plain_head};
use crate::upload::plan::{MIN_PART_BYTES, Payload};
use crate::upload::spool::{self, Manifest};
use crate::upload::store::{Kind, Object, StoreError};
use bucket::{Bucket, Found, Listed, OpenUpload};

/// Bytes that the store copies in one request. The more, the fewer requests; but
/// each has to be over before a client gives up on it.
const COPY_BYTES: u64 = 256 << 20;

/// Up to here a recording is fetched and stored anew, which is one request.
const SMALL_BYTES: u64 = 2 * MIN_PART_BYTES as u64;

/// How often the object may turn into another one while it is being read, and parts into
/// others while they are joined.
const TRIES: u32 = 3;

/// Which uploads belong to nobody any more.
#[derive(Clone, Debug)]
pub struct Rules {
    /// An upload whose newest part is younger may have a living recorder.
    pub older_than: Duration,
    /// Recover it all the same.
    pub force: bool,
    /// Under `--local` a living recorder is known by its lock in this folder.
    pub held_in: Option<PathBuf>,
}

/// What became of one upload or object.
#[derive(Clone, Debug, Serialize)]
pub struct Recovered {
    pub bucket: String,
    pub key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    pub outcome: Outcome,
    /// Parts that became the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<u16>,
    /// Parts that were stored but did not follow the others, and were given up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts_left: Vec<u16>,
    /// Bytes at the end that were no whole fragment, and were given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_cut: Option<u64>,
    /// Of the object as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_seconds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The object is an ordinary MP4 now.
    Recovered,
    /// It was one before.
    WasComplete,
    /// The upload held nothing, and was removed.
    Empty,
    /// Its recorder seems to be alive: nothing was touched.
    Alive,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{object} has several open uploads: say which with --upload-id: {}", ids.join(", "))]
    Several { object: Object, ids: Vec<String> },
    #[error(
        "there is an object {object} already, which the upload {upload} would replace: \
         move it away, or say --force"
    )]
    Occupied { object: Object, upload: String },
    #[error("{0} has neither an open upload nor an object")]
    Nothing(Object),
    #[error(
        "the upload {upload} of {object} has no part 1, without which the others mean nothing; \
         it is left as it is"
    )]
    NoBeginning { object: Object, upload: String },
    #[error("{object} is no recording: {source}")]
    NoRecording { object: Object, source: crate::mp4::Unreadable },
    #[error("{0} became another object again and again while it was read")]
    Changing(Object),
    #[error("{object} was not read to its end")]
    Read { object: Object, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the spool cannot be read")]
    Spool(#[source] std::io::Error),
    #[error(
        "the upload {upload} of {object} was completed or removed without what is in {}, \
         which is left as it is",
        dir.display()
    )]
    Late { object: Object, upload: String, dir: PathBuf },
    #[error("what is in {} belongs into the bucket {theirs:?}, not into {ours:?}: say --bucket {theirs}", dir.display())]
    Elsewhere { dir: PathBuf, theirs: String, ours: String },
    #[error("there is no folder {} to recover in: name it with --output", .0.display())]
    NoFolder(PathBuf),
    #[error("whether its recorder is alive cannot be told")]
    Held(#[source] std::io::Error),
}

/// Recovers the recording `key`, from its open upload if it has one, else from
/// the object.
pub async fn recover(
    bucket: &Bucket,
    key: &str,
    upload_id: Option<&str>,
    rules: &Rules,
) -> Result<Recovered, Error> {
    let upload = if let Some(id) = upload_id {
        Some(OpenUpload { key: key.to_owned(), id: id.to_owned(), initiated: None })
    } else {
        let mut open = bucket.open_uploads(key).await?;
        open.retain(|upload| upload.key == key);
        if open.len() > 1 {
            let ids = open.into_iter().map(|upload| upload.id).collect();
            return Err(Error::Several { object: bucket.object(key), ids });
        }
        open.pop()
    };
    let Some(upload) = upload else { return recover_object(bucket, key).await };
    match recover_upload(bucket, &upload, None, rules).await {
        // Most likely a recovery that was interrupted while it made an ordinary MP4 of the object.
        Err(Error::NoBeginning { .. })
            if upload_id.is_none() && bucket.find(key).await?.is_some() =>
        {
            recover_object(bucket, key).await
        }
        recovered => recovered,
    }
}

/// Recovers what a recorder left on disk together with what it had stored. The
/// folder can be removed after that. With `replace` it takes the place of an object that is there.
pub async fn recover_spool(bucket: &Bucket, dir: &Path, replace: bool) -> Result<Recovered, Error> {
    let manifest = Manifest::read(dir).map_err(Error::Spool)?;
    let Manifest { bucket: theirs, key, upload_id: id, .. } = manifest;
    let ours = bucket.object(&key).bucket;
    if theirs != ours {
        return Err(Error::Elsewhere { dir: dir.to_owned(), theirs, ours });
    }
    let upload = OpenUpload { key, id, initiated: None };
    let rules = Rules { older_than: Duration::ZERO, force: replace, held_in: None };
    recover_upload(bucket, &upload, Some(dir), &rules).await
}

/// Recovers every open upload whose key begins with `prefix`, one after the other.
/// `told` hears what became of each.
pub async fn recover_all(
    bucket: &Bucket,
    prefix: &str,
    rules: &Rules,
    mut told: impl FnMut(&OpenUpload, Result<Recovered, Error>),
) -> Result<(), Error> {
    for upload in bucket.open_uploads(prefix).await? {
        let recovered = recover_upload(bucket, &upload, None, rules).await;
        told(&upload, recovered);
    }
    Ok(())
}

async fn recover_upload(
    bucket: &Bucket,
    upload: &OpenUpload,
    spool: Option<&Path>,
    rules: &Rules,
) -> Result<Recovered, Error> {
    for _ in 1..TRIES {
        match try_upload(bucket, upload, spool, rules).await {
            // What the dead recorder had sent, and the store was still taking, has
            // replaced a part after it was listed.
            Err(Error::Store(error)) if error.kind == Kind::Replaced => {}
            recovered => return recovered,
        }
    }
    try_upload(bucket, upload, spool, rules).await
}

async fn try_upload(
    bucket: &Bucket,
    upload: &OpenUpload,
    spool: Option<&Path>,
    rules: &Rules,
) -> Result<Recovered, Error> {
    let object = bucket.object(&upload.key);
    let recovered = Recovered {
        bucket: object.bucket.clone(),
        key: upload.key.clone(),
        upload_id: Some(upload.id.clone()),
        outcome: Outcome::Alive,
        parts: None,
        parts_left: Vec::new(),
        bytes_cut: None,
        bytes: None,
        duration_seconds: None,
    };
    let Some(mut listed) = bucket.parts(upload).await? else {
        if let Some(dir) = spool
            && !Manifest::read(dir).map_err(Error::Spool)?.is_sent
        {
            return Err(Error::Late { object, upload: upload.id.clone(), dir: dir.to_owned() });
        }
        // Somebody else has completed it meanwhile, or the recorder itself.
        let found = recover_object(bucket, &upload.key).await?;
        return Ok(Recovered { upload_id: recovered.upload_id, ..found });
    };
    let is_alive = match spool {
        // Whoever left a spool has left the upload, too.
        Some(dir) => !rules.force && spool::is_held(dir).map_err(Error::Spool)?,
        None => is_alive(upload, &listed, rules)?,
    };
    if is_alive {
        return Ok(recovered);
    }
    if let Some(dir) = spool {
        send(bucket, upload, dir, &listed).await?;
        listed = bucket.parts(upload).await?.ok_or_else(|| Error::Nothing(object.clone()))?;
    }
    if listed.is_empty() {
        bucket.abort(upload).await?;
        return Ok(Recovered { outcome: Outcome::Empty, ..recovered });
    }
    let parts_stored: Vec<u16> = listed.iter().map(|part| part.number).collect();
    let parts = prefix::usable(listed);
    if parts.is_empty() {
        return Err(Error::NoBeginning { object, upload: upload.id.clone() });
    }
    if !rules.force && bucket.find(&upload.key).await?.is_some() {
        // Made by this upload a moment ago, or another recording of that name.
        if bucket.parts(upload).await?.is_some() {
            return Err(Error::Occupied { object, upload: upload.id.clone() });
        }
        let found = recover_object(bucket, &upload.key).await?;
        return Ok(Recovered { upload_id: recovered.upload_id, ..found });
    }
    let used = u16::try_from(parts.len()).expect("an upload has at most 10,000 parts");
    let mut parts_left: Vec<u16> =
        parts_stored.into_iter().filter(|number| *number > used).collect();
    parts_left.dedup();
    bucket.complete(upload, &parts).await?;
    let found = recover_object(bucket, &upload.key).await?;
    Ok(Recovered {
        upload_id: recovered.upload_id,
        outcome: Outcome::Recovered,
        parts: Some(used),
        parts_left,
        ..found
    })
}

/// Sends what is in the folder and not in the store.
async fn send(
    bucket: &Bucket,
    upload: &OpenUpload,
    dir: &Path,
    listed: &[Listed],
) -> Result<(), Error> {
    for (number, bytes) in spool::parts(dir).map_err(Error::Spool)? {
        if listed.iter().any(|part| part.number == number && part.bytes >= bytes) {
            continue;
        }
        let media = tokio::fs::read(spool::part(dir, number)).await.map_err(Error::Spool)?;
        bucket.put_part(upload, number, Payload::new(vec![media.into()])).await?;
    }
    // So that whoever comes again knows, after the upload is completed.
    Manifest::read(dir).and_then(|mut manifest| manifest.note_sent(dir)).map_err(Error::Spool)
}

fn is_alive(upload: &OpenUpload, parts: &[Listed], rules: &Rules) -> Result<bool, Error> {
    if rules.force {
        return Ok(false);
    }
    if let Some(dir) = &rules.held_in {
        return is_held(dir, &upload.id).map_err(Error::Held);
    }
    // Without parts, and without a listing that says when it began, it is new.
    let newest = parts.iter().filter_map(|part| part.modified).chain(upload.initiated).max();
    let age = newest.map(|newest| SystemTime::now().duration_since(newest).unwrap_or_default());
    Ok(age.is_none_or(|age| age < rules.older_than))
}

#[cfg(feature = "local")]
fn is_held(dir: &Path, upload_id: &str) -> std::io::Result<bool> {
    crate::local::Server::is_held(dir, upload_id)
}

#[cfg(not(feature = "local"))]
#[expect(clippy::unnecessary_wraps, reason = "as with the feature")]
fn is_held(_dir: &Path, _upload_id: &str) -> std::io::Result<bool> {
    Ok(false)
}

/// Makes an ordinary MP4 of the object, unless it is one.
async fn recover_object(bucket: &Bucket, key: &str) -> Result<Recovered, Error> {
    let object = bucket.object(key);
    for _ in 0..TRIES {
        let found = bucket.find(key).await?.ok_or_else(|| Error::Nothing(object.clone()))?;
        let Some(scanned) = scan(bucket, &found).await? else { continue };
        let scanned =
            scanned.map_err(|source| Error::NoRecording { object: object.clone(), source })?;
        let index = &scanned.index;
        let recovered = Recovered {
            bucket: object.bucket.clone(),
            key: key.to_owned(),
            upload_id: None,
            outcome: Outcome::WasComplete,
            parts: None,
            parts_left: Vec::new(),
            bytes_cut: None,
            bytes: Some(found.bytes),
            duration_seconds: Some(index.duration().as_secs_f64()),
        };
        // A file without a single sample is left what it is.
        let head = plain_head(index).filter(|_| scanned.form == Form::Fragmented);
        let Some(head) = head else { return Ok(recovered) };
        let bytes = head.len() as u64 + scanned.good - index.header_bytes;
        if replace_head(bucket, &found, head.into(), &scanned).await? {
            let cut = found.bytes - scanned.good;
            return Ok(Recovered {
                outcome: Outcome::Recovered,
                bytes: Some(bytes),
                bytes_cut: Some(cut).filter(|cut| *cut > 0),
                ..recovered
            });
        }
    }
    Err(Error::Changing(object))
}

/// Reads the object; `None` if it became another one meanwhile.
async fn scan(
    bucket: &Bucket,
    found: &Found,
) -> Result<Option<Result<Scanned, crate::mp4::Unreadable>>, Error> {
    let Some(mut body) = bucket.read(found, 0, found.bytes).await? else { return Ok(None) };
    let mut scanner = Scanner::new();
    loop {
        match body.try_next().await {
            Ok(Some(bytes)) => scanner.push(&bytes),
            Ok(None) => break,
            Err(error) => {
                let object = bucket.object(&found.key);
                return Err(Error::Read { object, source: Box::new(error) });
            }
        }
        // Its media is of no interest.
        if scanner.form() == Some(Form::Plain) {
            break;
        }
    }
    Ok(Some(scanner.finish()))
}

/// Puts `head` in front of the media of an object, which the store copies itself.
/// False if the object became another one meanwhile.
async fn replace_head(
    bucket: &Bucket,
    found: &Found,
    head: Bytes,
    scanned: &Scanned,
) -> Result<bool, Error> {
    let (begin, end) = (scanned.index.header_bytes, scanned.good);
    let all = end - begin <= SMALL_BYTES;
    // A part needs 5 MiB, so the first one takes some of the media along.
    let split = if all { end } else { begin + MIN_PART_BYTES as u64 };
    let Some(body) = bucket.read(found, begin, split).await? else { return Ok(false) };
    let media = body.collect().await.map_err(|error| Error::Read {
        object: bucket.object(&found.key),
        source: Box::new(error),
    })?;
    let first = Payload::new(vec![head, media.into_bytes()]);
    if all {
        bucket.put_object(found, first).await?;
        return Ok(true);
    }
    let upload = bucket.create(found).await?;
    let copied = copy(bucket, found, &upload, first, split..end).await;
    match copied {
        Ok(Some(parts)) => {
            bucket.complete(&upload, &parts).await?;
            Ok(true)
        }
        // Nothing is in it that is not in the object, too.
        other => {
            bucket.abort(&upload).await?;
            other.map(|_| false)
        }
    }
}

async fn copy(
    bucket: &Bucket,
    found: &Found,
    upload: &OpenUpload,
    first: Payload,
    media: std::ops::Range<u64>,
) -> Result<Option<Vec<Listed>>, Error> {
    let mut parts = Vec::new();
    let mut begin = media.start;
    for number in 2.. {
        if begin == media.end {
            break;
        }
        let end = media.end.min(begin + COPY_BYTES);
        match bucket.copy_part(found, upload, number, begin..end).await? {
            Some(part) => parts.push(part),
            None => return Ok(None),
        }
        begin = end;
    }
    // Last, so that an upload in which something lacks cannot be taken for a recording.
    parts.insert(0, bucket.put_part(upload, 1, first).await?);
    Ok(Some(parts))
}
