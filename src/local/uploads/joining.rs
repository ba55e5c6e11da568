//! How the parts of an upload become one file: joined as they come, all but the first,
//! for which room is made in front at the end.
//!
//! A step is interrupted without harm: until a record is replaced, it points to bytes
//! that are still there; and of the one step that moves bytes under the records,
//! `shifted.json` tells. It must not know what the parts are.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize};

use super::{Part, Record, Upload, file_name, new_file, read_json, write_json};
use crate::local::store::Result;

/// Completion frees moved parts each time it has moved this much, in bytes:
/// the disk it needs on top of the recording.
const SETTLE_SIZE: u64 = 256 * 1024 * 1024;
/// Parts are joined whenever so many bytes of them lie in files of their own.
const JOIN_SIZE: u64 = 64 * 1024 * 1024;
/// But not if so many parts lie there: some part between them is late.
const MOST_LOOSE: usize = 64;

const SHIFT: &str = "shifted.json";

/// Room made in front of the parts that a file holds, of which their records do not
/// know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Shift {
    pub(super) file: String,
    pub(super) by: u64,
    /// Length of the file before.
    before: u64,
    /// It is certain; else the file's length tells.
    done: bool,
}

impl Upload {
    /// Joins the parts below `number`, but the first, that lie in files of their own,
    /// once there are many bytes of them. `number` is new.
    pub(super) fn join(&self, number: u16) {
        // They can be copied at the end.
        if let Err(error) = self.join_if(number, JOIN_SIZE) {
            tracing::warn!(upload = self.id, %error, "parts cannot be joined");
        }
    }

    fn join_if(&self, number: u16, least: u64) -> Result<()> {
        // A completion was interrupted: from there on it only ends.
        if self.folder.join(SHIFT).exists() {
            return Ok(());
        }
        let mut loose = Vec::new();
        let mut joined = None;
        for number in (2..number).rev().take(MOST_LOOSE) {
            let Some(part) = self.part(number)? else { return Ok(()) };
            if !part.is_loose() {
                joined = Some(part.record);
                break;
            }
            loose.push(part);
        }
        let bytes: u64 = loose.iter().map(|part| part.digest().size).sum();
        let follows = joined.is_some() || loose.last().is_some_and(|part| part.number == 2);
        if !follows || bytes < least {
            return Ok(());
        }
        loose.reverse();
        let (mut file, name, end) = if let Some(Record { file: name, offset, digest }) = joined {
            let (file, end) = (self.open_joined(&name)?, offset + digest.size);
            // What lies behind may be another part.
            if file.metadata()?.len() != end {
                return Ok(());
            }
            (file, name, end)
        } else {
            let (file, path) = self.new_joined()?;
            (file, file_name(&path), 0)
        };
        file.seek(SeekFrom::Start(end))?;
        let moved = self.move_parts(&loose, (&mut file, &name, end), u64::MAX);
        let moved = moved.and_then(|moved| {
            file.sync_data()?;
            Ok(moved)
        });
        match moved {
            Ok(moved) => self.settle(moved),
            // Such as a full disk, which others need.
            Err(error) => {
                file.set_len(end)?;
                Err(error)
            }
        }
    }

    fn new_joined(&self) -> io::Result<(File, PathBuf)> {
        new_file("object-").tempfile_in(&self.folder)?.keep().map_err(io::Error::from)
    }

