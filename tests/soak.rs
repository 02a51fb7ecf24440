//! The soak, for seconds instead of minutes: every total is the generators' own, and nothing is lost.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use anyhow::{Result, ensure};
use observer_tests::soak::{Plan, run};

#[tokio::test(flavor = "multi_thread")]
async fn every_total_is_the_generators_own() -> Result<()> {
    let plan = Plan { seconds: 8, connections: 800, execs: 100, container_every_ms: 1_000 };
    let outcome = run(plan, |line| println!("{line}")).await?;
    println!("{outcome:#?}");
    // Its time is too short for a daemon's memory to settle.
    let wrong: Vec<_> = outcome.figures.iter().filter(|figure| !figure.holds()).collect();
    ensure!(wrong.is_empty() && outcome.lost == 0, "{wrong:#?}, {} lost", outcome.lost);
    Ok(())
}
