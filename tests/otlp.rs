//! A receiver that shares no code with the observer gets metrics, logs and traces that say what clients are told.

#[path = "otlp/handshakes.rs"]
mod handshakes;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::authority::Authority;
use observer_tests::delay::SlowLink;
use observer_tests::exporting::{configured, each, scratch, status};
use observer_tests::otlp_receiver::{Receiver, attribute, items, number, of};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, client, eventually, workload};
use serde_json::Value;

/// Where connections are slow, and where nobody listens.
const SLOW: u16 = 7601;
const REFUSED: u16 = 7602;
const COUNT: usize = 20;
/// Longer than the daemon holds an event back: resets are as many as there are.
const QUIET: Duration = Duration::from_millis(1500);
/// What no one may see.
const TOKEN: &str = "hunter2-the-token";
const OTHER_TOKEN: &str = "hunter2-the-other-token";

/// What clients are told of the ports.
async fn told(daemon: &Daemon) -> Result<Vec<Value>> {
    let [slow, refused] = [SLOW, REFUSED].map(|port| port.to_string());
    let args = ["events", "--all", "--port", &slow, "--port", &refused];
    let mut events = each(&client::json(daemon.socket(), args).await?, "event");
    // A link that a busy process carries may be late: what is sent again for that is no part of what is compared.
    events.retain(|event| event["type"] != "tcp_retransmit");
    Ok(events)
}

/// Nanoseconds of a time as JSON has it.
fn nanos(time: &Value) -> Result<u64> {
    observer_tests::story::nanos(time).context("no time")
}

/// Waits until an exporter has sent the spans of all connections.
async fn spans(receiver: &Receiver, protocol: &str) -> Result<Vec<Value>> {
    let expected = 3 * COUNT;
    eventually(PATIENCE, "all spans", || async {
        let mut spans = items(&receiver.of(protocol, "traces"));
        spans.retain(|span| {
            let port = attribute(&span["attributes"], "destination.port");
            [SLOW, REFUSED].iter().any(|wanted| port == wanted.to_string())
        });
        Ok(if spans.len() == expected { Ok(spans) } else { Err((spans.len(), receiver.account())) })
    })
    .await
}

/// Client and server are linked, and times are those of the events.
fn check_spans(spans: &[Value], events: &[Value]) -> Result<()> {
    let kind = |kind: &str| spans.iter().filter(|span| span["kind"] == kind).collect::<Vec<_>>();
    let (clients, servers) = (kind("SPAN_KIND_CLIENT"), kind("SPAN_KIND_SERVER"));
    ensure!(clients.len() == 2 * COUNT && servers.len() == COUNT, "{} and {}", clients.len(), servers.len());
    for server in &servers {
        let parent = clients.iter().find(|client| client["span_id"] == server["parent_span_id"]);
        let parent = parent.with_context(|| format!("no parent of {server}"))?;
        ensure!(parent["trace_id"] == server["trace_id"], "{parent} and {server}");
        let port = |of: &Value| attribute(&of["attributes"], "source.port");
        ensure!(port(parent) == port(server) && server["status"]["code"].is_null(), "{parent} and {server}");
    }
    let traces: BTreeSet<_> = clients.iter().map(|span| span["trace_id"].to_string()).collect();
    ensure!(traces.len() == 2 * COUNT, "{} traces", traces.len());
    for client in &clients {
        let port: u64 = attribute(&client["attributes"], "source.port").parse()?;
        let of = |kind: &str| {
            let fits = |event: &&&Value| {
                event["type"] == kind
                    && event[kind]["tcp"]["source"]["port"] == port
                    && event[kind]["tcp"]["outgoing"] == true
            };
            let found = events.iter().collect::<Vec<_>>();
            found.iter().find(fits).map(|event| (*event).clone())
        };
        let (start, end) = (number(&client["start_time_unix_nano"]), number(&client["end_time_unix_nano"]));
        if attribute(&client["attributes"], "destination.port") == REFUSED.to_string() {
            let failure = of("tcp_connect_failure").context("no failure")?;
            ensure!(end == nanos(&failure["time"])?, "{client} and {failure}");
            ensure!(
                end - start == number(&failure["tcp_connect_failure"]["duration_ns"]),
                "{client} and {failure}"
            );
            ensure!(client["status"]["code"] == "STATUS_CODE_ERROR", "{client}");
            ensure!(attribute(&client["attributes"], "error.type") == "refused", "{client}");
            continue;
        }
        let (opened, closed) = (of("tcp_connect").context("no start")?, of("tcp_close").context("no end")?);
        ensure!(end == nanos(&closed["time"])?, "{client} and {closed}");
        ensure!(end - start == number(&closed["tcp_close"]["duration_ns"]), "{client} and {closed}");
        let established = &client["events"][0];
        ensure!(established["name"] == "established", "{client}");
        ensure!(number(&established["time_unix_nano"]) == nanos(&opened["time"])?, "{client} and {opened}");
        ensure!(client["status"]["code"].is_null(), "{client}");
    }
    Ok(())
}

