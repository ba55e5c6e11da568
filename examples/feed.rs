//! A recording without a browser: an encoded film, again and again, through the
//! recorder's own writer, muxer and upload, as fast as wanted. What the fault tests
//! kill, and what shows how fast the way to the store is.
//!
//! ```text
//! feed --film FILE --output DIR --key K --seconds 7200 --speed 0
//! ```
//!
//! Each second of film that was handed over is a line `fed MILLISECONDS` on stdout;
//! the last line is one JSON object. SIGTERM ends the film. Credentials are those of
//! the SDK's chain.

#![expect(clippy::unwrap_used, reason = "a test tool that cannot go on has failed")]

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use recorder::capture::Media;
use recorder::events::Event;
use recorder::local::Opened;
use recorder::media::{Sample, Timestamp, Track, TrackConfig};
use recorder::upload::plan::{Payload, Receipt};
use recorder::upload::s3::{self, ClientSettings, Encryption, S3Store};
use recorder::upload::store::{Completed, Object, PartStore, StoreError, UploadId};
use recorder::upload::{self, Uploader, spool};
use recorder::writer::Writer;
use serde_json::json;
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::demux::{Input, Mp4FileDemuxer};
use shiguredo_mp4::{Encode as _, TrackKind};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

#[derive(Debug, Parser)]
struct Cli {
    /// An MP4 with H.264 without reordering and AAC, whose picture starts at 0
    #[arg(long)]
    film: PathBuf,
    /// Where the store is
    #[arg(long, required_unless_present_any = ["output", "nowhere"])]
    endpoint: Option<String>,
    /// Into this folder, by the store of `recorder --local`
    #[arg(long)]
    output: Option<PathBuf>,
    /// Into a store that forgets, to see what the way to it costs
    #[arg(long)]
    nowhere: bool,
    #[arg(long, default_value = "recordings")]
    bucket: String,
    #[arg(long)]
    key: String,
    /// Length of the recording
    #[arg(long)]
    seconds: u64,
    /// How many times faster than the film; 0 is as fast as it goes
    #[arg(long)]
    speed: f64,
    /// Milliseconds between checkpoints; 0 is none
    #[arg(long, default_value_t = 5000)]
    checkpoint: u64,
    #[arg(long, default_value_t = 64 << 20)]
    spool_memory: u64,
    #[arg(long, default_value_t = 2 << 30)]
    spool_disk: u64,
    #[arg(long, default_value = "/tmp")]
    spool_dir: PathBuf,
    /// Milliseconds that the end may take
    #[arg(long, default_value_t = 60_000)]
    finish: u64,
}

#[tokio::main]
async fn main() {
    let cli = Cli::parse();
    let object = Object { bucket: cli.bucket.clone(), key: cli.key.clone() };
    if cli.nowhere {
        return record(&cli, Nowhere { object }).await;
    }
    let client = if let Some(dir) = &cli.output {
        // It lives as long as the process.
        let Opened { server, client } = Opened::start(dir).await.unwrap();
        std::mem::forget(server);
        client
    } else {
        s3::client(ClientSettings {
            region: Some("us-east-1".into()),
            endpoint: cli.endpoint.clone(),
            force_path_style: true,
            credentials: None,
        })
        .await
    };
    record(&cli, S3Store::new(client, object, Encryption::BucketDefault)).await;
}

