//! House rules that neither compiler nor linter knows, checked by reading the
//! source tree.
//!
//! One test per rule; each lists every offence as `file: what is wrong`.
//! It must not know what the code does, only how it is laid out.

use std::fs;
use std::path::Path;
use std::process::Command;

const MAX_PRODUCTION_LINES: usize = 500;
const MAX_LINES_WITHOUT_HEADER: usize = 40;
const MAX_BINARY_BYTES: usize = 200_000;

/// Pure modules, by prefix of the file, and all that their `use` lines may name.
const PURE: [(&str, &[&str]); 23] = [
    ("src/browser/judder.rs", &["std::collections::VecDeque", "std::ops::RangeInclusive"]),
    ("src/capture/areas.rs", &["crate::config::Size"]),
    ("src/capture/drift.rs", &[]),
    ("src/capture/grid.rs", &[]),
    ("src/capture/held.rs", &["std::collections::VecDeque"]),
    ("src/capture/pace.rs", &[]),
    ("src/capture/rest.rs", &["crate::media"]),
    ("src/media.rs", &["std", "bytes"]),
    ("src/events.rs", &["std", "serde"]),
    ("src/recording/machine.rs", &["std", "serde", "crate::events"]),
    ("src/mp4/", &["std", "bytes", "thiserror", "mp4_atom", "crate::media", "super"]),
    ("src/upload/doubt.rs", &["std::collections", "super"]),
    ("src/upload/plan.rs", &["std", "bytes", "thiserror"]),
    ("src/recovery/prefix.rs", &["super", "crate::upload::plan"]),
    ("src/meeting/contract.rs", &["std", "serde"]),
    ("src/meeting/watch.rs", &["std", "super", "crate::events"]),
    ("src/meeting/minutes.rs", &["std", "serde", "super"]),
    ("src/meeting/chapters.rs", &["std", "super"]),
    ("src/recording/rejoin.rs", &["std"]),
    ("pixels/src/", &["multiversion"]),
    ("tests/meeting/src/scenario.rs", &["std", "serde", "thiserror", "toml"]),
    ("tests/meeting/src/room.rs", &["std", "bytes", "thiserror", "crate"]),
    ("tests/meeting/src/answer.rs", &["std"]),
];

/// What no row allows: the parts of `std` that reach outside the process, and the
/// way out of a folder.
const IMPURE: [&str; 6] =
    ["std::env", "std::fs", "std::net", "std::process", "std::thread", "super::super"];

#[test]
fn pure_modules_use_only_what_their_row_allows() {
    check("the table PURE in tests/it/tidy.rs says what a pure module may use", |file| {
        let row = PURE.iter().find(|(prefix, _)| file.path.starts_with(prefix));
        let Some((_, allowed)) = row else { return Vec::new() };
        let is_allowed = |used: &str| {
            allowed.iter().any(|root| is_within(used, root))
                && !IMPURE.iter().any(|root| is_within(used, root))
                // `use std::{...}` would hide which part.
                && used != "std"
        };
        file.used().filter(|used| !is_allowed(used)).map(|used| format!("uses {used}")).collect()
    });
}

#[test]
fn every_longer_file_says_what_it_is_for() {
    let rule = format!("a file of more than {MAX_LINES_WITHOUT_HEADER} lines starts with `//!`");
    check(&rule, |file| {
        let is_headless = file.is_rust()
            && file.text.lines().count() > MAX_LINES_WITHOUT_HEADER
            && !file.text.starts_with("//!");
        is_headless.then(|| "has no header".to_owned()).into_iter().collect()
    });
}

#[test]
fn no_file_grows_past_one_sitting() {
    let rule = format!("split a file of more than {MAX_PRODUCTION_LINES} lines, tests not counted");
    check(&rule, |file| {
        let n_lines = file.production().lines().count();
        let is_long = file.is_rust() && !file.is_test() && n_lines > MAX_PRODUCTION_LINES;
        is_long.then(|| format!("has {n_lines} lines")).into_iter().collect()
    });
}

#[test]
fn no_test_is_ignored() {
    let attribute = concat!("#[", "ignore");
    check("a test runs or is deleted", |file| {
        if file.is_rust() { file.lines_with(&[attribute]) } else { Vec::new() }
    });
}

