//! Who spoke when as WebVTT chapters, which players show on their time line.
//!
//! Pure. Names come from strangers: nothing in them may end a cue or become
//! markup.

use std::fmt::Write;

use super::minutes::Chapter;

/// The content type of the file.
pub const CONTENT_TYPE: &str = "text/vtt";

/// The file, with one cue for each chapter.
#[must_use]
pub fn webvtt(chapters: &[Chapter]) -> String {
    let mut text = String::from("WEBVTT\n");
    for chapter in chapters {
        let (from, to) = (timestamp(chapter.from_seconds), timestamp(chapter.to_seconds));
        let name = escaped(&chapter.name);
        write!(text, "\n{from} --> {to}\n{name}\n").expect("a string takes everything");
    }
    text
}

/// `HH:MM:SS.mmm`.
fn timestamp(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a recording is not negative and lasts less than 2^53 ms"
    )]
    let millis = (seconds * 1000.0).round() as u64;
    let (seconds, millis) = (millis / 1000, millis % 1000);
    format!("{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// One line without markup. An empty line would end the cue.
fn escaped(name: &str) -> String {
    let mut line = String::with_capacity(name.len());
    for c in name.chars() {
        match c {
            '&' => line.push_str("&amp;"),
            '<' => line.push_str("&lt;"),
            '>' => line.push_str("&gt;"),
            c if c.is_control() => line.push(' '),
            c => line.push(c),
        }
    }
    if line.trim().is_empty() { "?".into() } else { line.trim().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chapter(name: &str, from_seconds: f64, to_seconds: f64) -> Chapter {
        Chapter { name: name.into(), from_seconds, to_seconds }
    }

    #[test]
    fn each_chapter_is_a_cue() {
        let text = webvtt(&[chapter("Alice", 0.0, 4.25), chapter("Bob", 4.25, 3725.001)]);
        assert_eq!(
            text,
            "WEBVTT\n\n00:00:00.000 --> 00:00:04.250\nAlice\n\
             \n00:00:04.250 --> 01:02:05.001\nBob\n"
        );
        assert_eq!(webvtt(&[]), "WEBVTT\n");
    }

    #[test]
    fn a_name_stays_a_name() {
        for (name, expected) in [
            ("<b>Bob</b> & co", "&lt;b&gt;Bob&lt;/b&gt; &amp; co"),
            ("A\n\n00:00 --> 00:01\nB", "A  00:00 --&gt; 00:01 B"),
            (" \n", "?"),
        ] {
            assert_eq!(escaped(name), expected);
        }
    }
}
