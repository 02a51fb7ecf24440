//! Debian's Prometheus scrapes the daemon while pods work: its answers are the figures of the gRPC summaries.

#[path = "prometheus/questions.rs"]
mod questions;
#[path = "prometheus/told.rs"]
mod told;
#[path = "prometheus/written.rs"]
mod written;

use std::fs;

use anyhow::{Context, Result, ensure};
use observer_tests::prometheus::deployed;
use observer_tests::wait::PATIENCE;
use observer_tests::web::{encoded, metrics_address};
use observer_tests::{Container, Daemon, Packets, Pod, Prometheus, Testbed, client, eventually};
use serde_json::Value;

use self::questions::{NAMESPACE, agree, counts, of, questions};
use self::told::{Figures, Told};
use self::written::well_written;

const CONNECTIONS: u64 = 300;
const REFUSED: u64 = 20;

/// The pods, and what they do in vain.
struct Setting {
    client: Pod,
    server: Pod,
    _serve: Container,
    _stalls: Container,
    _held: Container,
}

async fn work(testbed: &Testbed) -> Result<Setting> {
    let server = testbed.pod(NAMESPACE, "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    let stalls = server.container("stalls", ["workload", "listen-only", "--port", "8081", "--backlog", "8"]);
    let stalls = stalls.start_until("listening").await?;
    let client = testbed.pod(NAMESPACE, "client").run().await?;
    let ip = server.ip()?;
    let held = [
        "workload",
        "connect",
        "--to",
        &format!("{ip}:8081"),
        "--count",
        "2",
        "--parallel",
        "2",
        "--hold",
        "600",
    ];
    let held = client.container("held", held).start().await?;
    let loss = server.lose(5, &Packets::data())?;
    let (count, refused) = (CONNECTIONS.to_string(), REFUSED.to_string());
    let argv = [
        "workload",
        "connect",
        "--to",
        &format!("{ip}:8080"),
        "--count",
        &count,
        "--parallel",
        "20",
        "--bytes",
        "4000",
    ];
    client.container("connect", argv).start().await?.wait().await?;
    let argv = ["workload", "connect", "--to", &format!("{ip}:9"), "--count", &refused];
    client.container("refused", argv).start().await?.wait().await?;
    let failing = client.container("fails", ["workload", "exit", "3"]).start().await?;
    ensure!(failing.wait().await?.code == 3);
    loss.stop()?;
    Ok(Setting { client, server, _serve: serve, _stalls: stalls, _held: held })
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_answers_what_the_summaries_tell() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let folder = tempfile::tempdir()?;
    let settings = folder.path().join("observer.toml");
    let labels = "[metrics]\ngone_after = '10s'\n[metrics.label]\n\
                  observer_tcp_reorderings_total = ['namespace', 'pod', 'peer', 'peer_kind', 'port', 'direction']\n";
    fs::write(&settings, labels)?;
    let daemon = Daemon::on(testbed).arg("--config").arg(&settings);
    let daemon = daemon.args(["--http-listen", "127.0.0.1:0"]).start().await?;
    let at = metrics_address(&daemon)?;
    let job = format!("  - job_name: observer\n    static_configs: [{{targets: ['{at}']}}]\n");
    let rules = deployed("prometheus/observer.rules.yml");
    let plain = Prometheus::start(&job, &[&rules], "exemplar-storage").await?;
    let native = Prometheus::start(&job, &[], "native-histograms").await?;
    // It takes some seconds before it scrapes for the first time.
    for prometheus in [&plain, &native] {
        eventually(PATIENCE, "the daemon to be scraped", async || {
            let up = prometheus.value("up").await?;
            Ok(if up == Some(1.0) { Ok(()) } else { Err(up) })
        })
        .await?;
    }
    let told = Told::start(&daemon).await?;
    let setting = work(testbed).await?;

    eventually(PATIENCE, "all to be told", async || {
        let sums = told.of(setting.client.name()).sums;
        let of = |name: &str| sums.get(name).copied().unwrap_or(0);
        // The kernel may hide a few from every program.
        let counts = of("opened") + 5 >= CONNECTIONS + 2 && of("closed") + 5 >= CONNECTIONS;
        let others = of("failed/refused") + 2 >= REFUSED && of("retransmits") > 0 && of("exits/3") == 1;
        Ok(if counts && others { Ok(()) } else { Err(sums) })
    })
    .await?;
    for pod in [&setting.client, &setting.server] {
        let (name, counters) = (pod.name(), questions(pod.name()));
        agree(&plain, &told, name, &[counters.clone(), counts(name, false)].concat()).await?;
        let figures = agree(&native, &told, name, &[counters, counts(name, true)].concat()).await?;
        quantiles(&plain, &native, name, &figures).await?;
    }
    well_written(at, [setting.client.name(), setting.server.name()]).await?;
    labels_of_edges(&plain, &setting).await?;
    gauges(&plain, &setting).await?;
    exemplar(&daemon, &plain, setting.client.name()).await?;
    dashboard(&plain).await?;
    rules_are_healthy(&plain).await?;
    series_end(&plain, setting).await
}

/// Quantiles of classic buckets are within a power of two, those of native ones within a bucket of ours.
async fn quantiles(plain: &Prometheus, native: &Prometheus, pod: &str, figures: &Figures) -> Result<()> {
    let name = "observer_tcp_handshake_duration_seconds";
    for q in [0.5, 0.9, 0.99] {
        let ours = figures.handshakes.quantile(q);
        let selector = format!("{{namespace=\"{NAMESPACE}\",pod=\"{pod}\"}}");
        let query = format!("histogram_quantile({q}, sum by (le) ({name}_bucket{selector}))");
        let classic = plain.value(&query).await?.context("no classic quantile")?;
        ensure!(classic / ours < 2.0 && ours / classic < 2.0, "{q}: {classic} and {ours}");
        let query = format!("histogram_quantile({q}, sum({name}{selector}))");
        let exact = native.value(&query).await?.context("no native quantile")?;
        // Between two values both may take either.
        ensure!((exact / ours).ln().abs() < 0.045, "{q}: {exact} and {ours}");
    }
    let sum = native.value(&format!("histogram_sum({})", of(name, pod, ""))).await?.context("no sum")?;
    ensure!((sum * 1e9 - figures.handshakes.sum_ns as f64).abs() < 1e3, "{sum}");
    Ok(())
}

/// A metric whose labels tell edges apart.
async fn labels_of_edges(plain: &Prometheus, setting: &Setting) -> Result<()> {
    let client = setting.client.name();
    let peer = format!("{NAMESPACE}/{}", setting.server.name());
    let query = format!("observer_tcp_reorderings_total{{pod=\"{client}\",port=\"8080\"}}");
    let result = eventually(PATIENCE, "the series of an edge", async || {
        let result = plain.query(&query).await?;
        Ok(if result.len() == 1 { Ok(result) } else { Err(result) })
    })
    .await?;
    let labels = &result[0]["metric"];
    ensure!(
        labels["peer"] == peer && labels["direction"] == "outgoing" && labels["peer_kind"] == "pod",
        "{labels}"
    );
    ensure!(labels.get("workload").is_none(), "it was not asked for: {labels}");
    Ok(())
}

/// What is so now: connections that nobody accepts, and the queue that they wait in.
async fn gauges(plain: &Prometheus, setting: &Setting) -> Result<()> {
    let server = setting.server.name();
    let questions = [
        (of("observer_tcp_connections", setting.client.name(), ""), 2.0),
        (of("observer_tcp_stalled_connections", server, ",stall=\"unaccepted\""), 2.0),
        (of("observer_tcp_accept_queue_connections", server, ",port=\"8081\""), 2.0),
        (of("observer_tcp_accept_queue_limit", server, ",port=\"8081\""), 8.0),
        ("min(observer_event_loop_answers)".to_owned(), 1.0),
        ("min(up)".to_owned(), 1.0),
        ("sum(observer_lost_total{source!~\"subscriber|netns\"}) or vector(0)".to_owned(), 0.0),
    ];
    for (query, expected) in questions {
        eventually(PATIENCE, &query, async || {
            let value = plain.value(&query).await?;
            Ok(if value == Some(expected) { Ok(()) } else { Err(value) })
        })
        .await?;
    }
    Ok(())
}

/// The container's failure is an incident, which is the exemplar of its stop.
async fn exemplar(daemon: &Daemon, plain: &Prometheus, pod: &str) -> Result<()> {
    let query = format!("observer_container_stops_total{{pod=\"{pod}\"}}");
    let path = format!("/api/v1/query_exemplars?query={}", encoded(&query));
    let id = eventually(PATIENCE, "an exemplar", async || {
        let data = plain.api(&(path.clone() + "&start=0&end=9999999999")).await?;
        let id = data[0]["exemplars"][0]["labels"]["incident_id"].as_str().map(str::to_owned);
        Ok(id.ok_or(data))
    })
    .await?;
    let shown = client::json(daemon.socket(), ["incident", "show", &id]).await?.remove(0);
    let concerns =
        shown["incident"]["workloads"].as_array().into_iter().flatten().any(|one| one["pod"] == pod);
    ensure!(concerns, "{shown}");
    Ok(())
}

/// Every query of every panel has an answer.
async fn dashboard(plain: &Prometheus) -> Result<()> {
    let dashboard: Value = serde_json::from_slice(&fs::read(deployed("grafana/observer.json"))?)?;
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<&str> = targets.filter_map(|target| target["expr"].as_str()).collect();
    ensure!(queries.len() > 40);
    for query in queries {
        let query = query.replace("$namespace", NAMESPACE).replace("$workload", ".*");
        let query = query.replace("$__rate_interval", "5m");
        has_data(plain, &query).await?;
    }
    let variables = dashboard["templating"]["list"].as_array().context("no variables")?;
    for definition in variables.iter().filter_map(|variable| variable["definition"].as_str()) {
        // label_values(what, label)
        let of = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let Some((query, label)) = of.and_then(|of| of.rsplit_once(',')) else { continue };
        let query = query.replace("$namespace", NAMESPACE).replace("$workload", ".*");
        has_data(plain, &format!("count by ({}) ({query})", label.trim())).await?;
    }
    Ok(())
}

async fn has_data(plain: &Prometheus, query: &str) -> Result<()> {
    eventually(PATIENCE, query, async || {
        let result = plain.query(query).await?;
        Ok(if result.is_empty() { Err("no data") } else { Ok(()) })
    })
    .await
}

async fn rules_are_healthy(plain: &Prometheus) -> Result<()> {
    eventually(PATIENCE, "all rules to be evaluated", async || {
        let data = plain.api("/api/v1/rules").await?;
        let groups = data["groups"].as_array().into_iter().flatten();
        let rules: Vec<&Value> =
            groups.flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
        let told: Vec<_> =
            rules.iter().map(|rule| (&rule["name"], &rule["health"], &rule["state"])).collect();
        let well = rules.len() > 10 && rules.iter().all(|rule| rule["health"] == "ok");
        let fires = rules.iter().any(|rule| rule["name"] == "ObserverIncident" && rule["state"] == "firing");
        Ok(if well && fires { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await
}

/// The series of a pod that is gone end; here after ten seconds.
async fn series_end(plain: &Prometheus, setting: Setting) -> Result<()> {
    let Setting { client, server, .. } = setting;
    let query = format!("observer_tcp_connection_successes_total{{pod=\"{}\"}}", client.name());
    is_there(plain, &query).await?;
    let name = server.name().to_owned();
    client.remove().await?;
    eventually(2 * PATIENCE, "the series to end", async || {
        let left = plain.query(&query).await?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await?;
    let of_server = format!("observer_tcp_connection_successes_total{{pod=\"{name}\"}}");
    // Those of one that is there, and does nothing, go on.
    is_there(plain, &of_server).await?;
    server.remove().await
}

/// A scrape that came too late makes a gap of a second or two.
async fn is_there(plain: &Prometheus, query: &str) -> Result<()> {
    eventually(PATIENCE, query, async || {
        let result = plain.query(query).await?;
        Ok(if result.len() == 1 { Ok(()) } else { Err(result) })
    })
    .await
}
