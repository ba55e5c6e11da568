//! Whole lives of a recording, and what the tests of the machine share.

use serde_json::json;

use super::*;

mod any_order;
mod table;

const DURATION: Duration = Duration::from_secs(20);
const CONFIG: Config = Config {
    duration: Some(DURATION),
    max_duration: Duration::from_hours(12),
    budgets: Budgets::DEFAULT,
};
const SIGNAL: Event = Event::StopRequested(StopReason::Signal);

const DRAINING: [Event; 3] = [Event::Prepared, Event::CaptureStarted, SIGNAL];

fn failed(stage: Stage) -> Event {
    Event::Failed(Failure::new(stage, "it broke"))
}

fn drain(machine: &mut Machine) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action()).collect()
}

/// A machine that has heard `events`, all in the same instant, and the actions since.
fn after(config: Config, now: Instant, events: &[Event]) -> (Machine, Vec<Action>) {
    let mut machine = Machine::new(config, now);
    for event in events {
        machine.handle(now, event.clone());
    }
    let actions = drain(&mut machine);
    (machine, actions)
}

#[test]
fn a_page_gets_the_time_that_it_was_given() {
    let start = |seconds| {
        let timeout = Duration::from_secs(seconds);
        Budgets::DEFAULT.with_page_timeout(timeout).start.as_secs()
    };
    assert_eq!([5, 30, 31, 600].map(start), [60, 80, 82, 1220]);
}

/// Whole lives: what happens, how it ends, what becomes of the media, the exit code.
#[test]
fn an_outcome_says_why_it_ended_and_what_became_of_the_media() {
    use Event::{CaptureStarted, Closed, EndOfStream, ForceRequested, Prepared, UploadCompleted};
    let page_ended = || Event::StopRequested(StopReason::PageEnded);
    let stopped = End::Stopped;
    let broke = |stage| End::Failed(Failure::new(stage, "it broke"));

    #[rustfmt::skip]
    let lives = [
        (vec![SIGNAL, Closed],
            stopped(StopReason::Signal), Media::Nothing, 0),
        (vec![ForceRequested, Closed],
            stopped(StopReason::Signal), Media::Nothing, 0),
        (vec![Prepared, SIGNAL, EndOfStream, Closed],
            stopped(StopReason::Signal), Media::Nothing, 0),
        (vec![Prepared, SIGNAL, CaptureStarted, EndOfStream, UploadCompleted, Closed],
            stopped(StopReason::Signal), Media::Complete, 0),
        (vec![Prepared, CaptureStarted, page_ended(), SIGNAL, EndOfStream, UploadCompleted, Closed],
            stopped(StopReason::PageEnded), Media::Complete, 0),
        (vec![Prepared, CaptureStarted, SIGNAL, UploadCompleted, EndOfStream, Closed],
            stopped(StopReason::Signal), Media::Complete, 0),
        (vec![Prepared, CaptureStarted, SIGNAL, failed(Stage::Browser), EndOfStream, UploadCompleted, Closed],
            stopped(StopReason::Signal), Media::Complete, 0),
        (vec![Prepared, CaptureStarted, SIGNAL, EndOfStream, UploadCompleted, ForceRequested],
            stopped(StopReason::Signal), Media::Complete, 0),
        (vec![failed(Stage::Page), Closed],
            broke(Stage::Page), Media::Nothing, 1),
        (vec![Prepared, failed(Stage::Capture), Closed],
            broke(Stage::Capture), Media::Nothing, 1),
        (vec![Prepared, failed(Stage::Page), EndOfStream, Closed],
            broke(Stage::Page), Media::Nothing, 1),
        (vec![Prepared, EndOfStream, Closed],
            ended_by_itself(), Media::Nothing, 1),
        (vec![Prepared, CaptureStarted, failed(Stage::Browser), SIGNAL, EndOfStream, UploadCompleted, Closed],
            broke(Stage::Browser), Media::Complete, 3),
        (vec![Prepared, CaptureStarted, failed(Stage::Capture), EndOfStream, UploadCompleted, Closed],
            broke(Stage::Capture), Media::Truncated, 3),
        (vec![Prepared, CaptureStarted, EndOfStream, UploadCompleted, Closed],
            ended_by_itself(), Media::Complete, 3),
        (vec![Prepared, CaptureStarted, UploadCompleted, Closed],
            ended_by_itself(), Media::Complete, 3),
        (vec![Prepared, CaptureStarted, SIGNAL, ForceRequested, UploadCompleted, Closed],
            stopped(StopReason::Signal), Media::Truncated, 3),
        (vec![Prepared, CaptureStarted, SIGNAL, EndOfStream, failed(Stage::Mux), UploadCompleted, Closed],
            stopped(StopReason::Signal), Media::Truncated, 3),
        (vec![Prepared, CaptureStarted, failed(Stage::Upload), Closed],
            broke(Stage::Upload), Media::UploadOpen, 4),
        (vec![Prepared, CaptureStarted, SIGNAL, EndOfStream, failed(Stage::Upload), Closed],
            stopped(StopReason::Signal), Media::UploadOpen, 4),
        (vec![Prepared, CaptureStarted, SIGNAL, ForceRequested, ForceRequested, Closed],
            stopped(StopReason::Signal), Media::UploadOpen, 4),
        // The completing request was on its way when the upload was given up.
        (vec![Prepared, CaptureStarted, SIGNAL, EndOfStream, ForceRequested, UploadCompleted, Closed],
            stopped(StopReason::Signal), Media::Complete, 0),
    ];
    for (events, end, media, exit_code) in lives {
        let (machine, _) = after(CONFIG, Instant::now(), &events);
        let outcome = machine.outcome().unwrap_or_else(|| panic!("no outcome of {events:?}"));
        assert_eq!((&outcome.end, outcome.media), (&end, media), "{events:?}");
        assert_eq!(outcome.exit_code(), exit_code, "{events:?}");
    }
}

