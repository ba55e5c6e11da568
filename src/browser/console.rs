//! What the page says on its console, as far as it steers the recording.
//!
//! Any page can say when it is worth filming and when it is over by writing
//! `START_RECORDING` or `END_RECORDING` with `console.log`. Firefox prints a
//! page's console on its own output (`devtools.console.stdout.content`).

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::secret::scrub;

const START: &str = "START_RECORDING";
const END: &str = "END_RECORDING";

/// Which markers the page has said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Markers {
    start: bool,
    end: bool,
}

/// Reads Firefox's output for as long as Firefox runs.
#[derive(Debug)]
pub(super) struct Console {
    markers: watch::Receiver<Markers>,
    reader: JoinHandle<()>,
}

impl Console {
    pub(super) fn read(output: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, markers) = watch::channel(Markers::default());
        let reader = tokio::spawn(read(output, sender));
        Self { markers, reader }
    }

    /// Completes when the page has said that it is worth filming.
    pub(super) async fn started(&mut self) {
        self.until(|markers| markers.start).await;
    }

    /// Completes when the page has said that it is over.
    pub(super) async fn ended(&mut self) {
        self.until(|markers| markers.end).await;
    }

    async fn until(&mut self, said: impl Fn(&Markers) -> bool) {
        if self.markers.wait_for(|markers| said(markers)).await.is_err() {
            // The output is closed and the marker will never come; that Firefox
            // has ended is told elsewhere.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn read(output: impl AsyncRead + Unpin, markers: watch::Sender<Markers>) {
    let mut lines = BufReader::new(output).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let line = String::from_utf8_lossy(&line);
        match marker(&line) {
            Some(START) => markers.send_modify(|markers| markers.start = true),
            Some(_) => markers.send_modify(|markers| markers.end = true),
            None => tracing::debug!(child = "Firefox", line = scrub(line.trim()), "child said"),
        }
    }
}

/// The marker in a line such as `console.log: "END_RECORDING"`. A marker within
/// a longer text is only talk about it.
fn marker(line: &str) -> Option<&'static str> {
    let said = line.trim().strip_prefix("console.log: ")?.trim_matches('"');
    [START, END].into_iter().find(|marker| *marker == said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_line_that_is_the_marker_is_the_marker() {
        for (line, expected) in [
            ("console.log: \"START_RECORDING\"", Some(START)),
            ("console.log: \"END_RECORDING\"\r", Some(END)),
            ("console.log: \"please END_RECORDING\"", None),
            ("console.log: \"END_RECORDING\" \"now\"", None),
            ("console.error: \"END_RECORDING\"", None),
            ("END_RECORDING", None),
            ("", None),
        ] {
            assert_eq!(marker(line), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn markers_are_kept_until_somebody_asks() {
        let mut console = Console::read(&b"noise\nconsole.log: \"START_RECORDING\"\nnoise\n"[..]);
        console.started().await;
        assert!(!console.markers.borrow().end);
    }
}
