//! The DaemonSet's pod as a kubelet would run it: what its manifest says becomes what the runtime is asked for, field by field.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use k8s_cri::v1::security_profile::ProfileType;
use k8s_cri::v1::{Capability, Int64Value, LinuxContainerSecurityContext, SecurityProfile};
use k8s_openapi::api::core::v1::{self as core, ExecAction, PodSpec, Volume};

use crate::KubernetesApi;
use crate::container::Container;
use crate::guardian::Guardian;
use crate::kubernetes::OWN_NODE;
use crate::manifests::Manifests;
use crate::pod::Pod;
use crate::testbed::Testbed;
use crate::wait::{PATIENCE, eventually};

/// Where every pod finds what it shows to the API.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A pod of the DaemonSet that does not run yet.
#[derive(Debug)]
pub struct Deployment<'a> {
    testbed: &'a Testbed,
    manifests: Manifests,
    pod: PodSpec,
    left_out: Vec<String>,
    secrets: Vec<(String, PathBuf)>,
    /// What a kubelet would tell of the API.
    api: Option<(String, String, PathBuf)>,
    node: PathBuf,
}

/// A pod of the DaemonSet.
#[derive(Debug)]
pub struct Deployed {
    /// The pod.
    pub pod: Pod,
    /// Its container.
    pub container: Container,
    /// The folder that stands for the node's own, such as `run/observer`.
    pub node: PathBuf,
    startup: Vec<String>,
}

impl<'a> Deployment<'a> {
    /// As the manifests say, on the testbed's node: its `/run/containerd` is the testbed's, `/sys/fs/cgroup` the machine's, and all
    /// else of the node is in a folder of the test's.
    pub fn new(testbed: &'a Testbed, manifests: Manifests) -> Result<Self> {
        let pod = manifests.pod()?;
        let node = Guardian::shared()?.scratch("node")?;
        Ok(Self { testbed, manifests, pod, left_out: Vec::new(), secrets: Vec::new(), api: None, node })
    }

    /// Leaves a volume out.
    #[must_use]
    pub fn without(mut self, volume: &str) -> Self {
        self.left_out.push(volume.to_owned());
        self
    }

    /// Has a Secret of that name, whose files are in a folder.
    #[must_use]
    pub fn secret(mut self, name: &str, folder: &Path) -> Self {
        self.secrets.push((name.to_owned(), folder.to_owned()));
        self
    }

    /// Changes what the manifest says.
    #[must_use]
    pub fn changed(mut self, change: impl FnOnce(&mut PodSpec)) -> Self {
        change(&mut self.pod);
        self
    }

    /// Lets it ask that API as its service account.
    pub fn asking(mut self, api: &KubernetesApi) -> Result<Self> {
        ensure!(self.pod.automount_service_account_token == Some(true), "it gets no token");
        let config = fs::read_to_string(api.kubeconfig())?;
        let quoted = |after: &str| {
            let rest = config.split_once(after).context("no TLS")?.1;
            Ok::<_, anyhow::Error>(rest.split(['\'', '}', '\n']).next().unwrap_or_default().trim().to_owned())
        };
        let (address, token) = (quoted("server: 'https://")?, quoted("token: ")?);
        let certificate = PathBuf::from(quoted("certificate-authority: '")?);
        self.api = Some((address, token, certificate));
        Ok(self)
    }

    /// Starts it, and waits for nothing.
    pub async fn start(self) -> Result<Deployed> {
        let [described] = &self.pod.containers[..] else { bail!("not one container") };
        let mut builder = self.testbed.pod("observer", "observer");
        if self.pod.host_network == Some(true) {
            builder = builder.host_network();
        }
        if self.pod.host_pid == Some(true) {
            builder = builder.host_processes();
        }
        let pod = builder.run().await?;
        let mut container = pod.container(&described.name, described.command.clone().unwrap_or_default());
        container = container.image(described.image.as_deref().context("no image")?);
        container = container.args(described.args.clone().unwrap_or_default());
        container = container.security(security(&self.pod, described)?);
        for variable in described.env.iter().flatten() {
            container = container.env(&variable.name, &value(variable)?);
        }
        for mount in described.volume_mounts.iter().flatten() {
            if self.left_out.contains(&mount.name) {
                continue;
            }
            let volume = self.pod.volumes.iter().flatten().find(|volume| volume.name == mount.name);
            let host = self.on_host(volume.with_context(|| format!("no volume {}", mount.name))?)?;
            container = container.mount(&host, &mount.mount_path, mount.read_only == Some(true));
        }
        if let Some((address, ..)) = &self.api {
            let (host, port) = address.rsplit_once(':').context("no port")?;
            container = container.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
        }
        let mounted =
            self.api.as_ref().filter(|_| !self.left_out.iter().any(|name| name == "service-account"));
        if let Some((_, token, certificate)) = mounted {
            let files = self.node.join("service-account");
            fs::create_dir_all(&files)?;
            fs::write(files.join("token"), token)?;
            fs::write(files.join("namespace"), "observer")?;
            fs::copy(certificate, files.join("ca.crt"))?;
            container = container.mount(&files, SERVICE_ACCOUNT, true);
        }
        let startup = command(described.startup_probe.as_ref().and_then(|probe| probe.exec.as_ref()))?;
        let container = container.start().await?;
        Ok(Deployed { pod, container, node: self.node, startup })
    }

