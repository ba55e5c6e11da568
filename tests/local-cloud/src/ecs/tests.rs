//! The real client against this ECS, with tasks that are small scripts.

use std::path::Path;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use aws_sdk_ecs::error::ProvideErrorMetadata as _;
use aws_sdk_ecs::operation::run_task::builders::RunTaskFluentBuilder;
use aws_sdk_ecs::types::{
    CapacityProviderStrategyItem, ContainerOverride, DesiredStatus, KeyValuePair, LaunchType,
    TaskOverride, TaskStopCode,
};

use super::*;
use crate::ministack::{ACCOUNT, Ministack};
use crate::model::botocore_data;
use crate::servers::{free_ports, on_path};
use crate::sigv4::{Keys, REGION, element};

const CONTAINER: &str = "recorder";

/// Says where it is, and ends as it is told to.
const SCRIPT: &str = r#"#!/bin/sh
echo "{\"type\":\"$TASK_TYPE\",\"region\":\"$AWS_REGION\",\"home\":\"$HOME\"}"
trap 'echo "asked to end" >&2; exit 3' TERM
case $TASK_TYPE in
  PRE_WARM) exit 0 ;;
  DEAF) trap '' TERM ;;
esac
echo "in $TMPDIR" >&2
# A child, which must not outlive it.
sleep 1000 &
echo "child $!" >&2
while :; do wait; done
"#;

fn definition() -> String {
    format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/bot:7")
}

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/{name}")
}

fn options(kind: TaskKind) -> Options {
    let data = botocore_data(&on_path("ministack").unwrap()).unwrap();
    Options {
        gate: None,
        events: None,
        model: Model::load(&data, "ecs").unwrap(),
        account: ACCOUNT.into(),
        region: REGION.into(),
        cluster: "recording".into(),
        task_definition: definition(),
        roles: vec![role("execution"), role("task")],
        container: CONTAINER.into(),
        kind,
        stop_timeout: HANGS,
    }
}

