//! A relay over simulated nodes, started and asked.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, NodeState};
use observer_tests::Daemon;
use observer_tests::authority::{Authority, Signed};
use observer_tests::guardian::Guardian;
use serde::Deserialize;
use tempfile::TempDir;

use super::follow::{Follower, NAME};
use super::nodes::address;
use super::tally::Sent;
use crate::contender::cpu;

/// How long all nodes may take to be connected.
const PATIENCE: Duration = Duration::from_mins(2);

/// Simulated nodes and a relay over them. Dropping it ends both.
pub(super) struct Site {
    pub(super) count: usize,
    pub(super) relay: Daemon,
    simulated: Simulated,
    authority: Authority,
    own: Signed,
    _folder: TempDir,
}

/// How the relay came up.
pub(super) struct Started {
    pub(super) site: Site,
    /// Until all nodes were connected, and the processor time of that.
    pub(super) connected_after: Duration,
    pub(super) cpu: Duration,
}

/// The process with the nodes.
struct Simulated {
    child: Child,
    input: ChildStdin,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Made {
    made: u64,
}

impl Site {
    /// Starts so many nodes, and then a relay.
    pub(super) async fn start(count: usize) -> Result<Started> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new(folder.path(), "authority")?;
        let nodes = authority.sign("nodes", &format!("dns:{NAME}"))?;
        let own = authority.sign("relay", "dns:relay.test")?;
        let simulated = Simulated::start(count, &authority, &nodes)?;
        let mut relay = Daemon::relay().args(["--log", "error", "--node-tls-name", NAME]);
        for (flag, path) in [("ca", &authority.ca), ("cert", &own.cert), ("key", &own.key)] {
            relay = relay.arg(format!("--node-tls-{flag}")).arg(path);
        }
        for number in 0..count {
            relay = relay.args(["--node".to_owned(), format!("tls://{}", address(number))]);
        }
        let began = Instant::now();
        let relay = relay.start().await?;
        let site = Self { count, relay, simulated, authority, own, _folder: folder };
        site.wait_connected().await?;
        let (connected_after, cpu) = (began.elapsed(), site.cpu()?);
        Ok(Started { site, connected_after, cpu })
    }

    /// Waits until the relay says that all nodes are connected; how long that took.
    pub(super) async fn wait_connected(&self) -> Result<Duration> {
        let began = Instant::now();
        let mut client = ObserverClient::new(self.relay.channel().await?).max_decoding_message_size(64 << 20);
        loop {
            let status = client.get_status(GetStatusRequest {}).await?.into_inner().status;
            let nodes = status.unwrap_or_default().relay.unwrap_or_default().nodes;
            let connected = nodes.iter().filter(|node| node.state() == NodeState::Connected).count();
            if connected == self.count {
                return Ok(began.elapsed());
            }
            let other = nodes.iter().find(|node| node.state() != NodeState::Connected);
            ensure!(
                began.elapsed() < PATIENCE,
                "{connected} of {} nodes are connected; another one: {other:?}",
                self.count
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A client that follows events of all nodes.
    pub(super) async fn follow(&self) -> Result<Follower> {
        let follower = Follower::of_relay(self.relay.socket()).await?;
        follower.wait_connected(self.count, PATIENCE).await?;
        Ok(follower)
    }

    /// Clients at some of the nodes.
    pub(super) async fn follow_directly(&self, some: usize) -> Result<Follower> {
        let step = (self.count / some).max(1);
        let numbers = (0..self.count).step_by(step).take(some);
        Follower::of_nodes(&self.authority, &self.own, numbers).await
    }

    /// The relay's processor time so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        cpu(self.relay.pid())
    }

    /// The same since then, in seconds.
    pub(super) fn cpu_since(&self, before: Duration) -> Result<f64> {
        Ok(self.cpu()?.saturating_sub(before).as_secs_f64())
    }

    /// Lets so many events happen a second, over all nodes; how many there were so far.
    pub(super) fn rate(&mut self, rate: u64) -> Result<u64> {
        Ok(self.simulated.ask::<Made>(&format!("rate {rate}"))?.made)
    }

    /// How many events there were so far.
    pub(super) fn made(&mut self) -> Result<u64> {
        Ok(self.simulated.ask::<Made>("made")?.made)
    }

    /// Cuts nodes off for a while, or restarts their daemons.
    pub(super) fn away(&mut self, how: &str, nodes: std::ops::Range<usize>, length: Duration) -> Result<()> {
        let milliseconds = length.as_millis();
        self.simulated.ask::<Made>(&format!("{how} {} {} {milliseconds}", nodes.start, nodes.end))?;
        Ok(())
    }

    /// What each node counted.
    pub(super) fn sent(&mut self) -> Result<Sent> {
        self.simulated.ask("sent")
    }
}

impl Simulated {
    fn start(count: usize, authority: &Authority, own: &Signed) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["nodes", "--count", &count.to_string()]);
        for (flag, path) in [("--ca", &authority.ca), ("--cert", &own.cert), ("--key", &own.key)] {
            command.arg(flag).arg(path);
        }
        let mut child = Guardian::shared()?
            .mark(&mut command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start nodes")?;
        let input = child.stdin.take().context("no input")?;
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        let mut simulated = Self { child, input, answers };
        let mut line = String::new();
        simulated.answers.read_line(&mut line)?;
        ensure!(line.contains("nodes"), "the nodes did not start: {line:?}");
        Ok(simulated)
    }

    fn ask<T: for<'de> Deserialize<'de>>(&mut self, line: &str) -> Result<T> {
        writeln!(self.input, "{line}").context("the nodes are gone")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        serde_json::from_str(&answer).with_context(|| format!("no answer to {line}: {answer:?}"))
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        // It is our own child; where it has ended already, that is what was wanted.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
    }
}
