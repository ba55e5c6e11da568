//! The whole product on one machine, with real servers.
//!
//! ```text
//!                 ┌─ ministack: HTTP API ─▶ the Lambdas' own binaries ─┐
//!  agent.rs ─────▶│  IAM, Cognito, EventBridge, KMS, logs              │
//!                 └────────────────────────────────────────────────────┘
//!      ┌──────────────┬──────────────┬──────────────┬─────────────┐
//!      ▼              ▼              ▼              ▼             ▼
//!  dynamodb.rs     store.rs      test meeting    ecs.rs       connect.rs
//!  DynamoDB Local  SeaweedFS     (its crate)     a task is    users and
//!                  encrypts                      `recorder`   contacts
//! ```
//!
//! `setup.rs` makes in them what a deployment makes, with the rights of
//! `policies.rs`. What a server of ours must check (signature, policy) it asks
//! ministack for, so that there is one IAM. Where an emulator is known to be wrong,
//! the reason stands beside the work-around. Nothing here knows how a recording is
//! made.

pub mod agent;
mod attributes;
mod chime;
mod cloud;
pub mod cold_start;
pub mod connect;
mod dynamodb;
pub mod ecs;
pub mod events;
mod functions;
pub mod gate;
mod meetings;
mod ministack;
pub mod model;
mod policies;
mod servers;
mod setup;
pub mod sigv4;
mod store;

pub use agent::{Agent, Answer};
pub use cloud::{Cloud, Dynamodb, Error, Options, Server};
pub use meetings::MeetingHandle;
pub use ministack::ACCOUNT;
pub use setup::{ATTENDEE_NAME, GROUP, ORIGIN, PLAYBACK_PROFILE};
