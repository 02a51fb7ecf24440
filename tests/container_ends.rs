//! Proves that every kind of end of a container is told apart, by whom it was ended, and as the runtime tells it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::ends::{agrees, stopped};
use observer_tests::events::{detail, is, is_of, nothing_lost, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, client};
use rustix::process::Signal;
use serde_json::{Value, json};

/// What a container under test may use.
const LIMIT: i64 = 32 << 20;
const NS: u64 = 1_000_000_000;
/// A busy runtime may take long to say its word.
const PATIENT: [&str; 2] = ["--attribution-hold", "10s"];

/// What is told of an end, less its times and processes.
fn story(stop: &Value) -> Value {
    let of = detail(stop);
    let signal = |sent: &Value| json!([sent["signal_name"], sent["origin"], sent["ignored"] == true]);
    json!({
        "kind": of["kind"], "code": of["code"], "signal": of["signal_name"],
        "sources": of["sources"], "disagree": of["sources_disagree"] == true,
        "killed_by": signal(&of["killed_by"]), "asked_by": signal(&of["asked_by"]),
    })
}

/// As both sources tell an end in which nobody had a hand.
fn by_itself(kind: &str, code: u64) -> Value {
    let nobody = json!([null, null, false]);
    let code = if kind == "END_KIND_COMPLETED" { json!(0) } else { json!(code) };
    json!({
        "kind": kind, "code": code, "signal": null, "sources": ["END_SOURCE_KERNEL", "END_SOURCE_CRI"],
        "disagree": false, "killed_by": nobody, "asked_by": nobody,
    })
}

