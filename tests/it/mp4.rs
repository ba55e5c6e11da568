//! Our MP4 as ffmpeg reads it. Needs the programs `ffmpeg` and `ffprobe`, and
//! fails without them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use recorder::media::{Sample, Timestamp, Track, TrackConfig};
use recorder::mp4::{Config, FRAGMENT, Finished, Muxer, plain_head};
use serde_json::Value;
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};
use shiguredo_mp4::{Encode, TrackKind};
use tempfile::TempDir;

/// Encoder options for two kinds of H.264.
const IN_ORDER: &[&str] = &["-bf", "0"];
const REORDERED: &[&str] = &["-bf", "3"];

/// Runs a program that has to succeed without a word of warning.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(["-v", "warning"])
        .args(args)
        .output()
        .unwrap_or_else(|error| panic!("{program} has to be installed: {error}"));
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {complaints}");
    assert_eq!(complaints, "", "{program}");
    String::from_utf8(output.stdout).unwrap()
}

/// Four seconds of test picture and tone, as an ordinary MP4.
fn ordinary(path: &Path, encoder: &[&str]) {
    let fixed = "-f lavfi -i testsrc2=size=320x180:rate=30 -f lavfi -i sine=frequency=440 -t 4 \
                 -c:v libx264 -preset superfast -g 45 -pix_fmt yuv420p -color_primaries bt709 \
                 -color_trc bt709 -colorspace bt709 -color_range tv \
                 -c:a aac -b:a 64000 -ar 48000 -ac 2 -video_track_timescale 90000";
    let mut args: Vec<_> = fixed.split_whitespace().collect();
    args.extend(encoder);
    args.push(path.to_str().unwrap());
    run("ffmpeg", &args);
}

/// The tracks and samples of an ordinary MP4, in the order of decoding. The
/// parser ignores edit lists: `begin` is where each track's time 0 belongs.
fn samples(file: &[u8], begin: [Timestamp; 2]) -> (TrackConfig, TrackConfig, Vec<Sample>) {
    let mut demuxer = Mp4FileDemuxer::new();
    demuxer.handle_input(Input { position: 0, data: file });
    let (mut video, mut audio, mut samples) = (None, None, Vec::new());
    while let Some(found) = demuxer.next_sample().unwrap() {
        match found.sample_entry {
            Some(SampleEntry::Avc1(avc1)) => {
                let record = avc1.avcc_box.encode_to_vec().unwrap();
                video = Some(TrackConfig::Video {
                    width: avc1.visual.width,
                    height: avc1.visual.height,
                    decoder_config: Bytes::copy_from_slice(&record[8..]),
                });
            }
            Some(SampleEntry::Mp4a(mp4a)) => {
                let decoder = &mp4a.esds_box.es.dec_config_descr;
                let specific = decoder.dec_specific_info.as_ref().unwrap();
                audio = Some(TrackConfig::Audio {
                    sample_rate: mp4a.audio.samplerate.integer.into(),
                    channels: mp4a.audio.channelcount,
                    bitrate: decoder.avg_bitrate,
                    decoder_config: Bytes::copy_from_slice(&specific.payload),
                });
            }
            _ => {}
        }
        let track = match found.track.kind {
            TrackKind::Video => Track::Video,
            _ => Track::Audio,
        };
        let begin = begin[usize::from(track == Track::Audio)];
        let at = |units: i64| {
            let nanos = i128::from(units) * 1_000_000_000 / i128::from(found.track.timescale.get());
            Timestamp(begin.0 + i64::try_from(nanos).unwrap())
        };
        let decode = i64::try_from(found.timestamp).unwrap();
        let start = usize::try_from(found.data_offset).unwrap();
        samples.push(Sample {
            track,
            presentation: at(decode + found.composition_time_offset.unwrap_or(0)),
            decode: at(decode),
            sync: found.keyframe,
            data: Bytes::copy_from_slice(&file[start..start + found.data_size]),
        });
    }
    (video.unwrap(), audio.unwrap(), samples)
}

