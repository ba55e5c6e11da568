//! S3's rules on single parameters of a request, and the few limits of ours.
//!
//! Pure: parameters in, their meaning or a refusal out. What S3 would honour
//! and this server cannot is refused, not ignored.

use std::ops::Range as Bytes;

use s3s::dto;
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

use super::BUCKET;
use super::digest::{Algorithm, Summed};
use super::uploads::MAX_PART_NUMBER;

/// S3's largest page of a list, and its default.
const PAGE: usize = 1000;

pub(super) fn check_bucket(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET {
        Ok(())
    } else {
        Err(s3_error!(NoSuchBucket, "no bucket {bucket:?}: the only one here is {BUCKET:?}"))
    }
}

pub(super) fn check_unconditional(conditional: bool) -> S3Result<()> {
    if conditional {
        return Err(s3_error!(NotImplemented, "no such condition here"));
    }
    Ok(())
}

/// `expected` is that of `If-Match`, which one tag or any may satisfy.
pub(super) fn check_same(expected: Option<&dto::ETagCondition>, e_tag: &str) -> S3Result<()> {
    match expected.map(dto::ETagCondition::as_etag) {
        Some(Some(expected)) if expected.value() != e_tag => {
            Err(s3_error!(PreconditionFailed, "the object is another one: {e_tag}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn check_unencrypted(encryption: Option<&dto::ServerSideEncryption>) -> S3Result<()> {
    match encryption {
        Some(kind) => Err(s3_error!(NotImplemented, "no encryption with {:?} here", kind.as_str())),
        None => Ok(()),
    }
}

pub(super) fn check_plain_list(elaborate: bool) -> S3Result<()> {
    if elaborate {
        return Err(s3_error!(NotImplemented, "no delimiter or encoding type here"));
    }
    Ok(())
}

/// How an upload is summed up. Of the checksums of whole objects only the CRC-32
/// is here: for another one the server would read the whole recording at its end.
pub(super) fn checksum(
    algorithm: Option<&dto::ChecksumAlgorithm>,
    kind: Option<&dto::ChecksumType>,
) -> S3Result<Option<Summed>> {
    let Some(algorithm) = algorithm else { return Ok(None) };
    let name = algorithm.as_str();
    match Algorithm::from_name(name) {
        None => Err(s3_error!(InvalidRequest, "no checksum algorithm {name:?}")),
        // S3 knows this one for full objects only.
        Some(Algorithm::Crc64Nvme) => Err(full_object()),
        Some(algorithm) => {
            let whole = kind.is_some_and(|kind| kind.as_str() == dto::ChecksumType::FULL_OBJECT);
            if whole && algorithm != Algorithm::Crc32 {
                return Err(full_object());
            }
            Ok(Some(Summed { algorithm, whole }))
        }
    }
}

fn full_object() -> S3Error {
    s3_error!(NotImplemented, "no full-object checksum but CRC32 of multipart uploads here")
}

pub(super) fn checksum_type(summed: Summed) -> dto::ChecksumType {
    dto::ChecksumType::from_static(if summed.whole {
        dto::ChecksumType::FULL_OBJECT
    } else {
        dto::ChecksumType::COMPOSITE
    })
}

pub(super) fn part_number(number: i32) -> S3Result<u16> {
    match u16::try_from(number) {
        Ok(number) if (1..=MAX_PART_NUMBER).contains(&number) => Ok(number),
        _ => Err(s3_error!(
            InvalidArgument,
            "part number {number} is not between 1 and {MAX_PART_NUMBER}"
        )),
    }
}

pub(super) fn bytes_of(range: Option<dto::Range>, size: u64) -> S3Result<Bytes<u64>> {
    match range {
        None => Ok(0..size),
        // No range of an object without bytes can be satisfied.
        Some(_) if size == 0 => Err(S3ErrorCode::InvalidRange.into()),
        Some(range) => Ok(range.check(size)?),
    }
}

/// Unlike a read, a copy must have every byte it asks for.
pub(super) fn copied_bytes_of(range: Option<dto::Range>, size: u64) -> S3Result<Bytes<u64>> {
    match range {
        Some(dto::Range::Int { last: Some(last), .. }) if last >= size => {
            Err(s3_error!(InvalidRange, "the copied range ends behind the object of {size} bytes"))
        }
        Some(dto::Range::Int { last: None, .. } | dto::Range::Suffix { .. }) => {
            Err(s3_error!(InvalidArgument, "a copied range has a first and a last byte"))
        }
        range => bytes_of(range, size),
    }
}

pub(super) fn page_size(asked: Option<i32>) -> S3Result<usize> {
    match asked.map(usize::try_from) {
        None => Ok(PAGE),
        Some(Ok(asked)) => Ok(asked.min(PAGE)),
        Some(Err(_)) => Err(s3_error!(InvalidArgument, "the size of a page cannot be negative")),
    }
}

/// Cuts a list to one page and says whether something was cut off.
pub(super) fn cut<T>(list: &mut Vec<T>, limit: usize) -> bool {
    let truncated = limit > 0 && list.len() > limit;
    list.truncate(limit);
    truncated
}

pub(super) fn as_i64(size: u64) -> i64 {
    i64::try_from(size).expect("a file has less than 2^63 bytes")
}

pub(super) fn as_i32(count: usize) -> i32 {
    i32::try_from(count).expect("a page has at most 1,000 entries")
}

#[cfg(test)]
mod tests {
    use s3s::dto::Range;

    use super::*;

    #[test]
    fn a_copied_range_lies_inside_the_object() {
        let range = |text| Some(Range::parse(text).unwrap());
        for (range, size, expected) in [
            (None, 0, Ok(0..0)),
            (None, 7, Ok(0..7)),
            (range("bytes=0-6"), 7, Ok(0..7)),
            (range("bytes=6-6"), 7, Ok(6..7)),
            (range("bytes=0-7"), 7, Err(S3ErrorCode::InvalidRange)),
            (range("bytes=0-0"), 0, Err(S3ErrorCode::InvalidRange)),
            (range("bytes=0-"), 7, Err(S3ErrorCode::InvalidArgument)),
            (range("bytes=-1"), 7, Err(S3ErrorCode::InvalidArgument)),
        ] {
            let bytes = copied_bytes_of(range, size).map_err(|error| error.code().clone());
            assert_eq!(bytes, expected, "{range:?} of {size}");
        }
    }

    #[test]
    fn a_list_is_cut_to_the_page_asked_for() {
        for (asked, length, cut_off) in [
            (None, 1000, true),
            (Some(5000), 1000, true),
            (Some(1200), 1000, true),
            (Some(3), 3, true),
            (Some(0), 0, false),
        ] {
            let mut list = vec![(); 1200];
            assert_eq!(cut(&mut list, page_size(asked).unwrap()), cut_off, "{asked:?}");
            assert_eq!(list.len(), length, "{asked:?}");
        }
        assert!(page_size(Some(-1)).is_err());
        assert!(!cut(&mut vec![1, 2], 2));
    }
}
