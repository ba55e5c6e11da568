//! The life of one recording, from nothing to the completed object.
//!
//! [`run`] is the only driver: it owns the inbox into which every edge reports,
//! gives each event to the machine (which decides), and carries out the actions
//! that come back. It is also the only place of a recording that reads the clock.
//!
//! ```text
//! signals, scene, capture, writer ──events──> inbox ──> Machine ──actions──┐
//!        ^                                                                 │
//!        └──────────────── start, end, let go, clear away <────────────────┘
//! ```

mod beside;
pub mod machine;
mod preparing;
mod rejoin;
pub mod report;
mod scene;
pub mod status;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp as Date;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use url::Url;

use crate::browser::{Films, Page};
use crate::capture::{self, Capture, Loudness, Pictures};
use crate::children::process::dropped_are_gone;
use crate::children::usage::Watch;
use crate::config::{self, Recording, Tools};
use crate::events::{Event, StopReason};
use crate::health::Health;
use crate::meeting::minutes::Chapter;
use crate::meeting::{Meeting, Noted};
use crate::mp4;
use crate::phases::Phases;
use crate::signals::Stop;
use crate::upload::store::PartStore;
use crate::upload::{self, spool};
use crate::writer::{Length, Writer, Written};

use machine::{Action, Budgets, Machine, Outcome, State};
use preparing::{Plan, Preparing, Set};
use report::{Report, Times};
use scene::{Keeper, Show};
use status::{Snapshot, StatusLine};

/// How often the cost is read and the status line is renewed.
const PULSE: Duration = Duration::from_secs(1);

/// How the recording is sent to its store.
fn upload_config<S>(setup: &Setup<'_, S>) -> upload::Config {
    let config::Durability { checkpoint, spool_memory, spool_disk } = setup.recording.durability;
    // Media leaves the encoder late and comes in fragments, and the interval may end
    // between two of them. A short one is not eaten up: it would be requests only.
    let on_the_way =
        capture::encoder_delay(setup.recording.fps, threads(setup.recording.fps)) + mp4::FRAGMENT;
    let between = |every: Duration| every.saturating_sub(on_the_way).max(every / 4);
    upload::Config {
        parts_in_flight: upload::PARTS_IN_FLIGHT,
        checkpoint: checkpoint.map(between),
        memory_bytes: spool_memory,
        spool: spool::Config { dir: setup.spool_dir.to_owned(), limit: spool_disk },
        give_up_after: upload::NEVER_GIVE_UP,
        give_up_starting_after: upload::GIVE_UP_STARTING_AFTER,
        jitter: fastrand::f64,
    }
}

/// All that a recording needs to be told.
#[derive(Debug)]
pub struct Setup<'a, S> {
    pub recording: &'a Recording,
    pub tools: &'a Tools,
    pub store: Arc<S>,
    /// An empty folder for everything the children write.
    pub dir: &'a Path,
    /// Where media waits that the store does not take; it outlives the process if
    /// the store never takes it.
    pub spool_dir: &'a Path,
    /// When the process started.
    pub started: Instant,
    pub status: StatusLine,
    /// Where it is told that the recording is well.
    pub health: Option<Health>,
}

/// What is filmed.
#[derive(Debug)]
pub enum Shown {
    /// Any page, by its address.
    Page(Url),
    Meeting(Meeting),
}

