//! The S3 server of `--local`, asked over HTTP by the client that the recorder
//! itself uses.

use std::fmt::Debug;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Config, Region};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::complete_multipart_upload::{
    CompleteMultipartUploadError, CompleteMultipartUploadOutput,
};
use aws_sdk_s3::operation::upload_part::UploadPartOutput;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart};
use proptest::prelude::*;
use recorder::local::{BUCKET, Credentials, Error, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// S3's least size of every part but the last, in bytes.
const MIN_PART: usize = 5 * 1024 * 1024;
const KEY: &str = "calls/a film.mp4";

struct Store {
    dir: tempfile::TempDir,
    server: Server,
    s3: Client,
}

impl Store {
    async fn start() -> Self {
        Self::on(tempfile::tempdir().unwrap()).await
    }

    async fn on(dir: tempfile::TempDir) -> Self {
        let server = Server::start(dir.path(), credentials("secret")).await.unwrap();
        let s3 = client(&server, "secret");
        Self { dir, server, s3 }
    }

    /// Ends this server and starts another on its folder.
    async fn restart(self) -> Self {
        self.server.stop().await;
        Self::on(self.dir).await
    }

    async fn create(&self, key: &str) -> String {
        let request = self.s3.create_multipart_upload().bucket(BUCKET).key(key);
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
        request.send().await.unwrap().upload_id.unwrap()
    }

    async fn upload_part(&self, id: &str, number: i32, body: Vec<u8>) -> CompletedPart {
        let request = self.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(id);
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32);
        let request = request.part_number(number).body(ByteStream::from(body));
        completed_part(number, request.send().await.unwrap())
    }

    async fn complete(
        &self,
        id: &str,
        parts: &[&CompletedPart],
    ) -> Result<CompleteMultipartUploadOutput, SdkError<CompleteMultipartUploadError>> {
        let parts = parts.iter().copied().cloned().collect();
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = self.s3.complete_multipart_upload().bucket(BUCKET).key(KEY);
        request.upload_id(id).multipart_upload(parts).send().await
    }

    async fn put(&self, key: &str, body: &[u8]) {
        let request = self.s3.put_object().bucket(BUCKET).key(key);
        request.body(ByteStream::from(body.to_vec())).send().await.unwrap();
    }

    async fn get(&self, key: &str) -> Vec<u8> {
        let object = self.s3.get_object().bucket(BUCKET).key(key).send().await.unwrap();
        object.body.collect().await.unwrap().to_vec()
    }

    fn file(&self, key: &str) -> Vec<u8> {
        std::fs::read(self.server.object_path(key)).unwrap()
    }

    /// What lies in the folder of the open uploads.
    fn litter(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join(".uploads")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }
}

fn credentials(secret_key: &str) -> Credentials {
    Credentials { access_key: "recorder".to_owned(), secret_key: secret_key.to_owned() }
}

fn client(server: &Server, secret: &str) -> Client {
    let credentials =
        aws_sdk_s3::config::Credentials::new("recorder", secret, None, None, "this test");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(server.endpoint())
        .region(Region::new("us-east-1"))
        .force_path_style(true)
        .retry_config(RetryConfig::disabled())
        .credentials_provider(credentials);
    Client::from_conf(config.build())
}

fn completed_part(number: i32, output: UploadPartOutput) -> CompletedPart {
    CompletedPart::builder()
        .part_number(number)
        .set_e_tag(output.e_tag)
        .set_checksum_crc32(output.checksum_crc32)
        .build()
}

/// `size` bytes that differ from part to part.
fn content(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|i| seed.wrapping_add(u8::try_from(i % 251).unwrap())).collect()
}

/// The error code and the status of a refusal.
fn refusal<T: Debug, E: ProvideErrorMetadata + Debug>(
    result: Result<T, SdkError<E>>,
) -> (String, u16) {
    match result.unwrap_err() {
        SdkError::ServiceError(error) => {
            let status = error.raw().status().as_u16();
            (error.err().code().unwrap_or_default().to_owned(), status)
        }
        error => panic!("no answer: {error:?}"),
    }
}

fn refused(code: &str, status: u16) -> (String, u16) {
    (code.to_owned(), status)
}

