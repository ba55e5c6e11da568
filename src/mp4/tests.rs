//! The file as another parser (`shiguredo_mp4`) reads it.

use std::time::Duration;

use bytes::Bytes;
use shiguredo_mp4::boxes::{FtypBox, MediaHeader, MoofBox, MoovBox, SampleEntry};
use shiguredo_mp4::demux::{Fmp4FileDemuxer, Input, Mp4FileDemuxer};
use shiguredo_mp4::{BoxHeader, Decode, TrackKind};

use super::*;
use crate::media::Sample;

mod properties;

const SECOND: i64 = 1_000_000_000;
const AVCC: &[u8] = b"\x01\x42\xc0\x1f\xff\xe1\x00\x04\x67\x42\xc0\x1f\x01\x00\x03\x68\xce\x3c";
const ASC: &[u8] = b"\x11\x90"; // AAC-LC, 48 kHz, stereo

fn config() -> Config {
    Config {
        video: TrackConfig::Video {
            width: 1920,
            height: 1080,
            decoder_config: Bytes::from_static(AVCC),
        },
        audio: TrackConfig::Audio {
            sample_rate: 48_000,
            channels: 2,
            bitrate: 128_000,
            decoder_config: Bytes::from_static(ASC),
        },
        fragment: FRAGMENT,
        created_unix: 1_700_000_000,
        origin: Timestamp::ZERO,
    }
}

fn sample(track: Track, nanos: i64, sync: bool, data: &[u8]) -> Sample {
    let at = Timestamp(nanos);
    Sample { track, presentation: at, decode: at, sync, data: Bytes::copy_from_slice(data) }
}

fn picture(nanos: i64, sync: bool) -> Sample {
    sample(Track::Video, nanos, sync, &[7; 100])
}

fn sound(nanos: i64) -> Sample {
    sample(Track::Audio, nanos, true, &[8; 10])
}

/// Muxes everything and returns the whole file.
fn mux(config: Config, samples: impl IntoIterator<Item = Sample>) -> (Vec<u8>, Index) {
    let (mut muxer, header) = Muxer::new(config).unwrap();
    let mut file = header.to_vec();
    for sample in samples {
        file.extend(muxer.push(sample).unwrap().concat());
    }
    let Finished { tail, index } = muxer.finish();
    file.extend(tail.concat());
    assert_eq!(index.bytes, file.len() as u64);
    (file, index)
}

/// A sample as a parser or the index tells it.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    decode: u64,
    presentation: i64,
    duration: u32,
    sync: bool,
    offset: u64,
    size: usize,
}

fn parse(file: &[u8], track: Track) -> Vec<Found> {
    let mut demuxer = Fmp4FileDemuxer::new();
    let mut found = Vec::new();
    loop {
        while let Some(required) = demuxer.required_input() {
            let rest = &file[usize::try_from(required.position).unwrap()..];
            let size = required.size.map_or(rest.len(), |size| size.min(rest.len()));
            demuxer.handle_input(required.to_input(&rest[..size]));
        }
        let Some(sample) = demuxer.next_sample().unwrap() else { return found };
        let kind = match track {
            Track::Video => TrackKind::Video,
            Track::Audio => TrackKind::Audio,
        };
        if sample.track.kind == kind {
            let offset = sample.composition_time_offset.unwrap_or(0);
            found.push(Found {
                decode: sample.timestamp,
                presentation: i64::try_from(sample.timestamp).unwrap() + offset,
                duration: sample.duration,
                sync: sample.keyframe,
                offset: sample.data_offset,
                size: sample.data_size,
            });
        }
    }
}

