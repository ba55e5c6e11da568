//! The repair of recordings, with what the recorder itself knows about it
//! (`recorder::recovery`). Here is only what a Lambda adds: its answers, and the
//! uploads that are in the way of a repair although nothing is lost with them.
//!
//! A recording's key belongs to one task, which makes one upload. Another of the same
//! key is one that the task asked for twice because an answer was lost, and is empty;
//! or, once the object is there, one that a repair copies it into.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use jiff::Timestamp;
use recorder::recovery::bucket::{Bucket, Listed, OpenUpload as Open};
use recorder::recovery::{Error, Outcome, Recovered as Found, Rules, recover};

use super::{ATTEMPT_TIMEOUT, CONNECT_TIMEOUT, lacks};
use crate::names::PREFIX;
use crate::ports::{Answer, Fault, OpenUpload, Recovered, Recovery};
use crate::settings::Reader;

const SERVICE: &str = "S3";
const RECOVER: &str = "recover the recording";

/// A repair ends with its Lambda, which is after 15 minutes at the latest: an upload
/// whose newest part is older is nobody's.
const REPAIR_TIMEOUT: Duration = Duration::from_mins(15);

/// How often a repair is begun anew after an upload that was in its way.
const TRIES: u32 = 4;

/// Which bucket, and how it is addressed.
#[derive(Clone, Debug)]
pub struct Settings {
    bucket: String,
    s3: super::bucket::Settings,
}

impl Settings {
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            bucket: reader.need("RECORDING_BUCKET_NAME"),
            s3: super::bucket::Settings::read(reader),
        }
    }
}

/// The bucket of the recordings, to repair in.
#[derive(Clone, Debug)]
pub struct Repairs {
    client: Client,
    /// Where open uploads are looked for.
    bucket: String,
}

impl Repairs {
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Self {
        // The recorder says for most requests how long an attempt may take; a copy
        // takes minutes, and a part that is sent is not stalled while it waits.
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_attempt_timeout(ATTEMPT_TIMEOUT)
            .disable_operation_timeout()
            .build();
        let stalls = StalledStreamProtectionConfig::enabled().upload_enabled(false).build();
        let config = settings
            .s3
            .builder(sdk)
            .timeout_config(timeouts)
            .stalled_stream_protection(stalls)
            .build();
        Self { client: Client::from_conf(config), bucket: settings.bucket }
    }

    /// `None`: the upload's recorder may be alive.
    async fn repair(
        &self,
        bucket: &Bucket,
        key: &str,
        upload: Option<&str>,
        older_than: Duration,
    ) -> Answer<Option<Recovered>> {
        let rules = Rules { older_than, force: false, held_in: None };
        let mut upload = upload;
        for _ in 0..TRIES {
            match recover(bucket, key, upload, &rules).await {
                Ok(Found { outcome, bytes, duration_seconds, .. }) => match outcome {
                    Outcome::Recovered => {
                        return Ok(Some(Recovered::Recovered { bytes, duration_seconds }));
                    }
                    Outcome::WasComplete => {
                        return Ok(Some(Recovered::WasComplete { bytes, duration_seconds }));
                    }
                    Outcome::Alive => return Ok(None),
                    // An upload that held nothing, and is gone; there may be an object.
                    Outcome::Empty => {}
                },
                Err(Error::Nothing(_)) => return Ok(Some(Recovered::Nothing)),
                Err(error @ Error::NoRecording { .. }) => return Ok(Some(nothing(key, &error))),
                Err(error @ Error::NoBeginning { .. })
                    if bucket.find(key).await.map_err(fault)?.is_none() =>
                {
                    return Ok(Some(nothing(key, &error)));
                }
                Err(
                    error @ (Error::NoBeginning { .. }
                    | Error::Occupied { .. }
                    | Error::Several { .. }),
                ) => {
                    if !clear(bucket, key, older_than).await? {
                        return Err(fault(error));
                    }
                }
                Err(error) => return Err(fault(error)),
            }
            upload = None;
        }
        Err(lacks(SERVICE, RECOVER, "uploads of its key appear again and again"))
    }
}

impl Recovery for Repairs {
    async fn recover(&self, bucket: &str, key: &str) -> Answer<Recovered> {
        let bucket = Bucket::new(self.client.clone(), bucket);
        let recovered = self.repair(&bucket, key, None, Duration::ZERO).await?;
        recovered.ok_or_else(|| lacks(SERVICE, RECOVER, "its upload has no time of beginning"))
    }