async fn record<S: PartStore>(cli: &Cli, store: S) {
    let mut terminated = signal(SignalKind::terminate()).unwrap();
    let config = upload::Config {
        parts_in_flight: upload::PARTS_IN_FLIGHT,
        checkpoint: (cli.checkpoint > 0).then(|| Duration::from_millis(cli.checkpoint)),
        memory_bytes: cli.spool_memory,
        spool: spool::Config { dir: cli.spool_dir.clone(), limit: cli.spool_disk },
        give_up_after: upload::NEVER_GIVE_UP,
        give_up_starting_after: Duration::from_mins(1),
        jitter: fastrand::f64,
    };
    let upload = match Uploader::start(Arc::new(store), config).await {
        Ok(upload) => upload,
        Err(error) => {
            say(&json!({ "failed": recorder::error::chain(&error) }).to_string());
            return;
        }
    };
    let (media, taken) = mpsc::channel(64);
    let (events, mut inbox) = mpsc::unbounded_channel();
    let writer = Writer::start(taken, upload, 1_700_000_000, events);
    let (stop, stopped) = watch::channel(false);
    let film = Film::read(&std::fs::read(&cli.film).unwrap());
    let feeding = tokio::spawn(feed(film, media, cli.seconds, cli.speed, stopped));

    let mut end = None;
    let outcome = loop {
        let deadline = end.unwrap_or_else(|| Instant::now() + Duration::from_hours(1));
        tokio::select! {
            event = inbox.recv() => match event {
                Some(Event::UploadCompleted) => break "completed".to_owned(),
                Some(Event::Failed(failure)) => break failure.message,
                Some(Event::EndOfStream) => {
                    end = Some(Instant::now() + Duration::from_millis(cli.finish));
                }
                _ => {}
            },
            _ = terminated.recv() => {
                stop.send_replace(true);
            }
            () = tokio::time::sleep_until(deadline) => break "deadline".to_owned(),
        }
    };
    let begun = end.map(|end| end - Duration::from_millis(cli.finish));
    let stop_seconds = begun.map(|begun| begun.elapsed().as_secs_f64());
    let progress = writer.progress();
    let written = writer.leave().await;
    let fed = feeding.await.unwrap();
    let left = written.left.map(|left| {
        json!({ "upload_id": left.upload.0, "spool": left.spool, "completing": left.completing })
    });
    let bytes = written.completed.as_ref().map(|completed| completed.bytes);
    let verified = written.completed.and_then(|completed| completed.verified);
    say(&json!({
        "outcome": outcome, "fed_ms": fed, "bytes": bytes, "verified": verified, "left": left,
        "stop_seconds": stop_seconds, "retries": progress.retries,
        "checkpoints": progress.checkpoints, "checkpoint_bytes": progress.checkpoint_bytes,
        "spooled_bytes": progress.spooled_bytes,
    })
    .to_string());
}

/// Takes everything and keeps nothing.
#[derive(Debug)]
struct Nowhere {
    object: Object,
}

impl PartStore for Nowhere {
    fn object(&self) -> &Object {
        &self.object
    }

    async fn create(&self) -> Result<UploadId, StoreError> {
        Ok(UploadId("nowhere".into()))
    }

    async fn put_part(
        &self,
        _: &UploadId,
        number: u16,
        payload: Payload,
        _: u32,
    ) -> Result<Receipt, StoreError> {
        Ok(Receipt { etag: number.to_string(), crc32: 0, bytes: payload.len() as u64 })
    }

    async fn complete(
        &self,
        _: &UploadId,
        _: &[(u16, Receipt)],
        bytes: u64,
    ) -> Result<Completed, StoreError> {
        Ok(Completed { etag: String::new(), checksum: None, verified: None, bytes })
    }

    async fn put_beside(&self, _: &str, _: &str, _: Bytes) -> Result<(), StoreError> {
        Ok(())
    }

    async fn abort(&self, _: &UploadId) -> Result<(), StoreError> {
        Ok(())
    }
}