#[tokio::test]
async fn parts_become_one_ordinary_file() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let (one, two) = (content(1, MIN_PART), content(2, 1000));
    let first = store.upload_part(&id, 1, one.clone()).await;
    let second = store.upload_part(&id, 2, two.clone()).await;
    assert!(!store.server.object_path(KEY).exists());

    let completed = store.complete(&id, &[&first, &second]).await.unwrap();
    assert!(completed.e_tag().unwrap().ends_with("-2\""), "{completed:?}");
    assert!(completed.checksum_crc32().unwrap().ends_with("-2"), "{completed:?}");
    let whole = [one, two].concat();
    assert_eq!(store.file(KEY), whole);
    assert_eq!(store.get(KEY).await, whole);
    assert_eq!(store.litter(), [] as [String; 0]);

    let head = store.s3.head_object().bucket(BUCKET).key(KEY).send().await.unwrap();
    assert_eq!(head.content_length(), Some(i64::try_from(whole.len()).unwrap()));
    assert_eq!(head.content_type(), Some("video/mp4"));
    let mode = store.server.object_path(KEY).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
}

#[tokio::test]
async fn parts_may_come_in_any_order_with_gaps_and_be_replaced() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let last = store.upload_part(&id, 10_000, content(9, 77)).await;
    let middle = store.upload_part(&id, 7, content(7, MIN_PART)).await;
    let outdated = store.upload_part(&id, 1, content(1, MIN_PART)).await;
    let first = store.upload_part(&id, 1, content(8, MIN_PART + 123)).await;

    let result = store.complete(&id, &[&outdated, &middle, &last]).await;
    assert_eq!(refusal(result), refused("InvalidPart", 400));
    store.complete(&id, &[&first, &middle, &last]).await.unwrap();
    let expected = [content(8, MIN_PART + 123), content(7, MIN_PART), content(9, 77)].concat();
    assert_eq!(store.file(KEY), expected);
}

#[tokio::test]
async fn parts_that_are_not_listed_are_left_out() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let first = store.upload_part(&id, 1, content(1, MIN_PART)).await;
    store.upload_part(&id, 2, content(2, MIN_PART)).await;
    let third = store.upload_part(&id, 3, content(3, 5)).await;
    store.complete(&id, &[&first, &third]).await.unwrap();
    assert_eq!(store.file(KEY), [content(1, MIN_PART), content(3, 5)].concat());
    assert_eq!(store.litter(), [] as [String; 0]);
}

#[tokio::test]
async fn an_upload_survives_every_refused_completion() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let small = store.upload_part(&id, 1, content(1, MIN_PART - 1)).await;
    let last = store.upload_part(&id, 2, content(2, 10)).await;
    let without_checksum =
        CompletedPart::builder().part_number(1).set_e_tag(small.e_tag().map(str::to_owned)).build();
    let unknown = CompletedPart::builder().part_number(3).e_tag("\"00\"").build();
    let mut wrong = small.clone();
    wrong.e_tag = last.e_tag.clone();
    let mut wrong_checksum = small.clone();
    wrong_checksum.checksum_crc32 = last.checksum_crc32.clone();

    for (parts, code) in [
        (vec![&small, &last], "EntityTooSmall"),
        (vec![&last, &small], "InvalidPartOrder"),
        (vec![&small, &small], "InvalidPartOrder"),
        (vec![&small, &unknown], "InvalidPart"),
        (vec![&wrong, &last], "InvalidPart"),
        (vec![&wrong_checksum, &last], "InvalidPart"),
        (vec![&without_checksum], "InvalidRequest"),
        (vec![], "MalformedXML"),
    ] {
        assert_eq!(refusal(store.complete(&id, &parts).await), refused(code, 400));
    }
    assert!(!store.server.object_path(KEY).exists());

    let first = store.upload_part(&id, 1, content(1, MIN_PART)).await;
    store.complete(&id, &[&first, &last]).await.unwrap();
    assert_eq!(store.file(KEY), [content(1, MIN_PART), content(2, 10)].concat());
}

#[tokio::test]
async fn a_completion_sent_again_is_answered_like_the_first() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let part = store.upload_part(&id, 1, content(1, 10)).await;
    let parts = [&part];
    let (one, two) = tokio::join!(store.complete(&id, &parts), store.complete(&id, &parts));
    let three = store.complete(&id, &parts).await.unwrap();
    assert_eq!(one.unwrap().e_tag(), three.e_tag());
    assert_eq!(two.unwrap().e_tag(), three.e_tag());
}

