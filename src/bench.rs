//! Hands over to the bench, a program of its own that is built beside this one: it brings
//! other recorders' commands and a player, which nobody needs to record.
//!
//! It must not know what is measured.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("where this program lies is not known")]
    Here(#[source] io::Error),
    #[error(
        "there is no {}: build it with `cargo build -p test-media --bin bench`, \
         or let `./dev bench` do that",
        .0.display()
    )]
    Missing(PathBuf),
    #[error("{} cannot be run", .0.display())]
    Run(PathBuf, #[source] io::Error),
}

/// Goes on as the bench of this recorder; returns only if there is none.
pub fn become_bench(arguments: &[OsString]) -> Error {
    let recorder = match std::env::current_exe() {
        Ok(recorder) => recorder,
        Err(error) => return Error::Here(error),
    };
    let bench = recorder.with_file_name("bench");
    if !bench.is_file() {
        return Error::Missing(bench);
    }
    let error = Command::new(&bench).arg("--recorder").arg(&recorder).args(arguments).exec();
    Error::Run(bench, error)
}
