//! What is compared: each figure is a ratio of two sums over windows, so that windows can be dealt anew by adding.

use super::PartOf;
use crate::aggregate::Histogram;
use crate::event::{Ending, ProcessSummary, TcpSummary};

/// What ends a container that is to end, and what a shell says of that.
const SIGTERM: u8 = 15;
const TERMINATED: u8 = 128 + SIGTERM;

/// A figure of an edge or a workload. Those that tell trouble come first, the gravest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Figure {
    /// The share of attempts to connect that failed.
    ConnectFailures,
    /// Containers that failed as they ended, and OOM kills.
    ContainerEnds,
    /// Resets, either way.
    Resets,
    /// The share of segments that were sent again.
    Retransmits,
    /// Half of the handshakes took at most so long.
    HandshakeP50,
    /// Nine tenths of the handshakes took at most so long.
    HandshakeP90,
    /// The same of round trips.
    RttP50,
    RttP90,
    /// Half of the connections that ended lived at most so long.
    DurationP50,
    /// Attempts to connect, and connections that were accepted.
    Connects,
    /// Payload, both ways.
    Bytes,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A part of a whole, from 0 to 1.
    Share,
    /// So many a second.
    PerSecond,
    /// So many bytes a second.
    BytesPerSecond,
    /// Nanoseconds.
    Nanoseconds,
}

/// How many figures there are.
pub(super) const COUNT: usize = Figure::ALL.len();

impl Figure {
    pub(crate) const ALL: [Self; 11] = [
        Self::ConnectFailures,
        Self::ContainerEnds,
        Self::Resets,
        Self::Retransmits,
        Self::HandshakeP50,
        Self::HandshakeP90,
        Self::RttP50,
        Self::RttP90,
        Self::DurationP50,
        Self::Connects,
        Self::Bytes,
    ];

    /// As the API and the client call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ConnectFailures => "connect_failures",
            Self::ContainerEnds => "container_ends",
            Self::Resets => "resets",
            Self::Retransmits => "retransmits",
            Self::HandshakeP50 => "handshake_p50",
            Self::HandshakeP90 => "handshake_p90",
            Self::RttP50 => "rtt_p50",
            Self::RttP90 => "rtt_p90",
            Self::DurationP50 => "duration_p50",
            Self::Connects => "connects",
            Self::Bytes => "bytes",
        }
    }

    pub(crate) const fn unit(self) -> Unit {
        match self {
            Self::ConnectFailures | Self::Retransmits => Unit::Share,
            Self::ContainerEnds | Self::Resets | Self::Connects => Unit::PerSecond,
            Self::HandshakeP50 | Self::HandshakeP90 | Self::RttP50 | Self::RttP90 | Self::DurationP50 => {
                Unit::Nanoseconds
            }
            Self::Bytes => Unit::BytesPerSecond,
        }
    }

    /// More of it is worse. Of the others nobody can tell: they say how much was asked.
    pub(crate) const fn tells_trouble(self) -> bool {
        !matches!(self, Self::DurationP50 | Self::Connects | Self::Bytes)
    }

    /// It goes up and down in waves that are longer than a window, on any day: what is seen of them on one side is taken
    /// off what the two sides differ by. Errors come in bursts, too, but those are what is looked for.
    pub(super) const fn comes_in_waves(self) -> bool {
        !matches!(self, Self::ConnectFailures | Self::ContainerEnds | Self::Resets | Self::Retransmits)
    }
}

/// The whole of one side.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(super) attempts: u64,
    failed: u64,
    ends: u64,
    resets: u64,
    segments: u64,
    again: u64,
    bytes: u64,
    /// Handshakes, round trips, durations.
    pub(super) times: [Histogram; 3],
    /// Windows that have something of it.
    pub(super) windows: u64,
}

impl Totals {
    pub(super) fn add(&mut self, part: PartOf<'_>) {
        let PartOf { tcp, processes } = part;
        self.attempts += tcp.opened + tcp.failed;
        self.failed += tcp.failed;
        self.ends += ends(processes);
        self.resets += resets(tcp);
        self.segments += tcp.sent_segments;
        self.again += tcp.retransmitted_segments;
        self.bytes += tcp.sent_bytes + tcp.received_bytes;
        for (sum, of) in self.times.iter_mut().zip([&tcp.handshake_latency, &tcp.rtt, &tcp.duration]) {
            sum.merge(of);
        }
        self.windows += 1;
    }

    /// Who did more matters more.
    pub(super) const fn much(&self) -> (u64, u64) {
        (self.attempts, self.segments)
    }

