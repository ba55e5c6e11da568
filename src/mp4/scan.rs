//! The way back: the bytes of a recording become its index again.
//!
//! Takes a file of either form as it comes, in pieces of any size, and keeps of
//! it what a box says but never the media. It reads the muxer's own files: what
//! another program wrote may be refused. A file that was cut off, or damaged
//! further on, is read up to the end of its last whole fragment.
//!
//! Knows nothing but bytes and the index.

use mp4_atom::{Atom, Decode, DecodeMaybe, FourCC, Ftyp, Header, Mdat, Moof, Moov};

use super::index::{Entry, Index};
use super::{header, tables};
use crate::media::Track;

/// The largest `moof` that is believed: the muxer's have 32 MiB of media.
const MOOF_BYTES: u64 = 16 << 20;

/// What rounds up the head of a plain file, which is less than two blocks of a disk.
const FREE: FourCC = FourCC::new(b"free");
const FREE_BYTES: u64 = 8192;

/// The largest `moov` that is believed: twice that of 24 hours.
const MOOV_BYTES: u64 = 128 << 20;

/// What a file is.
#[derive(Clone, Debug)]
pub struct Scanned {
    pub form: Form,
    /// Everything the file says of its samples that can be relied on.
    pub index: Index,
    /// Bytes from the start of the file that belong to `index`.
    pub good: u64,
    /// Bytes in all.
    pub length: u64,
    /// What stands behind the good bytes, if anything does.
    pub rest: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A header, and fragments that each describe themselves.
    Fragmented,
    /// One `moov` that describes everything.
    Plain,
}

/// Why a file is no recording at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not begin like a recording, but with {0}")]
pub struct Unreadable(String);

/// Reads a file as it comes.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// The bytes of the box that is being read, its header included.
    buffer: Vec<u8>,
    /// Bytes that came.
    position: u64,
    found: Option<(Form, Index)>,
    /// The samples of a fragment whose `mdat` is not over.
    fragment: Vec<(Track, u64, Vec<Entry>)>,
    good: u64,
}

#[derive(Debug)]
enum State {
    /// The header of the next box comes.
    Header,
    /// The rest of a box comes that is kept; so many bytes of it in all.
    Box { kind: FourCC, header: usize, size: u64 },
    /// Media comes that is passed over.
    Media { left: u64 },
    /// Nothing more can be understood.
    Stuck(String),
}

impl Default for Scanner {
    fn default() -> Self {
        Self::new()
    }
}

impl Scanner {
    #[must_use]
    pub fn new() -> Self {
        Self {
            state: State::Header,
            buffer: Vec::new(),
            position: 0,
            found: None,
            fragment: Vec::new(),
            good: 0,
        }
    }

    /// The form of the file, as soon as it is known.
    pub fn form(&self) -> Option<Form> {
        self.found.as_ref().map(|(form, _)| *form)
    }

