//! Tests of attribution: made of records as decoding gives them, and facts as the inventory does.

mod cluster;
mod endings;
mod identities;
mod lives;
mod names;
mod peers;
mod properties;
mod translations;

use std::collections::BTreeMap;

use EventType::{ContainerStart, ContainerStop, ProcessExec, ProcessExit};

use super::*;
use crate::decode::{Executed, Socket, Task};
use crate::event::{Counters, Detail, Ending, EventType, PeerKind, ProcessKey, TcpState, WallTime};

const ID: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const UID: &str = "4f1c2d3e-5a6b-4c7d-8e9f-001122334455";
const HOLD_NS: u64 = 1_000_000_000;
const GROUP: u64 = 100;
const HOST_NETNS: u32 = 9;

struct Bench {
    attributor: Attributor,
    events: Vec<Arc<Event>>,
    lookups: Vec<String>,
    end_lookups: Vec<EndLookup>,
    amended: Vec<Arc<Event>>,
    completed: Vec<Arc<Workload>>,
    queries: Vec<TranslationQuery>,
    translated: Vec<ConnectionId>,
    time: u64,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings {
            hold_ns: HOLD_NS,
            max_held: 100,
            max_workloads: 10,
            max_cluster_objects: 100,
            max_processes: 20,
            crash_loop: CrashLoop { ends: 3, window_ns: 600_000_000_000 },
            page_size: 4096,
            host_namespaces: Namespaces { mnt: 1, pid: 2, net: HOST_NETNS },
            translations: false,
            dns: true,
        };
        let attributor = Attributor::new(settings, &HashMap::from([(3, "TCP_STATE".to_owned())]));
        Self {
            attributor,
            events: Vec::new(),
            lookups: Vec::new(),
            end_lookups: Vec::new(),
            amended: Vec::new(),
            completed: Vec::new(),
            queries: Vec::new(),
            translated: Vec::new(),
            time: 1_000_000_000_000,
        }
    }

    fn now(&self) -> Now {
        Now { boot: BootTime(self.time), wall: WallTime(self.time + 5_000_000_000_000) }
    }

    fn act(&mut self, act: impl FnOnce(&mut Attributor, Now, &mut Output)) {
        self.time += 1000;
        let mut out = Output::default();
        let now = self.now();
        act(&mut self.attributor, now, &mut out);
        self.events.extend(out.events);
        self.lookups.extend(out.lookups);
        self.end_lookups.extend(out.end_lookups);
        self.amended.extend(out.amended);
        self.completed.extend(out.completed);
        self.queries.extend(out.translations);
        self.translated.extend(out.translated.iter().map(|(id, _)| *id));
    }

    fn record(&mut self, cgroup_id: u64, body: Body) {
        self.act(|attributor, now, out| {
            attributor.record(Record { time: now.boot, cgroup_id, body }, now, out);
        });
    }

    fn fact(&mut self, fact: Fact) {
        self.act(|attributor, now, out| attributor.fact(fact, now, out));
    }

    fn types(&self) -> Vec<EventType> {
        self.events.iter().map(|event| event.event_type()).collect()
    }

    fn make_container(&mut self) {
        let path = format!("/kubepods/burstable/pod{UID}/{ID}");
        self.record(GROUP, Body::CgroupMade { path });
    }
}

fn task(pid: u32, start: u64) -> Task {
    Task { key: ProcessKey { pid, start: BootTime(start) }, uid: 0, comm: "sh".into() }
}

fn no_end() -> Fact {
    Fact::NoEnd { container_id: ID.to_owned() }
}

fn exec(pid: u32, start: u64) -> Body {
    Body::Exec(Box::new(executed(pid, start)))
}

fn executed(pid: u32, start: u64) -> Executed {
    Executed {
        task: task(pid, start),
        ancestors: vec![(task(1, 0), 0)],
        binary: b"/bin/sh".to_vec(),
        arguments: vec![b"sh".to_vec()],
        ..Executed::default()
    }
}

fn exit(pid: u32, start: u64, ending: Ending) -> Body {
    exited(pid, start, ending, false)
}

fn exited(pid: u32, start: u64, ending: Ending, oom_killed: bool) -> Body {
    let task = task(pid, start);
    Body::Exit { task, parent_pid: 1, ending, oom_killed, cpu_time_ns: Some(1), peak_pages: 2 }
}

fn pod_fact(address: &str, sandbox: &str, uid: &str) -> PodFact {
    PodFact {
        uid: uid.to_owned(),
        namespace: "shop".to_owned(),
        name: format!("cart-{sandbox}"),
        sandbox_id: sandbox.to_owned(),
        labels: BTreeMap::from([("app".to_owned(), "cart".to_owned())]),
        addresses: vec![address.parse().unwrap()],
        host_network: false,
        created: None,
        ready: true,
    }
}

fn named(uid: &str) -> Fact {
    Fact::Container(ContainerFact {
        container_id: ID.to_owned(),
        sandbox: false,
        name: "app".to_owned(),
        image: "local/app:1".to_owned(),
        attempt: Some(2),
        pod: Arc::new(pod_fact("10.0.0.9", "s1", uid)),
    })
}

