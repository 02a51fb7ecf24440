//! What each call of a program costs, as the kernel counts it: ours alone, and side by side with those of others.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use observer_tests::firings::count_runs;
use serde::Serialize;

use crate::contender::Contender;
use crate::programs::per_call;
use crate::rounds::Plan;
use crate::setting::{Load, Setting};
use crate::spread::Spread;

/// A hook of ours, or a tool with all of its programs.
#[derive(Debug, Serialize)]
pub(crate) struct Cost {
    pub(crate) who: &'static str,
    /// The hook; empty for a tool.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) hook: String,
    /// With nobody else there; else with all of them at once, which push each other out of the processor's caches.
    pub(crate) alone: bool,
    /// How often it was called, in all rounds.
    pub(crate) calls: u64,
    /// Nanoseconds of a call, of all programs there together. The kernel's own counting is in it, for all alike.
    pub(crate) ns: Spread,
}

/// What calls cost under a load.
#[derive(Debug, Serialize)]
pub(crate) struct Calls {
    pub(crate) costs: Vec<Cost>,
    /// The named hooks of ours together, for each nanosecond of those tools together.
    pub(crate) ratio: Spread,
    pub(crate) of_hooks: Vec<&'static str>,
    pub(crate) of_tools: Vec<&'static str>,
}

/// Hooks of ours, and the tools that do the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beside {
    pub(crate) hooks: &'static [&'static str],
    pub(crate) tools: &'static [&'static str],
    /// Tools that are measured, and not compared with.
    pub(crate) others: &'static [&'static str],
}

/// Measures: the observer in so many rounds alone, then all of them at once.
pub(crate) async fn measure(setting: &Setting, load: &mut Load, beside: Beside, plan: Plan) -> Result<Calls> {
    let alone = rounds(setting, load, &[Contender::Observer], plan).await?;
    let mut contenders = vec![Contender::Observer];
    contenders.extend(beside.tools.iter().chain(beside.others).map(|name| Contender::Tool(name)));
    let together = rounds(setting, load, &contenders, plan).await?;
    let sum = |round: &Round, of: &dyn Fn(Contender, &str) -> bool| -> f64 {
        let fits = round.iter().filter(|((index, hook), _)| of(contenders[*index], hook));
        fits.map(|(_, (_, ns))| ns).sum()
    };
    let ours = |who, hook: &str| who == Contender::Observer && beside.hooks.contains(&hook);
    let theirs = |who, _: &str| matches!(who, Contender::Tool(name) if beside.tools.contains(&name));
    let ratios: Vec<f64> = together.iter().map(|round| sum(round, &ours) / sum(round, &theirs)).collect();
    ensure!(ratios.iter().all(|ratio| ratio.is_finite()), "the programs of {:?} did not run", beside.tools);
    let costs = costs(&contenders, &alone, true).into_iter().chain(costs(&contenders, &together, false));
    Ok(Calls {
        costs: costs.collect(),
        ratio: Spread::of(&ratios, 3),
        of_hooks: beside.hooks.to_vec(),
        of_tools: beside.tools.to_vec(),
    })
}

/// Calls and nanoseconds of a call, by contender and hook.
type Round = BTreeMap<(usize, String), (u64, f64)>;

async fn rounds(
    setting: &Setting,
    load: &mut Load,
    contenders: &[Contender],
    plan: Plan,
) -> Result<Vec<Round>> {
    let mut running = Vec::new();
    for contender in contenders {
        running.push(contender.start(setting).await?);
    }
    let _counting = count_runs()?;
    load.run(plan.warm_up, None)?;
    let mut all = Vec::new();
    for _ in 0..plan.rounds {
        let mut before = Vec::new();
        for one in &running {
            before.push(one.programs().await?);
        }
        load.run(plan.length, None)?;
        let mut round = Round::new();
        for (index, (one, before)) in running.iter().zip(before).enumerate() {
            let before: BTreeMap<_, _> = before.into_iter().collect();
            for (hook, after) in one.programs().await? {
                let earlier = before.get(&hook).cloned().unwrap_or_default();
                if let Some(cost) = per_call(&earlier, &after) {
                    round.insert((index, hook), cost);
                }
            }
        }
        all.push(round);
    }
    Ok(all)
}

fn costs(contenders: &[Contender], rounds: &[Round], alone: bool) -> Vec<Cost> {
    let mut sums: BTreeMap<&(usize, String), (u64, Vec<f64>)> = BTreeMap::new();
    for (of, (calls, ns)) in rounds.iter().flatten() {
        let (sum, all) = sums.entry(of).or_default();
        *sum += calls;
        all.push(*ns);
    }
    let cost = |((index, hook), (calls, ns)): (&(usize, String), (u64, Vec<f64>))| Cost {
        who: contenders[*index].name(),
        hook: hook.clone(),
        alone,
        calls,
        ns: Spread::of(&ns, 0),
    };
    sums.into_iter().map(cost).collect()
}