/// Records, and tells how it went. `stops` is the caller's, so that a test can
/// stop a recording without a signal.
pub async fn run<S: PartStore>(
    mut setup: Setup<'_, S>,
    shown: Shown,
    mut stops: mpsc::UnboundedReceiver<Stop>,
) -> Report {
    let now = Instant::now();
    let mut driver = Driver::begin(&setup, shown);
    let mut machine = Machine::new(
        machine::Config {
            duration: setup.recording.duration,
            max_duration: setup.recording.max_duration,
            budgets: Budgets::DEFAULT.with_page_timeout(setup.recording.page_timeout),
        },
        now,
    );
    let mut pulse = interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while let Some(action) = machine.poll_action() {
            tracing::debug!(?action, state = ?machine.state(), "action");
            driver.perform(action);
        }
        let Some((deadline, reason)) = machine.deadline() else { break };
        let before = machine.state();
        let event = tokio::select! {
            event = driver.event() => Some(event),
            Some(stop) = stops.recv() => Some(match stop {
                Stop::Finish => Event::StopRequested(StopReason::Signal),
                Stop::Force => Event::ForceRequested,
            }),
            _ = pulse.tick() => {
                let snapshot = driver.snapshot(before);
                setup.status.show(&snapshot);
                if let Some(health) = &mut setup.health {
                    health.tell(&snapshot);
                }
                continue;
            }
            () = sleep_until(deadline.into()) => {
                tracing::info!(?reason, "a deadline has passed");
                None
            }
        };
        let now = Instant::now();
        match event {
            Some(event) => {
                tracing::debug!(?event, state = ?before, "event");
                let happened = driver.note(&event, now);
                machine.handle(happened, event);
            }
            None => machine.tick(now),
        }
        if machine.state() != before {
            driver.risen(machine.state(), now);
        }
    }
    setup.status.clear();
    let outcome = machine.outcome().expect("a machine without a deadline is done");
    let (mut report, chapters) = driver.report(&setup, outcome).await;
    tokio::join!(
        // What they write to is cleared away next.
        dropped_are_gone(Budgets::DEFAULT.close),
        beside::store(&*setup.store, &mut report, chapters),
    );
    report
}

/// The parts of a recording, each where it is at the moment.
#[derive(Debug)]
struct Driver<S> {
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    preparing: Option<Preparing<S>>,
    /// What the page of a meeting has told.
    noted: Option<Noted>,
    /// How the films of any other page fare.
    films: Option<watch::Sender<Films>>,
    keeper: Option<Keeper>,
    capture: Option<Capture>,
    writer: Option<Writer>,
    /// The upload is not to be kept, because nothing is in it.
    abort: bool,
    closing: Option<JoinHandle<()>>,
    /// What the writer left, as soon as that is known: it is told also if the rest of the closing
    /// has to be killed.
    written: Option<oneshot::Receiver<Written>>,
    watch: Watch,
    phases: Phases,
    marks: Marks,
    last: Last,
}

/// The instants of a recording.
#[derive(Debug)]
struct Marks {
    started_at: Date,
    prepared: Option<Instant>,
    first_frame: Option<Instant>,
    first_frame_at: Option<Date>,
    stopped: Option<Instant>,
    completed: Option<Instant>,
}

/// The latest readings, which outlive what was read.
#[derive(Clone, Copy, Debug, Default)]
struct Last {
    pictures: Pictures,
    sound_gaps: u64,
    loudness: Loudness,
    length: Length,
    upload: upload::Progress,
}

impl<S: PartStore> Driver<S> {
    fn begin(setup: &Setup<'_, S>, shown: Shown) -> Self {
        let (events, inbox) = mpsc::unbounded_channel();
        let recording = setup.recording;
        let (url, meeting) = match shown {
            Shown::Page(url) => (url, None),
            Shown::Meeting(mut meeting) => (meeting.open(), Some(meeting)),
        };
        let noted = meeting.as_ref().map(Meeting::noted);
        // A meeting's page keeps its pictures away from the browser's turns itself.
        let films = noted.is_none().then(watch::Sender::<Films>::default);
        let page = Page {
            url,
            size: recording.size,
            timeout: recording.page_timeout,
            is_live: noted.is_some(),
            films: films.clone(),
            await_start_marker: recording.await_start_marker && noted.is_none(),
            frame_rate: recording.fps,
        };
        let phases = Phases::since(setup.started);
        phases.first("set-up");
        let (tools, dir) = (setup.tools.clone(), setup.dir.to_owned());
        let plan = Plan {
            show: Show { tools, dir, page, meeting, phases: phases.clone() },
            fps: recording.fps,
            encoder: recording.encoder,
            threads: threads(recording.fps),
        };
        let store = Arc::clone(&setup.store);
        let mut watch = Watch::new();
        watch.add_self();
        Self {
            preparing: Some(Preparing::begin(plan, store, upload_config(setup), events.clone())),
            events,
            inbox,
            noted,
            films,
            keeper: None,
            capture: None,
            writer: None,
            abort: false,
            closing: None,
            written: None,
            watch,
            phases,
            marks: Marks {
                started_at: Date::now(),
                prepared: None,
                first_frame: None,
                first_frame_at: None,
                stopped: None,
                completed: None,
            },
            last: Last::default(),
        }
    }

