//! The recording cluster: its tasks in answers of ECS and in its events.

use std::collections::BTreeSet;

use aws_config::SdkConfig;
use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::{Builder, Region};
use aws_sdk_ecs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, CapacityProviderStrategyItem, Container,
    ContainerOverride, DesiredStatus, Failure, KeyValuePair, NetworkConfiguration, TaskOverride,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{fault, lacks, trouble};
use crate::names::RecordingId;
use crate::ports::{Answer, Fault, Run, Stop, Tasks};
use crate::settings::Reader;
use crate::task::{Order, Task};
use crate::time::parse;

const SERVICE: &str = "ECS";

/// As many tasks can be described at once.
const MOST_DESCRIBED: usize = 100;

/// As many characters can the reason of a stop have.
const LONGEST_REASON: usize = 255;

/// `startedBy` of a pre-warm task is this and the id of its EC2 instance.
const PRE_WARM: &str = "PreWarm-";

/// Errors of `RunTask` after which there is certainly no task. A conflict is none of
/// them: there is one already that was started with the same token.
const REFUSALS: [&str; 8] = [
    "AccessDeniedException",
    "BlockedException",
    "ClientException",
    "ClusterNotFoundException",
    "InvalidParameterException",
    "PlatformTaskDefinitionIncompatibilityException",
    "PlatformUnknownException",
    "UnsupportedFeatureException",
];

/// Which cluster, and what is run in it.
#[derive(Clone, Debug)]
pub struct Settings {
    cluster: String,
    /// `None`: the Lambda's own.
    region: Option<String>,
    run: Option<ToRun>,
}

/// What those need that run tasks.
#[derive(Clone, Debug)]
struct ToRun {
    container: String,
    /// With its revision.
    task_definition: String,
    /// `None`: as the cluster's default strategy says.
    capacity_provider: Option<String>,
    /// Where a task has an address of its own, as on Fargate.
    network: Option<NetworkConfiguration>,
}

impl Settings {
    /// For those that look at tasks and end them.
    pub fn read(reader: &mut Reader<'_>) -> Self {
        Self {
            cluster: reader.need("ECS_CLUSTER_ARN"),
            region: reader.find("ECS_CLUSTER_REGION"),
            run: None,
        }
    }

    /// For those that run tasks, too.
    pub fn read_to_run(reader: &mut Reader<'_>) -> Self {
        let run = ToRun {
            container: reader.need("ECS_CONTAINER_NAME"),
            task_definition: reader.need("ECS_TASK_DEFINITION_ARN"),
            capacity_provider: reader.find("ECS_CAPACITY_PROVIDER"),
            network: network(reader),
        };
        Self { run: Some(run), ..Self::read(reader) }
    }
}

/// In which subnets a task gets an address, never a public one; `None` where it has
/// that of its instance.
fn network(reader: &mut Reader<'_>) -> Option<NetworkConfiguration> {
    const SUBNETS: &str = "ECS_SUBNETS";
    const SECURITY_GROUPS: &str = "ECS_SECURITY_GROUPS";
    reader.find(SUBNETS).or(reader.find(SECURITY_GROUPS))?;
    let mut list = |name| reader.need(name).split(',').map(|id| id.trim().to_owned()).collect();
    let network = AwsVpcConfiguration::builder()
        .set_subnets(Some(list(SUBNETS)))
        .set_security_groups(Some(list(SECURITY_GROUPS)))
        .assign_public_ip(AssignPublicIp::Disabled)
        .build()
        .expect("it has subnets");
    Some(NetworkConfiguration::builder().awsvpc_configuration(network).build())
}

/// The cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    client: Client,
    arn: String,
    run: Option<ToRun>,
}

impl Cluster {
    pub fn new(sdk: &SdkConfig, settings: Settings) -> Self {
        let mut config = Builder::from(sdk);
        if let Some(region) = settings.region {
            config = config.region(Region::new(region));
        }
        let client = Client::from_conf(config.build());
        Self { client, arn: settings.cluster, run: settings.run }
    }

