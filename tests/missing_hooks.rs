//! Proves what docs/kernels.md says of a kernel that lacks a hook: each one is hidden in turn in the kernel's types, as
//! the daemon and the doctor find them, and costs what is documented and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use observer_tests::client::{self, observer};
use observer_tests::events::{detail, is, watch};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, workload};
use serde_json::Value;

const DOCUMENTATION: &str = include_str!("../docs/kernels.md");
/// Where the kernel shows its types.
const TYPES: &str = "/sys/kernel/btf/vmlinux";
/// In a mount namespace of its own, shows another file there and becomes the program that follows.
const HIDE: &str = "mount --bind \"$0\" /sys/kernel/btf/vmlinux && exec \"$@\"";
/// What a process that makes one connection brings about, by the capability that tells it.
const EVENTS: [(&str, &str); 5] = [
    ("process_exec", "process_exec"),
    ("tcp_connections", "tcp_connect"),
    ("tcp_connections", "tcp_accept"),
    ("tcp_connections", "tcp_close"),
    ("process_exit", "process_exit"),
];

/// By hook: what it costs, each with the words for it.
fn documented() -> Result<BTreeMap<&'static str, BTreeMap<&'static str, &'static str>>> {
    let (_, table) = DOCUMENTATION.split_once("| capability | hook | without it |\n").context("no table")?;
    let mut hooks: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
    for line in table.lines().skip(1).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> =
            line.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let [capability, hook, without] = cells[..] else { anyhow::bail!("{line}") };
        hooks.entry(hook).or_default().insert(capability, without);
    }
    Ok(hooks)
}

/// What starts a program on a kernel without that hook.
fn hiding(hook: &str) -> Result<Vec<String>> {
    let name = match hook.strip_prefix("iter/") {
        Some(target) => format!("\0bpf_iter_{target}\0"),
        None => format!("\0btf_trace_{hook}\0"),
    };
    let mut types = fs::read(TYPES)?;
    let found: Vec<usize> = types
        .windows(name.len())
        .enumerate()
        .filter(|(_, at)| *at == name.as_bytes())
        .map(|(at, _)| at)
        .collect();
    let [at] = found[..] else { anyhow::bail!("{hook} is {} times among the kernel's types", found.len()) };
    // Names are found by their offsets, which stay.
    types[at + 1] = b'X';
    let file = Guardian::shared()?.scratch("types")?.join("vmlinux");
    fs::write(&file, types)?;
    let words = ["unshare", "--mount", "sh", "-c", HIDE].map(str::to_owned);
    Ok(words.into_iter().chain([file.display().to_string()]).collect())
}

/// What is missing, each with the words for it; the reason must name the hook.
fn missing(answer: &Value, hook: &str) -> Result<BTreeMap<String, String>> {
    let all = answer["capabilities"].as_array().context("no capabilities")?;
    let mut missing = BTreeMap::new();
    for one in all.iter().filter(|one| client::is_missing(one)) {
        let text = |field: &str| one[field].as_str().map(str::to_owned).context("no text");
        let reason = text("reason")?;
        let named = hook.starts_with("iter/") || reason.contains(&format!("this kernel has no hook {hook}"));
        ensure!(named && !reason.is_empty() && !text("remedy")?.is_empty(), "{one}");
        missing.insert(text("name")?, text("consequence")?);
    }
    Ok(missing)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_without_a_hook_is_seen_without_what_that_serves() -> Result<()> {
    let hooks = documented()?;
    ensure!(hooks.len() >= 14, "{hooks:#?}");
    for (port, (hook, costs)) in (7960..).zip(&hooks) {
        lacks(hook, costs, port).await.with_context(|| format!("without {hook}"))?;
    }
    Ok(())
}

async fn lacks(hook: &str, costs: &BTreeMap<&str, &str>, port: u16) -> Result<()> {
    let launcher = hiding(hook)?;
    let costs: BTreeMap<String, String> =
        costs.iter().map(|(name, words)| ((*name).to_owned(), (*words).to_owned())).collect();
    let (program, rest) = launcher.split_first().context("no program")?;
    let doctor = Command::new(program).args(rest).arg(observer()?).args(["doctor", "-o", "json"]).output()?;
    ensure!(doctor.status.success(), "{doctor:?}");
    let doctor: Value = serde_json::from_slice(&doctor.stdout)?;
    let daemon = Daemon::bare().arg("--cri-endpoint").arg("none").through(launcher).start().await?;
    let status = client::json(daemon.socket(), ["status"]).await?.pop().context("no status")?;
    for answer in [&doctor, &status] {
        let missing = missing(answer, hook)?;
        ensure!(missing == costs, "{missing:#?}, not {costs:#?}");
    }
    let lines = watch(&daemon, []).await?;
    let serve = workload::on_host(["serve", "--port", &port.to_string()])?;
    serve.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;
    let mut connect = workload::on_host(["connect", "--to", &format!("127.0.0.1:{port}"), "--bytes", "10"])?;
    connect.wait().await?;
    let pid = connect.pid();
    for (capability, event_type) in EVENTS {
        if !costs.contains_key(capability) {
            let is_it = |line: &Value| is_ours(line, pid, port) && is(line, event_type);
            lines.wait_for(event_type, PATIENCE, is_it).await?;
        }
    }
    let seen = seen(&lines, pid, port);
    let expected: BTreeSet<&str> = EVENTS
        .iter()
        .filter(|(capability, _)| !costs.contains_key(*capability))
        .map(|(_, event)| *event)
        .collect();
    ensure!(seen.iter().map(String::as_str).eq(expected.iter().copied()), "{seen:?}, not {expected:?}");
    Ok(())
}

/// It tells of that connection, or of the process that made it.
fn is_ours(line: &Value, pid: u32, port: u16) -> bool {
    let tcp = &detail(line)["tcp"];
    if tcp.is_null() { line["event"]["process"]["pid"] == pid } else { tcp["destination"]["port"] == port }
}

fn seen(lines: &Lines, pid: u32, port: u16) -> BTreeSet<String> {
    let ours = lines.matching(|line| is_ours(line, pid, port));
    ours.iter().filter_map(|line| line["event"]["type"].as_str().map(str::to_owned)).collect()
}
