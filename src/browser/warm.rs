//! What Firefox prepared at an earlier start, brought into a fresh profile: its own scripts,
//! compiled, and its databases, filled. `docker/warm-firefox.sh` makes it.
//!
//! Firefox looks itself whether scripts are of its build, and takes the rest as it is. This
//! must not know what is in a profile.

use std::fs;
use std::io;
use std::path::Path;

/// Copies it into an empty folder, or leaves that empty: a slow start is better than none.
pub(super) fn bring(cache: &Path, profile: &Path) {
    if let Err(error) = copy(cache, profile) {
        let cache = cache.display();
        tracing::warn!(%error, %cache, "Firefox starts without its cache (--firefox-cache)");
        // Half of it would be taken for all.
        let _ = fs::remove_dir_all(profile).and_then(|()| fs::create_dir(profile));
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy(&from, &to)?;
        } else {
            fs::copy(&from, &to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_brought_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let [cache, profile] = ["cache", "profile"].map(|name| dir.path().join(name));
        fs::create_dir_all(cache.join("storage/permanent")).unwrap();
        fs::create_dir(&profile).unwrap();
        fs::write(cache.join("prefs.js"), "preferences").unwrap();
        fs::write(cache.join("storage/permanent/a.sqlite"), "a database").unwrap();
        std::os::unix::fs::symlink("nowhere", cache.join("storage/lock")).unwrap();

        let files = || fs::read_dir(&profile).unwrap().count();
        bring(&cache, &profile);
        assert_eq!(files(), 0, "one of its files cannot be read");
        bring(&dir.path().join("nowhere"), &profile);
        assert_eq!(files(), 0);

        fs::remove_file(cache.join("storage/lock")).unwrap();
        bring(&cache, &profile);
        assert_eq!(fs::read(profile.join("prefs.js")).unwrap(), b"preferences");
        let brought = fs::read(profile.join("storage/permanent/a.sqlite")).unwrap();
        assert_eq!(brought, b"a database");
    }
}
