//! Manifests that lack something: the daemon says what it is, and what to do.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, ensure};
use observer_tests::guardian::Guardian;
use observer_tests::manifests::Manifests;
use observer_tests::wait::PATIENCE;
use observer_tests::{Authority, Deployed, Deployment, KubernetesApi, eventually};

use super::made::node;
use super::{OVERLAY, deploy};

/// A mount, what the daemon says where it is not there, and how it ends then, where it does not go on.
type Missing = (&'static str, &'static [&'static str], Option<i32>);

/// Each mount of the DaemonSet with all of its components, and the one that every pod with a service account gets.
const MISSING: [Missing; 9] = [
    ("config", &["/etc/observer/observer.toml"], Some(2)),
    ("socket", &["/run/observer/observer.sock", "in a pod, mount a folder of the node there"], Some(1)),
    ("api-access", &["/etc/observer-api/access/access.toml"], Some(1)),
    ("api-tls", &["/etc/observer-api/tls/"], Some(1)),
    ("metrics-tls", &["/etc/observer-metrics/"], Some(1)),
    ("recording", &["/var/lib/observer/", "in a pod, mount a folder of the node there"], None),
    ("cgroups", &["in a pod, mount the node's /sys/fs/cgroup there"], None),
    (
        "runtime",
        &["/run/runtime/containerd.sock", "in a pod, mount the folder of the runtime's socket there"],
        None,
    ),
    (
        "service-account",
        &["/var/run/secrets/kubernetes.io/serviceaccount", "automountServiceAccountToken"],
        None,
    ),
];
/// What each of them is called by where it is missing, and nowhere else.
const WORDS: [&str; 3] = [" is missing: ", "in a pod, ", "cannot read "];

/// Waits until the container has said all of these.
async fn says(deployed: &Deployed, words: &[&str]) -> Result<()> {
    eventually(PATIENCE, &format!("the daemon to name {words:?}"), async || {
        let said = deployed.container.log().join("\n");
        Ok(if words.iter().all(|word| said.contains(word)) { Ok(()) } else { Err(said) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_which_mount_is_missing() -> Result<()> {
    let testbed = node().await?;
    let api = KubernetesApi::start_secure().await?;
    let (secret, files) = (Guardian::shared()?.scratch("secret")?, Guardian::shared()?.scratch("files")?);
    let authority = Authority::new(&files, "authority")?;
    let own = authority.sign("own", "dns:observer-api.observer.svc")?;
    for (from, to) in [(&authority.ca, "ca.crt"), (&own.cert, "tls.crt"), (&own.key, "tls.key")] {
        fs::copy(from, secret.join(to))?;
    }
    let manifests = Manifests::with(OVERLAY, &["api", "prometheus"])?;
    let mounts = manifests.container()?.volume_mounts.unwrap_or_default();
    let mounts: BTreeSet<&str> =
        mounts.iter().map(|mount| mount.name.as_str()).chain(["service-account"]).collect();
    ensure!(mounts == MISSING.iter().map(|(name, ..)| *name).collect(), "{mounts:?}");
    let whole = || -> Result<Deployment<'_>> {
        let deployment = Deployment::new(testbed, manifests.clone())?.asking(&api)?;
        Ok(deployment.secret("observer-api", &secret).secret("observer-metrics", &secret))
    };

    let deployed = whole()?.start().await?.started().await?;
    let said = deployed.container.log().join("\n");
    ensure!(!WORDS.iter().any(|word| said.contains(word)), "{said}");
    deployed.pod.remove().await?;
    for (volume, words, code) in MISSING {
        let deployed = whole()?.without(volume).start().await?;
        let deployed = if let Some(code) = code {
            let exit = deployed.container.wait().await?;
            ensure!(exit.code == code, "{volume}: {exit:?}: {:#?}", deployed.container.log());
            deployed
        } else {
            deployed.started().await?
        };
        says(&deployed, words).await?;
        deployed.pod.remove().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_which_namespace_of_the_node_is_missing() -> Result<()> {
    let testbed = node().await?;
    let own_processes = deploy(testbed)?.changed(|pod| pod.host_pid = None);
    let own_network = deploy(testbed)?.changed(|pod| pod.host_network = None);
    for (deployment, setting) in [(own_processes, "hostPID: true"), (own_network, "hostNetwork: true")] {
        let deployed = deployment.start().await?.started().await?;
        says(&deployed, &[setting]).await?;
        deployed.pod.remove().await?;
    }
    Ok(())
}
