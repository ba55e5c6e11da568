//! Whether a recorder is well, told through a file: the recording writes it once a
//! second, and `recorder health`, another process in the same container, reads it.
//!
//! It must not know what a recording is made of, nor mend anything.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::recording::machine::State;
use crate::recording::status::Snapshot;

/// A recorder that says nothing for so long hangs: it means to speak every second,
/// and two busy cores have held it up for three.
const SILENCE: Duration = Duration::from_secs(15);

/// While it records there are pictures, of a page at rest as well.
const NO_PICTURE: Duration = Duration::from_secs(15);

/// Not well: what Docker and ECS take for it.
const UNHEALTHY: u8 = 1;

/// What the file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    state: State,
    pictures: u64,
    bytes: u64,
    /// How long there has been no new picture.
    seconds_without_picture: u64,
}

/// The file, as the recording keeps it. It is gone when this is dropped.
#[derive(Debug)]
pub struct Health {
    path: PathBuf,
    pictures: u64,
    since: Instant,
    failed: bool,
}

impl Health {
    pub fn new(path: PathBuf) -> Self {
        Self { path, pictures: 0, since: Instant::now(), failed: false }
    }

    /// Called once a second.
    pub(crate) fn tell(&mut self, snapshot: &Snapshot) {
        let pictures = snapshot.pictures.encoded;
        if pictures != self.pictures || snapshot.state != State::Recording {
            (self.pictures, self.since) = (pictures, Instant::now());
        }
        let told = Told {
            state: snapshot.state,
            pictures,
            bytes: snapshot.bytes,
            seconds_without_picture: self.since.elapsed().as_secs(),
        };
        // Nobody can be told but by the log, and once is enough: a recording does not
        // end for it.
        if let Err(error) = write(&self.path, &told)
            && !std::mem::replace(&mut self.failed, true)
        {
            tracing::warn!(path = %self.path.display(), %error, "health cannot be told");
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whole or not at all: somebody may read meanwhile.
fn write(path: &Path, told: &Told) -> io::Result<()> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(&serde_json::to_vec(told)?)?;
    file.persist(path)?;
    Ok(())
}

/// Prints one JSON object; the exit code says the same.
pub fn check(path: &Path) -> ExitCode {
    let (told, age) = match read(path) {
        Ok((told, age)) => (Some(told), age),
        Err(error) => return say(None, Some(&format!("{}: {error}", path.display()))),
    };
    let problem = told.as_ref().and_then(|told| problem(told, age));
    say(told.as_ref(), problem.as_deref())
}

fn read(path: &Path) -> io::Result<(Told, Duration)> {
    let told = serde_json::from_slice(&fs::read(path)?)?;
    let written = fs::metadata(path)?.modified()?;
    // A clock that was set back is no sign of age.
    Ok((told, SystemTime::now().duration_since(written).unwrap_or_default()))
}

fn problem(told: &Told, age: Duration) -> Option<String> {
    if age > SILENCE {
        return Some(format!("the recorder has said nothing for {} s", age.as_secs()));
    }
    let without = told.seconds_without_picture;
    (without > NO_PICTURE.as_secs()).then(|| format!("there has been no picture for {without} s"))
}

fn say(told: Option<&Told>, problem: Option<&str>) -> ExitCode {
    #[derive(Serialize)]
    struct Said<'a> {
        healthy: bool,
        problem: Option<&'a str>,
        recorder: Option<&'a Told>,
    }
    let said = Said { healthy: problem.is_none(), problem, recorder: told };
    let json = serde_json::to_string(&said).expect("it is plain data");
    // Whoever does not read it has the exit code.
    let _ = writeln!(io::stdout(), "{json}");
    if problem.is_none() { ExitCode::SUCCESS } else { ExitCode::from(UNHEALTHY) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Pictures;

    fn snapshot(state: State, encoded: u64) -> Snapshot {
        Snapshot {
            state,
            length: Duration::ZERO,
            bytes: 7,
            pictures: Pictures { encoded, ..Pictures::default() },
            loudness: None,
        }
    }

    #[test]
    fn what_is_told_is_read_and_goes_with_the_recorder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("health.json");
        let mut health = Health::new(path.clone());
        health.tell(&snapshot(State::Recording, 30));
        let (told, age) = read(&path).unwrap();
        let expected =
            Told { state: State::Recording, pictures: 30, bytes: 7, seconds_without_picture: 0 };
        assert_eq!(told, expected);
        assert_eq!(problem(&told, age), None);
        drop(health);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert!(read(&path).is_err());
    }

    #[test]
    fn the_time_without_a_picture_counts_while_it_records() {
        let long_ago = Instant::now().checked_sub(Duration::from_mins(1)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("health.json");
        let cases = [
            (State::Recording, 30, 60),
            (State::Recording, 31, 0),
            (State::Starting, 30, 0),
            (State::Finishing, 30, 0),
        ];
        for (state, encoded, expected) in cases {
            let mut health = Health::new(path.clone());
            (health.pictures, health.since) = (30, long_ago);
            health.tell(&snapshot(state, encoded));
            let (told, _) = read(&path).unwrap();
            assert_eq!(told.seconds_without_picture, expected, "{state:?} {encoded}");
        }
    }

    #[test]
    fn silence_and_a_still_picture_are_problems() {
        let told = |without| Told {
            state: State::Recording,
            pictures: 30,
            bytes: 7,
            seconds_without_picture: without,
        };
        let seconds = Duration::from_secs;
        assert_eq!(problem(&told(0), seconds(15)), None);
        assert_eq!(problem(&told(15), seconds(0)), None);
        let silent = problem(&told(0), seconds(16));
        assert_eq!(silent.as_deref(), Some("the recorder has said nothing for 16 s"));
        let still = problem(&told(16), seconds(0));
        assert_eq!(still.as_deref(), Some("there has been no picture for 16 s"));
    }
}
