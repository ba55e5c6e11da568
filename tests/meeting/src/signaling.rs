//! One client's connection: the WebSocket that it signals over, and the media
//! that follows.
//!
//! The client is brought up to date with the meeting whenever that changes. It
//! must not decide anything: what happens in a meeting is the business of
//! `meeting.rs`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep_until;

use crate::media::Media;
use crate::meeting::{Client, Meeting, Told};
use crate::proto::{
    self, AudioMetadata, AudioState, AudioStatus, DataMessage, Empty, Frame, JoinAck, PingPong,
    Presence, Roster, SubscribeAck, TurnCredentials, kind,
};

/// How often the client hears how loud everybody is.
const VOLUMES: Duration = Duration::from_millis(200);

/// Attenuations in dB: of who speaks, a little different each time, because only
/// changes reach the SDK's detector; and of silence.
const LOUD: std::ops::Range<u32> = 14..19;
const SILENT: u32 = 60;

/// Closes a connection whose meeting is over before it is told of it.
const MEETING_ENDED: u16 = 4410;
const NOT_ALLOWED: u32 = 403;
const MOST_VIDEOS: u32 = 25;

/// Serves one client until it goes or is sent away.
pub(crate) async fn serve(
    mut socket: WebSocket,
    meeting: Arc<Meeting>,
    attendee: Option<(String, String)>,
    media_address: IpAddr,
) {
    if meeting.has_ended() {
        let frame = CloseFrame { code: MEETING_ENDED, reason: "meeting ended".into() };
        let _ = socket.send(Message::Close(Some(frame))).await;
        return;
    }
    let Some((attendee_id, external_user_id)) = attendee else {
        refuse(&mut socket).await;
        return;
    };
    let media = match Media::new(media_address, meeting.begun()).await {
        Ok(media) => media,
        Err(error) => {
            tracing::error!(%error, "a client cannot be served");
            return;
        }
    };
    let client = meeting.admit(&attendee_id, &external_user_id);
    let mut session = Session {
        socket,
        media,
        client,
        roster: BTreeMap::new(),
        index: None,
        messages: 0,
        status: None,
        is_indexed: false,
        is_subscribed: false,
        is_behind: false,
    };
    // Nothing is said at the end: what ends in order has been acknowledged, and
    // what does not is to look like a lost connection.
    if let Err(end) = session.run(&meeting).await {
        tracing::debug!(attendee_id, %end, "a client's connection has ended");
    }
    meeting.dismiss(&session.client);
}

/// Tells a client whose token is wrong so, whatever it says first.
async fn refuse(socket: &mut WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let Message::Binary(bytes) = message else { continue };
        if Frame::from_bytes(&bytes).is_some_and(|frame| frame.kind == kind::JOIN) {
            let mut refusal = Frame::new(kind::JOIN_ACK);
            let description = Some("the join token is not known".into());
            refusal.error = Some(proto::Error { status: Some(NOT_ALLOWED), description });
            let _ = socket.send(Message::Binary(refusal.to_bytes())).await;
        }
    }
}

