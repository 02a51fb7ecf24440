//! What each call of a program costs, as the kernel counts it: ours and those of others, side by side in one run.

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

/// Measures, in so many rounds with all of them at once.
pub(crate) async fn measure(setting: &Setting, load: &mut Load, beside: Beside, plan: Plan) -> Result<Calls> {
    let mut contenders = vec![Contender::Observer];
    contenders.extend(beside.tools.iter().chain(beside.others).map(|name| Contender::Tool(name)));
    let mut costs: BTreeMap<(usize, String), (u64, Vec<f64>)> = BTreeMap::new();
    let mut ratios = Vec::new();
    let mut running = Vec::new();
    for contender in &contenders {
        running.push(contender.start(setting).await?);
    }
    let _counting = count_runs()?;
    load.run(plan.warm_up, None)?;
    for _ in 0..plan.rounds {
        let mut before = Vec::new();
        for one in &running {
            before.push(one.programs().await?);
        }
        load.run(plan.length, None)?;
        let [mut ours, mut theirs] = [0.0; 2];
        for (index, (one, before)) in running.iter().zip(before).enumerate() {
            let before: BTreeMap<_, _> = before.into_iter().collect();
            for (hook, after) in one.programs().await? {
                let earlier = before.get(&hook).cloned().unwrap_or_default();
                let Some((calls, ns)) = per_call(&earlier, &after) else { continue };
                match contenders[index] {
                    Contender::Observer if beside.hooks.contains(&hook.as_str()) => ours += ns,
                    Contender::Tool(name) if beside.tools.contains(&name) => theirs += ns,
                    Contender::Observer | Contender::Tool(_) | Contender::Nothing => {}
                }
                let (sum, all) = costs.entry((index, hook)).or_default();
                *sum += calls;
                all.push(ns);
            }
        }
        ensure!(theirs > 0.0, "the programs of {:?} did not run", beside.tools);
        ratios.push(ours / theirs);
    }
    let cost = |((index, hook), (calls, ns)): ((usize, String), (u64, Vec<f64>))| Cost {
        who: contenders[index].name(),
        hook,
        calls,
        ns: Spread::of(&ns, 0),
    };
    Ok(Calls {
        costs: costs.into_iter().map(cost).collect(),
        ratio: Spread::of(&ratios, 3),
        of_hooks: beside.hooks.to_vec(),
        of_tools: beside.tools.to_vec(),
    })
}
