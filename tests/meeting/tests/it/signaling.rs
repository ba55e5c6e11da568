//! The handshake of a client, byte by byte where the SDK would notice.

use futures_util::{SinkExt as _, StreamExt as _};
use prost::Message as _;
use serde_json::Value;
use test_meeting::{MeetingNames, Scenario, Server};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::server;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// The few fields of a frame that are looked at here, as another reader of the
/// protocol has them.
#[derive(Clone, PartialEq, prost::Message)]
struct Frame {
    #[prost(uint64, required, tag = "1")]
    timestamp_ms: u64,
    #[prost(int32, required, tag = "2")]
    kind: i32,
    #[prost(message, optional, tag = "3")]
    error: Option<Status>,
    #[prost(message, optional, tag = "8")]
    index: Option<Index>,
    #[prost(message, optional, tag = "20")]
    ping_pong: Option<PingPong>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(uint32, optional, tag = "1")]
    status: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Index {
    #[prost(message, repeated, tag = "2")]
    sources: Vec<Source>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Source {
    #[prost(uint32, optional, tag = "1")]
    stream_id: Option<u32>,
    #[prost(string, optional, tag = "10")]
    external_user_id: Option<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PingPong {
    #[prost(int32, required, tag = "1")]
    kind: i32,
    #[prost(uint32, required, tag = "2")]
    ping_id: u32,
}

fn frame(kind: i32) -> Frame {
    Frame { timestamp_ms: 1, kind, error: None, index: None, ping_pong: None }
}

async fn send(socket: &mut Socket, frame: &Frame) {
    let bytes = [&[5][..], &frame.encode_to_vec()].concat();
    socket.send(Message::Binary(bytes.into())).await.unwrap();
}

/// The next frame of this kind.
async fn receive(socket: &mut Socket, kind: i32) -> Frame {
    loop {
        let message = socket.next().await.expect("the connection is open").unwrap();
        let Message::Binary(bytes) = message else { continue };
        assert_eq!(bytes[0], 5);
        let frame = Frame::decode(&bytes[1..]).unwrap();
        if frame.kind == kind {
            return frame;
        }
    }
}

async fn hosted(server: &Server) -> (String, String) {
    let names = MeetingNames { meeting_id: Some("m ~é".into()), external_meeting_id: "m".into() };
    let hosted = server.host(Scenario::standard(2, false), names).await.unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let signaling = text(&hosted.meeting["MediaPlacement"]["SignalingUrl"]);
    (signaling, text(&hosted.attendee["JoinToken"]))
}

async fn connected(signaling: &str, token: &str) -> Socket {
    let mut request =
        format!("{signaling}?X-Chime-Control-Protocol-Version=3").into_client_request().unwrap();
    let protocols = format!("_aws_wt_session, {token}").parse().unwrap();
    request.headers_mut().insert("sec-websocket-protocol", protocols);
    let (socket, answer) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "_aws_wt_session");
    socket
}

#[tokio::test]
async fn a_client_that_joins_is_told_who_sends_what() {
    let server = server().await;
    let (signaling, token) = hosted(&server).await;
    let mut socket = connected(&signaling, &token).await;
    let ping = Frame { ping_pong: Some(PingPong { kind: 1, ping_id: 42 }), ..frame(19) };
    send(&mut socket, &ping).await;
    let answer = receive(&mut socket, 19).await.ping_pong.unwrap();
    assert_eq!((answer.kind, answer.ping_id), (2, 42));

    // What it does not know, and what is no frame at all, it leaves alone.
    send(&mut socket, &frame(99)).await;
    socket.send(Message::Binary(Bytes::from_static(&[5, 255]))).await.unwrap();
    send(&mut socket, &frame(1)).await;
    receive(&mut socket, 2).await;
    let index = receive(&mut socket, 5).await.index.unwrap();
    let mut streams: Vec<_> = index.sources.iter().map(|source| source.stream_id).collect();
    streams.dedup();
    assert_eq!(streams.len(), 6, "three encodings of two cameras");
    assert_eq!(index.sources[0].external_user_id.as_deref(), Some("participant-1#Alice"));

    send(&mut socket, &frame(9)).await;
    receive(&mut socket, 10).await;
    server.stop();
}

#[tokio::test]
async fn a_wrong_token_is_refused_with_403() {
    let server = server().await;
    let (signaling, _) = hosted(&server).await;
    let mut socket = connected(&signaling, "wrong").await;
    send(&mut socket, &frame(1)).await;
    assert_eq!(receive(&mut socket, 2).await.error.unwrap().status, Some(403));
}

#[tokio::test]
async fn a_meeting_that_is_over_takes_nobody() {
    let server = server().await;
    let (signaling, token) = hosted(&server).await;
    let end = posted(&server.endpoint(), "m%20~%C3%A9", r#"{"do":"end_meeting"}"#).await;
    assert!(end.starts_with("HTTP/1.1 200"), "{end}");
    let mut socket = connected(&signaling, &token).await;
    let Some(Ok(Message::Close(Some(close)))) = socket.next().await else {
        panic!("it was not closed");
    };
    assert_eq!(u16::from(close.code), 4410);
    let wrong = posted(&server.endpoint(), "m%20~%C3%A9", r#"{"do":"dance"}"#).await;
    assert!(wrong.starts_with("HTTP/1.1 400") && wrong.contains("dance"), "{wrong}");
}

/// One POST to the control API; the whole answer.
async fn posted(endpoint: &str, meeting: &str, body: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let host = endpoint.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(host).await.unwrap();
    let request = format!(
        "POST /control/{meeting} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    answer
}
