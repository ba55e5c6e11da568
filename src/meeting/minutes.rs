//! The minutes of a meeting: who was there, who spoke and what was shown, when.
//!
//! Pure. Times are kept as they were heard; [`Minutes::account`] tells them as
//! seconds of the recording. Grows only when something changes.

use std::collections::BTreeSet;
use std::time::Instant;

use serde::Serialize;

use super::contract::{Message, Tile};

/// Longest text that is kept of a name or an id: they come from strangers.
const LONGEST: usize = 256;

#[derive(Debug, Default)]
pub struct Minutes {
    attendees: Vec<Attendee>,
    speeches: Vec<Speech>,
    /// Who led, each until the next entry.
    leads: Vec<(Instant, Option<String>)>,
    scenes: Vec<(Instant, Vec<Tile>)>,
    interruptions: Vec<Interruption>,
    /// Present when the page was lost, and not seen since.
    unconfirmed: BTreeSet<String>,
    concealed: Concealed,
}

#[derive(Debug)]
struct Attendee {
    id: String,
    external_user_id: String,
    name: String,
    joined: Instant,
    left: Option<Instant>,
    dropped: bool,
}

#[derive(Debug)]
struct Speech {
    id: String,
    from: Instant,
    to: Option<Instant>,
}

#[derive(Debug)]
struct Interruption {
    from: Instant,
    to: Option<Instant>,
    reason: String,
}

/// Sound that was made up because none came in time, in milliseconds.
#[derive(Debug, Default)]
struct Concealed {
    /// What this page has told so far.
    told: u64,
    /// When it told of more, and how much more.
    grown: Vec<(Instant, u64)>,
}

