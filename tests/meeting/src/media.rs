//! The media of one client: answers its offers, and sends the meeting's sound and
//! the pictures that it subscribed to.
//!
//! Pictures follow the meeting's clock, so that number and flash of a frame are
//! right for every client. It must not know signaling.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use str0m::change::SdpOffer;
use str0m::format::Codec;
use str0m::media::{Frequency, MediaTime, Mid};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::net::UdpSocket;

use crate::answer;
use crate::clips::Clip;
use crate::proto::Track;
use crate::sound::PACKET;

/// Frames that may be made up for after a delay; past that the tile starts again
/// at a key frame.
const CATCH_UP: u64 = 10;

const LARGEST_DATAGRAM: usize = 2000;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no socket for media on {address}")]
    Socket { address: IpAddr, source: std::io::Error },
    #[error("the client's offer cannot be answered")]
    Offer(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the client's media connection has failed")]
    Rtc(#[from] str0m::RtcError),
}

/// What was sent, for those who ask how a client does.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    pub(crate) key_frame_requests: u64,
}

#[derive(Debug)]
pub(crate) struct Media {
    rtc: Option<Rtc>,
    socket: UdpSocket,
    address: SocketAddr,
    /// When the frame with number 0 was shown.
    begun: Instant,
    connected: bool,
    audio: Option<Mid>,
    sound_packets: u64,
    slots: BTreeMap<Mid, Slot>,
    buffer: Vec<u8>,
    counts: Counts,
}

/// One tile of the client.
#[derive(Debug)]
struct Slot {
    stream: u32,
    clip: Arc<Clip>,
    /// The next frame, by its number.
    next: u64,
    needs_key: bool,
    is_paused: bool,
}

