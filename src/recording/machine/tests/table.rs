//! The ladder as a table: every event in every state.

use super::*;
use Action::{AbortUpload, Close, Kill, LeaveUpload, SendEos, StartCapture, StopCapture};
use State::{Closing, Done, Draining, Finishing, Recording, Starting};

/// Where the ladder can stand. Finer than `State` where that decides what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Starting, before `StartCapture`.
    Preparing,
    /// Starting, after `StartCapture`.
    Asked,
    Filming,
    /// Draining without a picture so far.
    DrainingNone,
    Draining,
    Finishing,
    /// Closing with a completed upload.
    ClosingSaved,
    /// Closing with an upload left open.
    ClosingLeft,
    /// Closing without media.
    ClosingNone,
    Done,
}

impl At {
    const ALL: [Self; 10] = [
        Self::Preparing,
        Self::Asked,
        Self::Filming,
        Self::DrainingNone,
        Self::Draining,
        Self::Finishing,
        Self::ClosingSaved,
        Self::ClosingLeft,
        Self::ClosingNone,
        Self::Done,
    ];

    fn way(self) -> Vec<Event> {
        use Event::{CaptureStarted, Closed, EndOfStream, Prepared, UploadCompleted};
        match self {
            Self::Preparing => vec![],
            Self::Asked => vec![Prepared],
            Self::Filming => vec![Prepared, CaptureStarted],
            Self::DrainingNone => vec![Prepared, SIGNAL],
            Self::Draining => vec![Prepared, CaptureStarted, SIGNAL],
            Self::Finishing => vec![Prepared, CaptureStarted, SIGNAL, EndOfStream],
            Self::ClosingSaved => {
                vec![Prepared, CaptureStarted, SIGNAL, EndOfStream, UploadCompleted]
            }
            Self::ClosingLeft => vec![Prepared, CaptureStarted, failed(Stage::Upload)],
            Self::ClosingNone => vec![SIGNAL],
            Self::Done => vec![SIGNAL, Closed],
        }
    }
}

/// What can happen. `Page` stands for every part whose failure does not stop the
/// media itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Prepared,
    CaptureStarted,
    EndOfStream,
    UploadCompleted,
    Stop,
    Force,
    PageFailed,
    CaptureFailed,
    MuxFailed,
    UploadFailed,
    Closed,
    Deadline,
}

impl On {
    const ALL: [Self; 12] = [
        Self::Prepared,
        Self::CaptureStarted,
        Self::EndOfStream,
        Self::UploadCompleted,
        Self::Stop,
        Self::Force,
        Self::PageFailed,
        Self::CaptureFailed,
        Self::MuxFailed,
        Self::UploadFailed,
        Self::Closed,
        Self::Deadline,
    ];

    fn event(self) -> Option<Event> {
        Some(match self {
            Self::Prepared => Event::Prepared,
            Self::CaptureStarted => Event::CaptureStarted,
            Self::EndOfStream => Event::EndOfStream,
            Self::UploadCompleted => Event::UploadCompleted,
            Self::Stop => SIGNAL,
            Self::Force => Event::ForceRequested,
            Self::PageFailed => failed(Stage::Page),
            Self::CaptureFailed => failed(Stage::Capture),
            Self::MuxFailed => failed(Stage::Mux),
            Self::UploadFailed => failed(Stage::Upload),
            Self::Closed => Event::Closed,
            Self::Deadline => return None,
        })
    }
}

const ABORT: &[Action] = &[AbortUpload, Close];
const STOP_ABORT: &[Action] = &[StopCapture, AbortUpload, Close];
const LEAVE: &[Action] = &[LeaveUpload, Close];
const STOP_LEAVE: &[Action] = &[StopCapture, LeaveUpload, Close];

