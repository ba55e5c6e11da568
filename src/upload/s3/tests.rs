//! The answers that are hard to get from a real server, from one that says
//! over a real socket what each test tells it to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use super::*;

const CREATED: &str = "<InitiateMultipartUploadResult><Bucket>recordings</Bucket>\
    <Key>a/b.mp4</Key><UploadId>upload-1</UploadId></InitiateMultipartUploadResult>";
const COMPLETED: &str = "<CompleteMultipartUploadResult><ETag>\"all-2\"</ETag>\
    <ChecksumCRC32>AAAAAA==-2</ChecksumCRC32></CompleteMultipartUploadResult>";

#[derive(Clone, Debug)]
enum Answer {
    Says {
        status: u16,
        headers: &'static str,
        body: String,
    },
    HangsUp,
    /// Keeps the connection open and says nothing.
    Sleeps,
}

fn says(status: u16, body: &str) -> Answer {
    Answer::Says { status, headers: "", body: body.to_owned() }
}

fn headers(headers: &'static str) -> Answer {
    Answer::Says { status: 200, headers, body: String::new() }
}

fn refuses(status: u16, code: &str) -> Answer {
    says(status, &format!("<Error><Code>{code}</Code><Message>told so</Message></Error>"))
}

#[derive(Clone, Debug)]
struct Request {
    /// Method and target.
    line: String,
    /// Lower case.
    headers: String,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let line = self.headers.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.strip_prefix(':')).map(str::trim)
    }
}

/// Gives its answers in order, one for each request, and keeps the requests.
struct Server {
    store: S3Store,
    requests: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn answering(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::encrypting(Encryption::BucketDefault, answers).await
    }

    async fn encrypting(encryption: Encryption, answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings = ClientSettings {
            region: Some("eu-central-1".into()),
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            force_path_style: true,
            credentials: Some(Credentials::new("key", "secret", None, None, "test")),
        };
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let log = Arc::clone(&requests);
        let mut answers: VecDeque<Answer> = answers.into_iter().collect();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Some(request) = read(stream).await else { continue };
                log.lock().unwrap().push(request.0);
                let answer = answers.pop_front().unwrap_or_else(|| refuses(400, "NotInScript"));
                write(request.1, answer).await;
            }
        })
        .abort_handle();
        let store = S3Store::new(client(settings).await, object(), encryption);
        Self { store, requests, task }
    }

    /// What it was asked, without SDK parameters.
    fn asked(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        requests.iter().map(|request| request.line.clone()).collect()
    }

    fn request(&self, index: usize) -> Request {
        self.requests.lock().unwrap()[index].clone()
    }
}

async fn read(stream: TcpStream) -> Option<(Request, TcpStream)> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let (line, headers) = head.split_once("\r\n").unwrap();
    let line = line.trim_end_matches(" HTTP/1.1").to_owned();
    let mut request = Request { line, headers: headers.to_lowercase(), body: Vec::new() };
    let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
    request.body.resize(length, 0);
    stream.read_exact(&mut request.body).await.ok()?;
    Some((request, stream.into_inner()))
}