    fn open_joined(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).open(self.folder.join(name))
    }

    /// The room that was made in front of joined parts.
    pub(super) fn shift(&self) -> io::Result<Option<Shift>> {
        let Some((shift, _)) = read_json::<Shift>(&self.folder.join(SHIFT))? else {
            return Ok(None);
        };
        let happened =
            shift.done || fs::metadata(self.folder.join(&shift.file))?.len() > shift.before;
        Ok(happened.then_some(shift))
    }

    /// Brings the chosen parts into one file, one behind the other.
    pub(super) fn assemble(&self, chosen: &[Part], all: &BTreeMap<u16, Part>) -> Result<PathBuf> {
        self.assemble_settling(chosen, all, SETTLE_SIZE)
    }

    fn assemble_settling(
        &self,
        chosen: &[Part],
        all: &BTreeMap<u16, Part>,
        settle_size: u64,
    ) -> Result<PathBuf> {
        if let Some(path) = self.put_in_front(chosen, all)? {
            return Ok(path);
        }
        let (mut file, path, done) = if let Some(done) = in_place(chosen, all, 0) {
            let name = &chosen[0].record.file;
            (self.open_joined(name)?, self.folder.join(name), done)
        } else {
            let (file, path) = self.new_joined()?;
            (file, path, 0)
        };
        let end = bytes_of(&chosen[..done]);
        file.set_len(end)?;
        file.seek(SeekFrom::Start(end))?;
        self.move_parts(&chosen[done..], (&mut file, &file_name(&path), end), settle_size)?;
        file.sync_data()?;
        Ok(path)
    }

    /// Puts the first part in front of those that are joined, and the others behind.
    /// `None` if they are not joined like that, or nothing can be put in front there.
    fn put_in_front(&self, chosen: &[Part], all: &BTreeMap<u16, Part>) -> Result<Option<PathBuf>> {
        let [first, rest @ ..] = chosen else { return Ok(None) };
        let Some(name) = rest.first().map(|part| &part.record.file) else { return Ok(None) };
        let by = first.digest().size;
        let shift = self.shift()?.filter(|shift| shift.file == *name);
        let begin = shift.as_ref().map_or(0, |shift| shift.by);
        if !first.is_loose() || by == 0 || ![0, by].contains(&begin) {
            return Ok(None);
        }
        let Some(done) = in_place(rest, all, begin) else { return Ok(None) };
        let path = self.folder.join(name);
        let mut file = self.open_joined(name)?;
        let before = bytes_of(&rest[..done]);
        let mut shift =
            shift.unwrap_or_else(|| Shift { file: name.clone(), by, before, done: false });
        if begin == 0 {
            file.set_len(before)?;
            write_json(&self.folder, SHIFT, &shift)?;
            // Not every file system can, and only by whole blocks.
            if let Err(error) = fallocate(&file, FallocateFlags::INSERT_RANGE, 0, by) {
                tracing::debug!(%error, "parts are copied");
                fs::remove_file(self.folder.join(SHIFT))?;
                return Ok(None);
            }
        }
        shift.done = true;
        write_json(&self.folder, SHIFT, &shift)?;
        file.set_len(by + before)?;
        file.seek(SeekFrom::Start(by + before))?;
        for part in &rest[done..] {
            self.append(&part.record, &mut file)?;
        }
        file.rewind()?;
        self.append(&first.record, &mut file)?;
        file.sync_data()?;
        Ok(Some(path))
    }

    /// Moves parts to the end of a file and frees what has been moved after every
    /// `settle_size` bytes. Returns what is not settled yet.
    fn move_parts<'a>(
        &self,
        parts: &'a [Part],
        (file, name, mut end): (&mut File, &str, u64),
        settle_size: u64,
    ) -> Result<Vec<(&'a Part, Record)>> {
        let mut settled = end;
        let mut moved: Vec<(&Part, Record)> = Vec::new();
        for part in parts {
            if end - settled >= settle_size {
                file.sync_data()?;
                self.settle(std::mem::take(&mut moved))?;
                settled = end;
            }
            self.append(&part.record, file)?;
            moved.push((part, Record { file: name.into(), offset: end, ..part.record.clone() }));
            end += part.digest().size;
        }
        Ok(moved)
    }

    fn settle(&self, moved: Vec<(&Part, Record)>) -> Result<()> {
        for (part, record) in moved {
            self.write_record(part.number, &record)?;
            self.discard(&part.record);
        }
        Ok(())
    }

    fn append(&self, record: &Record, target: &mut File) -> Result<()> {
        let mut source = File::open(self.folder.join(&record.file))?;
        source.seek(SeekFrom::Start(record.offset))?;
        // On Linux this stays inside the kernel (copy_file_range).
        let copied = io::copy(&mut io::Read::take(source, record.digest.size), target)?;
        if copied == record.digest.size {
            Ok(())
        } else {
            let error = format!("{} is shorter than its record says", record.file);
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, error).into())
        }
    }
}

