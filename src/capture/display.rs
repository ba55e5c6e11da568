//! Grabs the X display whenever something was drawn, into shared memory.
//!
//! One thread of its own: it waits for the server's word that the picture has
//! changed (XDamage), grabs what was drawn (MIT-SHM), puts it into the picture as
//! the encoder takes it (`planar.rs`) and hands that to the pipeline with the time
//! `grid.rs` gives it. While nothing is drawn it sleeps and shows the last picture
//! again. It must not know how pictures are coded.
//!
//! Not `ximagesrc`, because that samples by a timer, which beats against the
//! page's own rhythm, and because Xlib ends the process when the server dies.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gstreamer as gst;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use x11rb::connection::Connection;
use x11rb::protocol::damage::{self, ConnectionExt as _, ReportLevel};
use x11rb::protocol::shm::{self, ConnectionExt as _};
use x11rb::protocol::xfixes::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    ConfigureWindowAux, ConnectionExt as _, CreateWindowAux, ImageFormat, StackMode, Window,
    WindowClass,
};
use x11rb::rust_connection::RustConnection;

use super::areas::{self, Area};
use super::coder::{Coder, Ended};
use super::grid::{Grid, Step, slot};
use super::held::Held;
use super::planar::{Layout, PIXEL, Picture, Pool};
use super::shared::Shared;
use crate::config::Size;

