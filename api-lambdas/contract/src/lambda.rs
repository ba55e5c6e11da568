//! The frame around every handler: log, request id, metrics, and the form in which
//! the caller is answered.

use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::http::{Refusal, Request, Success};
use crate::metrics::{Metric, emit};

pub use lambda_runtime::Error;
pub use recorder::error::chain;

/// The log: JSON lines with the request's id, on stdout as Lambda wants it.
pub fn init_log() {
    tracing_subscriber::fmt()
        .json()
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .without_time()
        .with_max_level(tracing::Level::INFO)
        .init();
}

/// Answers requests of an HTTP API until the process ends. `function` names the
/// Lambda in metrics, `done` the metric that counts what succeeded.
pub async fn serve_http<F, R>(
    function: &'static str,
    done: &'static str,
    handle: F,
) -> Result<(), Error>
where
    F: Fn(Request, Timestamp) -> R + Send + Sync,
    R: Future<Output = Result<Success, Refusal>> + Send,
{
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Request>| async move {
        let now = Timestamp::now();
        let id = event.context.request_id.clone();
        let answer = handle(event.payload, now).await;
        let took = Metric::milliseconds("Latency", milliseconds(now));
        let reply = match answer {
            Ok(success) => {
                tracing::info!(status = 200, "{}", success.text);
                emit(function, None, &[Metric::count(done, 1), took], now);
                success.reply(&id)
            }
            Err(refusal) => {
                tell(&refusal);
                let metrics = [Metric::count("Rejects", 1), took];
                emit(function, Some(refusal.reason), &metrics, now);
                refusal.reply(&id)
            }
        };
        Ok::<Value, Error>(reply.event())
    }))
    .await
}

/// Takes events until the process ends. An error is thrown, so that the event
/// comes again.
pub async fn serve_events<E, F, R>(function: &'static str, handle: F) -> Result<(), Error>
where
    E: DeserializeOwned + Send,
    F: Fn(E, Timestamp) -> R + Send + Sync,
    R: Future<Output = Result<Success, Error>> + Send,
{
    let handle = &handle;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<E>| async move {
        let now = Timestamp::now();
        let id = event.context.request_id.clone();
        match handle(event.payload, now).await {
            Ok(success) => {
                tracing::info!(data = %success.data, "{}", success.text);
                Ok(success.reply(&id).event())
            }
            Err(error) => {
                tracing::error!(error = chain(&*error), "the event will come again");
                emit(function, None, &[Metric::count("Failures", 1)], now);
                Err(error)
            }
        }
    }))
    .await
}

fn tell(refusal: &Refusal) {
    let Refusal { status, reason, .. } = refusal;
    let cause = refusal.source.as_deref().map(|source| chain(source));
    if *status < 500 {
        tracing::warn!(status, reason, cause, "{refusal}");
    } else {
        tracing::error!(status, reason, cause, "{refusal}");
    }
}

fn milliseconds(since: Timestamp) -> f64 {
    Timestamp::now().duration_since(since).as_secs_f64() * 1000.0
}
