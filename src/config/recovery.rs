//! The settings of `recorder recover` and `recorder verify`.

use std::path::PathBuf;
use std::time::Duration;

use super::destination::{bucket, refuse_output, refuse_s3_flags};
use super::settings::{self, Read, Reader};
use super::{Bucket, DEFAULT_OUTPUT, Logging, logging, parse};
use crate::cli::{RecoverArgs, VerifyArgs};
use crate::logging::Filter;

/// An upload of one recording: twelve checkpoints have been missed by then.
const DEFAULT_AGE: Duration = Duration::from_mins(1);

/// A sweep has no hurry, and nobody watches what it takes.
const DEFAULT_AGE_OF_ALL: Duration = Duration::from_mins(10);

/// What `recorder recover` recovers.
#[derive(Clone, Debug, PartialEq)]
pub struct Recover {
    pub what: What,
    pub place: Place,
    pub older_than: Duration,
    pub force: bool,
    pub logging: Logging,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    One {
        key: String,
        upload_id: Option<String>,
    },
    /// Every open upload whose key begins so.
    All {
        prefix: String,
    },
    /// What a recorder left on disk.
    Spool(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Local(PathBuf),
    S3(Bucket),
}

/// What `recorder verify` looks at.
#[derive(Clone, Debug, PartialEq)]
pub struct Verify {
    pub target: Target,
    pub temp_dir: PathBuf,
    pub logging: Logging,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    File(PathBuf),
    Object { bucket: Bucket, key: String },
}

pub(super) fn recover(reader: &mut Reader<'_>, args: RecoverArgs) -> Read<Recover> {
    let what = match (args.key, args.all, args.spool) {
        (Some(key), false, None) => {
            let key = reader.read(Some(key), &settings::KEY, parse::key);
            key.map(|key| What::One { key: key.unwrap_or_default(), upload_id: args.upload_id })
        }
        (None, true, None) => Ok(What::All { prefix: args.prefix.unwrap_or_default() }),
        (None, false, Some(dir)) => Ok(What::Spool(dir.into())),
        _ => Err(reader.refuse(
            "--key, --all or --spool",
            "is needed, exactly one of them: say which recording to recover",
        )),
    };
    let older_than = reader.read(args.older_than, &settings::OLDER_THAN, parse::duration);
    let place = if args.local.local {
        refuse_s3_flags(reader, &args.s3);
        let dir = reader.read(args.local.output, &settings::OUTPUT, parse::path);
        dir.map(|dir| Place::Local(dir.unwrap_or_else(|| DEFAULT_OUTPUT.into())))
    } else {
        refuse_output(reader, &args.local);
        bucket(reader, args.s3).map(Place::S3)
    };
    // Its answer stands on stdout; what warns on the way is no part of it.
    let logging = logging(reader, args.log, Filter::errors());
    let what = what?;
    let usual = if matches!(what, What::All { .. }) { DEFAULT_AGE_OF_ALL } else { DEFAULT_AGE };
    Ok(Recover {
        what,
        place: place?,
        older_than: older_than?.unwrap_or(usual),
        force: args.force,
        logging: logging?,
    })
}

pub(super) fn verify(reader: &mut Reader<'_>, args: VerifyArgs) -> Read<Verify> {
    let target = match args.target.strip_prefix("s3://") {
        None => Ok(Target::File(args.target.into())),
        Some(address) => match address.split_once('/') {
            Some((name, key)) if !name.is_empty() && !key.is_empty() => {
                let mut s3 = args.s3;
                s3.bucket = Some(name.to_owned());
                bucket(reader, s3).map(|bucket| Target::Object { bucket, key: key.to_owned() })
            }
            _ => Err(reader.refuse(
                "the address of the recording",
                "has the form s3://BUCKET/KEY, such as s3://my-recordings/call.mp4",
            )),
        },
    };
    let temp_dir = super::temp_dir(reader, args.temp_dir);
    let logging = logging(reader, args.log, Filter::errors());
    Ok(Verify { target: target?, temp_dir: temp_dir?, logging: logging? })
}
