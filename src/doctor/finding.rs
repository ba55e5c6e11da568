//! What a check found, what that means, and how it is shown to a person.
//!
//! Pure. It must not know what is checked.

use std::fmt::Write as _;

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// What was looked at, such as `shared memory`.
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What is there, such as `24.0 GiB`.
    pub(super) found: String,
}

/// What a finding means for a recording. What is not in order says how to mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    /// Not looked at.
    LeftOut,
    /// A recording works, but not always or not as it should.
    Warning(String),
    /// A recording cannot work.
    Problem(String),
}

/// How much of something there has to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least {
    /// Less is a warning.
    pub(super) wanted: u64,
    /// Less is a problem.
    pub(super) needed: u64,
}

impl Finding {
    pub(super) fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into() }
    }

    pub(super) fn left_out(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::LeftOut, found: why.into() }
    }

    pub(super) fn warning(
        name: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { name, verdict: Verdict::Warning(mend.into()), found: found.into() }
    }

    pub(super) fn problem(
        name: &'static str,
        found: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self { name, verdict: Verdict::Problem(mend.into()), found: found.into() }
    }

    /// Judges an amount.
    pub(super) fn amount(
        name: &'static str,
        found: impl Into<String>,
        amount: u64,
        least: Least,
        mend: &str,
    ) -> Self {
        if amount < least.needed {
            Self::problem(name, found, mend)
        } else if amount < least.wanted {
            Self::warning(name, found, mend)
        } else {
            Self::ok(name, found)
        }
    }

    pub(super) fn is_problem(&self) -> bool {
        matches!(self.verdict, Verdict::Problem(_))
    }

    fn is_warning(&self) -> bool {
        matches!(self.verdict, Verdict::Warning(_))
    }
}

/// A line for each finding, below it how to mend it, and a last line that sums up.
pub(super) fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { name, verdict, found } in findings {
        let (mark, mend) = match verdict {
            Verdict::Ok => ("ok", None),
            Verdict::LeftOut => ("left out", None),
            Verdict::Warning(mend) => ("warning", Some(mend)),
            Verdict::Problem(mend) => ("PROBLEM", Some(mend)),
        };
        writeln!(text, "{mark:<8}  {name:<13}  {found}").expect("a string takes everything");
        if let Some(mend) = mend {
            writeln!(text, "{:<8}  mend: {mend}", "").expect("a string takes everything");
        }
    }
    let problems = findings.iter().filter(|finding| finding.is_problem()).count();
    let warnings = findings.iter().filter(|finding| finding.is_warning()).count();
    let can = if problems == 0 { "can" } else { "cannot" };
    let counts = format!("{}, {}", counted(problems, "problem"), counted(warnings, "warning"));
    writeln!(text, "\nThis machine {can} record: {counts}.").expect("a string takes everything");
    text
}

fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// Bytes for a person.
pub(super) fn size(bytes: u64) -> String {
    const MIB: u64 = 1024 * 1024;
    if bytes < 1024 * MIB {
        return format!("{} MiB", bytes / MIB);
    }
    // Rounded down: what is too little must not look like enough.
    let tenths = bytes / MIB * 10 / 1024;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_judged_by_what_is_wanted_and_what_is_needed() {
        let least = Least { wanted: 100, needed: 10 };
        let mend = || "more".to_owned();
        for (amount, expected) in [
            (0, Verdict::Problem(mend())),
            (9, Verdict::Problem(mend())),
            (10, Verdict::Warning(mend())),
            (99, Verdict::Warning(mend())),
            (100, Verdict::Ok),
            (u64::MAX, Verdict::Ok),
        ] {
            assert_eq!(Finding::amount("it", "", amount, least, "more").verdict, expected);
        }
    }

    #[test]
    fn each_finding_is_a_line_and_each_fault_has_its_mend_below() {
        let findings = [
            Finding::ok("Firefox", "140.3.0esr"),
            Finding::warning("shared memory", "512 MiB", "--shm-size=1g"),
            Finding::problem("geckodriver", "not found", "install it"),
            Finding::left_out("S3", "no bucket"),
        ];
        let expected = "\
ok        Firefox        140.3.0esr
warning   shared memory  512 MiB
          mend: --shm-size=1g
PROBLEM   geckodriver    not found
          mend: install it
left out  S3             no bucket

This machine cannot record: 1 problem, 1 warning.
";
        assert_eq!(render(&findings), expected);
        let healthy = render(&findings[..1]);
        assert!(healthy.ends_with("This machine can record: 0 problems, 0 warnings.\n"));
    }

    #[test]
    fn a_size_never_looks_larger_than_it_is() {
        const GIB: u64 = 1024 * 1024 * 1024;
        for (bytes, expected) in [
            (0, "0 MiB"),
            (64 * 1024 * 1024, "64 MiB"),
            (GIB - 1, "1023 MiB"),
            (GIB, "1.0 GiB"),
            (2 * GIB - 1, "1.9 GiB"),
            (24 * GIB, "24.0 GiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
