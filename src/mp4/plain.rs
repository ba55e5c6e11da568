//! The other start of the file: `ftyp` and a `moov` that holds every sample
//! (ISO/IEC 14496-12, 8.6 and 8.7), and the head of one `mdat` over all that
//! follows. Put in the place of the fragmented header it makes an ordinary MP4 of
//! the same media bytes: the heads of the fragments stay where they are, inside
//! the `mdat`, and nothing points to them any more. A `free` box rounds it up.
//!
//! Knows nothing but the index.

use std::iter::repeat_n;

use mp4_atom::{
    Atom, BufMut, Edts, Elst, ElstEntry, Encode, FourCC, Ftyp, Header, Moov, Stbl, Trak,
};

use super::header;
use super::index::{Chunk, Index, Run, TrackIndex};
use crate::media::Track;

/// Above this many bytes chunk offsets have 64 bits. Half of what 32 bits hold:
/// the head that moves them is far smaller than the other half.
const WIDE_ABOVE: u64 = 1 << 31;

/// The head moves the media by a multiple of this: what a file system can make room for
/// without copying what lies behind.
const BLOCK: u64 = 4096;

/// What belongs in front of the media instead of the first
/// [`Index::header_bytes`] bytes of the fragmented file. `None` if there is no
/// sample: then there is nothing to show, and the file stays what it is.
///
/// A track without samples is left out. Presentation times are those of the
/// fragments: a track that starts late gets an edit list, in units of the movie's
/// timescale, so that sound may move by half of one (6 µs).
pub fn plain_head(index: &Index) -> Option<Vec<u8>> {
    let tracks: Vec<Plain<'_>> = [Track::Video, Track::Audio]
        .into_iter()
        .map(|track| Plain { track, index: index.track(track) })
        .filter(|plain| plain.index.samples() > 0)
        .collect();
    if tracks.is_empty() {
        return None;
    }
    let media = index.bytes - index.header_bytes;
    // Offsets count from the start of the file, whose length does not depend on
    // their values: a first pass tells it.
    let bare = encode(index, &tracks, 0, 0, media).len() as u64;
    let padding = padding(bare, index.header_bytes);
    Some(encode(index, &tracks, bare + padding, padding, media))
}

/// Bytes of a `free` box, of which there is no smaller one than 8, that bring a head of
/// `bare` bytes to whole blocks more than it `replaces`.
fn padding(bare: u64, replaces: u64) -> u64 {
    match (replaces % BLOCK + BLOCK - bare % BLOCK) % BLOCK {
        missing @ 1..8 => missing + BLOCK,
        missing => missing,
    }
}

/// `length` is that of the result, with a `free` box of `padding` bytes.
fn encode(index: &Index, tracks: &[Plain<'_>], length: u64, padding: u64, media: u64) -> Vec<u8> {
    let mut head = Vec::new();
    write(&mut head, index, tracks, length).expect("boxes made of an index can be written");
    if padding > 0 {
        let end = head.len() + usize::try_from(padding).expect("less than two blocks");
        put(&mut head, u32::try_from(padding).expect("less than two blocks"));
        head.extend(b"free");
        head.resize(end, 0);
    }
    let size = usize::try_from(media).expect("64-bit offsets");
    Header { kind: FourCC::new(b"mdat"), size: Some(size) }
        .encode(&mut head)
        .expect("a header can be written");
    head
}

fn write(
    buf: &mut Vec<u8>,
    index: &Index,
    tracks: &[Plain<'_>],
    length: u64,
) -> mp4_atom::Result<()> {
    brands().encode(buf)?;
    buf.encode_atom(Moov::KIND, |buf| {
        let mut movie = header::movie(index.config.created_unix);
        let edits: Vec<Edit> = tracks.iter().map(|plain| Edit::of(plain.index)).collect();
        movie.duration = edits.iter().map(Edit::end).max().unwrap_or_default();
        movie.encode(buf)?;
        for (plain, edit) in tracks.iter().zip(&edits) {
            plain.write(buf, index, edit, length)?;
        }
        Ok(())
    })
}

/// `isom`: any player of MP4. No brand of fragments, for there are none.
fn brands() -> Ftyp {
    Ftyp {
        major_brand: FourCC::new(b"isom"),
        minor_version: 0x200,
        compatible_brands: [b"isom", b"iso2", b"avc1", b"mp41"].map(FourCC::new).to_vec(),
    }
}

/// One track with samples.
struct Plain<'a> {
    track: Track,
    index: &'a TrackIndex,
}

impl Plain<'_> {
    fn write(
        &self,
        buf: &mut Vec<u8>,
        file: &Index,
        edit: &Edit,
        length: u64,
    ) -> mp4_atom::Result<()> {
        let config = match self.track {
            Track::Video => &file.config.video,
            Track::Audio => &file.config.audio,
        };
        let mut trak = header::trak(self.track, config, file.config.created_unix)
            .expect("the muxer took this configuration");
        trak.tkhd.duration = edit.end();
        trak.edts = edit.list();
        trak.mdia.mdhd.duration = self.index.units();
        header::nest(buf, &trak, |buf| {
            buf.encode_atom(Stbl::KIND, |buf| {
                stsd(buf, &trak)?;
                self.tables(buf);
                offsets(buf, &self.index.chunks, file, length);
                Ok(())
            })
        })
    }

    /// The tables that do not depend on where the samples are.
    fn tables(&self, buf: &mut Vec<u8>) {
        let TrackIndex { sizes, durations, composition_offsets, sync, chunks, .. } = self.index;
        full_box(buf, *b"stts", 0, |buf| {
            put(buf, count(durations.len()));
            for run in durations {
                put(buf, run.count);
                put(buf, run.value);
            }
        });
        if composition_offsets.iter().any(|run| run.value != 0) {
            let version = u8::from(composition_offsets.iter().any(|run| run.value < 0));
            full_box(buf, *b"ctts", version, |buf| {
                put(buf, count(composition_offsets.len()));
                for run in composition_offsets {
                    put(buf, run.count);
                    put(buf, run.value.cast_unsigned());
                }
            });
        }
        // Without the table every sample is a sync sample, which is so for sound.
        if self.track == Track::Video {
            full_box(buf, *b"stss", 0, |buf| {
                put(buf, count(sync.len()));
                put_all(buf, sync.iter().copied());
            });
        }
        full_box(buf, *b"stsc", 0, |buf| {
            let runs = chunk_runs(chunks);
            put(buf, count(runs.len()));
            for (first, samples) in runs {
                put(buf, first);
                put(buf, samples);
                put(buf, 1); // the only sample description
            }
        });
        full_box(buf, *b"stsz", 0, |buf| {
            put(buf, 0); // sizes differ
            put(buf, count(sizes.len()));
            put_all(buf, sizes.iter().copied());
        });
    }
}

