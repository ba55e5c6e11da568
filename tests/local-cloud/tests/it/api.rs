//! What the API says to whom: tokens, owners, groups, and every text of a refusal.

use http::Method;
use local_cloud::agent::Plan;
use local_cloud::{Agent, PLAYBACK_PROFILE};
use serde_json::{Value, json};

use crate::support::{agent, agent_of, assert_ok, bins, body, start, with_stubs};

#[tokio::test]
async fn only_who_signs_and_has_the_token_of_the_pool_is_let_in() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let bob = agent(&cloud, "bob").await;
    let meeting = cloud.start_meeting("tokens", &alice, 0).await.unwrap();
    let asked = body(&meeting.external_meeting_id);

    let unsigned = cloud.call_unsigned(Method::POST, "/recording", Some(&asked)).await.unwrap();
    assert_eq!((unsigned.status, &unsigned.body["message"]), (403, &json!("Forbidden")));
    // A route that agents have no right to.
    let other = alice.call(Method::GET, "/recording", None, Some(alice.id_token())).await.unwrap();
    assert!([403, 404].contains(&other.status), "{other:?}");

    let tampered = {
        let (rest, signature) = alice.id_token().rsplit_once('.').unwrap();
        let turned: String = signature.chars().rev().collect();
        format!("{rest}.{turned}")
    };
    let stranger = cloud.stranger(Plan::new("alice")).await.unwrap();
    let now = jiff::Timestamp::now().as_second();
    let changed = async |claims: Value| cloud.token(&alice, &claims).await.unwrap();
    // The clocks may differ by a minute.
    let expired = changed(json!({ "exp": now - 70 })).await;
    let of_tomorrow = changed(json!({ "auth_time": now + 86_400 })).await;
    let of_an_app = changed(json!({ "aud": "another" })).await;
    let of_an_issuer = changed(json!({ "iss": "https://idp.example.com/pool" })).await;
    let for_access = changed(json!({ "token_use": "access" })).await;
    for (name, token, status, message) in [
        ("an expired one", Some(expired.as_str()), 403, "Claim is expired or invalid"),
        ("of tomorrow", Some(of_tomorrow.as_str()), 403, "Claim is expired or invalid"),
        ("of another application", Some(of_an_app.as_str()), 403, "Claim audience is invalid"),
        ("of another issuer", Some(of_an_issuer.as_str()), 403, "Claim issuer is invalid"),
        ("no ID token", Some(for_access.as_str()), 403, "Claim token_use is not id"),
        ("of another pool", Some(stranger.id_token()), 403, "Claim made for unknown kid"),
        ("none", None, 401, "Requested token is missing"),
        ("no token", Some("x"), 401, "Requested token is invalid"),
        ("a changed one", Some(tampered.as_str()), 403, "Token signature is invalid"),
        ("another's", Some(bob.id_token()), 403, "Claim subject does not match"),
    ] {
        let answer = alice.call(Method::POST, "/recording", Some(&asked), token).await.unwrap();
        assert_eq!((answer.status, &answer.body["message"]), (status, &json!(message)), "{name}");
        assert!(answer.body["reqId"].is_string(), "{name}: {answer:?}");
    }
    // Who may sign, but for another pool.
    for token in [alice.id_token(), stranger.id_token()] {
        let asked = Some(&asked);
        let answer = stranger.call(Method::POST, "/recording", asked, Some(token)).await.unwrap();
        let message = json!("Caller is not a user of the user pool");
        assert_eq!((answer.status, &answer.body["message"]), (403, &message));
    }
    assert_eq!(cloud.ecs().run_calls(), 0);
    // None of them was refused for how it was made.
    let late = changed(json!({ "exp": now - 30 })).await;
    let answer = alice.call(Method::POST, "/recording", Some(&asked), Some(&late)).await.unwrap();
    assert_ok(&cloud, "start-recording", &answer).await;
    // No token has come into any log.
    let log = cloud.logs("start-recording").await.unwrap();
    assert!(!log.contains(alice.id_token()) && !log.contains(bob.id_token()));
}

