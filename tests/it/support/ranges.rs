//! A web server for one film, with byte ranges, that counts what it sends, and for
//! a page that plays the film and tells how it went.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a line delivers at once, and how often: 25 Mbit/s.
const PIECE: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(20);

/// Plays the film, jumps, and reports each step to the server.
const PAGE: &str = r#"<!doctype html><title>player</title>
<video id="film" muted preload="metadata" src="film.mp4" width="640" height="360"></video>
<script>
  const film = document.getElementById("film");
  const tell = (what) => fetch(`told?${what}`);
  film.onerror = () => tell(`error=${film.error.message}`);
  film.onloadedmetadata = async () => {
    await tell(`duration=${film.duration}`);
    film.currentTime = film.duration / 2;
    film.onseeked = async () => {
      await tell(`jumped=${film.currentTime}`);
      console.log("END_RECORDING");
    };
  };
</script>"#;

/// What was asked and sent.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Bytes of the film.
    pub(crate) sent: usize,
    /// What the page told, and how many bytes had been sent by then.
    pub(crate) told: Vec<(String, usize)>,
}

#[derive(Debug)]
pub(crate) struct Player {
    pub(crate) url: String,
    pub(crate) log: watch::Sender<Log>,
    task: JoinHandle<()>,
}

impl Player {
    pub(crate) fn serve(film: &Path) -> Self {
        let film: Arc<[u8]> = std::fs::read(film).unwrap().into();
        let socket = TcpSocket::new_v4().unwrap();
        // What lies in the socket counts as sent.
        socket.set_send_buffer_size(u32::try_from(PIECE).unwrap()).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(16).unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let log = watch::Sender::new(Log::default());
        let kept = log.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&film), kept.clone()));
            }
        });
        Self { url, log, task }
    }

    /// Waits until the page has told so much.
    pub(crate) async fn told(&self, times: usize) {
        let enough = |log: &Log| log.told.len() >= times;
        self.log.subscribe().wait_for(enough).await.expect("the sender is held here");
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: TcpStream,
    film: Arc<[u8]>,
    log: watch::Sender<Log>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let target = head.split(' ').nth(1).unwrap_or_default();
    if let Some((_, told)) = target.split_once("told?") {
        log.send_modify(|log| log.told.push((told.to_owned(), log.sent)));
    }
    if !target.ends_with("film.mp4") {
        let length = PAGE.len();
        let kind = "content-type: text/html\r\nconnection: close";
        let answer = format!("HTTP/1.1 200 OK\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{PAGE}");
        return stream.write_all(answer.as_bytes()).await;
    }
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let (first, last) = range.and_then(|range| range.split_once('-')).unwrap_or(("0", ""));
    let first: usize = first.parse().unwrap();
    let last = last.parse().unwrap_or(film.len() - 1).min(film.len() - 1);
    let (length, whole) = (last + 1 - first, film.len());
    let answer = format!(
        "HTTP/1.1 206 Partial Content\r\ncontent-type: video/mp4\r\nconnection: close\r\n\
         accept-ranges: bytes\r\ncontent-range: bytes {first}-{last}/{whole}\r\n\
         content-length: {length}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).await?;
    for piece in film[first..=last].chunks(PIECE) {
        stream.write_all(piece).await?;
        log.send_modify(|log| log.sent += piece.len());
        tokio::time::sleep(PAUSE).await;
    }
    stream.shutdown().await
}
