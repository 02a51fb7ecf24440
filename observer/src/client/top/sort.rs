//! What the rows of a page are sorted by, and in which turn `s` goes through it.

use observer_proto::v1::ConnectionOrder;

use super::super::summary::Sort;

/// What comes first, from large to small but for the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum By {
    /// What fails, then what is lost, then what takes long.
    #[default]
    Worst,
    /// Restarts of containers.
    Restarts,
    /// Connections that failed.
    Failed,
    /// Segments sent again.
    Retransmits,
    /// Resets.
    Resets,
    /// Handshake latency.
    Handshake,
    /// Round-trip time.
    Rtt,
    /// Bytes in both directions.
    Bytes,
    /// Connections opened.
    Opened,
    /// The name.
    Name,
}

impl By {
    /// As the title says it.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Worst => "worst first",
            Self::Restarts => "by restarts",
            Self::Failed => "by failed connects",
            Self::Retransmits => "by retransmits",
            Self::Resets => "by resets",
            Self::Handshake => "by handshake latency",
            Self::Rtt => "by round-trip time",
            Self::Bytes => "by bytes",
            Self::Opened => "by opened connections",
            Self::Name => "by name",
        }
    }

    /// The next one of those that a page has.
    pub(super) fn next(self, all: &[Self]) -> Self {
        let at = all.iter().position(|by| *by == self).map_or(0, |at| at + 1);
        all.get(at).or(all.first()).copied().unwrap_or_default()
    }

    /// The same for summaries; restarts are not in them.
    pub(super) const fn of_summaries(self) -> Sort {
        match self {
            Self::Worst | Self::Restarts => Sort::Worst,
            Self::Failed => Sort::Failed,
            Self::Retransmits => Sort::Retransmits,
            Self::Resets => Sort::Resets,
            Self::Handshake => Sort::Handshake,
            Self::Rtt => Sort::Rtt,
            Self::Bytes => Sort::Bytes,
            Self::Opened => Sort::Opened,
            Self::Name => Sort::Name,
        }
    }

    /// The same for connections; the worst first where they have no such figure.
    pub(super) const fn of_connections(self) -> ConnectionOrder {
        match self {
            Self::Retransmits => ConnectionOrder::Retransmits,
            Self::Handshake => ConnectionOrder::Handshake,
            Self::Rtt => ConnectionOrder::Rtt,
            Self::Bytes => ConnectionOrder::Bytes,
            Self::Worst | Self::Restarts | Self::Failed | Self::Resets | Self::Opened | Self::Name => {
                ConnectionOrder::Unspecified
            }
        }
    }
}

/// Of workloads.
pub(super) const WORKLOADS: [By; 10] = [
    By::Worst,
    By::Restarts,
    By::Failed,
    By::Retransmits,
    By::Resets,
    By::Handshake,
    By::Rtt,
    By::Bytes,
    By::Opened,
    By::Name,
];

/// Of edges.
pub(super) const EDGES: [By; 9] = [
    By::Worst,
    By::Failed,
    By::Retransmits,
    By::Resets,
    By::Handshake,
    By::Rtt,
    By::Bytes,
    By::Opened,
    By::Name,
];

/// Of one workload's edges and connections: what both have.
pub(super) const BOTH: [By; 5] = [By::Worst, By::Retransmits, By::Handshake, By::Rtt, By::Bytes];
