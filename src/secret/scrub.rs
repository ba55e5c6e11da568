//! Masks what looks like a secret in text written by others.
//!
//! Three passes, each simple: values that a name gives away, addresses, and long
//! runs of base64. It must not know who wrote the text or where it goes.

use std::ops::Range;

use super::MASK;

/// Length from which a run of base64 characters counts as a secret. An AWS secret
/// access key has exactly 40, a UUID with its hyphens 36.
const TOKEN_LENGTH: usize = 40;

/// The longest hexadecimal digest left readable: SHA-256, as `ETag`s and checksums
/// have to be compared by eye.
const DIGEST_LENGTH: usize = 64;

/// How many characters of a long run may stand in parts like `aZ3kQ`, so that a
/// path with the random part of a temporary directory (6) stays readable. Of
/// 400,000 random tokens of the shortest length none had so few.
const ODD_CHARACTERS: usize = 8;

/// Ends of names whose value is a secret, in lower case and without `-` and `_`:
/// `X-Amz-Security-Token`, `aws_secret_access_key`, `JoinToken`, `Set-Cookie` ...
const SECRET_NAMES: [&str; 13] = [
    "apikey",
    "attendeedata",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "meetingdata",
    "passwd",
    "password",
    "secret",
    "secretaccesskey",
    "signature",
    "token",
];

/// The text with every likely secret replaced by `[secret]`.
///
/// Masked are: values of secret names (`JoinToken`, `Authorization`,
/// `X-Amz-Signature` ...) in JSON, headers, queries and assignments; user
/// information, query values and fragments of addresses; runs of 40 and more
/// base64 characters. Readable stay: sentences, paths, UUIDs, one-case digests up
/// to 64 characters.
#[must_use]
pub fn scrub(text: &str) -> String {
    mask_tokens(&mask_addresses(&mask_named_values(text)))
}

fn mask_named_values(text: &str) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(value) = next_named_value(rest) {
        scrubbed.push_str(&rest[..value.start]);
        scrubbed.push_str(MASK);
        rest = &rest[value.end..];
    }
    scrubbed + rest
}

/// Where the first value of a secret name stands.
fn next_named_value(text: &str) -> Option<Range<usize>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut from = 0;
    loop {
        let start = from + text[from..].find(is_name)?;
        let length = text[start..].find(|c| !is_name(c)).unwrap_or(text.len() - start);
        let end = start + length;
        if let Some(value) = value_after(&text[start..end], &text[end..]) {
            return Some(end + value.start..end + value.end);
        }
        from = end;
    }
}

/// Where in `after` the secret that belongs to `name` stands.
fn value_after(name: &str, after: &str) -> Option<Range<usize>> {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    if name.starts_with("aws4hmac") {
        return header_value(after, 0);
    }
    if !SECRET_NAMES.iter().any(|secret| name.ends_with(secret)) {
        return None;
    }
    let quoted_name = opening_quote(after);
    let separated = after[quoted_name.len()..].trim_start_matches(' ');
    let value = separated
        .strip_prefix([':', '='])
        .or_else(|| separated.strip_prefix("%3D"))?
        .trim_start_matches(['>', ' ']);
    // "unexpected token: '}'" is what JavaScript engines say, not a secret.
    if name == "token" && quoted_name.is_empty() && separated.starts_with(':') {
        return None;
    }
    let start = after.len() - value.len();
    let quote = opening_quote(value);
    if !quote.is_empty() {
        return quoted_value(value, quote).map(|inner| start + inner.start..start + inner.end);
    }
    if name.ends_with("authorization") || name.ends_with("cookie") {
        return header_value(after, start);
    }
    let end = value.find(|c: char| is_word_end(c) || c == '&' || c == '\'').unwrap_or(value.len());
    (end > 0).then(|| start..start + end)
}

/// `"`, `'` or, in JSON inside of JSON, `\"` at the start of the text; else nothing.
fn opening_quote(text: &str) -> &str {
    let unescaped = text.trim_start_matches('\\');
    if unescaped.starts_with(['"', '\'']) { &text[..=text.len() - unescaped.len()] } else { "" }
}