/// Runs `machine` to its end with nothing but deadlines.
fn run_out(machine: &mut Machine) -> Vec<DeadlineReason> {
    let mut reasons = Vec::new();
    while let Some((at, reason)) = machine.deadline() {
        reasons.push(reason);
        let before = machine.state();
        machine.tick(at);
        assert!(machine.state() > before, "{reason:?} leads nowhere");
    }
    reasons
}

#[test]
fn a_recording_that_nobody_answers_ends_by_its_deadlines() {
    use DeadlineReason as Reason;
    let now = Instant::now();
    let cases: [(&[Event], &[Reason], u8); 3] = [
        (&[], &[Reason::Start, Reason::Close], 1),
        (&[Event::Prepared], &[Reason::Start, Reason::Close], 1),
        (
            &[Event::Prepared, Event::CaptureStarted],
            &[Reason::Duration, Reason::Drain, Reason::Finish, Reason::Close],
            4,
        ),
    ];
    for (events, reasons, exit_code) in cases {
        let (mut machine, _) = after(CONFIG, now, events);
        assert_eq!(run_out(&mut machine), reasons);
        let outcome = machine.outcome().unwrap();
        assert_eq!(outcome.exit_code(), exit_code, "{outcome:?}");
        // The first one is the end itself, the others went wrong on the way down.
        let late: Vec<_> = reasons[1..].iter().copied().map(Problem::Deadline).collect();
        assert_eq!(outcome.problems, late);
    }
}

#[test]
fn the_length_is_counted_from_the_first_picture_and_never_beyond_the_longest() {
    use DeadlineReason as Reason;
    let hour = Duration::from_hours(1);
    let cases = [
        (None, hour, hour, Reason::MaxDuration),
        (Some(DURATION), hour, DURATION, Reason::Duration),
        (Some(hour), hour, hour, Reason::Duration),
        (Some(2 * hour), hour, hour, Reason::MaxDuration),
    ];
    for (duration, max_duration, length, reason) in cases {
        let start = Instant::now();
        let first_picture = start + Duration::from_secs(9);
        let config = Config { duration, max_duration, ..CONFIG };
        let (mut machine, _) = after(config, start, &[Event::Prepared]);
        machine.handle(first_picture, Event::CaptureStarted);
        assert_eq!(machine.deadline(), Some((first_picture + length, reason)));
    }
}

#[test]
fn what_has_happened_wins_over_a_deadline_that_passed_unnoticed() {
    let now = Instant::now();
    let (mut machine, _) = after(CONFIG, now, &DRAINING);
    let late = now + Duration::from_mins(1);
    machine.handle(late, Event::EndOfStream);
    assert_eq!((machine.state(), drain(&mut machine)), (State::Finishing, vec![]));

    let (mut machine, _) = after(CONFIG, now, &DRAINING);
    machine.handle(late, SIGNAL);
    assert_eq!(
        (machine.state(), drain(&mut machine)),
        (State::Finishing, vec![Action::StopCapture])
    );
}

#[test]
fn a_length_beyond_all_time_does_not_panic() {
    let config = Config { duration: None, max_duration: Duration::MAX, ..CONFIG };
    let (machine, _) = after(config, Instant::now(), &DRAINING[..2]);
    assert_eq!((machine.state(), machine.deadline()), (State::Recording, None));
}

#[test]
fn the_default_budgets_fit_into_the_stop_timeout() {
    assert!(Budgets::DEFAULT.fit());
    assert_eq!(Budgets::DEFAULT.total(), Duration::from_secs(110));
    let late = Budgets { close: Duration::from_secs(6), ..Budgets::DEFAULT };
    assert!(!late.fit());
}

#[test]
fn an_outcome_reads_in_the_report_as_documented() {
    let events = [
        Event::Prepared,
        Event::CaptureStarted,
        Event::StopRequested(StopReason::PageEnded),
        Event::ForceRequested,
        failed(Stage::Upload),
    ];
    let (mut machine, _) = after(CONFIG, Instant::now(), &events);
    run_out(&mut machine);
    let report = serde_json::to_value(machine.outcome().unwrap()).unwrap();
    assert_eq!(
        report,
        json!({
            "end": { "stopped": "page_ended" },
            "media": "upload_open",
            "problems": [
                "forced",
                { "failed": { "stage": "upload", "message": "it broke" } },
                { "deadline": "close" },
            ],
        })
    );
}
