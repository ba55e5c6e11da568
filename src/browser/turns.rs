//! When the browser composes the page: its turns, one for each picture of the recording.
//!
//! A film's pictures become due at any time between two turns. Where that is just about a turn
//! they are seen now in this one and now in the next, and the film judders: one picture stays for
//! two turns and the next one is never seen (`judder.rs`). Then the turns are moved.

use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;

use super::Page;
use super::judder::Judder;
use crate::secret::scrub;

/// Without this Firefox lets no driver change a preference. With it whoever reaches the driver,
/// on loopback, may do all that Firefox may; and the browser's own pages answer it (`page.rs`).
pub(super) const ACCESS: &str = "--remote-allow-system-access";

/// How often a second, as Firefox calls it; it listens for changes.
pub(super) const RATE: &str = "layout.frame_rate";

/// Firefox does it at once.
const DEADLINE: Duration = Duration::from_secs(10);

/// Firefox itself waits and sets it back: nobody's delay moves the turns further, and the page is
/// asked on meanwhile.
const MOVE: &str = "
    const [name, rate, wait] = arguments;
    Services.prefs.setIntPref(name, rate + 1);
    setTimeout(() => Services.prefs.setIntPref(name, rate), wait);";

/// How the films of a page fare.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Films {
    /// Pictures that the browser never showed, by its own count.
    pub dropped: u64,
    /// So often its turns were moved because of that.
    pub moves: u32,
}

#[derive(Debug)]
pub(super) struct Turns {
    films: Option<watch::Sender<Films>>,
    judder: Judder,
    rate: u32,
    /// The driver may be asking the browser itself, not the page.
    is_lost: bool,
}

/// Where the turns are after so many moves, in parts of the time between two: as far as can be
/// from all places before, so that several films find one that is good for all in few moves.
fn place(moves: u32) -> f64 {
    f64::from(moves.reverse_bits()) / 2_f64.powi(32)
}

/// How long there has to be one turn more a second for the next move. Each turn then comes
/// earlier by that part of the time between two, whatever their rate: none is left out meanwhile,
/// and no picture of a film either.
fn moving(moves: u32) -> Duration {
    Duration::from_secs_f64((place(moves + 1) - place(moves)).rem_euclid(1.0))
}

impl Turns {
    pub(super) fn of(page: &Page) -> Self {
        let (films, rate) = (page.films.clone(), page.frame_rate);
        Self { films, judder: Judder::default(), rate, is_lost: false }
    }

    /// Before each question to the page, which it would not get.
    pub(super) async fn come_back(&mut self, session: &fantoccini::Client) -> Result<(), CmdError> {
        if self.is_lost {
            session.issue_cmd(Context("content")).await?;
            self.is_lost = false;
        }
        Ok(())
    }

    /// With each answer of the page: how many pictures each film has `dropped` since the last
    /// one. Moves the turns if a film judders. Where that fails it goes on juddering.
    pub(super) async fn note(&mut self, dropped: &[u64], session: &fantoccini::Client) {
        let Some(films) = &self.films else { return };
        films.send_modify(|films| films.dropped += dropped.iter().sum::<u64>());
        if !self.judder.step(dropped) {
            return;
        }
        let wait = moving(films.borrow().moves);
        films.send_modify(|films| films.moves = films.moves.saturating_add(1));
        tracing::info!("a film of the page judders: the browser's turns are moved");
        self.is_lost = true;
        let failed = match tokio::time::timeout(DEADLINE, self.move_for(wait, session)).await {
            Ok(Ok(())) => {
                self.is_lost = false;
                return;
            }
            Ok(Err(error)) => scrub(&error.to_string()),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(error = failed, "the browser's turns may not have moved");
    }

    async fn move_for(&self, wait: Duration, session: &fantoccini::Client) -> Result<(), CmdError> {
        let wait = u64::try_from(wait.as_millis()).expect("a second at most");
        session.issue_cmd(Context("chrome")).await?;
        let moved = session.execute(MOVE, vec![RATE.into(), self.rate.into(), wait.into()]).await;
        // Whatever came of that, the page is asked next.
        session.issue_cmd(Context("content")).await?;
        moved.map(drop)
    }
}

/// Whom scripts are for from now on: `chrome` is the browser itself, `content` the page.
#[derive(Debug)]
struct Context(&'static str);

impl WebDriverCompatibleCommand for Context {
    fn endpoint(
        &self,
        base: &url::Url,
        session: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/moz/context", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "context": self.0 }).to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_move_goes_as_far_as_can_be_from_where_the_turns_were() {
        let mut place = 0;
        let places: Vec<_> = (0..7)
            .map(|moves| {
                place = (place + moving(moves).as_millis()) % 1000;
                place
            })
            .collect();
        assert_eq!(places, [500, 250, 750, 125, 625, 375, 875]);
        assert!(moving(u32::MAX - 1) < Duration::from_secs(1));
    }
}
