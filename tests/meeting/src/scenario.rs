//! Who is in a meeting and what they do when, as data.
//!
//! Pure: TOML text goes in, actions that are due come out. Times count from the
//! moment the first client is connected.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

/// Friendly names, short ones and those with other letters.
const NAMES: [&str; 25] = [
    "Alice", "Bob", "Chloé", "Dmitri", "Elif", "Farid", "Grace", "Hiroshi", "Inés", "Jonas",
    "Khadija", "Liam", "Mei", "Noah", "Olga", "Priya", "Quentin", "Rosa", "Sven", "Tomás", "Uma",
    "Viktor", "Wen", "Ximena", "Yusuf",
];

/// How long each participant of the standard scenario speaks.
const TURN: Duration = Duration::from_secs(4);

/// What Chime allows for an external user id.
const LONGEST_ID: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Toml(#[from] toml::de::Error),
    #[error("participant {0:?} is there twice: give each an id of its own")]
    Twice(String),
    #[error("step {step} names {who:?}, who is no [[participant]]")]
    Stranger { step: usize, who: String },
    #[error("{0} participants are too many: at most 25 are shown")]
    TooMany(usize),
}

/// A meeting in advance.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    #[serde(default, rename = "participant")]
    pub participants: Vec<Participant>,
    #[serde(default, rename = "step")]
    pub timeline: Vec<Step>,
    /// The timeline begins again after this time.
    #[serde(default, deserialize_with = "some_length")]
    pub repeat: Option<Duration>,
}

#[expect(clippy::struct_excessive_bools, reason = "each can be so or not, apart from the others")]
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Participant {
    /// How steps call them.
    pub id: String,
    /// The name that is shown; the id if there is none.
    #[serde(default)]
    pub name: String,
    /// `{id}#{name}` if there is none.
    #[serde(default)]
    pub external_user_id: String,
    /// Whether they are there from the start.
    #[serde(default = "yes")]
    pub present: bool,
    #[serde(default = "yes")]
    pub camera: bool,
    /// Without they are in no roster: only their pictures tell that they are there.
    #[serde(default = "yes")]
    pub sound: bool,
    #[serde(default)]
    pub muted: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Step {
    #[serde(deserialize_with = "length")]
    pub at: Duration,
    #[serde(flatten)]
    pub action: Action,
}

/// What can happen in a meeting; also what its control API takes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Action {
    Join {
        who: String,
    },
    Leave {
        who: String,
    },
    /// Leave because the connection was lost.
    Drop {
        who: String,
    },
    CameraOn {
        who: String,
    },
    CameraOff {
        who: String,
    },
    ShareOn {
        who: String,
    },
    ShareOff {
        who: String,
    },
    Speak {
        who: String,
    },
    Quiet {
        who: String,
    },
    Mute {
        who: String,
    },
    Unmute {
        who: String,
    },
    /// Send a data message.
    Say {
        who: String,
        topic: String,
        text: String,
    },
    /// The picture of this participant is marked as a poor connection.
    PoorConnection {
        who: String,
    },
    GoodConnection {
        who: String,
    },
    EndMeeting,
    /// Remove the clients that have really joined.
    Remove,
    /// Tell the clients this status: 403 not allowed, 301 joined elsewhere, 409 full.
    Status {
        status: u32,
    },
    /// Send no media.
    StallMedia {
        seconds: f64,
    },
    /// Cut the clients' signaling connections.
    DropSignaling,
    /// Cut everything, and take nobody for a while.
    RestartServer {
        seconds: f64,
    },
}

