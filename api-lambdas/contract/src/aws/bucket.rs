//! The bucket of the recordings, to play from: addresses, and the worker's reports.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, ResponseChecksumValidation};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use serde_json::Value;

use super::{Trouble, fault};
use crate::names::beside;
use crate::ports::{Answer, Fault, Objects, Report};
use crate::settings::Reader;

const SERVICE: &str = "S3";
const READ: &str = "read the report";

/// A report has some kilobytes; those of long meetings with many speakers have more.
const LONGEST_REPORT: usize = 4 << 20;

/// For a report with all its bytes, which the time-outs of a call do not count.
const REPORT_TIMEOUT: Duration = Duration::from_secs(8);

/// How the bucket is addressed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    path_style: bool,
}

impl Settings {
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let path_style = reader.find("AWS_S3_FORCE_PATH_STYLE");
        Self { path_style: path_style.as_deref() == Some("true") }
    }

    /// A client's configuration so far.
    pub(super) fn builder(self, sdk: &SdkConfig) -> Builder {
        // A signed address must not ask for a header that a player does not send.
        Builder::from(sdk)
            .force_path_style(self.path_style)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
    }
}

/// The bucket's service.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
}

impl Bucket {
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Self {
        Self { client: Client::from_conf(settings.builder(sdk).build()) }
    }

    /// The bytes of a report; `None`: there is none, or none that can be one.
    async fn fetch(&self, bucket: &str, key: &str) -> Answer<Option<Vec<u8>>> {
        let answer = match self.client.get_object().bucket(bucket).key(key).send().await {
            Ok(answer) => answer,
            // Whoever may not list is told that an object that is not there is forbidden.
            Err(error)
                if error
                    .raw_response()
                    .is_some_and(|answer| matches!(answer.status().as_u16(), 403 | 404)) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(fault(SERVICE, READ)(error)),
        };
        let bytes = collect(answer.body).await?;
        if bytes.is_none() {
            tracing::warn!(bucket, key, "the report is too long to be one");
        }
        Ok(bytes)
    }
}

impl Objects for Bucket {
    async fn presign(
        &self,
        bucket: &str,
        key: &str,
        minutes: u32,
        now: Timestamp,
    ) -> Answer<String> {
        const ACTION: &str = "sign an address";
        let terms = PresigningConfig::builder()
            .start_time(now.into())
            .expires_in(Duration::from_secs(u64::from(minutes) * 60))
            .build()
            .map_err(|error| Fault {
                service: SERVICE,
                action: ACTION,
                source: Some(Box::new(error)),
            })?;
        let signed = self.client.get_object().bucket(bucket).key(key).presigned(terms).await;
        Ok(signed.map_err(fault(SERVICE, ACTION))?.uri().to_owned())
    }

    async fn report(&self, bucket: &str, key: &str) -> Answer<Option<Report>> {
        let key = beside(key, "json");
        let fetched = tokio::time::timeout(REPORT_TIMEOUT, self.fetch(bucket, &key)).await;
        let fetched = fetched.map_err(|_| Fault {
            service: SERVICE,
            action: READ,
            source: Some(Box::new(Trouble::Lacks("its bytes do not come"))),
        })?;
        let Some(bytes) = fetched? else { return Ok(None) };
        let report = report(&bytes);
        if report.is_none() {
            tracing::warn!(bucket, key, "the report is not understood");
        }
        Ok(report)
    }
}

/// All of a body, unless it is too long.
async fn collect(mut body: ByteStream) -> Answer<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.try_next().await.map_err(|error| Fault {
        service: SERVICE,
        action: READ,
        source: Some(Box::new(error)),
    })? {
        if bytes.len() + chunk.len() > LONGEST_REPORT {
            return Ok(None);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Some(bytes))
}

/// What the worker's `docs/report.md` describes, as far as it is of interest here.
fn report(bytes: &[u8]) -> Option<Report> {
    let report: Value = serde_json::from_slice(bytes).ok()?;
    let object = report.get("object");
    Some(Report {
        media: report.get("media")?.as_str()?.to_owned(),
        end: end(report.get("end")?)?,
        duration_seconds: report.get("duration_seconds").and_then(Value::as_f64),
        bytes: object.and_then(|object| object.get("bytes")?.as_u64()),
        chapters_key: object.and_then(|object| Some(object.get("chapters_key")?.as_str()?.into())),
        completing: object.and_then(|object| object.get("completing")?.as_bool()).unwrap_or(false),
    })
}

