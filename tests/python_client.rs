//! Proves the API with a client of another language that knows nothing but what the server's reflection tells it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::Filter;
use observer_tests::client::{self, json};
use observer_tests::events::{is, is_of, nothing_lost, watch};
use observer_tests::python::{API, call};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, NetnsPair, Testbed, Watch, workload};
use serde_json::{Value, json};

async fn answer(daemon: &Daemon, service: &str, method: &str, request: Value) -> Result<Value> {
    let mut answers = call(daemon, service, method, &request)?.output().await?;
    ensure!(answers.len() == 1, "{answers:?}");
    Ok(answers.remove(0))
}

/// In JSON a 64-bit number may be text: here all numbers are.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(items) => items.iter().map(plain).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

fn events(lines: &Lines) -> Vec<Value> {
    lines.matching(|line| line.get("event").is_some()).iter().map(|line| plain(&line["event"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn python_reads_the_same_stream() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let ours = watch(&daemon, ["-n", "snakes"]).await?;
    let request = json!({"follow": true, "allow": [{"namespaces": ["snakes"]}]});
    let theirs = call(&daemon, API, "WatchEvents", &request)?;
    let connected = |line: &Value| line["node_status"]["state"] == "NODE_STATE_CONNECTED";
    theirs.wait_for("the stream's start", PATIENCE, connected).await?;

    let server = testbed.pod("snakes", "server").label("app", "server").run().await?;
    let argv = ["workload", "serve", "--port", "8080"];
    server.container("serve", argv).start_until("listening").await?;
    let client = testbed.pod("snakes", "client").run().await?;
    let to = format!("{}:8080", server.ip()?);
    client
        .container("connect", ["workload", "connect", "--to", &to, "--count", "3"])
        .start()
        .await?
        .output()
        .await?;
    client.container("fail", ["workload", "exit", "3"]).start().await?.wait().await?;
    // Both ends of the last connections are closed, and the last container has stopped.
    for lines in [&ours, &theirs] {
        lines
            .wait_for("the end", PATIENCE, |line| is_of(line, "container_stop", client.name(), "fail"))
            .await?;
        lines.wait_count("closes", PATIENCE, 6, |line| is(line, "tcp_close")).await?;
    }
    let last = events(&ours).last().map(|event| event["sequence"].clone()).context("no event")?;
    let all_of = |events: Vec<Value>| -> Vec<Value> {
        let end = events.iter().position(|event| event["sequence"] == last).map_or(0, |at| at + 1);
        events.into_iter().take(end).collect()
    };
    theirs.wait_for("the last event", PATIENCE, |line| plain(&line["event"]["sequence"]) == last).await?;
    let (ours_seen, theirs_seen) = (all_of(events(&ours)), all_of(events(&theirs)));
    ensure!(ours_seen.len() >= 20, "{}", ours.account());
    for (our, their) in ours_seen.iter().zip(&theirs_seen) {
        ensure!(our == their, "ours {our}\ntheirs {their}");
    }
    ensure!(ours_seen.len() == theirs_seen.len(), "{} and {}", ours_seen.len(), theirs_seen.len());
    nothing_lost(&ours)?;
    nothing_lost(&theirs)?;

    // A narrower filter on the server's side, over what is in memory.
    let pods = format!("/{}", client.name());
    let filter = json!({"pods": [pods], "types": ["container_stop", "process_exec"]});
    let deny = json!({"containers": ["connect"]});
    let request = json!({"last": 1000, "allow": [filter], "deny": [deny]});
    let theirs = call(&daemon, API, "WatchEvents", &request)?;
    let mut theirs = theirs;
    ensure!(theirs.wait().await?.success(), "{}", theirs.account());
    let args = ["events", "--last", "1000", "--pod", &pods, "-t", "container_stop,process_exec", "--not"];
    let ours = json(daemon.socket(), args.into_iter().chain(["--container", "connect"])).await?;
    let ours: Vec<Value> =
        ours.iter().filter(|line| line.get("event").is_some()).map(|line| plain(&line["event"])).collect();
    ensure!(ours.len() >= 2 && ours == events(&theirs), "{ours:#?} {}", theirs.account());
    server.remove().await?;
    client.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn python_asks_for_the_rest() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let pod = testbed.pod("questions", "asked").label("app", "asked").run().await?;
    let container = pod.container("sleeper", ["sleep", "1000"]).start().await?;

    let services = answer(&daemon, "list", "services", json!({})).await?;
    let services: Vec<&str> =
        services["services"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(services.contains(&API) && services.contains(&"grpc.health.v1.Health"), "{services:?}");

    for service in ["", API] {
        let health = answer(&daemon, "grpc.health.v1.Health", "Check", json!({"service": service})).await?;
        ensure!(health["status"] == "SERVING", "{service:?}: {health}");
    }

    let status = answer(&daemon, API, "GetStatus", json!({})).await?["status"].take();
    let capabilities = status["capabilities"].as_array().context("no capabilities")?;
    ensure!(!capabilities.iter().any(client::is_missing) && capabilities.len() >= 8, "{status}");
    ensure!(status["rings"].as_array().is_some_and(|rings| rings.len() == 2), "{status}");

    let watch = watch(&daemon, ["-n", "questions", "--last", "100"]).await?;
    watch
        .wait_for("its start", PATIENCE, |line| is_of(line, "container_start", pod.name(), "sleeper"))
        .await?;
    let request = json!({"allow": [{"namespaces": ["questions"]}]});
    let listed = answer(&daemon, API, "ListWorkloads", request).await?;
    let listed = listed["workloads"].as_array().context("no workloads")?;
    let sleeper =
        listed.iter().find(|one| one["workload"]["container"] == "sleeper").context("not listed")?;
    ensure!(sleeper["workload"]["container_id"] == container.id(), "{sleeper}");
    ensure!(sleeper["workload"]["pod"] == pod.name(), "{sleeper}");
    ensure!(sleeper["workload"]["labels"]["app"] == "asked", "{sleeper}");

    let request = json!({"allow": [{"namespaces": ["questions"]}], "field_mask": "workload.container,state"});
    let masked = answer(&daemon, API, "ListWorkloads", request).await?;
    let only = json!({"workload": {"container": "sleeper"}, "state": "CONTAINER_STATE_RUNNING"});
    ensure!(masked["workloads"].as_array().is_some_and(|all| all.contains(&only)), "{masked}");

    for (request, words) in
        [(json!({"allow": [{"ports": [70_000]}]}), "70000"), (json!({"field_mask": "nonsense"}), "nonsense")]
    {
        let mut refused = call(&daemon, API, "WatchEvents", &request)?;
        ensure!(refused.wait().await?.code() == Some(1), "{}", refused.account());
        let error = refused.values().pop().context("no error")?;
        ensure!(error["code"] == "INVALID_ARGUMENT", "{error}");
        ensure!(error["message"].as_str().is_some_and(|told| told.contains(words)), "{error}");
    }
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn python_follows_changes() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("changes", "server").run().await?;
    let argv = ["workload", "serve", "--port", "8080"];
    server.container("serve", argv).start_until("listening").await?;
    let client = testbed.pod("changes", "client").run().await?;
    let to = format!("{}:8080", server.ip()?);
    client.container("hold", ["workload", "connect", "--to", &to, "--hold", "1000"]).start().await?;

    let fields = "workload.container,edge.port,tcp.opened,tcp.live,processes.execs";
    let allow = json!([{"namespaces": ["changes"]}]);
    let request =
        json!({"follow": true, "changes": true, "window": "1s", "allow": allow, "field_mask": fields});
    let lines = call(&daemon, API, "WatchSummaries", &request)?;
    let is_end = |line: &Value| line.get("window_end").is_some();
    // What is connected and does nothing is told once.
    let idle = |line: &Value| {
        let end = &line["window_end"];
        end.get("total").is_some() && end.get("summaries").is_none()
    };
    lines.wait_for("a window without changes", PATIENCE, idle).await?;
    client.container("more", ["workload", "exit", "0"]).start().await?.wait().await?;
    let gone = |line: &Value| line["window_end"].get("ended").is_some();
    lines.wait_for("what ends", PATIENCE, gone).await?;
    lines.wait_count("some windows", PATIENCE, 5, is_end).await?;
    let kept = rebuilt(&lines.values())?;
    let kept: Vec<&str> = kept.values().filter_map(|one| one["workload"]["container"].as_str()).collect();
    ensure!(kept.contains(&"serve") && kept.contains(&"hold"), "{kept:?} {}", lines.account());
    server.remove().await?;
    client.remove().await
}

/// The summaries of the last window that has ended, by their keys, as a client of changes has them.
fn rebuilt(lines: &[Value]) -> Result<BTreeMap<String, Value>> {
    let (mut kept, mut ends, mut last) = (BTreeMap::new(), 0, BTreeMap::new());
    for line in lines {
        if let Some(summary) = line.get("summary") {
            let key = summary["key"].as_str().context("no key")?;
            kept.insert(key.to_owned(), summary.clone());
        }
        let Some(end) = line.get("window_end") else { continue };
        ensure!(end.get("snapshot").is_some() == (ends == 0), "{end}");
        for key in end["ended"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            ensure!(kept.remove(key).is_some(), "{key} was not there: {end}");
        }
        let total: usize = end["total"].as_str().unwrap_or("0").parse()?;
        ensure!(kept.len() == total, "{kept:?} {end}");
        (ends, last) = (ends + 1, kept.clone());
    }
    Ok(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn python_goes_on_where_it_was_cut_off() -> Result<()> {
    const COUNT: u64 = 100;
    const PORT: u16 = 7331;
    let pair = NetnsPair::new()?;
    let daemon = Daemon::bare().args(["--history-bytes", "64MiB"]).start().await?;
    let allow = vec![Filter { ports: vec![PORT.into()], ..Filter::default() }];
    let watch = Watch::filtered(&daemon, allow, Vec::new()).await?;
    let request = json!({"follow": true, "allow": [{"ports": [PORT]}]});
    let first = call(&daemon, API, "WatchEvents", &request)?;
    let greeted = |line: &Value| line.get("node_status").is_some();
    let greeting = first.wait_for("the stream's start", PATIENCE, greeted).await?;
    let start_time = greeting["node_status"]["start_time"].clone();
    workload::connections(&pair.left().netns, PORT, COUNT).await?;
    let is_event = |line: &Value| line.get("event").is_some();
    first.wait_count("some of them", PATIENCE, 50, is_event).await?;
    // Cut off wherever that is.
    let mut numbers = numbers(&first);
    drop(first);
    workload::connections(&pair.left().netns, PORT, COUNT).await?;
    watch.wait_count("all", 8 * COUNT as usize, |_| true).await?;
    watch.settle(|_| true).await?;
    let sequence = numbers.last().context("nothing")?;
    let resume = json!({"sequence": sequence, "start_time": start_time});
    let mut rest = call(&daemon, API, "WatchEvents", &json!({"resume": resume, "allow": request["allow"]}))?;
    ensure!(rest.wait().await?.success(), "{}", rest.account());
    let history = rest.matching(|line| line.get("history").is_some());
    ensure!(history.len() == 1 && history[0]["history"].get("missing").is_none(), "{history:?}");
    numbers.extend(self::numbers(&rest));
    let expected: Vec<u64> = watch.sequences(|_| true).into_iter().collect();
    ensure!(numbers == expected, "{} of {}", numbers.len(), expected.len());
    Ok(())
}

/// The numbers of the events, in the order in which they came.
fn numbers(lines: &Lines) -> Vec<u64> {
    let number = |event: Value| event["sequence"].as_str().and_then(|number| number.parse().ok());
    events(lines).into_iter().filter_map(number).collect()
}
