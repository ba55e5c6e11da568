//! The browser that shows what is recorded: Firefox, driven through WebDriver.
//!
//! Launches it, opens one page, and tells when the page is over or gone. It
//! must not know what is done about it, nor anything of capture and upload.

mod console;
mod judder;
mod launch;
mod page;
mod profile;
mod sandbox;
mod turns;
mod warm;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use crate::children::display::Display;
use crate::children::process::{self, Child};
use crate::children::sound::Sound;
use crate::config::{Size, Tools};
use crate::events::{Failure, Stage};
use crate::phases::Phases;
use crate::secret::scrub;

pub(crate) use launch::{FIREFOX_MEND, GECKODRIVER_MEND};
pub use page::Page;
pub use turns::Films;

/// A WebDriver session in the running Firefox.
type Firefox = fantoccini::Client;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the browser's profile {path:?} could not be written")]
    Profile { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Child(#[from] process::Error),
    #[error("the browser could not be driven")]
    Session(#[source] Box<fantoccini::error::NewSessionError>),
    #[error("{url} could not be loaded: {reason}")]
    Load { url: String, reason: String },
    #[error("{url} answered with HTTP status {status}")]
    Status { url: String, status: u64 },
    #[error("{url} had not finished loading after {deadline:?} (--page-timeout)")]
    Slow { url: String, deadline: Duration },
    #[error("the page's view is {width}x{height}, not the {expected} of the display")]
    View { width: u64, height: u64, expected: Size },
    #[error("the page did not answer: {reason}")]
    Silent { reason: String },
}

impl Error {
    /// The failure that the report tells, causes included.
    pub fn into_failure(self) -> Failure {
        let stage = match self {
            Self::Load { .. } | Self::Status { .. } | Self::Slow { .. } => Stage::Page,
            _ => Stage::Browser,
        };
        Failure::new(stage, scrub(&crate::error::chain(&self)))
    }
}

/// A running Firefox with geckodriver connected to it.
#[derive(Debug)]
pub struct Browser {
    firefox: Child,
    driver: Child,
    session: Firefox,
    console: console::Console,
    turns: turns::Turns,
}

impl Browser {
    /// Starts both programs, with everything they write under `dir`.
    pub async fn launch(
        tools: &Tools,
        dir: &Path,
        display: &Display,
        sound: &Sound,
        page: &Page,
        phases: &Phases,
    ) -> Result<Self, Error> {
        let phase = phases.begin("Firefox");
        let (firefox, stdout, port) = launch::firefox(tools, dir, display, sound, page).await?;
        let console = console::Console::read(stdout);
        drop(phase);
        let phase = phases.begin("geckodriver");
        let (mut driver, url) = launch::geckodriver(tools, dir, port).await?;
        drop(phase);
        let phase = phases.begin("session");
        let session = launch::session(&mut driver, &url).await?;
        drop(phase);
        let turns = turns::Turns::of(page);
        Ok(Self { firefox, driver, session, console, turns })
    }

    /// The process groups, for the report's account of what they cost.
    pub fn groups(&self) -> [(&'static str, Pid); 2] {
        [(self.firefox.name(), self.firefox.group()), (self.driver.name(), self.driver.group())]
    }

    /// Lets Firefox do nothing any more until it is closed.
    pub fn freeze(&self) {
        self.firefox.freeze();
    }

    /// Ends both programs at once: the profile is thrown away, so there is
    /// nothing that Firefox would have to put in order first.
    pub async fn close(&mut self) {
        self.driver.stop(Duration::ZERO).await;
        self.firefox.stop(Duration::ZERO).await;
    }
}
