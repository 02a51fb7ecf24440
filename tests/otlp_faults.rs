//! A receiver that is slow, refuses, takes a part, or goes away costs what it does not take, which is counted exactly; all else
//! goes on.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::{Exporter, ExporterState};
use observer_tests::exporting::{configured, exporter, lost, scratch, status, wait_state};
use observer_tests::otlp_receiver::{Receiver, attribute, items, number, of};
use observer_tests::recording::{COUNT, live};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, NetnsPair, eventually, workload};
use serde_json::{Value, json};

/// Events of `live`.
const EVENTS: u64 = 4 * COUNT;
const TOKEN: &str = "hunter2-the-token";
const PORTS: [u16; 8] = [7610, 7611, 7612, 7613, 7614, 7615, 7616, 7617];

/// The numbers of the events in requests that were answered so.
fn sequences(requests: &[Value], answer: &Value) -> Vec<u64> {
    let answered: Vec<Value> = requests.iter().filter(|one| one["answer"] == *answer).cloned().collect();
    let sequence = |record: &Value| attribute(&record["attributes"], "observer.event.sequence").parse().ok();
    items(&answered).iter().filter_map(sequence).collect()
}

/// Waits until these events were taken, once or (where the receiver was slow to say so) more often.
async fn taken(receiver: &Receiver, protocol: &str, expected: &BTreeSet<u64>) -> Result<Vec<u64>> {
    eventually(2 * PATIENCE, "all records", || async {
        let all = sequences(&receiver.of(protocol, "logs"), &json!("OK"));
        let seen: BTreeSet<u64> = all.iter().copied().collect();
        Ok(if expected.is_subset(&seen) { Ok(all) } else { Err((seen.len(), expected.len())) })
    })
    .await
}

async fn make(daemon: &Daemon, pair: &NetnsPair, port: u16) -> Result<BTreeSet<u64>> {
    Ok(live(daemon, pair, port).await?.iter().map(|event| event.sequence).collect())
}

fn of_reason(exporter: &Exporter, reason: &str) -> u64 {
    exporter.lost.iter().filter(|lost| lost.reason == reason).map(|lost| lost.count).sum()
}

/// Waits until nothing of an exporter is under way.
async fn at_rest(daemon: &Daemon, name: &str) -> Result<Exporter> {
    eventually(PATIENCE, "nothing to wait", || async {
        let exporter = exporter(daemon, name).await?;
        Ok(if exporter.queued == 0 { Ok(exporter) } else { Err(format!("{exporter:?}")) })
    })
    .await
}

