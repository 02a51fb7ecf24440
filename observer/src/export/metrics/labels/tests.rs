//! The values of labels.

use std::net::IpAddr;
use std::sync::Arc;

use super::*;
use crate::event::{Owner, WorkloadId};

fn pod() -> Workload {
    let mut pod = Workload::unknown(WorkloadId(1), WorkloadKind::Pod, 7);
    (pod.namespace, pod.pod, pod.container) = ("shop".into(), "cart-1".into(), "app".into());
    pod
}

fn key(labels: &[Label], of: &Workload, other: Option<OtherSide<'_>>) -> Vec<String> {
    let mut key = "what was there before".to_owned();
    put_key(&mut key, labels, of, other);
    values(&key).map(str::to_owned).collect()
}

#[test]
fn a_workload_is_called_by_what_made_it() {
    let own = [Label::Namespace, Label::Workload, Label::WorkloadKind, Label::Pod, Label::Container];
    let mut of = pod();
    assert_eq!(key(&own, &of, None), ["shop", "cart-1", "Pod", "cart-1", "app"]);
    of.owner = Some(Arc::new(Owner { kind: "Deployment".into(), name: "cart".into() }));
    assert_eq!(key(&own, &of, None), ["shop", "cart", "Deployment", "cart-1", "app"]);
    let host = Workload::unknown(WorkloadId(2), WorkloadKind::Host, 1);
    assert_eq!(key(&own, &host, None), ["", "host", "Host", "", ""]);
    let unit =
        Workload { unit: "a\0b.service".into(), ..Workload::unknown(WorkloadId(2), WorkloadKind::Unit, 1) };
    assert_eq!(key(&own, &unit, None)[1], "a\u{fffd}b.service");
}

#[test]
fn the_other_side_is_named_as_well_as_it_is_known() {
    let of_edge: Vec<_> = LABELS.into_iter().filter(|label| label.is_of_edge()).collect();
    let address: IpAddr = [192, 0, 2, 1].into();
    let edge = |kind| Edge {
        workload: WorkloadId(1),
        kind,
        peer: None,
        address: Some(address),
        interface: 0,
        port: 443,
        outgoing: true,
        backend: None,
    };
    let named = |kind, peer: Peer| key(&of_edge, &pod(), Some(OtherSide { edge: &edge(kind), peer: &peer }));
    let outside = Peer::of(PeerKind::Outside);
    assert_eq!(named(PeerKind::Outside, outside.clone()), ["outgoing", "443", "192.0.2.1", "", "outside"]);
    let looked_up = Peer { dns_name: Some("example.org".into()), ..outside };
    assert_eq!(named(PeerKind::Outside, looked_up)[2], "example.org");
    let mut other = pod();
    other.owner = Some(Arc::new(Owner { kind: "StatefulSet".into(), name: "db".into() }));
    let other = Peer { workload: Some(Arc::new(other)), ..Peer::of(PeerKind::FarPod) };
    assert_eq!(named(PeerKind::FarPod, other), ["outgoing", "443", "shop/db", "shop/cart-1", "far_pod"]);
    assert_eq!(named(PeerKind::Loopback, Peer::of(PeerKind::Loopback))[2], "loopback");
    // Without an other side they are empty, so that a workload's figures have the same labels.
    assert_eq!(key(&of_edge, &pod(), None), ["", "", "", "", ""]);
}

#[test]
fn each_label_has_a_name_of_its_own() {
    for label in LABELS {
        assert_eq!(Label::named(label.name()), Some(label));
        assert!(!label.help().is_empty() && label.attribute().contains('.'));
    }
}
