//! Memory that the X server draws in and we read: its frame buffer, so that a picture is
//! neither sent nor copied before it is in the encoder's colours.
//!
//! `unsafe` because it maps memory. It must not know what is in it, nor when it is written.

#![expect(unsafe_code, reason = "memory shared with the X server has to be mapped")]

use std::fs::File;
use std::io;

use memmap2::Mmap;

/// One mapped file, which is not made shorter.
#[derive(Debug)]
pub(super) struct Shared(Mmap);

impl Shared {
    pub(super) fn map(file: &File) -> io::Result<Self> {
        // SAFETY: the X server, the only one who writes there, has been told to serve nobody else
        // whenever it is read (`screen.rs`), and does not make it shorter.
        unsafe { Mmap::map(file) }.map(Self)
    }

    /// What is in it, for whoever keeps the X server from drawing meanwhile.
    pub(super) fn at_rest(&self) -> &[u8] {
        &self.0
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
