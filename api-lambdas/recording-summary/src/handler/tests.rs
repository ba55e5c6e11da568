//! Summaries of recordings, with services in memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use contract::fake::{Fake, a_meeting, a_recording, a_user, now};
use contract::time::{iso, parse};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::*;

const MEETING: &str = "0b6d3c1e-1111-4222-8333-444455556666";
const ID: &str = "9f8e7d6c-aaaa-4bbb-8ccc-dddddddddddd";
const CREATED: &str = "2024-03-05T07:08:09.123Z";
const ENDED: &str = "2024-03-05T07:30:00.000Z";

fn settings() -> Settings {
    Settings { profile: "playback".into(), minutes: 15, reports_timeout: Duration::from_millis(50) }
}

fn caller() -> Caller {
    Caller {
        username: Some("supervisor".into()),
        email: Some("supervisor@example.org".into()),
        connect_user_id: Some("connect-1".into()),
    }
}

fn request(meeting: &str) -> Request {
    let query = [("externalMeetingId".to_owned(), meeting.to_owned())].into();
    Request { query_string_parameters: Some(query), ..Request::default() }
}

async fn ask(fake: &Fake) -> Result<Success, Refusal> {
    let services = Services { table: fake, objects: fake };
    handle(&services, &settings(), &caller(), &request(MEETING), now()).await
}

/// What is answered for the one recording that there is.
async fn told(fake: &Fake) -> Value {
    let data = ask(fake).await.unwrap().data;
    assert_eq!(data.as_array().map(Vec::len), Some(1), "{data}");
    data[0].clone()
}

fn ended() -> Recording {
    Recording { ended_at: Some(ENDED.into()), status: Some(Status::Stopping), ..a_recording() }
}

fn a_report(media: &str) -> Report {
    Report {
        media: media.into(),
        end: "meeting_ended".into(),
        duration_seconds: Some(12.5),
        bytes: Some(4_000),
        chapters_key: Some("RECORDINGS/a.vtt".into()),
        completing: false,
    }
}

/// A fake with this recording, and this report beside it.
fn with(recording: Recording, report: Option<Report>) -> Fake {
    let fake = Fake::new();
    let key = recording.key.clone();
    fake.add(recording);
    fake.state().reports.extend(report.map(|report| (key, report)));
    fake
}

fn address(key: &str) -> String {
    format!("https://recordings/{key}?X-Amz-Expires=900")
}

/// So many recordings of the meeting, every second in progress. Their ids are in
/// the opposite order of their creation.
fn many(count: u32) -> Vec<Recording> {
    let create = |n: u32| {
        let id = RecordingId::new(&format!("{:08x}-0000-4000-8000-000000000000", count - n));
        let created = now() + SignedDuration::from_mins(n.into());
        let end = iso(created + SignedDuration::from_secs(30));
        let is_ended = n.is_multiple_of(2);
        Recording {
            recording_id: id.unwrap(),
            created_at: iso(created),
            ended_at: is_ended.then_some(end),
            key: format!("RECORDINGS/{n}.mp4"),
            status: None,
            ..a_recording()
        }
    };
    (0..count).map(create).collect()
}

#[tokio::test]
async fn a_recording_is_answered_with_an_address_and_what_is_known_of_it() {
    let recording = Recording {
        status: Some(Status::Complete),
        duration_seconds: Some(1310.5),
        bytes: Some(98_765),
        chapters_key: Some("RECORDINGS/b.vtt".into()),
        ..ended()
    };
    let fake = with(recording, None);
    assert_eq!(
        ask(&fake).await.unwrap().reply("r-1").body,
        json!({
            "success": "Get Recording Summary succeed!",
            "data": [{
                "recordingId": ID,
                "createdAt": CREATED,
                "endedAt": ENDED,
                "recordingURL": address(&a_recording().key),
                "status": "complete",
                "durationSeconds": 1310.5,
                "bytes": 98_765,
                "chaptersURL": address("RECORDINGS/b.vtt"),
            }],
            "reqId": "r-1",
        })
    );
}

#[tokio::test]
async fn a_recording_in_progress_has_neither_end_nor_address() {
    for (status, written) in [
        (None, "running"),
        (Some(Status::Starting), "starting"),
        (Some(Status::Started), "started"),
        (Some(Status::Running), "running"),
    ] {
        for ended_at in [None, Some(String::new())] {
            let recording = Recording { status, ended_at, ..a_recording() };
            let fake = with(recording, Some(a_report("complete")));
            assert_eq!(
                told(&fake).await,
                json!({ "recordingId": ID, "createdAt": CREATED, "status": written })
            );
        }
    }
}