/// Reads the tables of the index the way a `moov` made of them would be read.
fn read(index: &TrackIndex) -> Vec<Found> {
    fn flat<T: Copy>(runs: &[Run<T>]) -> impl Iterator<Item = T> {
        runs.iter().flat_map(|run| std::iter::repeat_n(run.value, run.count as usize))
    }
    let mut sizes = index.sizes.iter();
    let mut durations = flat(&index.durations);
    let mut offsets = flat(&index.composition_offsets);
    let mut decode = index.start;
    let mut found = Vec::new();
    for chunk in &index.chunks {
        let mut offset = chunk.offset;
        for _ in 0..chunk.samples {
            let (size, duration) = (*sizes.next().unwrap(), durations.next().unwrap());
            let number = u32::try_from(found.len() + 1).unwrap();
            found.push(Found {
                decode,
                presentation: i64::try_from(decode).unwrap() + i64::from(offsets.next().unwrap()),
                duration,
                sync: index.timescale == 48_000 || index.sync.contains(&number),
                offset,
                size: size as usize,
            });
            decode += u64::from(duration);
            offset += u64::from(size);
        }
    }
    assert_eq!((sizes.next(), durations.next(), offsets.next()), (None, None, None));
    found
}

/// The fragments, after checking that the file is nothing but those.
fn fragments(file: &[u8]) -> Vec<MoofBox> {
    let (_, ftyp_size) = FtypBox::decode(file).unwrap();
    let (_, moov_size) = MoovBox::decode(&file[ftyp_size..]).unwrap();
    let mut rest = &file[ftyp_size + moov_size..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let (moof, size) = MoofBox::decode(rest).unwrap();
        let (mdat, _) = BoxHeader::decode(&rest[size..]).unwrap();
        assert_eq!(mdat.box_type.as_bytes(), b"mdat");
        rest = &rest[size + usize::try_from(mdat.box_size.get()).unwrap()..];
        found.push(moof);
    }
    found
}

/// The ordinary file made of a fragmented one.
fn plain(file: &[u8], index: &Index) -> Option<Vec<u8>> {
    let media = &file[usize::try_from(index.header_bytes).unwrap()..];
    Some([&plain_head(index)?, media].concat())
}

fn parse_plain(file: &[u8], track: TrackKind) -> Vec<Found> {
    let mut demuxer = Mp4FileDemuxer::new();
    demuxer.handle_input(Input { position: 0, data: file });
    let mut found = Vec::new();
    while let Some(sample) = demuxer.next_sample().unwrap() {
        if sample.track.kind == track {
            let offset = sample.composition_time_offset.unwrap_or(0);
            found.push(Found {
                decode: sample.timestamp,
                presentation: i64::try_from(sample.timestamp).unwrap() + offset,
                duration: sample.duration,
                sync: sample.keyframe,
                offset: sample.data_offset,
                size: sample.data_size,
            });
        }
    }
    found
}

fn moov(file: &[u8]) -> MoovBox {
    let (_, ftyp) = FtypBox::decode(file).unwrap();
    MoovBox::decode(&file[ftyp..]).unwrap().0
}

/// By how much a track's edit list shows its media later than its own times say,
/// in units of the movie's timescale.
fn delay(moov: &MoovBox, trak: usize) -> i64 {
    let trak = &moov.trak_boxes[trak];
    let timescale = f64::from(trak.mdia_box.mdhd_box.timescale.get());
    let list = trak.edts_box.as_ref().and_then(|edts| edts.elst_box.as_ref());
    let entries = list.map_or(&[][..], |list| &list.entries);
    entries.iter().fold(0, |delay, entry| match entry.media_time {
        -1 => delay + i64::try_from(entry.edit_duration).unwrap(),
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small")]
        from => delay - (from as f64 * 90_000.0 / timescale).round() as i64,
    })
}

