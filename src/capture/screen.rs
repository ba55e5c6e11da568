//! The X display: what was drawn on it, and pictures of it.
//!
//! The server tells what has changed (XDamage) and draws in memory that is ours to read
//! (`frame_buffer.rs`); `planar.rs` turns that into a picture as the encoder takes it. It must
//! not know when pictures are taken.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use gstreamer as gst;
use x11rb::connection::Connection;
use x11rb::protocol::damage::{self, ConnectionExt as _, ReportLevel};
use x11rb::protocol::xfixes::{self, ConnectionExt as _};
use x11rb::protocol::xproto::{
    ConfigureWindowAux, ConnectionExt as _, CreateWindowAux, StackMode, Window, WindowClass,
};
use x11rb::rust_connection::RustConnection;

use super::Settings;
use super::areas::{self, Area};
use super::frame_buffer::FrameBuffer;
use super::planar::{Layout, Picture, Pool, Supply};
use crate::config::Size;

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
    #[error("the display's frame buffer {} cannot be read", path.display())]
    FrameBuffer { path: PathBuf, source: std::io::Error },
    #[error("there is no memory for the pictures")]
    Memory(#[source] std::io::Error),
    #[error("the display could not be waited for")]
    Wait(#[from] std::io::Error),
}

/// While this lives the server serves nobody but us: nothing is drawn.
struct Still<'a>(&'a RustConnection);

impl<'a> Still<'a> {
    /// From the next answer of the server on.
    fn order(connection: &'a RustConnection) -> Result<Self, Error> {
        connection.grab_server()?;
        Ok(Self(connection))
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        // The server lets go of a connection that is lost.
        let _ = self.0.ungrab_server().map(|_| self.0.flush());
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
pub(super) struct Screen {
    connection: RustConnection,
    size: Size,
    damage: damage::Damage,
    /// What was drawn and is in no picture yet, and the newest part of it.
    drawn: xfixes::Region,
    lately: xfixes::Region,
    /// Which request made the server forget what was drawn before the last picture.
    forgotten: u64,
    frame_buffer: FrameBuffer,
    layout: Layout,
    pool: Pool,
}

impl Screen {
    pub(super) fn open(settings: &Settings, pictures: Supply) -> Result<Self, Error> {
        let &Settings { ref display, ref frame_buffer, size, .. } = settings;
        let (connection, number) = x11rb::connect(Some(display))
            .map_err(|source| Error::Connect { display: display.clone(), source })?;
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
        lay_floor(&connection, root, screen.root_visual, size)?;
        let damage = connection.generate_id()?;
        connection.damage_create(damage, root, ReportLevel::NON_EMPTY)?.check()?;
        let drawn = connection.generate_id()?;
        let lately = connection.generate_id()?;
        for region in [drawn, lately] {
            connection.xfixes_create_region(region, &[])?.check()?;
        }
        let frame_buffer = FrameBuffer::open(frame_buffer, size)
            .map_err(|source| Error::FrameBuffer { path: frame_buffer.into(), source })?;
        let layout = Layout::new(size);
        let pool = Pool::new(pictures, layout.len).map_err(Error::Memory)?;
        Ok(Self {
            connection,
            size,
            damage,
            drawn,
            lately,
            forgotten: 0,
            frame_buffer,
            layout,
            pool,
        })
    }

    /// Readable when the display has something to tell.
    pub(super) fn told(&self) -> BorrowedFd<'_> {
        self.connection.stream().as_fd()
    }

    /// The memory of a picture, if there is any left.
    pub(super) fn lend(&self) -> Option<Picture> {
        self.pool.lend()
    }

    /// Whether something was drawn since this was asked last, or since the last grab.
    pub(super) fn has_changed(&mut self) -> Result<bool, Error> {
        let mut changed = false;
        // The only events this connection asked for. One that the server sent before it
        // forgot the damage tells of what is in the last picture already.
        while let Some((_, sequence)) = self.connection.poll_for_event_with_sequence()? {
            changed |= sequence >= self.forgotten;
        }
        if changed {
            self.gather()?;
            self.connection.flush()?;
        }
        Ok(changed)
    }

    /// Lets the server forget what was drawn until now, and so tell what is drawn next.
    fn gather(&mut self) -> Result<(), Error> {
        let Self { connection, damage, drawn, lately, .. } = self;
        let forget = connection.damage_subtract(*damage, x11rb::NONE, *lately)?;
        self.forgotten = forget.sequence_number();
        connection.xfixes_union_region(*drawn, *lately, *drawn)?;
        Ok(())
    }

    /// The picture of this moment, unless it is `last`.
    pub(super) fn grab(
        &mut self,
        mut picture: Picture,
        last: Option<&gst::Buffer>,
    ) -> Result<Option<Picture>, Error> {
        self.gather()?;
        let Self { connection, drawn, frame_buffer, layout, size, .. } = self;
        // What is drawn from here on waits, and is told of again.
        let still = Still::order(connection)?;
        let areas = connection.xfixes_fetch_region(*drawn)?;
        connection.xfixes_set_region(*drawn, &[])?;
        let drawn = areas.reply()?.rectangles;
        let whole = Area::whole(*size);
        let last = last.and_then(|last| last.map_readable().ok());
        let areas = if last.is_some() {
            let drawn = drawn.iter().map(|one| (one.x, one.y, one.width, one.height));
            areas::cover(drawn, *size)
        } else {
            vec![whole]
        };
        if areas.is_empty() {
            return Ok(None);
        }
        if let Some(last) = last.filter(|_| areas != [whole]) {
            picture.as_mut().copy_from_slice(&last);
        }
        for area in areas {
            layout.put(area, frame_buffer.at_rest(), picture.as_mut());
        }
        drop(still);
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
    fn has_changed(screen: &mut Screen) -> bool {
        screen.connection.get_input_focus().unwrap().reply().unwrap();
        screen.has_changed().unwrap()
    }

    #[tokio::test]
    async fn what_was_drawn_is_told_of_once_and_grabbed_alone() {
        gst::init().unwrap();
        let tools = Tools::of_debian();
        let dir = tempfile::tempdir().unwrap();
        let display = Display::start(&tools, dir.path(), SIZE).await.unwrap();
        let settings = Settings {
            display: display.name().to_owned(),
            frame_buffer: display.frame_buffer(),
            size: SIZE,
            ..Settings::nowhere()
        };
        let mut screen = Screen::open(&settings, Supply { ready: 4, spare: 0 }).unwrap();
        let painter = Painter::new(display.name());
        painter.fill(0, 0, 640, 360, 0);

        let first = grabbed(&mut screen, None).unwrap();
        assert_eq!(luma(&first, 100, 100), 16);
        assert!(!has_changed(&mut screen), "it was drawn before the first picture");

        painter.fill(10, 20, 30, 40, 0x00ff_ffff);
        assert!(has_changed(&mut screen));
        let second = grabbed(&mut screen, Some(&first)).unwrap();
        for (x, y, expected) in [(10, 20, 235), (39, 59, 235), (40, 59, 16), (500, 300, 16)] {
            assert_eq!(luma(&second, x, y), expected, "{x},{y}");
        }

        // Drawn after somebody had looked, and in the picture all the same.
        painter.fill(500, 300, 2, 2, 0x00ff_ffff);
        let third = grabbed(&mut screen, Some(&second)).unwrap();
        assert_eq!((luma(&third, 500, 300), luma(&third, 10, 20)), (235, 235));
        assert!(!has_changed(&mut screen), "it is in the third picture");
        assert!(grabbed(&mut screen, Some(&third)).is_none(), "nothing was drawn");
    }
}
