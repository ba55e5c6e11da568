//! The Lambdas: which there are, what each is told, and the package in which they
//! are uploaded. Pure.

use std::collections::BTreeMap;
use std::path::Path;

/// A Lambda is ended after this (contract A7), and API Gateway waits for 30 s.
const USUAL_SECONDS: u32 = 20;

/// As long as a Lambda can take: these two repair files.
const LONGEST_SECONDS: u32 = 900;

/// A Lambda; its binary, its role and its log are named like it.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) timeout_seconds: u32,
    /// The names of its variables (contract A7), beside those that say where the
    /// services are.
    variables: &'static [&'static str],
}

const fn usual(name: &'static str, variables: &'static [&'static str]) -> Function {
    Function { name, timeout_seconds: USUAL_SECONDS, variables }
}

pub(crate) const FUNCTIONS: [Function; 9] = [
    usual(
        "start-recording",
        &[
            "CognitoUserPoolClientId",
            "CognitoUserPoolId",
            "ConnectInstanceId",
            "ConnectInstanceRegion",
            "DDB_TABLE",
            "ECS_CLUSTER_ARN",
            "ECS_CONTAINER_NAME",
            "ECS_TASK_DEFINITION_ARN",
            "RECORDING_ATTENDEE_NAME",
            "RECORDING_BUCKET_NAME",
            "RECORDING_SCREEN_HEIGHT",
            "RECORDING_SCREEN_WIDTH",
        ],
    ),
    usual(
        "stop-recording",
        &["CognitoUserPoolClientId", "CognitoUserPoolId", "DDB_TABLE", "ECS_CLUSTER_ARN"],
    ),
    usual(
        "stop-recording-event",
        &["DDB_REGION", "DDB_TABLE", "ECS_CLUSTER_ARN", "ECS_CLUSTER_REGION"],
    ),
    usual(
        "recording-summary",
        &[
            "CognitoUserPoolClientId",
            "CognitoUserPoolId",
            "DDB_TABLE",
            "recordingPlaybackSecurityProfileId",
            "recordingPresignedURLExpiresMinutes",
        ],
    ),
    usual("start-pre-warm", &["ECS_CLUSTER_ARN", "ECS_CONTAINER_NAME", "ECS_TASK_DEFINITION_ARN"]),
    usual(
        "put-connect-user-cache",
        &[
            "CognitoUserPoolClientId",
            "CognitoUserPoolId",
            "ConnectInstanceId",
            "ConnectInstanceRegion",
            "DDB_TABLE",
        ],
    ),
    usual(
        "set-connect-user-id",
        &[
            "CognitoUserPoolClientId",
            "CognitoUserPoolId",
            "ConnectInstanceId",
            "ConnectInstanceRegion",
            "DDB_TABLE",
        ],
    ),
    Function {
        name: "recording-task-state",
        timeout_seconds: LONGEST_SECONDS,
        variables: &["DDB_TABLE", "ECS_CLUSTER_ARN", "RECORDING_BUCKET_NAME"],
    },
    Function {
        name: "recording-sweeper",
        timeout_seconds: LONGEST_SECONDS,
        variables: &["DDB_TABLE", "ECS_CLUSTER_ARN", "RECORDING_BUCKET_NAME"],
    },
];

/// Variables that all get: where the services are that are not where the SDKs look.
pub(crate) const EVERYWHERE: [&str; 8] = [
    "AWS_ENDPOINT_URL_CHIME_SDK_MEETINGS",
    "AWS_ENDPOINT_URL_COGNITO_IDENTITY_PROVIDER",
    "AWS_ENDPOINT_URL_CONNECT",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_ECS",
    "AWS_ENDPOINT_URL_S3",
    "AWS_S3_FORCE_PATH_STYLE",
    "COGNITO_JWKS_URL",
];

impl Function {
    /// Its variables, out of all that there are.
    pub(crate) fn environment<'a>(
        &self,
        values: &'a BTreeMap<&'static str, String>,
    ) -> BTreeMap<&'static str, &'a str> {
        let names = self.variables.iter().chain(&EVERYWHERE);
        names.map(|name| (*name, values.get(name).map_or("", String::as_str))).collect()
    }

    /// Those of its variables that say no address, made up.
    pub(crate) fn environment_with(
        &self,
        value: impl Fn(&str) -> String,
    ) -> BTreeMap<&'static str, String> {
        self.variables.iter().map(|name| (*name, value(name))).collect()
    }

    /// A package whose program calls the binary in `bins`: the binary itself, built
    /// for debugging, has more bytes than an upload may have.
    pub(crate) fn package(&self, bins: &Path) -> Vec<u8> {
        let script = format!("#!/bin/sh\nexec '{}'\n", bins.join(self.name).display());
        zip("bootstrap", script.as_bytes())
    }
}

