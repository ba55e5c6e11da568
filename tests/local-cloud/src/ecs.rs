//! ECS, as far as recordings need it: `RunTask`, `StartTask`, `StopTask`,
//! `DescribeTasks` and `ListTasks` over HTTP, and its events. A task is a process of
//! this machine, or pretended.
//!
//! `api.rs` has the operations, `task.rs` what a task looks like, `life.rs` what
//! becomes of it. Here is what a test holds of it: it looks at tasks and makes
//! faults. It must not know what a task does.
//!
//! Requests and answers are held against the service's model, and what this ECS does
//! not do is refused, not passed over. Texts of errors are the real ones as far as
//! they are known.

mod api;
mod life;
mod task;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

use self::task::{Task, Wish};
use crate::events::{self, Events};
use crate::gate::Gate;
use crate::model::Model;

/// Past this something hangs: the slowest thing waited for is a recorder that is told
/// to stop, and gets 120 s for it.
const HANGS: Duration = Duration::from_mins(4);

const SOURCE: &str = "aws.ecs";
const TASK_CHANGE: &str = "ECS Task State Change";
const INSTANCE_CHANGE: &str = "ECS Container Instance State Change";

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("ECS cannot listen on loopback")]
    Listen { source: io::Error },
    #[error("there is no task {arn}")]
    Unknown { arn: String },
    #[error("waited {HANGS:?} until {what}")]
    Hangs { what: String },
    #[error("this ECS has no bus for its events")]
    NoBus,
    #[error(transparent)]
    Event(#[from] events::Error),
}

/// One cluster, and the one task definition that is run in it.
pub struct Options {
    /// `None`: everybody may do everything.
    pub gate: Option<Gate>,
    /// `None`: nobody is told what happens.
    pub events: Option<Events>,
    /// Of `ecs`.
    pub model: Model,
    pub account: String,
    pub region: String,
    /// Its name.
    pub cluster: String,
    /// ARN with the revision.
    pub task_definition: String,
    /// ARNs of the definition's roles, which whoever runs it must be able to pass.
    pub roles: Vec<String>,
    /// The name of the definition's one container.
    pub container: String,
    pub kind: TaskKind,
    /// From SIGTERM to SIGKILL.
    pub stop_timeout: Duration,
}

/// What a task is.
pub enum TaskKind {
    /// A process.
    Recorder {
        program: PathBuf,
        /// What the task definition and the agent add to the overrides; there is
        /// nothing else.
        environment: Vec<(String, String)>,
        /// Holds a folder for each task, with its output and its `TMPDIR`.
        directory: PathBuf,
    },
    /// Nothing; it lasts until it is stopped.
    Stub,
}

/// What a test sees of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    pub arn: String,
    pub started_by: String,
    pub last_status: String,
    pub desired_status: String,
    pub stop_code: Option<String>,
    pub stopped_reason: Option<String>,
    pub exit_code: Option<i32>,
    /// While it is a process that runs.
    pub pid: Option<u32>,
}

/// The service. Dropped, it takes all tasks along.
pub struct Ecs {
    shared: Arc<Shared>,
    endpoint: String,
    server: JoinHandle<()>,
}

/// While it is held, calls of `RunTask` wait.
#[derive(Debug)]
pub struct Pause(watch::Sender<usize>);

/// A point that calls do not pass while somebody holds a [`Pause`] of it.
#[derive(Debug, Default)]
struct Barrier {
    pauses: watch::Sender<usize>,
    waiting: watch::Sender<usize>,
}

/// What all parts of the service know.
struct Shared {
    options: Options,
    state: Mutex<State>,
    /// Told after each change of a task.
    changed: watch::Sender<()>,
    /// Before there is a task, and before the answer that there is one.
    before_run: Barrier,
    before_answer: Barrier,
    bus: mpsc::UnboundedSender<Value>,
    /// Tasks that live, and calls that are answered.
    running: Mutex<JoinSet<()>>,
}

#[derive(Default)]
struct State {
    /// In the order of their numbers.
    tasks: Vec<Task>,
    instances: BTreeMap<String, Instance>,
    run_calls: usize,
    refusal: Option<String>,
    n_throttled: usize,
    n_dying: usize,
    loses_events: bool,
}

/// A container instance.
struct Instance {
    arn: String,
    version: u32,
}

