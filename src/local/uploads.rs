//! Open multipart uploads on disk, and how they become objects.
//!
//! Plain blocking file work like `store.rs`. Everything that matters is in the
//! upload's folder, so that a later process can list and complete the upload of
//! one that was killed:
//!
//! ```text
//! .uploads/<upload id>/upload.json         the upload exists while this does
//!                      00007.json          the record of part 7
//!                      00007-x1Ayz0.part   the bytes that record points to
//!                      object-Qk3lmb       parts that were joined already
//!                      shifted.json        room was made in front of them
//!                      held                locked by the process that opened it
//! ```
//!
//! Replacing a record by rename is the one step in which a part changes.
//! Parts are joined into one file while the recording goes on, all but the first,
//! which comes last. Completion has the file system make room in front of them, and
//! copies nothing but the first part into it and the latest behind. Where that cannot
//! be done, it copies. Each move is settled now and then, so that little more disk is
//! needed than the recording has already, and leaves each record pointing to good bytes
//! wherever it is interrupted.

mod joining;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::NamedTempFile;

use super::digest::{Algorithm, Checksum, Digest, Summed, multipart_etag, summed};
use super::store::{Result, Store, new_file, publish};
use crate::folder;

/// S3's limit on the number of a part.
pub(super) const MAX_PART_NUMBER: u16 = 10_000;
/// S3's least size of every part but the last, in bytes.
const MIN_PART_SIZE: u64 = 5 * 1024 * 1024;

const DESCRIPTION: &str = "upload.json";
/// Locked for as long as the process lives that opened the upload.
const HELD: &str = "held";
const RECORD_SUFFIX: &str = ".json";
const PART_SUFFIX: &str = ".part";
const ID_LENGTH: usize = 32;

/// What the client said when it opened the upload.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    key: String,
    checksum: Option<Algorithm>,
    /// Whether the object's checksum is that of all its bytes.
    #[serde(default)]
    whole: bool,
}

/// Where the bytes of a part are, and what they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    #[serde(flatten)]
    digest: Digest,
    /// Name of a file in the upload's folder.
    file: String,
    /// First byte of the part in it.
    offset: u64,
}

/// One part as it is on disk.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) number: u16,
    pub(super) modified: SystemTime,
    record: Record,
}

impl Part {
    pub(super) fn digest(&self) -> &Digest {
        &self.record.digest
    }

    fn is_loose(&self) -> bool {
        is_loose(&self.record.file)
    }
}

/// One part as the client lists it for completion.
#[derive(Clone, Debug)]
pub(super) struct Chosen {
    pub(super) number: u16,
    pub(super) e_tag: String,
    pub(super) checksum: Option<Checksum>,
}

/// The names of a completed object.
#[derive(Clone, Debug)]
pub(super) struct Completed {
    pub(super) e_tag: String,
    pub(super) checksum: Option<Checksum>,
    pub(super) summed: Option<Summed>,
}

/// An open upload.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) id: String,
    pub(super) created: SystemTime,
    description: Description,
    folder: PathBuf,
}

impl Store {
    /// Returns the id, and what shows that somebody is still at work on it.
    pub(super) fn create_upload(
        &self,
        key: &str,
        checksum: Option<Summed>,
    ) -> Result<(String, File)> {
        self.path(key)?;
        let folder = tempfile::Builder::new()
            .prefix("")
            .rand_bytes(ID_LENGTH)
            .permissions(Permissions::from_mode(0o777))
            .tempdir_in(self.uploads_dir()?)?;
        let held = File::create(folder.path().join(HELD))?;
        held.lock()?;
        let description = Description {
            key: key.to_owned(),
            checksum: checksum.map(|summed| summed.algorithm),
            whole: checksum.is_some_and(|summed| summed.whole),
        };
        write_json(folder.path(), DESCRIPTION, &description)?;
        let id = folder.keep().file_name().map(|name| name.to_string_lossy().into_owned());
        Ok((id.expect("a temporary folder has a name of ASCII letters and digits"), held))
    }

