//! What a recovery asks of S3. Thin, like `upload/s3.rs`, whose time-outs and
//! sorting of errors it shares.

use std::ops::Range;
use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, ServerSideEncryption};

use crate::upload::plan::Payload;
use crate::upload::s3::{self, ANSWER_TIMEOUT, COMPLETE_TIMEOUT, within};
use crate::upload::store::{Object, Operation, PartStore, StoreError, UploadId};

/// The store copies up to 256 MiB meanwhile.
const COPY_TIMEOUT: Duration = Duration::from_mins(5);

/// Attempts for a part; an outage is no reason to wait, for a recovery can be
/// run again at any time.
const ATTEMPTS: u32 = 3;

/// One bucket to recover in.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
}

/// An upload that was not completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenUpload {
    pub key: String,
    pub id: String,
    /// When it was created, if that was listed.
    pub initiated: Option<SystemTime>,
}

/// A part as the store lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub number: u16,
    pub bytes: u64,
    pub etag: String,
    /// Base64 of the CRC-32.
    pub checksum: Option<String>,
    pub modified: Option<SystemTime>,
}

/// An object as it was found; to be read only as long as it is the same.
#[derive(Clone, Debug)]
pub struct Found {
    pub key: String,
    pub bytes: u64,
    etag: String,
    encryption: s3::Encryption,
}

impl Bucket {
    pub fn new(client: Client, name: impl Into<String>) -> Self {
        Self { client, name: name.into() }
    }

    pub fn object(&self, key: &str) -> Object {
        Object { bucket: self.name.clone(), key: key.to_owned() }
    }