impl Ecs {
    /// Listens on a port of loopback.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listen = async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen.await.map_err(|source| Error::Listen { source })?;
        let (bus, queue) = mpsc::unbounded_channel();
        if let Some(events) = options.events.clone() {
            tokio::spawn(tell(events, queue));
        }
        let shared = Arc::new(Shared {
            options,
            state: Mutex::default(),
            changed: watch::Sender::default(),
            before_run: Barrier::default(),
            before_answer: Barrier::default(),
            bus,
            running: Mutex::default(),
        });
        let router = Router::new().route("/", post(api::serve)).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "ECS cannot be reached any more");
            }
        });
        Ok(Self { shared, endpoint: format!("http://{address}"), server })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn cluster_arn(&self) -> String {
        self.shared.options.cluster_arn()
    }

    /// All that there ever were, in the order in which they were run.
    pub fn tasks(&self) -> Vec<TaskView> {
        self.shared.state().tasks.iter().map(Task::view).collect()
    }

    /// How often `RunTask` was called, whatever came of it.
    pub fn run_calls(&self) -> usize {
        self.shared.state().run_calls
    }

    /// Kills a task's process, as the kernel does when memory runs out.
    pub fn kill(&self, arn: &str) -> Result<(), Error> {
        self.with(arn, |task| task.wish(Wish::Kill))
    }

    /// What a task has written to stderr.
    pub fn log(&self, arn: &str) -> String {
        self.output(arn, life::STDERR)
    }

    /// What a task has written to stdout, once it is whole.
    pub fn report(&self, arn: &str) -> Option<Value> {
        serde_json::from_str(&self.output(arn, life::STDOUT)).ok()
    }

    fn output(&self, arn: &str, name: &str) -> String {
        let path = self.with(arn, |task| life::folder(&self.shared.options.kind, task));
        let bytes = path.ok().flatten().and_then(|folder| std::fs::read(folder.join(name)).ok());
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    }

    pub async fn wait_stopped(&self, arn: &str) -> Result<TaskView, Error> {
        self.wait_status(arn, "STOPPED").await
    }

    /// Waits until a task has a status, which must not be one that passes.
    pub async fn wait_status(&self, arn: &str, status: &str) -> Result<TaskView, Error> {
        let mut changed = self.shared.changed.subscribe();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                let view = self.with(arn, |task| task.view())?;
                if view.last_status == status {
                    return Ok(view);
                }
                let changed = changed.changed().await;
                changed.expect("whoever tells is held here");
            }
        };
        let waited = tokio::time::timeout(HANGS, waiting).await;
        waited.unwrap_or_else(|_| Err(Error::Hangs { what: format!("{arn} was {status}") }))
    }

    /// Lets the next task fail for want of room, say with `RESOURCE:CPU`.
    pub fn refuse_next(&self, reason: &str) {
        self.shared.state().refusal = Some(reason.to_owned());
    }

    /// Answers so many calls, whichever come next, that there were too many.
    pub fn throttle(&self, calls: usize) {
        self.shared.state().n_throttled = calls;
    }

    /// Lets the next tasks die before their container runs.
    pub fn die_at_start(&self, tasks: usize) {
        self.shared.state().n_dying = tasks;
    }

    /// Whether events get lost from now on.
    pub fn lose_events(&self, lose: bool) {
        self.shared.state().loses_events = lose;
    }

    /// Forgets a task, as ECS does an hour after its end. Its client token is free
    /// from then on, too.
    pub fn forget(&self, arn: &str) -> Result<(), Error> {
        self.with(arn, |task| task.is_forgotten = true)
    }

    /// `RunTask` makes no task until this is dropped. Whoever called may give up
    /// meanwhile; the task is made all the same.
    pub fn pause_run(&self) -> Pause {
        self.shared.before_run.pause()
    }

    /// Like [`Self::pause_run`], but the task is there and lives; only the answer is
    /// kept back.
    pub fn pause_answer(&self) -> Pause {
        self.shared.before_answer.pause()
    }

    /// Waits for a call of `RunTask` that waits.
    pub async fn run_waiting(&self) -> Result<(), Error> {
        let (mut run, mut answer) = (
            self.shared.before_run.waiting.subscribe(),
            self.shared.before_answer.waiting.subscribe(),
        );
        let waiting = async {
            tokio::select! {
                seen = run.wait_for(|waiting| *waiting > 0) => drop(seen),
                seen = answer.wait_for(|waiting| *waiting > 0) => drop(seen),
            }
        };
        let waited = tokio::time::timeout(HANGS, waiting).await;
        waited.map_err(|_| Error::Hangs { what: "RunTask was called".into() })
    }

    /// The agent of an EC2 instance has connected, for the first time or again; the
    /// ARN of the instance in the cluster.
    pub async fn instance_connected(
        &self,
        ec2_instance: &str,
        registered_at: Timestamp,
    ) -> Result<String, Error> {
        let options = &self.shared.options;
        let events = options.events.as_ref().ok_or(Error::NoBus)?;
        let (arn, version, loses_events) = {
            let mut state = self.shared.state();
            let new = || Instance { arn: options.arn_of("container-instance"), version: 0 };
            let instance = state.instances.entry(ec2_instance.to_owned()).or_insert_with(new);
            instance.version += 1;
            (instance.arn.clone(), instance.version, state.loses_events)
        };
        let resources = json!([
            { "name": "CPU", "type": "INTEGER", "integerValue": 4096 },
            { "name": "MEMORY", "type": "INTEGER", "integerValue": 7680 },
            {
                "name": "PORTS", "type": "STRINGSET",
                "stringSetValue": ["22", "2375", "2376", "51678", "51679"],
            },
        ]);
        let detail = json!({
            "agentConnected": true,
            "attributes": [
                { "name": "ecs.os-type", "value": "linux" },
                { "name": "ecs.cpu-architecture", "value": "x86_64" },
                { "name": "ecs.availability-zone", "value": format!("{}a", options.region) },
            ],
            "clusterArn": options.cluster_arn(),
            "containerInstanceArn": arn,
            "ec2InstanceId": ec2_instance,
            "registeredAt": task::iso(registered_at),
            "registeredResources": resources,
            "remainingResources": resources,
            "status": "ACTIVE",
            "version": version,
            "versionInfo": {
                "agentHash": "f2e4ba53", "agentVersion": "1.99.0",
                "dockerVersion": "DockerVersion: 25.0.8",
            },
            "updatedAt": task::iso(task::now()),
        });
        if !loses_events {
            events.put_about(&[&arn], SOURCE, INSTANCE_CHANGE, detail).await?;
        }
        Ok(arn)
    }

    fn with<T>(&self, arn: &str, then: impl FnOnce(&mut Task) -> T) -> Result<T, Error> {
        let mut state = self.shared.state();
        let task = state.tasks.iter_mut().find(|task| task.arn == arn);
        task.map(then).ok_or_else(|| Error::Unknown { arn: arn.to_owned() })
    }
}

