//! The workload program run outside of containers: on the host, or in a network namespace.

use std::process::Command;

use anyhow::Result;

use crate::guardian::program;
use crate::lines::Lines;
use crate::netns::Netns;

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
