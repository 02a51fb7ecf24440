//! Pods as a kubelet makes them: a sandbox with labels, a cgroup and an address of its own.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_cri::v1::{
    DnsConfig, LinuxPodSandboxConfig, LinuxSandboxSecurityContext, NamespaceMode, NamespaceOption,
    PodSandboxConfig, PodSandboxMetadata, PodSandboxStatusRequest, RemovePodSandboxRequest,
    RunPodSandboxRequest, StopPodSandboxRequest,
};

use crate::client::channel;
use crate::container::ContainerBuilder;
use crate::faults::{Loss, Packets};
use crate::guardian::remove_pod_cgroups;
use crate::netns::{Counters, Netns};
use crate::testbed::{Cri, Testbed};
use crate::wait::{PATIENCE, eventually};

/// A pod that does not run yet.
#[derive(Debug)]
pub struct PodBuilder<'a> {
    testbed: &'a Testbed,
    config: PodSandboxConfig,
    processes: NamespaceMode,
    network: NamespaceMode,
}

impl<'a> PodBuilder<'a> {
    pub(crate) fn new(testbed: &'a Testbed, namespace: &str, name: String, uid: String) -> Self {
        let labels = HashMap::from([
            ("io.kubernetes.pod.name".to_owned(), name.clone()),
            ("io.kubernetes.pod.namespace".to_owned(), namespace.to_owned()),
            ("io.kubernetes.pod.uid".to_owned(), uid.clone()),
        ]);
        let config = PodSandboxConfig {
            hostname: name.clone(),
            log_directory: testbed.dir().join("logs").join(&uid).display().to_string(),
            linux: Some(LinuxPodSandboxConfig {
                cgroup_parent: format!("/kubepods/burstable/pod{uid}"),
                ..LinuxPodSandboxConfig::default()
            }),
            // Otherwise the host's resolver would be asked, which no test may do.
            dns_config: Some(DnsConfig { servers: vec!["127.0.0.1".to_owned()], ..DnsConfig::default() }),
            metadata: Some(PodSandboxMetadata { name, uid, namespace: namespace.to_owned(), attempt: 0 }),
            labels,
            ..PodSandboxConfig::default()
        };
        Self { testbed, config, processes: NamespaceMode::Container, network: NamespaceMode::Pod }
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.config.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.config.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Lets all its containers share one PID namespace, whose first process is the sandbox's: then a signal ends
    /// a container's process as on a host.
    #[must_use]
    pub fn share_processes(mut self) -> Self {
        self.processes = NamespaceMode::Pod;
        self
    }

    /// Lets its containers see the host's processes, as `hostPID` does.
    #[must_use]
    pub fn host_processes(mut self) -> Self {
        self.processes = NamespaceMode::Node;
        self
    }

    /// Gives it the host's network namespace, and so its name, instead of one of its own.
    #[must_use]
    pub fn host_network(mut self) -> Self {
        self.network = NamespaceMode::Node;
        self.config.hostname.clear();
        self
    }

    /// Has its containers ask this name server.
    #[must_use]
    pub fn name_server(mut self, address: IpAddr) -> Self {
        self.config.dns_config =
            Some(DnsConfig { servers: vec![address.to_string()], ..DnsConfig::default() });
        self
    }

    /// Starts the sandbox.
    pub async fn run(mut self) -> Result<Pod> {
        let options = NamespaceOption {
            pid: self.processes.into(),
            network: self.network.into(),
            ..NamespaceOption::default()
        };
        if let Some(linux) = &mut self.config.linux {
            linux.security_context = Some(LinuxSandboxSecurityContext {
                namespace_options: Some(options.clone()),
                ..Default::default()
            });
        }
        fs::create_dir_all(&self.config.log_directory)?;
        let mut cri = self.testbed.cri().await?;
        let request =
            RunPodSandboxRequest { config: Some(self.config.clone()), runtime_handler: String::new() };
        let id = cri
            .run_pod_sandbox(request)
            .await
            .with_context(|| {
                format!("cannot run a pod; containerd says:\n{}", self.testbed.containerd_log())
            })?
            .into_inner()
            .pod_sandbox_id;
        // From here on dropping the pod removes it.
        let mut pod = Pod {
            id,
            ips: Vec::new(),
            netns: Netns::of_process(std::process::id()),
            config: self.config,
            options,
            cri,
            socket: self.testbed.socket(),
            removed: false,
        };
        pod.read_status().await?;
        Ok(pod)
    }
}

/// A running pod. Dropping it removes it and its containers; [`remove`](Self::remove) tells whether that worked.
#[derive(Debug)]
pub struct Pod {
    id: String,
    ips: Vec<IpAddr>,
    netns: Netns,
    pub(crate) config: PodSandboxConfig,
    pub(crate) options: NamespaceOption,
    pub(crate) cri: Cri,
    socket: PathBuf,
    removed: bool,
}

impl Pod {
    /// The sandbox's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The pod's name.
    pub fn name(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.name)
    }

