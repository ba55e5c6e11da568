//! The upload against a server that is none of ours, encrypted and checksummed.

use std::sync::Arc;

use aws_sdk_s3::types::ServerSideEncryption;
use bytes::Bytes;
use recorder::upload::s3::{Encryption, S3Store};
use recorder::upload::store::Object;
use recorder::upload::{self, Uploader};

use crate::support::film::Film;
use crate::support::recorder::Site;
use crate::support::servers::{ACCESS_KEY, EncryptingStore, REGION, SECRET_KEY};

const BUCKET: &str = "films";

#[tokio::test]
async fn an_encrypted_film_is_stored_whole_by_another_server() {
    let site = Site::new().await;
    let store = EncryptingStore::start(&site.path("")).await;
    let client = store.client().await;
    store.create_bucket(&client, BUCKET).await;

    // Several parts, the last one short.
    let key = "RECORDINGS/2026/11/22/18/a é ~ >.mp4";
    let object = Object { bucket: BUCKET.into(), key: key.into() };
    let encryption = Encryption::KmsKey(store.key.clone());
    let s3 = Arc::new(S3Store::new(client.clone(), object, encryption));
    let config = upload::Config {
        parts_in_flight: upload::PARTS_IN_FLIGHT,
        checkpoint: None,
        memory_bytes: 64 << 20,
        spool: upload::spool::Config { dir: site.path("spool"), limit: 0 },
        give_up_after: upload::NEVER_GIVE_UP,
        give_up_starting_after: upload::GIVE_UP_STARTING_AFTER,
        jitter: || 0.5,
    };
    let mut uploader = Uploader::start(s3, config).await.unwrap();
    let film: Vec<u8> =
        (0..12_345_678u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for piece in film.chunks(100_000) {
        uploader.put(vec![Bytes::copy_from_slice(piece)]).await.unwrap();
    }
    let completed = uploader.finish(None).await.unwrap().unwrap();
    assert_eq!(completed.bytes, film.len() as u64);
    let stored = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    assert_eq!(stored.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    assert_eq!(stored.ssekms_key_id(), Some(store.key.as_str()));
    assert_eq!(stored.content_type(), Some("video/mp4"));
    assert_eq!(stored.content_encoding(), None);
    assert!(stored.body.collect().await.unwrap().into_bytes() == film, "other bytes came back");

    // The whole recorder, as a container is started.
    let key = "RECORDINGS/2026/11/22/18/film.mp4";
    let page = concat!("file://", env!("CARGO_MANIFEST_DIR"), "/src/local/testpage.html");
    let mut command = site.recorder(&["--duration", "4s"]);
    command
        .env("RECORDER_URL", page)
        .env("RECORDING_BUCKET_NAME", BUCKET)
        .env("RECORDING_FILE_NAME", key)
        .env("AWS_REGION", REGION)
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        .env("RECORDER_S3_ENDPOINT", &store.endpoint)
        .env("RECORDER_SSE_KMS_KEY", &store.key);
    let ended = site.run(command).await;
    let report = ended.report();
    assert_eq!(report["media"], "complete", "{}", ended.log);
    let stored = client.get_object().bucket(BUCKET).key(key).send().await.unwrap();
    assert_eq!(stored.server_side_encryption(), Some(&ServerSideEncryption::AwsKms));
    let bytes = stored.body.collect().await.unwrap().into_bytes();
    assert_eq!(report["object"]["bytes"], bytes.len());
    let copy = site.path("film.mp4");
    std::fs::write(&copy, &bytes).unwrap();
    let film = Film::open(&copy);
    assert_eq!(film.video["width"], 1280);
    assert!((3.5..=4.5).contains(&film.seconds), "{} s", film.seconds);
}
