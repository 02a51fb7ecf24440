//! What a receiver that wants deltas adds up is what clients are told; and what is said to be compressed is.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use observer_tests::exporting::{configured, each, exporter};
use observer_tests::otlp_receiver::{Receiver, attribute, items, number};
use observer_tests::wait::PATIENCE;
use observer_tests::{Lines, NetnsPair, eventually, workload};
use serde_json::{Value, json};

const PORT: u16 = 7605;
/// Connections of a part, and parts.
const COUNT: u64 = 30;
const PARTS: u64 = 3;

/// Some figures of the connections that one side made or took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Figures {
    opened: u64,
    closed: u64,
    sent_bytes: u64,
    handshakes: u64,
    sum_ns: u64,
    buckets: BTreeMap<i64, u64>,
}

impl Figures {
    fn add_buckets(&mut self, offset: &Value, counts: &Value) {
        let counts = counts.as_array().into_iter().flatten().map(number);
        for (index, count) in
            (offset.as_i64().unwrap_or_default()..).zip(counts).filter(|(_, count)| *count > 0)
        {
            *self.buckets.entry(index).or_default() += count;
        }
    }
}

/// Adds up the windows that clients were told of one direction.
fn told(windows: &Lines, outgoing: bool) -> Figures {
    let mut all = Figures::default();
    for summary in each(&windows.values(), "summary") {
        if !summary["edge"].is_object() || summary["edge"]["outgoing"].as_bool().unwrap_or(false) != outgoing
        {
            continue;
        }
        let tcp = &summary["tcp"];
        all.opened += number(&tcp["opened"]);
        all.closed += number(&tcp["closed"]);
        all.sent_bytes += number(&tcp["sent_bytes"]);
        let latency = &tcp["handshake_latency"];
        all.handshakes += number(&latency["count"]);
        all.sum_ns += number(&latency["sum_ns"]);
        all.add_buckets(&latency["offset"], &latency["buckets"]);
    }
    all
}

/// The points of a metric and one direction, in the order in which they came.
fn points(metrics: &[Value], name: &str, kind: &str, direction: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    for metric in metrics.iter().filter(|metric| metric["name"] == name) {
        let data = &metric[kind];
        ensure!(data["aggregation_temporality"] == "AGGREGATION_TEMPORALITY_DELTA", "{metric}");
        ensure!(kind != "sum" || data["is_monotonic"] == true, "{metric}");
        let of = |point: &Value, key| attribute(&point["attributes"], key);
        let fits = |point: &&Value| {
            of(point, "server.port") == PORT.to_string()
                && of(point, "observer.connection.direction") == direction
        };
        all.extend(data["data_points"].as_array().into_iter().flatten().filter(fits).cloned());
    }
    // Each begins where the one before it ended.
    for pair in all.windows(2) {
        let transmits = attribute(&pair[0]["attributes"], "network.io.direction");
        let is_same = transmits == attribute(&pair[1]["attributes"], "network.io.direction");
        ensure!(!is_same || pair[0]["time_unix_nano"] == pair[1]["start_time_unix_nano"], "{pair:?}");
    }
    Ok(all)
}

/// Adds up the deltas of one direction, and says in how many of them something came.
fn added_up(receiver: &Receiver, direction: &str) -> Result<(Figures, usize)> {
    let metrics = items(&receiver.of("grpc", "metrics"));
    let sum = |name: &str, io: &str| -> Result<u64> {
        let mut points = points(&metrics, name, "sum", direction)?;
        points.retain(|point| attribute(&point["attributes"], "network.io.direction") == io);
        Ok(points.iter().map(|point| number(&point["as_int"])).sum())
    };
    let mut all = Figures {
        opened: sum("network.tcp.connection.successes", "")?,
        closed: sum("network.tcp.connection.closes", "")?,
        sent_bytes: sum("network.tcp.io", "transmit")?,
        ..Figures::default()
    };
    let mut told = 0;
    for point in points(&metrics, "network.tcp.handshake.duration", "exponential_histogram", direction)? {
        let count = number(&point["count"]);
        let before = all.buckets.values().sum::<u64>();
        all.add_buckets(&point["positive"]["offset"], &point["positive"]["bucket_counts"]);
        let within = all.buckets.values().sum::<u64>() - before;
        ensure!(count == within + number(&point["zero_count"]), "{point}");
        all.handshakes += count;
        all.sum_ns += (point["sum"].as_f64().context("no sum")? * 1e9).round() as u64;
        told += usize::from(count > 0);
    }
    Ok((all, told))
}