async fn refused(
    agent: &Agent,
    (method, path): (Method, &str),
    asked: Option<&Value>,
) -> (u16, String) {
    let answer = agent.call(method, path, asked, Some(agent.id_token())).await.unwrap();
    let message = answer.body["message"].as_str().unwrap_or_default().to_owned();
    assert!(answer.body["reqId"].is_string(), "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    (answer.status, message)
}

#[tokio::test]
async fn every_refusal_has_the_words_of_the_contract() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let bob = agent(&cloud, "bob").await;
    let plan = Plan { is_onboarded: false, ..Plan::new("stranger") };
    let stranger = cloud.agent_as(plan).await.unwrap();
    let no_player = agent_of(&cloud, "no-player", None, "another-profile").await;
    // The cache has nothing of who has never been put there.
    let unknown = cloud.agent_as(Plan::new("unknown")).await.unwrap();
    cloud.start_meeting("words", &alice, 0).await.unwrap();
    cloud.start_meeting("unknowns", &unknown, 0).await.unwrap();
    let start = (Method::POST, "/recording");
    let stop = (Method::DELETE, "/recording");
    let summary = |query: &'static str| (Method::GET, query);
    let words = body("words");

    for (who, call, asked, status, message) in [
        (&alice, start.clone(), Some(json!({})), 400, "Must provide External Meeting Id"),
        (&alice, start.clone(), None, 400, "Must provide External Meeting Id"),
        (&stranger, start.clone(), Some(words.clone()), 400, "Must provide connectUserId"),
        (
            &alice,
            start.clone(),
            Some(body("nowhere")),
            404,
            "Start Recording Error, meeting not found",
        ),
        (
            &bob,
            start.clone(),
            Some(words.clone()),
            400,
            "Start Recording Error, user is not the owner",
        ),
        (
            &unknown,
            start,
            Some(body("unknowns")),
            500,
            "Start Recording Error, please try again later",
        ),
        (&alice, stop.clone(), Some(json!({})), 400, "Must provide External Meeting Id"),
        (&alice, stop.clone(), Some(words.clone()), 404, "No recording in progress"),
        (&alice, stop.clone(), Some(body("nowhere")), 404, "No recording in progress"),
        (&bob, stop, Some(words.clone()), 400, "Stop Recording Error, user is not the owner"),
        (&alice, summary("/recording-summary"), None, 400, "Must provide External Meeting Id"),
        (
            &stranger,
            summary("/recording-summary?externalMeetingId=words"),
            None,
            400,
            "Must provide connectUserId",
        ),
        (
            &unknown,
            summary("/recording-summary?externalMeetingId=words"),
            None,
            500,
            "Get Recording Summary Error, please try again later",
        ),
        (
            &no_player,
            summary("/recording-summary?externalMeetingId=nowhere"),
            None,
            403,
            "Get Recording Summary Error, permission denied",
        ),
        (
            &alice,
            summary("/recording-summary?externalMeetingId=words"),
            None,
            404,
            "Get Recording Summary Error, recordings not found for the provided meeting",
        ),
    ] {
        assert_eq!(refused(who, call, asked.as_ref()).await, (status, message.to_owned()));
    }
    let nothing = alice.delete_recording("words").await.unwrap();
    assert_eq!(nothing.body["data"], json!({ "recordingsStopped": 0, "recordingsNotStopped": 0 }));
}

#[tokio::test]
async fn a_recording_is_shown_to_its_group_and_the_groups_above() {
    let cloud = with_stubs().await;
    let level = |id: &str| json!({ "Id": id, "Arn": format!("arn:{id}"), "Name": id });
    let arn = |id: &str| {
        let instance = cloud.connect().instance_arn();
        format!("{instance}/agent-group/{id}")
    };
    let top = json!({
        "Id": "top", "Arn": arn("top"), "Name": "top", "LevelId": "1",
        "HierarchyPath": { "LevelOne": level("top") },
    });
    let team = json!({
        "Id": "team", "Arn": arn("team"), "Name": "team", "LevelId": "2",
        "HierarchyPath": { "LevelOne": level("top"), "LevelTwo": level("team") },
    });
    let other = json!({
        "Id": "other", "Arn": arn("other"), "Name": "other", "LevelId": "2",
        "HierarchyPath": { "LevelOne": level("top"), "LevelTwo": level("other") },
    });
    for group in [top, team, other] {
        cloud.connect().put_group(group);
    }
    let alice = agent_of(&cloud, "alice", Some("team"), PLAYBACK_PROFILE).await;
    let meeting = cloud.start_meeting("groups", &alice, 0).await.unwrap();
    let id = start(&cloud, &alice, &meeting).await;
    let items = cloud.table_items("M#groups").await.unwrap();
    let item = items.iter().find(|item| item["SK"] == format!("REC#{id}")).unwrap();
    assert_eq!(item["connectHierarchyGroupId"], "team");
    assert_eq!(item["connectHierarchyGroupSummary"]["HierarchyPath"]["LevelOne"]["Id"], "top");

    for (name, group, visible) in [
        ("alice", Some("team"), true),
        ("boss", Some("top"), true),
        ("rival", Some("other"), false),
        ("nobody", None, false),
    ] {
        let agent = if name == "alice" {
            alice.clone()
        } else {
            agent_of(&cloud, name, group, PLAYBACK_PROFILE).await
        };
        let answer = agent.recording_summary("groups").await.unwrap();
        assert_eq!(answer.status, if visible { 200 } else { 403 }, "{name}: {answer:?}");
        if visible {
            assert_eq!(answer.body["data"][0]["recordingId"], id);
            assert!(answer.body["data"][0].get("endedAt").is_none());
            assert!(answer.body["data"][0].get("recordingURL").is_none());
        }
    }
}

