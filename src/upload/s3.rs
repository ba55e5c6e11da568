//! The store that speaks S3, through the AWS SDK.
//!
//! Thin: it builds requests, says how long each may take, and sorts what comes
//! back into the kinds of [`StoreError`]. It must not know parts in flight or
//! long outages: the SDK repeats a small request for a blip, the uploader the rest.

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Builder, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
    ServerSideEncryption,
};
use base64::prelude::{BASE64_STANDARD, Engine};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::plan::{Payload, Receipt};
use super::store::{Completed, Kind, Object, Operation, PartStore, StoreError, UploadId};

pub(crate) const CONTENT_TYPE: &str = "video/mp4";

/// A host that is there answers the handshake within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For a request whose body is small, and for the answer to one that is large.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// S3 may take minutes to put a very large object together, but a time-out
/// does no harm: the next attempt waits with it, or finds the object. An answer
/// that never comes must not take all the time that the end has.
pub(crate) const COMPLETE_TIMEOUT: Duration = Duration::from_secs(20);

/// The line a part is first expected to have, bytes per second.
const USUAL_LINE: u64 = 1024 * 1024;

/// The slowest line a part is waited for in the end, bytes per second: 256 kbit/s,
/// which is less than sound and a picture at rest need. Slower is taken for stuck.
const SLOWEST_LINE: u64 = 32 * 1024;

/// Attempts of the SDK for one call, enough for a blip.
const ATTEMPTS: u32 = 3;
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// How to reach S3 or a server that speaks like it.
#[derive(Clone, Debug, Default)]
pub struct ClientSettings {
    /// `None`: as environment, profile or instance say.
    pub region: Option<String>,
    /// Base URL of a server that is not AWS.
    pub endpoint: Option<String>,
    /// The bucket in the path instead of in the host name.
    pub force_path_style: bool,
    /// `None`: environment, profile, container or instance, renewed when they expire.
    pub credentials: Option<Credentials>,
}

/// Does not speak to S3 yet; without a region or static credentials it may ask
/// the instance's metadata service.
pub async fn client(settings: ClientSettings) -> Client {
    let retries =
        RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(FIRST_BACKOFF);
    // The SDK calls a body stalled that is not read for some seconds. On a slow
    // line that is normal: the kernel has buffered megabytes of it. Each attempt
    // has a time-out of its own.
    let stalls = StalledStreamProtectionConfig::enabled().upload_enabled(false).build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .retry_config(retries)
        .stalled_stream_protection(stalls);
    if let Some(region) = settings.region {
        loader = loader.region(Region::new(region));
    }
    if let Some(endpoint) = settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(credentials) = settings.credentials {
        loader = loader.credentials_provider(credentials);
    }
    let shared = loader.load().await;
    Client::from_conf(Builder::from(&shared).force_path_style(settings.force_path_style).build())
}

/// How the object is encrypted in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Encryption {
    /// As the bucket is set up.
    #[default]
    BucketDefault,
    /// With the account's AWS managed KMS key.
    Kms,
    /// With this KMS key: an id, an ARN or an alias.
    KmsKey(String),
}

impl Encryption {
    /// The algorithm and the key that a request names.
    fn headers(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match self {
            Self::BucketDefault => (None, None),
            Self::Kms => (Some(ServerSideEncryption::AwsKms), None),
            Self::KmsKey(key) => (Some(ServerSideEncryption::AwsKms), Some(key.clone())),
        }
    }
}

/// One object of one bucket.
#[derive(Clone, Debug)]
pub struct S3Store {
    client: Client,
    object: Object,
    encryption: Encryption,
}

impl S3Store {
    pub fn new(client: Client, object: Object, encryption: Encryption) -> Self {
        Self { client, object, encryption }
    }

    fn failure<E>(&self, operation: Operation, error: SdkError<E>) -> StoreError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        failure(&self.object, operation, error)
    }

    async fn create_with(&self, kind: Option<ChecksumType>) -> Result<UploadId, StoreError> {
        let (encryption, key) = self.encryption.headers();
        let created = self
            .client
            .create_multipart_upload()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .content_type(CONTENT_TYPE)
            .checksum_algorithm(ChecksumAlgorithm::Crc32)
            .set_checksum_type(kind)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key)
            .customize()
            .config_override(within(ANSWER_TIMEOUT))
            .send()
            .await
            .map_err(|error| self.failure(Operation::Create, error))?;
        let id = created.upload_id.filter(|id| !id.is_empty());
        id.map(UploadId).ok_or_else(|| self.lacks(Operation::Create, "the answer has no upload id"))
    }

    /// The answer was a success but lacks what every S3 says.
    fn lacks(&self, operation: Operation, what: &'static str) -> StoreError {
        StoreError {
            kind: Kind::Transient,
            operation,
            object: self.object.clone(),
            status: Some(200),
            code: None,
            source: Some(what.into()),
        }
    }

    /// The object, if it is there and is the one made of `parts`.
    async fn find(&self, parts: &[(u16, Receipt)], bytes: u64) -> Option<Completed> {
        let head = self
            .client
            .head_object()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .checksum_mode(ChecksumMode::Enabled)
            .customize()
            .config_override(within(ANSWER_TIMEOUT))
            .send()
            .await
            .ok()?;
        let size_fits = head.content_length() == i64::try_from(bytes).ok();
        // Not every store keeps a checksum.
        let checksum_fits = verified(head.checksum_crc32(), parts) != Some(false);
        (size_fits && checksum_fits).then(|| Completed {
            etag: head.e_tag().unwrap_or_default().to_owned(),
            checksum: head.checksum_crc32().map(str::to_owned),
            verified: verified(head.checksum_crc32(), parts),
            bytes,
        })
    }
}

