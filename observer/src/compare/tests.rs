//! What differs is found, what is noise is called noise, and nothing differs from itself.

mod presence;

use std::sync::Arc;

use super::*;
use crate::event::examples::pod;
use crate::event::{
    BootTime, Edge, EdgeSummary, Peer as End, PeerKind, ProcessSummary, TcpSummary, WorkloadId,
    WorkloadSummary,
};

const WINDOW_NS: u64 = 10_000_000_000;

/// Chance, the same each time.
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With mean 0 and deviation 1, roughly normal.
    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() - 6.0
    }

    /// So many of so many, each with that chance.
    fn of(&mut self, count: u64, chance: f64) -> u64 {
        (0..count).filter(|_| self.roll() < chance).count() as u64
    }
}

/// What an edge does in a window.
struct Load {
    attempts: u64,
    failing: f64,
    handshake_ns: f64,
    sent: u64,
    again: f64,
}

const USUAL: Load = Load { attempts: 40, failing: 0.02, handshake_ns: 1e6, sent: 2_000, again: 0.002 };

fn tcp(dice: &mut Dice, load: &Load) -> TcpSummary {
    let Load { attempts, failing, handshake_ns, sent, again } = *load;
    let failed = dice.of(attempts, failing);
    let mut tcp = TcpSummary {
        opened: attempts - failed,
        failed,
        sent_segments: sent,
        retransmitted_segments: dice.of(sent, again),
        sent_bytes: (sent as f64 * 500.0 * (1.0 + 0.2 * dice.normal()).max(0.1)) as u64,
        ..TcpSummary::default()
    };
    for _ in 0..tcp.opened {
        // A long tail, as latencies have it.
        tcp.handshake_latency.record((handshake_ns * (0.4 * dice.normal()).exp()) as u64);
        tcp.rtt.record((handshake_ns * 0.5 * (0.3 * dice.normal()).exp()) as u64);
    }
    tcp
}

/// The edge of a client to a database, in the window with that number.
fn window(number: u64, of: &[(u64, &str, TcpSummary)]) -> Window {
    let start = BootTime(number * WINDOW_NS);
    let mut window = Window { start, length_ns: WINDOW_NS, ..Window::default() };
    for (id, name, tcp) in of {
        let (workload, db) = (pod(*id, "shop", name), pod(99, "shop", "db"));
        let edge = Edge {
            workload: WorkloadId(*id),
            kind: PeerKind::Pod,
            peer: Some(WorkloadId(99)),
            address: None,
            interface: 0,
            port: 5432,
            outgoing: true,
            backend: None,
        };
        let peer = End { workload: Some(db), ..End::of(PeerKind::Pod) };
        let summary = EdgeSummary { workload: Arc::clone(&workload), peer, backend: None, tcp: tcp.clone() };
        window.edges.insert(edge, summary);
        let summary = WorkloadSummary { workload, tcp: tcp.clone(), processes: ProcessSummary::default() };
        window.workloads.insert(WorkloadId(*id), summary);
    }
    window
}

fn compared(a: &[Window], b: &[Window]) -> Comparison {
    let filters = Filters::default();
    let both = [(Side::A, a), (Side::B, b)];
    let mut first = First::default();
    for (side, windows) in both {
        for window in windows {
            first.add(side, window, &filters);
        }
    }
    let mut second = first.again();
    for (side, windows) in both {
        for window in windows {
            second.add(side, window, &filters);
        }
    }
    second.judge(&|| true)
}

/// So many windows of one edge, whose load `change` says.
fn steady(dice: &mut Dice, count: u64, change: impl Fn(u64) -> Load) -> Vec<Window> {
    (0..count).map(|number| window(number, &[(1, "web", tcp(dice, &change(number)))])).collect()
}

fn edge(comparison: &Comparison) -> &Row {
    comparison.rows.iter().find(|row| row.key.peer.is_some()).unwrap()
}

fn differing(row: &Row) -> Vec<(Figure, Verdict)> {
    let differing = row.changes.iter().filter(|change| change.verdict != Verdict::Same);
    differing.map(|change| (change.figure, change.verdict)).collect()
}

#[test]
fn nothing_differs_from_itself() {
    let mut dice = Dice(1);
    for failing in [0.0, 0.3] {
        let windows = steady(&mut dice, 30, |_| Load { failing, ..USUAL });
        let comparison = compared(&windows, &windows);
        assert_eq!(comparison.rows.len(), 2);
        for row in &comparison.rows {
            assert_eq!((row.verdict, differing(row)), (Verdict::Same, vec![]));
            assert!(row.changes.iter().all(|change| change.values[0] == change.values[1]));
        }
    }
}

