//! What is recorded: pages like calls, with marked clips in them.
//!
//! The marks of one clip are read from the recording; where it is on the page is the
//! workload's [`Region`]. It must not know who records.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::clip::{ClipError, ClipSpec, cached_clip};
use crate::observation::Region;
use crate::page::{self, PLAYING};

/// Seconds after which a slide gives way to the next.
const SLIDE_SECONDS: u32 = 5;
const SLIDES: u32 = 12;
/// Lines of the document that scrolls, and seconds for all of it.
const LINES: u32 = 400;
const SCROLL_SECONDS: u32 = 120;
/// A shared screen takes this much of the width; people are beside it.
const SHARED: (u32, u32) = (3, 4);
/// People beside a shared screen, one above the other.
const BESIDE: u32 = 4;

/// Where the first of four people is in the page of a meeting.
const FIRST_PERSON: Region = Region { x: 26, y: 12, width: 928, height: 522 };
const FIRST_PERSON_720: Region = Region { x: 26, y: 12, width: 608, height: 342 };

/// People in the meeting.
pub const PEOPLE: u32 = 4;

/// A page to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Four synthetic people in a meeting, in the page that joins it.
    Meeting,
    /// One clip, full screen.
    Clip,
    #[value(name = "tiles4")]
    Tiles4,
    #[value(name = "tiles9")]
    Tiles9,
    #[value(name = "tiles16")]
    Tiles16,
    /// A shared screen with slides, and four people beside it.
    Slides,
    /// A shared screen that scrolls, and four people beside it.
    Scroll,
    /// A shared screen at rest, and nobody.
    Rest,
}

