//! The stop ladder: decides what a recording does next, from its start to its end.
//!
//! ```text
//!  Starting --> Recording --> Draining --> Finishing --> Closing --> Done
//!      |            |             |                         ^
//!      +------------+-------------+-------------------------+
//!       nothing was captured, or the upload failed for good
//! ```
//!
//! Pure: events and the time go in, actions and one deadline come out. It must
//! not know how an event came about, how an action is carried out, what time it
//! is, or anything about media.
//!
//! A caller gives every event to [`Machine::handle`], calls [`Machine::tick`]
//! when [`Machine::deadline`] is reached, and after either of the two carries
//! out [`Machine::poll_action`] until it is empty, also when the state is `Done`.
//!
//! | state | waits for | a stop | deadline, then |
//! |---|---|---|---|
//! | `Starting`, before `StartCapture` | `Prepared` | give up, `Closing` | failed, `Closing` |
//! | `Starting`, after `StartCapture` | `CaptureStarted` | `SendEos`, `Draining` | failed, `Closing` |
//! | `Recording` | a stop | `SendEos`, `Draining` | longest time: it is a stop |
//! | `Draining` | `EndOfStream` | nothing | `StopCapture`, `Finishing` |
//! | `Finishing` | `UploadCompleted` | nothing | `LeaveUpload`, `Closing` |
//! | `Closing` | `Closed` | nothing | `Kill`, `Done` |
//!
//! What every other event does:
//!
//! - `ForceRequested` before a stop is a stop; after it, it does what the
//!   deadline of the state would do. So each one drops one rung.
//! - `Failed` of the upload: `Closing` from any earlier state.
//! - `Failed` of capture or muxer: the end of the stream may never come, hence
//!   `StopCapture` and straight on to `Finishing`. The writer completes what it has.
//! - `Failed` of another part: a stop. Later it is only noted, because nothing
//!   that was asked for is still being filmed.
//! - `CaptureStarted` in `Draining`: the stop overtook the first picture. It is
//!   kept. `EndOfStream` is the proof that none will come any more, so only an
//!   `EndOfStream` (or the deadline) without a picture aborts the upload.
//! - `EndOfStream` that nobody asked for: a failure of capture; the media is whole.
//! - `UploadCompleted` implies `EndOfStream` where it overtakes it. It is believed
//!   until `Done`, also after `LeaveUpload`: the last request may have succeeded.
//! - Whatever is not named is late or doubled, and changes nothing.
//!
//! An event wins over a deadline that passed while it was waiting to be handled:
//! what has happened is worth more than what was late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::events::{Event, Failure, Stage, StopReason};

/// What the container may take from SIGTERM to SIGKILL: the most that ECS on
/// Fargate allows (`stopTimeout`, default 30 s). The deployment sets the same.
pub const STOP_TIMEOUT: Duration = Duration::from_mins(2);

/// What is kept free of [`STOP_TIMEOUT`] for storing the report and leaving.
pub const EXIT_MARGIN: Duration = Duration::from_secs(10);

/// What a recording is allowed to take.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The length asked for, from the first picture on.
    pub duration: Option<Duration>,
    /// The longest length allowed, from the first picture on.
    pub max_duration: Duration,
    pub budgets: Budgets,
}

/// How long each state but `Recording` may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// From the start of the process to the first picture.
    pub start: Duration,
    /// From the end of the stream asked for to the end of the stream.
    pub drain: Duration,
    /// From the end of the stream to the completed upload.
    pub finish: Duration,
    /// For letting the upload go and for ending browser, sound and display.
    pub close: Duration,
}

/// A cold Firefox on a busy host, and its driver.
const LAUNCH: Duration = Duration::from_secs(20);

impl Budgets {
    pub const DEFAULT: Self = Self {
        // A cold Firefox on a busy host takes ten seconds, joining a meeting as many.
        start: Duration::from_mins(1),
        // The encoder holds back well under a second of media.
        drain: Duration::from_secs(5),
        // All that is left. Usually one open part and those in flight, but after
        // an outage of S3 it is all that waits in the spool.
        finish: Duration::from_secs(100),
        // Firefox answers within a second; after that nothing is worth waiting for.
        close: Duration::from_secs(5),
    };

