//! The programs a recording needs around it: the display and the sound server.
//!
//! Each starts with nothing fixed (no display number, port or path), says when
//! it is ready, and goes when the recorder goes. They know nothing of pages or
//! recordings. The browser is the third child; it lives in `crate::browser`
//! because it has a protocol of its own.

pub mod display;
pub mod process;
pub mod sound;
pub mod usage;
