//! A hundred filters of all kinds, each with what it lets pass of each load.

use observer_proto::v1::{EventType, Filter, PortRange};
use observer_tests::Pod;

/// Loads; each has a port, an address and a container.
pub(crate) const LOADS: usize = 20;
/// Loads, and containers, of a pod.
pub(crate) const IN_A_POD: usize = 2;
/// Pods of a namespace.
pub(crate) const IN_A_NAMESPACE: usize = 2;
/// Filters.
pub(crate) const FILTERS: usize = 100;
/// The ports of the loads, from this on.
const FIRST_PORT: u16 = 23_400;

/// The port of a load.
pub(crate) fn port(load: usize) -> u16 {
    FIRST_PORT + load as u16
}

/// The address that it connects to.
pub(crate) fn address(load: usize) -> String {
    format!("127.0.44.{load}")
}

/// The container that it runs in.
pub(crate) fn container(load: usize) -> String {
    format!("load-{load:02}")
}

/// The label `slot` of a pod.
pub(crate) fn slot(pod: usize) -> String {
    format!("s{pod}")
}

/// What a client asks for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) allow: Vec<Filter>,
    pub(crate) deny: Vec<Filter>,
    /// How many events of a connection pass, by the load that made it.
    pub(crate) of_each: [u64; LOADS],
}

impl Asked {
    fn new(allow: Filter, loads: impl IntoIterator<Item = usize>, events: u64) -> Self {
        let mut of_each = [0; LOADS];
        for load in loads {
            of_each[load] += events;
        }
        Self { allow: vec![allow], deny: Vec::new(), of_each }
    }
}

fn of(types: &[EventType]) -> Filter {
    Filter { types: types.iter().map(|of| i32::from(*of)).collect(), ..Filter::default() }
}

/// Each connection is a start at both ends, a reset that was sent and received, and an end of both.
pub(crate) fn all(pods: &[Pod]) -> Vec<Asked> {
    (0..FILTERS).map(|number| one(number, pods)).collect()
}

fn one(number: usize, pods: &[Pod]) -> Asked {
    use EventType::{TcpAccept as Accept, TcpClose as Close, TcpConnect as Connect, TcpReset as Reset};
    let load = number % LOADS;
    let pod = load / IN_A_POD;
    let in_pod = || pod * IN_A_POD..(pod + 1) * IN_A_POD;
    let namespace = pod / IN_A_NAMESPACE * IN_A_NAMESPACE * IN_A_POD;
    let in_namespace = || namespace..namespace + IN_A_NAMESPACE * IN_A_POD;
    let (of_pod, own) = (&pods[pod], u32::from(port(load)));
    let name = of_pod.name().to_owned();
    let by_port = |types: &[EventType]| Filter { ports: vec![own], ..of(types) };
    match number % 13 {
        0 => Asked::new(by_port(&[Connect]), [load], 1),
        1 => {
            let last = (load + 1).min(LOADS - 1);
            let range = PortRange { first: own, last: u32::from(port(last)) };
            Asked::new(Filter { port_ranges: vec![range], ..of(&[Reset]) }, load..=last, 2)
        }
        2 => {
            let addresses = vec![format!("{}/32", address(load))];
            Asked::new(Filter { addresses, ..of(&[Accept]) }, [load], 1)
        }
        3 => Asked::new(Filter { containers: vec![container(load)], ..of(&[Close]) }, [load], 2),
        4 => {
            let pods = vec![format!("{}/{name}", of_pod.namespace())];
            Asked::new(Filter { pods, ..of(&[Connect]) }, in_pod(), 1)
        }
        // Over loopback a pod is on both sides.
        5 => Asked::new(Filter { from_pods: vec![format!("/{name}")], ..of(&[Reset]) }, in_pod(), 2),
        6 => Asked::new(Filter { to_pods: vec![name], ..of(&[]) }, in_pod(), 6),
        7 => {
            let labels = vec![format!("slot={}, tier in (busy, idle), !canary", slot(pod))];
            Asked::new(Filter { labels, ..of(&[Accept]) }, in_pod(), 1)
        }
        8 => {
            let namespaces = vec![of_pod.namespace().to_owned()];
            Asked::new(Filter { namespaces, ..of(&[Connect]) }, in_namespace(), 1)
        }
        9 => Asked::new(Filter { failure_only: true, ..by_port(&[Reset, Connect, Accept]) }, [load], 2),
        10 => {
            let min_latency = Some(prost_types::Duration { seconds: 0, nanos: 1 });
            Asked::new(Filter { min_latency, ..by_port(&[Connect, Reset]) }, [load], 1)
        }
        11 => {
            let deny = vec![of(&[Connect, Accept]), Filter { failure_only: true, ..of(&[Reset]) }];
            Asked { deny, ..Asked::new(by_port(&[]), [load], 2) }
        }
        _ => {
            let other = (load + 1) % LOADS;
            let mut asked = Asked::new(by_port(&[Accept]), [load, other], 1);
            asked.allow.push(Filter { ports: vec![port(other).into()], ..of(&[Connect]) });
            asked
        }
    }
}
