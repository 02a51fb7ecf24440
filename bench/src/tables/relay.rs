//! The section on the relay: what each node and each event costs it, and what follows from that for more of them.

use std::fmt::Write as _;

use serde_json::Value;

use crate::budgets::Results;
use crate::report::table;
use crate::spread::round;

/// The processors of a relay in the arithmetic.
const PROCESSORS: f64 = 2.0;

/// All of it; empty where nothing was measured.
pub(super) fn section(results: &Results) -> String {
    let Some(report) = results.get("relay") else { return String::new() };
    let mut text = format!(
        "\n## Relay\n\nA relay over simulated daemons, each with TLS and a stream of its own; relay, daemons and clients share {} \
         processors, and what is told is the relay's process alone. Of each node every event was told, or told as lost.\n\n",
        report["processors_for_all"]
    );
    text += &sizes(report);
    text += "\nEvents of all nodes, from their time to a client's receipt through the relay, and beside it from the node:\n\n";
    text += &rates(report);
    text += &others(report);
    text += &arithmetic(report);
    text
}

fn each<'a>(report: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    report[field].as_array().into_iter().flatten()
}

fn sizes(report: &Value) -> String {
    let rows = each(report, "sizes").map(|size| {
        vec![
            size["nodes"].to_string(),
            format!("{} s", size["connected_after_s"]),
            format!("{} ms", size["connect_cpu_ms_a_node"]),
            format!("{} MiB", size["resident_mib"]),
            format!("{} MiB", size["resident_mib_followed"]),
            share(&size["idle_cpu_share_followed"]),
            format!("{} MiB", size["resident_mib_at_the_most"]),
        ]
    });
    let head = [
        "nodes",
        "all connected after",
        "processor time each",
        "resident",
        "followed",
        "processor, idle",
        "at the most",
    ];
    table(&head, rows)
}

fn rates(report: &Value) -> String {
    let mut rows = Vec::new();
    for size in each(report, "sizes") {
        rows.extend(each(size, "rates").map(|step| row(&size["nodes"], step)));
    }
    if report["three_clients"].is_object() {
        let nodes = each(report, "sizes").last().map_or(&Value::Null, |size| &size["nodes"]);
        rows.push(row(nodes, &report["three_clients"]));
    }
    let head = [
        "nodes",
        "clients",
        "events/s",
        "processor",
        "ms for 1,000 delivered",
        "p50, p99, most",
        "from the node",
        "out of order",
        "kept up",
    ];
    table(&head, rows.into_iter())
}

fn row(nodes: &Value, step: &Value) -> Vec<String> {
    let times = |of: &Value| {
        if !of.is_object() {
            return "-".to_owned();
        }
        format!("{}, {}, {} ms", of["p50_ms"], of["p99_ms"], of["most_ms"])
    };
    vec![
        nodes.to_string(),
        step["clients"].to_string(),
        step["per_second"].to_string(),
        share(&step["cpu_share"]),
        step["cpu_ms_for_1000_events"].to_string(),
        times(&step["by_relay"]),
        times(&step["directly"]),
        share(&step["by_relay"]["out_of_order"]),
        if step["kept_up"] == true { "yes" } else { "no" }.to_owned(),
    ]
}

fn others(report: &Value) -> String {
    let mut text = String::new();
    let windows = &report["summaries"];
    if windows.is_object() {
        let _written = writeln!(
            text,
            "\nA window of {} nodes' summaries, {} of them, takes {} ms of a processor, and is told whole {} ms after it ended.",
            windows["nodes"], windows["summaries"], windows["cpu_ms_a_window"], windows["all_after_ms"]
        );
    }
    let stalled = &report["stalled_client"];
    if stalled.is_object() {
        let _written = writeln!(
            text,
            "A client that reads nothing for {} s of {} events/s takes the relay from {} to {} MiB; another one got {} of {} \
             events meanwhile, {} were told as lost.",
            stalled["seconds"],
            stalled["per_second"],
            stalled["resident_mib_before"],
            stalled["resident_mib"],
            stalled["other"]["received"],
            stalled["other"]["sent"],
            stalled["other"]["told_as_lost"]
        );
    }
    let wave = &report["wave"];
    if wave.is_object() {
        let account = &wave["account"];
        let _written = writeln!(
            text,
            "{} nodes were cut off and {} daemons killed and started anew, for {} s: {} s after they were back all were \
             connected, {} s after it the client was told so. Of {} events {} came, {} were told as lost, and {} were on their way \
             when their daemons were killed.",
            wave["cut_off"],
            wave["restarted"],
            wave["away_s"],
            wave["connected_after_s"],
            wave["told_after_s"],
            account["sent"],
            account["received"],
            account["told_as_lost"],
            account["unseen_at_restarts"]
        );
    }
    text
}

/// What a relay holds on processors of its own, from what a node and an event take.
fn arithmetic(report: &Value) -> String {
    let most = each(report, "sizes").max_by_key(|size| size["nodes"].as_u64());
    let Some(most) = most else { return String::new() };
    let kept = each(most, "rates").filter(|step| step["kept_up"] == true);
    let Some(step) = kept.max_by_key(|step| step["per_second"].as_u64()) else { return String::new() };
    let of = |value: &Value| value.as_f64().unwrap_or(0.0);
    let (nodes, idle) = (of(&most["nodes"]), of(&most["idle_cpu_share_followed"]));
    let (event_ms, a_node) = (of(&step["cpu_ms_for_1000_events"]), idle / nodes.max(1.0));
    let events = (PROCESSORS - idle).max(0.0) * 1e6 / event_ms.max(f64::MIN_POSITIVE);
    format!(
        "\nBy these figures a node more takes {} KiB ({} with a client that follows it) and {} of a processor at rest; 1,000 events \
         that reach a client take {event_ms} ms. So {PROCESSORS} processors of a relay's own would be busy with {nodes} nodes and {} \
         events/s to one client, each further client counting like as many events again; the most that was kept up with here, with \
         daemons and clients on the same processors, is {} events/s.\n",
        report["kib_a_further_node"],
        report["kib_a_further_node_followed"],
        share(&Value::from(round(a_node, 8))),
        round(events, -2),
        step["per_second"]
    )
}

fn share(part: &Value) -> String {
    part.as_f64().map_or_else(|| "-".to_owned(), |part| format!("{} %", round(part * 100.0, 4)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_arithmetic_is_of_the_most_nodes_and_the_highest_rate_that_was_kept_up_with() {
        let step = |rate: u64, ms: f64, kept_up: bool| json!({"per_second": rate, "cpu_ms_for_1000_events": ms, "kept_up": kept_up});
        let rates = json!([step(1_000, 90.0, true), step(10_000, 19.0, true), step(20_000, 1.0, false)]);
        let sizes = json!([
            {"nodes": 100, "rates": [step(50_000, 1.0, true)]},
            {"nodes": 1000, "idle_cpu_share_followed": 0.1, "rates": rates},
        ]);
        let text = arithmetic(
            &json!({"sizes": sizes, "kib_a_further_node": 70.5, "kib_a_further_node_followed": 90.1}),
        );
        // 1.9 processors at 19 ms for 1,000.
        assert!(
            text.contains("1000 nodes and 100000 events/s") && text.contains("0.01 % of a processor"),
            "{text}"
        );
        assert!(text.contains("is 10000 events/s"), "{text}");
        assert_eq!(section(&Results::new()), "");
    }
}
