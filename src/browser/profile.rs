//! The settings of the browser: a fresh profile in which nothing but the page
//! is ever seen or heard, and nothing leaves the machine but for the page.
//!
//! Names and meanings are Firefox's own (`about:config`).

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::Page;

/// Writes `user.js` into an empty profile folder.
pub(super) fn write(dir: &Path, page: &Page) -> io::Result<()> {
    let mut text = String::new();
    let mut set = |name: &str, value: &str| {
        writeln!(text, "user_pref(\"{name}\", {value});").expect("a string takes everything");
    };
    for (name, value) in PREFERENCES {
        set(name, value);
    }
    // More often would be drawn for nobody, and beats against the film of the page.
    set("layout.frame_rate", &page.frame_rate.to_string());
    if page.is_live {
        // Not as an argument: those of a process are seen by everybody, and this holds a token.
        set("browser.startup.page", "1");
        set("browser.startup.homepage", &serde_json::Value::from(page.url.as_str()).to_string());
    }
    std::fs::write(dir.join("user.js"), text)
}

/// Values are JavaScript literals.
const PREFERENCES: &[(&str, &str)] = &[
    // A free port, told in the profile's file `MarionetteActivePort`.
    ("marionette.port", "0"),
    // Sound without a click: without it the audio of a meeting stays paused and
    // the recording is silent.
    ("media.autoplay.default", "0"),
    ("media.autoplay.blocking_policy", "0"),
    // The window is one surface, not six: what changes in one turn of the compositor is
    // drawn at once. Numbers: docs/encoding.md.
    ("gfx.webrender.picture-tile-width", "2048"),
    ("gfx.webrender.picture-tile-height", "1088"),
    // What a page says on its console is read on the browser's output.
    ("devtools.console.stdout.content", "true"),
    // No prompt can ever be answered, so nothing may ask: 2 is "deny".
    ("permissions.default.camera", "2"),
    ("permissions.default.microphone", "2"),
    ("permissions.default.geo", "2"),
    ("permissions.default.desktop-notification", "2"),
    ("permissions.default.xr", "2"),
    // A page may not put a message of the browser over itself.
    ("full-screen-api.warning.timeout", "0"),
    ("full-screen-api.transition-duration.enter", "\"0 0\""),
    ("dom.disable_open_during_load", "true"),
    ("browser.link.open_newwindow", "1"),
    ("dom.disable_beforeunload", "true"),
    ("dom.ipc.reportProcessHangs", "false"),
    ("dom.max_script_run_time", "0"),
    ("browser.translations.enable", "false"),
    ("signon.rememberSignons", "false"),
    ("extensions.formautofill.addresses.enabled", "false"),
    ("media.videocontrols.picture-in-picture.video-toggle.enabled", "false"),
    ("browser.tabs.unloadOnLowMemory", "false"),
    // A tab that is not clicked for hours is still the one that is filmed.
    ("dom.min_background_timeout_value", "4"),
    ("widget.windows.window_occlusion_tracking.enabled", "false"),
    ("ui.caretBlinkTime", "0"),
    // No first run, no restore, no questions.
    ("browser.aboutwelcome.enabled", "false"),
    ("browser.startup.page", "0"),
    ("browser.startup.homepage_override.mstone", "\"ignore\""),
    ("browser.startup.couldRestoreSession.count", "-1"),
    ("browser.sessionstore.enabled", "false"),
    ("browser.sessionstore.resume_from_crash", "false"),
    ("browser.shell.checkDefaultBrowser", "false"),
    ("browser.newtabpage.enabled", "false"),
    ("browser.newtabpage.activity-stream.feeds.system.topstories", "false"),
    ("browser.uitour.enabled", "false"),
    ("browser.messaging-system.whatsNewPanel.enabled", "false"),
    ("browser.privatebrowsing.vpnpromourl", "\"\""),
    ("browser.vpn_promo.enabled", "false"),
    ("termsofuse.bypassNotification", "true"),
    ("trailhead.firstrun.didSeeAboutWelcome", "true"),
    ("datareporting.policy.dataSubmissionEnabled", "false"),
    ("datareporting.policy.dataSubmissionPolicyBypassNotification", "true"),
    ("datareporting.healthreport.uploadEnabled", "false"),
    ("datareporting.usage.uploadEnabled", "false"),
    ("toolkit.startup.max_resumed_crashes", "-1"),
    ("browser.tabs.crashReporting.sendReport", "false"),
    ("security.sandbox.warn_unprivileged_namespaces", "false"),
    // No connection of the browser's own.
    ("toolkit.telemetry.unified", "false"),
    ("toolkit.telemetry.enabled", "false"),
    ("toolkit.telemetry.server", "\"\""),
    ("toolkit.coverage.endpoint.base", "\"\""),
    ("app.update.enabled", "false"),
    ("app.update.auto", "false"),
    ("app.normandy.enabled", "false"),
    ("app.normandy.api_url", "\"\""),
    ("browser.region.network.url", "\"\""),
    ("browser.region.update.enabled", "false"),
    ("browser.search.update", "false"),
    ("browser.search.suggest.enabled", "false"),
    ("browser.safebrowsing.malware.enabled", "false"),
    ("browser.safebrowsing.phishing.enabled", "false"),
    ("browser.safebrowsing.downloads.enabled", "false"),
    ("browser.safebrowsing.downloads.remote.enabled", "false"),
    ("browser.safebrowsing.blockedURIs.enabled", "false"),
    ("browser.safebrowsing.provider.google4.updateURL", "\"\""),
    ("browser.safebrowsing.provider.google5.updateURL", "\"\""),
    ("browser.safebrowsing.provider.mozilla.updateURL", "\"\""),
    ("network.captive-portal-service.enabled", "false"),
    ("network.connectivity-service.enabled", "false"),
    ("network.dns.disablePrefetch", "true"),
    ("network.prefetch-next", "false"),
    ("network.http.speculative-parallel-limit", "0"),
    ("network.trr.mode", "5"),
    ("doh-rollout.disable-heuristics", "true"),
    ("doh-rollout.doorhanger-shown", "true"),
    ("dom.push.connection.enabled", "false"),
    ("dom.push.serverURL", "\"\""),
    ("services.settings.server", "\"data:,#remote-settings-off\""),
    ("services.settings.poll_interval", "2147483647"),
    ("extensions.update.enabled", "false"),
    ("extensions.update.autoUpdateDefault", "false"),
    ("extensions.systemAddon.update.enabled", "false"),
    ("extensions.systemAddon.update.url", "\"\""),
    ("extensions.getAddons.cache.enabled", "false"),
    ("extensions.getAddons.discovery.api_url", "\"\""),
    ("extensions.blocklist.enabled", "false"),
    ("media.gmp-manager.updateEnabled", "false"),
    ("media.gmp-manager.url", "\"data:,\""),
    ("media.gmp-provider.enabled", "false"),
    ("identity.fxaccounts.enabled", "false"),
    ("browser.topsites.contile.enabled", "false"),
    ("browser.ml.enable", "false"),
    // Written for nobody: the profile is thrown away.
    ("browser.cache.disk.enable", "false"),
    ("browser.sessionstore.interval", "2147483647"),
    ("browser.pagethumbnails.capturing_disabled", "true"),
    ("places.history.enabled", "false"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firefox_opens_a_live_page_itself_and_no_other() {
        let address = "http://127.0.0.1:1/?name=a%22b&worker=token";
        for (is_live, expected) in [(true, 1), (false, 0)] {
            let page = Page {
                url: url::Url::parse(address).unwrap(),
                size: crate::config::Size { width: 1280, height: 720 },
                timeout: std::time::Duration::ZERO,
                is_live,
                await_start_marker: false,
                frame_rate: 30,
            };
            let dir = tempfile::tempdir().unwrap();
            write(dir.path(), &page).unwrap();
            let text = std::fs::read_to_string(dir.path().join("user.js")).unwrap();
            let line = format!("user_pref(\"browser.startup.homepage\", \"{address}\");");
            assert_eq!(text.matches(&line).count(), expected, "{text}");
            assert_eq!(text.matches("\"browser.startup.page\", 1").count(), expected, "{text}");
        }
    }

    #[test]
    fn every_preference_is_set_once_and_is_a_literal() {
        let mut names: Vec<_> = PREFERENCES.iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        for (name, value) in PREFERENCES {
            assert!(serde_json::from_str::<serde_json::Value>(value).is_ok(), "{name}: {value}");
        }
    }
}
