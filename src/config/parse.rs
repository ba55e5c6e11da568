//! Text to value, one function for each kind of setting. `None` is a text that
//! breaks the rule; the rule in words stands beside the setting in `config.rs`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use url::Url;

use super::{Encryption, Size};
use crate::capture::VideoEncoder;

/// The smallest and the largest picture: what a page can still be laid out in, and
/// the most that level 5.1 of H.264 takes at 30 pictures a second.
const SMALLEST: Size = Size { width: 640, height: 360 };
const LARGEST: Size = Size { width: 3840, height: 2160 };

/// Pictures a second: the display is never drawn more often than 60 times.
const MAX_FPS: u32 = 60;

/// What S3 allows for the name of an object.
const MAX_KEY_BYTES: usize = 1024;

/// `1h30m`, `45s`: whole numbers, each unit at most once, large before small, more
/// than nothing. A number without unit is no length: 30 what?
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, behind)) = rest.split_once(unit) {
            seconds = seconds.checked_add(decimal(number)?.checked_mul(length)?)?;
            rest = behind;
        }
    }
    (rest.is_empty() && seconds > 0).then(|| Duration::from_secs(seconds))
}

/// `1920x1080`.
pub(super) fn size(text: &str) -> Option<Size> {
    let (width, height) = text.split_once('x')?;
    Some(Size { width: self::width(width)?, height: self::height(height)? })
}

pub(super) fn width(text: &str) -> Option<u16> {
    even(text, SMALLEST.width, LARGEST.width)
}

pub(super) fn height(text: &str) -> Option<u16> {
    even(text, SMALLEST.height, LARGEST.height)
}

/// Even, because 4:2:0 keeps one colour for two by two pixels.
fn even(text: &str, lowest: u16, highest: u16) -> Option<u16> {
    let pixels = u16::try_from(decimal(text)?).ok()?;
    ((lowest..=highest).contains(&pixels) && pixels.is_multiple_of(2)).then_some(pixels)
}

pub(super) fn encoder(text: &str) -> Option<VideoEncoder> {
    match text {
        "x264" => Some(VideoEncoder::X264),
        "vaapi" => Some(VideoEncoder::Vaapi),
        "nvenc" => Some(VideoEncoder::Nvenc),
        _ => None,
    }
}

pub(super) fn fps(text: &str) -> Option<u32> {
    let fps = u32::try_from(decimal(text)?).ok()?;
    (1..=MAX_FPS).contains(&fps).then_some(fps)
}

/// Digits only; `str::parse` would also take `+30`.
fn decimal(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// 0 is off.
pub(super) fn checkpoint(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let bounds = Duration::from_secs(1)..=Duration::from_hours(1);
    duration(text).filter(|every| bounds.contains(every))
}

/// K, M and G are powers of 1024.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().next_back()? {
        (end, 'K') => (&text[..end], 1 << 10),
        (end, 'M') => (&text[..end], 1 << 20),
        (end, 'G') => (&text[..end], 1 << 30),
        _ => (text, 1),
    };
    decimal(number)?.checked_mul(unit)
}

pub(super) fn page_url(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    ["http", "https", "file"].contains(&url.scheme()).then_some(url)
}

/// Credentials belong to the SDK's own settings, and a query means nothing here.
pub(super) fn endpoint(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let bare = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (bare && ["http", "https"].contains(&url.scheme())).then_some(url)
}

/// The naming rules of general purpose buckets.
pub(super) fn bucket(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|byte| is_plain(*byte))
            && bytes.last().is_some_and(|byte| is_plain(*byte))
            && bytes.iter().all(|byte| is_plain(*byte) || *byte == b'-')
    };
    let is_name = (3..=63).contains(&text.len())
        && text.split('.').all(is_label)
        && text.parse::<std::net::Ipv4Addr>().is_err();
    is_name.then(|| text.to_owned())
}

/// A name that S3, file systems and HTTP clients all take as it is: HTTP clients
/// fold `.` and `..`, and the name is a path below a folder under `--local`.
pub(super) fn key(text: &str) -> Option<String> {
    let is_name = !text.is_empty()
        && text.len() <= MAX_KEY_BYTES
        && !text.starts_with('/')
        && !text.ends_with('/')
        && !text.contains(char::is_control)
        && !text.split('/').any(|part| part == "." || part == "..");
    is_name.then(|| text.to_owned())
}

