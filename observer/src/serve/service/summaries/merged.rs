//! Base windows put together to the windows that somebody wants.

use crate::event::{BootTime, Window};

/// The window that is not complete yet.
#[derive(Debug)]
pub(crate) struct Merged {
    length_ns: u64,
    open: Option<Window>,
}

impl Merged {
    /// Windows of that length.
    pub(crate) const fn new(length_ns: u64) -> Self {
        Self { length_ns, open: None }
    }

    /// Adds a base window, and gives those that have ended. A window ends when it is long enough, or when the next base window
    /// begins after its end, because the machine slept or whoever wants it was too slow.
    pub(crate) fn add(&mut self, window: &Window) -> Vec<Window> {
        let mut ended = Vec::new();
        match &mut self.open {
            Some(open) if window.start.since_ns(open.start) < self.length_ns => open.merge(window),
            _ => ended.extend(self.open.replace(Window::clone(window))),
        }
        if self.open.as_ref().is_some_and(|open| open.length_ns >= self.length_ns) {
            ended.extend(self.finish());
        }
        ended
    }

    /// Whether the open window has that moment, once it is complete.
    pub(crate) fn has(&self, time: BootTime) -> bool {
        self.open.as_ref().is_some_and(|open| time.since_ns(open.start) < self.length_ns)
    }

    /// The open window, though it is not complete.
    pub(crate) fn finish(&mut self) -> Option<Window> {
        self.open.take()
    }
}
