//! Containers in a pod: started, watched, asked and ended over CRI.

mod builder;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_cri::v1::{
    ContainerState, ContainerStatus, ContainerStatusRequest, ExecSyncRequest, RemoveContainerRequest,
    StartContainerRequest, StopContainerRequest,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::testbed::Cri;
use crate::wait::{PATIENCE, eventually};

pub use builder::ContainerBuilder;

/// How a container ended, in the runtime's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + the signal for a signal.
    pub code: i32,
    /// Completed, Error, OOMKilled, …
    pub reason: String,
    /// When containerd had it started, in nanoseconds of the wall clock: that is after its first process began, and
    /// for a container that lives milliseconds even after `finished_at_ns`.
    pub started_at_ns: i64,
    /// When its end was seen, in nanoseconds of the wall clock.
    pub finished_at_ns: i64,
}

/// What a command run in a container gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// A container; it goes with its pod.
#[derive(Clone, Debug)]
pub struct Container {
    id: String,
    name: String,
    log: PathBuf,
    cri: Cri,
}

impl Container {
    /// The id that the runtime gave it: 64 hexadecimal digits.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its name in the pod.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts one that was only created.
    pub async fn start(&self) -> Result<()> {
        let request = StartContainerRequest { container_id: self.id.clone() };
        self.cri
            .clone()
            .start_container(request)
            .await
            .with_context(|| format!("cannot start {}", self.name))?;
        Ok(())
    }

    /// The host's pid of its first process, while it runs.
    pub async fn pid(&self) -> Result<u32> {
        let request = ContainerStatusRequest { container_id: self.id.clone(), verbose: true };
        let response = self.cri.clone().container_status(request).await?.into_inner();
        let info: Value = serde_json::from_str(response.info.get("info").context("no verbose status")?)?;
        let pid = info["pid"].as_u64().context("no pid")?;
        ensure!(pid != 0, "{} does not run", self.name);
        Ok(pid as u32)
    }

    /// Sends a signal to its first process from outside, where even the first process of a namespace obeys.
    pub async fn kill(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid().await? as i32).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// What the runtime says of it.
    pub async fn status(&self) -> Result<ContainerStatus> {
        let request = ContainerStatusRequest { container_id: self.id.clone(), verbose: false };
        let response =
            self.cri.clone().container_status(request).await.context("no status of a container")?;
        response.into_inner().status.context("an empty status")
    }

    /// Waits until it has ended.
    pub async fn wait(&self) -> Result<Exit> {
        self.wait_for(PATIENCE).await
    }

    /// Waits until it has ended, for at most `bound`.
    pub async fn wait_for(&self, bound: Duration) -> Result<Exit> {
        eventually(bound, &format!("{} to end", self.name), async || {
            let status = self.status().await?;
            if status.state() != ContainerState::ContainerExited {
                return Ok(Err(format!("{:?}, log {:?}", status.state(), self.log())));
            }
            Ok(Ok(Exit {
                code: status.exit_code,
                reason: status.reason,
                started_at_ns: status.started_at,
                finished_at_ns: status.finished_at,
            }))
        })
        .await
    }

    /// The lines it wrote so far, of both outputs.
    pub fn log(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let mut lines = Vec::new();
        let mut begun = String::new();
        for record in text.lines() {
            // A time, the stream, F or P (a part of a longer line), and the text.
            let mut fields = record.splitn(4, ' ').skip(2);
            let (Some(tag), content) = (fields.next(), fields.next().unwrap_or("")) else { continue };
            begun.push_str(content);
            if tag != "P" {
                lines.push(std::mem::take(&mut begun));
            }
        }
        lines
    }

    /// Those of its lines that are JSON.
    pub fn json(&self) -> Vec<Value> {
        self.log().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for a line of JSON that `is_it`, and returns it.
    pub async fn wait_json(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(PATIENCE, &format!("{what} in the log of {}", self.name), async || {
            match self.json().into_iter().find(&is_it) {
                Some(line) => Ok(Ok(line)),
                None => Ok(Err(self.log())),
            }
        })
        .await
    }

    /// Waits for its end and until the runtime gives that reason. It hears of an OOM kill after the end, or before.
    pub async fn wait_reason(&self, reason: &str) -> Result<Exit> {
        eventually(PATIENCE, &format!("the runtime to say {reason}"), async || {
            let exit = self.wait().await?;
            Ok(if exit.reason == reason { Ok(exit) } else { Err(exit) })
        })
        .await
    }

    /// Waits for its end (much work takes its time), demands code 0 and returns its JSON lines.
    pub async fn output(&self) -> Result<Vec<Value>> {
        let exit = self.wait_for(10 * PATIENCE).await?;
        ensure!(exit.code == 0, "{} ended with {exit:?}: {:#?}", self.name, self.log());
        Ok(self.json())
    }

    /// Runs a command in it and waits for its end, whatever that is.
    pub async fn exec<S: Into<String>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Executed> {
        let cmd: Vec<String> = argv.into_iter().map(Into::into).collect();
        let request = ExecSyncRequest {
            container_id: self.id.clone(),
            cmd: cmd.clone(),
            timeout: 4 * PATIENCE.as_secs() as i64,
        };
        let response =
            self.cri.clone().exec_sync(request).await.with_context(|| format!("cannot run {cmd:?}"))?;
        let response = response.into_inner();
        Ok(Executed {
            code: response.exit_code,
            stdout: String::from_utf8_lossy(&response.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&response.stderr).into_owned(),
        })
    }

    /// Ends it: SIGTERM, and SIGKILL after `grace` (in whole seconds; zero is SIGKILL at once).
    pub async fn stop(&self, grace: Duration) -> Result<()> {
        let request = StopContainerRequest { container_id: self.id.clone(), timeout: grace.as_secs() as i64 };
        self.cri
            .clone()
            .stop_container(request)
            .await
            .with_context(|| format!("cannot stop {}", self.name))?;
        Ok(())
    }

    /// Removes it.
    pub async fn remove(self) -> Result<()> {
        let request = RemoveContainerRequest { container_id: self.id.clone() };
        match self.cri.clone().remove_container(request).await {
            Ok(_) => Ok(()),
            Err(status) => bail!("cannot remove {}: {status}", self.name),
        }
    }
}
