//! The repair of whatever no event told of. Every few minutes three lists are held
//! against each other: the open recordings of the table, the living tasks of the
//! cluster, and the open uploads of the bucket.
//!
//! | found | done |
//! |---|---|
//! | an open recording without a living task | settled, as its event would have |
//! | its task lives, but the item does not know it | noted |
//! | its task lives, but its end was asked for, or is long overdue | the task is told again |
//! | a recording's task without an open recording | told to end; its file is its own to finish |
//! | an upload of none of them | made a file |
//!
//! What may just be on its way is left alone for a while. What fails is told,
//! counted, and tried again the next time; it never keeps the others waiting.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use contract::finish::{Services, finish};
use contract::items::{OpenRecording, Recording, Status};
use contract::lambda::{Error, chain};
use contract::metrics::Metric;
use contract::names::RecordingId;
use contract::ports::{Answer, Meetings, Objects, Recovered, Recovery, Table, Tasks};
use contract::task::Task;
use futures_util::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// How long a start may be under way: a Lambda is ended after 20 s, and ECS tells
/// of a new task a little later.
const GRACE: SignedDuration = SignedDuration::from_mins(2);

/// How long the event of a task's end may be under way, and be handled by its own Lambda.
const EVENT_GRACE: SignedDuration = SignedDuration::from_mins(5);

/// No recording lasts longer: Chime ends meetings after 24 h.
const LONGEST: SignedDuration = SignedDuration::from_hours(25);

/// An upload without a recording is nobody's when its newest part is older. Longer
/// than a store may be away without its recorder giving up the wait for it.
const UPLOAD_AGE: Duration = Duration::from_hours(1);

/// How many recordings are looked at at once.
const AT_ONCE: usize = 16;

/// What was found and mended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Swept {
    pub(crate) open: u32,
    pub(crate) settled: u32,
    /// Those of them without the file that was wanted.
    pub(crate) not_complete: u32,
    pub(crate) tasks_noted: u32,
    pub(crate) stops_repeated: u32,
    pub(crate) orphan_tasks: u32,
    pub(crate) orphan_uploads: u32,
    pub(crate) failures: u32,
}

impl Swept {
    pub(crate) fn metrics(&self) -> Vec<Metric> {
        let repaired = self.settled
            + self.tasks_noted
            + self.stops_repeated
            + self.orphan_tasks
            + self.orphan_uploads;
        vec![
            Metric::count("NotComplete", self.not_complete),
            Metric::count("OpenRecordings", self.open),
            Metric::count("OrphansRepaired", repaired),
            Metric::count("RepairFailures", self.failures),
        ]
    }

    fn add(&mut self, done: Done) {
        match done {
            Done::Nothing => {}
            Done::Settled(status) => {
                self.settled += 1;
                self.not_complete += u32::from(status.is_short());
            }
            Done::Noted => self.tasks_noted += 1,
            Done::Told => self.stops_repeated += 1,
        }
    }
}

/// What was done about one open recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    Nothing,
    Settled(Status),
    Noted,
    Told,
}

pub(crate) async fn sweep(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings, impl Objects, impl Recovery>,
    now: Timestamp,
) -> Result<Swept, Error> {
    // In this order: a recording that is begun meanwhile is in the last list only, and
    // too young for anything to be done about it.
    let uploads = services.recovery.open_uploads().await?;
    let tasks = services.tasks.alive().await?;
    let open = services.table.open_recordings().await?;
    let mut alive: BTreeMap<RecordingId, Vec<Task>> = BTreeMap::new();
    for task in tasks {
        if let Some(id) = task.recording() {
            alive.entry(id).or_default().push(task);
        }
    }

    let mut swept = Swept { open: u32::try_from(open.len())?, ..Swept::default() };
    // First, as a repair takes minutes.
    let known: BTreeSet<_> = open.iter().map(|open| &open.recording_id).collect();
    for (id, tasks) in alive.iter().filter(|(id, _)| !known.contains(id)) {
        for task in tasks.iter().filter(|task| !task.is_ending() && is_older(task, now)) {
            match services.tasks.stop(&task.arn, "The recording is not known").await {
                Ok(_) => {
                    tracing::warn!(recording = id.as_str(), task = task.arn, "orphan task ended");
                    swept.orphan_tasks += 1;
                }
                Err(error) => swept.failed("an orphan task", id.as_str(), &error),
            }
        }
    }

    let mut mends = Vec::with_capacity(open.len());
    for open in &open {
        let tasks = alive.get(&open.recording_id).map_or(&[][..], Vec::as_slice);
        mends.push(mend(services, open, tasks, now));
    }
    let mut mends = futures_util::stream::iter(mends).buffer_unordered(AT_ONCE);
    while let Some(done) = mends.next().await {
        match done {
            Ok(done) => swept.add(done),
            Err(()) => swept.failures += 1,
        }
    }

    let keys: BTreeSet<_> = open.iter().map(|open| open.key.as_str()).collect();
    for upload in uploads.iter().filter(|upload| !keys.contains(upload.key.as_str())) {
        match services.recovery.recover_upload(upload, UPLOAD_AGE).await {
            // Again and again, where it has no beginning, until the bucket removes it.
            Ok(None | Some(Recovered::Nothing)) => {}
            Ok(Some(recovered)) => {
                tracing::warn!(key = upload.key, ?recovered, "orphan upload mended");
                swept.orphan_uploads += 1;
            }
            Err(error) => swept.failed("an orphan upload", &upload.key, &error),
        }
    }
    Ok(swept)
}