/// The inside of a quoted value. A quote behind more backslashes than the opening
/// one belongs to the value, one behind fewer ends what the value is quoted in.
fn quoted_value(text: &str, quote: &str) -> Option<Range<usize>> {
    let mark = if quote.ends_with('"') { '"' } else { '\'' };
    let inside = &text[quote.len()..];
    let end = inside
        .match_indices(mark)
        .map(|(at, _)| inside[..at].trim_end_matches('\\').len()..at)
        .find(|backslashes| backslashes.len() < quote.len())
        .map_or(inside.len(), |backslashes| backslashes.start);
    (end > 0).then(|| quote.len()..quote.len() + end)
}

/// The rest of the line or of the quoted text: header values contain blanks.
fn header_value(text: &str, start: usize) -> Option<Range<usize>> {
    let start = text.len() - text[start..].trim_start_matches(' ').len();
    let value = &text[start..];
    let end = value.find(['\n', '\r', '"', '\\']).unwrap_or(value.len());
    (end > 0).then(|| start..start + end)
}

/// What cannot stand inside of an address, nor inside of a value without quotes.
fn is_word_end(c: char) -> bool {
    c.is_whitespace() || c.is_control() || ['"', '<', '>', '`', '\\'].contains(&c)
}

fn mask_addresses(text: &str) -> String {
    text.split_inclusive(is_word_end)
        .map(|piece| {
            let word = piece.trim_end_matches(is_word_end);
            redact_address(word) + &piece[word.len()..]
        })
        .collect()
}

/// An address, whole or from its path on; any other word comes back as it is.
fn redact_address(word: &str) -> String {
    let (path, query) = word.split_once('?').unwrap_or((word, ""));
    let absolute = word.contains("://");
    if !absolute && !query.contains('=') {
        return word.to_owned();
    }
    let path = path.split_once('#').map_or(path, |(path, _fragment)| path);
    let query = query.split_once('#').map_or(query, |(query, _fragment)| query);
    let mut address = without_user_info(path);
    if !query.is_empty() {
        // Firefox says in `e` why it shows an error page instead of the page.
        let readable = if word.contains("about:neterror") { "e" } else { "" };
        let values: Vec<String> = query.split('&').map(|pair| mask_value(pair, readable)).collect();
        address = address + "?" + &values.join("&");
    }
    address
}

/// `name=[secret]`; all of it where no name can be told from the value.
fn mask_value(pair: &str, readable: &str) -> String {
    match pair.split_once('=') {
        Some((name, _)) if name == readable => pair.to_owned(),
        // Nothing but padding behind the first `=`: the "name" is base64.
        Some((name, value)) if !value.trim_matches('=').is_empty() => format!("{name}={MASK}"),
        _ => MASK.to_owned(),
    }
}

/// Drops `user:password@` behind every `://`.
fn without_user_info(path: &str) -> String {
    let mut parts = path.split("://");
    let mut address = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (authority, rest) = part.split_at(part.find('/').unwrap_or(part.len()));
        let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
        address = address + "://" + host + rest;
    }
    address
}

fn mask_tokens(text: &str) -> String {
    let mut scrubbed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let run = &rest[..run_length(rest)];
        let (kept, length) = if run.is_empty() {
            (&rest[..next.len_utf8()], next.len_utf8())
        } else if run.len() >= TOKEN_LENGTH && !reads_as_words(run) {
            (MASK, run.len())
        } else {
            (run, run.len())
        };
        scrubbed.push_str(kept);
        rest = &rest[length..];
    }
    scrubbed
}

/// Bytes of base64 at the start of the text: both alphabets, percent-encoded or
/// not, with padding.
fn run_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut length = 0;
    while let Some(byte) = bytes.get(length) {
        length += match byte {
            b'+' | b'/' | b'-' | b'_' => 1,
            b'%' if is_percent_code(&bytes[length..]) => 3,
            _ if byte.is_ascii_alphanumeric() => 1,
            _ => break,
        };
    }
    let padding = bytes[length..].iter().take_while(|byte| **byte == b'=').count();
    if length == 0 { 0 } else { length + padding }
}

fn is_percent_code(bytes: &[u8]) -> bool {
    bytes.len() >= 3 && bytes[1..3].iter().all(u8::is_ascii_hexdigit)
}

