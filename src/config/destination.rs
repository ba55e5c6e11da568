//! Where a recording goes: a folder, or a bucket.

use jiff::Timestamp;

use super::settings::{self, Noted, Read, Reader};
use super::{Bucket, DEFAULT_OUTPUT, Destination, ENDPOINT_REGION, parse};
use crate::cli::{LocalArgs, S3Args};

pub(super) fn local_destination(
    reader: &mut Reader<'_>,
    output: Option<String>,
    key: Option<String>,
    now: Timestamp,
) -> Read<Destination> {
    let dir = reader.read(output, &settings::OUTPUT, parse::path);
    let key = reader.read(key, &settings::FILE, |text| parse::key(text).filter(|key| is_file(key)));
    Ok(Destination::Local {
        dir: dir?.unwrap_or_else(|| DEFAULT_OUTPUT.into()),
        // In UTC, sorts by time; milliseconds keep two that start together apart.
        key: key?.unwrap_or_else(|| now.strftime("recording-%Y%m%dT%H%M%S.%3fZ.mp4").to_string()),
    })
}

/// Whether the folder can have a file of this name.
#[cfg(feature = "local")]
fn is_file(key: &str) -> bool {
    crate::local::is_key(key)
}

#[cfg(not(feature = "local"))]
fn is_file(_key: &str) -> bool {
    true
}

/// Typed without `--local` it would say nothing of where the recordings are.
pub(super) fn refuse_output(reader: &mut Reader<'_>, args: &LocalArgs) {
    if args.output.is_some() {
        reader.refuse(settings::OUTPUT.flag, "goes with --local only");
    }
}

/// Typed beside `--local` these flags are a misunderstanding, better told than ignored.
pub(super) fn refuse_s3_flags(reader: &mut Reader<'_>, args: &S3Args) {
    for (given, setting) in [
        (args.bucket.is_some(), &settings::BUCKET),
        (args.region.is_some(), &settings::REGION),
        (args.s3_endpoint.is_some(), &settings::S3_ENDPOINT),
        (args.s3_path_style.is_some(), &settings::S3_PATH_STYLE),
        (args.sse_kms_key.is_some(), &settings::SSE_KMS_KEY),
    ] {
        if given {
            reader.refuse(setting.flag, "does not go with --local, which records into a folder");
        }
    }
}

pub(super) fn s3_destination(
    reader: &mut Reader<'_>,
    args: S3Args,
    key: Option<String>,
) -> Read<Destination> {
    let bucket = bucket(reader, args);
    let key = reader.need(key, &settings::KEY, parse::key);
    Ok(Destination::S3 { bucket: bucket?, key: key? })
}

pub(super) fn bucket(reader: &mut Reader<'_>, args: S3Args) -> Read<Bucket> {
    let name = reader.need(args.bucket, &settings::BUCKET, parse::bucket);
    let endpoint = args.s3_endpoint.map(|url| url.expose().to_owned());
    let endpoint = reader.read(endpoint, &settings::S3_ENDPOINT, parse::endpoint);
    let region = reader.read(args.region, &settings::REGION, parse::region);
    let region = match (region, &endpoint) {
        (Ok(None), Ok(None)) => Err(reader.missing(&settings::REGION)),
        (Ok(None), _) => Ok(ENDPOINT_REGION.to_owned()),
        (Ok(Some(region)), _) => Ok(region),
        (Err(Noted), _) => Err(Noted),
    };
    let path_style = reader.read(args.s3_path_style, &settings::S3_PATH_STYLE, parse::boolean);
    let encryption = reader.read(args.sse_kms_key, &settings::SSE_KMS_KEY, parse::encryption);
    let endpoint = endpoint?;
    Ok(Bucket {
        name: name?,
        region: region?,
        path_style: path_style?.unwrap_or(endpoint.is_some()),
        endpoint,
        encryption: encryption?,
    })
}
