//! Who calls: the ID token of the agents' user pool, held against the identity
//! that API Gateway has checked.
//!
//! Two proofs that must agree: the request is signed with credentials that the
//! identity pool gave to a user (`amr` names the pool and the user), and the token
//! is that pool's, for that user and for our application, and has not expired.
//!
//! The token is never printed, nor is what it says of a person.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::{Refusal, Request};
use crate::settings::Reader;

/// By so much may the pool's clock and ours differ.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// Tokens can name any key, and must not make us ask the pool for each of them.
const REFETCH_AFTER: SignedDuration = SignedDuration::from_secs(30);

/// For the pool's keys, which are a small file.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

/// What separates the pool from the user in an entry of `amr`.
const SIGN_IN: &str = ":CognitoSignIn:";

/// A signed-in user, as the pool describes them.
#[derive(Clone, PartialEq, Eq)]
pub struct Caller {
    pub username: Option<String>,
    pub email: Option<String>,
    pub connect_user_id: Option<String>,
}

/// Neither address nor name, which may be an address.
impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller")
            .field("connect_user_id", &self.connect_user_id)
            .finish_non_exhaustive()
    }
}

/// Whose tokens are taken.
#[derive(Clone, Debug)]
pub struct Settings {
    pool: String,
    /// Applications for which a token may have been made.
    clients: Vec<String>,
    issuer: String,
    keys_url: String,
}

impl Settings {
    pub fn read(reader: &mut Reader<'_>) -> Self {
        let pool = reader.need("CognitoUserPoolId");
        let region = reader.need("AWS_REGION");
        let clients = reader.need("CognitoUserPoolClientId");
        let issuer = reader
            .find("COGNITO_ISSUER")
            .unwrap_or_else(|| format!("https://cognito-idp.{region}.amazonaws.com/{pool}"));
        let keys_url = reader
            .find("COGNITO_JWKS_URL")
            .unwrap_or_else(|| format!("{issuer}/.well-known/jwks.json"));
        let clients = clients.split(',').map(str::trim).filter(|client| !client.is_empty());
        Self { pool, clients: clients.map(str::to_owned).collect(), issuer, keys_url }
    }
}

/// Lets in users of the pool.
#[derive(Debug)]
pub struct Guard {
    settings: Settings,
    client: reqwest::Client,
    known: Mutex<Known>,
}

impl Guard {
    pub fn new(settings: Settings) -> Self {
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("the machine has root certificates");
        Self { settings, client, known: Mutex::default() }
    }

    /// Who made the request, if both proofs hold.
    pub async fn caller(&self, request: &Request, now: Timestamp) -> Result<Caller, Refusal> {
        let token = request.header("cognitoidtoken").filter(|token| !token.is_empty());
        let token = Token::read(token.ok_or(Invalid::Missing)?)?;
        let subject = subject(request, &self.settings.pool).ok_or(Invalid::NotOfThePool)?;
        let key = self.key(token.key_id.as_deref().ok_or(Invalid::UnknownKey)?, now).await?;
        let Settings { issuer, clients, .. } = &self.settings;
        let claims = verify(token, &key, &Expected { issuer, clients, subject }, now)?;
        let Claims { username, email, connect_user_id, .. } = claims;
        Ok(Caller { username, email, connect_user_id })
    }

    async fn key(&self, id: &str, now: Timestamp) -> Result<DecodingKey, Refusal> {
        let mut found = self.known().find(id, now);
        if matches!(found, Found::Ask) {
            let answer = self.fetch().await;
            let mut known = self.known();
            known.asked = Some((now, answer.is_ok()));
            known.keys = answer.map_err(|error| out_of_reach().because(error))?.usable();
            found = known.find(id, now);
        }
        match found {
            Found::Key(key) => Ok(key),
            Found::OutOfReach => Err(out_of_reach()),
            Found::Unknown | Found::Ask => Err(Invalid::UnknownKey.into()),
        }
    }

