//! The story of an end: what waits for whom, what is told once, and what comes late.

use super::*;
use crate::event::{ContainerStop, EndKind, Origin, RuntimeEnd};
use crate::inventory::EndFact;

const OTHER_ID: &str = "1a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const OTHER_GROUP: u64 = 101;
const SANDBOX_ID: &str = "2a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";
const SANDBOX_GROUP: u64 = 102;
const SIGTERM: u8 = 15;
const SIGKILL: u8 = 9;

fn ended(reason: &str, exit_code: i32) -> Fact {
    let end = RuntimeEnd { reason: reason.to_owned(), exit_code, ..RuntimeEnd::default() };
    Fact::Ended(EndFact { container_id: ID.to_owned(), end })
}

fn other(container_id: &str, name: &str, sandbox: bool) -> Fact {
    let Fact::Container(fact) = named(UID) else { panic!() };
    let (container_id, name) = (container_id.to_owned(), name.to_owned());
    Fact::Container(ContainerFact { container_id, sandbox, name, ..fact })
}

fn killed(signal: u8) -> Ending {
    Ending::Signal { signal, core_dumped: false }
}

fn sent(signal: u8, sender_cgroup: u64) -> Body {
    let receiver = ProcessKey { pid: 7, start: BootTime(5) };
    Body::Signal { receiver, signal, ignored: false, sender: task(50, 1), sender_cgroup }
}

fn stop(event: &Event) -> &ContainerStop {
    let Detail::ContainerStop(stop) = &event.detail else { panic!("{event:?}") };
    stop
}

impl Bench {
    /// A container of that name whose first process is pid 7, started at 5.
    fn run() -> Self {
        let mut bench = Self::new();
        bench.make_container();
        bench.fact(named(UID));
        bench.record(GROUP, exec(7, 5));
        bench
    }

    fn make(&mut self, group: u64, id: &str) {
        self.record(group, Body::CgroupMade { path: format!("/kubepods/burstable/pod{UID}/{id}") });
    }

    fn stops(&self) -> Vec<&ContainerStop> {
        let stops = self.events.iter().filter(|event| event.event_type() == ContainerStop);
        stops.map(|event| stop(event)).collect()
    }
}

#[test]
fn an_end_waits_for_the_runtimes_word_and_is_told_once() {
    let mut bench = Bench::run();
    bench.record(GROUP, exit(7, 5, Ending::Code(3)));
    assert_eq!(bench.end_lookups, [EndLookup { container_id: ID.to_owned(), oom_killed: false }]);
    assert!(bench.stops().is_empty());
    bench.fact(ended("Error", 3));
    bench.fact(ended("Error", 3));
    bench.time += HOLD_NS;
    bench.act(Attributor::expire);
    let stops = bench.stops();
    assert_eq!(stops.len(), 1);
    assert_eq!(
        (stops[0].kind(), stops[0].code(), stops[0].sources_disagree()),
        (EndKind::Error, Some(3), false)
    );
    assert_eq!(stops[0].runtime.as_ref().unwrap().reason, "Error");
    assert!(bench.amended.is_empty());
}

#[test]
fn a_runtime_that_is_quicker_than_the_kernel_is_not_asked() {
    let mut bench = Bench::run();
    bench.fact(ended("Completed", 0));
    bench.record(GROUP, exit(7, 5, Ending::Code(0)));
    assert!(bench.end_lookups.is_empty());
    assert_eq!(bench.stops().len(), 1);
    assert!(bench.stops()[0].runtime.is_some());
}

#[test]
fn what_comes_late_is_not_sent_again_but_kept() {
    let mut bench = Bench::run();
    bench.record(GROUP, exit(7, 5, killed(SIGKILL)));
    bench.time += HOLD_NS;
    bench.act(Attributor::expire);
    assert_eq!(bench.stops().len(), 1);
    assert!(bench.stops()[0].runtime.is_none());
    let told = bench.events.last().unwrap().sequence;
    bench.fact(ended("Error", 137));
    bench.fact(ended("OOMKilled", 137));
    assert_eq!(bench.stops().len(), 1);
    let amended: Vec<_> = bench.amended.iter().map(|event| (event.sequence, stop(event))).collect();
    assert_eq!(amended.len(), 2);
    assert!(amended.iter().all(|(sequence, _)| *sequence == told));
    assert_eq!(amended[1].1.runtime.as_ref().unwrap().reason, "OOMKilled");
    assert!(amended[1].1.sources_disagree());
}

