//! The workload program run outside of containers: on the host, or in a network namespace.

use std::process::Command;

use anyhow::Result;

use crate::guardian::program;
use crate::lines::Lines;
use crate::netns::Netns;
use crate::wait::PATIENCE;

/// Starts the workload program on the host.
pub fn on_host<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<Lines> {
    let mut command = Command::new(program("workload")?);
    command.args(args);
    Lines::spawn("workload", command)
}

/// Starts the workload program in a network namespace.
pub fn in_netns<'a>(netns: &Netns, args: impl IntoIterator<Item = &'a str>) -> Result<Lines> {
    // nsenter becomes the program, so the pid is the program's.
    let mut command = netns.command(program("workload")?);
    command.args(args);
    Lines::spawn("workload", command)
}

/// So many connections over loopback to a port of a network namespace, one after the other; each is used and closed.
pub async fn connections(netns: &Netns, port: u16, count: u64) -> Result<()> {
    connect(netns, port, count, &[]).await
}

/// The same, so many in a second: whoever reads with a short queue keeps up with that.
pub async fn paced(netns: &Netns, port: u16, count: u64, rate: u64) -> Result<()> {
    connect(netns, port, count, &["--rate", &rate.to_string()]).await
}

async fn connect(netns: &Netns, port: u16, count: u64, more: &[&str]) -> Result<()> {
    let port = port.to_string();
    let serve = in_netns(netns, ["serve", "--port", &port, "--echo"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"].as_u64().is_some()).await?;
    let (to, count) = (format!("127.0.0.1:{port}"), count.to_string());
    let args = ["connect", "--to", &to, "--count", &count, "--bytes", "10", "--summary"];
    in_netns(netns, args.into_iter().chain(more.iter().copied()))?.output().await?;
    Ok(())
}