#[tokio::test]
async fn an_aborted_upload_is_gone() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let part = store.upload_part(&id, 1, content(1, 10)).await;
    let abort = || store.s3.abort_multipart_upload().bucket(BUCKET).key(KEY).upload_id(&id).send();
    abort().await.unwrap();
    assert_eq!(store.litter(), [] as [String; 0]);

    let gone = refused("NoSuchUpload", 404);
    assert_eq!(refusal(abort().await), gone);
    assert_eq!(refusal(store.complete(&id, &[&part]).await), gone);
    let list = store.s3.list_parts().bucket(BUCKET).key(KEY).upload_id(&id).send();
    assert_eq!(refusal(list.await), gone);
    // A body of some size: its sender must see the answer, not a broken pipe.
    let upload = store.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&id).part_number(2);
    let upload = upload.body(ByteStream::from(content(1, 2 * MIN_PART))).send();
    assert_eq!(refusal(upload.await), gone);
}

#[tokio::test]
async fn an_upload_id_is_good_for_its_own_key_only_and_for_no_path() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    for (key, id) in [("other.mp4", id.as_str()), (KEY, ".."), (KEY, "../.uploads"), (KEY, "x")] {
        let list = store.s3.list_parts().bucket(BUCKET).key(key).upload_id(id).send();
        assert_eq!(refusal(list.await), refused("NoSuchUpload", 404));
    }
}

#[tokio::test]
async fn part_numbers_have_limits() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    for number in [-1, 0, 10_001, 65_537] {
        let upload = store.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&id);
        let upload = upload.part_number(number).body(ByteStream::from(vec![1])).send();
        assert_eq!(refusal(upload.await), refused("InvalidArgument", 400));
    }
}

#[tokio::test]
async fn an_upload_survives_its_server() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let first = store.upload_part(&id, 1, content(1, MIN_PART)).await;
    let store = store.restart().await;
    let second = store.upload_part(&id, 2, content(2, 3)).await;
    let store = store.restart().await;

    // A rescuer knows nothing but the folder.
    let uploads = store.s3.list_multipart_uploads().bucket(BUCKET).send().await.unwrap();
    let [upload] = uploads.uploads() else { panic!("{uploads:?}") };
    assert_eq!((upload.key(), upload.upload_id()), (Some(KEY), Some(id.as_str())));
    assert!(upload.initiated().is_some());
    let list = store.s3.list_parts().bucket(BUCKET).key(KEY).upload_id(&id);
    let list = list.send().await.unwrap();
    assert_eq!(list.checksum_algorithm(), Some(&ChecksumAlgorithm::Crc32));
    let parts: Vec<_> = list
        .parts()
        .iter()
        .map(|part| {
            CompletedPart::builder()
                .set_part_number(part.part_number())
                .set_e_tag(part.e_tag().map(str::to_owned))
                .set_checksum_crc32(part.checksum_crc32().map(str::to_owned))
                .build()
        })
        .collect();
    assert_eq!(parts, [first, second]);
    store.complete(&id, &parts.iter().collect::<Vec<_>>()).await.unwrap();
    assert_eq!(store.file(KEY), [content(1, MIN_PART), content(2, 3)].concat());
}

#[tokio::test]
async fn parts_are_listed_by_pages() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    for number in [4, 2, 9, 1, 3] {
        store.upload_part(&id, number, vec![u8::try_from(number).unwrap()]).await;
    }
    let list = store.s3.list_parts().bucket(BUCKET).key(KEY).upload_id(&id).max_parts(2);
    let mut pages = list.into_paginator().send();
    let mut numbers = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        numbers.push(page.parts().iter().map(|p| p.part_number().unwrap()).collect::<Vec<_>>());
    }
    assert_eq!(numbers, [vec![1, 2], vec![3, 4], vec![9]]);
}

#[tokio::test]
async fn uploads_are_listed_by_prefix_and_page() {
    let store = Store::start().await;
    for key in ["a/2", "a/1", "b", "a/1"] {
        store.create(key).await;
    }
    let mut listed = Vec::new();
    let (mut key, mut id) = (None, None);
    loop {
        let list = store.s3.list_multipart_uploads().bucket(BUCKET).prefix("a/").max_uploads(2);
        let list = list.set_key_marker(key).set_upload_id_marker(id).send().await.unwrap();
        let page = list.uploads().iter().map(|upload| upload.key().unwrap().to_owned());
        listed.push(page.collect::<Vec<_>>());
        if list.is_truncated() != Some(true) {
            break;
        }
        (key, id) = (list.next_key_marker, list.next_upload_id_marker);
    }
    assert_eq!(listed, [vec!["a/1", "a/1"], vec!["a/2"]]);
}

