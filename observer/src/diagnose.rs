//! Whose fault it is: a verdict on an edge from the figures of a window. Pure.
//!
//! Each rule looks for one fault and gives the figures that show it. The rules stand in the order of
//! what decides most: a listener that does not accept also makes segments be sent again, so it comes
//! before the loss of segments. The first finding is the verdict; the others are told beside it.
//! Without a finding the edge is healthy if enough happened on it to say so, else unknown.

mod ends;
mod evidence;
mod loss;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use self::ends::Ends;
pub(crate) use self::evidence::{bytes, count, part, time};
pub(crate) use self::loss::Loss;
use crate::event::{ListenerSummary, TcpSummary};

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verdict {
    /// Something happened, and none of the below.
    Healthy,
    /// Segments do not arrive.
    NetworkLoss,
    /// Segments take long.
    NetworkLatency,
    /// The other side's process does not accept connections.
    PeerNotAccepting,
    /// The other side's process does not read, or slower than we send.
    PeerNotReading,
    /// Our own process does not accept, read or close.
    OwnProcessNotReading,
    /// Our own send buffer is too small for the path.
    OwnSendBuffer,
    /// The other side refuses connections.
    Refused,
    /// Nobody answers, or the network says that it cannot get there.
    Unreachable,
    /// The figures do not decide.
    Unknown,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    Nanoseconds,
    Bytes,
}

/// A figure that led to a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// Its name, as in the API's reference.
    pub(crate) figure: &'static str,
    pub(crate) value: u64,
    /// The whole that it is a part of.
    pub(crate) of: Option<u64>,
    pub(crate) unit: Unit,
}

/// One fault with the figures that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) evidence: Vec<Evidence>,
}

/// The verdict, and what else was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnosis {
    pub(crate) verdict: Finding,
    pub(crate) others: Vec<Finding>,
}

/// What is known of an edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    /// The edge's own figures.
    pub(crate) own: &'a TcpSummary,
    /// The queue of the own listener, of an edge that comes in.
    pub(crate) own_listener: Option<&'a ListenerSummary>,
    /// The other side is on this node: no long way lies between the two.
    pub(crate) near: bool,
    /// What this node knows of the other side.
    pub(crate) peer: Peer<'a>,
    /// Events lost on the node in the window.
    pub(crate) lost_events: u64,
}

/// What this node knows of an edge's other side: its figures of the same connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peer<'a> {
    /// There may be several: one for each container of a pod.
    pub(crate) edges: &'a [&'a TcpSummary],
    /// The queue of the listener that we connect to.
    pub(crate) listener: Option<&'a ListenerSummary>,
}

/// The verdict on an edge.
pub(crate) fn edge(subject: &Subject<'_>) -> Diagnosis {
    let mut findings = rules::IN_ORDER.iter().filter_map(|(verdict, rule)| {
        let evidence = rule(subject);
        (!evidence.is_empty()).then_some(Finding { verdict: *verdict, evidence })
    });
    let verdict = findings.next().unwrap_or_else(|| rules::without_finding(subject));
    Diagnosis { verdict, others: findings.collect() }
}
