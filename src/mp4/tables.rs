//! A `moov` as it was written becomes configuration and index again. Knows only
//! the muxer's own: one track of H.264, one of AAC.

use bytes::Bytes;
use mp4_atom::{Codec, Ctts, Encode, Moov, Stbl, Stsc, StszSamples, Trak};

use super::index::{Entry, Index, TrackIndex};
use super::{Config, FRAGMENT, header};
use crate::media::{Timestamp, Track, TrackConfig};

/// The most samples of a track that are believed: 24 hours of 120 a second.
const SAMPLES: usize = 24 * 3600 * 120;

/// The index of a fragmented file that has no fragment yet.
pub(super) fn empty_index(moov: &Moov, header_bytes: u64) -> Result<Index, String> {
    let config = config(moov)?;
    Ok(Index {
        header_bytes,
        bytes: header_bytes,
        video: TrackIndex::new(header::timescale(&config.video)),
        audio: TrackIndex::new(header::timescale(&config.audio)),
        config,
    })
}

/// The index in a plain file. Offsets count from its start.
pub(super) fn index(moov: &Moov) -> Result<Index, String> {
    let mut index = empty_index(moov, 0)?;
    for trak in &moov.trak {
        let track = header::track(trak.tkhd.track_id).ok_or("another track")?;
        read(trak, track, index.track_mut(track))?;
    }
    Ok(index)
}

/// What both tracks are; one that a plain file left out is as the muxer makes it.
fn config(moov: &Moov) -> Result<Config, String> {
    let mut video = None;
    let mut audio = None;
    for trak in &moov.trak {
        let [codec] = &trak.mdia.minf.stbl.stsd.codecs[..] else {
            return Err("a track with several descriptions".to_owned());
        };
        match codec {
            Codec::Avc1(avc1) => {
                let mut decoder_config = Vec::new();
                avc1.avcc.encode(&mut decoder_config).map_err(|error| error.to_string())?;
                video = Some(TrackConfig::Video {
                    width: avc1.visual.width,
                    height: avc1.visual.height,
                    // Without the header of its box.
                    decoder_config: Bytes::from(decoder_config).slice(8..),
                });
            }
            Codec::Mp4a(mp4a) => {
                let decoder = &mp4a.esds.es_desc.dec_config;
                let specific = decoder.dec_specific.as_ref().ok_or("sound without its settings")?;
                audio = Some(TrackConfig::Audio {
                    sample_rate: trak.mdia.mdhd.timescale,
                    channels: mp4a.audio.channel_count,
                    bitrate: decoder.avg_bitrate,
                    decoder_config: Bytes::copy_from_slice(&specific.raw),
                });
            }
            _ => return Err("a track that is neither H.264 nor AAC".to_owned()),
        }
    }
    let config = Config {
        video: video.unwrap_or_else(absent_video),
        audio: audio.unwrap_or_else(absent_audio),
        fragment: FRAGMENT,
        created_unix: moov.mvhd.creation_time.saturating_sub(header::UNIX_EPOCH),
        origin: Timestamp::ZERO,
    };
    // What a track says of itself must be what can be said again.
    header::encode(&config).map_err(|error| error.to_string())?;
    Ok(config)
}

fn absent_video() -> TrackConfig {
    // A record of no parameter sets, baseline profile.
    let decoder_config = Bytes::from_static(b"\x01\x42\xc0\x1e\xff\xe0\x00");
    TrackConfig::Video { width: 0, height: 0, decoder_config }
}

fn absent_audio() -> TrackConfig {
    let decoder_config = Bytes::from_static(b"\x11\x90");
    TrackConfig::Audio { sample_rate: 48_000, channels: 2, bitrate: 0, decoder_config }
}

fn read(written: &Trak, track: Track, index: &mut TrackIndex) -> Result<(), String> {
    let stbl = &written.mdia.minf.stbl;
    let sizes: Vec<u32> = match &stbl.stsz.samples {
        StszSamples::Different { sizes } => sizes.clone(),
        StszSamples::Identical { count, size } => {
            vec![*size; usize::try_from(*count).unwrap_or(usize::MAX).min(SAMPLES)]
        }
    };
    if sizes.len() > SAMPLES {
        return Err(format!("{} samples", sizes.len()));
    }
    let mut durations = stbl
        .stts
        .entries
        .iter()
        .flat_map(|entry| std::iter::repeat_n(entry.sample_delta, entry.sample_count as usize));
    let mut offsets = composition_offsets(stbl.ctts.as_ref());
    let sync = stbl.stss.as_ref().map(|stss| &stss.entries[..]);
    let start = start(written)?;
    let mut decode = start;
    let mut entries = Vec::with_capacity(sizes.len());
    for (number, size) in (1..).zip(sizes) {
        let duration = durations.next().ok_or("fewer times than samples")?;
        let offset = offsets.next().unwrap_or(0);
        entries.push(Entry {
            decode,
            duration,
            offset: i32::try_from(offset).map_err(|_| "a composition offset beyond 32 bits")?,
            sync: sync.is_none_or(|numbers| numbers.binary_search(&number).is_ok()),
            size,
        });
        decode += u64::from(duration);
    }
    let mut entries = entries.into_iter();
    for (offset, samples) in chunks(stbl)? {
        let chunk: Vec<Entry> = entries.by_ref().take(samples as usize).collect();
        index.append(track, offset, chunk.into_iter());
    }
    if entries.next().is_some() { Err("samples in no chunk".to_owned()) } else { Ok(()) }
}

fn composition_offsets(ctts: Option<&Ctts>) -> impl Iterator<Item = i64> {
    ctts.into_iter()
        .flat_map(|ctts| &ctts.entries)
        .flat_map(|entry| std::iter::repeat_n(entry.sample_offset, entry.sample_count as usize))
}

/// Where the chunks are, and how many samples each has.
fn chunks(stbl: &Stbl) -> Result<Vec<(u64, u32)>, String> {
    let offsets: Vec<u64> = match (&stbl.stco, &stbl.co64) {
        (_, Some(co64)) => co64.entries.clone(),
        (Some(stco), None) => stco.entries.iter().map(|&offset| offset.into()).collect(),
        (None, None) => return Err("a track without chunks".to_owned()),
    };
    let Stsc { entries: runs } = &stbl.stsc;
    let mut runs = runs.iter().peekable();
    let mut samples = 0;
    let mut chunks = Vec::with_capacity(offsets.len());
    for (number, offset) in (1..).zip(offsets) {
        if let Some(run) = runs.next_if(|run| run.first_chunk == number) {
            samples = run.samples_per_chunk;
        }
        chunks.push((offset, samples));
    }
    Ok(chunks)
}

/// When the first sample is decoded, told by the edit list, in units of the track.
fn start(trak: &Trak) -> Result<u64, String> {
    let list = trak.edts.as_ref().and_then(|edts| edts.elst.as_ref());
    let Some(list) = list else { return Ok(0) };
    let timescale = u128::from(trak.mdia.mdhd.timescale);
    let (mut wait, mut from) = (0, 0);
    for edit in &list.entries {
        match edit.media_time {
            None => wait += edit.segment_duration,
            Some(time) => from = time,
        }
    }
    let movie = u128::from(header::MOVIE_TIMESCALE);
    let units = (u128::from(wait) * timescale + movie / 2) / movie;
    let units = u64::try_from(units).map_err(|_| "an edit beyond time")?;
    Ok(units.saturating_sub(from))
}
