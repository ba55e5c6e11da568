//! The Lambda `start-pre-warm`: reads its variables, makes its client once, and
//! hands each event to `handler.rs`.

mod handler;

use contract::aws::{self, Cluster};
use contract::lambda::{Error, init_log, serve_events};
use contract::settings::{Reader, environment};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let cluster = aws::cluster::Settings::read_to_run(&mut reader);
    let arn = reader.need("ECS_CLUSTER_ARN");
    reader.finish(())?;

    let sdk = aws::config().await;
    let (tasks, arn) = (&Cluster::new(&sdk, cluster), arn.as_str());
    serve_events("start-pre-warm", move |event: Value, now| async move {
        // In a box, for the compiler gives up on futures that are nested so deeply.
        Box::pin(handler::handle(tasks, arn, &event, now)).await
    })
    .await
}
