//! Who calls a server of ours, and whether they may: ministack's IAM is asked, so that
//! there is one IAM.
//!
//! It must not know which actions there are, nor on what: that is the servers'.

use std::str;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use axum::Json;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// ministack answers within milliseconds, and never later than this.
const ANSWER: Duration = Duration::from_secs(30);

/// Where ministack is asked.
#[derive(Clone, Debug)]
pub struct Gate {
    http: reqwest::Client,
    authorize: String,
}

/// A call that is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Denied {
    /// As AWS names the error.
    pub code: String,
    pub message: String,
}

/// What ministack says to a key, and to an action if there was one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    principal_arn: String,
    secret_access_key: String,
    decision: String,
    error: Option<String>,
    message: String,
}

/// What the header `Authorization` says.
#[derive(Debug, PartialEq, Eq)]
struct Authorization<'a> {
    key: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

impl Gate {
    pub fn new(ministack_endpoint: &str) -> Self {
        let http = reqwest::Client::new();
        Self { http, authorize: format!("{ministack_endpoint}/_test/authorize") }
    }

    /// Whether the caller may do that, as far as key, session token and policies say:
    /// the signature is [`Self::verify`]'s. `context` has the condition keys of the
    /// action.
    pub async fn check(
        &self,
        headers: &HeaderMap,
        action: &str,
        resource: &str,
        context: &[(&str, &str)],
    ) -> Result<(), Denied> {
        let authorization = Authorization::of(headers)?;
        let context: Map<_, _> =
            context.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let answer = self
            .ask(json!({
                "accessKeyId": authorization.key,
                "sessionToken": token(headers),
                "action": action,
                "resource": resource,
                "region": authorization.region,
                "context": context,
            }))
            .await?;
        if answer.decision == "Allow" {
            return Ok(());
        }
        let who = answer.principal_arn;
        let why = match answer.decision.as_str() {
            "Deny" => "with an explicit deny".to_owned(),
            _ => format!("because no policy allows the {action} action"),
        };
        Err(denied(
            "AccessDeniedException",
            format!(
                "User: {who} is not authorized to perform: {action} on resource: {resource} {why}"
            ),
        ))
    }

    /// Whether the request was signed with the secret of its key, and as it is. How
    /// long ago is not asked: nobody replays anything here.
    pub async fn verify(&self, request: &Parts, body: &[u8]) -> Result<(), Denied> {
        let headers = &request.headers;
        let authorization = Authorization::of(headers)?;
        let answer = self
            .ask(json!({ "accessKeyId": authorization.key, "sessionToken": token(headers) }))
            .await?;
        // As ministack: whoever uses the account itself need not know its secret.
        if answer.principal_arn.ends_with(":root") {
            return Ok(());
        }
        let signature = authorization.sign_again(request, body, &answer.secret_access_key);
        if signature.is_some_and(|signature| signature == authorization.signature) {
            return Ok(());
        }
        Err(denied(
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        ))
    }

    async fn ask(&self, question: Value) -> Result<Answer, Denied> {
        let failed = |error: reqwest::Error| denied("InternalFailure", format!("no IAM: {error}"));
        let asked = self.http.post(&self.authorize).json(&question).timeout(ANSWER).send();
        let answer: Answer = asked.await.map_err(failed)?.json().await.map_err(failed)?;
        match answer.error {
            None => Ok(answer),
            // The services that this gate stands before have no name of their own for it.
            Some(code) if code == "InvalidToken" => {
                Err(denied("UnrecognizedClientException", answer.message))
            }
            Some(code) => Err(denied(code, answer.message)),
        }
    }
}

impl Denied {
    /// As services with JSON 1.1 answer.
    pub fn into_json(self) -> Response {
        let status = if self.is_fault() {
            StatusCode::INTERNAL_SERVER_ERROR
        } else {
            StatusCode::BAD_REQUEST
        };
        let body = json!({ "__type": self.code, "message": self.message });
        let headers = [("content-type", "application/x-amz-json-1.1")];
        (status, headers, body.to_string()).into_response()
    }

