//! The uploader against a store in memory that fails when it is told to.

use std::collections::BTreeMap;
use std::sync::Mutex;

use proptest::prelude::*;
use tokio::time::timeout;

use super::plan::{MIN_PART_BYTES, Payload};
use super::store::Operation;
use super::*;

/// Only a failing test waits this long.
const DEADLINE: Duration = Duration::from_secs(20);

fn config() -> Config {
    Config {
        parts_in_flight: PARTS_IN_FLIGHT,
        checkpoint: None,
        memory_bytes: u64::MAX,
        spool: spool::Config { dir: std::env::temp_dir(), limit: 0 },
        give_up_after: NEVER_GIVE_UP,
        give_up_starting_after: GIVE_UP_STARTING_AFTER,
        jitter: || 0.0,
    }
}

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Fails(Kind),
    /// Fails, and what it sent is stored after all just before the completion.
    ArrivesLate,
    /// Goes well once that part is stored.
    Follows(u16),
    /// Goes well after others had this many turns.
    Yields(u16),
    NeverAnswers,
}

#[derive(Debug)]
struct FaultyStore {
    object: Object,
    /// Faults of a request, used up from the front; then all goes well.
    faults: Mutex<Vec<(Operation, Fault)>>,
    parts: Mutex<BTreeMap<u16, Vec<u8>>>,
    /// Parts in the order in which they were stored.
    arrived: watch::Sender<Vec<u16>>,
    in_flight: Mutex<usize>,
    most_in_flight: Mutex<usize>,
    aborted: Mutex<bool>,
    /// What is on its way for nobody.
    late: Mutex<Vec<(u16, Vec<u8>)>>,
}

impl FaultyStore {
    fn new(faults: impl IntoIterator<Item = (Operation, Fault)>) -> Arc<Self> {
        Arc::new(Self {
            object: Object { bucket: "recordings".into(), key: "a/b.mp4".into() },
            faults: Mutex::new(faults.into_iter().collect()),
            parts: Mutex::default(),
            arrived: watch::Sender::default(),
            in_flight: Mutex::default(),
            most_in_flight: Mutex::default(),
            aborted: Mutex::default(),
            late: Mutex::default(),
        })
    }

    async fn meet(&self, operation: Operation) -> Result<(), StoreError> {
        self.meet_with(operation, &Payload::new(vec![])).await
    }

    /// `sent` is the part.
    async fn meet_with(&self, operation: Operation, sent: &Payload) -> Result<(), StoreError> {
        let fault = {
            let mut faults = self.faults.lock().unwrap();
            let found = faults.iter().position(|(of, _)| *of == operation);
            found.map(|index| faults.remove(index).1)
        };
        match fault {
            None => {}
            Some(Fault::Follows(number)) => {
                let mut arrived = self.arrived.subscribe();
                arrived.wait_for(|arrived| arrived.contains(&number)).await.unwrap();
            }
            Some(Fault::Yields(turns)) => {
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
            }
            Some(Fault::NeverAnswers) => std::future::pending().await,
            Some(Fault::Fails(kind)) => return Err(self.failure(operation, kind)),
            Some(Fault::ArrivesLate) => {
                let Operation::PutPart { number } = operation else { panic!("{operation}") };
                self.late.lock().unwrap().push((number, sent.pieces().concat()));
                return Err(self.failure(operation, Kind::Transient));
            }
        }
        Ok(())
    }

    fn failure(&self, operation: Operation, kind: Kind) -> StoreError {
        let (object, code) = (self.object.clone(), Some("Injected".into()));
        StoreError { kind, operation, object, status: None, code, source: None }
    }

    fn stored(&self) -> Vec<u8> {
        self.parts.lock().unwrap().values().flatten().copied().collect()
    }
}

impl PartStore for FaultyStore {
    fn object(&self) -> &Object {
        &self.object
    }

    async fn create(&self) -> Result<UploadId, StoreError> {
        self.meet(Operation::Create).await?;
        Ok(UploadId("upload-1".into()))
    }

    async fn put_beside(&self, _: &str, _: &str, _: Bytes) -> Result<(), StoreError> {
        self.meet(Operation::PutBeside).await
    }

