//! What the meeting page and the recorder tell each other: version 1 of their contract.
//!
//! Pure vocabulary. Both sides test it against files of examples, `worker.v1.json` for what
//! the page says and `recorder.v1.json` for what it hears, in `recording-app/contract/`. A
//! message is one JSON text frame on the page's WebSocket; none has an answer.

use serde::{Deserialize, Serialize};

/// The version that [`Message::Hello`] has to name.
pub const VERSION: u32 = 1;

/// One message of the page. Fields that this version does not know are ignored,
/// so that a newer page can say more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Message {
    /// Always the first.
    Hello {
        version: u32,
    },
    /// The page's life has reached the next stage.
    State(State),
    /// A person is in the meeting. Sent again for everybody after a new start of
    /// the page; the recording attendee and shared screens are not people.
    Joined {
        attendee_id: String,
        external_user_id: String,
        /// What is written on the person's tile.
        name: String,
    },
    Left {
        attendee_id: String,
        /// The connection was lost, rather than ended.
        dropped: bool,
    },
    Muted {
        attendee_id: String,
        muted: bool,
    },
    /// Who speaks now: first who leads, as the page decides.
    Speakers {
        attendee_ids: Vec<String>,
    },
    /// All tiles with moving pictures that are drawn now.
    Tiles {
        tiles: Vec<Tile>,
    },
    /// The page's own connection to the meeting.
    Connection {
        quality: Quality,
    },
    /// Each second, with the pictures that the page has drawn so far, and for how long
    /// it had to make sound up because none came in time.
    Heartbeat {
        frames: u64,
        #[serde(default)]
        concealed_ms: u64,
    },
    Log {
        level: Level,
        message: String,
    },
}

/// What the recorder tells the page. A page ignores what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Advice {
    /// From now on nothing should be received larger than it is drawn.
    ProcessorsShort,
    /// From now on it may be again.
    ProcessorsSuffice,
    /// Each second, where in the recording is what the page draws: a picture that the browser
    /// has drawn by the one time is shown from the other on. Both in microseconds since 1970, by
    /// the clock that the browser had when the page was opened.
    Rhythm { drawn_us: u64, shown_us: u64 },
}

/// `loading → joining → live ⇄ reconnecting → ended | failed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum State {
    Loading,
    Joining,
    /// Joined, the sound plays, and the first tiles show a picture.
    Live,
    Reconnecting,
    /// For good, by a decision of the meeting; the SDK's name of its status.
    Ended {
        reason: String,
    },
    /// The page cannot go on; a new start may help.
    Failed {
        reason: String,
    },
}

/// A picture of a person or of a shared screen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tile {
    /// Of a shared screen: whose it is.
    pub attendee_id: String,
    /// Whether it is a shared screen.
    pub content: bool,
    /// Pixels on the page.
    pub width: u32,
    pub height: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Quality {
    Poor,
    Good,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    Warn,
    Error,
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const EXAMPLES: &str = include_str!("../../recording-app/contract/worker.v1.json");

    fn kind(value: &Value) -> String {
        let state = value["state"].as_str().unwrap_or_default();
        format!("{} {state}", value["type"].as_str().unwrap_or_default())
    }

    #[test]
    fn every_example_is_read_and_written_without_loss() {
        let examples: Vec<Value> = serde_json::from_str(EXAMPLES).unwrap();
        for example in &examples {
            let message: Message = serde_json::from_value(example.clone())
                .unwrap_or_else(|error| panic!("{example}: {error}"));
            assert_eq!(&serde_json::to_value(&message).unwrap(), example);
        }
        // A kind without an example would be tested on no side.
        let mut kinds: Vec<_> =
            examples.iter().map(|example| kind(example).trim().to_owned()).collect();
        kinds.sort();
        kinds.dedup();
        assert_eq!(
            kinds,
            [
                "connection",
                "heartbeat",
                "hello",
                "joined",
                "left",
                "log",
                "muted",
                "speakers",
                "state ended",
                "state failed",
                "state joining",
                "state live",
                "state loading",
                "state reconnecting",
                "tiles",
            ]
        );
    }

    #[test]
    fn what_the_page_hears_is_as_in_the_example() {
        let examples: Vec<Advice> =
            serde_json::from_str(include_str!("../../recording-app/contract/recorder.v1.json"))
                .unwrap();
        let (drawn_us, shown_us) = (1_795_824_000_020_500, 1_795_824_000_008_000);
        let rhythm = Advice::Rhythm { drawn_us, shown_us };
        assert_eq!(examples, [Advice::ProcessorsShort, Advice::ProcessorsSuffice, rhythm]);
    }

    #[test]
    fn a_newer_page_may_say_more_but_not_something_else() {
        let more = r#"{"type":"hello","version":1,"colour":"blue"}"#;
        assert_eq!(
            serde_json::from_str::<Message>(more).unwrap(),
            Message::Hello { version: VERSION }
        );
        for wrong in [r#"{"type":"hello"}"#, r#"{"type":"moved"}"#, "[]", ""] {
            assert!(serde_json::from_str::<Message>(wrong).is_err(), "{wrong}");
        }
    }
}