/// An archive with one executable file, not packed: the format's three records, with
/// the fields that say nothing set to zero.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    const VERSION: u16 = 20;
    /// Made on Unix, so that the mode below counts.
    const MADE_BY: u16 = 3 << 8 | VERSION;
    /// A regular file, to be executed by everybody.
    const MODE: u32 = 0o100_755 << 16;
    let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("it is a short script");
    let name_length = u16::try_from(name.len()).expect("it is a short name");
    // Flags, method, time, date; then checksum, both sizes, the name's length, extras.
    let mut described = Vec::new();
    described.extend([0; 8]);
    described.extend(crc32fast::hash(content).to_le_bytes());
    described.extend(size(content).to_le_bytes());
    described.extend(size(content).to_le_bytes());
    described.extend(name_length.to_le_bytes());
    described.extend([0; 2]);

    let mut archive = b"PK\x03\x04".to_vec();
    archive.extend(VERSION.to_le_bytes());
    archive.extend(&described);
    archive.extend(name.as_bytes());
    archive.extend(content);
    let (directory, directory_at) = (archive.len(), size(&archive));
    archive.extend(b"PK\x01\x02");
    archive.extend(MADE_BY.to_le_bytes());
    archive.extend(VERSION.to_le_bytes());
    archive.extend(&described);
    // Comment, disk, internal attributes; then the mode, and where the file is.
    archive.extend([0; 6]);
    archive.extend(MODE.to_le_bytes());
    archive.extend([0; 4]);
    archive.extend(name.as_bytes());
    let directory_size = size(&archive[directory..]);
    archive.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    archive.extend(directory_size.to_le_bytes());
    archive.extend(directory_at.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_package_is_an_archive_that_python_takes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package.zip");
        let package = FUNCTIONS[0].package(Path::new("/bins"));
        std::fs::File::create(&path).unwrap().write_all(&package).unwrap();
        let code = "import sys, zipfile\n\
            archive = zipfile.ZipFile(sys.argv[1])\n\
            assert archive.testzip() is None\n\
            mode = archive.getinfo('bootstrap').external_attr >> 16\n\
            sys.stdout.write(oct(mode) + ' ' + archive.read('bootstrap').decode())";
        let told = Command::new("python3").args(["-c", code]).arg(&path).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert_eq!(told, "0o100755 #!/bin/sh\nexec '/bins/start-recording'\n");
    }

    #[test]
    fn the_deployment_calls_the_container_what_it_is_called_here() {
        let told: serde_json::Value =
            serde_json::from_str(include_str!("../../../deploy/lib/worker.json")).unwrap();
        assert_eq!(told["containerName"], crate::cloud::CONTAINER);
    }

    #[test]
    fn every_function_has_a_role_and_every_route_a_function() {
        for function in &FUNCTIONS {
            let role = crate::policies::ROLES.iter().find(|role| role.name == function.name);
            assert!(role.is_some(), "{}", function.name);
        }
        for (_, _, name) in crate::policies::ROUTES {
            assert!(FUNCTIONS.iter().any(|function| function.name == name), "{name}");
        }
    }
}
