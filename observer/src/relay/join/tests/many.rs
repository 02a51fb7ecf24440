//! As much as a large cluster tells.

use std::time::Duration;

use super::super::{Addresses, connections, edges};
use super::*;
use crate::inventory::host;

/// Each pod asks the pod of that number on the next nodes.
const NODES: usize = 100;
const EDGES: usize = 1_000;
/// Far more than it takes, even if nothing is optimized.
const BOUND: Duration = Duration::from_secs(5);

fn node(number: usize) -> String {
    format!("node-{:04}", number % NODES)
}

fn pod_of(node: usize, number: usize) -> String {
    format!("pod-{}-{number}", node % NODES)
}

fn within<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begin = host::thread_time();
    let result = work();
    let took = host::thread_time().saturating_sub(begin);
    assert!(took < BOUND, "{what} took {took:?}");
    result
}

#[test]
fn edges_of_a_hundred_nodes() {
    let told = (0..NODES).flat_map(|at| {
        (0..EDGES / 2).flat_map(move |number| {
            let [own, next, former] = [at, at + 1, at + NODES - 1].map(|at| pod_of(at, number));
            let asks = to(pod(&own), 80, known(&next, &node(at + 1)));
            let asked = from(pod(&own), 80, known(&former, &node(at + NODES - 1)));
            on(&node(at), [asks, asked])
        })
    });
    let told: Vec<_> = told.collect();
    let all = within("joining edges", || edges(told, &Addresses::default()));
    assert_eq!(all.len(), NODES * EDGES / 2);
    assert!(all.iter().all(|one| one.far_end.is_some()));
}

#[test]
fn connections_of_a_hundred_nodes() {
    let address = |at: usize| format!("10.{}.{}.5", at % NODES, 1);
    let told = (0..NODES).flat_map(|at| {
        (0..EDGES / 2).flat_map(move |number| {
            let [own, next, former] = [at, at + 1, at + NODES - 1].map(address);
            let port = 30_000 + number;
            let client = asks("cart", &format!("{own}:{port}"), &format!("{next}:80"));
            let server = is_asked("web", &format!("{former}:{port}"), &format!("{own}:80"));
            on(&node(at), [client, server])
        })
    });
    let told: Vec<_> = told.collect();
    let all = within("joining connections", || connections(told));
    assert_eq!(all.len(), NODES * EDGES / 2);
    assert!(all.iter().all(|one| one.peer.is_some()));
}
