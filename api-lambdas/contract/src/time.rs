//! Instants as the table and the API write them. Pure.

use jiff::{SignedDuration, Timestamp};

/// ISO 8601 in UTC with exactly three fractional digits and `Z`.
pub fn iso(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// The instant in such a text, or in any other form of ISO 8601.
pub fn parse(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// Epoch seconds `after` an instant: how DynamoDB wants to know when an item may go.
/// Computed for each write, for a Lambda lives longer than one.
pub fn ttl(now: Timestamp, after: SignedDuration) -> i64 {
    now.as_second() + after.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_three_digits_whatever_it_is() {
        for text in
            ["2024-03-05T07:08:09.123Z", "2024-03-05T07:08:09.000Z", "2024-12-31T23:59:59.999Z"]
        {
            assert_eq!(iso(parse(text).unwrap()), text);
        }
        // Finer instants are cut, not rounded into the next second.
        assert_eq!(iso(parse("2024-03-05T07:08:09.999999Z").unwrap()), "2024-03-05T07:08:09.999Z");
    }

    #[test]
    fn a_time_to_live_is_in_seconds_from_the_write() {
        let now = parse("2024-03-05T07:08:09.123Z").unwrap();
        assert_eq!(ttl(now, SignedDuration::from_hours(45 * 24)), 1_709_622_489 + 3_888_000);
    }
}