    /// As services with REST answer.
    pub fn into_rest_json(self) -> Response {
        let status =
            if self.is_fault() { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::FORBIDDEN };
        let body = json!({ "Message": self.message });
        (status, [("x-amzn-errortype", self.code)], Json(body)).into_response()
    }

    /// Whether nobody could decide.
    fn is_fault(&self) -> bool {
        self.code == "InternalFailure"
    }
}

impl<'a> Authorization<'a> {
    fn of(headers: &'a HeaderMap) -> Result<Self, Denied> {
        let header = text(headers, "authorization").ok_or_else(|| {
            denied("MissingAuthenticationTokenException", "Missing Authentication Token")
        })?;
        Self::read(header).ok_or_else(|| {
            denied("IncompleteSignatureException", format!("Authorization is {header:?}"))
        })
    }

    fn read(header: &'a str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let field = |name: &str| {
            let mut fields = fields.split(',').map(str::trim);
            fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = field("Credential")?.rsplit('/');
        let ["aws4_request", service, region, _date] =
            [scope.next()?, scope.next()?, scope.next()?, scope.next()?]
        else {
            return None;
        };
        let (key, signature) = (scope.next()?, field("Signature")?);
        Some(Self { key, region, service, signed_headers: field("SignedHeaders")?, signature })
    }

    /// What the signature would be with that secret. `None` if it cannot be signed.
    fn sign_again(&self, request: &Parts, body: &[u8], secret: &str) -> Option<String> {
        let headers = &request.headers;
        let at = text(headers, "x-amz-date")?;
        let at = DateTime::strptime("%Y%m%dT%H%M%SZ", at).ok()?.to_zoned(TimeZone::UTC).ok()?;
        let session = token(headers).map(str::to_owned);
        let identity = Credentials::new(self.key, secret, session, None, "gate").into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name(self.service)
            .time(SystemTime::from(Timestamp::from(at)))
            .settings(SigningSettings::default())
            .build()
            .ok()?
            .into();
        let signed = self.signed_headers.split(';');
        let signed: Option<Vec<_>> =
            signed.map(|name| Some((name, text(headers, name)?))).collect();
        let address = format!("http://{}{}", text(headers, "host")?, request.uri);
        let signable = SignableRequest::new(
            request.method.as_str(),
            address,
            signed?.into_iter(),
            SignableBody::Bytes(body),
        );
        let (_, signature) = sign(signable.ok()?, &params).ok()?.into_parts();
        Some(signature)
    }
}

