//! tour
pub mod browser;
pub mod capture;
pub mod children;
pub mod config;
pub mod error;
pub mod events;
pub mod media;
pub mod mp4;
pub mod recording;
pub mod secret;
pub mod signals;
pub mod upload;
pub mod writer;
#[cfg(feature = "local")]
pub mod local;
