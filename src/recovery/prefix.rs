//! Which of the parts in the store follow each other, so that they are the begin
//! of a file. Pure.

use super::bucket::Listed;
use crate::upload::plan::full_part_bytes;

/// The longest run of parts from part 1 on without a gap. A part that is shorter
/// than it would be in full is the last of it: it is a checkpoint, whose full form
/// never arrived. Some stores list each body that was sent under a number; the
/// largest is the newest, because a part only ever grows.
pub(super) fn usable(mut listed: Vec<Listed>) -> Vec<Listed> {
    listed.sort_by(|a, b| a.number.cmp(&b.number).then(b.bytes.cmp(&a.bytes)));
    listed.dedup_by_key(|part| part.number);
    let mut parts: Vec<Listed> = Vec::new();
    for (number, part) in (1..).zip(listed) {
        if part.number != number || parts.last().is_some_and(|before| !is_full(before)) {
            break;
        }
        parts.push(part);
    }
    parts
}

fn is_full(part: &Listed) -> bool {
    full_part_bytes(part.number).is_some_and(|full| part.bytes >= full as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u64 = 5 << 20;

    fn used(listed: &[(u16, u64)]) -> Vec<(u16, u64)> {
        let listed = listed.iter().map(|&(number, bytes)| Listed {
            number,
            bytes,
            etag: format!("{number}-{bytes}"),
            checksum: None,
            modified: None,
        });
        usable(listed.collect()).into_iter().map(|part| (part.number, part.bytes)).collect()
    }

    #[test]
    fn the_longest_run_that_makes_sense_is_used() {
        type Parts = [(u16, u64)];
        let cases: [(&Parts, &Parts); 9] = [
            (&[], &[]),
            (&[(1, 7)], &[(1, 7)]),
            (&[(2, FULL), (3, 8)], &[]),
            (&[(1, FULL), (2, FULL), (3, 9)], &[(1, FULL), (2, FULL), (3, 9)]),
            // A gap.
            (&[(1, FULL), (3, FULL), (4, 9)], &[(1, FULL)]),
            // Part 2 is a checkpoint whose full form did not arrive.
            (&[(1, FULL), (2, 17), (3, FULL)], &[(1, FULL), (2, 17)]),
            // Part 1 with the plain head is larger than planned.
            (&[(1, FULL + 5000), (2, 3)], &[(1, FULL + 5000), (2, 3)]),
            // Listed as often as it was sent.
            (&[(1, 3), (1, FULL), (1, 900), (2, 4)], &[(1, FULL), (2, 4)]),
            (&[(2, 4), (1, FULL)], &[(1, FULL), (2, 4)]),
        ];
        for (listed, expected) in cases {
            assert_eq!(used(listed), expected, "{listed:?}");
        }
    }
}