/// Why a connection is over.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("the client closed it")]
    Closed,
    #[error("it was cut")]
    Cut,
    #[error(transparent)]
    Media(#[from] crate::media::Error),
    #[error(transparent)]
    Socket(#[from] axum::Error),
}

struct Session {
    socket: WebSocket,
    media: Media,
    client: Client,
    /// What the client has been told.
    roster: BTreeMap<u32, Presence>,
    index: Option<proto::Index>,
    messages: usize,
    status: Option<u32>,
    /// Whether it has got its first index, and its first answer.
    is_indexed: bool,
    is_subscribed: bool,
    /// The meeting has changed since it was told.
    is_behind: bool,
}

impl Session {
    async fn run(&mut self, meeting: &Meeting) -> Result<(), End> {
        let mut changed = meeting.changes();
        let mut sound = meeting.sound();
        let mut missed = 0;
        let mut volumes = Instant::now() + VOLUMES;
        loop {
            let told = meeting.told(&self.client);
            if told.is_cut {
                return Err(End::Cut);
            }
            if std::mem::take(&mut self.is_behind) {
                self.bring_up_to_date(meeting, &told).await?;
            }
            if self.media.is_connected() {
                meeting.start();
            }
            if Instant::now() >= volumes && self.is_subscribed {
                self.send(volumes_of(meeting)).await?;
                meeting.count(&self.client, self.media.counts(), self.media.streams());
                volumes = Instant::now() + VOLUMES;
            }
            let next = self.media.advance(told.is_stalled)?.min(volumes.max(Instant::now()));
            tokio::select! {
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        if let Some(frame) = Frame::from_bytes(&bytes) {
                            self.handle(meeting, frame).await?;
                        }
                    }
                    Some(Ok(Message::Close(_))) | None => return Err(End::Closed),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error.into()),
                },
                received = self.media.receive() => received?,
                packet = sound.recv() => match packet {
                    Ok(packet) => {
                        self.media.sound(&packet, std::mem::take(&mut missed), told.is_stalled)?;
                    }
                    Err(RecvError::Lagged(count)) => missed += count,
                    Err(RecvError::Closed) => return Err(End::Cut),
                },
                _ = changed.changed() => self.is_behind = true,
                () = sleep_until(next.into()) => {}
            }
        }
    }

    async fn handle(&mut self, meeting: &Meeting, frame: Frame) -> Result<(), End> {
        match frame.kind {
            kind::PING_PONG => {
                if let Some(PingPong { kind: proto::PING, ping_id }) = frame.ping_pong {
                    let mut pong = Frame::new(kind::PING_PONG);
                    pong.ping_pong = Some(PingPong { kind: proto::PONG, ping_id });
                    self.send(pong).await?;
                }
            }
            kind::JOIN => {
                let mut ack = Frame::new(kind::JOIN_ACK);
                ack.join_ack = Some(JoinAck {
                    // Without any address the client connects directly.
                    turn_credentials: Some(TurnCredentials {
                        username: Some("nobody".into()),
                        password: Some("nothing".into()),
                        ttl: Some(3600),
                        uris: Vec::new(),
                    }),
                    video_subscription_limit: Some(MOST_VIDEOS),
                    wants_compressed_sdp: Some(false),
                });
                self.send(ack).await?;
                self.is_indexed = true;
                self.is_behind = true;
            }
            kind::SUBSCRIBE => {
                let Some(subscribe) = frame.subscribe else { return Ok(()) };
                let offer = subscribe.sdp_offer.unwrap_or_default();
                let (answer, tracks) =
                    self.media
                        .answer(&offer, &subscribe.receive_stream_ids, |id| meeting.clip(id))?;
                let mut ack = Frame::new(kind::SUBSCRIBE_ACK);
                ack.subscribe_ack = Some(SubscribeAck {
                    duplex: Some(proto::RECEIVE),
                    sdp_answer: Some(answer),
                    tracks,
                });
                self.send(ack).await?;
                self.is_subscribed = true;
                self.is_behind = true;
            }
            kind::REMOTE_VIDEO_UPDATE => {
                let update = frame.remote_video_update.unwrap_or_default();
                for change in update.changed {
                    let stream = change.stream_id.unwrap_or_default();
                    if let Some(clip) = meeting.clip(stream) {
                        self.media.switch(&change.mid, stream, clip);
                    }
                }
            }
            kind::PAUSE | kind::RESUME => {
                for stream in frame.pause.unwrap_or_default().stream_ids {
                    self.media.pause(stream, frame.kind == kind::PAUSE);
                }
            }
            kind::LEAVE => {
                let mut ack = Frame::new(kind::LEAVE_ACK);
                ack.leave_ack = Some(Empty {});
                self.send(ack).await?;
            }
            // Metrics, timings, and what other versions of the SDK may say.
            _ => {}
        }
        Ok(())
    }

    async fn bring_up_to_date(&mut self, meeting: &Meeting, told: &Told) -> Result<(), End> {
        if self.is_indexed {
            let index = meeting.index();
            if self.index.as_ref() != Some(&index) {
                let mut frame = Frame::new(kind::INDEX);
                frame.index = Some(index.clone());
                self.index = Some(index);
                self.send(frame).await?;
            }
        }
        if !self.is_subscribed {
            return Ok(());
        }
        let (streams, roster) = meeting.roster_since(&self.roster);
        if !streams.is_empty() {
            self.roster = roster;
            let mut frame = Frame::new(kind::AUDIO_STREAM_ID_INFO);
            frame.roster = Some(Roster { streams });
            self.send(frame).await?;
        }
        let messages = meeting.said(self.messages);
        if !messages.is_empty() {
            self.messages += messages.len();
            let mut frame = Frame::new(kind::DATA_MESSAGE);
            frame.data_message = Some(DataMessage { messages });
            self.send(frame).await?;
        }
        if told.status.is_some() && told.status != self.status {
            self.status = told.status;
            let mut frame = Frame::new(kind::AUDIO_STATUS);
            frame.audio_status = Some(AudioStatus { audio_status: told.status });
            self.send(frame).await?;
        }
        Ok(())
    }

    async fn send(&mut self, frame: Frame) -> Result<(), End> {
        Ok(self.socket.send(Message::Binary(frame.to_bytes())).await?)
    }
}

fn volumes_of(meeting: &Meeting) -> Frame {
    let state = |(audio, speaks)| AudioState {
        audio_stream_id: Some(audio),
        volume: Some(if speaks { fastrand::u32(LOUD) } else { SILENT }),
        signal_strength: Some(2),
    };
    let mut frame = Frame::new(kind::AUDIO_METADATA);
    frame.audio_metadata =
        Some(AudioMetadata { states: meeting.voices().into_iter().map(state).collect() });
    frame
}