    fn to_run(&self, action: &'static str) -> Answer<&ToRun> {
        self.run.as_ref().ok_or_else(|| lacks(SERVICE, action, "it was not said what to run"))
    }

    /// The ARNs of tasks that are to run, or that were told to stop or have stopped.
    /// ECS takes no other filter together with `startedBy`, under which it lists
    /// those that are to run.
    async fn list(&self, which: Which<'_>) -> Answer<BTreeSet<String>> {
        let request = self.client.list_tasks().cluster(&self.arn);
        let request = match which {
            Which::Running => request.desired_status(DesiredStatus::Running),
            Which::Stopped => request.desired_status(DesiredStatus::Stopped),
            Which::StartedBy(whom) => request.started_by(whom),
        };
        let listed = request.into_paginator().items().send().try_collect().await;
        Ok(listed.map_err(fault(SERVICE, "list the tasks"))?.into_iter().collect())
    }

    /// What ECS knows of the tasks; those that it does not know are left out.
    async fn describe(&self, arns: &[String]) -> Answer<Vec<Task>> {
        const ACTION: &str = "describe the tasks";
        let mut tasks = Vec::with_capacity(arns.len());
        for arns in arns.chunks(MOST_DESCRIBED) {
            let answer = self
                .client
                .describe_tasks()
                .cluster(&self.arn)
                .set_tasks(Some(arns.to_vec()))
                .send()
                .await
                .map_err(fault(SERVICE, ACTION))?;
            let failed = |failure: &&Failure| failure.reason() != Some("MISSING");
            if let Some(failure) = answer.failures().iter().find(failed) {
                return Err(failed_with(ACTION, std::slice::from_ref(failure)));
            }
            tasks.extend(answer.tasks().iter().filter_map(task));
        }
        Ok(tasks)
    }

    /// All tasks that were started by this, ended ones included.
    async fn started_by(&self, whom: &str) -> Answer<Vec<Task>> {
        let mut arns = self.list(Which::StartedBy(whom)).await?;
        arns.append(&mut self.list(Which::Stopped).await?);
        let mut tasks = self.describe(&Vec::from_iter(arns)).await?;
        tasks.retain(|task| task.started_by == whom);
        Ok(tasks)
    }
}

/// Which tasks to list.
#[derive(Clone, Copy, Debug)]
enum Which<'a> {
    Running,
    Stopped,
    StartedBy(&'a str),
}

