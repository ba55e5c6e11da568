//! How much processor time the parts of a recorder take.
//!
//! Reads `/proc`. A process belongs to a part by its name or, without a known
//! name, by its parent, so a recorder that starts its own browser is taken
//! apart in the same way as one that is given one.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

/// How often processes are looked at; what a process does between the last look
/// and its end is not counted.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Figures for each part: seconds of processor time, or cores when divided by
/// the time they took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Parts {
    /// Whatever captures and encodes.
    pub recorder: f64,
    pub browser: f64,
    /// The X server.
    pub display: f64,
    /// The sound server.
    pub sound: f64,
    /// Everything else on the machine, and what its host gave to others.
    pub others: f64,
}

impl Parts {
    /// Without the others.
    pub fn total(&self) -> f64 {
        self.recorder + self.browser + self.display + self.sound
    }

    fn of(&mut self, part: Part) -> &mut f64 {
        match part {
            Part::Recorder => &mut self.recorder,
            Part::Browser => &mut self.browser,
            Part::Display => &mut self.display,
            Part::Sound => &mut self.sound,
            Part::Others => &mut self.others,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Recorder,
    Browser,
    Display,
    Sound,
    Others,
}

impl Part {
    fn of_name(name: &str) -> Option<Self> {
        match name {
            "Xvfb" => Some(Self::Display),
            "pulseaudio" => Some(Self::Sound),
            "geckodriver" => Some(Self::Browser),
            _ if name.starts_with("firefox") => Some(Self::Browser),
            _ => None,
        }
    }
}

/// Processor time since the processes started, at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub at: Instant,
    pub used: Parts,
    pub resident: Memory,
}

/// Bytes in memory of all that live; what they share counts for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub everything: u64,
    /// Of whatever captures and encodes.
    pub recorder: u64,
}

#[expect(clippy::cast_precision_loss, reason = "no memory has 2^52 bytes")]
pub fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The most memory that was in use at one moment; each figure has its own.
pub fn peak_memory(looks: &[Look]) -> Option<Memory> {
    looks.iter().map(|look| look.resident).reduce(|most, next| Memory {
        everything: most.everything.max(next.everything),
        recorder: most.recorder.max(next.recorder),
    })
}

/// Cores in use between two moments, by the looks nearest to them; `None` when
/// they are the same look.
pub fn cores(looks: &[Look], from: Instant, to: Instant) -> Option<Parts> {
    let first = looks.iter().find(|look| look.at >= from)?;
    let last = looks.iter().rfind(|look| look.at <= to)?;
    let seconds = last.at.checked_duration_since(first.at)?.as_secs_f64();
    let rate = |part: fn(&Parts) -> f64| (part(&last.used) - part(&first.used)) / seconds;
    (seconds > 0.0).then(|| Parts {
        recorder: rate(|parts| parts.recorder),
        browser: rate(|parts| parts.browser),
        display: rate(|parts| parts.display),
        sound: rate(|parts| parts.sound),
        others: rate(|parts| parts.others),
    })
}

/// Looks at processes in the background.
#[derive(Debug)]
pub struct Meter {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<Vec<Look>>,
}

impl Meter {
    /// Watches the processes `roots` and all that descend from them.
    pub fn start(roots: Vec<u32>) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut family = Family { roots, members: HashMap::new() };
            let mut looks = Vec::new();
            loop {
                // A look that fails is left out; the next one makes up for it.
                let look = processes().and_then(|all| {
                    let mut look = family.look(&all, Instant::now());
                    look.used.others += stolen()?;
                    Ok(look)
                });
                looks.extend(look.ok());
                if stopped.recv_timeout(LOOK_EVERY) != Err(mpsc::RecvTimeoutError::Timeout) {
                    return looks;
                }
            }
        });
        Self { stop, thread }
    }

    /// All looks so far.
    pub fn finish(self) -> Vec<Look> {
        drop(self.stop);
        self.thread.join().expect("looking at processes does not panic")
    }
}

/// One line of `/proc/PID/stat`, as far as it matters here.
#[derive(Clone, Debug, PartialEq)]
struct Process {
    id: u32,
    name: String,
    parent: u32,
    used: Used,
    /// Tells processes apart that had the same id one after the other.
    started: u64,
    /// Bytes in memory.
    resident: u64,
}

fn processes() -> io::Result<Vec<Process>> {
    let numbered = fs::read_dir("/proc")?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<u32>().ok()
    });
    // A process may be gone by the time it is looked at.
    Ok(numbered
        .filter_map(|id| parse_stat(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?))
        .collect())
}

/// Seconds of processor time that a process has used so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Used {
    pub own: f64,
    /// Those of its children that have ended.
    pub children: f64,
}

/// What this process has used.
pub fn used() -> io::Result<Used> {
    let process = parse_stat(&fs::read_to_string("/proc/self/stat")?);
    Ok(process.ok_or(io::ErrorKind::InvalidData)?.used)
}

/// Seconds that the machine's host gave to others while the machine had something to do.
fn stolen() -> io::Result<f64> {
    parse_stolen(&fs::read_to_string("/proc/stat")?).ok_or(io::ErrorKind::InvalidData.into())
}

/// The first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal.
fn parse_stolen(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    seconds(line.split_whitespace().nth(7)?.parse().ok()?)
}

fn seconds(ticks: u64) -> Option<f64> {
    let per_second = u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(f64::from(u32::try_from(ticks).ok()?) / f64::from(per_second))
}