pub(super) fn region(text: &str) -> Option<String> {
    let is_name = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    is_name.then(|| text.to_owned())
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

pub(super) fn encryption(text: &str) -> Option<Encryption> {
    let is_key = |c: char| c.is_ascii_alphanumeric() || "-_:/".contains(c);
    match text {
        "aws:kms" => Some(Encryption::DefaultKey),
        _ if !text.is_empty() && text.chars().all(is_key) => Some(Encryption::Key(text.to_owned())),
        _ => None,
    }
}

pub(super) fn path(text: &str) -> Option<PathBuf> {
    (!text.is_empty() && !text.contains('\0')).then(|| text.into())
}

pub(super) fn search_path(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// What fits into one line of a header.
pub(super) fn title(text: &str) -> Option<String> {
    let fits = text.chars().count() <= 200 && !text.contains(char::is_control);
    fits.then(|| text.to_owned())
}

pub(super) fn meeting_id(text: &str) -> Option<String> {
    let length = text.chars().count();
    ((1..=64).contains(&length) && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// Names by id: a JSON object of texts in base64, padded or not.
pub(super) fn names(text: &str) -> Option<BTreeMap<String, String>> {
    serde_json::from_slice(&decoded(text)).ok()
}

/// A JSON object in base64, padded or not.
pub(super) fn is_join_data(text: &str) -> bool {
    serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&decoded(text)).is_ok()
}

/// Nothing, where it is no base64.
fn decoded(text: &str) -> Vec<u8> {
    let padding = DecodePaddingMode::Indifferent;
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(padding);
    GeneralPurpose::new(&STANDARD, config).decode(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Which of the texts a parser takes.
    fn taken<'a, T>(parse: fn(&str) -> Option<T>, texts: &[&'a str]) -> Vec<&'a str> {
        texts.iter().copied().filter(|text| parse(text).is_some()).collect()
    }

    #[test]
    fn a_duration_names_its_units() {
        for (text, seconds) in [
            ("30s", 30),
            ("5m", 300),
            ("90m", 5400),
            ("1h30m", 5400),
            ("1h5s", 3605),
            ("12h", 43200),
            ("0h0m1s", 1),
        ] {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        let wrong = [
            "",
            "30",
            "s",
            "0s",
            "-1s",
            "+1s",
            "1.5h",
            "1m1h",
            "1s1s",
            "30 s",
            "30S",
            "1d",
            "500ms",
            "99999999999999999999s",
            "9999999999999999999h",
        ];
        assert_eq!(taken(duration, &wrong), [""; 0]);
    }

    #[test]
    fn a_size_is_even_and_in_range() {
        assert_eq!(size("1920x1080"), Some(Size { width: 1920, height: 1080 }));
        assert_eq!(size("640x360"), Some(SMALLEST));
        assert_eq!(size("3840x2160"), Some(LARGEST));
        let wrong = [
            "",
            "1920",
            "1920x",
            "x1080",
            "1921x1080",
            "1920x1081",
            "638x360",
            "640x358",
            "320x240",
            "3842x2160",
            "3840x2162",
            "1920X1080",
            "1920x1080x24",
            "-1920x1080",
            "+1920x1080",
            "1920 x 1080",
            "99999x1080",
            "1080p",
        ];
        assert_eq!(taken(size, &wrong), [""; 0]);
    }

    #[test]
    fn fps_are_whole_and_in_range() {
        let texts = ["1", "30", "60", "0", "61", "29.97", "-1", "+30", "", "30fps", "4294967326"];
        assert_eq!(taken(fps, &texts), ["1", "30", "60"]);
    }

    #[test]
    fn a_page_is_on_the_web_or_in_a_file() {
        let right = ["http://a/", "https://user:word@a:8443/b?c=d#e", "file:///srv/page.html"];
        assert_eq!(taken(page_url, &right), right);
        let wrong =
            ["", "example.com", "ftp://a/", "about:blank", "javascript:1", "data:,a", "http://"];
        assert_eq!(taken(page_url, &wrong), [""; 0]);
    }

    #[test]
    fn an_endpoint_is_an_address_and_nothing_more() {
        let right = ["http://127.0.0.1:9000", "https://s3.example.com/", "http://[::1]:9000/s3"];
        assert_eq!(taken(endpoint, &right), right);
        let wrong = [
            "",
            "localhost:9000",
            "file:///a",
            "http://a:b@c/",
            "http://a@c/",
            "http://a/?b",
            "http://a/#b",
        ];
        assert_eq!(taken(endpoint, &wrong), [""; 0]);
    }

    #[test]
    fn a_bucket_follows_the_naming_rules() {
        let longest = "a".repeat(63);
        let right = ["abc", "my-recordings", "a.b.c", "0ab", &longest];
        assert_eq!(taken(bucket, &right), right);
        let long = "a".repeat(64);
        let wrong = [
            "",
            "ab",
            &long,
            "Abc",
            "a_b",
            "-abc",
            "abc-",
            "a..b",
            "a.-b",
            ".abc",
            "abc.",
            "192.168.0.1",
            "a/b",
            "bücket",
            "s3://abc",
        ];
        assert_eq!(taken(bucket, &wrong), [""; 0]);
    }

    #[test]
    fn a_key_is_a_name_everywhere() {
        let longest = "k".repeat(MAX_KEY_BYTES);
        let right = [
            "a.mp4",
            "RECORDINGS/2024/03/05/07/m-r-20240305T070809_UTC.mp4",
            "Gespräch ä.mp4",
            "a/.b",
            &longest,
        ];
        assert_eq!(taken(key, &right), right);
        let long = "k".repeat(MAX_KEY_BYTES + 1);
        let wrong = ["", "/a", "a/", "a\nb", "a\0b", "../a", "a/../b", "a/./b", "..", &long];
        assert_eq!(taken(key, &wrong), [""; 0]);
    }

    #[test]
    fn small_values_follow_their_rules() {
        assert_eq!(
            taken(region, &["eu-central-1", "auto", "", "EU", "eu central", "eu/1"]),
            ["eu-central-1", "auto"]
        );
        assert_eq!(taken(boolean, &["true", "false", "", "yes", "1", "TRUE"]), ["true", "false"]);
        assert_eq!(encryption("aws:kms"), Some(Encryption::DefaultKey));
        let keys = [
            "alias/aws/s3",
            "0b6d3c1e-1111-4222-8333-444455556666",
            "arn:aws:kms:eu-central-1:123456789012:key/mrk-0123",
        ];
        for id in keys {
            assert_eq!(encryption(id), Some(Encryption::Key(id.to_owned())));
        }
        assert_eq!(taken(encryption, &["", "a key", "kéy", "a\nb"]), [""; 0]);
    }

    #[test]
    fn bytes_may_have_a_unit() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1000", Some(1000)),
            ("64M", Some(64 << 20)),
            ("2G", Some(2 << 30)),
            ("3K", Some(3 << 10)),
            ("M", None),
            ("", None),
            ("-1", None),
            ("1.5G", None),
            ("64MB", None),
            ("99999999999999G", None),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_checkpoint_is_off_or_a_second_to_an_hour() {
        let seconds = |text| checkpoint(text).map(|every| every.as_secs());
        assert_eq!(
            ["0", "1s", "5s", "1h", "61m", "0s", "5", ""].map(seconds),
            [Some(0), Some(1), Some(5), Some(3600), None, None, None, None]
        );
    }

    #[test]
    fn join_data_is_an_object_in_base64() {
        for (text, right) in [
            ("eyJBdHRlbmRlZUlkIjoiYSIsIkV4dGVybmFsVXNlcklkIjoiYiIsIkpvaW5Ub2tlbiI6ImMifQ==", true),
            ("eyJBdHRlbmRlZUlkIjoiYSIsIkV4dGVybmFsVXNlcklkIjoiYiIsIkpvaW5Ub2tlbiI6ImMifQ", true),
            ("eyJhIjoifn4+Pj4/w6kifQ==", true),
            ("e30=", true),
            ("", false),
            ("eyJh", false),
            ("W10=", false),
            ("ImEi", false),
            ("not base64", false),
            ("{}", false),
        ] {
            assert_eq!(is_join_data(text), right, "{text}");
        }
    }

    proptest! {
        #[test]
        fn durations_read_back(hours in 0u64..24, minutes in 0u64..60, seconds in 1u64..60) {
            let text = format!("{hours}h{minutes}m{seconds}s");
            let expected = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
            prop_assert_eq!(duration(&text), Some(expected));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,40}|[0-9hmsx.:/@-]{0,40}") {
            let _ = (duration(&text), size(&text), fps(&text), page_url(&text), endpoint(&text));
            let _ = (bucket(&text), key(&text), region(&text), encryption(&text));
            let _ = is_join_data(&text);
        }
    }
}
