//! What holds of whatever daemons tell: sums stay, nothing is joined within a node, and the order of the nodes does not matter.

use proptest::prelude::*;

use super::super::{connections, edges, verdicts};
use super::generated::{NODES, live, summaries};
use super::*;

/// The same, with the nodes in another order.
fn turned<T: Clone>(told: &[(Arc<str>, T)], by: usize) -> Vec<(Arc<str>, T)> {
    let nodes = NODES.iter().cycle().skip(by).take(NODES.len());
    nodes.flat_map(|node| told.iter().filter(move |(of, _)| **of == **node).cloned()).collect()
}

fn again(told: &[v1::Summary]) -> Vec<(Arc<str>, v1::Summary)> {
    told.iter().map(|one| (one.node_name.as_str().into(), one.clone())).collect()
}

/// Opened, failed, sent: of edges with these directions.
fn sums<'a>(told: impl Iterator<Item = &'a v1::TcpSummary>) -> [u64; 4] {
    told.fold([0; 4], |[ends, opened, failed, sent], tcp| {
        [ends + 1, opened + tcp.opened, failed + tcp.failed, sent + tcp.sent_bytes]
    })
}

fn is_asking(summary: &v1::Summary) -> bool {
    summary.edge.as_ref().is_some_and(|edge| edge.outgoing)
}

proptest! {
    #[test]
    fn edges_add_up(told in summaries(), live in live()) {
        let addresses = seen_in(&live);
        let all = edges(told.clone(), &addresses);
        let tcp = |one: &v1::Summary| one.tcp.clone().unwrap();
        let before: Vec<_> = told.iter().map(|(_, one)| tcp(one)).collect();
        let far = all.iter().filter_map(|one| one.far_end.as_ref()?.tcp.clone());
        let after: Vec<_> = all.iter().map(tcp).chain(far).collect();
        prop_assert_eq!(sums(before.iter()), sums(after.iter()));
        // The sides that ask are all there, with their own figures.
        let before: Vec<_> = told.iter().filter(|(_, one)| is_asking(one)).map(|(_, one)| tcp(one)).collect();
        let after: Vec<_> = all.iter().filter(|one| is_asking(one)).map(tcp).collect();
        prop_assert_eq!(sums(before.iter()), sums(after.iter()));
    }

    #[test]
    fn edges_are_joined_between_nodes_alone(told in summaries(), live in live()) {
        let addresses = seen_in(&live);
        for one in edges(told, &addresses) {
            let Some(far) = &one.far_end else { continue };
            let edge = one.edge.as_ref().unwrap();
            prop_assert!(edge.outgoing);
            prop_assert_ne!(&far.node_name, &one.node_name);
            prop_assert!(far.tcp.is_some());
            let said = edge.backend.as_ref().and_then(|end| end.workload.as_ref()).or(edge.workload.as_ref());
            prop_assert_eq!(said.map(|of| &of.pod), far.workload.as_ref().map(|of| &of.pod));
        }
    }

    #[test]
    fn the_order_of_nodes_does_not_matter_to_edges(told in summaries(), live in live(), by in 0..3_usize) {
        let addresses = seen_in(&live);
        let others = turned(&live, by);
        let turned_addresses = seen_in(&others);
        prop_assert_eq!(edges(told.clone(), &addresses), edges(turned(&told, by), &turned_addresses));
        let response = |node: &str| {
            let edges = told.iter().filter(|(of, one)| **of == *node && one.edge.is_some());
            let edges = edges.map(|(_, one)| one.clone()).collect();
            (Arc::from(node), v1::ExplainResponse { edges, total: 30, ..v1::ExplainResponse::default() })
        };
        let [one, other] = [0, by].map(|by| {
            let nodes = NODES.iter().cycle().skip(by).take(NODES.len());
            verdicts(nodes.map(|node| response(node)).collect(), &addresses)
        });
        prop_assert_eq!(one, other);
    }

    #[test]
    fn edges_that_are_joined_stay(told in summaries(), live in live()) {
        let addresses = seen_in(&live);
        let once = edges(told, &addresses);
        prop_assert_eq!(edges(again(&once), &addresses), once);
    }

    #[test]
    fn connections_add_up(told in live()) {
        let all = connections(told.clone());
        let joined = |one: &&v1::Connection| one.peer.as_ref().is_some_and(|peer| !peer.node_name.is_empty());
        prop_assert_eq!(all.len() + all.iter().filter(joined).count(), told.len());
        for one in all.iter().filter(joined) {
            prop_assert!(one.tcp.as_ref().unwrap().outgoing);
            prop_assert_ne!(&one.peer.as_ref().unwrap().node_name, &one.node_name);
        }
        let again: Vec<_> = all.iter().map(|one| (Arc::from(&*one.node_name), one.clone())).collect();
        prop_assert_eq!(connections(again), all);
    }

    #[test]
    fn the_order_of_nodes_does_not_matter_to_connections(told in live(), by in 0..3_usize) {
        let all = connections(turned(&told, 0));
        let mut others = connections(turned(&told, by));
        others.sort_by(|one, other| one.node_name.cmp(&other.node_name));
        prop_assert_eq!(all, others);
    }
}

/// Of what is generated, enough is joined that the above says something.
#[test]
fn much_of_it_is_joined() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let [mut of_edges, mut of_connections] = [0; 2];
    for _ in 0..500 {
        let told = summaries().new_tree(&mut runner).unwrap().current();
        let live = live().new_tree(&mut runner).unwrap().current();
        let addresses = seen_in(&live);
        of_edges += edges(told, &addresses).iter().filter(|one| one.far_end.is_some()).count();
        let before = live.len();
        of_connections += before - connections(live).len();
    }
    assert!(of_edges > 50 && of_connections > 50, "{of_edges} edges, {of_connections} connections");
}
