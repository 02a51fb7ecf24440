//! What workloads, ends of connections and processes are called in a story.

use observer_proto::v1::{Endpoint, PeerKind, Process, Tcp, Workload, WorkloadKind};

/// How much of a container's id tells it apart for a reader.
const SHORT_ID: usize = 12;

/// A pod, a container without one, a unit, or the host.
pub(super) fn whole(workload: &Workload) -> String {
    if !workload.pod.is_empty() {
        return format!("{}/{}", workload.namespace, workload.pod);
    }
    match workload.name.as_str() {
        "" if workload.kind() == WorkloadKind::Host => "host".to_owned(),
        "" => "somebody unknown".to_owned(),
        name => name.to_owned(),
    }
}

/// `container app of shop/cart-7d9f`.
pub(super) fn container(workload: &Workload) -> String {
    if workload.sandbox {
        return format!("pod {}", whole(workload));
    }
    if workload.pod.is_empty() {
        return format!("container {}", whole(workload));
    }
    let short = workload.container_id.get(..SHORT_ID).unwrap_or(&workload.container_id);
    let name = if workload.container.is_empty() { short } else { &workload.container };
    format!("container {name} of {}", whole(workload))
}

/// What tells a pod, a container without one, or anything else apart from others, across its runs.
pub(super) fn key(workload: &Workload) -> String {
    if !workload.pod_uid.is_empty() {
        return workload.pod_uid.clone();
    }
    if !workload.container_id.is_empty() {
        return workload.container_id.clone();
    }
    whole(workload)
}

/// What tells one run of a container from others.
pub(super) fn run(workload: &Workload) -> String {
    if workload.container_id.is_empty() { whole(workload) } else { workload.container_id.clone() }
}

/// One end of a connection, without its port.
pub(super) fn end(end: Option<&Endpoint>) -> String {
    let Some(end) = end else { return "somebody unknown".to_owned() };
    let Endpoint { address, workload, service, node_name, dns_name, .. } = end;
    match (workload, end.kind()) {
        (Some(workload), kind) if kind != PeerKind::Loopback => whole(workload),
        (_, _) if !service.is_empty() => service.clone(),
        (_, PeerKind::Node) if !node_name.is_empty() => node_name.clone(),
        (_, PeerKind::Host) => "host".to_owned(),
        (_, _) if !dns_name.is_empty() => dns_name.clone(),
        (_, _) if address.contains(':') => format!("[{address}]"),
        (_, _) => address.clone(),
    }
}

/// Who asked.
pub(super) fn client(tcp: &Tcp, owner: Option<&Workload>) -> String {
    match owner {
        Some(owner) if tcp.outgoing => whole(owner),
        Some(_) | None => end(tcp.source.as_ref()),
    }
}

/// Who was asked, with the port, and who answers behind it.
pub(super) fn server(tcp: &Tcp, owner: Option<&Workload>) -> String {
    let port = |end: Option<&Endpoint>| end.map_or(0, |end| end.port);
    let asked = match owner {
        Some(owner) if !tcp.outgoing => whole(owner),
        Some(_) | None => end(tcp.destination.as_ref()),
    };
    let behind = tcp.backend.as_ref().map(|backend| format!(" ({}:{})", end(Some(backend)), backend.port));
    format!("{asked}:{}{}", port(tcp.destination.as_ref()), behind.unwrap_or_default())
}

/// The other end's workload, where it is known: who really answers, or asks.
pub(super) fn far(tcp: &Tcp) -> Option<&Workload> {
    let end = match &tcp.backend {
        Some(backend) => Some(backend),
        None if tcp.outgoing => tcp.destination.as_ref(),
        None => tcp.source.as_ref(),
    };
    end.and_then(|end| end.workload.as_ref())
}

/// `sh (pid 4312)`.
pub(super) fn process(process: &Process) -> String {
    let name = if process.comm.is_empty() { "a process" } else { process.comm.as_str() };
    format!("{name} (pid {})", process.pid)
}

/// `once`, `twice`, `7 times`.
pub(super) fn times(count: u64) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// `a`, `a and b`, `a, b and c`; of many the first ones and how many more.
pub(super) fn list(names: &[String], most: usize) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        names if names.len() > most => {
            format!("{} and {} more", names[..most].join(", "), names.len() - most)
        }
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
