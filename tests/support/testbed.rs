//! A node of one's own: containerd with its CRI service, a bridge network and two local images.

mod config;
pub(crate) mod network;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{StatusRequest, VersionRequest};
use tokio::sync::OnceCell;
use tonic::transport::Channel;

use crate::client::channel;
use crate::guardian::{Guardian, containerd_programs, program, random};
use crate::image;
use crate::pod::PodBuilder;
use crate::wait::{PATIENCE, eventually};

pub use network::Network;

/// The client of containerd's CRI service.
pub type Cri = RuntimeServiceClient<Channel>;

/// A running containerd that nobody else uses, and all that it needs.
#[derive(Debug)]
pub struct Testbed {
    guardian: Arc<Guardian>,
    network: Network,
    pods: AtomicU32,
}

impl Testbed {
    /// The testbed that all tests of one test program share: it is started once and removed when the program ends.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Testbed> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// A testbed for one test alone: for those that restart containerd. It is removed when it is dropped.
    pub async fn start() -> Result<Self> {
        Self::begin(Guardian::start()?).await
    }

    /// The same with a containerd of 2.0 or later.
    pub async fn start_newer() -> Result<Self> {
        let guardian = Guardian::start()?;
        // target/<profile>/testbed-guardian
        let guardian_program = program("testbed-guardian")?;
        let target = guardian_program.ancestors().nth(2).context("it is in no target folder")?;
        let newer = target.join("containerd-newest/bin");
        ensure!(
            newer.join("containerd").is_file(),
            "no newer containerd: cargo xtask setup --tests fetches it"
        );
        symlink(newer, containerd_programs(guardian.dir()))?;
        Self::begin(guardian).await
    }

    async fn begin(guardian: Arc<Guardian>) -> Result<Self> {
        let network = Network::create(&guardian)?;
        let testbed = Self { guardian, network, pods: AtomicU32::new(0) };
        config::write(&testbed)?;
        let images = tokio::task::spawn_blocking({
            let dir = testbed.guardian.scratch("image")?;
            move || image::write(&dir)
        });
        testbed.guardian.start_containerd()?;
        testbed.wait_ready().await?;
        let archive = images.await??;
        testbed.ctr(&["images", "import", &archive.display().to_string()])?;
        Ok(testbed)
    }

    /// The folder that holds all of it; it goes away with the testbed.
    pub fn dir(&self) -> &Path {
        self.guardian.dir()
    }

    /// Eight hexadecimal digits that are in the name of all that it makes.
    pub fn id(&self) -> &str {
        self.guardian.id()
    }

    /// The guardian that removes it in the end.
    pub fn guardian(&self) -> &Arc<Guardian> {
        &self.guardian
    }

    /// The bridge network of its pods.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// containerd's socket.
    pub fn socket(&self) -> PathBuf {
        self.dir().join("containerd.sock")
    }

    /// The socket as `--cri-endpoint` takes it.
    pub fn cri_endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A new connection to the CRI service. One belongs to the tokio runtime that made it, so to one test.
    pub async fn cri(&self) -> Result<Cri> {
        Ok(RuntimeServiceClient::new(channel(&self.socket()).await?))
    }

    /// The start of a pod; its name is `prefix` and something that makes it unique.
    pub fn pod(&self, namespace: &str, prefix: &str) -> PodBuilder<'_> {
        let number = self.pods.fetch_add(1, Ordering::Relaxed);
        let tail = random() & 0xffff_ffff_ffff;
        let uid = format!("{}-{:04x}-4000-8000-{tail:012x}", self.id(), number & 0xffff);
        PodBuilder::new(self, namespace, format!("{prefix}-{number}-{:04x}", tail & 0xffff), uid)
    }

    /// Stops containerd; the containers go on.
    pub fn stop_containerd(&self) -> Result<()> {
        self.guardian.stop_containerd()
    }

    /// Starts containerd after [`stop_containerd`](Self::stop_containerd) and waits until it serves.
    pub async fn start_containerd(&self) -> Result<()> {
        self.guardian.start_containerd()?;
        self.wait_ready().await
    }

    /// Runs `ctr` in the namespace of Kubernetes and returns what it prints.
    pub fn ctr(&self, args: &[&str]) -> Result<String> {
        // Marked, as ctr waits for a containerd that is gone.
        let output = self
            .guardian
            .mark(&mut Command::new("ctr"))
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", "k8s.io"])
            .args(args)
            .output()
            .context("cannot run ctr: cargo xtask setup --tests installs it")?;
        ensure!(output.status.success(), "ctr {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The last lines of containerd's log.
    pub fn containerd_log(&self) -> String {
        let text = std::fs::read_to_string(self.dir().join("containerd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// Until the CRI service answers and has taken up the network's configuration.
    async fn wait_ready(&self) -> Result<()> {
        let ready = eventually(PATIENCE, "containerd to serve with its network", async || {
            Ok(self.conditions().await.map_err(|error| format!("{error:#}")))
        });
        ready.await.with_context(|| self.containerd_log())
    }

    async fn conditions(&self) -> Result<()> {
        let mut cri = self.cri().await?;
        cri.version(VersionRequest::default()).await?;
        let status = cri.status(StatusRequest::default()).await?.into_inner();
        let conditions = status.status.context("no status")?.conditions;
        let failing: Vec<_> = conditions.iter().filter(|condition| !condition.status).collect();
        ensure!(!conditions.is_empty() && failing.is_empty(), "not ready: {failing:?}");
        Ok(())
    }
}
