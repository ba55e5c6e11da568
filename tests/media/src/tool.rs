//! Runs Debian's `ffmpeg` and `ffprobe` to their end.
//!
//! Knows how a tool is started and how it fails; not what it is asked for.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{Command, ExitStatus, Output, Stdio};

/// A tool could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    #[error("{tool} cannot be started")]
    Start { tool: &'static str, source: io::Error },
    #[error("{tool} ended with {status}: {message}")]
    Failed { tool: &'static str, status: ExitStatus, message: String },
}

/// Runs `tool` with nothing on its input and gives what it printed.
pub fn run<A: AsRef<OsStr>>(
    tool: &'static str,
    arguments: impl IntoIterator<Item = A>,
) -> Result<Vec<u8>, ToolError> {
    run_with_input(tool, arguments, |_| Ok(()))
}

/// Runs `tool` with whatever `feed` writes on its input.
///
/// The tool is expected to print little until its input has ended. When it
/// ends before its input does, its own message counts, not the broken pipe.
pub fn run_with_input<A: AsRef<OsStr>>(
    tool: &'static str,
    arguments: impl IntoIterator<Item = A>,
    feed: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<Vec<u8>, ToolError> {
    let start_error = |source| ToolError::Start { tool, source };
    let mut child = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(start_error)?;
    let mut input = child.stdin.take().expect("its input is piped");
    let written = feed(&mut input);
    drop(input);
    let Output { status, stdout, stderr } = child.wait_with_output().map_err(start_error)?;
    if !status.success() {
        let message = String::from_utf8_lossy(&stderr).trim().to_owned();
        return Err(ToolError::Failed { tool, status, message });
    }
    written.map_err(start_error)?;
    Ok(stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_tool_is_named() {
        let error = run("no-such-tool", ["x"]).unwrap_err();
        assert_eq!(error.to_string(), "no-such-tool cannot be started");
    }

    #[test]
    fn a_failing_tool_is_quoted() {
        let error = run("ffprobe", ["-v", "error", "/nowhere.mp4"]).unwrap_err();
        assert!(error.to_string().contains("/nowhere.mp4: No such file"), "{error}");
    }
}