async fn write(mut stream: TcpStream, answer: Answer) {
    let (status, headers, body) = match answer {
        Answer::Says { status, headers, body } => (status, headers, body),
        Answer::HangsUp => return,
        Answer::Sleeps => {
            // The client hangs up when its time is up.
            let _ = stream.read_u8().await;
            return;
        }
    };
    let length = if headers.contains("content-length") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    let answer = format!("HTTP/1.1 {status} -\r\nconnection: close\r\n{length}{headers}\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
}

fn object() -> Object {
    Object { bucket: "recordings".into(), key: "a/b.mp4".into() }
}

fn upload() -> UploadId {
    UploadId("upload-1".into())
}

fn payload() -> Payload {
    Payload::new(vec![Bytes::from_static(b"1234"), Bytes::from_static(b"56789")])
}

/// CRC-32 of `123456789`, as any table of check values has it: cbf43926.
const CRC32: &str = "y/Q5Jg==";

fn two_parts() -> [(u16, Receipt); 2] {
    [1, 2].map(|number| {
        (number, Receipt { etag: format!("\"e{number}\""), crc32: 0xcbf4_3926, bytes: 9 })
    })
}

const COMPLETE: &str = "POST /recordings/a/b.mp4?uploadId=upload-1";
const HEAD: &str = "HEAD /recordings/a/b.mp4";

#[tokio::test]
async fn the_upload_says_type_and_checksum_and_encrypts_only_when_asked() {
    for (encryption, algorithm, key) in [
        (Encryption::BucketDefault, None, None),
        (Encryption::Kms, Some("aws:kms"), None),
        (Encryption::KmsKey("alias/film".into()), Some("aws:kms"), Some("alias/film")),
    ] {
        let server = Server::encrypting(encryption, [says(200, CREATED)]).await;
        assert_eq!(server.store.create().await.unwrap(), upload());
        let request = server.request(0);
        assert_eq!(request.line, "POST /recordings/a/b.mp4?uploads");
        assert_eq!(request.header("content-type"), Some("video/mp4"));
        assert_eq!(request.header("x-amz-checksum-algorithm"), Some("crc32"));
        assert_eq!(request.header("x-amz-checksum-type"), Some("full_object"));
        assert_eq!(request.header("x-amz-server-side-encryption"), algorithm);
        assert_eq!(request.header("x-amz-server-side-encryption-aws-kms-key-id"), key);
    }
}

#[tokio::test]
async fn a_part_is_sent_in_pieces_with_its_checksum_in_front_and_never_chunked() {
    let server = Server::answering([headers("etag: \"e7\"\r\n")]).await;
    let receipt = server.store.put_part(&upload(), 7, payload(), 0).await.unwrap();
    assert_eq!(receipt, Receipt { etag: "\"e7\"".into(), crc32: 0xcbf4_3926, bytes: 9 });
    let request = server.request(0);
    assert!(request.line.starts_with("PUT /recordings/a/b.mp4?"), "{}", request.line);
    assert!(request.line.contains("partNumber=7"), "{}", request.line);
    assert_eq!(request.body, b"123456789");
    assert_eq!(request.header("x-amz-checksum-crc32"), Some(CRC32.to_lowercase().as_str()));
    for absent in ["transfer-encoding", "content-encoding", "x-amz-trailer"] {
        assert_eq!(request.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn a_store_without_checksums_of_whole_objects_is_asked_for_the_other_kind() {
    for refusal in [refuses(501, "NotImplemented"), refuses(400, "InvalidRequest")] {
        let server = Server::answering([refusal, says(200, CREATED)]).await;
        assert_eq!(server.store.create().await.unwrap(), upload());
        assert_eq!(server.request(1).header("x-amz-checksum-type"), None);
    }
}

#[tokio::test]
async fn a_store_that_asks_to_slow_down_is_throttling_and_left_to_the_uploader() {
    let server = Server::answering([refuses(503, "SlowDown"), headers("etag: \"e1\"\r\n")]).await;
    let error = server.store.put_part(&upload(), 1, payload(), 0).await.unwrap_err();
    assert_eq!(error.kind, Kind::Throttled);
    assert_eq!(server.asked().len(), 1);
    server.store.put_part(&upload(), 1, payload(), 1).await.unwrap();
    assert!((0..2).all(|index| server.request(index).body == b"123456789"));
}

#[test]
fn an_attempt_has_twice_the_time_of_the_one_before_until_the_line_is_hopeless() {
    let five_mib = 5 << 20;
    let seconds = |attempt| part_timeout(five_mib, attempt).as_secs();
    assert_eq!([0, 1, 2, 3, 4, 1000].map(seconds), [20, 40, 80, 160, 175, 175]);
    assert_eq!(part_timeout(0, 9), ANSWER_TIMEOUT);
}

#[test]
fn the_checksum_of_the_whole_follows_from_those_of_the_parts() {
    let bytes = b"the parts of a film, in order";
    for cut in 0..=bytes.len() {
        let parts: Vec<_> = [&bytes[..cut], &bytes[cut..]]
            .into_iter()
            .map(|part| Receipt {
                etag: String::new(),
                crc32: crc32fast::hash(part),
                bytes: part.len() as u64,
            })
            .enumerate()
            .map(|(index, receipt)| (u16::try_from(index + 1).unwrap(), receipt))
            .collect();
        let whole = base64_of(crc32fast::hash(bytes));
        assert_eq!(verified(Some(&whole), &parts), Some(true), "{cut}");
    }
    assert_eq!(verified(None, &two_parts()), None);
}

#[tokio::test]
async fn a_completion_lists_parts_with_their_checksums() {
    let server = Server::answering([says(200, COMPLETED)]).await;
    let completed = server.store.complete(&upload(), &two_parts(), 18).await.unwrap();
    assert_eq!(
        completed,
        Completed {
            etag: "\"all-2\"".into(),
            checksum: Some("AAAAAA==-2".into()),
            verified: Some(false),
            bytes: 18
        }
    );
    assert_eq!(server.asked(), [COMPLETE]);
    let body = String::from_utf8(server.request(0).body).unwrap();
    assert_eq!(body.matches(&format!("<ChecksumCRC32>{CRC32}</ChecksumCRC32>")).count(), 2);
}

#[tokio::test]
async fn a_completion_may_begin_with_the_blanks_that_keep_the_line_open() {
    let body = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n   \n  {COMPLETED}");
    let server = Server::answering([says(200, &body)]).await;
    assert!(server.store.complete(&upload(), &two_parts(), 18).await.is_ok());
}

#[tokio::test]
async fn a_completion_with_status_200_and_an_error_in_it_is_an_error() {
    let server = Server::answering(vec![refuses(200, "InternalError"); 5]).await;
    let error = server.store.complete(&upload(), &two_parts(), 18).await.unwrap_err();
    assert_eq!((error.kind, error.status), (Kind::Transient, Some(200)));
    assert_eq!(error.code.as_deref(), Some("InternalError"));

    let denied = Server::answering([refuses(200, "AccessDenied"), says(404, "")]).await;
    let error = denied.store.complete(&upload(), &two_parts(), 18).await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied);
}

#[tokio::test]
async fn a_completion_that_says_nothing_is_no_completion() {
    for body in ["", "<CompleteMultipartUploadResult/>", "<CompleteMultipart"] {
        let server = Server::answering([says(200, body), says(404, "")]).await;
        let error = server.store.complete(&upload(), &two_parts(), 18).await.unwrap_err();
        assert_eq!(error.kind, Kind::Transient, "{body:?}: {error}");
    }
}

/// As moto answers, whose document has another name.
#[tokio::test]
async fn a_completion_that_cannot_be_read_finds_the_object() {
    let answer = "<CompleteMultipartUploadResponse><ETag>\"all-2\"</ETag>\
        </CompleteMultipartUploadResponse>";
    let found = headers("content-length: 18\r\netag: \"all-2\"\r\n");
    let server = Server::answering([says(200, answer), found]).await;
    let completed = server.store.complete(&upload(), &two_parts(), 18).await.unwrap();
    assert_eq!(completed.etag, "\"all-2\"");
    assert_eq!(server.asked(), [COMPLETE, HEAD]);
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_finds_the_object() {
    let server = Server::answering([
        Answer::HangsUp,
        refuses(404, "NoSuchUpload"),
        headers("content-length: 18\r\netag: \"all-2\"\r\n"),
    ])
    .await;
    let completed = server.store.complete(&upload(), &two_parts(), 18).await.unwrap();
    assert_eq!((completed.etag.as_str(), completed.bytes), ("\"all-2\"", 18));
    assert_eq!(server.asked(), [COMPLETE, COMPLETE, HEAD]);
}

#[tokio::test]
async fn an_object_of_another_size_or_checksum_is_not_the_recording() {
    for (found, ours) in [
        ("content-length: 17\r\n", false),
        ("content-length: 18\r\nx-amz-checksum-crc32: AAAAAA==-2\r\n", false),
        ("content-length: 18\r\nx-amz-checksum-crc32: cCOsTw==-2\r\n", true),
        // Over the whole object.
        ("content-length: 18\r\nx-amz-checksum-crc32: AAAAAA==\r\n", false),
        ("content-length: 18\r\nx-amz-checksum-crc32: S4N65A==\r\n", true),
    ] {
        let server = Server::answering([refuses(404, "NoSuchUpload"), headers(found)]).await;
        let answer = server.store.complete(&upload(), &two_parts(), 18).await;
        assert_eq!(answer.is_ok(), ours, "{found:?}");
    }
}

#[tokio::test]
async fn an_upload_that_is_gone_without_an_object_is_missing() {
    let server = Server::answering([refuses(404, "NoSuchUpload"), says(404, "")]).await;
    let error = server.store.complete(&upload(), &two_parts(), 18).await.unwrap_err();
    assert_eq!(error.kind, Kind::Missing);
    assert_eq!(error.code.as_deref(), Some("NoSuchUpload"));
}

#[tokio::test]
async fn aborting_twice_is_aborting() {
    let server = Server::answering([says(204, ""), refuses(404, "NoSuchUpload")]).await;
    server.store.abort(&upload()).await.unwrap();
    server.store.abort(&upload()).await.unwrap();
}

#[tokio::test]
async fn a_refusal_names_request_object_status_and_code() {
    for (answer, kind, text) in [
        (
            refuses(403, "AccessDenied"),
            Kind::Denied,
            "CreateMultipartUpload for s3://recordings/a/b.mp4 was denied (HTTP 403, AccessDenied)",
        ),
        (
            refuses(404, "NoSuchBucket"),
            Kind::Missing,
            "CreateMultipartUpload for s3://recordings/a/b.mp4 found no such bucket or upload \
             (HTTP 404, NoSuchBucket)",
        ),
        (
            says(507, ""),
            Kind::Full,
            "CreateMultipartUpload for s3://recordings/a/b.mp4 found no space left (HTTP 507)",
        ),
    ] {
        let server = Server::answering([answer]).await;
        let error = server.store.create().await.unwrap_err();
        assert_eq!(error.kind, kind);
        assert_eq!(error.to_string(), text);
        assert_eq!(server.asked().len(), 1, "{text}");
    }
}

#[tokio::test]
async fn the_cause_says_what_the_store_said() {
    let server = Server::answering([refuses(403, "AccessDenied")]).await;
    let error = server.store.create().await.unwrap_err();
    assert!(causes(&error).any(|cause| cause.to_string().contains("told so")));
}

#[tokio::test]
async fn a_store_that_is_not_there_may_come_back() {
    let server = Server::answering([]).await;
    let mut store = server.store.clone();
    drop(server);
    // Nobody listens on a port that was free a moment ago and is not ours now.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    store.client = Client::from_conf(
        store.client.config().to_builder().endpoint_url(format!("http://{free}")).build(),
    );
    let error = store.create().await.unwrap_err();
    assert_eq!((error.kind, error.status), (Kind::Transient, None));
}

#[tokio::test]
async fn an_attempt_without_an_answer_ends_when_its_time_is_up() {
    let server = Server::answering(vec![Answer::Sleeps; 5]).await;
    let request = server.store.client.head_object().bucket("recordings").key("a");
    let brief = within(Duration::from_millis(20));
    let answer = request.customize().config_override(brief).send().await;
    let error = server.store.failure(Operation::Complete, answer.unwrap_err());
    assert!(matches!(
        error.source.as_ref().unwrap().downcast_ref(),
        Some(SdkError::<aws_sdk_s3::operation::head_object::HeadObjectError>::TimeoutError(_))
    ));
    assert_eq!(error.kind, Kind::Transient);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_client_without_credentials_is_denied() {
    use aws_credential_types::provider::{ProvideCredentials, future};

    #[derive(Debug)]
    struct Nobody;
    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("none here")))
        }
    }

    let server = Server::answering([]).await;
    let config = server.store.client.config().to_builder().credentials_provider(Nobody).build();
    let store = S3Store { client: Client::from_conf(config), ..server.store.clone() };
    let error = store.create().await.unwrap_err();
    assert_eq!(error.kind, Kind::Denied, "{error:?}");
    assert_eq!(server.asked().len(), 0);
}

