//! The operations of S3 that a recording needs, on the bucket's folder.
//!
//! Translates between s3s's types and `store.rs`, `uploads.rs` and `body.rs`.
//! It must not touch files itself; what a parameter may say is in `rules.rs`, how
//! the types of both sides map in `convert.rs`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use s3s::dto::{self, ETag, StreamingBlob, Timestamp};
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};

use super::BUCKET;
use super::body::{Promise, copy, drain, receive, send};
use super::convert::{
    checksum_of, chosen, listed_object, listed_part, listed_upload, promise_of, trailer,
    with_checksum,
};
use super::digest::{Algorithm, Checksum, Digest};
use super::rules::{
    as_i32, as_i64, bytes_of, check_bucket, check_plain_list, check_same, check_unconditional,
    check_unencrypted, checksum, checksum_type, copied_bytes_of, cut, page_size, part_number,
};
use super::store::{self, Error, Store};
use super::uploads::{Completed, Upload};

pub(super) struct Service {
    store: Store,
    /// What became of the uploads completed here, by id. S3 answers a repeated
    /// completion like the first, and a client repeats one that took too long:
    /// the lock makes that second call wait for the first and find its result.
    completed: Arc<Mutex<HashMap<String, Completed>>>,
    /// What shows other processes that the uploads opened here have a living owner.
    held: Mutex<HashMap<String, File>>,
}

impl Service {
    pub(super) fn new(store: Store) -> Self {
        Self { store, completed: Arc::default(), held: Mutex::default() }
    }

    /// Runs file work off the async threads. It runs to its end even if the
    /// client goes away.
    async fn files<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> store::Result<T> + Send + 'static,
    ) -> S3Result<T> {
        let store = self.store.clone();
        let result = tokio::task::spawn_blocking(move || work(&store)).await;
        match result {
            Ok(result) => result.map_err(|error| error.into_answer(self.store.dir())),
            Err(error) => Err(s3_error!(InternalError, "the file work broke off: {error}")),
        }
    }

    /// Like [`receive`], with the answer for the client.
    async fn receive(
        &self,
        body: &mut StreamingBlob,
        promise: &Promise,
        wanted: Option<Algorithm>,
        file: &tempfile::NamedTempFile,
    ) -> S3Result<Digest> {
        let received = receive(body, promise, wanted, file.as_file()).await;
        received.map_err(|error| error.into_answer(self.store.dir()))
    }

    async fn open_upload(&self, key: String, id: String) -> S3Result<Upload> {
        self.files(move |store| store.upload(&key, &id)).await
    }

    async fn store_object(
        &self,
        key: String,
        body: &mut StreamingBlob,
        promise: &Promise,
    ) -> S3Result<Digest> {
        let checked = key.clone();
        let file = self
            .files(move |store| {
                store.path(&checked)?;
                Ok(store.temporary_file()?)
            })
            .await?;
        let digest = self.receive(body, promise, None, &file).await?;
        self.files(move |store| store.keep(file, &key)).await?;
        Ok(digest)
    }

    async fn store_part(
        &self,
        upload: (String, String),
        number: i32,
        body: &mut StreamingBlob,
        promise: &Promise,
    ) -> S3Result<Digest> {
        let number = part_number(number)?;
        let upload = self.open_upload(upload.0, upload.1).await?;
        let wanted = upload.checksum();
        let (upload, file) = self
            .files(move |_| {
                let file = upload.part_file(number)?;
                Ok((upload, file))
            })
            .await?;
        let digest = self.receive(body, promise, wanted, &file).await?;
        let kept = digest.clone();
        self.files(move |_| upload.keep_part(number, file, kept)).await?;
        Ok(digest)
    }
}

#[async_trait::async_trait]
impl S3 for Service {
    async fn list_buckets(
        &self,
        _: S3Request<dto::ListBucketsInput>,
    ) -> S3Result<S3Response<dto::ListBucketsOutput>> {
        let bucket = dto::Bucket { name: Some(BUCKET.to_owned()), ..Default::default() };
        answer(dto::ListBucketsOutput { buckets: Some(vec![bucket]), ..Default::default() })
    }

    async fn head_bucket(
        &self,
        request: S3Request<dto::HeadBucketInput>,
    ) -> S3Result<S3Response<dto::HeadBucketOutput>> {
        check_bucket(&request.input.bucket)?;
        answer(dto::HeadBucketOutput::default())
    }

    async fn put_object(
        &self,
        mut request: S3Request<dto::PutObjectInput>,
    ) -> S3Result<S3Response<dto::PutObjectOutput>> {
        let mut body = request.input.body.take().ok_or(S3ErrorCode::IncompleteBody)?;
        let stored = async {
            let input = &request.input;
            check_bucket(&input.bucket)?;
            check_unconditional(input.if_match.is_some() || input.if_none_match.is_some())?;
            check_unencrypted(input.server_side_encryption.as_ref())?;
            let promise = promise_of!(request);
            self.store_object(input.key.clone(), &mut body, &promise).await
        };
        match stored.await {
            Ok(Digest { md5, checksum, .. }) => {
                let e_tag = Some(ETag::Strong(md5));
                let output = dto::PutObjectOutput { e_tag, ..Default::default() };
                answer(with_checksum!(checksum, output))
            }
            Err(error) => {
                drain(&mut body).await;
                Err(error)
            }
        }
    }

