//! The life of one recording. It must not touch media: it hears only what happened.

pub mod machine;
