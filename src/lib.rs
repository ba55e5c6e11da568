//! The recorder: films a web page in a real Firefox and streams an MP4 into S3
//! while it films.
//!
//! The modules in the order in which a frame meets them:
//!
//! - `children`, `browser`: the programs that show the page and make it heard
//! - [`capture`]: display and sound become encoded samples on one clock
//! - [`writer`]: the one task that owns what follows
//! - [`mp4`]: samples become the bytes of a file
//! - [`upload`]: bytes become the parts of an S3 multipart upload
//!
//! [`recovery`] mends what a dead recorder left, and [`verify`] looks at the result.
//!
//! [`recording`] decides when each of them starts and ends; [`media`] and
//! [`events`] are the two vocabularies they share. ARCHITECTURE.md has the map.
//!
//! Without the feature `record` there is only what recovery needs.

#[cfg(feature = "record")]
pub mod bench;
#[cfg(feature = "record")]
pub mod browser;
#[cfg(feature = "record")]
pub mod capture;
#[cfg(feature = "record")]
pub mod children;
#[cfg(feature = "record")]
pub mod cli;
#[cfg(feature = "record")]
pub mod config;
#[cfg(feature = "record")]
pub mod doctor;
pub mod error;
#[cfg(feature = "record")]
pub mod events;
mod folder;
#[cfg(feature = "record")]
pub mod health;
#[cfg(feature = "local")]
pub mod local;
#[cfg(feature = "record")]
pub mod logging;
pub mod media;
#[cfg(feature = "record")]
pub mod meeting;
pub mod mp4;
#[cfg(feature = "record")]
pub mod phases;
#[cfg(feature = "record")]
pub mod recording;
pub mod recovery;
#[cfg(feature = "record")]
pub mod run;
pub mod secret;
#[cfg(feature = "record")]
pub mod signals;
pub mod upload;
pub mod verify;
#[cfg(feature = "record")]
mod work_folder;
#[cfg(feature = "record")]
pub mod writer;