    /// Whether the process that opened an upload is still alive.
    pub(super) fn is_held(&self, id: &str) -> io::Result<bool> {
        let Some(upload) = self.find_upload(id)? else { return Ok(false) };
        match File::open(upload.folder.join(HELD)) {
            Ok(file) => folder::is_locked(&file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The open upload `id` of the object `key`.
    pub(super) fn upload(&self, key: &str, id: &str) -> Result<Upload> {
        let upload = self.find_upload(id)?.filter(|upload| upload.key() == key);
        Ok(upload.ok_or_else(|| s3_error!(NoSuchUpload, "no open upload {id:?} of {key:?}"))?)
    }

    /// All open uploads, in S3's order: by key, then by id.
    pub(super) fn uploads(&self) -> Result<Vec<Upload>> {
        let mut uploads = Vec::new();
        for entry in fs::read_dir(self.uploads_dir()?)? {
            let name = entry?.file_name();
            let Some(id) = name.to_str() else { continue };
            match self.find_upload(id) {
                Ok(found) => uploads.extend(found),
                // Such as one whose description a power failure left empty: no reason to lose sight
                // of the others.
                Err(error) => tracing::warn!(upload = id, %error, "an upload cannot be read"),
            }
        }
        uploads.sort_by(|a, b| (a.key(), &a.id).cmp(&(b.key(), &b.id)));
        Ok(uploads)
    }

    fn find_upload(&self, id: &str) -> io::Result<Option<Upload>> {
        // The id comes from outside and becomes a path.
        if id.len() != ID_LENGTH || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        let folder = self.uploads_dir()?.join(id);
        let Some((description, created)) = read_json(&folder.join(DESCRIPTION))? else {
            return Ok(None);
        };
        Ok(Some(Upload { id: id.to_owned(), created, description, folder }))
    }

    /// Turns the chosen parts into the object. On failure the upload is as
    /// usable as it was. `expected` is the checksum the client has for the whole.
    pub(super) fn complete(
        &self,
        upload: &Upload,
        chosen: &[Chosen],
        expected: Option<&Checksum>,
    ) -> Result<Completed> {
        let _lock = upload.lock()?;
        let path = self.path(upload.key())?;
        let all = upload.parts()?;
        let chosen = check(chosen, &all, upload.checksum())?;
        let digests: Vec<&Digest> = chosen.iter().map(Part::digest).collect();
        let checksum = upload.summed().and_then(|how| summed(how, &digests));
        if expected.is_some() && expected != checksum.as_ref() {
            return Err(s3_error!(BadDigest, "the checksum of the object is {checksum:?}").into());
        }
        let e_tag = multipart_etag(&digests);

        publish(&upload.assemble(&chosen, &all)?, &path)?;
        // The object is there: what is left is only litter, and no failure.
        if let Err(error) = upload.remove() {
            tracing::warn!(upload = upload.id, %error, "a completed upload left files behind");
        }
        Ok(Completed { e_tag, checksum, summed: upload.summed() })
    }
}

impl Upload {
    pub(super) fn key(&self) -> &str {
        &self.description.key
    }

    /// The algorithm that every part is checked with.
    pub(super) fn checksum(&self) -> Option<Algorithm> {
        self.description.checksum
    }

    /// How the checksum of the object is made.
    pub(super) fn summed(&self) -> Option<Summed> {
        let Description { checksum, whole, .. } = self.description;
        checksum.map(|algorithm| Summed { algorithm, whole })
    }

    /// A file for the bytes of a part. It removes itself unless it is
    /// [kept](Self::keep_part).
    pub(super) fn part_file(&self, number: u16) -> io::Result<NamedTempFile> {
        new_file(&format!("{number:05}-")).suffix(PART_SUFFIX).tempfile_in(&self.folder)
    }

    /// Makes `file` the part `number`, in place of the one before.
    pub(super) fn keep_part(&self, number: u16, file: NamedTempFile, digest: Digest) -> Result<()> {
        let _lock = self.lock()?;
        let before = self.part(number)?;
        let name = file_name(file.path());
        // In this order, so that a record that cannot be written takes the file with it.
        self.write_record(number, &Record { digest, file: name, offset: 0 })?;
        file.keep().map_err(io::Error::from)?;
        match before {
            Some(before) => self.discard(&before.record),
            None => self.join(number),
        }
        Ok(())
    }

    /// The parts by number.
    pub(super) fn parts(&self) -> Result<BTreeMap<u16, Part>> {
        let mut parts = BTreeMap::new();
        let shift = self.shift()?;
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(RECORD_SUFFIX));
            let Some(number) = number.and_then(|number| number.parse().ok()) else { continue };
            // A part can only be replaced, never vanish, unless the upload does.
            if let Some(mut part) = self.part(number)? {
                if let Some(shift) = &shift
                    && shift.file == part.record.file
                {
                    part.record.offset += shift.by;
                }
                parts.insert(number, part);
            }
        }
        Ok(parts)
    }

    pub(super) fn abort(self) -> Result<()> {
        let _lock = self.lock()?;
        Ok(self.remove()?)
    }

    /// Keeps completing, aborting and replacing parts apart, in this process
    /// and between processes. Released on drop, and by the death of the holder.
    fn lock(&self) -> Result<File> {
        let gone = || s3_error!(NoSuchUpload, "the upload {:?} has ended", self.id);
        let file = match File::open(self.folder.join(DESCRIPTION)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone().into()),
            file => file?,
        };
        file.lock()?;
        // Whoever held the lock before may have ended the upload.
        if file.metadata()?.nlink() == 0 { Err(gone().into()) } else { Ok(file) }
    }