#[test]
fn twice_the_latency_is_found_and_half_of_it_as_well() {
    for seed in 1..20 {
        let mut dice = Dice(seed);
        let usual = steady(&mut dice, 30, |_| USUAL);
        let slow = steady(&mut dice, 20, |_| Load { handshake_ns: 2e6, ..USUAL });
        let found = compared(&usual, &slow);
        let row = edge(&found);
        assert_eq!(row.verdict, Verdict::Worse, "{row:?}");
        let figures = differing(row);
        for figure in [Figure::HandshakeP50, Figure::HandshakeP90, Figure::RttP50, Figure::RttP90] {
            assert!(figures.contains(&(figure, Verdict::Worse)), "{figures:?}");
        }
        let change = row.changes.iter().find(|change| change.figure == Figure::HandshakeP50).unwrap();
        let [a, b] = change.values.map(Option::unwrap);
        assert!((b / a - 2.0).abs() < 0.3 && change.chance.unwrap() < 0.01, "{change:?}");
        assert_eq!(edge(&compared(&slow, &usual)).verdict, Verdict::Better);
    }
}

#[test]
fn failures_and_lost_segments_are_found() {
    let mut dice = Dice(3);
    let usual = steady(&mut dice, 30, |_| USUAL);
    let failing = steady(&mut dice, 30, |_| Load { failing: 0.2, ..USUAL });
    assert_eq!(differing(edge(&compared(&usual, &failing))), [(Figure::ConnectFailures, Verdict::Worse)]);
    let lossy = steady(&mut dice, 30, |_| Load { again: 0.01, ..USUAL });
    assert_eq!(differing(edge(&compared(&usual, &lossy))), [(Figure::Retransmits, Verdict::Worse)]);
    // Where none failed before, and all did in the last two minutes of six.
    let never = steady(&mut dice, 36, |_| Load { failing: 0.0, ..USUAL });
    let late = steady(&mut dice, 36, |at| Load { failing: if at < 24 { 0.0 } else { 1.0 }, ..USUAL });
    let found = compared(&never, &late);
    assert!(differing(edge(&found)).contains(&(Figure::ConnectFailures, Verdict::Worse)), "{found:?}");
    // More is asked, and all is well.
    let busy = steady(&mut dice, 30, |_| Load { attempts: 80, sent: 4_000, ..USUAL });
    let row = &compared(&usual, &busy).rows[0];
    assert_eq!(row.verdict, Verdict::Changed, "{row:?}");
}

/// How many of so many edges of which nothing changed are said to differ; `kind` is how their load goes up and down.
fn falsely_found(seed: u64, count: u64, windows: u64, kind: &str) -> usize {
    let mut dice = Dice(seed);
    let mut wave = 0.0;
    let mut side = || -> Vec<Window> {
        let mut side: Vec<Vec<(u64, String, TcpSummary)>> = (0..windows).map(|_| Vec::new()).collect();
        for id in 1..=count {
            for window in &mut side {
                wave = match kind {
                    "waves" => 0.6 * wave + 0.8 * dice.normal(),
                    _ => dice.normal(),
                };
                let much = (0.3_f64 * wave).exp();
                let bursts = kind == "bursts" && dice.roll() < 0.1;
                let load = Load {
                    attempts: (20.0 * much) as u64,
                    handshake_ns: 1e6 * much,
                    failing: if bursts { 0.5 } else { 0.02 },
                    sent: (300.0 * much) as u64,
                    again: if bursts { 0.05 } else { 0.002 },
                };
                let tcp = tcp(&mut dice, &load);
                window.push((id, format!("web-{id}"), tcp));
            }
        }
        let told = |of: &Vec<(u64, String, TcpSummary)>| {
            of.iter().map(|(id, name, tcp)| (*id, name.clone(), tcp.clone())).collect::<Vec<_>>()
        };
        (0..)
            .zip(&side)
            .map(|(number, of)| {
                let of = told(of);
                let of: Vec<_> = of.iter().map(|(id, name, tcp)| (*id, name.as_str(), tcp.clone())).collect();
                window(number, &of)
            })
            .collect()
    };
    let (a, b) = (side(), side());
    let comparison = compared(&a, &b);
    let edges = comparison.rows.iter().filter(|row| row.key.peer.is_some());
    edges.filter(|row| !matches!(row.verdict, Verdict::Same | Verdict::TooLittle)).count()
}

#[test]
fn noise_is_called_noise() {
    for (kind, windows) in [("even", 30), ("even", 6), ("bursts", 30), ("waves", 30)] {
        let found = falsely_found(7, 200, windows, kind);
        // By itself one in twenty would, which are 10.
        assert!(found <= 2, "{kind}, {windows} windows: {found} of 200");
    }
}
