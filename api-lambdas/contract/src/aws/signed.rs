//! Calls of services that are asked for an operation or two: a signed request with
//! a JSON body, and its answer.
//!
//! The SDKs of Connect and Cognito take two cores six minutes to compile and one of
//! them more than 4 GB of memory, for four operations. Signing is the SDK's own crate.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use reqwest::Method;
use serde_json::Value;

use super::{ATTEMPT_TIMEOUT, CALL_TIMEOUT, CONNECT_TIMEOUT, Trouble};
use crate::lambda::chain;

/// Attempts of a call whose answer is to ask again, or that got none.
const ATTEMPTS: u32 = 3;

/// Before the second attempt; twice that before the third.
const PAUSE: Duration = Duration::from_millis(200);

/// One service.
#[derive(Clone, Debug)]
pub(super) struct Signed {
    http: reqwest::Client,
    credentials: Option<SharedCredentialsProvider>,
    region: String,
    /// As it is called in signatures.
    service: &'static str,
    endpoint: String,
}

/// One call. `path` is percent-encoded already.
#[derive(Clone, Debug)]
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: &'a [(&'static str, &'static str)],
    pub(super) body: Option<Value>,
}

impl Signed {
    /// `endpoint` is where it is; without one it is where AWS has it.
    pub(super) fn new(sdk: &SdkConfig, service: &'static str, endpoint: Option<String>) -> Self {
        let region = sdk.region().map(ToString::to_string).unwrap_or_default();
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ATTEMPT_TIMEOUT)
            // A signature is for one address.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("the client has no settings that could be wrong");
        Self {
            http,
            credentials: sdk.credentials_provider(),
            endpoint: endpoint
                .unwrap_or_else(|| format!("https://{service}.{region}.amazonaws.com")),
            region,
            service,
        }
    }

    /// The answer's JSON; null where it has no body.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Value, Trouble> {
        let attempts = async {
            let mut pause = PAUSE;
            for _ in 1..ATTEMPTS {
                match self.attempt(call).await {
                    Err(trouble) if trouble.may_pass() => {}
                    answer => return answer,
                }
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            self.attempt(call).await
        };
        let late = |_| Trouble::NoAnswer("it took too long".into());
        tokio::time::timeout(CALL_TIMEOUT, attempts).await.map_err(late)?
    }

    async fn attempt(&self, call: &Call<'_>) -> Result<Value, Trouble> {
        let provider = self.credentials.as_ref();
        let provider = provider.ok_or_else(|| Trouble::NoAnswer("no credentials".into()))?;
        let credentials = provider.provide_credentials().await;
        let credentials = credentials.map_err(|error| Trouble::NoAnswer(chain(&error)))?;
        let request = self.request(call, credentials)?;
        let answer = self.http.execute(request).await.map_err(no_answer)?;
        let status = answer.status().as_u16();
        let told = |name: &str| {
            answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let request = told("x-amzn-requestid").unwrap_or_else(|| "unknown".into());
        let code = told("x-amzn-errortype");
        let succeeded = answer.status().is_success();
        let body = answer.bytes().await.map_err(no_answer)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if succeeded {
            return Ok(body);
        }
        let text = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        let code = code.or_else(|| text("__type")).unwrap_or_else(|| "unknown".into());
        Err(Trouble::Answer {
            // Either may come with the name of a schema around it.
            code: code
                .rsplit('#')
                .next()
                .unwrap_or_default()
                .split(':')
                .next()
                .unwrap_or_default()
                .into(),
            message: text("message")
                .or_else(|| text("Message"))
                .unwrap_or_else(|| "no message".into()),
            status,
            request,
        })
    }

    fn request(
        &self,
        call: &Call<'_>,
        credentials: Credentials,
    ) -> Result<reqwest::Request, Trouble> {
        let wrong = |error: &dyn std::error::Error| Trouble::NoAnswer(error.to_string());
        let body = call.body.as_ref().map(ToString::to_string).unwrap_or_default();
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.endpoint, call.path));
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(body).map_err(|error| wrong(&error))?;
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| wrong(&error))?
            .into();
        let uri = request.uri().to_string();
        let headers = call.headers.iter().copied();
        let body = SignableBody::Bytes(request.body().as_bytes());
        let signed = SignableRequest::new(call.method.as_str(), uri, headers, body)
            .and_then(|signable| sign(signable, &params))
            .map_err(|error| wrong(&error))?;
        let (instructions, _) = signed.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        request.try_into().map_err(no_answer)
    }
}

/// Without the address, which may hold ids.
fn no_answer(error: reqwest::Error) -> Trouble {
    Trouble::NoAnswer(chain(&error.without_url()))
}

impl Trouble {
    /// Whether to ask again is worth while.
    fn may_pass(&self) -> bool {
        match self {
            Self::Answer { code, status, .. } => {
                *status >= 500
                    || *status == 429
                    || code.contains("Throttl")
                    || code == "TooManyRequestsException"
            }
            Self::NoAnswer(_) => true,
            Self::Lacks(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, Region};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// A service that gives these answers, one after the other; what it was asked.
    async fn asked(answers: Vec<&'static str>) -> (Result<Value, Trouble>, Vec<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let served = async {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 8192];
                let length = connection.read(&mut request).await.unwrap();
                asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
                connection.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        };
        let sdk = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .credentials_provider(SharedCredentialsProvider::new(Credentials::new(
                "AKID",
                "secret",
                Some("token".into()),
                None,
                "test",
            )))
            .build();
        let signed = Signed::new(&sdk, "connect", Some(endpoint));
        let call = Call {
            method: Method::GET,
            path: "/users/i/u%2F1".into(),
            headers: &[("content-type", "application/json")],
            body: None,
        };
        let (answer, asked) = tokio::join!(signed.call(&call), served);
        (answer, asked)
    }

    fn answer(status: &'static str, body: &'static str) -> &'static str {
        let length = body.len();
        Box::leak(
            format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .into_boxed_str(),
        )
    }

    #[tokio::test]
    async fn a_call_is_signed_for_its_service_and_region() {
        let (answer, asked) = asked(vec![answer("200 OK", r#"{"a":1}"#)]).await;
        assert_eq!(answer.unwrap()["a"], 1);
        assert!(asked[0].starts_with("GET /users/i/u%2F1 HTTP/1.1"), "{}", asked[0]);
        for part in ["/eu-central-1/connect/aws4_request", "x-amz-security-token: token"] {
            assert!(asked[0].contains(part), "{part} is missing: {}", asked[0]);
        }
        assert!(!asked[0].contains("secret"));
    }

    #[tokio::test]
    async fn a_throttled_call_is_made_again() {
        let slow = answer("429 Too Many", r#"{"message":"slow down"}"#);
        let broken = answer("500 Broken", "");
        let (answer, asked) = asked(vec![slow, broken, answer("200 OK", "")]).await;
        assert_eq!((answer.unwrap(), asked.len()), (Value::Null, 3));
    }

    #[tokio::test]
    async fn a_refusal_is_told_with_the_services_own_words() {
        let refused = answer("400 Bad", r#"{"__type":"x#UserNotFoundException","message":"no"}"#);
        let (answer, asked) = asked(vec![refused]).await;
        let told = answer.unwrap_err().to_string();
        assert_eq!(told, "UserNotFoundException: no (HTTP 400, request unknown)");
        assert_eq!(asked.len(), 1);
    }
}
