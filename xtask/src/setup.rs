//! Installs what building and testing need, says why, and skips what is there.

mod needs;

mod archive;
mod collector;
mod kernel;
mod machine;
mod plan;
mod programs;

use std::time::Instant;

use anyhow::{Context, Result, bail};

pub(crate) use machine::Privilege;
pub(crate) use needs::Scope;

use crate::kernels::Kernel;
use machine::Packages;
use plan::{Action, Fetch, Plan};

/// Sets the machine up, or says exactly what a human has to do.
#[expect(clippy::disallowed_methods, reason = "the user is told how long it took")]
pub(crate) fn run(scope: Scope) -> Result<()> {
    let started = Instant::now();
    let missing = machine::missing(scope);
    if missing.is_empty() {
        let (needed, took) = (needs::of(scope).len(), started.elapsed());
        println!("setup: all {needed} things needed {scope} are here ({:.1} s)", took.as_secs_f32());
        return Ok(());
    }
    println!("setup: missing {scope}:");
    for need in &missing {
        println!("  {:<28} {}", need.name(), need.reason());
    }
    let mut facts = machine::facts(missing);
    if facts.wants_packages() && facts.packages.may_install() {
        // What the distribution offers is known only with fresh lists; a new machine has none.
        execute(&facts.update_lists())?;
        facts.packages = Packages::look(facts.packages.privilege());
    }
    let plan = plan::plan(&facts);
    if let Some(obstacle) = &plan.obstacle {
        bail!("{}", instructions(&plan, obstacle));
    }
    for (at, action) in plan.actions.iter().enumerate() {
        println!("setup: [{}/{}] {}", at + 1, plan.actions.len(), action.why);
        execute(action)?;
    }
    let missing = machine::missing(scope);
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|need| need.name()).collect();
        bail!("setup ran to its end, yet these are not found: {}", names.join(", "));
    }
    println!("setup: done in {:.0} s", started.elapsed().as_secs_f32());
    Ok(())
}

/// Fetches a kernel, whether it is here or not.
pub(crate) fn fetch_kernel(kernel: &Kernel<'_>) -> Result<()> {
    kernel::fetch(kernel).with_context(|| kernel::by_hand(kernel))
}

/// Runs one action with its output on the terminal.
fn execute(action: &Action) -> Result<()> {
    println!("setup: + {action}");
    match action.fetch {
        Some(Fetch::Kernel(kernel)) => fetch_kernel(kernel),
        Some(Fetch::Programs(programs)) => programs.fetch().with_context(|| programs.by_hand()),
        Some(Fetch::Collector) => collector::build().with_context(collector::by_hand),
        None => crate::command::check(&mut action.command()),
    }
}

/// What to tell a user for whom nothing could be installed.
fn instructions(plan: &Plan, obstacle: &str) -> String {
    // What is fetched needs no human's help, once the rest is there.
    let actions = plan.actions.iter().filter(|action| action.fetch.is_none());
    let commands = actions.map(|action| format!("\n  # {}\n  {action}\n", action.why));
    let advice = plan.by_hand.iter().map(|advice| format!("\n  # {advice}\n"));
    let list: String = commands.chain(advice).collect();
    format!("{obstacle}\nRun these yourself, then try again:\n{list}")
}