impl Swept {
    fn failed(&mut self, what: &str, which: &str, error: &contract::ports::Fault) {
        tracing::error!(which, error = chain(error), "{what} is left for the next time");
        self.failures += 1;
    }
}

fn is_older(task: &Task, now: Timestamp) -> bool {
    task.created_at.is_none_or(|created| now.duration_since(created) > GRACE)
}

async fn mend(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings, impl Objects, impl Recovery>,
    open: &OpenRecording,
    alive: &[Task],
    now: Timestamp,
) -> Result<Done, ()> {
    try_mend(services, open, alive, now).await.map_err(|error| {
        let recording = open.recording_id.as_str();
        tracing::error!(recording, error = chain(&error), "left for the next time");
    })
}

async fn try_mend(
    services: &Services<'_, impl Table, impl Tasks, impl Meetings, impl Objects, impl Recovery>,
    open: &OpenRecording,
    alive: &[Task],
    now: Timestamp,
) -> Answer<Done> {
    let &Services { table, tasks, .. } = services;
    let id = &open.recording_id;
    let recording = table.recording(&open.external_meeting_id, id).await?;
    match decide(open, recording.as_ref(), alive, now) {
        Step::Leave => Ok(Done::Nothing),
        Step::Note(task) => {
            let Some(recording) = recording else { return Ok(Done::Nothing) };
            table.note_task(&recording, &task.arn, None).await?;
            Ok(Done::Noted)
        }
        Step::Tell(task, why) => {
            tasks.stop(&task.arn, why).await?;
            Ok(Done::Told)
        }
        Step::Settle => {
            // ECS knows it for an hour after its death. Only where the item does not
            // know its task all that ended have to be looked through.
            let dead = match recording.and_then(|recording| recording.task) {
                Some(task) => tasks.get(&task).await?,
                None => tasks.of(id).await?.into_iter().max_by_key(|task| task.stopped_at),
            };
            // It has come to life since the list was made.
            if dead.as_ref().is_some_and(|task| !task.is_dead()) {
                return Ok(Done::Nothing);
            }
            let stopped = dead.as_ref().and_then(|task| task.stopped_at);
            if stopped.is_some_and(|stopped| now.duration_since(stopped) < EVENT_GRACE) {
                return Ok(Done::Nothing);
            }
            Ok(Done::Settled(finish(services, open, dead.as_ref(), now).await?.status))
        }
    }
}

/// What has to be done about an open recording.
#[derive(Clone, Debug, PartialEq)]
enum Step<'a> {
    Leave,
    Note(&'a Task),
    Tell(&'a Task, &'static str),
    Settle,
}

fn decide<'a>(
    open: &OpenRecording,
    recording: Option<&Recording>,
    alive: &'a [Task],
    now: Timestamp,
) -> Step<'a> {
    let age = contract::time::parse(&open.created_at).map(|created| now.duration_since(created));
    // What cannot be read is old.
    let age = age.unwrap_or(LONGEST);
    if age < GRACE {
        return Step::Leave;
    }
    let Some(task) = alive.first() else { return Step::Settle };
    if task.is_ending() {
        return Step::Leave;
    }
    match recording {
        None => Step::Tell(task, "The recording is not known"),
        Some(recording) if !recording.in_progress() => {
            Step::Tell(task, "The recording was stopped")
        }
        Some(_) if age > LONGEST => Step::Tell(task, "The recording has lasted too long"),
        Some(Recording { task: None, .. }) => Step::Note(task),
        Some(_) => Step::Leave,
    }
}

#[cfg(test)]
mod tests;
