//! What happens: the closed set of events that decide the life of a recording.
//!
//! Pure vocabulary. Edges (capture, browser, upload, signals) report events,
//! the machine in `recording/machine.rs` decides on them. Nothing here knows
//! how an event came about or what follows from it.

use serde::Serialize;

/// Something that happened to a recording, in the past tense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Display, sound, browser, page and upload are up; the page may be filmed.
    Prepared,
    /// The first picture of the page is on its way to the file. Reported before
    /// the writer gets it, and always before `EndOfStream`.
    CaptureStarted,
    /// The last sample of both tracks has been handed to the writer. A writer
    /// that was given no picture by then completes nothing.
    EndOfStream,
    /// Every byte is in the completed object.
    UploadCompleted,
    /// An ordinary reason to end.
    StopRequested(StopReason),
    /// A person or the platform will not wait any longer: end with what there is.
    ForceRequested,
    /// A part broke for good.
    Failed(Failure),
    /// The upload is let go if it was still open, and browser, sound and display
    /// are gone and reaped.
    Closed,
}

/// Why a recording ended although nothing broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// SIGTERM or SIGINT.
    Signal,
    /// The length asked for with `--duration` is reached.
    Duration,
    /// The longest length allowed is reached.
    MaxDuration,
    /// The page said that it is over.
    PageEnded,
    /// The meeting was ended for everybody.
    MeetingEnded,
    /// The recording's attendee was removed from the meeting.
    AttendeeRemoved,
    /// The meeting does not know the recording's join token any more.
    AuthenticationRejected,
    /// Somebody else joined with the recording's join token.
    JoinedElsewhere,
    /// The meeting takes nobody more.
    AtCapacity,
    /// Everybody has left, for longer than `--empty-timeout`.
    RoomEmpty,
    /// Nobody came, for longer than `--waiting-timeout`.
    NobodyCame,
}

/// What broke, said so that the report and the log need nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    pub stage: Stage,
    /// One sentence for a person, causes included, without secrets.
    pub message: String,
}

/// The part of the recorder that a failure belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The start as a whole: it took too long, although no part of it gave up, or could not
    /// begin.
    Start,
    Display,
    Sound,
    Browser,
    Page,
    Capture,
    Mux,
    Upload,
}

/// Who has to act on a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// Whoever asked for the recording: the address is wrong, the page is broken.
    Request,
    /// Whoever keeps the bucket.
    Destination,
    /// Whoever runs the recorder.
    Recorder,
}

impl Failure {
    #[must_use]
    pub fn new(stage: Stage, message: impl Into<String>) -> Self {
        Self { stage, message: message.into() }
    }

    #[must_use]
    pub fn blame(&self) -> Blame {
        match self.stage {
            Stage::Page => Blame::Request,
            Stage::Upload => Blame::Destination,
            Stage::Start
            | Stage::Display
            | Stage::Sound
            | Stage::Browser
            | Stage::Capture
            | Stage::Mux => Blame::Recorder,
        }
    }
}