#[test]
fn a_program_that_cannot_be_executed_is_an_end_if_the_runtime_says_so() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    bench.record(GROUP, Body::CgroupRemoved);
    assert_eq!(bench.end_lookups.len(), 1);
    bench.time += HOLD_NS;
    bench.act(Attributor::expire);
    assert!(bench.events.is_empty(), "nobody knows that it ever ran");
    bench.fact(ended("StartError", 128));
    assert_eq!(bench.types(), [ContainerStop]);
    assert_eq!((bench.stops()[0].kind(), bench.stops()[0].code()), (EndKind::StartError, Some(128)));

    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    bench.record(GROUP, Body::CgroupRemoved);
    bench.fact(no_end());
    assert!(bench.events.is_empty(), "it was made and never started");
}

#[test]
fn who_sent_the_signal_is_told() {
    for (sender, origin, kind) in [
        (1, Origin::Outside, EndKind::KilledAfterGrace),
        (GROUP, Origin::Container, EndKind::Signalled),
        (OTHER_GROUP, Origin::Pod, EndKind::Signalled),
    ] {
        let mut bench = Bench::run();
        bench.make(OTHER_GROUP, OTHER_ID);
        bench.record(GROUP, sent(SIGTERM, 1));
        bench.record(GROUP, sent(SIGKILL, sender));
        // The first one ends it.
        bench.record(GROUP, sent(SIGKILL, 1));
        bench.record(GROUP, exit(7, 5, killed(SIGKILL)));
        bench.fact(no_end());
        let stops = bench.stops();
        assert_eq!(
            stops[0].killed_by.as_ref().map(|sent| (sent.signal, sent.origin)),
            Some((SIGKILL, origin))
        );
        assert_eq!(stops[0].asked_by.as_ref().map(|sent| sent.signal), Some(SIGTERM));
        assert_eq!(stops[0].kind(), kind);
    }
    let mut bench = Bench::run();
    bench.record(GROUP, sent(SIGTERM, 1));
    bench.record(GROUP, exit(7, 5, Ending::Code(0)));
    bench.fact(no_end());
    assert_eq!(bench.stops()[0].kind(), EndKind::Completed, "it obeyed");
    assert!(bench.stops()[0].killed_by.is_none() && bench.stops()[0].asked_by.is_some());
}

#[test]
fn a_child_that_the_oom_killer_ends_does_not_end_the_container() {
    let mut bench = Bench::run();
    bench.record(GROUP, exec(8, 6));
    bench.record(GROUP, exited(8, 6, killed(SIGKILL), true));
    assert!(bench.stops().is_empty() && bench.end_lookups.is_empty());
    bench.record(GROUP, exit(7, 5, Ending::Code(0)));
    bench.fact(ended("OOMKilled", 0));
    let stops = bench.stops();
    assert_eq!((stops[0].kind(), stops[0].oom_killed_children), (EndKind::Completed, 1));
    assert!(stops[0].sources_disagree());
}

#[test]
fn a_sidecars_end_is_not_the_pods() {
    let mut bench = Bench::run();
    bench.make(OTHER_GROUP, OTHER_ID);
    bench.fact(other(OTHER_ID, "sidecar", false));
    bench.make(SANDBOX_GROUP, SANDBOX_ID);
    bench.fact(other(SANDBOX_ID, "", true));
    bench.record(OTHER_GROUP, exec(8, 6));
    bench.record(SANDBOX_GROUP, exec(9, 6));
    bench.record(OTHER_GROUP, exit(8, 6, Ending::Code(1)));
    bench.fact(Fact::NoEnd { container_id: OTHER_ID.to_owned() });
    bench.record(GROUP, exit(7, 5, Ending::Code(0)));
    bench.fact(no_end());
    bench.record(SANDBOX_GROUP, exit(9, 6, Ending::Code(0)));
    let told: Vec<_> = bench.stops().iter().map(|stop| (stop.pod_ended, stop.others_running)).collect();
    assert_eq!(told, [(false, Some(1)), (false, Some(0)), (true, Some(0))]);
    assert_eq!(bench.end_lookups.len(), 2, "runtimes keep no codes of sandboxes");
}