impl Tasks for Cluster {
    async fn run(&self, order: &Order) -> Answer<Run> {
        const ACTION: &str = "run the task";
        let ToRun { container, task_definition, capacity_provider, network } =
            self.to_run(ACTION)?;
        let strategy = capacity_provider.as_ref().map(|provider| {
            let provider = CapacityProviderStrategyItem::builder().capacity_provider(provider);
            vec![provider.weight(1).build().expect("it has a provider")]
        });
        let environment = order.environment.iter().map(|(name, value)| (*name, value.as_str()));
        let answer = self
            .client
            .run_task()
            .cluster(&self.arn)
            .task_definition(task_definition)
            .count(1)
            .client_token(order.recording.as_str())
            .started_by(order.recording.started_by())
            .set_capacity_provider_strategy(strategy)
            .set_network_configuration(network.clone())
            .overrides(overrides(container, environment))
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(ran(answer.tasks(), answer.failures())),
            Err(error) if is_refusal(&error) => Ok(Run::Refused(trouble(&error).to_string())),
            Err(error) => Err(fault(SERVICE, ACTION)(error)),
        }
    }

    async fn stop(&self, task: &str, reason: &str) -> Answer<Stop> {
        const ACTION: &str = "stop the task";
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        let request = self.client.stop_task().cluster(&self.arn).task(task).reason(reason);
        match request.send().await {
            Ok(answer) => {
                let desired = answer.task().and_then(|task| task.desired_status());
                Ok(if desired == Some("STOPPED") { Stop::Asked } else { Stop::Refused })
            }
            Err(error) if is_of_no_task(error.code(), error.message()) => Ok(Stop::Gone),
            Err(error) => Err(fault(SERVICE, ACTION)(error)),
        }
    }

    async fn of(&self, id: &RecordingId) -> Answer<Vec<Task>> {
        self.started_by(&id.started_by()).await
    }

    async fn get(&self, task: &str) -> Answer<Option<Task>> {
        Ok(self.describe(&[task.to_owned()]).await?.pop())
    }

    async fn alive(&self) -> Answer<Vec<Task>> {
        // In this order: a task that is told to stop meanwhile is in both.
        let mut arns = self.list(Which::Running).await?;
        arns.append(&mut self.list(Which::Stopped).await?);
        let mut tasks = self.describe(&Vec::from_iter(arns)).await?;
        tasks.retain(|task| !task.is_dead());
        Ok(tasks)
    }

    async fn pre_warm(
        &self,
        container_instance: &str,
        ec2_instance: &str,
    ) -> Answer<Option<String>> {
        const ACTION: &str = "start the pre-warm task";
        let ToRun { container, task_definition, .. } = self.to_run(ACTION)?;
        let answer = self
            .client
            .start_task()
            .cluster(&self.arn)
            .task_definition(task_definition)
            .container_instances(container_instance)
            .started_by(format!("{PRE_WARM}{ec2_instance}"))
            .overrides(overrides(container, [("TASK_TYPE", "PRE_WARM")].into_iter()))
            .send()
            .await
            .map_err(fault(SERVICE, ACTION))?;
        match ran(answer.tasks(), answer.failures()) {
            Run::Accepted(arn) => Ok(Some(arn)),
            Run::Refused(reason) if reason.starts_with("RESOURCE:") => Ok(None),
            Run::Refused(_) => Err(failed_with(ACTION, answer.failures())),
        }
    }

    async fn was_pre_warmed(&self, ec2_instance: &str) -> Answer<bool> {
        Ok(!self.started_by(&format!("{PRE_WARM}{ec2_instance}")).await?.is_empty())
    }
}

/// What the one container is told beside its task definition.
fn overrides<'a>(
    container: &str,
    environment: impl Iterator<Item = (&'a str, &'a str)>,
) -> TaskOverride {
    let environment = environment
        .map(|(name, value)| KeyValuePair::builder().name(name).value(value).build())
        .collect();
    let container =
        ContainerOverride::builder().name(container).set_environment(Some(environment)).build();
    TaskOverride::builder().container_overrides(container).build()
}

fn ran(tasks: &[aws_sdk_ecs::types::Task], failures: &[Failure]) -> Run {
    match tasks.iter().find_map(|task| task.task_arn()) {
        Some(arn) => Run::Accepted(arn.to_owned()),
        None => Run::Refused(reasons(failures)),
    }
}

/// Such as `RESOURCE:MEMORY`.
fn reasons(failures: &[Failure]) -> String {
    if failures.is_empty() {
        return "ECS does not say why".into();
    }
    let told = failures.iter().map(|failure| {
        let reason = failure.reason().unwrap_or("no reason");
        [Some(reason), failure.detail()].into_iter().flatten().collect::<Vec<_>>().join(": ")
    });
    told.collect::<Vec<_>>().join("; ")
}

fn failed_with(action: &'static str, failures: &[Failure]) -> Fault {
    Fault { service: SERVICE, action, source: Some(reasons(failures).into()) }
}

fn is_refusal<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    error.code().is_some_and(|code| REFUSALS.contains(&code))
}

