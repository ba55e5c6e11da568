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

    /// Both forms of one recording hold the same samples at the same times.
    #[test]
    fn the_plain_form_is_the_same_film(
        steps in steps(),
        begin in -3 * SECOND..3 * SECOND,
        reordering in prop_oneof![Just(0), Just(66_666_667_i64)],
        fragment in 0..2000_u64,
    ) {
        let fragment = Duration::from_millis(fragment);
        let (file, index) = mux(Config { fragment, ..config() }, film(&steps, begin, reordering));
        let Some(plain) = plain(&file, &index) else {
            prop_assert_eq!(index.video.samples() + index.audio.samples(), 0);
            return Ok(());
        };
        let moov = moov(&plain);
        let mut traks = 0;
        for (track, kind) in [(Track::Video, TrackKind::Video), (Track::Audio, TrackKind::Audio)] {
            let fragmented = parse(&file, track);
            let found = parse_plain(&plain, kind);
            prop_assert_eq!(found.len(), fragmented.len());
            if found.is_empty() {
                continue;
            }
            let start = index.track(track).start;
            for (ours, theirs) in found.iter().zip(&fragmented) {
                let moved = Found {
                    decode: theirs.decode - start,
                    presentation: theirs.presentation - i64::try_from(start).unwrap(),
                    offset: ours.offset,
                    ..theirs.clone()
                };
                prop_assert_eq!(ours, &moved);
                let data = |file: &[u8], found: &Found| {
                    let start = usize::try_from(found.offset).unwrap();
                    file[start..start + found.size].to_vec()
                };
                prop_assert_eq!(data(&plain, ours), data(&file, theirs));
            }
            let scale = if track == Track::Video { 90_000 } else { 48_000 };
            let exact = i64::try_from(start).unwrap() * 90_000 * 2 / scale;
            // Twice the delay, so that half a unit is a whole one.
            prop_assert!((delay(&moov, traks) * 2 - exact).abs() <= 2, "{}", delay(&moov, traks));
            traks += 1;
        }
        prop_assert_eq!(moov.trak_boxes.len(), traks);
    }

    /// From the bytes of either form the same index comes back, however they are
    /// cut in pieces, and from the begin of a file what is whole in it.
    #[test]
    fn the_index_comes_back_from_the_bytes(
        steps in steps(),
        begin in -3 * SECOND..3 * SECOND,
        reordering in prop_oneof![Just(0), Just(66_666_667_i64)],
        piece in 1..5000_usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let (file, index) = mux(config(), film(&steps, begin, reordering));
        let scan = |file: &[u8]| {
            let mut scanner = Scanner::new();
            file.chunks(piece).for_each(|piece| scanner.push(piece));
            scanner.finish()
        };
        let whole = scan(&file).unwrap();
        prop_assert_eq!((whole.form, whole.good, &whole.rest), (Form::Fragmented, index.bytes, &None));
        prop_assert_eq!(plain_head(&whole.index), plain_head(&index));
        prop_assert_eq!(whole.index.video.start, index.video.start);

        let cut = cut.index(file.len() + 1);
        match scan(&file[..cut]) {
            Err(_) => prop_assert!((cut as u64) < index.header_bytes),
            Ok(part) => {
                let good = usize::try_from(part.good).unwrap();
                prop_assert!(good <= cut);
                prop_assert_eq!(part.rest.is_some(), good < cut);
                let again = scan(&file[..good]).unwrap();
                prop_assert_eq!(again.rest, None);
                prop_assert_eq!(plain_head(&again.index), plain_head(&part.index));
                for track in [Track::Video, Track::Audio] {
                    let (known, all) = (&part.index.track(track).chunks, &index.track(track).chunks);
                    prop_assert_eq!(&known[..], &all[..known.len()]);
                    prop_assert!(all[known.len()..].iter().all(|later| later.offset >= part.good));
                }
            }
        }

        if let Some(plain) = plain(&file, &index) {
            let scanned = scan(&plain).unwrap();
            prop_assert_eq!((scanned.form, scanned.good), (Form::Plain, plain.len() as u64));
            for track in [Track::Video, Track::Audio] {
                let (ours, theirs) = (scanned.index.track(track), index.track(track));
                prop_assert_eq!(&ours.sizes, &theirs.sizes);
                prop_assert_eq!(&ours.durations, &theirs.durations);
                prop_assert_eq!(&ours.sync, &theirs.sync);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_scanner_panic(
        steps in steps(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let (file, index) = mux(config(), film(&steps, 0, 0));
        for mut file in [Some(file.clone()), plain(&file, &index)].into_iter().flatten() {
            for (at, byte) in &damage {
                let at = at.index(file.len());
                file[at] = *byte;
            }
            let mut scanner = Scanner::new();
            scanner.push(&file);
            if let Ok(scanned) = scanner.finish() {
                prop_assert!(scanned.good <= file.len() as u64);
            }
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
