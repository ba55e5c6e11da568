//! The command line about the bucket, as it was typed.

use clap::Args;

use crate::secret::Secret;

#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Where it goes (S3 and compatible servers)")]
pub struct S3Args {
    /// Name of the bucket
    ///
    /// Default: none, needed to record without --local
    /// Variable: RECORDING_BUCKET_NAME
    /// Example: my-recordings
    #[arg(long, verbatim_doc_comment, value_name = "NAME")]
    pub bucket: Option<String>,

    /// Region of the bucket
    ///
    /// Default: us-east-1 with --s3-endpoint, else needed
    /// Variable: AWS_REGION
    /// Example: eu-central-1
    #[arg(long, verbatim_doc_comment, value_name = "REGION")]
    pub region: Option<String>,

    /// Address of an S3-compatible server
    ///
    /// http or https, without credentials.
    /// Default: Amazon S3 in the region
    /// Variable: RECORDER_S3_ENDPOINT
    /// Example: http://127.0.0.1:9000
    #[arg(long, verbatim_doc_comment, value_name = "URL")]
    pub s3_endpoint: Option<Secret>,

    /// Put the bucket into the path of the address instead of the host name
    ///
    /// Values: true, false
    /// Default: true with --s3-endpoint, else false
    /// Variable: RECORDER_S3_PATH_STYLE
    /// Example: --s3-path-style=false
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub s3_path_style: Option<String>,

    /// Encrypt the object with this KMS key
    ///
    /// Key id, ARN or alias; `aws:kms` for the account's default key.
    /// Default: what the bucket does by itself
    /// Variable: RECORDER_SSE_KMS_KEY
    /// Example: alias/recordings
    #[arg(long, verbatim_doc_comment, value_name = "KEY")]
    pub sse_kms_key: Option<String>,
}
