//! The daemon's configuration: flags over environment over file over defaults, as validated types.

mod access;
mod address;
mod bounds;
mod error;
pub(crate) mod exporters;
mod file;
mod flags;
#[cfg(test)]
mod fuzzed;
mod kubernetes;
mod setting;
#[cfg(test)]
mod tests;
mod triggers;

use itertools::Itertools as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use access::{Access, Certificates};
pub(crate) use address::{CriEndpoints, Listen, listen_at, unix_path};
pub(crate) use bounds::parse_duration;
pub(crate) use error::Error;
pub(crate) use flags::Flags;
pub(crate) use kubernetes::KubernetesApi;

use exporters::Exporters;
use setting::{Origin, Setting};

use crate::probe::{HOOKS, deeper_hooks};
use crate::trigger::{Bounds as IncidentBounds, Tuning};

/// The socket that the daemon listens on, and the client asks, unless told otherwise.
pub(crate) const DEFAULT_SOCKET: &str = "unix:///run/observer/observer.sock";
/// The file that is read, if it is there, unless another is named.
pub(crate) const DEFAULT_FILE: &str = "/etc/observer/observer.toml";
/// Where the daemon records, unless something else is wanted.
pub(crate) const DEFAULT_RECORD_DIR: &str = "/var/lib/observer";

/// What the daemon is told to do; every value is within its bounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// Where it serves.
    pub(crate) listen: Vec<Listen>,
    /// Who may ask, and by which certificates.
    pub(crate) access: Access,
    /// Where it asks for containers.
    pub(crate) cri_endpoints: CriEndpoints,
    /// Where Docker and Podman keep their files; `None`: at the usual places.
    pub(crate) container_folders: Option<Vec<PathBuf>>,
    /// The kernel is asked where connections go whose address is translated.
    pub(crate) conntrack: bool,
    /// It enters the network namespaces of others, for what cannot be seen from outside.
    pub(crate) enter_namespaces: bool,
    /// Name servers' answers are read, for the names of outside addresses.
    pub(crate) dns: bool,
    /// Where it asks the Kubernetes API.
    pub(crate) kubernetes: KubernetesApi,
    /// The name that every event carries.
    pub(crate) node_name: String,
    /// The summaries' window unless a client asks for another.
    pub(crate) window: Duration,
    /// The size of the ring buffer for processes.
    pub(crate) process_ring_bytes: u32,
    /// The size of the ring buffer for connections.
    pub(crate) network_ring_bytes: u32,
    /// How many events of a kind a cgroup may have told one by one in a second; 0 for any number.
    pub(crate) event_budget: u32,
    /// How many bytes the events in memory may take.
    pub(crate) history_bytes: usize,
    /// Where it records what happens; `None`: nowhere.
    pub(crate) record_dir: Option<PathBuf>,
    /// How many bytes the recording may take.
    pub(crate) record_bytes: u64,
    /// How old what is in the recording may be.
    pub(crate) record_age: Duration,
    /// How much resident memory it takes, in bytes, whatever the load. The kernel's is not in it.
    pub(crate) max_memory: u64,
    /// How many workloads are known at a time.
    pub(crate) max_workloads: usize,
    /// How many pods of other nodes, services, endpoint slices and nodes are known at a time.
    pub(crate) max_cluster_objects: usize,
    /// How many connections are followed at a time.
    pub(crate) max_connections: usize,
    /// How many edges are known at a time.
    pub(crate) max_edges: usize,
    /// How long an event may wait for its container's name.
    pub(crate) attribution_hold: Duration,
    /// So many ends with failure within the window below are a crash loop.
    pub(crate) crash_loop_ends: u32,
    /// The time in which a container's ends are counted for a crash loop.
    pub(crate) crash_loop_window: Duration,
    /// What opens incidents without being asked.
    pub(crate) triggers: Tuning,
    /// What time is kept around them.
    pub(crate) incidents: IncidentBounds,
    /// How many events may wait for one client before it loses some.
    pub(crate) subscriber_queue: usize,
    /// How many bytes the events that wait for one client may take.
    pub(crate) subscriber_queue_bytes: usize,
    /// How many streams one client may have at a time.
    pub(crate) max_client_streams: usize,
    /// How many calls one client may make in a second.
    pub(crate) max_client_calls: u32,
    /// Hooks of the kernel that no program shall be attached to.
    pub(crate) disabled_hooks: Vec<String>,
    /// What the daemon logs.
    pub(crate) log: log::LevelFilter,
    /// Where metrics are served over HTTP; `None`: nowhere.
    pub(crate) http_listen: Option<SocketAddr>,
    /// Where what happens is sent, beside clients: only in the file.
    pub(crate) exporters: Exporters,
}

/// All keys, in the file's spelling; a flag has dashes, the environment capitals and `OBSERVER_`.
pub(crate) const KEYS: [&str; 48] = [
    "listen",
    "insecure_loopback",
    "access_file",
    "tls_cert",
    "tls_key",
    "tls_client_ca",
    "tls_client_crl",
    "cri_endpoint",
    "container_folder",
    "no_conntrack",
    "enter_namespaces",
    "dns",
    "kubernetes",
    "node_name",
    "window",
    "process_ring_bytes",
    "network_ring_bytes",
    "event_budget",
    "history_bytes",
    "record_dir",
    "record_bytes",
    "record_age",
    "max_memory",
    "max_workloads",
    "max_cluster_objects",
    "max_connections",
    "max_edges",
    "attribution_hold",
    "crash_loop_ends",
    "crash_loop_window",
    "triggers",
    "trigger_connect_failures",
    "trigger_lost_percent",
    "trigger_resets",
    "trigger_latency_factor",
    "trigger_unaccepted",
    "trigger_unread",
    "trigger_start_up",
    "trigger_cool_down",
    "incident_before",
    "incident_after",
    "subscriber_queue",
    "subscriber_queue_bytes",
    "max_client_streams",
    "max_client_calls",
    "http_listen",
    "disabled_hooks",
    "log",
];

