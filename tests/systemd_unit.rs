//! Proves the systemd unit: systemd takes it and finds little exposed, it grants what is documented and nothing else,
//! and within its sandbox, as far as that can be made without systemd, the daemon does its work.
//!
//! Made here: capabilities, `no_new_privs`, the filter of system calls, a file system that cannot be written. Not made
//! here: the rest of the unit's settings, such as its devices and address families, which systemd applies.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use observer_tests::client::{self, observer};
use observer_tests::daemon::only;
use observer_tests::events::{is, watch};
use observer_tests::exporting::{configured, wait_events};
use observer_tests::guardian::{Guardian, program};
use observer_tests::wait::PATIENCE;
use observer_tests::{eventually, receiver, workload};

const UNIT: &str = include_str!("../deploy/systemd/observer.service");
const PRIVILEGES: &str = include_str!("../docs/privileges.md");
/// The kernel's numbers of system calls, as programs are compiled with them.
const NUMBERS: [&str; 2] = ["/usr/include/x86_64-linux-gnu/asm/unistd_64.h", "/usr/include/asm/unistd_64.h"];
/// A greater exposure, in tenths, is an error.
const MOST_EXPOSED: &str = "--threshold=29";
/// In a mount namespace of its own, makes all but one folder impossible to write, and becomes the program that follows.
const READ_ONLY: &str =
    "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro / && ! touch /written 2>/dev/null && exec \"$@\"";

/// The values of a setting, in order.
fn setting(name: &str) -> Vec<&'static str> {
    UNIT.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// The unit with this binary instead of an installed one.
fn unit() -> Result<PathBuf> {
    let path = Guardian::shared()?.scratch("unit")?.join("observer.service");
    let installed = setting("ExecStart").first().context("it starts nothing")?.split(' ').next();
    let text = UNIT.replace(installed.context("it starts nothing")?, &observer()?.display().to_string());
    fs::write(&path, text)?;
    Ok(path)
}

fn analyze(words: &[&str]) -> Result<String> {
    let output =
        Command::new("systemd-analyze").args(words).arg(unit()?).output().context("no systemd-analyze")?;
    let said =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    ensure!(output.status.success(), "systemd-analyze {words:?}: {said}");
    Ok(said)
}

#[test]
fn systemd_takes_it_and_finds_little_exposed() -> Result<()> {
    let said = analyze(&["verify"])?;
    ensure!(said.is_empty(), "{said}");
    let said = analyze(&["security", "--offline=yes", MOST_EXPOSED])?;
    ensure!(said.contains("Overall exposure level"), "{said}");
    Ok(())
}

#[test]
fn it_grants_what_is_documented() -> Result<()> {
    let granted: BTreeSet<&str> =
        setting("CapabilityBoundingSet").into_iter().flat_map(str::split_whitespace).collect();
    let documented = PRIVILEGES.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let documented: BTreeSet<&str> = documented.filter(|name| name.starts_with("CAP_")).collect();
    ensure!(granted == documented && granted.len() >= 5, "{granted:?}, documented are {documented:?}");
    ensure!(setting("NoNewPrivileges") == ["yes"]);
    Ok(())
}

