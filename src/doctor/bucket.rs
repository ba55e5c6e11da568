//! The bucket: whether there are credentials for it, and whether they may do
//! there what a recording does.
//!
//! Nothing else proves that: what `HeadBucket` needs (`s3:ListBucket`) a recording
//! does not, and it says nothing of the rights to write. So an upload is opened
//! under a key of its own, gets a part of one byte, and is thrown away.

use std::error::Error;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_credential_types::Credentials;
use aws_credential_types::credential_feature::AwsCredentialFeature;
use aws_credential_types::provider::ProvideCredentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Region;
use bytes::Bytes;

use super::finding::Finding;
use crate::config::Bucket;
use crate::error::chain;
use crate::run::{client_settings, encryption};
use crate::secret::{redact_url, scrub};
use crate::upload::plan::Payload;
use crate::upload::s3::{self, ClientSettings, Encryption, S3Store};
use crate::upload::store::{Kind, Object, Operation, PartStore, StoreError};

/// No object of this name ever appears: its upload is never completed.
const PROBE: &str = "recorder-doctor-probe";

/// For each thing that is asked, its repetitions included.
const ANSWER: Duration = Duration::from_secs(8);

const CREDENTIALS: &str = "credentials";
const BUCKET: &str = "bucket";
const CREDENTIALS_MEND: &str = "give the task or instance a role, or set AWS_PROFILE, or AWS_ACCESS_KEY_ID \
                                and AWS_SECRET_ACCESS_KEY";

pub(super) async fn check(bucket: Option<&Bucket>) -> Vec<Finding> {
    let Some(bucket) = bucket else {
        let how = "name one to check it too: recorder doctor --bucket NAME --region REGION";
        return vec![Finding::left_out(BUCKET, how)];
    };
    let credentials = match credentials(bucket).await {
        Ok(credentials) => credentials,
        Err(reason) => {
            return vec![
                Finding::problem(CREDENTIALS, reason, CREDENTIALS_MEND),
                Finding::left_out(BUCKET, "needs credentials"),
            ];
        }
    };
    let found =
        format!("{}, access key id {}", origin(&credentials), shown(credentials.access_key_id()));
    let settings = ClientSettings { credentials: Some(credentials), ..client_settings(bucket) };
    let client = s3::client(settings).await;
    vec![Finding::ok(CREDENTIALS, found), probe(&client, bucket).await]
}

/// From the same chain that a recording asks.
async fn credentials(bucket: &Bucket) -> Result<Credentials, String> {
    let found = async {
        let region = Region::new(bucket.region.clone());
        let config = aws_config::defaults(BehaviorVersion::latest()).region(region).load().await;
        let Some(provider) = config.credentials_provider() else {
            return Err("none found".to_owned());
        };
        provider.provide_credentials().await.map_err(|error| match error {
            CredentialsError::CredentialsNotLoaded(_) => {
                "none in the environment, a profile, the container or the instance".to_owned()
            }
            error => scrub(&chain(&error)),
        })
    };
    let late = |_| Err(format!("no provider answered within {ANSWER:?}"));
    tokio::time::timeout(ANSWER, found).await.unwrap_or_else(late)
}

/// Who gave them.
fn origin(credentials: &Credentials) -> &'static str {
    use AwsCredentialFeature as From;
    let steps = credentials.get_property::<Vec<From>>();
    match steps.and_then(|steps| steps.last()) {
        Some(From::CredentialsEnvVars) => "from the environment",
        Some(From::CredentialsHttp) => "from the role of the container",
        Some(From::CredentialsImds) => "from the role of the instance",
        Some(From::CredentialsStsAssumeRoleWebId | From::CredentialsEnvVarsStsWebIdToken) => {
            "from a web identity"
        }
        Some(From::CredentialsStsAssumeRole) => "from an assumed role",
        Some(From::CredentialsProfile) => "from a profile",
        _ => "found",
    }
}

/// The end of an access key id, enough to tell two apart.
fn shown(access_key_id: &str) -> String {
    match access_key_id.char_indices().rev().nth(3) {
        // The whole of a short one would be shown.
        Some((start, _)) if start > 8 => format!("...{}", &access_key_id[start..]),
        _ => "...".to_owned(),
    }
}

