pub mod cli;
pub mod config;
pub mod events;
pub mod logging;
pub mod media;
pub mod secret;