    /// Takes the next bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.step(bytes);
        }
    }

    /// Takes some of the bytes and returns the others.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.state {
            State::Stuck(_) => {
                self.position += bytes.len() as u64;
                &[]
            }
            State::Media { left } => {
                let skipped =
                    usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= skipped as u64;
                self.position += skipped as u64;
                if *left == 0 {
                    self.media_over();
                }
                &bytes[skipped..]
            }
            State::Header => {
                // One by one, up to 16 of them, and rarely.
                self.buffer.push(bytes[0]);
                self.position += 1;
                self.header();
                &bytes[1..]
            }
            State::Box { size, .. } => {
                let wanted = usize::try_from(*size).unwrap_or(usize::MAX) - self.buffer.len();
                let (mine, others) = bytes.split_at(wanted.min(bytes.len()));
                self.buffer.extend_from_slice(mine);
                self.position += mine.len() as u64;
                if mine.len() == wanted {
                    self.box_over();
                }
                others
            }
        }
    }

    fn header(&mut self) {
        let mut bytes = &self.buffer[..];
        let Ok(header) = Header::decode_maybe(&mut bytes) else {
            return self.stop("a box of an impossible size");
        };
        let Some(Header { kind, size }) = header else { return };
        let header = self.buffer.len();
        let Some(body) = size else { return self.stop("a box without an end") };
        let most = match kind {
            Ftyp::KIND => 4096,
            FREE => FREE_BYTES,
            Moov::KIND => MOOV_BYTES,
            Moof::KIND => MOOF_BYTES,
            Mdat::KIND => u64::MAX,
            _ => return self.stop(&format!("a box {kind:?}")),
        };
        let size = header as u64 + body as u64;
        if size > most {
            return self.stop(&format!("a box {kind:?} of {size} bytes"));
        }
        if kind == Mdat::KIND {
            if self.found.is_none() {
                return self.stop("media before its description");
            }
            self.buffer.clear();
            self.state = State::Media { left: body as u64 };
            if body == 0 {
                self.media_over();
            }
        } else {
            self.state = State::Box { kind, header, size };
            if body == 0 {
                self.box_over();
            }
        }
    }

    fn box_over(&mut self) {
        let State::Box { kind, header, .. } = self.state else { return };
        let whole = std::mem::take(&mut self.buffer);
        let begin = self.position - whole.len() as u64;
        self.state = State::Header;
        let read = match kind {
            Moov::KIND if self.found.is_none() => self.moov(&whole),
            Moof::KIND => self.moof(begin, &whole[header..]),
            Ftyp::KIND if begin == 0 => Ok(()),
            FREE => Ok(()),
            _ => Err(format!("a second {kind:?}")),
        };
        if let Err(reason) = read {
            self.state = State::Stuck(reason);
        }
    }

    fn moov(&mut self, whole: &[u8]) -> Result<(), String> {
        let moov = Moov::decode(&mut &whole[..]).map_err(|error| format!("a moov: {error}"))?;
        let form = if moov.mvex.is_some() { Form::Fragmented } else { Form::Plain };
        let index = match form {
            Form::Fragmented => {
                self.good = self.position;
                tables::empty_index(&moov, self.position)?
            }
            Form::Plain => tables::index(&moov)?,
        };
        self.found = Some((form, index));
        Ok(())
    }

    /// Notes a fragment that begins at `begin`; it counts when its media is there.
    fn moof(&mut self, begin: u64, body: &[u8]) -> Result<(), String> {
        let Some((Form::Fragmented, index)) = &self.found else {
            return Err("a fragment in a file without a header for it".to_owned());
        };
        let mut body = body;
        let moof = Moof::decode_body(&mut body).map_err(|error| error.to_string())?;
        self.fragment.clear();
        for traf in &moof.traf {
            let track = header::track(traf.tfhd.track_id).ok_or("a fragment of another track")?;
            let [trun] = &traf.trun[..] else { return Err("a fragment in several runs".into()) };
            let (Some(tfdt), Some(offset), true) =
                (&traf.tfdt, trun.data_offset, traf.tfhd.default_base_is_moof)
            else {
                return Err("a fragment without its time or place".to_owned());
            };
            let known = index.track(track);
            let mut decode = tfdt.base_media_decode_time;
            if known.samples() > 0 && decode != known.end() {
                return Err(format!("a fragment that begins at {decode}, not at {}", known.end()));
            }
            let usual = traf.tfhd.default_sample_duration.unwrap_or(header::usual_duration(track));
            let mut entries = Vec::with_capacity(trun.samples.len().min(body.len() + 65_536));
            for sample in &trun.samples {
                let duration = sample.duration.unwrap_or(usual);
                let size = sample.size.or(traf.tfhd.default_sample_size);
                let offset = i32::try_from(sample.cts.unwrap_or(0));
                let flags = sample.flags.or(traf.tfhd.default_sample_flags);
                entries.push(Entry {
                    decode,
                    duration,
                    offset: offset.map_err(|_| "a composition offset beyond 32 bits")?,
                    sync: track == Track::Audio || flags == Some(header::SYNC),
                    size: size.ok_or("a sample without a size")?,
                });
                decode += u64::from(duration);
            }
            let offset = begin.checked_add_signed(offset.into()).ok_or("a run before the file")?;
            self.fragment.push((track, offset, entries));
        }
        Ok(())
    }

    fn media_over(&mut self) {
        self.state = State::Header;
        self.buffer.clear();
        let Some((form, index)) = &mut self.found else { return };
        if *form == Form::Plain {
            self.good = self.position;
            return;
        }
        let mut end = self.good;
        for (_, offset, entries) in &self.fragment {
            let bytes: u64 = entries.iter().map(|entry| u64::from(entry.size)).sum();
            // One behind the other, and inside of what has come.
            if *offset < end || offset + bytes > self.position {
                self.state = State::Stuck("a fragment that describes other bytes".to_owned());
                return;
            }
            end = offset + bytes;
        }
        for (track, offset, entries) in self.fragment.drain(..) {
            if !entries.is_empty() {
                index.track_mut(track).append(track, offset, entries.into_iter());
            }
        }
        index.bytes = self.position;
        self.good = self.position;
    }

    fn stop(&mut self, reason: &str) {
        self.state = State::Stuck(reason.to_owned());
    }

    /// What the bytes so far are.
    pub fn finish(self) -> Result<Scanned, Unreadable> {
        let rest = match self.state {
            State::Stuck(reason) => Some(reason),
            _ if self.position > self.good => {
                Some(format!("{} bytes of what was cut off", self.position - self.good))
            }
            _ => None,
        };
        let Some((form, index)) = self.found else {
            let rest = rest.unwrap_or_else(|| "nothing".to_owned());
            return Err(Unreadable(rest));
        };
        Ok(Scanned { form, index, good: self.good, length: self.position, rest })
    }
}
