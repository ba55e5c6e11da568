//! A web server for one page, good or bad, on a free port of this machine.
//!
//! Written by hand, because most of what it answers no proper server would.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What becomes of a request for the page; everything else is not found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Html(&'static str),
    Status(u16),
    /// The request is read, and that is all.
    Silence,
    /// A page that begins and never ends.
    Endless,
    /// The connection is closed instead of an answer.
    HangUp,
}

/// The server. It ends with the test.
#[derive(Debug)]
pub(crate) struct Pages {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Pages {
    pub(crate) async fn serve(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, answer));
            }
        });
        Self { address, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An address of this machine where nobody listens, and that no browser refuses
/// by itself.
pub(crate) async fn deserted() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

async fn converse(mut stream: TcpStream, answer: Answer) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes).await {
            Ok(n) if n > 0 => request.extend_from_slice(&bytes[..n]),
            _ => return,
        }
    }
    let is_page = request.starts_with(b"GET / ") || request.starts_with(b"GET /?");
    let text = match if is_page { answer } else { Answer::Status(404) } {
        Answer::Html(html) => response(200, html),
        Answer::Status(status) => response(status, "<body style='background:#f0f'>an error page"),
        Answer::Silence => return until_closed(stream).await,
        Answer::Endless => {
            let text = "HTTP/1.1 200 x\r\nContent-Type: text/html\r\n\r\n<title>begun</title>";
            let _ = stream.write_all(text.as_bytes()).await;
            return until_closed(stream).await;
        }
        Answer::HangUp => return,
    };
    // A browser that was killed takes no answer.
    let _ = stream.write_all(text.as_bytes()).await;
}

fn response(status: u16, html: &str) -> String {
    let length = html.len();
    format!(
        "HTTP/1.1 {status} x\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{html}"
    )
}

async fn until_closed(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new()).await;
}
