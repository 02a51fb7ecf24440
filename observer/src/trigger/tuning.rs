//! The thresholds: what is given in the configuration, with the defaults that docs/incidents.md explains.

/// A second in nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;

/// The thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tuning {
    /// Incidents are opened without being asked for.
    pub(crate) enabled: bool,
    /// So many failed attempts on an edge within half a minute are a burst.
    pub(crate) connect_failures: u64,
    /// So many percent of an edge's segments lost are a bad way.
    pub(crate) lost_percent: u64,
    /// So many connections that the server reset within half a minute are a burst.
    pub(crate) resets: u64,
    /// An edge that takes so many times as long as it used to is slow.
    pub(crate) latency_factor: u64,
    /// A connection that nobody accepts for so long is a stall, in nanoseconds.
    pub(crate) unaccepted_ns: u64,
    /// Data that nobody reads for so long is one.
    pub(crate) unread_ns: u64,
    /// A container that is younger than this may still be about to start, and so may an edge without any success.
    pub(crate) start_up_ns: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            enabled: true,
            connect_failures: 10,
            lost_percent: 5,
            resets: 20,
            latency_factor: 3,
            unaccepted_ns: 3 * SECOND,
            unread_ns: 15 * SECOND,
            start_up_ns: 60 * SECOND,
        }
    }
}