fn settings(receiver: &Receiver, token: &Path) -> String {
    let common = format!(
        "metrics = false\ntraces = false\ntimeout = '5s'\nallow = {{ port = '7610-7617' }}\n\
         header_files = {{ authorization = '{}' }}\n",
        token.display()
    );
    format!(
        "[otlp.grpc]\nendpoint = 'http://127.0.0.1:{}'\n{common}\
         [otlp.http]\nendpoint = 'http://127.0.0.1:{}'\nprotocol = 'http/protobuf'\n{common}\
         [otlp.small]\nendpoint = 'http://127.0.0.1:{}'\nqueue_bytes = '1MiB'\n{common}",
        receiver.grpc, receiver.http, receiver.grpc
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_does_not_take_is_counted_and_nothing_else_suffers() -> Result<()> {
    let pair = NetnsPair::new()?;
    let token = scratch("token")?.join("token");
    fs::write(&token, format!("Bearer {TOKEN}"))?;
    let receiver = Receiver::start().await?;
    let both = settings(&receiver, &token);
    // The one with the small queue has its turn later.
    let text = both.split("[otlp.small]").next().unwrap_or_default();
    let mut daemon = configured(text)?.start().await?;
    status(&daemon).await?;
    let nothing = Value::Null;

    // Refused for now: all of it comes later, once.
    receiver.answer(
        &json!({"code": "UNAVAILABLE", "echo": "authorization"}),
        &json!({"code": 503, "echo": "authorization"}),
    )?;
    let mut expected = make(&daemon, &pair, PORTS[0]).await?;
    for name in ["otlp.grpc", "otlp.http"] {
        let paused = wait_state(&daemon, name, ExporterState::Retrying).await?;
        ensure!(paused.last_error.contains("(secret)") && paused.retries > 0, "{paused:?}");
        ensure!(paused.queued > 0 && lost(&paused) == 0, "{paused:?}");
    }
    receiver.answer(&nothing, &nothing)?;
    for protocol in ["grpc", "http"] {
        let all = taken(&receiver, protocol, &expected).await?;
        ensure!(all.len() == expected.len(), "{protocol}: {} of {}", all.len(), expected.len());
    }
    ensure!(expected.len() as u64 == EVENTS, "{} events", expected.len());

    // Asked to wait: it waits that long.
    receiver.answer(&json!({"code": "RESOURCE_EXHAUSTED", "retry": 2}), &json!({"code": 429, "retry": 2}))?;
    expected.extend(make(&daemon, &pair, PORTS[1]).await?);
    for (protocol, code) in [("grpc", json!("RESOURCE_EXHAUSTED")), ("http", json!(429))] {
        let tries = eventually(PATIENCE, "two tries", || async {
            let requests = receiver.of(protocol, "logs");
            let times: Vec<f64> = requests
                .iter()
                .filter(|one| one["answer"] == code)
                .filter_map(|one| one["at"].as_f64())
                .collect();
            Ok(if times.len() >= 2 { Ok(times) } else { Err(times) })
        })
        .await?;
        ensure!(tries.windows(2).all(|pair| pair[1] - pair[0] >= 1.99), "{protocol}: {tries:?}");
    }
    receiver.answer(&nothing, &nothing)?;
    for protocol in ["grpc", "http"] {
        taken(&receiver, protocol, &expected).await?;
    }

    never(&daemon, &receiver, &pair).await?;

    // Slow: given up after the timeout, and tried again.
    receiver.answer(&json!({"sleep": 15}), &json!({"sleep": 15}))?;
    let slow = make(&daemon, &pair, PORTS[4]).await?;
    for name in ["otlp.grpc", "otlp.http"] {
        let paused = wait_state(&daemon, name, ExporterState::Retrying).await?;
        ensure!(
            paused.last_error.contains("no answer within 5.0 s") || paused.last_error.contains("Timeout"),
            "{paused:?}"
        );
    }
    receiver.answer(&nothing, &nothing)?;
    for protocol in ["grpc", "http"] {
        taken(&receiver, protocol, &slow).await?;
        // The answer that came too late is none: it is under way until a later try has its own.
        at_rest(&daemon, &format!("otlp.{protocol}")).await?;
    }

    // Away, and back.
    let (before, away) = receiver.leave().await?;
    ensure!(!of(&before, "grpc", "logs").is_empty());
    let missed = make(&daemon, &pair, PORTS[5]).await?;
    for name in ["otlp.grpc", "otlp.http"] {
        let paused = wait_state(&daemon, name, ExporterState::Retrying).await?;
        ensure!(paused.queued >= EVENTS, "{paused:?}");
    }
    let receiver = away.back().await?;
    for protocol in ["grpc", "http"] {
        let all = taken(&receiver, protocol, &missed).await?;
        ensure!(all.len() == missed.len(), "{protocol}: {} of {}", all.len(), missed.len());
        let told = at_rest(&daemon, &format!("otlp.{protocol}")).await?;
        ensure!(told.state() == ExporterState::Running && of_reason(&told, "queue") == 0, "{told:?}");
    }
    let all = format!("{:?}{}", status(&daemon).await?, daemon.stderr());
    ensure!(!all.contains("hunter2"), "a secret is in {all}");

    ensure!(daemon.stop().await?.success(), "{}", daemon.stderr());

    a_small_queue(&both, receiver, &pair).await
}

/// What is refused for good, in whole and in part.
async fn never(daemon: &Daemon, receiver: &Receiver, pair: &NetnsPair) -> Result<()> {
    // Refused for good: counted, and the next ones pass.
    receiver.answer(
        &json!({"code": "INVALID_ARGUMENT", "echo": "authorization"}),
        &json!({"code": 400, "echo": "authorization"}),
    )?;
    let refused = make(daemon, pair, PORTS[2]).await?;
    for (protocol, code) in [("grpc", json!("INVALID_ARGUMENT")), ("http", json!(400))] {
        let all = eventually(PATIENCE, "all to be refused", || async {
            let all = sequences(&receiver.of(protocol, "logs"), &code);
            Ok(if all.len() >= refused.len() { Ok(all) } else { Err(all.len()) })
        })
        .await?;
        ensure!(all.iter().copied().collect::<BTreeSet<_>>() == refused, "{protocol}");
        let told = at_rest(daemon, &format!("otlp.{protocol}")).await?;
        ensure!(of_reason(&told, "refused") == EVENTS && lost(&told) == EVENTS, "{told:?}");
        ensure!(told.last_error.contains("(secret)"), "{told:?}");
    }

    // A part is rejected.
    receiver.answer(&json!({"partial": 2, "echo": "authorization"}), &json!({"partial": 2}))?;
    make(daemon, pair, PORTS[3]).await?;
    for protocol in ["grpc", "http"] {
        let name = format!("otlp.{protocol}");
        eventually(PATIENCE, "what was rejected", || async {
            let told = at_rest(daemon, &name).await?;
            let requests = receiver.of(protocol, "logs");
            let answered: u64 =
                requests.iter().filter(|one| one["answer"] == "OK").map(|one| number(&one["items"])).sum();
            let done = told.sent + of_reason(&told, "refused") == answered + EVENTS;
            Ok(if done && of_reason(&told, "refused") > EVENTS {
                Ok(())
            } else {
                Err((format!("{told:?}"), answered))
            })
        })
        .await?;
        let told = exporter(daemon, &name).await?;
        ensure!(
            told.last_error.contains("were rejected") && told.state() == ExporterState::Running,
            "{told:?}"
        );
    }
    // The log says it once of each, whatever goes on.
    let log = daemon.stderr();
    ensure!(log.matches("were rejected").count() == 2 && log.matches("WARN").count() >= 2, "{log}");
    Ok(())
}

/// What finds no room is lost, and all else is sent.
async fn a_small_queue(both: &str, receiver: Receiver, pair: &NetnsPair) -> Result<()> {
    let text = both.rsplit_once("[otlp.small]").context("no settings")?.1;
    let earlier = receiver.requests().len();
    let daemon = configured(&format!("event_budget = 0\n[otlp.small]{text}"))?.start().await?;
    let (before, away) = receiver.leave().await?;
    workload::connections(&pair.left().netns, PORTS[6], 1_000).await?;
    let told = eventually(2 * PATIENCE, "what is lost", || async {
        let told = exporter(&daemon, "otlp.small").await?;
        Ok(if of_reason(&told, "queue") + told.queued >= 4_000 { Ok(told) } else { Err(format!("{told:?}")) })
    })
    .await?;
    ensure!(of_reason(&told, "queue") > 0 && told.queued > 0 && told.sent == 0, "{told:?}");
    let receiver = away.back().await?;
    let told = at_rest(&daemon, "otlp.small").await?;
    // What all have lost is told as well, if other tests lose something.
    // The receiver's own account of the last request may come a moment after its answer.
    eventually(PATIENCE, "all that was sent", || async {
        let all = [&before[earlier..], &receiver.requests()].concat();
        let seen: u64 = all.iter().map(|one| number(&one["items"])).sum();
        Ok(if told.sent == seen { Ok(()) } else { Err(format!("{seen} and {told:?}")) })
    })
    .await?;
    ensure!(told.sent + lost(&told) >= 4_000, "{told:?}");
    ensure!(of_reason(&told, "queue") == lost(&told), "{told:?}");
    let newest = sequences(&receiver.requests(), &json!("OK"));
    ensure!(newest.is_sorted(), "they are not in order");
    Ok(())
}
