//! The table of docs/privileges.md, and what the kernel says of a daemon's privileges.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use observer_tests::Daemon;
use observer_tests::daemon::only;

const DOCUMENTATION: &str = include_str!("../../docs/privileges.md");

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) capability: &'static str,
    /// The daemon keeps it once its programs are loaded.
    pub(crate) kept: bool,
    /// What is missing then.
    pub(crate) without: &'static str,
    /// The daemon's own capabilities that it costs; none where the daemon does not start.
    pub(crate) told_by: Vec<&'static str>,
}

/// All rows.
pub(crate) fn documented() -> Result<Vec<Row>> {
    let rows = DOCUMENTATION.lines().filter(|line| line.starts_with("| `CAP_"));
    let rows = rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [capability, kept, _, without, told_by] = cells[..] else { anyhow::bail!("{line}") };
        ensure!(["yes", "no"].contains(&kept), "{line}");
        let told_by = if told_by == "it does not start" {
            Vec::new()
        } else {
            told_by.split(", ").map(|name| name.trim_matches('`')).collect()
        };
        Ok(Row { capability: capability.trim_matches('`'), kept: kept == "yes", without, told_by })
    });
    rows.collect()
}

/// The names of those rows.
pub(crate) fn names(rows: &[Row], is_it: impl Fn(&Row) -> bool) -> Vec<&'static str> {
    rows.iter().filter(|row| is_it(row)).map(|row| row.capability).collect()
}

/// The capabilities of a process with these alone, as the kernel writes them.
fn mask(names: &[&str]) -> Result<String> {
    let words = only(names.iter().copied());
    let (program, rest) = words.split_first().context("no program")?;
    let output = Command::new(program).args(rest).args(["cat", "/proc/self/status"]).output()?;
    ensure!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().find_map(|line| line.strip_prefix("CapEff:")).context("no CapEff")?.trim().to_owned())
}

/// What the kernel says of the privileges of a process's threads, each state once.
fn threads(pid: u32) -> Result<BTreeSet<BTreeMap<String, String>>> {
    let mut states = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(status) = fs::read_to_string(entry?.path().join("status")) else { continue };
        let fields = status.lines().filter_map(|line| line.split_once(":\t"));
        let of_privileges = fields.filter(|(name, _)| name.starts_with("Cap") || *name == "NoNewPrivs");
        states.insert(of_privileges.map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
    }
    ensure!(!states.is_empty(), "no threads of {pid}");
    Ok(states)
}

/// Demands that all threads of a daemon have these capabilities and no others, and can never gain one.
pub(crate) fn has_only(daemon: &Daemon, kept: &[&str], bounding: &[&str]) -> Result<()> {
    let (kept, bounding, none) = (mask(kept)?, mask(bounding)?, mask(&[])?);
    let sets = [
        ("CapInh", &none),
        ("CapPrm", &kept),
        ("CapEff", &kept),
        ("CapBnd", &bounding),
        ("CapAmb", &none),
        ("NoNewPrivs", &"1".to_owned()),
    ];
    let expected = sets.map(|(name, value)| (name.to_owned(), value.clone())).into();
    let states = threads(daemon.pid())?;
    ensure!(states == BTreeSet::from([expected]), "{states:#?}");
    Ok(())
}
