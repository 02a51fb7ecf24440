//! What travels through a queue.

use std::sync::Arc;

use crate::event::{Event, FoldNotice, Loss, Now, Window};
use crate::serve::history::Reach;
use crate::wire::Published;

/// What travels to a stream. Most are events, so all else is behind a pointer: a hundred clients may have a place for
/// each of 8,192.
#[derive(Debug)]
pub(crate) enum Item {
    /// The subscription stands: what comes after the event with this number is seen.
    Connected {
        after: u64,
    },
    /// There is no room for another subscription.
    Refused {
        subscribers: usize,
    },
    /// What was asked for is not all in memory: it is to be read from what is recorded.
    Elsewhere,
    /// How far back the memory reaches.
    History(Box<Reach>),
    /// Of what is in memory.
    Page(Box<Page>),
    Event(Arc<Published>),
    /// The newest of what is in memory.
    Windows(Box<Past>),
    Window(Box<(Arc<Window>, Now)>),
    Lost(Box<(Loss, Now)>),
    Folded(Box<(Arc<FoldNotice>, Now)>),
}

const _: () = assert!(size_of::<Item>() == 16);

/// Some events of the memory.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) events: Vec<Arc<Event>>,
    /// There are more, to be asked for when these are sent.
    pub(crate) more: bool,
}

/// The windows that are in memory, at some moment.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) newest: Vec<Arc<Window>>,
    pub(crate) now: Now,
}

impl Item {
    /// About so many bytes are kept while it waits; what others wait for as well is counted for each.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Event(published) => published.bytes,
            Self::Connected { .. }
            | Self::Refused { .. }
            | Self::Elsewhere
            | Self::History(_)
            | Self::Page(_)
            | Self::Windows(_)
            | Self::Window(_)
            | Self::Lost(_)
            | Self::Folded(_) => size_of::<Self>(),
        }
    }
}
