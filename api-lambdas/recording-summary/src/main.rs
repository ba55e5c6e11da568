//! The Lambda `recording-summary`: reads its variables, makes its clients once, and
//! hands each request to `handler.rs`.

mod handler;

use contract::aws::{self, Bucket, DynamoTable};
use contract::identity::Guard;
use contract::lambda::{Error, init_log, serve_http};
use contract::settings::{Reader, environment};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let table = aws::table::Settings::read(&mut reader);
    let bucket = aws::bucket::Settings::read(&mut reader);
    let guard = contract::identity::Settings::read(&mut reader);
    let settings = handler::Settings::read(&mut reader);
    reader.finish(())?;

    let sdk = aws::config().await;
    let services = &handler::Services {
        table: &DynamoTable::new(&sdk, table),
        objects: &Bucket::new(&sdk, bucket),
    };
    let (guard, settings) = (&Guard::new(guard), &settings);
    serve_http("recording-summary", "Summaries", move |request, now| async move {
        let caller = guard.caller(&request, now).await?;
        handler::handle(services, settings, &caller, &request, now).await
    })
    .await
}
