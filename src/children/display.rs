//! The X display that the browser draws on and the capture reads: Xvfb.
//!
//! The server picks its own number and tells it when it accepts clients, so
//! that any number of recorders run on one host. What is drawn lies in a file that
//! the capture reads.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::process::{Child, Error, Spec};
use crate::config::{Size, Tools};
use crate::work_folder::Folder;

/// Xvfb accepts clients within 0.2 s on an idle machine; a busy one gets fifty
/// times as long.
const READY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);
pub(crate) const MEND: &str = "install it (Debian: apt-get install xvfb) or name it with --xvfb";

/// Files here are in memory and nowhere else.
const MEMORY: &str = "/dev/shm";
/// So much of it has to be free: the browser needs it more than the frame buffer does, of
/// 8 MiB, which on a disk is only written now and then.
const ROOM: u64 = 256 << 20;

#[derive(Debug)]
pub struct Display {
    child: Child,
    name: String,
    /// Where Xvfb keeps its frame buffer.
    folder: Folder,
}

impl Display {
    /// Starts Xvfb and waits until it accepts clients. Its frame buffer is in memory, or
    /// else under `dir`.
    pub async fn start(tools: &Tools, dir: &Path, size: Size) -> Result<Self, Error> {
        Self::start_in(Path::new(MEMORY), tools, dir, size).await
    }

    async fn start_in(memory: &Path, tools: &Tools, dir: &Path, size: Size) -> Result<Self, Error> {
        let folder = folder(memory, dir).map_err(|source| Error::Folder {
            name: "Xvfb",
            dir: dir.into(),
            source,
        })?;
        let mut child = Child::spawn(
            &Spec {
                name: "Xvfb",
                program: tools.xvfb.clone(),
                search_path: tools.search_path.clone(),
                args: [
                    "-displayfd".as_ref(),
                    "1".as_ref(),
                    "-screen".as_ref(),
                    "0".as_ref(),
                    format!("{}x{}x24", size.width, size.height).as_ref(),
                    "-fbdir".as_ref(),
                    folder.path().as_os_str(),
                    "-dpi".as_ref(),
                    "96".as_ref(),
                    "-nolisten".as_ref(),
                    "tcp".as_ref(),
                    "-noreset".as_ref(),
                    "-nocursor".as_ref(),
                    // Nobody draws with it, and its software renderer is slow to load.
                    "-extension".as_ref(),
                    "GLX".as_ref(),
                ]
                .map(std::ffi::OsStr::to_owned)
                .into(),
                env: vec![],
                // It removes its socket and lock file when it is asked to end.
                on_orphaned: Signal::TERM,
            },
            MEND,
        )?;
        let mut stdout = BufReader::new(child.take_stdout());
        let read_number = async {
            let mut number = String::new();
            match stdout.read_line(&mut number).await {
                Ok(n) if n > 0 => number.trim().to_owned(),
                // It closed its output: it is about to end, and that is the error.
                _ => std::future::pending().await,
            }
        };
        let number = child.until("its display number", READY, read_number).await?;
        Ok(Self { child, name: format!(":{number}"), folder })
    }

    /// What goes into `DISPLAY`, such as `:3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of what is drawn, in the format of `xwd`.
    pub fn frame_buffer(&self) -> PathBuf {
        self.folder.path().join("Xvfb_screen0")
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub async fn stop(mut self) {
        self.child.stop(PATIENCE).await;
    }
}

/// In `memory`, a folder of a file system there, if that has room; else under `dir`.
fn folder(memory: &Path, dir: &Path) -> io::Result<Folder> {
    let is_roomy =
        rustix::fs::statvfs(memory).is_ok_and(|stat| stat.f_bavail * stat.f_frsize >= ROOM);
    let in_memory = is_roomy.then(|| Folder::new("recorder-screen-", memory).ok()).flatten();
    in_memory.map_or_else(|| Folder::new("screen-", dir), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_display_without_memory_to_draw_in_draws_under_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let full = dir.path().join("is-not-there");
        let size = Size { width: 640, height: 360 };
        let display = Display::start_in(&full, &Tools::of_debian(), dir.path(), size).await;
        let display = display.unwrap();
        let file = display.frame_buffer();
        assert!(file.starts_with(dir.path()), "{}", file.display());
        assert!(file.metadata().unwrap().len() > 640 * 360 * 4);
        display.stop().await;
        assert!(!file.exists());
    }
}