    fn part(&self, number: u16) -> io::Result<Option<Part>> {
        let found = read_json(&self.folder.join(record_name(number)))?;
        Ok(found.map(|(record, modified)| Part { number, modified, record }))
    }

    fn write_record(&self, number: u16, record: &Record) -> io::Result<()> {
        write_json(&self.folder, &record_name(number), record)
    }

    /// Frees the bytes that no record points to any more. Those inside a file
    /// of several parts go with the folder.
    fn discard(&self, record: &Record) {
        if is_loose(&record.file)
            && let Err(error) = fs::remove_file(self.folder.join(&record.file))
        {
            tracing::warn!(file = record.file, %error, "a replaced part cannot be removed");
        }
    }

    fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.folder.join(DESCRIPTION))?;
        fs::remove_dir_all(&self.folder)
    }
}

/// Applies S3's rules to what the client wants to complete.
fn check(
    chosen: &[Chosen],
    all: &BTreeMap<u16, Part>,
    checksum: Option<Algorithm>,
) -> S3Result<Vec<Part>> {
    if chosen.is_empty() {
        return Err(s3_error!(MalformedXML, "a completion lists at least one part"));
    }
    if !chosen.is_sorted_by(|a, b| a.number < b.number) {
        return Err(s3_error!(InvalidPartOrder, "the parts are not listed in ascending order"));
    }
    let mut parts = Vec::with_capacity(chosen.len());
    for Chosen { number, e_tag, checksum: claimed } in chosen {
        let part = all
            .get(number)
            .filter(|part| part.digest().md5 == *e_tag)
            .filter(|part| claimed.is_none() || *claimed == part.digest().checksum);
        let Some(part) = part else {
            return Err(s3_error!(
                InvalidPart,
                "part {number} is unknown, or its ETag or checksum is another"
            ));
        };
        if let (Some(algorithm), None) = (checksum, claimed) {
            let name = algorithm.name();
            return Err(s3_error!(
                InvalidRequest,
                "the upload was created with {name}: the checksum of part {number} is missing"
            ));
        }
        parts.push(part.clone());
    }
    for part in &parts[..parts.len() - 1] {
        let (number, size) = (part.number, part.digest().size);
        if size < MIN_PART_SIZE {
            return Err(s3_error!(
                EntityTooSmall,
                "part {number} has {size} bytes; every part but the last needs {MIN_PART_SIZE}"
            ));
        }
    }
    Ok(parts)
}

/// Whether a file has one part only.
fn is_loose(file: &str) -> bool {
    file.ends_with(PART_SUFFIX)
}

/// Of a file in the folder of an upload.
fn file_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    name.expect("files in the folder of an upload have names of ASCII characters")
}

fn record_name(number: u16) -> String {
    format!("{number:05}{RECORD_SUFFIX}")
}

fn write_json(folder: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let mut file = new_file("new-").tempfile_in(folder)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    file.persist(folder.join(name))?;
    Ok(())
}

/// The value in a file and when it was written, unless there is no such file.
fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<(T, SystemTime)>> {
    let file = match File::open(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file?,
    };
    let modified = file.metadata()?.modified()?;
    Ok(Some((serde_json::from_reader(io::BufReader::new(file))?, modified)))
}

#[cfg(test)]
mod tests {
    use super::super::digest::Digester;
    use super::*;

    pub(super) fn keep_part(upload: &Upload, number: u16, content: &[u8]) {
        let mut file = upload.part_file(number).unwrap();
        file.write_all(content).unwrap();
        let mut digester = Digester::new(None);
        digester.update(content);
        upload.keep_part(number, file, digester.finish()).unwrap();
    }

    #[test]
    fn an_upload_that_ended_meanwhile_takes_no_more_parts() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.create_upload("a", None).unwrap().0;
        let [one, two] = [(); 2].map(|()| store.upload("a", &id).unwrap());
        let file = one.part_file(1).unwrap();
        two.abort().unwrap();
        let error = one.keep_part(1, file, Digester::new(None).finish()).unwrap_err();
        assert!(error.to_string().contains("NoSuchUpload"), "{error}");
    }
}
