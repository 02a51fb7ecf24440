//! Names of workloads, peers and processes as they stand in lines and tables, harmless.

use observer_proto::v1::{Edge, Endpoint, PeerKind, Process, Tcp, Workload, WorkloadKind};

use super::escape::escape;

/// How much of a container's id tells it apart for a reader.
const SHORT_ID: usize = 12;

/// The whole name of a workload: `namespace/pod/container`, a unit, or `host`.
pub(crate) fn owner(workload: Option<&Workload>) -> String {
    let Some(workload) = workload else { return "(unknown)".to_owned() };
    if workload.pod.is_empty() {
        return name(workload);
    }
    let container = match (workload.sandbox, workload.container.as_str()) {
        (true, _) => "(sandbox)",
        // A pod that is known by its address alone.
        (false, "") if workload.container_id.is_empty() => return name(workload),
        (false, "") => short(&workload.container_id),
        (false, container) => container,
    };
    format!("{}/{}", name(workload), escape(container))
}

/// The node that a workload is on, behind its name, where several nodes tell.
pub(crate) fn on(node: &str) -> String {
    if node.is_empty() { String::new() } else { format!(" [{}]", escape(node)) }
}

/// A workload without its container, as a peer is called: `namespace/pod`, a unit, or `host`.
pub(crate) fn name(workload: &Workload) -> String {
    if !workload.pod.is_empty() {
        return format!("{}/{}", escape(&workload.namespace), escape(&workload.pod));
    }
    match workload.name.as_str() {
        "" if workload.kind() == WorkloadKind::Host => "host".to_owned(),
        "" => "(unknown)".to_owned(),
        name => escape(name).into_owned(),
    }
}

/// What made a pod: `Deployment/cart`.
pub(crate) fn maker(workload: &Workload) -> Option<String> {
    let Workload { owner_kind, owner_name, .. } = workload;
    (!owner_name.is_empty()).then(|| format!("{}/{}", escape(owner_kind), escape(owner_name)))
}

/// One end of a connection with its port.
pub(crate) fn endpoint(endpoint: Option<&Endpoint>) -> String {
    let Some(endpoint) = endpoint else { return "(unknown)".to_owned() };
    let Endpoint { workload, address, service, node_name, dns_name, .. } = endpoint;
    if workload.is_none() && service.is_empty() && !dns_name.is_empty() {
        return format!("{}:{} ({})", escape(dns_name), endpoint.port, escape(address));
    }
    let cluster = Cluster { service, node_name };
    let (name, kind) = peer(endpoint.kind(), workload.as_ref(), address, cluster);
    format!("{name}:{}{kind}", endpoint.port)
}

/// The end that listened with its port, and who answers for it, if that is somebody else.
pub(crate) fn destination(tcp: &Tcp) -> String {
    let to = endpoint(tcp.destination.as_ref());
    match &tcp.backend {
        Some(backend) => format!("{to} -> {}", endpoint(Some(backend))),
        None => to,
    }
}

/// The address of one end with its port.
pub(crate) fn address(endpoint: Option<&Endpoint>) -> String {
    endpoint.map_or_else(String::new, |end| format!("{}:{}", bracketed(&end.address), end.port))
}

/// The other side of an edge, without its port, and who answers for it.
pub(crate) fn edge(edge: &Edge) -> String {
    let (name, kind) = edge_parts(edge);
    format!("{name}{kind}{}", answering(edge))
}

/// The other side of an edge, with its port, and who answers for it.
pub(crate) fn edge_with_port(edge: &Edge) -> String {
    let (name, kind) = edge_parts(edge);
    format!("{name}:{}{kind}{}", edge.port, answering(edge))
}

/// Who answers on an edge in another's name.
pub(crate) fn answering(edge: &Edge) -> String {
    edge.backend.as_ref().map_or_else(String::new, |backend| format!(" -> {}", endpoint(Some(backend))))
}

fn edge_parts(edge: &Edge) -> (String, String) {
    let Edge { workload, address, service, node_name, dns_name, .. } = edge;
    if workload.is_none() && service.is_empty() && !dns_name.is_empty() {
        return (escape(dns_name).into_owned(), format!(" ({})", escape(address)));
    }
    let (name, kind) = peer(edge.kind(), workload.as_ref(), address, Cluster { service, node_name });
    (name, kind.to_owned())
}

/// What the cluster says of a peer.
#[derive(Clone, Copy)]
struct Cluster<'a> {
    service: &'a str,
    node_name: &'a str,
}

/// A process: `pid 4312 cart`.
pub(crate) fn process(process: &Process) -> String {
    let comm = escape(&process.comm);
    let space = if comm.is_empty() { "" } else { " " };
    format!("pid {}{space}{comm}", process.pid)
}

/// The first characters of a container's id.
pub(crate) fn short(id: &str) -> &str {
    id.char_indices().nth(SHORT_ID).map_or(id, |(end, _)| &id[..end])
}

