//! Many live sockets: processes that hold both ends of many connections over loopback, and do what they are told.
//!
//! One process may open 20,000 files on many machines, so that 100,000 sockets take several.

use anyhow::{Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{Filter, ListConnectionsRequest};

use crate::asked::Asked;
use crate::daemon::Daemon;
use crate::guardian::program;
use crate::netns::Netns;

/// One process and its connections. Dropping it ends both.
#[derive(Debug)]
pub struct Crowd {
    process: Asked,
    port: u16,
    connections: u64,
}

impl Crowd {
    /// Starts a process that listens on a port of the namespace's loopback and connects to itself, so many times and
    /// at most so often a second.
    pub fn start(netns: &Netns, port: u16, connections: u64, rate: u64) -> Result<Self> {
        let mut command = netns.command(program("workload")?);
        command.args(["crowd", "--port", &port.to_string(), "--connections", &connections.to_string()]);
        command.args(["--rate", &rate.to_string()]);
        Ok(Self { process: Asked::start(&mut command, "crowd")?, port, connections })
    }

    /// Waits until all its connections are open.
    pub fn opened(&self) -> Result<()> {
        let answer = self.process.answer("opening")?;
        ensure!(answer["open"] == self.connections && answer["listening"] == self.port, "{answer}");
        Ok(())
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections it has open; each is two sockets.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Sends so many bytes both ways on each connection.
    pub fn send(&mut self, bytes: u64) -> Result<()> {
        self.ask(&format!("send {bytes}"), self.connections)
    }

    /// Closes so many connections.
    pub fn close(&mut self, count: u64) -> Result<()> {
        let left = self.connections - count;
        self.ask(&format!("close {count}"), left)?;
        self.connections = left;
        Ok(())
    }

    fn ask(&mut self, what: &str, open: u64) -> Result<()> {
        self.process.ask(what)?;
        let answer = self.process.answer(what)?;
        ensure!(answer["open"] == open, "{what}: {answer}, not {open} open");
        Ok(())
    }
}

/// How many established sockets a namespace has, as `ss` counts them.
pub fn established(netns: &Netns) -> Result<u64> {
    Ok(netns.output("ss", ["-Htn", "state", "established"])?.lines().count() as u64)
}

/// How many live sockets the daemon lists that were asked for, or asked, at those ports.
pub async fn listed(daemon: &Daemon, ports: &[u16]) -> Result<u64> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let allow = vec![Filter { ports: ports.iter().copied().map(u32::from).collect(), ..Filter::default() }];
    let request = ListConnectionsRequest { allow, limit: 1, ..ListConnectionsRequest::default() };
    Ok(client.list_connections(request).await?.into_inner().total)
}
