//! Shows a clip in a browser: the page around it and a small file server.
//!
//! The server answers byte ranges, without which no browser seeks back to the
//! start of a clip, and tells which paths were asked for, so that a test can
//! wait for the page to have come so far.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::oneshot;

/// What the page asks for as soon as its clip is playing.
pub const PLAYING: &str = "/playing";

/// Writes a page that plays `clip` over and over, full screen, beside it, and
/// gives the page's file name.
pub fn write_page(clip: &Path) -> io::Result<String> {
    let page = clip.with_extension("html");
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let (Some(clip), Some(page_name)) = (name(clip), name(&page)) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    fs::write(&page, clip_page(&clip))?;
    Ok(page_name)
}

/// A page that plays the clip at the address `clip` full screen on black.
pub fn clip_page(clip: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Clip</title>
<style>
html, body {{ margin: 0; height: 100%; overflow: hidden; background: #000; cursor: none }}
video {{ display: block; width: 100vw; height: 100vh; object-fit: fill }}
</style>
<video src="{clip}" autoplay loop onplaying="fetch('{PLAYING}')"></video>
</html>
"#
    )
}

/// Serves the files of `folder` on a free loopback port until the guard is
/// dropped. The address ends in a slash.
pub fn serve(folder: &Path) -> io::Result<(String, Server)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}/", listener.local_addr()?);
    let requests = Arc::new(Requests::default());
    let site = Arc::new(Site { folder: folder.to_owned(), requests: Arc::clone(&requests) });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let router = Router::new().fallback(answer).with_state(site);
            // Open connections die with the runtime; a browser keeps some.
            tokio::select! {
                ended = async { axum::serve(listener, router).await } => ended,
                _ = stopped => Ok(()),
            }
        })
    });
    Ok((url, Server { requests, stop: Some(stop), thread: Some(thread) }))
}

/// A running file server; it ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    requests: Arc<Requests>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Forgets what has been asked for so far.
    pub fn forget(&self) {
        self.requests.paths.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Waits until `path` has been asked for; false when `limit` passes first.
    pub fn wait_for(&self, path: &str, limit: Duration) -> bool {
        self.requests.wait_for(path, limit)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the thread is gone already, which is the aim.
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[derive(Debug)]
struct Site {
    folder: PathBuf,
    requests: Arc<Requests>,
}

/// The paths asked for. Locked, because the waiting side is an ordinary thread.
#[derive(Debug, Default)]
struct Requests {
    paths: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Requests {
    fn add(&self, path: &str) {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        self.changed.notify_all();
    }

    fn wait_for(&self, path: &str, limit: Duration) -> bool {
        let missing = |paths: &mut Vec<String>| !paths.iter().any(|seen| seen == path);
        let paths = self.paths.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(paths, limit, missing);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

async fn answer(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Response {
    site.requests.add(uri.path());
    if uri.path() == PLAYING {
        return StatusCode::NO_CONTENT.into_response();
    }
    let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
    // Read on this thread: a test's site has one visitor.
    match read(&site.folder, uri.path(), range) {
        Ok(response) => response,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (StatusCode::NOT_FOUND, error.to_string()).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn read(folder: &Path, path: &str, range: Option<&str>) -> io::Result<Response> {
    let name = path.trim_start_matches('/');
    if name.split('/').any(|part| part == "..") {
        return Ok(StatusCode::BAD_REQUEST.into_response());
    }
    let mut file = File::open(folder.join(name))?;
    let length = file.metadata()?.len();
    let kind = [(header::CONTENT_TYPE, content_type(name)), (header::ACCEPT_RANGES, "bytes")];
    let mut body = Vec::new();
    let Some(range) = range else {
        file.read_to_end(&mut body)?;
        return Ok((kind, body).into_response());
    };
    let Some((first, last)) = parse_range(range, length) else {
        let whole = [(header::CONTENT_RANGE, format!("bytes */{length}"))];
        return Ok((StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response());
    };
    file.seek(SeekFrom::Start(first))?;
    file.take(last - first + 1).read_to_end(&mut body)?;
    let part = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{length}"))];
    Ok((StatusCode::PARTIAL_CONTENT, kind, part, body).into_response())
}

/// First and last byte of a `Range` header with one range; `None` when there is
/// no such range in a file of this length.
fn parse_range(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = length.checked_sub(1)?;
    let (first, last) = match (first, last) {
        ("", last) => (length.saturating_sub(last.parse().ok()?), end),
        (first, "") => (first.parse().ok()?, end),
        (first, last) => (first.parse().ok()?, end.min(last.parse().ok()?)),
    };
    (first <= last).then_some((first, last))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("webm") => "video/webm",
        Some("mp4") => "video/mp4",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_range_is_cut_to_the_file() {
        for (range, expected) in [
            ("bytes=0-", Some((0, 99))),
            ("bytes=10-19", Some((10, 19))),
            ("bytes=90-500", Some((90, 99))),
            ("bytes=-5", Some((95, 99))),
            ("bytes=100-", None),
            ("bytes=20-10", None),
            ("lines=1-2", None),
            ("bytes=x-", None),
        ] {
            assert_eq!(parse_range(range, 100), expected, "{range}");
        }
        assert_eq!(parse_range("bytes=0-", 0), None);
    }

    fn ask(url: &str, request: &str) -> String {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{request}\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_server_gives_the_page_parts_of_the_clip_and_nothing_outside() {
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("clip.webm");
        assert_eq!(write_page(&clip).unwrap(), "clip.html");
        fs::write(clip, "0123456789").unwrap();
        let (url, server) = serve(folder.path()).unwrap();

        let page = ask(&url, "GET /clip.html HTTP/1.1");
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("src=\"clip.webm\""), "{page}");
        let part = ask(&url, "GET /clip.webm HTTP/1.1\r\nRange: bytes=2-4");
        assert!(part.starts_with("HTTP/1.1 206") && part.ends_with("\r\n\r\n234"), "{part}");
        assert!(part.to_lowercase().contains("content-range: bytes 2-4/10"), "{part}");
        assert!(ask(&url, "GET /none HTTP/1.1").starts_with("HTTP/1.1 404"));
        assert!(ask(&url, "GET /../secret HTTP/1.1").starts_with("HTTP/1.1 400"));

        assert!(!server.wait_for(PLAYING, Duration::ZERO));
        ask(&url, "GET /playing HTTP/1.1");
        assert!(server.wait_for(PLAYING, Duration::from_secs(10)));
        server.forget();
        assert!(!server.wait_for(PLAYING, Duration::ZERO));
    }
}
