//! Proves that containers that live for milliseconds are seen in full: every start, exec, connection, exit and stop, once,
//! by name; a thousand of them one after the other, and a hundred at once.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]
#![allow(clippy::disallowed_methods, reason = "what it measures is time")]

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use observer_tests::events::{arguments, detail, is, nothing_lost, process, watch};
use observer_tests::firings::Firings;
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Lines, Pod, Testbed, client, eventually};
use serde_json::Value;
use tokio::task::JoinSet;

/// Containers one after the other in each pod, and pods at a time: in one pod alone it would take minutes.
const PER_POD: usize = 250;
const PODS: usize = 4;
/// Containers that are started at the same moment.
const AT_ONCE: usize = 100;
/// What half of the containers live at most, in nanoseconds. How long they all do depends on what else the machine does.
const SHORT: u64 = 50_000_000;
const PORT: u64 = 8085;

/// What is expected of a container, by its id.
struct Life {
    pod: String,
    pod_uid: String,
    container: String,
    code: u64,
    argv: Vec<String>,
}

/// A pod that everybody connects to.
async fn server(testbed: &Testbed, namespace: &str) -> Result<(Pod, Container)> {
    let pod = testbed.pod(namespace, "server").run().await?;
    let argv = ["workload", "serve", "--v4", "--port", &PORT.to_string()].map(str::to_owned);
    let server = pod.container("server", argv).start_until("listening").await?;
    Ok((pod, server))
}

/// Connects to the server and stays for up to 20 ms; every other one fails.
fn command(server: &Pod, number: usize) -> Result<(Vec<String>, u64)> {
    let (code, hold) = ((number % 2) as u64, format!("0.0{:02}", number % 21));
    let to = format!("{}:{PORT}", server.ip()?);
    let code_text = code.to_string();
    let words = ["workload", "connect", "--to", &to, "--hold", &hold, "--code", &code_text];
    Ok((words.map(str::to_owned).into(), code))
}

fn life(pod: &Pod, container: &Container, code: u64, argv: Vec<String>) -> (String, Life) {
    let (pod, pod_uid) = (pod.name().to_owned(), pod.uid().to_owned());
    (container.id().to_owned(), Life { pod, pod_uid, container: container.name().to_owned(), code, argv })
}

