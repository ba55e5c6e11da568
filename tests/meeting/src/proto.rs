//! The frames of Chime's signaling, as far as a receiving client uses them.
//!
//! Field numbers are the wire contract. On the WebSocket a frame follows one
//! byte, [`PREFIX`]. It must not know what the frames are for.

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

/// The byte in front of each frame.
const PREFIX: u8 = 5;

pub(crate) mod kind {
    pub(crate) const JOIN: i32 = 1;
    pub(crate) const JOIN_ACK: i32 = 2;
    pub(crate) const SUBSCRIBE: i32 = 3;
    pub(crate) const SUBSCRIBE_ACK: i32 = 4;
    pub(crate) const INDEX: i32 = 5;
    pub(crate) const PAUSE: i32 = 7;
    pub(crate) const RESUME: i32 = 8;
    pub(crate) const LEAVE: i32 = 9;
    pub(crate) const LEAVE_ACK: i32 = 10;
    pub(crate) const AUDIO_METADATA: i32 = 17;
    pub(crate) const AUDIO_STREAM_ID_INFO: i32 = 18;
    pub(crate) const PING_PONG: i32 = 19;
    pub(crate) const AUDIO_STATUS: i32 = 20;
    pub(crate) const DATA_MESSAGE: i32 = 22;
    pub(crate) const REMOTE_VIDEO_UPDATE: i32 = 24;
}

