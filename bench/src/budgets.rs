//! What the observer may cost, and whether it does: read from the results that there are.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::spread::round;

/// All results, by the name of their load.
pub(crate) type Results = BTreeMap<String, Value>;

/// What became of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Met,
    /// It is over the limit by less than the rounds differ from each other.
    WithinNoise,
    Missed,
    NotMeasured,
}

impl Outcome {
    /// In words.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::WithinNoise => "within the noise",
            Self::Missed => "**missed**",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A budget with what was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) what: String,
    pub(crate) measured: Option<f64>,
    /// At most; at least where more is better.
    pub(crate) limit: f64,
    pub(crate) at_least: bool,
    pub(crate) unit: &'static str,
    pub(crate) outcome: Outcome,
}

impl Verdict {
    fn at_most(what: impl Into<String>, measured: Option<f64>, limit: f64, unit: &'static str) -> Self {
        let outcome = measured.map_or(Outcome::NotMeasured, |measured| {
            if measured <= limit { Outcome::Met } else { Outcome::Missed }
        });
        Self { what: what.into(), measured, limit, at_least: false, unit, outcome }
    }

    /// How much of the budget is used: up to 1 is good, whichever way it goes.
    pub(crate) fn used(&self) -> Option<f64> {
        let measured = self.measured?;
        Some(if self.at_least { self.limit / measured.max(f64::MIN_POSITIVE) } else { measured / self.limit })
    }

    /// A figure with its unit.
    pub(crate) fn figure(&self, value: f64) -> String {
        let number = if value.abs() >= 10_000.0 {
            let thousands = (value / 1000.0).floor();
            format!("{thousands:.0},{:03.0}", value - thousands * 1000.0)
        } else {
            value.to_string()
        };
        if self.unit.is_empty() { number } else { format!("{number} {}", self.unit) }
    }
}

/// All budgets.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    let mut all = Vec::new();
    for (load, what, limit) in [
        ("connections", "connect, send, receive, close: throughput lost", (2.0, false)),
        ("requests", "requests on long connections: lost", (0.5, true)),
        ("bulk", "bulk transfer: lost", (0.5, true)),
    ] {
        all.extend(PLACES.map(|place| lost(results, load, place, what, limit)));
    }
    all.push(lost(results, "exec", ("loopback", ""), "fork and exec: throughput lost", (2.0, false)));
    all.extend(calls(results));
    all.extend(daemon(results));
    all
}

const PLACES: [(&str, &str); 2] = [("loopback", ", loopback"), ("namespaces", ", across namespaces")];

/// The throughput that a load loses beside the observer.
fn lost(
    results: &Results,
    load: &str,
    (place, words): (&str, &str),
    what: &str,
    (limit, noisy): (f64, bool),
) -> Verdict {
    let kept = row(results, load, place, "observer").map(|row| &row["kept"]);
    let percent = |name: &str| Some(round((1.0 - kept?[name].as_f64()?) * 100.0, 2));
    let mut verdict = Verdict::at_most(format!("{what}{words}"), percent("median"), limit, "%");
    if noisy && verdict.outcome == Outcome::Missed && percent("p75").is_some_and(|best| best <= limit) {
        verdict.outcome = Outcome::WithinNoise;
    }
    verdict
}

/// What a load kept beside a contender.
pub(crate) fn row<'a>(results: &'a Results, load: &str, place: &str, name: &str) -> Option<&'a Value> {
    results.get(load)?[place]["contenders"].as_array()?.iter().find(|row| row["name"] == name)
}

/// Nanoseconds of a call, with nobody else there or beside others: of a hook of ours, or (empty) of all of a tool's programs.
pub(crate) fn call_ns(results: &Results, load: &str, who: &str, hook: &str, alone: bool) -> Option<f64> {
    let costs = results.get(load)?["calls"]["costs"].as_array()?;
    let fits = |cost: &&Value| {
        cost["who"] == who && cost["alone"] == alone && cost["hook"].as_str().unwrap_or_default() == hook
    };
    costs.iter().find(fits)?["ns"]["median"].as_f64()
}

fn calls(results: &Results) -> Vec<Verdict> {
    let of = |load: &str, hook: &str| call_ns(results, load, "observer", hook, true);
    let ratio = |load: &str| results.get(load)?["calls"]["ratio"]["median"].as_f64();
    vec![
        Verdict::at_most(
            "a change of TCP's state, per call",
            of("connections", "inet_sock_set_state"),
            300.0,
            "ns",
        ),
        Verdict::at_most("the same, of tcplife's beside it", ratio("connections"), 0.2, ""),
        Verdict::at_most(
            "an exec with its arguments, per call",
            of("exec", "sched_process_exec"),
            2000.0,
            "ns",
        ),
        Verdict::at_most(
            "an exit, wake-ups included, per call",
            of("exec", "sched_process_exit"),
            1500.0,
            "ns",
        ),
        Verdict::at_most(
            "both, of execsnoop's and exitsnoop's beside them",
            ratio("exec"),
            round(1.0 / 7.0, 3),
            "",
        ),
    ]
}

