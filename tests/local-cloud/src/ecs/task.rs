//! What ECS knows of a task, and how it tells that in answers and in events.
//!
//! Pure but for the clock and for what makes names unique.

use jiff::{Timestamp, Unit};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::{Options, TaskView};

/// What is wanted of a task's process. It only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    #[default]
    Run,
    Stop,
    Kill,
}

pub(super) struct Task {
    /// Counts up.
    pub(super) number: usize,
    pub(super) arn: String,
    container_arn: String,
    /// As it was asked for.
    pub(super) request: Value,
    /// What was answered to that.
    pub(super) answer: Value,
    group: String,
    container_instance: String,
    pub(super) last_status: &'static str,
    pub(super) desired_status: &'static str,
    container_status: &'static str,
    pub(super) version: u32,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    stopping_at: Option<Timestamp>,
    execution_stopped_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    stop_code: Option<&'static str>,
    stopped_reason: Option<String>,
    container_reason: Option<String>,
    exit_code: Option<i32>,
    pid: Option<u32>,
    /// Before its container runs.
    pub(super) dies: bool,
    pub(super) is_forgotten: bool,
    wishes: watch::Sender<Wish>,
}

impl Task {
    /// One that was asked for just now.
    pub(super) fn new(
        number: usize,
        request: Value,
        container_instance: String,
        options: &Options,
    ) -> Self {
        let arn = options.arn_of("task");
        let id = arn.rsplit('/').next().unwrap_or_default();
        let container_arn = options.arn("container", &format!("{id}/{}", uuid::Uuid::new_v4()));
        let family = options.task_definition.rsplit('/').next().unwrap_or_default();
        let family = family.split(':').next().unwrap_or_default();
        let group = request["group"].as_str().map_or(format!("family:{family}"), str::to_owned);
        Self {
            number,
            container_arn,
            request,
            answer: Value::Null,
            group,
            container_instance,
            last_status: "PROVISIONING",
            desired_status: "RUNNING",
            container_status: "PENDING",
            version: 1,
            created_at: now(),
            started_at: None,
            stopping_at: None,
            execution_stopped_at: None,
            stopped_at: None,
            stop_code: None,
            stopped_reason: None,
            container_reason: None,
            exit_code: None,
            pid: None,
            dies: false,
            is_forgotten: false,
            wishes: watch::Sender::default(),
            arn,
        }
    }

    pub(super) fn id(&self) -> &str {
        self.arn.rsplit('/').next().unwrap_or_default()
    }

    pub(super) fn started_by(&self) -> Option<&str> {
        self.request["startedBy"].as_str()
    }

    pub(super) fn client_token(&self) -> Option<&str> {
        self.request["clientToken"].as_str()
    }