impl PartStore for S3Store {
    fn object(&self) -> &Object {
        &self.object
    }

    async fn create(&self) -> Result<UploadId, StoreError> {
        // One checksum of the whole object is worth more than one of the parts'
        // checksums: whoever has a copy can compute it. Not every store has it.
        match self.create_with(Some(ChecksumType::FullObject)).await {
            Err(error) if error.kind == Kind::Rejected => self.create_with(None).await,
            created => created,
        }
    }

    async fn put_part(
        &self,
        upload: &UploadId,
        number: u16,
        payload: Payload,
        attempt: u32,
    ) -> Result<Receipt, StoreError> {
        let operation = Operation::PutPart { number };
        // The SDK would put the checksum of a body in pieces behind it, in
        // aws-chunked form, which some stores take for the object's own content
        // encoding. Given a checksum it sends the pieces, and copies none of them.
        let (crc32, bytes) = (crc32(&payload), payload.len() as u64);
        let stored = self
            .client
            .upload_part()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .upload_id(&upload.0)
            .part_number(i32::from(number))
            .checksum_crc32(base64_of(crc32))
            .body(body(payload))
            .customize()
            // Repeated by the uploader, which counts it and grows the patience.
            .config_override(
                within(part_timeout(bytes, attempt)).retry_config(RetryConfig::disabled()),
            )
            .send()
            .await
            .map_err(|error| self.failure(operation, error))?;
        let etag = stored.e_tag.ok_or_else(|| self.lacks(operation, "the answer has no ETag"))?;
        Ok(Receipt { etag, crc32, bytes })
    }

    async fn complete(
        &self,
        upload: &UploadId,
        parts: &[(u16, Receipt)],
        bytes: u64,
    ) -> Result<Completed, StoreError> {
        let list = parts.iter().map(|(number, receipt)| {
            CompletedPart::builder()
                .part_number(i32::from(*number))
                .e_tag(&receipt.etag)
                .checksum_crc32(base64_of(receipt.crc32))
                .build()
        });
        let answer = self
            .client
            .complete_multipart_upload()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .upload_id(&upload.0)
            .multipart_upload(
                CompletedMultipartUpload::builder().set_parts(Some(list.collect())).build(),
            )
            .customize()
            .config_override(within(COMPLETE_TIMEOUT))
            .send()
            .await;
        let error = match answer {
            Ok(answer) => match answer.e_tag {
                Some(etag) => {
                    let checksum = answer.checksum_crc32;
                    let verified = verified(checksum.as_deref(), parts);
                    return Ok(Completed { etag, checksum, verified, bytes });
                }
                None => self.lacks(Operation::Complete, "the answer has no ETag"),
            },
            Err(error) => self.failure(Operation::Complete, error),
        };
        // An upload is gone once it is completed, so a repeated request whose
        // first answer was lost is refused; and some servers say in a form of
        // their own that all went well. The object decides.
        let unreadable = error.status == Some(200) && error.code.is_none();
        if error.kind.is_retryable() && !unreadable {
            return Err(error);
        }
        self.find(parts, bytes).await.ok_or(error)
    }

    async fn put_beside(
        &self,
        key: &str,
        content_type: &str,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let (encryption, kms_key) = self.encryption.headers();
        let patience = part_timeout(bytes.len() as u64, 1);
        self.client
            .put_object()
            .bucket(&self.object.bucket)
            .key(key)
            .content_type(content_type)
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .body(bytes.into())
            .customize()
            .config_override(within(patience))
            .send()
            .await
            .map_err(|error| self.failure(Operation::PutBeside, error))?;
        Ok(())
    }

    async fn abort(&self, upload: &UploadId) -> Result<(), StoreError> {
        let answer = self
            .client
            .abort_multipart_upload()
            .bucket(&self.object.bucket)
            .key(&self.object.key)
            .upload_id(&upload.0)
            .customize()
            .config_override(within(ANSWER_TIMEOUT))
            .send()
            .await;
        match answer {
            Ok(_) => Ok(()),
            // Aborted before, by a request whose answer was lost.
            Err(error) if error.code() == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(self.failure(Operation::Abort, error)),
        }
    }
}

