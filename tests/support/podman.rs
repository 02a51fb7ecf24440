//! Podman with a storage, a configuration and a cgroup of its own, no registry and no network but loopback.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::guardian::{Guardian, random};
use crate::image;

/// The image that its containers are made of.
pub const IMAGE: &str = "localhost/work:1";

/// Nobody else uses it, and the guardian removes all of it.
#[derive(Debug)]
pub struct Podman {
    guardian: Arc<Guardian>,
    dir: PathBuf,
}

impl Podman {
    /// Sets it up, with an image that has `workload` and busybox's applets in `/bin`.
    pub fn start() -> Result<Self> {
        let guardian = Arc::clone(Guardian::shared()?);
        let dir = guardian.scratch("podman")?;
        // Limits that a process without CAP_SYS_RESOURCE may set, locks that no other Podman has, and a monitor whose
        // end nothing waits for.
        let configuration = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
             log_driver = \"k8s-file\"\n[engine]\nlock_type = \"file\"\nevents_logger = \"file\"\n\
             cgroup_manager = \"cgroupfs\"\nruntime = \"runc\"\n";
        std::fs::write(dir.join("containers.conf"), configuration)?;
        let podman = Self { guardian, dir };
        let layer = image::layer(&podman.dir)?.display().to_string();
        podman.run(&["import", "--change", "ENV PATH=/bin", &layer, IMAGE])?;
        Ok(podman)
    }

    /// The folder that it keeps its containers in.
    pub fn storage(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// The path of the cgroup that is the parent of all of its containers'.
    pub fn cgroup(&self) -> String {
        format!("/podman-{}", self.guardian.id())
    }

    /// A name that no other container has.
    pub fn name(&self, prefix: &str) -> String {
        format!("{prefix}-{:08x}", random() as u32)
    }

    /// Runs `podman` with these arguments, demands that it succeeds and returns what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args)?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "podman {args:?}: {}: {error}", output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Runs `podman` with these arguments and returns its code, which may be its container's.
    pub fn code(&self, args: &[&str]) -> Result<i32> {
        let output = self.output(args)?;
        output.status.code().with_context(|| format!("podman {args:?} was killed"))
    }

    /// Makes and starts a container in the background, without a network but loopback unless `options` say otherwise,
    /// and returns its id.
    pub fn container(&self, name: &str, options: &[&str], command: &[&str]) -> Result<String> {
        let cgroup = self.cgroup();
        let network: &[&str] =
            if options.contains(&"--pod") { &[] } else { &["--network=none", "--cgroup-parent", &cgroup] };
        let args = [&["run", "--detach", "--name", name], network, options, &[IMAGE], command].concat();
        let id = self.run(&args)?;
        ensure!(id.len() == 64, "podman {args:?} printed {id:?}");
        Ok(id)
    }

    /// What Podman says of a container.
    pub fn inspect(&self, name: &str) -> Result<Value> {
        let text = self.run(&["container", "inspect", name])?;
        match serde_json::from_str::<Vec<Value>>(&text)?.pop() {
            Some(container) => Ok(container),
            None => bail!("podman knows no {name}"),
        }
    }

    fn output(&self, args: &[&str]) -> Result<Output> {
        let folder = |name: &str| self.dir.join(name).display().to_string();
        self.command(&self.dir)
            .args(["--root", &folder("root"), "--runroot", &folder("run"), "--tmpdir", &folder("tmp")])
            .args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs"])
            .args(args)
            .output()
            .context("cannot run podman: cargo xtask setup --tests installs it")
    }

    fn command(&self, dir: &Path) -> Command {
        let mut command = Command::new("podman");
        self.guardian.mark(&mut command).env("CONTAINERS_CONF", dir.join("containers.conf"));
        command
    }
}
