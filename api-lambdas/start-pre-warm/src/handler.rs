//! A new instance of the recording cluster runs one short task before anybody waits
//! for it, so that it has the recorder's image.
//!
//! The signal is ECS's "Container Instance State Change": from the moment when the
//! agent is connected, the instance takes tasks. The same event comes again whenever
//! anything changes on the instance, so most of them are passed over here. Passing
//! one over is a success: it would be no different the next time.

use contract::http::{Success, text};
use contract::lambda::Error;
use contract::ports::Tasks;
use contract::time::parse;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

const TEXT: &str = "Start Recording Pre-Warm Task succeed!";

/// An instance that has been in the cluster for longer than this is not new: its
/// agent has connected again. Generous, for a failed event comes again after some
/// minutes, and in vain only costs a task that ends at once.
const NEW: SignedDuration = SignedDuration::from_mins(15);

/// An instance that may have to be warmed.
#[derive(Debug)]
struct Instance<'a> {
    /// ARN in the cluster.
    arn: &'a str,
    ec2: &'a str,
}

/// `cluster` is the ARN of the recording cluster; `event` is whatever came.
pub(crate) async fn handle(
    tasks: &impl Tasks,
    cluster: &str,
    event: &Value,
    now: Timestamp,
) -> Result<Success, Error> {
    let Instance { arn, ec2 } = match new_instance(event, cluster, now) {
        Ok(instance) => instance,
        Err(why) => return Ok(passed_over(why)),
    };
    if tasks.was_pre_warmed(ec2).await? {
        return Ok(passed_over("the instance was warmed before"));
    }
    match tasks.pre_warm(arn, ec2).await? {
        Some(task) => Ok(Success::new(TEXT, task)),
        None => Ok(passed_over("recordings fill the instance")),
    }
}

fn passed_over(why: &str) -> Success {
    tracing::info!(why, "no pre-warm task");
    Success::new(TEXT, Value::Null)
}

/// The instance that an event tells of, if that is a new one that takes tasks; else
/// why it is not.
fn new_instance<'a>(
    event: &'a Value,
    cluster: &str,
    now: Timestamp,
) -> Result<Instance<'a>, &'static str> {
    let detail = &event["detail"];
    if text(detail, "clusterArn") != Some(cluster) {
        return Err("the instance is in another cluster");
    }
    if detail["agentConnected"] != Value::Bool(true) {
        return Err("the instance's agent is not connected");
    }
    // Such as REGISTERING before it takes tasks, and DRAINING after.
    let status = &detail["status"];
    if !status.is_null() && status != "ACTIVE" {
        return Err("the instance takes no tasks");
    }
    let arn = text(detail, "containerInstanceArn").ok_or("the event names no instance")?;
    let ec2 = text(detail, "ec2InstanceId").ok_or("the instance is none of EC2")?;
    let happened = text(event, "time").and_then(parse).unwrap_or(now);
    let registered = text(detail, "registeredAt").and_then(parse);
    if registered.is_some_and(|registered| happened.duration_since(registered) > NEW) {
        return Err("the instance is not new");
    }
    Ok(Instance { arn, ec2 })
}

#[cfg(test)]
mod tests {
    use contract::fake::{Fake, now};
    use serde_json::json;

    use super::*;

    const CLUSTER: &str = "arn:aws:ecs:eu-central-1:111122223333:cluster/recording";
    const INSTANCE: &str = "arn:aws:ecs:eu-central-1:111122223333:container-instance/recording/1";

    /// An agent that has connected on an instance that registered just before.
    fn event() -> Value {
        json!({
            "version": "0", "source": "aws.ecs",
            "detail-type": "ECS Container Instance State Change",
            "time": "2024-03-05T07:08:09Z", "region": "eu-central-1",
            "resources": [INSTANCE],
            "detail": {
                "agentConnected": true, "clusterArn": CLUSTER, "containerInstanceArn": INSTANCE,
                "ec2InstanceId": "i-0123456789abcdef0", "status": "ACTIVE",
                "registeredAt": "2024-03-05T07:08:07.412Z",
                "updatedAt": "2024-03-05T07:08:09.004Z", "version": 3, "attributes": [],
            },
        })
    }