#[tokio::test]
async fn until_it_is_settled_a_recording_is_what_its_report_says() {
    let file = address(&a_recording().key);
    let ended = json!({
        "recordingId": ID, "createdAt": CREATED, "endedAt": ENDED, "recordingURL": file,
    });
    let numbers = json!({
        "durationSeconds": 12.5, "bytes": 4_000, "chaptersURL": address("RECORDINGS/a.vtt"),
    });
    let stopping = Some(Status::Stopping);
    for (status, media, written, has_numbers) in [
        (stopping, None, Some("stopping"), false),
        (stopping, Some("complete"), Some("complete"), true),
        (stopping, Some("truncated"), Some("truncated"), true),
        (stopping, Some("upload_open"), Some("stopping"), false),
        (stopping, Some("nothing"), Some("stopping"), false),
        (stopping, Some("what nobody knows"), Some("stopping"), false),
        // The original's.
        (None, None, None, false),
        (None, Some("complete"), Some("complete"), true),
        (None, Some("nothing"), None, false),
    ] {
        let fake = with(Recording { status, ..self::ended() }, media.map(a_report));
        let mut wanted = ended.clone();
        let wanted_of = wanted.as_object_mut().unwrap();
        if has_numbers {
            wanted_of.extend(numbers.as_object().unwrap().clone());
        }
        wanted_of.extend(written.map(|written| ("status".into(), written.into())));
        assert_eq!(told(&fake).await, wanted, "{status:?} {media:?}");
    }
}

#[tokio::test]
async fn a_recording_that_is_settled_has_an_address_if_there_is_a_file() {
    for (status, has_file) in [
        (Status::Complete, true),
        (Status::Truncated, true),
        (Status::Recovered, true),
        (Status::Empty, false),
        (Status::Failed, false),
    ] {
        // Chapters without a file are of no use either.
        let chapters_key = Some("RECORDINGS/b.vtt".into());
        let recording = Recording { status: Some(status), chapters_key, ..ended() };
        let fake = with(recording, Some(a_report("truncated")));
        let told = told(&fake).await;
        let has = |name: &str| told.get(name).is_some();
        assert_eq!((has("recordingURL"), has("chaptersURL")), (has_file, has_file), "{told}");
        assert_eq!((&told["status"], &told["endedAt"]), (&json!(status), &json!(ENDED)));
        assert!(!fake.state().done.contains(&"report".to_owned()), "asked for what is known");
    }
}

#[tokio::test]
async fn a_report_that_cannot_be_read_costs_only_its_numbers() {
    let fake = with(ended(), Some(a_report("complete")));
    fake.state().failing.insert("report");
    let told = told(&fake).await;
    assert_eq!(told["recordingURL"], address(&a_recording().key));
    assert_eq!((&told["status"], told.get("bytes")), (&json!("stopping"), None));
}

#[tokio::test]
async fn sixty_recordings_are_answered_oldest_first() {
    let fake = Fake::new();
    for recording in many(60) {
        fake.add(recording);
    }
    let report = Report { chapters_key: None, ..a_report("complete") };
    fake.state().reports.insert("RECORDINGS/2.mp4".into(), report);
    let data = ask(&fake).await.unwrap().data;
    let data = data.as_array().unwrap();
    assert_eq!(data.len(), 60);
    for (n, (recording, told)) in many(60).iter().zip(data).enumerate() {
        assert_eq!(told["recordingId"], recording.recording_id.as_str(), "{n}");
        assert_eq!(told["createdAt"], recording.created_at, "{n}");
        let is_ended = n % 2 == 0;
        assert_eq!(told.get("endedAt").is_some(), is_ended, "{n}");
        let url = is_ended.then(|| address(&format!("RECORDINGS/{n}.mp4")));
        assert_eq!(told.get("recordingURL").and_then(Value::as_str), url.as_deref(), "{n}");
        assert_eq!(told.get("bytes").is_some(), n == 2, "{n}");
    }
}

#[test]
fn recordings_of_one_instant_are_in_the_order_of_their_ids() {
    // Whatever the order is in which the table has them.
    let same = |recording| Recording { created_at: CREATED.into(), ..recording };
    let recordings: Vec<_> = many(3).into_iter().map(same).collect();
    assert!(recordings.is_sorted_by(|one, other| one.recording_id > other.recording_id));
    let recordings = visible(&a_user(), recordings).unwrap();
    assert!(recordings.is_sorted_by(|one, other| one.recording_id < other.recording_id));
}

