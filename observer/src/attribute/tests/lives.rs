//! Who executes what, from whom he descends, and how he came in.

use super::*;
use crate::event::{ExecOrigin, ProcessExec};

/// The runtime's shim, in a cgroup of the machine's.
const SHIM: u64 = 1;
const OWN: Namespaces = Namespaces { mnt: 31, pid: 32, net: 33 };

fn told(bench: &Bench) -> ProcessExec {
    let event = bench.events.last().unwrap();
    let Detail::ProcessExec(exec) = &event.detail else { panic!("{event:?}") };
    exec.clone()
}

fn run(
    bench: &mut Bench,
    cgroup: u64,
    pid: u32,
    above: &[(u32, u64)],
    namespaces: Namespaces,
) -> ProcessExec {
    let ancestors = above.iter().map(|&(pid, cgroup)| (task(pid, u64::from(pid)), cgroup)).collect();
    let executed = Executed { ancestors, namespaces, ..executed(pid, u64::from(pid)) };
    bench.record(cgroup, Body::Exec(Box::new(executed)));
    told(bench)
}

fn started() -> Bench {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    assert_eq!(run(&mut bench, GROUP, 7, &[(5, SHIM)], OWN).origin, ExecOrigin::ContainerStart);
    bench
}

#[test]
fn the_containers_start_its_children_and_who_comes_in_are_told_apart() {
    let mut bench = started();
    let child = run(&mut bench, GROUP, 8, &[(7, GROUP), (5, SHIM), (1, SHIM)], OWN);
    assert_eq!(child.origin, ExecOrigin::Descendant);
    let pids: Vec<u32> = child.ancestors.iter().map(|above| above.key.pid).collect();
    assert_eq!(pids, [7, 5], "up to who started the container");
    assert_eq!(child.ancestors[0].binary, "/bin/sh", "that one's exec was seen");
    let entered = run(&mut bench, GROUP, 9, &[(6, SHIM), (1, SHIM)], OWN);
    assert_eq!(entered.origin, ExecOrigin::Entered);
    assert_eq!(
        run(&mut bench, GROUP, 9, &[(6, SHIM)], OWN).origin,
        ExecOrigin::Descendant,
        "it is in already"
    );
    assert_eq!(run(&mut bench, GROUP, 10, &[(9, GROUP), (6, SHIM)], OWN).origin, ExecOrigin::Descendant);
}

#[test]
fn who_enters_namespaces_alone_is_told_with_the_container() {
    let mut bench = started();
    let host = Namespaces { mnt: 1, pid: 2, net: HOST_NETNS };
    assert_eq!(run(&mut bench, SHIM, 20, &[(1, SHIM)], host).origin, ExecOrigin::Descendant);
    let net = Namespaces { net: OWN.net, ..host };
    let ExecOrigin::Namespaces { of, kinds } = run(&mut bench, SHIM, 21, &[(1, SHIM)], net).origin else {
        panic!("{:?}", told(&bench))
    };
    assert_eq!((of.container.as_str(), kinds.as_slice()), ("app", &["net"][..]));
    assert_eq!(
        bench.events.last().unwrap().workload.as_ref().unwrap().container_id,
        "",
        "its cgroup's owner"
    );
    let all = run(&mut bench, SHIM, 22, &[(1, SHIM)], OWN).origin;
    assert!(matches!(all, ExecOrigin::Namespaces { kinds, .. } if kinds == ["mnt", "pid", "net"]));
    // The container goes, and the kernel takes its numbers again for somebody else's.
    bench.record(GROUP, Body::CgroupRemoved);
    assert_eq!(run(&mut bench, SHIM, 23, &[(1, SHIM)], OWN).origin, ExecOrigin::Descendant);
}

#[test]
fn a_namespaces_number_that_is_taken_again_is_the_new_ones() {
    let mut bench = started();
    let net = Namespaces { mnt: 41, pid: 42, net: OWN.net };
    let make = |bench: &mut Bench, cgroup: u64| {
        let container_id = format!("{cgroup:064x}");
        let path = format!("/kubepods/burstable/pod{UID}/{container_id}");
        bench.record(cgroup, Body::CgroupMade { path });
        bench.fact(Fact::Unknown { container_id });
        run(bench, cgroup, cgroup as u32, &[(5, SHIM)], net);
    };
    let enter = |bench: &mut Bench| {
        let exec = run(bench, SHIM, 50, &[(1, SHIM)], Namespaces { mnt: 1, pid: 2, net: net.net });
        let ExecOrigin::Namespaces { of, .. } = exec.origin else { panic!("{exec:?}") };
        of.cgroup_id
    };
    make(&mut bench, 200);
    assert_eq!(enter(&mut bench), GROUP, "shared, and the first one runs");
    // Both have ended, and their cgroups are still there.
    bench.record(GROUP, exit(7, 7, Ending::Code(0)));
    bench.record(200, exit(200, 200, Ending::Code(0)));
    make(&mut bench, 201);
    assert_eq!(enter(&mut bench), 201);
}

#[test]
fn the_first_processs_end_is_marked() {
    let mut bench = started();
    run(&mut bench, GROUP, 8, &[(7, GROUP)], OWN);
    for (pid, first) in [(8, false), (7, true)] {
        bench.events.clear();
        bench.record(GROUP, exit(pid, u64::from(pid), Ending::Code(0)));
        let Detail::ProcessExit(exit) = &bench.events[0].detail else { panic!() };
        assert_eq!((exit.first, exit.peak_memory_bytes), (first, 2 * 4096), "pid {pid}");
    }
}

#[test]
fn a_worker_that_is_gone_already_ran_what_its_parent_runs() {
    let mut bench = started();
    let of = |bench: &mut Bench, pid, parent_pid, comm: &str| {
        let task = Task { comm: comm.into(), ..task(pid, 50) };
        let ending = Ending::Code(0);
        let exit =
            Body::Exit { task, parent_pid, ending, oom_killed: false, cpu_time_ns: None, peak_pages: 0 };
        bench.record(GROUP, exit);
        bench.events.last().unwrap().process.as_ref().unwrap().binary.clone()
    };
    assert_eq!(of(&mut bench, 60, 7, "sh"), "/bin/sh");
    assert_eq!(of(&mut bench, 61, 7, "other"), "", "that one only took it over");
    assert_eq!(of(&mut bench, 62, 99, "sh"), "", "nobody knows the parent");
}

#[test]
fn a_chain_that_goes_on_is_marked() {
    let mut bench = started();
    let above: Vec<(u32, u64)> = (20..28).map(|pid| (pid, GROUP)).collect();
    assert!(run(&mut bench, GROUP, 30, &above, OWN).ancestors_truncated);
    let host = Namespaces { mnt: 1, pid: 2, net: HOST_NETNS };
    assert!(run(&mut bench, SHIM, 31, &[(2, SHIM)], host).ancestors_truncated);
    assert!(
        !run(&mut bench, SHIM, 32, &[(2, SHIM), (1, SHIM)], host).ancestors_truncated,
        "the first of all"
    );
}
