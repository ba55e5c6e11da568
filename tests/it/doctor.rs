//! `recorder doctor`, run as a person runs it: on this machine with its real
//! programs, against the S3 server of `--local` and against servers that refuse.

use std::process::Output;

use recorder::config::environment;
use recorder::local::{BUCKET, Credentials, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::process::Command;

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// Leaves out what needs a display, which takes seconds and is not asked for.
const NO_DISPLAY: [&str; 2] = ["--xvfb", "/no/such/Xvfb"];

/// What the doctor printed, and its exit code.
struct Answer {
    stdout: String,
    stderr: String,
    code: Option<i32>,
}

impl Answer {
    /// The line about `name`, with the mend below it if there is one.
    fn about(&self, name: &str) -> String {
        let mut lines = self
            .stdout
            .lines()
            .skip_while(|line| line.get(10..).is_none_or(|it| !it.starts_with(name)));
        let line = lines.next().unwrap_or_else(|| panic!("nothing about {name}:\n{}", self.stdout));
        let mend = lines.next().filter(|line| line.starts_with(' ')).unwrap_or_default();
        format!("{line}\n{mend}")
    }

    fn assert_problem(&self, name: &str, found: &str, mend: &str) {
        let about = self.about(name);
        assert!(about.starts_with("PROBLEM "), "{about}");
        assert!(about.contains(found), "{about}");
        assert!(about.contains("mend: ") && about.contains(mend), "{about}");
        assert_eq!(self.code, Some(1), "{}", self.stdout);
    }
}

/// Nothing of this machine but its programs; credentials that are named here.
async fn doctor(args: &[&str], variables: &[(&str, &str)]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_recorder"))
        .arg("doctor")
        .args(args)
        .env_clear()
        .env("PATH", environment("PATH").unwrap())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .envs(variables.iter().copied())
        .kill_on_drop(true)
        .output();
    let Output { status, stdout, stderr } = output.await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let answer = Answer { stdout: text(stdout), stderr: text(stderr), code: status.code() };
    for secret in [SECRET, KEY_ID] {
        assert!(
            !answer.stdout.contains(secret) && !answer.stderr.contains(secret),
            "a secret shows"
        );
    }
    answer
}

async fn doctor_of_bucket(bucket: &str, endpoint: &str, more: &[&str]) -> Answer {
    let args = [&["--bucket", bucket, "--s3-endpoint", endpoint], more].concat();
    doctor(&args, &[("AWS_ACCESS_KEY_ID", KEY_ID), ("AWS_SECRET_ACCESS_KEY", SECRET)]).await
}

async fn store(dir: &tempfile::TempDir, secret: &str) -> Server {
    let credentials = Credentials { access_key: KEY_ID.into(), secret_key: secret.into() };
    Server::start(dir.path(), credentials).await.unwrap()
}

/// A server that refuses everything in this one way. Ends with the test.
async fn refusing(status: u16, code: &str, header: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let body = format!("<Error><Code>{code}</Code><Message>no</Message></Error>");
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} No\r\n{header}content-type: application/xml\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n"
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            let body = if request.starts_with(b"HEAD ") { "" } else { &body };
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    endpoint
}