/// Whether a long run is made of words, numbers, UUIDs or digests, as paths and
/// keys are, and not of letters mixed at random.
fn reads_as_words(run: &str) -> bool {
    let mut odd = 0;
    for (index, piece) in run.split('%').enumerate() {
        // Behind a percent sign stand the two digits of its code.
        let piece = if index == 0 { piece } else { &piece[2..] };
        for part in piece.split(['/', '-', '_', '+', '=']) {
            let mixed = part.contains(|c: char| c.is_ascii_lowercase())
                && part.chars().skip(1).any(|c| c.is_ascii_uppercase());
            if part.len() > DIGEST_LENGTH {
                return false;
            }
            odd += if mixed { part.len() } else { 0 };
        }
    }
    odd <= ODD_CHARACTERS
}

#[cfg(test)]
mod tests {
    use base64::prelude::{
        BASE64_STANDARD as STANDARD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD, Engine,
    };
    use proptest::prelude::*;

    use super::*;

    const TOKEN: &str = "QXR0ZW5kZWU6dG9rZW4gZm9yIHRoZSBtZWV0aW5nIHJvb20";

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "",
            "Could not connect to the display :1",
            "SyntaxError: unexpected token: '}'",
            "a signature mismatch was found, see the secret of token 3",
            "is it over? yes = 1, no = 2; issue #4",
            "request 0b6d3c1e-1111-4222-8333-444455556666 failed",
            "etag 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "/srv/person/.cache/recorder/target/debug/build/some-crate-0123456789abcdef/out",
            "/tmp/recorder-aZ3kQp/firefox-profile/storage/permanent/chrome",
            "RECORDINGS/2024/03/05/07/0b6d3c1e-1111-4222-8333-444455556666-9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd-20240305T070809_UTC.mp4",
            "GST_STATE_CHANGE_FAILURE_OF_THE_ELEMENT_NAMED_X264",
            "https://example.com/a/b.html",
            "a naïve façade of more than forty characters, àéîöü and all, stays",
        ] {
            assert_eq!(scrub(text), text);
        }
    }

    #[test]
    fn named_values_are_masked_in_every_spelling() {
        for (text, scrubbed) in [
            (r#"{"JoinToken":"abc","x":"1"}"#, r#"{"JoinToken":"[secret]","x":"1"}"#),
            (r#"{"JoinToken": "a\"b", "x":1}"#, r#"{"JoinToken": "[secret]", "x":1}"#),
            (r#"{\"JoinToken\":\"abc\",\"x\":1}"#, r#"{\"JoinToken\":\"[secret]\",\"x\":1}"#),
            (r#""{\"JoinToken\":\"cut off"}"#, r#""{\"JoinToken\":\"[secret]"}"#),
            ("JoinToken: 'abc', x", "JoinToken: '[secret]', x"),
            ("GET /?token=abc&room=", "GET /?token=[secret]&[secret]"),
            ("AWS_SECRET_ACCESS_KEY=abc next", "AWS_SECRET_ACCESS_KEY=[secret] next"),
            ("x-amz-security-token: abc\nhost: b", "x-amz-security-token: [secret]\nhost: b"),
            (
                "authorization: AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=12ab\nhost: b",
                "authorization: [secret]\nhost: b",
            ),
            (r#""authorization": "Bearer abc", "b": 1"#, r#""authorization": "[secret]", "b": 1"#),
            ("signed AWS4-HMAC-SHA256 Credential=AKIA/x", "signed AWS4-HMAC-SHA256 [secret]"),
            ("X-Amz-Signature%3Dabc", "X-Amz-Signature%3D[secret]"),
            ("Set-Cookie: a=1; b=2", "Set-Cookie: [secret]"),
            ("CHIME_MEETING_DATA=abc", "CHIME_MEETING_DATA=[secret]"),
        ] {
            assert_eq!(scrub(text), scrubbed);
        }
    }

    #[test]
    fn addresses_keep_only_what_tells_them_apart() {
        for (text, scrubbed) in [
            ("open 'https://u:p@host/a?b=c#d' now", "open 'https://host/a?b=[secret] now"),
            ("http://a/,http://u:p@b/c", "http://a/,http://b/c"),
            ("\"https://host/?b=c\",\"x\"", "\"https://host/?b=[secret]\",\"x\""),
            ("GET /join?meeting=abc HTTP/1.1", "GET /join?meeting=[secret] HTTP/1.1"),
            (
                "Reached error page: about:neterror?e=dnsNotFound&u=https%3A//host/%3Fa%3Db&c=UTF-8",
                "Reached error page: about:neterror?e=dnsNotFound&u=[secret]&c=[secret]",
            ),
        ] {
            assert_eq!(scrub(text), scrubbed);
        }
    }

    #[test]
    fn tokens_are_masked_wherever_they_stand() {
        for (text, scrubbed) in [
            (format!("got {TOKEN}."), "got [secret].".to_owned()),
            (format!("got {TOKEN}==."), "got [secret].".to_owned()),
            (format!("path=/{TOKEN}/x.js"), "path=[secret].js".to_owned()),
            (format!("%7B{TOKEN}%2Bab%3D"), "[secret]".to_owned()),
            ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_owned(), "[secret]".to_owned()),
            ("ab12".repeat(17), "[secret]".to_owned()),
        ] {
            assert_eq!(scrub(&text), scrubbed);
        }
    }

    /// Random bytes in either alphabet, also with the percent codes of the signs.
    fn token() -> impl Strategy<Value = String> {
        let bytes = prop::collection::vec(any::<u8>(), 30..200);
        (bytes, any::<bool>(), any::<bool>()).prop_map(|(bytes, url_safe, encoded)| {
            match (url_safe, encoded) {
                (true, _) => URL_SAFE_NO_PAD.encode(bytes),
                (false, false) => STANDARD.encode(bytes),
                (false, true) => STANDARD
                    .encode(bytes)
                    .replace('+', "%2B")
                    .replace('/', "%2F")
                    .replace('=', "%3D"),
            }
        })
    }

    proptest! {
        #[test]
        fn a_token_survives_nowhere(before in ".{0,40}", token in token(), after in ".{0,40}") {
            let scrubbed = scrub(&format!("{before}{token}{after}"));
            prop_assert!(!scrubbed.contains(&token));
            // Nor does half of it; a leading `#` or `?` may drop it altogether.
            prop_assert!(!scrubbed.contains(&token[..token.len() / 2]));
            prop_assert!(!scrubbed.contains(&token[token.len() / 2..]));
        }

        #[test]
        fn a_value_with_a_secret_name_survives_in_no_form(value in "[!-~&&[^\"\\\\]]{9,60}") {
            let json = format!(r#"{{"JoinToken":"{value}","x":1}}"#);
            let nested = serde_json::json!({ "error": json }).to_string();
            let header = format!("Authorization: Basic {value}\r\nHost: example.com");
            for text in [json, nested, header] {
                let scrubbed = scrub(&text);
                prop_assert!(!scrubbed.contains(&value), "{scrubbed}");
            }
        }

        #[test]
        fn a_password_in_an_address_is_dropped(word in "[A-Za-z0-9'!$*._~-]{9,30}") {
            let scrubbed = scrub(&format!("open https://user:{word}@host/path now"));
            prop_assert_eq!(scrubbed, "open https://host/path now");
        }

        #[test]
        fn sentences_stay(sentence in "([A-Za-z]{1,12}[,.;!]? ){0,20}[0-9]{0,10}") {
            prop_assert_eq!(scrub(&sentence), sentence);
        }

        #[test]
        fn paths_stay(path in "(/[a-z0-9._-]{1,20}){1,10}") {
            prop_assert_eq!(scrub(&path), path);
        }

        #[test]
        fn scrubbing_twice_changes_nothing(text in ".{0,200}") {
            let once = scrub(&text);
            prop_assert_eq!(scrub(&once), once);
        }

        #[test]
        fn a_line_of_json_stays_json(message in "\\PC{0,80}") {
            let line = serde_json::json!({ "message": message, "token": "a" }).to_string();
            let scrubbed = scrub(&line);
            prop_assert!(
                serde_json::from_str::<serde_json::Value>(&scrubbed).is_ok(),
                "{line} became {scrubbed}"
            );
        }
    }
}
