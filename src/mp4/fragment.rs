//! One fragment: the `moof` that describes its samples and the head of the
//! `mdat` that holds them (ISO/IEC 14496-12, 8.8). Knows no time but its own.

use mp4_atom::{
    Encode, FourCC, Header, Mfhd, Moof, Tfdt, Tfhd, Traf, Trun, TrunEntry, TrunSamples,
};

use super::header::{self, SYNC};
use super::timeline::Timed;
use crate::media::Track;

/// The samples of one track in one fragment.
pub(super) struct TrackRun {
    pub(super) track: Track,
    /// At least one; among video only the first can be a sync sample.
    pub(super) samples: Vec<Timed>,
}

impl TrackRun {
    pub(super) fn bytes(&self) -> u64 {
        self.samples.iter().map(|sample| u64::from(sample.size())).sum()
    }
}

/// The bytes that precede the samples of `runs`, which follow in that order.
pub(super) fn head(sequence: u32, runs: &[TrackRun]) -> Vec<u8> {
    // Data offsets count from the start of the moof, whose length does not
    // depend on their values: a first pass without them tells it.
    let length = encode(sequence, runs, 0).len();
    encode(sequence, runs, length as u64)
}

fn encode(sequence: u32, runs: &[TrackRun], mut data_offset: u64) -> Vec<u8> {
    let mut traf = Vec::with_capacity(runs.len());
    let mut payload = 0;
    for run in runs {
        traf.push(describe(run, data_offset));
        data_offset += run.bytes();
        payload += run.bytes();
    }
    let moof = Moof { mfhd: Mfhd { sequence_number: sequence }, traf };
    let payload = usize::try_from(payload).expect("samples in memory");
    let mdat = Header { kind: FourCC::new(b"mdat"), size: Some(payload) };
    let mut bytes = Vec::new();
    moof.encode(&mut bytes)
        .and_then(|()| mdat.encode(&mut bytes))
        .expect("a fragment within the limits of the muxer can be written");
    bytes
}

/// States what all samples share once in the `tfhd`, or not at all where the
/// `trex` of the header says so already.
fn describe(run: &TrackRun, data_offset: u64) -> Traf {
    let first = &run.samples[0];
    let duration = shared(&run.samples, |sample| sample.duration);
    let size = shared(&run.samples, Timed::size);
    let reordered = run.samples.iter().any(|sample| sample.offset != 0);
    let sync_picture = run.track == Track::Video && first.sync;
    let entry = |(position, sample): (usize, &Timed)| TrunEntry {
        duration: duration.is_none().then_some(sample.duration),
        size: size.is_none().then(|| sample.size()),
        // Of the first alone: written as `first_sample_flags`.
        flags: (position == 0 && sync_picture).then_some(SYNC),
        cts: reordered.then(|| sample.offset.into()),
    };
    let entries: Vec<_> = run.samples.iter().enumerate().map(entry).collect();
    Traf {
        tfhd: Tfhd {
            track_id: header::track_id(run.track),
            default_sample_duration: duration
                .filter(|&duration| duration != header::usual_duration(run.track)),
            default_sample_size: size,
            default_base_is_moof: true,
            ..Tfhd::default()
        },
        tfdt: Some(Tfdt { base_media_decode_time: first.decode }),
        trun: vec![Trun {
            data_offset: Some(data_offset.try_into().expect("a fragment is below 2 GiB")),
            samples: TrunSamples::Explicit(entries),
        }],
        ..Traf::default()
    }
}

fn shared(samples: &[Timed], value: impl Fn(&Timed) -> u32) -> Option<u32> {
    let first = value(samples.first()?);
    samples.iter().all(|sample| value(sample) == first).then_some(first)
}
