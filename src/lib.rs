pub mod events;
pub mod media;
pub mod upload;