/// Whether an error says that ECS knows the task no more. It has no kind of its own:
/// "The referenced task was not found."
fn is_of_no_task(code: Option<&str>, message: Option<&str>) -> bool {
    matches!(code, Some("InvalidParameterException" | "ClientException"))
        && message.is_some_and(|message| message.contains("task was not found"))
}

/// A task as an answer describes it.
fn task(task: &aws_sdk_ecs::types::Task) -> Option<Task> {
    let containers = task.containers();
    Some(Task {
        arn: task.task_arn()?.to_owned(),
        started_by: task.started_by().unwrap_or_default().to_owned(),
        last_status: task.last_status().unwrap_or_default().to_owned(),
        desired_status: task.desired_status().unwrap_or_default().to_owned(),
        stopped_reason: told(
            task.stopped_reason(),
            containers.iter().filter_map(|container| container.reason()),
        ),
        exit_code: containers.iter().find_map(Container::exit_code),
        created_at: task.created_at().and_then(instant),
        stopped_at: task.stopped_at().and_then(instant),
    })
}

/// A task as the detail of an event `ECS Task State Change` describes it; `None`
/// where that is none.
pub fn task_of_event(detail: &Value) -> Option<Task> {
    let text = |name: &str| detail.get(name).and_then(Value::as_str);
    let owned = |name: &str| text(name).map(str::to_owned);
    let containers = detail.get("containers").and_then(Value::as_array);
    let containers = containers.map(Vec::as_slice).unwrap_or_default();
    let exit_code = |container: &Value| container.get("exitCode")?.as_i64()?.try_into().ok();
    Some(Task {
        arn: owned("taskArn")?,
        started_by: owned("startedBy").unwrap_or_default(),
        last_status: owned("lastStatus")?,
        desired_status: owned("desiredStatus").unwrap_or_default(),
        stopped_reason: told(
            text("stoppedReason"),
            containers.iter().filter_map(|container| container.get("reason")?.as_str()),
        ),
        exit_code: containers.iter().find_map(exit_code),
        created_at: text("createdAt").and_then(parse),
        stopped_at: text("stoppedAt").and_then(parse),
    })
}