#[tokio::test]
async fn objects_are_listed_by_prefix_and_page_without_open_uploads() {
    let store = Store::start().await;
    let id = store.create("a/open.mp4").await;
    for key in ["b.mp4", "a/2.mp4", "a-b", "a/x/1 ü.json", "a/1.mp4"] {
        store.put(key, key.as_bytes()).await;
    }
    let mut pages = store.s3.list_objects_v2().bucket(BUCKET).max_keys(2).into_paginator().send();
    let mut listed = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let keys = page.contents().iter().map(|object| object.key().unwrap().to_owned());
        listed.push(keys.collect::<Vec<_>>());
    }
    assert_eq!(listed, [vec!["a-b", "a/1.mp4"], vec!["a/2.mp4", "a/x/1 ü.json"], vec!["b.mp4"]]);

    let list = store.s3.list_objects_v2().bucket(BUCKET).prefix("a/x").send().await.unwrap();
    let [object] = list.contents() else { panic!("{list:?}") };
    assert_eq!((object.key(), object.size()), (Some("a/x/1 ü.json"), Some(13)));
    assert_eq!(store.litter(), [id]);
}

#[tokio::test]
async fn ranges_of_an_object_can_be_read() {
    let store = Store::start().await;
    store.put(KEY, b"0123456789").await;
    store.put("empty", b"").await;
    let get = |key, range: &str| store.s3.get_object().bucket(BUCKET).key(key).range(range).send();
    for (range, expected, content_range) in [
        ("bytes=0-0", "0", "bytes 0-0/10"),
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
    ] {
        let object = get(KEY, range).await.unwrap();
        assert_eq!(object.content_range(), Some(content_range));
        assert_eq!(object.content_length(), Some(i64::try_from(expected.len()).unwrap()));
        assert_eq!(object.body.collect().await.unwrap().to_vec(), expected.as_bytes());
    }
    let unsatisfiable = refused("InvalidRange", 416);
    assert_eq!(refusal(get(KEY, "bytes=10-").await), unsatisfiable);
    assert_eq!(refusal(get("empty", "bytes=0-").await), unsatisfiable);
    assert_eq!(refusal(get("empty", "bytes=-1").await), unsatisfiable);
    assert_eq!(store.get("empty").await, b"");
}

#[tokio::test]
async fn a_part_can_be_copied_from_a_range_of_an_object() {
    let store = Store::start().await;
    store.put("a source ü.bin", b"0123456789").await;
    let id = store.create(KEY).await;
    let copy = |range: &str| {
        let copy = store.s3.upload_part_copy().bucket(BUCKET).key(KEY).upload_id(&id);
        let copy = copy.copy_source(format!("{BUCKET}/a%20source%20%C3%BC.bin"));
        copy.part_number(1).copy_source_range(range).send()
    };
    assert_eq!(refusal(copy("bytes=8-10").await), refused("InvalidRange", 416));
    assert_eq!(refusal(copy("bytes=8-").await), refused("InvalidArgument", 400));
    let copied = copy("bytes=3-5").await.unwrap().copy_part_result.unwrap();
    let part = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(copied.e_tag)
        .set_checksum_crc32(copied.checksum_crc32)
        .build();
    store.complete(&id, &[&part]).await.unwrap();
    assert_eq!(store.file(KEY), b"345");
}

#[tokio::test]
async fn a_body_that_is_not_what_was_promised_is_refused_and_leaves_nothing() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let good = store.upload_part(&id, 1, content(1, 100)).await;
    let upload = || {
        let upload = store.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&id);
        upload.part_number(1).body(ByteStream::from(content(2, MIN_PART)))
    };
    let wrong_crc = upload().checksum_crc32("AAAAAA==").send();
    assert_eq!(refusal(wrong_crc.await), refused("BadDigest", 400));
    let wrong_md5 = upload().content_md5("1B2M2Y8AsgTpgAmY7PhCfg==").send();
    assert_eq!(refusal(wrong_md5.await), refused("BadDigest", 400));
    let other = upload().checksum_algorithm(ChecksumAlgorithm::Sha256).send();
    assert_eq!(refusal(other.await), refused("InvalidRequest", 400));
    let put = store.s3.put_object().bucket(BUCKET).key("put").body(ByteStream::from(vec![1]));
    let wrong_crc = put.checksum_crc32("AAAAAA==").send();
    assert_eq!(refusal(wrong_crc.await), refused("BadDigest", 400));

    assert_eq!(store.litter(), [id.as_str()]);
    store.complete(&id, &[&good]).await.unwrap();
    assert_eq!(store.file(KEY), content(1, 100));
}

