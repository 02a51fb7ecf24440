//! A child process whose standard output is read line by line, as JSON, while it runs.

use std::fs::{self, File};
use std::future::ready;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::guardian::Guardian;
use crate::wait::{PATIENCE, eventually};

/// One line of JSON, and when it arrived.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub at: SystemTime,
    /// What it says.
    pub value: Value,
}

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<Line>,
    /// Lines that are not JSON.
    other: Vec<String>,
    ended: bool,
}

/// A process that prints JSON lines. Dropping it kills it.
#[derive(Debug)]
pub struct Lines {
    name: String,
    child: Child,
    seen: Arc<Mutex<Seen>>,
    reader: Option<JoinHandle<()>>,
    stderr: PathBuf,
}

impl Lines {
    /// Starts `command` and reads its output on a thread of its own; `name` is what errors call it.
    pub fn spawn(name: &str, mut command: Command) -> Result<Self> {
        let guardian = Guardian::shared()?;
        let stderr = guardian.scratch("process")?.join("stderr");
        let mut child = guardian
            .mark(&mut command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr)?)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        let output = child.stdout.take().context("no output")?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let reader = thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let at = SystemTime::now();
                let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                match serde_json::from_str(&line) {
                    Ok(value) => seen.lines.push(Line { at, value }),
                    Err(_not_json) => seen.other.push(line),
                }
            }
            shared.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
        });
        Ok(Self { name: name.to_owned(), child, seen, reader: Some(reader), stderr })
    }

    /// Its pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All lines so far with the times at which they arrived.
    pub fn lines(&self) -> Vec<Line> {
        self.seen().lines.clone()
    }

    /// All lines so far.
    pub fn values(&self) -> Vec<Value> {
        self.seen().lines.iter().map(|line| line.value.clone()).collect()
    }

    /// The lines so far that `is_it`.
    pub fn matching(&self, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.values().into_iter().filter(is_it).collect()
    }

    /// The lines so far that are not JSON.
    pub fn other(&self) -> Vec<String> {
        self.seen().other.clone()
    }

    /// What it said on its standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Waits for a line that `is_it`; what was seen instead is in the error.
    pub async fn wait_for(
        &self,
        what: &str,
        bound: Duration,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut found = self.wait_count(what, bound, 1, is_it).await?;
        Ok(found.remove(0))
    }

    /// Waits for at least `count` lines that `is_it`, and returns all that there are by then.
    pub async fn wait_count(
        &self,
        what: &str,
        bound: Duration,
        count: usize,
        is_it: impl Fn(&Value) -> bool,
    ) -> Result<Vec<Value>> {
        let what = format!("{count} of {what} from {}", self.name);
        eventually(bound, &what, async || {
            // The end is read first: what was printed before it is then seen as well.
            let ended = self.seen().ended;
            let found = self.matching(&is_it);
            ensure!(found.len() >= count || !ended, "{} ended without {what}: {}", self.name, self.account());
            Ok(if found.len() >= count { Ok(found) } else { Err(self.account()) })
        })
        .await
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        let ended =
            || ready(self.child.try_wait().map(|status| status.ok_or("still running")).map_err(Into::into));
        let status = eventually(PATIENCE, &what, ended).await?;
        if let Some(reader) = self.reader.take() {
            // It ends with the pipe, which a grandchild may hold open: then what has been read is what there is.
            if reader.is_finished() || eventually_finished(&reader).await {
                let _ = reader.join();
            }
        }
        Ok(status)
    }

    /// Waits for its end, demands success and returns its lines.
    pub async fn output(mut self) -> Result<Vec<Value>> {
        let status = self.wait().await?;
        ensure!(status.success(), "{} ended with {status}: {}", self.name, self.account());
        Ok(self.values())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid() as i32).context("no pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Asks it to end, waits until it has, and returns how it did.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        if self.child.try_wait()?.is_none() {
            self.signal(Signal::TERM)?;
        }
        self.wait().await
    }

    /// All that it said, for a failed test's output.
    pub fn account(&self) -> String {
        let lines: Vec<String> = self.values().iter().map(Value::to_string).collect();
        let shown = lines.len().min(200);
        let tail = lines[lines.len() - shown..].join("\n");
        let (total, other, stderr) = (lines.len(), self.other().join("\n"), self.stderr());
        format!("{total} lines, the last {shown}:\n{tail}\nnot JSON:\n{other}\nstandard error:\n{stderr}")
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn eventually_finished(reader: &JoinHandle<()>) -> bool {
    let finished = async || Ok(if reader.is_finished() { Ok(()) } else { Err("open") });
    eventually(Duration::from_secs(1), "the output to end", finished).await.is_ok()
}

impl Drop for Lines {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
