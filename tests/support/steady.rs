//! A load to measure by: a process that does one thing again and again for as long as it is told.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::guardian::{Guardian, program};
use crate::netns::Netns;
use crate::wait::PATIENCE;

/// One process. Dropping it ends it.
#[derive(Debug)]
pub struct Steady {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    stderr: PathBuf,
}

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
        let guardian = Guardian::shared()?;
        let stderr = guardian.scratch("steady")?.join("stderr");
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
        let mut child = command
            .arg("steady")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
            .spawn()
            .context("cannot start a load")?;
        let input = child.stdin.take().context("no input")?;
        let output = child.stdout.take().context("no output")?;
        let (sender, answers) = channel();
        // Ends with the process.
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let Ok(value) = serde_json::from_str(&line) else { continue };
                if sender.send(value).is_err() {
                    return;
                }
            }
        });
        let load = Self { child, input, answers, stderr };
        load.answer()?["ready"].as_str().context("it is not ready")?;
        Ok(load)
    }

    /// Its pid: what started it became it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it begin a run, at most so often a second.
    pub fn begin(&mut self, length: Duration, rate: Option<u64>) -> Result<()> {
        let rate = rate.map_or_else(String::new, |rate| format!(" {rate}"));
        let asked = writeln!(self.input, "run {}{rate}", length.as_millis());
        asked.with_context(|| format!("the load is gone: {}", self.said()))
    }

    /// Waits for the end of the run that it began.
    pub fn done(&self) -> Result<Done> {
        let answer = self.answer()?;
        let number =
            |name: &str| answer[name].as_u64().with_context(|| format!("no number {name} in {answer}"));
        Ok(Done {
            count: number("done")?,
            elapsed: Duration::from_nanos(number("elapsed_ns")?),
            p50_ns: number("p50_ns")?,
            p99_ns: number("p99_ns")?,
        })
    }

    fn answer(&self) -> Result<Value> {
        let answer = self.answers.recv_timeout(PATIENCE);
        answer.with_context(|| format!("a load does not answer: it said {:?}", self.said()))
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Steady {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
