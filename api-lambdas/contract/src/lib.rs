//! What all Lambdas share.
//!
//! ```text
//! a Lambda's handler ──▶ ports.rs (small traits) ◀── aws/ (the real services)
//!        │                                       ◀── fake.rs (in memory, for tests)
//!        ├──▶ names, items, http, identity, visibility, task   what is written where
//!        └──▶ stop, finish                                     what several Lambdas do
//! ```
//!
//! Only `aws/` knows an SDK, and only a Lambda's `main.rs` reads variables and
//! the clock: everything else gets time, ids and services as arguments.

pub mod aws;
pub mod connect;
pub mod fake;
pub mod finish;
pub mod http;
pub mod identity;
pub mod items;
pub mod lambda;
pub mod metrics;
pub mod names;
pub mod ports;
pub mod settings;
pub mod stop;
pub mod task;
pub mod time;
pub mod visibility;
