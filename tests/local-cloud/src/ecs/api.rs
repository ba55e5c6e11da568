//! The operations: who may call them, what they refuse, and what they answer.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::life::live;
use super::task::{Task, Wish};
use super::{Options, Shared};
use crate::gate::{Denied, Gate};

const TARGET: &str = "AmazonEC2ContainerServiceV20141113.";

/// More than any request has.
const MOST_BYTES: usize = 1 << 20;

const LONGEST_OVERRIDES: usize = 8192;
const LONGEST_STARTED_BY: usize = 128;
const LONGEST_TOKEN: usize = 64;
const LONGEST_REASON: usize = 255;
const MOST_DESCRIBED: usize = 100;
const LARGEST_PAGE: usize = 100;

/// Whom roles are passed to.
const TASKS: &str = "ecs-tasks.amazonaws.com";

enum Fault {
    Denied(Denied),
    Error { code: &'static str, message: String, more: Map<String, Value> },
}

type Answer = Result<Value, Fault>;

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

fn fault(code: &'static str, message: impl Into<String>) -> Fault {
    Fault::Error { code, message: message.into(), more: Map::new() }
}

fn invalid(message: impl Into<String>) -> Fault {
    fault("InvalidParameterException", message)
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (code, message, mut body) = match self {
            Self::Denied(denied) => return denied.into_json(),
            Self::Error { code, message, more } => (code, message, more),
        };
        body.insert("__type".into(), code.into());
        body.insert("message".into(), message.into());
        let is_ours = code == "ServerException";
        let status =
            if is_ours { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST };
        reply(status, &body.into())
    }
}

fn reply(status: StatusCode, body: &Value) -> Response {
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}

/// Answers a call, and does what it asks for even if the caller has gone meanwhile.
pub(super) async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let body = match to_bytes(body, MOST_BYTES).await {
        Ok(body) => body,
        Err(error) => return invalid(error.to_string()).into_response(),
    };
    let (sender, answer) = oneshot::channel();
    shared.spawn({
        let shared = Arc::clone(&shared);
        async move {
            let answer = shared.answer(&parts, &body).await;
            // Nobody takes it if the caller has gone.
            let _ = sender.send(answer);
        }
    });
    match answer.await {
        Ok(Ok(answer)) => reply(StatusCode::OK, &answer),
        Ok(Err(fault)) => fault.into_response(),
        Err(_) => fault("ServerException", "the service ends").into_response(),
    }
}

impl Shared {
    async fn answer(self: &Arc<Self>, parts: &Parts, body: &[u8]) -> Answer {
        let target = parts.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = target.and_then(|target| target.strip_prefix(TARGET)).unwrap_or_default();
        self.note_call(operation)?;
        let gate = self.options.gate.as_ref();
        if let Some(gate) = gate {
            gate.verify(parts, body).await?;
        }
        let request: Value = serde_json::from_slice(body)
            .map_err(|error| fault("SerializationException", error.to_string()))?;
        let model = &self.options.model;
        model.check_input(operation, &request).map_err(invalid)?;
        if let Some(gate) = gate {
            self.options.authorize(gate, parts, operation, &request).await?;
        }
        check_cluster(&self.options, &request)?;
        let answer = match operation {
            "RunTask" => self.run_task(request).await?,
            "StartTask" => self.start_task(request)?,
            "StopTask" => self.stop_task(&request)?,
            "DescribeTasks" => self.describe_tasks(&request)?,
            "ListTasks" => self.list_tasks(&request)?,
            _ => return Err(fault("UnsupportedFeatureException", operation)),
        };
        // That would be this service's own mistake.
        model.check_output(operation, &answer).map_err(|wrong| fault("ServerException", wrong))?;
        Ok(answer)
    }

    fn note_call(&self, operation: &str) -> Result<(), Fault> {
        let mut state = self.state();
        if operation == "RunTask" {
            state.run_calls += 1;
        }
        if state.n_throttled > 0 {
            state.n_throttled -= 1;
            return Err(fault("ThrottlingException", "Rate exceeded"));
        }
        Ok(())
    }