/// The settings that were given, by key.
type Settings = BTreeMap<&'static str, Setting>;

impl Config {
    /// From flags, the environment, the file and the defaults, the former before the latter.
    pub(crate) fn load(flags: &Flags, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let named = flags.config.clone().or_else(|| env("OBSERVER_CONFIG").map(PathBuf::from));
        let (mut settings, exporters) = match named {
            Some(path) => file::read(&path)?,
            None if Path::new(DEFAULT_FILE).exists() => file::read(Path::new(DEFAULT_FILE))?,
            None => Default::default(),
        };
        for key in KEYS {
            if let Some(value) = env(&setting::env_name(key)) {
                let values = value.split(',').map(|value| value.trim().to_owned()).collect();
                settings.insert(key, Setting { origin: Origin::Env(key), values });
            }
        }
        settings.extend(flags.settings());
        Self::from_settings(&settings, exporters)
    }

    fn from_settings(settings: &Settings, exporters: Exporters) -> Result<Self, Error> {
        let number = |key| bounds::number(settings, key);
        let insecure = setting::flag(settings, "insecure_loopback")?;
        let listen = address::listen(settings.get("listen"), insecure)?;
        Ok(Self {
            access: access::access(settings, &listen)?,
            listen,
            cri_endpoints: address::cri_endpoints(settings.get("cri_endpoint"))?,
            container_folders: address::container_folders(settings.get("container_folder"))?,
            conntrack: !setting::flag(settings, "no_conntrack")?,
            enter_namespaces: setting::flag(settings, "enter_namespaces")?,
            dns: setting::flag(settings, "dns")?,
            kubernetes: kubernetes::api(settings.get("kubernetes"))?,
            node_name: node_name(settings.get("node_name"))?,
            window: Duration::from_secs(number("window")?),
            process_ring_bytes: number("process_ring_bytes")? as u32,
            network_ring_bytes: number("network_ring_bytes")? as u32,
            event_budget: number("event_budget")? as u32,
            history_bytes: number("history_bytes")? as usize,
            record_dir: record_dir(settings.get("record_dir"))?,
            record_bytes: number("record_bytes")?,
            record_age: Duration::from_secs(number("record_age")?),
            max_memory: number("max_memory")?,
            max_workloads: number("max_workloads")? as usize,
            max_cluster_objects: number("max_cluster_objects")? as usize,
            max_connections: number("max_connections")? as usize,
            max_edges: number("max_edges")? as usize,
            attribution_hold: Duration::from_millis(number("attribution_hold")?),
            crash_loop_ends: number("crash_loop_ends")? as u32,
            crash_loop_window: Duration::from_secs(number("crash_loop_window")?),
            triggers: triggers::tuning(settings)?,
            incidents: triggers::bounds(settings)?,
            subscriber_queue: number("subscriber_queue")? as usize,
            subscriber_queue_bytes: number("subscriber_queue_bytes")? as usize,
            max_client_streams: number("max_client_streams")? as usize,
            max_client_calls: number("max_client_calls")? as u32,
            disabled_hooks: disabled_hooks(settings.get("disabled_hooks"))?,
            log: log_level(settings.get("log"))?,
            http_listen: address::http(settings.get("http_listen"), &exporters.http)?,
            exporters,
        })
    }
}

/// The given name, else the host's.
fn node_name(setting: Option<&Setting>) -> Result<String, Error> {
    let Some(setting) = setting else {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim();
        return Ok(if name.is_empty() { "localhost".to_owned() } else { name.to_owned() });
    };
    let name = setting.single("one name")?;
    if name.is_empty() || name.len() > 253 || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(setting.refused(name, "1 to 253 characters without spaces"));
    }
    Ok(name.to_owned())
}

/// Where it records: the usual folder, another one, or nowhere.
fn record_dir(setting: Option<&Setting>) -> Result<Option<PathBuf>, Error> {
    const ALLOWED: &str = "off, and the absolute path of a folder";
    let Some(setting) = setting else { return Ok(Some(PathBuf::from(DEFAULT_RECORD_DIR))) };
    match setting.single(ALLOWED)? {
        "off" => Ok(None),
        path if Path::new(path).is_absolute() => Ok(Some(PathBuf::from(path))),
        other => Err(setting.refused(other, ALLOWED)),
    }
}

fn disabled_hooks(setting: Option<&Setting>) -> Result<Vec<String>, Error> {
    let Some(setting) = setting else { return Ok(Vec::new()) };
    for name in &setting.values {
        if !HOOKS.iter().map(|&(hook, _)| hook).chain(deeper_hooks()).any(|hook| hook == name) {
            let names: Vec<_> = HOOKS.iter().map(|&(hook, _)| hook).chain(deeper_hooks()).unique().collect();
            return Err(setting.refused(name, names.join(", ")));
        }
    }
    Ok(setting.values.clone())
}

fn log_level(setting: Option<&Setting>) -> Result<log::LevelFilter, Error> {
    const ALLOWED: &str = "off, error, warn, info, debug and trace";
    let Some(setting) = setting else { return Ok(log::LevelFilter::Info) };
    let text = setting.single(ALLOWED)?;
    text.parse().map_err(|_unknown: log::ParseLevelError| setting.refused(text, ALLOWED))
}
