//! What promtool says of a scrape while pods work.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::Result;
use observer_tests::eventually;
use observer_tests::prometheus::promtool;
use observer_tests::wait::PATIENCE;
use observer_tests::web::get;

/// Series that these pods have whatever the moment is.
const ALWAYS: [&str; 5] = [
    "observer_tcp_rtt_seconds_bucket",
    "observer_tcp_rtt_seconds_sum",
    "observer_tcp_connection_failures_total",
    "observer_tcp_accept_queue_limit",
    "observer_process_exits_total",
];

/// promtool finds nothing wrong with the series of these pods, of all kinds.
pub(crate) async fn well_written(at: SocketAddr, pods: [&str; 2]) -> Result<()> {
    let text = eventually(PATIENCE, "series of all kinds", || async {
        let text = get(at, "/metrics").await?.text();
        let of = |pod: &str| -> BTreeSet<String> {
            let of = format!("pod=\"{pod}\"");
            let lines = text.lines().filter(|line| line.contains(&of));
            lines.filter_map(|line| line.split('{').next()).map(str::to_owned).collect()
        };
        let [one, other] = pods.map(of);
        let names: BTreeSet<String> = one.union(&other).cloned().collect();
        let all = one.len() > 20 && other.len() > 20 && ALWAYS.iter().all(|name| names.contains(*name));
        Ok(if all { Ok(text) } else { Err(format!("{one:?} {other:?}")) })
    })
    .await?;
    promtool(&["check", "metrics"], text.as_bytes())?;
    Ok(())
}
