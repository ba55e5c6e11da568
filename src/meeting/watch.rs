//! What follows from what the meeting page says: is it live, over, or lost?
//!
//! Pure: messages and the time go in, verdicts and one deadline come out. It
//! must not know sockets, browsers, or what is done about a verdict. Everything
//! that it hears goes into the [`Minutes`] of the meeting as well.

use std::time::{Duration, Instant};

use super::contract::{Message, State, VERSION};
use super::minutes::Minutes;
use crate::events::StopReason;

/// A page that says nothing for this long is lost: it says something each
/// second, and a busy machine gets ten times as long.
pub const SILENCE: Duration = Duration::from_secs(10);

/// When a meeting without people ends the recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// After the last person has left.
    pub empty: Duration,
    /// From the moment the page is live, if nobody comes at all.
    pub nobody: Duration,
}

/// What the page has become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// From now on it may be filmed.
    Live,
    /// It is over for a reason that a new start would not change.
    Over(StopReason),
    /// It cannot be relied on any more; a new start may help.
    Lost(String),
}

/// One meeting, over all starts of its page.
#[derive(Debug)]
pub struct Watch {
    rules: Rules,
    stage: Stage,
    /// When the page said something last.
    heard: Instant,
    greeted: bool,
    has_anybody_come: bool,
    /// Since when nobody has been there, while the page is live.
    empty: Option<Instant>,
    minutes: Minutes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Before the first page, and after a verdict: nothing is expected.
    Idle,
    Opening,
    Live,
}

impl Watch {
    pub fn new(rules: Rules, now: Instant) -> Self {
        Self {
            rules,
            stage: Stage::Idle,
            heard: now,
            greeted: false,
            has_anybody_come: false,
            empty: None,
            minutes: Minutes::default(),
        }
    }

    /// A page is being opened, for the first time or again. How long it may take
    /// until it is live is not decided here.
    pub fn opening(&mut self) {
        self.stage = Stage::Opening;
        self.greeted = false;
        self.minutes.reopened();
    }

    pub fn minutes(&self) -> &Minutes {
        &self.minutes
    }

    /// The recording cannot film the page at the moment.
    pub fn interrupted(&mut self, now: Instant, reason: &str) {
        self.stage = Stage::Idle;
        self.minutes.interrupted(now, reason);
    }

    pub fn handle(&mut self, now: Instant, message: &Message) -> Option<Verdict> {
        self.heard = now;
        match message {
            Message::Hello { version } if *version != VERSION => {
                return Some(self.lost(format!(
                    "the meeting page speaks version {version} of the contract, not {VERSION}"
                )));
            }
            Message::Hello { .. } => self.greeted = true,
            _ if !self.greeted => {
                return Some(self.lost("the meeting page did not say its version".into()));
            }
            Message::State(state) => return self.state(now, state),
            _ => {
                self.minutes.note(now, message);
                self.count(now);
            }
        }
        None
    }

    /// The page's connection is gone, and with it the page.
    pub fn disconnected(&mut self) -> Option<Verdict> {
        (self.stage == Stage::Live).then(|| self.lost("the meeting page is gone".into()))
    }

    /// When [`Self::tick`] has something to say.
    pub fn deadline(&self) -> Option<Instant> {
        if self.stage != Stage::Live {
            return None;
        }
        let silent = self.heard + SILENCE;
        Some(self.empty_at().map_or(silent, |empty| empty.min(silent)))
    }

    pub fn tick(&mut self, now: Instant) -> Option<Verdict> {
        self.deadline().filter(|at| *at <= now)?;
        if self.empty_at().is_some_and(|at| at <= now) {
            let reason =
                if self.has_anybody_come { StopReason::RoomEmpty } else { StopReason::NobodyCame };
            return Some(self.over(reason));
        }
        Some(self.lost(format!("the meeting page said nothing for {SILENCE:?}")))
    }

    fn state(&mut self, now: Instant, state: &State) -> Option<Verdict> {
        match state {
            State::Loading | State::Joining => None,
            State::Live => {
                self.minutes.resumed(now);
                let first = self.stage == Stage::Opening;
                self.stage = Stage::Live;
                if first {
                    self.minutes.confirm();
                }
                self.count(now);
                first.then_some(Verdict::Live)
            }
            State::Reconnecting => {
                self.minutes.interrupted(now, "the page lost its connection to the meeting");
                None
            }
            State::Ended { reason } => Some(match stop_reason(reason) {
                Some(reason) => self.over(reason),
                None => self.lost(format!("the meeting page ended with {reason}")),
            }),
            State::Failed { reason } => Some(self.lost(reason.clone())),
        }
    }