#[test]
fn the_plain_head_holds_the_index_and_exact_durations() {
    let samples = (0..90).map(|n| picture(n * SECOND / 30, n % 30 == 0));
    let sounds = (0..100).map(|n| sound(n * SECOND * 1024 / 48_000));
    let (file, index) = mux(config(), samples.chain(sounds));
    let plain = plain(&file, &index).unwrap();
    let (ftyp, size) = FtypBox::decode(&plain).unwrap();
    assert_eq!(ftyp.major_brand.get(), *b"isom");
    let (moov, moov_size) = MoovBox::decode(&plain[size..]).unwrap();
    assert!(moov.mvex_box.is_none() && moov.unknown_boxes.is_empty());
    assert_eq!(moov.mvhd_box.creation_time.as_secs(), 2_082_844_800 + 1_700_000_000);
    assert_eq!(moov.mvhd_box.duration, 3 * 90_000);
    let durations = moov.trak_boxes.iter().map(|trak| trak.mdia_box.mdhd_box.duration);
    assert_eq!(durations.collect::<Vec<_>>(), [3 * 90_000, 100 * 1024]);
    let (free, _) = BoxHeader::decode(&plain[size + moov_size..]).unwrap();
    assert_eq!(free.box_type.as_bytes(), b"free");
    let begin = size + moov_size + usize::try_from(free.box_size.get()).unwrap();
    let (mdat, header) = BoxHeader::decode(&plain[begin..]).unwrap();
    assert_eq!((mdat.box_type.as_bytes(), header), (&b"mdat"[..], 8));
    assert_eq!(begin + usize::try_from(mdat.box_size.get()).unwrap(), plain.len());
    assert_eq!((plain.len() - file.len()) % 4096, 0);
    assert!(moov.trak_boxes.iter().all(|trak| trak.edts_box.is_none()));
}

#[test]
fn the_tables_are_these_bytes() {
    // Three pictures, the last longer and reordered, in two fragments.
    let pictures =
        [(0, 0, true), (1, 2, false), (2, 1, true)].map(|(decode, shown, sync)| Sample {
            decode: Timestamp(decode * SECOND / 10),
            presentation: Timestamp(shown * SECOND / 10),
            ..sample(Track::Video, 0, sync, &[7; 5])
        });
    let (file, index) = mux(config(), pictures);
    let plain = plain(&file, &index).unwrap();
    let moved = |chunk: &Chunk| chunk.offset + plain.len() as u64 - file.len() as u64;
    let offset = |chunk| u32::try_from(moved(chunk)).unwrap().to_be_bytes();
    let offsets: Vec<u8> = index.video.chunks.iter().flat_map(offset).collect();
    let expected = [
        &b"\0\0\0\x18stts\0\0\0\0\0\0\0\x01\0\0\0\x03\0\0\x23\x28"[..],
        b"\0\0\0\x28ctts\x01\0\0\0\0\0\0\x03\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\x23\x28",
        b"\0\0\0\x01\xff\xff\xdc\xd8",
        b"\0\0\0\x18stss\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x03",
        b"\0\0\0\x28stsc\0\0\0\0\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\0\0\x01",
        b"\0\0\0\x02\0\0\0\x01\0\0\0\x01",
        b"\0\0\0\x20stsz\0\0\0\0\0\0\0\0\0\0\0\x03\0\0\0\x05\0\0\0\x05\0\0\0\x05",
        b"\0\0\0\x18stco\0\0\0\0\0\0\0\x02",
        &offsets,
    ]
    .concat();
    let found = plain.windows(expected.len()).any(|bytes| bytes == expected);
    assert!(found, "{:?}", plain_head(&index).unwrap().escape_ascii().to_string());
}

#[test]
fn no_sample_no_plain_head() {
    let (file, index) = mux(config(), []);
    assert_eq!(plain(&file, &index), None);
}

#[test]
fn a_track_without_samples_is_left_out() {
    for (track, kind) in [(Track::Video, TrackKind::Video), (Track::Audio, TrackKind::Audio)] {
        let (file, index) = mux(config(), [sample(track, 0, true, b"alone")]);
        let plain = plain(&file, &index).unwrap();
        assert_eq!(moov(&plain).trak_boxes.len(), 1, "{track:?}");
        let [found] = &parse_plain(&plain, kind)[..] else { panic!("one sample") };
        let start = usize::try_from(found.offset).unwrap();
        assert_eq!(&plain[start..start + found.size], b"alone");
    }
}

#[test]
fn a_plain_track_that_starts_late_waits() {
    let (file, index) = mux(config(), [picture(0, true), sound(3 * SECOND), sound(4 * SECOND)]);
    let plain = plain(&file, &index).unwrap();
    let moov = moov(&plain);
    assert_eq!([0, 1].map(|trak| delay(&moov, trak)), [0, 3 * 90_000]);
    assert_eq!(moov.mvhd_box.duration, 5 * 90_000);
}

