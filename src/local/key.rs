//! Which object keys are file names here, and which file they name.
//!
//! Pure: it must not touch the disk. S3 allows any 1,024 bytes of UTF-8 as a
//! key; a folder cannot hold all of them, and some would lead out of it.

use std::path::PathBuf;

use s3s::{S3Result, s3_error};

/// The folder inside the bucket's folder that holds what is not an object yet.
pub(super) const UPLOADS: &str = ".uploads";

/// S3's own limit, in bytes.
const MAX_KEY: usize = 1024;
/// The longest name of a file on the usual file systems, in bytes.
const MAX_NAME: usize = 255;

/// The path of an object relative to the bucket's folder.
pub(super) fn relative_path(key: &str) -> S3Result<PathBuf> {
    if key.len() > MAX_KEY {
        return Err(s3_error!(KeyTooLongError, "a key has at most {MAX_KEY} bytes"));
    }
    for name in key.split('/') {
        if name.len() > MAX_NAME {
            return Err(s3_error!(
                KeyTooLongError,
                "the part {name:?} of the key has more than {MAX_NAME} bytes and cannot be a file name"
            ));
        }
        if let Some(reason) = unusable(name) {
            return Err(s3_error!(InvalidArgument, "key {key:?} cannot be a file: {reason}"));
        }
    }
    Ok(PathBuf::from(key))
}

/// Why one component of a key cannot be the name of a file.
fn unusable(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("it has an empty component"),
        "." | ".." => Some("it has a component . or .."),
        _ if name.starts_with(UPLOADS) => Some("names that begin with .uploads are reserved"),
        // XML 1.0, the language of S3's answers, has no way to write these.
        _ if name.chars().any(|c| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}')) => {
            Some("it has control characters")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use s3s::S3ErrorCode;
    use std::path::Component;

    use super::*;

    #[test]
    fn ordinary_and_odd_keys_are_their_own_path() {
        let longest = format!("{0}/{0}/{0}/{1}/y", "x".repeat(255), "x".repeat(254));
        assert_eq!(longest.len(), 1024);
        for key in [
            "a.mp4",
            "recordings/2026/a b ~ > ? # % + & = @ : \\ \" ' ü 漢 🎥.mp4",
            "-",
            "...",
            ".hidden/file",
            &"e".repeat(64),
            &longest,
        ] {
            assert_eq!(relative_path(key).unwrap(), PathBuf::from(key));
        }
    }

    #[test]
    fn keys_that_are_no_file_are_refused() {
        for key in [
            "",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            "..",
            "../a",
            "a/../../b",
            "a/..",
            ".",
            "a/./b",
            ".uploads",
            ".uploads/x/00001.json",
            "a/.uploads-old",
            "a\0b",
            "a\nb",
            "\u{ffff}",
        ] {
            let error = relative_path(key).unwrap_err();
            assert_eq!(error.code(), &S3ErrorCode::InvalidArgument, "{key:?}");
        }
    }

    #[test]
    fn keys_longer_than_a_file_name_or_than_s3_allows_are_too_long() {
        for key in ["n".repeat(256), format!("a/{}", "n".repeat(300)), "a/".repeat(512) + "b"] {
            let error = relative_path(&key).unwrap_err();
            assert_eq!(error.code(), &S3ErrorCode::KeyTooLongError);
        }
    }

    proptest! {
        #[test]
        fn no_key_leads_out_of_the_folder(key in "[a./\\\\~ü\0-]{0,40}|\\PC{0,40}") {
            if let Ok(path) = relative_path(&key) {
                prop_assert!(path.components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert_eq!(path.components().count(), key.split('/').count());
            }
        }
    }
}
