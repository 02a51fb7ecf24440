//! What exporters cost: takes up what `cargo bench --bench exporters` printed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine::Machine;
use crate::spread::Spread;

/// Where to look.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What `cargo bench --bench exporters` printed, a line for each part of each turn
    #[arg(long, value_name = "FILE")]
    runs: PathBuf,
}

/// What a part found in one turn.
#[derive(Debug, Deserialize, Serialize)]
struct Run {
    turn: usize,
    part: String,
    /// How many processes wanted to run over the last minute, this one among them.
    load: f64,
    figures: Value,
}

/// What came out.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    churn: Churn,
    json: Exporter,
    dead_syslog: Exporter,
    dead_otlp: Exporter,
    runs: Vec<Run>,
}

/// Metrics while 10,000 pods come and go, a hundred each second, with as many series as there may be.
#[derive(Debug, Serialize)]
struct Churn {
    series: Spread,
    /// Figures of windows that found no room for series of their own.
    overflows: Spread,
    /// The most memory, with the pods' own tables and the windows that are kept.
    peak_mib: Spread,
    /// The same without metrics, taken off in each turn.
    added_mib: Spread,
    /// The processor time of taking a window in, the list of workloads each ten seconds included.
    window_cpu_ms: Spread,
    text: Format,
    protobuf: Format,
}

/// Scrapes of a format, in gzip.
#[derive(Debug, Serialize)]
struct Format {
    median_ms: Spread,
    p99_ms: Spread,
    most_ms: Spread,
    cpu_ms: Spread,
    bytes: Spread,
}

/// An exporter of events, and nothing in its place in the same turn.
#[derive(Debug, Serialize)]
struct Exporter {
    cpu_s_a_million: Spread,
    /// So much more than without it.
    added_cpu_s_a_million: Spread,
    /// And so many times as much.
    ratio: Spread,
    added_cpu_ms_a_minute_at_rest: Spread,
    added_mib: Spread,
    lost: Spread,
}

/// Takes up the figures.
pub(crate) fn run(args: &Args) -> Result<Report> {
    let text =
        fs::read_to_string(&args.runs).with_context(|| format!("cannot read {}", args.runs.display()))?;
    let runs: Vec<Run> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(!runs.is_empty(), "there is no run in {}", args.runs.display());
    let turns = Turns(&runs);
    let churn = Churn {
        series: turns.spread("churn", "/series", 0)?,
        overflows: turns.spread("churn", "/overflows", 0)?,
        peak_mib: turns.spread("churn", "/peak_mib", 1)?,
        added_mib: turns.beside("churn", "churn_alone", "/peak_mib", 1, |with, without| with - without)?,
        window_cpu_ms: turns.spread("churn", "/window_cpu_ms", 2)?,
        text: turns.format("text")?,
        protobuf: turns.format("protobuf")?,
    };
    println!("a scrape of {} series     {} ms (p99)", churn.series.median, churn.text.p99_ms.median);
    let [json, dead_syslog, dead_otlp] =
        ["json", "dead_syslog", "dead_otlp"].map(|part| turns.exporter(part));
    let (json, dead_syslog, dead_otlp) = (json?, dead_syslog?, dead_otlp?);
    println!("a million lines of JSON      {} s", json.added_cpu_s_a_million.median);
    Ok(Report { machine: Machine::this(), churn, json, dead_syslog, dead_otlp, runs })
}

/// The parts of all turns.
struct Turns<'a>(&'a [Run]);

impl Turns<'_> {
    /// A figure of a part, in each turn.
    fn of(&self, part: &str, figure: &str) -> Result<Vec<f64>> {
        let runs = self.0.iter().filter(|run| run.part == part);
        let value = |run: &Run| {
            let value = run.figures.pointer(figure).and_then(Value::as_f64);
            value.with_context(|| format!("{part} has no {figure}"))
        };
        runs.map(value).collect()
    }

    fn spread(&self, part: &str, figure: &str, decimals: i32) -> Result<Spread> {
        Ok(Spread::of(&self.of(part, figure)?, decimals))
    }

    /// A figure of a part and of another in the same turn.
    fn beside(
        &self,
        part: &str,
        other: &str,
        figure: &str,
        decimals: i32,
        compare: fn(f64, f64) -> f64,
    ) -> Result<Spread> {
        let pairs = self.of(part, figure)?.into_iter().zip(self.of(other, figure)?);
        Ok(Spread::of(&pairs.map(|(of, other)| compare(of, other)).collect::<Vec<_>>(), decimals))
    }

    fn format(&self, name: &str) -> Result<Format> {
        let of = |figure: &str, decimals| self.spread("churn", &format!("/{name}/{figure}"), decimals);
        Ok(Format {
            median_ms: of("median_ms", 1)?,
            p99_ms: of("p99_ms", 1)?,
            most_ms: of("most_ms", 1)?,
            cpu_ms: of("cpu_ms", 1)?,
            bytes: of("bytes", 0)?,
        })
    }

    fn exporter(&self, part: &str) -> Result<Exporter> {
        const CPU: &str = "/cpu_s_a_million";
        let added = |figure, decimals| self.beside(part, "nothing", figure, decimals, |of, other| of - other);
        Ok(Exporter {
            cpu_s_a_million: self.spread(part, CPU, 2)?,
            added_cpu_s_a_million: added(CPU, 2)?,
            ratio: self.beside(part, "nothing", CPU, 2, |of, other| of / other)?,
            added_cpu_ms_a_minute_at_rest: added("/cpu_ms_a_minute_at_rest", 1)?,
            added_mib: added("/peak_mib", 1)?,
            lost: self.spread(part, "/lost", 0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_compared_within_their_turn() {
        let run = |turn, part: &str, cpu: f64| Run {
            turn,
            part: part.to_owned(),
            load: 0.0,
            figures: json!({"cpu_s_a_million": cpu}),
        };
        let runs = [run(0, "nothing", 1.0), run(0, "json", 3.0), run(1, "nothing", 2.0), run(1, "json", 4.0)];
        let turns = Turns(&runs);
        let ratio = turns.beside("json", "nothing", "/cpu_s_a_million", 2, |of, other| of / other).unwrap();
        assert_eq!((ratio.least, ratio.most), (2.0, 3.0));
        assert!(turns.spread("json", "/peak_mib", 1).is_err());
    }
}
