//! The daemon's flags: each key as text, to be judged where the environment and the file are.

use std::path::PathBuf;

use super::setting::{Origin, Setting};

/// Flags of `observer daemon`. Each is also a key of the file (`process_ring_bytes`) and a variable
/// of the environment (`OBSERVER_PROCESS_RING_BYTES`); a flag wins over the variable, and that over
/// the file.
#[derive(Clone, Debug, Default, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub(crate) struct Flags {
    /// Read this file [default: /etc/observer/observer.toml where it is there]. In it alone are the tables of exporters
    /// (JSON lines, syslog, the systemd journal and others): docs/exporters.md has them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Serve at unix:///path, at tls://address:port with certificates on both sides, or at tcp://127.0.0.1:port with
    /// --insecure-loopback; may be repeated [default: unix:///run/observer/observer.sock]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    listen: Vec<String>,
    /// Allow --listen tcp://: plain text, loopback only, every local user may connect
    #[arg(long)]
    insecure_loopback: bool,
    /// Who may see what: users and groups at the unix socket, names in certificates. Root and the daemon's user may see all;
    /// without this file nobody else anything. Read again when it changes; docs/access.md says what is in it
    #[arg(long, value_name = "FILE")]
    access_file: Option<String>,
    /// The daemon's certificate for tls://, in PEM, followed by those that lead to its authority. The files of certificates
    /// are read again when they change
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The key of this certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The authorities whose certificates clients must show, in PEM
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<String>,
    /// What these authorities have revoked (CRL), in PEM
    #[arg(long, value_name = "FILE")]
    tls_client_crl: Option<String>,
    /// Ask the container runtime at unix:///path; may be repeated; `none`: ask nobody
    /// [default: the usual sockets of containerd, CRI-O, k3s, k0s and microk8s]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    cri_endpoint: Vec<String>,
    /// Take names of containers from the files of a Docker or Podman engine in this folder; may be
    /// repeated; `none`: from none [default: those of root and of the users in /home, where they are]
    #[arg(long, value_name = "FOLDER", value_delimiter = ',')]
    container_folder: Vec<String>,
    /// Do not ask the kernel's connection tracking where connections go whose address is a Service's
    #[arg(long)]
    no_conntrack: bool,
    /// Enter the network namespaces of pods, for what cannot be seen from outside: where connections go that a pod
    /// itself translates (service meshes), and older connections that no process holds. Needs CAP_SYS_ADMIN, which the
    /// daemon gives up otherwise
    #[arg(long)]
    enter_namespaces: bool,
    /// Show the names that workloads look up for outside addresses. Costs some 30 ns for each packet that comes
    /// to a socket of this machine: a program looks whether it is from UDP port 53. Does not see DNS over TCP, TLS or
    /// HTTPS, nor what was looked up before the daemon began
    #[arg(long)]
    dns: bool,
    /// Ask the Kubernetes API: off, auto (as the service account of the daemon's pod, or as KUBECONFIG names it),
    /// or as this kubeconfig file says [default: auto]
    #[arg(long, value_name = "off|auto|FILE")]
    kubernetes: Option<String>,
    /// The node's name, as Kubernetes calls it [default: the host's name]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
    /// The summaries' window, 1s to 1h [default: 10s]
    #[arg(long, value_name = "DURATION")]
    window: Option<String>,
    /// The ring buffer for processes, a power of two, in the kernel's memory [default: 4MiB]
    #[arg(long, value_name = "SIZE")]
    process_ring_bytes: Option<String>,
    /// The ring buffer for connections, a power of two, in the kernel's memory [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    network_ring_bytes: Option<String>,
    /// Tell at most so many events a second of one container (cgroup) one by one, of each kind: connections; retransmits
    /// and resets; execs and exits. The rest is counted exactly and told as sums; 0: no limit [default: 40000]
    #[arg(long, value_name = "N")]
    event_budget: Option<String>,
    /// Keep the newest events in memory, so much of them, for --last, --since and clients that come back [default: 32MiB]
    #[arg(long, value_name = "SIZE")]
    history_bytes: Option<String>,
    /// Record what happens in this folder, so that --since and its like reach further back than memory, also over a restart;
    /// off: record nothing [default: /var/lib/observer]
    #[arg(long, value_name = "off|DIR")]
    record_dir: Option<String>,
    /// Let the recording take so much of the disk [default: 256MiB]
    #[arg(long, value_name = "SIZE")]
    record_bytes: Option<String>,
    /// Keep in the recording what is no older, 60s to 8760h [default: 24h]
    #[arg(long, value_name = "DURATION")]
    record_age: Option<String>,
    /// Take at most so much memory, whatever the load: tables that would need more take nothing new in, and tell so.
    /// The rings are the kernel's memory and beside it [default: 128MiB]
    #[arg(long, value_name = "SIZE")]
    max_memory: Option<String>,
    /// Know at most so many workloads at a time [default: 10000]
    #[arg(long, value_name = "N")]
    max_workloads: Option<String>,
    /// Know at most so many pods of other nodes, services, endpoint slices and nodes [default: 50000]
    #[arg(long, value_name = "N")]
    max_cluster_objects: Option<String>,
    /// Follow at most so many connections at a time [default: 200000]
    #[arg(long, value_name = "N")]
    max_connections: Option<String>,
    /// Know at most so many edges at a time [default: 50000]
    #[arg(long, value_name = "N")]
    max_edges: Option<String>,
    /// Let an event wait so long for its container's name, the end of a container for what the runtime says of it, and
    /// at the start all events for whom the runtime has (5s at most), 0s to 10s [default: 1s]
    #[arg(long, value_name = "DURATION")]
    attribution_hold: Option<String>,
    /// Call so many failed ends of a container within the window a crash loop, 2 to 20 [default: 3]
    #[arg(long, value_name = "N")]
    crash_loop_ends: Option<String>,
    /// Count a container's failed ends within this time, 1s to 1h [default: 600s]
    #[arg(long, value_name = "DURATION")]
    crash_loop_window: Option<String>,
    /// Open incidents without being asked where something goes wrong, true or false [default: true]. docs/incidents.md has
    /// all triggers, and why their bounds are as they are
    #[arg(long, value_name = "BOOL")]
    triggers: Option<String>,
    /// Take so many failed or unanswered connects on an edge within half a minute for an incident [default: 10]
    #[arg(long, value_name = "N")]
    trigger_connect_failures: Option<String>,
    /// Take an edge that loses so many percent of its segments for one [default: 5]
    #[arg(long, value_name = "PERCENT")]
    trigger_lost_percent: Option<String>,
    /// Take so many connections that a server resets within half a minute for one [default: 20]
    #[arg(long, value_name = "N")]
    trigger_resets: Option<String>,
    /// Take an edge for one whose connects or round trips take so many times as long as they used to [default: 3]
    #[arg(long, value_name = "TIMES")]
    trigger_latency_factor: Option<String>,
    /// Take a connection for one that waits so long for accept(), 1s to 1h [default: 3s]
    #[arg(long, value_name = "DURATION")]
    trigger_unaccepted: Option<String>,
    /// Take data for one that a process does not read for so long, 1s to 1h [default: 15s]
    #[arg(long, value_name = "DURATION")]
    trigger_unread: Option<String>,
    /// Let a container, and an edge that never worked, have so long to start [default: 60s]
    #[arg(long, value_name = "DURATION")]
    trigger_start_up: Option<String>,
    /// Open no other incident for the same reason about the same before so long has passed without it [default: 600s]
    #[arg(long, value_name = "DURATION")]
    trigger_cool_down: Option<String>,
    /// Keep so much of the time before an incident [default: 300s]
    #[arg(long, value_name = "DURATION")]
    incident_before: Option<String>,
    /// Keep so much of the time after what belongs to it, and close it then [default: 60s]
    #[arg(long, value_name = "DURATION")]
    incident_after: Option<String>,
    /// Let so many events wait for a slow client before it loses some [default: 8192]
    #[arg(long, value_name = "N")]
    subscriber_queue: Option<String>,
    /// And so many bytes of them [default: 16MiB]
    #[arg(long, value_name = "SIZE")]
    subscriber_queue_bytes: Option<String>,
    /// A client (user, certificate) may have so many streams at a time [default: 256]
    #[arg(long, value_name = "N")]
    max_client_streams: Option<String>,
    /// A client may make so many calls in a second [default: 500]
    #[arg(long, value_name = "N")]
    max_client_calls: Option<String>,
    /// Serve metrics for Prometheus at http://ADDRESS/metrics, and /healthz and /readyz there: a loopback address and a port;
    /// another address only with TLS, or insecure = true, in the configuration's [http] [default: off]
    #[arg(long, value_name = "off|ADDRESS")]
    http_listen: Option<String>,
    /// Attach nothing to this hook of the kernel; may be repeated. `observer doctor` names the
    /// capability that goes with it
    #[arg(long, value_name = "HOOK", value_delimiter = ',')]
    disabled_hooks: Vec<String>,
    /// Log off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl Flags {
    /// The flags that were given.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&'static str, Setting)> {
        let one = |value: &Option<String>| value.iter().cloned().collect::<Vec<_>>();
        [
            ("listen", self.listen.clone()),
            ("insecure_loopback", self.insecure_loopback.then(|| "true".to_owned()).into_iter().collect()),
            ("access_file", one(&self.access_file)),
            ("tls_cert", one(&self.tls_cert)),
            ("tls_key", one(&self.tls_key)),
            ("tls_client_ca", one(&self.tls_client_ca)),
            ("tls_client_crl", one(&self.tls_client_crl)),
            ("cri_endpoint", self.cri_endpoint.clone()),
            ("container_folder", self.container_folder.clone()),
            ("no_conntrack", self.no_conntrack.then(|| "true".to_owned()).into_iter().collect()),
            ("enter_namespaces", self.enter_namespaces.then(|| "true".to_owned()).into_iter().collect()),
            ("dns", self.dns.then(|| "true".to_owned()).into_iter().collect()),
            ("kubernetes", one(&self.kubernetes)),
            ("node_name", one(&self.node_name)),
            ("window", one(&self.window)),
            ("process_ring_bytes", one(&self.process_ring_bytes)),
            ("network_ring_bytes", one(&self.network_ring_bytes)),
            ("event_budget", one(&self.event_budget)),
            ("history_bytes", one(&self.history_bytes)),
            ("record_dir", one(&self.record_dir)),
            ("record_bytes", one(&self.record_bytes)),
            ("record_age", one(&self.record_age)),
            ("max_memory", one(&self.max_memory)),
            ("max_workloads", one(&self.max_workloads)),
            ("max_cluster_objects", one(&self.max_cluster_objects)),
            ("max_connections", one(&self.max_connections)),
            ("max_edges", one(&self.max_edges)),
            ("attribution_hold", one(&self.attribution_hold)),
            ("crash_loop_ends", one(&self.crash_loop_ends)),
            ("crash_loop_window", one(&self.crash_loop_window)),
            ("triggers", one(&self.triggers)),
            ("trigger_connect_failures", one(&self.trigger_connect_failures)),
            ("trigger_lost_percent", one(&self.trigger_lost_percent)),
            ("trigger_resets", one(&self.trigger_resets)),
            ("trigger_latency_factor", one(&self.trigger_latency_factor)),
            ("trigger_unaccepted", one(&self.trigger_unaccepted)),
            ("trigger_unread", one(&self.trigger_unread)),
            ("trigger_start_up", one(&self.trigger_start_up)),
            ("trigger_cool_down", one(&self.trigger_cool_down)),
            ("incident_before", one(&self.incident_before)),
            ("incident_after", one(&self.incident_after)),
            ("subscriber_queue", one(&self.subscriber_queue)),
            ("subscriber_queue_bytes", one(&self.subscriber_queue_bytes)),
            ("max_client_streams", one(&self.max_client_streams)),
            ("max_client_calls", one(&self.max_client_calls)),
            ("http_listen", one(&self.http_listen)),
            ("disabled_hooks", self.disabled_hooks.clone()),
            ("log", one(&self.log)),
        ]
        .into_iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(key, values)| (key, Setting { origin: Origin::Flag(key), values }))
    }
}
