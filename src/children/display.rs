//! The X display that the browser draws on and the capture reads: Xvfb.
//!
//! The server picks its own number and tells it when it accepts clients, so
//! that any number of recorders run on one host.

use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::process::{Child, Error, Spec};
use crate::config::{Size, Tools};

/// Xvfb accepts clients within 0.2 s on an idle machine; a busy one gets fifty
/// times as long.
const READY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(2);
pub(crate) const MEND: &str = "install it (Debian: apt-get install xvfb) or name it with --xvfb";

#[derive(Debug)]
pub struct Display {
    child: Child,
    name: String,
}

impl Display {
    /// Starts Xvfb and waits until it accepts clients.
    pub async fn start(tools: &Tools, size: Size) -> Result<Self, Error> {
        let mut child = Child::spawn(
            &Spec {
                name: "Xvfb",
                program: tools.xvfb.clone(),
                search_path: tools.search_path.clone(),
                args: [
                    "-displayfd",
                    "1",
                    "-screen",
                    "0",
                    &format!("{}x{}x24", size.width, size.height),
                    "-dpi",
                    "96",
                    "-nolisten",
                    "tcp",
                    "-noreset",
                    "-nocursor",
                    // Nobody draws with it, and its software renderer is slow to load.
                    "-extension",
                    "GLX",
                ]
                .map(Into::into)
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
        Ok(Self { child, name: format!(":{number}") })
    }

    /// What goes into `DISPLAY`, such as `:3`.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    pub async fn stop(mut self) {
        self.child.stop(PATIENCE).await;
    }
}
