//! The cloud itself: whom it lets in, what it keeps, and with which rights the
//! Lambdas run in it. What the product does is in the other modules.

use std::process::Command;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption;
use http::Method;
use local_cloud::ecs::TaskKind;
use local_cloud::{Dynamodb, ORIGIN, Options, Server};
use serde_json::{Value, json};

use crate::support::{Site, agent, bins, body, has_lock, settled, start, task_of, with_stubs};

#[tokio::test]
async fn a_printed_command_line_calls_the_api() {
    let cloud = with_stubs().await;
    let alice = cloud.agent("alice").await.unwrap();
    let cache = alice.curl(&Method::PUT, "/connect-user-cache", None);
    let asked = json!({ "externalMeetingId": "it's none" });
    let record = alice.curl(&Method::POST, "/recording", Some(&asked));
    let list = alice.curl(&Method::GET, "/recording-summary?externalMeetingId=none", None);
    let not_found = "Get Recording Summary Error, recordings not found for the provided meeting";
    for (line, name, value) in [
        (cache, "data", json!(true)),
        (record, "message", json!("Start Recording Error, meeting not found")),
        (list, "message", json!(not_found)),
    ] {
        let run = move || Command::new("sh").args(["-c", &line]).output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(answer[name], value, "{output:?}");
    }
}

#[tokio::test]
async fn only_pages_of_the_application_may_call_the_api() {
    let cloud = with_stubs().await;
    let answer = cloud.preflight(ORIGIN, &Method::DELETE, "/recording").await.unwrap();
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(answer.headers["access-control-allow-origin"], ORIGIN);
    let methods = answer.headers["access-control-allow-methods"].to_str().unwrap();
    assert!(methods.contains("DELETE"), "{methods}");
    let headers = answer.headers["access-control-allow-headers"].to_str().unwrap();
    assert!(headers.to_lowercase().contains("cognitoidtoken"), "{headers}");
    let other = "https://elsewhere.example.com";
    let answer = cloud.preflight(other, &Method::DELETE, "/recording").await.unwrap();
    assert!(!answer.headers.contains_key("access-control-allow-origin"), "{answer:?}");
}

#[tokio::test]
async fn what_is_stored_is_encrypted_and_outlives_its_server() {
    let mut cloud = with_stubs().await;
    let item = json!({ "PK": "M#kept", "SK": "A#1", "TTL": 1, "list": [1.5, null, { "a": true }] });
    cloud.put_item(&item).await.unwrap();
    let key = "RECORDINGS/kept.mp4";
    let bytes = ByteStream::from_static(b"a film");
    cloud.s3().put_object().bucket(cloud.bucket()).key(key).body(bytes).send().await.unwrap();

    cloud.restart(Server::Dynamodb).await.unwrap();
    cloud.restart(Server::Store).await.unwrap();
    assert_eq!(cloud.table_items("M#kept").await.unwrap(), [item]);
    let object = cloud.s3().get_object().bucket(cloud.bucket()).key(key).send().await.unwrap();
    assert_eq!(object.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    let read = object.body.collect().await.unwrap().into_bytes();
    assert_eq!(&read[..], b"a film");
    // What was set up once is set up still.
    let alice = agent(&cloud, "alice").await;
    assert_eq!(alice.recording_summary("kept").await.unwrap().status, 404);
}

/// Amazon's own DynamoDB, where the other tests have the table, asks nobody for
/// rights.
#[tokio::test]
async fn no_lambda_needs_a_right_to_the_table_that_it_does_not_have() {
    let (dynamodb, task) = (Dynamodb::Ministack, TaskKind::Stub);
    let cloud = Site::start(Options { dynamodb, task, ..Options::new(bins()) }).await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("rights", &alice, 0).await.unwrap();
    let stopped = start(&cloud, &alice, &meeting).await;
    let again = alice.post_recording(&body("rights")).await.unwrap();
    assert_eq!(again.status, 409, "{again:?}");
    let answer = alice.delete_recording("rights").await.unwrap();
    assert_eq!(answer.body["data"]["recordingsStopped"], 1, "{answer:?}");
    cloud.ecs().wait_stopped(&task_of(&cloud, &stopped).arn).await.unwrap();
    // A task that did nothing leaves nothing; that this is found needs every right.
    settled(&cloud, "rights", &stopped, "empty").await;
    assert!(!has_lock(&cloud, "rights").await);
    assert_eq!(alice.recording_summary("rights").await.unwrap().status, 200);

    let killed = start(&cloud, &alice, &meeting).await;
    cloud.ecs().lose_events(true);
    cloud.ecs().kill(&task_of(&cloud, &killed).arn).unwrap();
    cloud.ecs().wait_stopped(&task_of(&cloud, &killed).arn).await.unwrap();
    cloud.ecs().forget(&task_of(&cloud, &killed).arn).unwrap();
    let mut open = cloud.table_items("RECORDINGS#OPEN").await.unwrap().remove(0);
    open["createdAt"] = "2024-03-05T07:08:09.123Z".into();
    cloud.put_item(&open).await.unwrap();
    let (error, answer) = cloud.invoke("recording-sweeper", &json!({})).await.unwrap();
    assert_eq!(error, None, "{answer}");
    settled(&cloud, "rights", &killed, "failed").await;

    let ended = start(&cloud, &alice, &meeting).await;
    cloud.end_meeting(&meeting).await.unwrap();
    cloud.ecs().wait_stopped(&task_of(&cloud, &ended).arn).await.unwrap();
}