/// The minutes as the report tells them. Times are seconds of the recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Account {
    /// One entry for each stay: who comes back has two.
    pub attendees: Vec<Stay>,
    /// Who spoke, by the SDK's detector; several may speak at once.
    pub speakers: Vec<Spoken>,
    /// What was in the picture, from each change on.
    pub tiles: Vec<Shown>,
    /// When the meeting could not be filmed; the picture stood still meanwhile.
    pub reconnects: Vec<Gap>,
    /// Sound of the meeting that did not come in time and was made up by the browser.
    pub concealed_seconds: f64,
    /// The leading speaker of each moment, without gaps between two of them.
    #[serde(skip)]
    pub chapters: Vec<Chapter>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stay {
    pub attendee_id: String,
    pub external_user_id: String,
    pub name: String,
    /// 0 for those who were there before the recording.
    pub joined_seconds: f64,
    /// Absent for those who stayed to the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_seconds: Option<f64>,
    /// They left because their connection was lost.
    pub dropped: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spoken {
    pub attendee_id: String,
    pub from_seconds: f64,
    pub to_seconds: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    pub at_seconds: f64,
    pub tiles: Vec<TileShown>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TileShown {
    pub attendee_id: String,
    /// A shared screen.
    pub content: bool,
    pub width: u32,
    pub height: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gap {
    pub from_seconds: f64,
    pub to_seconds: f64,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Chapter {
    pub name: String,
    pub from_seconds: f64,
    pub to_seconds: f64,
}

impl Minutes {
    pub(super) fn is_anybody_there(&self) -> bool {
        self.attendees.iter().any(|attendee| attendee.left.is_none())
    }

    pub(super) fn note(&mut self, now: Instant, message: &Message) {
        match message {
            Message::Joined { attendee_id, external_user_id, name } => {
                self.unconfirmed.remove(attendee_id);
                if self.present(attendee_id).is_none() {
                    self.attendees.push(Attendee {
                        id: shortened(attendee_id),
                        external_user_id: shortened(external_user_id),
                        name: shortened(name),
                        joined: now,
                        left: None,
                        dropped: false,
                    });
                }
            }
            Message::Left { attendee_id, dropped } => {
                if let Some(attendee) = self.present(attendee_id) {
                    attendee.left = Some(now);
                    attendee.dropped = *dropped;
                }
            }
            Message::Speakers { attendee_ids } => self.speak(now, attendee_ids),
            Message::Tiles { tiles } => self.show(now, tiles.clone()),
            Message::Heartbeat { concealed_ms, .. } => {
                self.concealed.note(now, *concealed_ms);
            }
            Message::Hello { .. }
            | Message::State(_)
            | Message::Muted { .. }
            | Message::Connection { .. }
            | Message::Log { .. } => {}
        }
    }

    /// From now on the meeting cannot be filmed, until [`Self::resumed`].
    pub(super) fn interrupted(&mut self, now: Instant, reason: &str) {
        if self.interruptions.last().is_some_and(|last| last.to.is_none()) {
            return;
        }
        self.interruptions.push(Interruption { from: now, to: None, reason: reason.into() });
        self.speak(now, &[]);
    }

    /// A page will tell anew who is there, until [`Self::confirm`].
    pub(super) fn reopened(&mut self) {
        let present = self.attendees.iter().filter(|attendee| attendee.left.is_none());
        self.unconfirmed = present.map(|attendee| attendee.id.clone()).collect();
    }

    pub(super) fn resumed(&mut self, now: Instant) {
        if let Some(last) = self.interruptions.last_mut() {
            last.to.get_or_insert(now);
        }
    }

    /// A new page has told who is there: the others have left while it was lost.
    pub(super) fn confirm(&mut self) {
        let Some(gap) = self.interruptions.last() else { return };
        let gone = gap.from;
        for id in std::mem::take(&mut self.unconfirmed) {
            if let Some(attendee) = self.present(&id) {
                attendee.left = Some(gone.max(attendee.joined));
            }
        }
    }

    fn present(&mut self, id: &str) -> Option<&mut Attendee> {
        self.attendees
            .iter_mut()
            .rev()
            .find(|attendee| attendee.id == id && attendee.left.is_none())
    }

    fn speak(&mut self, now: Instant, ids: &[String]) {
        for speech in self.speeches.iter_mut().filter(|speech| speech.to.is_none()) {
            if !ids.contains(&speech.id) {
                speech.to = Some(now);
            }
        }
        for id in ids {
            let goes_on = |speech: &Speech| speech.id == *id && speech.to.is_none();
            if !self.speeches.iter().rev().any(goes_on) {
                self.speeches.push(Speech { id: id.clone(), from: now, to: None });
            }
        }
        let lead = ids.first().cloned();
        if self.leads.last().map(|(_, last)| last) != Some(&lead) {
            self.leads.push((now, lead));
        }
    }

    fn show(&mut self, now: Instant, tiles: Vec<Tile>) {
        if self.scenes.last().map(|(_, last)| last) != Some(&tiles) {
            self.scenes.push((now, tiles));
        }
    }

    /// All of it as seconds of a recording from `first` to `last`.
    pub fn account(&self, first: Instant, last: Instant) -> Account {
        let at = |instant: Instant| {
            let seconds = instant.min(last).saturating_duration_since(first).as_secs_f64();
            (seconds * 1000.0).round() / 1000.0
        };
        let until = |instant: Option<Instant>| at(instant.unwrap_or(last));
        let in_time =
            |from: Instant, to: Option<Instant>| from < last && to.is_none_or(|to| to > first);
        let attendees = self.attendees.iter().filter(|stay| in_time(stay.joined, stay.left));
        let speeches = self.speeches.iter().filter(|speech| in_time(speech.from, speech.to));
        let gaps = self.interruptions.iter().filter(|gap| in_time(gap.from, gap.to));
        // Of what was shown before the recording only the last is of interest.
        let begin = self.scenes.iter().rposition(|(at, _)| *at <= first).unwrap_or(0);
        Account {
            attendees: attendees
                .map(|stay| Stay {
                    attendee_id: stay.id.clone(),
                    external_user_id: stay.external_user_id.clone(),
                    name: stay.name.clone(),
                    joined_seconds: at(stay.joined),
                    left_seconds: stay.left.filter(|left| *left < last).map(at),
                    dropped: stay.dropped,
                })
                .collect(),
            speakers: speeches
                .map(|speech| Spoken {
                    attendee_id: speech.id.clone(),
                    from_seconds: at(speech.from),
                    to_seconds: until(speech.to),
                })
                .collect(),
            tiles: self.scenes[begin..]
                .iter()
                .filter(|(shown, _)| *shown < last)
                .map(|(shown, tiles)| Shown {
                    at_seconds: at(*shown),
                    tiles: tiles.iter().map(TileShown::from).collect(),
                })
                .collect(),
            reconnects: gaps
                .map(|gap| Gap {
                    from_seconds: at(gap.from),
                    to_seconds: until(gap.to),
                    reason: gap.reason.clone(),
                })
                .collect(),
            concealed_seconds: self.concealed.seconds(first, last),
            chapters: self.chapters(&at, last),
        }
    }

    /// Each speaker until the next one: who falls silent is still the last who spoke.
    fn chapters(&self, at: &impl Fn(Instant) -> f64, last: Instant) -> Vec<Chapter> {
        let mut chapters: Vec<Chapter> = Vec::new();
        let spoken = self.leads.iter().filter_map(|(from, id)| Some((*from, id.as_ref()?)));
        for (from, id) in spoken {
            let known = self.attendees.iter().rev().find(|attendee| attendee.id == *id);
            let name = known.map_or(id, |attendee| &attendee.name).clone();
            let from_seconds = at(from);
            if let Some(before) = chapters.last_mut() {
                if before.name == name {
                    continue;
                }
                before.to_seconds = from_seconds;
            }
            chapters.push(Chapter { name, from_seconds, to_seconds: at(last) });
        }
        chapters.retain(|chapter| chapter.from_seconds < chapter.to_seconds);
        chapters
    }
}

impl Concealed {
    #[expect(clippy::cast_precision_loss, reason = "no meeting lasts for 2^52 milliseconds")]
    fn seconds(&self, first: Instant, last: Instant) -> f64 {
        let within = self.grown.iter().filter(|(at, _)| (first..=last).contains(at));
        within.map(|(_, more)| more).sum::<u64>() as f64 / 1000.0
    }

    fn note(&mut self, now: Instant, told: u64) {
        // A new page begins anew.
        let before = if told < self.told { 0 } else { self.told };
        if told > before {
            self.grown.push((now, told - before));
        }
        self.told = told;
    }
}

impl From<&Tile> for TileShown {
    fn from(tile: &Tile) -> Self {
        Self {
            attendee_id: tile.attendee_id.clone(),
            content: tile.content,
            width: tile.width,
            height: tile.height,
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn joined(id: &str) -> Message {
        let name = format!("Name of {id}");
        Message::Joined { attendee_id: id.into(), external_user_id: id.into(), name }
    }

    fn speakers(ids: &[&str]) -> Message {
        Message::Speakers { attendee_ids: ids.iter().map(|id| (*id).to_owned()).collect() }
    }

    /// The minutes of messages at their seconds; the recording goes from 10 to 100.
    fn account(messages: &[(u64, Message)]) -> Account {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut minutes = Minutes::default();
        for (seconds, message) in messages {
            minutes.note(at(*seconds), message);
        }
        minutes.account(at(10), at(100))
    }

    #[test]
    fn a_stay_counts_from_the_recording_and_a_return_is_another_one() {
        let left = Message::Left { attendee_id: "a".into(), dropped: true };
        let account = account(&[(1, joined("a")), (2, joined("b")), (30, left), (40, joined("a"))]);
        let stays: Vec<_> = account
            .attendees
            .iter()
            .map(|stay| (stay.attendee_id.as_str(), stay.joined_seconds, stay.left_seconds))
            .collect();
        assert_eq!(stays, [("a", 0.0, Some(20.0)), ("b", 0.0, None), ("a", 30.0, None)]);
        assert!(account.attendees[0].dropped && !account.attendees[2].dropped);
    }

    #[test]
    fn who_left_before_the_recording_was_not_in_it() {
        let left = Message::Left { attendee_id: "a".into(), dropped: false };
        assert!(account(&[(1, joined("a")), (5, left)]).attendees.is_empty());
    }

    #[test]
    fn several_may_speak_at_once_and_chapters_follow_the_first() {
        let account = account(&[
            (1, joined("a")),
            (1, joined("b")),
            (20, speakers(&["a"])),
            (25, speakers(&["b", "a"])),
            (30, speakers(&["b"])),
            (35, speakers(&[])),
            (50, speakers(&["b"])),
            (60, speakers(&["a"])),
        ]);
        let spoken: Vec<_> = account
            .speakers
            .iter()
            .map(|spoken| (spoken.attendee_id.as_str(), spoken.from_seconds, spoken.to_seconds))
            .collect();
        assert_eq!(
            spoken,
            [("a", 10.0, 20.0), ("b", 15.0, 25.0), ("b", 40.0, 50.0), ("a", 50.0, 90.0)]
        );
        let chapters: Vec<_> = account
            .chapters
            .iter()
            .map(|chapter| (chapter.name.as_str(), chapter.from_seconds, chapter.to_seconds))
            .collect();
        assert_eq!(
            chapters,
            [("Name of a", 10.0, 15.0), ("Name of b", 15.0, 50.0), ("Name of a", 50.0, 90.0)]
        );
    }

    #[test]
    fn only_the_last_scene_before_the_recording_is_told() {
        let tiles = |count: usize| Message::Tiles {
            tiles: vec![
                Tile { attendee_id: "a".into(), content: false, width: 16, height: 9 };
                count
            ],
        };
        let account = account(&[
            (1, tiles(1)),
            (5, tiles(2)),
            (20, tiles(2)),
            (30, tiles(3)),
            (200, tiles(4)),
        ]);
        let told: Vec<_> =
            account.tiles.iter().map(|shown| (shown.at_seconds, shown.tiles.len())).collect();
        assert_eq!(told, [(0.0, 2), (20.0, 3)]);
    }

    #[test]
    fn sound_that_was_made_up_in_the_recording_counts_over_all_pages() {
        let beat = |concealed_ms| Message::Heartbeat { frames: 1, concealed_ms };
        let account = account(&[
            (2, beat(900)),
            (11, beat(940)),
            (12, beat(940)),
            (20, beat(0)),
            (21, beat(60)),
            (101, beat(500)),
        ]);
        assert!((account.concealed_seconds - 0.1).abs() < 1e-9, "{account:?}");
    }

    #[test]
    fn a_name_of_any_length_stays_short() {
        let name = "𝄞".repeat(10_000);
        let message =
            Message::Joined { attendee_id: "a".into(), external_user_id: name.clone(), name };
        let told = account(&[(1, message)]);
        assert_eq!(told.attendees[0].name.chars().count(), LONGEST);
        assert_eq!(told.attendees[0].external_user_id.chars().count(), LONGEST);
    }
}
