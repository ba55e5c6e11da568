//! The Lambda `stop-recording`: reads its variables, makes its clients once, and
//! hands each request to `handler.rs`.

mod handler;

use contract::aws::{self, Chime, Cluster, DynamoTable};
use contract::identity::Guard;
use contract::lambda::{Error, init_log, serve_http};
use contract::settings::{Reader, environment};
use contract::stop::Services;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let table = aws::table::Settings::read(&mut reader);
    let cluster = aws::cluster::Settings::read(&mut reader);
    let chime = aws::chime::Settings::read(&mut reader);
    let guard = contract::identity::Settings::read(&mut reader);
    reader.finish(())?;

    let sdk = aws::config().await;
    let services = &Services {
        table: &DynamoTable::new(&sdk, table),
        tasks: &Cluster::new(&sdk, cluster),
        meetings: &Chime::new(&sdk, chime),
    };
    let guard = &Guard::new(guard);
    serve_http("stop-recording", "Stops", move |request, now| async move {
        let caller = guard.caller(&request, now).await?;
        handler::handle(services, &caller, &request, now).await
    })
    .await
}
