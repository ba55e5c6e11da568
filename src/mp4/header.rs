//! The start of the file: `ftyp`, and a `moov` that describes two tracks and
//! leaves their samples to the fragments (`mvex`). Knows nothing of samples.

use bytes::Bytes;
use mp4_atom::{
    Atom, Audio, Avc1, Avcc, BufMut, Codec, Colr, Dinf, Dref, Encode, FixedPoint, FourCC, Ftyp,
    Hdlr, Mdhd, Mdia, Minf, Moov, Mp4a, Mvex, Mvhd, Pasp, Smhd, Stbl, Stco, Stsd, Tkhd, Trak, Trex,
    Url, Visual, Vmhd, esds,
};

use super::{Config, Error};
use crate::media::{Track, TrackConfig};

/// The customary clock of video: a whole number of units for every usual rate.
const VIDEO_TIMESCALE: u32 = 90_000;

/// The clock of durations and edits in the movie header is that of the pictures,
/// so that theirs are exact there; the customary 1000 would round to 1 ms.
pub(super) const MOVIE_TIMESCALE: u32 = VIDEO_TIMESCALE;

/// Seconds from 1904, where the clock of MP4 starts, to 1970.
pub(super) const UNIX_EPOCH: u64 = 2_082_844_800;

/// Sample flags (ISO/IEC 14496-12, 8.8.3.1): depends on no other sample.
pub(super) const SYNC: u32 = 0x0200_0000;

/// Sample flags: depends on others, not a sync sample.
const DEPENDENT: u32 = 0x0101_0000;

pub(super) fn track_id(track: Track) -> u32 {
    match track {
        Track::Video => 1,
        Track::Audio => 2,
    }
}

pub(super) fn track(id: u32) -> Option<Track> {
    [Track::Video, Track::Audio].into_iter().find(|&track| track_id(track) == id)
}

/// Units per second.
pub(super) fn timescale(config: &TrackConfig) -> u32 {
    match config {
        TrackConfig::Video { .. } => VIDEO_TIMESCALE,
        TrackConfig::Audio { sample_rate, .. } => *sample_rate,
    }
}

/// Units that a sample lasts unless told otherwise: one of 30 pictures a second,
/// an AAC frame of 1024 values.
pub(super) fn usual_duration(track: Track) -> u32 {
    match track {
        Track::Video => VIDEO_TIMESCALE / 30,
        Track::Audio => 1024,
    }
}

/// Writes the header, or says what is wrong with the configuration.
pub(super) fn encode(config: &Config) -> Result<Vec<u8>, Error> {
    let tracks = [
        trak(Track::Video, &config.video, config.created_unix)?,
        trak(Track::Audio, &config.audio, config.created_unix)?,
    ];
    let mut header = Vec::new();
    write(&mut header, config, &tracks).expect("boxes made of what was parsed can be written");
    Ok(header)
}

fn write(buf: &mut Vec<u8>, config: &Config, tracks: &[Trak]) -> mp4_atom::Result<()> {
    brands().encode(buf)?;
    buf.encode_atom(Moov::KIND, |buf| {
        movie(config.created_unix).encode(buf)?;
        for trak in tracks {
            nest(buf, trak, |buf| trak.mdia.minf.stbl.encode(buf))?;
        }
        Mvex { mehd: None, trex: vec![trex(Track::Video), trex(Track::Audio)] }.encode(buf)
    })
}

/// Writes a `trak`, whose `stbl` comes from `tables`.
///
/// mp4-atom writes the containers `moov`, `trak` and `minf` with optional boxes
/// in an order against the recommendation (ISO/IEC 14496-12, 6.3.4: `vmhd` behind
/// `stbl`, `mvex` before `trak`), so these are nested here.
pub(super) fn nest(
    buf: &mut Vec<u8>,
    trak: &Trak,
    tables: impl FnOnce(&mut Vec<u8>) -> mp4_atom::Result<()>,
) -> mp4_atom::Result<()> {
    buf.encode_atom(Trak::KIND, |buf| {
        trak.tkhd.encode(buf)?;
        trak.edts.encode(buf)?;
        buf.encode_atom(Mdia::KIND, |buf| {
            let Mdia { mdhd, hdlr, minf } = &trak.mdia;
            mdhd.encode(buf)?;
            hdlr.encode(buf)?;
            buf.encode_atom(Minf::KIND, |buf| {
                minf.vmhd.encode(buf)?;
                minf.smhd.encode(buf)?;
                minf.dinf.encode(buf)?;
                tables(buf)
            })
        })
    })
}

/// `iso6` and `iso5`: fragments with `tfdt` and offsets from the `moof`. The
/// others: what any player of MP4 with H.264 asks for.
fn brands() -> Ftyp {
    Ftyp {
        major_brand: FourCC::new(b"iso6"),
        minor_version: 0,
        compatible_brands: [b"iso6", b"iso5", b"isom", b"avc1", b"mp41"].map(FourCC::new).to_vec(),
    }
}