/// S3 with reports that are slow, or never come, and how many were asked for at once.
#[derive(Debug, Default)]
struct Slow {
    comes: bool,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Objects for Slow {
    async fn presign(&self, bucket: &str, key: &str, minutes: u32, _: Timestamp) -> Answer<String> {
        Fake::new().presign(bucket, key, minutes, now()).await
    }

    async fn report(&self, _: &str, _: &str) -> Answer<Option<Report>> {
        let at_once = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(at_once, Ordering::Relaxed);
        if !self.comes {
            std::future::pending::<()>().await;
        }
        // The others have their turn.
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, Ordering::Relaxed);
        Ok(Some(a_report("complete")))
    }
}

async fn listed(slow: &Slow) -> (usize, usize) {
    let fake = Fake::new();
    for recording in many(60) {
        fake.add(Recording { ended_at: Some(ENDED.into()), ..recording });
    }
    let services = Services { table: &fake, objects: slow };
    let data = handle(&services, &settings(), &caller(), &request(MEETING), now()).await;
    let data = data.unwrap().data;
    let data = data.as_array().unwrap();
    let count = |name: &str| data.iter().filter(|told| told.get(name).is_some()).count();
    (count("recordingURL"), count("bytes"))
}

#[tokio::test]
async fn eight_reports_are_read_at_once() {
    let slow = Slow { comes: true, ..Slow::default() };
    assert_eq!(listed(&slow).await, (60, 60));
    assert_eq!(slow.most.load(Ordering::Relaxed), 8);
}

