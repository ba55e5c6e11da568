//! `recorder doctor`: replaced by the next merge.
use crate::config::Doctor;
use std::process::ExitCode;
#[expect(clippy::unused_async, reason = "a placeholder until the next merge")]
pub async fn run(_doctor: &Doctor) -> ExitCode {
    ExitCode::SUCCESS
}
