//! Bars side by side, as SVG: figures of several recorders for each workload.
//!
//! Pure: numbers in, text out.

use std::fmt::Write as _;

/// Of each recorder, in their order.
const COLOURS: [&str; 6] = ["#1f6feb", "#8b949e", "#b08800", "#bf3989", "#2da44e", "#6e40c9"];

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 56.0;
const BOTTOM: f64 = 44.0;
/// Part of a group's width that stays empty.
const GAP: f64 = 0.25;

/// One figure of all recorders for all workloads.
#[derive(Clone, Debug)]
pub struct Plot<'a> {
    pub title: &'a str,
    pub recorders: &'a [&'a str],
    /// Name of each workload, and a value for each recorder where there is one.
    pub workloads: &'a [(&'a str, Vec<Option<f64>>)],
    /// A line to be under or over.
    pub goal: Option<f64>,
}

impl Plot<'_> {
    pub fn svg(&self) -> String {
        let values = self.workloads.iter().flat_map(|(_, values)| values.iter().flatten());
        let highest = values.copied().chain(self.goal).fold(0.0, f64::max);
        let top = nice(highest);
        let (plot_width, plot_height) = (WIDTH - LEFT - 12.0, HEIGHT - TOP - BOTTOM);
        let y_of = |value: f64| TOP + plot_height * (1.0 - value / top);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" font-size=\"15\">{}</text>\n",
            escaped(self.title)
        );
        for (index, name) in self.recorders.iter().enumerate() {
            let x = LEFT + 150.0 * to_f64(index);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"30\" width=\"12\" height=\"12\" fill=\"{}\"/>\
                 <text x=\"{}\" y=\"40\">{}</text>",
                COLOURS[index % COLOURS.len()],
                x + 17.0,
                escaped(name)
            );
        }
        for step in 0..=4 {
            let value = top * f64::from(step) / 4.0;
            let y = y_of(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                WIDTH - 12.0,
                LEFT - 6.0,
                y + 4.0,
                label(value)
            );
        }
        let group = plot_width / to_f64(self.workloads.len().max(1));
        let bar = group * (1.0 - GAP) / to_f64(self.recorders.len().max(1));
        for (place, (name, values)) in self.workloads.iter().enumerate() {
            let start = LEFT + group * (to_f64(place) + GAP / 2.0);
            for (index, value) in values.iter().enumerate() {
                let Some(value) = *value else { continue };
                let (x, y) = (start + bar * to_f64(index), y_of(value));
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                     fill=\"{}\"><title>{}: {}</title></rect>",
                    bar - 1.0,
                    TOP + plot_height - y,
                    COLOURS[index % COLOURS.len()],
                    escaped(self.recorders.get(index).copied().unwrap_or_default()),
                    label(value)
                );
            }
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                LEFT + group * (to_f64(place) + 0.5),
                HEIGHT - BOTTOM + 18.0,
                escaped(name)
            );
        }
        if let Some(goal) = self.goal {
            let y = y_of(goal);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#cf222e\" \
                 stroke-dasharray=\"5 4\"/>",
                WIDTH - 12.0
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// The next of 1, 2, 3, 4, 5, 6, 8 and 10 times a power of ten.
pub(crate) fn nice(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * power >= value * (1.0 - 1e-9));
    step.unwrap_or(10.0) * power
}

pub(crate) fn label(value: f64) -> String {
    let decimals = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[expect(clippy::cast_precision_loss, reason = "a handful")]
fn to_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_high_as_their_values() {
        let workloads = [("a < b", vec![Some(2.0), Some(1.0)]), ("c", vec![None, Some(0.5)])];
        let plot = Plot {
            title: "cores",
            recorders: &["ours", "theirs"],
            workloads: &workloads,
            goal: Some(1.5),
        };
        let svg = plot.svg();
        let full = HEIGHT - TOP - BOTTOM;
        for height in [full, full / 2.0, full / 4.0] {
            assert!(svg.contains(&format!("height=\"{height:.1}\"")), "{height} of {svg}");
        }
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("a &lt; b") && svg.contains("stroke-dasharray"));
    }

    #[test]
    fn the_top_is_a_round_number_and_labels_have_no_empty_decimals() {
        for (value, expected) in [(0.0, 1.0), (0.71, 0.8), (1.0, 1.0), (29.9, 30.0), (450.0, 500.0)]
        {
            assert!((nice(value) - expected).abs() < 1e-9, "{value}");
        }
        for (value, expected) in
            [(0.0, "0"), (0.5, "0.5"), (1.25, "1.25"), (30.0, "30"), (250.0, "250")]
        {
            assert_eq!(label(value), expected);
        }
    }
}
