//! The state of a meeting: who is there, what they send, and what clients are
//! to be told of it.
//!
//! Pure: actions go in, frames come out. It must not know sockets or time; a
//! client is brought up to date by comparing what it was told with what is so.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::identity;
use crate::proto::{self, Data, Presence, Stream};
use crate::scenario::{Action, Participant, Scenario};

/// Streams of one camera, by the second digit of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    Low,
    Mid,
    High,
}

impl Layer {
    pub(crate) const ALL: [Self; 3] = [Self::Low, Self::Mid, Self::High];

    /// Width, height, and the bitrate in kbit/s.
    pub fn shape(self) -> (u32, u32, u32) {
        match self {
            Self::Low => (320, 180, 200),
            Self::Mid => (640, 360, 600),
            Self::High => (1280, 720, 1500),
        }
    }
}

/// What a stream shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Picture {
    Camera { look: usize, layer: Layer },
    Share,
}

impl Picture {
    pub fn shape(self) -> (u32, u32, u32) {
        match self {
            Self::Camera { layer, .. } => layer.shape(),
            Self::Share => (1920, 1080, 1200),
        }
    }
}

/// Somebody in the meeting, synthetic or a real client.
#[expect(clippy::struct_excessive_bools, reason = "each can be so or not, apart from the others")]
#[derive(Clone, Debug)]
struct Person {
    attendee_id: String,
    external_user_id: String,
    /// `None` for a client, which sends nothing.
    look: Option<usize>,
    /// Joined with sound, as all do who are in the roster.
    has_sound: bool,
    muted: bool,
    speaking: bool,
    poor: bool,
    /// Of the roster; present exactly while they are there.
    audio: Option<u32>,
    /// The group of streams of the camera, while it is on.
    camera: Option<u32>,
    /// The roster id and the group of the shared screen.
    share: Option<(u32, u32)>,
    /// What the camera does when they join.
    wants_camera: bool,
}

#[derive(Debug)]
pub(crate) struct Room {
    /// By the scenario's id; clients by their attendee id.
    people: BTreeMap<String, Person>,
    next_audio: u32,
    next_group: u32,
    /// Roster ids that were lost rather than ended.
    dropped: BTreeSet<u32>,
    /// The data messages so far.
    said: Vec<Data>,
}

/// What does not fit what is so.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("nobody is called {0:?}")]
    Stranger(String),
    #[error("{0:?} is not in the meeting")]
    Absent(String),
}

impl Room {
    pub(crate) fn new(meeting: &str, scenario: &Scenario) -> Self {
        let mut room = Self {
            people: BTreeMap::new(),
            next_audio: 1,
            next_group: 1,
            dropped: BTreeSet::new(),
            said: Vec::new(),
        };
        for (look, participant) in scenario.participants.iter().enumerate() {
            let person = Person::synthetic(meeting, look, participant);
            room.people.insert(participant.id.clone(), person);
        }
        for participant in scenario.participants.iter().filter(|one| one.present) {
            room.enter(&participant.id).expect("all participants are known");
        }
        room
    }

    /// Does what concerns the people; the rest is the connections' business.
    pub(crate) fn apply(&mut self, action: &Action) -> Result<(), Refused> {
        match action {
            Action::Join { who } => self.enter(who)?,
            Action::Leave { who } => self.go(who, false)?,
            Action::Drop { who } => self.go(who, true)?,
            Action::CameraOn { who } => {
                let group = self.group();
                self.present(who)?.camera = Some(group);
            }
            Action::CameraOff { who } => self.present(who)?.camera = None,
            Action::ShareOn { who } => {
                let (audio, group) = (self.audio(), self.group());
                self.present(who)?.share = Some((audio, group));
            }
            Action::ShareOff { who } => self.present(who)?.share = None,
            Action::Speak { who } => self.present(who)?.speaking = true,
            Action::Quiet { who } => self.person(who)?.speaking = false,
            Action::Mute { who } => self.present(who)?.muted = true,
            Action::Unmute { who } => self.present(who)?.muted = false,
            Action::PoorConnection { who } => self.present(who)?.poor = true,
            Action::GoodConnection { who } => self.present(who)?.poor = false,
            Action::Say { who, topic, text } => {
                let person = self.present(who)?;
                let message = Data {
                    topic: Some(topic.clone()),
                    data: Some(Bytes::copy_from_slice(text.as_bytes())),
                    sender_attendee_id: Some(person.attendee_id.clone()),
                    // Zero would mean that it was throttled.
                    ingest_time_ns: Some(1),
                    sender_external_user_id: Some(person.external_user_id.clone()),
                };
                self.said.push(message);
            }
            Action::EndMeeting
            | Action::Remove
            | Action::Status { .. }
            | Action::StallMedia { .. }
            | Action::DropSignaling
            | Action::RestartServer { .. } => {}
        }
        Ok(())
    }