fn end(end: &Value) -> Option<String> {
    if let Some(reason) = end.get("stopped") {
        return Some(reason.as_str()?.to_owned());
    }
    let failed = end.get("failed")?;
    let stage = failed.get("stage")?.as_str()?;
    let message = failed.get("message")?.as_str()?;
    Some(format!("failed at {stage}: {message}"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
    use serde_json::json;

    use super::*;
    use crate::fake::now;

    fn bucket(path_style: bool) -> Bucket {
        let credentials = Credentials::new("id", "key", None, None, "test");
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build();
        Bucket::new(&sdk, Settings { path_style })
    }

    #[tokio::test]
    async fn an_address_can_be_opened_by_anything_that_plays() {
        let url = bucket(false).presign("films", "RECORDINGS/a%2Fb.mp4", 15, now()).await.unwrap();
        let (address, query) = url.split_once('?').unwrap();
        assert_eq!(address, "https://films.s3.eu-central-1.amazonaws.com/RECORDINGS/a%252Fb.mp4");
        for part in [
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Expires=900",
            "X-Amz-Date=20240305T070809Z",
            "X-Amz-SignedHeaders=host",
        ] {
            assert!(query.split('&').any(|found| found == part), "{part} in {query}");
        }
        let url = bucket(true).presign("films", "k.mp4", 15, now()).await.unwrap();
        assert!(url.starts_with("https://s3.eu-central-1.amazonaws.com/films/k.mp4?"), "{url}");
    }

    #[test]
    fn a_report_is_read_as_the_worker_writes_it() {
        let whole = json!({
            "version": 1, "end": { "stopped": "meeting_ended" }, "media": "complete",
            "exit_code": 0, "duration_seconds": 9.5,
            "object": { "bucket": "b", "key": "k.mp4", "bytes": 1000, "chapters_key": "k.vtt" },
            "something": ["new"],
        });
        let expected = Report {
            media: "complete".into(),
            end: "meeting_ended".into(),
            duration_seconds: Some(9.5),
            bytes: Some(1000),
            chapters_key: Some("k.vtt".into()),
            completing: false,
        };
        assert_eq!(report(whole.to_string().as_bytes()), Some(expected));
        let failed = json!({
            "end": { "failed": { "stage": "browser", "message": "it is gone" } },
            "media": "nothing", "duration_seconds": 0.0, "object": { "bucket": "b", "key": "k" },
        });
        let expected = Report {
            media: "nothing".into(),
            end: "failed at browser: it is gone".into(),
            duration_seconds: Some(0.0),
            bytes: None,
            chapters_key: None,
            completing: false,
        };
        assert_eq!(report(failed.to_string().as_bytes()), Some(expected));
        let unanswered = json!({
            "end": { "stopped": "signal" }, "media": "upload_open", "duration_seconds": 9.5,
            "object": { "bucket": "b", "key": "k", "upload_id": "u", "completing": true },
        });
        let expected = Report {
            media: "upload_open".into(),
            end: "signal".into(),
            duration_seconds: Some(9.5),
            bytes: None,
            chapters_key: None,
            completing: true,
        };
        assert_eq!(report(unanswered.to_string().as_bytes()), Some(expected));
    }

    #[test]
    fn what_is_no_report_is_none() {
        for text in [
            "",
            "{",
            "[]",
            "{}",
            r#"{"media":"complete"}"#,
            r#"{"media":1,"end":{"stopped":"signal"}}"#,
            r#"{"media":"complete","end":"signal"}"#,
            r#"{"media":"complete","end":{"failed":{"stage":"page"}}}"#,
        ] {
            assert_eq!(report(text.as_bytes()), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_body_is_read_only_so_far() {
        let fits = ByteStream::from(vec![0; LONGEST_REPORT]);
        assert!(collect(fits).await.unwrap().is_some());
        let long = ByteStream::from(vec![0; LONGEST_REPORT + 1]);
        assert!(collect(long).await.unwrap().is_none());
    }
}
