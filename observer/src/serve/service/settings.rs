//! What the service has to know.

use std::time::Duration;

use crate::event::WallTime;

/// What the service has to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// This node's name.
    pub(crate) node_name: String,
    /// The summaries' window where the client names none: whole seconds.
    pub(crate) window: Duration,
    /// Events on their way to one subscriber. What does not fit is lost to that subscriber.
    pub(crate) queue_capacity: usize,
    /// How many bytes these may take.
    pub(crate) queue_bytes: usize,
    /// When the daemon started: told at the beginning of each stream.
    pub(crate) start_time: WallTime,
}

impl Settings {
    /// The defaults for a node.
    pub(crate) fn new(node_name: String) -> Self {
        let start_time = WallTime::default();
        Self {
            node_name,
            window: Duration::from_secs(10),
            queue_capacity: 16_384,
            queue_bytes: 16 << 20,
            start_time,
        }
    }
}
