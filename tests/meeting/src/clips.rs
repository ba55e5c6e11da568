//! The pictures of synthetic participants, encoded once and kept: VP8 in IVF
//! files, made by GStreamer when they are first needed.
//!
//! A clip loops without a seam, numbers its frames from 0, and has a key frame
//! every sixth of a second (a screen: each frame), so that a tile that starts is
//! there soon.
//! Calls block. It must not know meetings.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use gstreamer as gst;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;

use crate::painter::{self, Canvas};
pub use crate::room::{Layer, Picture};

/// Grows when the pictures change: old files are not looked at any more.
const VERSION: u32 = 2;

/// Length of every loop.
const SECONDS: u32 = 8;

/// The slides of the shared screen, and how long each is shown.
const SLIDES: [(&str, &str); 4] = [
    ("Quarterly review", "1. What we promised\n2. What we did\n3. What comes next"),
    (
        "What we promised",
        "No call is lost\nPicture and sound stay together\nOne file, ready at once",
    ),
    (
        "What we did",
        "9,412 calls answered\n97 % within twenty seconds\nOne complaint about the coffee",
    ),
    ("What comes next", "Shorter queues\nBetter coffee\nQuestions?"),
];
const SLIDE_SECONDS: u32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("GStreamer cannot encode the pictures of the test meeting")]
    Encode(#[from] gst::glib::Error),
    #[error("GStreamer lacks an element that the test meeting needs")]
    Missing(#[from] gst::glib::BoolError),
    #[error("GStreamer ended before all pictures of the test meeting were encoded")]
    Short,
    #[error("the pictures of the test meeting cannot be kept in {path:?}")]
    Keep { path: PathBuf, source: io::Error },
}

/// A loop of encoded frames.
#[derive(Debug)]
pub struct Clip {
    pub fps: u32,
    pub frames: Vec<Bytes>,
}

impl Clip {
    pub fn is_key(frame: &[u8]) -> bool {
        frame.first().is_some_and(|byte| byte & 1 == 0)
    }

    /// The frame for the one with this number of an endless film.
    pub fn frame(&self, number: u64) -> &Bytes {
        let count = self.frames.len() as u64;
        &self.frames[usize::try_from(number % count).expect("less than the frames in memory")]
    }
}

/// The clips in one folder.
#[derive(Debug)]
pub struct Library {
    folder: PathBuf,
}

impl Library {
    pub fn open(folder: PathBuf) -> Result<Self, Error> {
        std::fs::create_dir_all(&folder)
            .map_err(|source| Error::Keep { path: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// The clip of a picture, from its file where there is a whole one.
    pub fn clip(&self, picture: Picture) -> Result<Arc<Clip>, Error> {
        let fps = fps(picture);
        let count = (fps * SECONDS) as usize;
        let path = self.folder.join(file_name(picture));
        if let Some(frames) = std::fs::read(&path).ok().and_then(|file| frames_of(&file.into()))
            && frames.len() == count
        {
            return Ok(Arc::new(Clip { fps, frames }));
        }
        tracing::info!(?picture, "encoding a clip");
        let frames = encode(picture, fps)?;
        if frames.len() != count {
            return Err(Error::Short);
        }
        keep(&path, picture, fps, &frames)
            .map_err(|source| Error::Keep { path: path.clone(), source })?;
        Ok(Arc::new(Clip { fps, frames }))
    }
}

fn fps(picture: Picture) -> u32 {
    match picture {
        Picture::Camera { .. } => 30,
        Picture::Share => 5,
    }
}

fn file_name(picture: Picture) -> String {
    match picture {
        Picture::Camera { look, layer } => {
            format!("v{VERSION}-camera-{look}-{}.ivf", layer.shape().1)
        }
        Picture::Share => format!("v{VERSION}-share.ivf"),
    }
}

/// Paints and encodes the loop.
fn encode(picture: Picture, fps: u32) -> Result<Vec<Bytes>, Error> {
    gst::init()?;
    let (width, height, kbps) = picture.shape();
    let slides = if picture == Picture::Share { slides(width, height)? } else { Vec::new() };
    let keys = (fps / 6).max(1);
    let pipeline = gst::parse::launch(&format!(
        "appsrc name=in format=time is-live=false block=true max-bytes=8000000 \
         caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1 \
         ! vp8enc deadline=1 cpu-used=8 threads=1 target-bitrate={} keyframe-max-dist={keys} \
           lag-in-frames=0 \
         ! appsink name=out sync=false max-buffers=0",
        kbps * 1000
    ))?;
    let pipeline = pipeline.downcast::<gst::Pipeline>().expect("two elements make a pipeline");
    let (source, sink) = (element::<gst_app::AppSrc>(&pipeline, "in"), sink_of(&pipeline));
    pipeline.set_state(gst::State::Playing).map_err(|_| Error::Short)?;
    let mut frames = Vec::new();
    for number in 0..fps * SECONDS {
        let mut canvas = Canvas::new(width, height);
        match picture {
            Picture::Camera { look, .. } => painter::camera(&mut canvas, look, number, fps),
            Picture::Share => {
                let slide = (number / fps / SLIDE_SECONDS) as usize % slides.len();
                canvas.bytes.copy_from_slice(&slides[slide]);
                canvas.mark(number, fps);
            }
        }
        let mut buffer = gst::Buffer::from_mut_slice(canvas.bytes);
        let time = gst::ClockTime::SECOND * u64::from(number) / u64::from(fps);
        buffer.get_mut().expect("a fresh buffer has one owner").set_pts(time);
        if source.push_buffer(buffer).is_err() {
            break;
        }
        while let Some(sample) = sink.try_pull_sample(gst::ClockTime::ZERO) {
            frames.push(bytes_of(&sample));
        }
    }
    let _ = source.end_of_stream();
    while let Ok(sample) = sink.pull_sample() {
        frames.push(bytes_of(&sample));
    }
    let _ = pipeline.set_state(gst::State::Null);
    Ok(frames)
}

/// The slides without their marks, as I420.
fn slides(width: u32, height: u32) -> Result<Vec<Vec<u8>>, Error> {
    gst::init()?;
    SLIDES
        .iter()
        .map(|(title, text)| {
            let pipeline = gst::parse::launch(&format!(
                "videotestsrc pattern=white num-buffers=1 \
                 ! video/x-raw,format=I420,width={width},height={height} \
                 ! textoverlay name=title font-desc=\"Sans Bold 36\" color=0xff203050 \
                   draw-outline=false draw-shadow=false halignment=left valignment=top \
                   xpad=120 ypad=160 \
                 ! textoverlay name=text font-desc=\"Sans 28\" color=0xff303030 \
                   draw-outline=false draw-shadow=false halignment=left valignment=top \
                   line-alignment=left xpad=120 ypad=340 \
                 ! appsink name=out sync=false"
            ))?;
            let pipeline = pipeline.downcast::<gst::Pipeline>().expect("elements in a pipeline");
            for (name, value) in [("title", title), ("text", text)] {
                element::<gst::Element>(&pipeline, name).set_property("text", value);
            }
            pipeline.set_state(gst::State::Playing).map_err(|_| Error::Short)?;
            let sample = sink_of(&pipeline).pull_sample();
            let _ = pipeline.set_state(gst::State::Null);
            Ok(bytes_of(&sample?).to_vec())
        })
        .collect()
}

fn element<T: IsA<gst::Element>>(pipeline: &gst::Pipeline, name: &str) -> T {
    let element = pipeline.by_name(name).and_then(|element| element.downcast().ok());
    element.expect("the pipeline was written with it")
}

fn sink_of(pipeline: &gst::Pipeline) -> gst_app::AppSink {
    element(pipeline, "out")
}

fn bytes_of(sample: &gst::Sample) -> Bytes {
    let map = sample.buffer().and_then(|buffer| buffer.map_readable().ok());
    map.map(|map| Bytes::copy_from_slice(&map)).unwrap_or_default()
}

/// Under another name first, so that no other process finds half a file.
fn keep(path: &Path, picture: Picture, fps: u32, frames: &[Bytes]) -> io::Result<()> {
    let (width, height, _) = picture.shape();
    let short = |value: u32| u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    let mut file = Vec::new();
    file.extend(b"DKIF\0\0\x20\0VP80");
    file.extend(short(width));
    file.extend(short(height));
    file.extend(fps.to_le_bytes());
    file.extend(1u32.to_le_bytes());
    file.extend(count.to_le_bytes());
    file.extend([0; 4]);
    for (number, frame) in (0u64..).zip(frames) {
        file.extend(u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes());
        file.extend(number.to_le_bytes());
        file.extend(frame);
    }
    let partial = path.with_extension(format!("{}.{}", std::process::id(), fastrand::u32(..)));
    std::fs::write(&partial, file)?;
    std::fs::rename(partial, path)
}

/// The frames of an IVF file, or `None` if it is damaged.
fn frames_of(file: &Bytes) -> Option<Vec<Bytes>> {
    file.get(..4).filter(|magic| *magic == b"DKIF")?;
    let (mut at, mut frames) = (32, Vec::new());
    while at < file.len() {
        let length = u32::from_le_bytes(file.get(at..at + 4)?.try_into().ok()?);
        let (from, to) = (at + 12, at + 12 + usize::try_from(length).ok()?);
        file.get(from..to)?;
        frames.push(file.slice(from..to));
        at = to;
    }
    Some(frames)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOW: Picture = Picture::Camera { look: 2, layer: Layer::Low };

    #[test]
    fn a_clip_is_made_once_and_again_when_it_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let library = Library::open(folder.path().join("clips")).unwrap();
        let clip = library.clip(LOW).unwrap();
        assert_eq!((clip.fps, clip.frames.len()), (30, 240));
        let keys: Vec<_> = (0..240).filter(|n| Clip::is_key(&clip.frames[*n])).collect();
        assert_eq!(keys[0], 0);
        let widest = keys.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(widest <= 5, "{widest} frames without a key frame");
        assert_eq!(clip.frame(240), clip.frame(0));

        let path = folder.path().join("clips").join(file_name(LOW));
        let whole = std::fs::read(&path).unwrap();
        let age = path.metadata().unwrap().modified().unwrap();
        assert_eq!(library.clip(LOW).unwrap().frames, clip.frames);
        assert_eq!(path.metadata().unwrap().modified().unwrap(), age, "it was not made again");

        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert_eq!(library.clip(LOW).unwrap().frames.len(), 240);
        assert_eq!(std::fs::read_dir(folder.path().join("clips")).unwrap().count(), 1);
    }

    #[test]
    fn the_shared_screen_shows_its_slides() {
        let slides = slides(640, 360).unwrap();
        assert_eq!(slides.len(), SLIDES.len());
        for slide in &slides {
            let dark = slide[..640 * 360].iter().filter(|luma| **luma < 100).count();
            assert!(dark > 500, "{dark} dark pixels are no text");
        }
    }
}