fn stsd(buf: &mut Vec<u8>, trak: &Trak) -> mp4_atom::Result<()> {
    trak.mdia.minf.stbl.stsd.encode(buf)
}

/// Where the chunks are in a file whose media begins behind `length` bytes.
fn offsets(buf: &mut Vec<u8>, chunks: &[Chunk], file: &Index, length: u64) {
    let moved = |chunk: &Chunk| chunk.offset - file.header_bytes + length;
    if file.bytes > WIDE_ABOVE {
        full_box(buf, *b"co64", 0, |buf| {
            put(buf, count(chunks.len()));
            buf.extend(chunks.iter().flat_map(|chunk| moved(chunk).to_be_bytes()));
        });
    } else {
        full_box(buf, *b"stco", 0, |buf| {
            put(buf, count(chunks.len()));
            let narrow = |chunk| u32::try_from(moved(chunk)).expect("below WIDE_ABOVE");
            put_all(buf, chunks.iter().map(narrow));
        });
    }
}

/// The number of the first chunk of each run of chunks with equally many samples,
/// and that many.
fn chunk_runs(chunks: &[Chunk]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for (number, chunk) in (1..).zip(chunks) {
        if runs.last().is_none_or(|(_, samples)| *samples != chunk.samples) {
            runs.push((number, chunk.samples));
        }
    }
    runs
}

/// When a track is shown: for `wait` not at all, then from `from` on. All but
/// `from` in units of the movie's timescale.
#[derive(Debug, PartialEq, Eq)]
struct Edit {
    wait: u64,
    /// In units of the track's timescale.
    from: u64,
    length: u64,
}

impl Edit {
    fn of(track: &TrackIndex) -> Self {
        // Without an edit list decode times begin at 0, and presentation follows.
        let (mut decode, mut first, mut end) = (0_i64, i64::MAX, 0);
        for (duration, offset) in flat(&track.durations).zip(flat(&track.composition_offsets)) {
            let presentation = decode + i64::from(offset);
            decode += i64::from(duration);
            first = first.min(presentation);
            end = end.max(presentation + i64::from(duration));
        }
        let from = u64::try_from(first).unwrap_or(0);
        let end = u64::try_from(end).unwrap_or(0).max(from);
        Self {
            wait: movie_units(track.start + from, track.timescale),
            from,
            length: movie_units(end - from, track.timescale),
        }
    }

    fn end(&self) -> u64 {
        self.wait + self.length
    }

    /// `None` if the track is shown from its begin, at the begin.
    fn list(&self) -> Option<Edts> {
        if (self.wait, self.from) == (0, 0) {
            return None;
        }
        let entry = |segment_duration, media_time| ElstEntry {
            segment_duration,
            media_time,
            media_rate: 1.into(),
        };
        let wait = (self.wait > 0).then(|| entry(self.wait, None));
        let entries = wait.into_iter().chain([entry(self.length, Some(self.from))]).collect();
        Some(Edts { elst: Some(Elst { entries }) })
    }
}

/// To the nearest unit.
fn movie_units(units: u64, timescale: u32) -> u64 {
    let timescale = u128::from(timescale);
    let scaled = u128::from(units) * u128::from(header::MOVIE_TIMESCALE) + timescale / 2;
    u64::try_from(scaled / timescale).expect("a film is shorter than the universe")
}

fn flat<T: Copy>(runs: &[Run<T>]) -> impl Iterator<Item = T> {
    runs.iter().flat_map(|run| repeat_n(run.value, run.count as usize))
}

fn full_box(buf: &mut Vec<u8>, kind: [u8; 4], version: u8, body: impl FnOnce(&mut Vec<u8>)) {
    let start = buf.len();
    buf.extend([0; 4]);
    buf.extend(kind);
    buf.extend([version, 0, 0, 0]);
    body(buf);
    let size = u32::try_from(buf.len() - start).expect("a table of 24 hours has 20 MB");
    buf[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

fn put(buf: &mut Vec<u8>, value: u32) {
    buf.extend(value.to_be_bytes());
}

fn put_all(buf: &mut Vec<u8>, values: impl Iterator<Item = u32>) {
    buf.extend(values.flat_map(u32::to_be_bytes));
}

fn count(entries: usize) -> u32 {
    entries.try_into().expect("2^32 samples take years")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_is_a_box_or_nothing() {
        for (bare, replaces, expected) in [
            (4096, 4096, 0),
            (5000, 904, 0),
            (5000, 912, 8),
            (5000, 905, 1 + BLOCK),
            (5000, 911, 7 + BLOCK),
            (5000, 903, BLOCK - 1),
        ] {
            assert_eq!(padding(bare, replaces), expected, "{bare} for {replaces}");
        }
    }
}