#[test]
fn beyond_4_gib_and_a_day_the_plain_head_has_64_bits() {
    let (mut muxer, _) = Muxer::new(config()).unwrap();
    let data = Bytes::from(vec![0; 32 << 20]);
    for n in 0..200 {
        let pictures = Sample { data: data.clone(), ..picture(n * 440 * SECOND, true) };
        muxer.push(pictures).unwrap();
        muxer.push(sound(n * 440 * SECOND)).unwrap();
    }
    let index = muxer.finish().index;
    let head = plain_head(&index).unwrap();
    let moov = moov(&head);
    assert!(moov.mvhd_box.duration > 24 * 3600 * 90_000);
    let shiguredo_mp4::Either::B(co64) =
        &moov.trak_boxes[0].mdia_box.minf_box.stbl_box.stco_or_co64_box
    else {
        panic!("32 bits")
    };
    let last = index.video.chunks.last().unwrap().offset - index.header_bytes + head.len() as u64;
    assert_eq!(co64.chunk_offsets.last(), Some(&last));
    assert!(last > u64::from(u32::MAX));
    // A size of 64 bits behind the kind.
    let mdat = &head[head.len() - 16..];
    assert_eq!(&mdat[..8], b"\0\0\0\x01mdat");
    assert_eq!(mdat[8..], (index.bytes - index.header_bytes + 16).to_be_bytes());
}

#[test]
fn the_header_says_what_the_configuration_said() {
    let (file, index) = mux(config(), []);
    assert_eq!(index.header_bytes, file.len() as u64);
    let (ftyp, size) = FtypBox::decode(&file).unwrap();
    assert_eq!(ftyp.major_brand.get(), *b"iso6");
    let (moov, _) = MoovBox::decode(&file[size..]).unwrap();
    assert!(moov.unknown_boxes.is_empty());
    assert_eq!(moov.mvhd_box.creation_time.as_secs(), 2_082_844_800 + 1_700_000_000);
    assert_eq!((moov.mvhd_box.timescale.get(), moov.mvhd_box.next_track_id), (90_000, 3));
    let trex = moov.mvex_box.unwrap().trex_boxes;
    assert_eq!(trex.iter().map(|trex| trex.track_id).collect::<Vec<_>>(), [1, 2]);

    let [video, audio] = &moov.trak_boxes[..] else { panic!("two tracks") };
    assert_eq!((video.tkhd_box.track_id, audio.tkhd_box.track_id), (1, 2));
    assert_eq!((video.tkhd_box.width.integer, video.tkhd_box.height.integer), (1920, 1080));
    let media = [&video.mdia_box, &audio.mdia_box];
    assert_eq!(media.map(|mdia| mdia.mdhd_box.timescale.get()), [90_000, 48_000]);
    assert_eq!(media.map(|mdia| mdia.mdhd_box.language.as_bytes()), [*b"und"; 2]);
    assert_eq!(media.map(|mdia| mdia.hdlr_box.handler_type), [*b"vide", *b"soun"]);
    assert!(matches!(media[0].minf_box.media_header, Some(MediaHeader::Vmhd(_))));
    assert!(matches!(media[1].minf_box.media_header, Some(MediaHeader::Smhd(_))));

    let entries = media.map(|mdia| &mdia.minf_box.stbl_box.stsd_box.entries[..]);
    let [[SampleEntry::Avc1(avc1)], [SampleEntry::Mp4a(mp4a)]] = entries else {
        panic!("avc1 and mp4a: {entries:?}")
    };
    assert_eq!((avc1.visual.width, avc1.visual.height), (1920, 1080));
    assert_eq!((mp4a.audio.channelcount, mp4a.audio.samplerate.integer), (2, 48_000));
    let decoder = &mp4a.esds_box.es.dec_config_descr;
    assert_eq!((decoder.avg_bitrate, decoder.object_type_indication), (128_000, 0x40));
    assert_eq!(decoder.dec_specific_info.as_ref().unwrap().payload, ASC);
    // Bytes as given and as the standard lists them.
    for expected in [
        &[b"avcC", AVCC].concat()[..],
        b"\0\0\0\x13colrnclx\0\x01\0\x01\0\x01\0",
        b"\0\0\0\x10pasp\0\0\0\x01\0\0\0\x01",
    ] {
        assert!(file.windows(expected.len()).any(|bytes| bytes == expected), "{expected:?}");
    }
}

