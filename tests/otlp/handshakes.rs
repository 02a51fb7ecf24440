//! The durations of handshakes, as a receiver of OTLP gets them and as clients are told.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use observer_tests::eventually;
use observer_tests::otlp_receiver::{Receiver, attribute, items, number};
use observer_tests::wait::PATIENCE;
use serde_json::Value;

use super::{COUNT, SLOW};

/// Where each bucket is, and what is in it.
fn buckets(offset: &Value, counts: &Value) -> BTreeMap<i64, u64> {
    let first = offset.as_i64().unwrap_or_default();
    let counts = counts.as_array().into_iter().flatten().map(number);
    (first..).zip(counts).filter(|(_, count)| *count > 0).collect()
}

/// Distributions of several windows together.
fn together(of: &[&Value]) -> BTreeMap<i64, u64> {
    let mut all = BTreeMap::new();
    for one in of {
        for (index, count) in buckets(&one["offset"], &one["buckets"]) {
            *all.entry(index).or_default() += count;
        }
    }
    all
}

/// The newest point of handshakes of one direction, once it has all of them.
async fn point(receiver: &Receiver, protocol: &str, direction: &str) -> Result<Value> {
    let port = SLOW.to_string();
    eventually(PATIENCE, "all handshakes", || async {
        let metrics = items(&receiver.of(protocol, "metrics"));
        let is_histogram = |metric: &&Value| metric["name"] == "network.tcp.handshake.duration";
        let newest = metrics.iter().rev().find(is_histogram).cloned().unwrap_or_default();
        let points = newest["exponential_histogram"]["data_points"].as_array().cloned().unwrap_or_default();
        let fits = |point: &&Value| {
            let of = |key| attribute(&point["attributes"], key);
            of("server.port") == port && of("observer.connection.direction") == direction
        };
        let point = points.iter().find(fits).cloned().unwrap_or_default();
        Ok(if number(&point["count"]) == COUNT as u64 { Ok(point) } else { Err(point) })
    })
    .await
}

/// The histogram of handshakes has the buckets of the summaries, and the percentiles where one window has all of them.
pub(crate) async fn check(summaries: &[Value], receiver: &Receiver, protocol: &str) -> Result<()> {
    for (outgoing, direction) in [(true, "outgoing"), (false, "incoming")] {
        let is_it = |summary: &&Value| {
            let is_outgoing = summary["edge"]["outgoing"].as_bool().unwrap_or(false);
            summary["edge"].is_object() && is_outgoing == outgoing
        };
        let all: Vec<&Value> = summaries
            .iter()
            .filter(is_it)
            .map(|summary| &summary["tcp"]["handshake_latency"])
            .filter(|latency| number(&latency["count"]) > 0)
            .collect();
        let of = |key: &str| all.iter().map(|one| number(&one[key])).collect::<Vec<u64>>();
        ensure!(of("count").iter().sum::<u64>() == COUNT as u64, "{summaries:?}");
        let point = self::point(receiver, protocol, direction).await?;
        ensure!(point["scale"] == 5 && of("scale").iter().all(|scale| *scale == 5), "{point} and {all:?}");
        let theirs = buckets(&point["positive"]["offset"], &point["positive"]["bucket_counts"]);
        ensure!(
            theirs == together(&all) && theirs.values().sum::<u64>() == COUNT as u64,
            "{point} and {all:?}"
        );
        let least = of("min_ns").into_iter().min().context("no window")?;
        let most = of("max_ns").into_iter().max().context("no window")?;
        for (key, ours) in [("sum", of("sum_ns").iter().sum()), ("min", least), ("max", most)] {
            let (theirs, ours) = (point[key].as_f64().context("no figure")?, ours as f64 / 1e9);
            ensure!((theirs - ours).abs() <= 1e-9 * ours.abs().max(1.0), "{key}: {theirs} and {ours}");
        }
        let [ours] = all.as_slice() else { continue };
        for (share, name) in [("50", "p50_ns"), ("90", "p90_ns"), ("99", "p99_ns")] {
            let theirs = point["percentiles"][share].as_f64().context("no percentile")?;
            let ours = number(&ours[name]) as f64 / 1e9;
            ensure!((theirs - ours).abs() <= 1e-6 * ours, "p{share}: {theirs} and {ours}");
        }
    }
    Ok(())
}