#[tokio::test]
async fn a_healthy_machine_with_a_good_bucket_can_record() {
    let dir = tempfile::tempdir().unwrap();
    let server = store(&dir, SECRET).await;
    let answer = doctor_of_bucket(BUCKET, &server.endpoint(), &[]).await;
    assert_eq!(answer.code, Some(0), "{}{}", answer.stdout, answer.stderr);
    for name in [
        "Firefox",
        "geckodriver",
        "Xvfb",
        "PulseAudio",
        "temp folder",
        "GStreamer",
        "display",
        "sound",
        "browser",
        "capture",
        "credentials",
        "bucket",
    ] {
        let about = answer.about(name);
        assert!(about.starts_with("ok "), "{about}");
    }
    assert!(answer.about("credentials").contains("from the environment, access key id ...MPLE"));
    assert!(answer.stdout.contains("\nThis machine can record: 0 problems, "));
    // The probe left nothing.
    server.stop().await;
    let kept: Vec<_> = std::fs::read_dir(dir.path().join(".uploads")).unwrap().collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[tokio::test]
async fn what_is_missing_is_named_with_its_mend() {
    let args = [
        "--geckodriver",
        "no-such-driver",
        "--xvfb",
        "/no/such/Xvfb",
        "--temp-dir",
        "/no/such/dir",
    ];
    let answer = doctor(&args, &[]).await;
    answer.assert_problem("geckodriver", "no-such-driver is not on the PATH", "--geckodriver");
    answer.assert_problem("Xvfb", "/no/such/Xvfb does not exist", "apt-get install xvfb");
    answer.assert_problem("temp folder", "/no/such/dir is no folder", "--temp-dir");
    assert!(answer.about("bucket").starts_with("left out "), "{}", answer.stdout);
    assert!(answer.about("bucket").contains("--bucket NAME"), "{}", answer.stdout);
    assert!(answer.stdout.contains("\nThis machine cannot record: 3 problems, "));
}

#[tokio::test]
async fn a_program_that_breaks_is_told_in_its_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("pulseaudio");
    std::fs::write(
        &script,
        "#!/bin/sh\necho pulseaudio 16.1\n[ $# = 1 ] || { echo no sound today >&2; exit 3; }\n",
    )
    .unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).unwrap();
    let answer = doctor(&["--pulseaudio", script.to_str().unwrap()], &[]).await;
    assert!(answer.about("PulseAudio").starts_with("ok "), "{}", answer.stdout);
    answer.assert_problem("sound", "no sound today", "--log debug");
    assert!(answer.about("display").starts_with("ok "), "{}", answer.stdout);
    assert!(answer.about("browser").starts_with("left out "), "{}", answer.stdout);
}

#[tokio::test]
async fn a_bucket_that_is_missing_or_refuses_the_key_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let server = store(&dir, SECRET).await;
    let answer = doctor_of_bucket("no-such-bucket", &server.endpoint(), &NO_DISPLAY).await;
    answer.assert_problem("bucket", "there is no bucket no-such-bucket", "create it");
    server.stop().await;

    let server = store(&dir, "another secret").await;
    let answer = doctor_of_bucket(BUCKET, &server.endpoint(), &NO_DISPLAY).await;
    answer.assert_problem("bucket", "secret access key", "AWS_SECRET_ACCESS_KEY");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_problem() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let answer = doctor_of_bucket(BUCKET, &endpoint, &NO_DISPLAY).await;
    answer.assert_problem("bucket", "Connection refused", "--s3-endpoint");
    assert!(answer.about("bucket").contains(&endpoint), "{}", answer.stdout);
}

#[tokio::test]
async fn refusals_of_aws_are_told_apart() {
    let region = "x-amz-bucket-region: eu-west-3\r\n";
    for (status, code, header, found, mend) in [
        (
            301,
            "PermanentRedirect",
            region,
            "is in eu-west-3, not in us-east-1",
            "--region eu-west-3",
        ),
        (403, "AccessDenied", "", "CreateMultipartUpload is denied", "s3:PutObject"),
        (403, "RequestTimeTooSkewed", "", "clock", "timedatectl"),
    ] {
        let endpoint = refusing(status, code, header).await;
        let answer = doctor_of_bucket(BUCKET, &endpoint, &NO_DISPLAY).await;
        answer.assert_problem("bucket", found, mend);
    }
}

#[tokio::test]
async fn without_credentials_the_bucket_is_not_asked() {
    let args = [&["--bucket", "films", "--region", "eu-central-1"][..], &NO_DISPLAY].concat();
    let answer = doctor(&args, &[]).await;
    answer.assert_problem("credentials", "none in the environment", "AWS_ACCESS_KEY_ID");
    assert!(answer.about("bucket").starts_with("left out "), "{}", answer.stdout);
}
