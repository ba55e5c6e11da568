//! What the children cost: processor time and memory of each process group.
//!
//! Read from `/proc`, because a child's helpers (Firefox has a dozen) come and
//! go and are not ours to wait for. It must not know which children there are.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::Pid;
use serde::Serialize;

/// Processor time and peak memory of one child with all its helpers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    pub cpu_seconds: f64,
    /// Largest sum of resident memory seen, shared pages counted once per process.
    pub peak_memory_bytes: u64,
}

/// Watches some process groups. Each [`Watch::sample`] is one reading.
#[derive(Debug)]
pub struct Watch {
    /// A program that was started again has a group for each start.
    groups: BTreeMap<&'static str, Vec<i32>>,
    own: i32,
    usage: BTreeMap<&'static str, Usage>,
    /// Last reading of each process, kept after it has ended: (group, ticks).
    ticks: BTreeMap<i32, (i32, u64)>,
    ticks_per_second: u64,
    page_bytes: u64,
}

/// Stands for the group of this process alone; no group has this number.
const OWN: i32 = -1;

/// The fields of `/proc/PID/stat` that are of use (proc(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stat {
    group: i32,
    ticks: u64,
    resident_pages: u64,
}

impl Watch {
    pub fn new() -> Self {
        Self {
            groups: BTreeMap::new(),
            own: 0,
            usage: BTreeMap::new(),
            ticks: BTreeMap::new(),
            ticks_per_second: rustix::param::clock_ticks_per_second(),
            page_bytes: rustix::param::page_size() as u64,
        }
    }

    pub fn add(&mut self, name: &'static str, group: Pid) {
        self.add_group(name, group.as_raw_nonzero().get());
    }

    /// Watches this process as `recorder`, without the shell it may share a
    /// group with.
    pub fn add_self(&mut self) {
        self.own = rustix::process::getpid().as_raw_nonzero().get();
        self.add_group("recorder", OWN);
    }

    fn add_group(&mut self, name: &'static str, group: i32) {
        self.groups.entry(name).or_default().push(group);
    }

    /// Reads every process once. Costs about a millisecond.
    pub fn sample(&mut self) {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let stats: Vec<(i32, Stat)> = pids
            .filter_map(|pid: i32| {
                let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
                let mut stat = parse(&text)?;
                if pid == self.own {
                    stat.group = OWN;
                }
                Some((pid, stat))
            })
            .collect();
        self.add_reading(&stats);
    }

    #[expect(clippy::cast_precision_loss, reason = "2^52 ticks are a million years")]
    fn add_reading(&mut self, stats: &[(i32, Stat)]) {
        for (pid, stat) in stats {
            if self.groups.values().any(|groups| groups.contains(&stat.group)) {
                self.ticks.insert(*pid, (stat.group, stat.ticks));
            }
        }
        for (name, groups) in &self.groups {
            let members = stats.iter().filter(|(_, stat)| groups.contains(&stat.group));
            let resident: u64 = members.map(|(_, stat)| stat.resident_pages).sum();
            let read = self.ticks.values().filter(|(of, _)| groups.contains(of));
            let ticks: u64 = read.map(|(_, ticks)| ticks).sum();
            let usage = self.usage.entry(name).or_default();
            usage.cpu_seconds = ticks as f64 / self.ticks_per_second as f64;
            usage.peak_memory_bytes = usage.peak_memory_bytes.max(resident * self.page_bytes);
        }
    }

    /// What has been seen so far, by name.
    pub fn usage(&self) -> BTreeMap<&'static str, Usage> {
        self.usage.clone()
    }
}

impl Default for Watch {
    fn default() -> Self {
        Self::new()
    }
}

fn parse(stat: &str) -> Option<Stat> {
    // The second field is the program's name in brackets and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let field = |number: usize| rest.split_ascii_whitespace().nth(number - 3);
    Some(Stat {
        group: field(5)?.parse().ok()?,
        ticks: field(14)?.parse::<u64>().ok()? + field(15)?.parse::<u64>().ok()?,
        resident_pages: field(24)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_may_hold_brackets_and_spaces() {
        let text = "42 (Web) Content 1) S 1 7 42 0 -1 4 5 0 0 0 250 50 1 1 20 0 9 0 77 1000 12 1";
        assert_eq!(parse(text), Some(Stat { group: 7, ticks: 300, resident_pages: 12 }));
        assert_eq!(parse("no such line"), None);
    }

    #[test]
    fn helpers_that_have_ended_still_count_and_strangers_do_not() {
        let mut watch = Watch::new();
        watch.add_group("browser", 6);
        watch.add_group("browser", 7);
        let (second, page) = (watch.ticks_per_second, watch.page_bytes);
        let stat = |group, seconds, resident_pages| Stat {
            group,
            ticks: seconds * second,
            resident_pages,
        };
        watch.add_reading(&[
            (9, stat(6, 1, 0)),
            (10, stat(7, 1, 100)),
            (11, stat(7, 2, 50)),
            (12, stat(8, 9, 9)),
        ]);
        watch.add_reading(&[(10, stat(7, 3, 120))]);
        let expected = Usage { cpu_seconds: 6.0, peak_memory_bytes: 150 * page };
        assert_eq!(watch.usage()["browser"], expected);
    }
}