#[tokio::test(flavor = "multi_thread")]
async fn deltas_add_up_to_what_clients_are_told() -> Result<()> {
    let receiver = Receiver::start().await?;
    let logs = format!("metrics = false\ntraces = false\nallow = {{ port = {PORT} }}");
    let text = format!(
        "[otlp.deltas]\nendpoint = 'http://127.0.0.1:{}'\ntemporality = 'delta'\ninterval = '1s'\nlogs = false\n\
         traces = false\nlabels = ['port', 'direction']\n\
         [otlp.packed]\nendpoint = 'http://127.0.0.1:{unpacked}'\n{logs}\n\
         [otlp.loose]\nendpoint = 'http://127.0.0.1:{unpacked}'\ncompression = 'none'\n{logs}\n",
        receiver.grpc,
        unpacked = receiver.unpacked
    );
    let daemon = configured(&text)?.start().await?;
    let windows = daemon.follow(["summary", "-f", "--window", "1s", "--port", &PORT.to_string()])?;
    windows.wait_for("a window", PATIENCE, |line| line["window_end"].is_object()).await?;
    let pair = NetnsPair::new()?;
    for part in 1..=PARTS {
        workload::connections(&pair.left().netns, PORT, COUNT).await?;
        // The next part is another delta.
        for direction in ["outgoing", "incoming"] {
            eventually(PATIENCE, "a part", || async {
                let (all, _) = added_up(&receiver, direction)?;
                Ok(if all.opened >= part * COUNT { Ok(()) } else { Err(all) })
            })
            .await?;
        }
    }
    for (direction, outgoing) in [("outgoing", true), ("incoming", false)] {
        let expected = PARTS * COUNT;
        let (all, deltas) = eventually(PATIENCE, "all of it", || async {
            let ((all, deltas), told) = (added_up(&receiver, direction)?, told(&windows, outgoing));
            let is_all = all.closed >= expected && told.closed >= expected;
            Ok(if is_all { Ok((all, deltas)) } else { Err((all, told)) })
        })
        .await?;
        let told = told(&windows, outgoing);
        ensure!((all.opened, all.closed, all.handshakes) == (expected, expected, expected), "{all:?}");
        ensure!(deltas >= PARTS as usize, "{deltas} deltas");
        // A sum is told as a float, whose last digits each delta may miss.
        ensure!(all.sum_ns.abs_diff(told.sum_ns) <= deltas as u64, "{all:?} and {told:?}");
        ensure!(Figures { sum_ns: told.sum_ns, ..all.clone() } == told, "{all:?} and {told:?}");
    }

    // What is not taken of metrics is counted like all else.
    receiver.answer(&json!({"partial": 2}), &Value::Null)?;
    eventually(PATIENCE, "what was rejected", || async {
        let told = exporter(&daemon, "otlp.deltas").await?;
        let refused = told.lost.iter().any(|lost| lost.reason == "refused" && lost.count > 0);
        let is_told = refused && told.last_error.contains("metrics: 2 of ");
        Ok(if is_told { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await?;

    // Who takes nothing compressed says so of what is, by gRPC's own header, and takes the rest.
    let expected = 4 * PARTS * COUNT;
    let [packed, loose] = eventually(PATIENCE, "all records", || async {
        let both = [exporter(&daemon, "otlp.packed").await?, exporter(&daemon, "otlp.loose").await?];
        let refused =
            both[0].lost.iter().filter(|lost| lost.reason == "refused").map(|lost| lost.count).sum();
        let is_all = [refused, both[1].sent].iter().all(|count: &u64| *count >= expected);
        Ok(if is_all { Ok(both) } else { Err(format!("{both:?}")) })
    })
    .await?;
    ensure!(packed.sent == 0 && packed.last_error.contains("Compression algorithm 'gzip'"), "{packed:?}");
    ensure!(loose.last_error.is_empty() && loose.lost.iter().all(|lost| lost.count == 0), "{loose:?}");
    ensure!(!receiver.of("unpacked", "logs").is_empty());
    Ok(())
}