impl Media {
    pub(crate) async fn new(address: IpAddr, begun: Instant) -> Result<Self, Error> {
        let error = |source| Error::Socket { address, source };
        let socket = UdpSocket::bind((address, 0)).await.map_err(error)?;
        let address = socket.local_addr().map_err(error)?;
        Ok(Self {
            rtc: None,
            socket,
            address,
            begun,
            connected: false,
            audio: None,
            sound_packets: 0,
            slots: BTreeMap::new(),
            buffer: vec![0; LARGEST_DATAGRAM],
            counts: Counts::default(),
        })
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Those whose pictures are sent.
    pub(crate) fn streams(&self) -> Vec<u32> {
        self.slots.values().map(|slot| slot.stream).collect()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    /// Answers an offer. `streams` belong to the video sections in their order, 0
    /// to those that receive nothing; `clip_of` has what they show.
    pub(crate) fn answer(
        &mut self,
        offer: &str,
        streams: &[u32],
        clip_of: impl Fn(u32) -> Option<Arc<Clip>>,
    ) -> Result<(String, Vec<Track>), Error> {
        let offer =
            SdpOffer::from_sdp_string(offer).map_err(|error| Error::Offer(Box::new(error)))?;
        let now = Instant::now();
        if self.rtc.is_none() {
            let mut rtc = Rtc::builder().clear_codecs().enable_opus(true, false).enable_vp8(true);
            let mut rtc = std::mem::take(&mut rtc).build(now);
            let candidate = Candidate::host(self.address, "udp")
                .map_err(|error| Error::Offer(Box::new(error)))?;
            rtc.add_local_candidate(candidate);
            self.rtc = Some(rtc);
        }
        let rtc = self.rtc.as_mut().expect("made above");
        let answer = rtc.sdp_api().accept_offer(offer)?.to_sdp_string();
        self.audio = audio_mid(&answer);
        let (text, sections) = answer::labelled(&answer);
        let mut tracks = Vec::new();
        let mut subscribed = BTreeMap::new();
        let streams = streams.iter().copied().chain(std::iter::repeat(0));
        for (section, stream) in sections.into_iter().zip(streams) {
            let mid: Mid = section.mid.as_str().into();
            let Some(clip) = clip_of(stream).filter(|_| stream != 0) else { continue };
            tracks.push(Track {
                stream_id: Some(stream),
                ssrc: section.ssrc,
                label: Some(section.label),
            });
            let slot = match self.slots.remove(&mid) {
                Some(slot) if slot.stream == stream => slot,
                _ => Slot::new(stream, clip),
            };
            subscribed.insert(mid, slot);
        }
        self.slots = subscribed;
        Ok((text, tracks))
    }

    /// Shows another stream in a tile that is there.
    pub(crate) fn switch(&mut self, mid: &str, stream: u32, clip: Arc<Clip>) {
        let mid: Mid = mid.into();
        if let Some(slot) = self.slots.get_mut(&mid).filter(|slot| slot.stream != stream) {
            *slot = Slot::new(stream, clip);
        }
    }

    pub(crate) fn pause(&mut self, stream: u32, is_paused: bool) {
        for slot in self.slots.values_mut().filter(|slot| slot.stream == stream) {
            slot.needs_key |= slot.is_paused && !is_paused;
            slot.is_paused = is_paused;
        }
    }

    /// Completes when something has come from the client; then [`Self::advance`].
    pub(crate) async fn receive(&mut self) -> Result<(), Error> {
        let received = self.socket.recv_from(&mut self.buffer).await;
        let (Ok((length, source)), Some(rtc)) = (received, &mut self.rtc) else { return Ok(()) };
        let Ok(contents) = self.buffer[..length].try_into() else { return Ok(()) };
        let destination = self.address;
        let receive = Receive { proto: Protocol::Udp, source, destination, contents };
        rtc.handle_input(Input::Receive(Instant::now(), receive))?;
        Ok(())
    }

    /// Sends one packet of sound, unless `stalled`. `missed` came too late.
    pub(crate) fn sound(
        &mut self,
        packet: &Bytes,
        missed: u64,
        stalled: bool,
    ) -> Result<(), Error> {
        self.sound_packets += missed;
        let time = MediaTime::new(self.sound_packets * PACKET, Frequency::FORTY_EIGHT_KHZ);
        self.sound_packets += 1;
        let (Some(rtc), Some(mid)) = (&mut self.rtc, self.audio) else { return Ok(()) };
        if !self.connected || stalled {
            return Ok(());
        }
        write(rtc, mid, Codec::Opus, time, packet)?;
        self.flush(Instant::now())?;
        Ok(())
    }

    /// Sends the frames that are due and whatever else has to be sent. Returns when
    /// to come again at the latest.
    pub(crate) fn advance(&mut self, stalled: bool) -> Result<Instant, Error> {
        let now = Instant::now();
        if let Some(rtc) = &mut self.rtc {
            rtc.handle_input(Input::Timeout(now))?;
        }
        let mut next = self.flush(now)?;
        if self.connected && !stalled {
            next = next.min(self.show(now)?);
            self.flush(now)?;
        }
        Ok(next)
    }

    fn show(&mut self, now: Instant) -> Result<Instant, Error> {
        let Some(rtc) = &mut self.rtc else { return Ok(now + Duration::from_secs(1)) };
        let clock = now.saturating_duration_since(self.begun).as_micros();
        let clock = u64::try_from(clock).unwrap_or(u64::MAX);
        let mut wait = 1_000_000;
        for (mid, slot) in &mut self.slots {
            let fps = u64::from(slot.clip.fps);
            let due = clock * fps / 1_000_000;
            wait = wait.min((due + 1) * 1_000_000 / fps - clock);
            if slot.is_paused {
                continue;
            }
            if due > slot.next + CATCH_UP {
                slot.needs_key = true;
            }
            if slot.needs_key {
                slot.next = slot.next.max(due);
            }
            while slot.next <= due {
                let frame = slot.clip.frame(slot.next);
                let number = slot.next;
                slot.next += 1;
                if slot.needs_key && !Clip::is_key(frame) {
                    continue;
                }
                slot.needs_key = false;
                let time = MediaTime::new(number * 90_000 / fps, Frequency::NINETY_KHZ);
                write(rtc, *mid, Codec::Vp8, time, frame)?;
            }
        }
        Ok(now + Duration::from_micros(wait))
    }

    fn flush(&mut self, now: Instant) -> Result<Instant, Error> {
        let Some(rtc) = &mut self.rtc else { return Ok(now + Duration::from_secs(1)) };
        loop {
            match rtc.poll_output()? {
                Output::Timeout(at) => return Ok(at.max(now + Duration::from_millis(1))),
                Output::Transmit(datagram) => {
                    self.counts.packets += 1;
                    // A full socket loses a packet, as networks do.
                    let _ = self.socket.try_send_to(&datagram.contents, datagram.destination);
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::KeyframeRequest(request)) => {
                    self.counts.key_frame_requests += 1;
                    if let Some(slot) = self.slots.get_mut(&request.mid) {
                        slot.needs_key = true;
                    }
                }
                Output::Event(_) => {}
            }
        }
    }
}

impl Slot {
    fn new(stream: u32, clip: Arc<Clip>) -> Self {
        Self { stream, clip, next: 0, needs_key: true, is_paused: false }
    }
}

fn write(
    rtc: &mut Rtc,
    mid: Mid,
    codec: Codec,
    time: MediaTime,
    data: &Bytes,
) -> Result<(), Error> {
    let Some(writer) = rtc.writer(mid) else { return Ok(()) };
    let found = writer.payload_params().find(|params| params.spec().codec == codec);
    let Some(payload_type) = found.map(str0m::format::PayloadParams::pt) else { return Ok(()) };
    writer.write(payload_type, Instant::now(), time, data.to_vec())?;
    Ok(())
}

fn audio_mid(answer: &str) -> Option<Mid> {
    let (_, section) = answer.split_once("m=audio")?;
    section.lines().find_map(|line| line.strip_prefix("a=mid:")).map(Into::into)
}