#[test]
fn the_first_listening_socket_is_told_once_a_run() {
    let listening = |port: u16| {
        let Body::Ended { socket, .. } = closed(&format!("10.0.0.9:{port}"), "0.0.0.0:0") else { panic!() };
        Body::Listening { socket, task: None }
    };
    let mut bench = Bench::run();
    bench.record(GROUP, listening(80));
    bench.record(GROUP, listening(81));
    let ready: Vec<_> =
        bench.events.iter().filter(|event| event.event_type() == EventType::ContainerReady).collect();
    assert_eq!(ready.len(), 1);
    let Detail::ContainerReady(ready) = &ready[0].detail else { panic!() };
    assert_eq!((ready.address.port(), ready.since_start_ns), (80, Some(1000)));

    let mut older = Bench::new();
    older.make_container();
    older.attributor.container_runs(GROUP, Some((task(7, 5).key, Namespaces::default())));
    older.record(GROUP, listening(80));
    assert!(older.events.is_empty(), "it may have listened for long");
}

#[test]
fn a_container_that_fails_three_times_is_in_a_crash_loop() {
    let mut bench = Bench::new();
    for (number, id) in [ID, OTHER_ID, SANDBOX_ID].into_iter().enumerate() {
        let group = GROUP + number as u64;
        bench.make(group, id);
        bench.fact(other(id, "app", false));
        bench.record(group, exec(7 + number as u32, 5));
        bench.record(group, exit(7 + number as u32, 5, Ending::Code(1)));
        // The last one's end waits for the runtime while others are told.
        bench.fact(Fact::NoEnd { container_id: id.to_owned() });
        bench.record(group, Body::CgroupRemoved);
        bench.time += 1_000_000_000;
    }
    let Detail::ContainerCrashLoop(crash_loop) = &bench.events.last().unwrap().detail else {
        panic!("{:?}", bench.types())
    };
    assert_eq!((crash_loop.failures, crash_loop.restarts_seen), (3, 2));
    let gaps: Vec<_> = crash_loop.ends.iter().map(|end| end.restarted_after_ns).collect();
    assert!(
        gaps[0].is_some_and(|gap| gap > 1_000_000_000) && gaps[1].is_some() && gaps[2].is_none(),
        "{gaps:?}"
    );
    assert_eq!(bench.stops().iter().map(|stop| stop.restarts_seen).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn an_end_stays_resolvable_for_fifteen_minutes_and_a_new_run_of_the_same_id_takes_nothing_of_it() {
    let mut bench = Bench::run();
    bench.record(GROUP, exit(7, 5, Ending::Code(1)));
    bench.record(GROUP, Body::CgroupRemoved);
    bench.fact(no_end());
    bench.time += 15 * 60 * 1_000_000_000 - 1_000_000;
    bench.act(Attributor::expire);
    bench.record(GROUP, exit(8, 6, Ending::Code(0)));
    assert_eq!(bench.events.last().unwrap().workload.as_ref().unwrap().container, "app");
    // The same container in a new cgroup: the runtime's late word on the run before is not about this one.
    bench.make(OTHER_GROUP, ID);
    bench.fact(named(UID));
    bench.record(OTHER_GROUP, exec(9, 7));
    let before = bench.now();
    let end = RuntimeEnd {
        reason: "Error".to_owned(),
        exit_code: 1,
        finished: Some(WallTime(before.wall.0 - 1_000_000_000)),
        ..RuntimeEnd::default()
    };
    bench.fact(Fact::Ended(EndFact { container_id: ID.to_owned(), end }));
    bench.record(OTHER_GROUP, exit(9, 7, Ending::Code(0)));
    bench.fact(no_end());
    assert!(bench.stops().last().unwrap().runtime.is_none());
    assert_eq!(bench.stops().last().unwrap().restarts_seen, 1);
    bench.time += 1_000_000;
    bench.act(Attributor::expire);
    bench.record(GROUP, exit(10, 8, Ending::Code(0)));
    let owner = bench.events.last().unwrap().workload.as_ref().unwrap();
    assert_eq!(owner.container, "", "forgotten after 15 minutes: {owner:?}");
}

#[test]
fn names_that_come_late_complete_what_was_told() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.record(GROUP, exec(7, 5));
    bench.fact(Fact::Unknown { container_id: ID.to_owned() });
    assert_eq!(bench.events.len(), 2);
    bench.fact(named(UID));
    assert_eq!(bench.completed.len(), 1);
    assert_eq!(bench.completed[0].container, "app");
    bench.fact(named(UID));
    assert_eq!(bench.completed.len(), 1, "nothing new");
}

#[test]
fn a_kill_in_the_middle_of_the_first_exec_is_told_before_it_and_still_the_ends() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    bench.record(GROUP, sent(SIGKILL, 1));
    bench.record(GROUP, exec(7, 5));
    bench.record(GROUP, exit(7, 5, killed(SIGKILL)));
    bench.fact(no_end());
    assert!(bench.stops()[0].killed_by.is_some());
}
