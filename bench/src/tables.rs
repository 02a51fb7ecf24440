//! The sections of the results' page, each a table of one or more loads.

mod relay;

use std::fmt::Write as _;

use serde_json::Value;

use crate::budgets::{Results, Verdict, call_ns, row};
use crate::report::{budget_table, table};

/// All of it, in Markdown.
pub(crate) fn all(results: &Results, verdicts: &[Verdict]) -> String {
    let mut text =
        String::from("# What the observer costs\n\nMade by `cargo xtask bench` of the JSON beside it.\n");
    if let Some(machine) =
        results.values().map(|report| &report["machine"]).find(|machine| machine.is_object())
    {
        let _written = writeln!(
            text,
            "Measured on {} processors ({}), Linux {}.",
            machine["processors"],
            machine["processor"].as_str().unwrap_or_default(),
            machine["kernel"].as_str().unwrap_or_default()
        );
    }
    text += "\n![](cost.svg)\n\n## Budgets\n\n";
    text += &budget_table(verdicts);
    text += "\nWhat is missed, why, and what would meet it: [docs/costs.md](../../docs/costs.md).\n";
    text += THROUGHPUT;
    text += &throughput_table(results);
    text += CALLS;
    text += &calls_table(results);
    text += &subscribers_section(results);
    text += &sockets_section(results);
    text += &names_section(results);
    text += &recording_section(results);
    text += &exporters_section(results);
    text += &relay::section(results);
    text += &code_section(results);
    text
}

const THROUGHPUT: &str = "
## Throughput kept

In each round every contender has its turn, between two turns of nothing; its rate is divided by the mean of these two: the
median of the rounds is given, and where half of them lie. The loads are what netperf calls TCP_CRR, TCP_RR and TCP_STREAM,
and fork with exec of the smallest program. Client and server are threads on one processor; who watches has the other one.
With all processors busy, what the daemon itself uses is taken from the load as well; with client and server in one thread
nothing is left but the kernel's work on the connection. Neither of these two is a budget's.

";

fn throughput_table(results: &Results) -> String {
    let mut rows = Vec::new();
    for load in ["connections", "requests", "bulk", "exec"] {
        for (place, words) in [
            ("loopback", ""),
            ("namespaces", ", across namespaces"),
            ("all_processors_busy", ", all processors busy"),
            ("one_thread", ", in one thread"),
        ] {
            let Some(measured) = results.get(load).map(|report| &report[place]) else { continue };
            if !measured.is_object() {
                continue;
            }
            let name = if load == "exec" { load.to_owned() } else { format!("{load}{words}") };
            let cells = |kept: &Value| vec![percent(&kept["median"]), between(kept)];
            let nothing = vec![name.clone(), "nothing, again".to_owned()];
            rows.push([nothing, cells(&measured["noise"]), vec![String::new()]].concat());
            for one in measured["contenders"].as_array().into_iter().flatten() {
                let who = one["name"].as_str().unwrap_or_default().to_owned();
                let used = vec![percent(&one["cpu_share"])];
                rows.push([vec![name.clone(), who], cells(&one["kept"]), used].concat());
            }
        }
    }
    let mut text =
        table(&["load", "beside", "kept", "half of the rounds", "its own processor"], rows.into_iter());
    if let Some(of) = row(results, "requests", "loopback", "observer") {
        let (p50, p99) = (&of["p50_ratio"], &of["p99_ratio"]);
        let alone = &results["requests"]["loopback"];
        let _written = write!(
            text,
            "\nA request over loopback takes {} µs (p50) and {} µs (p99) alone; beside the observer {} and {} times that.\n",
            alone["p50_us"], alone["p99_us"], p50["median"], p99["median"]
        );
    }
    text
}

const CALLS: &str = "
## Time of a call

By the kernel's own count (`kernel.bpf_stats_enabled`), ours alone, and then all at once in the same rounds. That count is part of each figure, and
alike for all. Where two programs are on a hook, or a tool has several, they are one call.

";

fn calls_table(results: &Results) -> String {
    let mut rows = Vec::new();
    for load in ["connections", "exec"] {
        let costs = results.get(load).and_then(|report| report["calls"]["costs"].as_array());
        for cost in costs.into_iter().flatten() {
            let (who, hook) = (cost["who"].as_str().unwrap_or(""), cost["hook"].as_str().unwrap_or(""));
            let alone = cost["alone"] == true;
            if let Some(ns) = call_ns(results, load, who, hook, alone) {
                let half = format!("{} to {}", cost["ns"]["p25"], cost["ns"]["p75"]);
                let calls = cost["calls"].to_string();
                rows.push(vec![
                    load.to_owned(),
                    who.to_owned(),
                    hook.to_owned(),
                    if alone { "alone" } else { "all at once" }.to_owned(),
                    format!("{ns} ns"),
                    half,
                    calls,
                ]);
            }
        }
    }
    table(
        &["load", "whose", "hook", "who is there", "a call", "half of the rounds", "calls"],
        rows.into_iter(),
    )
}

