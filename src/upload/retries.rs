//! How requests are repeated: with pauses that grow, while that can help.
//!
//! It must not know what is requested.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Progress;
use super::store::{Kind, StoreError};

/// Ceiling of the first pause before a request is repeated; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Ceiling of the first pause after the store asked for fewer requests.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// No pause is longer: the store may be back any moment, and media waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How requests are repeated.
pub(super) struct Retries<'a> {
    pub(super) progress: &'a watch::Sender<Progress>,
    /// Random numbers in `0.0..=1.0`.
    pub(super) jitter: fn() -> f64,
}

impl Retries<'_> {
    /// Repeats a request while that can help and `give_up_after` has not passed.
    /// The request is told how often it was tried before.
    pub(super) async fn of<T, F: Future<Output = Result<T, StoreError>>>(
        &self,
        give_up_after: Duration,
        mut request: impl FnMut(u32) -> F,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        let mut backoff = Backoff { ceiling: FIRST_PAUSE };
        for attempt in 0.. {
            let error = match request(attempt).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let left = give_up_after.saturating_sub(started.elapsed());
            let Some(pause) = backoff.pause(error.kind, left, (self.jitter)()) else {
                return Err(error);
            };
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                ?pause,
                "the store did not take a request, asking again"
            );
            self.progress.send_modify(|progress| progress.retries += 1);
            tokio::time::sleep(pause).await;
        }
        unreachable!("attempts are not counted up to 2^32")
    }
}

/// The pauses between the attempts of one request: exponential, with full
/// jitter, so that many parts that fail together do not come back together.
#[derive(Debug)]
struct Backoff {
    ceiling: Duration,
}

impl Backoff {
    /// How long to wait after a failure of this kind, or `None` if repeating
    /// cannot help or the wait would not end within `left`.
    fn pause(&mut self, kind: Kind, left: Duration, jitter: f64) -> Option<Duration> {
        if kind == Kind::Throttled {
            self.ceiling = self.ceiling.max(THROTTLED_PAUSE);
        }
        let pause = self.ceiling.mul_f64(jitter);
        self.ceiling = (self.ceiling * 2).min(LONGEST_PAUSE);
        (kind.is_retryable() && pause < left).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::NEVER_GIVE_UP;

    #[test]
    fn pauses_double_up_to_a_limit_and_end_before_the_time_is_up() {
        let mut backoff = Backoff { ceiling: FIRST_PAUSE };
        let mut pauses = Vec::new();
        let mut left = Duration::from_mins(5);
        while let Some(pause) = backoff.pause(Kind::Transient, left, 0.5) {
            pauses.push(pause);
            left -= pause;
        }
        assert_eq!(pauses[..3], [125, 250, 500].map(Duration::from_millis));
        assert_eq!(pauses.last(), Some(&(LONGEST_PAUSE / 2)));
        assert!(left <= LONGEST_PAUSE / 2, "{left:?}");
    }

    #[test]
    fn a_throttled_request_pauses_longer_and_a_refused_one_is_not_repeated() {
        let pause = |kind| Backoff { ceiling: FIRST_PAUSE }.pause(kind, NEVER_GIVE_UP, 1.0);
        assert_eq!(pause(Kind::Transient), Some(FIRST_PAUSE));
        assert_eq!(pause(Kind::Throttled), Some(THROTTLED_PAUSE));
        for kind in [Kind::Denied, Kind::Missing, Kind::Full, Kind::Rejected] {
            assert_eq!(pause(kind), None, "{kind:?}");
        }
    }
}