    async fn fetch(&self) -> reqwest::Result<KeySet> {
        self.client.get(&self.settings.keys_url).send().await?.error_for_status()?.json().await
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of the pool's keys.
#[derive(Debug, Default)]
struct Known {
    /// By their ids.
    keys: HashMap<String, DecodingKey>,
    /// When the pool was last asked for them, and whether it answered.
    asked: Option<(Timestamp, bool)>,
}

/// A key that was looked for.
enum Found {
    Key(DecodingKey),
    /// The pool may have it, and should be asked.
    Ask,
    /// The pool did not have it a moment ago.
    Unknown,
    /// The pool did not answer a moment ago.
    OutOfReach,
}

impl Known {
    fn find(&self, id: &str, now: Timestamp) -> Found {
        if let Some(key) = self.keys.get(id) {
            return Found::Key(key.clone());
        }
        match self.asked {
            // Without any key nobody can be let in, so that each request may ask.
            Some((at, answered))
                if now.duration_since(at) < REFETCH_AFTER && !self.keys.is_empty() =>
            {
                if answered {
                    Found::Unknown
                } else {
                    Found::OutOfReach
                }
            }
            _ => Found::Ask,
        }
    }
}

/// The keys as the pool publishes them.
#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<Published>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Published {
    kid: String,
    kty: String,
    n: String,
    e: String,
}

impl KeySet {
    /// Those that can be used here, by their ids.
    fn usable(self) -> HashMap<String, DecodingKey> {
        let usable = |key: Published| {
            let made = DecodingKey::from_rsa_components(&key.n, &key.e).ok()?;
            (key.kty == "RSA").then_some((key.kid, made))
        };
        self.keys.into_iter().filter_map(usable).collect()
    }
}

/// The user that the identity pool names, if our user pool vouches for them.
fn subject<'a>(request: &'a Request, pool: &str) -> Option<&'a str> {
    let identity = request.request_context.authorizer.as_ref()?.iam.as_ref()?;
    identity.cognito_identity.as_ref()?.amr.iter().find_map(|entry| {
        let (provider, subject) = entry.split_once(SIGN_IN)?;
        let (_, provider) = provider.rsplit_once('/')?;
        (provider == pool && !subject.is_empty()).then_some(subject)
    })
}

/// A token in its parts; nothing it says is true yet.
struct Token<'a> {
    algorithm: String,
    key_id: Option<String>,
    claims: Claims,
    signed: &'a str,
    signature: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

/// What a token says. Everything may be missing.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    token_use: String,
    exp: i64,
    auth_time: i64,
    #[serde(rename = "cognito:username")]
    username: Option<String>,
    email: Option<String>,
    #[serde(rename = "custom:connectUserId")]
    connect_user_id: Option<String>,
}

impl<'a> Token<'a> {
    fn read(token: &'a str) -> Result<Self, Invalid> {
        let (signed, signature) = token.rsplit_once('.').ok_or(Invalid::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(Invalid::Malformed)?;
        let Header { alg: algorithm, kid: key_id } = decoded(header)?;
        Ok(Self { algorithm, key_id, claims: decoded(claims)?, signed, signature })
    }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Result<T, Invalid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Invalid::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| Invalid::Malformed)
}

/// What a token has to say.
struct Expected<'a> {
    issuer: &'a str,
    clients: &'a [String],
    subject: &'a str,
}

