//! The machine itself: processors, memory, shared memory, temporary folder.

use std::fs;
use std::path::Path;

use super::finding::{Finding, Least, size};
use crate::children::sound;
use crate::work_folder::Folder;

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// A browser that draws and an encoder share them.
const PROCESSORS: Least = Least { wanted: 2, needed: 1 };
/// Firefox with a page of today needs most of it.
const MEMORY: Least = Least { wanted: 2 * GIB, needed: 0 };
/// Firefox hands pictures from process to process through it, and a tab that gets
/// none crashes. Docker's own 64 MiB are not enough for one page.
const SHARED_MEMORY: Least = Least { wanted: GIB, needed: 256 * MIB };
/// The profile of the browser.
const TEMP_SPACE: Least = Least { wanted: GIB, needed: 64 * MIB };

/// The processors this process may use: affinity and the quota of its container.
pub(super) fn processors() -> Finding {
    let n = std::thread::available_parallelism().map_or(1, usize::from);
    let mend = "give it two or more (docker: --cpus=2; ECS: cpu 2048)";
    Finding::amount("processors", n.to_string(), n as u64, PROCESSORS, mend)
}

/// What is free, or what the container may use if that is less.
pub(super) fn memory() -> Finding {
    let mend =
        "give it 2 GiB or more (docker: --memory=2g; ECS: memory 2048), or end other programs";
    let available = read("/proc/meminfo").and_then(|text| available(&text));
    // In a container its own limit is at the root: by cgroup v2, and by v1.
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|file| read(file)?.trim().parse().ok());
    match [available, limit].into_iter().flatten().min() {
        Some(bytes) => {
            let of = if limit == Some(bytes) { "limit of the container" } else { "free" };
            Finding::amount("memory", format!("{} {of}", size(bytes)), bytes, MEMORY, mend)
        }
        None => Finding::warning("memory", "not known: /proc is not readable", "mount /proc"),
    }
}

fn read(file: &str) -> Option<String> {
    fs::read_to_string(file).ok()
}

/// `MemAvailable` of `proc_meminfo(5)`, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

pub(super) fn shared_memory() -> Finding {
    let name = "shared memory";
    let mend = "docker: --shm-size=1g; ECS: linuxParameters.sharedMemorySize 1024 (not on Fargate)";
    match rustix::fs::statvfs("/dev/shm") {
        Ok(stat) => {
            let bytes = stat.f_blocks * stat.f_frsize;
            let found = format!("{} at /dev/shm", size(bytes));
            Finding::amount(name, found, bytes, SHARED_MEMORY, mend)
        }
        Err(error) => Finding::problem(name, format!("/dev/shm cannot be used: {error}"), mend),
    }
}

/// Makes a folder as a recording does, and keeps it for the rest of the checks.
pub(super) fn temp_dir(parent: &Path) -> (Option<Folder>, Finding) {
    let name = "temp folder";
    let mend = "name another with --temp-dir";
    let place = parent.display();
    let made = Folder::of_recording(parent).and_then(|dir| {
        fs::write(dir.path().join("written"), "something")?;
        let stat = rustix::fs::statvfs(dir.path())?;
        Ok((dir, stat.f_bavail * stat.f_frsize))
    });
    let (dir, free) = match made {
        Ok(made) => made,
        Err(error) => {
            let found = if parent.is_dir() {
                // The whole text would name the file that was tried.
                format!("{place} cannot be written to: {}", error.kind())
            } else {
                format!("{place} is no folder")
            };
            return (None, Finding::problem(name, found, mend));
        }
    };
    if let Some(why) = sound::unfit(dir.path()) {
        let found = format!("{place} cannot be used: {why}");
        return (None, Finding::problem(name, found, "name another with --temp-dir"));
    }
    let found = format!("{place}, {} free", size(free));
    (
        Some(dir),
        Finding::amount(name, found, free, TEMP_SPACE, "make room or name another with --temp-dir"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_bytes() {
        let meminfo = "MemTotal:  2048 kB\nMemAvailable:    1024 kB\nBuffers:  1 kB\n";
        assert_eq!(available(meminfo), Some(MIB));
        for text in ["", "MemFree: 1 kB", "MemAvailable: many kB", "MemAvailable: 1"] {
            assert_eq!(available(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_folder_that_cannot_be_used_is_a_problem() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("d".repeat(100));
        fs::create_dir(&deep).unwrap();
        for (folder, expected) in [
            (parent.path().join("missing"), "is no folder"),
            (deep, "too long for the address of a socket"),
        ] {
            let (dir, finding) = temp_dir(&folder);
            assert!(dir.is_none());
            assert!(finding.is_problem());
            assert!(finding.found.contains(expected), "{finding:?}");
        }
    }
}
