pub mod events;
#[cfg(feature = "local")]
pub mod local;
pub mod media;