/// The system calls that the unit allows, by number.
fn allowed() -> Result<BTreeSet<u32>> {
    let mut names = BTreeSet::new();
    for words in setting("SystemCallFilter") {
        let (removes, words) = words.strip_prefix('~').map_or((false, words), |words| (true, words));
        for word in words.split_whitespace() {
            for name in calls(word)? {
                _ = if removes { names.remove(&name) } else { names.insert(name) };
            }
        }
    }
    let header = NUMBERS.iter().find_map(|path| fs::read_to_string(path).ok()).context("no unistd_64.h")?;
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
    let numbers = defined.filter(|(name, _)| names.contains(*name)).map(|(_, number)| number.trim().parse());
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// The calls of one of systemd's sets, sets in it included; a call by itself.
fn calls(word: &str) -> Result<Vec<String>> {
    if !word.starts_with('@') {
        return Ok(vec![word.to_owned()]);
    }
    let output = Command::new("systemd-analyze").args(["syscall-filter", word]).output()?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    // The set's own name, and what is in it, indented.
    let inner = text.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    inner.map(calls).collect::<Result<Vec<_>>>().map(|all| all.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_works_within_it() -> Result<()> {
    let allowed = allowed()?;
    ensure!(allowed.len() > 150, "{allowed:?}");
    let dir = Guardian::shared()?.scratch("sandbox")?;
    let filter = dir.join("calls");
    let numbers: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    fs::write(&filter, numbers.join("\n"))?;
    let granted = setting("CapabilityBoundingSet").into_iter().flat_map(str::split_whitespace);
    let writable = dir.parent().context("no folder")?.display().to_string();
    let mounts = ["unshare", "--mount", "sh", "-c", READ_ONLY, &writable].map(str::to_owned);
    let confined =
        [program("workload")?.display().to_string(), "confined".to_owned(), filter.display().to_string()];
    let launcher = mounts.into_iter().chain(only(granted)).chain(confined);
    // What exporters write and send is allowed as well: a socket, a file of memory for the journal, a folder for lines.
    let (log, written) = (receiver::unix(&dir.join("log"))?, dir.join("logs/lines"));
    ensure!(setting("LogsDirectory") == ["observer"]);
    ensure!(["memfd_create", "fcntl", "sendmsg", "rename"].iter().all(|call| {
        calls("@system-service").is_ok_and(|calls| calls.iter().any(|allowed| allowed == call))
    }));
    let text = format!(
        "[json.a]\npath = '{}'\n[syslog.a]\naddress = '{}'\nmin_severity = 'info'\n",
        written.display(),
        dir.join("log").display()
    );
    let daemon = configured(&text)?.arg("--dns").through(launcher).start().await?;

    let own = fs::read_to_string(format!("/proc/{}/status", daemon.pid()))?;
    ensure!(own.contains("Seccomp:\t2\n") && own.contains("NoNewPrivs:\t1\n"), "{own}");
    let status = client::json(daemon.socket(), ["status"]).await?.pop().context("no status")?;
    let capabilities = status["capabilities"].as_array().context("no capabilities")?;
    ensure!(capabilities.len() >= 10, "{status:#}");
    ensure!(!capabilities.iter().any(client::is_missing), "{capabilities:#?}");
    let lines = watch(&daemon, []).await?;
    let serve = workload::on_host(["serve", "--port", "7981"])?;
    serve.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;
    let mut connect = workload::on_host(["connect", "--to", "127.0.0.1:7981", "--bytes", "10"])?;
    connect.wait().await?;
    for event_type in ["process_exec", "process_exit"] {
        let is_it = |line: &serde_json::Value| {
            is(line, event_type) && line["event"]["process"]["pid"] == connect.pid()
        };
        lines.wait_for(event_type, PATIENCE, is_it).await?;
    }
    for event_type in ["tcp_connect", "tcp_accept", "tcp_close"] {
        let is_it = |line: &serde_json::Value| {
            is(line, event_type) && line["event"][event_type]["tcp"]["destination"]["port"] == 7981
        };
        lines.wait_for(event_type, PATIENCE, is_it).await?;
    }
    eventually(PATIENCE, "the listener", async || {
        let listed = client::json(daemon.socket(), ["connections", "--listeners", "--port", "7981"]).await?;
        Ok(if listed.len() == 1 { Ok(()) } else { Err(listed) })
    })
    .await?;
    wait_events(&written, 5).await?;
    log.wait(5).await?;
    // A cgroup's path comes from its id: the call for that is allowed.
    ensure!(!daemon.stderr().contains("Operation not permitted"), "{}", daemon.stderr());
    Ok(())
}