/// The browser sends what it has drawn in several pieces; they are there within
/// this time after the first.
const SETTLE: Duration = Duration::from_millis(3);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the display {display} does not accept the capture")]
    Connect { display: String, source: x11rb::errors::ConnectError },
    #[error("the display is {found}, not {expected} with 24 bits a pixel")]
    Format { found: String, expected: Size },
    #[error("the display lacks an extension that the capture needs")]
    Extension(#[source] x11rb::errors::ReplyError),
    #[error("the display went away")]
    Lost(#[from] x11rb::errors::ConnectionError),
    #[error("the display could not be grabbed")]
    Grab(#[from] x11rb::errors::ReplyError),
    #[error("the display has no more ids")]
    Ids(#[from] x11rb::errors::ReplyOrIdError),
    #[error("memory for pictures could not be shared with the display")]
    Memory(#[from] std::io::Error),
}

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
    /// Connects to the display and waits for [`Grabber::film`]. So many `pictures` may
    /// be in memory behind it; `failed` is called once if the display is lost.
    pub(super) fn start(
        display: &str,
        size: Size,
        fps: u32,
        pictures: usize,
        coder: Coder,
        counts: Arc<Counts>,
        failed: impl FnOnce(Error) + Send + 'static,
    ) -> Result<Self, Error> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(std::io::Error::from)?;
        let orders = Arc::new(Orders {
            order: AtomicU8::new(Order::Wait as u8),
            curtain: AtomicBool::new(false),
            wake,
        });
        let screen = Screen::open(display, size, pictures)?;
        let orders_of_film = Arc::clone(&orders);
        let held = Held::new(fps);
        let mut film =
            Film { screen, coder, counts, orders: orders_of_film, fps, held, is_torn: false };
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
}

impl Film {
    /// The picture that was grabbed last, unless it was left out.
    fn last(&self) -> Option<&gst::Buffer> {
        self.held.last().or_else(|| self.coder.last()).filter(|_| !self.is_torn)
    }

    /// Puts a picture, or the one before it, into a slot.
    fn show(&mut self, picture: Option<gst::Buffer>, presentation: i64) -> Result<(), Ended> {
        let counter = if picture.is_some() { &self.counts.captured } else { &self.counts.repeated };
        counter.fetch_add(1, Ordering::Relaxed);
        self.held.put(picture, presentation);
        self.code()
    }

    /// Codes what has waited long enough.
    fn code(&mut self) -> Result<(), Ended> {
        let Self { coder, counts, orders, held, is_torn, .. } = self;
        if orders.curtain.load(Ordering::SeqCst) {
            let left_out = held.leave_out();
            *is_torn |= left_out > 0;
            counts.captured.fetch_sub(left_out, Ordering::Relaxed);
            counts.repeated.fetch_add(left_out, Ordering::Relaxed);
        }
        while let Some((picture, presentation)) = held.next() {
            coder.show(picture, presentation, &|| orders.current() == Order::Leave)?;
        }
        Ok(())
    }

    /// Codes all that waits, and ends the track.
    fn finish(mut self) {
        self.held.release();
        // A pipeline that has ended says why itself.
        let _ = self.code();
        let Self { coder, orders, .. } = self;
        coder.finish(&|| orders.current() == Order::Leave);
    }

    /// Whether the track is to be finished.
    fn run(&mut self) -> Result<bool, Error> {
        let mut grid: Option<Grid> = None;
        let mut ordered = None;
        let mut drawn = None;
        let mut hidden = false;
        let settle = i64::try_from(SETTLE.as_nanos()).expect("a few milliseconds");
        loop {
            match self.orders.current() {
                Order::Wait => {
                    // What the display says has to be read, or it would end each wait.
                    self.screen.has_changed()?;
                    self.wait(None)?;
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
            let mut waited_for = None;
            let ordered = if let Some(ordered) = ordered {
                ordered
            } else {
                self.screen.forget(x11rb::NONE)?;
                *ordered.insert(now)
            };
            let has_changed = self.screen.has_changed()?;
            let was_hidden =
                std::mem::replace(&mut hidden, self.orders.curtain.load(Ordering::SeqCst));
            if hidden {
                drawn = None;
            } else if has_changed || was_hidden {
                drawn.get_or_insert(now);
            }
            let grid = if let Some(grid) = &mut grid {
                grid
            } else {
                // The first picture that the page draws gives the rhythm; one at rest
                // draws none.
                let until = drawn.map_or(ordered + slot(self.fps), |drawn| drawn + settle);
                if now < until {
                    self.wait(Some(until - now))?;
                    continue;
                }
                let drawn = *drawn.get_or_insert(now - settle);
                grid.insert(Grid::beginning_with(self.fps, drawn))
            };
            let settled = drawn.filter(|drawn| now - drawn >= settle);
            let step = match grid.step(now, settled) {
                Step::WaitUntil(until) => {
                    let until = drawn.map_or(until, |drawn| until.min(drawn + settle));
                    waited_for = Some(until.max(now + 1) - now);
                    None
                }
                Step::Grab { presentation } => Some((presentation, true)),
                Step::Repeat { presentation } => Some((presentation, false)),
            };
            self.counts.missed.store(grid.missed(), Ordering::Relaxed);
            let Some((presentation, grab)) = step else {
                self.wait(waited_for)?;
                continue;
            };
            // If all memory waits for the encoder the last picture stands in, and what
            // was drawn is still to be grabbed; so it does if nothing is different.
            let memory = if grab { self.screen.pool.lend() } else { None };
            let picture = match memory {
                Some(memory) => {
                    drawn = None;
                    let last = self.last().cloned();
                    let picture = self.screen.grab(memory, last.as_ref())?;
                    self.is_torn = false;
                    picture
                }
                None => None,
            };
            if self.show(picture.map(gst::Buffer::from_slice), presentation).is_err() {
                // The pipeline has ended; it says why itself.
                return Ok(false);
            }
        }
    }

    /// Sleeps for `nanos`, or for ever, but not past an order or a drawing.
    fn wait(&self, nanos: Option<i64>) -> Result<(), Error> {
        let timeout = nanos.map(|nanos| Timespec {
            tv_sec: nanos / 1_000_000_000,
            tv_nsec: nanos % 1_000_000_000,
        });
        let display = self.screen.connection.stream();
        let mut sources =
            [PollFd::new(display, PollFlags::IN), PollFd::new(&self.orders.wake, PollFlags::IN)];
        match poll(&mut sources, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::Memory(error.into())),
        }
    }
}

/// Puts a window without background under all others: where the browser's window
/// goes away, the picture stays as it was. Under the root window it would turn black.
fn lay_floor(
    connection: &RustConnection,
    root: Window,
    visual: u32,
    size: Size,
) -> Result<(), Error> {
    let floor = connection.generate_id()?;
    let look = CreateWindowAux::new().background_pixmap(x11rb::NONE).override_redirect(1);
    let (Size { width, height }, class) = (size, WindowClass::INPUT_OUTPUT);
    connection
        .create_window(24, floor, root, 0, 0, width, height, 0, class, visual, &look)?
        .check()?;
    let lowest = ConfigureWindowAux::new().stack_mode(StackMode::BELOW);
    connection.configure_window(floor, &lowest)?.check()?;
    connection.map_window(floor)?.check()?;
    Ok(())
}

/// The connection to the display and all that lives in it.
struct Screen {
    connection: RustConnection,
    root: Window,
    size: Size,
    damage: damage::Damage,
    /// Takes what was drawn.
    drawn: xfixes::Region,
    /// Which request made the server forget what was drawn before the last picture.
    forgotten: u64,
    /// What the server writes to.
    shared: Shared,
    segment: shm::Seg,
    layout: Layout,
    pool: Pool,
}

impl Screen {
    fn open(display: &str, size: Size, pictures: usize) -> Result<Self, Error> {
        let (connection, number) = x11rb::connect(Some(display))
            .map_err(|source| Error::Connect { display: display.into(), source })?;
        let screen = &connection.setup().roots[number];
        let root = screen.root;
        let (width, height, depth) =
            (screen.width_in_pixels, screen.height_in_pixels, screen.root_depth);
        if (width, height, depth) != (size.width, size.height, 24) {
            let found = format!("{width}x{height} with {depth} bits");
            return Err(Error::Format { found, expected: size });
        }
        // Each extension wants to hear first which version of it is meant.
        connection.xfixes_query_version(5, 0)?.reply().map_err(Error::Extension)?;
        connection.damage_query_version(1, 1)?.reply().map_err(Error::Extension)?;
        connection.shm_query_version()?.reply().map_err(Error::Extension)?;
        lay_floor(&connection, root, screen.root_visual, size)?;
        let damage = connection.generate_id()?;
        connection.damage_create(damage, root, ReportLevel::NON_EMPTY)?.check()?;
        let drawn = connection.generate_id()?;
        connection.xfixes_create_region(drawn, &[])?.check()?;
        let (shared, file) = Shared::new(Area::whole(size).pixels() * PIXEL)?;
        let segment = connection.generate_id()?;
        connection.shm_attach_fd(segment, file, false)?.check()?;
        let layout = Layout::new(size);
        let pool = Pool::new(pictures, layout.len);
        Ok(Self {
            connection,
            root,
            size,
            damage,
            drawn,
            forgotten: 0,
            shared,
            segment,
            layout,
            pool,
        })
    }

    /// Whether something was drawn since the last grab.
    fn has_changed(&self) -> Result<bool, Error> {
        let mut changed = false;
        // The only events this connection asked for. One that the server sent before it
        // forgot the damage tells of what is in the last picture already.
        while let Some((_, sequence)) = self.connection.poll_for_event_with_sequence()? {
            changed |= sequence >= self.forgotten;
        }
        Ok(changed)
    }

    /// Lets the server forget what was drawn until now; `region` takes it, if there is one.
    fn forget(&mut self, region: xfixes::Region) -> Result<(), Error> {
        let forget = self.connection.damage_subtract(self.damage, x11rb::NONE, region)?;
        self.forgotten = forget.sequence_number();
        Ok(())
    }

    /// The picture of this moment, unless it is `last`.
    fn grab(
        &mut self,
        mut picture: Picture,
        last: Option<&gst::Buffer>,
    ) -> Result<Option<Picture>, Error> {
        // First forget the damage, then look: what is drawn in between is told again.
        self.forget(self.drawn)?;
        let drawn = self.connection.xfixes_fetch_region(self.drawn)?.reply()?.rectangles;
        let whole = Area::whole(self.size);
        let last = last.and_then(|last| last.map_readable().ok());
        let areas = if last.is_some() {
            let drawn = drawn.iter().map(|one| (one.x, one.y, one.width, one.height));
            areas::cover(drawn, self.size)
        } else {
            vec![whole]
        };
        if areas.is_empty() {
            return Ok(None);
        }
        if let Some(last) = last.filter(|_| areas != [whole]) {
            picture.as_mut().copy_from_slice(&last);
        }
        // All are asked for before the first is waited for.
        let mut asked = Vec::with_capacity(areas.len());
        let mut start = 0;
        for area in areas {
            let (Area { x, y, width, height }, offset) = (area, start);
            let (x, y) = (x.cast_signed(), y.cast_signed());
            let at = u32::try_from(offset).expect("a screen is no larger");
            let (format, segment) = (ImageFormat::Z_PIXMAP.into(), self.segment);
            let answer = self
                .connection
                .shm_get_image(self.root, x, y, width, height, !0, format, segment, at)?;
            start += area.pixels() * PIXEL;
            asked.push((area, offset..start, answer));
        }
        for (area, place, answer) in asked {
            answer.reply()?;
            self.layout.put(area, &self.shared.as_ref()[place], picture.as_mut());
        }
        Ok(Some(picture))
    }
}

#[cfg(test)]
mod tests {
    use x11rb::protocol::xproto::{ChangeGCAux, CreateGCAux, Rectangle};

    use super::*;
    use crate::children::display::Display;
    use crate::config::Tools;

    const SIZE: Size = Size { width: 640, height: 360 };

    /// Another client of the display, which draws on a window of its own.
    struct Painter {
        connection: RustConnection,
        window: Window,
        gc: u32,
    }

    impl Painter {
        fn new(display: &str) -> Self {
            let (connection, number) = x11rb::connect(Some(display)).unwrap();
            let screen = &connection.setup().roots[number];
            let (window, gc) =
                (connection.generate_id().unwrap(), connection.generate_id().unwrap());
            let look = CreateWindowAux::new().override_redirect(1).background_pixel(0);
            let (Size { width, height }, class) = (SIZE, WindowClass::INPUT_OUTPUT);
            let (root, visual) = (screen.root, screen.root_visual);
            let made = connection
                .create_window(24, window, root, 0, 0, width, height, 0, class, visual, &look);
            made.unwrap().check().unwrap();
            connection.map_window(window).unwrap().check().unwrap();
            connection.create_gc(gc, window, &CreateGCAux::new()).unwrap().check().unwrap();
            Self { connection, window, gc }
        }

        /// Returns when the display has it.
        fn fill(&self, x: i16, y: i16, width: u16, height: u16, colour: u32) {
            let Self { connection, window, gc } = self;
            let gc_colour = ChangeGCAux::new().foreground(colour);
            connection.change_gc(*gc, &gc_colour).unwrap();
            let area = Rectangle { x, y, width, height };
            let drawn = connection.poly_fill_rectangle(*window, *gc, &[area]);
            drawn.unwrap().check().unwrap();
        }
    }

    fn grabbed(screen: &mut Screen, last: Option<&gst::Buffer>) -> Option<gst::Buffer> {
        let memory = screen.pool.lend().unwrap();
        screen.grab(memory, last).unwrap().map(gst::Buffer::from_slice)
    }

    fn luma(picture: &gst::Buffer, x: usize, y: usize) -> u8 {
        picture.map_readable().unwrap()[y * usize::from(SIZE.width) + x]
    }

    /// After everything that the display had to tell before.
    fn has_changed(screen: &Screen) -> bool {
        screen.connection.get_input_focus().unwrap().reply().unwrap();
        screen.has_changed().unwrap()
    }

    #[tokio::test]
    async fn what_was_drawn_is_told_of_once_and_grabbed_alone() {
        gst::init().unwrap();
        let tools = Tools {
            firefox: "firefox-esr".into(),
            firefox_cache: None,
            geckodriver: "geckodriver".into(),
            xvfb: "Xvfb".into(),
            pulseaudio: "pulseaudio".into(),
            search_path: "/usr/bin:/bin".into(),
        };
        let display = Display::start(&tools, SIZE).await.unwrap();
        let mut screen = Screen::open(display.name(), SIZE, 4).unwrap();
        let painter = Painter::new(display.name());
        painter.fill(0, 0, 640, 360, 0);

        let first = grabbed(&mut screen, None).unwrap();
        assert_eq!(luma(&first, 100, 100), 16);
        assert!(!has_changed(&screen), "it was drawn before the first picture");

        painter.fill(10, 20, 30, 40, 0x00ff_ffff);
        assert!(has_changed(&screen));
        let second = grabbed(&mut screen, Some(&first)).unwrap();
        for (x, y, expected) in [(10, 20, 235), (39, 59, 235), (40, 59, 16), (500, 300, 16)] {
            assert_eq!(luma(&second, x, y), expected, "{x},{y}");
        }

        // Drawn after somebody had looked, and in the picture all the same.
        painter.fill(500, 300, 2, 2, 0x00ff_ffff);
        let third = grabbed(&mut screen, Some(&second)).unwrap();
        assert_eq!((luma(&third, 500, 300), luma(&third, 10, 20)), (235, 235));
        assert!(!has_changed(&screen), "it is in the third picture");
        assert!(grabbed(&mut screen, Some(&third)).is_none(), "nothing was drawn");
    }
}