/// Names may hold blanks and brackets; the last bracket ends the name.
fn parse_stat(stat: &str) -> Option<Process> {
    let (id, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some(Process {
        id: id.parse().ok()?,
        name: name.to_owned(),
        parent: u32::try_from(field(4)?).ok()?,
        used: Used {
            own: seconds(field(14)? + field(15)?)?,
            children: seconds(field(16)? + field(17)?)?,
        },
        started: field(22)?,
        resident: field(24)? * rustix::param::page_size() as u64,
    })
}

/// Everything that ever ran, by id and start, and whether it descended from the roots.
#[derive(Debug)]
struct Family {
    roots: Vec<u32>,
    members: HashMap<(u32, u64), (Part, f64)>,
}

impl Family {
    fn look(&mut self, all: &[Process], at: Instant) -> Look {
        let by_id: HashMap<u32, &Process> = all.iter().map(|one| (one.id, one)).collect();
        let mut resident = Memory::default();
        for process in all {
            let key = (process.id, process.started);
            // One whose parent has ended belongs where it belonged before.
            let known = self.members.get(&key).map(|member| member.0);
            let part = self.part(process, &by_id).or(known).unwrap_or(Part::Others);
            self.members.insert(key, (part, process.used.own));
            if part != Part::Others {
                resident.everything += process.resident;
            }
            if part == Part::Recorder {
                resident.recorder += process.resident;
            }
        }
        let mut used = Parts::default();
        for &(part, seconds) in self.members.values() {
            *used.of(part) += seconds;
        }
        Look { at, used, resident }
    }

    fn part(&self, process: &Process, by_id: &HashMap<u32, &Process>) -> Option<Part> {
        let inherited = if self.roots.contains(&process.id) {
            Part::Recorder
        } else {
            self.part(by_id.get(&process.parent)?, by_id)?
        };
        Some(Part::of_name(&process.name).unwrap_or(inherited))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(id: u32, name: &str, parent: u32, used: f64) -> Process {
        let used = Used { own: used, children: 0.0 };
        Process { id, name: name.to_owned(), parent, used, started: 1, resident: 7 }
    }

    #[test]
    fn a_name_with_brackets_and_blanks_is_read() {
        let stat = "42 (Web (Co) x) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 9 9 20 0 1 0 777 1 1";
        let read = parse_stat(stat).unwrap();
        assert_eq!((read.id, read.name.as_str(), read.parent), (42, "Web (Co) x", 7));
        assert_eq!(read.started, 777);
        let ticks = rustix::param::clock_ticks_per_second();
        let per_second = f64::from(u32::try_from(ticks).unwrap());
        assert!((read.used.own - 200.0 / per_second).abs() < 1e-9);
        assert!((read.used.children - 18.0 / per_second).abs() < 1e-9);
    }

    #[test]
    fn what_the_host_took_is_the_eighth_of_the_machine_s_times() {
        let stat = "cpu  100 20 300 9999 8888 40 50 60 7 7\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(parse_stolen(stat), seconds(60));
        assert_eq!(parse_stolen("cpu  1 2 3\n"), None);
        assert!(stolen().is_ok());
    }

    #[test]
    fn time_goes_to_the_part_of_the_nearest_known_name() {
        let mut family = Family { roots: vec![10], members: HashMap::new() };
        let all = [
            process(1, "init", 0, 99.0),
            process(10, "recorder", 1, 1.0),
            process(11, "Xvfb", 10, 2.0),
            process(12, "firefox-esr", 10, 3.0),
            process(13, "Web Content", 12, 4.0),
            process(14, "ffmpeg", 10, 5.0),
            process(20, "firefox-esr", 1, 99.0),
        ];
        let look = family.look(&all, Instant::now());
        let expected =
            Parts { recorder: 6.0, browser: 7.0, display: 2.0, sound: 0.0, others: 198.0 };
        assert_eq!(look.used, expected);
        // Of five and of two, for two belong to nobody here.
        let resident = Memory { everything: 35, recorder: 14 };
        let (more, most) =
            (Memory { recorder: 20, everything: 30 }, Memory { recorder: 20, ..resident });
        assert_eq!(look.resident, resident);
        assert_eq!(peak_memory(&[look, Look { resident: more, ..look }]), Some(most));
    }

    #[test]
    fn what_a_process_used_stays_when_it_or_its_parent_ends() {
        let mut family = Family { roots: vec![10], members: HashMap::new() };
        let all = [
            process(10, "recorder", 1, 1.0),
            process(12, "firefox-esr", 10, 3.0),
            process(13, "Web Content", 12, 4.0),
        ];
        family.look(&all, Instant::now());
        let later = [process(10, "recorder", 1, 1.5), process(13, "Web Content", 1, 4.5)];
        let look = family.look(&later, Instant::now());
        assert_eq!((look.used.recorder, look.used.browser), (1.5, 7.5));
    }

    #[test]
    fn cores_are_time_used_by_time_passed() {
        let start = Instant::now();
        let looks: Vec<Look> = (0..10)
            .map(|second| Look {
                at: start + Duration::from_secs(second),
                used: Parts {
                    recorder: 0.5 * f64::from(u32::try_from(second).unwrap()),
                    ..Parts::default()
                },
                resident: Memory::default(),
            })
            .collect();
        let at = |seconds| start + Duration::from_secs(seconds);
        let expected = Parts { recorder: 0.5, ..Parts::default() };
        assert_eq!(cores(&looks, at(2), at(7)), Some(expected));
        assert_eq!(cores(&looks, at(20), at(30)), None);
        assert_eq!(cores(&looks[..1], at(0), at(9)), None);
    }
}
