//! Proves that a storm of execs is counted in full and to its owners, with the rings as large as they are by default.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::totals::Totals;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, eventually};

/// Execs a second in each of two pods, if the machine can do as many.
const RATE: u64 = 2500;
/// Execs in each pod: 20 seconds of it.
const COUNT: u64 = 20 * RATE;
/// A busy machine makes fewer a second.
const STORM: Duration = Duration::from_mins(5);

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_execs_a_second_are_counted_to_their_pods() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let totals = Totals::start(&daemon).await?;
    let pods = [testbed.pod("storms", "left").run().await?, testbed.pod("storms", "right").run().await?];
    let (rate, count) = (RATE.to_string(), COUNT.to_string());
    let argv = ["workload", "exec-storm", "--count", &count, "--rate", &rate];
    let storms =
        [pods[0].container("storm", argv).start().await?, pods[1].container("storm", argv).start().await?];
    for storm in &storms {
        let exit = storm.wait_for(STORM).await?;
        ensure!(exit.code == 0, "{exit:?} {:?}", storm.log());
        let elapsed_ns =
            storm.json().iter().find_map(|line| line["elapsed_ns"].as_u64()).context("no time")?;
        println!("{} execs and exits a second", COUNT * 1_000_000_000 / elapsed_ns);
    }
    // The storm itself is executed and exits too; the pod's sandbox is executed and stays.
    let made = [("execs", COUNT + 2), ("exits", COUNT + 1)];
    for pod in &pods {
        eventually(PATIENCE, "the sums of the pod's summaries", async || {
            let sums = totals.of(pod);
            let told = made.map(|(name, _)| (name, sums.get(name).copied().unwrap_or(0)));
            Ok(if told == made { Ok(()) } else { Err((told, totals.lost_events())) })
        })
        .await?;
    }
    ensure!(totals.lost_events() == 0, "{} events lost", totals.lost_events());
    for pod in pods {
        pod.remove().await?;
    }
    Ok(())
}