/// Tasks that are [`SCRIPT`].
fn scripts(dir: &Path) -> TaskKind {
    let program = dir.join("program");
    // Another process writes it: a file that this one has open for writing, or a child
    // that it forks meanwhile, cannot be run.
    let written = std::process::Command::new("sh")
        .args(["-c", r#"printf %s "$1" > "$2" && chmod 755 "$2""#, "sh", SCRIPT])
        .arg(&program)
        .status();
    assert!(written.unwrap().success());
    TaskKind::Recorder {
        program,
        environment: [("AWS_REGION", REGION), ("PATH", "/usr/bin:/bin"), ("TASK_TYPE", "NONE")]
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        directory: dir.to_owned(),
    }
}

fn client(ecs: &Ecs, keys: &Keys) -> Client {
    let Keys { access_key_id, secret_access_key, session_token } = keys.clone();
    let credentials =
        Credentials::new(access_key_id, secret_access_key, session_token, None, "test");
    let config = aws_sdk_ecs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .endpoint_url(ecs.endpoint())
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

async fn started(options: Options) -> (Ecs, Client) {
    let ecs = Ecs::start(options).await.unwrap();
    let client = client(&ecs, &crate::ministack::root());
    (ecs, client)
}

fn told(task_type: &str) -> TaskOverride {
    let variable = KeyValuePair::builder().name("TASK_TYPE").value(task_type).build();
    let container = ContainerOverride::builder().name(CONTAINER).environment(variable).build();
    TaskOverride::builder().container_overrides(container).build()
}

fn run(ecs: &Ecs, client: &Client, token: &str) -> RunTaskFluentBuilder {
    client
        .run_task()
        .cluster(ecs.cluster_arn())
        .task_definition(definition())
        .count(1)
        .client_token(token)
        .started_by(format!("Recording-{token}"))
        .overrides(told("RECORDING"))
}

/// The ARN of the one task that there must be now.
async fn ran(request: RunTaskFluentBuilder) -> String {
    let answer = request.send().await.unwrap();
    assert_eq!(answer.failures(), []);
    let [task] = answer.tasks() else { panic!("{answer:?}") };
    task.task_arn().unwrap().to_owned()
}

async fn refused(request: RunTaskFluentBuilder) -> (String, String) {
    let error = request.send().await.unwrap_err();
    (error.code().unwrap().to_owned(), error.message().unwrap().to_owned())
}

async fn described(ecs: &Ecs, client: &Client, arn: &str) -> aws_sdk_ecs::types::Task {
    let answer = client.describe_tasks().cluster(ecs.cluster_arn()).tasks(arn).send().await;
    answer.unwrap().tasks.unwrap().remove(0)
}

/// Waits until a task's log has a line that begins so; the rest of it.
async fn logged(ecs: &Ecs, arn: &str, begins: &str) -> String {
    let looking = async {
        loop {
            let log = ecs.log(arn);
            let line = log.split_inclusive('\n').find_map(|line| line.strip_prefix(begins));
            if let Some(rest) = line.and_then(|line| line.strip_suffix('\n')) {
                return rest.to_owned();
            }
            // Nobody announces that a file has grown.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANGS, looking).await.unwrap()
}

/// Waits until a process is gone, or dead and not reaped by whoever inherited it.
async fn gone(pid: &str) {
    let looking = async {
        while let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) {
            if stat.contains(") Z ") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(HANGS, looking).await.unwrap();
}

#[tokio::test]
async fn a_task_runs_until_it_is_stopped_and_its_exit_code_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (ecs, client) = started(options(scripts(dir.path()))).await;
    let arn = ran(run(&ecs, &client, "1").launch_type(LaunchType::Ec2)).await;
    let view = ecs.wait_status(&arn, "RUNNING").await.unwrap();
    assert_eq!((view.started_by.as_str(), view.exit_code), ("Recording-1", None));
    let child = logged(&ecs, &arn, "child ").await;
    let task = described(&ecs, &client, &arn).await;
    assert_eq!((task.last_status(), task.desired_status()), (Some("RUNNING"), Some("RUNNING")));
    assert_eq!(task.started_by(), Some("Recording-1"));
    assert!(task.started_at() >= task.created_at() && task.stopped_at().is_none(), "{task:?}");
    let variables = task.overrides().unwrap().container_overrides()[0].environment();
    assert_eq!(variables[0].value(), Some("RECORDING"));
    // What the script was given is all that there was.
    let report = ecs.report(&arn).unwrap();
    assert_eq!(report, json!({ "type": "RECORDING", "region": REGION, "home": "" }));
    let temp = logged(&ecs, &arn, "in ").await;
    assert!(Path::new(&temp).is_dir() && temp.starts_with(dir.path().to_str().unwrap()), "{temp}");

    let stop = async |reason: &str| {
        let stop = client.stop_task().cluster(ecs.cluster_arn()).task(&arn).reason(reason);
        stop.send().await.unwrap().task.unwrap()
    };
    let stopping = stop("enough").await;
    assert_eq!(stopping.desired_status(), Some("STOPPED"));
    assert_eq!(stop("again").await.stopped_reason(), Some("enough"));
    let view = ecs.wait_stopped(&arn).await.unwrap();
    assert_eq!((view.exit_code, view.pid), (Some(3), None));
    assert!(ecs.log(&arn).contains("asked to end"), "{}", ecs.log(&arn));
    gone(&child).await;
    let task = described(&ecs, &client, &arn).await;
    assert_eq!(task.stop_code(), Some(&TaskStopCode::UserInitiated));
    assert_eq!(task.stopped_reason(), Some("enough"));
    let [container] = task.containers() else { panic!("{task:?}") };
    assert_eq!((container.name(), container.exit_code()), (Some(CONTAINER), Some(3)));
    assert!(task.stopped_at() >= task.stopping_at(), "{task:?}");
}

#[tokio::test]
async fn a_task_that_does_not_hear_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { stop_timeout: Duration::ZERO, ..options(scripts(dir.path())) };
    let (ecs, client) = started(options).await;
    let arn = ran(run(&ecs, &client, "1").overrides(told("DEAF"))).await;
    let child = logged(&ecs, &arn, "child ").await;
    client.stop_task().cluster("recording").task(&arn).send().await.unwrap();
    let view = ecs.wait_stopped(&arn).await.unwrap();
    assert_eq!(view.exit_code, Some(137));
    assert_eq!(view.stop_code.as_deref(), Some("UserInitiated"));
    gone(&child).await;
}

#[tokio::test]
async fn a_task_that_dies_of_itself_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let (ecs, client) = started(options(scripts(dir.path()))).await;
    let killed = ran(run(&ecs, &client, "1")).await;
    let child = logged(&ecs, &killed, "child ").await;
    ecs.kill(&killed).unwrap();
    gone(&child).await;
    // The container instance is not asked where it came from.
    let start = client.start_task().cluster(ecs.cluster_arn()).task_definition(definition());
    let instance = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:container-instance/recording/1");
    let start = start.started_by("PreWarm-i-1").overrides(told("PRE_WARM"));
    let answer = start.clone().container_instances(&instance).send().await.unwrap();
    let warmed = answer.tasks()[0].task_arn().unwrap();
    for (arn, code) in [(killed.as_str(), 137), (warmed, 0)] {
        let view = ecs.wait_stopped(arn).await.unwrap();
        assert_eq!(view.exit_code, Some(code));
        assert_eq!(view.stop_code.as_deref(), Some("EssentialContainerExited"));
        let reason = view.stopped_reason.unwrap();
        assert_eq!(reason, "Essential container in task exited");
    }
    assert_eq!(ecs.report(warmed).unwrap()["type"], "PRE_WARM");
    let task = described(&ecs, &client, warmed).await;
    assert_eq!(task.container_instance_arn(), Some(instance.as_str()));
    let elsewhere = instance.replace("recording", "elsewhere");
    let answer = start.container_instances(elsewhere).send().await.unwrap();
    assert_eq!(answer.failures()[0].reason(), Some("MISSING"));
}

#[tokio::test]
async fn no_process_outlives_its_service() {
    let dir = tempfile::tempdir().unwrap();
    let (ecs, client) = started(options(scripts(dir.path()))).await;
    let arn = ran(run(&ecs, &client, "1")).await;
    let child = logged(&ecs, &arn, "child ").await;
    drop(ecs);
    gone(&child).await;
}

#[tokio::test]
async fn the_same_order_is_one_task() {
    let (ecs, client) = started(options(TaskKind::Stub)).await;
    let orders = (0..8).map(|_| tokio::spawn(ran(run(&ecs, &client, "1"))));
    let orders: Vec<_> = orders.collect();
    let mut arns = Vec::new();
    for order in orders {
        arns.push(order.await.unwrap());
    }
    arns.dedup();
    let [arn] = arns.as_slice() else { panic!("{arns:?}") };
    assert_eq!((ecs.tasks().len(), ecs.run_calls()), (1, 8));
    let other = run(&ecs, &client, "1").started_by("Recording-2").send().await.unwrap_err();
    let other = other.into_service_error();
    assert!(other.is_conflict_exception(), "{other:?}");
    let aws_sdk_ecs::operation::run_task::RunTaskError::ConflictException(conflict) = other else {
        panic!("{other:?}")
    };
    assert_eq!(conflict.resource_ids(), std::slice::from_ref(arn));
    // Also when it has ended, as long as ECS knows it.
    client.stop_task().cluster("recording").task(arn).send().await.unwrap();
    ecs.wait_stopped(arn).await.unwrap();
    assert_eq!(ran(run(&ecs, &client, "1")).await, *arn);
    ecs.forget(arn).unwrap();
    assert_ne!(ran(run(&ecs, &client, "1")).await, *arn);
}

#[tokio::test]
async fn what_ecs_would_not_take_is_refused() {
    let (ecs, client) = started(options(TaskKind::Stub)).await;
    let run = || run(&ecs, &client, "1");
    let provider = CapacityProviderStrategyItem::builder().capacity_provider("spot");
    let provider = provider.weight(1).build().unwrap();
    let other = ContainerOverride::builder().name("other").build();
    let other = TaskOverride::builder().container_overrides(other).build();
    let invalid = "InvalidParameterException";
    for (request, code, message) in [
        (run().launch_type(LaunchType::Ec2).capacity_provider_strategy(provider), invalid, "both"),
        (run().overrides(told(&"x".repeat(8192))), invalid, "8192"),
        (run().overrides(other), invalid, "named other is not a container"),
        (run().client_token("x".repeat(65)), invalid, "clientToken"),
        (run().started_by("a b"), invalid, "startedBy"),
        (run().count(2), invalid, "one task"),
        (run().platform_version("1"), invalid, "platformVersion"),
        (run().launch_type("MOON".into()), invalid, "launchType is \"MOON\""),
        (run().task_definition("bot:8"), "ClientException", "TaskDefinition not found."),
        (run().cluster("other"), "ClusterNotFoundException", "Cluster not found."),
    ] {
        let (is, why) = refused(request).await;
        assert_eq!(is, code, "{why}");
        assert!(why.contains(message), "{why}");
    }
    // Exactly as long as it may be.
    let empty = json!({ "containerOverrides": [{
        "environment": [{ "name": "TASK_TYPE", "value": "" }], "name": CONTAINER,
    }] });
    let rest = 8192 - empty.to_string().len();
    ran(run().overrides(told(&"é".repeat(rest)))).await;
    assert_eq!(ecs.tasks().len(), 1);
}

#[tokio::test]
async fn a_task_that_is_not_known_is_missing() {
    let (ecs, client) = started(options(TaskKind::Stub)).await;
    let known = ran(run(&ecs, &client, "1")).await;
    ecs.wait_status(&known, "RUNNING").await.unwrap();
    let cluster = ecs.cluster_arn();
    let unknown = known.replace(|c: char| c.is_ascii_hexdigit() && c > '9', "0");
    let describe = client.describe_tasks().cluster(&cluster).tasks(&known).tasks(&unknown);
    let answer = describe.send().await.unwrap();
    assert_eq!(answer.tasks()[0].task_arn(), Some(known.as_str()));
    let [failure] = answer.failures() else { panic!("{answer:?}") };
    assert_eq!(failure.reason(), Some("MISSING"));
    let stop = |task: &str| client.stop_task().cluster(&cluster).task(task).send();
    let id = known.rsplit('/').next().unwrap();
    assert!(stop(id).await.is_ok());
    ecs.wait_stopped(&known).await.unwrap();
    ecs.forget(&known).unwrap();
    for arn in [&unknown, &known] {
        let error = stop(arn).await.unwrap_err();
        assert_eq!(error.code(), Some("InvalidParameterException"));
        assert_eq!(error.message(), Some("The referenced task was not found."));
    }
    let listed = client.list_tasks().cluster(&cluster).desired_status(DesiredStatus::Stopped);
    assert_eq!(listed.send().await.unwrap().task_arns(), [] as [String; 0]);
    assert_eq!(ecs.tasks()[0].last_status, "STOPPED");
    assert!(matches!(ecs.kill("arn"), Err(Error::Unknown { .. })));
}

#[tokio::test]
async fn tasks_are_listed_by_pages() {
    let (ecs, client) = started(options(TaskKind::Stub)).await;
    let mut arns = Vec::new();
    for n in 0..5 {
        arns.push(ran(run(&ecs, &client, &n.to_string())).await);
    }
    let cluster = ecs.cluster_arn();
    client.stop_task().cluster(&cluster).task(&arns[1]).send().await.unwrap();
    let list = || client.list_tasks().cluster(&cluster);
    let running = list().into_paginator().page_size(2).items().send().try_collect().await;
    let expected: Vec<_> = [0, 2, 3, 4].map(|n: usize| arns[n].clone()).into();
    assert_eq!(running.unwrap(), expected);
    let page = list().max_results(4).send().await.unwrap();
    assert_eq!((page.task_arns().len(), page.next_token()), (4, None));
    for (request, expected) in [
        (list().desired_status(DesiredStatus::Running), &expected[..]),
        (list().desired_status(DesiredStatus::Stopped), &arns[1..2]),
        (list().started_by("Recording-3"), &arns[3..4]),
        // Under whom it was started only those are listed that are to run.
        (list().started_by("Recording-1"), &[]),
    ] {
        assert_eq!(request.send().await.unwrap().task_arns(), expected);
    }
    let both = list().started_by("Recording-1").desired_status(DesiredStatus::Stopped);
    let error = both.send().await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterException"));
}

#[tokio::test]
async fn faults_happen_as_often_as_they_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let (ecs, client) = started(options(scripts(dir.path()))).await;
    ecs.throttle(1);
    let (code, _) = refused(run(&ecs, &client, "1")).await;
    assert_eq!(code, "ThrottlingException");
    ecs.refuse_next("RESOURCE:CPU");
    let answer = run(&ecs, &client, "1").send().await.unwrap();
    assert_eq!(answer.tasks(), []);
    assert_eq!(answer.failures()[0].reason(), Some("RESOURCE:CPU"));
    ecs.die_at_start(1);
    // The token was not used up by what failed.
    let dead = ran(run(&ecs, &client, "1")).await;
    let view = ecs.wait_stopped(&dead).await.unwrap();
    assert_eq!((view.stop_code.as_deref(), view.exit_code), (Some("TaskFailedToStart"), None));
    let task = described(&ecs, &client, &dead).await;
    let reason = task.containers()[0].reason().unwrap();
    assert!(reason.starts_with("CannotPullContainerError: "), "{reason}");
    let lives = ran(run(&ecs, &client, "2")).await;
    ecs.wait_status(&lives, "RUNNING").await.unwrap();
    assert_eq!((ecs.run_calls(), ecs.tasks().len()), (4, 2));

    let TaskKind::Recorder { program, .. } = scripts(dir.path()) else { unreachable!() };
    std::fs::remove_file(program).unwrap();
    let dead = ran(run(&ecs, &client, "3")).await;
    ecs.wait_stopped(&dead).await.unwrap();
    let task = described(&ecs, &client, &dead).await;
    let reason = task.containers()[0].reason().unwrap();
    assert!(reason.starts_with("CannotStartContainerError: "), "{reason}");
}

#[tokio::test]
async fn run_task_can_be_held_up_before_and_after_there_is_a_task() {
    let (ecs, client) = started(options(TaskKind::Stub)).await;
    let pause = ecs.pause_run();
    let order = tokio::spawn(ran(run(&ecs, &client, "1")));
    ecs.run_waiting().await.unwrap();
    assert_eq!((ecs.tasks().len(), ecs.run_calls()), (0, 1));
    drop(pause);
    let first = order.await.unwrap();

    let pause = ecs.pause_answer();
    let order = tokio::spawn(ran(run(&ecs, &client, "2")));
    ecs.run_waiting().await.unwrap();
    let second = ecs.tasks()[1].arn.clone();
    ecs.wait_status(&second, "RUNNING").await.unwrap();
    // The caller gives up, and comes again.
    order.abort();
    drop(pause);
    assert_eq!(ran(run(&ecs, &client, "2")).await, second);

    // A caller that gives up before gets a task all the same.
    let pause = ecs.pause_run();
    let order = tokio::spawn(ran(run(&ecs, &client, "3")));
    ecs.run_waiting().await.unwrap();
    order.abort();
    assert!(order.await.unwrap_err().is_cancelled());
    drop(pause);
    assert_ne!(ran(run(&ecs, &client, "3")).await, first);
    assert_eq!(ecs.tasks().len(), 3);
}

/// ministack, and a queue that gets all events of ECS.
async fn listening(dir: &Path) -> (Ministack, String) {
    let [port] = free_ports().unwrap();
    let mut ministack = Ministack::start(dir, port, &reqwest::Client::new()).unwrap();
    ministack.ready().await.unwrap();
    let root = ministack.root();
    let body = json!({ "QueueName": "events" });
    let answer = root.target("sqs", "AmazonSQS.CreateQueue", &body).await.unwrap();
    let queue = answer["QueueUrl"].as_str().unwrap().to_owned();
    let pattern = json!({ "source": [SOURCE] }).to_string();
    let body = json!({ "Name": "ecs", "EventPattern": pattern });
    root.target("events", "AWSEvents.PutRule", &body).await.unwrap();
    let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:events");
    let body = json!({ "Rule": "ecs", "Targets": [{ "Id": "1", "Arn": arn }] });
    root.target("events", "AWSEvents.PutTargets", &body).await.unwrap();
    (ministack, queue)
}

/// The next so many events, by their versions.
async fn received(ministack: &Ministack, queue: &str, count: usize) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    while events.len() < count {
        let body = json!({
            "QueueUrl": queue, "WaitTimeSeconds": 20, "MaxNumberOfMessages": 10,
        });
        let answer = ministack.root().target("sqs", "AmazonSQS.ReceiveMessage", &body);
        let answer = answer.await.unwrap();
        let messages = answer["Messages"].as_array().expect("they come within 20 s");
        for message in messages {
            events.push(serde_json::from_str(message["Body"].as_str().unwrap()).unwrap());
            let body = json!({ "QueueUrl": queue, "ReceiptHandle": message["ReceiptHandle"] });
            ministack.root().target("sqs", "AmazonSQS.DeleteMessage", &body).await.unwrap();
        }
    }
    events.sort_by_key(|event| event["detail"]["version"].as_u64());
    events
}

#[tokio::test]
async fn every_change_of_a_task_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (ministack, queue) = listening(dir.path()).await;
    let mut options = options(TaskKind::Stub);
    options.events = Some(Events::new(ministack.endpoint(), REGION));
    let (ecs, client) = started(options).await;
    ecs.lose_events(true);
    let unheard = ran(run(&ecs, &client, "0")).await;
    ecs.wait_status(&unheard, "RUNNING").await.unwrap();
    ecs.lose_events(false);

    let arn = ran(run(&ecs, &client, "1")).await;
    ecs.wait_status(&arn, "RUNNING").await.unwrap();
    client.stop_task().cluster(ecs.cluster_arn()).task(&arn).reason("why").send().await.unwrap();
    ecs.wait_stopped(&arn).await.unwrap();
    let events = received(&ministack, &queue, 7).await;
    let statuses: Vec<_> = events
        .iter()
        .map(|event| {
            let detail = &event["detail"];
            let status = |name: &str| detail[name].as_str().unwrap().to_owned();
            (detail["version"].as_u64().unwrap(), status("lastStatus"), status("desiredStatus"))
        })
        .collect();
    let expected = [
        (1, "PROVISIONING", "RUNNING"),
        (2, "PENDING", "RUNNING"),
        (3, "RUNNING", "RUNNING"),
        (4, "RUNNING", "STOPPED"),
        (5, "DEACTIVATING", "STOPPED"),
        (6, "DEACTIVATING", "STOPPED"),
        (7, "STOPPED", "STOPPED"),
    ];
    assert_eq!(statuses, expected.map(|(n, last, to)| (n, last.to_owned(), to.to_owned())));
    for event in &events {
        assert_eq!(
            (&event["source"], &event["detail-type"]),
            (&json!(SOURCE), &json!(TASK_CHANGE))
        );
        assert_eq!(event["resources"], json!([arn]));
        let detail = &event["detail"];
        assert_eq!(detail["taskArn"], json!(arn));
        assert_eq!(detail["clusterArn"], json!(ecs.cluster_arn()));
        assert_eq!(detail["startedBy"], "Recording-1");
        let overrides = json!({ "containerOverrides": [{ "name": CONTAINER }] });
        assert_eq!(detail["overrides"], overrides);
    }
    let last = &events[6]["detail"];
    assert_eq!(
        (&last["stopCode"], &last["stoppedReason"]),
        (&json!("UserInitiated"), &json!("why"))
    );
    assert_eq!(last["containers"][0]["exitCode"], 0);
    for name in ["createdAt", "startedAt", "stoppingAt", "stoppedAt", "updatedAt"] {
        let at = last[name].as_str().unwrap();
        assert!(at.len() == "2024-03-05T07:08:09.123Z".len() && at.ends_with('Z'), "{name}: {at}");
        at.parse::<Timestamp>().unwrap();
    }

    let instance = ecs.instance_connected("i-1", task::now()).await.unwrap();
    let again = ecs.instance_connected("i-1", task::now()).await.unwrap();
    assert_eq!(instance, again);
    let events = received(&ministack, &queue, 2).await;
    assert_eq!(events[0]["detail-type"], INSTANCE_CHANGE);
    assert_eq!(events[0]["detail"]["ec2InstanceId"], "i-1");
    assert_eq!(events[0]["detail"]["agentConnected"], true);
    assert_eq!(events[1]["detail"]["version"], 2);
    assert_eq!(events[1]["detail"]["containerInstanceArn"], json!(instance));
}