    fn count(&mut self, now: Instant) {
        if self.minutes.is_anybody_there() {
            self.has_anybody_come = true;
            self.empty = None;
        } else if self.stage == Stage::Live {
            self.empty.get_or_insert(now);
        }
    }

    fn empty_at(&self) -> Option<Instant> {
        let patience = if self.has_anybody_come { self.rules.empty } else { self.rules.nobody };
        self.empty.map(|since| since + patience)
    }

    fn over(&mut self, reason: StopReason) -> Verdict {
        self.stage = Stage::Idle;
        Verdict::Over(reason)
    }

    fn lost(&mut self, reason: String) -> Verdict {
        self.stage = Stage::Idle;
        Verdict::Lost(reason)
    }
}

/// The SDK's name of the status with which a session stopped, by name because
/// the numbers have changed between its versions.
fn stop_reason(status: &str) -> Option<StopReason> {
    match status {
        "MeetingEnded" => Some(StopReason::MeetingEnded),
        "AudioAttendeeRemoved" => Some(StopReason::AttendeeRemoved),
        "AudioAuthenticationRejected" => Some(StopReason::AuthenticationRejected),
        "AudioJoinedFromAnotherDevice" => Some(StopReason::JoinedElsewhere),
        "AudioCallAtCapacity" | "VideoCallAtSourceCapacity" => Some(StopReason::AtCapacity),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { empty: Duration::from_mins(2), nobody: Duration::from_mins(10) };

    struct Played {
        watch: Watch,
        start: Instant,
    }

    impl Played {
        fn new() -> Self {
            let start = Instant::now();
            let mut watch = Watch::new(RULES, start);
            watch.opening();
            let mut played = Self { watch, start };
            assert_eq!(played.hear(0, &Message::Hello { version: VERSION }), None);
            played
        }

        fn live() -> Self {
            let mut played = Self::new();
            assert_eq!(played.hear(0, &Message::State(State::Live)), Some(Verdict::Live));
            played
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        fn hear(&mut self, seconds: u64, message: &Message) -> Option<Verdict> {
            let at = self.at(seconds);
            self.watch.handle(at, message)
        }

        /// Heartbeats each second, until there is a verdict.
        fn beat(&mut self, seconds: std::ops::RangeInclusive<u64>) -> Option<(u64, Verdict)> {
            for second in seconds {
                let at = self.at(second);
                let verdict = self.watch.tick(at);
                let verdict = verdict.or_else(|| self.watch.handle(at, &BEAT));
                if let Some(verdict) = verdict {
                    return Some((second, verdict));
                }
            }
            None
        }
    }

    const BEAT: Message = Message::Heartbeat { frames: 1, concealed_ms: 0 };

    fn joined(id: &str) -> Message {
        Message::Joined { attendee_id: id.into(), external_user_id: id.into(), name: id.into() }
    }

    fn left(id: &str) -> Message {
        Message::Left { attendee_id: id.into(), dropped: false }
    }

    fn ended(reason: &str) -> Message {
        Message::State(State::Ended { reason: reason.into() })
    }

    #[test]
    fn a_page_is_live_once() {
        let mut played = Played::new();
        assert_eq!(played.hear(1, &Message::State(State::Joining)), None);
        assert_eq!(played.hear(2, &Message::State(State::Live)), Some(Verdict::Live));
        assert_eq!(played.hear(3, &Message::State(State::Reconnecting)), None);
        assert_eq!(played.hear(4, &Message::State(State::Live)), None);
    }

    #[test]
    fn every_end_of_a_meeting_is_a_reason_and_every_other_one_a_loss() {
        for (status, reason) in [
            ("MeetingEnded", StopReason::MeetingEnded),
            ("AudioAttendeeRemoved", StopReason::AttendeeRemoved),
            ("AudioAuthenticationRejected", StopReason::AuthenticationRejected),
            ("AudioJoinedFromAnotherDevice", StopReason::JoinedElsewhere),
            ("AudioCallAtCapacity", StopReason::AtCapacity),
        ] {
            assert_eq!(Played::live().hear(1, &ended(status)), Some(Verdict::Over(reason)));
            // Also before it is live: whoever opened it decides what that means.
            assert_eq!(Played::new().hear(1, &ended(status)), Some(Verdict::Over(reason)));
        }
        let verdict = Played::live().hear(1, &ended("SomethingNew"));
        assert!(matches!(verdict, Some(Verdict::Lost(why)) if why.contains("SomethingNew")));
        let failed = Message::State(State::Failed { reason: "TaskFailed".into() });
        assert_eq!(Played::live().hear(1, &failed), Some(Verdict::Lost("TaskFailed".into())));
    }

    #[test]
    fn a_silent_page_is_lost_once_and_only_when_live() {
        let mut played = Played::new();
        assert_eq!(played.watch.deadline(), None);
        played = Played::live();
        assert_eq!(played.watch.tick(played.at(9)), None);
        assert!(matches!(played.watch.tick(played.at(10)), Some(Verdict::Lost(_))));
        assert_eq!((played.watch.deadline(), played.watch.tick(played.at(99))), (None, None));
    }

    #[test]
    fn a_page_whose_connection_closes_is_lost_at_once_but_not_before_it_is_live() {
        assert_eq!(Played::new().watch.disconnected(), None);
        assert!(matches!(Played::live().watch.disconnected(), Some(Verdict::Lost(_))));
    }

    #[test]
    fn a_room_that_has_emptied_ends_sooner_than_one_that_nobody_entered() {
        let mut played = Played::live();
        assert_eq!(played.beat(1..=900), Some((600, Verdict::Over(StopReason::NobodyCame))));

        let mut played = Played::live();
        played.hear(5, &joined("a"));
        played.hear(5, &joined("b"));
        played.hear(300, &left("a"));
        assert_eq!(played.beat(301..=1000), None, "somebody is still there");
        played.hear(1000, &left("b"));
        assert_eq!(played.beat(1001..=1100), None);
        played.hear(1100, &joined("a"));
        assert_eq!(played.beat(1101..=1500), None, "they came back in time");
        played.hear(1500, &left("a"));
        let end = Some((1620, Verdict::Over(StopReason::RoomEmpty)));
        assert_eq!(played.beat(1501..=2000), end);
    }

    #[test]
    fn those_who_left_while_the_page_was_gone_are_found_out() {
        let mut played = Played::live();
        played.hear(1, &joined("a"));
        played.watch.interrupted(played.at(2), "it crashed");
        played.watch.opening();
        played.hear(5, &Message::Hello { version: VERSION });
        assert_eq!(played.hear(6, &Message::State(State::Live)), Some(Verdict::Live));
        assert!(!played.watch.minutes().is_anybody_there());
        assert_eq!(played.beat(7..=200), Some((126, Verdict::Over(StopReason::RoomEmpty))));
    }

    #[test]
    fn those_who_left_after_a_start_that_failed_are_found_out() {
        let mut played = Played::live();
        played.hear(1, &joined("a"));
        played.watch.interrupted(played.at(2), "it crashed");
        // One page sees them both and is lost before it is live; on the next nobody is.
        for (second, there) in [(5, &["a", "b"][..]), (9, &[])] {
            played.watch.opening();
            played.hear(second, &Message::Hello { version: VERSION });
            for id in there {
                played.hear(second, &joined(id));
            }
        }
        played.hear(10, &Message::State(State::Live));
        let account = played.watch.minutes().account(played.at(0), played.at(20));
        let stays: Vec<_> = account.attendees.iter().map(|stay| stay.left_seconds).collect();
        assert_eq!(stays, [Some(2.0), Some(5.0)]);
        assert_eq!(
            played.beat(11..=300).map(|(_, verdict)| verdict),
            Some(Verdict::Over(StopReason::RoomEmpty))
        );
    }

    #[test]
    fn a_page_that_speaks_another_version_is_told_so() {
        let mut watch = Watch::new(RULES, Instant::now());
        watch.opening();
        let verdict = watch.handle(Instant::now(), &Message::Hello { version: 7 });
        assert!(matches!(verdict, Some(Verdict::Lost(why)) if why.contains("version 7")));
        watch.opening();
        assert!(matches!(watch.handle(Instant::now(), &BEAT), Some(Verdict::Lost(_))));
    }
}
