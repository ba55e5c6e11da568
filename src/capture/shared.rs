//! Memory that the X server draws in and we read: its frame buffer, so that a picture is
//! neither sent nor copied before it is in the encoder's colours.
//!
//! `unsafe` because it maps memory. It must not know what is in it, nor when it is written.

#![expect(unsafe_code, reason = "memory shared with the X server has to be mapped")]

use std::fs::File;
use std::io;

use rustix::mm::{MapFlags, ProtFlags};

/// One mapped file, which is not made shorter.
#[derive(Debug)]
pub(super) struct Shared {
    start: *const u8,
    len: usize,
}

// SAFETY: the mapping is owned: only whoever has it reads it, and it is unmapped
// once, by whichever thread drops it.
unsafe impl Send for Shared {}

impl Shared {
    pub(super) fn map(file: &File) -> io::Result<Self> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let (protection, flags) = (ProtFlags::READ, MapFlags::SHARED);
        // SAFETY: a new mapping at an address of the kernel's choice touches no other.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), len, protection, flags, file, 0)? };
        Ok(Self { start: start.cast(), len })
    }

    /// What is in it, for whoever keeps the X server from drawing meanwhile.
    pub(super) fn at_rest(&self) -> &[u8] {
        // SAFETY: `start` is a live mapping of `len` bytes. The X server, the only one who
        // writes there, has been told to serve nobody else (`screen.rs`).
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and no slice of it is left.
        let unmapped = unsafe { rustix::mm::munmap(self.start.cast_mut().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_written_to_the_file_is_read() {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(8).unwrap();
        let shared = Shared::map(&file).unwrap();
        assert_eq!(shared.at_rest(), [0; 8]);
        file.write_all(b"pictures").unwrap();
        assert_eq!(shared.at_rest(), b"pictures");
    }
}
