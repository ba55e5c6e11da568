//! Films the X display: takes a picture whenever something was drawn.
//!
//! One thread of its own: it waits for the server's word that the display has
//! changed, takes what was drawn (`screen.rs`), and hands that to the coder with the
//! time `grid.rs` gives it. While nothing is drawn it sleeps and shows the last picture
//! again. It must not know how pictures are coded, nor X.
//!
//! Not `ximagesrc`, because that samples by a timer, which beats against the
//! page's own rhythm, and because Xlib ends the process when the server dies.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Settings;
use super::coder::Coder;
use super::grid::{Grid, Step, slot};
use super::held::Held;
use super::planar::Supply;
use super::running::Ended;
use super::screen::{Error, Screen};
use crate::media::Rhythm;
use gstreamer as gst;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::watch;

/// The browser sends what it has drawn in several pieces; they are there within
/// this time after the first.
const SETTLE: Duration = Duration::from_millis(3);

/// So many drawings are remembered before the first picture.
const BEFORE: usize = 16;

const SECOND: i64 = 1_000_000_000;

/// Counts for the report.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) captured: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) missed: AtomicU64,
}

/// The grabbing thread. Dropping it ends the thread without ending the stream.
#[derive(Debug)]
pub(super) struct Grabber {
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told, and how it is woken.
#[derive(Debug)]
struct Orders {
    order: AtomicU8,
    /// The last picture is shown, whatever the display does.
    curtain: AtomicBool,
    wake: std::os::fd::OwnedFd,
}

/// An order only ever rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Order {
    Wait,
    Film,
    /// End the stream after the last picture.
    Finish,
    /// End at once.
    Leave,
}

impl Grabber {
    /// Connects to the display and waits for [`Grabber::film`]. There is memory for so many
    /// `pictures`; their rhythm is `told`, and `failed` is called once if the display is lost.
    pub(super) fn start(
        settings: &Settings,
        pictures: Supply,
        coder: Coder,
        counts: Arc<Counts>,
        told: Option<watch::Sender<Option<Rhythm>>>,
        failed: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Self, Error> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(std::io::Error::from)?;
        let orders = Arc::new(Orders {
            order: AtomicU8::new(Order::Wait as u8),
            curtain: AtomicBool::new(false),
            wake,
        });
        let screen = Screen::open(settings, pictures)?;
        let orders_of_film = Arc::clone(&orders);
        let fps = settings.fps;
        let held = Held::new(fps);
        let mut film = Film {
            screen,
            coder,
            counts,
            orders: orders_of_film,
            fps,
            held,
            is_torn: false,
            told,
            told_at: 0,
        };
        let thread = std::thread::Builder::new().name("grab".into()).spawn(move || {
            let is_finished = film.run().unwrap_or_else(|error| {
                failed(error);
                // What was grabbed so far is to be kept, and a file needs an end.
                true
            });
            if is_finished {
                film.finish();
            }
        })?;
        Ok(Self { orders, thread: Some(thread) })
    }

    /// Takes the first picture now, and from now on one for each slot.
    pub(super) fn film(&self) {
        self.orders.give(Order::Film);
    }

    pub(super) fn curtain(&self) -> Curtain {
        Curtain(Arc::clone(&self.orders))
    }

    /// Ends the stream.
    pub(super) fn finish(&self) {
        self.orders.give(Order::Finish);
    }
}

