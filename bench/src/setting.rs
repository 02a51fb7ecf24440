//! Where loads run: in the cgroups of real containers, and in network namespaces of their own.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use observer_tests::daemon::DaemonBuilder;
use observer_tests::steady::cgroup_of;
use observer_tests::{Daemon, NetnsPair, Pod, Steady, Testbed};

/// Containers of a pod.
const IN_A_POD: usize = 4;
/// Ports that loads listen at, from this on.
const FIRST_PORT: u16 = 7300;

/// From where to where connections go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Over loopback.
    Loopback,
    /// From one network namespace to another, by a veth.
    Namespaces,
}

impl Place {
    /// What results call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loopback => "loopback",
            Self::Namespaces => "namespaces",
        }
    }
}

/// Pods, and a pair of network namespaces.
pub(crate) struct Setting {
    testbed: &'static Testbed,
    pods: Vec<Pod>,
    /// A container's each.
    cgroups: Vec<PathBuf>,
    pair: NetnsPair,
}

impl Setting {
    /// With so many containers.
    pub(crate) async fn new(containers: usize) -> Result<Self> {
        let testbed = Testbed::shared().await?;
        let pair = NetnsPair::new()?;
        for side in [pair.left(), pair.right()] {
            // Otherwise what has ended is kept for a minute, ports run out, and each round finds more of them.
            side.netns.output("sh", ["-c", "echo 0 > /proc/sys/net/ipv4/tcp_max_tw_buckets"])?;
        }
        let (mut pods, mut cgroups) = (Vec::new(), Vec::new());
        for number in 0..containers {
            if number % IN_A_POD == 0 {
                pods.push(testbed.pod("bench", "load").run().await?);
            }
            let pod = pods.last().context("no pod")?;
            let container = pod.container(&format!("c{number}"), ["workload", "pause"]).start().await?;
            cgroups.push(cgroup_of(&container).await?);
        }
        Ok(Self { testbed, pods, cgroups, pair })
    }

    /// A daemon that knows these containers.
    pub(crate) fn daemon(&self) -> DaemonBuilder {
        Daemon::on(self.testbed)
    }

    /// Starts a load, which may bring words of its own: a process in each of so many containers, on one processor after the other of those that are given,
    /// or wherever the kernel puts it.
    pub(crate) fn load(&self, kind: &str, place: Place, count: usize, cpus: &[usize]) -> Result<Load> {
        let (left, right) = (self.pair.left(), self.pair.right());
        let mut processes = Vec::new();
        for (number, port) in (0..count).zip(FIRST_PORT..) {
            let cgroup = self.cgroups.get(number % self.cgroups.len().max(1));
            let mut args: Vec<String> = kind.split(' ').map(str::to_owned).collect();
            args.extend(["--port".to_owned(), port.to_string()]);
            if place == Place::Namespaces {
                let there = right.netns.path().display().to_string();
                args.extend(["--to".to_owned(), right.ip.to_string(), "--listen-in".to_owned(), there]);
            }
            if !cpus.is_empty() {
                args.extend(["--cpu".to_owned(), cpus[number % cpus.len()].to_string()]);
            }
            let args = args.iter().map(String::as_str);
            processes.push(Steady::start(&left.netns, cgroup.map(PathBuf::as_path), args)?);
        }
        Ok(Load { processes })
    }

    /// Ends the pods.
    pub(crate) async fn remove(self) -> Result<()> {
        for pod in self.pods {
            pod.remove().await?;
        }
        Ok(())
    }
}

/// Processes that do the same at the same time.
pub(crate) struct Load {
    processes: Vec<Steady>,
}

/// What they did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    pub(crate) count: u64,
    pub(crate) per_second: f64,
    /// Of the slowest of them.
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
}

impl Load {
    /// Runs it for a while; `rate` is all processes' together.
    pub(crate) fn run(&mut self, length: Duration, rate: Option<u64>) -> Result<Done> {
        self.begin(length, rate)?;
        self.done()
    }

    /// Has it begin.
    pub(crate) fn begin(&mut self, length: Duration, rate: Option<u64>) -> Result<()> {
        let count = self.processes.len() as u64;
        self.processes
            .iter_mut()
            .try_for_each(|process| process.begin(length, rate.map(|rate| (rate / count).max(1))))
    }

    /// Waits for its end.
    pub(crate) fn done(&mut self) -> Result<Done> {
        let mut all = Done::default();
        for process in &self.processes {
            let done = process.done()?;
            all.count += done.count;
            all.per_second += done.count as f64 / done.elapsed.as_secs_f64();
            all.p50_ns = all.p50_ns.max(done.p50_ns);
            all.p99_ns = all.p99_ns.max(done.p99_ns);
        }
        Ok(all)
    }
}