    async fn run_task(self: &Arc<Self>, request: Value) -> Answer {
        const KNOWN: [&str; 8] = [
            "capacityProviderStrategy",
            "clientToken",
            "cluster",
            "count",
            "launchType",
            "overrides",
            "startedBy",
            "taskDefinition",
        ];
        check_known(&request, &KNOWN)?;
        if request.get("launchType").is_some() && request.get("capacityProviderStrategy").is_some()
        {
            return Err(invalid(
                "Specifying both a launch type and capacity provider strategy is not supported. \
                 Remove one and try again.",
            ));
        }
        if request.get("count").is_some_and(|count| count != 1) {
            return Err(invalid("this ECS runs one task at a time"));
        }
        let token = request["clientToken"].as_str().unwrap_or_default();
        if token.len() > LONGEST_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(invalid("clientToken can have at most 64 characters of ASCII"));
        }
        check_task(&self.options, &request)?;
        self.before_run.pass().await;
        let answer = self.make_task(request, None);
        self.before_answer.pass().await;
        answer
    }

    fn start_task(self: &Arc<Self>, request: Value) -> Answer {
        const KNOWN: [&str; 5] =
            ["cluster", "containerInstances", "overrides", "startedBy", "taskDefinition"];
        check_known(&request, &KNOWN)?;
        check_task(&self.options, &request)?;
        let instances = request["containerInstances"].as_array().map(Vec::as_slice);
        let Some([Value::String(instance)]) = instances else {
            return Err(invalid("this ECS starts a task on one instance at a time"));
        };
        let arn = self.options.arn("container-instance", instance);
        if !arn.starts_with(&self.options.arn("container-instance", "")) {
            return Ok(failed(&arn, "MISSING"));
        }
        self.make_task(request, Some(arn))
    }

    /// Makes a task of a request that is in order, unless the request's token says
    /// that it was made before.
    fn make_task(self: &Arc<Self>, request: Value, instance: Option<String>) -> Answer {
        let mut state = self.state();
        if let Some(token) = request["clientToken"].as_str() {
            let mut tasks = state.tasks.iter().filter(|task| !task.is_forgotten);
            if let Some(task) = tasks.find(|task| task.client_token() == Some(token)) {
                return same_again(task, &request);
            }
        }
        let instance = instance.unwrap_or_else(|| self.options.arn_of("container-instance"));
        if let Some(reason) = state.refusal.take() {
            return Ok(failed(&instance, &reason));
        }
        let number = state.tasks.len() + 1;
        let mut task = Task::new(number, request, instance, &self.options);
        if state.n_dying > 0 {
            state.n_dying -= 1;
            task.dies = true;
        }
        if !state.loses_events {
            self.tell(&task);
        }
        let answer = json!({ "tasks": [task.described(&self.options)], "failures": [] });
        task.answer = answer.clone();
        let arn = task.arn.clone();
        state.tasks.push(task);
        drop(state);
        self.changed.send_replace(());
        self.spawn(live(Arc::clone(self), arn));
        Ok(answer)
    }

    fn stop_task(&self, request: &Value) -> Answer {
        check_known(request, &["cluster", "reason", "task"])?;
        let reason = request["reason"].as_str();
        if reason.is_some_and(|reason| reason.chars().count() > LONGEST_REASON) {
            return Err(invalid("reason can have at most 255 characters"));
        }
        let arn = self.options.arn("task", request["task"].as_str().unwrap_or_default());
        let desired = {
            let state = self.state();
            let task = state.known().find(|task| task.arn == arn);
            task.map(|task| task.desired_status)
        };
        match desired {
            None => return Err(invalid("The referenced task was not found.")),
            // It is told once.
            Some("STOPPED") => {}
            Some(_) => self.change(&arn, |task| {
                task.ends("UserInitiated", Some(reason.unwrap_or("Task stopped by user")));
                task.wish(Wish::Stop);
            }),
        }
        let state = self.state();
        let task = state.tasks.iter().find(|task| task.arn == arn);
        Ok(json!({ "task": task.map(|task| task.described(&self.options)) }))
    }

    fn describe_tasks(&self, request: &Value) -> Answer {
        check_known(request, &["cluster", "include", "tasks"])?;
        let arns = self.options.task_arns(request);
        if arns.is_empty() {
            return Err(invalid("Tasks cannot be empty."));
        }
        if arns.len() > MOST_DESCRIBED {
            return Err(invalid("at most 100 tasks can be described at once"));
        }
        let state = self.state();
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for arn in arns {
            match state.known().find(|task| task.arn == arn) {
                Some(task) => tasks.push(task.described(&self.options)),
                None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
            }
        }
        Ok(json!({ "tasks": tasks, "failures": failures }))
    }

    fn list_tasks(&self, request: &Value) -> Answer {
        const KNOWN: [&str; 5] =
            ["cluster", "desiredStatus", "maxResults", "nextToken", "startedBy"];
        check_known(request, &KNOWN)?;
        let (desired, whom) = (request["desiredStatus"].as_str(), request["startedBy"].as_str());
        if desired.is_some() && whom.is_some() {
            return Err(invalid("startedBy must be the only filter"));
        }
        let page = match request.get("maxResults").map(Value::as_u64) {
            None => LARGEST_PAGE,
            Some(most) => most
                .and_then(|most| usize::try_from(most).ok())
                .filter(|most| (1..=LARGEST_PAGE).contains(most))
                .ok_or_else(|| invalid("maxResults must be from 1 to 100"))?,
        };
        // The number of the last task of the page before.
        let after = match request["nextToken"].as_str() {
            None => 0,
            Some(token) => {
                token.parse().map_err(|_| invalid("Invalid token in the nextToken parameter."))?
            }
        };
        let state = self.state();
        let listed = state.known().filter(|task| {
            task.number > after
                && task.desired_status == desired.unwrap_or("RUNNING")
                && whom.is_none_or(|whom| task.started_by() == Some(whom))
        });
        let mut listed = listed.peekable();
        let tasks: Vec<_> = listed.by_ref().take(page).collect();
        let arns: Vec<_> = tasks.iter().map(|task| &task.arn).collect();
        let mut answer = json!({ "taskArns": arns });
        if let (Some(_), Some(last)) = (listed.peek(), tasks.last()) {
            answer["nextToken"] = last.number.to_string().into();
        }
        Ok(answer)
    }
}