/// What a recording does, in the order in which it does it.
async fn probe(client: &Client, bucket: &Bucket) -> Finding {
    let object = Object { bucket: bucket.name.clone(), key: PROBE.to_owned() };
    let store = S3Store::new(client.clone(), object, encryption(bucket));
    let upload = match within(store.create()).await {
        Ok(upload) => upload,
        Err(failed) => return judge(&failed, bucket, region_of(client, bucket).await.as_deref()),
    };
    let part =
        within(store.put_part(&upload, 1, Payload::new(vec![Bytes::from_static(b"?")]), 0)).await;
    let aborted = within(store.abort(&upload)).await;
    let judge = |failed| judge(&failed, bucket, None);
    match (part, aborted) {
        (Err(failed), _) | (Ok(_), Err(failed)) => judge(failed),
        (Ok(_), Ok(())) => Finding::ok(
            BUCKET,
            format!("{} in {} takes uploads (tried with {PROBE})", bucket.name, bucket.region),
        ),
    }
}

/// A request that was not answered as it should.
#[derive(Debug)]
enum Failed {
    Refused(StoreError),
    Late,
}

async fn within<T>(request: impl Future<Output = Result<T, StoreError>>) -> Result<T, Failed> {
    match tokio::time::timeout(ANSWER, request).await {
        Ok(answer) => answer.map_err(Failed::Refused),
        Err(_) => Err(Failed::Late),
    }
}

/// S3 tells the region of a bucket even to those who may not use it.
async fn region_of(client: &Client, bucket: &Bucket) -> Option<String> {
    let asked = client.head_bucket().bucket(&bucket.name).send();
    match tokio::time::timeout(ANSWER, asked).await.ok()? {
        Ok(told) => told.bucket_region,
        Err(error) => {
            let told = error.raw_response()?.headers().get("x-amz-bucket-region")?;
            Some(told.to_owned())
        }
    }
}

/// Words for what S3 answered. `region` is where the bucket is, if S3 told.
fn judge(failed: &Failed, bucket: &Bucket, region: Option<&str>) -> Finding {
    let problem = |found: String, mend: &str| Finding::problem(BUCKET, found, mend);
    let Failed::Refused(error) = failed else {
        return problem(
            format!("{} did not answer within {ANSWER:?}", place(bucket)),
            way_mend(bucket),
        );
    };
    if let Some(region) = region.filter(|region| *region != bucket.region) {
        let found = format!("{} is in {region}, not in {}", bucket.name, bucket.region);
        return problem(found, &format!("set --region {region} (AWS_REGION)"));
    }
    let Some(status) = error.status else {
        return problem(
            format!("no answer from {}: {}", place(bucket), root(error)),
            way_mend(bucket),
        );
    };
    match error.code.as_deref() {
        Some("NoSuchBucket") => problem(
            format!("there is no bucket {} at {}", bucket.name, place(bucket)),
            "create it, or correct --bucket (RECORDING_BUCKET_NAME)",
        ),
        Some("InvalidAccessKeyId") => problem(
            "S3 does not know the access key id".to_owned(),
            "renew the credentials, or take those of the right account",
        ),
        Some("SignatureDoesNotMatch") => problem(
            "the secret access key does not belong to the access key id".to_owned(),
            "correct AWS_SECRET_ACCESS_KEY, or the profile",
        ),
        Some("InvalidToken" | "ExpiredToken" | "ExpiredTokenException") => problem(
            "the session token is not valid, or not any more".to_owned(),
            "renew the credentials (AWS_SESSION_TOKEN, or aws sso login)",
        ),
        Some("RequestTimeTooSkewed") => problem(
            "the clock of this machine is more than 15 minutes wrong".to_owned(),
            "set it: timedatectl set-ntp true (Debian: apt-get install systemd-timesyncd)",
        ),
        _ if error.kind == Kind::Denied => problem(
            format!("{} is denied (tried with {PROBE})", error.operation),
            &rights_mend(error.operation, bucket),
        ),
        code => problem(
            format!("{} failed: HTTP {status} {}", error.operation, code.unwrap_or_default()),
            "correct what S3 names; --log debug tells more",
        ),
    }
}

