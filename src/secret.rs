//! Values that must not reach a log, an error text or a `Debug` print.
//!
//! A secret is safe by its type ([`Secret`], [`PrivateUrl`]) where this process
//! holds it, and by [`scrub()`] where it comes back in somebody else's words: a
//! line of Firefox, an error of the driver or of S3. Nothing here knows what the
//! secrets are for.

mod scrub;

use std::fmt;

use url::Url;

pub use scrub::scrub;

/// What stands where a secret stood.
pub const MASK: &str = "[secret]";

/// Text that is printed as its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; the caller keeps it out of logs, arguments and errors.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[secret, {} bytes]", self.0.len())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// An address that may carry a join token; it is printed by [`redact_url`].
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateUrl(Url);

impl PrivateUrl {
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// The whole address; the caller keeps it out of logs, arguments and errors.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for PrivateUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&redact_url(&self.0))
    }
}

impl fmt::Debug for PrivateUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The address without user name, password, fragment and the values of its query.
///
/// The names in the query stay, because they tell two addresses apart; a long
/// token in the path is masked too.
#[must_use]
pub fn redact_url(url: &Url) -> String {
    scrub(url.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_its_length_only() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?}"), "[secret, 7 bytes] [secret, 7 bytes]");
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn an_address_is_printed_without_what_could_be_a_token() {
        for (address, printed) in [
            ("https://example.com/call", "https://example.com/call"),
            (
                "https://user:word@example.com:8443/a/b?room=7&token=abc#part",
                "https://example.com:8443/a/b?room=[secret]&token=[secret]",
            ),
            ("https://example.com/?abc", "https://example.com/?[secret]"),
            ("https://example.com/?abc==", "https://example.com/?[secret]"),
            ("https://us%40er:pa'ss@example.com/", "https://example.com/"),
            ("http://[::1]:8080/?a=b@c", "http://[::1]:8080/?a=[secret]"),
            ("file:///srv/pages/clock.html?speed=2", "file:///srv/pages/clock.html?speed=[secret]"),
        ] {
            let url = PrivateUrl::new(address.parse().unwrap());
            assert_eq!(url.to_string(), printed);
            assert_eq!(format!("{url:?}"), printed);
        }
    }
}
