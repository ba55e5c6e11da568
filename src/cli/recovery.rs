//! The command line about what may be lost and how it is found again, as it was
//! typed: flags of a recording, `recorder recover`, `recorder verify`.

use clap::Args;

use super::{LocalArgs, LogArgs, S3Args};

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What may be lost, what may wait")]
pub struct DurabilityArgs {
    /// Store what is not in a full part this often: a killed recorder has lost no
    /// more
    ///
    /// Units: h, m, s; 1s to 1h; 0 turns it off
    /// Default: 5s
    /// Variable: RECORDER_CHECKPOINT
    /// Example: 10s
    #[arg(long, verbatim_doc_comment, value_name = "LENGTH")]
    pub checkpoint: Option<String>,

    /// Media that waits in memory while the store is slow or away
    ///
    /// Units: bytes, K, M, G
    /// Default: 64M
    /// Variable: RECORDER_SPOOL_MEMORY
    /// Example: 128M
    #[arg(long, verbatim_doc_comment, value_name = "BYTES")]
    pub spool_memory: Option<String>,

    /// Media that waits on disk after that, under --temp-dir
    ///
    /// When it is full the recording ends, and what the store does not have stays
    /// on disk.
    /// Units: bytes, K, M, G
    /// Default: 2G
    /// Variable: RECORDER_SPOOL_DISK
    /// Example: 10G
    #[arg(long, verbatim_doc_comment, value_name = "BYTES")]
    pub spool_disk: Option<String>,
}

#[derive(Clone, Debug, Default, Args)]
pub struct RecoverArgs {
    /// Name of the recording
    ///
    /// Default: none
    /// Example: RECORDINGS/2026/11/22/18/call.mp4
    #[arg(long, verbatim_doc_comment, value_name = "NAME", help_heading = "What to recover")]
    pub key: Option<String>,

    /// Which of its open uploads, if it has several
    ///
    /// Default: the only one
    /// Example: VXBsb2FkIElE
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "ID",
        requires = "key",
        help_heading = "What to recover"
    )]
    pub upload_id: Option<String>,

    /// Every open upload of the bucket whose recorder is gone
    ///
    /// Default: only what --key names
    /// Example: --all --older-than 10m
    #[arg(long, verbatim_doc_comment, help_heading = "What to recover")]
    pub all: bool,

    /// With --all: only what begins so
    ///
    /// Default: everything
    /// Example: RECORDINGS/2026/
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "TEXT",
        requires = "all",
        help_heading = "What to recover"
    )]
    pub prefix: Option<String>,

    /// Send what a recorder left in this folder first (`spool` in its report)
    ///
    /// Default: none
    /// Example: /tmp/recorder-spool-x1Ayz0
    #[arg(long, verbatim_doc_comment, value_name = "DIR", help_heading = "What to recover")]
    pub spool: Option<String>,

    /// An upload is touched when its newest part is older than this
    ///
    /// A younger one may have a living recorder. With --local a living recorder is
    /// known by its lock, and this is not read.
    /// Default: 1m, with --all 10m
    /// Example: 30m
    #[arg(long, verbatim_doc_comment, value_name = "LENGTH", help_heading = "What to recover")]
    pub older_than: Option<String>,

    /// Even if its recorder seems to be alive, or there is an object of that name
    ///
    /// Default: such an upload is left alone
    /// Example: --key call.mp4 --force
    #[arg(long, verbatim_doc_comment, help_heading = "What to recover")]
    pub force: bool,

    #[command(flatten)]
    pub local: LocalArgs,
    #[command(flatten)]
    pub s3: S3Args,
    #[command(flatten)]
    pub log: LogArgs,
}

#[derive(Clone, Debug, Default, Args)]
pub struct VerifyArgs {
    /// A file, or s3://BUCKET/KEY
    #[arg(value_name = "RECORDING")]
    pub target: String,

    #[command(flatten)]
    pub s3: S3Args,

    /// Folder for the copy of what lies in S3
    ///
    /// Default: TMPDIR, else /tmp
    /// Variable: RECORDER_TEMP_DIR
    /// Example: /var/tmp
    #[arg(long, verbatim_doc_comment, value_name = "DIR", help_heading = "This machine")]
    pub temp_dir: Option<String>,

    #[command(flatten)]
    pub log: LogArgs,
}