    /// What the container is told beside its task definition.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let told = &self.request["overrides"]["containerOverrides"][0]["environment"];
        let variables = told.as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        variables.map(|variable| (text(&variable["name"]), text(&variable["value"]))).collect()
    }

    /// The first of them is what is wanted already.
    pub(super) fn wishes(&self) -> watch::Receiver<Wish> {
        let mut wishes = self.wishes.subscribe();
        wishes.mark_changed();
        wishes
    }

    pub(super) fn wish(&self, wish: Wish) {
        self.wishes.send_if_modified(|before| {
            let is_more = wish > *before;
            *before = wish.max(*before);
            is_more
        });
    }

    /// The container runs.
    pub(super) fn runs(&mut self, pid: Option<u32>) {
        (self.last_status, self.container_status) = ("RUNNING", "RUNNING");
        self.started_at = Some(now());
        self.pid = pid;
    }

    /// Its end is decided. The first reason stays.
    pub(super) fn ends(&mut self, stop_code: &'static str, reason: Option<&str>) {
        if self.desired_status != "STOPPED" {
            self.desired_status = "STOPPED";
            self.stop_code = Some(stop_code);
            self.stopped_reason = reason.map(str::to_owned);
            self.stopping_at = Some(now());
        }
    }

    /// Its container has ended.
    pub(super) fn exited(&mut self, code: i32) {
        self.ends("EssentialContainerExited", Some("Essential container in task exited"));
        (self.last_status, self.container_status) = ("DEACTIVATING", "STOPPED");
        self.exit_code = Some(code);
        self.execution_stopped_at = Some(now());
        self.pid = None;
    }

    /// There will be no container, which has a reason if nobody asked for that.
    pub(super) fn failed_to_start(&mut self, container_reason: Option<String>) {
        self.ends("TaskFailedToStart", Some("Task failed to start"));
        self.container_reason = container_reason;
        self.stopped();
    }

    pub(super) fn stopped(&mut self) {
        (self.last_status, self.container_status) = ("STOPPED", "STOPPED");
        self.stopped_at = Some(now());
    }

    pub(super) fn view(&self) -> TaskView {
        TaskView {
            arn: self.arn.clone(),
            started_by: self.started_by().unwrap_or_default().to_owned(),
            last_status: self.last_status.to_owned(),
            desired_status: self.desired_status.to_owned(),
            stop_code: self.stop_code.map(str::to_owned),
            stopped_reason: self.stopped_reason.clone(),
            exit_code: self.exit_code,
            pid: self.pid,
        }
    }

    /// As an answer describes it.
    pub(super) fn described(&self, options: &Options) -> Value {
        let mut task = self.told(options, |at| json!(at.as_duration().as_secs_f64()));
        if let Some(overrides) = self.request.get("overrides") {
            task.insert("overrides".into(), overrides.clone());
        }
        task.insert("tags".into(), json!([]));
        task.into()
    }

    /// The detail of an event about it.
    pub(super) fn event(&self, options: &Options) -> Value {
        let mut task = self.told(options, |at| json!(iso(at)));
        // Variables are not for everybody who listens.
        let name = &options.container;
        let overrides = json!({ "containerOverrides": [{ "name": name }] });
        task.insert("overrides".into(), overrides);
        task.insert("updatedAt".into(), iso(now()).into());
        task.into()
    }

    fn told(&self, options: &Options, time: impl Fn(Timestamp) -> Value) -> Map<String, Value> {
        let at = |time_of: Option<Timestamp>| time_of.map(&time);
        let strategy = &self.request["capacityProviderStrategy"];
        // With a capacity provider of EC2, too.
        let launch_type = self.request["launchType"].as_str().unwrap_or("EC2");
        let container = object(json!({
            "containerArn": self.container_arn,
            "taskArn": self.arn,
            "name": options.container,
            "lastStatus": self.container_status,
            "exitCode": self.exit_code,
            "reason": self.container_reason,
            "networkInterfaces": [],
            "healthStatus": "UNKNOWN",
            "cpu": "0",
        }));
        let is_placed = self.last_status != "PROVISIONING";
        object(json!({
            "attachments": [],
            "attributes": [{ "name": "ecs.cpu-architecture", "value": "x86_64" }],
            "availabilityZone": format!("{}a", options.region),
            "capacityProviderName": strategy[0]["capacityProvider"],
            "clusterArn": options.cluster_arn(),
            "connectivity": is_placed.then_some("CONNECTED"),
            "connectivityAt": at(is_placed.then_some(self.created_at)),
            "containerInstanceArn": is_placed.then_some(&self.container_instance),
            "containers": [container],
            "cpu": "2048",
            "createdAt": time(self.created_at),
            "desiredStatus": self.desired_status,
            "enableExecuteCommand": false,
            "executionStoppedAt": at(self.execution_stopped_at),
            "group": self.group,
            "healthStatus": "UNKNOWN",
            "lastStatus": self.last_status,
            "launchType": launch_type,
            "memory": "4096",
            "startedAt": at(self.started_at),
            "startedBy": self.started_by(),
            "stopCode": self.stop_code,
            "stoppedAt": at(self.stopped_at),
            "stoppedReason": self.stopped_reason,
            "stoppingAt": at(self.stopping_at),
            "taskArn": self.arn,
            "taskDefinitionArn": options.task_definition,
            "version": self.version,
        }))
    }
}

/// The members of an object that are there.
fn object(value: Value) -> Map<String, Value> {
    let Value::Object(mut members) = value else { return Map::new() };
    members.retain(|_, value| !value.is_null());
    members
}

/// As exact as ECS tells it.
pub(super) fn now() -> Timestamp {
    let now = Timestamp::now();
    now.round(Unit::Millisecond).unwrap_or(now)
}

/// As events tell an instant.
pub(super) fn iso(at: Timestamp) -> String {
    format!("{at:.3}")
}
