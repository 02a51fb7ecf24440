//! An hour of what happens on a machine where nothing is wrong: nothing fires.

use std::sync::Arc;

use super::node::{Node, failing, process, sent, stop, well};
use super::tuning::SECOND;
use super::*;
use crate::event::examples::{exited, host, pod};
use crate::event::{
    BootTime, ContainerReady, ContainerStart, ContainerStop, Ending, Origin, PeerKind, ProcessExec, SIGKILL,
    Stalled, Standstill, TcpSummary, Workload,
};

const HOUR: u64 = 3_600;

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn starts(node: &mut Node, workload: &Arc<Workload>) {
    node.happens(workload, None, Detail::ContainerStart(ContainerStart::default()));
}

fn ends(node: &mut Node, workload: &Arc<Workload>, stop: ContainerStop) {
    node.happens(workload, None, Detail::ContainerStop(stop));
}

/// The kubelet wants it to end, and it ends as it likes.
fn is_replaced(node: &mut Node, workload: &Arc<Workload>, ending: Ending) {
    let now = node.now.boot;
    let asked_by = Some(sent(15, Origin::Outside, "runc", BootTime(now.0 - 2 * SECOND)));
    let killed_by = match ending {
        Ending::Signal { signal: SIGKILL, .. } => Some(sent(SIGKILL, Origin::Outside, "runc", now)),
        Ending::Signal { .. } | Ending::Code(_) => None,
    };
    ends(node, workload, ContainerStop { killed_by, asked_by, ..stop(ending, now) });
}

fn nothing_fired(node: &Node) {
    assert_eq!(node.all(), Vec::<String>::new());
}

#[test]
fn an_idle_node() {
    let mut node = Node::new();
    let (machine, dns) = (host(1), pod(2, "kube-system", "dns"));
    node.seconds(HOUR, |node, second| {
        if second % 10 == 0 {
            node.edge(&machine, &dns, &well(1));
            let exec = ProcessExec { origin: ExecOrigin::Entered, ..ProcessExec::default() };
            node.happens(&dns, Some(process(500, "probe")), Detail::ProcessExec(exec));
            node.happens(&dns, None, Detail::ProcessExit(exited(Ending::Code((second % 30 == 0).into()))));
        }
    });
    nothing_fired(&node);
}

#[test]
fn servers_that_start_and_are_asked_too_early() {
    let mut node = Node::new();
    let machine = host(1);
    node.seconds(HOUR, |node, second| {
        // A new server each five minutes: it listens after 20 s, and accepts after 40.
        let (server, client) =
            (pod(100 + second / 300, "ci", "server"), pod(9_000 + second / 300, "ci", "client"));
        let age = second % 300;
        match age {
            0 => starts(node, &server),
            20 => {
                let address = "0.0.0.0:8080".parse().unwrap();
                let ready = ContainerReady { address, since_start_ns: Some(20 * SECOND) };
                node.happens(&server, None, Detail::ContainerReady(ready));
            }
            298 => is_replaced(node, &server, Ending::Code(143)),
            _ => {}
        }
        // The kubelet's health checks, and a client that tries four times a second.
        match age {
            ..20 => {
                if age % 5 == 0 {
                    node.edge(&machine, &server, &failing("refused", 1));
                }
                node.edge(&client, &server, &failing("refused", 4));
            }
            20..40 => {
                let unaccepted_ns = (age - 19) * SECOND;
                let longest = Standstill { unaccepted_ns, ..Standstill::default() };
                node.one_side(&server, &client, false, &TcpSummary { longest, ..TcpSummary::default() });
                node.edge(&client, &server, &TcpSummary { opened: 4, ..TcpSummary::default() });
            }
            _ => {
                node.edge(&client, &server, &well(4));
                node.one_side(&server, &client, false, &well(4));
            }
        }
    });
    nothing_fired(&node);
}

#[test]
fn rolling_restarts_of_busy_servers() {
    let mut node = Node::new();
    let mut dice = Dice(1);
    let web = pod(1, "shop", "web");
    node.seconds(HOUR, |node, second| {
        // One of three servers is replaced each minute: for three seconds some are still sent to the one that is gone.
        let old = pod(1_000 + second / 60, "shop", "api");
        let new = pod(1_001 + second / 60, "shop", "api");
        match second % 60 {
            0..3 => {
                node.edge(&web, &old, &failing("refused", 20 + dice.roll(60)));
                node.edge(&web, &new, &well(50));
            }
            3 => starts(node, &new),
            56..59 => node.edge(&web, &new, &TcpSummary { resets_received: 3, ..well(60) }),
            59 => {
                let ending = match dice.roll(3) {
                    0 => Ending::Code(0),
                    1 => Ending::Code(143),
                    _ => Ending::Signal { signal: SIGKILL, core_dumped: false },
                };
                is_replaced(node, &new, ending);
            }
            _ => node.edge(&web, &new, &well(50 + dice.roll(50))),
        }
    });
    nothing_fired(&node);
}

#[test]
fn short_lived_jobs_and_image_builds() {
    let mut node = Node::new();
    node.seconds(HOUR, |node, second| {
        // A job a second, a step of a build each third: they execute much and end well; a build's cgroup just goes.
        let job = pod(10_000 + second, "ci", "job");
        starts(node, &job);
        for pid in 0..20 {
            node.happens(&job, Some(process(pid, "cc1")), Detail::ProcessExec(ProcessExec::default()));
            node.happens(&job, None, Detail::ProcessExit(exited(Ending::Code((pid % 7 == 0).into()))));
        }
        let now = node.now.boot;
        if second % 3 == 0 {
            ends(node, &job, ContainerStop { time: now, ..ContainerStop::default() });
        } else {
            ends(node, &job, stop(Ending::Code(0), now));
        }
    });
    nothing_fired(&node);
}