impl Workload {
    pub fn name(self) -> &'static str {
        match self {
            Self::Meeting => "a meeting of 4",
            Self::Clip => "one clip, full screen",
            Self::Tiles4 => "4 tiles",
            Self::Tiles9 => "9 tiles",
            Self::Tiles16 => "16 tiles",
            Self::Slides => "slides and 4 tiles",
            Self::Scroll => "scrolling and 4 tiles",
            Self::Rest => "nothing moves",
        }
    }

    /// Columns of a grid of tiles.
    fn columns(self) -> Option<u32> {
        match self {
            Self::Clip => Some(1),
            Self::Tiles4 => Some(2),
            Self::Tiles9 => Some(3),
            Self::Tiles16 => Some(4),
            Self::Meeting | Self::Slides | Self::Scroll | Self::Rest => None,
        }
    }

    /// Where the first clip is; `None` if there is none.
    pub fn region(self, width: u32, height: u32) -> Option<Region> {
        let even = |length: u32| length & !1;
        match (self, self.columns()) {
            (_, Some(columns)) => Some(Region {
                x: 0,
                y: 0,
                width: even(width / columns),
                height: even(height / columns),
            }),
            (Self::Rest, None) => None,
            // As the page lays them out.
            (Self::Meeting, None) => match (width, height) {
                (1920, 1080) => Some(FIRST_PERSON),
                (1280, 720) => Some(FIRST_PERSON_720),
                _ => None,
            },
            (_, None) => {
                let x = even(width * SHARED.0 / SHARED.1);
                Some(Region { x, y: 0, width: even(width - x), height: even(height / BESIDE) })
            }
        }
    }

    /// Writes the page into `folder`, its clip beside it, and gives its file name.
    pub fn write(
        self,
        folder: &Path,
        size: (u32, u32),
        seconds: u32,
    ) -> Result<String, WriteError> {
        let region = self.region(size.0, size.1);
        let clip = self.clip(folder, size, seconds)?;
        if let (Self::Clip, Some(clip)) = (self, &clip) {
            return Ok(page::write_page(clip)?);
        }
        let clip = clip.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
        let name = format!("{self:?}.html").to_lowercase();
        std::fs::write(folder.join(&name), self.html(clip, region))?;
        Ok(name)
    }

    /// The clip of the page, made now if it is not there yet.
    pub fn clip(
        self,
        folder: &Path,
        (width, height): (u32, u32),
        seconds: u32,
    ) -> Result<Option<PathBuf>, ClipError> {
        // A meeting brings its own.
        let region = self.region(width, height).filter(|_| self != Self::Meeting);
        let clip = region.map(|Region { width, height, .. }| {
            cached_clip(folder, &ClipSpec { width, height, fps: 30, seconds })
        });
        clip.transpose()
    }

    fn html(self, clip: Option<&str>, region: Option<Region>) -> String {
        let clip = clip.unwrap_or_default();
        let region = region.unwrap_or(Region { x: 0, y: 0, width: 0, height: 0 });
        let tiles = match self.columns() {
            Some(columns) => columns * columns,
            None if self == Self::Rest => 0,
            None => BESIDE,
        };
        let mut body = String::new();
        if self.columns().is_none() {
            body.push_str(&self.shared());
        }
        for tile in 0..tiles {
            let columns = self.columns().unwrap_or(1);
            let (left, top) =
                (region.x + tile % columns * region.width, tile / columns * region.height);
            // Heard once, and told of once.
            let first = if tile == 0 {
                format!("onplaying=\"fetch('{PLAYING}')\"")
            } else {
                "muted".to_owned()
            };
            let Region { width, height, .. } = region;
            let _ = writeln!(
                body,
                "<video src=\"{clip}\" autoplay loop {first} style=\"left: {left}px; top: {top}px; \
                 width: {width}px; height: {height}px\"></video>"
            );
        }
        let loaded =
            if tiles == 0 { format!("<script>fetch('{PLAYING}')</script>") } else { String::new() };
        let share = SHARED.0 * 100 / SHARED.1;
        format!(
            r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{name}</title>
<style>
html, body {{ margin: 0; height: 100%; overflow: hidden; background: #14171c; cursor: none }}
video {{ position: absolute; display: block; object-fit: fill }}
.shared {{ position: absolute; left: 0; top: 0; width: {share}vw; height: 100vh;
  overflow: hidden; background: #fff; color: #222; font: 28px/1.6 sans-serif }}
.slide {{ position: absolute; inset: 0; padding: 8vh 5vw; visibility: hidden }}
.slide h1 {{ font-size: 72px; color: #123a6b }}
.document {{ padding: 4vh 4vw; animation: scroll {SCROLL_SECONDS}s linear infinite }}
@keyframes scroll {{ to {{ transform: translateY(calc(-100% + 100vh)) }} }}
</style>
{body}{loaded}
</html>
"#,
            name = self.name(),
        )
    }

    /// The shared screen.
    fn shared(self) -> String {
        if self == Self::Scroll {
            let mut lines = String::new();
            for line in 1..=LINES {
                let _ =
                    write!(lines, "<p>{line}. What was said is what was written down here.</p>");
            }
            return format!("<div class=shared><div class=document>{lines}</div></div>\n");
        }
        let mut slides = String::new();
        for slide in 1..=SLIDES {
            let points = "<li>A point that somebody makes</li>".repeat(3 + slide as usize % 4);
            let _ =
                write!(slides, "<div class=slide><h1>Slide {slide}</h1><ul>{points}</ul></div>");
        }
        let period = if self == Self::Rest { 0 } else { SLIDE_SECONDS * 1000 };
        format!(
            "<div class=shared>{slides}</div>\n<script>\n\
             const slides = document.querySelectorAll('.slide');\n\
             let shown = 0;\n\
             const show = (next) => {{\n\
               slides[shown].style.visibility = 'hidden';\n\
               slides[shown = next % slides.length].style.visibility = 'visible';\n\
             }};\n\
             show(0);\n\
             if ({period} > 0) setInterval(() => show(shown + 1), {period});\n\
             </script>\n"
        )
    }
}

/// The page could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error(transparent)]
    Clip(#[from] ClipError),
    #[error("the page cannot be written")]
    Page(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn clips_lie_within_the_page_and_the_page_shows_as_many_as_it_says() {
        for (workload, tiles) in [
            (Workload::Tiles4, 4),
            (Workload::Tiles9, 9),
            (Workload::Tiles16, 16),
            (Workload::Slides, 4),
            (Workload::Scroll, 4),
            (Workload::Rest, 0),
        ] {
            let region = workload.region(1920, 1080);
            let html = workload.html(Some("clip.webm"), region);
            assert_eq!(html.matches("<video").count(), tiles, "{workload:?}");
            assert_eq!(html.matches("/playing").count(), 1, "{workload:?}");
            if let Some(Region { x, y, width, height }) = region {
                assert!(x + width <= 1920 && y + height <= 1080, "{workload:?}");
                assert_eq!((width | height) & 1, 0, "{workload:?}");
            }
        }
        // One clip has the page that `clip` serves, and a meeting its own.
        assert_eq!(Workload::value_variants().len(), 8);
    }
}