fn say(line: &str) {
    // Whoever listened may be gone.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Hands the film over and returns how many milliseconds of it.
async fn feed(
    film: Film,
    media: mpsc::Sender<Media>,
    seconds: u64,
    speed: f64,
    mut stopped: watch::Receiver<bool>,
) -> u64 {
    let begun = Instant::now();
    let end = i64::try_from(seconds).unwrap() * 1_000_000_000;
    let mut told = 0;
    let mut fed = 0;
    for track in &film.tracks {
        let _ = media.send(Media::Track(track.config.clone())).await;
    }
    let mut next = [0_usize; 2];
    loop {
        // Whichever track is behind.
        let [video, audio] = [0, 1].map(|track| film.tracks[track].at(next[track]));
        let track = usize::from(audio.decode.0 < video.decode.0);
        let sample = if track == 0 { video } else { audio };
        next[track] += 1;
        let at = sample.presentation.0;
        if at >= end || *stopped.borrow() {
            return fed;
        }
        if speed > 0.0 {
            let when = begun + Duration::from_nanos(u64::try_from(at).unwrap()).div_f64(speed);
            tokio::select! {
                () = tokio::time::sleep_until(when) => {}
                _ = stopped.changed() => return fed,
            }
        }
        if media.send(Media::Sample(sample)).await.is_err() {
            return fed;
        }
        fed = u64::try_from(at / 1_000_000).unwrap();
        if fed / 100 > told {
            told = fed / 100;
            say(&format!("fed {fed}"));
        }
    }
}

/// A film that is shown again when it is over.
#[derive(Debug)]
struct Film {
    /// Picture and sound.
    tracks: [TrackSamples; 2],
}

#[derive(Debug)]
struct TrackSamples {
    config: TrackConfig,
    samples: Vec<Sample>,
    /// Nanoseconds.
    length: i64,
}

impl Film {
    fn read(file: &[u8]) -> Self {
        let mut demuxer = Mp4FileDemuxer::new();
        demuxer.handle_input(Input { position: 0, data: file });
        let mut tracks = [None, None];
        let mut samples = [Vec::new(), Vec::new()];
        let mut lengths = [0_i64; 2];
        while let Some(found) = demuxer.next_sample().unwrap() {
            let track = usize::from(found.track.kind != TrackKind::Video);
            match found.sample_entry {
                Some(SampleEntry::Avc1(avc1)) => {
                    let record = avc1.avcc_box.encode_to_vec().unwrap();
                    tracks[0] = Some(TrackConfig::Video {
                        width: avc1.visual.width,
                        height: avc1.visual.height,
                        decoder_config: Bytes::copy_from_slice(&record[8..]),
                    });
                }
                Some(SampleEntry::Mp4a(mp4a)) => {
                    let decoder = &mp4a.esds_box.es.dec_config_descr;
                    let specific = decoder.dec_specific_info.as_ref().unwrap();
                    tracks[1] = Some(TrackConfig::Audio {
                        sample_rate: mp4a.audio.samplerate.integer.into(),
                        channels: mp4a.audio.channelcount,
                        bitrate: decoder.avg_bitrate,
                        decoder_config: Bytes::copy_from_slice(&specific.payload),
                    });
                }
                _ => {}
            }
            let nanos = |units: u64| {
                let scale = u128::from(found.track.timescale.get());
                i64::try_from(u128::from(units) * 1_000_000_000 / scale).unwrap()
            };
            let at = Timestamp(nanos(found.timestamp));
            lengths[track] = nanos(found.timestamp + u64::from(found.duration));
            let start = usize::try_from(found.data_offset).unwrap();
            samples[track].push(Sample {
                track: if track == 0 { Track::Video } else { Track::Audio },
                presentation: at,
                decode: at,
                sync: found.keyframe,
                data: Bytes::copy_from_slice(&file[start..start + found.data_size]),
            });
        }
        let mut samples = samples.into_iter();
        let mut lengths = lengths.into_iter();
        let tracks = tracks.map(|config| TrackSamples {
            config: config.expect("a film has picture and sound"),
            samples: samples.next().unwrap(),
            length: lengths.next().unwrap(),
        });
        Self { tracks }
    }
}

impl TrackSamples {
    /// The sample of this number, counted over all showings.
    fn at(&self, number: usize) -> Sample {
        let (showing, index) = (number / self.samples.len(), number % self.samples.len());
        let mut sample = self.samples[index].clone();
        let later = i64::try_from(showing).unwrap() * self.length;
        sample.presentation.0 += later;
        sample.decode.0 += later;
        sample
    }
}