impl Drop for Ecs {
    fn drop(&mut self) {
        self.server.abort();
        self.shared.running().abort_all();
    }
}

impl fmt::Debug for Ecs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ecs").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Without the model, which is long, and the variables, which are secret.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("cluster", &self.cluster)
            .field("task_definition", &self.task_definition)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recorder { program, .. } => {
                f.debug_struct("Recorder").field("program", program).finish_non_exhaustive()
            }
            Self::Stub => f.write_str("Stub"),
        }
    }
}

impl Options {
    fn cluster_arn(&self) -> String {
        let Self { account, region, cluster, .. } = self;
        format!("arn:aws:ecs:{region}:{account}:cluster/{cluster}")
    }

    /// The ARN of something new in the cluster.
    fn arn_of(&self, kind: &str) -> String {
        self.arn(kind, &uuid::Uuid::new_v4().simple().to_string())
    }

    /// The ARN of something in the cluster that is named by an id or by its ARN.
    fn arn(&self, kind: &str, id: &str) -> String {
        if id.starts_with("arn:") {
            return id.to_owned();
        }
        let Self { account, region, cluster, .. } = self;
        format!("arn:aws:ecs:{region}:{account}:{kind}/{cluster}/{id}")
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn running(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that ends with the service at the latest.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running();
        while running.try_join_next().is_some() {}
        running.spawn(work);
    }

    /// Changes a task and tells it.
    fn change(&self, arn: &str, change: impl FnOnce(&mut Task)) {
        let mut state = self.state();
        let State { tasks, loses_events, .. } = &mut *state;
        let Some(task) = tasks.iter_mut().find(|task| task.arn == arn) else { return };
        change(task);
        task.version += 1;
        // While the state is locked, so that events keep their order.
        if !*loses_events {
            self.tell(task);
        }
        drop(state);
        self.changed.send_replace(());
    }

    fn tell(&self, task: &Task) {
        // Without a bus nobody listens.
        let _ = self.bus.send(task.event(&self.options));
    }
}

impl Barrier {
    fn pause(&self) -> Pause {
        self.pauses.send_modify(|pauses| *pauses += 1);
        Pause(self.pauses.clone())
    }

    async fn pass(&self) {
        let mut pauses = self.pauses.subscribe();
        if *pauses.borrow() == 0 {
            return;
        }
        self.waiting.send_modify(|waiting| *waiting += 1);
        // As long as the test that holds the pause: it has the deadline.
        let passed = pauses.wait_for(|pauses| *pauses == 0).await;
        drop(passed);
        self.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.send_modify(|pauses| *pauses -= 1);
    }
}

/// Puts the events of tasks on the bus, in their order.
async fn tell(events: Events, mut queue: mpsc::UnboundedReceiver<Value>) {
    while let Some(detail) = queue.recv().await {
        let arn = detail["taskArn"].as_str().unwrap_or_default().to_owned();
        if let Err(error) = events.put_about(&[&arn], SOURCE, TASK_CHANGE, detail).await {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, arn, "nobody was told of a task's change");
        }
    }
}

#[cfg(test)]
mod tests;
