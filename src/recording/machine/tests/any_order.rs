//! What must hold whatever happens and whenever.

use proptest::prelude::*;

use super::*;
use Action::{AbortUpload, Close, Kill, LeaveUpload, SendEos, StartCapture, StopCapture};
use State::{Done, Draining, Finishing, Recording, Starting};

/// The driver's side, checked with every step.
struct Observer {
    machine: Machine,
    now: Instant,
    actions: Vec<Action>,
    /// When a stop, a failure or a deadline ended the recording.
    ended: Option<Instant>,
    done: Option<Instant>,
    first_stop: Option<End>,
    picture: bool,
    media_over: bool,
}

impl Observer {
    fn new(config: Config) -> Self {
        let now = Instant::now();
        Self {
            machine: Machine::new(config, now),
            now,
            actions: Vec::new(),
            ended: None,
            done: None,
            first_stop: None,
            picture: false,
            media_over: false,
        }
    }

    fn handle(&mut self, event: Event) {
        let before = self.machine.state();
        let capturing = self.did(StartCapture) && !self.did(StopCapture) && !self.media_over;
        match &event {
            Event::CaptureStarted if capturing && before < Finishing => self.picture = true,
            Event::EndOfStream => self.media_over |= self.did(StartCapture),
            Event::UploadCompleted => self.media_over |= self.picture,
            Event::StopRequested(reason) if before < Draining => {
                self.first_stop = Some(End::Stopped(*reason));
            }
            _ => {}
        }
        let stop = matches!(event, Event::StopRequested(_) | Event::ForceRequested);
        self.machine.handle(self.now, event);
        self.check(before);
        assert!(!stop || self.machine.state() >= Draining, "a stop was lost in {before:?}");
    }

    /// Lets time pass up to `then`, with a driver that wakes on every deadline.
    fn pass(&mut self, then: Option<Instant>) -> bool {
        let Some((at, reason)) = self.machine.deadline() else {
            assert_eq!(self.machine.state(), Done, "waiting without a deadline");
            return false;
        };
        if then.is_some_and(|then| then < at) {
            return false;
        }
        let before = self.machine.state();
        self.now = at;
        self.machine.tick(at);
        self.check(before);
        assert!(self.machine.state() > before, "{reason:?} leads nowhere");
        true
    }

    fn check(&mut self, before: State) {
        let state = self.machine.state();
        assert!(state >= before, "{before:?} fell back to {state:?}");
        if state > Recording {
            self.ended.get_or_insert(self.now);
        }
        if state == Done {
            self.done.get_or_insert(self.now);
        }
        for action in drain(&mut self.machine) {
            assert!(!self.did(action), "{action:?} twice");
            assert!(before != Done, "{action:?} after the end");
            match action {
                StartCapture => assert_eq!(state, Starting),
                SendEos | StopCapture => assert!(self.did(StartCapture)),
                AbortUpload => assert!(!self.picture, "media was thrown away"),
                LeaveUpload => assert!(self.picture, "nothing was left behind"),
                Close => {
                    let stopped = self.did(StopCapture) || self.media_over;
                    assert!(stopped || !self.did(StartCapture), "capture runs on");
                }
                Kill => assert!(self.did(Close)),
            }
            self.actions.push(action);
        }
        assert_eq!(self.machine.outcome().is_some(), state == Done);
    }

    fn did(&self, action: Action) -> bool {
        self.actions.contains(&action)
    }

    /// To the end, by deadlines alone.
    fn finish(mut self) -> Outcome {
        while self.pass(None) {}
        let took = self.done.unwrap() - self.ended.unwrap();
        assert!(took <= self.machine.config.budgets.total(), "the end took {took:?}");
        assert!(self.did(Close));

        let outcome = self.machine.outcome().unwrap();
        assert_eq!(outcome.media == Media::Nothing, !self.picture);
        if let Some(stop) = &self.first_stop {
            assert_eq!(*stop, outcome.end, "a later reason took over");
        }
        outcome
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let reason = prop::sample::select(vec![
        StopReason::Signal,
        StopReason::Duration,
        StopReason::MaxDuration,
        StopReason::PageEnded,
    ]);
    let stage = prop::sample::select(vec![
        Stage::Start,
        Stage::Display,
        Stage::Sound,
        Stage::Browser,
        Stage::Page,
        Stage::Capture,
        Stage::Mux,
        Stage::Upload,
    ]);
    prop_oneof![
        4 => Just(Event::Prepared),
        4 => Just(Event::CaptureStarted),
        2 => Just(Event::EndOfStream),
        2 => Just(Event::UploadCompleted),
        1 => reason.prop_map(Event::StopRequested),
        1 => Just(Event::ForceRequested),
        1 => stage.prop_map(failed),
        2 => Just(Event::Closed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ladder_leads_down_to_its_end_whatever_happens_and_whenever(
        steps in prop::collection::vec((0_u64..15_000, any_event()), 0..30),
    ) {
        let mut observer = Observer::new(CONFIG);
        for (wait, event) in steps {
            let then = observer.now + Duration::from_millis(wait);
            while observer.pass(Some(then)) {}
            observer.now = then;
            observer.handle(event);
        }
        observer.finish();
    }

    /// A world in which every action is answered, each in its own time.
    #[test]
    fn a_recording_in_which_nothing_breaks_loses_nothing(
        prepare in 0_u64..50_000,
        first_picture in 0_u64..9_000,
        stop in 0_u64..90_000,
        end_of_stream in 0_u64..5_000,
        upload in 0_u64..100_000,
        close in 0_u64..5_000,
    ) {
        let mut observer = Observer::new(CONFIG);
        let mut inbox = vec![
            (observer.now + Duration::from_millis(prepare), Event::Prepared),
            (observer.now + Duration::from_millis(stop), SIGNAL),
        ];
        let mut answered = 0;
        while observer.machine.state() < Done {
            inbox.sort_by_key(|(at, _)| *at);
            let next = inbox.first().map(|(at, _)| *at);
            if !observer.pass(next) {
                let (at, event) = inbox.remove(0);
                observer.now = at;
                let media_over = event == Event::EndOfStream && observer.picture;
                observer.handle(event);
                if media_over {
                    let done = at + Duration::from_millis(upload);
                    inbox.push((done, Event::UploadCompleted));
                }
            }
            for action in &observer.actions[answered..] {
                let (wait, answer) = match action {
                    StartCapture => (first_picture, Event::CaptureStarted),
                    SendEos => (end_of_stream, Event::EndOfStream),
                    Close => (close, Event::Closed),
                    AbortUpload => continue,
                    StopCapture | LeaveUpload | Kill => {
                        return Err(TestCaseError::fail(format!("{action:?} for no reason")));
                    }
                };
                // The stream ends after the first picture, or instead of it.
                if answer == Event::EndOfStream {
                    let end = observer.now + Duration::from_millis(wait);
                    inbox.retain(|(at, event)| *event != Event::CaptureStarted || *at < end);
                }
                inbox.push((observer.now + Duration::from_millis(wait), answer));
            }
            answered = observer.actions.len();
        }
        let outcome = observer.finish();
        prop_assert_eq!(outcome.exit_code(), 0);
        prop_assert!(matches!(outcome.media, Media::Complete | Media::Nothing));
        prop_assert_eq!(outcome.problems, vec![]);
    }
}
