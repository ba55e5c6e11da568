//! Any two tracks of samples, and what a file of them has to contain.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What the generator says of a sample: which track, nanoseconds since the one
/// before, how far the presentation strays, sync, size.
type Step = (bool, i64, i64, bool, usize);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let gap = prop_oneof![Just(SECOND / 30), 25_000..200_000_000_i64, SECOND..4 * SECOND];
    vec((any::<bool>(), gap, -50_000_000..50_000_000_i64, any::<bool>(), 0..300_usize), 0..120)
}

/// Samples of both tracks, decoded `delay` before the time they belong to.
fn film(steps: &[Step], begin: i64, delay: i64) -> Vec<Sample> {
    let mut now = [begin; 2];
    let make = |(n, &(video, gap, jitter, sync, size)): (usize, &Step)| {
        let now = &mut now[usize::from(video)];
        *now += gap;
        Sample {
            track: if video { Track::Video } else { Track::Audio },
            presentation: Timestamp(*now + jitter),
            decode: Timestamp(*now - delay),
            sync: sync || !video,
            data: Bytes::from(vec![u8::try_from(n).unwrap(); size]),
        }
    };
    steps.iter().enumerate().map(make).collect()
}

/// What a track of a file has to contain, by the rules and not by the code.
fn expected(samples: &[Sample], track: Track, origin: i64) -> Vec<(Found, Bytes)> {
    let timescale = if track == Track::Video { 90_000 } else { 48_000 };
    let units = |at: Timestamp| Timestamp(at.0 - origin).to_units(timescale);
    let all: Vec<_> = samples.iter().filter(|sample| sample.track == track).collect();
    let distance = |n: usize| match all.get(n + 1) {
        Some(next) => units(next.decode) - units(all[n].decode),
        None if n > 0 => units(all[n].decode) - units(all[n - 1].decode),
        None => {
            if track == Track::Video {
                3000
            } else {
                1024
            }
        }
    };
    let shown = |n: &usize| match track {
        Track::Video => all[*n].sync && units(all[*n].presentation) + distance(*n) > 0,
        Track::Audio => units(all[*n].presentation) >= 0,
    };
    let Some(first) = (0..all.len()).find(shown) else { return Vec::new() };
    let cut = (-units(all[first].presentation)).max(0);
    let shift = (-(units(all[first].decode) + cut)).max(0);
    let found = |n: usize| {
        let cut = if n == first { cut } else { 0 };
        let found = Found {
            decode: u64::try_from(units(all[n].decode) + cut + shift).unwrap(),
            presentation: units(all[n].presentation) + cut,
            duration: u32::try_from(distance(n) - cut).unwrap(),
            sync: all[n].sync,
            offset: 0,
            size: all[n].data.len(),
        };
        (found, all[n].data.clone())
    };
    (first..all.len()).map(found).collect()
}

proptest! {
    #[test]
    fn another_parser_finds_the_samples_that_went_in(
        steps in steps(),
        begin in -3 * SECOND..3 * SECOND,
        delay in prop_oneof![Just(0), Just(66_666_667_i64)],
        origin in prop_oneof![Just(0), -1_000_000 * SECOND..1_000_000 * SECOND],
        fragment in 0..2000_u64,
    ) {
        let samples = film(&steps, origin + begin, delay);
        let fragment = Duration::from_millis(fragment);
        let config = Config { origin: Timestamp(origin), fragment, ..config() };
        let (file, index) = mux(config, samples.clone());
        for track in [Track::Video, Track::Audio] {
            let found = parse(&file, track);
            prop_assert_eq!(&read(index.track(track)), &found);

            let expected = expected(&samples, track, origin);
            let given = samples.iter().filter(|sample| sample.track == track).count();
            prop_assert_eq!(index.track(track).dropped, (given - expected.len()) as u64);
            let data = |found: &Found| {
                let start = usize::try_from(found.offset).unwrap();
                Bytes::copy_from_slice(&file[start..start + found.size])
            };
            let found: Vec<_> = found
                .into_iter()
                .map(|found| (Found { offset: 0, ..found.clone() }, data(&found)))
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn fragments_count_up_and_a_sync_sample_opens_its_own(steps in steps()) {
        let (file, _) = mux(config(), film(&steps, 0, 0));
        for (n, moof) in fragments(&file).iter().enumerate() {
            prop_assert_eq!(moof.mfhd_box.sequence_number as usize, n + 1);
            let tracks: Vec<_> = moof.traf_boxes.iter().map(|traf| traf.tfhd_box.track_id).collect();
            prop_assert!([&[1][..], &[2], &[1, 2]].contains(&&tracks[..]), "{:?}", tracks);
            for traf in &moof.traf_boxes {
                let [trun] = &traf.trun_boxes[..] else { panic!("one trun") };
                prop_assert!(trun.samples.iter().skip(1).all(|sample| sample.flags.is_none()));
                prop_assert!(traf.tfhd_box.default_sample_flags.is_none());
                prop_assert!(traf.tfhd_box.default_base_is_moof);
            }
        }
    }
}