/// Each event is a record, and those of spans name them.
async fn check_logs(receiver: &Receiver, protocol: &str, events: &[Value], spans: &[Value]) -> Result<()> {
    let expected: BTreeSet<u64> = events.iter().map(|event| number(&event["sequence"])).collect();
    let sequence =
        |record: &Value| attribute(&record["attributes"], "observer.event.sequence").parse::<u64>();
    let records = eventually(PATIENCE, "all records", || async {
        let mut records = items(&receiver.of(protocol, "logs"));
        records
            .retain(|record| sequence(record).is_ok() && record["event_name"] != "observer.tcp_retransmit");
        let seen: BTreeSet<u64> = records.iter().filter_map(|record| sequence(record).ok()).collect();
        Ok(if seen == expected { Ok(records) } else { Err((seen.len(), expected.len())) })
    })
    .await?;
    ensure!(records.len() == expected.len(), "{} records of {} events", records.len(), expected.len());
    for record in &records {
        let number_of = sequence(record)?;
        let event =
            events.iter().find(|event| number(&event["sequence"]) == number_of).context("no event")?;
        ensure!(number(&record["time_unix_nano"]) == nanos(&event["time"])?, "{record} and {event}");
        let name = format!("observer.{}", event["type"].as_str().unwrap_or_default());
        ensure!(record["event_name"] == name.as_str(), "{record}");
        ensure!(
            record["body"]["string_value"]
                .as_str()
                .is_some_and(|body| body.contains("->") || body.contains("<-")),
            "{record}"
        );
        ensure!(!attribute(&record["resource"], "service.name").is_empty(), "{record}");
        let failed = event["type"] == "tcp_connect_failure";
        let is_error = failed || event["type"] == "tcp_reset";
        ensure!(record["severity_text"] == if is_error { "ERROR" } else { "INFO" }, "{record}");
        if failed || event["type"] == "tcp_close" {
            let span = spans.iter().find(|span| span["span_id"] == record["span_id"]);
            ensure!(span.is_some_and(|span| span["trace_id"] == record["trace_id"]), "{record}");
        }
    }
    Ok(())
}

