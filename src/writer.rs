//! The one task through which all media passes after the capture: it owns the
//! muxer and the upload, and nothing else touches either.
//!
//! It ends by itself: the end of the media closes its channel, and then it
//! closes the file and completes the upload. It reports events and must not
//! know what follows from them.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::capture::Media;
use crate::error::chain;
use crate::events::{Event, Failure, Stage};
use crate::media::{Sample, Timestamp, Track, TrackConfig};
use crate::mp4::{self, Muxer};
use crate::secret::scrub;
use crate::upload::plan::Head;
use crate::upload::store::{Completed, PartStore};
use crate::upload::{Left, Progress, Uploader};

/// The running writer.
#[derive(Debug)]
pub struct Writer {
    let_go: oneshot::Sender<LetGo>,
    task: JoinHandle<Written>,
    length: watch::Receiver<Length>,
    progress: watch::Receiver<Progress>,
}

/// How much is in the file so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Length {
    /// The first picture's time on the capture's clock.
    pub origin: Option<Timestamp>,
    /// From the first picture to the latest one.
    pub media: Duration,
    pub video_samples: u64,
    pub audio_samples: u64,
}

/// What becomes of an upload that will not be completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LetGo {
    /// Its parts hold media.
    Leave,
    /// It holds nothing.
    Abort,
}

/// What the writer leaves behind.
#[derive(Debug, Default)]
pub struct Written {
    /// The object, if it was completed.
    pub completed: Option<Completed>,
    /// Where the parts are, if it was not.
    pub left: Option<Left>,
}

impl Writer {
    /// Writes what comes out of `media` into `upload`. `created_unix` is the
    /// file's creation time, in seconds since 1970.
    pub fn start<S: PartStore>(
        media: mpsc::Receiver<Media>,
        upload: Uploader<S>,
        created_unix: u64,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let progress = upload.progress();
        let (let_go, gone) = oneshot::channel();
        let (sender, length) = watch::channel(Length::default());
        let file = File {
            created_unix,
            events: events.clone(),
            length: sender,
            begun: None,
            waiting: Tracks::default(),
        };
        let task = tokio::spawn(write(file, media, upload, events, gone));
        Self { let_go, task, length, progress }
    }

    pub fn length(&self) -> Length {
        *self.length.borrow()
    }

    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Sends nothing more and leaves the upload open, unless it is completed.
    pub async fn leave(self) -> Written {
        self.let_go(LetGo::Leave).await
    }

    /// Removes the upload, in which nothing is worth keeping.
    pub async fn abort(self) -> Written {
        self.let_go(LetGo::Abort).await
    }

    async fn let_go(self, how: LetGo) -> Written {
        // It may have ended by itself in the meantime.
        let _ = self.let_go.send(how);
        joined(self.task.await)
    }
}

fn joined(written: Result<Written, tokio::task::JoinError>) -> Written {
    match written {
        Ok(written) => written,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // Only a runtime that shuts down cancels the task.
        Err(_) => Written::default(),
    }
}

async fn write<S: PartStore>(
    mut file: File,
    mut media: mpsc::Receiver<Media>,
    mut upload: Uploader<S>,
    events: mpsc::UnboundedSender<Event>,
    mut gone: oneshot::Receiver<LetGo>,
) -> Written {
    let tell = |event| {
        // Nobody listens any more once the recording is over.
        let _ = events.send(event);
    };
    let fail = |error: &crate::upload::Error| {
        tell(Event::Failed(Failure::new(Stage::Upload, scrub(&chain(error)))));
    };
    loop {
        let next = tokio::select! {
            biased;
            how = &mut gone => return let_go(upload, how, file.tail()).await,
            next = media.recv() => next,
        };
        let Some(next) = next else { break };
        let bytes = match file.take(next) {
            Ok(bytes) if bytes.is_empty() => continue,
            Ok(bytes) => bytes,
            Err(failure) => {
                // What is in the file so far is good: it is closed and completed.
                tell(Event::Failed(failure));
                break;
            }
        };
        tokio::select! {
            biased;
            how = &mut gone => return let_go(upload, how, file.tail()).await,
            put = upload.put(bytes) => if let Err(error) = put {
                fail(&error);
                return let_go(upload, Ok(LetGo::Leave), file.tail()).await;
            },
        }
    }
    // An encoder that still runs finds nobody to take its samples, and stops.
    drop(media);
    tell(Event::EndOfStream);
    let Some(Ending { tail, head }) = file.finish() else {
        // Without a picture there is no file, and whoever decides will say so.
        return let_go(upload, gone.await, vec![]).await;
    };
    let completed = tokio::select! {
        biased;
        _ = gone => None,
        completed = async {
            upload.put(tail).await?;
            upload.finish(head).await
        } => Some(completed),
    };
    match completed {
        Some(Ok(completed)) => {
            tell(Event::UploadCompleted);
            return Written { completed, left: None };
        }
        Some(Err(error)) => fail(&error),
        None => {}
    }
    let_go(upload, Ok(LetGo::Leave), vec![]).await
}

