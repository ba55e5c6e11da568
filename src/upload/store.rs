//! What an upload asks of a store, and how a store says what went wrong.
//!
//! It must not know HTTP or an SDK: `s3.rs` translates.

use std::error::Error;
use std::fmt;

use bytes::Bytes;

use super::plan::{Payload, Receipt};

/// Where the recording will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// The store's name for an upload that is not completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UploadId(pub String);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The finished object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completed {
    pub etag: String,
    /// CRC-32 as the store says it: base64 of that of the whole object; or, with
    /// `-<parts>` behind it, of the parts' checksums.
    pub checksum: Option<String>,
    /// Whether that is what the bytes sent amount to; `None` if the store says
    /// no checksum.
    pub verified: Option<bool>,
    pub bytes: u64,
}

/// One object in the making. Every call ends by itself within a time that
/// depends on the bytes it sends; it may be repeated with the same arguments.
pub trait PartStore: Send + Sync + 'static {
    fn object(&self) -> &Object;

    fn create(&self) -> impl Future<Output = Result<UploadId, StoreError>> + Send;

    /// Stores a part, or replaces it if the number was stored before. `attempt`
    /// counts from 0: the first is given up early, later ones wait longer.
    fn put_part(
        &self,
        upload: &UploadId,
        number: u16,
        payload: Payload,
        attempt: u32,
    ) -> impl Future<Output = Result<Receipt, StoreError>> + Send;

    /// Makes the object of `parts`, ascending by number, `bytes` in all.
    /// Succeeds too if an earlier call made it and its answer was lost.
    fn complete(
        &self,
        upload: &UploadId,
        parts: &[(u16, Receipt)],
        bytes: u64,
    ) -> impl Future<Output = Result<Completed, StoreError>> + Send;

    /// Stores a small object of its own in the same bucket.
    fn put_beside(
        &self,
        key: &str,
        content_type: &str,
        bytes: Bytes,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Throws the parts away.
    fn abort(&self, upload: &UploadId) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// What the caller can do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ask again: network, time-out, an error inside the store.
    Transient,
    /// Ask again, later: the store wants fewer requests.
    Throttled,
    /// Credentials are missing, wrong, or may not do this.
    Denied,
    /// The bucket or the upload does not exist.
    Missing,
    /// The store has no space left.
    Full,
    /// A part of the upload is another one than the request says.
    Replaced,
    /// The store will never take this request.
    Rejected,
}

impl Kind {
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Transient | Self::Throttled)
    }

    /// Whether a completion that failed like that may have been done: by a request whose answer
    /// got lost, where the upload is gone.
    pub fn may_have_happened(self) -> bool {
        self.is_retryable() || self == Self::Missing
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Transient => "failed",
            Self::Throttled => "was throttled",
            Self::Denied => "was denied",
            Self::Missing => "found no such bucket or upload",
            Self::Full => "found no space left",
            Self::Replaced => "found another part than it should",
            Self::Rejected => "was rejected",
        }
    }
}

/// A request, by the name it has in S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    PutPart {
        number: u16,
    },
    Complete,
    Abort,
    PutBeside,
    /// Uploads or parts.
    List,
    Copy,
    Read,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("CreateMultipartUpload"),
            Self::PutPart { number } => write!(f, "UploadPart {number}"),
            Self::Complete => f.write_str("CompleteMultipartUpload"),
            Self::Abort => f.write_str("AbortMultipartUpload"),
            Self::PutBeside => f.write_str("PutObject"),
            Self::List => f.write_str("the list of uploads"),
            Self::Copy => f.write_str("UploadPartCopy"),
            Self::Read => f.write_str("GetObject"),
        }
    }
}

/// A request that did not do what it should.
#[derive(Debug)]
pub struct StoreError {
    pub kind: Kind,
    pub operation: Operation,
    pub object: Object,
    /// HTTP status of the answer, if one came.
    pub status: Option<u16>,
    /// The store's word for it, such as `NoSuchBucket`.
    pub code: Option<String>,
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} for {} {}", self.operation, self.object, self.kind.describe())?;
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, " (HTTP {status}, {code})"),
            (Some(status), None) => write!(f, " (HTTP {status})"),
            (None, Some(code)) => write!(f, " ({code})"),
            (None, None) => Ok(()),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
