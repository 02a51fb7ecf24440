//! How often queues of listeners overflowed, which the kernel counts for each network namespace.

use std::collections::HashMap;
use std::fs;
use std::io;

/// The file begins with the names of its figures, and repeats them with the values.
const SECTION: &str = "TcpExt:";
/// A SYN or the end of a handshake found the queue for accept() full.
const NAME: &str = "ListenOverflows";

/// The namespaces' counters as they were read last.
#[derive(Debug, Default)]
pub(crate) struct Overflows {
    last: HashMap<u32, u64>,
}

impl Overflows {
    /// Makes a namespace known with what it had counted when a listener of it was found that is older
    /// than this daemon.
    pub(crate) fn begin(&mut self, netns: u32, pid: u32) {
        if !self.last.contains_key(&netns)
            && let Ok(count) = read(pid)
        {
            self.last.insert(netns, count);
        }
    }

    /// What a namespace, read by one of its processes, has counted since the last time; all of it where
    /// it was never read, as it is younger than this daemon. `None` where it cannot be read.
    pub(crate) fn since(&mut self, netns: u32, pid: u32) -> Option<u64> {
        let count = read(pid).ok()?;
        Some(count.saturating_sub(self.last.insert(netns, count).unwrap_or(0)))
    }

    /// So many of what `since` gave are to be given again: they came after what they are compared with.
    pub(crate) fn put_back(&mut self, netns: u32, count: u64) {
        if let Some(last) = self.last.get_mut(&netns) {
            *last -= count.min(*last);
        }
    }

    /// Forgets the namespaces that have no listener any more.
    pub(crate) fn retain(&mut self, is_there: impl Fn(u32) -> bool) {
        self.last.retain(|netns, _| is_there(*netns));
    }
}

fn read(pid: u32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/net/netstat"))?;
    figure(&text).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn figure(text: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(SECTION));
    let (names, values) = (lines.next()?, lines.next()?);
    let at = names.split_whitespace().position(|name| name == NAME)?;
    values.split_whitespace().nth(at)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_is_found_by_its_name() {
        let text =
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 1 22 333\nIpExt: A\nIpExt: 4\n";
        assert_eq!(figure(text), Some(22));
        assert_eq!(figure("TcpExt: A\nTcpExt: 1\n"), None);
        assert_eq!(figure(""), None);
    }

    #[test]
    fn this_process_has_a_namespace() {
        let mut overflows = Overflows::default();
        overflows.begin(1, std::process::id());
        assert!(overflows.since(1, std::process::id()).is_some());
        assert_eq!(overflows.since(2, u32::MAX), None);
    }
}
