//! Tools that this project did not write, beside the observer: libbpf-tools' execsnoop, exitsnoop, tcplife, tcpstates.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};

use crate::firings::TRACEFS;
use crate::guardian::Guardian;
use crate::wait::{PATIENCE, eventually};

/// One of them, writing to a file. Dropping it ends it.
#[derive(Debug)]
pub struct Snoop {
    name: String,
    child: Child,
    file: PathBuf,
}

impl Snoop {
    /// Starts it. It needs the folder of tracepoints, which is mounted for it alone where the machine has none.
    pub fn start(name: &str) -> Result<Self> {
        let file = Guardian::shared()?.scratch("snoop")?.join(name);
        let script = format!("{TRACEFS} && exec stdbuf -oL {name}");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]);
        let log = File::create(&file)?;
        command.stdout(log.try_clone()?).stderr(log);
        let child = Guardian::shared()?.mark(&mut command).spawn().context("cannot run unshare")?;
        Ok(Self { name: name.to_owned(), child, file })
    }

    /// Waits for the heads of its columns, which it prints when it is attached.
    pub async fn wait_attached(&mut self) -> Result<()> {
        let (child, file, name) = (&mut self.child, &self.file, &self.name);
        eventually(PATIENCE, &format!("{name} to be attached"), || {
            let said = fs::read_to_string(file).unwrap_or_default();
            let ended = child.try_wait();
            async move {
                ensure!(ended?.is_none(), "{name} ended: {said}");
                Ok(if said.contains("PID") { Ok(()) } else { Err(said) })
            }
        })
        .await
    }

    /// Its pid: what started it became it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All that it said.
    pub fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(&self.file)?)
    }

    /// The lines so far that `is_it`, split at blanks.
    pub fn lines(&self, is_it: impl Fn(&[&str]) -> bool) -> Result<Vec<Vec<String>>> {
        let text = self.said()?;
        // The last line may still be on its way.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        Ok(lines
            .filter(|words| is_it(words))
            .map(|words| words.into_iter().map(str::to_owned).collect())
            .collect())
    }
}

impl Drop for Snoop {
    fn drop(&mut self) {
        // It is our own child; where it has ended already, that is what was wanted.
        let _ended = self.child.kill();
        let _waited = self.child.wait();
        // A flood of lines is large.
        let _removed = fs::remove_file(&self.file);
    }
}