/// What a failed request means.
pub(crate) fn failure<E>(object: &Object, operation: Operation, error: SdkError<E>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    StoreError {
        kind: kind_of(&error),
        operation,
        object: object.clone(),
        status: error.raw_response().map(|answer| answer.status().as_u16()),
        code: error.code().map(str::to_owned),
        source: Some(Box::new(error)),
    }
}

/// Settings of one request: how long an attempt of it may take.
pub(crate) fn within(attempt: Duration) -> Builder {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(attempt)
        .build();
    aws_sdk_s3::Config::builder().timeout_config(timeouts)
}

fn kind_of<E: ProvideErrorMetadata + Error + 'static>(error: &SdkError<E>) -> Kind {
    if let Some(answer) = error.raw_response() {
        return kind_of_answer(answer.status().as_u16(), error.code());
    }
    match causes(error).find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        Some(
            CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_),
        ) => return Kind::Denied,
        Some(_) => return Kind::Transient,
        None => {}
    }
    match error {
        // The request could not be made: no region, a bucket that no name fits.
        SdkError::ConstructionFailure(_) => Kind::Rejected,
        SdkError::DispatchFailure(failure) if failure.is_user() => Kind::Rejected,
        _ => Kind::Transient,
    }
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// The code comes first: it is more exact, and an error may come with status 200.
fn kind_of_answer(status: u16, code: Option<&str>) -> Kind {
    code.and_then(kind_of_code).unwrap_or(match status {
        507 => Kind::Full,
        429 | 503 => Kind::Throttled,
        401 | 403 => Kind::Denied,
        404 => Kind::Missing,
        // A success that cannot be read was cut off or came from something between.
        200..=299 | 408 | 500..=599 => Kind::Transient,
        _ => Kind::Rejected,
    })
}

/// Codes that say more than the status they come with.
fn kind_of_code(code: &str) -> Option<Kind> {
    Some(match code {
        "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded" => {
            Kind::Throttled
        }
        // Damaged or held up on the way, or a race that the next attempt need not lose.
        "BadDigest" | "XAmzContentChecksumMismatch" | "IncompleteBody" | "RequestTimeout"
        | "RequestTimeTooSkewed" | "OperationAborted" | "InternalError"
        // Roles renew their credentials, so a later attempt has others.
        | "ExpiredToken" | "ExpiredTokenException" => Kind::Transient,
        "AccessDenied" | "InvalidAccessKeyId" | "InvalidToken" | "SignatureDoesNotMatch" => {
            Kind::Denied
        }
        "NoSuchBucket" | "NoSuchUpload" => Kind::Missing,
        "InvalidPart" => Kind::Replaced,
        "NotImplemented" => Kind::Rejected,
        _ => return None,
    })
}

fn crc32(payload: &Payload) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for piece in payload.pieces() {
        hasher.update(piece);
    }
    hasher.finalize()
}

/// As S3 writes a CRC-32.
pub(crate) fn base64_of(crc32: u32) -> String {
    BASE64_STANDARD.encode(crc32.to_be_bytes())
}

/// Whether what a store says of an object made of `parts` is right.
fn verified(theirs: Option<&str>, parts: &[(u16, Receipt)]) -> Option<bool> {
    let theirs = theirs?;
    let is_composite = theirs.contains('-');
    Some(theirs == if is_composite { checksum_of_checksums(parts) } else { whole_checksum(parts) })
}

/// The CRC-32 of all parts, one behind the other.
fn whole_checksum(parts: &[(u16, Receipt)]) -> String {
    let mut whole = crc32fast::Hasher::new();
    for (_, part) in parts {
        whole.combine(&crc32fast::Hasher::new_with_initial_len(part.crc32, part.bytes));
    }
    base64_of(whole.finalize())
}

/// The CRC-32 of the parts' checksums in binary, and their number.
fn checksum_of_checksums(parts: &[(u16, Receipt)]) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for (_, part) in parts {
        hasher.update(&part.crc32.to_be_bytes());
    }
    format!("{}-{}", base64_of(hasher.finalize()), parts.len())
}

/// An answer that never comes should cost little, and a slow line is no reason
/// to begin again for ever: each attempt has twice the time of the one before.
fn part_timeout(bytes: u64, attempt: u32) -> Duration {
    let at = |rate| ANSWER_TIMEOUT + Duration::from_secs(bytes / rate);
    at(USUAL_LINE).saturating_mul(1 << attempt.min(16)).min(at(SLOWEST_LINE))
}

/// A body that the SDK can send again.
fn body(payload: Payload) -> ByteStream {
    ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Pieces { payload: payload.clone(), sent: 0, left: payload.len() })
    }))
}

/// The pieces of a part, one frame each.
struct Pieces {
    payload: Payload,
    /// Pieces handed out.
    sent: usize,
    /// Bytes not handed out.
    left: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.payload.pieces().get(self.sent).cloned();
        self.sent += 1;
        self.left -= piece.as_ref().map_or(0, Bytes::len);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    /// Exact, so that the request has a content length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left as u64)
    }
}
