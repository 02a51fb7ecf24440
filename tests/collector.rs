//! The configuration of deploy/collector: the real Collector judges it and runs what its core has, between the daemon with the settings
//! of docs/storage.md and a receiver in the places of Loki, Tempo and Mimir.

#[path = "collector/fits.rs"]
mod fits;
#[path = "collector/settings.rs"]
mod settings;

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};

use anyhow::{Context, Result, ensure};
use observer_tests::authority::Authority;
use observer_tests::collector::Configuration;
use observer_tests::exporting::{configured, each, scratch, status};
use observer_tests::otlp_receiver::{Receiver, attribute, items, number};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, client, eventually, workload};
use serde_json::Value;

const OPEN: u16 = 7631;
const REFUSED: u16 = 7632;
const COUNT: usize = 20;
const STORAGE: &str = include_str!("../docs/storage.md");

/// The daemon's settings in the documentation.
fn documented() -> Result<&'static str> {
    let blocks = STORAGE.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    let mut found = blocks.filter(|block| block.contains("[otlp.storage]"));
    let settings = found.next().context("no settings")?;
    ensure!(found.next().is_none(), "several settings");
    Ok(settings)
}

/// The same with this machine's addresses and files.
fn settings(at: SocketAddr, replaced: &[(&str, &str)]) -> Result<String> {
    let mut text = documented()?.to_owned();
    let at = format!("https://{at}");
    for (told, here) in [("https://collector.monitoring:4317", at.as_str())].iter().chain(replaced) {
        ensure!(text.matches(told).count() == 1, "not once {told} in {text}");
        text = text.replace(told, here);
    }
    // These are the last table's.
    Ok(text + "interval = '1s'\nlabels = ['port', 'direction']\n")
}

/// What clients are told of the ports.
async fn told(daemon: &Daemon) -> Result<Vec<Value>> {
    let [open, refused] = [OPEN, REFUSED].map(|port| port.to_string());
    let args = ["events", "--all", "--port", &open, "--port", &refused];
    Ok(each(&client::json(daemon.socket(), args).await?, "event"))
}

async fn work(daemon: &Daemon) -> Result<Vec<Value>> {
    let pair = NetnsPair::new()?;
    let [left, right] = [pair.left(), pair.right()];
    let serve = workload::in_netns(&right.netns, ["serve", "--port", &OPEN.to_string(), "--echo"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"].as_u64().is_some()).await?;
    for port in [OPEN, REFUSED] {
        let to = format!("{}:{port}", right.ip);
        let argv = ["connect", "--to", &to, "--count", &COUNT.to_string()];
        workload::in_netns(&left.netns, argv)?.wait().await?;
    }
    eventually(PATIENCE, "all events", || async {
        let events = told(daemon).await?;
        Ok(if events.len() >= 5 * COUNT { Ok(events) } else { Err(events.len()) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exported_comes_to_where_logs_traces_and_metrics_are_kept() -> Result<()> {
    let folder = scratch("storage")?;
    let authority = Authority::new(&folder, "authority")?;
    let (server, own) =
        (authority.sign("collector", "ip:127.0.0.1")?, authority.sign("own", "dns:observer.example")?);
    let path = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let files = [&authority.ca, &server.cert, &server.key, &own.cert, &own.key].map(|file| path(file));
    let [ca, cert, key, own_cert, own_key] = files.each_ref().map(String::as_str);
    // It cannot say which port it took, so it is told one that is free.
    let free = TcpListener::bind("127.0.0.1:0")?;
    let at = free.local_addr()?;
    let kept = Receiver::start().await?;
    let (listen, grpc, http) =
        (at.to_string(), format!("127.0.0.1:{}", kept.grpc), format!("127.0.0.1:{}", kept.http));
    let collector = Configuration::of(
        &["receive.yaml", "grafana.yaml"],
        &[
            ("0.0.0.0:4317", &listen),
            ("/etc/collector/tls/ca.crt", ca),
            ("/etc/collector/tls/tls.crt", cert),
            ("/etc/collector/tls/tls.key", key),
            ("loki.storage:3100", &http),
            ("tempo.storage:4317", &grpc),
            ("mimir.storage:8080", &http),
        ],
    )?;
    drop(free);
    let runs = collector.start(at).await?;
    let text = settings(
        at,
        &[
            ("/etc/observer-otlp/ca.crt", ca),
            ("/etc/observer-otlp/tls.crt", own_cert),
            ("/etc/observer-otlp/tls.key", own_key),
        ],
    )?;
    let daemon = configured(&text)?.start().await?;
    let events = work(&daemon).await?;

    // Each event is one record.
    let expected: BTreeSet<u64> = events.iter().map(|event| number(&event["sequence"])).collect();
    let records = eventually(PATIENCE, "all records", || async {
        let mut numbers: Vec<u64> = items(&kept.of("http", "logs"))
            .iter()
            .filter_map(|record| attribute(&record["attributes"], "observer.event.sequence").parse().ok())
            .filter(|number| expected.contains(number))
            .collect();
        numbers.sort_unstable();
        Ok(if numbers.len() >= expected.len() { Ok(numbers) } else { Err((numbers.len(), runs.said())) })
    })
    .await?;
    ensure!(records == expected.into_iter().collect::<Vec<_>>(), "{records:?}");
    eventually(PATIENCE, "all spans", || async {
        let mut spans = items(&kept.of("grpc", "traces"));
        spans.retain(|span| attribute(&span["attributes"], "destination.port") == REFUSED.to_string());
        Ok(if spans.len() == COUNT { Ok(()) } else { Err((spans.len(), runs.said())) })
    })
    .await?;
    eventually(PATIENCE, "all handshakes", || async {
        let metrics = items(&kept.of("http", "metrics"));
        let is_histogram = |metric: &&Value| metric["name"] == "network.tcp.handshake.duration";
        let newest = metrics.iter().rev().find(is_histogram).cloned().unwrap_or_default();
        let points = newest["exponential_histogram"]["data_points"].as_array().cloned().unwrap_or_default();
        let of = |point: &Value, key: &str| attribute(&point["attributes"], key);
        let is_it = |point: &&Value| {
            of(point, "server.port") == OPEN.to_string()
                && of(point, "observer.connection.direction") == "outgoing"
        };
        let count = points.iter().find(is_it).map(|point| number(&point["count"]));
        Ok(if count == Some(COUNT as u64) { Ok(()) } else { Err((count, runs.said())) })
    })
    .await?;

    // Loki and Mimir have OTLP below a path of theirs.
    for signal in ["logs", "metrics"] {
        let path = format!("/otlp/v1/{signal}");
        let requests = kept.of("http", signal);
        ensure!(requests.iter().all(|one| one["headers"]["path"] == path.as_str()), "{signal}");
    }
    let exporters = status(&daemon).await?.exporters;
    let [exporter] = exporters.as_slice() else { anyhow::bail!("{exporters:?}") };
    ensure!(exporter.sent > 0 && exporter.last_error.is_empty(), "{exporter:?}");
    ensure!(exporter.lost.iter().all(|lost| lost.count == 0), "{exporter:?}");
    Ok(())
}
