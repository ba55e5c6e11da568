//! Starts Firefox and geckodriver and opens a WebDriver session between them.
//!
//! Firefox is a child of the recorder, not of geckodriver (which only connects
//! to it), so that the kernel ends it when the recorder dies.

use std::path::{Path, PathBuf};
use std::time::Duration;

use fantoccini::wd::Capabilities;
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::{Error, Firefox, Page, profile, sandbox, turns, warm};
use crate::children::display::Display;
use crate::children::process::{self, Child, Spec};
use crate::children::sound::Sound;
use crate::config::Tools;

/// Firefox listens for its driver 1 s after a cold start on an idle machine.
const FIREFOX_READY: Duration = Duration::from_secs(30);
const GECKODRIVER_READY: Duration = Duration::from_secs(10);
/// A session takes a second, but half a minute was seen on a machine that stalled.
const SESSION_READY: Duration = Duration::from_secs(30);
/// How often the file is looked for that tells Firefox's port.
const RETRY: Duration = Duration::from_millis(10);
pub(crate) const FIREFOX_MEND: &str =
    "install it (Debian: apt-get install firefox-esr) or name it with --firefox";
pub(crate) const GECKODRIVER_MEND: &str =
    "install it (cargo install --locked geckodriver) or name it with --geckodriver";

/// Starts Firefox on the display, with an empty page or one that is live.
pub(super) async fn firefox(
    tools: &Tools,
    dir: &Path,
    display: &Display,
    sound: &Sound,
    page: &Page,
) -> Result<(Child, tokio::process::ChildStdout, u16), Error> {
    let size = page.size;
    let profile = dir.join("profile");
    // One of an earlier start holds whatever made it fail.
    let cleared = match std::fs::remove_dir_all(&profile) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    cleared
        .and_then(|()| std::fs::create_dir(&profile))
        .and_then(|()| {
            if let Some(cache) = &tools.firefox_cache {
                warm::bring(cache, &profile);
            }
            profile::write(&profile, page)
        })
        .map_err(|source| Error::Profile { path: profile.clone(), source })?;
    let mut child = Child::spawn(
        &Spec {
            name: "Firefox",
            program: tools.firefox.clone(),
            search_path: tools.search_path.clone(),
            args: [
                "--marionette".as_ref(),
                "--no-remote".as_ref(),
                "--new-instance".as_ref(),
                "--profile".as_ref(),
                profile.as_os_str(),
                // Without a window manager nobody makes a kiosk window as large
                // as the screen, hence the size beside it.
                "--kiosk".as_ref(),
                "--width".as_ref(),
                size.width.to_string().as_ref(),
                "--height".as_ref(),
                size.height.to_string().as_ref(),
            ]
            .into_iter()
            .chain(page.films.is_some().then_some(turns::ACCESS.as_ref()))
            .map(std::ffi::OsStr::to_owned)
            .collect(),
            env: [
                ("DISPLAY", display.name().into()),
                ("PULSE_SERVER", sound.server().into()),
                ("HOME", dir.into()),
                ("TMPDIR", dir.into()),
                ("GDK_BACKEND", "x11".into()),
                ("MOZ_CRASHREPORTER_DISABLE", "1".into()),
                ("MOZ_DATA_REPORTING", "0".into()),
                // With a cache of a newer build nothing is asked.
                ("MOZ_ALLOW_DOWNGRADE", "1".into()),
                // Neither a session bus nor assistive technology is there to ask.
                ("DBUS_SESSION_BUS_ADDRESS", "disabled:".into()),
                ("NO_AT_BRIDGE", "1".into()),
            ]
            .into_iter()
            .chain(sandbox::variable())
            .collect(),
            on_orphaned: Signal::KILL,
        },
        FIREFOX_MEND,
    )?;
    let stdout = child.take_stdout();
    let told = marionette_port(profile.join("MarionetteActivePort"));
    let port = child.until("its Marionette port", FIREFOX_READY, told).await?;
    Ok((child, stdout, port))
}

async fn marionette_port(file: PathBuf) -> u16 {
    loop {
        // The file may be seen before its content is.
        if let Ok(text) = tokio::fs::read_to_string(&file).await
            && let Ok(port) = text.trim().parse()
        {
            return port;
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Starts geckodriver on a free port, connected to the running Firefox.
pub(super) async fn geckodriver(
    tools: &Tools,
    dir: &Path,
    marionette: u16,
) -> Result<(Child, String), process::Error> {
    let mut child = Child::spawn(
        &Spec {
            name: "geckodriver",
            program: tools.geckodriver.clone(),
            search_path: tools.search_path.clone(),
            args: [
                "--host",
                "127.0.0.1",
                "--port",
                "0",
                "--connect-existing",
                "--marionette-port",
                &marionette.to_string(),
            ]
            .map(Into::into)
            .into(),
            env: vec![("HOME", dir.into()), ("TMPDIR", dir.into())],
            on_orphaned: Signal::KILL,
        },
        GECKODRIVER_MEND,
    )?;
    let mut lines = BufReader::new(child.take_stdout()).lines();
    let listening = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, address)) = line.rsplit_once("Listening on ") {
                return format!("http://{address}");
            }
        }
        // It closed its output: it is about to end, and that is the error.
        std::future::pending().await
    };
    let url = child.until("its address", GECKODRIVER_READY, listening).await?;
    child.log_stdout(lines.into_inner());
    Ok((child, url))
}

/// Opens the session in which the page is loaded and asked.
pub(super) async fn session(driver: &mut Child, url: &str) -> Result<Firefox, Error> {
    let mut capabilities = Capabilities::new();
    // The driver would wait for ever for a document that another one follows while it loads.
    capabilities.insert("pageLoadStrategy".into(), json!("none"));
    // A dialogue would stand in the picture for ever: nobody can answer it.
    capabilities.insert("unhandledPromptBehavior".into(), json!("dismiss"));
    let mut builder = fantoccini::ClientBuilder::new(HttpConnector::new());
    let connect = builder.capabilities(capabilities).connect(url);
    driver
        .until("a WebDriver session", SESSION_READY, connect)
        .await?
        .map_err(|error| Error::Session(Box::new(error)))
}