fn closed(local: &str, remote: &str) -> Body {
    Body::Ended {
        socket: Socket {
            cookie: 1,
            local: local.parse().unwrap(),
            remote: remote.parse().unwrap(),
            netns: 1,
            state: Some(TcpState(1)),
            outgoing: Some(true),
        },
        task: None,
        start: None,
        established: true,
        counters: Counters::default(),
        errno: 0,
    }
}

#[test]
fn the_runtime_that_executes_itself_again_does_not_start_the_container() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    let itself = Executed { binary: b"/dev/fd/6".to_vec(), ..executed(6, 60) };
    bench.record(GROUP, Body::Exec(Box::new(itself)));
    bench.record(GROUP, exit(6, 60, Ending::Code(0)));
    bench.record(GROUP, exec(7, 70));
    bench.record(GROUP, exit(7, 70, Ending::Code(1)));
    bench.fact(no_end());
    let expected = [
        EventType::ProcessExec,
        EventType::ProcessExit,
        EventType::ContainerStart,
        EventType::ProcessExec,
        EventType::ProcessExit,
        EventType::ContainerStop,
    ];
    assert_eq!(bench.types(), expected);
    let owners: Vec<_> =
        bench.events.iter().map(|event| event.workload.as_ref().unwrap().container_id.as_str()).collect();
    assert_eq!(owners, ["", "", ID, ID, ID, ID], "the runtime's helper is none of the container's processes");
}

#[test]
fn events_wait_for_their_containers_names() {
    let mut bench = Bench::new();
    bench.make_container();
    assert_eq!(bench.lookups, [ID]);
    bench.record(GROUP, exec(7, 5));
    bench.record(GROUP, exit(7, 5, Ending::Code(3)));
    assert!(bench.events.is_empty(), "they wait");
    bench.fact(named(UID));
    bench.fact(no_end());
    assert_eq!(bench.types(), [ContainerStart, ProcessExec, ProcessExit, ContainerStop]);
    for (event, sequence) in bench.events.iter().zip(1..) {
        let workload = event.workload.as_ref().unwrap();
        assert_eq!(
            (workload.namespace.as_str(), workload.pod.as_str(), workload.container.as_str()),
            ("shop", "cart-s1", "app")
        );
        assert_eq!(event.sequence, sequence);
    }
    let Detail::ContainerStop(stop) = &bench.events[3].detail else { panic!() };
    assert_eq!(stop.ending, Some(Ending::Code(3)));
}

#[test]
fn nobody_waits_longer_than_the_hold_or_for_an_answer_that_is_no() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.record(GROUP, exec(7, 5));
    bench.time += HOLD_NS;
    bench.act(Attributor::expire);
    assert_eq!(bench.events.len(), 2);
    let workload = bench.events[0].workload.as_ref().unwrap();
    assert_eq!(
        (workload.container_id.as_str(), workload.pod_uid.as_str()),
        (ID, UID),
        "the path tells these"
    );

    let mut bench = Bench::new();
    bench.make_container();
    bench.record(GROUP, exec(7, 5));
    bench.fact(Fact::Unknown { container_id: ID.to_owned() });
    assert_eq!(bench.events.len(), 2);
    bench.record(GROUP, exit(7, 5, Ending::Code(0)));
    bench.fact(no_end());
    assert_eq!(bench.events.len(), 4, "later ones do not wait again");
}

#[test]
fn somebody_who_enters_is_not_the_containers_start_nor_its_end() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    bench.record(GROUP, exec(7, 5));
    bench.record(GROUP, exec(8, 6));
    bench.record(GROUP, exit(8, 6, Ending::Code(0)));
    assert_eq!(bench.types().iter().filter(|&&t| t == EventType::ContainerStart).count(), 1);
    assert!(!bench.types().contains(&EventType::ContainerStop));
    bench.record(GROUP, Body::CgroupRemoved);
    bench.fact(no_end());
    assert_eq!(
        bench.types().last(),
        Some(&EventType::ContainerStop),
        "its end was not seen, but its cgroup went"
    );
}

#[test]
fn an_exit_told_twice_counts_once() {
    let mut bench = Bench::new();
    bench.record(1, exit(7, 5, Ending::Code(0)));
    bench.record(1, exit(7, 5, Ending::Code(0)));
    assert_eq!(bench.events.len(), 1);
    bench.record(1, exit(7, 6, Ending::Code(0)));
    assert_eq!(bench.events.len(), 2, "the pid was used again");
}

#[test]
fn tables_are_bounded_and_say_so() {
    let mut bench = Bench::new();
    for n in 0..30 {
        let path = format!("/system.slice/unit{n}.service");
        bench.record(1000 + n, Body::CgroupMade { path });
        bench.record(1, exec(n as u32 + 1, 5));
    }
    assert!(bench.attributor.identities.len() <= 10);
    let [(_, workloads), (_, processes), ..] = bench.attributor.take_overflows();
    assert_eq!((workloads, processes), (21, 10), "the host takes one place");
}
