//! Interleaved rounds: in each of them every contender has its turn, between two turns of nothing.
//!
//! A machine drifts: its clock rate, its neighbours, its caches. So ratios are formed within a round, against the mean
//! of the nothings at its two ends, and the order is another one in each round. What is left is noise, and the ratio of
//! the two nothings tells how much of it there is.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use observer_tests::losses::own;

use crate::contender::{Contender, Running};
use crate::setting::{Done, Load, Setting};
use crate::spread::{Spread, median, mib, round};

/// The machine itself does something now and then.
const QUIET_EVENTS: u64 = 20;
/// So long a contender is given to catch up, and again if that was not enough.
const PAUSE: Duration = Duration::from_millis(50);

/// How long is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    /// Runs before the run that counts.
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

/// What a contender left of the load's rate.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The rate with it for each without it, by round.
    pub(crate) kept: Spread,
    /// The time of a request, in microseconds, for each without it. Only for requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_ratio: Option<Spread>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_ratio: Option<Spread>,
    /// The processor time of its own process, of one processor.
    pub(crate) cpu_share: f64,
}

/// What the rounds gave.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    /// The load's rate with nothing beside it, a second.
    pub(crate) per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p50_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p99_us: Option<f64>,
    /// The second nothing of a round for each of its first: what the machine does by itself.
    pub(crate) noise: Spread,
    pub(crate) contenders: Vec<Row>,
    /// The observer's own figures, where it took part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) observer: Option<Observer>,
}

/// What the observer's daemon used and told in the rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Observer {
    /// Events that it told, in all rounds.
    pub(crate) events: u64,
    pub(crate) cpu_s_per_100k_events: Spread,
    pub(crate) attach_ms: Spread,
    pub(crate) most_resident_mib: f64,
    /// Anything that was lost anywhere.
    pub(crate) lost: u64,
}

/// A turn.
struct Turn {
    done: Done,
    cpu: Duration,
    told: Option<Told>,
}

/// What a turn of the observer's gave beside.
struct Told {
    events: u64,
    attach_ms: f64,
    most_resident: u64,
    lost: u64,
}

/// Measures.
pub(crate) async fn measure(
    setting: &Setting,
    load: &mut Load,
    contenders: &[Contender],
    plan: Plan,
) -> Result<Measured> {
    let (mut nothing, mut turns) = (Vec::new(), contenders.iter().map(|_| Vec::new()).collect::<Vec<_>>());
    for round in 0..plan.rounds {
        let before = turn(setting, load, Contender::Nothing, plan).await?;
        let mut of_round = Vec::new();
        for place in 0..contenders.len() {
            let index = (place + round) % contenders.len();
            of_round.push((index, turn(setting, load, contenders[index], plan).await?));
        }
        let after = turn(setting, load, Contender::Nothing, plan).await?;
        let pair = [before.done, after.done];
        for (index, turn) in of_round {
            turns[index].push((pair, turn));
        }
        nothing.push(pair);
    }
    let noise: Vec<f64> = nothing.iter().map(|[first, last]| last.per_second / first.per_second).collect();
    let both = |figure: fn(&Done) -> f64| nothing.iter().flatten().map(figure).collect::<Vec<_>>();
    let timed = nothing.iter().flatten().any(|done| done.p99_ns > 0);
    let observers = contenders.iter().position(|contender| *contender == Contender::Observer);
    Ok(Measured {
        per_second: median(&both(|done| done.per_second), 0),
        p50_us: timed.then(|| median(&both(|done| done.p50_ns as f64 / 1e3), 2)),
        p99_us: timed.then(|| median(&both(|done| done.p99_ns as f64 / 1e3), 2)),
        noise: Spread::of(&noise, 4),
        observer: observers.map(|index| observer(&turns[index])),
        contenders: contenders
            .iter()
            .zip(&turns)
            .map(|(contender, turns)| row(*contender, turns, plan))
            .collect(),
    })
}