    /// For a page that may take so long to open, and once more to join a meeting, after all else.
    #[must_use]
    pub fn with_page_timeout(self, page_timeout: Duration) -> Self {
        Self { start: self.start.max(page_timeout.saturating_mul(2) + LAUNCH), ..self }
    }

    /// The longest way from a stop to the end.
    pub const fn total(&self) -> Duration {
        self.drain.saturating_add(self.finish).saturating_add(self.close)
    }

    /// Whether a stop can come to its end before the container is killed.
    pub fn fit(&self) -> bool {
        self.total().saturating_add(EXIT_MARGIN) <= STOP_TIMEOUT
    }
}

/// How far a recording has come. It only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing has been captured yet.
    Starting,
    Recording,
    /// No more media is wanted; what is in the pipeline still comes out.
    Draining,
    /// All media is with the writer, which completes the upload by itself.
    Finishing,
    /// The media is saved or given up; all that runs is being ended.
    Closing,
    Done,
}

/// What the caller has to do. Each comes at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Film the page. Answered by `CaptureStarted` or a `Failed` of capture.
    StartCapture,
    /// Let capture end after what is in it. Answered by `EndOfStream` or a
    /// `Failed` of capture.
    SendEos,
    /// Stop capture now, which ends the writer's channel too. Nothing waits for it.
    StopCapture,
    /// Send nothing more and complete nothing, but keep every part that is
    /// stored: someone else can complete the upload. Answered with `Close`.
    LeaveUpload,
    /// Remove the upload, which holds nothing. It may not even exist, or be just
    /// about to. Answered with `Close`.
    AbortUpload,
    /// End all that still runs. Answered by `Closed`.
    Close,
    /// Kill what did not end by itself. Nothing waits for it.
    Kill,
}

/// Why there is a deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineReason {
    Start,
    Duration,
    MaxDuration,
    Drain,
    Finish,
    Close,
}

/// How a recording ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// The first reason to end; later ones change nothing.
    pub end: End,
    pub media: Media,
    /// What went wrong after the end was decided, in order.
    pub problems: Vec<Problem>,
}

/// Why a recording ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Stopped(StopReason),
    Failed(Failure),
}

/// What became of the media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// None was captured, and there is no object.
    Nothing,
    /// It is in the parts of an upload that is not completed.
    UploadOpen,
    /// The object is there, but the last moments before the end are missing.
    Truncated,
    /// The object is there with all that was captured.
    Complete,
}

/// What went wrong on the way down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    Failed(Failure),
    Deadline(DeadlineReason),
    Forced,
}

impl Outcome {
    /// What the process says with its exit code. See docs/stopping.md, which
    /// also names the codes that do not come from here.
    pub fn exit_code(&self) -> u8 {
        match (&self.end, self.media) {
            (_, Media::UploadOpen) => 4,
            (_, Media::Truncated) | (End::Failed(_), Media::Complete) => 3,
            (End::Failed(_), Media::Nothing) => 1,
            (End::Stopped(_), Media::Nothing | Media::Complete) => 0,
        }
    }
}

/// Where capture stands, as far as actions and events tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capture {
    Idle,
    Starting,
    Running,
    Over,
}

/// The life of one recording.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    state: State,
    deadline: Option<(Instant, DeadlineReason)>,
    actions: VecDeque<Action>,
    capture: Capture,
    /// What would have become of the media if everything ended now.
    media: Media,
    /// Whether capture or muxer lost the last moments.
    truncated: bool,
    end: Option<End>,
    problems: Vec<Problem>,
}

