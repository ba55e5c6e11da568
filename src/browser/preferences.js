// The settings of the recorder's Firefox: nothing but the page is ever seen or heard, and
// nothing leaves the machine but for the page. Names and meanings are Firefox's own
// (`about:config`).
//
// A user.js of Firefox: the recorder writes it into each profile, and adds what depends on
// the page (profile.rs); docker/warm-firefox.sh prepares a profile with it.

// A free port, told in the profile's file `MarionetteActivePort`.
user_pref("marionette.port", 0);
// Sound without a click: without it the audio of a meeting stays paused and
// the recording is silent.
user_pref("media.autoplay.default", 0);
user_pref("media.autoplay.blocking_policy", 0);
// The window is one surface, not six: what changes in one turn of the compositor is
// drawn at once. Numbers: docs/encoding.md.
user_pref("gfx.webrender.picture-tile-width", 2048);
user_pref("gfx.webrender.picture-tile-height", 1088);
// The browser's own process leaves the garbage of its start for ten minutes. Otherwise it
// looks for it four seconds after the page has opened, and the encoder waits for a processor.
// Numbers: docs/encoding.md.
user_pref("javascript.options.gc_delay.first", 600000);
// One process is ready for another page, not three: there is none.
user_pref("dom.ipc.processPrelaunch.fission.number", 1);
// A page that was left is not kept to go back to: it would answer no question any more and would
// not say so.
user_pref("browser.sessionhistory.max_total_viewers", 0);
// What a page says on its console is read on the browser's output.
user_pref("devtools.console.stdout.content", true);
// No prompt can ever be answered, so nothing may ask: 2 is "deny".
user_pref("permissions.default.camera", 2);
user_pref("permissions.default.microphone", 2);
user_pref("permissions.default.geo", 2);
user_pref("permissions.default.desktop-notification", 2);
user_pref("permissions.default.xr", 2);
// A page may not put a message of the browser over itself.
user_pref("full-screen-api.warning.timeout", 0);
user_pref("full-screen-api.transition-duration.enter", "0 0");
user_pref("dom.disable_open_during_load", true);
user_pref("browser.link.open_newwindow", 1);
user_pref("dom.disable_beforeunload", true);
user_pref("dom.ipc.reportProcessHangs", false);
user_pref("dom.max_script_run_time", 0);
user_pref("browser.translations.enable", false);
user_pref("signon.rememberSignons", false);
user_pref("extensions.formautofill.addresses.enabled", false);
user_pref("media.videocontrols.picture-in-picture.video-toggle.enabled", false);
user_pref("browser.tabs.unloadOnLowMemory", false);
// A tab that is not clicked for hours is still the one that is filmed.
user_pref("dom.min_background_timeout_value", 4);
user_pref("widget.windows.window_occlusion_tracking.enabled", false);
user_pref("ui.caretBlinkTime", 0);
// No first run, no restore, no questions.
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.startup.page", 0);
user_pref("browser.startup.homepage_override.mstone", "ignore");
user_pref("browser.startup.couldRestoreSession.count", -1);
user_pref("browser.sessionstore.enabled", false);
user_pref("browser.sessionstore.resume_from_crash", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("browser.disableResetPrompt", true);
user_pref("browser.newtabpage.enabled", false);
user_pref("browser.newtabpage.activity-stream.feeds.system.topstories", false);
user_pref("browser.uitour.enabled", false);
user_pref("browser.messaging-system.whatsNewPanel.enabled", false);
user_pref("browser.privatebrowsing.vpnpromourl", "");
user_pref("browser.vpn_promo.enabled", false);
user_pref("termsofuse.bypassNotification", true);
user_pref("trailhead.firstrun.didSeeAboutWelcome", true);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("datareporting.policy.dataSubmissionPolicyBypassNotification", true);
user_pref("datareporting.healthreport.uploadEnabled", false);
user_pref("datareporting.usage.uploadEnabled", false);
user_pref("toolkit.startup.max_resumed_crashes", -1);
user_pref("browser.tabs.crashReporting.sendReport", false);
user_pref("security.sandbox.warn_unprivileged_namespaces", false);
// No connection of the browser's own.
user_pref("toolkit.telemetry.unified", false);
user_pref("toolkit.telemetry.enabled", false);
user_pref("toolkit.telemetry.server", "");
user_pref("toolkit.coverage.endpoint.base", "");
user_pref("app.update.enabled", false);
user_pref("app.update.auto", false);
user_pref("app.normandy.enabled", false);
user_pref("app.normandy.api_url", "");
user_pref("browser.region.network.url", "");
user_pref("browser.region.update.enabled", false);
user_pref("browser.search.update", false);
user_pref("browser.search.suggest.enabled", false);
user_pref("browser.safebrowsing.malware.enabled", false);
user_pref("browser.safebrowsing.phishing.enabled", false);
user_pref("browser.safebrowsing.downloads.enabled", false);
user_pref("browser.safebrowsing.downloads.remote.enabled", false);
user_pref("browser.safebrowsing.blockedURIs.enabled", false);
user_pref("browser.safebrowsing.provider.google4.updateURL", "");
user_pref("browser.safebrowsing.provider.google5.updateURL", "");
user_pref("browser.safebrowsing.provider.mozilla.updateURL", "");
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.disablePrefetch", true);
user_pref("network.prefetch-next", false);
user_pref("network.http.speculative-parallel-limit", 0);
user_pref("network.trr.mode", 5);
user_pref("doh-rollout.disable-heuristics", true);
user_pref("doh-rollout.doorhanger-shown", true);
user_pref("dom.push.connection.enabled", false);
user_pref("dom.push.serverURL", "");
user_pref("services.settings.server", "data:,#remote-settings-off");
user_pref("services.settings.poll_interval", 2147483647);
user_pref("extensions.update.enabled", false);
user_pref("extensions.update.autoUpdateDefault", false);
user_pref("extensions.systemAddon.update.enabled", false);
user_pref("extensions.systemAddon.update.url", "");
user_pref("extensions.getAddons.cache.enabled", false);
user_pref("extensions.getAddons.discovery.api_url", "");
user_pref("extensions.blocklist.enabled", false);
user_pref("media.gmp-manager.updateEnabled", false);
user_pref("media.gmp-manager.url", "data:,");
user_pref("media.gmp-provider.enabled", false);
user_pref("identity.fxaccounts.enabled", false);
user_pref("browser.topsites.contile.enabled", false);
user_pref("browser.ml.enable", false);
// Written for nobody: the profile is thrown away.
user_pref("browser.cache.disk.enable", false);
user_pref("browser.sessionstore.interval", 2147483647);
user_pref("browser.pagethumbnails.capturing_disabled", true);
user_pref("places.history.enabled", false);