#[tokio::test]
async fn every_checksum_of_the_client_is_checked_and_answered() {
    let store = Store::start().await;
    for algorithm in ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"] {
        let algorithm = ChecksumAlgorithm::from(algorithm);
        let put = store.s3.put_object().bucket(BUCKET).key("checked");
        let put = put.checksum_algorithm(algorithm.clone()).body(ByteStream::from(vec![7; 5000]));
        let put = put.send().await.unwrap();
        let answered = [
            put.checksum_crc32(),
            put.checksum_crc32_c(),
            put.checksum_crc64_nvme(),
            put.checksum_sha1(),
            put.checksum_sha256(),
        ];
        assert_eq!(answered.into_iter().flatten().count(), 1, "{algorithm:?}");
    }
}

#[tokio::test]
async fn a_streamed_body_with_its_checksum_behind_it_is_checked() {
    let store = Store::start().await;
    let path = store.dir.path().join("a source");
    std::fs::write(&path, content(3, 300_000)).unwrap();
    let body = ByteStream::from_path(&path).await.unwrap();
    let put = store.s3.put_object().bucket(BUCKET).key("streamed").body(body);
    let put = put.checksum_algorithm(ChecksumAlgorithm::Crc32).send().await.unwrap();
    assert!(put.checksum_crc32().is_some());
    assert_eq!(store.file("streamed"), content(3, 300_000));
}

#[tokio::test]
async fn hostile_keys_are_refused_and_odd_ones_are_files() {
    let store = Store::start().await;
    let put = |key: &str| {
        let put = store.s3.put_object().bucket(BUCKET).key(key);
        put.body(ByteStream::from(key.as_bytes().to_vec())).send()
    };
    for key in [
        "../out",
        "a/../../out",
        "/absolute",
        "a//b",
        "folder/",
        "a\0b",
        "a\nb",
        ".uploads/x",
        "a/.uploads",
        ".",
    ] {
        let (code, status) = refusal(put(key).await);
        assert_eq!((code.as_str(), status), ("InvalidArgument", 400), "{key:?}");
        let create = store.s3.create_multipart_upload().bucket(BUCKET).key(key).send();
        let (code, status) = refusal(create.await);
        assert_eq!((code.as_str(), status), ("InvalidArgument", 400), "{key:?}");
    }
    let sibling = store.dir.path().with_file_name("out");
    assert!(!sibling.exists());
    for key in ["k".repeat(1025), "n".repeat(256), "a/".repeat(512) + "b"] {
        assert_eq!(refusal(put(&key).await), refused("KeyTooLongError", 400));
    }

    let deep = format!("{0}/{0}/{0}/{0}/", "d".repeat(250)) + &"e".repeat(20);
    assert_eq!(deep.len(), 1024);
    let odd = ["ü 漢 🎥.mp4", "a~b>c?d#e&f+g%h=i;j:k.mp4", "%2e%2e", "..a/...", "'\"<&>"];
    for key in odd.into_iter().chain(["f".repeat(64).as_str(), &deep]) {
        put(key).await.unwrap();
        assert_eq!(store.file(key), key.as_bytes());
        assert_eq!(store.get(key).await, key.as_bytes());
    }
    let list = store.s3.list_objects_v2().bucket(BUCKET).send().await.unwrap();
    assert_eq!(list.contents().len(), odd.len() + 2);
}