/// The fragmented file and the plain one.
fn mux_both(video: TrackConfig, audio: TrackConfig, samples: Vec<Sample>) -> (Vec<u8>, Vec<u8>) {
    let origin = Timestamp::ZERO;
    let config = Config { video, audio, fragment: FRAGMENT, created_unix: 1_700_000_000, origin };
    let (mut muxer, header) = Muxer::new(config).unwrap();
    let mut file = header.to_vec();
    for sample in samples {
        file.extend(muxer.push(sample).unwrap().concat());
    }
    let Finished { tail, index } = muxer.finish();
    file.extend(tail.concat());
    let media = &file[usize::try_from(index.header_bytes).unwrap()..];
    let plain = [&plain_head(&index).unwrap(), media].concat();
    (file, plain)
}

fn mux(video: TrackConfig, audio: TrackConfig, samples: Vec<Sample>) -> Vec<u8> {
    mux_both(video, audio, samples).0
}

/// Presentation time, size and flags of every packet of a stream that is shown.
fn packets(path: &Path, stream: &str) -> Vec<(i64, String, String)> {
    let path = path.to_str().unwrap();
    let json = run("ffprobe", &["-show_packets", "-select_streams", stream, "-of", "json", path]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let packets = json["packets"].as_array().unwrap().iter().map(|packet| {
        let text = |name: &str| packet[name].as_str().unwrap().to_owned();
        (packet["pts"].as_i64().unwrap(), text("size"), text("flags"))
    });
    packets.filter(|(_, _, flags)| !flags.contains('D')).collect()
}

/// Checksums of every decoded picture.
fn pictures(path: &Path) -> Vec<String> {
    let path = path.to_str().unwrap();
    let listing = run("ffmpeg", &["-i", path, "-map", "0:v", "-f", "framemd5", "-"]);
    let lines = listing.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit(", ").next().unwrap().to_owned()).collect()
}

/// `late`: by how much ffmpeg shows our pictures later than the file says.
fn ffmpeg_finds_the_same_film(encoder: &[&str], late: i64) {
    let folder = TempDir::new().unwrap();
    let (theirs, ours) = (folder.path().join("theirs.mp4"), folder.path().join("ours.mp4"));
    ordinary(&theirs, encoder);
    // ffmpeg's edit lists start the film at the first picture shown and skip
    // the 1024 values by which its AAC encoder is late.
    let delay = Timestamp(-1024 * 1_000_000_000 / 48_000);
    let (video, audio, mut samples) =
        samples(&std::fs::read(&theirs).unwrap(), [Timestamp::ZERO, delay]);
    let first = samples.iter().find(|sample| sample.track == Track::Video).unwrap().presentation.0;
    for sample in samples.iter_mut().filter(|sample| sample.track == Track::Video) {
        sample.presentation.0 -= first;
        sample.decode.0 -= first;
    }
    std::fs::write(&ours, mux(video, audio, samples)).unwrap();

    for (stream, late) in [("v", late), ("a", 0)] {
        let mut theirs = packets(&theirs, stream);
        assert!(theirs.len() > 100, "{stream}: {} packets", theirs.len());
        for (presentation, ..) in &mut theirs {
            *presentation += late;
        }
        assert_eq!(packets(&ours, stream), theirs, "{stream}");
    }
    let shown = pictures(&ours);
    assert_eq!((shown.len(), &shown), (120, &pictures(&theirs)));
    assert_eq!(run("ffmpeg", &["-i", ours.to_str().unwrap(), "-f", "null", "-"]), "");

    let about = "stream=codec_name,width,height,color_space,color_range,sample_aspect_ratio,\
                 channels,sample_rate:stream_tags=language,handler_name:format_tags=creation_time";
    let about = run("ffprobe", &["-show_entries", about, "-of", "flat", ours.to_str().unwrap()]);
    for expected in [
        "streams.stream.0.codec_name=\"h264\"",
        "streams.stream.0.sample_aspect_ratio=\"1:1\"",
        "streams.stream.0.color_space=\"bt709\"",
        "streams.stream.0.color_range=\"tv\"",
        "streams.stream.1.codec_name=\"aac\"",
        "streams.stream.1.sample_rate=\"48000\"",
        "format.tags.creation_time=\"2023-11-14T22:13:20.000000Z\"",
    ] {
        assert!(about.contains(expected), "{expected} in {about}");
    }
}

