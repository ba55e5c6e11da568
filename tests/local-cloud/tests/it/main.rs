//! The whole product in the local cloud: signed calls of the API, the real Lambdas,
//! the real recorder, and whatever can go wrong between them.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod api;
mod application;
mod cloud;
#[cfg(feature = "image")]
mod image;
mod load;
mod product;
mod races;
mod support;
