//! What the Kubernetes API adds to this node's pods: owners, present labels, and names without a runtime.
#![allow(clippy::disallowed_methods, reason = "a job's name has the time in it")]

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{self as core, ContainerStatus};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{Event, EventType, ListWorkloadsRequest, PeerKind, Workload};
use observer_tests::client::{json, run};
use observer_tests::kubernetes::{OWN_NODE, pod};
use observer_tests::wait::PATIENCE;
use observer_tests::watch::{ends, tcp};
use observer_tests::{Container, Daemon, KubernetesApi, Pod, Testbed, Watch, eventually};

/// The hash of a pod's template, as its `ReplicaSet` and its label have it.
const HASH: &str = "7d9f8c6b5";

/// The API's object for a pod of the testbed.
fn object(of: &Pod, owner: (&str, &str)) -> Result<core::Pod> {
    let mut pod = pod(of.namespace(), of.name(), OWN_NODE, &[of.ip()?, of.ipv6()?], Some(owner));
    pod.metadata.uid = Some(of.uid().to_owned());
    let labels = [("pod-template-hash", HASH), ("team", "checkout")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    pod.metadata.labels = Some(BTreeMap::from(labels));
    Ok(pod)
}

async fn workloads(daemon: &Daemon) -> Result<Vec<Workload>> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let list = client.list_workloads(ListWorkloadsRequest::default()).await?.into_inner().workloads;
    Ok(list.into_iter().filter_map(|status| status.workload).collect())
}

/// Waits until the workload of a container is as wanted.
async fn container_is(
    daemon: &Daemon,
    container: &Container,
    is_it: impl Fn(&Workload) -> bool,
) -> Result<()> {
    eventually(PATIENCE, "what the API tells of a container", async || {
        let all = workloads(daemon).await?;
        let found = all.into_iter().find(|workload| workload.container_id == container.id());
        Ok(if found.as_ref().is_some_and(&is_it) { Ok(()) } else { Err(found) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_belong_to_what_made_them() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let api = KubernetesApi::start().await?;
    let daemon = Daemon::on(testbed).args(api.daemon_args()).start().await?;
    let of_deployment = testbed.pod("kube-owners", "web").label("team", "former").run().await?;
    let of_job = testbed.pod("kube-owners", "backup").run().await?;
    let minute = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 60;
    api.put(&object(&of_deployment, ("ReplicaSet", &format!("web-{HASH}")))?)?;
    api.put(&object(&of_job, ("Job", &format!("backup-{minute}")))?)?;

    let serve = of_deployment.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    // The API's labels are the present ones, the runtime's those that the pod was made with.
    let is_web = |workload: &Workload| {
        workload.owner_kind == "Deployment"
            && workload.owner_name == "web"
            && workload.container == "serve"
            && workload.labels.get("team").is_some_and(|team| team == "checkout")
    };
    container_is(&daemon, &serve, is_web).await?;
    let to = format!("{}:8080", of_deployment.ip()?);
    let ask = of_job.container("ask", ["workload", "connect", "--to", &to]).start().await?;
    let is_backup = |workload: &Workload| workload.owner_kind == "CronJob" && workload.owner_name == "backup";
    container_is(&daemon, &ask, is_backup).await?;
    ask.wait().await?;

    let of = async |more: &[&str]| {
        let args = ["events", "-n", "kube-owners", "-t", "tcp_accept"].iter().chain(more).copied();
        json(daemon.socket(), args).await
    };
    let accepts = eventually(PATIENCE, "the accept", async || {
        let lines = of(&["--workload", "deployment/web"]).await?;
        Ok(if lines.iter().any(|line| line.get("event").is_some()) { Ok(lines) } else { Err(lines) })
    })
    .await?;
    let accept = accepts.iter().find(|line| line.get("event").is_some()).context("none")?;
    ensure!(accept["event"]["workload"]["owner_name"] == "web", "{accept}");
    ensure!(accept["event"]["tcp_accept"]["tcp"]["source"]["workload"]["owner_name"] == "backup", "{accept}");
    let none = of(&["--workload", "statefulset/web"]).await?;
    ensure!(none.iter().all(|line| line.get("event").is_none()), "{none:?}");
    let wide = run(daemon.socket(), ["events", "-n", "kube-owners", "-o", "wide"]).await?;
    let wide = String::from_utf8_lossy(&wide.stdout).into_owned();
    ensure!(wide.contains("Deployment/web") && wide.contains("CronJob/backup"), "{wide}");
    of_job.remove().await?;
    of_deployment.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_have_names_without_a_runtime() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let api = KubernetesApi::start().await?;
    let daemon = Daemon::bare().args(api.daemon_args()).args(["--cri-endpoint", "none"]).start().await?;
    let watch = Watch::all(&daemon).await?;
    let pod = testbed.pod("kube-names", "api-only").run().await?;
    let mut object = object(&pod, ("StatefulSet", "api-only"))?;
    api.put(&object)?;
    let serve = pod.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    // The pod is known by its UID before the API has heard of the container.
    let is_of_pod = |workload: &Workload| {
        workload.pod == pod.name() && workload.namespace == "kube-names" && workload.container.is_empty()
    };
    container_is(&daemon, &serve, is_of_pod).await?;
    if let Some(status) = &mut object.status {
        status.container_statuses = Some(vec![ContainerStatus {
            container_id: Some(format!("containerd://{}", serve.id())),
            name: "from-the-api".to_owned(),
            image: "registry.example.com/web:1".to_owned(),
            restart_count: 3,
            ..ContainerStatus::default()
        }]);
    }
    api.put(&object)?;
    let is_named = |workload: &Workload| {
        workload.container == "from-the-api"
            && workload.restart_count == Some(3)
            && workload.image == "registry.example.com/web:1"
            && workload.owner_kind == "StatefulSet"
    };
    container_is(&daemon, &serve, is_named).await?;

    // Its address is known from the API as well.
    let to = format!("{}:8080", pod.ip()?);
    let lines = observer_tests::workload::on_host(["connect", "--to", &to])?.output().await?;
    let ends_of = (lines[0]["local"].as_str().context("no local")?.to_owned(), to);
    let is_it = |event: &Event| {
        event.r#type() == EventType::TcpConnect && tcp(event).is_some_and(|tcp| ends(tcp) == ends_of)
    };
    watch.wait_count("the connect", 1, is_it).await?;
    let event = watch.events(is_it).remove(0);
    let end = tcp(&event).and_then(|tcp| tcp.destination.clone()).context("no end")?;
    ensure!(end.kind() == PeerKind::Pod && end.node_name.is_empty(), "{end:?}");
    ensure!(end.workload.is_some_and(|workload| workload.pod == pod.name()), "{event:?}");
    pod.remove().await
}
