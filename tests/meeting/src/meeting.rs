//! One meeting: its room, its clock, its clients, and what is done to their
//! connections.
//!
//! Whatever changes wakes every client's session, which then asks. It must not
//! know the wire.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::clips::{Clip, Library, Picture};
use crate::media::Counts;
use crate::proto::{Data, Index, Presence};
use crate::room::{Refused, Room};
use crate::scenario::{Action, Scenario};
use crate::sound::Sound;

/// Statuses of the audio connection, which is how a meeting says that it is over.
const MEETING_ENDED: u32 = 410;
const REMOVED: u32 = 411;

/// How exactly steps of the scenario are on time.
const STEP: Duration = Duration::from_millis(20);

/// Packets of sound that a client may be behind.
const SOUND_IN_TRANSIT: usize = 50;

/// Streams by what they show.
pub(crate) type Clips = BTreeMap<Picture, Arc<Clip>>;

#[derive(Debug)]
pub(crate) struct Meeting {
    begun: Instant,
    state: Mutex<State>,
    changed: watch::Sender<()>,
    sound: broadcast::Sender<Bytes>,
    clips: Mutex<Clips>,
    conductor: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct State {
    room: Room,
    scenario: Scenario,
    /// When the scenario started.
    started: Option<Instant>,
    clients: BTreeMap<String, Connection>,
    ended: bool,
    stalled_until: Option<Instant>,
    closed_until: Option<Instant>,
}

/// The latest connection of an attendee.
#[derive(Debug)]
struct Connection {
    generation: u64,
    is_open: bool,
    is_cut: bool,
    status: Option<u32>,
    counts: Counts,
    streams: Vec<u32>,
}

/// A session's claim to be its attendee's connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    attendee_id: String,
    generation: u64,
}

/// What a session has to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Its connection ends without a word.
    pub(crate) is_cut: bool,
    pub(crate) is_stalled: bool,
    pub(crate) status: Option<u32>,
}

impl Meeting {
    /// Begins at once; the scenario waits for [`Self::start`].
    pub(crate) fn begin(id: &str, scenario: Scenario, clips: Clips, sound: Sound) -> Arc<Self> {
        let meeting = Arc::new(Self {
            begun: Instant::now(),
            state: Mutex::new(State {
                room: Room::new(id, &scenario),
                scenario,
                started: None,
                clients: BTreeMap::new(),
                ended: false,
                stalled_until: None,
                closed_until: None,
            }),
            changed: watch::Sender::new(()),
            sound: broadcast::Sender::new(SOUND_IN_TRANSIT),
            clips: Mutex::new(clips),
            conductor: Mutex::new(None),
        });
        let conductor = tokio::spawn(conduct(Arc::clone(&meeting), sound));
        *lock(&meeting.conductor) = Some(conductor);
        meeting
    }

    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Whether connections are taken at the moment.
    pub(crate) fn is_open(&self) -> bool {
        self.state().closed_until.is_none_or(|until| until <= Instant::now())
    }

    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(crate) fn sound(&self) -> broadcast::Receiver<Bytes> {
        self.sound.subscribe()
    }

    /// The first client is connected: the scenario starts, once.
    pub(crate) fn start(&self) {
        self.state().started.get_or_insert_with(Instant::now);
    }

    /// Takes a client in; an earlier connection of the same attendee is cut.
    pub(crate) fn admit(&self, attendee_id: &str, external_user_id: &str) -> Client {
        let mut state = self.state();
        let generation = state.clients.get(attendee_id).map_or(0, |one| one.generation + 1);
        let connection = Connection {
            generation,
            is_open: true,
            is_cut: false,
            status: None,
            counts: Counts::default(),
            streams: Vec::new(),
        };
        state.clients.insert(attendee_id.into(), connection);
        state.room.admit(attendee_id, external_user_id, false);
        drop(state);
        self.wake();
        Client { attendee_id: attendee_id.into(), generation }
    }

    pub(crate) fn dismiss(&self, client: &Client) {
        let mut state = self.state();
        if let Some(connection) = state.connection(client) {
            connection.is_open = false;
            connection.streams.clear();
            state.room.dismiss(&client.attendee_id);
        }
        drop(state);
        self.wake();
    }

    pub(crate) fn told(&self, client: &Client) -> Told {
        let mut state = self.state();
        let is_stalled = state.stalled_until.is_some_and(|until| until > Instant::now());
        match state.connection(client) {
            Some(connection) => {
                Told { is_cut: connection.is_cut, is_stalled, status: connection.status }
            }
            None => Told { is_cut: true, is_stalled, status: None },
        }
    }

    /// What was sent to a client, and the streams of pictures that it is sent now.
    pub(crate) fn count(&self, client: &Client, counts: Counts, streams: Vec<u32>) {
        if let Some(connection) = self.state().connection(client) {
            connection.counts = counts;
            connection.streams = streams;
        }
    }

    pub(crate) fn index(&self) -> Index {
        self.state().room.index()
    }

