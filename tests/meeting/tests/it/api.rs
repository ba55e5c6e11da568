//! The Meetings API through the real `aws-sdk-chimesdkmeetings`.

use aws_sdk_chimesdkmeetings::Client;
use aws_sdk_chimesdkmeetings::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_chimesdkmeetings::error::ProvideErrorMetadata;
use test_meeting::Server;

use crate::server;

fn client(server: &Server) -> Client {
    let config = aws_sdk_chimesdkmeetings::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
        .endpoint_url(server.endpoint())
        .build();
    Client::from_conf(config)
}

async fn create(client: &Client, token: &str, external_id: &str) -> String {
    let created = client
        .create_meeting()
        .client_request_token(token)
        .external_meeting_id(external_id)
        .media_region("us-east-1")
        .send()
        .await
        .unwrap();
    created.meeting.unwrap().meeting_id.unwrap()
}

#[tokio::test]
async fn a_meeting_lives_and_ends() {
    let server = server().await;
    let client = client(&server);
    let id = create(&client, "request-1", "~>?é 会").await;
    assert_eq!(create(&client, "request-1", "~>?é 会").await, id, "the token makes it idempotent");
    assert_ne!(create(&client, "request-2", "other").await, id);

    let got = client.get_meeting().meeting_id(&id).send().await.unwrap().meeting.unwrap();
    assert_eq!(got.external_meeting_id.as_deref(), Some("~>?é 会"));
    let signaling = got.media_placement.unwrap().signaling_url.unwrap();
    assert!(signaling.starts_with("ws://127.0.0.1:") && !signaling.contains('?'), "{signaling}");

    client.delete_meeting().meeting_id(&id).send().await.unwrap();
    client.delete_meeting().meeting_id("unknown").send().await.unwrap();
    for id in ["unknown", &id] {
        let error = client.get_meeting().meeting_id(id).send().await.unwrap_err();
        assert!(error.into_service_error().is_not_found_exception(), "{id}");
    }
    let late = client.create_attendee().meeting_id(&id).external_user_id("late").send().await;
    assert!(late.unwrap_err().into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn attendees_are_made_listed_and_removed() {
    let server = server().await;
    let client = client(&server);
    let id = create(&client, "request-1", "call").await;
    let attend = |name: String| {
        let request = client.create_attendee().meeting_id(&id).external_user_id(name);
        async { request.send().await.unwrap().attendee.unwrap() }
    };
    let first = attend("user-0".into()).await;
    assert_eq!(attend("user-0".into()).await, first, "the same user is the same attendee");
    // It stands in a list of WebSocket protocols.
    let token = first.join_token.unwrap();
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    for number in 1..5 {
        attend(format!("user-{number}")).await;
    }

    let mut listed = Vec::new();
    let mut next = None;
    loop {
        let request = client.list_attendees().meeting_id(&id).max_results(2).set_next_token(next);
        let page = request.send().await.unwrap();
        let attendees = page.attendees.unwrap();
        assert!(attendees.len() <= 2);
        listed.extend(attendees.into_iter().map(|attendee| attendee.external_user_id.unwrap()));
        next = page.next_token;
        if next.is_none() {
            break;
        }
    }
    listed.sort();
    assert_eq!(listed, ["user-0", "user-1", "user-2", "user-3", "user-4"]);

    let attendee_id = first.attendee_id.unwrap();
    let get = || client.get_attendee().meeting_id(&id).attendee_id(&attendee_id).send();
    assert_eq!(get().await.unwrap().attendee.unwrap().external_user_id.as_deref(), Some("user-0"));
    client.delete_attendee().meeting_id(&id).attendee_id(&attendee_id).send().await.unwrap();
    assert!(get().await.unwrap_err().into_service_error().is_not_found_exception());
}

#[tokio::test]
async fn what_the_service_refuses_is_refused_with_its_error() {
    let server = server().await;
    let client = client(&server);
    let id = create(&client, "request-1", "call").await;
    let error = client.create_attendee().meeting_id(&id).external_user_id("x").send().await;
    let error = error.unwrap_err();
    assert_eq!(error.code(), Some("BadRequestException"));
    assert!(error.message().unwrap().contains("ExternalUserId"));
    let error = client.create_attendee().meeting_id("no").external_user_id("xy").send().await;
    assert_eq!(error.unwrap_err().code(), Some("NotFoundException"));
}
