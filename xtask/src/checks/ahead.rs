//! A command that runs beside others until its own turn comes.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result, bail};

use crate::command::line_of;
use crate::workspace;

/// One that runs. Where nobody waits for it, it is ended.
#[derive(Debug)]
pub(super) struct Ahead {
    child: Child,
    line: String,
    /// What it prints.
    output: PathBuf,
}

impl Ahead {
    /// Starts a command. What it prints is kept until its turn, so that it is not among what others print.
    pub(super) fn start(mut command: Command) -> Result<Self> {
        let output = workspace::target_directory().join("build-ahead.log");
        let file = File::create(&output).with_context(|| format!("cannot write {}", output.display()))?;
        let line = line_of(&command);
        let child = command
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        Ok(Self { child, line, output })
    }

    /// Waits for its end, and prints what it printed.
    pub(super) fn finish(mut self) -> Result<()> {
        let status = self.child.wait()?;
        print!("{}", fs::read_to_string(&self.output).unwrap_or_default());
        if !status.success() {
            bail!("`{}` failed ({status})", self.line);
        }
        Ok(())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // After its end there is nothing to be ended.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _it_ended_just_now = self.child.kill().is_err();
            let _nobody_needs_to_know_how = self.child.wait().is_err();
        }
    }
}
