//! `recorder doctor`: looks at everything a recording needs on this machine and
//! says how to mend what is not in order.
//!
//! What can be tried is tried with the very code that records: the programs are
//! started, a page is opened, a moment is captured, an upload is opened and
//! thrown away. It must not know how any of that works.

mod bucket;
mod finding;
mod fonts;
mod machine;
mod programs;
mod rehearsal;

use std::io::Write;
use std::process::ExitCode;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::config;
use crate::signals::Stop;
use finding::Finding;

/// Prints what was found on stdout. 0 if this machine can record, 1 if there is
/// a problem or a signal came before the end.
pub async fn run(doctor: &config::Doctor, mut stops: UnboundedReceiver<Stop>) -> ExitCode {
    let findings = tokio::select! {
        // Boxed, because everything that is checked at once is large.
        findings = Box::pin(examine(doctor)) => findings,
        // What was started ends with the examination that is dropped here.
        Some(_) = stops.recv() => return ExitCode::FAILURE,
    };
    // Who closed stdout does not want to know; the exit code is told anyway.
    let _ = write!(std::io::stdout(), "{}", finding::render(&findings));
    if findings.iter().any(Finding::is_problem) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn examine(doctor: &config::Doctor) -> Vec<Finding> {
    let tools = &doctor.tools;
    // Before a browser runs, which takes its share.
    let mut machine = vec![machine::processors(), machine::memory(), machine::shared_memory()];
    let (dir, temp_dir) = machine::temp_dir(&doctor.temp_dir);
    machine.push(temp_dir);
    let rehearsal = async {
        match &dir {
            Some(dir) => rehearsal::check(tools, dir.path()).await,
            None => rehearsal::left_out("needs the temporary folder"),
        }
    };
    let (programs, fonts, rehearsal, bucket) = tokio::join!(
        programs::check(tools),
        fonts::check(&tools.search_path),
        rehearsal,
        bucket::check(doctor.bucket.as_ref()),
    );
    let mut findings = programs;
    findings.extend(machine);
    findings.push(fonts);
    findings.extend(rehearsal);
    findings.extend(bucket);
    findings
}