    async fn get_object(
        &self,
        request: S3Request<dto::GetObjectInput>,
    ) -> S3Result<S3Response<dto::GetObjectOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        check_unconditional(input.if_none_match.is_some())?;
        let (range, key, expected) = (input.range, input.key, input.if_match);
        let (file, object, bytes) = self
            .files(move |store| {
                let (mut file, object) = store.get(&key)?;
                check_same(expected.as_ref(), &object.e_tag)?;
                let bytes = bytes_of(range, object.size)?;
                file.seek(SeekFrom::Start(bytes.start))?;
                Ok((file, object, bytes))
            })
            .await?;
        let size = bytes.end - bytes.start;
        answer(dto::GetObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(as_i64(size)),
            content_range: range
                .map(|_| format!("bytes {}-{}/{}", bytes.start, bytes.end - 1, object.size)),
            content_type: Some(object.content_type().to_owned()),
            last_modified: Some(Timestamp::from(object.modified)),
            e_tag: Some(ETag::Strong(object.e_tag)),
            body: Some(send(file, size)),
            ..Default::default()
        })
    }

    async fn head_object(
        &self,
        request: S3Request<dto::HeadObjectInput>,
    ) -> S3Result<S3Response<dto::HeadObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        let key = request.input.key;
        let object = self.files(move |store| Ok(store.get(&key)?.1)).await?;
        answer(dto::HeadObjectOutput {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some(as_i64(object.size)),
            content_type: Some(object.content_type().to_owned()),
            last_modified: Some(Timestamp::from(object.modified)),
            e_tag: Some(ETag::Strong(object.e_tag)),
            ..Default::default()
        })
    }

    async fn delete_object(
        &self,
        request: S3Request<dto::DeleteObjectInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
        check_bucket(&request.input.bucket)?;
        let key = request.input.key;
        self.files(move |store| store.delete(&key)).await?;
        answer(dto::DeleteObjectOutput::default())
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        check_plain_list(input.delimiter.is_some() || input.encoding_type.is_some())?;
        let limit = page_size(input.max_keys)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let mut objects = self.files(move |store| store.list(&prefix)).await?;
        // The token is the last key of the page before.
        if let Some(after) = input.continuation_token.as_ref().or(input.start_after.as_ref()) {
            objects.retain(|object| object.key > *after);
        }
        let truncated = cut(&mut objects, limit);
        answer(dto::ListObjectsV2Output {
            name: Some(input.bucket),
            prefix: input.prefix,
            max_keys: Some(as_i32(limit)),
            key_count: Some(as_i32(objects.len())),
            is_truncated: Some(truncated),
            next_continuation_token: objects
                .last()
                .filter(|_| truncated)
                .map(|object| object.key.clone()),
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            contents: Some(objects.into_iter().map(listed_object).collect()),
            ..Default::default()
        })
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<dto::CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        check_unencrypted(input.server_side_encryption.as_ref())?;
        let summed = checksum(input.checksum_algorithm.as_ref(), input.checksum_type.as_ref())?;
        let key = input.key.clone();
        let (id, held) = self.files(move |store| store.create_upload(&key, summed)).await?;
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), held);
        answer(dto::CreateMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(id),
            checksum_algorithm: input.checksum_algorithm,
            checksum_type: summed.map(checksum_type),
            ..Default::default()
        })
    }

    async fn upload_part(
        &self,
        mut request: S3Request<dto::UploadPartInput>,
    ) -> S3Result<S3Response<dto::UploadPartOutput>> {
        let mut body = request.input.body.take().ok_or(S3ErrorCode::IncompleteBody)?;
        let stored = async {
            let input = &request.input;
            check_bucket(&input.bucket)?;
            let promise = promise_of!(request);
            let upload = (input.key.clone(), input.upload_id.clone());
            self.store_part(upload, input.part_number, &mut body, &promise).await
        };
        match stored.await {
            Ok(Digest { md5, checksum, .. }) => {
                let e_tag = Some(ETag::Strong(md5));
                let output = dto::UploadPartOutput { e_tag, ..Default::default() };
                answer(with_checksum!(checksum, output))
            }
            Err(error) => {
                drain(&mut body).await;
                Err(error)
            }
        }
    }

    async fn upload_part_copy(
        &self,
        request: S3Request<dto::UploadPartCopyInput>,
    ) -> S3Result<S3Response<dto::UploadPartCopyOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        check_unconditional(input.copy_source_if_none_match.is_some())?;
        let dto::CopySource::Bucket { bucket, key: source, version_id: None } = input.copy_source
        else {
            return Err(s3_error!(NotImplemented, "only objects of {BUCKET} can be copied"));
        };
        check_bucket(&bucket)?;
        let range = input.copy_source_range.as_deref().map(dto::Range::parse).transpose();
        let range =
            range.map_err(|_| s3_error!(InvalidArgument, "the copied range is malformed"))?;
        let number = part_number(input.part_number)?;
        let expected = input.copy_source_if_match;
        let upload = self.open_upload(input.key, input.upload_id).await?;
        let (digest, modified) = self
            .files(move |store| {
                let (mut source, object) = store.get(&source)?;
                check_same(expected.as_ref(), &object.e_tag)?;
                let bytes = copied_bytes_of(range, object.size)?;
                source.seek(SeekFrom::Start(bytes.start))?;
                let part = upload.part_file(number)?;
                let size = bytes.end - bytes.start;
                let digest = copy(source, size, upload.checksum(), part.as_file())?;
                let modified = part.as_file().metadata()?.modified()?;
                upload.keep_part(number, part, digest.clone())?;
                Ok((digest, modified))
            })
            .await?;
        let copied = dto::CopyPartResult {
            e_tag: Some(ETag::Strong(digest.md5)),
            last_modified: Some(Timestamp::from(modified)),
            ..Default::default()
        };
        answer(dto::UploadPartCopyOutput {
            copy_part_result: Some(with_checksum!(digest.checksum, copied)),
            ..Default::default()
        })
    }

    async fn list_parts(
        &self,
        request: S3Request<dto::ListPartsInput>,
    ) -> S3Result<S3Response<dto::ListPartsOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        let limit = page_size(input.max_parts)?;
        let upload = self.open_upload(input.key.clone(), input.upload_id.clone()).await?;
        let (algorithm, summed) = (upload.checksum(), upload.summed());
        let parts = self.files(move |_| upload.parts()).await?;
        let after = input.part_number_marker.unwrap_or(0);
        let mut parts: Vec<_> =
            parts.into_values().filter(|part| i32::from(part.number) > after).collect();
        let truncated = cut(&mut parts, limit);
        answer(dto::ListPartsOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            upload_id: Some(input.upload_id),
            checksum_algorithm: algorithm.map(|a| dto::ChecksumAlgorithm::from_static(a.name())),
            checksum_type: summed.map(checksum_type),
            max_parts: Some(as_i32(limit)),
            part_number_marker: input.part_number_marker,
            is_truncated: Some(truncated),
            next_part_number_marker: parts.last().map(|part| i32::from(part.number)),
            parts: Some(parts.iter().map(listed_part).collect()),
            ..Default::default()
        })
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<dto::ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<dto::ListMultipartUploadsOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        check_plain_list(input.delimiter.is_some() || input.encoding_type.is_some())?;
        let limit = page_size(input.max_uploads)?;
        let mut uploads = self.files(Store::uploads).await?;
        let prefix = input.prefix.as_deref().unwrap_or_default();
        uploads.retain(|upload| upload.key().starts_with(prefix));
        if let Some(key) = &input.key_marker {
            // Without an id, everything under the marker's key is passed over.
            let id = input.upload_id_marker.as_deref();
            uploads.retain(|upload| {
                upload.key() > key.as_str()
                    || upload.key() == key && id.is_some_and(|id| upload.id.as_str() > id)
            });
        }
        let truncated = cut(&mut uploads, limit);
        let last = uploads.last().filter(|_| truncated);
        answer(dto::ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            max_uploads: Some(as_i32(limit)),
            is_truncated: Some(truncated),
            next_key_marker: last.map(|upload| upload.key().to_owned()),
            next_upload_id_marker: last.map(|upload| upload.id.clone()),
            uploads: Some(uploads.iter().map(listed_upload).collect()),
            prefix: input.prefix,
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            ..Default::default()
        })
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        check_unconditional(input.if_match.is_some() || input.if_none_match.is_some())?;
        let expected = checksum_of!(input)?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let parts = parts.into_iter().map(chosen).collect::<S3Result<Vec<_>>>()?;
        let (key, id) = (input.key.clone(), input.upload_id);
        let completed = Arc::clone(&self.completed);
        let Completed { e_tag, checksum, summed } = self
            .files(move |store| {
                let mut completed = completed.lock().unwrap_or_else(PoisonError::into_inner);
                let upload = match (store.upload(&key, &id), completed.get(&id)) {
                    (Err(Error::S3(_)), Some(before)) => return Ok(before.clone()),
                    (upload, _) => upload?,
                };
                let object = store.complete(&upload, &parts, expected.as_ref())?;
                completed.insert(id, object.clone());
                Ok(object)
            })
            .await?;
        let output = dto::CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(e_tag)),
            checksum_type: summed.map(checksum_type),
            ..Default::default()
        };
        answer(with_checksum!(checksum, output))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<dto::AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
        let input = request.input;
        check_bucket(&input.bucket)?;
        self.files(move |store| store.upload(&input.key, &input.upload_id)?.abort()).await?;
        answer(dto::AbortMultipartUploadOutput::default())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the answer of every operation is a result")]
fn answer<T>(output: T) -> S3Result<S3Response<T>> {
    Ok(S3Response::new(output))
}
