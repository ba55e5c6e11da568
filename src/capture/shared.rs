//! Memory for raw pictures that the X server writes and the encoder reads, so
//! that a picture of 8 MB is never copied on the way.
//!
//! The only place of the capture with `unsafe`: it maps memory. It must not know
//! what is in a picture, nor when one is taken.

#![expect(unsafe_code, reason = "memory shared with the X server has to be mapped")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::mpsc;

use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

/// A fixed number of pictures' memory, lent out and given back.
#[derive(Debug)]
pub(super) struct Pool {
    free: mpsc::Receiver<Mapping>,
    back: mpsc::Sender<Mapping>,
}

/// The memory of one picture. Going back to its pool is its `Drop`.
#[derive(Debug)]
pub(super) struct Picture {
    /// Present until it is dropped.
    mapping: Option<Mapping>,
    back: mpsc::Sender<Mapping>,
}

/// One mapped memory file.
#[derive(Debug)]
struct Mapping {
    index: usize,
    start: *mut u8,
    len: usize,
}

// SAFETY: the mapping is owned: only whoever has it reads it, and it is unmapped
// once, by whichever thread drops it.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference only reads, and nobody writes while a `Picture`
// exists but the X server on behalf of its one owner.
unsafe impl Sync for Mapping {}

impl Pool {
    /// Memory for `count` pictures of `len` bytes. The files go to the X server,
    /// in the order of [`Picture::index`].
    pub(super) fn new(count: usize, len: usize) -> std::io::Result<(Self, Vec<OwnedFd>)> {
        let (back, free) = mpsc::channel();
        let mut files = Vec::with_capacity(count);
        for index in 0..count {
            let file = rustix::fs::memfd_create("recorder-picture", MemfdFlags::CLOEXEC)?;
            rustix::fs::ftruncate(&file, len as u64)?;
            let start = map(file.as_fd(), len)?;
            back.send(Mapping { index, start, len }).expect("the receiver is just above");
            files.push(file);
        }
        Ok((Self { free, back }, files))
    }

    /// A free picture, unless all are lent out.
    pub(super) fn lend(&self) -> Option<Picture> {
        let mapping = self.free.try_recv().ok()?;
        Some(Picture { mapping: Some(mapping), back: self.back.clone() })
    }
}

impl Picture {
    /// Which of the pool's files it is.
    pub(super) fn index(&self) -> usize {
        self.mapping().index
    }

    fn mapping(&self) -> &Mapping {
        self.mapping.as_ref().expect("a picture has its memory until it is dropped")
    }
}

impl AsRef<[u8]> for Picture {
    fn as_ref(&self) -> &[u8] {
        let mapping = self.mapping();
        // SAFETY: `start` is a live mapping of `len` bytes. The X server writes to
        // it only while it answers a request that the owner made and waited for.
        unsafe { std::slice::from_raw_parts(mapping.start, mapping.len) }
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        if let Some(mapping) = self.mapping.take() {
            // Without its pool the memory is not needed any more.
            let _ = self.back.send(mapping);
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no slice of it is left.
        let unmapped = unsafe { rustix::mm::munmap(self.start.cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

fn map(file: BorrowedFd<'_>, len: usize) -> std::io::Result<*mut u8> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at an address of the kernel's choice touches no other.
    let start = unsafe {
        rustix::mm::mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, file, 0)?
    };
    Ok(start.cast())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_written_to_the_file_is_read_in_the_picture() {
        let (pool, files) = Pool::new(2, 8).unwrap();
        let (first, second) = (pool.lend().unwrap(), pool.lend().unwrap());
        assert!(pool.lend().is_none(), "both are lent out");
        std::fs::File::from(files[second.index()].try_clone().unwrap())
            .write_all(b"pictures")
            .unwrap();
        assert_eq!(second.as_ref(), b"pictures");
        assert_eq!(first.as_ref(), [0; 8]);
        let index = first.index();
        drop(first);
        assert_eq!(pool.lend().unwrap().index(), index);
    }

    #[test]
    fn a_picture_outlives_its_pool() {
        let (pool, _files) = Pool::new(1, 4096).unwrap();
        let picture = pool.lend().unwrap();
        drop(pool);
        assert_eq!(picture.as_ref().len(), 4096);
    }
}
