//! The daemon under test: started on a socket of its own, measured, stopped, killed.

use std::ffi::OsString;
use std::fs::{self, File};
use std::future::ready;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tonic::transport::Channel;

use crate::client::{channel, follow, observer, serving};
use crate::guardian::{Guardian, ProcessStat};
use crate::lines::Lines;
use crate::netns::Netns;
use crate::testbed::Testbed;
use crate::wait::{PATIENCE, eventually};

/// A daemon that does not run yet.
#[derive(Debug, Default)]
pub struct DaemonBuilder {
    binary: Option<PathBuf>,
    cri_endpoint: Option<String>,
    netns: Option<Netns>,
    launcher: Vec<OsString>,
    args: Vec<OsString>,
    env: Vec<(String, String)>,
    relay: bool,
}

impl DaemonBuilder {
    /// Takes another binary than [`observer`] finds.
    #[must_use]
    pub fn binary(mut self, path: impl Into<PathBuf>) -> Self {
        self.binary = Some(path.into());
        self
    }

    /// Runs it in a network namespace, which it takes for the node's.
    #[must_use]
    pub fn netns(mut self, netns: &Netns) -> Self {
        self.netns = Some(netns.clone());
        self
    }

    /// Starts it by a program that becomes the daemon, and its arguments: the daemon's command line follows them.
    #[must_use]
    pub fn through<S: Into<OsString>>(mut self, launcher: impl IntoIterator<Item = S>) -> Self {
        self.launcher.extend(launcher.into_iter().map(Into::into));
        self
    }

    /// Gives it these capabilities alone, by the kernel's names, such as `CAP_BPF`.
    #[must_use]
    pub fn capabilities<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.through(only(names))
    }

    /// Adds a command line argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds command line arguments.
    #[must_use]
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Gives it rings and queues in which all that a test makes may wait, on a machine that has no time for the test or for
    /// the daemon: nothing is lost.
    #[must_use]
    pub fn with_room(self) -> Self {
        let rings = ["--network-ring-bytes", "64MiB", "--process-ring-bytes", "32MiB"];
        let queue = ["--subscriber-queue", "200000", "--subscriber-queue-bytes", "256MiB"];
        self.args(rings).args(queue).args(["--max-memory", "1GiB"])
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts it without waiting for anything: for daemons that are not meant to come up.
    pub fn spawn(self) -> Result<Daemon> {
        let guardian = Guardian::shared()?;
        let dir = guardian.scratch("daemon")?;
        let socket = dir.join("observer.sock");
        let binary = self.binary.map_or_else(observer, Ok)?;
        // nsenter becomes the daemon, so the pid is the daemon's.
        let words = [self.launcher, vec![binary.into_os_string()]].concat();
        let (program, rest) = words.split_first().context("no program")?;
        let mut command = self.netns.map_or_else(|| Command::new(program), |netns| netns.command(program));
        command
            .args(rest)
            .arg(if self.relay { "relay" } else { "daemon" })
            .arg("--listen")
            .arg(format!("unix://{}", socket.display()));
        if let Some(endpoint) = &self.cri_endpoint {
            command.arg("--cri-endpoint").arg(endpoint);
        }
        // A cluster that this machine happens to lead to is not for tests.
        command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
        let child = guardian
            .mark(&mut command)
            .args(&self.args)
            // Tests that want a recording name a folder of their own.
            .env("OBSERVER_RECORD_DIR", "off")
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("stdout"))?)
            .stderr(File::create(dir.join("stderr"))?)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Daemon { child, dir, socket })
    }

    /// Starts it and waits until its health service says that it serves.
    pub async fn start(self) -> Result<Daemon> {
        let mut daemon = self.spawn()?;
        daemon.wait_serving().await?;
        Ok(daemon)
    }
}

/// What runs a program as root with these capabilities alone: it has no more than its bounding set then.
pub fn only<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut bounds = "--bounding-set=-all".to_owned();
    for name in names {
        bounds.push_str(",+");
        bounds.push_str(&name.trim_start_matches("CAP_").to_lowercase());
    }
    ["setpriv", &bounds, "--inh-caps=-all", "--"].map(str::to_owned).to_vec()
}

/// A daemon of the test's own. Dropping it kills it and prints what it said last,
/// which the harness shows if the test failed.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    dir: PathBuf,
    socket: PathBuf,
}

impl Daemon {
    /// A daemon that asks the testbed's containerd.
    pub fn on(testbed: &Testbed) -> DaemonBuilder {
        DaemonBuilder { cri_endpoint: Some(testbed.cri_endpoint()), ..DaemonBuilder::default() }
    }

    /// A relay, which is started and asked as a daemon is.
    pub fn relay() -> DaemonBuilder {
        DaemonBuilder { relay: true, ..DaemonBuilder::default() }
    }

    /// A daemon that is told of no container runtime.
    pub fn bare() -> DaemonBuilder {
        DaemonBuilder::default()
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A folder that it may be told to use; it goes away with the test.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new connection to it.
    pub async fn channel(&self) -> Result<Channel> {
        channel(&self.socket).await
    }

    /// Starts a client command whose JSON lines are read while it runs.
    pub fn follow<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<Lines> {
        follow(&self.socket, args)
    }

    /// What it said on its standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.dir.join("stderr")).unwrap_or_default()
    }

    /// Its resident memory in bytes: now, and the most it ever was.
    pub fn memory(&self) -> Result<(u64, u64)> {
        let status =
            fs::read_to_string(format!("/proc/{}/status", self.pid())).context("the daemon is gone")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
        };
        Ok((field("VmRSS:").context("no VmRSS")?, field("VmHWM:").context("no VmHWM")?))
    }

    /// The processor time that it has used.
    pub fn cpu(&self) -> Result<Duration> {
        Ok(ProcessStat::read(self.pid()).context("the daemon is gone")?.cpu)
    }

    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits until its health service says that it serves.
    pub async fn wait_serving(&mut self) -> Result<()> {
        let (socket, child) = (self.socket.clone(), &mut self.child);
        let stderr = self.dir.join("stderr");
        let said = || fs::read_to_string(&stderr).unwrap_or_default();
        eventually(PATIENCE, "the daemon to serve", || {
            let ended = child.try_wait();
            let socket = &socket;
            async move {
                let ended = ended?;
                ensure!(ended.is_none(), "the daemon ended at once with {ended:?}: {}", said());
                Ok(serving(socket).await.map_err(|error| format!("{error:#}; it said: {}", said())))
            }
        })
        .await
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let ended =
            || ready(self.child.try_wait().map(|status| status.ok_or("still running")).map_err(Into::into));
        eventually(PATIENCE, "the daemon to end", ended).await
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid() as i32).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Sends SIGTERM and waits for its end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait().await
    }

    /// Kills it, as a crash would.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.child.kill()?;
        self.wait().await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        #![allow(clippy::print_stderr, reason = "the harness shows it when the test fails, and only then")]
        if self.running() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let said = self.stderr();
        let lines: Vec<&str> = said.lines().collect();
        let tail = lines[lines.len().saturating_sub(100)..].join("\n");
        if !tail.is_empty() {
            eprintln!("---- the daemon said in the end:\n{tail}\n----");
        }
    }
}
