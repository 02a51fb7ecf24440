//! A program of the tests' that is told what to do line by line, and answers each with a line of JSON.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::guardian::Guardian;
use crate::wait::PATIENCE;

/// It, while it runs. Dropping this ends it.
#[derive(Debug)]
pub(crate) struct Asked {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Value>,
    stderr: PathBuf,
}

impl Asked {
    /// Starts it; `name` is what its folder is called.
    pub(crate) fn start(command: &mut Command, name: &str) -> Result<Self> {
        let scratch = Guardian::shared()?.scratch(name)?;
        let stderr = scratch.join("stderr");
        // It is killed in the end, and takes no file of its own away then: the guardian does.
        let mut child = command
            .env("TMPDIR", &scratch)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
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
        Ok(Self { child, input, answers, stderr })
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to do something.
    pub(crate) fn ask(&mut self, what: &str) -> Result<()> {
        writeln!(self.input, "{what}").with_context(|| format!("{what}: it is gone and said {}", self.said()))
    }

    /// Waits for its next answer, which is to `what`.
    pub(crate) fn answer(&self, what: &str) -> Result<Value> {
        let answer = self.answers.recv_timeout(PATIENCE);
        answer.with_context(|| format!("no answer to {what}: it said {}", self.said()))
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