#[test]
fn readme_opens_with_the_two_commands() {
    let files = files();
    let readme = files.iter().find(|file| file.path == "README.md").expect("there is a README.md");
    let opening: Vec<&str> = readme.text.lines().take(30).collect();
    for command in ["./dev record", "./dev test"] {
        let is_shown = opening.iter().any(|line| line.contains(command));
        assert!(is_shown, "the first 30 lines of README.md do not show {command}");
    }
}

#[test]
fn nothing_names_one_machine_or_one_registry() {
    let hosts = [
        concat!("deb.", "debian.org"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("python", "hosted.org"),
        concat!("pypi", ".org"),
        concat!("registry.", "npmjs.org"),
    ];
    let directories = ["home", "root", "work"].map(|name| format!("/{name}/"));
    check("registries and paths are the clients' and the environment's business", |file| {
        let mut found = file.lines_with(&hosts);
        for directory in &directories {
            // Only where a path can begin: a folder of that name further down names no machine.
            let begins = |line: &str| {
                let before = line.split_once(directory).map(|(before, _)| before.chars().last());
                before.is_some_and(|last| last.is_none_or(|c| " \"'`=:(,".contains(c)))
            };
            let lines = file.text.lines().enumerate().filter(|(_, line)| begins(line));
            found.extend(lines.map(|(i, _)| format!("line {} has {directory}", i + 1)));
        }
        found
    });
}

#[test]
fn no_recording_slips_into_git() {
    let rule = format!("what is not text and over {MAX_BINARY_BYTES} bytes is made, not kept");
    check(&rule, |file| {
        let is_big = file.n_binary_bytes > MAX_BINARY_BYTES;
        is_big.then(|| format!("has {} bytes", file.n_binary_bytes)).into_iter().collect()
    });
}

/// Fails with every offence that `offences` finds in any file of the project.
fn check(rule: &str, offences: impl Fn(&File) -> Vec<String>) {
    let found: Vec<String> = files()
        .iter()
        .flat_map(|file| offences(file).into_iter().map(|what| format!("{}: {what}", file.path)))
        .collect();
    assert!(found.is_empty(), "{rule}\n  {}", found.join("\n  "));
}

struct File {
    /// Relative to the root of the project, with `/`.
    path: String,
    /// Empty for a file that is not UTF-8.
    text: String,
    n_binary_bytes: usize,
}

/// What git keeps, and what it would keep on the next `git add`.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git is installed: it lists the files of the project");
    let complaint = String::from_utf8_lossy(&listing.stderr);
    assert!(listing.status.success(), "git ls-files failed: {complaint}");
    String::from_utf8(listing.stdout)
        .expect("file names are UTF-8")
        .split_terminator('\0')
        // A file deleted but not yet committed is still listed.
        .filter_map(|path| Some((path, fs::read(root.join(path)).ok()?)))
        .map(|(path, content)| {
            let (text, n_binary_bytes) = match String::from_utf8(content) {
                Ok(text) => (text, 0),
                Err(error) => (String::new(), error.as_bytes().len()),
            };
            File { path: path.to_owned(), text, n_binary_bytes }
        })
        .collect()
}

impl File {
    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    fn is_test(&self) -> bool {
        let path = &self.path;
        path.starts_with("tests/it/") || path.contains("/tests/") || path.ends_with("/tests.rs")
    }

    /// The text before its inline tests.
    fn production(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    fn lines_with(&self, needles: &[&str]) -> Vec<String> {
        let found = |(i, line): (usize, &str)| {
            let needle = needles.iter().find(|needle| line.contains(**needle))?;
            Some(format!("line {} has {needle}", i + 1))
        };
        self.text.lines().enumerate().filter_map(found).collect()
    }

    /// What the `use` lines outside tests name, up to the first brace; types and
    /// modules declared in the file itself left out.
    fn used(&self) -> impl Iterator<Item = &str> {
        let text = if self.is_test() { "" } else { self.production() };
        text.lines()
            .filter_map(|line| {
                let line = line.trim_start();
                let (visibility, used) = line.split_once("use ")?;
                let is_declaration = visibility.is_empty() || visibility.starts_with("pub");
                is_declaration.then(|| used.split(['{', ';']).next())?
            })
            .map(|used| used.trim_end_matches("::"))
            .filter(|used| {
                let name = used.split("::").next().unwrap_or(used);
                !name.starts_with(char::is_uppercase) && !text.contains(&format!("mod {name};"))
            })
    }
}

fn is_within(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
