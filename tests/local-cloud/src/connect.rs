//! Amazon Connect, as far as recordings need it: users, their groups, and the
//! attributes of contacts.
//!
//! Requests and answers are held against the service's model. It must not know who
//! calls, nor what the attributes are for.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::to_bytes;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::gate::{Denied, Gate};
use crate::model::Model;

/// More than any request has.
const MOST_BYTES: usize = 1 << 20;

/// All attributes of a contact together, names and values.
const MOST_ATTRIBUTES: usize = 32 << 10;

#[derive(Debug, thiserror::Error)]
#[error("Connect cannot listen on loopback")]
pub struct Error {
    source: io::Error,
}

/// One instance of Connect.
pub struct Options {
    /// `None`: everybody may do everything.
    pub gate: Option<Gate>,
    /// Of `connect`.
    pub model: Model,
    pub account: String,
    pub region: String,
    /// Its id.
    pub instance: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectUser {
    pub id: String,
    pub username: String,
    pub hierarchy_group_id: Option<String>,
    /// At least one.
    pub security_profile_ids: Vec<String>,
}

/// The service.
pub struct Connect {
    shared: Arc<Shared>,
    endpoint: String,
    server: JoinHandle<()>,
}

struct Shared {
    options: Options,
    state: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    users: BTreeMap<String, ConnectUser>,
    groups: BTreeMap<String, Value>,
    contacts: BTreeMap<String, BTreeMap<String, String>>,
    n_throttled: usize,
    n_failing: usize,
}

impl Connect {
    /// Listens on a port of loopback.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let listen = async {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
            Ok((listener.local_addr()?, listener))
        };
        let (address, listener) = listen.await.map_err(|source| Error { source })?;
        let shared = Arc::new(Shared { options, state: Mutex::default() });
        let router = Router::new()
            .route("/users/{instance}/{user}", get(describe_user))
            .route("/user-hierarchy-groups/{instance}/{group}", get(describe_group))
            .route("/contact/attributes", post(update_attributes))
            .with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "Connect cannot be reached any more");
            }
        });
        Ok(Self { shared, endpoint: format!("http://{address}"), server })
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn instance_arn(&self) -> String {
        self.shared.options.arn()
    }

    pub fn put_user(&self, user: ConnectUser) {
        self.shared.state().users.insert(user.id.clone(), user);
    }

    /// A `HierarchyGroup` object, which has an `Id`.
    pub fn put_group(&self, group: Value) {
        let id = group["Id"].as_str().unwrap_or_default().to_owned();
        self.shared.state().groups.insert(id, group);
    }

    /// `None` if a contact never got any.
    pub fn contact_attributes(&self, contact: &str) -> Option<BTreeMap<String, String>> {
        self.shared.state().contacts.get(contact).cloned()
    }

    /// Answers so many calls, whichever come next, that there were too many.
    pub fn throttle(&self, calls: usize) {
        self.shared.state().n_throttled = calls;
    }

    /// Fails so many calls, whichever come next.
    pub fn fail(&self, calls: usize) {
        self.shared.state().n_failing = calls;
    }
}

impl Drop for Connect {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Without the model, which is long.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("instance", &self.arn()).finish_non_exhaustive()
    }
}

impl Options {
    fn arn(&self) -> String {
        let Self { account, region, instance, .. } = self;
        format!("arn:aws:connect:{region}:{account}:instance/{instance}")
    }
}