#[test]
fn port_scans_and_clients_that_hang_up() {
    let mut node = Node::new();
    let mut dice = Dice(2);
    let (scanner, server, client) = (pod(1, "ci", "scan"), pod(2, "ci", "server"), pod(3, "ci", "client"));
    node.seconds(HOUR, |node, second| {
        if second % 120 == 0 {
            // A few ports of it, three times each: each port is an edge of its own.
            node.edge(&scanner, &server, &failing("refused", 3));
            node.one_side(&server, &scanner, false, &TcpSummary { resets_sent: 15, ..TcpSummary::default() });
        }
        // A client that resets what it has enough of, and gives some attempts up.
        let mut tcp = TcpSummary { resets_sent: dice.roll(8), ..well(10) };
        if dice.roll(4) == 0 {
            tcp.failed = 3;
            tcp.failures.insert("cancelled", 3);
        }
        node.edge(&client, &server, &tcp);
        let seen = TcpSummary { resets_received: tcp.resets_sent, ..well(10) };
        node.one_side(&server, &client, false, &seen);
    });
    nothing_fired(&node);
}

#[test]
fn uneven_latency_and_a_segment_lost_now_and_then() {
    let mut node = Node::new();
    let mut dice = Dice(3);
    let (a, b) = (pod(1, "ci", "a"), pod(2, "ci", "b"));
    node.seconds(HOUR, |node, second| {
        // A busy machine: connects take from 0.1 to 20 ms, and 60 ms for a few seconds each ten minutes.
        let mut tcp = well(5);
        for _ in 0..5 {
            let us = 100 + dice.roll(20) * dice.roll(1_000);
            tcp.handshake_latency.record(us * 1_000);
            tcp.rtt.record((50 + dice.roll(40_000)) * 1_000);
        }
        if second % 600 < 8 {
            tcp.handshake_latency.record(60_000_000);
        }
        // One in a thousand segments is lost, and some overtake each other.
        tcp.sent_segments = 300;
        tcp.retransmitted_segments = u64::from(dice.roll(3) == 0);
        if second % 300 < 5 {
            (tcp.retransmitted_segments, tcp.spurious_retransmits, tcp.reorderings) = (30, 25, 40);
        }
        // A reader that takes its time.
        tcp.longest.unread_ns = dice.roll(12) * SECOND;
        node.edge(&a, &b, &tcp);
    });
    nothing_fired(&node);
}

#[test]
fn clients_that_go_without_a_word() {
    let mut node = Node::new();
    let (server, db) = (pod(1, "shop", "server"), pod(2, "shop", "db"));
    let silent = |of: u64| TcpSummary {
        stalled: Stalled { unanswered: 1, ..Stalled::default() },
        deepest_backoff: 9,
        live: of,
        ..well(1)
    };
    node.seconds(HOUR, |node, second| {
        // Phones leave their network, pods of other nodes are deleted: one connection each now and then.
        let kind = if second % 60 < 30 { PeerKind::Outside } else { PeerKind::FarPod };
        node.far_side(&server, kind, false, &silent(1 + second % 3));
        node.far_side(&db, PeerKind::Outside, false, &silent(1));
    });
    nothing_fired(&node);
    let all = TcpSummary { stalled: Stalled { unanswered: 3, ..Stalled::default() }, ..silent(5) };
    node.seconds(1, |node, _| node.far_side(&server, PeerKind::FarPod, true, &all));
    assert_eq!(node.all().len(), 1, "that is the other node");
}

#[test]
fn attempts_that_wait_and_are_given_up_count_once() {
    let mut node = Node::new();
    let (web, db) = (pod(1, "shop", "web"), pod(2, "shop", "db"));
    node.seconds(60, |node, _| node.edge(&web, &db, &well(1)));
    // Three attempts wait, and end some seconds later.
    for tcp in [TcpSummary { pending: 1, ..TcpSummary::default() }, failing("timed_out", 1)] {
        node.seconds(3, |node, _| node.edge(&web, &db, &tcp));
    }
    nothing_fired(&node);
}

#[test]
fn connections_at_rest_have_no_round_trips() {
    let mut node = Node::new();
    let (a, b) = (pod(1, "ci", "a"), pod(2, "ci", "b"));
    let taking = |ms: u64, measured: u64| {
        let mut tcp = TcpSummary { live: 5, ..TcpSummary::default() };
        (0..measured).for_each(|_| tcp.rtt.record(ms * 1_000_000));
        tcp
    };
    node.seconds(100, |node, second| node.edge(&a, &b, &taking(1 + second % 2, 5)));
    node.seconds(HOUR, |node, _| node.edge(&a, &b, &taking(300, 0)));
    nothing_fired(&node);
    node.seconds(31, |node, _| node.edge(&a, &b, &taking(300, 5)));
    assert_eq!(node.all().len(), 1);
}

#[test]
fn the_same_noise_with_something_wrong_in_it_is_heard() {
    let mut node = Node::new();
    let (a, b) = (pod(1, "ci", "a"), pod(2, "ci", "b"));
    node.seconds(HOUR, |node, second| {
        let fails = (1_800..1_830).contains(&second);
        node.edge(&a, &b, &if fails { failing("refused", 4) } else { well(4) });
    });
    assert_eq!(node.all(), ["ci/a -> ci/b:8080: connects fail (refused)"]);
}
