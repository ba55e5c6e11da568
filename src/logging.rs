//! The log on stderr: its form, its levels, and what is never in it.
//!
//! The only place that installs a `tracing` subscriber. It knows nothing of the
//! recording; secrets in our own events are kept out by the types and by `scrub`
//! of `secret.rs`, those of other crates by the levels here.

use std::io::{self, IsTerminal};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

/// The target of our own events: the name of the package.
const OUR_TARGET: &str = "recorder";

/// Level of our own events unless something else is asked for.
const DEFAULT_LEVEL: LevelFilter = LevelFilter::INFO;

/// Highest level of other crates as long as they are not named: what the AWS SDK,
/// hyper and s3s say beyond it is about their insides.
const OTHERS_LEVEL: LevelFilter = LevelFilter::WARN;

/// Highest level of other crates even when named. At `trace` the AWS SDK prints
/// requests with their headers, its signer what it signs, and hyper the bytes.
const OTHERS_CEILING: LevelFilter = LevelFilter::DEBUG;

/// How the log is written and how much of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    pub format: Format,
    pub filter: Filter,
}

impl Logging {
    /// For what has to be said before, or without, any settings.
    #[must_use]
    pub fn without_settings() -> Self {
        Self { format: Format::Auto, filter: Filter::default() }
    }
}

/// The form of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `Human` when stderr is a terminal, else `Json`.
    Auto,
    /// For people; coloured when stderr is a terminal.
    Human,
    /// One JSON object a line, for log services and `jq`.
    Json,
}

impl Format {
    /// `human` or `json`; there is no word for "whatever stderr is".
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "human" => Some(Self::Human),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Which events are written. There is no filter that lets secrets through: other
/// crates stay below the levels at which they print headers and credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Targets);

impl Default for Filter {
    fn default() -> Self {
        Self::new(DEFAULT_LEVEL, &[])
    }
}

impl Filter {
    /// For a command whose answer stands on stdout.
    pub fn errors() -> Self {
        Self::new(LevelFilter::ERROR, &[])
    }

    /// Reads `debug`, `recorder::upload=trace` or a list like `info,aws_config=debug`.
    ///
    /// A level alone is for our own events; other crates follow it up to `warn`.
    /// A crate that is named may say more, but `trace` of other crates is never
    /// written: it is taken as `debug`. `None` is a text that is no filter.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut ours = DEFAULT_LEVEL;
        let mut named = Vec::new();
        for directive in text.split(',') {
            match directive.trim().split_once('=') {
                None => ours = level(directive.trim())?,
                Some((target, wanted)) if is_target(target) => named.push((target, level(wanted)?)),
                Some(_) => return None,
            }
        }
        Some(Self::new(ours, &named))
    }

    fn new(ours: LevelFilter, named: &[(&str, LevelFilter)]) -> Self {
        let mut targets =
            Targets::new().with_default(ours.min(OTHERS_LEVEL)).with_target(OUR_TARGET, ours);
        for (target, wanted) in named {
            let ceiling = if is_ours(target) { LevelFilter::TRACE } else { OTHERS_CEILING };
            targets = targets.with_target(*target, (*wanted).min(ceiling));
        }
        Self(targets)
    }
}