#[test]
fn a_configuration_that_no_file_can_state_is_refused() {
    let video = |bytes: &'static [u8]| TrackConfig::Video {
        width: 2,
        height: 2,
        decoder_config: Bytes::from_static(bytes),
    };
    let audio = |sample_rate, bytes: &'static [u8]| TrackConfig::Audio {
        sample_rate,
        channels: 2,
        bitrate: 1,
        decoder_config: Bytes::from_static(bytes),
    };
    let cases = [
        (video(b""), audio(48_000, ASC), "video decoder configuration of 0 bytes"),
        (video(b"\x01\x42"), audio(48_000, ASC), "video decoder configuration of 2 bytes"),
        (video(AVCC), audio(0, ASC), "audio configuration of 0 Hz and 2 bytes"),
        (video(AVCC), audio(48_000, b""), "audio configuration of 48000 Hz and 0 bytes"),
        (video(AVCC), video(AVCC), "the configuration given for the Audio track"),
    ];
    for (video, audio, message) in cases {
        let error = Muxer::new(Config { video, audio, ..config() }).unwrap_err().to_string();
        assert!(error.starts_with(message), "{error}");
    }
}

#[test]
fn a_fragment_is_these_bytes() {
    // Two pictures of 30 a second, the first a sync sample, and a frame of sound.
    let (file, index) = mux(
        config(),
        [
            sample(Track::Video, 0, true, b"key"),
            sample(Track::Audio, 0, true, b"aac"),
            sample(Track::Video, SECOND / 30, false, b"p"),
        ],
    );
    let header = usize::try_from(index.header_bytes).unwrap();
    let expected: &[&[u8]] = &[
        b"\x00\x00\x00\xa8moof",
        b"\x00\x00\x00\x10mfhd\x00\x00\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x00\x4ctraf",
        // Defaults count from the moof; nothing differs from the trex.
        b"\x00\x00\x00\x10tfhd\x00\x02\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x00\x14tfdt\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        // Offset, flags of the first sample (sync), sizes.
        b"\x00\x00\x00\x20trun\x01\x00\x02\x05\x00\x00\x00\x02\x00\x00\x00\xb0\x02\x00\x00\x00",
        b"\x00\x00\x00\x03\x00\x00\x00\x01",
        b"\x00\x00\x00\x44traf",
        // One size for all.
        b"\x00\x00\x00\x14tfhd\x00\x02\x00\x10\x00\x00\x00\x02\x00\x00\x00\x03",
        b"\x00\x00\x00\x14tfdt\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x00\x00\x00\x14trun\x01\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\xb4",
        b"\x00\x00\x00\x0fmdatkeypaac",
    ];
    assert_eq!(file[header..], expected.concat());
}

#[test]
fn data_is_passed_on_and_never_copied() {
    let (mut muxer, _) = Muxer::new(config()).unwrap();
    let data = Bytes::from(vec![1; 1000]);
    let sample = Sample { data: data.clone(), ..picture(0, true) };
    assert_eq!(muxer.push(sample).unwrap(), Vec::<Bytes>::new());
    let tail = muxer.finish().tail;
    assert_eq!((tail.len(), tail[1].as_ptr()), (2, data.as_ptr()));
}

#[test]
fn no_sample_no_fragment() {
    let (file, index) = mux(config(), []);
    assert_eq!(fragments(&file).len(), 0);
    for track in [Track::Video, Track::Audio] {
        assert_eq!(parse(&file, track), []);
        assert_eq!(
            (index.track(track).samples(), index.track(track).duration()),
            (0, Duration::ZERO)
        );
    }
}

#[test]
fn a_single_sample_lasts_as_long_as_usual() {
    let (file, index) = mux(config(), [picture(0, true), sound(0)]);
    assert_eq!(parse(&file, Track::Video)[0].duration, 3000);
    assert_eq!(parse(&file, Track::Audio)[0].duration, 1024);
    assert_eq!(index.video.duration(), Duration::from_nanos(33_333_333));
}

