//! Measures a recording: what was shown, what was lost, how far sound and
//! picture are apart.
//!
//! A *marked* picture carries its own truth: a frame number in twenty black and
//! white cells along the top, and at each whole second a white flash and a beep
//! ([`marks`] holds the geometry). Two sources show such pictures: the clip
//! ([`clip`], a `WebM` file played by a page from [`page`]) and the recorder's
//! own test page. [`analysis`] reads the marks back from a recorded MP4.
//!
//! In the order things happen:
//!
//! - [`marks`]: where the marks are and what they mean
//! - [`picture`], [`sound`]: one frame, all the sound                     (pure)
//! - [`clip`]: frames and sound into a file; [`page`]: the file into a browser
//! - [`observation`]: a recording into numbers per frame and samples of sound
//! - [`numbers`], [`beeps`], [`sync`]: those into findings                (pure)
//! - [`analysis`]: all findings about one file
//! - [`quality`]: how like the clip its recording is
//! - [`children`], [`cpu`], [`stage`]: what a benchmark needs around a recorder;
//!   [`workload`]: what it records; [`peers`]: how others do; [`plot`]: bars;
//!   [`starts`]: how it starts, drawn by [`flame`]
//!
//! Nothing here knows the recorder: it is judged by its file alone.

pub mod analysis;
pub mod beeps;
pub mod children;
pub mod clip;
pub mod cpu;
pub mod flame;
pub mod marks;
pub mod numbers;
pub mod observation;
pub mod page;
pub mod peers;
pub mod picture;
pub mod plot;
pub mod quality;
pub mod sound;
pub mod stage;
pub mod starts;
pub mod stats;
pub mod sync;
pub mod tool;
pub mod workload;
