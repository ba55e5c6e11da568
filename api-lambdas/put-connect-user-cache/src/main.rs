//! The Lambda `put-connect-user-cache`: reads its variables, makes its clients once,
//! and hands each request to `handler.rs`.

mod handler;

use contract::aws::{self, DynamoTable, Instance};
use contract::identity::Guard;
use contract::lambda::{Error, init_log, serve_http};
use contract::settings::{Reader, environment};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let table = aws::table::Settings::read(&mut reader);
    let instance = aws::instance::Settings::read(&mut reader);
    let guard = contract::identity::Settings::read(&mut reader);
    reader.finish(())?;

    let sdk = aws::config().await;
    let services = &handler::Services {
        table: &DynamoTable::new(&sdk, table),
        connect: &Instance::new(&sdk, instance),
    };
    let guard = &Guard::new(guard);
    serve_http("put-connect-user-cache", "ConnectUserCaches", move |request, now| async move {
        let caller = guard.caller(&request, now).await?;
        handler::handle(services, &caller, now).await
    })
    .await
}
