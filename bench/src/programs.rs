//! What the kernel counts of a process's programs: how often they ran, and how long.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use observer_proto::v1::Probe;

/// Runs and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Runs {
    pub(crate) count: u64,
    pub(crate) time_ns: u64,
}

impl Runs {
    /// What was added since.
    fn since(self, before: Self) -> Self {
        Self {
            count: self.count.saturating_sub(before.count),
            time_ns: self.time_ns.saturating_sub(before.time_ns),
        }
    }
}

/// By a program's name or number.
pub(crate) type Programs = BTreeMap<String, Runs>;

/// Those of any process that holds them, such as a tool's.
pub(crate) fn of_process(pid: u32) -> Result<Programs> {
    let mut programs = Programs::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fdinfo")).context("the process is gone")? {
        // One that was closed meanwhile is none of these.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        let number = |name: &str| field(name).and_then(|value| value.parse().ok());
        // A link names its program too, and has no figures.
        let (Some(id), Some(time_ns), Some(count)) =
            (field("prog_id:"), number("run_time_ns:"), number("run_cnt:"))
        else {
            continue;
        };
        programs.insert(id.to_owned(), Runs { count, time_ns });
    }
    Ok(programs)
}

/// The observer's, by the hook and the program.
pub(crate) fn of_observer(probes: &[Probe]) -> BTreeMap<String, Programs> {
    let mut hooks: BTreeMap<String, Programs> = BTreeMap::new();
    for probe in probes {
        let runs = Runs { count: probe.run_count, time_ns: probe.run_time_ns };
        let hook = probe.hook.rsplit('/').next().unwrap_or_default();
        // The iterators read sockets: that is measured by `sockets`.
        if probe.hook.starts_with("tp_btf/") {
            hooks.entry(hook.to_owned()).or_default().insert(probe.name.clone(), runs);
        }
    }
    hooks
}

/// What one call of a hook costs: the time of all programs there, for each time that the first of them ran. None where
/// none did.
pub(crate) fn per_call(before: &Programs, after: &Programs) -> Option<(u64, f64)> {
    let since = after.iter().map(|(name, runs)| runs.since(before.get(name).copied().unwrap_or_default()));
    let (calls, time) =
        since.fold((0, 0), |(calls, time), runs| (runs.count.max(calls), time + runs.time_ns));
    (calls > 0).then(|| (calls, time as f64 / calls as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_programs_on_one_hook_are_one_cost() {
        let runs = |count, time_ns| Runs { count, time_ns };
        let of = |first, second| Programs::from([("a".to_owned(), first), ("b".to_owned(), second)]);
        let cost = per_call(&of(runs(5, 50), runs(5, 10)), &of(runs(15, 2050), runs(15, 510)));
        assert_eq!(cost, Some((10, 250.0)));
        assert_eq!(per_call(&of(runs(5, 50), runs(5, 10)), &of(runs(5, 50), runs(5, 10))), None);
    }
}
