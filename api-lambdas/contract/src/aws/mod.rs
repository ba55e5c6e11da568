//! The real services, each behind its trait of `ports.rs`. Nobody else knows an SDK.
//!
//! Thin: a module builds requests, reads answers, and says what an error means.
//! Its `Settings` name the variables that a Lambda needs for it. Where a service
//! is comes from the SDK itself, which knows the variables `AWS_ENDPOINT_URL_*`.

pub mod bucket;
pub mod chime;
pub mod cluster;
pub mod instance;
mod plan;
pub mod pool;
pub mod repairs;
mod signed;
pub mod table;

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::lambda::chain;
use crate::ports::Fault;

pub use bucket::Bucket;
pub use chime::Chime;
pub use cluster::Cluster;
pub use instance::Instance;
pub use pool::Pool;
pub use repairs::Repairs;
pub use table::DynamoTable;

/// A service of AWS answers the handshake within this.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1500);

/// For one attempt: the slowest call, `RunTask`, takes a second or two.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);

/// For a call with all its attempts. A Lambda has 20 seconds: after one call that
/// hangs there has to be time to take back what was done before it.
const CALL_TIMEOUT: Duration = Duration::from_secs(6);

/// What all clients share: region, credentials and time-outs.
pub async fn config() -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(CALL_TIMEOUT)
        .build();
    aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await
}

/// What a service answered, or why it did not. Without requests and answers, whose
/// bodies may hold a join token.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{code}: {message} (HTTP {status}, request {request})")]
    Answer { code: String, message: String, status: u16, request: String },
    #[error("{0}")]
    NoAnswer(String),
    /// An answer that lacks what it always has.
    #[error("{0}")]
    Lacks(&'static str),
}

/// For `map_err`.
fn fault<E>(service: &'static str, action: &'static str) -> impl Fn(SdkError<E>) -> Fault
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    move |error| Fault { service, action, source: Some(Box::new(trouble(&error))) }
}

fn trouble<E>(error: &SdkError<E>) -> Trouble
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    let (Some(code), Some(answer)) = (error.code(), error.raw_response()) else {
        return Trouble::NoAnswer(chain(error));
    };
    Trouble::Answer {
        code: code.to_owned(),
        message: error.message().unwrap_or("no message").to_owned(),
        status: answer.status().as_u16(),
        request: error.meta().extra("aws_request_id").unwrap_or("unknown").to_owned(),
    }
}

/// An answer without what every answer has.
fn lacks(service: &'static str, action: &'static str, what: &'static str) -> Fault {
    Fault { service, action, source: Some(Box::new(Trouble::Lacks(what))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ecs::config::{Credentials, Region};

    /// A client of something that is not there.
    fn nowhere() -> aws_sdk_ecs::Client {
        let config = aws_sdk_ecs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(Credentials::new("id", "key", None, None, "test"))
            .endpoint_url("http://127.0.0.1:1")
            .retry_config(aws_config::retry::RetryConfig::disabled())
            .build();
        aws_sdk_ecs::Client::from_conf(config)
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_is_told_with_its_causes() {
        let error = nowhere().list_tasks().send().await.map_err(fault("ECS", "list tasks"));
        let error = chain(&error.unwrap_err());
        assert!(error.starts_with("ECS did not list tasks: dispatch failure: "), "{error}");
    }
}
