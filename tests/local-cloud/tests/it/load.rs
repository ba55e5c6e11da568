//! A hundred recordings' worth of calls, all at once.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::support::{agent, body, open_recordings, recording, until, with_stubs};

const MEETINGS: usize = 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_starts_and_stops_lose_and_double_nothing() {
    let cloud = with_stubs().await;
    let alice = agent(&cloud, "alice").await;
    for number in 0..MEETINGS {
        cloud.start_meeting(&format!("load-{number}"), &alice, 0).await.unwrap();
    }

    let mut starts = JoinSet::new();
    for number in 0..MEETINGS {
        let alice = alice.clone();
        starts.spawn(async move {
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
        let alice = alice.clone();
        stops.spawn(async move {
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

    let mut told = format!("\n{MEETINGS} at once     median     p95\n");
    for (name, times) in [("starts", &mut start_times), ("stops", &mut stop_times)] {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100];
        let [median, p95] = [at(50), at(95)].map(|time: Duration| time.as_millis());
        writeln!(told, "{name:<10} {median:>9} ms {p95:>6} ms").unwrap();
    }
    // Not by a macro, whose output a passed test swallows.
    std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes()).unwrap();
}
