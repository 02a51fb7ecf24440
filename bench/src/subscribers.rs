//! How many events a second reach 1, 10 and 100 clients without a loss, and what the daemon uses for that.
//!
//! The load is connections that end with a reset as soon as they are accepted: each is six events (two starts, two resets,
//! two ends) for the least work of who makes them. It comes from many containers, so that none of them makes more than
//! a container may have told one by one.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use observer_tests::firings::Firings;
use observer_tests::losses::own;

use crate::contender::{Observed, cpu};
use crate::machine::Machine;
use crate::setting::{Load, Place, Setting};
use crate::spread::{mib, round};

/// Events of a connection.
const EVENTS: u64 = 6;
/// Containers with a part of the load each.
const CONTAINERS: usize = 16;
/// A step up, in hundredths.
const STEP: u64 = 125;
/// The highest rate is found to one part in so many.
const FINEST: u64 = 20;
/// Steps at the most.
const STEPS: usize = 24;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Clients; may be repeated
    #[arg(long, value_name = "N", default_values_t = [1, 10, 100])]
    clients: Vec<usize>,
    /// The length of a step
    #[arg(long, value_name = "MILLISECONDS")]
    length_ms: Option<u64>,
    /// Events a second of the first step, for all clients together
    #[arg(long, value_name = "N", default_value_t = 40_000)]
    from: u64,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    processors_for_all: usize,
    rows: Vec<Row>,
}

/// So many clients.
#[derive(Debug, Serialize)]
struct Row {
    clients: usize,
    /// The highest rate at which nothing was lost.
    best: Option<Step>,
    /// Why there is no higher one.
    limit: &'static str,
    /// The step that showed it.
    beyond: Option<Step>,
}

/// A rate, and what became of it.
#[derive(Clone, Debug, Serialize)]
struct Step {
    /// Events a second that happened.
    happened_per_second: f64,
    /// Events a second that were delivered, to all clients together.
    delivered_per_second: f64,
    /// The processor time of the daemon, of one processor.
    cpu_share: f64,
    cpu_s_per_100k_events: f64,
    lost: u64,
    /// The losses that the daemon tells of, by source and kind.
    losses: BTreeMap<String, u64>,
    /// How often the kernel called no program where something happened, as some sandboxes do: that hides one of a
    /// connection's events or all of them from whoever watches, and is not taken for lost.
    hidden: u64,
    most_resident_mib: f64,
}

/// What a step was not as it should be for.
const LOST: &str = "events were lost";
const NOT_MADE: &str = "two processors make no more beside the daemon and the clients";
const STEPS_DONE: &str = "none was found";

/// Measures.
pub(crate) async fn run(args: &Args, quick: bool) -> Result<Report> {
    let machine = Machine::this();
    let length = Duration::from_millis(args.length_ms.unwrap_or(if quick { 300 } else { 2000 }));
    let steps = if quick { 2 } else { STEPS };
    let setting = Setting::new(CONTAINERS).await?;
    let mut load = setting.load("aborted", Place::Loopback, CONTAINERS, &[])?;
    let mut rows = Vec::new();
    println!("clients  happened/s  delivered/s  daemon's processor  s/100,000  lost");
    for &clients in &args.clients {
        let row = search(&setting, &mut load, clients, (args.from / clients as u64, steps), length).await?;
        println!("{clients:>7}  no more: {}", row.limit);
        rows.push(row);
    }
    setting.remove().await?;
    Ok(Report { machine, processors_for_all: std::thread::available_parallelism()?.get(), rows })
}

async fn search(
    setting: &Setting,
    load: &mut Load,
    clients: usize,
    (from, steps): (u64, usize),
    length: Duration,
) -> Result<Row> {
    let mut row = Row { clients, best: None, limit: STEPS_DONE, beyond: None };
    // Upwards until something is lost, then between the last two rates.
    let (mut kept, mut too_much) = (0, None);
    let mut rate = from.max(100);
    for _ in 0..steps {
        let step = step(setting, load, clients, rate, length).await?;
        println!(
            "{clients:>7}  {:>10.0}  {:>11.0}  {:>18.2}  {:>9.3}  {:>4}",
            step.happened_per_second,
            step.delivered_per_second,
            step.cpu_share,
            step.cpu_s_per_100k_events,
            step.lost
        );
        let made = step.happened_per_second >= 0.9 * rate as f64;
        if step.lost > 0 {
            println!("{clients:>7}  lost: {:?}", step.losses);
            (row.limit, row.beyond, too_much) = (LOST, Some(step), Some(rate));
        } else {
            let before = row.best.as_ref().map_or(0.0, |best| best.happened_per_second);
            if step.happened_per_second > before {
                row.best = Some(step);
            }
            kept = rate;
            if !made {
                row.limit = NOT_MADE;
                break;
            }
        }
        rate = match too_much {
            None => rate * STEP / 100,
            Some(too_much) if too_much - kept > too_much / FINEST => kept.midpoint(too_much),
            Some(_) => break,
        };
    }
    Ok(row)
}

/// One rate, with a daemon of its own.
async fn step(
    setting: &Setting,
    load: &mut Load,
    clients: usize,
    rate: u64,
    length: Duration,
) -> Result<Step> {
    let mut observed = Observed::start(setting.daemon(), clients).await?;
    let connections = Some(rate / EVENTS);
    load.run(length / 4, connections)?;
    let seen = observed.settle().await?;
    let firings = Firings::start(&observed.daemon)?;
    let before = cpu(observed.daemon.pid())?;
    let done = load.run(length, connections)?;
    let after = observed.settle().await?;
    let used = cpu(observed.daemon.pid())?.saturating_sub(before).as_secs_f64();
    let hidden = firings.unseen()?;
    let status = observed.status().await?;
    let mut losses = BTreeMap::new();
    for lost in own(&status) {
        *losses.entry(format!("{} {}", lost.source().as_str_name(), lost.kind)).or_default() += lost.count;
    }
    if after.lost > 0 {
        losses.insert("LOSS_SOURCE_SUBSCRIBER events".to_owned(), after.lost);
    }
    let lost: u64 = losses.values().sum();
    let told = (after.least - seen.least) as f64;
    let happened = (done.count * EVENTS) as f64;
    // What is neither told nor said to be lost is lost all the same: but events of others are among them.
    let missing = ((happened - told).max(0.0) as u64).saturating_sub(hidden * EVENTS);
    let (_, most) = observed.daemon.memory()?;
    Ok(Step {
        happened_per_second: round(done.per_second * EVENTS as f64, 0),
        delivered_per_second: round(done.per_second * EVENTS as f64 * clients as f64, 0),
        cpu_share: round(used / length.as_secs_f64(), 2),
        cpu_s_per_100k_events: round(used * 1e5 / happened.max(1.0), 3),
        lost: lost.max(missing),
        losses,
        hidden,
        most_resident_mib: mib(most),
    })
}
