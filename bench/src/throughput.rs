//! What the observer takes of a load's rate: connections, requests, bulk transfer, fork and exec.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use crate::calls::{self, Beside, Calls, Cost};
use crate::contender::Contender::{self, Observer, Tool};
use crate::machine::Machine;
use crate::rounds::{self, Measured, Plan};
use crate::setting::{Place, Setting};

/// How long to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rounds, in each of which all have their turn
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// The length of a turn, after half as long a start
    #[arg(long, value_name = "MILLISECONDS")]
    length_ms: Option<u64>,
}

/// One of the loads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    name: &'static str,
    /// Processes, each in a container of its own. They share a processor, so that each makes no more than what a
    /// container may have told one by one, and all of them leave the other processor to who watches.
    processes: usize,
    rounds: usize,
    turn_ms: u64,
    places: &'static [Place],
    contenders: &'static [Contender],
    beside: Option<Beside>,
    /// It is also run with all processors busy, and with both ends in one thread.
    extremes: bool,
}

const BOTH: &[Place] = &[Place::Loopback, Place::Namespaces];

/// Connect, send, receive, close.
pub(crate) const CONNECTIONS: Kind = Kind {
    name: "connections",
    processes: 8,
    rounds: 12,
    turn_ms: 1000,
    places: BOTH,
    contenders: &[Observer, Tool("tcplife"), Tool("tcpstates")],
    beside: Some(Beside { hooks: &["inet_sock_set_state"], tools: &["tcplife"], others: &["tcpstates"] }),
    extremes: true,
};
/// Request and response on long connections.
pub(crate) const REQUESTS: Kind = Kind {
    name: "requests",
    processes: 1,
    rounds: 21,
    turn_ms: 1000,
    places: BOTH,
    contenders: &[Observer],
    beside: None,
    extremes: false,
};
/// Bulk transfer: its rate drifts by several percent from one second to the next with nothing beside it, so turns are short.
pub(crate) const BULK: Kind = Kind { name: "bulk", rounds: 60, turn_ms: 300, ..REQUESTS };
/// Fork and exec.
pub(crate) const EXEC: Kind = Kind {
    name: "exec",
    processes: 2,
    rounds: 15,
    turn_ms: 1000,
    places: &[Place::Loopback],
    contenders: &[Observer, Tool("execsnoop"), Tool("exitsnoop")],
    beside: Some(Beside {
        hooks: &["sched_process_exec", "sched_process_exit"],
        tools: &["execsnoop", "exitsnoop"],
        others: &[],
    }),
    extremes: false,
};

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    rounds: usize,
    turn_ms: u64,
    processes: usize,
    loopback: Measured,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespaces: Option<Measured>,
    /// Over loopback from all processors: the daemon's own work takes from the load as well, and the figure is no
    /// budget's, since a machine has other limits then.
    #[serde(skip_serializing_if = "Option::is_none")]
    all_processors_busy: Option<Measured>,
    /// Over loopback with both ends in one thread, which is no budget's either: no service does so little.
    #[serde(skip_serializing_if = "Option::is_none")]
    one_thread: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<Calls>,
}

/// Measures one load.
pub(crate) async fn run(kind: Kind, args: &Args, quick: bool) -> Result<Report> {
    let machine = Machine::this();
    let (rounds, length) = if quick { (2, 200) } else { (kind.rounds, kind.turn_ms) };
    let turn_ms = args.length_ms.unwrap_or(length);
    let plan = Plan {
        rounds: args.rounds.unwrap_or(rounds),
        warm_up: Duration::from_millis(turn_ms / 2),
        length: Duration::from_millis(turn_ms),
    };
    let setting = Setting::new(kind.processes).await?;
    // The last one: the first has most of the machine's interrupts.
    let processors = std::thread::available_parallelism()?.get();
    let one = [processors - 1];
    println!("{}: {} rounds of {turn_ms} ms", kind.name, plan.rounds);
    let mut measured = Vec::new();
    for &place in kind.places {
        let mut load = setting.load(kind.name, place, kind.processes, &one)?;
        let of_place = rounds::measure(&setting, &mut load, kind.contenders, plan).await?;
        tell(place.name(), &of_place);
        measured.push(of_place);
    }
    let (mut all_processors_busy, mut one_thread) = (None, None);
    if kind.extremes {
        let all: Vec<usize> = (0..processors).collect();
        let fewer = Plan { rounds: plan.rounds.div_ceil(2), ..plan };
        for (name, words, cpus, report) in [
            (kind.name.to_owned(), "loopback, all processors busy", &all[..], &mut all_processors_busy),
            (format!("{} --one-thread", kind.name), "loopback, in one thread", &one, &mut one_thread),
        ] {
            let mut load = setting.load(&name, Place::Loopback, kind.processes, cpus)?;
            let extreme = rounds::measure(&setting, &mut load, kind.contenders, fewer).await?;
            tell(words, &extreme);
            *report = Some(extreme);
        }
    }
    let mut calls = None;
    if let Some(beside) = kind.beside {
        let mut load = setting.load(kind.name, Place::Loopback, kind.processes, &one)?;
        let counted = calls::measure(&setting, &mut load, beside, plan).await?;
        for cost in &counted.costs {
            let with = if cost.alone { "alone" } else { "all at once" };
            let Cost { who, hook, ns, calls, .. } = cost;
            println!("  {who:>10} {hook:<24} {with:<11} {:>7.0} ns, {calls} calls", ns.median);
        }
        println!("  {:?} to {:?}: {:.3}", counted.of_hooks, counted.of_tools, counted.ratio.median);
        calls = Some(counted);
    }
    setting.remove().await?;
    let mut measured = measured.into_iter();
    Ok(Report {
        machine,
        rounds: plan.rounds,
        turn_ms,
        processes: kind.processes,
        loopback: measured.next().ok_or_else(|| anyhow::anyhow!("nothing was measured"))?,
        namespaces: measured.next(),
        all_processors_busy,
        one_thread,
        calls,
    })
}

fn tell(place: &str, measured: &Measured) {
    let noise = measured.noise;
    println!(
        "  {place}: {:.0} a second; nothing to nothing {:.4} to {:.4}",
        measured.per_second, noise.p25, noise.p75
    );
    for row in &measured.contenders {
        let kept = row.kept;
        println!(
            "  {:>10} keeps {:.4} ({:.4} to {:.4}), uses {:.3} of a processor",
            row.name, kept.median, kept.p25, kept.p75, row.cpu_share
        );
    }
    if let Some(observer) = &measured.observer {
        println!(
            "    the daemon: {} events, {} lost, {:.3} s of processor time for 100,000",
            observer.events, observer.lost, observer.cpu_s_per_100k_events.median
        );
    }
}
