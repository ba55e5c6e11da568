//! A meeting that is recorded, held by our program in a process of its own.
//!
//! It must not know who records.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use test_media::children::{Child, command};
use test_media::workload::PEOPLE;

/// What it takes is counted with the others.
pub(crate) struct Held {
    meeting: Child,
    /// The address of our page, which joins.
    pub(crate) page: String,
    /// The variables by which our recorder joins.
    pub(crate) join: [(&'static str, String); 2],
    /// Where it tells who is there.
    control: String,
}

impl Held {
    pub(crate) fn start(recorder: &Path, patience: Duration) -> anyhow::Result<Self> {
        let mut held = command(recorder);
        held.args(["meeting", "--participants", &PEOPLE.to_string(), "--log", "error"]);
        held.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut meeting = Child::start("the meeting", &mut held)?;
        let told: serde_json::Value = serde_json::from_str(&meeting.first_line(patience)?)?;
        let text = |name: &str| {
            told[name].as_str().map(str::to_owned).with_context(|| format!("it tells no {name}"))
        };
        let variable = |name| anyhow::Ok((name, text(name)?));
        Ok(Self {
            meeting,
            page: text("page")?,
            join: [variable("CHIME_MEETING_DATA")?, variable("CHIME_ATTENDEE_DATA")?],
            control: text("endpoint")?,
        })
    }

    /// Waits until a page has joined.
    pub(crate) fn joined(&mut self, patience: Duration) -> anyhow::Result<()> {
        let Self { meeting, control, .. } = self;
        let is_joined = || clients(control).is_ok_and(|told| told.contains("\"connected\":true"));
        Ok(meeting.ready(patience, is_joined)?)
    }
}

/// What the meeting tells of those who are connected.
fn clients(control: &str) -> anyhow::Result<String> {
    let address = control.strip_prefix("http://").context("it is on loopback")?;
    let mut stream = TcpStream::connect(address)?;
    let path = "/control/recorder-meeting";
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer.replace(' ', ""))
}
