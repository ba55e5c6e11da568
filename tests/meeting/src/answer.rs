//! Rewrites the SDP answer so that the SDK recognises each tile.
//!
//! Pure text. The SDK knows a received video by the stream id of its msid, which
//! has to be `v_` and the section's mid; with any other it rebuilds all tiles at
//! every change.

/// A video section of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) mid: String,
    pub(crate) ssrc: Option<u32>,
    pub(crate) label: String,
}

/// The answer with its labels, and its video sections in order.
pub(crate) fn labelled(answer: &str) -> (String, Vec<Section>) {
    let mut text = String::with_capacity(answer.len() * 2);
    let mut sections = Vec::new();
    for section in sections_of(answer) {
        let is_video = section.starts_with("m=video");
        let mid = section.lines().find_map(|line| line.strip_prefix("a=mid:")).unwrap_or_default();
        let label = format!("{}_{mid}", if is_video { "v" } else { "a" });
        let mut ssrc = None;
        for line in section.lines() {
            let number = line.strip_prefix("a=ssrc:").and_then(|rest| rest.split(' ').next());
            ssrc = ssrc.or_else(|| number.and_then(|number| number.parse().ok()));
            if line.starts_with("a=msid:") {
                text.extend(["a=msid:", &label, " ", &label]);
            } else if let Some(number) = number.filter(|_| line.contains(" msid:")) {
                text.extend(["a=ssrc:", number, " msid:", &label, " ", &label]);
            } else {
                text.push_str(line);
            }
            text.push_str("\r\n");
        }
        if is_video {
            sections.push(Section { mid: mid.into(), ssrc, label });
        }
    }
    (text, sections)
}

/// The part before the first `m=` line, and each part that starts with one.
fn sections_of(text: &str) -> Vec<&str> {
    let mut starts: Vec<usize> =
        text.match_indices("\nm=").map(|(newline, _)| newline + 1).collect();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(start, end)| &text[*start..end]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_section_gets_the_label_of_its_mid() {
        let answer = "v=0\r\no=m=x\r\nm=audio 9 X 109\r\na=mid:0\r\na=msid:x y\r\n\
            m=video 9 X 120\r\na=mid:7\r\na=msid:x y\r\na=ssrc:42 cname:c\r\n\
            a=ssrc:42 msid:x y\r\nm=video 0 X 0\r\na=mid:3\r\n";
        let (text, sections) = labelled(answer);
        assert_eq!(
            text,
            "v=0\r\no=m=x\r\nm=audio 9 X 109\r\na=mid:0\r\na=msid:a_0 a_0\r\n\
            m=video 9 X 120\r\na=mid:7\r\na=msid:v_7 v_7\r\na=ssrc:42 cname:c\r\n\
            a=ssrc:42 msid:v_7 v_7\r\nm=video 0 X 0\r\na=mid:3\r\n"
        );
        let section =
            |mid: &str, ssrc| Section { mid: mid.into(), ssrc, label: format!("v_{mid}") };
        assert_eq!(sections, [section("7", Some(42)), section("3", None)]);
    }
}