/// The name of a peer, and what it is where a reader would take it for a pod.
fn peer(
    kind: PeerKind,
    workload: Option<&Workload>,
    address: &str,
    cluster: Cluster<'_>,
) -> (String, &'static str) {
    let Cluster { service, node_name } = cluster;
    match (workload, kind) {
        // By loopback a workload talks to itself: its address says more than its name.
        (_, PeerKind::Loopback) if !address.is_empty() => (bracketed(address), ""),
        (Some(workload), _) => (name(workload), ""),
        (None, PeerKind::Service) if !service.is_empty() => (escape(service).into_owned(), " (service)"),
        (None, _) if !service.is_empty() => (escape(service).into_owned(), " (endpoint)"),
        (None, PeerKind::Node) if !node_name.is_empty() => (escape(node_name).into_owned(), " (node)"),
        (None, PeerKind::Many) => ("(many)".to_owned(), ""),
        (None, PeerKind::Host) => ("host".to_owned(), ""),
        (None, _) if address.is_empty() => ("(unknown)".to_owned(), ""),
        (None, _) => (bracketed(address), ""),
    }
}

/// An address that a port may follow.
fn bracketed(address: &str) -> String {
    let address = escape(address);
    if address.contains(':') { format!("[{address}]") } else { address.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn workloads_have_one_name_each() {
        let pod = testing::pod("shop", "cart-7d9f", "app");
        assert_eq!(owner(Some(&pod)), "shop/cart-7d9f/app");
        let unnamed = Workload { container: String::new(), ..pod.clone() };
        assert_eq!(owner(Some(&unnamed)), "shop/cart-7d9f/0123456789ab");
        assert_eq!(owner(Some(&Workload { sandbox: true, ..pod })), "shop/cart-7d9f/(sandbox)");
        let unit = Workload { name: "ssh.service".to_owned(), ..Workload::default() };
        assert_eq!(owner(Some(&unit)), "ssh.service");
        let host = Workload { kind: WorkloadKind::Host.into(), ..Workload::default() };
        assert_eq!(owner(Some(&host)), "host");
        assert_eq!(owner(None), "(unknown)");
        let hostile = testing::pod("a\x1b[2J", "b\n", "c");
        assert_eq!(owner(Some(&hostile)), "a\\x1b[2J/b\\n/c");
    }

    #[test]
    fn peers_are_named_where_they_are_known() {
        let mut end = Endpoint { address: "2001:db8::1".to_owned(), port: 443, ..Endpoint::default() };
        assert_eq!(endpoint(Some(&end)), "[2001:db8::1]:443");
        end.workload = Some(testing::pod("shop", "redis-0", "redis"));
        assert_eq!(endpoint(Some(&end)), "shop/redis-0:443");
        assert_eq!(address(Some(&end)), "[2001:db8::1]:443");
        end.set_kind(PeerKind::Loopback);
        assert_eq!(endpoint(Some(&end)), "[2001:db8::1]:443");
        end.set_kind(PeerKind::Pod);
        end.node_name = "node2".to_owned();
        assert_eq!(endpoint(Some(&end)), "shop/redis-0:443", "a pod is a pod wherever it runs");
        let host = Edge { kind: PeerKind::Host.into(), address: "10.0.0.1".to_owned(), ..Edge::default() };
        assert_eq!(edge(&host), "host");
    }

    #[test]
    fn outside_addresses_have_the_names_that_were_looked_up() {
        let address = "2001:db8::1".to_owned();
        let mut end =
            Endpoint { address, port: 443, dns_name: "example.com".to_owned(), ..Endpoint::default() };
        end.set_kind(PeerKind::Outside);
        assert_eq!(endpoint(Some(&end)), "example.com:443 (2001:db8::1)");
        assert_eq!(super::address(Some(&end)), "[2001:db8::1]:443");
        let (kind, address, dns_name) = (end.kind, end.address.clone(), end.dns_name.clone());
        let outside = Edge { kind, address, dns_name, port: 443, ..Edge::default() };
        assert_eq!(edge_with_port(&outside), "example.com:443 (2001:db8::1)");
        end.dns_name = "a\x1b[2J.example".to_owned();
        assert_eq!(endpoint(Some(&end)), "a\\x1b[2J.example:443 (2001:db8::1)");
        end.service = "data/db".to_owned();
        assert_eq!(endpoint(Some(&end)), "data/db:443 (endpoint)", "the cluster's own name says more");
    }

    #[test]
    fn what_is_no_pod_says_what_it_is() {
        let mut end = Endpoint { address: "10.96.0.7".to_owned(), port: 80, ..Endpoint::default() };
        end.set_kind(PeerKind::Service);
        end.service = "shop/web".to_owned();
        assert_eq!(endpoint(Some(&end)), "shop/web:80 (service)");
        let mut backend = Endpoint { port: 8080, ..Endpoint::default() };
        backend.workload = Some(testing::pod("shop", "web-0", "app"));
        let mut through = Edge { kind: end.kind, service: end.service.clone(), port: 80, ..Edge::default() };
        through.backend = Some(backend);
        assert_eq!(edge_with_port(&through), "shop/web:80 (service) -> shop/web-0:8080");
        assert_eq!(edge(&through), "shop/web (service) -> shop/web-0:8080");
        end.set_kind(PeerKind::Outside);
        assert_eq!(endpoint(Some(&end)), "shop/web:80 (endpoint)");
        let node = Edge {
            kind: PeerKind::Node.into(),
            node_name: "node2\n".to_owned(),
            port: 10_250,
            ..Edge::default()
        };
        assert_eq!(
            (edge(&node), edge_with_port(&node)),
            ("node2\\n (node)".into(), "node2\\n:10250 (node)".into())
        );
    }
}