    /// The figure of so many seconds; `None` where there is nothing to make it of.
    pub(super) fn figure(&self, figure: Figure, seconds: f64) -> Option<f64> {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let rate = |count: u64| (seconds > 0.0).then(|| count as f64 / seconds);
        let quantile = |of: usize, q| self.times[of].quantile(q).map(|ns| ns as f64);
        match figure {
            Figure::ConnectFailures => share(self.failed, self.attempts),
            Figure::ContainerEnds => rate(self.ends),
            Figure::Resets => rate(self.resets),
            Figure::Retransmits => share(self.again, self.segments),
            Figure::HandshakeP50 => quantile(0, 0.5),
            Figure::HandshakeP90 => quantile(0, 0.9),
            Figure::RttP50 => quantile(1, 0.5),
            Figure::RttP90 => quantile(1, 0.9),
            Figure::DurationP50 => quantile(2, 0.5),
            Figure::Connects => rate(self.attempts),
            Figure::Bytes => rate(self.bytes),
        }
    }

    /// So many of what the figure is made of.
    pub(super) fn cases(&self, figure: Figure) -> u64 {
        match figure {
            Figure::ConnectFailures | Figure::Connects | Figure::Resets => self.attempts + self.resets,
            Figure::Retransmits => self.segments,
            Figure::HandshakeP50 | Figure::HandshakeP90 => self.times[0].count(),
            Figure::RttP50 | Figure::RttP90 => self.times[1].count(),
            Figure::DurationP50 => self.times[2].count(),
            Figure::Bytes => self.bytes,
            Figure::ContainerEnds => self.ends,
        }
    }
}

/// The quantiles of both sides together: the median and the nine tenths of each kind of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cuts([[u64; 2]; 3]);

impl Cuts {
    pub(super) fn of(totals: &[Totals; 2]) -> Self {
        let mut cuts = [[0; 2]; 3];
        for (kind, cuts) in cuts.iter_mut().enumerate() {
            let mut both = totals[0].times[kind].clone();
            both.merge(&totals[1].times[kind]);
            *cuts = [0.5, 0.9].map(|q| both.quantile(q).unwrap_or(0));
        }
        Self(cuts)
    }
}

/// What one window adds to each figure: to the upper and to the lower part of its ratio. Where the lower part is time, it
/// is 0 here and that of the window itself counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sums {
    pub(super) upper: [f64; COUNT],
    pub(super) lower: [f64; COUNT],
}

impl Sums {
    pub(super) fn of(part: PartOf<'_>, cuts: &Cuts) -> Self {
        let PartOf { tcp, processes } = part;
        let attempts = tcp.opened + tcp.failed;
        let times = |of: &Histogram, kind: usize, cut: usize| (of.above(cuts.0[kind][cut]), of.count());
        let pairs: [(u64, u64); COUNT] = Figure::ALL.map(|figure| match figure {
            Figure::ConnectFailures => (tcp.failed, attempts),
            Figure::ContainerEnds => (ends(processes), 0),
            Figure::Resets => (resets(tcp), 0),
            Figure::Retransmits => (tcp.retransmitted_segments, tcp.sent_segments),
            Figure::HandshakeP50 => times(&tcp.handshake_latency, 0, 0),
            Figure::HandshakeP90 => times(&tcp.handshake_latency, 0, 1),
            Figure::RttP50 => times(&tcp.rtt, 1, 0),
            Figure::RttP90 => times(&tcp.rtt, 1, 1),
            Figure::DurationP50 => times(&tcp.duration, 2, 0),
            Figure::Connects => (attempts, 0),
            Figure::Bytes => (tcp.sent_bytes + tcp.received_bytes, 0),
        });
        Self { upper: pairs.map(|(upper, _)| upper as f64), lower: pairs.map(|(_, lower)| lower as f64) }
    }

    pub(super) fn add(&mut self, other: &Self) {
        for index in 0..COUNT {
            self.upper[index] += other.upper[index];
            self.lower[index] += other.lower[index];
        }
    }
}

const fn resets(tcp: &TcpSummary) -> u64 {
    tcp.resets_sent + tcp.resets_received
}

/// Containers that failed as they ended, and OOM kills, of which each may be such an end as well. Of ends it is not told
/// how: as many of them failed as processes did, at most.
pub(super) fn ends(processes: Option<&ProcessSummary>) -> u64 {
    let Some(processes) = processes else { return 0 };
    let failed = processes.exits.iter().filter(|(ending, _)| failed(**ending)).map(|(_, count)| count);
    processes.container_stops.min(failed.sum()).max(processes.oom_kills)
}

/// Neither as it should nor because it was asked to end.
const fn failed(ending: Ending) -> bool {
    match ending {
        Ending::Code(code) => !matches!(code, 0 | TERMINATED),
        Ending::Signal { signal, .. } => signal != SIGTERM,
    }
}
