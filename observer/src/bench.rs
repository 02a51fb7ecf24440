//! The stages one by one, for benchmarks: fed with records as the probes write them, of containers whose names are known.
//!
//! A round is what happens in a twentieth of a second on a busy node. Each has other connections and processes than the
//! one before, and leaves nothing open, so that any number of them is a steady state.

mod exporting;
mod pods;
mod raw;
mod recording;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use observer_proto::served as v1;

use crate::aggregate::{self, Aggregator};
use crate::attribute::{self, Attributor, CrashLoop, Output};
use crate::decode::{self, Body, Record, Tick};
use crate::event::{BootTime, Event, Namespaces, Now, WallTime};
use crate::filter::{Filters, Purpose};
use crate::inventory::{ContainerFact, Fact, PodFact};

pub use self::exporting::{Exporting, Progress};
pub use self::pods::{Pods, Second};
pub use self::raw::{Raw, connections, processes};
pub use self::recording::{Recording, Size};

/// Containers that the records are of, each in a pod of its own.
const CONTAINERS: u64 = 50;
/// When the first round is, in nanoseconds since the machine's start.
const BEGINNING_NS: u64 = 1_000_000_000_000;
const ROUND_NS: u64 = 50_000_000;

/// Records that are understood.
#[derive(Clone, Debug)]
pub struct Decoded(Vec<Record>);

/// Events with their owners.
#[derive(Debug, Default)]
pub struct Events(Vec<Arc<Event>>);

impl Events {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

/// Decodes all of them.
#[must_use]
pub fn decode(raw: &Raw) -> Decoded {
    let tick = Tick::default();
    Decoded(raw.records().filter_map(|bytes| decode::decode(bytes, tick).ok()).collect())
}

fn now(round: u64) -> Now {
    let boot = BEGINNING_NS + (round + 1) * ROUND_NS;
    Now { boot: BootTime(boot), wall: WallTime(boot + 1_700_000_000_000_000_000) }
}

/// The stage that finds owners.
pub struct Attribution {
    stage: Attributor,
    out: Output,
}

impl Default for Attribution {
    /// One that knows the containers.
    fn default() -> Self {
        let mut attribution = Self::empty();
        for number in 0..CONTAINERS {
            attribution.begin(
                number,
                format!("web-{number}"),
                Now { boot: BootTime(BEGINNING_NS), ..now(0) },
            );
        }
        Self { out: Output::default(), ..attribution }
    }
}

impl Attribution {
    fn empty() -> Self {
        let settings = attribute::Settings {
            hold_ns: 1_000_000_000,
            max_held: 65_536,
            max_workloads: 4_096,
            max_cluster_objects: 65_536,
            max_processes: 65_536,
            crash_loop: CrashLoop { ends: 3, window_ns: 600_000_000_000 },
            page_size: 4096,
            host_namespaces: Namespaces { mnt: 1, pid: 2, net: 3 },
            translations: false,
            dns: false,
        };
        Self { stage: Attributor::new(settings, &HashMap::new()), out: Output::default() }
    }

    /// A container begins, in a pod of its own.
    fn begin(&mut self, number: u64, name: String, now: Now) {
        let Self { stage, out } = self;
        let container_id = format!("{number:064x}");
        let uid = format!("{number:08x}-0000-4000-8000-000000000000");
        let path = format!("/kubepods/burstable/pod{uid}/{container_id}");
        let made =
            Record { time: now.boot, cgroup_id: raw::cgroup_id(number), body: Body::CgroupMade { path } };
        stage.record(made, now, out);
        let pod = PodFact {
            uid,
            namespace: "shop".to_owned(),
            name,
            sandbox_id: sandbox_id(number),
            labels: BTreeMap::from([("app".to_owned(), "web".to_owned())]),
            addresses: vec![raw::address(number).into()],
            host_network: false,
            created: None,
            ready: true,
        };
        let container = ContainerFact {
            container_id,
            sandbox: false,
            name: "app".to_owned(),
            image: "registry.example/web:1".to_owned(),
            attempt: Some(0),
            pod: Arc::new(pod),
        };
        stage.fact(Fact::Container(container), now, out);
    }

    /// A container ends, and its pod with it.
    fn end(&mut self, number: u64, now: Now) {
        let Self { stage, out } = self;
        let removed = Record { time: now.boot, cgroup_id: raw::cgroup_id(number), body: Body::CgroupRemoved };
        stage.record(removed, now, out);
        stage.fact(Fact::NoEnd { container_id: format!("{number:064x}") }, now, out);
        stage.fact(Fact::PodGone { sandbox_id: sandbox_id(number) }, now, out);
    }

    /// Attributes a round's records, as the daemon does with what it finds in the rings.
    pub fn attribute(&mut self, records: Decoded, round: u64, into: &mut Events) {
        let now = now(round);
        for record in records.0 {
            self.stage.record(record, now, &mut self.out);
        }
        self.stage.expire(now, &mut self.out);
        into.0.clear();
        into.0.append(&mut self.out.events);
    }
}

/// The container that holds the namespaces of a container's pod.
fn sandbox_id(number: u64) -> String {
    format!("{:064x}", number + (1 << 32))
}

/// The stage that makes windows.
pub struct Aggregation(Aggregator);

impl Default for Aggregation {
    fn default() -> Self {
        Self(Aggregator::new(aggregate::Settings::default(), BootTime(BEGINNING_NS)))
    }
}

impl Aggregation {
    /// Counts a round's events; gives how many windows ended.
    pub fn aggregate(&mut self, events: &Events, round: u64) -> usize {
        for event in &events.0 {
            self.0.record(event);
        }
        self.0.advance(now(round).boot).len()
    }
}

/// A client's filter.
pub struct Filtering(Filters);

impl Filtering {
    /// Failures in one namespace: what is asked for when something is wrong.
    #[must_use]
    pub fn failures() -> Option<Self> {
        Self::new(v1::Filter {
            namespaces: vec!["shop".to_owned()],
            failure_only: true,
            ..v1::Filter::default()
        })
    }

    /// A pod's connections to a port.
    #[must_use]
    pub fn pod_and_port() -> Option<Self> {
        Self::new(v1::Filter {
            pods: vec!["shop/web-1".to_owned()],
            ports: vec![8080],
            ..v1::Filter::default()
        })
    }

    fn new(filter: v1::Filter) -> Option<Self> {
        Filters::compile(vec![filter], Vec::new(), Purpose::Events, "node").ok().map(Self)
    }

    /// How many of the events pass.
    #[must_use]
    pub fn passing(&self, events: &Events) -> usize {
        events.0.iter().filter(|event| self.0.event(event)).count()
    }
}
