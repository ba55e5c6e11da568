pub mod events;
pub mod media;
