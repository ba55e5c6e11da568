//! What tests of the whole process need around it: the binary itself, pages for
//! it to film, a look at the film, and a look at what runs on the machine.
//!
//! It must not know what any test is about.

pub(crate) mod film;
pub(crate) mod pages;
pub(crate) mod processes;
pub(crate) mod proxy;
pub(crate) mod ranges;
pub(crate) mod recorder;
pub(crate) mod servers;

use std::time::Duration;

/// Past this something hangs. The slowest thing waited for takes a sixth of it
/// on two busy cores, so it says nothing about speed.
pub(crate) const HANGS: Duration = Duration::from_mins(1);

/// How often a condition is looked at that nobody announces.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `look` gives something.
pub(crate) async fn until<T>(awaited: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let seen = tokio::time::timeout(HANGS, looking).await;
    seen.unwrap_or_else(|_| panic!("waited {HANGS:?} for {awaited}"))
}