    async fn put_part(
        &self,
        _upload: &UploadId,
        number: u16,
        payload: Payload,
        _attempt: u32,
    ) -> Result<Receipt, StoreError> {
        {
            let mut in_flight = self.in_flight.lock().unwrap();
            let mut most = self.most_in_flight.lock().unwrap();
            *in_flight += 1;
            *most = (*most).max(*in_flight);
        }
        let met = self.meet_with(Operation::PutPart { number }, &payload).await;
        *self.in_flight.lock().unwrap() -= 1;
        met?;
        self.parts.lock().unwrap().insert(number, payload.pieces().concat());
        self.arrived.send_modify(|arrived| arrived.push(number));
        Ok(Receipt { etag: format!("etag-{number}"), crc32: 0, bytes: payload.len() as u64 })
    }

    async fn complete(
        &self,
        _upload: &UploadId,
        parts: &[(u16, Receipt)],
        bytes: u64,
    ) -> Result<Completed, StoreError> {
        self.meet(Operation::Complete).await?;
        let late = std::mem::take(&mut *self.late.lock().unwrap());
        self.parts.lock().unwrap().extend(late);
        let is_listed = |(number, receipt): &(u16, Receipt)| {
            self.parts.lock().unwrap()[number].len() as u64 == receipt.bytes
        };
        if !parts.iter().all(is_listed) {
            return Err(self.failure(Operation::Complete, Kind::Replaced));
        }
        let numbers: Vec<u16> = parts.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, self.parts.lock().unwrap().keys().copied().collect::<Vec<_>>());
        assert_eq!(bytes, self.stored().len() as u64);
        Ok(Completed { etag: "etag".into(), checksum: None, verified: None, bytes })
    }

    async fn abort(&self, _upload: &UploadId) -> Result<(), StoreError> {
        self.meet(Operation::Abort).await?;
        *self.aborted.lock().unwrap() = true;
        Ok(())
    }
}

fn part(number: u16, fault: Fault) -> (Operation, Fault) {
    (Operation::PutPart { number }, fault)
}

/// Exactly `parts` parts of the smallest size, filled with their number.
fn film(parts: u8) -> Vec<Vec<Bytes>> {
    (1..=parts).map(|number| vec![Bytes::from(vec![number; MIN_PART_BYTES])]).collect()
}

async fn started(store: &Arc<FaultyStore>, config: Config) -> Uploader<FaultyStore> {
    Uploader::start(Arc::clone(store), config).await.unwrap()
}

