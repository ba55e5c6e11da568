//! Numbers for CloudWatch in its embedded metric format: one line of JSON on
//! stdout, which costs no call.

use std::io::Write as _;

use jiff::Timestamp;
use serde_json::{Value, json};

const NAMESPACE: &str = "VideoCallEscalation/Recording";

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Milliseconds,
}

/// One number. Names are in the plural where they count: `Starts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    pub name: &'static str,
    pub unit: Unit,
    pub value: f64,
}

impl Metric {
    pub fn count(name: &'static str, value: impl Into<f64>) -> Self {
        Self { name, unit: Unit::Count, value: value.into() }
    }

    pub fn milliseconds(name: &'static str, value: f64) -> Self {
        Self { name, unit: Unit::Milliseconds, value }
    }
}

/// Says the numbers. `reason` tells apart why there is one, such as that of a reject.
pub fn emit(function: &str, reason: Option<&str>, metrics: &[Metric], now: Timestamp) {
    if !metrics.is_empty() {
        let line = line(function, reason, metrics, now);
        // Nobody could be told that there is no stdout.
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn line(function: &str, reason: Option<&str>, metrics: &[Metric], now: Timestamp) -> Value {
    let definitions: Vec<_> = metrics
        .iter()
        .map(|metric| {
            let unit = match metric.unit {
                Unit::Count => "Count",
                Unit::Milliseconds => "Milliseconds",
            };
            json!({ "Name": metric.name, "Unit": unit })
        })
        .collect();
    let mut dimensions = vec!["function"];
    dimensions.extend(reason.map(|_| "reason"));
    let mut line = json!({
        "_aws": {
            "Timestamp": now.as_millisecond(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": definitions,
            }],
        },
        "function": function,
    });
    if let Some(reason) = reason {
        line["reason"] = reason.into();
    }
    for metric in metrics {
        line[metric.name] = metric.value.into();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_the_embedded_metric_format() {
        let now = Timestamp::from_millisecond(1_709_622_489_123).unwrap();
        let metrics = [Metric::count("Rejects", 1), Metric::milliseconds("Latency", 12.5)];
        assert_eq!(
            line("start-recording", Some("in_progress"), &metrics, now),
            json!({
                "_aws": {
                    "Timestamp": 1_709_622_489_123_i64,
                    "CloudWatchMetrics": [{
                        "Namespace": "VideoCallEscalation/Recording",
                        "Dimensions": [["function", "reason"]],
                        "Metrics": [
                            { "Name": "Rejects", "Unit": "Count" },
                            { "Name": "Latency", "Unit": "Milliseconds" },
                        ],
                    }],
                },
                "function": "start-recording", "reason": "in_progress",
                "Rejects": 1.0, "Latency": 12.5,
            })
        );
    }
}
