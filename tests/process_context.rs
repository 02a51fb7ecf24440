//! Proves what is told around an exec and an exit: rights, place, ancestors, who came in from outside, what was used.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use observer_tests::events::{arguments, detail, is, is_of, process, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Testbed};
use serde_json::Value;

/// The exec of a program with this for its last argument.
async fn exec_with(lines: &Lines, last: &str) -> Result<Value> {
    let is_it = |line: &Value| is(line, "process_exec") && arguments(line).last() == Some(&last);
    lines.wait_for(&format!("the exec with {last}"), PATIENCE, is_it).await
}

/// Runs a command to its end, which must be a good one, and returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let output =
        Guardian::shared()?.mark(command).output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The pids of the processes above an exec's, the parent first.
fn above(exec: &Value) -> Vec<u64> {
    let ancestors = detail(exec)["ancestors"].as_array().into_iter().flatten();
    ancestors.filter_map(|ancestor| ancestor["pid"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containers_programs_have_their_rights_their_place_and_their_descent() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "context"]).await?;
    let pod = testbed.pod("context", "rights").run().await?;
    let container = pod.container("main", ["sleep", "1000"]).start().await?;
    let first = exec_with(&lines, "1000").await?;
    ensure!(detail(&first)["origin"] == "EXEC_ORIGIN_CONTAINER_START", "{first}");
    ensure!(process(&first).0 == u64::from(container.pid().await?), "{first}");
    ensure!(detail(&first)["working_directory"] == "/" && above(&first).len() == 1, "{first}");

    let said = container.exec(["sh", "-c", "cd /bin; cat /proc/self/status; exit 0"]).await?;
    let field = |name: &str| -> Result<Vec<String>> {
        let line = said.stdout.lines().find_map(|line| line.strip_prefix(name)).context("no such field")?;
        Ok(line.split_whitespace().map(str::to_owned).collect())
    };
    let cat = exec_with(&lines, "/proc/self/status").await?;
    ensure!(detail(&cat)["working_directory"] == "/bin" && detail(&cat).get("terminal").is_none(), "{cat}");
    let told = &cat["event"]["process"];
    let is_it = |told: &Value, said: &str| told.as_u64().is_some_and(|told| said == told.to_string());
    ensure!(is_it(&told["uid"], &field("Uid:")?[0]) && is_it(&told["gid"], &field("Gid:")?[0]), "{cat}");
    let held = u64::from_str_radix(&field("CapEff:")?[0], 16)?;
    let names: Vec<&str> =
        detail(&cat)["capabilities"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(names.len() == held.count_ones() as usize, "{names:?} are not {held:x}");
    // Their numbers are those of capabilities(7).
    for (bit, name) in [(0, "CHOWN"), (12, "NET_ADMIN"), (13, "NET_RAW"), (21, "SYS_ADMIN"), (27, "MKNOD")] {
        ensure!((held >> bit & 1 == 1) == names.contains(&name), "{name} in {names:?}, which are {held:x}");
    }

    // The shell came in from outside, and what it runs descends from it.
    let shell =
        lines.wait_for("the shell's exec", PATIENCE, |line| process(line).0 == above(&cat)[0]).await?;
    ensure!(detail(&shell)["origin"] == "EXEC_ORIGIN_ENTERED", "{shell}");
    ensure!(detail(&cat).get("origin").is_none(), "{cat}");
    // By then the runtime's command that had started the shell may be gone, and the shim is its parent.
    ensure!(above(&cat).len() == 2 && above(&cat)[1] != process(&first).0, "{cat}");
    ensure!(above(&shell)[0] != process(&first).0, "{shell}");
    let exit = lines
        .wait_for("the shell's exit", PATIENCE, |line| {
            is(line, "process_exit") && process(line) == process(&shell)
        })
        .await?;
    ensure!(detail(&exit).get("container_first_process").is_none(), "{exit}");
    container.kill(rustix::process::Signal::KILL).await?;
    let exit = lines
        .wait_for("its exit", PATIENCE, |line| is(line, "process_exit") && process(line) == process(&first))
        .await?;
    ensure!(detail(&exit)["container_first_process"] == true, "{exit}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_enters_namespaces_is_told_with_the_container() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let pod = testbed.pod("entering", "namespaces").run().await?;
    let before = pod.container("before", ["sleep", "1000"]).start().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-t", "process_exec,container_start"]).await?;
    let after = pod.container("after", ["sleep", "1000"]).start().await?;
    lines.wait_for("its start", PATIENCE, |line| is_of(line, "container_start", pod.name(), "after")).await?;
    for container in [&before, &after] {
        let (name, pid) = (container.name(), container.pid().await?.to_string());
        let word = format!("mounts-of-{}-{name}", pod.uid());
        run(Command::new("nsenter").args(["-t", &pid, "-m", "-p", "-n", "/bin/true", &word]))?;
        let is_inside = |line: &Value| {
            arguments(line) == ["/bin/true", &word] && detail(line)["origin"] == "EXEC_ORIGIN_NAMESPACES"
        };
        let exec = lines.wait_for("the exec inside", PATIENCE, is_inside).await?;
        let entered = &detail(&exec)["entered"];
        ensure!(entered["pod"] == pod.name() && entered["container"] == name, "{exec}");
        ensure!(detail(&exec)["entered_namespaces"] == serde_json::json!(["mnt", "pid", "net"]), "{exec}");
        ensure!(exec["event"]["workload"].get("pod").is_none(), "{exec}");
    }
    let (pid, word) = (after.pid().await?.to_string(), format!("net-of-{}", pod.uid()));
    run(Command::new("nsenter").args(["-t", &pid, "-n", "/bin/true", &word]))?;
    let is_inside = |line: &Value| arguments(line) == ["/bin/true", &word];
    let exec = lines.wait_for("the exec in its network", PATIENCE, is_inside).await?;
    ensure!(detail(&exec)["entered"]["pod"] == pod.name(), "{exec}");
    ensure!(detail(&exec)["entered_namespaces"] == serde_json::json!(["net"]), "{exec}");
    let word = format!("outside-of-{}", pod.uid());
    run(Command::new("/bin/true").arg(&word))?;
    let exec = exec_with(&lines, &word).await?;
    ensure!(detail(&exec).get("origin").is_none(), "{exec}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_is_told_with_its_interpreter_and_a_folder_with_its_depth() -> Result<()> {
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").start().await?;
    let lines = watch(&daemon, ["-t", "process_exec"]).await?;
    let folder = Guardian::shared()?.scratch("script")?;
    fs::write(folder.join("run.sh"), "#!/bin/sh -e\nexit 0\n")?;
    fs::set_permissions(folder.join("run.sh"), fs::Permissions::from_mode(0o755))?;
    let word = folder.display().to_string();
    run(Command::new("./run.sh").arg(&word).current_dir(&folder))?;
    let exec = exec_with(&lines, &word).await?;
    ensure!(detail(&exec)["script"] == "./run.sh", "{exec}");
    ensure!(exec["event"]["process"]["binary"] == "/bin/sh", "{exec}");
    ensure!(arguments(&exec) == ["/bin/sh", "-e", "./run.sh", &word], "{exec}");
    ensure!(detail(&exec)["working_directory"] == word.as_str(), "{exec}");
    ensure!(detail(&exec).get("terminal").is_none(), "{exec}");
    for (depth, cut) in [(3, false), (40, true)] {
        let deep = folder.join("d/".repeat(depth));
        fs::create_dir_all(&deep)?;
        let word = format!("{word}-{depth}");
        run(Command::new("/bin/true").arg(&word).current_dir(&deep))?;
        let exec = exec_with(&lines, &word).await?;
        ensure!(detail(&exec)["working_directory_truncated"].as_bool().unwrap_or(false) == cut, "{exec}");
        let told = detail(&exec)["working_directory"].as_str().context("no directory")?;
        let is_it = if cut { deep.ends_with(told.trim_start_matches('/')) } else { deep.as_os_str() == told };
        ensure!(is_it || deep == *told, "{told}, not {}", deep.display());
    }
    // A terminal is given by script(1).
    let word = format!("{word}-terminal");
    run(Command::new("script").args(["-qec", &format!("/bin/true {word}"), "/dev/null"]))?;
    let is_it = |line: &Value| arguments(line) == ["/bin/true", &word];
    let exec = lines.wait_for("the exec on a terminal", PATIENCE, is_it).await?;
    ensure!(detail(&exec)["terminal"] == true, "{exec}");
    Ok(())
}

/// Runs children that use time and memory, and prints of each what wait4(2) says.
const CHILDREN: &str = r"
import json, os, sys, threading, time
def burn(seconds):
    while time.thread_time() < seconds:
        pass
for megabytes, threads, seconds in [(0, 0, 0), (40, 0, 0.05), (0, 3, 0.1), (20, 20, 0.02)]:
    pid = os.fork()
    if pid == 0:
        kept = bytearray(os.urandom(1) * (megabytes << 20))
        burn(seconds)
        all = [threading.Thread(target=burn, args=(seconds,)) for _ in range(threads)]
        [one.start() for one in all]
        if threads == 20:
            os._exit(0)
        [one.join() for one in all]
        os._exit(0)
    _, _, usage = os.wait4(pid, 0)
    print(json.dumps([pid, int((usage.ru_utime + usage.ru_stime) * 1e9), usage.ru_maxrss * 1024]))
";

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_tells_what_was_used_as_wait4_does() -> Result<()> {
    /// The longest tick of a scheduler: by as much may the time of each thread be short that runs at the end.
    const TICK_NS: u64 = 10_000_000;
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").start().await?;
    let lines = watch(&daemon, ["-t", "process_exit"]).await?;
    let said = run(Command::new("/usr/bin/python3").args(["-c", CHILDREN]))?;
    let children = said.lines().map(serde_json::from_str).collect::<Result<Vec<[u64; 3]>, _>>()?;
    ensure!(children.len() == 4, "{said}");
    for [pid, cpu, peak] in children {
        let is_it = |line: &Value| is(line, "process_exit") && process(line).0 == pid;
        let exit = lines.wait_for(&format!("the exit of {pid}"), PATIENCE, is_it).await?;
        let told = detail(&exit);
        ensure!(told["peak_memory_bytes"] == peak, "{exit}, by wait4 {peak}");
        let time = told["cpu_time_ns"].as_u64().context("no time")?;
        // Those that are still at it when the process exits are all short.
        ensure!(time <= cpu + TICK_NS / 10 && time + 3 * TICK_NS >= cpu, "{exit}, by wait4 {cpu}");
    }
    Ok(())
}

/// Forks workers, which execute nothing and connect: one that stays until it is told to end, and one that does not.
const WORKERS: &str = r"
import os, socket, sys
listener = socket.create_server(('127.0.0.1', 0))
def work(stays):
    pid = os.fork()
    if pid == 0:
        connection = socket.create_connection(listener.getsockname())
        if stays:
            connection.recv(1)
        os._exit(0)
    return pid, listener.accept()[0]
workers = [work(True), work(False)]
print(os.getpid(), *[pid for pid, _ in workers])
sys.stdout.flush()
sys.stdin.read()
[connection.close() for _, connection in workers]
";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_executed_nothing_is_known_by_its_program() -> Result<()> {
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").start().await?;
    let lines = watch(&daemon, ["-t", "tcp_connect"]).await?;
    // Without links: /proc shows the file itself.
    let python = fs::canonicalize("/usr/bin/python3")?;
    let mut command = Command::new(&python);
    let mut workers = command.args(["-c", WORKERS]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let mut said = String::new();
    BufReader::new(workers.stdout.take().context("no output")?).read_line(&mut said)?;
    let pids = said.split_whitespace().map(str::parse).collect::<Result<Vec<u64>, _>>()?;
    for worker in &pids[1..] {
        let is_it = |line: &Value| is(line, "tcp_connect") && process(line).0 == *worker;
        let connect = lines.wait_for(&format!("the connection of {worker}"), PATIENCE, is_it).await?;
        let told = &connect["event"]["process"];
        ensure!(told["binary"] == python.to_string_lossy().as_ref(), "{connect}");
        ensure!(told["parent_pid"] == pids[0], "{connect}");
    }
    drop(workers.stdin.take());
    ensure!(workers.wait()?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oom_kill_tells_whose_limit_was_hit() -> Result<()> {
    const LIMIT: u64 = 32 << 20;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "shortage", "-t", "oom_kill"]).await?;
    let pod = testbed.pod("shortage", "limit").run().await?;
    let argv = ["sh", "-c", "workload eat-memory 256; exit 0"];
    let container = pod.container("child", argv).memory_limit(LIMIT as i64).start().await?;
    let exit = container.wait().await?;
    ensure!(exit.code == 0, "{exit:?}");
    let kill =
        lines.wait_for("the kill", PATIENCE, |line| is_of(line, "oom_kill", pod.name(), "child")).await?;
    let told = detail(&kill);
    ensure!(told["scope"] == "OOM_SCOPE_CGROUP" && told["limit_bytes"] == LIMIT, "{kill}");
    ensure!(told["cgroup"].as_str().is_some_and(|path| path.ends_with(container.id())), "{kill}");
    let usage = told["usage_bytes"].as_u64().context("no usage")?;
    ensure!((LIMIT - (2 << 20)..=LIMIT).contains(&usage), "{kill}");
    pod.remove().await
}