#[tokio::test]
async fn only_what_the_policy_allows_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let [port] = free_ports().unwrap();
    let mut ministack = Ministack::start(dir.path(), port, &reqwest::Client::new()).unwrap();
    ministack.ready().await.unwrap();
    let mut options = options(TaskKind::Stub);
    options.gate = Some(Gate::new(ministack.endpoint()));
    let (ecs, root) = started(options).await;
    let arn = ran(run(&ecs, &root, "1")).await;

    let iam = async |action: &str, fields: &[(&str, &str)]| {
        let base = [("Action", action), ("Version", "2010-05-08"), ("UserName", "u")];
        ministack.root().form("iam", &[&base[..], fields].concat()).await.unwrap()
    };
    iam("CreateUser", &[]).await;
    let keys = iam("CreateAccessKey", &[]).await;
    let keys = Keys {
        access_key_id: element(&keys, "AccessKeyId").unwrap(),
        secret_access_key: element(&keys, "SecretAccessKey").unwrap(),
        session_token: None,
    };
    let user = client(&ecs, &keys);
    // Each right alone is not enough, and all together are.
    let in_cluster = json!({ "ArnEquals": { "ecs:cluster": ecs.cluster_arn() } });
    let to_tasks = json!({ "StringEquals": { "iam:PassedToService": "ecs-tasks.amazonaws.com" } });
    let statements = [
        json!({
            "Effect": "Allow", "Action": "ecs:RunTask", "Resource": definition(),
            "Condition": in_cluster,
        }),
        json!({
            "Effect": "Allow", "Action": "iam:PassRole", "Resource": [role("execution")],
            "Condition": to_tasks,
        }),
        json!({
            "Effect": "Allow", "Action": "iam:PassRole", "Resource": [role("task")],
            "Condition": to_tasks,
        }),
        json!({
            "Effect": "Allow", "Action": ["ecs:StopTask", "ecs:DescribeTasks"],
            "Resource": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/recording/*"),
        }),
        json!({
            "Effect": "Allow", "Action": "ecs:ListTasks", "Resource": "*",
            "Condition": in_cluster,
        }),
    ];
    for (count, missing) in [(0, "ecs:RunTask"), (1, "role/execution"), (2, "role/task"), (3, "")] {
        let policy = json!({ "Version": "2012-10-17", "Statement": &statements[..count] });
        if count > 0 {
            let policy = policy.to_string();
            iam("PutUserPolicy", &[("PolicyName", "p"), ("PolicyDocument", &policy)]).await;
        }
        let request = run(&ecs, &user, "2");
        if missing.is_empty() {
            ran(request).await;
            continue;
        }
        let (code, why) = refused(request).await;
        assert_eq!(code, "AccessDeniedException", "{why}");
        assert!(why.contains(missing) && why.contains(":user/u"), "{why}");
    }
    let cluster = ecs.cluster_arn();
    let ask = async || {
        let stop = user.stop_task().cluster(&cluster).task(&arn).send().await;
        let describe = user.describe_tasks().cluster(&cluster).tasks(&arn).send().await;
        let list = user.list_tasks().cluster(&cluster).send().await;
        [
            stop.err().map(|error| error.code().unwrap().to_owned()),
            describe.err().map(|error| error.code().unwrap().to_owned()),
            list.err().map(|error| error.code().unwrap().to_owned()),
        ]
    };
    assert_eq!(
        ask().await,
        [const { Some("AccessDeniedException") }; 3].map(|c| c.map(str::to_owned))
    );
    let policy = json!({ "Version": "2012-10-17", "Statement": statements }).to_string();
    iam("PutUserPolicy", &[("PolicyName", "p"), ("PolicyDocument", &policy)]).await;
    assert_eq!(ask().await, [const { None }; 3]);
    // In no other cluster, whether there is one or not.
    let (code, _) = refused(run(&ecs, &user, "3").cluster("other")).await;
    assert_eq!(code, "AccessDeniedException");
    let thief = client(&ecs, &Keys { secret_access_key: "wrong".into(), ..keys });
    let (code, _) = refused(run(&ecs, &thief, "3")).await;
    assert_eq!(code, "InvalidSignatureException");
}
