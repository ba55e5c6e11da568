//! Memory that the X server writes and we read, so that pixels are not copied through
//! a socket.
//!
//! The only place of the capture with `unsafe`: it maps memory. It must not know
//! what is in it, nor when it is written.

#![expect(unsafe_code, reason = "memory shared with the X server has to be mapped")]

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};

/// One mapped memory file.
#[derive(Debug)]
pub(super) struct Shared {
    start: *mut u8,
    len: usize,
}

// SAFETY: the mapping is owned: only whoever has it reads it, and it is unmapped
// once, by whichever thread drops it.
unsafe impl Send for Shared {}

impl Shared {
    /// Memory of `len` bytes, and the file that goes to the X server.
    pub(super) fn new(len: usize) -> std::io::Result<(Self, OwnedFd)> {
        let file = rustix::fs::memfd_create("recorder-screen", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&file, len as u64)?;
        let start = map(file.as_fd(), len)?;
        Ok((Self { start, len }, file))
    }
}

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `start` is a live mapping of `len` bytes. The X server writes to
        // it only while it answers a request that the owner made and waited for.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Shared {
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
    fn what_is_written_to_the_file_is_read() {
        let (shared, file) = Shared::new(8).unwrap();
        assert_eq!(shared.as_ref(), [0; 8]);
        std::fs::File::from(file).write_all(b"pictures").unwrap();
        assert_eq!(shared.as_ref(), b"pictures");
    }
}
