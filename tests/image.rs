//! Proves the image and the DaemonSet that runs it: made twice, it is the same; the testbed's containerd takes it and runs it as
//! the rendered manifest says, where it sees what other pods do, and tells what its pod lacks.

#[path = "image/made.rs"]
mod made;
#[path = "image/missing.rs"]
mod missing;
#[path = "image/probes.rs"]
mod probes;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::{Int64Value, LinuxContainerSecurityContext};
use made::{IMAGE, file_of, image, make, newer_node, node, own_node};
use observer_tests::client::{self, is_missing};
use observer_tests::guardian::Guardian;
use observer_tests::kubernetes::{OWN_NODE, pod};
use observer_tests::manifests::Manifests;
use observer_tests::wait::PATIENCE;
use observer_tests::{
    Authority, Container, Deployed, Deployment, KubernetesApi, NameServer, Pod, Testbed, eventually,
};
use serde_json::Value;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;

const MOST_BYTES: u64 = 40 << 20;
/// The DaemonSet's kind of nodes here.
const OVERLAY: &str = "overlays/containerd";

fn deploy(testbed: &Testbed) -> Result<Deployment<'_>> {
    Deployment::new(testbed, Manifests::of(OVERLAY)?)
}

/// Runs the client of the daemon's own container, as `kubectl exec` does.
async fn ask(deployed: &Deployed, args: &[&str]) -> Result<Vec<Value>> {
    let executed = deployed.container.exec([&["observer"], args, &["-o", "json"]].concat()).await?;
    ensure!(executed.code == 0, "{executed:?}");
    Ok(executed.stdout.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_the_same_each_time_and_small() -> Result<()> {
    let first = image().await?;
    let second = first.with_file_name("again.tar");
    make(&second)?;
    ensure!(fs::read(first)? == fs::read(&second)?, "the image differs");
    let bill = |path: &Path| fs::read(path.with_extension("cdx.json"));
    ensure!(bill(first)? == bill(&second)?, "the bill of materials differs");
    ensure!(fs::metadata(first)?.len() < MOST_BYTES);
    let bill: Value = serde_json::from_slice(&bill(first)?)?;
    ensure!(
        bill["bomFormat"] == "CycloneDX" && bill["components"].as_array().is_some_and(|all| all.len() > 100)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificates_of_authorities_are_in_it() -> Result<()> {
    let bundle = file_of(image().await?, "etc/ssl/certs/ca-certificates.crt")?;
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle) {
        store.add(certificate?)?;
    }
    ensure!(store.len() > 50, "{}", store.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_looked_up_by_dns_in_it() -> Result<()> {
    let testbed = node().await?;
    let resolver = testbed.pod("names", "resolver").run().await?;
    let names = ["--host-record=server.names.test,127.0.0.1".to_owned()];
    let _server = NameServer::start(resolver.netns(), resolver.ip()?, &names).await?;
    let client = testbed.pod("names", "client").name_server(resolver.ip()?).run().await?;
    let files = Guardian::shared()?.scratch("certificates")?;
    Authority::new(&files, "authority")?.sign("client", "dns:client.names.test")?;
    // Nobody listens there: that is said only once the name is an address.
    for (host, expected) in [("server", "nobody listens there"), ("nobody", "name")] {
        let server = format!("tls://{host}.names.test:7443");
        let words = ["status", "--server", &server, "--timeout", "5s", "--tls-ca", "/tls/authority.pem"];
        // A client needs no privilege, nor be root.
        let nobody = LinuxContainerSecurityContext {
            run_as_user: Some(Int64Value { value: 65_534 }),
            readonly_rootfs: true,
            ..LinuxContainerSecurityContext::default()
        };
        let container =
            client.container(host, [""; 0]).image(IMAGE).security(nobody).mount(&files, "/tls", true);
        let container =
            container.args(words).args(["--tls-cert", "/tls/client.crt", "--tls-key", "/tls/client.key"]);
        let container = container.start().await?;
        let exit = container.wait().await?;
        let said = container.log().join(" ").to_lowercase();
        ensure!(exit.code == 1 && said.contains(expected) && said.contains(&server), "{exit:?}: {said}");
    }
    client.remove().await?;
    resolver.remove().await
}

/// The field of a process's status, as the kernel writes it.
fn field(pid: u32, name: &str) -> Result<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    Ok(line.context("no such field")?.trim().to_owned())
}

/// It misses nothing, and has no more than it is given.
async fn is_complete_and_confined(deployed: &Deployed) -> Result<()> {
    let status = ask(deployed, &["status"]).await?.pop().context("no status")?;
    let missing: Vec<&Value> =
        status["capabilities"].as_array().into_iter().flatten().filter(|one| is_missing(one)).collect();
    ensure!(missing.is_empty() && status["node_name"] == OWN_NODE, "{status:#}");
    let said = deployed.container.log().join("\n");
    ensure!(!said.contains(" is missing") && !said.contains("mount "), "{said}");
    // What the kernel says: few capabilities, none to be gained, system calls filtered, nothing of the image to be written.
    let pid = deployed.container.pid().await?;
    ensure!(field(pid, "NoNewPrivs")? == "1" && field(pid, "Seccomp")? == "2");
    // CAP_DAC_READ_SEARCH, CAP_NET_ADMIN, CAP_SYS_PTRACE: docs/privileges.md has them as those that are kept.
    let kept = (1_u64 << 2) | (1 << 12) | (1 << 19);
    ensure!(u64::from_str_radix(&field(pid, "CapPrm")?, 16)? == kept, "{}", field(pid, "CapPrm")?);
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).context("no root")?;
    let options = root.split(' ').nth(5).context("no options")?;
    ensure!(options.split(',').any(|one| one == "ro"), "{root}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_containerd_runs_it_as_well() -> Result<()> {
    let testbed = newer_node().await?;
    let deployed = deploy(&testbed)?.start().await?.started().await?;
    is_complete_and_confined(&deployed).await?;
    deployed.pod.remove().await
}

/// A server and a client in pods of their own, which have talked.
async fn talk(testbed: &Testbed, api: &KubernetesApi) -> Result<(Pod, Container, Pod)> {
    let server = testbed.pod("deployed", "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    let client = testbed.pod("deployed", "client").run().await?;
    let mut object =
        pod(client.namespace(), client.name(), OWN_NODE, &[client.ip()?], Some(("DaemonSet", "ask")));
    object.metadata.uid = Some(client.uid().to_owned());
    api.put(&object)?;
    let to = format!("{}:8080", server.ip()?);
    let connect = client.container("connect", ["workload", "connect", "--to", &to, "--bytes", "1000"]);
    connect.start().await?.output().await?;
    Ok((server, serve, client))
}

#[tokio::test(flavor = "multi_thread")]
async fn as_the_manifest_runs_it_it_sees_what_other_pods_do() -> Result<()> {
    let testbed = own_node().await?;
    let api = KubernetesApi::start_secure().await?;
    let deployed = deploy(&testbed)?.asking(&api)?.start().await?.started().await?;
    let status = ask(&deployed, &["status"]).await?.pop().context("no status")?;
    let missing: Vec<&Value> =
        status["capabilities"].as_array().into_iter().flatten().filter(|one| is_missing(one)).collect();
    ensure!(missing.is_empty() && status["node_name"] == OWN_NODE, "{status:#}");

    // What the kernel says: few capabilities, none to be gained, system calls filtered, nothing of the image to be written.
    let pid = deployed.container.pid().await?;
    ensure!(field(pid, "NoNewPrivs")? == "1" && field(pid, "Seccomp")? == "2");
    let kept = (1_u64 << 2) | (1 << 12) | (1 << 19);
    ensure!(u64::from_str_radix(&field(pid, "CapPrm")?, 16)? == kept, "{}", field(pid, "CapPrm")?);
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let root = mounts.lines().find(|line| line.split(' ').nth(4) == Some("/")).context("no root")?;
    let options = root.split(' ').nth(5).context("no options")?;
    ensure!(options.split(',').any(|one| one == "ro"), "{root}");

    let (server, serve, client) = Box::pin(talk(&testbed, &api)).await?;
    // A client of its own, in another pod: it has the socket's folder and nothing else.
    let asking = testbed.pod("deployed", "asking").run().await?;
    let told = eventually(PATIENCE, "the connection to be told", async || {
        let container = asking.container("events", [""; 0]).image(IMAGE).args([
            "events",
            "--all",
            "-n",
            "deployed",
            "-t",
            "tcp_connect",
            "-o",
            "json",
        ]);
        let container =
            container.mount(&deployed.on_node("/run/observer"), "/run/observer", true).start().await?;
        let told = container.output().await?;
        container.remove().await?;
        let is_it = |line: &&Value| line["event"]["workload"]["owner_name"] == "ask";
        Ok(told.iter().find(is_it).cloned().ok_or(told))
    })
    .await?;
    let event = &told["event"];
    ensure!(
        event["workload"]["pod"] == client.name() && event["workload"]["container"] == "connect",
        "{told:#}"
    );
    ensure!(event["tcp_connect"]["tcp"]["destination"]["workload"]["pod"] == server.name(), "{told:#}");
    eventually(PATIENCE, "the window to end", async || {
        let summary = ask(&deployed, &["summary", "--since", "10m", "-n", "deployed"]).await?;
        let is_told = summary.iter().any(|line| line.to_string().contains(server.name()));
        Ok(is_told.then_some(()).ok_or(summary))
    })
    .await?;
    // The node's own client, by the folder that is the node's.
    let listed = client::json(&deployed.socket(), ["workloads", "-n", "deployed"]).await?;
    ensure!(listed.iter().any(|one| one.to_string().contains(serve.id())), "{listed:#?}");

    // The runtime begins anew, with another socket.
    testbed.stop_containerd()?;
    testbed.start_containerd().await?;
    let later = testbed.pod("deployed", "later").run().await?;
    later.container("after", ["true"]).start().await?.wait().await?;
    eventually(PATIENCE, "a container's name from the runtime that began anew", async || {
        let listed =
            client::json(&deployed.socket(), ["events", "--all", "-n", "deployed", "-t", "container_start"])
                .await?;
        let named = |line: &Value| line["event"]["workload"]["container"] == "after";
        Ok(if listed.iter().any(named) { Ok(()) } else { Err(listed.len()) })
    })
    .await?;

    // It ends in order, and what it saw is on the node.
    deployed.container.stop(std::time::Duration::from_secs(10)).await?;
    let exit = deployed.container.wait().await?;
    ensure!(exit.code == 0, "{exit:?}: {:#?}", deployed.container.log());
    ensure!(fs::read_dir(deployed.on_node("/var/lib/observer"))?.next().is_some());
    for pod in [later, asking, client, server, deployed.pod] {
        pod.remove().await?;
    }
    Ok(())
}