/// The claims of a token, if they are true and as expected. Pure.
fn verify(
    token: Token<'_>,
    key: &DecodingKey,
    expected: &Expected<'_>,
    now: Timestamp,
) -> Result<Claims, Invalid> {
    let Token { algorithm, claims, signed, signature, .. } = token;
    // The token must not choose how it is checked.
    let is_signed = algorithm == "RS256"
        && jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, Algorithm::RS256)
            .unwrap_or(false);
    let leeway = LEEWAY.as_secs();
    let now = now.as_second();
    let is_current =
        now <= claims.exp.saturating_add(leeway) && claims.auth_time <= now.saturating_add(leeway);
    for (holds, otherwise) in [
        (is_signed, Invalid::Signature),
        (is_current, Invalid::Expired),
        (claims.iss == expected.issuer, Invalid::Issuer),
        (claims.token_use == "id", Invalid::Use),
        (expected.clients.contains(&claims.aud), Invalid::Audience),
        (claims.sub == expected.subject, Invalid::Subject),
    ] {
        if !holds {
            return Err(otherwise);
        }
    }
    Ok(claims)
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Invalid {
    Missing,
    Malformed,
    NotOfThePool,
    UnknownKey,
    Signature,
    Expired,
    Issuer,
    Use,
    Audience,
    Subject,
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        let (status, message, reason) = match invalid {
            Invalid::Missing => (401, "Requested token is missing", "token_missing"),
            Invalid::Malformed => (401, "Requested token is invalid", "token_malformed"),
            Invalid::NotOfThePool => {
                (403, "Caller is not a user of the user pool", "not_of_the_pool")
            }
            Invalid::UnknownKey => (403, "Claim made for unknown kid", "unknown_kid"),
            Invalid::Signature => (403, "Token signature is invalid", "token_signature"),
            Invalid::Expired => (403, "Claim is expired or invalid", "token_expired"),
            Invalid::Issuer => (403, "Claim issuer is invalid", "token_issuer"),
            Invalid::Use => (403, "Claim token_use is not id", "token_use"),
            Invalid::Audience => (403, "Claim audience is invalid", "token_audience"),
            Invalid::Subject => (403, "Claim subject does not match", "token_subject"),
        };
        Self::new(status, message, reason)
    }
}

