//! The agents' application of the original, whose users must not notice that the API
//! behind it is another one: its states, and what moves it from one to the next.

use local_cloud::{ATTENDEE_NAME, Agent, Answer, Cloud, MeetingHandle};
use serde_json::json;

use crate::support::{
    agent, body, films, open_recordings, recording, settled, until, with_recorders,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    NotStarted,
    Starting,
    Started,
    StartingFailed,
    Stopping,
    Stopped,
    StoppingFailed,
    StoppingUnknown,
}

/// One window of the application, in one meeting.
struct Application<'a> {
    cloud: &'a Cloud,
    agent: &'a Agent,
    meeting: &'a MeetingHandle,
    status: Status,
    sees_recorder: bool,
}

impl<'a> Application<'a> {
    fn open(cloud: &'a Cloud, agent: &'a Agent, meeting: &'a MeetingHandle) -> Self {
        Self { cloud, agent, meeting, status: Status::NotStarted, sees_recorder: false }
    }

    /// The button. `None` if the application rejects the click.
    async fn click(&mut self) -> Option<Answer> {
        use Status as S;
        let name = &self.meeting.external_meeting_id;
        match self.status {
            S::NotStarted | S::Stopped | S::StartingFailed => {
                let answer = self.agent.post_recording(&body(name)).await.unwrap();
                self.status = if answer.status == 200 { S::Starting } else { S::StartingFailed };
                Some(answer)
            }
            S::Started | S::StoppingFailed | S::StoppingUnknown => {
                let answer = self.agent.delete_recording(name).await.unwrap();
                let count = |what: &str| answer.body["data"][what].as_u64().unwrap();
                self.status = match answer.status {
                    200 => match (count("recordingsStopped"), count("recordingsNotStopped")) {
                        (1.., 0) => S::Stopping,
                        (0, 1..) => S::StoppingFailed,
                        _ => S::StoppingUnknown,
                    },
                    _ => S::StoppingFailed,
                };
                Some(answer)
            }
            S::Starting | S::Stopping => None,
        }
    }

    /// What the roster says now. Names come from the table, by way of the join API.
    async fn look(&mut self) -> Status {
        let partition = format!("M#{}", self.meeting.external_meeting_id);
        let items = self.cloud.table_items(&partition).await.unwrap();
        let is_recorder = |id: &String| {
            items.iter().any(|item| {
                item["chimeAttendeeId"] == id.as_str() && item["attendeeName"] == ATTENDEE_NAME
            })
        };
        let sees = self.cloud.present(self.meeting).await.unwrap().iter().any(is_recorder);
        if sees && self.status == Status::Starting {
            self.status = Status::Started;
        } else if self.sees_recorder && !sees {
            self.status = Status::Stopped;
        }
        self.sees_recorder = sees;
        self.status
    }

    async fn shows(&mut self, status: Status) {
        until(&format!("{status:?}"), async || (self.look().await == status).then_some(())).await;
    }
}

fn id(started: &Answer) -> String {
    started.body["data"]["recordingId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_button_of_the_original_works_as_ever() {
    let cloud = with_recorders().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("button", &alice, 1).await.unwrap();
    let mut app = Application::open(&cloud, &alice, &meeting);

    let first = id(&app.click().await.unwrap());
    assert_eq!(app.status, Status::Starting);
    assert!(app.click().await.is_none());
    app.shows(Status::Started).await;
    films(&cloud, &first).await;
    // The same agent in another window.
    let mut other = Application::open(&cloud, &alice, &meeting);
    let refused = other.click().await.unwrap();
    assert_eq!(refused.body["message"], "Recording already in progress");
    assert_eq!(other.status, Status::StartingFailed);

    app.click().await.unwrap();
    assert_eq!(app.status, Status::Stopping);
    assert!(app.click().await.is_none());
    app.shows(Status::Stopped).await;

    // Each turn is a file of its own.
    let second = id(&app.click().await.unwrap());
    assert_ne!(first, second);
    app.shows(Status::Started).await;
    films(&cloud, &second).await;
    // The other window stops what this one believes to be running.
    other.status = Status::Started;
    other.click().await.unwrap();
    assert_eq!(other.status, Status::Stopping);
    let stopped = app.click().await.unwrap();
    assert_eq!((stopped.status, app.status), (404, Status::StoppingFailed));
    app.shows(Status::Stopped).await;
    for id in [&first, &second] {
        settled(&cloud, "button", id, "complete").await;
    }
    let listed = alice.recording_summary("button").await.unwrap();
    let ids: Vec<_> = listed.body["data"].as_array().unwrap().iter().collect();
    assert_eq!(ids.iter().map(|row| &row["recordingId"]).collect::<Vec<_>>(), [&first, &second]);
}

/// The application sends no stop while it shows that it starts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_leaves_for_all_while_it_starts_leaves_nothing_running() {
    let cloud = with_recorders().await;
    let alice = agent(&cloud, "alice").await;
    let meeting = cloud.start_meeting("left", &alice, 1).await.unwrap();
    let mut app = Application::open(&cloud, &alice, &meeting);
    let id = id(&app.click().await.unwrap());
    assert_eq!(app.status, Status::Starting);
    cloud.end_meeting(&meeting).await.unwrap();
    until("it is closed", async || open_recordings(&cloud).await.is_empty().then_some(())).await;
    let item = recording(&cloud, "left", &id).await.unwrap();
    assert!(item["endedAt"].is_string(), "{item}");
    let running = cloud.ecs().tasks().into_iter().find(|task| task.last_status != "STOPPED");
    assert!(running.is_none(), "{running:?}");
    let stopped = alice.delete_recording("left").await.unwrap();
    assert_eq!(
        (stopped.status, &stopped.body["data"]),
        (404, &json!({ "recordingsStopped": 0, "recordingsNotStopped": 0 }))
    );
}
