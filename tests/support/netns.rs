//! Network namespaces: code and commands run in them, the kernel's counters of them, and pairs of them by veth.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::guardian::{Guardian, random};
use crate::testbed::network::ip;

/// A network namespace that is held by a file.
#[derive(Clone, Debug)]
pub struct Netns {
    path: PathBuf,
}

impl Netns {
    /// The namespace that a file stands for.
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// The namespace of a process.
    pub fn of_process(pid: u32) -> Self {
        Self { path: format!("/proc/{pid}/ns/net").into() }
    }

    /// The file that holds it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its inode number, which is what the kernel calls it by.
    pub fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(fs::metadata(&self.path)?.ino())
    }

    /// Runs `work` on a thread of its own inside the namespace. Sockets made there stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = File::open(&self.path).with_context(|| format!("no namespace {}", self.path.display()))?;
        thread::scope(|scope| {
            let worker = scope.spawn(move || {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                work()
            });
            worker.join().map_err(|_panic| anyhow!("work in a network namespace panicked"))?
        })
    }

    /// A command that will run inside the namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        // Without a guardian nothing was started that could be entered.
        if let Ok(guardian) = Guardian::shared() {
            guardian.mark(&mut command);
        }
        command.arg(format!("--net={}", self.path.display())).arg("--").arg(program);
        command
    }

    /// Runs a command inside the namespace, demands that it succeeds, and returns what it printed.
    pub fn output<S: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = S>,
    ) -> Result<String> {
        let output: Output = self.command(program).args(args).output().context("cannot run nsenter")?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{program} in {}: {error}", self.path.display());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The kernel's counters of it.
    pub fn counters(&self) -> Result<Counters> {
        self.run(|| {
            // Not /proc/net, which is the main thread's.
            let snmp = fs::read_to_string("/proc/thread-self/net/snmp")?;
            let netstat = fs::read_to_string("/proc/thread-self/net/netstat")?;
            Ok(Counters::parse(&(snmp + &netstat)))
        })
    }
}

/// The counters of /proc/net/snmp and /proc/net/netstat at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<String, i64>);

impl Counters {
    fn parse(text: &str) -> Self {
        let mut all = BTreeMap::new();
        let mut lines = text.lines();
        while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            let Some((protocol, names)) = names.split_once(": ") else { continue };
            let values = values.split_whitespace().skip(1);
            for (name, value) in names.split_whitespace().zip(values) {
                all.insert(format!("{protocol}.{name}"), value.parse().unwrap_or(0));
            }
        }
        Self(all)
    }

    /// One counter: `RetransSegs`, `OutRsts`, `TCPSynRetrans`, `ListenOverflows`, … (TCP's), or `Ip.InDiscards`.
    /// One that this kernel does not have is an error, as it would otherwise always agree with 0.
    pub fn get(&self, name: &str) -> Result<i64> {
        [name.to_owned(), format!("Tcp.{name}"), format!("TcpExt.{name}")]
            .iter()
            .find_map(|key| self.0.get(key).copied())
            .with_context(|| format!("the kernel has no counter {name}"))
    }

    /// How much each has grown since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let grown = |(key, value): (&String, &i64)| (key.clone(), value - earlier.0.get(key).unwrap_or(&0));
        Self(self.0.iter().map(grown).collect())
    }
}

/// Two network namespaces joined by a veth, without containers. They go when it is dropped.
#[derive(Debug)]
pub struct NetnsPair {
    sides: [Side; 2],
}

/// One end of a pair.
#[derive(Debug)]
pub struct Side {
    /// What `ip netns` calls it.
    pub name: String,
    /// The namespace.
    pub netns: Netns,
    /// Its address towards the other side.
    pub ip: Ipv4Addr,
    /// Its IPv6 address towards the other side.
    pub ipv6: Ipv6Addr,
}

impl NetnsPair {
    /// Makes two namespaces with addresses that no other pair of this machine is likely to have.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let guardian = Guardian::shared()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // The range for benchmarks, 198.18.0.0/15, in pieces of four addresses.
        let base = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + (random() as u32 % (1 << 15)) * 4;
        let side = |end: u32| {
            let name = format!("obt{}-{number}{}", guardian.id(), if end == 1 { "a" } else { "b" });
            let path = Path::new("/run/netns").join(&name);
            let ip = Ipv4Addr::from(base + end);
            let ipv6 = Ipv6Addr::from((0xfd0b_5e7f_u128 << 96) | (u128::from(base) << 64) | u128::from(end));
            Side { name, netns: Netns::at(path), ip, ipv6 }
        };
        let pair = Self { sides: [side(1), side(2)] };
        for side in &pair.sides {
            guardian.own_netns(&side.name)?;
            ip(&["netns", "add", &side.name])?;
            side.netns.output("ip", ["link", "set", "lo", "up"])?;
        }
        let [left, right] = &pair.sides;
        left.netns.output(
            "ip",
            ["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &right.name],
        )?;
        for side in &pair.sides {
            let v4 = format!("{}/30", side.ip);
            side.netns.output("ip", ["address", "add", &v4, "dev", "eth0"])?;
            let v6 = format!("{}/64", side.ipv6);
            side.netns.output("ip", ["address", "add", &v6, "dev", "eth0", "nodad"])?;
            side.netns.output("ip", ["link", "set", "eth0", "up"])?;
        }
        Ok(pair)
    }

    /// One side.
    pub fn left(&self) -> &Side {
        &self.sides[0]
    }

    /// The other side.
    pub fn right(&self) -> &Side {
        &self.sides[1]
    }
}

impl Drop for NetnsPair {
    fn drop(&mut self) {
        for side in &self.sides {
            // What cannot be removed now is the guardian's to remove.
            let _ = ip(&["netns", "delete", &side.name]);
        }
    }
}
