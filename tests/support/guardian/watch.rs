//! The guardian's own process: answers its test's requests, and cleans up once they end.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};

use super::cleanup::{Reach, clean};
use super::{ProcessStat, lock};
use crate::wait::{PATIENCE, eventually_blocking};

/// How often ended orphans are collected while nobody asks for anything.
const REAP: Duration = Duration::from_millis(100);

/// Serves the test that started this process, and cleans up after it.
#[allow(clippy::print_stderr, reason = "its standard error is its log")]
pub fn run() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [id, dir] = words.as_slice() else {
        eprintln!("usage: testbed-guardian ID FOLDER (started by the tests' support)");
        return ExitCode::from(2);
    };
    let dir = PathBuf::from(dir);
    let result = Watch { id: id.clone(), dir: dir.clone(), containerd: None }.serve();
    if let Err(error) = &result {
        eprintln!("guardian: {error:#}");
    }
    let cleaned = lock().and_then(|_lock| clean(&dir, id, Reach::Descendants));
    // All children have ended: what is not collected here would wait for the machine's first process to do it.
    while wait(WaitOptions::empty()).is_ok() {}
    if let Err(error) = &cleaned {
        eprintln!("guardian: {error:#}");
    }
    if result.is_ok() && cleaned.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Watch {
    id: String,
    dir: PathBuf,
    containerd: Option<ProcessStat>,
}

impl Watch {
    fn serve(&mut self) -> Result<()> {
        set_child_subreaper(Some(getpid())).context("cannot become a subreaper")?;
        let own = ProcessStat::read(std::process::id()).context("no /proc entry")?;
        let mut owner = OpenOptions::new().append(true).open(self.dir.join("owner"))?;
        writeln!(owner, "{own}")?;
        let mut owned = File::create(self.dir.join("owned"))?;

        let (lines, requests) = channel();
        thread::spawn(move || {
            for line in io::stdin().lock().lines() {
                let Ok(line) = line else { return };
                if lines.send(line).is_err() {
                    return;
                }
            }
        });
        loop {
            match requests.recv_timeout(REAP) {
                Ok(line) => {
                    let answer = match self.request(&line, &mut owned) {
                        Ok(()) => "ok".to_owned(),
                        Err(error) => format!("{error:#}").replace('\n', "; "),
                    };
                    // A test that is gone is found out at the next receive.
                    let mut out = io::stdout().lock();
                    let _ = writeln!(out, "{answer}").and_then(|()| out.flush());
                }
                Err(RecvTimeoutError::Timeout) => reap(),
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn request(&mut self, line: &str, owned: &mut File) -> Result<()> {
        match line.split(' ').next() {
            Some("hello") => Ok(()),
            Some("netns" | "link") => Ok(writeln!(owned, "{line}")?),
            Some("containerd") if line.ends_with("start") => self.start_containerd(),
            Some("containerd") => self.stop_containerd(),
            _ => bail!("unknown request"),
        }
    }

    fn start_containerd(&mut self) -> Result<()> {
        let log = OpenOptions::new().create(true).append(true).open(self.dir.join("containerd.log"))?;
        let bin = containerd_programs(&self.dir);
        let path = std::env::var("PATH").unwrap_or_default();
        let child = Command::new(if bin.exists() { bin.join("containerd") } else { "containerd".into() })
            .arg("--config")
            .arg(containerd_config(&self.dir))
            // Where its shim, runc and the programs that network plugins call may be.
            .env(
                "PATH",
                format!(
                    "{}:{path}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    bin.display()
                ),
            )
            .env("TMPDIR", &self.dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start containerd: cargo xtask setup --tests installs it")?;
        self.containerd = ProcessStat::read(child.id());
        Ok(())
    }

    fn stop_containerd(&mut self) -> Result<()> {
        let containerd = self.containerd.take().context("containerd does not run")?;
        let pid = Pid::from_raw(containerd.pid as i32).context("no pid")?;
        kill_process(pid, Signal::TERM)?;
        eventually_blocking(PATIENCE, &format!("containerd of {} to stop", self.id), || {
            reap();
            Ok(if ProcessStat::runs(&containerd.to_string()) { Err("running") } else { Ok(()) })
        })
    }
}

/// Where a testbed's containerd finds its configuration.
pub(crate) fn containerd_config(dir: &Path) -> PathBuf {
    dir.join("containerd.toml")
}

/// Where a testbed has a containerd that is not the system's, with its shim.
pub(crate) fn containerd_programs(dir: &Path) -> PathBuf {
    dir.join("bin")
}

/// Collects children that ended, adopted ones included.
pub(super) fn reap() {
    while let Ok(Some(_ended)) = wait(WaitOptions::NOHANG) {}
}