impl Action {
    fn who(&self) -> Option<&str> {
        match self {
            Self::Join { who }
            | Self::Leave { who }
            | Self::Drop { who }
            | Self::CameraOn { who }
            | Self::CameraOff { who }
            | Self::ShareOn { who }
            | Self::ShareOff { who }
            | Self::Speak { who }
            | Self::Quiet { who }
            | Self::Mute { who }
            | Self::Unmute { who }
            | Self::Say { who, .. }
            | Self::PoorConnection { who }
            | Self::GoodConnection { who } => Some(who),
            Self::EndMeeting
            | Self::Remove
            | Self::Status { .. }
            | Self::StallMedia { .. }
            | Self::DropSignaling
            | Self::RestartServer { .. } => None,
        }
    }
}

impl Scenario {
    /// Reads a scenario and checks that all it names is there.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut scenario: Self = toml::from_str(text)?;
        if scenario.participants.len() > NAMES.len() {
            return Err(Error::TooMany(scenario.participants.len()));
        }
        let mut known = BTreeSet::new();
        for participant in &mut scenario.participants {
            if participant.name.is_empty() {
                participant.name.clone_from(&participant.id);
            }
            if participant.external_user_id.is_empty() {
                let id = format!("{}#{}", participant.id, participant.name);
                participant.external_user_id = id.chars().take(LONGEST_ID).collect();
            }
            if !known.insert(participant.id.clone()) {
                return Err(Error::Twice(participant.id.clone()));
            }
        }
        for (number, step) in (1..).zip(&scenario.timeline) {
            if let Some(who) = step.action.who().filter(|who| !known.contains(*who)) {
                return Err(Error::Stranger { step: number, who: who.into() });
            }
        }
        scenario.timeline.sort_by_key(|step| step.at);
        Ok(scenario)
    }

    /// So many participants with cameras, at most 25, who speak in turn; the first
    /// shares a screen if asked for.
    pub fn standard(participants: usize, share: bool) -> Self {
        let names = NAMES.iter().take(participants);
        let participants: Vec<_> = names
            .enumerate()
            .map(|(number, name)| Participant {
                id: name.to_lowercase(),
                name: (*name).into(),
                external_user_id: format!("participant-{}#{name}", number + 1),
                present: true,
                camera: true,
                sound: true,
                muted: false,
            })
            .collect();
        let mut timeline = Vec::new();
        if let Some(first) = participants.first().filter(|_| share) {
            let action = Action::ShareOn { who: first.id.clone() };
            timeline.push(Step { at: Duration::ZERO, action });
        }
        let mut at = Duration::ZERO;
        for (number, participant) in participants.iter().enumerate() {
            let before = &participants[(number + participants.len() - 1) % participants.len()];
            timeline.push(Step { at, action: Action::Quiet { who: before.id.clone() } });
            timeline.push(Step { at, action: Action::Speak { who: participant.id.clone() } });
            at += TURN;
        }
        let repeat = Some(at).filter(|at| !at.is_zero());
        Self { participants, timeline, repeat }
    }

    /// What happens in the time from `from` up to, but not at, `to`.
    pub fn due(&self, from: Duration, to: Duration) -> Vec<Action> {
        let Some(period) = self.repeat else {
            let steps = self.timeline.iter().filter(|step| step.at >= from && step.at < to);
            return steps.map(|step| step.action.clone()).collect();
        };
        let mut due = Vec::new();
        // The period that `from` lies in: the cost does not grow with the meeting.
        let into = from.as_nanos() % period.as_nanos();
        let into = u64::try_from(into).expect("a period is shorter than 584 years");
        let mut start = from.saturating_sub(Duration::from_nanos(into));
        while start < to {
            // A step at the end of the period belongs to none.
            let steps = self.timeline.iter().filter(|step| step.at < period);
            let steps = steps.filter(|step| start + step.at >= from && start + step.at < to);
            due.extend(steps.map(|step| step.action.clone()));
            start += period;
        }
        due
    }
}

fn yes() -> bool {
    true
}

/// `1.5` or `"1.5s"` or `"2m"`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Length {
    Seconds(f64),
    Text(String),
}

fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let length = Length::deserialize(deserializer)?;
    let (number, factor) = match &length {
        Length::Seconds(seconds) => (Some(*seconds), 1.0),
        Length::Text(text) => match (text.strip_suffix('m'), text.strip_suffix('s')) {
            (Some(minutes), _) => (minutes.parse().ok(), 60.0),
            (_, Some(seconds)) => (seconds.parse().ok(), 1.0),
            (None, None) => (None, 1.0),
        },
    };
    let duration = number.and_then(|n| Duration::try_from_secs_f64(n * factor).ok());
    duration.ok_or_else(|| {
        serde::de::Error::custom("expected a time such as 1.5, \"1.5s\" or \"2m\", not negative")
    })
}

fn some_length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let period = length(deserializer)?;
    if period.is_zero() {
        return Err(serde::de::Error::custom("a timeline cannot repeat after no time"));
    }
    Ok(Some(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: &str = r#"
        [[participant]]
        id = "alice"
        [[participant]]
        id = "bob"
        name = "Bob <b>"
        present = false
        [[step]]
        at = "2s"
        do = "join"
        who = "bob"
        [[step]]
        at = 1.5
        do = "stall_media"
        seconds = 2.0
    "#;

    #[test]
    fn a_scenario_is_read_with_its_defaults_and_sorted() {
        let scenario = Scenario::parse(CALL).unwrap();
        let alice = &scenario.participants[0];
        assert_eq!(
            (alice.name.as_str(), alice.external_user_id.as_str()),
            ("alice", "alice#alice")
        );
        assert!(alice.present && alice.camera && !alice.muted);
        assert!(!scenario.participants[1].present);
        assert_eq!(scenario.timeline[0].action, Action::StallMedia { seconds: 2.0 });
        assert_eq!(scenario.timeline[1].at, Duration::from_secs(2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, expected) in [
            (("\"bob\"\n        name", "\"alice\"\n        name"), "\"alice\" is there twice"),
            (("who = \"bob\"", "who = \"eve\""), "names \"eve\""),
            (("\"2s\"", "\"2 s\""), "expected a time"),
            (("\"2s\"", "-1"), "expected a time"),
            (("\"join\"", "\"dance\""), "dance"),
            (("present", "presence"), "presence"),
        ] {
            let error = Scenario::parse(&CALL.replace(change.0, change.1)).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn the_standard_participants_speak_in_turn_for_ever() {
        let scenario = Scenario::standard(3, true);
        let speaks = |action: &Action| match action {
            Action::Speak { who } => Some(who.clone()),
            _ => None,
        };
        let heard: Vec<_> = scenario
            .due(Duration::ZERO, Duration::from_secs(24))
            .iter()
            .filter_map(speaks)
            .collect();
        assert_eq!(heard, ["alice", "bob", "chloé", "alice", "bob", "chloé"]);
        assert!(scenario.timeline.iter().any(|step| matches!(step.action, Action::ShareOn { .. })));
        assert_eq!(Scenario::standard(0, true).due(Duration::ZERO, Duration::from_secs(9)), []);
    }

    #[test]
    fn however_time_is_cut_each_step_is_due_once() {
        let scenario = Scenario::standard(4, true);
        let end = Duration::from_secs(40);
        let whole = scenario.due(Duration::ZERO, end);
        for millis in [1, 7, 50, 333, 4000, 15_999] {
            let (mut from, mut pieces) = (Duration::ZERO, Vec::new());
            while from < end {
                let to = (from + Duration::from_millis(millis)).min(end);
                pieces.extend(scenario.due(from, to));
                from = to;
            }
            assert_eq!(pieces, whole, "in pieces of {millis} ms");
        }
    }

    #[test]
    fn the_scenarios_that_come_along_can_be_played() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
        let mut count = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let scenario = Scenario::parse(&text).unwrap_or_else(|e| panic!("{path:?}: {e}"));
            assert!(!scenario.participants.is_empty() && !scenario.timeline.is_empty());
            count += 1;
        }
        assert!(count >= 2, "{count} scenarios");
    }
}