/// Nobody can be let in as long as the pool does not say its keys.
fn out_of_reach() -> Refusal {
    Refusal::new(500, "Please try again later", "jwks")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
    use std::sync::{Arc, LazyLock};

    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::KeySize;
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
    use serde_json::{Value, json};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::fake::now;

    const POOL: &str = "eu-central-1_Ab12";
    const ISSUER: &str = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Ab12";
    const SUBJECT: &str = "5f3c";

    static KEY: LazyLock<RsaKeyPair> = LazyLock::new(new_key);
    static OTHER_KEY: LazyLock<RsaKeyPair> = LazyLock::new(new_key);

    fn new_key() -> RsaKeyPair {
        RsaKeyPair::generate(KeySize::Rsa2048).unwrap()
    }

    fn published(id: &str, key: &RsaKeyPair) -> Value {
        let key = key.public_key();
        json!({
            "kid": id, "kty": "RSA", "alg": "RS256", "use": "sig",
            "n": BASE64_URL_SAFE_NO_PAD.encode(key.modulus().big_endian_without_leading_zero()),
            "e": BASE64_URL_SAFE_NO_PAD.encode(key.exponent().big_endian_without_leading_zero()),
        })
    }

    fn signed(header: &Value, claims: &Value, key: &RsaKeyPair) -> String {
        let encoded = |part: &Value| BASE64_URL_SAFE_NO_PAD.encode(part.to_string());
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .unwrap();
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn header(kid: &str) -> Value {
        json!({ "alg": "RS256", "kid": kid })
    }

    fn claims() -> Value {
        let now = now().as_second();
        json!({
            "iss": ISSUER, "sub": SUBJECT, "aud": "client-1", "token_use": "id",
            "exp": now + 3600, "iat": now - 10, "auth_time": now - 10,
            "cognito:username": "agent", "email": "agent@example.org",
            "custom:connectUserId": "connect-1", "cognito:groups": ["a"], "email_verified": true,
        })
    }

    /// The claims with one of them as given; null: without it.
    fn with(name: &str, value: Value) -> Value {
        let mut claims = claims();
        let object = claims.as_object_mut().unwrap();
        if value.is_null() {
            object.remove(name)
        } else {
            object.insert(name.into(), value)
        };
        claims
    }

    fn request(token: Option<&str>, amr: &[&str]) -> Request {
        let mut request = json!({
            "headers": {},
            "requestContext": { "authorizer": { "iam": { "cognitoIdentity": { "amr": amr } } } },
        });
        if let Some(token) = token {
            request["headers"]["cognitoidtoken"] = token.into();
        }
        serde_json::from_value(request).unwrap()
    }

    fn amr() -> [String; 3] {
        let provider = ISSUER.trim_start_matches("https://");
        ["authenticated".into(), provider.into(), format!("{provider}{SIGN_IN}{SUBJECT}")]
    }

    fn request_of(token: &str) -> Request {
        request(Some(token), &amr().each_ref().map(String::as_str))
    }

    /// A pool that serves its keys and counts how often it is asked for them.
    struct Pool {
        url: String,
        asked: Arc<AtomicUsize>,
        status: Arc<AtomicU16>,
        keys: Arc<Mutex<Value>>,
    }

    impl Pool {
        async fn start(keys: Value) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let pool = Self {
                url: format!("http://{}/jwks.json", listener.local_addr().unwrap()),
                asked: Arc::default(),
                status: Arc::new(AtomicU16::new(200)),
                keys: Arc::new(Mutex::new(json!({ "keys": keys }))),
            };
            let (asked, status, keys) =
                (Arc::clone(&pool.asked), Arc::clone(&pool.status), Arc::clone(&pool.keys));
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        request.push(stream.read_u8().await.unwrap());
                    }
                    asked.fetch_add(1, Ordering::SeqCst);
                    let (status, body) =
                        (status.load(Ordering::SeqCst), keys.lock().unwrap().to_string());
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\ncontent-length: {length}\r\n\
                         connection: close\r\n\r\n{body}"
                    );
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
            pool
        }

        fn guard(&self) -> Guard {
            let lookup = |name: &str| match name {
                "CognitoUserPoolId" => Some(POOL.to_owned()),
                "AWS_REGION" => Some("eu-central-1".into()),
                "CognitoUserPoolClientId" => Some("client-1, client-2".into()),
                "COGNITO_JWKS_URL" => Some(self.url.clone()),
                _ => None,
            };
            let mut reader = Reader::new(&lookup);
            let settings = Settings::read(&mut reader);
            Guard::new(reader.finish(settings).unwrap())
        }

        fn asked(&self) -> usize {
            self.asked.load(Ordering::SeqCst)
        }
    }

    async fn a_pool() -> Pool {
        Pool::start(json!([published("k1", &KEY)])).await
    }

    fn told(answer: Result<Caller, Refusal>) -> (u16, String) {
        let refusal = answer.unwrap_err();
        (refusal.status, refusal.message.to_string())
    }

    #[test]
    fn the_issuer_and_its_keys_are_those_of_the_pool() {
        let lookup = |name: &str| match name {
            "CognitoUserPoolId" => Some(POOL.to_owned()),
            "AWS_REGION" => Some("eu-central-1".into()),
            "CognitoUserPoolClientId" => Some("a".into()),
            _ => None,
        };
        let settings = Settings::read(&mut Reader::new(&lookup));
        assert_eq!(settings.issuer, ISSUER);
        assert_eq!(settings.keys_url, format!("{ISSUER}/.well-known/jwks.json"));
        assert_eq!(settings.clients, ["a"]);
    }

    #[tokio::test]
    async fn a_user_of_the_pool_is_let_in() {
        let guard = a_pool().await.guard();
        for client in ["client-1", "client-2"] {
            let token = signed(&header("k1"), &with("aud", client.into()), &KEY);
            let caller = guard.caller(&request_of(&token), now()).await.unwrap();
            let expected = Caller {
                username: Some("agent".into()),
                email: Some("agent@example.org".into()),
                connect_user_id: Some("connect-1".into()),
            };
            assert_eq!(caller, expected);
        }
        let token = signed(&header("k1"), &with("custom:connectUserId", Value::Null), &KEY);
        let caller = guard.caller(&request_of(&token), now()).await.unwrap();
        assert_eq!(caller.connect_user_id, None);
    }

    #[tokio::test]
    async fn a_token_that_is_not_one_is_the_callers_mistake() {
        let pool = a_pool().await;
        let guard = pool.guard();
        let amr = amr();
        let amr = amr.each_ref().map(String::as_str);
        for token in [None, Some("")] {
            let answer = guard.caller(&request(token, &amr), now()).await;
            assert_eq!(told(answer), (401, "Requested token is missing".into()));
        }
        let whole = signed(&header("k1"), &claims(), &KEY);
        let (message, _) = whole.rsplit_once('.').unwrap();
        let not_base64 = format!("{message}=.x");
        for token in ["x", "x.y", "x.y.z", "..", message, &not_base64, "e30.e30.e30"] {
            let answer = guard.caller(&request(Some(token), &amr), now()).await;
            assert_eq!(told(answer), (401, "Requested token is invalid".into()), "{token}");
        }
        assert_eq!(pool.asked(), 0);
    }

    #[tokio::test]
    async fn somebody_whom_the_pool_does_not_vouch_for_is_refused() {
        let guard = a_pool().await.guard();
        let token = signed(&header("k1"), &claims(), &KEY);
        let other = format!("idp/eu-central-1_Other{SIGN_IN}{SUBJECT}");
        let longer = format!("idp/x{POOL}{SIGN_IN}{SUBJECT}");
        let nobody = format!("idp/{POOL}{SIGN_IN}");
        for amr in [&[][..], &["authenticated"], &[&other], &[&longer], &[&nobody]] {
            let answer = guard.caller(&request(Some(&token), amr), now()).await;
            assert_eq!(
                told(answer),
                (403, "Caller is not a user of the user pool".into()),
                "{amr:?}"
            );
        }
        let mut request = request_of(&token);
        request.request_context.authorizer = None;
        let answer = guard.caller(&request, now()).await;
        assert_eq!(told(answer), (403, "Caller is not a user of the user pool".into()));
    }

    #[tokio::test]
    async fn each_claim_is_held_against_what_it_must_be() {
        let guard = a_pool().await.guard();
        let at = now().as_second();
        for (name, value, message) in [
            ("exp", (at - 61).into(), "Claim is expired or invalid"),
            ("exp", Value::Null, "Claim is expired or invalid"),
            ("auth_time", (at + 61).into(), "Claim is expired or invalid"),
            ("iss", "https://evil.example".into(), "Claim issuer is invalid"),
            ("iss", format!("{ISSUER}/").into(), "Claim issuer is invalid"),
            ("token_use", "access".into(), "Claim token_use is not id"),
            ("token_use", Value::Null, "Claim token_use is not id"),
            ("aud", "another".into(), "Claim audience is invalid"),
            ("aud", Value::Null, "Claim audience is invalid"),
            ("sub", "another".into(), "Claim subject does not match"),
        ] {
            let token = signed(&header("k1"), &with(name, value.clone()), &KEY);
            let answer = guard.caller(&request_of(&token), now()).await;
            assert_eq!(told(answer), (403, message.into()), "{name} {value}");
        }
        // Clocks differ a little.
        for (name, value) in [("exp", at - 60), ("auth_time", at + 60)] {
            let token = signed(&header("k1"), &with(name, value.into()), &KEY);
            assert!(guard.caller(&request_of(&token), now()).await.is_ok(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_token_is_signed_by_the_pool_and_in_the_pools_way() {
        let guard = a_pool().await.guard();
        let whole = signed(&header("k1"), &claims(), &KEY);
        let (message, signature) = whole.rsplit_once('.').unwrap();
        let (head, _) = message.split_once('.').unwrap();
        let changed = with("sub", "another".into()).to_string();
        let changed = format!("{head}.{}.{signature}", BASE64_URL_SAFE_NO_PAD.encode(changed));
        let unsigned = format!("{message}.");
        let none = signed(&json!({ "alg": "none", "kid": "k1" }), &claims(), &KEY);
        let symmetric = signed(&json!({ "alg": "HS256", "kid": "k1" }), &claims(), &KEY);
        let foreign = signed(&header("k1"), &claims(), &OTHER_KEY);
        for token in [changed, unsigned, none, symmetric, foreign] {
            let answer = guard.caller(&request_of(&token), now()).await;
            assert_eq!(told(answer), (403, "Token signature is invalid".into()), "{token}");
        }
    }

    #[tokio::test]
    async fn the_pool_is_asked_once_for_its_keys_and_again_when_they_change() {
        let pool = a_pool().await;
        let guard = pool.guard();
        let old = request_of(&signed(&header("k1"), &claims(), &KEY));
        let new = request_of(&signed(&header("k2"), &claims(), &OTHER_KEY));
        let later = |seconds| now() + SignedDuration::from_secs(seconds);
        for _ in 0..3 {
            guard.caller(&old, now()).await.unwrap();
        }
        assert_eq!(pool.asked(), 1);
        // Any number of unknown keys makes one question in thirty seconds.
        for seconds in [1, 29, 30, 31, 59] {
            let answer = guard.caller(&new, later(seconds)).await;
            assert_eq!(told(answer), (403, "Claim made for unknown kid".into()));
        }
        assert_eq!(pool.asked(), 2);
        *pool.keys.lock().unwrap() = json!({ "keys": [published("k2", &OTHER_KEY)] });
        guard.caller(&new, later(60)).await.unwrap();
        assert_eq!(pool.asked(), 3);
        // The pool does not know the old one any more.
        let answer = guard.caller(&old, later(61)).await;
        assert_eq!(told(answer), (403, "Claim made for unknown kid".into()));
        assert_eq!(pool.asked(), 3);
    }

    #[tokio::test]
    async fn a_token_without_a_key_id_asks_for_nothing() {
        let pool = a_pool().await;
        let token = signed(&json!({ "alg": "RS256" }), &claims(), &KEY);
        let answer = pool.guard().caller(&request_of(&token), now()).await;
        assert_eq!(told(answer), (403, "Claim made for unknown kid".into()));
        assert_eq!(pool.asked(), 0);
    }

    #[tokio::test]
    async fn a_pool_out_of_reach_is_our_trouble_and_is_asked_again() {
        let pool = a_pool().await;
        let guard = pool.guard();
        let request = request_of(&signed(&header("k1"), &claims(), &KEY));
        pool.status.store(503, Ordering::SeqCst);
        let refusal = guard.caller(&request, now()).await.unwrap_err();
        assert_eq!((refusal.status, refusal.reason), (500, "jwks"));
        assert_eq!(refusal.message, "Please try again later");
        pool.status.store(200, Ordering::SeqCst);
        guard.caller(&request, now()).await.unwrap();

        // With keys in hand it is not asked more often because it does not answer.
        pool.status.store(503, Ordering::SeqCst);
        let new = request_of(&signed(&header("k2"), &claims(), &OTHER_KEY));
        for seconds in [31, 32, 33] {
            let later = now() + SignedDuration::from_secs(seconds);
            assert_eq!(told(guard.caller(&new, later).await).0, 500);
            guard.caller(&request, later).await.unwrap();
        }
        assert_eq!(pool.asked(), 3);
    }

    #[tokio::test]
    async fn keys_of_other_kinds_are_passed_over() {
        let odd = json!([
            { "kid": "ec", "kty": "EC", "crv": "P-256", "x": "x", "y": "y" },
            { "kid": "bad", "kty": "RSA", "n": "***", "e": "AQAB" },
            {},
            published("k1", &KEY),
        ]);
        let guard = Pool::start(odd).await.guard();
        let token = signed(&header("k1"), &claims(), &KEY);
        assert!(guard.caller(&request_of(&token), now()).await.is_ok());
    }

    #[test]
    fn a_caller_is_printed_without_what_is_personal() {
        let caller = Caller {
            username: Some("agent@example.org".into()),
            email: Some("agent@example.org".into()),
            connect_user_id: Some("connect-1".into()),
        };
        let printed = format!("{caller:?}");
        assert!(!printed.contains("example.org") && printed.contains("connect-1"), "{printed}");
    }
}