fn subscribers_section(results: &Results) -> String {
    let Some(report) = results.get("subscribers") else { return String::new() };
    let figure =
        |step: &Value, name: &str| step[name].as_f64().map_or_else(|| "-".to_owned(), |it| it.to_string());
    let rows = report["rows"].as_array().into_iter().flatten().map(|row| {
        let best = &row["best"];
        vec![
            row["clients"].to_string(),
            figure(best, "happened_per_second"),
            figure(best, "delivered_per_second"),
            percent(&best["cpu_share"]),
            figure(best, "cpu_s_per_100k_events"),
            row["limit"].as_str().unwrap_or_default().to_owned(),
        ]
    });
    let head = [
        "clients",
        "events/s",
        "delivered/s, all together",
        "the daemon's processor",
        "s for 100,000 events",
        "why no more",
    ];
    format!(
        "\n## Clients\n\nThe highest rate of events at which every client got every one of them. Generator, daemon and clients share \
         {} processors.\n\n{}",
        report["processors_for_all"],
        table(&head, rows)
    )
}

fn sockets_section(results: &Results) -> String {
    let Some(report) = results.get("sockets") else { return String::new() };
    let rows = report["rows"].as_array().into_iter().flatten().map(|row| {
        let pass = &row["pass_ms"];
        vec![
            row["sockets"].to_string(),
            row["containers"].to_string(),
            format!("{} ms", pass["median"]),
            format!("{} to {} ms", pass["p10"], pass["p90"]),
            format!("{} MiB", row["resident_mib"]),
            format!("{} MiB", row["most_resident_mib"]),
        ]
    });
    let head = ["live sockets", "containers", "a pass", "10 to 90 % of them", "resident", "at the most"];
    format!(
        "\n## Live sockets\n\nThe processor time of reading all of them once, as is done once a second while somebody follows \
         summaries, and the daemon's memory.\n\n{}",
        table(&head, rows)
    )
}

fn names_section(results: &Results) -> String {
    let Some(report) = results.get("names") else { return String::new() };
    format!(
        "\n## Names\n\nWith `--dns` a packet that is no answer takes {} ns ({} ns without the count, in a loop), an answer {} ns, \
         and {} µs of the daemon. A busy connection keeps {} of its requests.\n",
        report["packet_ns"],
        report["packet_in_a_loop_ns"],
        report["answer_ns"],
        report["answer_daemon_us"],
        percent(&report["requests_kept"][0])
    )
}

fn recording_section(results: &Results) -> String {
    let Some(report) = results.get("recording") else { return String::new() };
    let run = &report["runs"][0];
    format!(
        "\n## Recording\n\n{} events of a node with 20,000 a second: {} ns of processor time each, the kernel's part included; {} bytes \
         that take {} on disk.\n",
        run["events"], run["cpu_ns_an_event"], run["encoded_bytes_an_event"], run["disk_bytes_an_event"]
    )
}

fn exporters_section(results: &Results) -> String {
    let Some(report) = results.get("exporters") else { return String::new() };
    let churn = &report["churn"];
    let formats = ["text", "protobuf"].into_iter().map(|format| {
        let of = |figure: &str| format!("{} ms", churn[format][figure]["median"]);
        vec![format.to_owned(), of("median_ms"), of("p99_ms"), of("most_ms"), of("cpu_ms")]
    });
    let exporters = [("json", "JSON lines"), ("dead_syslog", "syslog, dead"), ("dead_otlp", "OTLP, dead")];
    let exporters = exporters.into_iter().map(|(name, what)| {
        let of = |figure: &str| report[name][figure]["median"].to_string();
        let (cpu, at_rest) = (of("added_cpu_s_a_million"), of("added_cpu_ms_a_minute_at_rest"));
        let rest = [of("ratio"), format!("{at_rest} ms"), format!("{} MiB", of("added_mib"))];
        [vec![what.to_owned(), format!("{cpu} s")], rest.to_vec()].concat()
    });
    format!(
        "\n## Exporters\n\nMetrics while 10,000 pods come and go, a hundred each second: {} series, {} MiB at the most, {} MiB of them \
         for the metrics; a window takes {} ms of a processor. Scrapes in gzip:\n\n{}\nA million events, beside handing them to nobody:\n\n{}",
        churn["series"]["median"].as_f64().unwrap_or_default(),
        churn["peak_mib"]["median"],
        churn["added_mib"]["median"],
        churn["window_cpu_ms"]["median"],
        table(&["format", "median", "p99", "at the most", "a processor's time"], formats),
        table(&["exporter", "processor", "times nobody", "a minute at rest", "memory"], exporters)
    )
}

fn code_section(results: &Results) -> String {
    let Some(report) = results.get("code") else { return String::new() };
    let stages = report["stages"].as_object().into_iter().flatten().map(|(name, of)| {
        vec![name.replace('_', " "), format!("{} ns", of["ns"]), format!("{} to {}", of["from"], of["to"])]
    });
    let counts = report["allocations_per_event"].as_object().into_iter().flatten();
    let counts = counts.map(|(name, count)| vec![name.replace('_', " "), count.to_string()]);
    format!(
        "\n## Code\n\n{}\n{}",
        table(&["stage", "a record or event", "with 95 %"], stages),
        table(&["of each event", "allocations"], counts)
    )
}

fn percent(part: &Value) -> String {
    part.as_f64().map_or_else(String::new, |part| format!("{:.2} %", part * 100.0))
}

fn between(kept: &Value) -> String {
    format!("{} to {}", percent(&kept["p25"]), percent(&kept["p75"]))
}