fn rights_mend(operation: Operation, bucket: &Bucket) -> String {
    let right = match operation {
        Operation::Abort => "s3:AbortMultipartUpload",
        _ => "s3:PutObject",
    };
    let key = match encryption(bucket) {
        Encryption::BucketDefault => "",
        _ => ", and kms:GenerateDataKey and kms:Decrypt on the key",
    };
    format!("allow the role {right} on arn:aws:s3:::{}/*{key}", bucket.name)
}

fn way_mend(bucket: &Bucket) -> &'static str {
    match bucket.endpoint {
        Some(_) => "start the server, or correct --s3-endpoint (RECORDER_S3_ENDPOINT)",
        None => "open the way to S3: --region, DNS, security group, NAT or a gateway endpoint",
    }
}

fn place(bucket: &Bucket) -> String {
    match &bucket.endpoint {
        Some(endpoint) => redact_url(endpoint),
        None => format!("Amazon S3 in {}", bucket.region),
    }
}

/// The cause below all others, which for a broken connection is the kernel's word.
fn root(error: &StoreError) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    scrub(&causes.last().map_or_else(|| error.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn bucket() -> Bucket {
        Bucket {
            name: "films".into(),
            region: "eu-central-1".into(),
            endpoint: None,
            path_style: false,
            encryption: None,
        }
    }

    fn refused(operation: Operation, status: u16, code: &str, kind: Kind) -> Failed {
        Failed::Refused(StoreError {
            kind,
            operation,
            object: Object { bucket: "films".into(), key: PROBE.into() },
            status: (status != 0).then_some(status),
            code: (!code.is_empty()).then(|| code.to_owned()),
            source: Some("connection refused".into()),
        })
    }

    #[test]
    fn every_refusal_says_what_is_wrong_and_how_to_mend_it() {
        let create = |status, code, kind| refused(Operation::Create, status, code, kind);
        for (failed, region, found, mend) in [
            (create(404, "NoSuchBucket", Kind::Missing), None, "no bucket films", "--bucket"),
            (
                create(301, "PermanentRedirect", Kind::Rejected),
                Some("us-west-2"),
                "films is in us-west-2, not in eu-central-1",
                "--region us-west-2",
            ),
            (
                create(403, "AccessDenied", Kind::Denied),
                Some("eu-central-1"),
                "CreateMultipartUpload is denied",
                "s3:PutObject on arn:aws:s3:::films/*",
            ),
            (
                refused(Operation::Abort, 403, "AccessDenied", Kind::Denied),
                None,
                "AbortMultipartUpload is denied",
                "s3:AbortMultipartUpload",
            ),
            (create(403, "InvalidAccessKeyId", Kind::Denied), None, "access key id", "renew"),
            (create(403, "SignatureDoesNotMatch", Kind::Denied), None, "secret", "correct"),
            (create(400, "ExpiredToken", Kind::Transient), None, "session token", "renew"),
            (create(403, "RequestTimeTooSkewed", Kind::Transient), None, "clock", "timedatectl"),
            (create(0, "", Kind::Transient), None, "connection refused", "security group"),
            (create(502, "", Kind::Transient), None, "HTTP 502", "--log debug"),
            (Failed::Late, None, "did not answer", "security group"),
        ] {
            let finding = judge(&failed, &bucket(), region);
            let Verdict::Problem(said) = &finding.verdict else { panic!("{finding:?}") };
            assert!(finding.found.contains(found), "{finding:?}");
            assert!(said.contains(mend), "{finding:?}");
        }
    }

    #[test]
    fn a_kms_key_needs_rights_of_its_own() {
        let encrypted =
            Bucket { encryption: Some(crate::config::Encryption::DefaultKey), ..bucket() };
        let denied = refused(Operation::Create, 403, "AccessDenied", Kind::Denied);
        let Verdict::Problem(mend) = judge(&denied, &encrypted, None).verdict else { panic!() };
        assert!(mend.contains("kms:GenerateDataKey and kms:Decrypt"), "{mend}");
    }

    #[test]
    fn no_more_than_the_end_of_an_access_key_id_is_shown() {
        for (id, expected) in
            [("AKIAIOSFODNN7EXAMPLE", "...MPLE"), ("recorder", "..."), ("", "...")]
        {
            assert_eq!(shown(id), expected);
        }
    }
}