pub(crate) const RECEIVE: i32 = 1;
pub(crate) const VIDEO: i32 = 2;
pub(crate) const PING: i32 = 1;
pub(crate) const PONG: i32 = 2;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Frame {
    #[prost(uint64, required, tag = "1")]
    pub(crate) timestamp_ms: u64,
    #[prost(int32, required, tag = "2")]
    pub(crate) kind: i32,
    #[prost(message, optional, tag = "3")]
    pub(crate) error: Option<Error>,
    #[prost(message, optional, tag = "5")]
    pub(crate) join_ack: Option<JoinAck>,
    #[prost(message, optional, tag = "6")]
    pub(crate) subscribe: Option<Subscribe>,
    #[prost(message, optional, tag = "7")]
    pub(crate) subscribe_ack: Option<SubscribeAck>,
    #[prost(message, optional, tag = "8")]
    pub(crate) index: Option<Index>,
    #[prost(message, optional, tag = "10")]
    pub(crate) pause: Option<Pause>,
    #[prost(message, optional, tag = "12")]
    pub(crate) leave_ack: Option<Empty>,
    #[prost(message, optional, tag = "18")]
    pub(crate) audio_metadata: Option<AudioMetadata>,
    #[prost(message, optional, tag = "19")]
    pub(crate) roster: Option<Roster>,
    #[prost(message, optional, tag = "20")]
    pub(crate) ping_pong: Option<PingPong>,
    #[prost(message, optional, tag = "21")]
    pub(crate) audio_status: Option<AudioStatus>,
    #[prost(message, optional, tag = "23")]
    pub(crate) data_message: Option<DataMessage>,
    #[prost(message, optional, tag = "25")]
    pub(crate) remote_video_update: Option<RemoteVideoUpdate>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Error {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) status: Option<u32>,
    #[prost(string, optional, tag = "2")]
    pub(crate) description: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct JoinAck {
    #[prost(message, optional, tag = "1")]
    pub(crate) turn_credentials: Option<TurnCredentials>,
    #[prost(uint32, optional, tag = "2")]
    pub(crate) video_subscription_limit: Option<u32>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) wants_compressed_sdp: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct TurnCredentials {
    #[prost(string, optional, tag = "1")]
    pub(crate) username: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(crate) password: Option<String>,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) ttl: Option<u32>,
    #[prost(string, repeated, tag = "4")]
    pub(crate) uris: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Subscribe {
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub(crate) receive_stream_ids: Vec<u32>,
    #[prost(string, optional, tag = "4")]
    pub(crate) sdp_offer: Option<String>,
    #[prost(bool, optional, tag = "7")]
    pub(crate) audio_muted: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SubscribeAck {
    #[prost(int32, optional, tag = "1")]
    pub(crate) duplex: Option<i32>,
    #[prost(string, optional, tag = "3")]
    pub(crate) sdp_answer: Option<String>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) tracks: Vec<Track>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Track {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) stream_id: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    pub(crate) ssrc: Option<u32>,
    #[prost(string, optional, tag = "3")]
    pub(crate) label: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Index {
    #[prost(bool, optional, tag = "1")]
    pub(crate) at_capacity: Option<bool>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sources: Vec<Stream>,
    #[prost(uint32, repeated, packed = "false", tag = "3")]
    pub(crate) paused_at_source_ids: Vec<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub(crate) num_participants: Option<u32>,
}

#[expect(clippy::struct_field_names, reason = "the protocol's own names")]
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Stream {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) stream_id: Option<u32>,
    #[prost(uint32, optional, tag = "2")]
    pub(crate) framerate: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) max_bitrate_kbps: Option<u32>,
    #[prost(uint32, optional, tag = "6")]
    pub(crate) group_id: Option<u32>,
    #[prost(uint32, optional, tag = "7")]
    pub(crate) avg_bitrate_bps: Option<u32>,
    #[prost(string, optional, tag = "8")]
    pub(crate) attendee_id: Option<String>,
    #[prost(int32, optional, tag = "9")]
    pub(crate) media_type: Option<i32>,
    #[prost(string, optional, tag = "10")]
    pub(crate) external_user_id: Option<String>,
    #[prost(uint32, optional, tag = "11")]
    pub(crate) width: Option<u32>,
    #[prost(uint32, optional, tag = "12")]
    pub(crate) height: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pause {
    #[prost(uint32, repeated, packed = "false", tag = "1")]
    pub(crate) stream_ids: Vec<u32>,
    #[prost(uint32, repeated, packed = "false", tag = "2")]
    pub(crate) group_ids: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AudioMetadata {
    #[prost(message, repeated, tag = "1")]
    pub(crate) states: Vec<AudioState>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AudioState {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) audio_stream_id: Option<u32>,
    /// Attenuation in dB: 14 and less is loud, 42 and more is silence.
    #[prost(uint32, optional, tag = "2")]
    pub(crate) volume: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub(crate) signal_strength: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Roster {
    #[prost(message, repeated, tag = "1")]
    pub(crate) streams: Vec<Presence>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Presence {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) audio_stream_id: Option<u32>,
    /// Absent when it leaves.
    #[prost(string, optional, tag = "2")]
    pub(crate) attendee_id: Option<String>,
    #[prost(bool, optional, tag = "3")]
    pub(crate) muted: Option<bool>,
    #[prost(string, optional, tag = "4")]
    pub(crate) external_user_id: Option<String>,
    #[prost(bool, optional, tag = "5")]
    pub(crate) dropped: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PingPong {
    #[prost(int32, required, tag = "1")]
    pub(crate) kind: i32,
    #[prost(uint32, required, tag = "2")]
    pub(crate) ping_id: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct AudioStatus {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) audio_status: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DataMessage {
    #[prost(message, repeated, tag = "1")]
    pub(crate) messages: Vec<Data>,
}

#[expect(clippy::struct_field_names, reason = "the protocol's own names")]
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Data {
    #[prost(string, optional, tag = "1")]
    pub(crate) topic: Option<String>,
    #[prost(bytes = "bytes", optional, tag = "2")]
    pub(crate) data: Option<Bytes>,
    #[prost(string, optional, tag = "4")]
    pub(crate) sender_attendee_id: Option<String>,
    #[prost(int64, optional, tag = "5")]
    pub(crate) ingest_time_ns: Option<i64>,
    #[prost(string, optional, tag = "6")]
    pub(crate) sender_external_user_id: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct RemoteVideoUpdate {
    #[prost(message, repeated, tag = "1")]
    pub(crate) changed: Vec<VideoSubscription>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) removed_mids: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct VideoSubscription {
    #[prost(string, required, tag = "1")]
    pub(crate) mid: String,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) stream_id: Option<u32>,
}

impl Frame {
    pub(crate) fn new(kind: i32) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = now.map(|now| now.as_millis()).unwrap_or_default();
        Self { timestamp_ms: u64::try_from(millis).unwrap_or_default(), kind, ..Self::default() }
    }

    /// With its prefix.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(1 + self.encoded_len());
        bytes.put_u8(PREFIX);
        self.encode(&mut bytes).expect("a growing buffer takes everything");
        bytes.freeze()
    }

    /// `None` for what is not a frame: clients of other versions may say more.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::decode(bytes.get(1..)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_wire_behind_its_prefix() {
        let mut frame = Frame::new(kind::PING_PONG);
        frame.ping_pong = Some(PingPong { kind: PONG, ping_id: 7 });
        let bytes = frame.to_bytes();
        assert_eq!(bytes[0], 5);
        assert_eq!(Frame::from_bytes(&bytes), Some(frame));
        assert_eq!(Frame::from_bytes(b""), None);
        assert_eq!(Frame::from_bytes(b"\x05\xff\xff"), None);
    }

    #[test]
    fn lists_of_numbers_are_written_one_by_one() {
        // What proto2 does: tag 3 as varint, twice.
        let subscribe = Subscribe { receive_stream_ids: vec![1, 2], ..Subscribe::default() };
        assert_eq!(subscribe.encode_to_vec(), [0x18, 1, 0x18, 2]);
    }
}
