//! What sources find, put together.

use std::collections::BTreeSet;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::super::merge::{Source, State, merged};
use super::*;

fn found(at: u32, tls_name: Option<&str>) -> (String, Found) {
    let [_, a, b, c] = at.to_be_bytes();
    let server = Server::Secured { host: format!("10.{a}.{b}.{c}"), port: 7 };
    (server.to_string(), Found { server, node_name: None, tls_name: tls_name.map(str::to_owned) })
}

fn source(name: &'static str, state: State, nodes: impl IntoIterator<Item = u32>) -> Source {
    let found = nodes.into_iter().map(|at| found(at, Some(name))).collect();
    Source { name, endpoint: "here".to_owned(), found, state }
}

/// What a source does: it tells that these are there, or fails.
fn steps() -> impl Strategy<Value = Vec<(usize, Option<BTreeSet<u32>>)>> {
    vec((0..3_usize, proptest::option::of(btree_set(0..40_u32, 0..12))), 0..30)
}

proptest! {
    /// All is there that some source told last, and nothing else, whoever fails meanwhile.
    #[test]
    fn it_is_the_union_whoever_fails(steps in steps()) {
        let mut board = Board::default();
        for name in ["list", "dns", "kubernetes"] {
            board.add(name, "here".to_owned());
        }
        let (shared, receiver) = board.share();
        let mut last: [(BTreeSet<u32>, bool); 3] = Default::default();
        for (at, step) in steps {
            let place = shared.place(at);
            if let Some(nodes) = step {
                place.found(nodes.iter().map(|at| found(*at, None)).collect());
                last[at] = (nodes, true);
            } else {
                place.fails("on purpose".to_owned());
                last[at].1 = false;
            }
            let expected: BTreeMap<_, _> =
                last.iter().flat_map(|(nodes, _)| nodes).map(|at| found(*at, None)).collect();
            let told = receiver.borrow();
            prop_assert_eq!(&told.nodes, &expected);
            for (source, (nodes, healthy)) in told.sources.iter().zip(&last) {
                prop_assert_eq!(source.healthy, *healthy);
                let count = nodes.len().to_string();
                prop_assert!(nodes.is_empty() || source.message.contains(&count), "{}", source.message);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// There are never more than are asked; those that were there stay; who is left out is counted.
    #[test]
    fn it_is_bounded(first in 0..6_000_u32, moved in 0..6_000_u32, count in 4_990..5_020_u32) {
        let before = merged(&[source("dns", State::Answered, first..first + count)], &BTreeMap::new());
        let all = [
            source("dns", State::Answered, moved..moved + count),
            source("kubernetes", State::Answered, first..first + count),
        ];
        let after = merged(&all, &before.nodes);
        prop_assert!(after.nodes.len() <= MOST_NODES);
        prop_assert!(before.nodes.keys().all(|key| after.nodes.contains_key(key)));
        let union: BTreeSet<_> = all.iter().flat_map(|source| source.found.keys()).collect();
        prop_assert_eq!(after.nodes.len(), union.len().min(MOST_NODES));
        for (source, told) in all.iter().zip(&after.sources) {
            let out = source.found.keys().filter(|key| !after.nodes.contains_key(*key)).count();
            prop_assert_eq!(told.healthy, out == 0);
            prop_assert_eq!(told.message.contains(&format!("; {out} of them are left out")), out > 0);
        }
    }
}

#[test]
fn the_same_daemon_is_one() {
    let mut sources = [source("list", State::Answered, [1]), source("kubernetes", State::Answered, [1, 2])];
    for found in sources[1].found.values_mut() {
        found.node_name = Some("n".to_owned());
    }
    let told = merged(&sources, &BTreeMap::new());
    let of = |at| {
        let found: &Found = &told.nodes[&found(at, None).0];
        (found.tls_name.clone().unwrap(), found.node_name.clone().unwrap())
    };
    assert_eq!(told.nodes.len(), 2);
    assert_eq!(of(1), ("list".to_owned(), "n".to_owned()));
    assert_eq!(of(2), ("kubernetes".to_owned(), "n".to_owned()));
}

#[test]
fn nothing_new_is_not_told() {
    let mut board = Board::default();
    let place = board.add("dns", "here".to_owned());
    let (shared, mut receiver) = board.share();
    let place = shared.place(place);
    place.found([found(1, None)].into());
    assert!(receiver.has_changed().unwrap());
    receiver.mark_unchanged();
    place.found([found(1, None)].into());
    assert!(!receiver.has_changed().unwrap());
    place.fails("no".to_owned());
    assert!(receiver.has_changed().unwrap());
}
