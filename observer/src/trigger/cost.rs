//! What triggers cost: next to nothing for each event, little for each edge and second.
#![allow(clippy::print_stdout, reason = "it shows what it measured")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::hint::black_box;
use std::time::Instant;

use super::tests::{Node, at, well};
use super::*;
use crate::event::ProcessExec;
use crate::event::examples::{close, connect, counters, event, pod, tcp};

/// Even a build without optimizations stays far below this.
const MOST_NS: f64 = 20_000.0;

fn measured(what: &str, count: u64, mut run: impl FnMut()) {
    let start = Instant::now();
    run();
    let each = start.elapsed().as_nanos() as f64 / count as f64;
    println!("{what}: {each:.1} ns");
    assert!(each < MOST_NS, "{what}: {each} ns");
}

#[test]
fn events_and_edges_cost_little() {
    let mut node = Node::new();
    let pods: Vec<_> = (0..200).map(|id| pod(id, "shop", &format!("p{id}"))).collect();
    let tcp = tcp(1, true, "10.0.0.2:80", Some(&pods[1]));
    let connects: Vec<_> = pods.iter().map(|pod| event(pod, 5, connect(&tcp))).collect();
    let closes: Vec<_> = pods.iter().map(|pod| event(pod, 5, close(&tcp, counters(1, 0)))).collect();
    let exec = || Detail::ProcessExec(ProcessExec::default());
    let execs: Vec<_> = pods.iter().map(|pod| event(pod, 5, exec())).collect();
    for (what, events) in [("a connection's event", connects), ("its end", closes), ("an exec", execs)] {
        measured(what, 200 * 500, || {
            for _ in 0..500 {
                for event in &events {
                    black_box(node.triggers.event(black_box(event)));
                }
            }
        });
    }
    let edges = 4_000;
    let mut seconds = Vec::new();
    for second in 0..20 {
        let mut window =
            Window { start: at(10_000 + second).boot, length_ns: 1_000_000_000, ..Window::default() };
        for edge in 0..edges {
            let (client, server) = (&pods[edge % 200], &pods[(edge / 200 + edge + 1) % 200]);
            node.edge(client, server, &well(3));
            let (edge, summary) = node.take_edge();
            window.edges.insert(edge, summary);
        }
        seconds.push(window);
    }
    let of_all: u64 = seconds.iter().map(|window| window.edges.len() as u64).sum();
    measured("an edge's second", of_all, || {
        for window in &seconds {
            assert!(node.triggers.window(black_box(window)).is_empty());
        }
    });
    println!("{} bytes an edge", edges::bytes());
    assert!(edges::bytes() < 1_024);
}
