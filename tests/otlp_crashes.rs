//! A container's crash, its restart and the incident about it are spans that belong together.

use std::fs;

use anyhow::{Context, Result, ensure};
use observer_tests::exporting::scratch;
use observer_tests::otlp_receiver::{Receiver, attribute, items, number};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, client, eventually};
use serde_json::Value;

/// Nanoseconds of a time as JSON has it.
fn nanos(time: &Value) -> Result<u64> {
    observer_tests::story::nanos(time).context("no time")
}

/// The value of a span's attribute, or of its resource.
fn of_span(span: &Value, key: &str) -> String {
    let own = attribute(&span["attributes"], key);
    if own.is_empty() { attribute(&span["resource"], key) } else { own }
}

/// Waits for a span of that name that fits.
async fn span(receiver: &Receiver, name: &str, fits: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(2 * PATIENCE, name, || async {
        let spans = items(&receiver.of("grpc", "traces"));
        let found = spans.iter().find(|span| span["name"] == name && fits(span)).cloned();
        Ok(found.ok_or_else(|| format!("{} spans", spans.len())))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_its_restart_and_its_incident_are_spans_that_belong_together() -> Result<()> {
    let receiver = Receiver::start().await?;
    let path = scratch("settings")?.join("observer.toml");
    let endpoint = format!("http://127.0.0.1:{}", receiver.grpc);
    fs::write(
        &path,
        format!("[otlp.collector]\npreset = 'collector'\nendpoint = '{endpoint}'\nmetrics = false\n"),
    )?;
    let testbed = Testbed::shared().await?;
    let daemon =
        Daemon::on(testbed).arg("--config").arg(&path).args(["--attribution-hold", "2s"]).start().await?;
    let events = observer_tests::events::watch(&daemon, ["-n", "otlpcrash"]).await?;
    let pod = testbed.pod("otlpcrash", "app").run().await?;
    let first = pod.container("app", ["workload", "exit", "3"]).start().await?;
    first.wait().await?;
    let _second = pod.container("app", ["workload", "pause"]).attempt(1).start().await?;

    let of_pod = |span: &Value| of_span(span, "k8s.pod.name") == pod.name();
    let run = span(&receiver, "container run", of_pod).await?;
    let restart = span(&receiver, "container restart", of_pod).await?;
    let event = |kind: &'static str, count: usize| {
        let events = &events;
        async move {
            let is_it = move |line: &Value| {
                line["event"]["type"] == kind && line["event"]["workload"]["container"] == "app"
            };
            let all = events.wait_count(kind, PATIENCE, count, is_it).await?;
            Ok::<Value, anyhow::Error>(all[count - 1]["event"].clone())
        }
    };
    let (stop, start) = (event("container_stop", 1).await?, event("container_start", 2).await?);
    ensure!(number(&run["end_time_unix_nano"]) == nanos(&stop["time"])?, "{run} and {stop}");
    let lived = number(&run["end_time_unix_nano"]) - number(&run["start_time_unix_nano"]);
    ensure!(lived == number(&stop["container_stop"]["run_time_ns"]), "{run} and {stop}");
    ensure!(run["status"]["code"] == "STATUS_CODE_ERROR" && run["kind"] == "SPAN_KIND_INTERNAL", "{run}");
    let expected = [
        ("process.exit.code", "3"),
        ("error.type", "error"),
        ("k8s.namespace.name", "otlpcrash"),
        ("k8s.container.name", "app"),
    ];
    for (key, value) in expected {
        ensure!(of_span(&run, key) == value, "{key}: {run}");
    }
    ensure!(!of_span(&run, "container.id").is_empty(), "{run}");
    ensure!(number(&restart["start_time_unix_nano"]) == number(&run["end_time_unix_nano"]), "{restart}");
    ensure!(number(&restart["end_time_unix_nano"]) == nanos(&start["time"])?, "{restart} and {start}");
    ensure!(
        restart["parent_span_id"] == run["span_id"] && restart["trace_id"] == run["trace_id"],
        "{restart}"
    );
    ensure!(restart["links"][0]["span_id"] == run["span_id"], "{restart}");

    let listed = eventually(PATIENCE, "the incident", || async {
        let all = client::json(daemon.socket(), ["incident", "list"]).await?;
        let is_its = |line: &&Value| line.to_string().contains(pod.name());
        Ok(all.iter().find(is_its).cloned().ok_or(all.len()))
    })
    .await?;
    let incident = listed.get("incident").unwrap_or(&listed);
    let id = incident["id"].as_str().context("no id")?;
    let closing = client::run(daemon.socket(), ["incident", "close", id]).await?;
    ensure!(closing.status.success(), "{closing:?}");
    let told = span(&receiver, "incident", |span| of_span(span, "observer.incident.id") == id).await?;
    let has = |key: &str, of: &Value| {
        told[key].as_array().is_some_and(|all| all.iter().any(|one| one["span_id"] == of["span_id"]))
    };
    ensure!(number(&told["start_time_unix_nano"]) == nanos(&incident["open_time"])?, "{told} and {incident}");
    ensure!(
        has("links", &run) && has("links", &restart) && told["events"][0]["name"] == "container_failure",
        "{told}"
    );
    let record = eventually(PATIENCE, "the incident's records", || async {
        let mut records = items(&receiver.of("grpc", "logs"));
        records.retain(|record| attribute(&record["attributes"], "observer.incident.id") == id);
        Ok(if records.len() == 2 { Ok(records) } else { Err(records.len()) })
    })
    .await?;
    for (record, name) in record.iter().zip(["observer.incident.opened", "observer.incident.closed"]) {
        ensure!(record["event_name"] == name && record["span_id"] == told["span_id"], "{record} and {told}");
    }
    pod.remove().await
}