#[test]
fn ffmpeg_finds_the_same_film_without_reordering() {
    ffmpeg_finds_the_same_film(IN_ORDER, 0);
}

#[test]
fn ffmpeg_finds_the_same_film_with_reordering() {
    // Where offsets in fragments are negative ffmpeg adds the reordering delay to
    // all, two pictures here (5.1, also with files it wrote itself).
    ffmpeg_finds_the_same_film(REORDERED, 2 * 3000);
}

#[test]
fn ffmpeg_finds_the_same_film_in_the_plain_form() {
    for encoder in [IN_ORDER, REORDERED] {
        let folder = TempDir::new().unwrap();
        let [theirs, fragmented, plain] =
            ["theirs", "fragmented", "plain"].map(|name| folder.path().join(name));
        let theirs = theirs.with_extension("mp4");
        ordinary(&theirs, encoder);
        // Sound that starts half a second late needs an edit list.
        let late = Timestamp(500_000_000);
        let (video, audio, mut samples) =
            samples(&std::fs::read(&theirs).unwrap(), [Timestamp::ZERO, late]);
        let first = samples.iter().find(|sample| sample.track == Track::Video).unwrap();
        let first = first.presentation.0;
        for sample in samples.iter_mut().filter(|sample| sample.track == Track::Video) {
            sample.presentation.0 -= first;
            sample.decode.0 -= first;
        }
        let both = mux_both(video, audio, samples);
        std::fs::write(&fragmented, both.0).unwrap();
        std::fs::write(&plain, both.1).unwrap();

        assert_eq!(pictures(&plain), pictures(&fragmented));
        assert_eq!(pictures(&plain), pictures(&theirs));
        assert_eq!(packets(&plain, "a"), packets(&fragmented, "a"));
        assert_eq!(packets(&plain, "a")[0].0, 24_000);
        let shown = packets(&plain, "v");
        assert_eq!((shown.len(), shown[0].0), (120, 0), "from 0 on, reordered or not");
        let (path, entries) = (plain.to_str().unwrap(), "format=duration:stream=duration");
        let about = run("ffprobe", &["-show_entries", entries, "-of", "flat", path]);
        assert!(about.contains("streams.stream.0.duration=\"4.000000\""), "{about}");
        assert_eq!(run("ffmpeg", &["-i", path, "-f", "null", "-"]), "");
    }
}

#[test]
fn a_file_cut_off_after_any_fragment_plays() {
    let folder = TempDir::new().unwrap();
    let (theirs, cut) = (folder.path().join("theirs.mp4"), folder.path().join("cut.mp4"));
    ordinary(&theirs, IN_ORDER);
    let (video, audio, samples) = samples(&std::fs::read(&theirs).unwrap(), [Timestamp::ZERO; 2]);
    let file = mux(video, audio, samples);
    let moof = |at: &usize| &file[*at + 4..*at + 8] == b"moof";
    let ends: Vec<_> = (0..file.len() - 8).filter(moof).skip(1).collect();
    assert!(ends.len() >= 7, "{ends:?}");
    for end in [ends[0], ends[ends.len() / 2], ends[ends.len() - 1]] {
        std::fs::write(&cut, &file[..end]).unwrap();
        assert!(!packets(&cut, "v").is_empty());
        assert_eq!(run("ffmpeg", &["-i", cut.to_str().unwrap(), "-f", "null", "-"]), "");
    }
}

#[test]
fn a_film_without_sound_plays() {
    let folder = TempDir::new().unwrap();
    let (theirs, ours) = (folder.path().join("theirs.mp4"), folder.path().join("ours.mp4"));
    ordinary(&theirs, IN_ORDER);
    let (video, audio, mut samples) =
        samples(&std::fs::read(&theirs).unwrap(), [Timestamp::ZERO; 2]);
    samples.retain(|sample| sample.track == Track::Video);
    std::fs::write(&ours, mux(video, audio, samples)).unwrap();
    assert_eq!(packets(&ours, "v").len(), 120);
    assert_eq!(run("ffmpeg", &["-i", ours.to_str().unwrap(), "-f", "null", "-"]), "");
}