#[tokio::test]
async fn nobody_waits_for_reports_that_do_not_come() {
    assert_eq!(listed(&Slow::default()).await, (60, 0));
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anything_is_read() {
    let nobody = || Caller { connect_user_id: None, ..caller() };
    let empty = Caller { connect_user_id: Some(String::new()), ..caller() };
    let none = Request::default();
    let other = Request {
        query_string_parameters: Some([("meeting".to_owned(), MEETING.to_owned())].into()),
        ..Request::default()
    };
    for (caller, request, message) in [
        (caller(), none.clone(), "Must provide External Meeting Id"),
        (caller(), other, "Must provide External Meeting Id"),
        (caller(), request(""), "Must provide External Meeting Id"),
        (caller(), request("x"), "Must provide External Meeting Id"),
        (caller(), request(&"x".repeat(65)), "Must provide External Meeting Id"),
        (nobody(), none, "Must provide External Meeting Id"),
        (nobody(), request(MEETING), "Must provide connectUserId"),
        (empty, request(MEETING), "Must provide connectUserId"),
    ] {
        let fake = with(ended(), None);
        let services = Services { table: &fake, objects: &fake };
        let answer = handle(&services, &settings(), &caller, &request, now()).await;
        let refusal = answer.unwrap_err();
        let query = &request.query_string_parameters;
        assert_eq!((refusal.status, &*refusal.message), (400, message), "{query:?}");
        assert_eq!(fake.state().done.len(), 0, "{query:?}");
    }
}

/// The state of things, and how a request is refused in it.
type Row = (&'static str, fn(&Fake), u16, &'static str);

#[tokio::test]
async fn a_summary_is_refused_in_the_order_of_the_contract() {
    fn user(fake: &Fake, change: impl FnOnce(&mut User)) {
        change(fake.state().users.get_mut("connect-1").unwrap());
    }
    fn fail(fake: &Fake, action: &'static str) {
        fake.state().failing.insert(action);
    }
    fn group(recording: &mut Recording) {
        recording.connect_hierarchy_group_id = Some("theirs".into());
    }
    let later = "Get Recording Summary Error, please try again later";
    let denied = "Get Recording Summary Error, permission denied";
    let nothing = "Get Recording Summary Error, recordings not found for the provided meeting";
    let rows: [Row; 9] = [
        ("never logged in", |fake| fake.state().users.clear(), 500, later),
        ("expired", |fake| user(fake, |user| user.ttl = now().as_second() - 1), 500, later),
        ("the table does not answer for the user", |fake| fail(fake, "user"), 500, later),
        (
            "without any profile",
            |fake| user(fake, |user| user.security_profile_ids.clear()),
            403,
            denied,
        ),
        (
            "another profile, which is told before there is no recording",
            |fake| {
                user(fake, |user| user.security_profile_ids = vec!["agents".into()]);
                fake.state().recordings.clear();
            },
            403,
            denied,
        ),
        ("the table does not answer", |fake| fail(fake, "recordings"), 500, later),
        ("never recorded", |fake| fake.state().recordings.clear(), 404, nothing),
        (
            "recorded in another group",
            |fake| fake.state().recordings.values_mut().for_each(group),
            403,
            denied,
        ),
        ("no address", |fake| fail(fake, "presign"), 500, later),
    ];
    for (name, change, status, message) in rows {
        let fake = with(ended(), None);
        change(&fake);
        let refusal = ask(&fake).await.unwrap_err();
        assert_eq!((refusal.status, &*refusal.message), (status, message), "{name}");
        assert_eq!(refusal.source.is_some(), status == 500, "the log has no cause: {name}");
    }
}

#[tokio::test]
async fn a_user_is_believed_until_the_second_in_which_they_expire() {
    let fake = with(ended(), None);
    fake.state().users.get_mut("connect-1").unwrap().ttl = now().as_second();
    assert!(ask(&fake).await.is_ok());
}

#[tokio::test]
async fn one_sees_the_recordings_of_the_own_group_and_of_those_below() {
    let fake = Fake::new();
    let path = json!({ "HierarchyPath": { "LevelOne": { "Id": "A" }, "LevelTwo": { "Id": "B" } } });
    let groups = [None, Some("A"), Some("B"), Some("X")];
    for (recording, group) in many(4).into_iter().zip(groups) {
        fake.add(Recording {
            connect_hierarchy_group_id: group.map(str::to_owned),
            connect_hierarchy_group_summary: (group == Some("B")).then(|| path.clone()),
            owner_username: "somebody".into(),
            ..recording
        });
    }
    let user = User {
        hierarchy_group_id: Some("A".into()),
        hierarchy_group_summary: Some(json!({ "Id": "A", "LevelId": "1" })),
        ..a_user()
    };
    fake.state().users.insert("connect-1".into(), user);
    let data = ask(&fake).await.unwrap().data;
    let seen: Vec<_> = data.as_array().unwrap().iter().map(|told| &told["recordingId"]).collect();
    let recordings = many(4);
    let wanted = [recordings[1].recording_id.as_str(), recordings[2].recording_id.as_str()];
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn recordings_of_another_meeting_are_not_told() {
    let other = Recording { external_meeting_id: MeetingId::new("other").unwrap(), ..ended() };
    let fake = with(other, None);
    assert_eq!(a_meeting().external_meeting_id.as_str(), MEETING);
    assert_eq!(ask(&fake).await.unwrap_err().status, 404);
}

#[tokio::test]
async fn an_address_is_good_for_as_long_as_the_deployment_says() {
    for (text, seconds) in [(None, 900), (Some("1"), 60), (Some("10080"), 604_800)] {
        let lookup = |name: &str| match name {
            "recordingPlaybackSecurityProfileId" => Some("playback".to_owned()),
            "recordingPresignedURLExpiresMinutes" => text.map(str::to_owned),
            _ => None,
        };
        let mut reader = Reader::new(&lookup);
        let settings = Settings::read(&mut reader);
        reader.finish(()).unwrap();
        let fake = with(ended(), None);
        let services = Services { table: &fake, objects: &fake };
        let answer = handle(&services, &settings, &caller(), &request(MEETING), now()).await;
        let data = answer.unwrap().data;
        let url = data[0]["recordingURL"].as_str().unwrap();
        assert!(url.ends_with(&format!("X-Amz-Expires={seconds}")), "{url}");
    }
}

#[test]
fn a_deployment_names_the_profile_and_a_sound_time() {
    for (profile, minutes) in
        [(None, None), (Some("p"), Some("0")), (Some("p"), Some("10081")), (Some("p"), Some("x"))]
    {
        let lookup = |name: &str| match name {
            "recordingPlaybackSecurityProfileId" => profile.map(str::to_owned),
            _ => minutes.map(str::to_owned),
        };
        let mut reader = Reader::new(&lookup);
        Settings::read(&mut reader);
        assert!(reader.finish(()).is_err(), "{profile:?} {minutes:?}");
    }
}

#[test]
fn instants_of_the_table_sort_as_texts() {
    let instants = many(60).into_iter().map(|recording| recording.created_at);
    let instants: Vec<_> = instants.map(|text| (parse(&text).unwrap(), text)).collect();
    assert!(instants.is_sorted_by_key(|(at, _)| at));
    assert!(instants.is_sorted_by_key(|(_, text)| text));
}