    /// What comes next, from whichever edge.
    async fn event(&mut self) -> Event {
        let Self { inbox, preparing, .. } = self;
        let prepared = async {
            match preparing {
                Some(preparing) => preparing.event().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(event) = inbox.recv() => event,
            event = prepared => event,
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::StartCapture => self.start_capture(),
            Action::SendEos => {
                if let Some(capture) = &self.capture {
                    capture.send_eos();
                }
                if let Some(keeper) = &mut self.keeper {
                    keeper.rest();
                }
            }
            Action::StopCapture => {
                self.read();
                if let Some(capture) = self.capture.take() {
                    // Whether it ends in order is of no interest any more.
                    tokio::spawn(preparing::clear_capture(capture));
                }
            }
            Action::LeaveUpload => self.abort = false,
            Action::AbortUpload => self.abort = true,
            Action::Close => self.close(),
            Action::Kill => {
                if let Some(closing) = &self.closing {
                    closing.abort();
                }
            }
        }
    }

    fn start_capture(&mut self) {
        let prepared = self.preparing.take().and_then(|mut preparing| preparing.take());
        let (upload, set) = prepared.expect("capture starts when everything is prepared");
        let Set { mut scene, capture, media } = set;
        for (name, group) in scene.groups() {
            self.watch.add(name, group);
        }
        let created = u64::try_from(Date::now().as_second()).unwrap_or_default();
        capture.start();
        self.keeper = Some(scene.keep(capture.curtain(), self.events.clone()));
        self.writer = Some(Writer::start(media, upload, created, self.events.clone()));
        self.capture = Some(capture);
    }

    /// Lets the upload go and clears everything away, beside the driver.
    fn close(&mut self) {
        self.read();
        let (preparing, keeper) = (self.preparing.take(), self.keeper.take());
        let (capture, writer) = (self.capture.take(), self.writer.take());
        let (events, abort) = (self.events.clone(), self.abort);
        let (left, written) = oneshot::channel();
        self.written = Some(written);
        self.closing = Some(tokio::spawn(async move {
            if let Some(capture) = capture {
                preparing::clear_capture(capture).await;
            }
            let write = async {
                let written = match writer {
                    // A completed upload is past both.
                    Some(writer) if abort => writer.abort().await,
                    Some(writer) => writer.leave().await,
                    None => Written::default(),
                };
                // Nobody listens where the process has to leave.
                let _ = left.send(written);
            };
            // At once: what is written may take all the time that there is.
            let clear = async {
                if let Some(preparing) = preparing {
                    preparing.clear().await;
                }
                if let Some(keeper) = keeper {
                    keeper.clear().await;
                }
            };
            tokio::join!(write, clear);
            // The recording is over when nobody listens any more.
            let _ = events.send(Event::Closed);
        }));
    }

    /// Takes the readings of this moment.
    fn read(&mut self) {
        while let Some((name, group)) = self.keeper.as_mut().and_then(Keeper::new_group) {
            self.watch.add(name, group);
        }
        self.watch.sample();
        if let Some(capture) = &self.capture {
            self.last.pictures = capture.pictures();
            self.last.sound_gaps = capture.sound_gaps();
            self.last.loudness = capture.loudness();
        }
        if let Some(writer) = &self.writer {
            self.last.length = writer.length();
            self.last.upload = writer.progress();
        }
    }

    /// Remembers when the moments of the report were. Returns when it happened,
    /// which for a picture that went through the encoder was before `now`.
    fn note(&mut self, event: &Event, now: Instant) -> Instant {
        match event {
            Event::Prepared => self.marks.prepared = Some(now),
            Event::CaptureStarted => {
                self.read();
                let age = match (&self.capture, self.last.length.origin) {
                    (Some(capture), Some(origin)) => capture.age(origin),
                    _ => Duration::ZERO,
                };
                self.marks.first_frame = now.checked_sub(age);
                self.marks.first_frame_at = Date::now().checked_sub(age).ok();
                return self.marks.first_frame.unwrap_or(now);
            }
            Event::UploadCompleted => self.marks.completed = Some(now),
            _ => {}
        }
        now
    }

    fn risen(&mut self, state: State, now: Instant) {
        tracing::info!(?state, "recording");
        if state > State::Recording {
            self.marks.stopped.get_or_insert(now);
        }
    }

    fn snapshot(&mut self, state: State) -> Snapshot {
        self.read();
        Snapshot {
            state,
            length: self.last.length.media,
            bytes: self.last.upload.bytes_accepted,
            pictures: self.last.pictures,
            loudness: self.last.loudness.now,
        }
    }

    async fn report(
        mut self,
        setup: &Setup<'_, S>,
        outcome: Outcome,
    ) -> (Report, Option<Vec<Chapter>>) {
        if let Some(closing) = self.closing.take() {
            // One that had to be killed has said why.
            let _ = closing.await;
        }
        let written = self.written.take().and_then(|mut written| written.try_recv().ok());
        let written = written.unwrap_or_default();
        let Last { pictures, sound_gaps, loudness, length, upload } = self.last;
        let marks = &self.marks;
        let since = |later: Option<Instant>, earlier: Option<Instant>| {
            Some(report::seconds(later?.saturating_duration_since(earlier?)))
        };
        let started = Some(setup.started);
        let last = marks.stopped.unwrap_or_else(Instant::now);
        let mut meeting =
            self.noted.as_ref().map(|noted| noted.account(marks.first_frame.unwrap_or(last), last));
        let chapters = meeting.as_mut().map(|meeting| std::mem::take(&mut meeting.chapters));
        let object = setup.store.object();
        let report = Report {
            version: report::VERSION,
            recorder: env!("CARGO_PKG_VERSION"),
            exit_code: outcome.exit_code(),
            blame: report::blame(&outcome),
            object: report::Object::new(object, written),
            duration_seconds: if length.video_samples == 0 {
                0.0
            } else {
                // The last picture is shown for one slot.
                report::seconds(length.media + Duration::from_secs(1) / setup.recording.fps)
            },
            times: Times {
                started_at: report::instant(marks.started_at),
                ended_at: report::instant(Date::now()),
                first_frame_at: marks.first_frame_at.map(report::instant),
                ready_after_seconds: since(marks.prepared, started),
                first_frame_after_seconds: since(marks.first_frame, started),
                stop_seconds: since(marks.completed, marks.stopped),
                phases: self.phases.begun_by(marks.prepared.unwrap_or(last)),
            },
            pictures,
            films: self.films.as_ref().map(|films| *films.borrow()),
            sound: report::Sound {
                frames: length.audio_samples,
                gaps: sound_gaps,
                peak_db: loudness.highest.filter(|peak| peak.is_finite()),
            },
            upload: report::Upload::new(upload),
            usage: self.watch.usage(),
            meeting,
            outcome,
        };
        (report, chapters)
    }
}

/// Threads of the encoder, by the processors that this process may use: a container's quota makes them
/// fewer than the host has.
pub(crate) fn threads(fps: u32) -> u32 {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    capture::threads(fps, u32::try_from(count).unwrap_or(1))
}
