//! The Lambda `stop-recording-event`: reads its variables, makes its clients once,
//! and hands each event to `handler.rs`.

mod handler;

use contract::aws::{self, Chime, Cluster, DynamoTable};
use contract::lambda::{Error, init_log, serve_events};
use contract::settings::{Reader, environment};
use contract::stop::Services;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let table = aws::table::Settings::read(&mut reader);
    let cluster = aws::cluster::Settings::read(&mut reader);
    let chime = aws::chime::Settings::read(&mut reader);
    reader.finish(())?;

    let sdk = aws::config().await;
    let services = &Services {
        table: &DynamoTable::new(&sdk, table),
        tasks: &Cluster::new(&sdk, cluster),
        meetings: &Chime::new(&sdk, chime),
    };
    serve_events("stop-recording-event", move |event: Value, now| async move {
        // In a box, for the compiler gives up on futures that are nested so deeply.
        Box::pin(handler::handle(services, &event, now)).await
    })
    .await
}