    /// Where a volume is on this machine.
    fn on_host(&self, volume: &Volume) -> Result<PathBuf> {
        if let Some(map) = &volume.config_map {
            let folder = self.node.join(&volume.name);
            fs::create_dir_all(&folder)?;
            for (name, text) in self.manifests.files(&map.name)? {
                fs::write(folder.join(name), text)?;
            }
            return Ok(folder);
        }
        if let Some(name) = volume.secret.as_ref().and_then(|secret| secret.secret_name.as_deref()) {
            let secret = self.secrets.iter().find(|(known, _)| known == name);
            return Ok(secret.with_context(|| format!("no Secret {name}"))?.1.clone());
        }
        let path = volume.host_path.as_ref().with_context(|| format!("what is {volume:?}"))?;
        let folder = match path.path.as_str() {
            "/sys/fs/cgroup" => return Ok(PathBuf::from("/sys/fs/cgroup")),
            "/run/containerd" => return Ok(self.testbed.dir().to_owned()),
            other => self.node.join(other.trim_start_matches('/')),
        };
        ensure!(path.type_.as_deref() == Some("DirectoryOrCreate"), "{} is not here", path.path);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }
}

impl Deployed {
    /// Waits until its startup probe succeeds.
    pub async fn started(self) -> Result<Self> {
        eventually(PATIENCE, "the startup probe", async || {
            let executed = self.container.exec(self.startup.clone()).await;
            Ok(match executed {
                Ok(executed) if executed.code == 0 => Ok(()),
                other => Err(format!("{other:?}: {:#?}", self.container.log())),
            })
        })
        .await?;
        Ok(self)
    }

    /// The socket, as the node sees it.
    pub fn socket(&self) -> PathBuf {
        self.node.join("run/observer/observer.sock")
    }

    /// A folder that stands for one of the node's.
    pub fn on_node(&self, path: &str) -> PathBuf {
        self.node.join(Path::new(path).strip_prefix("/").unwrap_or(Path::new(path)))
    }
}

/// What a kubelet asks for.
fn security(pod: &PodSpec, container: &core::Container) -> Result<LinuxContainerSecurityContext> {
    let of_pod = pod.security_context.as_ref().context("no security context of the pod")?;
    let own = container.security_context.as_ref().context("no security context")?;
    let profile = of_pod.seccomp_profile.as_ref().context("no seccomp profile")?;
    ensure!(profile.type_ == "RuntimeDefault" && own.privileged == Some(false));
    let of_type =
        |kind: ProfileType| Some(SecurityProfile { profile_type: kind.into(), ..Default::default() });
    let capabilities = own.capabilities.clone().unwrap_or_default();
    let id = |number: Option<i64>| number.map(|value| Int64Value { value });
    Ok(LinuxContainerSecurityContext {
        capabilities: Some(Capability {
            add_capabilities: capabilities.add.unwrap_or_default(),
            drop_capabilities: capabilities.drop.unwrap_or_default(),
            ..Default::default()
        }),
        run_as_user: id(own.run_as_user),
        run_as_group: id(own.run_as_group),
        readonly_rootfs: own.read_only_root_filesystem == Some(true),
        no_new_privs: own.allow_privilege_escalation == Some(false),
        seccomp: of_type(ProfileType::RuntimeDefault),
        apparmor: of_type(ProfileType::Unconfined),
        ..Default::default()
    })
}

fn value(variable: &core::EnvVar) -> Result<String> {
    let from = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
    match (&variable.value, from.map(|field| field.field_path.as_str())) {
        (Some(value), None) => Ok(value.clone()),
        (None, Some("spec.nodeName")) => Ok(OWN_NODE.to_owned()),
        _ => bail!("what is {variable:?}"),
    }
}

fn command(probe: Option<&ExecAction>) -> Result<Vec<String>> {
    probe.and_then(|probe| probe.command.clone()).context("no command of the startup probe")
}