pub(super) fn movie(created_unix: u64) -> Mvhd {
    Mvhd {
        creation_time: created_unix + UNIX_EPOCH,
        modification_time: created_unix + UNIX_EPOCH,
        timescale: MOVIE_TIMESCALE,
        duration: 0,
        rate: 1.into(),
        volume: 1.into(),
        next_track_id: 3,
        ..Mvhd::default()
    }
}

fn trex(track: Track) -> Trex {
    Trex {
        track_id: track_id(track),
        default_sample_description_index: 1,
        default_sample_duration: usual_duration(track),
        default_sample_size: 0,
        default_sample_flags: match track {
            Track::Video => DEPENDENT,
            Track::Audio => SYNC,
        },
    }
}

pub(super) fn trak(track: Track, config: &TrackConfig, created_unix: u64) -> Result<Trak, Error> {
    if config.track() != track {
        return Err(Error::WrongTrack { expected: track, given: config.track() });
    }
    let mut tkhd = Tkhd {
        creation_time: created_unix + UNIX_EPOCH,
        modification_time: created_unix + UNIX_EPOCH,
        track_id: track_id(track),
        enabled: true,
        in_movie: true,
        ..Tkhd::default()
    };
    let mut minf = Minf {
        dinf: Dinf { dref: Dref { entries: vec![Url::default().into()] } },
        ..Minf::default()
    };
    let (handler, name, entry): (_, _, Codec) = match config {
        TrackConfig::Video { width, height, decoder_config } => {
            (tkhd.width, tkhd.height) = ((*width).into(), (*height).into());
            minf.vmhd = Some(Vmhd::default());
            (b"vide", "Video", avc1(*width, *height, decoder_config)?.into())
        }
        TrackConfig::Audio { sample_rate, channels, bitrate, decoder_config } => {
            tkhd.volume = 1.into();
            minf.smhd = Some(Smhd::default());
            (b"soun", "Audio", mp4a(*sample_rate, *channels, *bitrate, decoder_config)?.into())
        }
    };
    minf.stbl =
        Stbl { stsd: Stsd { codecs: vec![entry] }, stco: Some(Stco::default()), ..Stbl::default() };
    let mdhd = Mdhd {
        creation_time: created_unix + UNIX_EPOCH,
        modification_time: created_unix + UNIX_EPOCH,
        timescale: timescale(config),
        duration: 0,
        language: "und".to_owned(),
    };
    let hdlr = Hdlr { handler: FourCC::new(handler), name: name.to_owned() };
    Ok(Trak { tkhd, mdia: Mdia { mdhd, hdlr, minf }, ..Trak::default() })
}

fn avc1(width: u16, height: u16, decoder_config: &Bytes) -> Result<Avc1, Error> {
    let invalid = |source| Error::VideoConfig { length: decoder_config.len(), source };
    let mut rest = decoder_config.as_ref();
    let avcc = Avcc::decode_body(&mut rest).map_err(invalid)?;
    if !rest.is_empty() {
        return Err(invalid(mp4_atom::Error::UnderDecode(Avcc::KIND)));
    }
    Ok(Avc1 {
        visual: Visual { data_reference_index: 1, width, height, ..Visual::default() },
        avcc,
        // The capture pipeline converts to BT.709 with limited range.
        colr: Some(Colr::Nclx {
            colour_primaries: 1,
            transfer_characteristics: 1,
            matrix_coefficients: 1,
            full_range_flag: false,
        }),
        pasp: Some(Pasp { h_spacing: 1, v_spacing: 1 }),
        ..Avc1::default()
    })
}

fn mp4a(
    sample_rate: u32,
    channels: u16,
    bitrate: u32,
    decoder_config: &Bytes,
) -> Result<Mp4a, Error> {
    if sample_rate == 0 || decoder_config.is_empty() {
        return Err(Error::AudioConfig { sample_rate, length: decoder_config.len() });
    }
    let decoder = esds::DecoderConfig {
        object_type_indication: 0x40, // MPEG-4 audio
        stream_type: 5,               // audio
        max_bitrate: bitrate,
        avg_bitrate: bitrate,
        dec_specific: Some(esds::DecoderSpecific {
            raw: decoder_config.to_vec(),
            ..esds::DecoderSpecific::default()
        }),
        ..esds::DecoderConfig::default()
    };
    Ok(Mp4a {
        audio: Audio {
            data_reference_index: 1,
            channel_count: channels,
            sample_size: 16,
            // A rate above 16 bits stands in the AudioSpecificConfig alone.
            sample_rate: FixedPoint::from(u16::try_from(sample_rate).unwrap_or(0)),
        },
        esds: esds::Esds {
            es_desc: esds::EsDescriptor { dec_config: decoder, ..esds::EsDescriptor::default() },
        },
        btrt: None,
        taic: None,
    })
}
