//! Fork and exec of the smallest program, with arguments as a service has them.

use std::io;
use std::process::{Command, Stdio};

use super::Work;
use crate::smallest::Smallest;

const ARGUMENTS: [&str; 4] = ["--listen", "0.0.0.0:8080", "--config", "/etc/service/config.toml"];

/// One process after the other.
pub(super) struct Exec {
    smallest: Smallest,
}

impl Exec {
    pub(super) fn new() -> Result<Self, String> {
        Ok(Self { smallest: Smallest::new()? })
    }
}

impl Work for Exec {
    fn step(&mut self) -> io::Result<u64> {
        let mut command = Command::new(self.smallest.path());
        let status = command.args(ARGUMENTS).env_clear().stdin(Stdio::null()).status()?;
        if status.success() { Ok(1) } else { Err(io::Error::other(format!("it ended with {status}"))) }
    }
}
