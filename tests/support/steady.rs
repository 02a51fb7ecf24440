//! A load to measure by: a process that does one thing again and again for as long as it is told.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::asked::Asked;
use crate::container::Container;
use crate::guardian::program;
use crate::netns::Netns;

/// One process. Dropping it ends it.
#[derive(Debug)]
pub struct Steady(Asked);

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// How often, or how many bytes.
    pub count: u64,
    /// In that time.
    pub elapsed: Duration,
    /// The times of a request: the one in the middle, and the one that 99 % are below. 0 for what is no request.
    pub p50_ns: u64,
    /// See there.
    pub p99_ns: u64,
}

impl Steady {
    /// Starts `workload steady` with these arguments in a network namespace and, if one is given, in a cgroup of the
    /// version 2 hierarchy.
    pub fn start<'a>(
        netns: &Netns,
        cgroup: Option<&Path>,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self> {
        let mut command = match cgroup {
            // The shell enters the cgroup and becomes the program: whatever that makes, it makes there.
            Some(cgroup) => {
                let mut command = netns.command("sh");
                command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]).arg(cgroup);
                command.arg(program("workload")?);
                command
            }
            None => netns.command(program("workload")?),
        };
        let load = Asked::start(command.arg("steady").args(args), "steady")?;
        load.answer("being started")?["ready"].as_str().context("it is not ready")?;
        Ok(Self(load))
    }

    /// Its pid: what started it became it.
    pub fn pid(&self) -> u32 {
        self.0.pid()
    }

    /// Has it begin a run, at most so often a second.
    pub fn begin(&mut self, length: Duration, rate: Option<u64>) -> Result<()> {
        let rate = rate.map_or_else(String::new, |rate| format!(" {rate}"));
        self.0.ask(&format!("run {}{rate}", length.as_millis()))
    }

    /// Waits for the end of the run that it began.
    pub fn done(&self) -> Result<Done> {
        let answer = self.0.answer("a run")?;
        let number =
            |name: &str| answer[name].as_u64().with_context(|| format!("no number {name} in {answer}"));
        Ok(Done {
            count: number("done")?,
            elapsed: Duration::from_nanos(number("elapsed_ns")?),
            p50_ns: number("p50_ns")?,
            p99_ns: number("p99_ns")?,
        })
    }
}

/// The cgroup of a running container in the version 2 hierarchy, for a load to be started in.
pub async fn cgroup_of(container: &Container) -> Result<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = text.lines().find(|line| line.contains(" - cgroup2 ")).context("no version 2 hierarchy")?;
    let root = mount.split(' ').nth(4).context("no mount point")?;
    let of = format!("/proc/{}/cgroup", container.pid().await?);
    let text = fs::read_to_string(&of).with_context(|| format!("cannot read {of}"))?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).context("no cgroup")?;
    Ok(Path::new(root).join(path))
}
