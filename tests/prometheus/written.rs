//! What promtool says of a scrape while pods work.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use anyhow::{Result, ensure};
use observer_tests::prometheus::promtool;
use observer_tests::web::get;

/// promtool finds nothing wrong with the series of these pods, of all kinds.
pub(crate) async fn well_written(at: SocketAddr, pods: [&str; 2]) -> Result<()> {
    let text = get(at, "/metrics").await?.text();
    let mut names = BTreeSet::new();
    for pod in pods {
        let of = format!("pod=\"{pod}\"");
        let lines = text.lines().filter(|line| line.contains(&of));
        let of_pod: BTreeSet<&str> = lines.filter_map(|line| line.split('{').next()).collect();
        ensure!(of_pod.len() > 20, "{pod}: {of_pod:?}");
        names.extend(of_pod);
    }
    for name in [
        "observer_tcp_rtt_seconds_bucket",
        "observer_tcp_rtt_seconds_sum",
        "observer_tcp_connection_failures_total",
        "observer_tcp_accept_queue_limit",
        "observer_tcp_stalled_connections",
        "observer_process_exits_total",
    ] {
        ensure!(names.contains(name), "no {name} in {names:?}");
    }
    promtool(&["check", "metrics"], text.as_bytes())?;
    Ok(())
}
