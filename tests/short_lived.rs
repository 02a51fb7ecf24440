//! Proves that containers that live for milliseconds are seen in full: every start, exec, exit and stop, once, by name.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use observer_tests::events::{arguments, detail, is, nothing_lost, process, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, eventually};
use serde_json::Value;
use tokio::task::JoinSet;

const PODS: usize = 4;
const PER_POD: usize = 25;
/// What such a container lives at most, in nanoseconds.
const SHORT: u64 = 50_000_000;

/// What is expected of a container, by its id.
struct Life {
    pod: String,
    pod_uid: String,
    container: String,
    code: u64,
    argv: Vec<String>,
}

/// Every other container runs busybox, so that there are two programs and two codes.
fn command(number: usize) -> (Vec<String>, u64) {
    let words: &[&str] = if number.is_multiple_of(2) { &["workload", "exit", "0"] } else { &["false"] };
    (words.iter().map(|&word| word.to_owned()).collect(), (number % 2) as u64)
}

/// Runs containers one after the other, each removed as soon as it has ended.
async fn lives(pod: Arc<Pod>, first: usize) -> Result<Vec<(String, Life)>> {
    let mut lives = Vec::new();
    for number in first..first + PER_POD {
        let name = format!("short-{number}");
        let (argv, code) = command(number);
        let container = pod.container(&name, argv.clone()).start().await?;
        let exit = container.wait().await?;
        ensure!(exit.code as u64 == code, "{name}: {exit:?}");
        let id = container.id().to_owned();
        container.remove().await?;
        let (pod, pod_uid) = (pod.name().to_owned(), pod.uid().to_owned());
        lives.push((id, Life { pod, pod_uid, container: name, code, argv }));
    }
    Ok(lives)
}

/// The runtime's own processes that set a container up: they enter its cgroup, may execute the runtime once more
/// there, before or after, and end there.
fn is_runtime(line: &Value) -> bool {
    let process = &line["event"]["process"];
    let text = |field: &str| process[field].as_str().unwrap_or_default().to_owned();
    let itself = text("binary") == "/proc/self/exe" || text("binary").starts_with("/dev/fd/");
    (is(line, "process_exec") || is(line, "process_exit")) && (itself || text("comm").starts_with("runc"))
}

fn check(life: &Life, id: &str, all: &[Value]) -> Result<()> {
    let lines: Vec<&Value> = all.iter().filter(|line| !is_runtime(line)).collect();
    let one = |event_type: &str| -> Result<&Value> {
        let mut found = lines.iter().filter(|line| is(line, event_type));
        let (first, second) = (found.next(), found.next());
        ensure!(second.is_none(), "{id}: more than one {event_type}: {lines:#?}");
        first.copied().with_context(|| format!("{id}: no {event_type}: {lines:#?}"))
    };
    let (start, exec) = (one("container_start")?, one("process_exec")?);
    let (exit, stop) = (one("process_exit")?, one("container_stop")?);
    ensure!(lines.len() == 4, "{id}: more than its four events: {lines:#?}");
    for line in &lines {
        ensure!(process(line) == process(exec), "{id}: another process: {line}, not {exec}");
    }
    for line in all {
        let workload = &line["event"]["workload"];
        ensure!(workload["pod"] == life.pod.as_str(), "not in {}: {line}", life.pod);
        ensure!(workload["pod_uid"] == life.pod_uid.as_str(), "not in {}: {line}", life.pod_uid);
        ensure!(workload["container"] == life.container.as_str(), "not in {}: {line}", life.container);
        ensure!(workload["namespace"] == "short" && workload["kind"] == "WORKLOAD_KIND_POD", "{line}");
        ensure!(workload["labels"]["app"] == "brief" && workload["image"] != "", "{line}");
    }
    let ended: Vec<_> = all.iter().filter(|line| is(line, "process_exit")).map(process).collect();
    ensure!(
        ended.iter().collect::<BTreeSet<_>>().len() == ended.len(),
        "{id}: one process ended twice: {all:#?}"
    );
    ensure!(arguments(exec) == life.argv, "{exec}, not {:?}", life.argv);
    ensure!(detail(exit)["code"] == life.code && detail(stop)["code"] == life.code, "{exit} {stop}");
    ensure!(detail(exit).get("signal").is_none() && detail(stop).get("signal").is_none(), "{exit} {stop}");
    ensure!(detail(start)["image"] != "", "{start}");
    let run_time = detail(stop)["run_time_ns"].as_u64().context("no run time")?;
    ensure!(run_time < SHORT, "{id} lived {run_time} ns");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_short_lives_are_seen_in_full() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "short"]).await?;
    let mut running = JoinSet::new();
    let mut pods = Vec::new();
    for number in 0..PODS {
        let pod = Arc::new(testbed.pod("short", "brief").label("app", "brief").run().await?);
        pods.push(Arc::clone(&pod));
        running.spawn(lives(pod, number * PER_POD));
    }
    let mut expected = HashMap::new();
    for lives in running.join_all().await {
        expected.extend(lives?);
    }
    ensure!(expected.len() == PODS * PER_POD);
    let ids: BTreeSet<&String> = expected.keys().collect();
    let own = |line: &Value| line["event"]["workload"]["container_id"].as_str().map(str::to_owned);
    eventually(PATIENCE, "all stops", async || {
        let stopped = lines.matching(|line| is(line, "container_stop"));
        let stopped: BTreeSet<String> = stopped.iter().filter_map(own).collect();
        let missing: Vec<_> = ids.iter().filter(|id| !stopped.contains(**id)).collect();
        Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}, {}", lines.account())) })
    })
    .await?;
    let mut seen: HashMap<String, Vec<Value>> = HashMap::new();
    for line in lines.values() {
        if let Some(id) = own(&line).filter(|id| expected.contains_key(id)) {
            seen.entry(id).or_default().push(line);
        }
    }
    for (id, life) in &expected {
        check(life, id, seen.get(id).with_context(|| format!("nothing of {id}"))?)?;
    }
    nothing_lost(&lines)?;
    for pod in pods {
        Arc::into_inner(pod).context("the pod is still used")?.remove().await?;
    }
    Ok(())
}
