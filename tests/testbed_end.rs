//! Nothing is left of a testbed, however it ends.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use observer_tests::guardian::{Guardian, ProcessStat, far_files, leftovers, lock, program};
use observer_tests::wait::PATIENCE;
use observer_tests::{Lines, eventually};
use rustix::process::{Pid, Signal, kill_process};

/// Another process with a testbed in full swing.
struct Other {
    process: Lines,
    dir: PathBuf,
    id: String,
    far_files: Vec<PathBuf>,
    host_process: ProcessStat,
}

impl Other {
    async fn start(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(program("testbed-up")?);
        command.args(words);
        let process = Lines::spawn("testbed-up", command)?;
        let line = process.wait_for("its testbed", 2 * PATIENCE, |line| line.get("up").is_some()).await?;
        let dir = PathBuf::from(line["dir"].as_str().context("no dir")?);
        let id = line["up"].as_str().context("no id")?.to_owned();
        let present = leftovers(&dir, &id);
        for kind in ["process", "mount", "cgroup", "/sys/class/net", "folder"] {
            ensure!(present.iter().any(|thing| thing.starts_with(kind)), "no {kind} seen in {present:#?}");
        }
        let far_files = far_files(&dir, &id);
        // Two shims' sockets, and for each pod its loopback's and its bridge's results.
        ensure!(far_files.iter().filter(|file| file.exists()).count() >= 6, "{far_files:?}");
        let pid = line["host_process"].as_u64().context("no host process")? as u32;
        let host_process = ProcessStat::read(pid).context("its host process does not run")?;
        Ok(Self { process, dir, id, far_files, host_process })
    }

    fn left(&self) -> Vec<String> {
        let mut left = leftovers(&self.dir, &self.id);
        let host_process = self.host_process.to_string();
        left.extend(ProcessStat::runs(&host_process).then(|| format!("process on the host {host_process}")));
        left.extend(
            self.far_files.iter().filter(|file| file.exists()).map(|file| file.display().to_string()),
        );
        left
    }

    async fn nothing_left(&self) -> Result<()> {
        eventually(PATIENCE, "everything to be removed", async || {
            let left = self.left();
            Ok(if left.is_empty() { Ok(()) } else { Err(left) })
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_testbed_that_ends() -> Result<()> {
    let mut other = Other::start(&[]).await?;
    other.process.signal(Signal::INT)?;
    ensure!(other.process.wait().await?.success(), "{}", other.process.account());
    // At once: the process waits for its guardian.
    ensure!(other.left().is_empty(), "{:#?}", other.left());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_testbed_that_is_killed() -> Result<()> {
    for words in [&[][..], &["--newer"]] {
        let mut other = Other::start(words).await?;
        other.process.signal(Signal::KILL)?;
        other.process.wait().await?;
        other.nothing_left().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_testbed_removes_one_that_was_killed_with_its_guardian() -> Result<()> {
    let mut other = Other::start(&[]).await?;
    let owner = fs::read_to_string(other.dir.join("owner"))?;
    let guardian =
        owner.lines().filter_map(ProcessStat::named).find(|process| process.pid != other.process.pid());
    let guardian = Pid::from_raw(guardian.context("no guardian")?.pid as i32).context("no pid")?;
    // Otherwise a testbed that another test starts just now would remove it.
    let held = lock()?;
    kill_process(guardian, Signal::KILL)?;
    other.process.signal(Signal::KILL)?;
    other.process.wait().await?;
    ensure!(!other.left().is_empty());
    drop(held);
    drop(Guardian::start()?);
    other.nothing_left().await
}