    /// The uploads that are open, by key.
    pub async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        let failure = |error| s3::failure(&self.object(prefix), Operation::List, error);
        let mut open = Vec::new();
        let (mut key, mut id) = (None, None);
        loop {
            let page = self
                .client
                .list_multipart_uploads()
                .bucket(&self.name)
                .prefix(prefix)
                .set_key_marker(key)
                .set_upload_id_marker(id)
                .customize()
                .config_override(within(ANSWER_TIMEOUT))
                .send()
                .await
                .map_err(failure)?;
            for upload in page.uploads() {
                let (Some(key), Some(id)) = (upload.key(), upload.upload_id()) else { continue };
                open.push(OpenUpload {
                    key: key.to_owned(),
                    id: id.to_owned(),
                    initiated: time(upload.initiated()),
                });
            }
            (key, id) = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) || key.is_none() {
                return Ok(open);
            }
        }
    }

    /// The parts of an upload; `None` if it is not open any more.
    pub async fn parts(&self, upload: &OpenUpload) -> Result<Option<Vec<Listed>>, StoreError> {
        let mut parts = Vec::new();
        let mut marker = None;
        loop {
            let page = self
                .client
                .list_parts()
                .bucket(&self.name)
                .key(&upload.key)
                .upload_id(&upload.id)
                .set_part_number_marker(marker)
                .customize()
                .config_override(within(ANSWER_TIMEOUT))
                .send()
                .await;
            let page = match page {
                Ok(page) => page,
                Err(error) if error.code() == Some("NoSuchUpload") => return Ok(None),
                Err(error) => {
                    return Err(s3::failure(&self.object(&upload.key), Operation::List, error));
                }
            };
            for part in page.parts() {
                let number = part.part_number().and_then(|number| u16::try_from(number).ok());
                let (Some(number), Some(etag)) = (number, part.e_tag()) else { continue };
                parts.push(Listed {
                    number,
                    bytes: part.size().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
                    etag: etag.to_owned(),
                    checksum: part.checksum_crc32().map(str::to_owned),
                    modified: time(part.last_modified()),
                });
            }
            marker = page.next_part_number_marker;
            if page.is_truncated != Some(true) || marker.is_none() {
                return Ok(Some(parts));
            }
        }
    }

    /// Makes the object. Succeeds too if the upload was completed before.
    pub async fn complete(&self, upload: &OpenUpload, parts: &[Listed]) -> Result<(), StoreError> {
        let list = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part.number.into())
                .e_tag(&part.etag)
                .set_checksum_crc32(part.checksum.clone())
                .build()
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(list.collect())).build();
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(&self.name)
            .key(&upload.key)
            .upload_id(&upload.id)
            .multipart_upload(list)
            .customize()
            .config_override(within(COMPLETE_TIMEOUT))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // By an attempt whose answer was lost, or by another recovery: whoever
            // asks next looks at the object.
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(s3::failure(&self.object(&upload.key), Operation::Complete, error)),
        }
    }

    /// The object, if there is one.
    pub async fn find(&self, key: &str) -> Result<Option<Found>, StoreError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.name)
            .key(key)
            .customize()
            .config_override(within(ANSWER_TIMEOUT))
            .send()
            .await;
        let head = match head {
            Ok(head) => head,
            Err(error) if error.raw_response().is_some_and(|it| it.status().as_u16() == 404) => {
                return Ok(None);
            }
            Err(error) => return Err(s3::failure(&self.object(key), Operation::Read, error)),
        };
        let encryption = match (head.server_side_encryption(), head.ssekms_key_id()) {
            (Some(ServerSideEncryption::AwsKms), Some(id)) => s3::Encryption::KmsKey(id.into()),
            (Some(ServerSideEncryption::AwsKms), None) => s3::Encryption::Kms,
            _ => s3::Encryption::BucketDefault,
        };
        Ok(Some(Found {
            key: key.to_owned(),
            bytes: head.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            etag: head.e_tag().unwrap_or_default().to_owned(),
            encryption,
        }))
    }

    /// The bytes `begin..end` of the object; `None` if it is another one by now.
    pub async fn read(
        &self,
        found: &Found,
        begin: u64,
        end: u64,
    ) -> Result<Option<ByteStream>, StoreError> {
        if begin == end {
            return Ok(Some(ByteStream::default()));
        }
        let answer = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(&found.key)
            .range(format!("bytes={begin}-{}", end - 1))
            .if_match(&found.etag)
            .send()
            .await;
        match answer {
            Ok(answer) => Ok(Some(answer.body)),
            Err(error) if is_another(error.code()) => Ok(None),
            Err(error) => Err(s3::failure(&self.object(&found.key), Operation::Read, error)),
        }
    }

    /// An upload for another form of the object.
    pub async fn create(&self, found: &Found) -> Result<OpenUpload, StoreError> {
        let UploadId(id) = self.store(found).create().await?;
        Ok(OpenUpload { key: found.key.clone(), id, initiated: None })
    }

    /// Stores another form of the object at once.
    pub async fn put_object(&self, found: &Found, payload: Payload) -> Result<(), StoreError> {
        let bytes = payload.pieces().concat().into();
        self.store(found).put_beside(&found.key, s3::CONTENT_TYPE, bytes).await
    }

    /// Stores a part.
    pub async fn put_part(
        &self,
        upload: &OpenUpload,
        number: u16,
        payload: Payload,
    ) -> Result<Listed, StoreError> {
        let object = self.object(&upload.key);
        let store = s3::S3Store::new(self.client.clone(), object, s3::Encryption::BucketDefault);
        let id = UploadId(upload.id.clone());
        let mut attempt = 0;
        loop {
            match store.put_part(&id, number, payload.clone(), attempt).await {
                Ok(receipt) => {
                    return Ok(Listed {
                        number,
                        bytes: receipt.bytes,
                        checksum: Some(s3::base64_of(receipt.crc32)),
                        etag: receipt.etag,
                        modified: None,
                    });
                }
                Err(error) if error.kind.is_retryable() && attempt + 1 < ATTEMPTS => attempt += 1,
                Err(error) => return Err(error),
            }
        }
    }

    /// Has the store copy a range of the object; `None` if that is another one by now.
    pub async fn copy_part(
        &self,
        found: &Found,
        upload: &OpenUpload,
        number: u16,
        range: Range<u64>,
    ) -> Result<Option<Listed>, StoreError> {
        let answer = self
            .client
            .upload_part_copy()
            .bucket(&self.name)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(number.into())
            .copy_source(copy_source(&self.name, &found.key))
            .copy_source_if_match(&found.etag)
            .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1))
            .customize()
            .config_override(within(COPY_TIMEOUT))
            .send()
            .await;
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) if is_another(error.code()) => return Ok(None),
            Err(error) => {
                return Err(s3::failure(&self.object(&found.key), Operation::Copy, error));
            }
        };
        let copied = answer
            .copy_part_result
            .unwrap_or_else(|| aws_sdk_s3::types::CopyPartResult::builder().build());
        Ok(Some(Listed {
            number,
            bytes: range.end - range.start,
            etag: copied.e_tag.unwrap_or_default(),
            checksum: copied.checksum_crc32,
            modified: None,
        }))
    }

    /// Removes an upload.
    pub async fn abort(&self, upload: &OpenUpload) -> Result<(), StoreError> {
        let object = self.object(&upload.key);
        let store = s3::S3Store::new(self.client.clone(), object, s3::Encryption::BucketDefault);
        store.abort(&UploadId(upload.id.clone())).await
    }

    fn store(&self, found: &Found) -> s3::S3Store {
        let encryption = found.encryption.clone();
        s3::S3Store::new(self.client.clone(), self.object(&found.key), encryption)
    }
}

/// As the header wants it: percent-encoded, but for the slashes.
fn copy_source(bucket: &str, key: &str) -> String {
    let mut source = format!("{bucket}/");
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                source.push(byte.into());
            }
            _ => source.extend(['%', hex(byte >> 4), hex(byte & 15)]),
        }
    }
    source
}

fn hex(digit: u8) -> char {
    char::from_digit(digit.into(), 16).expect("four bits").to_ascii_uppercase()
}

/// Whether an answer says that the object is not the one that was found.
fn is_another(code: Option<&str>) -> bool {
    matches!(code, Some("PreconditionFailed" | "NoSuchKey" | "NotFound"))
}

fn time(at: Option<&aws_sdk_s3::primitives::DateTime>) -> Option<SystemTime> {
    at.and_then(|at| SystemTime::try_from(*at).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_encoded_in_the_header_that_names_it() {
        assert_eq!(copy_source("b", "a/b é~?.mp4"), "b/a/b%20%C3%A9~%3F.mp4");
    }

    #[test]
    fn a_change_of_the_object_is_told_apart_from_other_trouble() {
        assert!(is_another(Some("PreconditionFailed")));
        assert!(!is_another(Some("AccessDenied")) && !is_another(None));
    }
}