#[test]
fn the_last_sample_lasts_as_long_as_the_one_before() {
    let (file, index) = mux(config(), [picture(0, true), picture(SECOND / 10, false)]);
    let durations: Vec<_> = parse(&file, Track::Video).iter().map(|found| found.duration).collect();
    assert_eq!(durations, [9000, 9000]);
    assert_eq!(index.video.duration(), Duration::from_millis(200));
}

#[test]
fn a_silent_track_leaves_fragments_of_the_other() {
    for track in [Track::Video, Track::Audio] {
        let samples = (0..100).map(|n| sample(track, n * SECOND / 25, n == 0, b"data"));
        let (file, index) = mux(config(), samples);
        let fragments = fragments(&file);
        assert_eq!(fragments.len(), 8, "four seconds in fragments of half a second");
        assert!(fragments.iter().all(|moof| moof.traf_boxes.len() == 1));
        assert_eq!((parse(&file, track).len(), index.track(track).samples()), (100, 100));
    }
}

#[test]
fn a_fragment_is_closed_when_it_is_half_a_second_long_or_32_mib_large() {
    let data = Bytes::from(vec![0; 1 << 20]);
    let by_length = (0..60).map(|n| picture(n * SECOND / 30, n == 0));
    let by_size = (0..128).map(|n| Sample { data: data.clone(), ..picture(n * 100_000, n == 0) });
    let after = (0..30).map(|n| picture((n + 30) * SECOND / 30, false));
    let lengths = |samples: Vec<Sample>| -> Vec<_> {
        let (_, index) = mux(config(), samples);
        index.video.chunks.iter().map(|chunk| chunk.samples).collect()
    };
    assert_eq!(lengths(by_length.collect()), [15, 15, 15, 15]);
    // The last large one lasts until the first small one, a second later.
    assert_eq!(lengths(by_size.chain(after).collect()), [32, 32, 32, 32, 15, 15]);
}

#[test]
fn a_track_that_starts_late_says_so() {
    let (file, index) = mux(config(), [picture(0, true), sound(3 * SECOND), sound(4 * SECOND)]);
    let times: Vec<_> = parse(&file, Track::Audio).iter().map(|found| found.decode).collect();
    assert_eq!(times, [144_000, 192_000]);
    assert_eq!((index.audio.start, index.audio.duration()), (144_000, Duration::from_secs(2)));
}

#[test]
fn a_day_and_the_limit_of_32_bits_are_no_border() {
    let day = 24 * 3600 * SECOND;
    let at = |hours: i64| 10 * hours * 3600 * SECOND;
    let pictures = (0..6).map(|n| picture(at(n), n == 0)); // 50 h in steps of 10
    let sounds = [sound(day), sound(day + SECOND)];
    let (file, _) = mux(config(), pictures.chain(sounds));
    let video = parse(&file, Track::Video);
    assert_eq!(video[5].decode, 50 * 3600 * 90_000);
    assert!(video[5].decode > u64::from(u32::MAX));
    assert_eq!(parse(&file, Track::Audio)[1].decode, (24 * 3600 + 1) * 48_000);
}

#[test]
fn offsets_beyond_4_gib_are_kept() {
    let (mut muxer, header) = Muxer::new(config()).unwrap();
    let data = Bytes::from(vec![0; 32 << 20]);
    let mut written = header.len();
    for n in 0..200 {
        let sample = Sample { data: data.clone(), ..picture(n * SECOND, n == 0) };
        written += muxer.push(sample).unwrap().iter().map(Bytes::len).sum::<usize>();
    }
    let Finished { tail, index } = muxer.finish();
    written += tail.iter().map(Bytes::len).sum::<usize>();
    assert_eq!(index.bytes, written as u64);
    let last = index.video.chunks.last().unwrap();
    assert_eq!(last.offset, index.bytes - (32 << 20));
    assert!(last.offset > 6 << 30);
}

