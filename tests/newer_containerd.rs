//! Proves, with a containerd of 2.0 or later, that its events are followed and that no other client of it misses any.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::{ContainerEventType, GetEventsRequest};
use observer_proto::v1::GetStatusRequest;
use observer_proto::v1::observer_client::ObserverClient;
use observer_tests::ends::{agrees, stopped};
use observer_tests::events::{detail, is_of, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, client, eventually};
use serde_json::{Value, json};

/// Pods, each with one container.
const PODS: usize = 5;

/// How often each kind of event came of each container and sandbox.
type Told = Arc<Mutex<BTreeMap<(String, i32), usize>>>;

/// Follows the runtime's events as the kubelet does.
async fn follow(testbed: &Testbed) -> Result<Told> {
    let told = Told::default();
    let mut cri = testbed.cri().await?;
    let into = Arc::clone(&told);
    tokio::spawn(async move {
        // The runtime answers with the first event.
        let Ok(events) = cri.get_container_events(GetEventsRequest {}).await else { return };
        let mut events = events.into_inner();
        while let Ok(Some(event)) = events.message().await {
            let key = (event.container_id, event.container_event_type);
            *into.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
        }
    });
    Ok(told)
}

fn count(told: &Told) -> usize {
    told.lock().unwrap_or_else(PoisonError::into_inner).len()
}

/// What the daemon says of the runtime.
async fn message(daemon: &Daemon) -> Result<String> {
    let mut observer = ObserverClient::new(client::channel(daemon.socket()).await?);
    let status = observer.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
    let cri = status.identity_sources.into_iter().find(|source| source.name == "cri");
    Ok(cri.filter(|cri| cri.healthy).context("no healthy runtime")?.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_containerds_events_are_followed_and_nobody_misses_them() -> Result<()> {
    let testbed = Testbed::start_newer().await?;
    // A busy runtime may take long to say its word.
    let daemon = Daemon::on(&testbed).args(["--attribution-hold", "10s"]).start().await?;
    let kubelet = follow(&testbed).await?;
    let lines = watch(&daemon, ["-n", "newer"]).await?;
    // Both follow once something has happened.
    eventually(PATIENCE, "the events to be followed", async || {
        testbed.pod("newer", "first").run().await?.remove().await?;
        let (message, told) = (message(&daemon).await?, count(&kubelet));
        Ok(if message.ends_with(", whose events are followed") && told > 0 {
            ensure!(message.starts_with("containerd 2."), "{message}");
            Ok(())
        } else {
            Err((message, told))
        })
    })
    .await?;
    let mut ids = Vec::new();
    for number in 0..PODS {
        let pod = testbed.pod("newer", "newer").run().await?;
        let code = format!("{}", number + 1);
        let container = pod.container("ends", ["workload", "exit", &code]).start().await?;
        let start = |line: &Value| is_of(line, "container_start", pod.name(), "ends");
        lines.wait_for("its start", PATIENCE, start).await?;
        let exit = container.wait().await?;
        let stop = stopped(&lines, &pod, "ends").await?;
        agrees(&stop, &exit)?;
        ensure!(detail(&stop)["sources"] == json!(["END_SOURCE_KERNEL", "END_SOURCE_CRI"]), "{stop}");
        ids.extend([pod.id().to_owned(), container.id().to_owned()]);
        container.remove().await?;
        pod.remove().await?;
    }
    let kinds = [
        ContainerEventType::ContainerCreatedEvent,
        ContainerEventType::ContainerStartedEvent,
        ContainerEventType::ContainerStoppedEvent,
        ContainerEventType::ContainerDeletedEvent,
    ];
    eventually(PATIENCE, "every event of every container, once", async || {
        let told = kubelet.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let once = |id: &String| kinds.iter().all(|&kind| told.get(&(id.clone(), kind.into())) == Some(&1));
        Ok(if ids.iter().all(once) { Ok(()) } else { Err(told) })
    })
    .await
}
