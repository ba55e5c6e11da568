//! Everything that happens at the same time, or in the wrong order, with tasks that
//! do nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{
    agent, body, has_lock, open_recordings, recording, settled, start, task_of, until, with_stubs,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_starts_at_once_one_makes_everything_and_the_other_nothing() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    for round in 0..50 {
        let name = format!("twice-{round}");
        let meeting = cloud.start_meeting(&name, &alice, 0).await.unwrap();
        let asked = body(&meeting.external_meeting_id);
        let (one, two) = tokio::join!(alice.post_recording(&asked), alice.post_recording(&asked));
        let (one, two) = (one.unwrap(), two.unwrap());
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{one:?} {two:?}");
        let (won, lost) = if one.status == 200 { (one, two) } else { (two, one) };
        assert_eq!(lost.body["message"], "Recording already in progress");
        let id = won.body["data"]["recordingId"].as_str().unwrap().to_owned();
        task_of(&cloud, &id);
        assert_eq!(cloud.ecs().tasks().len(), round + 1);

        let items = cloud.table_items(&format!("M#{name}")).await.unwrap();
        let of = |kind: &str| items.iter().filter(|item| item["entityType"] == kind).count();
        assert_eq!((of("Recording"), of("RecordingLock")), (1, 1), "{items:?}");
        let attendees: Vec<_> =
            items.iter().filter(|item| item["attendeeName"] == "RECORDING").collect();
        assert_eq!(attendees.len(), 1);
        assert_eq!(attendees[0]["externalUserId"], id);
        let item = recording(&cloud, &name, &id).await.unwrap();
        assert_eq!(item["ecsTaskARN"], task_of(&cloud, &id).arn);
        assert!(item.get("endedAt").is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_between_claim_and_task_leaves_no_task_behind() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    for (name, answered) in [("before", false), ("after", true)] {
        let meeting = cloud.start_meeting(name, &alice, 0).await.unwrap();
        let asked = body(&meeting.external_meeting_id);
        let pause = if answered { cloud.ecs().pause_answer() } else { cloud.ecs().pause_run() };
        let starting = tokio::spawn({
            let (alice, asked) = (alice.clone(), asked.clone());
            async move { alice.post_recording(&asked).await.unwrap() }
        });
        cloud.ecs().run_waiting().await.unwrap();
        let stopped = alice.delete_recording(name).await.unwrap();
        assert_eq!(stopped.status, 200, "{stopped:?}");
        assert_eq!(
            stopped.body["data"],
            json!({ "recordingsStopped": 1, "recordingsNotStopped": 0 })
        );
        drop(pause);
        let started = starting.await.unwrap();
        assert_eq!(started.status, 409, "{name}: {started:?}");
        assert_eq!(started.body["message"], "Recording stopped before it started");
        until("no task is alive", async || {
            cloud.ecs().tasks().iter().all(|task| task.last_status == "STOPPED").then_some(())
        })
        .await;
        until("nothing is open", async || open_recordings(&cloud).await.is_empty().then_some(()))
            .await;
        assert!(!has_lock(&cloud, name).await);
        // And the next start is free.
        start(&cloud, &alice, &meeting).await;
        assert_eq!(alice.delete_recording(name).await.unwrap().status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_ecs_refuses_leaves_nothing_behind() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("refused", &alice, 0).await.unwrap();
    cloud.ecs().refuse_next("RESOURCE:MEMORY");
    let answer = alice.post_recording(&body("refused")).await.unwrap();
    assert_eq!(
        (answer.status, &answer.body["message"]),
        (500, &json!("Start Recording Error, please try again later"))
    );
    let left: BTreeSet<_> = cloud
        .table_items("M#refused")
        .await
        .unwrap()
        .into_iter()
        .map(|item| item["entityType"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(left, BTreeSet::from(["Attendee".to_owned(), "Meeting".to_owned()]));
    assert!(open_recordings(&cloud).await.is_empty());
    assert!(cloud.logs("start-recording").await.unwrap().contains("RESOURCE:MEMORY"));
    start(&cloud, &alice, &meeting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_dies_at_its_start_frees_the_meeting_with_its_reason() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("dies", &alice, 0).await.unwrap();
    cloud.ecs().die_at_start(1);
    let answer = alice.post_recording(&body("dies")).await.unwrap();
    // It may die before its start is answered.
    if answer.status == 200 {
        let id = answer.body["data"]["recordingId"].as_str().unwrap();
        let item = settled(&cloud, "dies", id, "failed").await;
        let reason = item["statusReason"].as_str().unwrap();
        assert!(reason.contains("CannotPullContainer"), "{reason}");
        assert!(item["endedAt"].is_string());
    } else {
        assert_eq!(answer.status, 409, "{answer:?}");
    }
    until("the meeting is free", async || (!has_lock(&cloud, "dies").await).then_some(())).await;
    assert!(open_recordings(&cloud).await.is_empty());
    start(&cloud, &alice, &meeting).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_that_are_throttled_are_asked_again() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("throttled", &alice, 0).await.unwrap();
    cloud.ecs().throttle(2);
    cloud.connect().throttle(2);
    let asked = json!({
        "externalMeetingId": "throttled", "connectContactId": "contact-1",
        "videoRecordingPlaybackURL": "https://app.example.com/recording/throttled",
    });
    let answer = alice.post_recording(&asked).await.unwrap();
    assert_eq!(answer.status, 200, "{}", cloud.logs("start-recording").await.unwrap());
    let attributes = cloud.connect().contact_attributes("contact-1").unwrap();
    assert_eq!(
        attributes["videoRecordingPlaybackURL"],
        "https://app.example.com/recording/throttled"
    );
    // A Connect that fails costs the attribute, not the recording.
    assert_eq!(alice.delete_recording("throttled").await.unwrap().status, 200);
    let other = cloud.start_meeting("fails", &alice, 0).await.unwrap();
    cloud.connect().fail(100);
    start(&cloud, &alice, &other).await;
    assert_ne!(meeting.chime_meeting_id, other.chime_meeting_id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_meeting_stops_its_recording_once() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("ends", &alice, 0).await.unwrap();
    let id = start(&cloud, &alice, &meeting).await;
    cloud.end_meeting(&meeting).await.unwrap();
    let ended = until("it has ended", async || {
        let item = recording(&cloud, "ends", &id).await?;
        item["endedAt"].as_str().map(str::to_owned)
    })
    .await;
    let event = json!({ "detail": {
        "eventType": "chime:MeetingEnded", "externalMeetingId": "ends",
        "meetingId": meeting.chime_meeting_id,
    }});
    let (error, answer) = cloud.invoke("stop-recording-event", &event).await.unwrap();
    assert_eq!(error, None, "{answer}");
    let told: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!(told["data"], json!({ "recordingsStopped": 0, "recordingsNotStopped": 0 }));
    let item = recording(&cloud, "ends", &id).await.unwrap();
    assert_eq!(item["endedAt"], ended);
    // No start comes after the end.
    let late = alice.post_recording(&body("ends")).await.unwrap();
    assert_eq!(late.status, 409, "{late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_event_told_of_is_found_by_the_sweeper() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("lost", &alice, 0).await.unwrap();
    let id = start(&cloud, &alice, &meeting).await;
    let task = task_of(&cloud, &id);
    cloud.ecs().lose_events(true);
    cloud.ecs().kill(&task.arn).unwrap();
    cloud.ecs().wait_stopped(&task.arn).await.unwrap();
    assert_eq!(open_recordings(&cloud).await.len(), 1);
    // It looks only at what is not new.
    let (error, answer) = cloud.invoke("recording-sweeper", &json!({})).await.unwrap();
    assert_eq!(error, None, "{answer}");
    assert_eq!(open_recordings(&cloud).await.len(), 1);
    let mut open = open_recordings(&cloud).await.remove(0);
    open["createdAt"] = "2024-03-05T07:08:09.123Z".into();
    cloud.put_item(&open).await.unwrap();
    cloud.ecs().forget(&task.arn).unwrap();
    let (error, answer) = cloud.invoke("recording-sweeper", &json!({})).await.unwrap();
    assert_eq!(error, None, "{answer}");
    let told: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    assert_eq!((&told["data"]["settled"], &told["data"]["failures"]), (&json!(1), &json!(0)));
    let item = recording(&cloud, "lost", &id).await.unwrap();
    assert_eq!(item["status"], "failed");
    assert!(open_recordings(&cloud).await.is_empty());
    assert!(!has_lock(&cloud, "lost").await);
    assert!(cloud.logs("recording-sweeper").await.unwrap().contains("OrphansRepaired"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_ecs_has_forgotten_is_stopped_and_the_meeting_free() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("forgotten", &alice, 0).await.unwrap();
    let id = start(&cloud, &alice, &meeting).await;
    let task = task_of(&cloud, &id);
    cloud.ecs().lose_events(true);
    cloud.ecs().kill(&task.arn).unwrap();
    cloud.ecs().wait_stopped(&task.arn).await.unwrap();
    cloud.ecs().forget(&task.arn).unwrap();
    let stopped = alice.delete_recording("forgotten").await.unwrap();
    assert_eq!(stopped.body["data"], json!({ "recordingsStopped": 1, "recordingsNotStopped": 0 }));
    // Or without a stop: the lock is stale, and a start takes it.
    let other = cloud.start_meeting("stale", &alice, 0).await.unwrap();
    let id = start(&cloud, &alice, &other).await;
    let task = task_of(&cloud, &id);
    cloud.ecs().kill(&task.arn).unwrap();
    cloud.ecs().wait_stopped(&task.arn).await.unwrap();
    let next = start(&cloud, &alice, &other).await;
    assert_ne!(next, id);
    let before = recording(&cloud, "stale", &id).await.unwrap();
    assert!(before["endedAt"].is_string(), "{before}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_instance_gets_the_image_once() {
    let cloud = with_stubs().await;
    let now = jiff::Timestamp::now();
    cloud.ecs().instance_connected("i-0123456789abcdef0", now).await.unwrap();
    let warmed = until("it is warmed", async || {
        let mut tasks = cloud.ecs().tasks();
        tasks.pop().filter(|task| task.started_by == "PreWarm-i-0123456789abcdef0")
    })
    .await;
    assert!(!warmed.arn.is_empty());
    cloud.ecs().instance_connected("i-0123456789abcdef0", now).await.unwrap();
    until("the second event is answered", async || {
        let log = cloud.logs("start-pre-warm").await.unwrap();
        (log.matches("Start Recording Pre-Warm Task succeed!").count() >= 2).then_some(())
    })
    .await;
    assert_eq!(cloud.ecs().tasks().len(), 1);
}
