//! Keeps the process alive when the display is lost.
//!
//! Xlib, with which GStreamer grabs the display, ends the whole process when the
//! X server is gone, and with it a recording that could still be completed.
//! It offers one way out: a handler that never returns. So the thread that
//! noticed stays where it is, and whoever waits for it has a deadline.

use std::ffi::{c_int, c_void};

type Handler = extern "C" fn(display: *mut c_void) -> c_int;

#[expect(unsafe_code, reason = "Xlib is a C library")]
#[link(name = "X11")]
unsafe extern "C" {
    fn XSetIOErrorHandler(handler: Option<Handler>) -> Option<Handler>;
}

/// From now on the loss of a display ends a thread, not the process.
#[expect(unsafe_code, reason = "Xlib is a C library")]
pub(super) fn survive_loss_of_display() {
    // SAFETY: it stores a pointer to a function that lives as long as the
    // process; a second call stores the same one.
    unsafe { XSetIOErrorHandler(Some(hold_thread)) };
}

extern "C" fn hold_thread(_display: *mut c_void) -> c_int {
    tracing::warn!("the connection to the display is lost");
    loop {
        std::thread::park();
    }
}
