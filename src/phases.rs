//! How long each part of the start took: spans since the process began.
//!
//! Whoever starts something opens a phase and holds it meanwhile; the report has
//! them all. It must not know which phases there are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Serialize;

/// One part of the start. Seconds count from the start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Phase {
    pub name: &'static str,
    pub from_seconds: f64,
    pub to_seconds: f64,
}

/// The phases of one process, which all clones share.
#[derive(Clone, Debug)]
pub struct Phases {
    started: Instant,
    over: Arc<Mutex<Vec<Phase>>>,
}

/// A phase that goes on for as long as this is held, also where it is given up.
#[must_use = "a phase that is not held takes no time"]
#[derive(Debug)]
pub struct Running<'a> {
    phases: &'a Phases,
    name: &'static str,
    from: Instant,
}

impl Phases {
    pub fn since(started: Instant) -> Self {
        Self { started, over: Arc::default() }
    }

    pub fn begin(&self, name: &'static str) -> Running<'_> {
        Running { phases: self, name, from: Instant::now() }
    }

    /// One that began with the process, and is over.
    pub fn first(&self, name: &'static str) {
        drop(Running { phases: self, name, from: self.started });
    }

    /// Those that began by then, in the order in which they did.
    pub fn begun_by(&self, moment: Instant) -> Vec<Phase> {
        let moment = self.seconds(moment);
        let mut phases = self.over.lock().unwrap_or_else(PoisonError::into_inner).clone();
        phases.retain(|phase| phase.from_seconds <= moment);
        phases.sort_by(|one, other| one.from_seconds.total_cmp(&other.from_seconds));
        phases
    }

    fn seconds(&self, moment: Instant) -> f64 {
        let span = moment.saturating_duration_since(self.started);
        (span.as_secs_f64() * 1000.0).round() / 1000.0
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let Self { phases, name, from } = *self;
        let (from_seconds, to_seconds) = (phases.seconds(from), phases.seconds(Instant::now()));
        let mut over = phases.over.lock().unwrap_or_else(PoisonError::into_inner);
        over.push(Phase { name, from_seconds, to_seconds });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn phases_come_in_the_order_of_their_begin_and_late_ones_not_at_all() {
        let phases = Phases::since(Instant::now().checked_sub(Duration::from_secs(2)).unwrap());
        phases.first("set-up");
        let outer = phases.begin("outer");
        let inner = phases.clone();
        drop(inner.begin("inner"));
        drop(outer);
        let prepared = Instant::now();
        while Instant::now() < prepared + Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        drop(phases.begin("again"));
        let told = phases.begun_by(prepared);
        let names: Vec<_> = told.iter().map(|phase| phase.name).collect();
        assert_eq!((names[0], names.len()), ("set-up", 3), "{told:?}");
        assert!(!names.contains(&"again"));
        assert!(told[0].from_seconds == 0.0 && told[0].to_seconds >= 2.0);
        assert!(told.iter().all(|phase| phase.from_seconds <= phase.to_seconds));
    }
}
