//! What the DaemonSet asks for, beside what was measured (bench/results), and how its probes fit together.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use observer_tests::manifests::Manifests;
use serde_json::Value;

fn measured(file: &str) -> Result<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/results").join(file);
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

/// The most memory of any load, in MiB, as the benchmark's table has it.
fn most_memory() -> Result<f64> {
    let verdicts = measured("verdicts.json")?;
    let rows = verdicts.as_array().context("no list")?;
    let row = rows.iter().find(|row| row["what"] == "resident memory, at the most under any load here");
    row.context("no such row")?["measured"].as_f64().context("it was not measured")
}

fn mebibytes(text: &str) -> Result<f64> {
    Ok(text.strip_suffix("Mi").with_context(|| format!("{text} is not in Mi"))?.parse()?)
}

#[test]
fn resources_are_those_that_were_measured() -> Result<()> {
    let manifests = Manifests::of("overlays/containerd")?;
    let resources = manifests.container()?.resources.context("no resources")?;
    let (requests, limits) =
        (resources.requests.context("no requests")?, resources.limits.context("no limits")?);
    let (asked, limit) = (mebibytes(&requests["memory"].0)?, mebibytes(&limits["memory"].0)?);
    // Who waits for a processor loses events.
    ensure!(limits.len() == 1, "{limits:?}");
    // What the daemon may take is what is asked for, and more than it took at the most.
    let map = manifests.pod()?.volumes.into_iter().flatten().find_map(|volume| volume.config_map);
    let settings = manifests.file(&map.context("no settings")?.name, "observer.toml")?;
    let own = format!("max_memory = \"{asked}MiB\"");
    ensure!(settings.lines().any(|line| line == own), "no {own} in {settings}");
    let most = most_memory()?;
    ensure!(most < asked && 2.0 * asked < limit, "{most}, {asked}, {limit}");
    let processor: f64 = requests["cpu"].0.strip_suffix('m').context("not in thousandths")?.parse()?;
    let idle = measured("idle.json")?;
    let share = idle["cpu_share"].as_f64().context("no share")?;
    ensure!(processor / 1000.0 > 10.0 * share, "{processor} and {share}");

    // The figures that are named beside them are those of now.
    let resident = idle["resident_mib"].as_f64().context("no figure")?;
    let loads = measured("connections.json")?;
    let load = &loads["loopback"];
    let connections = load["per_second"].as_f64().context("no rate")?;
    let contenders = load["contenders"].as_array().context("nobody")?;
    let busy = contenders.iter().find(|one| one["name"] == "observer").context("not us")?;
    let busy = busy["cpu_share"].as_f64().context("no share")?;
    let eighth = (0.11..0.14).contains(&busy) && (17_500.0..18_500.0).contains(&connections);
    ensure!(eighth, "an eighth of a processor for 18,000: {busy} for {connections}");
    let idle = format!("{resident:.0} MiB and {:.1} % of a processor on an idle node", share * 100.0);
    let most = format!("{most:.0} MiB");
    let manifest = include_str!("../../deploy/kubernetes/base/daemon-set.yaml");
    let text = include_str!("../../docs/kubernetes.md");
    for told in [manifest, text] {
        ensure!(told.contains(&idle) && told.contains(&most), "no {idle:?} or {most:?} in {told}");
    }
    ensure!(
        manifest.replace("\n          #", "").contains("an eighth of a processor for 18,000 new connections")
    );
    Ok(())
}

/// Nodes that the image is not for get no pod that could not begin.
#[test]
fn it_keeps_to_nodes_that_the_image_is_for() -> Result<()> {
    let selected = Manifests::of("overlays/containerd")?.pod()?.node_selector.context("every node")?;
    ensure!(selected["kubernetes.io/os"] == "linux" && selected["kubernetes.io/arch"] == "amd64");
    Ok(())
}

/// Each has the time that its command takes at the most, and a daemon that is only busy is not ended.
#[test]
fn probes_fit_together() -> Result<()> {
    for overlay in ["containerd", "crio", "k3s"] {
        for components in [&[][..], &["api"][..], &["prometheus"][..], &["api", "prometheus"][..]] {
            let manifests = Manifests::with(&format!("overlays/{overlay}"), components)?;
            let container = manifests.container()?;
            let mut fails_after = Vec::new();
            for probe in [container.startup_probe, container.readiness_probe, container.liveness_probe] {
                let probe = probe.context("a probe is missing")?;
                // By HTTP a kubelet would have to be let in, who has no certificate.
                ensure!(probe.http_get.is_none() && probe.tcp_socket.is_none() && probe.grpc.is_none());
                let command = probe.exec.and_then(|exec| exec.command).context("no command")?;
                let [program, status, flag, patience] = command.as_slice() else {
                    anyhow::bail!("{command:?}")
                };
                ensure!(
                    [program, status, flag] == ["/usr/bin/observer", "status", "--timeout"],
                    "{command:?}"
                );
                let patience: i32 = patience.strip_suffix('s').context("not in seconds")?.parse()?;
                let (most, period) = (
                    probe.timeout_seconds.context("no timeout")?,
                    probe.period_seconds.context("no period")?,
                );
                ensure!(patience < most, "{command:?}: {most} s");
                fails_after.push(probe.failure_threshold.unwrap_or(3) * period);
            }
            let [startup, readiness, liveness] = fails_after[..] else { anyhow::bail!("{fails_after:?}") };
            // All probes are attached within a second on an idle node.
            ensure!(startup >= 60 && liveness >= 120 && readiness <= liveness, "{fails_after:?}");
        }
    }
    Ok(())
}
