//! The tests of the package `recorder` that need more than one module.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod command_line;
mod doctor;
mod durability;
mod faults;
mod local_store;
mod meeting;
mod mp4;
mod other_store;
mod recording;
mod support;
mod tidy;