enum Fault {
    Denied(Denied),
    Error { status: StatusCode, code: &'static str, message: String },
}

impl From<Denied> for Fault {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

fn fault(status: StatusCode, code: &'static str, message: impl Into<String>) -> Fault {
    Fault::Error { status, code, message: message.into() }
}

fn invalid(message: impl Into<String>) -> Fault {
    fault(StatusCode::BAD_REQUEST, "InvalidParameterException", message)
}

fn internal(message: impl Into<String>) -> Fault {
    fault(StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceException", message)
}

fn not_found(message: impl Into<String>) -> Fault {
    fault(StatusCode::NOT_FOUND, "ResourceNotFoundException", message)
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        match self {
            Self::Denied(denied) => denied.into_rest_json(),
            Self::Error { status, code, message } => {
                let body = Json(json!({ "Message": message }));
                (status, [("x-amzn-errortype", code)], body).into_response()
            }
        }
    }
}

type Shareds = State<Arc<Shared>>;
type Answer = Result<Json<Value>, Fault>;

async fn describe_user(
    State(shared): Shareds,
    Path((instance, user)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let input = json!({ "InstanceId": instance, "UserId": user });
    let call = Call { operation: "DescribeUser", resource: "agent", named_by: "UserId" };
    let answer = async |shared: &Shared, _: &Value| {
        let state = shared.state();
        let found = state.users.get(&user).ok_or_else(|| not_found("User not found"))?;
        Ok(json!({ "User": described(found, &shared.options) }))
    };
    call.answered(&shared, request, Some(input), answer).await
}

async fn describe_group(
    State(shared): Shareds,
    Path((instance, group)): Path<(String, String)>,
    request: Request,
) -> Answer {
    let input = json!({ "InstanceId": instance, "HierarchyGroupId": group });
    let call = Call {
        operation: "DescribeUserHierarchyGroup",
        resource: "agent-group",
        named_by: "HierarchyGroupId",
    };
    let answer = async |shared: &Shared, _: &Value| {
        let state = shared.state();
        let found = state.groups.get(&group);
        let found = found.ok_or_else(|| not_found("HierarchyGroup not found"))?;
        Ok(json!({ "HierarchyGroup": found }))
    };
    call.answered(&shared, request, Some(input), answer).await
}

async fn update_attributes(State(shared): Shareds, request: Request) -> Answer {
    let call = Call {
        operation: "UpdateContactAttributes",
        resource: "contact",
        named_by: "InitialContactId",
    };
    let answer = async |shared: &Shared, input: &Value| {
        let mut state = shared.state();
        let contact = input["InitialContactId"].as_str().unwrap_or_default();
        let mut attributes = state.contacts.get(contact).cloned().unwrap_or_default();
        for (name, value) in input["Attributes"].as_object().into_iter().flatten() {
            attributes.insert(name.clone(), value.as_str().unwrap_or_default().to_owned());
        }
        let lengths = attributes.iter().map(|(name, value)| name.len() + value.len());
        if lengths.sum::<usize>() > MOST_ATTRIBUTES {
            return Err(invalid("a contact's attributes can have at most 32 KB"));
        }
        state.contacts.insert(contact.to_owned(), attributes);
        Ok(json!({}))
    };
    call.answered(&shared, request, None, answer).await
}

/// An operation, and what it is about.
#[derive(Clone, Copy, Debug)]
struct Call {
    operation: &'static str,
    /// How the ARN of that is continued after the instance's.
    resource: &'static str,
    /// The member of the request that ends the ARN.
    named_by: &'static str,
}

impl Call {
    /// Asks for the right to call it, and lets `answer` do it. Without an `input` the
    /// body is it.
    async fn answered(
        self,
        shared: &Shared,
        request: Request,
        input: Option<Value>,
        answer: impl AsyncFnOnce(&Shared, &Value) -> Result<Value, Fault>,
    ) -> Answer {
        shared.break_down()?;
        let Self { operation, resource, named_by } = self;
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, MOST_BYTES).await.map_err(|error| invalid(error.to_string()))?;
        let Options { gate, model, instance, .. } = &shared.options;
        if let Some(gate) = gate {
            gate.verify(&parts, &body).await?;
        }
        let input = match input {
            Some(input) => input,
            None => serde_json::from_slice(&body).map_err(|error| invalid(error.to_string()))?,
        };
        model.check_input(operation, &input).map_err(invalid)?;
        let asked = input["InstanceId"].as_str().unwrap_or_default();
        if let Some(gate) = gate {
            let arn = shared.options.arn();
            let arn = arn.rsplit_once('/').map_or(arn.as_str(), |(before, _)| before);
            let id = input[named_by].as_str().unwrap_or_default();
            let arn = format!("{arn}/{asked}/{resource}/{id}");
            let context = [("connect:InstanceId", asked)];
            gate.check(&parts.headers, &format!("connect:{operation}"), &arn, &context).await?;
        }
        if asked != instance {
            return Err(not_found("Instance not found"));
        }
        let answer = answer(shared, &input).await?;
        // That would be this service's own mistake, or the test's.
        model.check_output(operation, &answer).map_err(internal)?;
        Ok(Json(answer))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if it was told to.
    fn break_down(&self) -> Result<(), Fault> {
        let mut state = self.state();
        if state.n_throttled > 0 {
            state.n_throttled -= 1;
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Err(fault(status, "ThrottlingException", "Too Many Requests"));
        }
        if state.n_failing > 0 {
            state.n_failing -= 1;
            return Err(internal("Internal Service Error"));
        }
        Ok(())
    }
}

/// The `User` object.
fn described(user: &ConnectUser, options: &Options) -> Value {
    let ConnectUser { id, username, hierarchy_group_id, security_profile_ids } = user;
    let mut object = json!({
        "Id": id,
        "Arn": format!("{}/agent/{id}", options.arn()),
        "Username": username,
        "IdentityInfo": { "FirstName": username, "LastName": "" },
        "PhoneConfig": {
            "PhoneType": "SOFT_PHONE", "AutoAccept": false, "AfterContactWorkTimeLimit": 0,
        },
        "RoutingProfileId": "7d1a4c60-0000-4000-8000-000000000001",
        "SecurityProfileIds": security_profile_ids,
    });
    if let Some(group) = hierarchy_group_id {
        object["HierarchyGroupId"] = json!(group);
    }
    object
}

#[cfg(test)]
mod tests {
    use axum::http::Method;

    use super::*;
    use crate::ministack::{ACCOUNT, Ministack, root};
    use crate::model::botocore_data;
    use crate::servers::{free_ports, on_path};
    use crate::sigv4::{Call, Caller, Keys, REGION, element};

    const INSTANCE: &str = "0b6d3c1e-1111-4222-8333-444455556666";

    /// The service with one user, and whoever may do everything.
    async fn started(gate: Option<Gate>) -> (Connect, Caller) {
        let data = botocore_data(&on_path("ministack").unwrap()).unwrap();
        let connect = Connect::start(Options {
            gate,
            model: Model::load(&data, "connect").unwrap(),
            account: ACCOUNT.into(),
            region: REGION.into(),
            instance: INSTANCE.into(),
        })
        .await
        .unwrap();
        connect.put_user(ConnectUser {
            id: "u-1".into(),
            username: "agent".into(),
            hierarchy_group_id: Some("g-1".into()),
            security_profile_ids: vec!["p-1".into()],
        });
        let caller = caller(&connect, root());
        (connect, caller)
    }

    fn caller(connect: &Connect, keys: Keys) -> Caller {
        Caller::new(reqwest::Client::new(), connect.endpoint(), Some(keys))
    }

    /// What came of a call: nothing, or the error's status and name; and the answer.
    async fn called(
        caller: &Caller,
        method: Method,
        path: &str,
        body: &Value,
    ) -> (Option<(u16, String)>, Value) {
        let headers = vec![("content-type", "application/json".to_owned())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let call = Call { method, path, headers, body: body.into() };
        let reply = caller.send("connect", call).await.unwrap();
        let code = reply.headers.get("x-amzn-errortype").map(|code| code.to_str().unwrap());
        assert_eq!(reply.status.is_success(), code.is_none(), "{reply:?}");
        (code.map(|code| (reply.status.as_u16(), code.to_owned())), reply.json())
    }

    async fn got(caller: &Caller, path: &str) -> (Option<(u16, String)>, Value) {
        called(caller, Method::GET, path, &Value::Null).await
    }

    async fn put(caller: &Caller, attributes: Value) -> (Option<(u16, String)>, Value) {
        let body = json!({
            "InstanceId": INSTANCE, "InitialContactId": "c-1", "Attributes": attributes,
        });
        called(caller, Method::POST, "/contact/attributes", &body).await
    }

    fn user(id: &str) -> String {
        format!("/users/{INSTANCE}/{id}")
    }

    fn group(id: &str) -> String {
        format!("/user-hierarchy-groups/{INSTANCE}/{id}")
    }

    fn error(status: u16, code: &str) -> (u16, String) {
        (status, code.to_owned())
    }

    #[tokio::test]
    async fn users_and_groups_are_described() {
        let (connect, root) = started(None).await;
        connect.put_user(ConnectUser {
            id: "ü %".into(),
            username: "other".into(),
            hierarchy_group_id: None,
            security_profile_ids: vec!["p-1".into()],
        });
        let (error_of, answer) = got(&root, &user("u-1")).await;
        assert_eq!(error_of, None);
        let answer = &answer["User"];
        assert_eq!((&answer["Id"], &answer["Username"]), (&json!("u-1"), &json!("agent")));
        assert_eq!(answer["HierarchyGroupId"], "g-1");
        assert_eq!(answer["SecurityProfileIds"], json!(["p-1"]));
        assert_eq!(answer["Arn"], format!("{}/agent/u-1", connect.instance_arn()));
        let (_, answer) = got(&root, &user("%C3%BC%20%25")).await;
        assert_eq!(answer["User"]["Username"], "other");
        assert_eq!(answer["User"].get("HierarchyGroupId"), None);
        for path in [user("u-2"), "/users/other/u-1".into(), group("g-1")] {
            let (is, _) = got(&root, &path).await;
            assert_eq!(is, Some(error(404, "ResourceNotFoundException")), "{path}");
        }
        let object = json!({
            "Id": "g-1", "Arn": "arn:g-1", "Name": "G", "LevelId": "1",
            "HierarchyPath": { "LevelOne": { "Id": "g-1", "Arn": "arn:g-1", "Name": "G" } },
        });
        connect.put_group(object.clone());
        assert_eq!(got(&root, &group("g-1")).await, (None, json!({ "HierarchyGroup": object })));
    }

    #[tokio::test]
    async fn attributes_of_a_contact_are_merged() {
        let (connect, root) = started(None).await;
        assert_eq!(connect.contact_attributes("c-1"), None);
        for attributes in [json!({ "a": "1" }), json!({ "b": "2" }), json!({ "a": "3" })] {
            assert_eq!(put(&root, attributes).await, (None, json!({})));
        }
        let attributes = connect.contact_attributes("c-1").unwrap();
        let expected = [("a", "3"), ("b", "2")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(attributes, BTreeMap::from(expected));
        let (is, _) = put(&root, json!({ "c": "x".repeat(32_767) })).await;
        assert_eq!(is, Some(error(400, "InvalidParameterException")));
        assert_eq!(connect.contact_attributes("c-1").unwrap(), attributes);
    }

    #[tokio::test]
    async fn it_fails_as_often_as_it_was_told_to() {
        let (connect, root) = started(None).await;
        connect.throttle(1);
        connect.fail(1);
        let (is, _) = got(&root, &user("u-1")).await;
        assert_eq!(is, Some(error(429, "ThrottlingException")));
        let (is, _) = put(&root, json!({ "a": "1" })).await;
        assert_eq!(is, Some(error(500, "InternalServiceException")));
        assert_eq!(connect.contact_attributes("c-1"), None);
        assert_eq!(got(&root, &user("u-1")).await.0, None);
    }

    #[tokio::test]
    async fn what_the_model_does_not_know_is_neither_taken_nor_given() {
        let (connect, root) = started(None).await;
        let (is, answer) = put(&root, json!({ "a": 1 })).await;
        assert_eq!(is, Some(error(400, "InvalidParameterException")));
        assert_eq!(answer["Message"], "Attributes.a is not text");
        let body = json!({ "InstanceId": INSTANCE, "Attributes": {} });
        let (_, answer) = called(&root, Method::POST, "/contact/attributes", &body).await;
        assert_eq!(answer["Message"], "InitialContactId is missing");
        connect.put_group(json!({ "Id": "g-1", "Level": "1" }));
        let (is, answer) = got(&root, &group("g-1")).await;
        assert_eq!(is, Some(error(500, "InternalServiceException")));
        assert_eq!(answer["Message"], "HierarchyGroup.Level is not in the model");
    }

    #[tokio::test]
    async fn only_what_the_policy_allows_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let [port] = free_ports().unwrap();
        let mut ministack = Ministack::start(dir.path(), port, &reqwest::Client::new()).unwrap();
        ministack.ready().await.unwrap();
        let (connect, _root) = started(Some(Gate::new(ministack.endpoint()))).await;
        connect.put_group(json!({ "Id": "g-1" }));
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
        let agent = caller(&connect, keys.clone());
        let ask = async |who: &Caller| {
            let user = got(who, &user("u-1")).await.0;
            let group = got(who, &group("g-1")).await.0;
            [user, group, put(who, json!({ "a": "1" })).await.0]
        };
        let denied = || Some(error(403, "AccessDeniedException"));
        assert_eq!(ask(&agent).await, [denied(), denied(), denied()]);
        for (resource, expected) in [
            ("agent/*", [None, denied(), denied()]),
            ("agent-group/*", [denied(), None, denied()]),
            ("contact/*", [denied(), denied(), None]),
        ] {
            let resource = format!("{}/{resource}", connect.instance_arn());
            let policy = json!({ "Version": "2012-10-17", "Statement": [{
                "Effect": "Allow", "Action": "connect:*", "Resource": resource,
            }] })
            .to_string();
            iam("PutUserPolicy", &[("PolicyName", "p"), ("PolicyDocument", &policy)]).await;
            assert_eq!(ask(&agent).await, expected, "{resource}");
        }
        let (is, _) = got(&agent, "/users/other/u-1").await;
        assert_eq!(is, denied());
        let thief = caller(&connect, Keys { secret_access_key: "wrong".into(), ..keys });
        let (is, _) = put(&thief, json!({ "a": "2" })).await;
        assert_eq!(is, Some(error(403, "InvalidSignatureException")));
        assert_eq!(connect.contact_attributes("c-1").unwrap()["a"], "1");
    }
}