/// Sixty do not fit into one page of a table whose items are large.
#[tokio::test]
async fn a_summary_has_all_sixty_recordings_in_the_order_of_their_beginning() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    cloud.start_meeting("sixty", &alice, 0).await.unwrap();
    let ballast = "x".repeat(30_000);
    for number in 0..60 {
        let id = format!("{:08x}-0000-4000-8000-000000000000", (number * 7919) % 61);
        let created = format!("2024-03-05T07:{:02}:09.123Z", (number * 37) % 60);
        let item = json!({
            "PK": "M#sixty", "SK": format!("REC#{id}"), "entityType": "Recording",
            "createdAt": created, "TTL": 4_000_000_000_i64, "externalMeetingId": "sixty",
            "recordingId": id, "ownerUsername": "alice", "ownerEmail": "alice@example.com",
            "connectUserId": "u", "connectHierarchyGroupSummary": null,
            "endedAt": "2024-03-05T09:00:00.000Z", "recordingS3Bucket": cloud.bucket(),
            "recordingS3Object": format!("RECORDINGS/2024/03/05/07/{id}.mp4"),
            "ecsTaskARN": "arn:task", "ballast": ballast,
        });
        cloud.put_item(&item).await.unwrap();
    }
    let answer = alice.recording_summary("sixty").await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    let rows = answer.body["data"].as_array().unwrap();
    let created: Vec<_> = rows.iter().map(|row| row["createdAt"].as_str().unwrap()).collect();
    assert_eq!(created.len(), 60);
    assert!(created.is_sorted());
    assert!(
        rows.iter().all(|row| row["recordingURL"].as_str().unwrap().contains("X-Amz-Expires=900"))
    );
}

#[tokio::test]
async fn a_user_of_the_pool_is_tied_to_one_of_connect_once() {
    let cloud = with_stubs().await;
    let plan = Plan {
        email: "a+b+c@example.com".into(),
        is_onboarded: false,
        group: None,
        ..Plan::new("plus")
    };
    let id = plan.connect_user_id.clone();
    let mut plus = cloud.agent_as(plan).await.unwrap();
    let asked = json!({ "connectLoginByEmail": true, "connectUserId": id });
    let wrong = json!({ "connectLoginByEmail": true, "connectUserId": "00000000-0000-4000-8000-0000000000ab" });
    let answer = plus.set_connect_user_id(&wrong).await.unwrap();
    assert_eq!(answer.status, 400, "{answer:?}");
    let answer = plus.set_connect_user_id(&asked).await.unwrap();
    assert_eq!((answer.status, &answer.body["data"]["connectUserId"]), (200, &json!(id)));
    plus.sign_in().await.unwrap();
    let again = plus.set_connect_user_id(&asked).await.unwrap();
    assert_eq!(
        (again.status, &again.body["message"]),
        (400, &json!("Connect UserId already exists"))
    );
    let cached = plus.put_connect_user_cache().await.unwrap();
    assert_eq!((cached.status, &cached.body["data"]), (200, &json!(true)), "{cached:?}");
    let again = plus.put_connect_user_cache().await.unwrap();
    assert_eq!((again.status, &again.body["data"]), (200, &json!(false)));
    let items = cloud.table_items(&format!("CUC#{id}")).await.unwrap();
    assert_eq!(items[0]["securityProfileIds"], json!([PLAYBACK_PROFILE]));
    assert_eq!(items[0]["hierarchyGroupSummary"], Value::Null);
}

#[tokio::test]
async fn every_function_starts_and_answers_without_any_other_service() {
    let table = local_cloud::cold_start::measure(&bins(), 2).await.unwrap();
    let rows: Vec<_> = table.lines().filter(|line| line.contains(" MiB")).collect();
    assert_eq!(rows.len(), 9, "{table}");
    assert_eq!(rows.iter().filter(|row| row.matches(" ms").count() == 2).count(), 8, "{table}");
}
