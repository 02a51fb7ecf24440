//! Proves what is told of an executed program: its arguments and their bounds, its path, user, parent and owner.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};
use observer_tests::events::{arguments, detail, is, is_of, process, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Testbed};
use serde_json::Value;

/// As many bytes of arguments as are told.
const ARGUMENTS_BOUND: usize = 1024;

/// Runs a command to its end and returns its pid too.
fn run(mut command: Command) -> Result<(u32, ExitStatus)> {
    let mut child = Guardian::shared()?.mark(&mut command).spawn().context("cannot run")?;
    Ok((child.id(), child.wait()?))
}

async fn exec_of(lines: &Lines, pid: u32) -> Result<Value> {
    let is_it = |line: &Value| is(line, "process_exec") && process(line).0 == u64::from(pid);
    lines.wait_for(&format!("the exec of {pid}"), PATIENCE, is_it).await
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_arguments_arrive_as_they_are() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "arguments", "-t", "process_exec"]).await?;
    let pod = testbed.pod("arguments", "odd").run().await?;
    let argv = ["true", "", "two words", "a\nb\tc\u{1b}[31m", "ünï ☃", "", "--flag=\"x\""];
    pod.container("odd", argv).start().await?.wait().await?;
    let exec = lines
        .wait_for("it", PATIENCE, |line| {
            is_of(line, "process_exec", pod.name(), "odd") && arguments(line).first() == Some(&"true")
        })
        .await?;
    ensure!(arguments(&exec) == argv, "{exec}");
    ensure!(detail(&exec).get("arguments_truncated").is_none(), "{exec}");
    ensure!(exec["event"]["process"]["binary"] == "/bin/true", "{exec}");
    ensure!(exec["event"]["process"]["comm"] == "true" && exec["event"]["process"]["uid"] == 0, "{exec}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_are_kept_and_terminals_are_safe() -> Result<()> {
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").start().await?;
    let lines = watch(&daemon, ["-t", "process_exec"]).await?;
    let mut command = Command::new("/bin/true");
    command.arg(OsStr::from_bytes(b"a\xff\xfeb")).arg("\u{1b}]0;title\u{7}").arg("");
    let (pid, _) = run(command)?;
    let exec = exec_of(&lines, pid).await?;
    ensure!(arguments(&exec) == ["/bin/true", "a\u{fffd}\u{fffd}b", "\u{1b}]0;title\u{7}", ""], "{exec}");
    // Bytes are base64 in JSON.
    ensure!(detail(&exec)["raw_arguments"][1] == "Yf/+Yg==", "{exec}");
    // The human's output of the same event has no control character but its line's end.
    let output = observer_tests::client::run(daemon.socket(), ["events", "--last", "1000"]).await?;
    let text = String::from_utf8(output.stdout)?;
    let line = text.lines().find(|line| line.contains("title")).context("the event is not shown")?;
    ensure!(!line.chars().any(char::is_control), "{line:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_cut_and_marked() -> Result<()> {
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").start().await?;
    let lines = watch(&daemon, ["-t", "process_exec"]).await?;
    // Just what fits, its end and the program's included, and one more.
    let fits = "x".repeat(ARGUMENTS_BOUND - "/bin/true".len() - 2);
    for (argument, cut) in [(fits.clone(), false), (format!("{fits}x"), true), ("y".repeat(100_000), true)] {
        let mut command = Command::new("/bin/true");
        command.arg(&argument);
        let exec = exec_of(&lines, run(command)?.0).await?;
        ensure!(detail(&exec)["arguments_truncated"].as_bool().unwrap_or(false) == cut, "{exec}");
        let told = arguments(&exec);
        ensure!(told.len() == 2 && told[0] == "/bin/true" && argument.starts_with(told[1]), "{exec}");
        ensure!(told[1].len() >= fits.len() && (cut || told[1] == argument), "{exec}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_path_is_told_or_marked() -> Result<()> {
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").start().await?;
    let lines = watch(&daemon, ["-t", "process_exec"]).await?;
    for (depth, cut) in [(1, false), (5, true)] {
        let mut folder = Guardian::shared()?.scratch("paths")?;
        for _ in 0..depth {
            folder.push("d".repeat(100));
        }
        fs::create_dir_all(&folder)?;
        let program = folder.join("program");
        symlink("/bin/true", &program)?;
        let exec = exec_of(&lines, run(Command::new(&program))?.0).await?;
        let binary = exec["event"]["process"]["binary"].as_str().context("no binary")?;
        let path = program.to_str().context("no text")?;
        ensure!(detail(&exec)["binary_truncated"].as_bool().unwrap_or(false) == cut, "{exec}");
        ensure!(if cut { path.starts_with(binary) && binary.len() >= 200 } else { path == binary }, "{exec}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn user_and_parent_are_told_and_the_host_or_its_unit_is_the_owner() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-t", "process_exec,process_exit"]).await?;
    let mut command = Command::new("/bin/sh");
    // The shell executes two programs, and does not become the last one.
    command.args(["-c", "/bin/true of-the-host; /bin/false of-the-host; exit 3"]).uid(65534);
    let (pid, status) = run(command)?;
    ensure!(status.code() == Some(3), "{status}");
    let shell = exec_of(&lines, pid).await?;
    let parent = &shell["event"]["process"]["parent_pid"];
    ensure!(*parent == std::process::id(), "{shell}");
    let children = lines
        .wait_count("its children", PATIENCE, 2, |line| {
            is(line, "process_exec") && line["event"]["process"]["parent_pid"] == pid
        })
        .await?;
    ensure!(children.len() == 2, "{children:#?}");
    let owner = own_owner()?;
    for exec in children.iter().chain([&shell]) {
        ensure!(exec["event"]["process"]["uid"] == 65534, "{exec}");
        let workload = &exec["event"]["workload"];
        ensure!(workload["name"] == owner.as_str() && workload.get("pod").is_none(), "{exec}, not {owner}");
        let kind = if owner == "host" { "WORKLOAD_KIND_HOST" } else { "WORKLOAD_KIND_UNIT" };
        ensure!(workload["kind"] == kind && workload.get("container").is_none(), "{exec}");
        let its_exit = |line: &Value| is(line, "process_exit") && process(line) == process(exec);
        let exit = lines.wait_for("its exit", PATIENCE, its_exit).await?;
        ensure!(exit["event"]["workload"]["name"] == owner.as_str(), "{exit}");
    }
    Ok(())
}

/// The systemd unit that this test runs in, by its cgroup's path; `host` without one.
fn own_owner() -> Result<String> {
    let cgroups = fs::read_to_string("/proc/self/cgroup")?;
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let is_unit = |name: &&str| [".service", ".scope"].iter().any(|suffix| name.ends_with(suffix));
    let mut units = Path::new(path).iter().filter_map(OsStr::to_str).filter(is_unit);
    let unit = match (units.next(), units.next()) {
        (Some(manager), Some(unit)) if manager.starts_with("user@") => Some(format!("{manager}/{unit}")),
        (unit, _) => unit.map(str::to_owned),
    };
    Ok(unit.unwrap_or_else(|| "host".to_owned()))
}
