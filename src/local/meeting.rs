//! The meeting inside the process, for `recorder --local` and `recorder meeting`:
//! starts the test meeting as the settings say.
//!
//! It must not know recordings: it gives the join data of one attendee.

use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use test_meeting::{MeetingNames, Options, Scenario, Server};

use crate::config::meeting::{Join, People, TestMeeting};
use crate::secret::Secret;

/// What a meeting is called if nobody says otherwise.
const MEETING: &str = "recorder-meeting";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the scenario {path:?} cannot be read")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the scenario {path:?} is wrong")]
    Scenario { path: PathBuf, source: test_meeting::scenario::Error },
    #[error(transparent)]
    Server(#[from] test_meeting::Error),
}

/// A meeting that goes on.
#[derive(Debug)]
pub struct Held {
    server: Server,
}

impl Held {
    /// The address of its control API.
    pub fn endpoint(&self) -> String {
        self.server.endpoint()
    }

    pub fn end(self) {
        self.server.stop();
    }
}

/// Holds a meeting, and makes an attendee for the recording.
pub async fn hold(
    settings: &TestMeeting,
    port: Option<u16>,
    meeting_id: Option<String>,
) -> Result<(Held, Join), Error> {
    let scenario = match &settings.people {
        People::Standard { participants, share } => Scenario::standard(*participants, *share),
        People::Scenario(path) => {
            let text = std::fs::read_to_string(path)
                .map_err(|source| Error::Read { path: path.clone(), source })?;
            Scenario::parse(&text)
                .map_err(|source| Error::Scenario { path: path.clone(), source })?
        }
    };
    let options =
        Options { port, media_address: settings.media_address, media: settings.cache.clone() };
    let server = Server::start(options).await?;
    let id = meeting_id.unwrap_or_else(|| MEETING.into());
    let names = MeetingNames { meeting_id: Some(id.clone()), external_meeting_id: id };
    let hosted = server.host(scenario, names).await?;
    let join = Join {
        meeting: encoded(&hosted.meeting),
        attendee: encoded(&hosted.attendee),
        names: hosted.names,
    };
    Ok((Held { server }, join))
}

fn encoded(value: &Value) -> Secret {
    Secret::new(BASE64_STANDARD.encode(value.to_string()))
}
