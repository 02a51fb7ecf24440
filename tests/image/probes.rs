//! The probes that a kubelet would run: they succeed while the daemon answers, and fail in time where it does not.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Probe;
use observer_tests::manifests::Manifests;
use rustix::process::Signal;

use super::made::node;
use super::{OVERLAY, deploy};

/// Its command.
fn command(probe: &Probe) -> Result<Vec<String>> {
    probe.exec.as_ref().and_then(|exec| exec.command.clone()).context("no command")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_probe_succeeds_while_the_daemon_answers_and_fails_where_it_does_not() -> Result<()> {
    let testbed = node().await?;
    let container = Manifests::of(OVERLAY)?.container()?;
    let probes = [container.startup_probe, container.readiness_probe, container.liveness_probe];
    let probes = probes.into_iter().map(|probe| probe.context("a probe is missing"));
    let probes: Vec<Probe> = probes.collect::<Result<_>>()?;
    let deployed = deploy(testbed)?.start().await?.started().await?;
    for probe in &probes {
        let executed = deployed.container.exec(command(probe)?).await?;
        ensure!(executed.code == 0, "{probe:?}: {executed:?}");
    }
    deployed.container.kill(Signal::STOP).await?;
    for probe in &probes {
        // It gives up by itself; a kubelet would end it a second later (tests/manifests/resources.rs).
        let executed = deployed.container.exec(command(probe)?).await?;
        ensure!(executed.code == 1, "{probe:?}: {executed:?}");
    }
    deployed.container.kill(Signal::CONT).await?;
    for probe in &probes {
        let executed = deployed.container.exec(command(probe)?).await?;
        ensure!(executed.code == 0, "{probe:?}: {executed:?}");
    }
    deployed.pod.remove().await
}
