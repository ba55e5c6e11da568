//! What S3 computes from the bytes of a part: its MD5, which is its `ETag`, and
//! at most one of the checksums a client may ask for.
//!
//! Pure: bytes in, digests out. It must not know files or requests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::ChecksumAlgorithm;
use serde::{Deserialize, Serialize};

/// The checksums of S3, named as in `x-amz-checksum-algorithm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => ChecksumAlgorithm::CRC32,
            Self::Crc32c => ChecksumAlgorithm::CRC32C,
            Self::Crc64Nvme => ChecksumAlgorithm::CRC64NVME,
            Self::Sha1 => ChecksumAlgorithm::SHA1,
            Self::Sha256 => ChecksumAlgorithm::SHA256,
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The header or trailer that carries the value.
    pub(super) fn header(self) -> String {
        format!("x-amz-checksum-{}", self.name().to_ascii_lowercase())
    }

    pub(super) fn from_header(header: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| header.eq_ignore_ascii_case(&algorithm.header()))
    }
}

/// How the checksum of an object follows from those of its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summed {
    pub(super) algorithm: Algorithm,
    /// That of the whole object, not of the parts' checksums.
    pub(super) whole: bool,
}

/// One checksum as it stands in a header: Base64, big-endian.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    pub(super) value: String,
}

/// What is known about a body once all of it has been seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digest {
    /// Lower-case hexadecimal, 32 digits.
    pub(super) md5: String,
    /// Bytes.
    pub(super) size: u64,
    pub(super) checksum: Option<Checksum>,
}

impl Digest {
    /// The MD5 as `Content-MD5` writes it.
    pub(super) fn content_md5(&self) -> String {
        BASE64.encode(from_hex(&self.md5))
    }
}

/// Computes a [`Digest`] while the bytes pass by.
pub(super) struct Digester {
    md5: Md5,
    size: u64,
    checksum: Option<(Algorithm, ChecksumHasher)>,
}

impl Digester {
    pub(super) fn new(algorithm: Option<Algorithm>) -> Self {
        let checksum = algorithm.map(|algorithm| (algorithm, hasher(algorithm)));
        Self { md5: Md5::new(), size: 0, checksum }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.size += bytes.len() as u64;
        if let Some((_, hasher)) = &mut self.checksum {
            hasher.update(bytes);
        }
    }

    pub(super) fn finish(self) -> Digest {
        let checksum = self.checksum.map(|(algorithm, hasher)| finish(algorithm, hasher));
        Digest { md5: to_hex(self.md5.finalize()), size: self.size, checksum }
    }
}

/// The `ETag` of an object made of parts: the MD5 of the parts' MD5s, and how
/// many they were.
pub(super) fn multipart_etag(parts: &[&Digest]) -> String {
    let mut md5 = Md5::new();
    for part in parts {
        md5.update(&from_hex(&part.md5));
    }
    format!("{}-{}", to_hex(md5.finalize()), parts.len())
}

/// The composite checksum of an object made of parts: the checksum of the
/// parts' checksums, and how many they were. `None` if a part has none.
fn composite(algorithm: Algorithm, parts: &[&Digest]) -> Option<Checksum> {
    let mut hasher = hasher(algorithm);
    for part in parts {
        let checksum = part.checksum.as_ref().filter(|c| c.algorithm == algorithm)?;
        hasher.update(&BASE64.decode(&checksum.value).ok()?);
    }
    let Checksum { value, .. } = finish(algorithm, hasher);
    Some(Checksum { algorithm, value: format!("{value}-{}", parts.len()) })
}

/// The checksum of an object made of parts.
pub(super) fn summed(how: Summed, parts: &[&Digest]) -> Option<Checksum> {
    if how.whole { whole_crc32(parts) } else { composite(how.algorithm, parts) }
}

