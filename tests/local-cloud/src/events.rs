//! Events on ministack's default bus, as AWS services put them there.
//!
//! It must not know what any event is about.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// ministack answers within milliseconds, and never later than this.
const ANSWER: Duration = Duration::from_secs(30);

/// The bus.
#[derive(Clone, Debug)]
pub struct Events {
    http: reqwest::Client,
    endpoint: String,
    region: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{detail_type} could not be put on the bus")]
    NoAnswer { detail_type: String, source: reqwest::Error },
    #[error("{detail_type} was refused: {why}")]
    Refused { detail_type: String, why: String },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    failed_entry_count: u32,
    #[serde(default)]
    entries: Vec<Entry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    error_code: Option<String>,
    error_message: Option<String>,
}

impl Events {
    pub fn new(ministack_endpoint: &str, region: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            endpoint: ministack_endpoint.to_owned(),
            region: region.to_owned(),
        }
    }

    /// Puts an event that names no resources.
    pub async fn put(&self, source: &str, detail_type: &str, detail: Value) -> Result<(), Error> {
        self.put_about(&[], source, detail_type, detail).await
    }

    /// Puts an event about resources, which are ARNs.
    pub async fn put_about(
        &self,
        resources: &[&str],
        source: &str,
        detail_type: &str,
        detail: Value,
    ) -> Result<(), Error> {
        let failed = |source| Error::NoAnswer { detail_type: detail_type.to_owned(), source };
        let refused = |why| Error::Refused { detail_type: detail_type.to_owned(), why };
        // The account itself, whose signature ministack does not look at; what it takes
        // from here is the region.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=test/{}/{}/events/aws4_request, SignedHeaders=host, \
             Signature=0",
            Timestamp::now().strftime("%Y%m%d"),
            self.region,
        );
        let entry = json!({
            "Source": source,
            "DetailType": detail_type,
            "Detail": detail.to_string(),
            "Resources": resources,
        });
        let request = self
            .http
            .post(&self.endpoint)
            .header("authorization", authorization)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", "AWSEvents.PutEvents")
            .body(json!({ "Entries": [entry] }).to_string())
            .timeout(ANSWER);
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let text = answer.text().await.map_err(failed)?;
        if !status.is_success() {
            return Err(refused(format!("{status}: {text}")));
        }
        accepted(&text).map_err(refused)
    }
}

/// Whether the one event was taken, which the status does not say.
fn accepted(answer: &str) -> Result<(), String> {
    let Ok(Answer { failed_entry_count, entries }) = serde_json::from_str(answer) else {
        return Err(format!("the answer is not understood: {answer}"));
    };
    if failed_entry_count == 0 {
        return Ok(());
    }
    let Entry { error_code, error_message } = entries.into_iter().next().unwrap_or_default();
    Err([error_code, error_message].into_iter().flatten().collect::<Vec<_>>().join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ministack::Ministack;
    use crate::servers::free_ports;

    /// Waits for the one message of a queue.
    async fn received(ministack: &Ministack, queue: &str) -> Value {
        let body = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 });
        let answer = ministack.root().target("sqs", "AmazonSQS.ReceiveMessage", &body).await;
        let answer = answer.unwrap();
        serde_json::from_str(answer["Messages"][0]["Body"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn an_event_that_was_not_taken_is_an_error() {
        let refused = json!({ "FailedEntryCount": 1, "Entries": [{
            "ErrorCode": "NotAuthorizedForSourceException", "ErrorMessage": "No.",
        }] });
        let wrong = "NotAuthorizedForSourceException: No.";
        assert_eq!(accepted(&refused.to_string()), Err(wrong.into()));
        let taken = json!({ "FailedEntryCount": 0, "Entries": [{ "EventId": "1" }] });
        assert_eq!(accepted(&taken.to_string()), Ok(()));
        for other in ["", "{}", "<html>"] {
            assert!(accepted(other).unwrap_err().contains("not understood"));
        }
    }

    #[tokio::test]
    async fn an_event_of_a_service_comes_to_whoever_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let http = reqwest::Client::new();
        let [port] = free_ports().unwrap();
        let mut ministack = Ministack::start(dir.path(), port, &http).unwrap();
        ministack.ready().await.unwrap();
        let root = ministack.root();
        let body = json!({ "QueueName": "events" });
        let answer = root.target("sqs", "AmazonSQS.CreateQueue", &body).await.unwrap();
        let queue = answer["QueueUrl"].as_str().unwrap();
        let pattern = json!({ "source": ["aws.ecs"], "detail": { "lastStatus": ["STOPPED"] } });
        let body = json!({ "Name": "stopped", "EventPattern": pattern.to_string() });
        root.target("events", "AWSEvents.PutRule", &body).await.unwrap();
        let arn = format!("arn:aws:sqs:us-east-1:{}:events", crate::ministack::ACCOUNT);
        let body = json!({ "Rule": "stopped", "Targets": [{ "Id": "1", "Arn": arn }] });
        root.target("events", "AWSEvents.PutTargets", &body).await.unwrap();

        let events = Events::new(ministack.endpoint(), "us-east-1");
        let kind = "ECS Task State Change";
        events.put("aws.ecs", kind, json!({ "lastStatus": "RUNNING" })).await.unwrap();
        let detail = json!({ "lastStatus": "STOPPED", "version": 3 });
        events.put_about(&["arn:task"], "aws.ecs", kind, detail.clone()).await.unwrap();
        let event = received(&ministack, queue).await;
        assert_eq!(event["detail"], detail);
        assert_eq!(event["detail-type"], kind);
        assert_eq!(event["resources"], json!(["arn:task"]));
        assert_eq!(event["region"], "us-east-1");
        assert_eq!(event["account"], crate::ministack::ACCOUNT);

        drop(ministack);
        let error = events.put("aws.ecs", kind, json!({})).await.unwrap_err();
        assert!(matches!(error, Error::NoAnswer { .. }), "{error:?}");
    }
}