/// One line per transition: where, what happens, where to, what to do.
const TABLE: &[(At, On, State, &[Action])] = &[
    (At::Preparing, On::Prepared, Starting, &[StartCapture]),
    (At::Preparing, On::CaptureStarted, Starting, &[]),
    (At::Preparing, On::EndOfStream, Starting, &[]),
    (At::Preparing, On::UploadCompleted, Starting, &[]),
    (At::Preparing, On::Stop, Closing, ABORT),
    (At::Preparing, On::Force, Closing, ABORT),
    (At::Preparing, On::PageFailed, Closing, ABORT),
    (At::Preparing, On::CaptureFailed, Closing, ABORT),
    (At::Preparing, On::MuxFailed, Closing, ABORT),
    (At::Preparing, On::UploadFailed, Closing, ABORT),
    (At::Preparing, On::Closed, Starting, &[]),
    (At::Preparing, On::Deadline, Closing, ABORT),
    (At::Asked, On::Prepared, Starting, &[]),
    (At::Asked, On::CaptureStarted, Recording, &[]),
    (At::Asked, On::EndOfStream, Closing, ABORT),
    (At::Asked, On::UploadCompleted, Starting, &[]),
    (At::Asked, On::Stop, Draining, &[SendEos]),
    (At::Asked, On::Force, Draining, &[SendEos]),
    (At::Asked, On::PageFailed, Draining, &[SendEos]),
    (At::Asked, On::CaptureFailed, Closing, STOP_ABORT),
    (At::Asked, On::MuxFailed, Closing, STOP_ABORT),
    (At::Asked, On::UploadFailed, Closing, STOP_ABORT),
    (At::Asked, On::Closed, Starting, &[]),
    (At::Asked, On::Deadline, Closing, STOP_ABORT),
    (At::Filming, On::Prepared, Recording, &[]),
    (At::Filming, On::CaptureStarted, Recording, &[]),
    (At::Filming, On::EndOfStream, Finishing, &[]),
    (At::Filming, On::UploadCompleted, Closing, &[Close]),
    (At::Filming, On::Stop, Draining, &[SendEos]),
    (At::Filming, On::Force, Draining, &[SendEos]),
    (At::Filming, On::PageFailed, Draining, &[SendEos]),
    (At::Filming, On::CaptureFailed, Finishing, &[StopCapture]),
    (At::Filming, On::MuxFailed, Finishing, &[StopCapture]),
    (At::Filming, On::UploadFailed, Closing, STOP_LEAVE),
    (At::Filming, On::Closed, Recording, &[]),
    (At::Filming, On::Deadline, Draining, &[SendEos]),
    (At::DrainingNone, On::Prepared, Draining, &[]),
    (At::DrainingNone, On::CaptureStarted, Draining, &[]),
    (At::DrainingNone, On::EndOfStream, Closing, ABORT),
    (At::DrainingNone, On::UploadCompleted, Draining, &[]),
    (At::DrainingNone, On::Stop, Draining, &[]),
    (At::DrainingNone, On::Force, Closing, STOP_ABORT),
    (At::DrainingNone, On::PageFailed, Draining, &[]),
    (At::DrainingNone, On::CaptureFailed, Closing, STOP_ABORT),
    (At::DrainingNone, On::MuxFailed, Closing, STOP_ABORT),
    (At::DrainingNone, On::UploadFailed, Closing, STOP_ABORT),
    (At::DrainingNone, On::Closed, Draining, &[]),
    (At::DrainingNone, On::Deadline, Closing, STOP_ABORT),
    (At::Draining, On::Prepared, Draining, &[]),
    (At::Draining, On::CaptureStarted, Draining, &[]),
    (At::Draining, On::EndOfStream, Finishing, &[]),
    (At::Draining, On::UploadCompleted, Closing, &[Close]),
    (At::Draining, On::Stop, Draining, &[]),
    (At::Draining, On::Force, Finishing, &[StopCapture]),
    (At::Draining, On::PageFailed, Draining, &[]),
    (At::Draining, On::CaptureFailed, Finishing, &[StopCapture]),
    (At::Draining, On::MuxFailed, Finishing, &[StopCapture]),
    (At::Draining, On::UploadFailed, Closing, STOP_LEAVE),
    (At::Draining, On::Closed, Draining, &[]),
    (At::Draining, On::Deadline, Finishing, &[StopCapture]),
    (At::Finishing, On::Prepared, Finishing, &[]),
    (At::Finishing, On::CaptureStarted, Finishing, &[]),
    (At::Finishing, On::EndOfStream, Finishing, &[]),
    (At::Finishing, On::UploadCompleted, Closing, &[Close]),
    (At::Finishing, On::Stop, Finishing, &[]),
    (At::Finishing, On::Force, Closing, LEAVE),
    (At::Finishing, On::PageFailed, Finishing, &[]),
    (At::Finishing, On::CaptureFailed, Finishing, &[]),
    (At::Finishing, On::MuxFailed, Finishing, &[]),
    (At::Finishing, On::UploadFailed, Closing, LEAVE),
    (At::Finishing, On::Closed, Finishing, &[]),
    (At::Finishing, On::Deadline, Closing, LEAVE),
    (At::ClosingSaved, On::Prepared, Closing, &[]),
    (At::ClosingSaved, On::CaptureStarted, Closing, &[]),
    (At::ClosingSaved, On::EndOfStream, Closing, &[]),
    (At::ClosingSaved, On::UploadCompleted, Closing, &[]),
    (At::ClosingSaved, On::Stop, Closing, &[]),
    (At::ClosingSaved, On::Force, Done, &[Kill]),
    (At::ClosingSaved, On::PageFailed, Closing, &[]),
    (At::ClosingSaved, On::CaptureFailed, Closing, &[]),
    (At::ClosingSaved, On::MuxFailed, Closing, &[]),
    (At::ClosingSaved, On::UploadFailed, Closing, &[]),
    (At::ClosingSaved, On::Closed, Done, &[]),
    (At::ClosingSaved, On::Deadline, Done, &[Kill]),
    (At::ClosingLeft, On::Prepared, Closing, &[]),
    (At::ClosingLeft, On::CaptureStarted, Closing, &[]),
    (At::ClosingLeft, On::EndOfStream, Closing, &[]),
    (At::ClosingLeft, On::UploadCompleted, Closing, &[]),
    (At::ClosingLeft, On::Stop, Closing, &[]),
    (At::ClosingLeft, On::Force, Done, &[Kill]),
    (At::ClosingLeft, On::PageFailed, Closing, &[]),
    (At::ClosingLeft, On::CaptureFailed, Closing, &[]),
    (At::ClosingLeft, On::MuxFailed, Closing, &[]),
    (At::ClosingLeft, On::UploadFailed, Closing, &[]),
    (At::ClosingLeft, On::Closed, Done, &[]),
    (At::ClosingLeft, On::Deadline, Done, &[Kill]),
    (At::ClosingNone, On::Prepared, Closing, &[]),
    (At::ClosingNone, On::CaptureStarted, Closing, &[]),
    (At::ClosingNone, On::EndOfStream, Closing, &[]),
    (At::ClosingNone, On::UploadCompleted, Closing, &[]),
    (At::ClosingNone, On::Stop, Closing, &[]),
    (At::ClosingNone, On::Force, Done, &[Kill]),
    (At::ClosingNone, On::PageFailed, Closing, &[]),
    (At::ClosingNone, On::CaptureFailed, Closing, &[]),
    (At::ClosingNone, On::MuxFailed, Closing, &[]),
    (At::ClosingNone, On::UploadFailed, Closing, &[]),
    (At::ClosingNone, On::Closed, Done, &[]),
    (At::ClosingNone, On::Deadline, Done, &[Kill]),
    (At::Done, On::Prepared, Done, &[]),
    (At::Done, On::CaptureStarted, Done, &[]),
    (At::Done, On::EndOfStream, Done, &[]),
    (At::Done, On::UploadCompleted, Done, &[]),
    (At::Done, On::Stop, Done, &[]),
    (At::Done, On::Force, Done, &[]),
    (At::Done, On::PageFailed, Done, &[]),
    (At::Done, On::CaptureFailed, Done, &[]),
    (At::Done, On::MuxFailed, Done, &[]),
    (At::Done, On::UploadFailed, Done, &[]),
    (At::Done, On::Closed, Done, &[]),
    (At::Done, On::Deadline, Done, &[]),
];