fn signalled(kind: &str, signal: &str, killed_by: Value, asked_by: Value) -> Value {
    let mut story = by_itself(kind, 0);
    story["code"] = Value::Null;
    story["signal"] = json!(signal);
    (story["killed_by"], story["asked_by"]) = (killed_by, asked_by);
    story
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_told_apart_and_by_whom() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(PATIENT).start().await?;
    let lines = watch(&daemon, ["-n", "kinds"]).await?;
    let pod = testbed.pod("kinds", "own").run().await?;
    // Where processes are shared no container's process is the first of its namespace, which ignores signals.
    let shared = testbed.pod("kinds", "shared").share_processes().run().await?;
    let obeying = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let (outside, inside) = ("SIGNAL_ORIGIN_OUTSIDE", "SIGNAL_ORIGIN_CONTAINER");
    let nobody = json!([null, null, false]);
    let kill_parent = "sh -c 'kill -KILL $PPID'; sleep 1000";
    let cases: [(&Pod, &str, Vec<&str>, Value); 8] = [
        (&pod, "completed", vec!["workload", "exit", "0"], by_itself("END_KIND_COMPLETED", 0)),
        (&pod, "error", vec!["workload", "exit", "7"], by_itself("END_KIND_ERROR", 7)),
        (&pod, "like-a-signal", vec!["workload", "exit", "137"], by_itself("END_KIND_ERROR", 137)),
        (
            &pod,
            "killed",
            vec!["sleep", "1000"],
            signalled("END_KIND_SIGNALLED", "SIGKILL", json!(["SIGKILL", outside, false]), nobody.clone()),
        ),
        (
            &pod,
            "stubborn",
            vec!["sleep", "1000"],
            signalled(
                "END_KIND_KILLED_AFTER_GRACE",
                "SIGKILL",
                json!(["SIGKILL", outside, false]),
                json!(["SIGTERM", outside, true]),
            ),
        ),
        (
            &pod,
            "core",
            vec!["sh", "-c", "ulimit -c unlimited; exec workload segfault"],
            signalled("END_KIND_CORE_DUMPED", "SIGSEGV", nobody.clone(), nobody.clone()),
        ),
        (&pod, "obedient", vec!["sh", "-c", obeying], {
            let mut story = by_itself("END_KIND_COMPLETED", 0);
            story["asked_by"] = json!(["SIGTERM", outside, false]);
            story
        }),
        (
            &shared,
            "by-its-own",
            vec!["sh", "-c", kill_parent],
            signalled("END_KIND_SIGNALLED", "SIGKILL", json!(["SIGKILL", inside, false]), nobody.clone()),
        ),
    ];
    for (pod, name, argv, expected) in cases {
        let container = pod.container(name, argv).start().await?;
        match name {
            "killed" => container.kill(Signal::KILL).await?,
            "stubborn" => container.stop(Duration::from_secs(1)).await?,
            "obedient" => {
                // It obeys once its trap is set.
                lines
                    .wait_count("its sleeps", PATIENCE, 2, |line| {
                        is_of(line, "process_exit", pod.name(), name)
                    })
                    .await?;
                container.stop(Duration::from_secs(20)).await?;
            }
            _ => {}
        }
        let exit = container.wait().await?;
        let stop = stopped(&lines, pod, name).await?;
        agrees(&stop, &exit)?;
        let mut told = story(&stop);
        if told["code"].is_null() && told["kind"] == "END_KIND_COMPLETED" {
            told["code"] = json!(0);
        }
        ensure!(told == expected, "{name}: {told}, not {expected}\n{stop}");
        let of = detail(&stop);
        match name {
            "killed" => {
                ensure!(of["killed_by"]["sender"]["pid"] == std::process::id(), "{stop}");
            }
            "stubborn" => {
                let waited = of["asked_by"]["before_end_ns"].as_u64().context("no grace")?;
                ensure!((NS * 9 / 10..20 * NS).contains(&waited), "{stop}");
            }
            "core" => ensure!(of["core_dumped"] == true, "{stop}"),
            _ => {}
        }
    }
    nothing_lost(&lines)?;
    // What was told is kept the same.
    let kept = client::json(daemon.socket(), ["events", "--last", "1000", "-t", "container_stop"]).await?;
    for line in lines.matching(|line| is(line, "container_stop")) {
        let same = |kept: &&Value| kept["event"]["sequence"] == line["event"]["sequence"];
        ensure!(kept.iter().find(same).is_some_and(|kept| kept["event"] == line["event"]), "{line}");
    }
    shared.remove().await?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_cannot_be_executed_is_a_start_error() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(PATIENT).start().await?;
    let lines = watch(&daemon, ["-n", "unstarted"]).await?;
    let pod = testbed.pod("unstarted", "unstarted").run().await?;
    let container = pod.container("nowhere", ["/does/not/exist"]).create().await?;
    ensure!(container.start().await.is_err(), "it started");
    let exit = container.wait().await?;
    ensure!((exit.reason.as_str(), exit.code) == ("StartError", 128), "{exit:?}");
    let stop = stopped(&lines, &pod, "nowhere").await?;
    agrees(&stop, &exit)?;
    let of = detail(&stop);
    ensure!(of["kind"] == "END_KIND_START_ERROR" && of["sources"] == json!(["END_SOURCE_CRI"]), "{stop}");
    ensure!(of["runtime"]["message"].as_str().is_some_and(|said| said.contains("/does/not/exist")), "{stop}");
    // One that was made and never started is none.
    let unused = pod.container("unused", ["true"]).create().await?;
    unused.remove().await?;
    let text = client::run(daemon.socket(), ["events", "--last", "1000", "-t", "container_stop"]).await?;
    let text = String::from_utf8(text.stdout)?;
    let line = text.lines().find(|line| line.contains("nowhere")).context("no line")?;
    ensure!(line.contains("start error: code 128") && line.contains("/does/not/exist"), "{line}");
    let others = |line: &Value| is(line, "container_start") && line["event"]["workload"]["container"] != "";
    let named = lines.matching(|line| others(line) && line["event"]["workload"]["sandbox"] != true);
    ensure!(named.is_empty(), "{named:#?}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_killed_for_memory_lets_the_container_go_on() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(PATIENT).start().await?;
    let lines = watch(&daemon, ["-n", "children"]).await?;
    let pod = testbed.pod("children", "parent").run().await?;
    // The runtime hears of OOM kills only a moment after it has started the container.
    let script = "sleep 1; workload eat-memory 512; sleep 5; exit 5";
    let container = pod.container("parent", ["sh", "-c", script]).memory_limit(LIMIT).start().await?;
    let is_kill = |line: &Value| is_of(line, "oom_kill", pod.name(), "parent");
    lines.wait_for("the child's end", PATIENCE, is_kill).await?;
    let is_stop = |line: &Value| is_of(line, "container_stop", pod.name(), "parent");
    ensure!(lines.matching(is_stop).is_empty(), "the child was taken for the container");
    let exit = container.wait().await?;
    ensure!((exit.reason.as_str(), exit.code) == ("OOMKilled", 5), "the runtime takes it so: {exit:?}");
    let stop = stopped(&lines, &pod, "parent").await?;
    agrees(&stop, &exit)?;
    let of = detail(&stop);
    ensure!(of["kind"] == "END_KIND_ERROR" && of["code"] == 5 && of["oom_killed_children"] == 1, "{stop}");
    ensure!(of["sources_disagree"] == true && of.get("oom_killed").is_none(), "{stop}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sidecars_death_is_not_the_pods_and_the_sandboxs_is() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(PATIENT).start().await?;
    let lines = watch(&daemon, ["-n", "company"]).await?;
    let pod = testbed.pod("company", "two").run().await?;
    let main = pod.container("main", ["sleep", "1000"]).start().await?;
    let sidecar = pod.container("sidecar", ["sleep", "1000"]).start().await?;
    let starts = |line: &Value| is(line, "container_start") && line["event"]["workload"]["pod"] == pod.name();
    lines.wait_count("the starts", PATIENCE, 3, starts).await?;
    sidecar.kill(Signal::TERM).await?;
    sidecar.kill(Signal::KILL).await?;
    let stop = stopped(&lines, &pod, "sidecar").await?;
    let told = |stop: &Value| (detail(stop)["pod_ended"] == true, detail(stop)["others_running"].as_u64());
    ensure!(told(&stop) == (false, Some(1)), "{stop}");
    let name = pod.name().to_owned();
    let listed = client::json(daemon.socket(), ["workloads", "-n", "company"]).await?;
    for (name, state) in [("main", "CONTAINER_STATE_RUNNING"), ("sidecar", "CONTAINER_STATE_ENDED")] {
        let found: Vec<_> = listed.iter().filter(|line| line["workload"]["container"] == name).collect();
        ensure!(found.len() == 1 && found[0]["state"] == state, "{name}: {listed:#?}");
    }
    main.stop(Duration::ZERO).await?;
    let stop = stopped(&lines, &pod, "main").await?;
    ensure!(!told(&stop).0 && told(&stop).1.unwrap_or(0) == 0, "{stop}");
    pod.remove().await?;
    let of_sandbox = |line: &Value| {
        let workload = &line["event"]["workload"];
        is(line, "container_stop") && workload["pod"] == name.as_str() && workload["sandbox"] == true
    };
    let stop = lines.wait_for("the pod's end", PATIENCE, of_sandbox).await?;
    observer_tests::eventually(PATIENCE, "nothing of the pod to be listed", async || {
        let listed = client::json(daemon.socket(), ["workloads", "-n", "company"]).await?;
        Ok(if listed.is_empty() { Ok(()) } else { Err(listed) })
    })
    .await?;
    ensure!(told(&stop).0 && lines.matching(of_sandbox).len() == 1, "{stop}");
    nothing_lost(&lines)
}