fn settings(plain: &Receiver, secured: &Receiver, ca: &str, tls: &str, token: &str) -> String {
    let common = "interval = '1s'\nslow_connect = '60ms'\nlabels = ['port', 'direction']\n\
                  allow = { port = [7601, 7602] }\n";
    format!(
        "[otlp.grpc]\npreset = 'collector'\nendpoint = 'http://127.0.0.1:{}'\nheaders = {{ x-tenant = 'seen' }}\n{common}\
         [otlp.http]\npreset = 'collector'\nprotocol = 'http/protobuf'\nendpoint = 'http://127.0.0.1:{}/base'\n\
         compression = 'none'\n{common}\
         [otlp.secured]\nendpoint = 'https://127.0.0.1:{}'\n{tls}\ntls_ca = '{ca}'\n\
         header_files = {{ api-key = '{token}' }}\n{common}\
         [otlp.web]\npreset = 'lightstep'\nlogs = true\nprotocol = 'http/protobuf'\nendpoint = 'https://127.0.0.1:{}'\n{tls}\n\
         tls_ca = '{ca}'\nheader_env = {{ lightstep-access-token = 'OTLP_TEST_TOKEN' }}\n{common}\
         [otlp.nobody]\nendpoint = 'https://127.0.0.1:{}'\ntls_ca = '{ca}'\ntls_server_name = 'receiver.example'\n\
         header_files = {{ api-key = '{token}' }}\ntraces = false\n{common}",
        plain.grpc, plain.http, secured.grpc, secured.http, secured.grpc,
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_logs_and_traces_arrive_by_grpc_and_http() -> Result<()> {
    let folder = scratch("otlp")?;
    let authority = Authority::new(&folder, "authority")?;
    let (server, own) =
        (authority.sign("server", "dns:receiver.example")?, authority.sign("own", "dns:observer.example")?);
    let (plain, secured) = (Receiver::start().await?, Receiver::secured(&authority.ca, &server).await?);
    let token = folder.join("token");
    fs::write(&token, format!("{TOKEN}\n"))?;
    let tls = format!(
        "tls_server_name = 'receiver.example'\ntls_cert = '{}'\ntls_key = '{}'",
        own.cert.display(),
        own.key.display()
    );
    let text = settings(&plain, &secured, &authority.ca.to_string_lossy(), &tls, &token.to_string_lossy());
    let daemon = configured(&text)?.env("OTLP_TEST_TOKEN", OTHER_TOKEN).start().await?;

    let pair = NetnsPair::new()?;
    let sides = [pair.left(), pair.right()];
    let addresses = sides.map(|side| [IpAddr::from(side.ip)]);
    let _link = SlowLink::between(
        (&sides[0].netns, &addresses[0]),
        (&sides[1].netns, &addresses[1]),
        Duration::from_millis(40),
    )?;
    let port = SLOW.to_string();
    let serve = workload::in_netns(&sides[1].netns, ["serve", "--port", &port, "--echo"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"].as_u64().is_some()).await?;
    // All of it is in one window, mostly, as it begins with one.
    let windows = daemon.follow(["summary", "-f", "--window", "4s", "--port", &port])?;
    let ends = |line: &Value| line["window_end"].is_object();
    windows.wait_for("a window", PATIENCE, ends).await?;
    let count = COUNT.to_string();
    for port in [SLOW, REFUSED] {
        let to = format!("{}:{port}", sides[1].ip);
        let mut connect = workload::in_netns(
            &sides[0].netns,
            ["connect", "--to", &to, "--count", &count, "--parallel", "5"],
        )?;
        connect.wait().await?;
    }
    let events = eventually(PATIENCE, "all events", || async {
        let before = told(&daemon).await?.len();
        tokio::time::sleep(QUIET).await;
        let events = told(&daemon).await?;
        let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).count();
        let kinds = ["tcp_connect", "tcp_accept", "tcp_close", "tcp_connect_failure"].map(of);
        let whole = kinds == [COUNT, COUNT, 2 * COUNT, COUNT] && events.len() == before;
        Ok(if whole { Ok(events) } else { Err((kinds, before, events.len())) })
    })
    .await?;
    let over = windows.matching(ends).len();
    windows.wait_count("the window's end", PATIENCE, over + 1, ends).await?;
    let summaries = each(&windows.values(), "summary");
    for (receiver, protocol) in [(&plain, "grpc"), (&plain, "http"), (&secured, "grpc"), (&secured, "http")] {
        let spans = spans(receiver, protocol).await?;
        check_spans(&spans, &events).with_context(|| protocol.to_owned())?;
        check_logs(receiver, protocol, &events, &spans).await.with_context(|| protocol.to_owned())?;
        handshakes::check(&summaries, receiver, protocol).await.with_context(|| protocol.to_owned())?;
    }

    // Headers, compression and paths.
    let has =
        |requests: &[Value], key: &str, value: &str| requests.iter().all(|one| one["headers"][key] == value);
    let (plain_requests, secured_requests) = (plain.requests(), secured.requests());
    for signal in ["metrics", "logs", "traces"] {
        ensure!(has(&of(&plain_requests, "grpc", signal), "x-tenant", "seen"), "{signal}");
        ensure!(has(&of(&plain_requests, "http", signal), "path", &format!("/base/v1/{signal}")), "{signal}");
        ensure!(has(&of(&secured_requests, "grpc", signal), "api-key", TOKEN), "{signal}");
        let web = of(&secured_requests, "http", signal);
        ensure!(
            has(&web, "lightstep-access-token", OTHER_TOKEN) && web.iter().all(|one| one["gzip"] == true)
        );
        ensure!(of(&plain_requests, "http", signal).iter().all(|one| one["gzip"] == false), "{signal}");
    }
    // Who has no certificate is not taken, and nothing else is wrong; and no secret is anywhere.
    let all = status(&daemon).await?;
    for exporter in &all.exporters {
        let is_nobody = exporter.name == "otlp.nobody";
        ensure!(
            (exporter.sent == 0) == is_nobody && exporter.last_error.is_empty() != is_nobody,
            "{exporter:?}"
        );
        ensure!(exporter.lost.iter().all(|lost| lost.count == 0), "{exporter:?}");
    }
    let shown = client::run(daemon.socket(), ["status"]).await?;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    for text in [&daemon.stderr(), &format!("{all:?}"), &shown] {
        ensure!(!text.contains("hunter2"), "a secret is in {text}");
    }
    ensure!(shown.contains("otlp.secured"), "{shown}");
    Ok(())
}