#[test]
fn every_event_in_every_state_leads_where_the_table_says() {
    for (at, on, state, actions) in TABLE {
        let now = Instant::now();
        let (mut machine, _) = after(CONFIG, now, &at.way());
        match on.event() {
            Some(event) => machine.handle(now, event),
            None => machine.tick(machine.deadline().map_or(now, |(deadline, _)| deadline)),
        }
        assert_eq!(machine.state(), *state, "{at:?} on {on:?}");
        assert_eq!(drain(&mut machine), *actions, "{at:?} on {on:?}");
    }
}

#[test]
fn the_table_has_one_line_for_every_event_in_every_state() {
    for at in At::ALL {
        for on in On::ALL {
            let lines = TABLE.iter().filter(|line| (line.0, line.1) == (at, on)).count();
            assert_eq!(lines, 1, "{at:?} on {on:?}");
        }
    }
}

#[test]
fn every_part_beside_the_media_fails_like_the_page() {
    for at in At::ALL {
        for stage in [Stage::Start, Stage::Display, Stage::Sound, Stage::Browser] {
            let now = Instant::now();
            let fail = |stage| {
                let (mut machine, _) = after(CONFIG, now, &at.way());
                machine.handle(now, failed(stage));
                (machine.state(), drain(&mut machine))
            };
            assert_eq!(fail(stage), fail(Stage::Page), "{at:?} on {stage:?}");
        }
    }
}
