//! A proxy in front of a real S3 server that makes its faults, with a seed.
//!
//! It reads the head of each request, decides, and passes on what is left to pass
//! on; every connection carries one request. It must not know what a request is for,
//! but for completions, whose error comes with status 200.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error without anything having been done.
    Status(u16, &'static str),
    /// The connection is cut in the middle of the body.
    Reset,
    /// The request is taken, and no answer ever comes.
    Never,
    /// It is done, and the answer is lost.
    LostAnswer,
    /// The connection is cut, and it is done just before the next completion.
    Late,
    /// Of a completion: status 200 and an error in the body, nothing done.
    ErrorWith200,
}

/// How all requests fare at the moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Weather {
    Fine,
    /// This share of the requests, 0 to 1, meets the fault.
    Faulty(Fault, f64),
    /// Bytes a second from the client to the server, for each connection.
    Slow(u64),
    /// Nobody answers at this address.
    Away,
    /// Completions wait until the weather changes.
    Held,
}

#[derive(Debug)]
pub(crate) struct Proxy {
    pub(crate) endpoint: String,
    weather: watch::Sender<Weather>,
    /// Whether a completion has come that was held.
    has_held: watch::Receiver<bool>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// In front of `server`, an address with a port.
    pub(crate) async fn start(server: &str, seed: u64) -> Self {
        let upstream = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let (weather, told) = watch::channel(Weather::Fine);
        let (holds, has_held) = watch::channel(false);
        let way = Arc::new(Way {
            upstream,
            told,
            holds,
            chance: Mutex::new(fastrand::Rng::with_seed(seed)),
            late: Mutex::default(),
        });
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let way = Arc::clone(&way);
                tokio::spawn(async move {
                    let away = |weather: &Weather| *weather == Weather::Away;
                    let mut gone = way.told.clone();
                    tokio::select! {
                        () = async { drop(gone.wait_for(away).await) } => {}
                        passed = way.pass(client) => drop(passed),
                    }
                });
            }
        });
        Self { endpoint: format!("http://{address}"), weather, has_held, task }
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Waits until a completion is held.
    pub(crate) async fn held(&self) {
        self.has_held.clone().wait_for(|has_held| *has_held).await.unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all connections share.
struct Way {
    upstream: String,
    told: watch::Receiver<Weather>,
    holds: watch::Sender<bool>,
    chance: Mutex<fastrand::Rng>,
    /// Requests, whole, that nobody waits for any more.
    late: Mutex<Vec<Vec<u8>>>,
}

impl Way {
    async fn pass(&self, mut client: TcpStream) -> std::io::Result<()> {
        let Self { upstream, told, holds, chance, late } = self;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<u64>().unwrap())
        });
        let length = length.unwrap_or(0);
        let weather = *told.borrow();
        let fault = match weather {
            Weather::Faulty(fault, share) if chance.lock().unwrap().f64() < share => Some(fault),
            _ => None,
        };
        let is_completion = text.starts_with("POST ") && text.contains("uploadId=");
        if is_completion && weather == Weather::Held {
            holds.send_replace(true);
            // Only the end of the proxy is an error.
            drop(told.clone().wait_for(|weather| *weather != Weather::Held).await);
        }
        // One request a connection; the header is not among the signed ones.
        let (request, headers) = text.split_once("\r\n").unwrap();
        let passed_on = format!("{request}\r\nconnection: close\r\n{headers}");
        if is_completion {
            let late = std::mem::take(&mut *late.lock().unwrap());
            for request in late {
                let mut server = TcpStream::connect(upstream).await?;
                server.write_all(&request).await?;
                server.read_to_end(&mut Vec::new()).await?;
            }
        }
        let error = |status: u16, code: &str| {
            let body = format!("<Error><Code>{code}</Code><Message>a fault</Message></Error>");
            let length = body.len();
            format!(
                "HTTP/1.1 {status} Fault\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
            )
        };
        match fault {
            Some(Fault::Status(status, code)) => {
                swallow(&mut client, length).await?;
                return client.write_all(error(status, code).as_bytes()).await;
            }
            Some(Fault::ErrorWith200) if is_completion => {
                swallow(&mut client, length).await?;
                return client.write_all(error(200, "InternalError").as_bytes()).await;
            }
            Some(Fault::Reset) => {
                let most = length.max(1);
                let some = chance.lock().unwrap().u64(0..most);
                return swallow(&mut client, some).await;
            }
            Some(Fault::Never) => {
                swallow(&mut client, length).await?;
                // Until the client gives up.
                let _ = client.read_u8().await;
                return Ok(());
            }
            Some(Fault::Late) => {
                let mut request = passed_on.into_bytes();
                (&mut client).take(length).read_to_end(&mut request).await?;
                late.lock().unwrap().push(request);
                return Ok(());
            }
            Some(Fault::LostAnswer | Fault::ErrorWith200) | None => {}
        }
        let mut server = TcpStream::connect(upstream).await?;
        server.write_all(passed_on.as_bytes()).await?;
        let mut left = length;
        let mut piece = vec![0; 16 * 1024];
        while left > 0 {
            let wanted = piece.len().min(usize::try_from(left).unwrap());
            let read = client.read(&mut piece[..wanted]).await?;
            if read == 0 {
                return Ok(());
            }
            server.write_all(&piece[..read]).await?;
            left -= read as u64;
            let weather = *told.borrow();
            if let Weather::Slow(rate) = weather {
                #[expect(clippy::cast_precision_loss, reason = "a rate")]
                tokio::time::sleep(Duration::from_secs_f64(read as f64 / rate as f64)).await;
            }
        }
        let mut answer = Vec::new();
        if fault == Some(Fault::LostAnswer) {
            server.read_to_end(&mut answer).await?;
            return Ok(());
        }
        tokio::io::copy(&mut server, &mut client).await?;
        client.shutdown().await
    }
}

/// Reads so many bytes and forgets them.
async fn swallow(client: &mut TcpStream, bytes: u64) -> std::io::Result<()> {
    tokio::io::copy(&mut client.take(bytes), &mut tokio::io::sink()).await?;
    Ok(())
}
