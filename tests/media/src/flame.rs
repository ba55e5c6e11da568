//! What happened when, as SVG: a bar for each phase of a start, one below the other.
//!
//! Pure: numbers in, text out.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::plot::{escaped, label, nice};

const WIDTH: f64 = 900.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 60.0;
const TOP: f64 = 44.0;
const ROW: f64 = 24.0;

/// Seconds from the start of the process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub from_seconds: f64,
    pub to_seconds: f64,
}

/// A line in the chart.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    pub name: &'a str,
    pub seconds: f64,
}

pub fn chart(title: &str, phases: &[Phase], marks: &[Mark<'_>]) -> String {
    let ends = phases.iter().map(|phase| phase.to_seconds);
    let last = ends.chain(marks.iter().map(|mark| mark.seconds)).fold(0.0, f64::max);
    let length = nice(last);
    let rows = u32::try_from(phases.len()).map_or(0.0, f64::from);
    let bottom = TOP + ROW * rows;
    let x_of = |seconds: f64| LEFT + (WIDTH - LEFT - RIGHT) * seconds / length;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"8\" y=\"20\" font-size=\"15\">{}</text>\n",
        bottom + 44.0,
        escaped(title)
    );
    for step in 0..=4 {
        let seconds = length * f64::from(step) / 4.0;
        let x = x_of(seconds);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{} s</text>",
            bottom + 16.0,
            label(seconds)
        );
    }
    let mut y = TOP;
    for Phase { name, from_seconds, to_seconds } in phases {
        let (from, to) = (x_of(*from_seconds), x_of(*to_seconds));
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{from:.1}\" y=\"{}\" width=\"{:.1}\" height=\"{}\" fill=\"#1f6feb\"/>\
             <text x=\"{:.1}\" y=\"{}\">{:.0} ms</text>",
            LEFT - 8.0,
            y + 16.0,
            escaped(name),
            y + 3.0,
            (to - from).max(1.0),
            ROW - 6.0,
            to + 5.0,
            y + 16.0,
            (to_seconds - from_seconds) * 1000.0
        );
        y += ROW;
    }
    for Mark { name, seconds } in marks {
        let x = x_of(*seconds);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"#cf222e\" \
             stroke-dasharray=\"5 4\"/>\
             <text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\" fill=\"#cf222e\">{}: {seconds:.2} s</text>",
            TOP - 4.0,
            bottom + 34.0,
            escaped(name)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_lie_where_their_phases_were() {
        let phase = |name: &str, from_seconds, to_seconds| Phase {
            name: name.into(),
            from_seconds,
            to_seconds,
        };
        let phases = [phase("a < b", 0.0, 1.0), phase("c", 1.0, 1.5)];
        let svg = chart("start", &phases, &[Mark { name: "ready", seconds: 2.0 }]);
        let full = WIDTH - LEFT - RIGHT;
        for bar in [
            format!("x=\"{LEFT:.1}\" y=\"{}\" width=\"{:.1}\"", TOP + 3.0, full / 2.0),
            format!(
                "x=\"{:.1}\" y=\"{}\" width=\"{:.1}\"",
                LEFT + full / 2.0,
                TOP + ROW + 3.0,
                full / 4.0
            ),
            format!("<line x1=\"{:.1}\" x2", LEFT + full),
        ] {
            assert!(svg.contains(&bar), "{bar} in {svg}");
        }
        assert!(svg.contains("a &lt; b") && svg.contains("1000 ms") && svg.contains("500 ms"));
        assert!(svg.contains("ready: 2.00 s"));
    }
}
