//! Comparisons on the wire.

use observer_proto::v1;

use super::timestamp;
use crate::compare::{Change, Extent, Figure, Key, Party, PartyKind, Peer, Row, Unit, Verdict};
use crate::event::WallTime;

/// How much of a side there is, from the start of its first window to the end of its last one.
pub(crate) fn compared_side(extent: &Extent, node_name: &str, ends: [WallTime; 2]) -> v1::ComparedSide {
    let Extent { windows, length_ns, lost_events } = *extent;
    let [start_time, end_time] = ends.map(|time| Some(timestamp(time)));
    v1::ComparedSide {
        node_name: node_name.to_owned(),
        start_time,
        end_time,
        windows,
        length_ns,
        lost_events,
    }
}

/// What was found of an edge or a workload.
pub(crate) fn comparison(row: &Row) -> v1::Comparison {
    let Row { key: Key { workload, peer }, verdict: found, changes, attempts, windows } = row;
    v1::Comparison {
        workload: Some(party(workload)),
        peer: peer.as_ref().map(compared_peer),
        verdict: verdict(*found).into(),
        figures: changes.iter().map(figure).collect(),
        attempts_a: attempts[0],
        attempts_b: attempts[1],
        windows_a: windows[0],
        windows_b: windows[1],
    }
}

const fn verdict(verdict: Verdict) -> v1::ComparisonVerdict {
    match verdict {
        Verdict::Worse => v1::ComparisonVerdict::Worse,
        Verdict::Gone => v1::ComparisonVerdict::Gone,
        Verdict::New => v1::ComparisonVerdict::New,
        Verdict::Better => v1::ComparisonVerdict::Better,
        Verdict::Changed => v1::ComparisonVerdict::Changed,
        Verdict::TooLittle => v1::ComparisonVerdict::TooLittle,
        Verdict::Same => v1::ComparisonVerdict::Same,
    }
}

fn party(party: &Party) -> v1::ComparedParty {
    let Party { kind, namespace, owner_kind, name, container } = party.clone();
    let kind = match kind {
        PartyKind::Pods => v1::PartyKind::Pods,
        PartyKind::Container => v1::PartyKind::Container,
        PartyKind::Unit => v1::PartyKind::Unit,
        PartyKind::Host => v1::PartyKind::Host,
        PartyKind::Service => v1::PartyKind::Service,
        PartyKind::Node => v1::PartyKind::Node,
        PartyKind::Loopback => v1::PartyKind::Loopback,
        PartyKind::Outside => v1::PartyKind::Outside,
        PartyKind::Many => v1::PartyKind::Many,
        PartyKind::Unknown => v1::PartyKind::Unspecified,
    };
    v1::ComparedParty { kind: kind.into(), namespace, owner_kind, name, container }
}

fn compared_peer(peer: &Peer) -> v1::ComparedPeer {
    let Peer { party: of, backend, port, outgoing } = peer;
    v1::ComparedPeer {
        party: Some(party(of)),
        backend: backend.as_ref().map(party),
        port: (*port).into(),
        outgoing: *outgoing,
    }
}

fn figure(change: &Change) -> v1::ComparedFigure {
    let Change { figure, values: [a, b], verdict: found, chance } = *change;
    v1::ComparedFigure {
        figure: Figure::name(figure).to_owned(),
        a,
        b,
        unit: unit(figure.unit()).into(),
        verdict: verdict(found).into(),
        chance,
    }
}

const fn unit(unit: Unit) -> v1::ComparedUnit {
    match unit {
        Unit::Share => v1::ComparedUnit::Share,
        Unit::PerSecond => v1::ComparedUnit::PerSecond,
        Unit::BytesPerSecond => v1::ComparedUnit::BytesPerSecond,
        Unit::Nanoseconds => v1::ComparedUnit::Nanoseconds,
    }
}