fn denied(code: impl Into<String>, message: impl Into<String>) -> Denied {
    Denied { code: code.into(), message: message.into() }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

fn token(headers: &HeaderMap) -> Option<&str> {
    text(headers, "x-amz-security-token")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::extract::Request;
    use axum::http::Method;
    use axum::routing::any;

    use super::*;
    use crate::ministack::Ministack;
    use crate::servers::free_ports;
    use crate::sigv4::{Call, Caller, Keys, element};

    #[test]
    fn an_authorization_says_who_signed_what() {
        let header = "AWS4-HMAC-SHA256 Credential=AKIA/1/20240305/eu-central-1/ecs/aws4_request, \
            SignedHeaders=host;x-amz-date, Signature=0a1b";
        let expected = Authorization {
            key: "1",
            region: "eu-central-1",
            service: "ecs",
            signed_headers: "host;x-amz-date",
            signature: "0a1b",
        };
        assert_eq!(Authorization::read(header), Some(expected));
        // Botocore puts no blanks.
        assert!(Authorization::read(&header.replace(", ", ",")).is_some());
        for other in ["", "Bearer token", &header.replace("aws4_request", "aws5_request")] {
            assert_eq!(Authorization::read(other), None, "{other}");
        }
        let denied = Authorization::of(&HeaderMap::new()).unwrap_err();
        assert_eq!(denied.code, "MissingAuthenticationTokenException");
    }

    #[test]
    fn a_refusal_looks_as_its_service_answers() {
        let refusal = denied("AccessDeniedException", "no");
        let json = refusal.clone().into_json();
        assert_eq!(json.status(), StatusCode::BAD_REQUEST);
        let rest = refusal.into_rest_json();
        assert_eq!(rest.status(), StatusCode::FORBIDDEN);
        assert_eq!(rest.headers()["x-amzn-errortype"], "AccessDeniedException");
        let fault = denied("InternalFailure", "no IAM").into_json();
        assert_eq!(fault.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }

    /// A server that lets those in who may run tasks in the cluster `right`, named by
    /// the path.
    async fn serve(gate: Gate) -> String {
        let gate = Arc::new(gate);
        let answer = async move |request: Request| {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let let_in = async {
                gate.verify(&parts, &body).await?;
                let context = [("ecs:cluster", &parts.uri.path()[1..])];
                gate.check(&parts.headers, "ecs:RunTask", "arn:bot:1", &context).await
            };
            let_in.await.map_or_else(Denied::into_rest_json, IntoResponse::into_response)
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/{cluster}", any(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn only_the_right_key_with_the_right_policy_is_let_in() {
        let dir = tempfile::tempdir().unwrap();
        let http = reqwest::Client::new();
        let [port] = free_ports().unwrap();
        let mut ministack = Ministack::start(dir.path(), port, &http).unwrap();
        ministack.ready().await.unwrap();
        let policy = json!({ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Action": "ecs:RunTask", "Resource": "arn:bot:*",
            "Condition": { "StringEquals": { "ecs:cluster": "right" } },
        }] })
        .to_string();
        let user = [("UserName", "u"), ("Version", "2010-05-08")];
        let put = [("PolicyName", "p"), ("PolicyDocument", policy.as_str())];
        let mut answer = String::new();
        for (action, fields) in
            [("CreateUser", &[][..]), ("PutUserPolicy", &put), ("CreateAccessKey", &[])]
        {
            let fields = [&[("Action", action)], fields, &user].concat();
            answer = ministack.root().form("iam", &fields).await.unwrap();
        }
        let keys = Keys {
            access_key_id: element(&answer, "AccessKeyId").unwrap(),
            secret_access_key: element(&answer, "SecretAccessKey").unwrap(),
            session_token: None,
        };
        let endpoint = serve(Gate::new(ministack.endpoint())).await;
        let ask = async |keys: Option<&Keys>, path: &'static str| {
            let caller = Caller::new(http.clone(), &endpoint, keys.cloned());
            let headers = vec![("content-type", "application/x-amz-json-1.1".to_owned())];
            let body = "{}".into();
            let call = Call { method: Method::POST, path, headers, body };
            let reply = caller.send("ecs", call).await.unwrap();
            let code = reply.headers.get("x-amzn-errortype");
            (reply.status.as_u16(), code.map_or("", |code| code.to_str().unwrap()).to_owned())
        };
        let refused = |code: &str| (403, code.to_owned());
        assert_eq!(ask(Some(&keys), "/right").await, (200, String::new()));
        assert_eq!(ask(Some(&keys), "/right?b=%20&a=~").await, (200, String::new()));
        assert_eq!(ask(Some(&keys), "/wrong").await, refused("AccessDeniedException"));
        let wrong = Keys { secret_access_key: "wrong".into(), ..keys.clone() };
        assert_eq!(ask(Some(&wrong), "/right").await, refused("InvalidSignatureException"));
        let wrong = Keys { session_token: Some("wrong".into()), ..keys.clone() };
        assert_eq!(ask(Some(&wrong), "/right").await, refused("UnrecognizedClientException"));
        let wrong = Keys { access_key_id: "AKIAUNKNOWN".into(), ..keys };
        assert_eq!(ask(Some(&wrong), "/right").await, refused("UnrecognizedClientException"));
        assert_eq!(ask(None, "/right").await, refused("MissingAuthenticationTokenException"));
        drop(ministack);
        let (status, code) = ask(Some(&wrong), "/right").await;
        assert_eq!((status, code.as_str()), (500, "InternalFailure"));
    }
}