impl Machine {
    /// A recording that starts `now`.
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            config,
            state: State::Starting,
            deadline: config.deadline(State::Starting, now),
            actions: VecDeque::new(),
            capture: Capture::Idle,
            media: Media::Nothing,
            truncated: false,
            end: None,
            problems: Vec::new(),
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// When to call [`Machine::tick`]. There is one in every state but `Done`.
    pub fn deadline(&self) -> Option<(Instant, DeadlineReason)> {
        self.deadline
    }

    /// What to do next, in this order.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How it ended, once it is `Done`.
    pub fn outcome(&self) -> Option<Outcome> {
        if self.state < State::Done {
            return None;
        }
        let end = self.end.clone().expect("every way to Done starts with a reason to end");
        Some(Outcome { end, media: self.media, problems: self.problems.clone() })
    }

    /// Decides on what happened, and then on a deadline that has passed meanwhile.
    pub fn handle(&mut self, now: Instant, event: Event) {
        use State::{Closing, Done, Draining, Finishing, Recording, Starting};

        match (self.state, event) {
            (Starting, Event::Prepared) if self.capture == Capture::Idle => {
                self.capture = Capture::Starting;
                self.actions.push_back(Action::StartCapture);
            }
            (Starting | Draining, Event::CaptureStarted) if self.capture == Capture::Starting => {
                self.capture = Capture::Running;
                self.media = Media::UploadOpen;
                if self.state == Starting {
                    self.enter(Recording, now);
                }
            }

            (Starting | Recording, Event::StopRequested(reason)) => {
                self.stop(End::Stopped(reason), now);
            }
            (Starting | Recording, Event::ForceRequested) => {
                self.stop(End::Stopped(StopReason::Signal), now);
            }
            (Draining, Event::ForceRequested) => self.give_up_draining(Problem::Forced, now),
            (Finishing, Event::ForceRequested) => self.give_up_finishing(Problem::Forced, now),
            (Closing, Event::ForceRequested) => self.give_up_closing(Problem::Forced, now),

            (Starting | Recording, Event::EndOfStream) if self.capture != Capture::Idle => {
                self.end = Some(ended_by_itself());
                self.capture = Capture::Over;
                self.finish(now);
            }
            (Draining, Event::EndOfStream) => {
                self.capture = Capture::Over;
                self.finish(now);
            }

            (Recording | Draining | Finishing, Event::UploadCompleted)
                if self.media == Media::UploadOpen =>
            {
                self.end.get_or_insert_with(ended_by_itself);
                self.capture = Capture::Over;
                self.completed();
                self.close(now);
            }
            (Closing, Event::UploadCompleted) if self.media == Media::UploadOpen => {
                self.completed();
            }

            (Starting | Recording | Draining | Finishing, Event::Failed(failure)) => {
                self.fail(failure, now);
            }
            (Closing, Event::Closed) => self.enter(Done, now),

            // Late or doubled. Named one by one, so that a new event has to be decided on.
            (
                _,
                Event::Prepared
                | Event::CaptureStarted
                | Event::EndOfStream
                | Event::UploadCompleted
                | Event::StopRequested(_)
                | Event::ForceRequested
                | Event::Failed(_)
                | Event::Closed,
            ) => {}
        }
        self.tick(now);
    }

    /// Goes to the next rung if the deadline has passed, else does nothing.
    pub fn tick(&mut self, now: Instant) {
        let Some((_, reason)) = self.deadline.filter(|(at, _)| *at <= now) else {
            return;
        };
        match reason {
            DeadlineReason::Start => {
                self.end = Some(End::Failed(self.late_start()));
                self.close(now);
            }
            DeadlineReason::Duration => self.stop(End::Stopped(StopReason::Duration), now),
            DeadlineReason::MaxDuration => self.stop(End::Stopped(StopReason::MaxDuration), now),
            DeadlineReason::Drain => self.give_up_draining(Problem::Deadline(reason), now),
            DeadlineReason::Finish => self.give_up_finishing(Problem::Deadline(reason), now),
            DeadlineReason::Close => self.give_up_closing(Problem::Deadline(reason), now),
        }
    }

    fn stop(&mut self, end: End, now: Instant) {
        self.end = Some(end);
        self.drain(now);
    }

