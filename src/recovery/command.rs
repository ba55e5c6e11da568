//! `recorder recover` and `recorder verify`: one JSON object a line on stdout for
//! whatever was found, and an exit code.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use serde::Serialize;
use tokio::io::AsyncWriteExt as _;

use super::bucket::Bucket;
use super::{Error, Outcome, Recovered, Rules, recover, recover_all, recover_spool};
use crate::config::recovery::{Place, Recover, Target, Verify, What};
use crate::error::chain;
use crate::run::client_settings;
use crate::secret::scrub;
use crate::upload::s3;
use crate::verify::verify;

/// Something could not be recovered, or is no good recording.
const NOT_GOOD: u8 = 1;

/// Recovers as told.
pub async fn run_recover(settings: &Recover) -> ExitCode {
    match &settings.place {
        Place::S3(bucket) => {
            let client = s3::client(client_settings(bucket)).await;
            recover_in(&Bucket::new(client, &bucket.name), settings, None).await
        }
        #[cfg(feature = "local")]
        // A server would make it, and find nothing to recover there.
        Place::Local(dir) if !dir.is_dir() => refuse(&Error::NoFolder(dir.clone())),
        #[cfg(feature = "local")]
        Place::Local(dir) => {
            let opened = crate::local::Opened::start(dir).await;
            match opened {
                Ok(opened) => {
                    let bucket = Bucket::new(opened.client.clone(), crate::local::BUCKET);
                    let code = recover_in(&bucket, settings, Some(dir)).await;
                    opened.server.stop().await;
                    code
                }
                Err(error) => refuse(&error),
            }
        }
        #[cfg(not(feature = "local"))]
        Place::Local(_) => refuse(&crate::run::Error::NoLocal),
    }
}

async fn recover_in(bucket: &Bucket, settings: &Recover, held_in: Option<&Path>) -> ExitCode {
    let rules = Rules {
        older_than: settings.older_than,
        force: settings.force,
        held_in: held_in.map(Path::to_owned),
    };
    let one = match &settings.what {
        What::One { key, upload_id } => recover(bucket, key, upload_id.as_deref(), &rules).await,
        What::Spool(dir) => recover_spool(bucket, dir, settings.force).await,
        What::All { prefix } => {
            let mut all_well = true;
            let swept = recover_all(bucket, prefix, &rules, |upload, recovered| match recovered {
                Ok(recovered) => print(&recovered),
                Err(error) => {
                    all_well = false;
                    let error = scrub(&chain(&error));
                    tracing::error!(
                        key = upload.key,
                        upload_id = upload.id,
                        error,
                        "left as it is"
                    );
                }
            });
            return match swept.await {
                Ok(()) if all_well => ExitCode::SUCCESS,
                Ok(()) => ExitCode::from(NOT_GOOD),
                Err(error) => refuse(&error),
            };
        }
    };
    match one {
        Ok(recovered) => {
            print(&recovered);
            if recovered.outcome == Outcome::Alive {
                let Recovered { key, .. } = &recovered;
                tracing::error!(
                    key,
                    "its recorder seems to be alive: wait, or say --force if it is not"
                );
                return ExitCode::from(NOT_GOOD);
            }
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

/// Looks at a recording as told.
pub async fn run_verify(settings: &Verify) -> ExitCode {
    let found = match &settings.target {
        Target::File(path) => look(path.clone()).await,
        Target::Object { bucket, key } => {
            let client = s3::client(client_settings(bucket)).await;
            let bucket = Bucket::new(client, &bucket.name);
            match fetch(&bucket, key, &settings.temp_dir).await {
                Ok(copy) => look(copy.path().to_owned()).await,
                Err(error) => return refuse(&error),
            }
        }
    };
    match found {
        Ok(findings) => {
            print(&findings);
            if findings.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(NOT_GOOD) }
        }
        Err(error) => refuse(&error),
    }
}

async fn look(path: std::path::PathBuf) -> Result<crate::verify::Findings, crate::verify::Error> {
    let looked = tokio::task::spawn_blocking(move || verify(&path)).await;
    looked.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// A copy of the object that is gone when it is dropped.
async fn fetch(
    bucket: &Bucket,
    key: &str,
    temp_dir: &Path,
) -> Result<tempfile::NamedTempFile, Error> {
    let object = bucket.object(key);
    let found = bucket.find(key).await?.ok_or_else(|| Error::Nothing(object.clone()))?;
    let body = bucket.read(&found, 0, found.bytes).await?;
    let mut body = body.ok_or_else(|| Error::Changing(object.clone()))?;
    let broken = |source: Box<dyn std::error::Error + Send + Sync>| Error::Read {
        object: object.clone(),
        source,
    };
    let copy = tempfile::NamedTempFile::new_in(temp_dir).map_err(|error| broken(error.into()))?;
    let file = copy.as_file().try_clone().map_err(|error| broken(error.into()))?;
    let mut file = tokio::fs::File::from_std(file);
    while let Some(bytes) = body.try_next().await.map_err(|error| broken(error.into()))? {
        file.write_all(&bytes).await.map_err(|error| broken(error.into()))?;
    }
    file.flush().await.map_err(|error| broken(error.into()))?;
    Ok(copy)
}

fn print(found: &impl Serialize) {
    let json = serde_json::to_string(found).expect("findings are plain data");
    // Who closed stdout does not want to know; the exit code is told anyway.
    let _ = writeln!(std::io::stdout(), "{json}");
}

fn refuse(error: &dyn std::error::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "{}", scrub(&chain(error)));
    ExitCode::from(NOT_GOOD)
}
