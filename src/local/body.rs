//! Bodies on their way between the network and a file: written, hashed and
//! compared with what the client promised, a small piece at a time.
//!
//! It must not know what the file is for.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use s3s::dto::StreamingBlob;
use s3s::{S3Result, TrailingHeaders, s3_error};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::digest::{Algorithm, Checksum, Digest, Digester};
use super::store::Result;

/// Bytes read from a file at once.
const CHUNK: usize = 128 * 1024;

/// What a client says about a body beside sending it.
#[derive(Debug, Default)]
pub(super) struct Promise {
    /// Bytes.
    pub(super) length: Option<i64>,
    /// Base64.
    pub(super) content_md5: Option<String>,
    pub(super) checksum: Option<Checksum>,
    /// A checksum that follows behind the body.
    pub(super) trailer: Option<Algorithm>,
    pub(super) trailers: Option<TrailingHeaders>,
}

impl Promise {
    /// The algorithm to check the body with. `wanted` is the upload's.
    fn algorithm(&self, wanted: Option<Algorithm>) -> S3Result<Option<Algorithm>> {
        let given = self.checksum.as_ref().map(|checksum| checksum.algorithm).or(self.trailer);
        match (wanted, given) {
            (Some(wanted), Some(given)) if wanted != given => Err(s3_error!(
                InvalidRequest,
                "the upload was created with {}, the checksum is {}",
                wanted.name(),
                given.name()
            )),
            _ => Ok(given.or(wanted)),
        }
    }

    fn verify(&self, digest: &Digest) -> S3Result<()> {
        if self.length.is_some_and(|length| u64::try_from(length) != Ok(digest.size)) {
            return Err(s3_error!(IncompleteBody, "the body has {} bytes", digest.size));
        }
        if self.content_md5.as_ref().is_some_and(|md5| *md5 != digest.content_md5()) {
            return Err(s3_error!(BadDigest, "the Content-MD5 is not that of the body"));
        }
        let trailing = self.trailing_checksum()?;
        for promised in [&self.checksum, &trailing].into_iter().flatten() {
            if digest.checksum.as_ref() != Some(promised) {
                let name = promised.algorithm.name();
                return Err(s3_error!(BadDigest, "the {name} is not that of the body"));
            }
        }
        Ok(())
    }

    fn trailing_checksum(&self) -> S3Result<Option<Checksum>> {
        let Some(algorithm) = self.trailer else { return Ok(None) };
        let header = algorithm.header();
        let value = self.trailers.as_ref().and_then(|trailers| {
            trailers.read(|t| t.get(&header).and_then(|v| v.to_str().ok()).map(str::to_owned))?
        });
        match value {
            Some(value) => Ok(Some(Checksum { algorithm, value })),
            None => Err(s3_error!(InvalidRequest, "the trailer {header} is missing")),
        }
    }
}

/// Writes a body to `file`, and returns its digest if it is what was promised.
pub(super) async fn receive(
    body: &mut StreamingBlob,
    promise: &Promise,
    wanted: Option<Algorithm>,
    file: &File,
) -> Result<Digest> {
    let mut digester = Digester::new(promise.algorithm(wanted)?);
    let mut file = tokio::fs::File::from_std(file.try_clone()?);
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| s3_error!(IncompleteBody, "the body broke: {error}"))?;
        digester.update(&bytes);
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    let digest = digester.finish();
    promise.verify(&digest)?;
    Ok(digest)
}

/// Reads what is left of a body. A client that is still sending sees the answer
/// only then; before, it sees a broken connection.
pub(super) async fn drain(body: &mut StreamingBlob) {
    while let Some(Ok(_)) = body.next().await {}
}

/// The next `size` bytes of `file` as a body.
pub(super) fn send(file: File, size: u64) -> StreamingBlob {
    let file = tokio::fs::File::from_std(file);
    StreamingBlob::wrap(stream::try_unfold((file, size), async |(mut file, left)| {
        if left == 0 {
            return Ok(None);
        }
        let mut buffer = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
        let read = file.read(&mut buffer).await?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        buffer.truncate(read);
        Ok(Some((Bytes::from(buffer), (file, left - read as u64))))
    }))
}

/// Copies the next `size` bytes of `source` and returns their digest. Blocks.
pub(super) fn copy(
    source: File,
    size: u64,
    algorithm: Option<Algorithm>,
    mut target: &File,
) -> io::Result<Digest> {
    let mut digester = Digester::new(algorithm);
    let mut source = source.take(size);
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            return Ok(digester.finish());
        }
        digester.update(&buffer[..read]);
        target.write_all(&buffer[..read])?;
    }
}