    fn fail(&mut self, failure: Failure, now: Instant) {
        let stage = failure.stage;
        let ending = self.end.is_some();
        if ending {
            self.problems.push(Problem::Failed(failure));
        } else {
            self.end = Some(End::Failed(failure));
        }
        match stage {
            Stage::Upload => self.close(now),
            Stage::Capture | Stage::Mux if self.state < State::Finishing => {
                self.stop_capture();
                self.finish(now);
            }
            // What the muxer held back for the end of the file is lost.
            Stage::Mux => self.truncated = true,
            _ if ending => {}
            _ => self.drain(now),
        }
    }

    /// No more media is wanted.
    fn drain(&mut self, now: Instant) {
        if self.capture == Capture::Idle {
            self.close(now);
        } else {
            self.actions.push_back(Action::SendEos);
            self.enter(State::Draining, now);
        }
    }

    /// No more media will come.
    fn finish(&mut self, now: Instant) {
        if self.media == Media::Nothing {
            self.close(now);
        } else {
            self.enter(State::Finishing, now);
        }
    }

    /// The media is saved or given up. It is aborted only if there is none.
    fn close(&mut self, now: Instant) {
        self.stop_capture();
        match self.media {
            Media::Nothing => self.actions.push_back(Action::AbortUpload),
            Media::UploadOpen => self.actions.push_back(Action::LeaveUpload),
            Media::Truncated | Media::Complete => {}
        }
        self.actions.push_back(Action::Close);
        self.enter(State::Closing, now);
    }

    fn give_up_draining(&mut self, problem: Problem, now: Instant) {
        self.problems.push(problem);
        self.stop_capture();
        self.finish(now);
    }

    fn give_up_finishing(&mut self, problem: Problem, now: Instant) {
        self.problems.push(problem);
        self.close(now);
    }

    fn give_up_closing(&mut self, problem: Problem, now: Instant) {
        self.problems.push(problem);
        self.actions.push_back(Action::Kill);
        self.enter(State::Done, now);
    }

    /// Stops capture the hard way if it can still be running.
    fn stop_capture(&mut self) {
        if matches!(self.capture, Capture::Starting | Capture::Running) {
            self.capture = Capture::Over;
            self.truncated = true;
            self.actions.push_back(Action::StopCapture);
        }
    }

    fn completed(&mut self) {
        self.media = if self.truncated { Media::Truncated } else { Media::Complete };
    }

    fn enter(&mut self, state: State, now: Instant) {
        assert!(state > self.state, "the state only rises");
        self.state = state;
        self.deadline = self.config.deadline(state, now);
    }

    fn late_start(&self) -> Failure {
        let seconds = self.config.budgets.start.as_secs();
        if self.capture == Capture::Idle {
            Failure::new(Stage::Start, format!("the page could not be filmed within {seconds} s"))
        } else {
            Failure::new(Stage::Capture, format!("no picture was captured within {seconds} s"))
        }
    }
}

impl Config {
    /// When a state entered `now` is over. None if that is beyond what an
    /// `Instant` can hold, which no valid setting reaches.
    fn deadline(&self, state: State, now: Instant) -> Option<(Instant, DeadlineReason)> {
        let (budget, reason) = match state {
            State::Starting => (self.budgets.start, DeadlineReason::Start),
            State::Recording => match self.duration {
                Some(duration) if duration <= self.max_duration => {
                    (duration, DeadlineReason::Duration)
                }
                _ => (self.max_duration, DeadlineReason::MaxDuration),
            },
            State::Draining => (self.budgets.drain, DeadlineReason::Drain),
            State::Finishing => (self.budgets.finish, DeadlineReason::Finish),
            State::Closing => (self.budgets.close, DeadlineReason::Close),
            State::Done => return None,
        };
        Some((now.checked_add(budget)?, reason))
    }
}

fn ended_by_itself() -> End {
    End::Failed(Failure::new(Stage::Capture, "the capture ended although nobody asked for it"))
}

#[cfg(test)]
mod tests;
