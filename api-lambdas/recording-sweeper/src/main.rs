//! The Lambda `recording-sweeper`: reads its variables, makes its clients once, and
//! sweeps when it is woken; what the waking event says does not matter.

mod handler;

use contract::aws::{self, Bucket, Chime, Cluster, DynamoTable, Repairs};
use contract::finish::Services;
use contract::http::Success;
use contract::lambda::{Error, init_log, serve_events};
use contract::metrics::emit;
use contract::settings::{Reader, environment};
use serde_json::Value;

const FUNCTION: &str = "recording-sweeper";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    init_log();
    let mut reader = Reader::new(&environment);
    let table = aws::table::Settings::read(&mut reader);
    let cluster = aws::cluster::Settings::read(&mut reader);
    let chime = aws::chime::Settings::read(&mut reader);
    let bucket = aws::bucket::Settings::read(&mut reader);
    let repairs = aws::repairs::Settings::read(&mut reader);
    reader.finish(())?;

    let sdk = aws::config().await;
    let services = &Services {
        table: &DynamoTable::new(&sdk, table),
        tasks: &Cluster::new(&sdk, cluster),
        meetings: &Chime::new(&sdk, chime),
        objects: &Bucket::new(&sdk, bucket),
        recovery: &Repairs::new(&sdk, repairs),
    };
    serve_events(FUNCTION, move |_: Value, now| async move {
        let swept = handler::sweep(services, now).await?;
        emit(FUNCTION, None, &swept.metrics(), now);
        Ok(Success::new("Recording Sweeper succeed!", swept))
    })
    .await
}