/// Why a task stopped, and what its containers say to it.
fn told<'a>(
    stopped_reason: Option<&'a str>,
    of_containers: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let reasons = stopped_reason.into_iter().chain(of_containers);
    let reasons: Vec<_> = reasons.filter(|reason| !reason.is_empty()).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn instant(at: &DateTime) -> Option<Timestamp> {
    Timestamp::from_nanosecond(at.as_nanos()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_has_an_address_of_its_own_where_subnets_are_named() {
        let read = |variables: &[(&str, &str)]| {
            let lookup = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            let mut reader = Reader::new(&lookup);
            let network = network(&mut reader);
            reader.finish(network).map_err(|problems| problems.to_string())
        };
        assert_eq!(read(&[]), Ok(None));
        let half = read(&[("ECS_SUBNETS", "subnet-1")]).unwrap_err();
        assert!(half.contains("ECS_SECURITY_GROUPS is not set"), "{half}");
        let both = [("ECS_SUBNETS", "subnet-1, subnet-2"), ("ECS_SECURITY_GROUPS", "sg-1")];
        let network = read(&both).unwrap().unwrap();
        let network = network.awsvpc_configuration().unwrap();
        assert_eq!(network.subnets(), ["subnet-1", "subnet-2"]);
        assert_eq!(network.security_groups(), ["sg-1"]);
        assert_eq!(network.assign_public_ip(), Some(&AssignPublicIp::Disabled));
    }

    #[test]
    fn a_task_is_the_same_in_an_answer_and_in_an_event() {
        let container = |code: Option<i32>, reason: Option<&str>| {
            Container::builder().set_exit_code(code).set_reason(reason.map(str::to_owned)).build()
        };
        let answered = aws_sdk_ecs::types::Task::builder()
            .task_arn("arn:task/1")
            .started_by("Recording-1")
            .last_status("STOPPED")
            .desired_status("STOPPED")
            .stopped_reason("Essential container in task exited")
            .containers(container(None, None))
            .containers(container(Some(137), Some("OutOfMemoryError")))
            .created_at(DateTime::from_secs(1_709_622_489))
            .stopped_at(DateTime::from_millis(1_709_626_089_500))
            .build();
        let event = json!({
            "taskArn": "arn:task/1", "startedBy": "Recording-1", "version": 7,
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED",
            "stopCode": "EssentialContainerExited",
            "stoppedReason": "Essential container in task exited",
            "containers": [
                { "name": "sidecar", "lastStatus": "STOPPED" },
                { "name": "recorder", "exitCode": 137, "reason": "OutOfMemoryError" },
            ],
            "createdAt": "2024-03-05T07:08:09Z", "stoppedAt": "2024-03-05T08:08:09.5Z",
            "overrides": { "containerOverrides": [] },
        });
        let expected = Task {
            arn: "arn:task/1".into(),
            started_by: "Recording-1".into(),
            last_status: "STOPPED".into(),
            desired_status: "STOPPED".into(),
            stopped_reason: Some("Essential container in task exited; OutOfMemoryError".into()),
            exit_code: Some(137),
            created_at: parse("2024-03-05T07:08:09Z"),
            stopped_at: parse("2024-03-05T08:08:09.5Z"),
        };
        assert_eq!(task(&answered), Some(expected.clone()));
        assert_eq!(task_of_event(&event), Some(expected));
    }

    #[test]
    fn an_event_may_lack_all_but_the_task_and_its_status() {
        let task = task_of_event(&json!({ "taskArn": "a", "lastStatus": "PENDING" })).unwrap();
        assert_eq!((task.stopped_reason, task.exit_code, task.created_at), (None, None, None));
        assert_eq!(task.started_by, "");
        for other in [json!({}), json!({ "lastStatus": "PENDING" }), json!({ "taskArn": "a" })] {
            assert_eq!(task_of_event(&other), None);
        }
    }

    #[test]
    fn an_order_is_accepted_only_with_a_task() {
        let task = aws_sdk_ecs::types::Task::builder().task_arn("arn").build();
        let full = Failure::builder().arn("i").reason("RESOURCE:MEMORY").build();
        let odd = Failure::builder().reason("AGENT").detail("disconnected").build();
        assert!(matches!(ran(&[task], &[]), Run::Accepted(arn) if arn == "arn"));
        for (failures, reason) in [
            (vec![full.clone()], "RESOURCE:MEMORY"),
            (vec![full, odd], "RESOURCE:MEMORY; AGENT: disconnected"),
            (vec![], "ECS does not say why"),
        ] {
            let ran = ran(&[], &failures);
            assert!(matches!(&ran, Run::Refused(told) if told == reason), "{ran:?}");
        }
    }

    #[test]
    fn only_a_task_that_is_not_found_is_gone() {
        let gone = Some("The referenced task was not found.");
        for (code, message, is_gone) in [
            (Some("InvalidParameterException"), gone, true),
            (Some("ClientException"), gone, true),
            (Some("InvalidParameterException"), Some("Task Identifier is invalid"), false),
            (Some("ClusterNotFoundException"), Some("Cluster not found."), false),
            (Some("AccessDeniedException"), gone, false),
            (None, None, false),
        ] {
            assert_eq!(is_of_no_task(code, message), is_gone, "{code:?} {message:?}");
        }
    }

    #[test]
    fn the_container_is_told_in_the_order_of_the_variables() {
        let told = overrides("c", [("B", "1"), ("A", "2")].into_iter());
        let [container] = told.container_overrides() else { panic!("one container") };
        let names: Vec<_> = container.environment().iter().map(KeyValuePair::name).collect();
        assert_eq!((container.name(), names), (Some("c"), vec![Some("B"), Some("A")]));
    }
}