/// How many of the chosen parts lie one behind the other in the file of the first,
/// from `begin` on. `None` if that is a file of its own, or if it holds bytes of other
/// parts too and must stay as it is.
fn in_place(chosen: &[Part], all: &BTreeMap<u16, Part>, begin: u64) -> Option<usize> {
    let first = chosen.first().filter(|part| !part.is_loose())?;
    let file = &first.record.file;
    let mut end = begin;
    let in_place = chosen.iter().take_while(|part| {
        let fits = part.record.file == *file && part.record.offset == end;
        end += part.digest().size;
        fits
    });
    let count = in_place.count();
    let inside = all.values().filter(|part| part.record.file == *file).count();
    (count == inside).then_some(count)
}

fn bytes_of(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.digest().size).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{is_loose, tests::keep_part};
    use super::*;
    use crate::local::store::Store;

    fn assemble(upload: &Upload, numbers: &[u16], settle_size: u64) -> Result<Vec<u8>> {
        let all = upload.parts()?;
        let chosen: Vec<Part> = numbers.iter().map(|number| all[number].clone()).collect();
        Ok(fs::read(upload.assemble_settling(&chosen, &all, settle_size)?)?)
    }

    proptest! {
        /// A completion is cut short at any part, then the client may replace a
        /// part and leave others out: the object is still what was asked for.
        #[test]
        fn an_interrupted_completion_loses_nothing(
            contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..9), 1..8),
            listed in prop::collection::vec(any::<bool>(), 8),
            interrupted_at in any::<prop::sample::Index>(),
            replaced in prop::option::of(any::<prop::sample::Index>()),
            settle_size in 0u64..20,
            // Parts are joined as they come; the first can be put in front of others
            // if it is a whole block, and where that is known.
            joins in any::<bool>(),
            first_is_a_block in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let id = store.create_upload("a", None).unwrap().0;
            let upload = store.upload("a", &id).unwrap();
            let mut contents = contents;
            if first_is_a_block {
                contents[0] = vec![b'1'; 4096];
            }
            let numbers: Vec<u16> = (1..).take(contents.len()).collect();
            for (number, content) in numbers.iter().zip(&contents) {
                keep_part(&upload, *number, content);
                if joins {
                    upload.join_if(*number, 1).unwrap();
                }
            }

            let broken = numbers[interrupted_at.index(numbers.len())];
            let broken = upload.folder.join(&upload.part(broken).unwrap().unwrap().record.file);
            fs::rename(&broken, dir.path().join("elsewhere")).unwrap();
            prop_assert!(assemble(&upload, &numbers, settle_size).is_err());
            fs::rename(dir.path().join("elsewhere"), &broken).unwrap();

            if let Some(index) = replaced {
                let index = index.index(numbers.len());
                let size = if index == 0 && first_is_a_block { 4096 } else { 5 };
                contents[index] = vec![b'r'; size];
                keep_part(&upload, numbers[index], &contents[index]);
            }
            let mut chosen: Vec<u16> = numbers.clone();
            chosen.retain(|number| listed[usize::from(*number)]);
            if chosen.is_empty() {
                chosen = numbers;
            }
            let expected: Vec<u8> =
                chosen.iter().flat_map(|n| contents[usize::from(*n) - 1].clone()).collect();
            prop_assert_eq!(assemble(&upload, &chosen, settle_size).unwrap(), expected.clone());
            // And once more, as after a kill just before the object's rename.
            prop_assert_eq!(assemble(&upload, &chosen, settle_size).unwrap(), expected);
        }
    }

    #[test]
    fn completion_frees_the_parts_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.create_upload("a", None).unwrap().0;
        let upload = store.upload("a", &id).unwrap();
        for number in 1..=9 {
            keep_part(&upload, number, b"12345");
        }
        let numbers: Vec<u16> = (1..=9).collect();
        assert_eq!(assemble(&upload, &numbers, 10).unwrap(), b"12345".repeat(9));
        let files = fs::read_dir(&upload.folder).unwrap().map(|entry| entry.unwrap().file_name());
        let left = files.filter(|name| is_loose(&name.to_string_lossy())).count();
        assert_eq!(left, 1);
    }

    /// A completion that left parts out was interrupted, and more parts came.
    #[test]
    fn parts_are_not_joined_over_others() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.create_upload("a", None).unwrap().0;
        let upload = store.upload("a", &id).unwrap();
        for number in [1, 2, 9] {
            keep_part(&upload, number, &[number.try_into().unwrap(); 5]);
        }
        let parts = upload.parts().unwrap();
        let chosen: Vec<Part> = parts.values().cloned().collect();
        upload.assemble_settling(&chosen, &parts, 1).unwrap();
        for number in 3..=8 {
            keep_part(&upload, number, &[number.try_into().unwrap(); 5]);
            upload.join_if(number, 1).unwrap();
        }
        let numbers: Vec<u16> = (1..=9).collect();
        let expected: Vec<u8> = (1..=9).flat_map(|number| [number; 5]).collect();
        assert_eq!(assemble(&upload, &numbers, 10).unwrap(), expected);
    }

    #[test]
    fn joined_parts_stay_where_they_are_when_the_first_comes() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let id = store.create_upload("a", None).unwrap().0;
        let upload = store.upload("a", &id).unwrap();
        for number in 1..=9 {
            keep_part(&upload, number, b"12345");
            upload.join_if(number, 10).unwrap();
        }
        let joined = |number| upload.part(number).unwrap().unwrap().record;
        // The first is not joined, and the eighth waits for more.
        let loose: Vec<u16> = (1..=9).filter(|number| is_loose(&joined(*number).file)).collect();
        assert_eq!(loose, [1, 8, 9]);
        keep_part(&upload, 1, &[b'h'; 8192]);
        let (all, file) = (upload.parts().unwrap(), joined(2).file);
        let chosen: Vec<Part> = all.values().cloned().collect();
        let path = upload.assemble_settling(&chosen, &all, 10).unwrap();
        assert_eq!(path, upload.folder.join(file));
        let expected = [&[b'h'; 8192][..], &b"12345".repeat(8)].concat();
        assert_eq!(fs::read(path).unwrap(), expected);
    }

    /// Killed while the file system makes room, before or after it has.
    #[test]
    fn a_shift_that_was_not_noted_is_seen() {
        for happened in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(dir.path()).unwrap();
            let id = store.create_upload("a", None).unwrap().0;
            let upload = store.upload("a", &id).unwrap();
            keep_part(&upload, 1, &[b'h'; 4096]);
            for number in 2..=6 {
                keep_part(&upload, number, b"12345");
                upload.join_if(number, 1).unwrap();
            }
            let name = upload.part(2).unwrap().unwrap().record.file;
            let file = upload.open_joined(&name).unwrap();
            let before = file.metadata().unwrap().len();
            let shift = Shift { file: name, by: 4096, before, done: false };
            write_json(&upload.folder, SHIFT, &shift).unwrap();
            if happened {
                fallocate(&file, FallocateFlags::INSERT_RANGE, 0, 4096).unwrap();
            }
            let numbers: Vec<u16> = (1..=6).collect();
            let expected = [&[b'h'; 4096][..], &b"12345".repeat(5)].concat();
            assert_eq!(assemble(&upload, &numbers, 10).unwrap(), expected, "{happened}");
        }
    }
}