    async fn open_uploads(&self) -> Answer<Vec<OpenUpload>> {
        let bucket = Bucket::new(self.client.clone(), &self.bucket);
        let open = bucket.open_uploads(PREFIX).await.map_err(|error| Fault {
            service: SERVICE,
            action: "list the open uploads",
            source: Some(Box::new(error)),
        })?;
        let open = open.into_iter().map(|Open { key, id, initiated }| OpenUpload {
            key,
            id,
            begun: initiated.and_then(|at| Timestamp::try_from(at).ok()),
        });
        Ok(open.collect())
    }

    async fn recover_upload(
        &self,
        upload: &OpenUpload,
        older_than: Duration,
    ) -> Answer<Option<Recovered>> {
        let bucket = Bucket::new(self.client.clone(), &self.bucket);
        let open = Open {
            key: upload.key.clone(),
            id: upload.id.clone(),
            initiated: upload.begun.map(SystemTime::from),
        };
        // The recorder knows of an upload only its parts, and takes one without any
        // for new.
        let parts = bucket.parts(&open).await.map_err(fault)?;
        if parts.is_some_and(|parts| parts.is_empty()) {
            if !is_older(&open, &[], older_than, SystemTime::now()) {
                return Ok(None);
            }
            bucket.abort(&open).await.map_err(fault)?;
            return self.repair(&bucket, &open.key, None, older_than).await;
        }
        self.repair(&bucket, &open.key, Some(&open.id), older_than).await
    }
}

fn nothing(key: &str, error: &Error) -> Recovered {
    let error = crate::lambda::chain(error);
    tracing::error!(key, error, "what is there is no recording");
    Recovered::Nothing
}

/// Removes the uploads of a key with which nothing is lost. False: there are none.
async fn clear(bucket: &Bucket, key: &str, older_than: Duration) -> Answer<bool> {
    let has_object = bucket.find(key).await.map_err(fault)?.is_some();
    let mut cleared = false;
    for upload in bucket.open_uploads(key).await.map_err(fault)? {
        if upload.key != key {
            continue;
        }
        let Some(parts) = bucket.parts(&upload).await.map_err(fault)? else { continue };
        let spared = match (parts.is_empty(), has_object) {
            (true, _) => older_than,
            (false, true) => older_than.max(REPAIR_TIMEOUT),
            (false, false) => continue,
        };
        if is_older(&upload, &parts, spared, SystemTime::now()) {
            bucket.abort(&upload).await.map_err(fault)?;
            tracing::warn!(key, upload = upload.id, parts = parts.len(), "removed an upload");
            cleared = true;
        }
    }
    Ok(cleared)
}

/// Whether nothing has happened to an upload for so long, by the store's clock and
/// ours.
fn is_older(upload: &Open, parts: &[Listed], than: Duration, now: SystemTime) -> bool {
    let newest = parts.iter().filter_map(|part| part.modified).chain(upload.initiated).max();
    newest.is_some_and(|newest| now.duration_since(newest).unwrap_or_default() >= than)
}

fn fault(error: impl Into<Error>) -> Fault {
    Fault { service: SERVICE, action: RECOVER, source: Some(Box::new(error.into())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(age: u64, now: SystemTime) -> Listed {
        Listed {
            number: 1,
            bytes: 5 << 20,
            etag: "e".into(),
            checksum: None,
            modified: Some(now - Duration::from_secs(age)),
        }
    }

    #[test]
    fn an_upload_is_as_old_as_the_newest_that_is_known_of_it() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_709_622_489);
        let upload = |age: Option<u64>| Open {
            key: "k".into(),
            id: "u".into(),
            initiated: age.map(|age| now - Duration::from_secs(age)),
        };
        let than = Duration::from_mins(1);
        for (initiated, parts, older) in [
            (Some(61), vec![], true),
            (Some(59), vec![], false),
            (Some(3600), vec![part(59, now), part(600, now)], false),
            (Some(3600), vec![part(61, now)], true),
            (None, vec![], false),
            (None, vec![part(61, now)], true),
        ] {
            assert_eq!(is_older(&upload(initiated), &parts, than, now), older, "{initiated:?}");
        }
        // The store's clock may be ahead.
        let ahead = Open { initiated: Some(now + Duration::from_secs(5)), ..upload(None) };
        assert!(!is_older(&ahead, &[], than, now));
        assert!(is_older(&ahead, &[], Duration::ZERO, now));
    }
}