fn kind_of(error: &Error) -> Kind {
    match error {
        Error::Store(error) => error.kind,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_object_is_what_was_put() {
    let store = FaultyStore::new([]);
    let mut uploader = started(&store, config()).await;
    let progress = uploader.progress();
    let mut input = Vec::new();
    for (number, len) in [(1_u8, 3 << 20), (2, 4 << 20), (3, 9 << 20), (4, 1)] {
        input.extend(vec![number; len]);
        uploader.put(vec![Bytes::from(vec![number; len])]).await.unwrap();
    }
    let completed = uploader.finish(None).await.unwrap().unwrap();
    assert_eq!(completed.bytes, input.len() as u64);
    assert!(store.stored() == input);
    assert_eq!(
        *progress.borrow(),
        Progress {
            bytes_accepted: completed.bytes,
            bytes_stored: completed.bytes,
            parts_stored: 4,
            ..Progress::default()
        }
    );
}

#[tokio::test]
async fn an_upload_smaller_than_a_part_is_one_part() {
    let store = FaultyStore::new([]);
    let mut uploader = started(&store, config()).await;
    uploader.put(vec![Bytes::from_static(b"short")]).await.unwrap();
    assert_eq!(uploader.finish(None).await.unwrap().unwrap().bytes, 5);
    assert_eq!(*store.arrived.borrow(), [1]);
}

#[tokio::test]
async fn an_upload_without_bytes_is_aborted_and_leaves_no_object() {
    let store = FaultyStore::new([]);
    let mut uploader = started(&store, config()).await;
    assert_eq!(uploader.finish(None).await.unwrap(), None);
    assert!(*store.aborted.lock().unwrap());
}

#[tokio::test]
async fn parts_may_arrive_in_any_order() {
    let store = FaultyStore::new([
        part(1, Fault::Follows(3)),
        part(2, Fault::Follows(4)),
        part(3, Fault::Follows(2)),
    ]);
    let mut uploader = started(&store, config()).await;
    for pieces in film(4) {
        uploader.put(pieces).await.unwrap();
    }
    uploader.finish(None).await.unwrap().unwrap();
    assert_eq!(*store.arrived.borrow(), [4, 2, 3, 1]);
    assert!(store.stored() == film(4).concat().concat());
}

#[tokio::test]
async fn no_more_parts_than_allowed_are_in_flight() {
    let store = FaultyStore::new([1, 3, 5, 7].map(|odd| part(odd, Fault::Follows(odd + 1))));
    let mut uploader = started(&store, Config { parts_in_flight: 2, ..config() }).await;
    for pieces in film(8) {
        uploader.put(pieces).await.unwrap();
    }
    uploader.finish(None).await.unwrap().unwrap();
    assert_eq!(*store.most_in_flight.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_part_that_fails_for_a_while_is_sent_again() {
    let fails = |kind| part(2, Fault::Fails(kind));
    let store = FaultyStore::new([
        fails(Kind::Transient),
        fails(Kind::Throttled),
        fails(Kind::Transient),
        (Operation::Create, Fault::Fails(Kind::Transient)),
        (Operation::Complete, Fault::Fails(Kind::Transient)),
    ]);
    let mut uploader = started(&store, config()).await;
    let progress = uploader.progress();
    for pieces in film(3) {
        uploader.put(pieces).await.unwrap();
    }
    uploader.finish(None).await.unwrap().unwrap();
    assert!(store.stored() == film(3).concat().concat());
    assert_eq!(progress.borrow().retries, 5);
}

#[tokio::test]
async fn what_repeating_cannot_mend_surfaces_from_put_and_from_finish() {
    for kind in [Kind::Denied, Kind::Missing, Kind::Full, Kind::Rejected] {
        let store = FaultyStore::new([part(1, Fault::Fails(kind))]);
        let mut uploader = started(&store, config()).await;
        let progress = uploader.progress();
        uploader.put(film(1).remove(0)).await.unwrap();
        let error = loop {
            tokio::task::yield_now().await;
            if let Err(error) = uploader.put(vec![Bytes::from_static(b"more")]).await {
                break error;
            }
        };
        assert_eq!(kind_of(&error), kind);
        assert_eq!(kind_of(&uploader.finish(None).await.unwrap_err()), kind);
        assert_eq!(progress.borrow().retries, 0);
    }
}

#[tokio::test]
async fn a_failed_part_does_not_wait_for_the_others_in_finish() {
    let store = FaultyStore::new([part(1, Fault::NeverAnswers), part(2, Fault::Fails(Kind::Full))]);
    let mut uploader = started(&store, config()).await;
    for pieces in film(2) {
        uploader.put(pieces).await.unwrap();
    }
    let error = timeout(DEADLINE, uploader.finish(None)).await.unwrap().unwrap_err();
    assert_eq!(kind_of(&error), Kind::Full);
}

#[tokio::test]
async fn a_store_that_stays_away_is_given_up_after_the_time_set() {
    let store = FaultyStore::new([part(1, Fault::Fails(Kind::Transient))]);
    let patience = Config { give_up_after: Duration::ZERO, ..config() };
    let mut uploader = started(&store, patience).await;
    uploader.put(film(1).remove(0)).await.unwrap();
    assert_eq!(kind_of(&uploader.finish(None).await.unwrap_err()), Kind::Transient);
}

#[tokio::test]
async fn a_denied_start_fails_at_once() {
    let store = FaultyStore::new([(Operation::Create, Fault::Fails(Kind::Denied))]);
    let error = Uploader::start(store, config()).await.unwrap_err();
    assert_eq!(kind_of(&error), Kind::Denied);
}

#[tokio::test]
async fn a_completion_that_is_refused_fails() {
    let store = FaultyStore::new([(Operation::Complete, Fault::Fails(Kind::Rejected))]);
    let mut uploader = started(&store, config()).await;
    uploader.put(vec![Bytes::from_static(b"film")]).await.unwrap();
    assert_eq!(kind_of(&uploader.finish(None).await.unwrap_err()), Kind::Rejected);
}

/// Room for one part in memory, and for `parts` on disk.
fn small(dir: &std::path::Path, parts: u64) -> Config {
    let part = MIN_PART_BYTES as u64;
    let spool = spool::Config { dir: dir.into(), limit: parts * part };
    Config { parts_in_flight: 1, memory_bytes: part, spool, ..config() }
}

#[tokio::test]
async fn what_the_store_does_not_take_waits_on_disk_and_follows_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let store = FaultyStore::new([part(1, Fault::Yields(200))]);
    let mut uploader = started(&store, small(dir.path(), 9)).await;
    let progress = uploader.progress();
    for pieces in film(6) {
        uploader.put(pieces).await.unwrap();
    }
    assert!(progress.borrow().spooled_bytes >= MIN_PART_BYTES as u64);
    uploader.finish(None).await.unwrap().unwrap();
    assert!(store.stored() == film(6).concat().concat());
    drop(uploader);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the disk is free again");
}

#[tokio::test]
async fn a_full_disk_ends_it_and_nothing_that_was_put_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = FaultyStore::new([part(1, Fault::NeverAnswers)]);
    let mut uploader = started(&store, small(dir.path(), 2)).await;
    let mut put = 0;
    let error = loop {
        put += 1;
        let piece = Bytes::from(vec![u8::try_from(put).unwrap(); MIN_PART_BYTES]);
        if let Err(error) = uploader.put(vec![piece]).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Spool(_)), "{error}");
    assert!(uploader.put(vec![]).await.is_err(), "it is told again");
    let left = uploader.abandon(vec![]).await;
    assert_eq!((left.parts, left.completing), (0, false));
    let spool = left.spool.unwrap();
    let kept = spool::parts(&spool).unwrap();
    assert_eq!(kept.into_keys().collect::<Vec<_>>(), (1..=put).collect::<Vec<_>>());
    for number in 1..=put {
        let bytes = std::fs::read(spool::part(&spool, number)).unwrap();
        assert_eq!(bytes, vec![u8::try_from(number).unwrap(); MIN_PART_BYTES], "{number}");
    }
}

#[tokio::test]
async fn the_open_part_is_stored_as_it_grows_and_in_full_when_it_is_full() {
    let store = FaultyStore::new([]);
    let always = Config { checkpoint: Some(Duration::ZERO), ..config() };
    let mut uploader = started(&store, always).await;
    let mut progress = uploader.progress();
    uploader.put(vec![Bytes::from_static(b"some")]).await.unwrap();
    wait(|| store.stored() == b"some").await;
    uploader.put(vec![]).await.unwrap();
    progress.wait_for(|progress| progress.checkpoints == 1).await.unwrap();
    uploader.put(vec![Bytes::from_static(b"more")]).await.unwrap();
    wait(|| store.stored() == b"somemore").await;
    uploader.put(vec![Bytes::from(vec![7; MIN_PART_BYTES])]).await.unwrap();
    let completed = uploader.finish(None).await.unwrap().unwrap();
    assert_eq!(completed.bytes, 8 + MIN_PART_BYTES as u64);
    assert!(store.stored() == [b"somemore", &vec![7; MIN_PART_BYTES][..]].concat());
    assert_eq!(progress.borrow().parts_stored, 2);
}

#[tokio::test]
async fn a_checkpoint_that_fails_is_made_up_for_by_the_next() {
    let store = FaultyStore::new([part(1, Fault::Fails(Kind::Transient))]);
    let always = Config { checkpoint: Some(Duration::ZERO), ..config() };
    let mut uploader = started(&store, always).await;
    uploader.put(vec![Bytes::from_static(b"film")]).await.unwrap();
    wait(|| store.faults.lock().unwrap().is_empty()).await;
    let again = async {
        while store.stored() != b"film" {
            uploader.put(vec![]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, again).await.unwrap();
}

#[tokio::test]
async fn what_arrives_late_is_replaced_again() {
    let store = FaultyStore::new([part(1, Fault::ArrivesLate)]);
    let always = Config { checkpoint: Some(Duration::ZERO), ..config() };
    let mut uploader = started(&store, always).await;
    uploader.put(vec![Bytes::from_static(b"older")]).await.unwrap();
    wait(|| !store.late.lock().unwrap().is_empty()).await;
    uploader.put(vec![Bytes::from(vec![7; MIN_PART_BYTES])]).await.unwrap();
    uploader.finish(None).await.unwrap().unwrap();
    assert!(store.stored() == [b"older", &vec![7; MIN_PART_BYTES][..]].concat());
    assert!(store.arrived.borrow().ends_with(&[1]), "{:?}", store.arrived.borrow());
}

#[tokio::test]
async fn what_may_have_been_replaced_is_left_on_disk() {
    let lost = (Operation::Complete, Fault::NeverAnswers);
    let store = FaultyStore::new([part(2, Fault::Fails(Kind::Transient)), lost]);
    let mut uploader = started(&store, config()).await;
    for pieces in film(3) {
        uploader.put(pieces).await.unwrap();
    }
    let finished = timeout(Duration::from_millis(50), uploader.finish(None)).await;
    assert!(finished.is_err(), "it never answers");
    let left = uploader.abandon(vec![]).await.spool.unwrap();
    assert!(spool::Manifest::read(&left).unwrap().is_sent);
    assert_eq!(spool::parts(&left).unwrap(), BTreeMap::from([(2, MIN_PART_BYTES as u64)]));
    std::fs::remove_dir_all(left).unwrap();
}

#[tokio::test]
async fn of_part_1_the_newer_form_is_left_on_disk() {
    let lost = part(1, Fault::Fails(Kind::Transient));
    let store = FaultyStore::new([lost, part(1, Fault::Yields(1)), part(1, Fault::NeverAnswers)]);
    let mut uploader = started(&store, config()).await;
    uploader.put(film(1).remove(0)).await.unwrap();
    let mut progress = uploader.progress();
    progress.wait_for(|progress| progress.parts_stored == 1).await.unwrap();
    let head = Head { bytes: Bytes::from_static(b"index"), replaces: 2 };
    let finished = timeout(Duration::from_millis(50), uploader.finish(Some(head))).await;
    assert!(finished.is_err(), "it never answers");
    let left = uploader.abandon(vec![]).await.spool.unwrap();
    assert_eq!(spool::parts(&left).unwrap(), BTreeMap::from([(1, MIN_PART_BYTES as u64 + 3)]));
    assert!(std::fs::read(spool::part(&left, 1)).unwrap().starts_with(b"index"));
    std::fs::remove_dir_all(left).unwrap();
}

#[tokio::test]
async fn replacing_for_ever_is_given_up() {
    let refused = (0..=REPLACEMENTS).map(|_| (Operation::Complete, Fault::Fails(Kind::Replaced)));
    let lost = part(1, Fault::Fails(Kind::Transient));
    let store = FaultyStore::new(refused.chain([lost]));
    let mut uploader = started(&store, config()).await;
    uploader.put(film(1).remove(0)).await.unwrap();
    let error = uploader.finish(None).await.unwrap_err();
    assert_eq!(kind_of(&error), Kind::Replaced);
    assert_eq!(store.arrived.borrow().len(), 1 + REPLACEMENTS as usize);
    let left = uploader.abandon(vec![]).await.spool.unwrap();
    std::fs::remove_dir_all(left).unwrap();
}

#[tokio::test]
async fn a_replaced_part_that_is_not_kept_is_told() {
    let store = FaultyStore::new([(Operation::Complete, Fault::Fails(Kind::Replaced))]);
    let mut uploader = started(&store, config()).await;
    uploader.put(film(1).remove(0)).await.unwrap();
    let error = uploader.finish(None).await.unwrap_err();
    assert_eq!(kind_of(&error), Kind::Replaced);
    let left = uploader.abandon(vec![]).await;
    assert_eq!((left.completing, left.spool), (false, None));
}

#[tokio::test]
async fn the_head_comes_last_and_stands_in_for_the_first_bytes() {
    let store = FaultyStore::new([part(2, Fault::Yields(50))]);
    let mut uploader = started(&store, config()).await;
    for pieces in film(2) {
        uploader.put(pieces).await.unwrap();
    }
    let head = Head { bytes: Bytes::from_static(b"index"), replaces: 2 };
    let completed = uploader.finish(Some(head)).await.unwrap().unwrap();
    let film = film(2).concat().concat();
    assert!(store.stored() == [b"index", &film[2..]].concat());
    assert_eq!(completed.bytes, film.len() as u64 + 3);
    assert_eq!(*store.arrived.borrow(), [1, 2, 1]);
}

#[tokio::test]
async fn a_completion_that_was_not_answered_is_told() {
    let store = FaultyStore::new([(Operation::Complete, Fault::NeverAnswers)]);
    let mut uploader = started(&store, config()).await;
    uploader.put(vec![Bytes::from_static(b"film")]).await.unwrap();
    let finished = timeout(Duration::from_millis(50), uploader.finish(None)).await;
    assert!(finished.is_err(), "it never answers");
    let left = uploader.abandon(vec![]).await;
    assert_eq!((left.completing, left.parts, left.spool), (true, 1, None));
}

#[tokio::test]
async fn a_completion_that_was_refused_is_not_one_that_may_have_happened() {
    for (kind, completing) in [(Kind::Denied, false), (Kind::Missing, true)] {
        let store = FaultyStore::new([(Operation::Complete, Fault::Fails(kind))]);
        let mut uploader = started(&store, config()).await;
        uploader.put(vec![Bytes::from_static(b"film")]).await.unwrap();
        uploader.finish(None).await.unwrap_err();
        let left = uploader.abandon(vec![]).await;
        assert_eq!((left.completing, left.parts), (completing, 1), "{kind:?}");
    }
}

/// Waits until a condition holds that nobody announces.
async fn wait(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap();
}

#[tokio::test]
async fn what_waits_for_a_checkpoint_without_an_answer_is_left_on_disk() {
    let store = FaultyStore::new([part(1, Fault::NeverAnswers)]);
    let always = Config { checkpoint: Some(Duration::ZERO), ..config() };
    let mut uploader = started(&store, always).await;
    uploader.put(vec![Bytes::from_static(b"film")]).await.unwrap();
    // It is on its way when the part becomes full.
    wait(|| store.faults.lock().unwrap().is_empty()).await;
    let rest = vec![7; MIN_PART_BYTES];
    uploader.put(vec![rest.clone().into()]).await.unwrap();
    let left = uploader.abandon(vec![]).await.spool.unwrap();
    let kept: Vec<u8> = spool::parts(&left)
        .unwrap()
        .into_keys()
        .flat_map(|number| std::fs::read(spool::part(&left, number)).unwrap())
        .collect();
    assert!(kept == [&b"film"[..], &rest].concat());
    std::fs::remove_dir_all(left).unwrap();
}

#[tokio::test]
async fn abandoning_says_what_is_where_and_leaves_no_task() {
    let store = FaultyStore::new([part(2, Fault::NeverAnswers)]);
    let mut uploader = started(&store, config()).await;
    let mut progress = uploader.progress();
    for pieces in film(2) {
        uploader.put(pieces).await.unwrap();
    }
    progress.wait_for(|progress| progress.parts_stored == 1).await.unwrap();
    let left = uploader.abandon(vec![]).await;
    drop(uploader);
    assert_eq!(left.object, store.object);
    assert_eq!(left.upload, UploadId("upload-1".into()));
    assert_eq!(left.parts, 1);
    let spool = left.spool.unwrap();
    assert!(!spool::Manifest::read(&spool).unwrap().is_sent);
    let kept = spool::parts(&spool).unwrap();
    assert_eq!(kept.into_keys().collect::<Vec<_>>(), [2], "it may not have arrived");
    std::fs::remove_dir_all(spool).unwrap();
    assert!(!*store.aborted.lock().unwrap());
    // Every task holds the store; ours is the only hold when all are gone.
    let gone = async {
        while Arc::strong_count(&store) > 1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, gone).await.unwrap();
}

#[tokio::test]
async fn aborting_waits_until_no_part_can_arrive_any_more() {
    let store = FaultyStore::new([part(1, Fault::NeverAnswers)]);
    let mut uploader = started(&store, config()).await;
    uploader.put(film(1).remove(0)).await.unwrap();
    uploader.abort().await.unwrap();
    drop(uploader);
    assert!(*store.aborted.lock().unwrap());
    assert_eq!(Arc::strong_count(&store), 1);
}

proptest! {
    // Each case moves some 30 MiB.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn whatever_fails_for_a_while_the_object_is_the_input(
        lens in prop::collection::vec(0..3_000_000_usize, 1..20),
        faults in prop::collection::vec((1..10_u16, fault()), 0..20),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let store = FaultyStore::new(faults.into_iter().map(|(number, fault)| part(number, fault)));
        let input: Vec<Bytes> = (0..=u8::MAX)
            .zip(&lens)
            .map(|(fill, &len)| Bytes::from(vec![fill; len]))
            .collect();
        let completed = runtime.block_on(async {
            let spool = spool::Config { limit: u64::MAX, ..config().spool };
            let some = Config { memory_bytes: 12 << 20, spool, ..config() };
            let mut uploader = started(&store, some).await;
            for piece in input.clone() {
                uploader.put(vec![piece]).await.unwrap();
            }
            uploader.finish(None).await.unwrap()
        });
        let total = lens.iter().sum::<usize>() as u64;
        prop_assert_eq!(completed.map(|completed| completed.bytes), (total > 0).then_some(total));
        prop_assert!(store.stored() == input.concat());
    }
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Fails(Kind::Transient)),
        Just(Fault::Fails(Kind::Throttled)),
        (0..100_u16).prop_map(Fault::Yields),
    ]
}
