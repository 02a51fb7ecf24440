//! Processes as /proc tells of them: identity, parent, state and times.

use std::fmt;
use std::fs;
use std::time::Duration;

/// One process, of which the pid and the start time together are never reused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// Its thread group's id.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
    /// Its parent's pid.
    pub parent: u32,
    /// The kernel's letter for what it does; Z is a zombie.
    pub state: char,
    /// Its name, cut to 15 bytes.
    pub name: String,
    /// The processor time of all its threads.
    pub cpu: Duration,
}

impl ProcessStat {
    /// What /proc says of a process; none when it is gone.
    pub fn read(pid: u32) -> Option<Self> {
        Self::parse(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(pid: u32, text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(") ")?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        // Numbered as proc(5) does, less the three fields before.
        let ticks = number(11)? + number(12)?;
        let per_second = rustix::param::clock_ticks_per_second();
        Some(Self {
            pid,
            start: number(19)?,
            parent: number(1)? as u32,
            state: fields.first()?.chars().next()?,
            name,
            cpu: Duration::from_millis(ticks * 1000 / per_second.max(1)),
        })
    }

    /// All processes of this PID namespace.
    pub fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries.flatten().filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// Whether the process that `line` names (as [`Display`](fmt::Display) wrote it) still runs.
    pub fn runs(line: &str) -> bool {
        Self::named(line).is_some_and(|stat| stat.state != 'Z')
    }

    /// The process that `line` names, if it is still there.
    pub fn named(line: &str) -> Option<Self> {
        let (pid, start) = line.trim().split_once(' ')?;
        Self::read(pid.parse().ok()?).filter(|stat| stat.start.to_string() == start)
    }

    /// The environment that its program started with; empty when it may not be read.
    pub fn environment(&self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        bytes.split(|byte| *byte == 0).map(|entry| String::from_utf8_lossy(entry).into_owned()).collect()
    }

    /// Its arguments, joined by spaces.
    pub fn command_line(&self) -> String {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    }
}

impl fmt::Display for ProcessStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid, self.start)
    }
}