#[test]
fn a_refused_sample_leaves_the_file_as_it_was() {
    let hour = 3600 * SECOND;
    let back = Sample { decode: Timestamp(-7), ..picture(0, false) };
    let far = Sample { presentation: Timestamp(5 * hour), ..picture(SECOND, false) };
    let huge = Sample { data: Bytes::from(vec![0; (1 << 30) + 1]), ..picture(SECOND, false) };
    let cases = [
        (back, "decode time -7 ns of the Video track does not come after 0 ns"),
        (picture(0, false), "decode time 0 ns of the Video track does not come after 0 ns"),
        (picture(5_000, false), "decode time 5000 ns of the Video track does not come after 0 ns"),
        (
            picture(14 * hour, true),
            "decode time 50400000000000 ns of the Video track is too long after 0 ns",
        ),
        (far, "presentation at 18000000000000 ns is too far from decode at 1000000000 ns (Video)"),
        (huge, "sample of 1073741825 bytes at 1000000000 ns of the Video track is too large"),
    ];
    for (bad, message) in cases {
        let (mut muxer, header) = Muxer::new(config()).unwrap();
        let mut file = header.to_vec();
        for (good, sample) in
            [(true, picture(0, true)), (false, bad), (true, picture(SECOND, false))]
        {
            match muxer.push(sample) {
                Ok(bytes) => file.extend(bytes.concat()),
                Err(error) => assert_eq!((good, error.to_string().as_str()), (false, message)),
            }
        }
        file.extend(muxer.finish().tail.concat());
        let found = parse(&file, Track::Video);
        assert_eq!(found.iter().map(|found| found.decode).collect::<Vec<_>>(), [0, 90_000]);
    }
}

#[test]
fn memory_is_bounded_by_a_fragment_and_two_samples() {
    let slowly = (0..100_000).map(|n| {
        let data = Bytes::from_static(&[0; 4096]);
        Sample { data, ..picture(n * 20_000, n == 0) }
    });
    let stalled =
        (0..10_000).map(|n| if n == 0 { picture(0, true) } else { sound(n * SECOND / 50) });
    let alone = (0..10_000).map(|n| picture(n * SECOND / 30, n == 0));
    let cases: [(&str, Box<dyn Iterator<Item = Sample>>, u64); 3] = [
        ("times hardly advance", Box::new(slowly), (32 << 20) + 4096),
        ("video stalls", Box::new(stalled), 25 * 10 + 100 + 10),
        ("audio never comes", Box::new(alone), 16 * 100),
    ];
    for (name, samples, limit) in cases {
        let (mut muxer, _) = Muxer::new(config()).unwrap();
        let mut held = 0;
        for sample in samples {
            held += sample.data.len() as u64;
            let bytes = muxer.push(sample).unwrap();
            held -= bytes.iter().skip(1).map(|data| data.len() as u64).sum::<u64>();
            assert!(held <= limit, "{name}: {held} bytes");
        }
    }
}

#[test]
fn an_hour_of_index_takes_less_than_stated() {
    let (mut muxer, _) = Muxer::new(config()).unwrap();
    let samples = (0..3600).flat_map(|second| {
        let at = move |n: i64, rate: i64| second * SECOND + n * SECOND / rate;
        let pictures = (0..30).map(move |n| picture(at(n, 30), n == 0 && second % 2 == 0));
        // 375 frames of sound in 8 s; an uneven rate costs no more than 47 a second.
        let sounds = (0..47).map(move |n| sound(at(n, 47)));
        pictures.chain(sounds)
    });
    for sample in samples {
        muxer.push(sample).unwrap();
    }
    let index = muxer.finish().index;
    let fixed = |track: &TrackIndex| {
        size_of_val(&track.sizes[..])
            + size_of_val(&track.sync[..])
            + size_of_val(&track.chunks[..])
    };
    let bytes = fixed(&index.video) + fixed(&index.audio);
    assert!((1_300_000..1_400_000).contains(&bytes), "{bytes}");
    assert_eq!(index.video.durations, [Run { count: 108_000, value: 3000 }]);
    assert_eq!(size_of::<Run<u32>>(), 8);
}
