//! The settings of the browser: those of every recording (`preferences.js`) and those that
//! follow from the page. It must not know what else is in a profile.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::{Page, turns};

const PREFERENCES: &str = include_str!("preferences.js");

/// Writes `user.js` into a profile's folder. Values are JavaScript literals.
pub(super) fn write(dir: &Path, page: &Page) -> io::Result<()> {
    let mut text = PREFERENCES.to_owned();
    let mut set = |name: &str, value: &str| {
        writeln!(text, "user_pref(\"{name}\", {value});").expect("a string takes everything");
    };
    // More often would be drawn for nobody, and beats against the film of the page.
    set(turns::RATE, &page.frame_rate.to_string());
    if page.is_live {
        // Not as an argument: those of a process are seen by everybody, and this holds a token.
        set("browser.startup.page", "1");
        set("browser.startup.homepage", &serde_json::Value::from(page.url.as_str()).to_string());
    }
    std::fs::write(dir.join("user.js"), text)
}

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
                films: None,
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
        let mut names = std::collections::HashSet::new();
        for line in PREFERENCES.lines().filter(|line| !line.is_empty() && !line.starts_with("//")) {
            let set = line.strip_prefix("user_pref(\"").and_then(|rest| rest.strip_suffix(");"));
            let (name, value) = set.unwrap_or_else(|| panic!("{line}")).split_once("\", ").unwrap();
            assert!(serde_json::from_str::<serde_json::Value>(value).is_ok(), "{name}: {value}");
            assert!(names.insert(name), "{name} is set twice");
        }
        assert!(!names.is_empty());
    }
}
