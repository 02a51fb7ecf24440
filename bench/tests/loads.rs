//! Every load runs, what it writes is whole, and all of it becomes a table and a picture. No figure is judged here.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// One measurement at a time: each starts a node of its own.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Runs it to its end.
fn bench(results: &Path, words: &[&str]) -> Result<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_observer-bench"))
        .arg("--results")
        .arg(results)
        .arg("--quick")
        .args(words)
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{words:?}: {said}{error}");
    Ok(said)
}

/// Runs a load, gives what it wrote, and demands that a report can be made of it.
fn load(words: &[&str]) -> Result<Value> {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let results = TempDir::new()?;
    bench(results.path(), words)?;
    let file = results.path().join(format!("{}.json", words[0]));
    let value: Value = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    ensure!(value["machine"]["processors"].as_u64() > Some(0), "{value}");
    let said = bench(results.path(), &["report"])?;
    let read = |name: &str| std::fs::read_to_string(results.path().join(name));
    let (tables, picture) = (read("README.md")?, read("cost.svg")?);
    let verdicts: Vec<Value> = serde_json::from_str(&read("verdicts.json")?)?;
    ensure!(verdicts.len() >= 15, "{verdicts:?}");
    for verdict in &verdicts {
        let what = verdict["what"].as_str().context("a verdict on nothing")?;
        ensure!(said.contains(what) && tables.contains(what) && picture.contains(what), "{what} is not told");
    }
    ensure!(picture.starts_with("<svg ") && picture.trim_end().ends_with("</svg>"), "no picture: {picture}");
    let known = verdicts.iter().filter(|verdict| !verdict["measured"].is_null()).count();
    ensure!(known > 0, "no budget was measured by {words:?}: {verdicts:?}");
    Ok(value)
}

/// The shortest that a load can be run for.
const SHORT: [&str; 4] = ["--rounds", "1", "--length-ms", "100"];

/// A row for each contender, with something kept and, but for what has no programs to speak of, not all gone.
fn rows(measured: &Value, names: &[&str]) -> Result<()> {
    ensure!(measured["per_second"].as_f64() > Some(0.0), "{measured}");
    let rows = measured["contenders"].as_array().context("no contenders")?;
    let told: Vec<_> = rows.iter().filter_map(|row| row["name"].as_str()).collect();
    ensure!(told == names, "{told:?}");
    for row in rows {
        let kept = row["kept"]["median"].as_f64().context("nothing kept")?;
        ensure!(kept > 0.01 && kept < 100.0, "{row}");
    }
    Ok(())
}

#[test]
fn connections_beside_all_who_watch_them() -> Result<()> {
    let report = load(&[&["connections"][..], &SHORT].concat())?;
    let all = ["observer", "tcplife", "tcpstates"];
    for place in ["loopback", "namespaces", "all_processors_busy", "one_thread"] {
        rows(&report[place], &all)?;
        let observer = &report[place]["observer"];
        ensure!(observer["events"].as_u64() > Some(0) && observer["lost"] == 0, "{observer}");
    }
    let costs = report["calls"]["costs"].as_array().context("no costs")?;
    let of = |who: &str, hook: &str| {
        let found = costs.iter().find(|cost| {
            cost["who"] == who && cost.get("hook").and_then(Value::as_str).unwrap_or_default() == hook
        });
        found
            .and_then(|cost| cost["ns"]["median"].as_f64())
            .with_context(|| format!("{who} {hook}: {costs:?}"))
    };
    ensure!(of("observer", "inet_sock_set_state")? < of("tcpstates", "")?, "{costs:?}");
    ensure!(of("tcplife", "")? > 0.0, "{costs:?}");
    Ok(())
}

#[test]
fn processes_beside_all_who_watch_them() -> Result<()> {
    let report = load(&[&["exec"][..], &SHORT].concat())?;
    rows(&report["loopback"], &["observer", "execsnoop", "exitsnoop"])?;
    let ratio = report["calls"]["ratio"]["median"].as_f64().context("no ratio")?;
    ensure!(ratio > 0.0 && ratio < 1.0, "{report}");
    Ok(())
}

#[test]
fn requests_and_bulk_transfer() -> Result<()> {
    for name in ["requests", "bulk"] {
        let report = load(&[&[name][..], &SHORT].concat())?;
        for place in ["loopback", "namespaces"] {
            rows(&report[place], &["observer"])?;
            let timed = report[place]["p50_us"].as_f64().is_some_and(|p50| p50 > 0.0);
            ensure!(timed == (name == "requests"), "{report}");
        }
    }
    Ok(())
}

#[test]
fn clients_that_get_everything() -> Result<()> {
    let report =
        load(&["subscribers", "--clients", "1", "--clients", "3", "--from", "3000", "--length-ms", "300"])?;
    let rows = report["rows"].as_array().context("no rows")?;
    ensure!(rows.len() == 2, "{report}");
    for row in rows {
        let best = &row["best"];
        let figure = |name: &str| best[name].as_f64().with_context(|| format!("no {name}: {row}"));
        let clients = row["clients"].as_f64().context("no clients")?;
        // Each figure is rounded.
        let apart = figure("delivered_per_second")? - clients * figure("happened_per_second")?;
        ensure!(apart.abs() <= clients && figure("happened_per_second")? > 100.0, "{row}");
    }
    Ok(())
}

#[test]
fn live_sockets_and_nothing() -> Result<()> {
    let sockets = load(&["sockets", "--sockets", "1000", "--passes", "2", "--containers", "2"])?;
    ensure!(sockets["rows"][0]["sockets"] == 1000, "{sockets}");
    let idle = load(&["idle", "--starts", "1", "--seconds", "1"])?;
    ensure!(idle["resident_mib"].as_f64() > Some(1.0), "{idle}");
    Ok(())
}
