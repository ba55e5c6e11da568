//! What Firefox prepared at an earlier start, brought into a fresh profile: its own
//! scripts, compiled, which takes a quarter of a start. `docker/warm-firefox.sh` makes it.
//!
//! Firefox looks itself whether it is of the same build, and throws it away if not. It
//! must not know what else is in a profile.

use std::io;
use std::path::Path;

/// By which build, and the folder with all that it prepared: Firefox's own names.
const BUILD: &str = "compatibility.ini";
const PREPARED: &str = "startupCache";

/// Copies it, or leaves the profile as it was: a slow start is better than none.
pub(super) fn bring(cache: &Path, profile: &Path) {
    if let Err(error) = copy(cache, profile) {
        let cache = cache.display();
        tracing::warn!(%error, %cache, "Firefox starts without its cache (--firefox-cache)");
        // Half of it would be taken for all.
        let _ = std::fs::remove_file(profile.join(BUILD));
        let _ = std::fs::remove_dir_all(profile.join(PREPARED));
    }
}

fn copy(cache: &Path, profile: &Path) -> io::Result<()> {
    let (from, to) = (cache.join(PREPARED), profile.join(PREPARED));
    std::fs::create_dir(&to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        std::fs::copy(entry.path(), to.join(entry.file_name()))?;
    }
    std::fs::copy(cache.join(BUILD), profile.join(BUILD))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_is_brought_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let [cache, profile] = ["cache", "profile"].map(|name| dir.path().join(name));
        std::fs::create_dir_all(cache.join(PREPARED)).unwrap();
        std::fs::create_dir(&profile).unwrap();
        std::fs::write(cache.join(PREPARED).join("scriptCache.bin"), "compiled").unwrap();

        let files = || std::fs::read_dir(&profile).unwrap().count();
        bring(&cache, &profile);
        assert_eq!(files(), 0, "nobody knows of which build it is");
        bring(&dir.path().join("nowhere"), &profile);
        assert_eq!(files(), 0);

        std::fs::write(cache.join(BUILD), "[Compatibility]").unwrap();
        bring(&cache, &profile);
        assert_eq!(std::fs::read(profile.join(BUILD)).unwrap(), b"[Compatibility]");
        let brought = std::fs::read(profile.join(PREPARED).join("scriptCache.bin")).unwrap();
        assert_eq!(brought, b"compiled");
    }
}
