//! The programs a recording starts: where they are, whether they run, how old
//! they are.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use rustix::fs::{Access, access};
use tokio::process::Command;

use super::finding::Finding;
use crate::browser::{FIREFOX_MEND, GECKODRIVER_MEND};
use crate::children::{display, sound};
use crate::config::Tools;
use crate::secret::scrub;

/// A question that is answered at once, even from a cold disk.
const ANSWER: Duration = Duration::from_secs(10);

/// The oldest Firefox ESR that we know to record well.
const OLDEST_FIREFOX: u32 = 128;

struct Program<'a> {
    name: &'static str,
    /// A bare name or a path.
    file: &'a Path,
    /// What makes it print its version; Xvfb has no such flag.
    version_flag: Option<&'static str>,
    /// Major version; an older one is a warning.
    oldest: u32,
    mend: &'static str,
}

pub(super) async fn check(tools: &Tools) -> Vec<Finding> {
    let programs = [
        Program {
            name: "Firefox",
            file: &tools.firefox,
            version_flag: Some("--version"),
            oldest: OLDEST_FIREFOX,
            mend: FIREFOX_MEND,
        },
        Program {
            name: "geckodriver",
            file: &tools.geckodriver,
            version_flag: Some("--version"),
            oldest: 0,
            mend: GECKODRIVER_MEND,
        },
        Program {
            name: "Xvfb",
            file: &tools.xvfb,
            version_flag: None,
            oldest: 0,
            mend: display::MEND,
        },
        Program {
            name: "PulseAudio",
            file: &tools.pulseaudio,
            version_flag: Some("--version"),
            oldest: 0,
            mend: sound::MEND,
        },
    ];
    join_all(programs.iter().map(|program| look_at(program, &tools.search_path))).await
}

async fn look_at(program: &Program<'_>, search_path: &str) -> Finding {
    let Program { name, mend, .. } = *program;
    let path = match find(program.file, search_path) {
        Ok(path) => path,
        Err(reason) => return Finding::problem(name, reason, mend),
    };
    let place = path.display();
    let Some(flag) = program.version_flag else { return Finding::ok(name, place.to_string()) };
    let answer = match ask(&path, &[flag], search_path).await {
        Ok(answer) => answer,
        Err(reason) => return Finding::problem(name, format!("{place} {reason}"), mend),
    };
    let Some(version) = version_in(&answer) else {
        return Finding::warning(name, format!("{place} does not tell its version"), mend);
    };
    let found = format!("{version}, {place}");
    if major(version) < program.oldest {
        let oldest = program.oldest;
        let mend =
            format!("install {name} ESR {oldest} or later (Debian: apt-get install firefox-esr)");
        return Finding::warning(name, found, mend);
    }
    Finding::ok(name, found)
}

/// Where the kernel would find the program, or why it would not.
fn find(program: &Path, search_path: &str) -> Result<PathBuf, String> {
    let is_bare = program.components().count() == 1 && !program.is_absolute();
    let candidates: Vec<PathBuf> = if is_bare {
        search_path.split(':').map(|folder| Path::new(folder).join(program)).collect()
    } else {
        vec![program.to_owned()]
    };
    let runs = |path: &&PathBuf| path.is_file() && access(*path, Access::EXEC_OK).is_ok();
    if let Some(found) = candidates.iter().find(runs) {
        return Ok(found.clone());
    }
    Err(match candidates.iter().find(|path| path.is_file()) {
        Some(path) => format!("{} may not be executed", path.display()),
        None if is_bare => format!("{} is not on the PATH", program.display()),
        None => format!("{} does not exist", program.display()),
    })
}

/// What a program that only answers and ends prints, or why it does not.
pub(super) async fn ask<A: AsRef<OsStr>>(
    program: &Path,
    args: &[A],
    search_path: &str,
) -> Result<String, String> {
    let output = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", search_path)
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    match tokio::time::timeout(ANSWER, output).await {
        Err(_) => Err(format!("did not answer within {ANSWER:?}")),
        Ok(Err(error)) => Err(format!("could not be started: {error}")),
        Ok(Ok(Output { status, stdout, .. })) if status.success() => {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        }
        Ok(Ok(Output { status, stderr, .. })) => {
            let said = String::from_utf8_lossy(&stderr);
            let said = said.trim().lines().next().map(|line| format!(": {}", scrub(line)));
            Err(format!("does not run ({status}){}", said.unwrap_or_default()))
        }
    }
}

/// The first word that looks like a version: `153.7.0esr` in `Mozilla Firefox 153.7.0esr`.
fn version_in(answer: &str) -> Option<&str> {
    answer
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.'))
}

fn major(version: &str) -> u32 {
    version.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found_in_what_programs_say() {
        for (answer, version, number) in [
            ("Mozilla Firefox 153.7.0esr\n", "153.7.0esr", 153),
            ("geckodriver 0.37.1 (abc 2026-01-01)\n\nThe source code ...", "0.37.1", 0),
            ("pulseaudio 16.1", "16.1", 16),
        ] {
            assert_eq!(version_in(answer), Some(version));
            assert_eq!(major(version), number);
        }
        assert_eq!(version_in("no version, at 3 places"), None);
    }

    #[test]
    fn a_program_is_looked_for_as_the_kernel_does() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        std::fs::write(&plain, "").unwrap();
        let path = format!("{}:/bin", dir.path().display());
        assert_eq!(find(Path::new("sh"), &path).unwrap(), Path::new("/bin/sh"));
        assert_eq!(find(Path::new("/bin/sh"), "").unwrap(), Path::new("/bin/sh"));
        for (program, expected) in [
            ("plain", "may not be executed"),
            ("nothing", "is not on the PATH"),
            ("/no/such/program", "does not exist"),
            ("./nothing", "does not exist"),
        ] {
            let reason = find(Path::new(program), &path).unwrap_err();
            assert!(reason.contains(expected), "{reason}");
        }
    }
}