    /// The event with another value in its detail, or without it.
    fn with(name: &str, value: Value) -> Value {
        let mut event = event();
        let detail = event["detail"].as_object_mut().unwrap();
        if value.is_null() {
            detail.remove(name);
        } else {
            detail.insert(name.into(), value);
        }
        event
    }

    async fn tell(fake: &Fake, event: &Value) -> Result<Success, Error> {
        handle(fake, CLUSTER, event, now()).await
    }

    fn started(fake: &Fake) -> usize {
        fake.state().done.iter().filter(|action| *action == "pre_warm").count()
    }

    #[tokio::test]
    async fn a_new_instance_is_warmed() {
        let fake = Fake::new();
        let success = tell(&fake, &event()).await.unwrap();
        assert_eq!(
            success.reply("r-1").body,
            json!({
                "success": "Start Recording Pre-Warm Task succeed!",
                "data": "arn:task/1", "reqId": "r-1",
            })
        );
        let by = fake.state().tasks["arn:task/1"].started_by.clone();
        assert_eq!(by, "PreWarm-i-0123456789abcdef0");
    }

    #[tokio::test]
    async fn an_instance_is_warmed_once() {
        let fake = Fake::new();
        tell(&fake, &event()).await.unwrap();
        let success = tell(&fake, &event()).await.unwrap();
        assert_eq!((success.text, success.data), (TEXT, Value::Null));
        assert_eq!(started(&fake), 1);
        // Another one is another one.
        tell(&fake, &with("ec2InstanceId", json!("i-1"))).await.unwrap();
        assert_eq!(started(&fake), 2);
    }

    #[tokio::test]
    async fn an_instance_that_recordings_fill_is_none_to_warm() {
        let fake = Fake::new();
        fake.state().refuses = Some("RESOURCE:MEMORY".into());
        let success = tell(&fake, &event()).await.unwrap();
        assert_eq!((success.text, success.data), (TEXT, Value::Null));
    }

    #[tokio::test]
    async fn only_what_a_new_instance_says_counts() {
        let no_time = {
            let mut event = with("registeredAt", json!("2024-03-05T06:53:09.122Z"));
            event.as_object_mut().unwrap().remove("time");
            event
        };
        for (name, event, warmed) in [
            ("connected", event(), true),
            ("without status", with("status", Value::Null), true),
            ("registering", with("status", json!("REGISTERING")), false),
            ("draining", with("status", json!("DRAINING")), false),
            ("no text as status", with("status", json!(1)), false),
            ("not connected", with("agentConnected", json!(false)), false),
            ("connected as a text", with("agentConnected", json!("true")), false),
            ("without connection", with("agentConnected", Value::Null), false),
            ("another cluster", with("clusterArn", json!(format!("{CLUSTER}-2"))), false),
            ("without cluster", with("clusterArn", Value::Null), false),
            ("without instance", with("containerInstanceArn", Value::Null), false),
            ("on Fargate", with("ec2InstanceId", Value::Null), false),
            ("empty instance", with("ec2InstanceId", json!("")), false),
            ("15 minutes old", with("registeredAt", json!("2024-03-05T06:53:09.000Z")), true),
            ("older", with("registeredAt", json!("2024-03-05T06:53:08.999Z")), false),
            ("another zone", with("registeredAt", json!("2024-03-05T09:08:07+02:00")), true),
            ("of no known age", with("registeredAt", Value::Null), true),
            ("of unreadable age", with("registeredAt", json!("yesterday")), true),
            ("the clock, where there is no time", no_time, false),
            ("no detail", json!({ "source": "aws.ecs" }), false),
            ("nothing", Value::Null, false),
        ] {
            let fake = Fake::new();
            let success = tell(&fake, &event).await.unwrap();
            assert_eq!((started(&fake) == 1, success.data.is_string()), (warmed, warmed), "{name}");
        }
    }

    #[tokio::test]
    async fn an_event_comes_again_if_ecs_does_not_answer() {
        for action in ["was_pre_warmed", "pre_warm"] {
            let fake = Fake::new();
            fake.state().failing.insert(action);
            assert!(tell(&fake, &event()).await.is_err(), "{action}");
            fake.state().failing.clear();
            assert!(tell(&fake, &event()).await.unwrap().data.is_string(), "{action}");
        }
    }
}
