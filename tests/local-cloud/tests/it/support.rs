//! A cloud for a test, and what tests ask of it.

use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use local_cloud::agent::Plan;
use local_cloud::ecs::TaskKind;
use local_cloud::{Agent, Answer, Cloud, Dynamodb, MeetingHandle, Options, PLAYBACK_PROFILE};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};

/// Longer than anything takes; a test that waits so long has failed.
const HANGS: Duration = Duration::from_mins(2);

/// One cloud at a time: it needs both cores, and two that start look for free ports
/// at the same time.
static TURN: Mutex<()> = Mutex::const_new(());

/// A cloud, and the turn to have one.
#[derive(Debug)]
pub(crate) struct Site {
    cloud: Cloud,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    pub(crate) async fn start(options: Options) -> Self {
        let turn = TURN.lock().await;
        Self { cloud: Cloud::start(options).await.unwrap(), _turn: turn }
    }
}

impl Deref for Site {
    type Target = Cloud;

    fn deref(&self) -> &Cloud {
        &self.cloud
    }
}

impl DerefMut for Site {
    fn deref_mut(&mut self) -> &mut Cloud {
        &mut self.cloud
    }
}

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Where cargo puts what it builds: two folders above a test.
pub(crate) fn bins() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().nth(2).unwrap().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "what ./dev sets")]
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; ./dev test sets it"))
}

pub(crate) fn options(task: TaskKind) -> Options {
    Options {
        bins: bins(),
        dynamodb: Dynamodb::Local,
        task,
        media: Path::new(env!("CARGO_TARGET_TMPDIR")).join("media"),
        port: None,
    }
}

/// A cloud in which tasks do nothing but run until they are stopped.
pub(crate) async fn with_stubs() -> Site {
    Site::start(options(TaskKind::Stub)).await
}

/// A cloud in which tasks are recorders, with pictures that two cores can take
/// beside everything else.
pub(crate) async fn with_recorders() -> Site {
    let environment = [
        ("HOME", variable("HOME")),
        ("RECORDER_MEETING_PAGE", variable("RECORDER_MEETING_PAGE")),
        ("RECORDER_FPS", "15".to_owned()),
        ("RECORDER_CHECKPOINT", "1s".to_owned()),
    ];
    let task = TaskKind::Recorder {
        program: "recorder".into(),
        environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
        directory: "tasks".into(),
    };
    Site::start(options(task)).await
}

/// An agent whom Connect knows, with the right to play recordings, and who has just
/// logged in.
pub(crate) async fn agent(cloud: &Cloud, name: &str) -> Agent {
    agent_of(cloud, name, None, PLAYBACK_PROFILE).await
}

/// The same in a hierarchy group and with any profile.
pub(crate) async fn agent_of(
    cloud: &Cloud,
    name: &str,
    group: Option<&str>,
    profile: &str,
) -> Agent {
    let plan = Plan {
        group: group.map(str::to_owned),
        security_profiles: vec![profile.into()],
        ..Plan::new(name)
    };
    let agent = cloud.agent_as(plan).await.unwrap();
    let cached = agent.put_connect_user_cache().await.unwrap();
    assert_eq!(cached.body["data"], true, "{cached:?}");
    agent
}

pub(crate) fn body(meeting: &str) -> Value {
    serde_json::json!({ "externalMeetingId": meeting })
}

/// Starts a recording, which has to succeed; its id.
pub(crate) async fn start(cloud: &Cloud, agent: &Agent, meeting: &MeetingHandle) -> String {
    let answer = agent.post_recording(&body(&meeting.external_meeting_id)).await.unwrap();
    assert_ok(cloud, "start-recording", &answer).await;
    answer.body["data"]["recordingId"].as_str().unwrap().to_owned()
}

pub(crate) async fn assert_ok(cloud: &Cloud, function: &str, answer: &Answer) {
    let log = cloud.logs(function).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}\n{log}");
}

/// The Recording item.
pub(crate) async fn recording(cloud: &Cloud, meeting: &str, id: &str) -> Option<Value> {
    let items = cloud.table_items(&format!("M#{meeting}")).await.unwrap();
    items.into_iter().find(|item| item["SK"] == format!("REC#{id}"))
}

pub(crate) async fn has_lock(cloud: &Cloud, meeting: &str) -> bool {
    let items = cloud.table_items(&format!("M#{meeting}")).await.unwrap();
    items.iter().any(|item| item["SK"] == "RLOCK")
}

pub(crate) async fn open_recordings(cloud: &Cloud) -> Vec<Value> {
    cloud.table_items("RECORDINGS#OPEN").await.unwrap()
}

/// The recording's item once it has this status.
pub(crate) async fn settled(cloud: &Cloud, meeting: &str, id: &str, status: &str) -> Value {
    let what = format!("recording {id} is {status}");
    until(&what, async || {
        let item = recording(cloud, meeting, id).await?;
        (item["status"] == status).then_some(item)
    })
    .await
}

/// Waits for a condition.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + HANGS;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {HANGS:?} until {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// The one task of a recording.
pub(crate) fn task_of(cloud: &Cloud, recording: &str) -> local_cloud::ecs::TaskView {
    let by = format!("Recording-{recording}");
    let tasks: Vec<_> =
        cloud.ecs().tasks().into_iter().filter(|task| task.started_by == by).collect();
    assert_eq!(tasks.len(), 1, "{tasks:?}");
    tasks.into_iter().next().unwrap()
}

/// In a recorder's log once it films.
const FILMS: &str = r#""state":"Recording""#;

pub(crate) async fn films(cloud: &Cloud, id: &str) {
    let task = task_of(cloud, id);
    until("the recorder films", async || cloud.ecs().log(&task.arn).contains(FILMS).then_some(()))
        .await;
}