fn is_ours(target: &str) -> bool {
    target.strip_prefix(OUR_TARGET).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn is_target(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

/// Names only: `LevelFilter` would also take digits, and an empty text as `error`.
fn level(name: &str) -> Option<LevelFilter> {
    match name.to_ascii_lowercase().as_str() {
        "off" => Some(LevelFilter::OFF),
        "error" => Some(LevelFilter::ERROR),
        "warn" => Some(LevelFilter::WARN),
        "info" => Some(LevelFilter::INFO),
        "debug" => Some(LevelFilter::DEBUG),
        "trace" => Some(LevelFilter::TRACE),
        _ => None,
    }
}

/// Starts the log of this process on stderr. A second call is a bug and panics.
pub fn init(logging: &Logging) {
    let terminal = io::stderr().is_terminal();
    if terminal {
        install(subscriber(logging, terminal, || OverStatus(io::stderr())));
    } else {
        install(subscriber(logging, terminal, io::stderr));
    }
}

fn install(subscriber: impl tracing::Subscriber + Send + Sync) {
    tracing::subscriber::set_global_default(subscriber).expect("the log is started once");
}

/// Writes each event over the status line, which is shown again a second later.
struct OverStatus(io::Stderr);

impl io::Write for OverStatus {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(b"\r\x1b[K")?;
        self.0.write_all(event)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Times are UTC, as RFC 3339 with microseconds.
fn subscriber<W>(logging: &Logging, terminal: bool, writer: W) -> impl tracing::Subscriber + use<W>
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer);
    let human = match logging.format {
        Format::Auto => terminal,
        Format::Human => true,
        Format::Json => false,
    };
    let lines = if human {
        lines.with_ansi(terminal).boxed()
    } else {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    };
    Registry::default().with(lines.with_filter(logging.filter.0.clone()))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::{Arc, Mutex},
    };

    use tracing::Level;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, terminal: bool, filter: &str, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let logging = Logging { format, filter: Filter::parse(filter).unwrap() };
        let writer = lines.clone();
        let subscriber = subscriber(&logging, terminal, move || writer.clone());
        tracing::subscriber::with_default(subscriber, log);
        lines.text()
    }

    #[test]
    fn a_level_is_ours_and_others_are_capped() {
        for (filter, target, highest) in [
            ("info", "recorder::upload", Some(Level::INFO)),
            ("info", "aws_config", Some(Level::WARN)),
            ("trace", "recorder", Some(Level::TRACE)),
            ("TRACE", "aws_smithy_runtime::client::orchestrator", Some(Level::WARN)),
            ("trace", "hyper::proto::h1", Some(Level::WARN)),
            ("trace", "s3s::ops", Some(Level::WARN)),
            ("error", "aws_config", Some(Level::ERROR)),
            ("off", "recorder", None),
            ("off", "hyper", None),
            ("debug,recorder::upload=trace", "recorder::upload::plan", Some(Level::TRACE)),
            ("debug,recorder::upload=trace", "recorder::capture", Some(Level::DEBUG)),
            ("recorder::upload=off", "recorder::upload", None),
            ("recorder::upload=off", "recorder", Some(Level::INFO)),
            ("info, s3s=info", "s3s", Some(Level::INFO)),
            ("aws_sigv4=trace", "aws_sigv4::http_request::sign", Some(Level::DEBUG)),
            ("aws_smithy_runtime=trace", "aws_smithy_runtime::client", Some(Level::DEBUG)),
            ("hyper=trace", "hyper_util::client", Some(Level::DEBUG)),
            // A name that only starts like ours is somebody else's.
            ("recorder_tap=trace", "recorder_tap", Some(Level::DEBUG)),
        ] {
            let Filter(targets) = Filter::parse(filter).unwrap();
            let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
            let enabled = levels.iter().rev().find(|level| targets.would_enable(target, level));
            assert_eq!(enabled.copied(), highest, "{target} under {filter:?}");
        }
    }

    #[test]
    fn a_text_that_is_no_filter_is_refused() {
        for text in ["", "loud", "3", "info,", "=info", "recorder=", "recorder=loud", "a b=info"] {
            assert_eq!(Filter::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn json_is_one_object_a_line_in_utc() {
        for (format, terminal) in [(Format::Json, true), (Format::Auto, false)] {
            let text = logged(format, terminal, "info", || {
                let _span = tracing::info_span!(target: "recorder", "recording", id = 7).entered();
                tracing::info!(target: "recorder", part = 3, "part uploaded");
                tracing::debug!(target: "recorder", "not asked for");
            });
            let lines: Vec<serde_json::Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(lines.len(), 1);
            assert_eq!(lines[0]["message"], "part uploaded");
            assert_eq!(lines[0]["part"], 3);
            assert_eq!(lines[0]["level"], "INFO");
            assert_eq!(lines[0]["span"]["id"], 7);
            let timestamp = lines[0]["timestamp"].as_str().unwrap();
            assert!(timestamp.parse::<jiff::Timestamp>().is_ok() && timestamp.ends_with('Z'));
        }
    }

    #[test]
    fn colours_are_for_terminals_only() {
        let log = || tracing::warn!(target: "recorder", frames = 2, "frames dropped");
        let plain = logged(Format::Human, false, "info", log);
        assert!(plain.contains("WARN recorder: frames dropped frames=2"), "{plain}");
        assert!(!plain.contains('\x1b'));
        assert!(logged(Format::Auto, true, "info", log).contains('\x1b'));
    }
}
