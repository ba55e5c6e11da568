//! When the browser composes the page: its turns, one for each picture of the recording.
//!
//! A film's pictures become due at any time between two turns. Where that is just about a turn
//! they are seen now in this one and now in the next, and the film judders. Then the turns are
//! moved by half of the time between two. It must not know how judder is noticed.

use std::sync::Arc;
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use futures_util::FutureExt;
use serde_json::json;
use tokio::sync::Notify;

use super::Page;
use crate::secret::scrub;

/// Without this Firefox lets no driver change a preference. With it whoever reaches the driver,
/// on loopback, may do all that Firefox may; and the browser's own pages answer it (`page.rs`).
pub(super) const ACCESS: &str = "--remote-allow-system-access";

/// How often a second, as Firefox calls it; it listens for changes.
pub(super) const RATE: &str = "layout.frame_rate";

/// With one turn more a second so long moves them by half of the time between two, whatever
/// their rate: none is left out meanwhile, and no picture of a film either.
const HALF: Duration = Duration::from_millis(500);

/// Firefox does each at once.
const DEADLINE: Duration = Duration::from_secs(10);

const SET: &str = "Services.prefs.setIntPref(...arguments);";

#[derive(Debug)]
pub(super) struct Turns {
    judders: Option<Arc<Notify>>,
    rate: u32,
}

impl Turns {
    pub(super) fn of(page: &Page) -> Self {
        Self { judders: page.judders.clone(), rate: page.frame_rate }
    }

    /// Moves the turns if the film judders. Where that fails it goes on juddering.
    pub(super) async fn mend(&self, session: &fantoccini::Client) {
        let judders = self.judders.as_ref();
        if judders.and_then(|judders| judders.notified().now_or_never()).is_none() {
            return;
        }
        tracing::info!("the film of the page judders: the browser's turns are moved");
        let moved = async {
            self.set(self.rate + 1, session).await?;
            tokio::time::sleep(HALF).await;
            self.set(self.rate, session).await
        };
        let failed = match tokio::time::timeout(DEADLINE, moved).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => scrub(&error.to_string()),
            Err(elapsed) => elapsed.to_string(),
        };
        tracing::warn!(error = failed, "the browser's turns may not have moved");
    }

    async fn set(&self, rate: u32, session: &fantoccini::Client) -> Result<(), CmdError> {
        session.issue_cmd(Context("chrome")).await?;
        let set = session.execute(SET, vec![RATE.into(), rate.into()]).await;
        // Whatever came of that, the page is asked next.
        session.issue_cmd(Context("content")).await?;
        set.map(drop)
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