    /// A client is there.
    pub(crate) fn admit(&mut self, attendee_id: &str, external_user_id: &str, muted: bool) {
        let audio = self.audio();
        let person = Person {
            attendee_id: attendee_id.into(),
            external_user_id: external_user_id.into(),
            look: None,
            has_sound: true,
            muted,
            speaking: false,
            poor: false,
            audio: Some(audio),
            camera: None,
            share: None,
            wants_camera: false,
        };
        self.people.insert(attendee_id.into(), person);
    }

    pub(crate) fn dismiss(&mut self, attendee_id: &str) {
        self.people.remove(attendee_id);
    }

    /// Everybody who is there, shared screens among them, by roster id.
    pub(crate) fn roster(&self) -> BTreeMap<u32, Presence> {
        let mut roster = BTreeMap::new();
        for person in self.people.values() {
            let Some(audio) = person.audio else { continue };
            let presence = |audio, attendee_id: String, muted| Presence {
                audio_stream_id: Some(audio),
                attendee_id: Some(attendee_id),
                muted: Some(muted),
                external_user_id: Some(person.external_user_id.clone()),
                dropped: None,
            };
            if person.has_sound {
                roster.insert(audio, presence(audio, person.attendee_id.clone(), person.muted));
            }
            if let Some((audio, _)) = person.share {
                roster.insert(audio, presence(audio, content_of(&person.attendee_id), true));
            }
        }
        roster
    }

    /// What brings a client from `told` up to the roster.
    pub(crate) fn changes(&self, told: &BTreeMap<u32, Presence>) -> Vec<Presence> {
        let roster = self.roster();
        let gone = told.keys().filter(|audio| !roster.contains_key(audio)).map(|audio| Presence {
            audio_stream_id: Some(*audio),
            dropped: self.dropped.contains(audio).then_some(true),
            ..Presence::default()
        });
        let new = roster.iter().filter(|(audio, now)| told.get(audio) != Some(now));
        gone.chain(new.map(|(_, presence)| presence.clone())).collect()
    }

    pub(crate) fn index(&self) -> proto::Index {
        let mut index = proto::Index {
            at_capacity: Some(false),
            num_participants: u32::try_from(self.roster().len()).ok(),
            ..proto::Index::default()
        };
        for person in self.people.values() {
            for (stream, picture) in person.streams() {
                let (width, height, kbps) = picture.shape();
                let attendee_id = match picture {
                    Picture::Camera { .. } => person.attendee_id.clone(),
                    Picture::Share => content_of(&person.attendee_id),
                };
                index.sources.push(Stream {
                    stream_id: Some(stream),
                    framerate: Some(if picture == Picture::Share { 5 } else { 30 }),
                    max_bitrate_kbps: Some(kbps),
                    group_id: Some(stream / 10),
                    avg_bitrate_bps: Some(kbps * 800),
                    attendee_id: Some(attendee_id),
                    media_type: Some(proto::VIDEO),
                    external_user_id: Some(person.external_user_id.clone()),
                    width: Some(width),
                    height: Some(height),
                });
                if person.poor {
                    index.paused_at_source_ids.push(stream);
                }
            }
        }
        index.sources.sort_by_key(|stream| stream.stream_id);
        index
    }

    /// What the stream with this id shows, if it is sent.
    pub(crate) fn picture(&self, stream: u32) -> Option<Picture> {
        let mut streams = self.people.values().flat_map(Person::streams);
        streams.find(|(id, _)| *id == stream).map(|(_, picture)| picture)
    }

    /// Roster ids, each with whether it speaks.
    pub(crate) fn voices(&self) -> Vec<(u32, bool)> {
        let people = self.people.values();
        people.filter_map(|person| Some((person.audio?, person.is_heard()))).collect()
    }

    /// The looks of those who are heard.
    pub(crate) fn heard(&self) -> Vec<usize> {
        let heard = self.people.values().filter(|person| person.is_heard());
        heard.filter_map(|person| person.look).collect()
    }

    /// The data messages from this number on.
    pub(crate) fn said(&self, from: usize) -> &[Data] {
        self.said.get(from..).unwrap_or_default()
    }

    fn enter(&mut self, who: &str) -> Result<(), Refused> {
        if self.person(who)?.audio.is_some() {
            return Ok(());
        }
        let (audio, group) = (self.audio(), self.group());
        let person = self.person(who)?;
        person.audio = Some(audio);
        person.camera = person.wants_camera.then_some(group);
        Ok(())
    }

    fn go(&mut self, who: &str, dropped: bool) -> Result<(), Refused> {
        let person = self.present(who)?;
        let gone = [person.audio.take(), person.share.take().map(|(audio, _)| audio)];
        person.camera = None;
        person.speaking = false;
        if dropped {
            self.dropped.extend(gone.into_iter().flatten());
        }
        Ok(())
    }

    fn person(&mut self, who: &str) -> Result<&mut Person, Refused> {
        self.people.get_mut(who).ok_or_else(|| Refused::Stranger(who.into()))
    }

    fn present(&mut self, who: &str) -> Result<&mut Person, Refused> {
        let person = self.person(who)?;
        if person.audio.is_some() { Ok(person) } else { Err(Refused::Absent(who.into())) }
    }

    /// Ids only rise: the SDK takes the highest for the latest.
    fn audio(&mut self) -> u32 {
        self.next_audio += 1;
        self.next_audio
    }

