//! What the daemon says of itself: capabilities, probes, sources, tables, rings.

use crate::event::{EventType, Loss, WallTime};
use crate::session::SessionState;

/// One thing that the daemon can see, or cannot and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Capability {
    /// Its name, such as `tcp_retransmit`.
    pub(crate) name: &'static str,
    /// `None` where it is there.
    pub(crate) missing: Option<Missing>,
}

/// Why a capability is missing, and what that means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Missing {
    /// Why.
    pub(crate) reason: String,
    /// What is not seen then.
    pub(crate) consequence: String,
    /// What would bring it.
    pub(crate) remedy: String,
}

/// A program in the kernel and its cost; the figures are 0 where the kernel does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProbeStats {
    pub(crate) name: String,
    pub(crate) hook: String,
    pub(crate) run_count: u64,
    pub(crate) run_time_ns: u64,
    /// It does not run now.
    pub(crate) detached: bool,
}

/// A source of identities and whether it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentitySource {
    /// `cri`, `cgroup`, `procfs`, `kubernetes`, `docker`, `podman`, `engines`, `conntrack`, `dns`.
    pub(crate) name: &'static str,
    /// Where it is.
    pub(crate) endpoint: String,
    pub(crate) healthy: bool,
    /// What is the matter, or what answers.
    pub(crate) message: String,
}

/// A bounded table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) entries: u64,
    pub(crate) capacity: u64,
}

/// A map of the probes in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KernelMap {
    pub(crate) name: String,
    /// The kernel's name for what it is.
    pub(crate) kind: &'static str,
    /// `None` where the kernel does not tell, or all are always there.
    pub(crate) entries: Option<u64>,
    /// Of a ring in bytes; 0 for what is kept beside sockets.
    pub(crate) capacity: u64,
    /// The memory that it takes.
    pub(crate) bytes: u64,
}

/// A ring buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingStats {
    pub(crate) name: &'static str,
    pub(crate) size_bytes: u64,
    pub(crate) records: u64,
    pub(crate) lost: u64,
}

/// What the flight recorder does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecorderState {
    /// It is turned off.
    Off,
    /// It looks at what is on disk.
    Opening,
    Recording,
    /// Something keeps it from recording; it tries again.
    Paused,
    /// It does not record before the daemon is started anew.
    Refused,
}

/// The flight recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorder {
    pub(crate) state: RecorderState,
    /// Why it does not record; empty where it does.
    pub(crate) reason: String,
    pub(crate) path: String,
    pub(crate) reach_seconds: u64,
    pub(crate) oldest_event: Option<WallTime>,
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    pub(crate) most_bytes: u64,
    pub(crate) most_seconds: u64,
    pub(crate) commits: u64,
    pub(crate) errors: u64,
    pub(crate) missed_events: u64,
}

impl Recorder {
    /// One that is turned off.
    pub(crate) const fn off() -> Self {
        Self {
            state: RecorderState::Off,
            reason: String::new(),
            path: String::new(),
            reach_seconds: 0,
            oldest_event: None,
            events: 0,
            bytes: 0,
            most_bytes: 0,
            most_seconds: 0,
            commits: 0,
            errors: 0,
            missed_events: 0,
        }
    }

    /// As something that the daemon can do; `None` where nobody wants it.
    pub(crate) fn capability(&self) -> Option<Capability> {
        let missing = match self.state {
            RecorderState::Off => return None,
            RecorderState::Opening | RecorderState::Recording => None,
            RecorderState::Paused | RecorderState::Refused => Some(Missing {
                reason: self.reason.clone(),
                consequence: "what happens now is not recorded".to_owned(),
                remedy:
                    "see docs/recorder.md; it is tried again each 5 s, unless the file is somebody else's"
                        .to_owned(),
            }),
        };
        Some(Capability { name: "flight_recorder", missing })
    }
}

/// What an exporter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExporterState {
    /// It has not sent anything yet.
    Starting,
    Running,
    /// What it sends to does not take it; it tries again.
    Retrying,
}

/// An exporter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exporter {
    /// Its table in the configuration, such as `json.events`.
    pub(crate) name: String,
    /// `json`, `syslog`, `journal`, `otlp`, `metrics`.
    pub(crate) kind: &'static str,
    /// Where it sends to, without anything that is secret.
    pub(crate) endpoint: String,
    pub(crate) state: ExporterState,
    /// Updates that wait for it.
    pub(crate) queued: u64,
    /// What was taken from it since the start: lines, messages, records, scrapes.
    pub(crate) sent: u64,
    /// What was not sent and never will be, by reason; all reasons, also those without.
    pub(crate) lost: Vec<(&'static str, u64)>,
    /// How often it tried again.
    pub(crate) retries: u64,
    /// The newest error; empty where there was none.
    pub(crate) last_error: String,
    pub(crate) last_error_time: Option<WallTime>,
    pub(crate) last_success: Option<WallTime>,
}

/// The whole answer to a status call.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) start_time: WallTime,
    pub(crate) uptime_ns: u64,
    pub(crate) kernel_release: String,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) probes: Vec<ProbeStats>,
    pub(crate) identity_sources: Vec<IdentitySource>,
    pub(crate) events: Vec<(EventType, u64)>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) subscribers: u32,
    pub(crate) events_stored: u64,
    pub(crate) oldest_event: Option<WallTime>,
    pub(crate) tables: Vec<Table>,
    pub(crate) attach_duration_ns: u64,
    pub(crate) resident_bytes: u64,
    pub(crate) cpu_time_ns: u64,
    pub(crate) rings: Vec<RingStats>,
    /// What was only counted, by the records' kinds.
    pub(crate) folded: Vec<(&'static str, u64)>,
    /// What its resident memory may be at most.
    pub(crate) most_resident_bytes: u64,
    pub(crate) open_incidents: u32,
    /// Updates that wait for subscribers.
    pub(crate) queued_updates: u64,
    /// The kernel's memory that maps and programs take.
    pub(crate) kernel_bytes: u64,
    pub(crate) kernel_maps: Vec<KernelMap>,
    pub(crate) debug_sessions: Vec<SessionState>,
    pub(crate) recorder: Recorder,
    pub(crate) exporters: Vec<Exporter>,
}