    /// What has changed in the roster, and the roster.
    pub(crate) fn roster_since(
        &self,
        told: &BTreeMap<u32, Presence>,
    ) -> (Vec<Presence>, BTreeMap<u32, Presence>) {
        let state = self.state();
        (state.room.changes(told), state.room.roster())
    }

    pub(crate) fn said(&self, from: usize) -> Vec<Data> {
        self.state().room.said(from).to_vec()
    }

    pub(crate) fn voices(&self) -> Vec<(u32, bool)> {
        self.state().room.voices()
    }

    pub(crate) fn clip(&self, stream: u32) -> Option<Arc<Clip>> {
        let picture = self.state().room.picture(stream)?;
        lock(&self.clips).get(&picture).cloned()
    }

    /// Does what the scenario or the control API says.
    pub(crate) fn apply(&self, action: &Action) -> Result<(), Refused> {
        let mut state = self.state();
        state.room.apply(action)?;
        let in_seconds = |seconds: f64| {
            let wait = Duration::try_from_secs_f64(seconds).unwrap_or_default();
            Some(Instant::now() + wait)
        };
        match action {
            Action::EndMeeting => {
                state.ended = true;
                state.tell(MEETING_ENDED);
            }
            Action::Remove => state.tell(REMOVED),
            Action::Status { status } => state.tell(*status),
            Action::StallMedia { seconds } => state.stalled_until = in_seconds(*seconds),
            Action::DropSignaling => state.cut(),
            Action::RestartServer { seconds } => {
                state.closed_until = in_seconds(*seconds);
                state.cut();
            }
            _ => {}
        }
        drop(state);
        tracing::info!(?action, "test meeting");
        self.wake();
        Ok(())
    }

    /// Removes one client.
    pub(crate) fn remove(&self, attendee_id: &str) {
        if let Some(connection) = self.state().clients.get_mut(attendee_id) {
            connection.status = Some(REMOVED);
        }
        self.wake();
    }

    /// For those who ask how it goes.
    pub(crate) fn described(&self) -> Value {
        let state = self.state();
        let clients: Vec<_> = state
            .clients
            .iter()
            .map(|(attendee_id, client)| {
                let pictures = client.streams.iter().filter_map(|id| state.room.picture(*id));
                json!({
                    "attendeeId": attendee_id,
                    "connected": client.is_open,
                    "reconnects": client.generation,
                    "packets": client.counts.packets,
                    "keyFrameRequests": client.counts.key_frame_requests,
                    "pictureWidths": pictures.map(|one| one.shape().0).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "ended": state.ended,
            "seconds": state.started.map(|started| started.elapsed().as_secs_f64()),
            "attendees": state.room.roster().len(),
            "clients": clients,
        })
    }

    pub(crate) fn end(&self) {
        if let Some(conductor) = lock(&self.conductor).take() {
            conductor.abort();
        }
        let mut state = self.state();
        state.ended = true;
        state.cut();
        drop(state);
        self.wake();
    }

    fn wake(&self) {
        self.changed.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// `None` for a session whose attendee has connected anew.
    fn connection(&mut self, client: &Client) -> Option<&mut Connection> {
        let connection = self.clients.get_mut(&client.attendee_id)?;
        (connection.generation == client.generation).then_some(connection)
    }

    fn tell(&mut self, status: u32) {
        for connection in self.clients.values_mut() {
            connection.status = Some(status);
        }
    }

    fn cut(&mut self) {
        for connection in self.clients.values_mut() {
            connection.is_cut = true;
        }
    }
}

/// Plays the scenario and the sound until the meeting's end.
async fn conduct(meeting: Arc<Meeting>, mut sound: Sound) {
    let mut pulse = interval(STEP);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut played = Duration::ZERO;
    loop {
        pulse.tick().await;
        let (due, heard) = {
            let state = meeting.state();
            let now = state.started.map(|started| started.elapsed()).unwrap_or_default();
            let due = state.scenario.due(played, now);
            played = now;
            (due, state.room.heard())
        };
        for action in due {
            if let Err(error) = meeting.apply(&action) {
                tracing::warn!(%error, ?action, "a step of the scenario was left out");
            }
        }
        if meeting.sound.receiver_count() == 0 {
            sound.skip();
            continue;
        }
        match sound.packet(&heard) {
            // The last client may just have left.
            Ok(packet) => drop(meeting.sound.send(packet)),
            Err(error) => {
                tracing::error!(%error, "the test meeting has lost its sound");
                return;
            }
        }
    }
}

/// All clips that a scenario can show.
pub(crate) fn clips_of(
    library: &Library,
    scenario: &Scenario,
) -> Result<Clips, crate::clips::Error> {
    let cameras = (0..scenario.participants.len())
        .flat_map(|look| crate::room::Layer::ALL.map(|layer| Picture::Camera { look, layer }));
    let pictures = cameras.chain([Picture::Share]);
    pictures.map(|picture| Ok((picture, library.clip(picture)?))).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