impl super::State {
    fn known(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| !task.is_forgotten)
    }
}

impl Options {
    /// Resources and condition keys are those that ECS evaluates, which are not those
    /// that one would guess.
    async fn authorize(
        &self,
        gate: &Gate,
        parts: &Parts,
        operation: &str,
        request: &Value,
    ) -> Result<(), Denied> {
        let headers = &parts.headers;
        let action = format!("ecs:{operation}");
        let cluster = self.requested_cluster(request);
        let in_cluster = [("ecs:cluster", cluster.as_str())];
        match operation {
            "RunTask" | "StartTask" => {
                let definition = request["taskDefinition"].as_str().unwrap_or_default();
                let definition = if definition.starts_with("arn:") {
                    definition.to_owned()
                } else {
                    let Self { account, region, .. } = self;
                    format!("arn:aws:ecs:{region}:{account}:task-definition/{definition}")
                };
                gate.check(headers, &action, &definition, &in_cluster).await?;
                for role in &self.roles {
                    let to = [("iam:PassedToService", TASKS)];
                    gate.check(headers, "iam:PassRole", role, &to).await?;
                }
            }
            "StopTask" => {
                let task = self.arn("task", request["task"].as_str().unwrap_or_default());
                gate.check(headers, &action, &task, &in_cluster).await?;
            }
            "DescribeTasks" => {
                for task in self.task_arns(request) {
                    gate.check(headers, &action, &task, &in_cluster).await?;
                }
            }
            // Its only resource is a container instance. Without one it was seen to be
            // `*` (cdklabs/construct-hub#1207), or all instances of the cluster; a
            // policy that allows `*` covers both.
            _ => gate.check(headers, &action, "*", &in_cluster).await?,
        }
        Ok(())
    }

    fn requested_cluster(&self, request: &Value) -> String {
        let Self { account, region, .. } = self;
        match request["cluster"].as_str().unwrap_or("default") {
            arn if arn.starts_with("arn:") => arn.to_owned(),
            name => format!("arn:aws:ecs:{region}:{account}:cluster/{name}"),
        }
    }

    fn task_arns(&self, request: &Value) -> Vec<String> {
        let tasks = request["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
        tasks.iter().filter_map(Value::as_str).map(|id| self.arn("task", id)).collect()
    }
}

/// The result of the first request, if this is the same.
fn same_again(task: &Task, request: &Value) -> Answer {
    if task.request == *request {
        return Ok(task.answer.clone());
    }
    let message = "The provided clientToken is already in use with a different RunTask request.";
    let more = [("resourceIds".to_owned(), json!([task.arn]))].into_iter().collect();
    Err(Fault::Error { code: "ConflictException", message: message.into(), more })
}

fn failed(arn: &str, reason: &str) -> Value {
    json!({ "tasks": [], "failures": [{ "arn": arn, "reason": reason }] })
}

fn check_cluster(options: &Options, request: &Value) -> Result<(), Fault> {
    if options.requested_cluster(request) == options.cluster_arn() {
        return Ok(());
    }
    Err(fault("ClusterNotFoundException", "Cluster not found."))
}

/// Whether everything in a request is something that this ECS does.
fn check_known(request: &Value, known: &[&str]) -> Result<(), Fault> {
    let given = request.as_object().into_iter().flat_map(Map::keys);
    match given.into_iter().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(invalid(format!("this ECS does not know what to do with {name}"))),
        None => Ok(()),
    }
}

/// What is the same for both ways to run a task.
fn check_task(options: &Options, request: &Value) -> Result<(), Fault> {
    if request["taskDefinition"] != options.task_definition.as_str() {
        return Err(fault("ClientException", "TaskDefinition not found."));
    }
    let started_by = request["startedBy"].as_str().unwrap_or_default();
    let is_sound = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
    if started_by.len() > LONGEST_STARTED_BY || !started_by.chars().all(is_sound) {
        return Err(invalid("startedBy can have at most 128 letters, digits, -, _ and /"));
    }
    let Some(overrides) = request.get("overrides") else { return Ok(()) };
    if overrides.to_string().chars().count() > LONGEST_OVERRIDES {
        return Err(invalid("Container Overrides length must be at most 8192"));
    }
    check_known(overrides, &["containerOverrides"])?;
    let containers = overrides["containerOverrides"].as_array().map(Vec::as_slice);
    let container = match containers.unwrap_or_default() {
        [] => return Ok(()),
        [container] => container,
        _ => return Err(invalid("the task definition has one container")),
    };
    check_known(container, &["environment", "name"])?;
    let name = container["name"].as_str().unwrap_or_default();
    if name != options.container {
        let why = format!(
            "Override for container named {name} is not a container in the TaskDefinition."
        );
        return Err(invalid(why));
    }
    Ok(())
}
