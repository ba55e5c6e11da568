//! What is wrong with the settings, for the person who has to mend them.
//!
//! Knows how a refused value may be shown: join data by its length only,
//! addresses without what could be a token.

use url::Url;

use crate::secret::{redact_url, scrub};

/// How much of a refused text is repeated; the rest of a longer one helps nobody.
const SHOWN_CHARACTERS: usize = 100;

/// One setting: where it is given and what has to stand there.
#[derive(Debug)]
pub(super) struct Setting {
    /// Without a flag: `""`.
    pub flag: &'static str,
    /// Without a variable: `""`.
    pub variable: &'static str,
    pub expected: &'static str,
    pub example: &'static str,
    pub shown: Shown,
    /// Whether the variable belongs to the orders of a container, so that a
    /// recording with `--local` leaves it alone.
    pub of_container: bool,
}

impl Setting {
    pub(super) const fn new(
        flag: &'static str,
        variable: &'static str,
        expected: &'static str,
        example: &'static str,
    ) -> Self {
        Self { flag, variable, expected, example, shown: Shown::Text, of_container: false }
    }

    pub(super) const fn shown_as(self, shown: Shown) -> Self {
        Self { shown, ..self }
    }

    pub(super) const fn of_container(self) -> Self {
        Self { of_container: true, ..self }
    }

    /// Every place where it can be given: `RECORDER_URL (or --url)`.
    pub(super) fn places(&self) -> String {
        match (self.variable, self.flag) {
            ("", place) | (place, "") => place.to_owned(),
            (variable, flag) => format!("{variable} (or {flag})"),
        }
    }
}

/// How a refused value is repeated in a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Shown {
    Text,
    Address,
    Length,
}

/// All that is wrong, found in one go. Nothing has been started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} wrong, nothing was started:\n{}", headline(.0.len()), list(.0))]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `None` when nothing is wrong.
    pub(super) fn new(problems: Vec<Problem>) -> Option<Self> {
        (!problems.is_empty()).then_some(Self(problems))
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// One thing that is wrong, free of secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value that cannot be used; `text` is fit to be printed.
    #[error("{place} {text}: expected {expected}, for example {example}")]
    Rejected { place: String, text: String, expected: &'static str, example: &'static str },
    /// A value without which there is nothing to do.
    #[error("{places} is missing: expected {expected}, for example {example}")]
    Missing { places: String, expected: &'static str, example: &'static str },
    /// Values that do not go together.
    #[error("{place}: {reason}")]
    Refused { place: String, reason: String },
}

impl Problem {
    pub(super) fn rejected(place: &str, text: &str, setting: &Setting) -> Self {
        Self::Rejected {
            place: place.to_owned(),
            text: printable(text, setting.shown),
            expected: setting.expected,
            example: setting.example,
        }
    }

    pub(super) fn missing(setting: &Setting) -> Self {
        Self::Missing {
            places: setting.places(),
            expected: setting.expected,
            example: setting.example,
        }
    }

    pub(super) fn refused(place: &str, reason: impl Into<String>) -> Self {
        Self::Refused { place: place.to_owned(), reason: reason.into() }
    }
}

fn headline(count: usize) -> String {
    if count == 1 { "1 setting is".to_owned() } else { format!("{count} settings are") }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
}

fn printable(text: &str, shown: Shown) -> String {
    let length = || format!("({} bytes, not shown)", text.len());
    match (shown, text.parse::<Url>()) {
        (Shown::Length, _) => length(),
        (Shown::Address, Ok(url)) if url.has_host() => quoted(&redact_url(&url)),
        // No address, so nobody can say which part of it is the password.
        (Shown::Address, _) if text.contains(['@', '?', '#', '=']) => length(),
        (Shown::Address | Shown::Text, _) => quoted(&scrub(text)),
    }
}

fn quoted(text: &str) -> String {
    let start: String = text.chars().take(SHOWN_CHARACTERS).collect();
    let rest = if start.len() < text.len() { "..." } else { "" };
    format!("'{}'{rest}", start.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_text_is_shown_as_far_as_it_cannot_be_a_secret() {
        for (text, shown, printed) in [
            ("ten", Shown::Text, "'ten'"),
            ("", Shown::Text, "''"),
            ("a\nb\u{1b}", Shown::Text, r"'a\nb\u{1b}'"),
            ("QXR0ZW5kZWU6dG9rZW4gZm9yIHRoZSBtZWV0aW5nIHJvb20", Shown::Text, "'[secret]'"),
            ("example.com", Shown::Address, "'example.com'"),
            ("ftp://user:word@host/?a=b", Shown::Address, "'ftp://host/?a=[secret]'"),
            ("https:/user:word@host", Shown::Address, "'https://host/'"),
            ("user:word@host", Shown::Address, "(14 bytes, not shown)"),
            ("host/?token", Shown::Address, "(11 bytes, not shown)"),
            ("eyJ4IjoxfQ", Shown::Length, "(10 bytes, not shown)"),
        ] {
            assert_eq!(printable(text, shown), printed);
        }
        let long = printable(&"word ".repeat(100), Shown::Text);
        assert_eq!(long.len(), SHOWN_CHARACTERS + "''...".len());
    }
}
