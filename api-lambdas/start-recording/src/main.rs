//! The Lambda `start-recording`: reads its variables, makes its clients once, and
//! hands each request to `handler.rs`.

mod handler;

use contract::aws::{self, Chime, Cluster, DynamoTable, Instance};
use contract::identity::Guard;
use contract::lambda::{Error, init_log, serve_http};
use contract::names::RecordingId;
use contract::settings::{Reader, environment};
use contract::task::Screen;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let table = aws::table::Settings::read(&mut reader);
    let cluster = aws::cluster::Settings::read_to_run(&mut reader);
    let chime = aws::chime::Settings::read(&mut reader);
    let instance = aws::instance::Settings::read(&mut reader);
    let guard = contract::identity::Settings::read(&mut reader);
    let settings = handler::Settings {
        bucket: reader.need("RECORDING_BUCKET_NAME"),
        screen: Screen {
            width: reader.need("RECORDING_SCREEN_WIDTH"),
            height: reader.need("RECORDING_SCREEN_HEIGHT"),
        },
        attendee_name: reader.need("RECORDING_ATTENDEE_NAME"),
        container: reader.need("ECS_CONTAINER_NAME"),
    };
    reader.finish(())?;

    let sdk = aws::config().await;
    let services = &handler::Services {
        table: &DynamoTable::new(&sdk, table),
        tasks: &Cluster::new(&sdk, cluster),
        meetings: &Chime::new(&sdk, chime),
        connect: &Instance::new(&sdk, instance),
    };
    let (guard, settings) = (&Guard::new(guard), &settings);
    serve_http("start-recording", "Starts", move |request, now| async move {
        let caller = guard.caller(&request, now).await?;
        let id = RecordingId::random();
        // In a box, for the compiler gives up on futures that are nested so deeply.
        Box::pin(handler::handle(services, settings, &caller, &request, id, now)).await
    })
    .await
}
