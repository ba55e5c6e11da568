//! s3s's types into ours and back, where both say the same thing.
//!
//! Its types are generated, with five checksum fields in each: macros, because
//! no trait joins them. It must not decide anything.

use s3s::dto::{self, ETag, Timestamp};
use s3s::{S3Result, s3_error};

use super::digest::{Algorithm, Checksum, Digest};
use super::rules::{as_i64, part_number};
use super::store::Object;
use super::uploads::{Chosen, Part, Upload};

/// The five checksum fields of an s3s type, as at most one [`Checksum`].
macro_rules! checksum_of {
    ($dto:expr) => {{
        let fields = [
            (Algorithm::Crc32, &$dto.checksum_crc32),
            (Algorithm::Crc32c, &$dto.checksum_crc32c),
            (Algorithm::Crc64Nvme, &$dto.checksum_crc64nvme),
            (Algorithm::Sha1, &$dto.checksum_sha1),
            (Algorithm::Sha256, &$dto.checksum_sha256),
        ];
        let mut given = fields.into_iter().filter_map(|(algorithm, value)| {
            value.clone().map(|value| Checksum { algorithm, value })
        });
        match (given.next(), given.next()) {
            (checksum, None) => Ok(checksum),
            _ => Err(s3_error!(InvalidRequest, "more than one checksum")),
        }
    }};
}

/// An s3s type with the one of its five checksum fields set that is known.
macro_rules! with_checksum {
    ($checksum:expr, $dto:expr) => {{
        let mut dto = $dto;
        if let Some(Checksum { algorithm, value }) = $checksum {
            match algorithm {
                Algorithm::Crc32 => dto.checksum_crc32 = Some(value),
                Algorithm::Crc32c => dto.checksum_crc32c = Some(value),
                Algorithm::Crc64Nvme => dto.checksum_crc64nvme = Some(value),
                Algorithm::Sha1 => dto.checksum_sha1 = Some(value),
                Algorithm::Sha256 => dto.checksum_sha256 = Some(value),
            }
        }
        dto
    }};
}

/// What a request with a body promises about it.
macro_rules! promise_of {
    ($request:expr) => {
        Promise {
            length: $request.input.content_length,
            content_md5: $request.input.content_md5.clone(),
            checksum: checksum_of!($request.input)?,
            trailer: $request.headers.get("x-amz-trailer").map(trailer).transpose()?,
            trailers: $request.trailing_headers.clone(),
        }
    };
}

pub(super) use {checksum_of, promise_of, with_checksum};

pub(super) fn chosen(part: dto::CompletedPart) -> S3Result<Chosen> {
    let checksum = checksum_of!(part)?;
    let (Some(number), Some(e_tag)) = (part.part_number, part.e_tag) else {
        return Err(s3_error!(MalformedXML, "each part needs its number and ETag"));
    };
    Ok(Chosen { number: part_number(number)?, e_tag: e_tag.into_value(), checksum })
}

pub(super) fn listed_object(object: Object) -> dto::Object {
    dto::Object {
        key: Some(object.key),
        size: Some(as_i64(object.size)),
        last_modified: Some(Timestamp::from(object.modified)),
        e_tag: Some(ETag::Strong(object.e_tag)),
        ..Default::default()
    }
}

pub(super) fn listed_part(part: &Part) -> dto::Part {
    let Digest { md5, size, checksum } = part.digest().clone();
    let listed = dto::Part {
        part_number: Some(i32::from(part.number)),
        e_tag: Some(ETag::Strong(md5)),
        size: Some(as_i64(size)),
        last_modified: Some(Timestamp::from(part.modified)),
        ..Default::default()
    };
    with_checksum!(checksum, listed)
}

pub(super) fn listed_upload(upload: &Upload) -> dto::MultipartUpload {
    dto::MultipartUpload {
        key: Some(upload.key().to_owned()),
        upload_id: Some(upload.id.clone()),
        initiated: Some(Timestamp::from(upload.created)),
        ..Default::default()
    }
}

pub(super) fn trailer(name: &hyper::header::HeaderValue) -> S3Result<Algorithm> {
    let algorithm = name.to_str().ok().and_then(Algorithm::from_header);
    algorithm.ok_or_else(|| s3_error!(InvalidRequest, "no checksum in the trailer {name:?}"))
}
