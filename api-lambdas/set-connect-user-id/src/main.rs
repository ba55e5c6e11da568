//! The Lambda `set-connect-user-id`: reads its variables, makes its clients once,
//! and hands each request to `handler.rs`.

mod handler;

use contract::aws::{self, Instance, Pool};
use contract::identity::Guard;
use contract::lambda::{Error, init_log, serve_http};
use contract::settings::{Reader, environment};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let instance = aws::instance::Settings::read(&mut reader);
    let pool = aws::pool::Settings::read(&mut reader);
    let guard = contract::identity::Settings::read(&mut reader);
    reader.finish(())?;

    let sdk = aws::config().await;
    let services = &handler::Services {
        connect: &Instance::new(&sdk, instance),
        pool: &Pool::new(&sdk, pool),
    };
    let guard = &Guard::new(guard);
    serve_http("set-connect-user-id", "ConnectUserIds", move |request, now| async move {
        let caller = guard.caller(&request, now).await?;
        handler::handle(services, &caller, &request).await
    })
    .await
}