fn daemon(results: &Results) -> Vec<Verdict> {
    let at = |load: &str, pointer: &str| results.get(load)?.pointer(pointer)?.as_f64();
    let one_client = results.get("subscribers").and_then(|report| {
        let rows = report["rows"].as_array()?;
        rows.iter().find(|row| row["clients"] == 1)?["best"]["happened_per_second"].as_f64()
    });
    let mut sustained =
        Verdict::at_most("events a second without loss, one client", one_client, 200_000.0, "events/s");
    sustained.at_least = true;
    if let Some(measured) = one_client {
        sustained.outcome = if measured >= sustained.limit { Outcome::Met } else { Outcome::Missed };
    }
    let sockets = results.get("sockets").and_then(|report| {
        let rows = report["rows"].as_array()?;
        rows.iter().find(|row| row["sockets"] == 20_000)?["most_resident_mib"].as_f64()
    });
    let merging = results.get("relay").and_then(|report| {
        let size = report["sizes"].as_array()?.iter().max_by_key(|size| size["nodes"].as_u64())?;
        let step = size["rates"].as_array()?.iter().find(|step| step["asked_per_second"] == 5_000)?;
        step["added_p99_ms"].as_f64()
    });
    let churn = at("exporters", "/churn/peak_mib/most");
    let highest = most(results).into_iter().chain(churn).reduce(f64::max);
    vec![
        Verdict::at_most(
            "what a relay over 1,000 nodes adds to an event's way at p99, with 5,000 events/s",
            merging,
            1_000.0,
            "ms",
        ),
        Verdict::at_most(
            "the daemon's processor time for 100,000 events, one client",
            at("connections", "/loopback/observer/cpu_s_per_100k_events/median"),
            0.15,
            "s",
        ),
        sustained,
        Verdict::at_most(
            "the recorder with 20,000 events a second, of one processor",
            at("recording", "/percent_of_a_core_at_20000_a_second/median"),
            10.0,
            "%",
        ),
        Verdict::at_most(
            "1,000,000 recorded events through a filter",
            at("recording", "/replay_s_a_million/median"),
            2.0,
            "s",
        ),
        Verdict::at_most(
            "a scrape of 10,000 series while pods come and go, p99",
            at("exporters", "/churn/text/p99_ms/median"),
            200.0,
            "ms",
        ),
        Verdict::at_most("memory while 10,000 pods come and go, with metrics", churn, 128.0, "MiB"),
        Verdict::at_most("resident memory, idle", at("idle", "/resident_mib"), 20.0, "MiB"),
        Verdict::at_most("resident memory, 50 containers and 20,000 live sockets", sockets, 60.0, "MiB"),
        Verdict::at_most("resident memory, at the most under any load here", highest, 128.0, "MiB"),
        Verdict::at_most("all probes attached after the start", at("idle", "/attach_ms/median"), 300.0, "ms"),
    ]
}

/// The most memory of all loads, wherever it stands in their results.
fn most(results: &Results) -> Option<f64> {
    fn find(value: &Value, most: &mut Option<f64>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value.as_f64() {
                        Some(figure) if name == "most_resident_mib" => {
                            *most = Some(most.unwrap_or(0.0).max(figure));
                        }
                        _ => find(value, most),
                    }
                }
            }
            Value::Array(values) => {
                for value in values {
                    find(value, most);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut all = None;
    for value in results.values() {
        find(value, &mut all);
    }
    all
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(median: f64, p75: f64) -> Value {
        json!({"loopback": {"contenders": [{"name": "observer", "kept": {"median": median, "p75": p75}}]}})
    }

    fn outcome(results: &Results, what: &str) -> Outcome {
        verdicts(results).iter().find(|verdict| verdict.what.starts_with(what)).unwrap().outcome
    }

    #[test]
    fn what_was_not_measured_is_no_verdict() {
        let all = verdicts(&Results::new());
        assert!(
            all.iter().all(|verdict| verdict.outcome == Outcome::NotMeasured && verdict.used().is_none())
        );
    }

    #[test]
    fn a_loss_is_over_its_limit_or_not_and_noise_counts_only_where_it_may() {
        let of = |load: &str, median, p75| Results::from([(load.to_owned(), kept(median, p75))]);
        assert_eq!(outcome(&of("requests", 0.996, 0.999), "requests"), Outcome::Met);
        assert_eq!(outcome(&of("requests", 0.99, 0.996), "requests"), Outcome::WithinNoise);
        assert_eq!(outcome(&of("requests", 0.98, 0.99), "requests"), Outcome::Missed);
        assert_eq!(outcome(&of("connections", 0.97, 0.999), "connect"), Outcome::Missed);
    }

    #[test]
    fn more_events_a_second_are_better() {
        let rows = |rate: f64| json!({"rows": [{"clients": 1, "best": {"happened_per_second": rate}}]});
        let of = |rate| Results::from([("subscribers".to_owned(), rows(rate))]);
        assert_eq!(outcome(&of(250_000.0), "events a second"), Outcome::Met);
        assert_eq!(outcome(&of(150_000.0), "events a second"), Outcome::Missed);
    }

    #[test]
    fn the_most_memory_is_found_in_all_results() {
        let results = Results::from([
            ("a".to_owned(), json!({"rows": [{"most_resident_mib": 30.5}, {"most_resident_mib": 50.0}]})),
            ("b".to_owned(), json!({"x": {"observer": {"most_resident_mib": 40}}})),
        ]);
        assert_eq!(most(&results), Some(50.0));
    }
}