/// The CRC-32 of an object made of parts, from theirs. `None` if a part has none.
fn whole_crc32(parts: &[&Digest]) -> Option<Checksum> {
    let mut whole = crc32fast::Hasher::new();
    for part in parts {
        let checksum = part.checksum.as_ref().filter(|c| c.algorithm == Algorithm::Crc32)?;
        let crc32 = BASE64.decode(&checksum.value).ok()?.try_into().ok()?;
        let part = crc32fast::Hasher::new_with_initial_len(u32::from_be_bytes(crc32), part.size);
        whole.combine(&part);
    }
    let value = BASE64.encode(whole.finalize().to_be_bytes());
    Some(Checksum { algorithm: Algorithm::Crc32, value })
}

fn hasher(algorithm: Algorithm) -> ChecksumHasher {
    let mut hasher = ChecksumHasher::default();
    match algorithm {
        Algorithm::Crc32 => hasher.crc32 = Some(Crc32::new()),
        Algorithm::Crc32c => hasher.crc32c = Some(Crc32c::new()),
        Algorithm::Crc64Nvme => hasher.crc64nvme = Some(Crc64Nvme::new()),
        Algorithm::Sha1 => hasher.sha1 = Some(Sha1::new()),
        Algorithm::Sha256 => hasher.sha256 = Some(Sha256::new()),
    }
    hasher
}

fn finish(algorithm: Algorithm, hasher: ChecksumHasher) -> Checksum {
    let sums = hasher.finalize();
    let value = match algorithm {
        Algorithm::Crc32 => sums.checksum_crc32,
        Algorithm::Crc32c => sums.checksum_crc32c,
        Algorithm::Crc64Nvme => sums.checksum_crc64nvme,
        Algorithm::Sha1 => sums.checksum_sha1,
        Algorithm::Sha256 => sums.checksum_sha256,
    };
    Checksum { algorithm, value: value.expect("the hasher was made for this algorithm") }
}

fn to_hex(md5: [u8; 16]) -> String {
    format!("{:032x}", u128::from_be_bytes(md5))
}

fn from_hex(md5: &str) -> [u8; 16] {
    // A record that someone edited by hand gives a wrong ETag, not a panic.
    u128::from_str_radix(md5, 16).unwrap_or_default().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8], algorithm: Algorithm) -> Digest {
        let mut digester = Digester::new(Some(algorithm));
        for chunk in bytes.chunks(4) {
            digester.update(chunk);
        }
        digester.finish()
    }

    #[test]
    fn digests_are_the_published_check_values() {
        // The catalogue of CRCs gives its check values for these bytes; the
        // others are md5sum, sha1sum and sha256sum.
        let bytes = b"123456789";
        for (algorithm, value) in [
            (Algorithm::Crc32, "y/Q5Jg=="),
            (Algorithm::Crc32c, "4waSgw=="),
            (Algorithm::Crc64Nvme, "rosUhgp5mIg="),
            (Algorithm::Sha1, "98O8HYCOBHMq32eZZczDTKeuNEE="),
            (Algorithm::Sha256, "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="),
        ] {
            let digest = digest(bytes, algorithm);
            assert_eq!(digest.md5, "25f9e794323b453885f5181f1b624d0b");
            assert_eq!(digest.size, 9);
            assert_eq!(digest.checksum.unwrap().value, value, "{algorithm:?}");
        }
    }

    #[test]
    fn an_algorithm_is_known_by_its_name_and_its_header() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::from_header(&algorithm.header()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_header("x-amz-checksum-type"), None);
    }

    #[test]
    fn an_object_of_parts_is_named_by_the_digests_of_its_parts() {
        // Computed with `printf | md5sum` and Python's zlib.crc32.
        let (one, two) = (digest(b"hello ", Algorithm::Crc32), digest(b"world", Algorithm::Crc32));
        assert_eq!(multipart_etag(&[&one, &two]), "e09e4fd6265b36115fe3db32df945d84-2");
        assert_eq!(composite(Algorithm::Crc32, &[&one, &two]).unwrap().value, "1Fu2mQ==-2");
        assert_eq!(composite(Algorithm::Sha256, &[&one]), None);
    }
}
