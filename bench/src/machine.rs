//! On what machine it was measured.

use serde::Serialize;

/// What figures depend on.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    kernel: String,
    processors: usize,
    processor: String,
    /// How many processes wanted to run over the last minute, before anything was measured: more than a few tenths, and
    /// the figures are too high.
    load: f64,
}

impl Machine {
    /// This one.
    pub(crate) fn this() -> Self {
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy();
        Self {
            load: load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(0.0),
            // What its builder added to the version tells nothing about it.
            kernel: release.split('-').next().unwrap_or_default().to_owned(),
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            processor: model.map_or(String::new(), |(_, name)| name.to_owned()),
        }
    }
}
