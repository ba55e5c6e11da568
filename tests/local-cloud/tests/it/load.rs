//! A hundred recordings' worth of calls, ten at once.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{agent, body, open_recordings, recording, until, with_stubs};

const MEETINGS: usize = 100;

/// So many calls are under way.
const AT_ONCE: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_starts_and_stops_lose_and_double_nothing() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    // One meeting of Chime for all: each has a clock of its own, and a hundred of them
    // would keep the cores busy.
    cloud.start_meeting("load-0", &alice, 0).await.unwrap();
    let mut item = cloud.table_items("M#load-0").await.unwrap();
    let mut item = item.swap_remove(item.iter().position(|it| it["SK"] == "M#load-0").unwrap());
    for number in 1..MEETINGS {
        let name = format!("load-{number}");
        item["PK"] = format!("M#{name}").into();
        item["SK"] = item["PK"].clone();
        item["externalMeetingId"] = name.into();
        cloud.put_item(&item).await.unwrap();
    }

    // More processes of Lambdas at once would keep two cores busy for longer than a
    // Lambda waits for a service.
    let room = Arc::new(Semaphore::new(AT_ONCE));

    let mut starts = JoinSet::new();
    for number in 0..MEETINGS {
        let (alice, room) = (alice.clone(), Arc::clone(&room));
        starts.spawn(async move {
            let _turn = room.acquire_owned().await.unwrap();
            let begun = Instant::now();
            let answer = alice.post_recording(&body(&format!("load-{number}"))).await.unwrap();
            (number, answer, begun.elapsed())
        });
    }
    let mut ids = vec![String::new(); MEETINGS];
    let mut start_times = Vec::new();
    while let Some(started) = starts.join_next().await {
        let (number, answer, took) = started.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        ids[number] = answer.body["data"]["recordingId"].as_str().unwrap().to_owned();
        start_times.push(took);
    }
    let running = cloud.ecs().tasks().into_iter().filter(|task| task.desired_status == "RUNNING");
    assert_eq!(running.count(), MEETINGS);
    assert_eq!(open_recordings(&cloud).await.len(), MEETINGS);

    let mut stops = JoinSet::new();
    for number in 0..MEETINGS {
        let (alice, room) = (alice.clone(), Arc::clone(&room));
        stops.spawn(async move {
            let _turn = room.acquire_owned().await.unwrap();
            let begun = Instant::now();
            let answer = alice.delete_recording(&format!("load-{number}")).await.unwrap();
            (answer, begun.elapsed())
        });
    }
    let mut stop_times = Vec::new();
    while let Some(stopped) = stops.join_next().await {
        let (answer, took) = stopped.unwrap();
        assert_eq!(answer.body["data"]["recordingsStopped"], 1, "{answer:?}");
        stop_times.push(took);
    }
    until("all are settled", async || open_recordings(&cloud).await.is_empty().then_some(())).await;
    for (number, id) in ids.iter().enumerate() {
        let item = recording(&cloud, &format!("load-{number}"), id).await.unwrap();
        assert!(item["endedAt"].is_string() && item["statusReason"].is_string(), "{item}");
    }

    let mut told = format!("\n{MEETINGS}, {AT_ONCE} at once  median     p95\n");
    for (name, times) in [("starts", &mut start_times), ("stops", &mut stop_times)] {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        let [median, p95] = [at(50), at(95)].map(|time: Duration| time.as_millis());
        writeln!(told, "{name:<10} {median:>9} ms {p95:>6} ms").unwrap();
    }
    // Not by a macro, whose output a passed test swallows.
    std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes()).unwrap();
}