#[test]
fn answers_are_sorted_by_what_the_caller_can_do() {
    for (status, code, kind) in [
        (200, Some("InternalError"), Kind::Transient),
        (200, Some("NoSuchUpload"), Kind::Missing),
        (200, None, Kind::Transient),
        (301, Some("PermanentRedirect"), Kind::Rejected),
        (400, Some("BadDigest"), Kind::Transient),
        (400, Some("InvalidPart"), Kind::Replaced),
        (400, Some("EntityTooSmall"), Kind::Rejected),
        (400, Some("ExpiredToken"), Kind::Transient),
        (400, Some("InvalidToken"), Kind::Denied),
        (400, Some("RequestTimeout"), Kind::Transient),
        (401, None, Kind::Denied),
        (403, Some("RequestTimeTooSkewed"), Kind::Transient),
        (403, Some("SignatureDoesNotMatch"), Kind::Denied),
        (404, None, Kind::Missing),
        (409, Some("OperationAborted"), Kind::Transient),
        (412, Some("PreconditionFailed"), Kind::Rejected),
        (429, None, Kind::Throttled),
        (500, Some("InternalError"), Kind::Transient),
        (502, None, Kind::Transient),
        (503, Some("ServiceUnavailable"), Kind::Throttled),
        (503, Some("SlowDown"), Kind::Throttled),
        (507, Some("XMinioStorageFull"), Kind::Full),
    ] {
        assert_eq!(kind_of_answer(status, code), kind, "{status} {code:?}");
    }
}