impl Drop for Grabber {
    fn drop(&mut self) {
        self.orders.give(Order::Leave);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Hides the display from the recording: while it is closed, the last picture
/// stays.
#[derive(Clone, Debug)]
pub struct Curtain(Arc<Orders>);

impl Curtain {
    /// Also what was grabbed just now (`held.rs`) is not shown.
    pub fn close(&self) {
        self.0.curtain.store(true, Ordering::SeqCst);
    }

    /// The picture of this moment is the next.
    pub fn open(&self) {
        self.0.curtain.store(false, Ordering::SeqCst);
        self.0.wake();
    }
}

impl Orders {
    fn give(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        // Full means that the thread has not even woken up for the last one.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    fn current(&self) -> Order {
        // What woke the thread has been seen.
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
        match self.order.load(Ordering::SeqCst) {
            0 => Order::Wait,
            1 => Order::Film,
            2 => Order::Finish,
            _ => Order::Leave,
        }
    }
}

/// Everything the thread owns.
struct Film {
    screen: Screen,
    coder: Coder,
    counts: Arc<Counts>,
    orders: Arc<Orders>,
    fps: u32,
    held: Held<gst::Buffer>,
    /// A picture was left out: the next has nothing that it could be compared with.
    is_torn: bool,
    told: Option<watch::Sender<Option<Rhythm>>>,
    told_at: i64,
}

impl Film {
    /// The picture that was grabbed last, unless it was left out.
    fn last(&self) -> Option<&gst::Buffer> {
        self.held.last().or_else(|| self.coder.last()).filter(|_| !self.is_torn)
    }

    /// Puts a picture, or the one before it, into a slot.
    fn show(&mut self, picture: Option<gst::Buffer>, presentation: i64) -> Result<(), Ended> {
        self.held.put(picture, presentation);
        self.code()
    }

    /// Codes what has waited long enough.
    fn code(&mut self) -> Result<(), Ended> {
        let Self { coder, counts, orders, held, is_torn, .. } = self;
        if orders.curtain.load(Ordering::SeqCst) {
            *is_torn |= held.leave_out();
        }
        while let Some((picture, presentation)) = held.next() {
            let counter = match (&picture, coder.last()) {
                (Some(_), _) => &counts.captured,
                (None, Some(_)) => &counts.repeated,
                // There is nothing yet that could be shown again: the film begins later.
                (None, None) => continue,
            };
            counter.fetch_add(1, Ordering::Relaxed);
            coder.show(picture, presentation, &|| orders.current() == Order::Leave)?;
        }
        Ok(())
    }

    /// Tells the rhythm of pictures, once a second.
    fn tell(&mut self, grid: &Grid, now: i64) {
        let Some(told) = self.told.as_ref().filter(|_| now - self.told_at >= SECOND) else {
            return;
        };
        let current = Instant::now();
        let at = |time| {
            let ago = u64::try_from(now - time).unwrap_or_default();
            current.checked_sub(Duration::from_nanos(ago)).unwrap_or(current)
        };
        let (drawn, shown) = grid.rhythm();
        told.send_replace(Some(Rhythm { drawn: at(drawn), shown: at(shown) }));
        self.told_at = now;
    }

    /// Codes all that waits, and ends the track.
    fn finish(mut self) {
        self.held.release();
        // A pipeline that has ended says why itself.
        let _ = self.code();
        let Self { coder, orders, .. } = self;
        coder.finish(&|| orders.current() == Order::Leave);
    }

    /// What there is to do before anything is filmed: remembers when the page drew, and
    /// warms the encoder up.
    fn get_ready(
        &mut self,
        before: &mut VecDeque<Instant>,
        is_warm: &mut bool,
    ) -> Result<(), Error> {
        // The pieces of one drawing count once.
        let last = before.front().map(Instant::elapsed);
        if self.screen.has_changed()? && last.is_none_or(|last| last > SETTLE) {
            before.truncate(BEFORE - 1);
            before.push_front(Instant::now());
        }
        // What warms the encoder up has the first times of the clock: a film that
        // is ordered afterwards begins at most a slot before that.
        let may_warm = self.coder.now().is_some_and(|now| now >= 2 * slot(self.fps));
        if *is_warm {
            return self.wait(None);
        }
        if !may_warm {
            return self.wait(Some(nanos(SETTLE)));
        }
        *is_warm = true;
        if let Some(picture) = self.screen.lend() {
            self.coder.warm_up(picture);
        }
        Ok(())
    }

    /// Whether the track is to be finished.
    fn run(&mut self) -> Result<bool, Error> {
        let mut grid: Option<Grid> = None;
        let mut ordered = None;
        let mut drawn: Option<i64> = None;
        // When the page drew lately, before it is filmed.
        let mut before: VecDeque<Instant> = VecDeque::new();
        let mut hidden = false;
        let settle = nanos(SETTLE);
        let mut is_warm = false;
        loop {
            match self.orders.current() {
                Order::Wait => {
                    self.get_ready(&mut before, &mut is_warm)?;
                    continue;
                }
                Order::Film => {}
                Order::Finish => return Ok(true),
                Order::Leave => return Ok(false),
            }
            // Without a clock there is no time yet to give a picture.
            let Some(now) = self.coder.now() else {
                self.wait(Some(settle))?;
                continue;
            };
            let ordered = if let Some(ordered) = ordered {
                ordered
            } else {
                // It is in the first picture, whenever that is.
                self.screen.has_changed()?;
                *ordered.insert(now)
            };
            let has_changed = self.screen.has_changed()?;
            let was_hidden =
                std::mem::replace(&mut hidden, self.orders.curtain.load(Ordering::SeqCst));
            if hidden {
                drawn = None;
            } else if has_changed || was_hidden {
                drawn = Some(match &grid {
                    Some(grid) => grid.better(drawn, now),
                    None => drawn.unwrap_or(now),
                });
            }
            let grid = if let Some(grid) = &mut grid {
                grid
            } else {
                // The first picture is what the page draws next; one at rest draws
                // nothing.
                let until = drawn.map_or(ordered + slot(self.fps), |drawn| drawn + settle);
                if now < until {
                    self.wait(Some(until - now))?;
                    continue;
                }
                // A thread that was late begins in the slot of now, and in the page's rhythm.
                let slot = slot(self.fps);
                let drawn = drawn.get_or_insert(now - settle);
                *drawn += (now - *drawn + slot / 2) / slot * slot;
                let drawn = *drawn;
                let before: Vec<i64> =
                    before.iter().map(|before| now - nanos(before.elapsed())).collect();
                grid.insert(Grid::beginning_with(self.fps, drawn, &before))
            };
            let settled = drawn.filter(|drawn| now - drawn >= settle);
            let step = grid.step(now, settled, self.held.has_gap(), self.coder.is_full());
            self.counts.missed.store(grid.missed(), Ordering::Relaxed);
            self.tell(grid, now);
            let shown = match step {
                Step::WaitUntil(until) => {
                    // What has settled waits for its time, and nothing else.
                    let settles = drawn.map(|drawn| drawn + settle).filter(|at| *at > now);
                    let until = settles.map_or(until, |settles| until.min(settles));
                    self.wait(Some(until - now))?;
                    continue;
                }
                Step::GrabLast => {
                    match self.grab(&mut drawn)? {
                        Some(picture) => self.held.put_last(picture),
                        // It is still to be grabbed.
                        None if drawn.is_some() => self.wait(Some(settle))?,
                        None => {}
                    }
                    continue;
                }
                Step::Grab { presentation } => {
                    let picture = self.grab(&mut drawn)?;
                    self.show(picture, presentation)
                }
                Step::Repeat { presentation } => self.show(None, presentation),
            };
            if shown.is_err() {
                // The pipeline has ended; it says why itself.
                return Ok(false);
            }
        }
    }

    /// Takes what was `drawn`. If all memory waits for the encoder the last picture stands in, and
    /// what was drawn is still to be grabbed; if nothing is different it stands in, too.
    fn grab(&mut self, drawn: &mut Option<i64>) -> Result<Option<gst::Buffer>, Error> {
        let Some(memory) = self.screen.lend() else { return Ok(None) };
        *drawn = None;
        let last = self.last().cloned();
        let picture = self.screen.grab(memory, last.as_ref())?;
        self.is_torn = false;
        Ok(picture.map(gst::Buffer::from_slice))
    }

    /// Sleeps for `nanos`, or for ever, but not past an order or a drawing.
    fn wait(&self, nanos: Option<i64>) -> Result<(), Error> {
        let timeout = nanos.map(|nanos| Timespec {
            tv_sec: nanos / 1_000_000_000,
            tv_nsec: nanos % 1_000_000_000,
        });
        let display = self.screen.told();
        let mut sources = [
            PollFd::from_borrowed_fd(display, PollFlags::IN),
            PollFd::new(&self.orders.wake, PollFlags::IN),
        ];
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::Wait(error.into())),
        }
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use gstreamer::prelude::*;

    use super::*;
    use crate::capture::{Media, pipeline};
    use crate::children::display::Display;
    use crate::config::{Size, Tools};

    /// What films a small display at rest, once it is told to.
    struct Filming {
        grabber: Grabber,
        graph: gst::Pipeline,
        counts: Arc<Counts>,
        media: tokio::sync::mpsc::Receiver<Media>,
        told: watch::Receiver<Option<Rhythm>>,
        _display: Display,
        _dir: tempfile::TempDir,
    }

    impl Filming {
        /// Whoever takes what is coded is `behind` by so much at most.
        async fn start(behind: usize) -> Self {
            gst::init().unwrap();
            let size = Size { width: 640, height: 360 };
            let dir = tempfile::tempdir().unwrap();
            let display = Display::start(&Tools::of_debian(), dir.path(), size).await.unwrap();
            let settings = Settings {
                display: display.name().to_owned(),
                frame_buffer: display.frame_buffer(),
                size,
                ..Settings::nowhere()
            };
            let graph = gst::Pipeline::new();
            let (sender, media) = tokio::sync::mpsc::channel(behind);
            let coder = Coder::new(&graph, &settings, sender, Arc::default(), None).unwrap();
            let counts = Arc::new(Counts::default());
            let counted = Arc::clone(&counts);
            let pictures = pipeline::supply(30, 1);
            let failed = |error| panic!("{error}");
            let (rhythm, told) = watch::channel(None);
            let grabber =
                Grabber::start(&settings, pictures, coder, counted, Some(rhythm), failed).unwrap();
            graph.set_state(gst::State::Playing).unwrap();
            Self { grabber, graph, counts, media, told, _display: display, _dir: dir }
        }

        async fn coded(&mut self) -> Option<Media> {
            tokio::time::timeout(HANGS, self.media.recv()).await.expect("nothing is coded")
        }

        /// Told when slots have passed.
        async fn rhythm(&mut self) -> Rhythm {
            let told = tokio::time::timeout(HANGS, self.told.wait_for(Option::is_some)).await;
            told.expect("it is not told").unwrap().unwrap()
        }
    }

    impl Drop for Filming {
        fn drop(&mut self) {
            // Nobody waits for its taker any more.
            self.media.close();
            self.graph.set_state(gst::State::Null).unwrap();
        }
    }

    const HANGS: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn the_encoder_has_coded_before_anything_is_filmed() {
        let mut filming = Filming::start(160).await;
        let first = filming.coded().await;
        assert!(matches!(first, Some(Media::Track(_))), "{first:?}");
        assert_eq!(filming.counts.captured.load(Ordering::Relaxed), 0);
        assert!(filming.media.try_recv().is_err(), "only what the track is like comes of it");

        filming.grabber.film();
        let second = filming.coded().await;
        let Some(Media::Sample(sample)) = second else { panic!("{second:?}") };
        assert!(sample.sync);
        let Rhythm { drawn, shown } = filming.rhythm().await;
        let after = drawn.duration_since(shown);
        assert!(shown < Instant::now() && after < Duration::from_millis(50), "{after:?}");
    }

    #[tokio::test]
    async fn what_is_counted_is_in_the_film() {
        let mut filming = Filming::start(160).await;
        let first = filming.coded().await;
        assert!(matches!(first, Some(Media::Track(_))), "{first:?}");
        // There is nothing yet that could be shown again.
        let curtain = filming.grabber.curtain();
        curtain.close();
        filming.grabber.film();
        filming.rhythm().await;
        curtain.open();
        let first = filming.coded().await;
        assert!(matches!(first, Some(Media::Sample(_))), "{first:?}");
        filming.grabber.finish();
        let mut coded = 1;
        while let Some(Media::Sample(_)) = filming.coded().await {
            coded += 1;
        }
        let [captured, repeated] = [&filming.counts.captured, &filming.counts.repeated]
            .map(|count| count.load(Ordering::Relaxed));
        assert_eq!(captured + repeated, coded, "{captured} and {repeated}");
    }

    #[tokio::test]
    async fn slots_stay_empty_while_the_encoder_is_full() {
        let mut filming = Filming::start(1).await;
        let first = filming.coded().await;
        assert!(matches!(first, Some(Media::Track(_))), "{first:?}");
        filming.grabber.film();
        // Nobody takes what is coded, so that the encoder stands still in the end.
        let began = Instant::now();
        while filming.counts.missed.load(Ordering::Relaxed) < 3 {
            assert!(began.elapsed() < HANGS, "it waits, or films what nobody can take");
            tokio::task::yield_now().await;
        }
        let mut times: Vec<i64> = Vec::new();
        while let Some(Media::Sample(sample)) = filming.coded().await {
            times.push(sample.presentation.0);
            // Enough for those that waited, and for some of after that.
            if times.len() == 120 {
                filming.grabber.finish();
            }
        }
        times.sort_unstable();
        let slots = |time: &[i64]| (time[1] - time[0] + slot(30) / 2) / slot(30);
        assert!(times.windows(2).any(|times| slots(times) > 3), "{times:?}");
        let empty: i64 = times.windows(2).map(|times| slots(times) - 1).sum();
        assert_eq!(empty.unsigned_abs(), filming.counts.missed.load(Ordering::Relaxed));
    }
}