async fn turn(setting: &Setting, load: &mut Load, contender: Contender, plan: Plan) -> Result<Turn> {
    let running = contender.start(setting).await?;
    load.run(plan.warm_up, None)?;
    let before = caught_up(&running).await?;
    let cpu = running.cpu()?;
    let done = load.run(plan.length, None)?;
    // What it still has to do of this is its cost as well.
    let after = caught_up(&running).await?;
    let cpu = running.cpu()?.saturating_sub(cpu);
    let told = match (before, after) {
        (Some((before, _)), Some((after, told))) => Some(Told { events: after - before, ..told }),
        _ => None,
    };
    Ok(Turn { done, cpu, told })
}

/// The status when there is hardly anything new in it any more; after two seconds in any case. Whoever has none is given as
/// long a pause: a load that has rested begins otherwise than one that has not.
async fn caught_up(running: &Running) -> Result<Option<(u64, Told)>> {
    let mut last = status(running).await?;
    for _ in 0..40 {
        tokio::time::sleep(PAUSE).await;
        let Some((before, _)) = &last else { break };
        let before = *before;
        last = status(running).await?;
        if last.as_ref().is_some_and(|(now, _)| now - before < QUIET_EVENTS) {
            break;
        }
    }
    Ok(last)
}

/// The events so far, and what else there is to tell; none of what is not the observer.
async fn status(running: &Running) -> Result<Option<(u64, Told)>> {
    let Running::Observer(observed) = running else { return Ok(None) };
    let status = observed.status().await?;
    let events = status.events.iter().map(|of| of.count).sum();
    let lost = own(&status).iter().map(|lost| lost.count).sum();
    let attach_ms = status.attach_duration_ns as f64 / 1e6;
    let (_, most_resident) = observed.daemon.memory()?;
    Ok(Some((events, Told { events, attach_ms, most_resident, lost })))
}

fn row(contender: Contender, turns: &[([Done; 2], Turn)], plan: Plan) -> Row {
    let ratios = |figure: fn(&Done) -> f64| -> Vec<f64> {
        let ratio = |(pair, turn): &([Done; 2], Turn)| {
            figure(&turn.done) / (f64::midpoint(figure(&pair[0]), figure(&pair[1])))
        };
        turns.iter().map(ratio).collect()
    };
    let timed = turns.iter().any(|(_, turn)| turn.done.p99_ns > 0);
    let shares: Vec<f64> =
        turns.iter().map(|(_, turn)| turn.cpu.as_secs_f64() / plan.length.as_secs_f64()).collect();
    Row {
        name: contender.name(),
        kept: Spread::of(&ratios(|done| done.per_second), 4),
        p50_ratio: timed.then(|| Spread::of(&ratios(|done| done.p50_ns as f64), 3)),
        p99_ratio: timed.then(|| Spread::of(&ratios(|done| done.p99_ns as f64), 3)),
        cpu_share: median(&shares, 3),
    }
}

fn observer(turns: &[([Done; 2], Turn)]) -> Observer {
    let told = || turns.iter().filter_map(|(_, turn)| turn.told.as_ref().map(|told| (turn.cpu, told)));
    // Where next to nothing happens, what it costs is not that.
    let costs: Vec<f64> = told()
        .filter(|(_, told)| told.events >= 1000)
        .map(|(cpu, told)| cpu.as_secs_f64() * 1e5 / told.events as f64)
        .collect();
    Observer {
        events: told().map(|(_, told)| told.events).sum(),
        cpu_s_per_100k_events: Spread::of(&costs, 3),
        attach_ms: Spread::of(&told().map(|(_, told)| round(told.attach_ms, 1)).collect::<Vec<_>>(), 1),
        most_resident_mib: mib(told().map(|(_, told)| told.most_resident).max().unwrap_or(0)),
        lost: told().map(|(_, told)| told.lost).sum(),
    }
}