async fn let_go<S: PartStore>(
    mut upload: Uploader<S>,
    how: Result<LetGo, oneshot::error::RecvError>,
    tail: Vec<Bytes>,
) -> Written {
    match how {
        Ok(LetGo::Abort) => match upload.abort().await {
            Ok(()) => return Written::default(),
            Err(error) => {
                tracing::warn!(error = scrub(&chain(&error)), "an empty upload stays open");
            }
        },
        // Media is never thrown away because nobody was left to ask.
        Ok(LetGo::Leave) | Err(_) => {}
    }
    Written { completed: None, left: Some(upload.abandon(tail).await) }
}

/// The file as it grows.
#[derive(Debug)]
struct File {
    created_unix: u64,
    events: mpsc::UnboundedSender<Event>,
    length: watch::Sender<Length>,
    begun: Option<Begun>,
    waiting: Tracks,
}

/// A file with its first picture.
#[derive(Debug)]
struct Begun {
    muxer: Muxer,
    origin: Timestamp,
}

/// What is known before the first picture, with which the file begins.
#[derive(Debug, Default)]
struct Tracks {
    video: Option<TrackConfig>,
    audio: Option<TrackConfig>,
    /// All of it: it comes once the film is on, and the first picture of that when the
    /// encoder has looked ahead. What begins before the picture is dropped by the muxer.
    sound: Vec<Sample>,
}

impl File {
    /// Takes what comes next and returns what is to be appended to the object.
    fn take(&mut self, media: Media) -> Result<Vec<Bytes>, Failure> {
        let bytes = match (media, &mut self.begun) {
            (Media::Track(config), _) => {
                match config.track() {
                    Track::Video => self.waiting.video = Some(config),
                    Track::Audio => self.waiting.audio = Some(config),
                }
                return Ok(vec![]);
            }
            (Media::Sample(sample), Some(begun)) => {
                self.length.send_modify(|length| length.count(&sample, begun.origin));
                begun.muxer.push(sample)
            }
            (Media::Sample(sample), None) if sample.track == Track::Audio => {
                self.waiting.sound.push(sample);
                return Ok(vec![]);
            }
            (Media::Sample(sample), None) => self.begin(sample),
        };
        bytes.map_err(|error| Failure::new(Stage::Mux, chain(&error)))
    }

    /// Begins the file with the first picture, whose time becomes zero.
    fn begin(&mut self, first: Sample) -> Result<Vec<Bytes>, mp4::Error> {
        let Tracks { video, audio, sound } = std::mem::take(&mut self.waiting);
        let origin = first.presentation;
        let (mut muxer, head) = Muxer::new(mp4::Config {
            video: video.expect("the capture describes a track before its samples"),
            audio: audio.expect("the capture describes its sound before anything else"),
            fragment: mp4::FRAGMENT,
            created_unix: self.created_unix,
            origin,
        })?;
        let samples: Vec<_> = sound.into_iter().chain([first]).collect();
        for sample in &samples {
            self.length.send_modify(|length| length.count(sample, origin));
        }
        // Whoever hears it asks for the origin. The recording is over when nobody
        // listens any more.
        let _ = self.events.send(Event::CaptureStarted);
        let mut bytes = vec![head];
        for sample in samples {
            bytes.append(&mut muxer.push(sample)?);
        }
        self.begun = Some(Begun { muxer, origin });
        Ok(bytes)
    }

    /// What is missing at the end of a file that will not be finished.
    fn tail(self) -> Vec<Bytes> {
        self.finish().map(|ending| ending.tail).unwrap_or_default()
    }

    /// The end of the file, or nothing if it never began.
    fn finish(self) -> Option<Ending> {
        let mp4::Finished { tail, index } = self.begun?.muxer.finish();
        let replaces = usize::try_from(index.header_bytes).expect("a header is small");
        let head = mp4::plain_head(&index).map(|head| Head { bytes: head.into(), replaces });
        Some(Ending { tail, head })
    }
}

/// What ends a file: its last bytes, and its first ones once more.
#[derive(Debug)]
struct Ending {
    tail: Vec<Bytes>,
    head: Option<Head>,
}

impl Length {
    fn count(&mut self, sample: &Sample, origin: Timestamp) {
        match sample.track {
            Track::Audio => self.audio_samples += 1,
            Track::Video => {
                self.video_samples += 1;
                self.origin = Some(origin);
                let nanos = u64::try_from(sample.presentation.0 - origin.0).unwrap_or(0);
                self.media = Duration::from_nanos(nanos);
            }
        }
    }
}