    /// The Kubernetes namespace.
    pub fn namespace(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.namespace)
    }

    /// The uid that Kubernetes would have given it.
    pub fn uid(&self) -> &str {
        self.config.metadata.as_ref().map_or("", |metadata| &metadata.uid)
    }

    /// Its IPv4 address.
    pub fn ip(&self) -> Result<IpAddr> {
        self.ips.iter().copied().find(IpAddr::is_ipv4).context("the pod has no IPv4 address")
    }

    /// Its IPv6 address.
    pub fn ipv6(&self) -> Result<IpAddr> {
        self.ips.iter().copied().find(IpAddr::is_ipv6).context("the pod has no IPv6 address")
    }

    /// Its network namespace.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// The kernel's own counters of its network namespace.
    pub fn counters(&self) -> Result<Counters> {
        self.netns.counters()
    }

    /// Drops `percent` of the packets that arrive and match, until the returned value is dropped.
    pub fn lose(&self, percent: u8, packets: &Packets) -> Result<Loss> {
        Loss::start(&self.netns, percent, packets)
    }

    /// The start of a container with the command line `argv`.
    pub fn container<S: Into<String>>(
        &self,
        name: &str,
        argv: impl IntoIterator<Item = S>,
    ) -> ContainerBuilder<'_> {
        ContainerBuilder::new(self, name, argv.into_iter().map(Into::into).collect())
    }

    /// The folder of its containers' logs.
    pub(crate) fn logs(&self) -> &Path {
        Path::new(&self.config.log_directory)
    }

    /// Stops and removes it with all its containers.
    pub async fn remove(mut self) -> Result<()> {
        self.removed = true;
        remove(self.cri.clone(), &self.id, self.uid()).await
    }

    async fn read_status(&mut self) -> Result<()> {
        let request = PodSandboxStatusRequest { pod_sandbox_id: self.id.clone(), verbose: true };
        let response =
            self.cri.pod_sandbox_status(request).await.context("no status of a new pod")?.into_inner();
        let network = response.status.and_then(|status| status.network).context("the pod has no network")?;
        let more = network.additional_ips.iter().map(|address| address.ip.as_str());
        if self.options.network() == NamespaceMode::Node {
            return Ok(());
        }
        self.ips =
            std::iter::once(network.ip.as_str()).chain(more).filter_map(|ip| ip.parse().ok()).collect();
        let info: serde_json::Value =
            serde_json::from_str(response.info.get("info").context("no verbose status")?)?;
        let namespaces = info["runtimeSpec"]["linux"]["namespaces"].as_array().context("no namespaces")?;
        let network = namespaces.iter().find(|namespace| namespace["type"] == "network");
        let path =
            network.and_then(|namespace| namespace["path"].as_str()).context("no network namespace")?;
        self.netns = Netns::at(PathBuf::from(path));
        Ok(())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        // A drop cannot await, and the test's own runtime may be shutting down: another one does it.
        let (socket, id, uid) = (self.socket.clone(), self.id.clone(), self.uid().to_owned());
        let removal = std::thread::spawn(move || -> Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async { remove(Cri::new(channel(&socket).await?), &id, &uid).await })
        });
        // What fails here is left to the guardian, which removes the testbed as a whole.
        let _ = removal.join();
    }
}

async fn remove(mut cri: Cri, id: &str, uid: &str) -> Result<()> {
    // containerd 1.6 fails with `ttrpc: closed` where a container's shim ends just then: the next try finds it gone.
    eventually(PATIENCE, "a pod to stop", || {
        let mut cri = cri.clone();
        async move {
            Ok(cri
                .stop_pod_sandbox(StopPodSandboxRequest { pod_sandbox_id: id.to_owned() })
                .await
                .map(|_| ()))
        }
    })
    .await?;
    cri.remove_pod_sandbox(RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() })
        .await
        .context("cannot remove a pod")?;
    remove_pod_cgroups(uid);
    Ok(())
}