#[tokio::test]
async fn there_is_one_bucket() {
    let store = Store::start().await;
    store.s3.head_bucket().bucket(BUCKET).send().await.unwrap();
    let buckets = store.s3.list_buckets().send().await.unwrap();
    let names: Vec<_> = buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect();
    assert_eq!(names, [BUCKET]);

    let (_, status) = refusal(store.s3.head_bucket().bucket("another").send().await);
    assert_eq!(status, 404);
    let put = store.s3.put_object().bucket("another").key("a").body(ByteStream::from(vec![1]));
    assert_eq!(refusal(put.send().await), refused("NoSuchBucket", 404));
    let create = store.s3.create_multipart_upload().bucket("another").key("a").send();
    assert_eq!(refusal(create.await), refused("NoSuchBucket", 404));
}

#[tokio::test]
async fn objects_can_be_missing_replaced_and_deleted() {
    let store = Store::start().await;
    let get = || store.s3.get_object().bucket(BUCKET).key(KEY).send();
    let delete = || store.s3.delete_object().bucket(BUCKET).key(KEY).send();
    assert_eq!(refusal(get().await), refused("NoSuchKey", 404));
    delete().await.unwrap();
    store.put(KEY, b"one").await;
    store.put(KEY, b"two").await;
    assert_eq!(store.get(KEY).await, b"two");
    delete().await.unwrap();
    assert!(!store.server.object_path(KEY).exists());
    let (_, status) = refusal(store.s3.head_object().bucket(BUCKET).key(KEY).send().await);
    assert_eq!(status, 404);
}

#[tokio::test]
async fn only_the_right_secret_opens_the_store() {
    let store = Store::start().await;
    let stranger = client(&store.server, "guess");
    let create = stranger.create_multipart_upload().bucket(BUCKET).key(KEY).send();
    assert_eq!(refusal(create.await), refused("SignatureDoesNotMatch", 403));
    let anonymous = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(store.server.endpoint())
        .region(Region::new("us-east-1"))
        .force_path_style(true)
        .allow_no_auth();
    let list = Client::from_conf(anonymous.build()).list_objects_v2().bucket(BUCKET).send();
    assert_eq!(refusal(list.await), refused("AccessDenied", 403));
    assert!(!format!("{:?}", credentials("my-secret")).contains("my-secret"));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a file");
    std::fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("below"), Path::new("/proc/recordings").to_owned()] {
        let error = Server::start(&folder, credentials("secret")).await.unwrap_err();
        assert!(matches!(&error, Error::Folder { dir, .. } if *dir == folder), "{error:?}");
        assert!(error.to_string().contains(&folder.display().to_string()), "{error}");
    }
}

#[tokio::test]
async fn stopping_lets_a_request_in_flight_finish() {
    let store = Store::start().await;
    let id = store.create(KEY).await;
    let upload = store.s3.upload_part().bucket(BUCKET).key(KEY).upload_id(&id).part_number(1);
    let soon = PresigningConfig::expires_in(Duration::from_mins(10)).unwrap();
    let url = upload.presigned(soon).await.unwrap().uri().to_owned();
    let address = store.server.endpoint().trim_start_matches("http://").to_owned();
    let target = url.split_once(&address).unwrap().1;
    let mut socket = TcpStream::connect(&address).await.unwrap();
    let head = format!("PUT {target} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 10\r\n\r\n");
    socket.write_all(format!("{head}01234").as_bytes()).await.unwrap();
    // The request is in flight once there is a file for its body, beside those of
    // the upload itself.
    let folder = store.dir.path().join(".uploads").join(&id);
    let in_flight = async {
        while std::fs::read_dir(&folder).unwrap().count() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), in_flight).await.unwrap();

    let stop = tokio::spawn(store.server.stop());
    let refusing = async { while TcpStream::connect(&address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(10), refusing).await.unwrap();
    assert!(!stop.is_finished());
    socket.write_all(b"56789").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop.await.unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the sizes, the object is its parts end to end.
    #[test]
    fn an_object_is_its_parts(sizes in prop::collection::vec(0usize..300_000, 1..4), last in 0usize..100_000) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = Store::start().await;
            let id = store.create(KEY).await;
            let sizes = sizes.iter().map(|size| MIN_PART + size).chain([last]);
            let (mut parts, mut whole) = (Vec::new(), Vec::new());
            for (number, size) in (1..).zip(sizes) {
                let body = content(u8::try_from(number).unwrap(), size);
                whole.extend_from_slice(&body);
                parts.push(store.upload_part(&id, number, body).await);
            }
            store.complete(&id, &parts.iter().collect::<Vec<_>>()).await.unwrap();
            assert!(store.file(KEY) == whole);
        });
    }
}