    fn group(&mut self) -> u32 {
        self.next_group += 1;
        self.next_group
    }
}

impl Person {
    fn synthetic(meeting: &str, look: usize, participant: &Participant) -> Self {
        let external_user_id = participant.external_user_id.clone();
        Self {
            attendee_id: attendee_id(meeting, &external_user_id),
            external_user_id,
            look: Some(look),
            has_sound: participant.sound,
            muted: participant.muted,
            speaking: false,
            poor: false,
            audio: None,
            camera: None,
            share: None,
            wants_camera: participant.camera,
        }
    }

    fn is_heard(&self) -> bool {
        self.audio.is_some() && self.has_sound && self.speaking && !self.muted
    }

    /// Stream ids with what they show.
    fn streams(&self) -> Vec<(u32, Picture)> {
        let mut streams = Vec::new();
        if let (Some(look), Some(group)) = (self.look, self.camera) {
            let layers = (1..).zip(Layer::ALL);
            streams
                .extend(layers.map(|(n, layer)| (group * 10 + n, Picture::Camera { look, layer })));
        }
        if let Some((_, group)) = self.share {
            streams.push((group * 10, Picture::Share));
        }
        streams
    }
}

pub(crate) fn attendee_id(meeting: &str, external_user_id: &str) -> String {
    identity::uuid(&format!("{meeting} attendee {external_user_id}"))
}

/// The attendee id of somebody's shared screen.
fn content_of(attendee_id: &str) -> String {
    format!("{attendee_id}#content")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> Room {
        Room::new("m", &Scenario::standard(2, false))
    }

    fn act(room: &mut Room, action: &Action) {
        room.apply(action).unwrap();
    }

    fn who() -> String {
        "alice".into()
    }

    #[test]
    fn a_camera_that_comes_back_has_higher_ids() {
        let mut room = room();
        let before = room.index().sources;
        assert_eq!(before.len(), 6, "three layers of two cameras");
        act(&mut room, &Action::CameraOff { who: who() });
        assert_eq!(room.index().sources.len(), 3);
        act(&mut room, &Action::CameraOn { who: who() });
        let after = room.index().sources;
        let highest = |streams: &[Stream]| streams.iter().map(|s| s.stream_id).max().unwrap();
        assert!(highest(&after) > highest(&before));
        let groups: BTreeSet<_> = after.iter().map(|stream| stream.group_id).collect();
        assert_eq!(groups.len(), 2);
    }

    #[test]
    fn a_shared_screen_is_an_attendee_of_its_own() {
        let mut room = room();
        act(&mut room, &Action::ShareOn { who: who() });
        let index = room.index();
        let share = index.sources.iter().find(|stream| stream.width == Some(1920)).unwrap();
        assert!(share.attendee_id.as_ref().unwrap().ends_with("#content"));
        assert_eq!(room.picture(share.stream_id.unwrap()), Some(Picture::Share));
        assert_eq!(room.roster().len(), 3);
        act(&mut room, &Action::ShareOff { who: who() });
        assert_eq!(room.roster().len(), 2);
        assert_eq!(room.picture(share.stream_id.unwrap()), None);
    }

    #[test]
    fn a_client_is_told_what_has_changed_since() {
        let mut room = room();
        let told = room.roster();
        assert_eq!(room.changes(&told), []);
        assert_eq!(room.changes(&BTreeMap::new()).len(), 2, "a new client is told everything");
        act(&mut room, &Action::Mute { who: who() });
        let muted = room.changes(&told);
        assert_eq!((muted.len(), muted[0].muted), (1, Some(true)));
        act(&mut room, &Action::Drop { who: who() });
        let gone = room.changes(&told);
        assert_eq!((gone.len(), &gone[0].attendee_id, gone[0].dropped), (1, &None, Some(true)));
        act(&mut room, &Action::Leave { who: "bob".into() });
        assert_eq!(room.changes(&told).iter().filter(|p| p.dropped.is_none()).count(), 1);
    }

    #[test]
    fn only_those_who_are_there_and_not_muted_are_heard() {
        let mut room = room();
        act(&mut room, &Action::Speak { who: who() });
        assert_eq!(room.heard(), [0]);
        act(&mut room, &Action::Mute { who: who() });
        assert!(room.heard().is_empty());
        act(&mut room, &Action::Unmute { who: who() });
        act(&mut room, &Action::Leave { who: who() });
        assert!(room.heard().is_empty());
        let speak = Action::Speak { who: who() };
        assert_eq!(room.apply(&speak), Err(Refused::Absent(who())));
        let eve = Action::Leave { who: "eve".into() };
        assert_eq!(room.apply(&eve), Err(Refused::Stranger("eve".into())));
    }

    #[test]
    fn clients_are_in_the_roster_and_send_nothing() {
        let mut room = room();
        room.admit("id", "ext", false);
        assert!(room.roster().values().any(|p| p.attendee_id.as_deref() == Some("id")));
        assert_eq!(room.index().sources.len(), 6);
        room.dismiss("id");
        assert_eq!(room.roster().len(), 2);
    }
}