/// Runs containers one after the other, each removed as soon as it has ended.
async fn lives(pod: Arc<Pod>, server: Arc<Pod>, first: usize) -> Result<Vec<(String, Life)>> {
    let mut lives = Vec::new();
    for number in first..first + PER_POD {
        let name = format!("short-{number}");
        let (argv, code) = command(&server, number)?;
        let container = pod.container(&name, argv.clone()).start().await?;
        let exit = container.wait().await?;
        ensure!(exit.code as u64 == code, "{name}: {exit:?} {:?}", container.log());
        lives.push(life(&pod, &container, code, argv));
        container.remove().await?;
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

/// Gives how long it lived.
fn check(life: &Life, id: &str, all: &[Value], server: &Pod) -> Result<u64> {
    let lines: Vec<&Value> = all.iter().filter(|line| !is_runtime(line)).collect();
    let one = |event_type: &str| -> Result<&Value> {
        let mut found = lines.iter().filter(|line| is(line, event_type));
        let (first, second) = (found.next(), found.next());
        ensure!(second.is_none(), "{id}: more than one {event_type}: {lines:#?}");
        first.copied().with_context(|| format!("{id}: no {event_type}: {lines:#?}"))
    };
    let (start, exec) = (one("container_start")?, one("process_exec")?);
    let (exit, stop) = (one("process_exit")?, one("container_stop")?);
    let (connect, close) = (one("tcp_connect")?, one("tcp_close")?);
    ensure!(lines.len() == 6, "{id}: more than its six events: {lines:#?}");
    for line in &lines {
        ensure!(process(line) == process(exec), "{id}: another process: {line}, not {exec}");
    }
    for line in [connect, close] {
        let tcp = &detail(line)["tcp"];
        ensure!(tcp["destination"]["port"] == PORT && tcp["outgoing"] == true, "{line}");
        ensure!(tcp["destination"]["workload"]["pod"] == server.name(), "{line}");
    }
    for line in all {
        let workload = &line["event"]["workload"];
        ensure!(workload["pod"] == life.pod.as_str(), "not in {}: {line}", life.pod);
        ensure!(workload["pod_uid"] == life.pod_uid.as_str(), "not in {}: {line}", life.pod_uid);
        ensure!(workload["container"] == life.container.as_str(), "not in {}: {line}", life.container);
        ensure!(
            workload["namespace"] == server.namespace() && workload["kind"] == "WORKLOAD_KIND_POD",
            "{line}"
        );
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
    // A busy runtime takes longer than the event waits for it.
    let told = detail(stop).get("runtime").map(|said| said["exit_code"].as_u64().unwrap_or(0));
    ensure!(told.is_none_or(|code| code == life.code), "the runtime tells another end: {stop}");
    detail(stop)["run_time_ns"].as_u64().context("no run time")
}

/// A life without both events of its connection; fewer than that are told of one of which the kernel hid a change.
fn is_cut(all: &[Value]) -> bool {
    all.iter().filter(|line| is(line, "tcp_connect") || is(line, "tcp_close")).count() < 2
}

/// Waits for all ends, and checks each life, but for as many connections as changes of sockets were hidden from programs.
async fn check_all(
    lines: &Lines,
    expected: &HashMap<String, Life>,
    server: &Pod,
    firings: &Firings,
) -> Result<()> {
    let own = |line: &Value| line["event"]["workload"]["container_id"].as_str().map(str::to_owned);
    eventually(PATIENCE, "all ends", async || {
        let ended = lines.matching(|line| is(line, "container_stop") || is(line, "tcp_close"));
        let ended = ended.iter().filter_map(own).filter(|id| expected.contains_key(id)).count();
        let hidden = firings.unseen()? as usize;
        Ok(if ended + hidden >= 2 * expected.len() { Ok(()) } else { Err((ended, hidden)) })
    })
    .await?;
    let mut seen: HashMap<String, Vec<Value>> = HashMap::new();
    for line in lines.values() {
        if let Some(id) = own(&line).filter(|id| expected.contains_key(id)) {
            seen.entry(id).or_default().push(line);
        }
    }
    let (mut ages, mut cut) = (Vec::new(), 0);
    for (id, life) in expected {
        let all = seen.get(id).with_context(|| format!("nothing of {id}"))?;
        if is_cut(all) {
            cut += 1;
        } else {
            ages.push(check(life, id, all, server)?);
        }
    }
    let hidden = firings.unseen()?;
    ensure!(cut <= hidden, "{cut} lives without their connection, {hidden} changes hidden");
    ages.sort_unstable();
    let half = ages[ages.len() / 2];
    println!("{} containers lived {half} ns, half of them longer", ages.len());
    ensure!(half < SHORT, "they were not short: {ages:?}");
    nothing_lost(lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_short_lives_are_seen_in_full() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let firings = Firings::start(&daemon)?;
    let lines = watch(&daemon, ["-n", "short"]).await?;
    let (server, serving) = server(testbed, "short").await?;
    let server = Arc::new(server);
    let mut running = JoinSet::new();
    let mut pods = Vec::new();
    let began = Instant::now();
    for number in 0..PODS {
        let pod = Arc::new(testbed.pod("short", "brief").label("app", "brief").run().await?);
        pods.push(Arc::clone(&pod));
        running.spawn(lives(pod, Arc::clone(&server), number * PER_POD));
    }
    let mut expected = HashMap::new();
    for lives in running.join_all().await {
        expected.extend(lives?);
    }
    println!("{} containers took {:?}", expected.len(), began.elapsed());
    ensure!(expected.len() == PODS * PER_POD);
    check_all(&lines, &expected, &server, &firings).await?;
    drop(serving);
    for pod in pods.into_iter().chain([server]) {
        Arc::into_inner(pod).context("the pod is still used")?.remove().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_short_lives_at_once_are_seen_in_full() -> Result<()> {
    let testbed = Testbed::shared().await?;
    // Other tests' events are kept as well.
    let daemon = Daemon::on(testbed).args(["--history-bytes", "64MiB"]).start().await?;
    let firings = Firings::start(&daemon)?;
    let lines = watch(&daemon, ["-n", "sudden"]).await?;
    let (server, serving) = server(testbed, "sudden").await?;
    let mut pods = Vec::new();
    for _ in 0..PODS {
        pods.push(testbed.pod("sudden", "burst").label("app", "brief").run().await?);
    }
    let (mut expected, mut containers) = (HashMap::new(), Vec::new());
    for number in 0..AT_ONCE {
        let pod = &pods[number % PODS];
        let (argv, code) = command(&server, number)?;
        let container = pod.container(&format!("burst-{number}"), argv.clone()).create().await?;
        expected.extend([life(pod, &container, code, argv)]);
        containers.push(container);
    }
    let began = Instant::now();
    let starts = containers.iter().cloned().map(|container| async move { container.start().await });
    for started in starts.collect::<JoinSet<_>>().join_all().await {
        started?;
    }
    for container in &containers {
        container.wait().await?;
    }
    println!("{AT_ONCE} containers at once took {:?}", began.elapsed());
    let names: BTreeSet<_> = expected.values().map(|life| &life.container).collect();
    ensure!(names.len() == AT_ONCE);
    check_all(&lines, &expected, &server, &firings).await?;
    // What the runtime says of each end is in the history, however late it came.
    let args = ["events", "--last", "200000", "-n", "sudden", "-t", "container_stop"];
    eventually(PATIENCE, "the runtime's word on each end", async || {
        let stops = client::json(daemon.socket(), args).await?;
        let whole = stops.iter().filter(|line| detail(line)["runtime"]["reason"].is_string()).count();
        Ok(if whole >= AT_ONCE { Ok(()) } else { Err(whole) })
    })
    .await?;
    drop((serving, containers));
    for pod in pods.into_iter().chain([server]) {
        pod.remove().await?;
    }
    Ok(())
}
