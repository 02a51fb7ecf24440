//! Who somebody is, after the end and when numbers and names are used again.

use super::*;

const AFTER: u64 = 15 * 60 * 1_000_000_000;
const OTHER_ID: &str = "3a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9";

fn owner(bench: &Bench) -> (String, String) {
    let owner = bench.events.last().unwrap().workload.as_ref().unwrap();
    (owner.container_id.clone(), owner.container.clone())
}

fn of(container_id: &str, name: &str) -> Fact {
    let Fact::Container(fact) = named(UID) else { panic!() };
    Fact::Container(ContainerFact { container_id: container_id.to_owned(), name: name.to_owned(), ..fact })
}

#[test]
fn a_cgroups_number_that_is_used_again_is_the_new_ones_and_stays_so() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    bench.record(GROUP, Body::CgroupRemoved);
    bench.fact(no_end());
    bench.time += AFTER / 2;
    bench.record(GROUP, Body::CgroupMade { path: format!("/kubepods/burstable/pod{UID}/{OTHER_ID}") });
    bench.fact(of(OTHER_ID, "next"));
    bench.record(GROUP, exec(7, 5));
    assert_eq!(owner(&bench), (OTHER_ID.to_owned(), "next".to_owned()));
    // The former owner is forgotten, and takes nothing of the new one with it.
    bench.time += AFTER / 2 + 1;
    bench.act(Attributor::expire);
    assert!(bench.attributor.knows_cgroup(GROUP));
    bench.record(GROUP, exec(8, 6));
    assert_eq!(owner(&bench), (OTHER_ID.to_owned(), "next".to_owned()));
    assert_eq!(bench.types().iter().filter(|&&kind| kind == ContainerStart).count(), 1);
    assert_eq!(bench.attributor.workloads().count(), 2, "the host and the new one");
}

#[test]
fn a_name_that_is_used_again_is_another_containers() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    bench.record(GROUP, exec(7, 5));
    bench.record(GROUP + 1, Body::CgroupMade { path: format!("/kubepods/burstable/pod{UID}/{OTHER_ID}") });
    bench.fact(of(OTHER_ID, "app"));
    bench.record(GROUP + 1, exec(8, 6));
    assert_eq!(owner(&bench), (OTHER_ID.to_owned(), "app".to_owned()));
    bench.record(GROUP, exit(7, 5, Ending::Code(0)));
    assert_eq!(owner(&bench), (ID.to_owned(), "app".to_owned()));
}

#[test]
fn a_users_cgroup_is_no_container_that_is_known_elsewhere() {
    const MANAGER: &str = "/user.slice/user-1000.slice/user@1000.service";
    let mut bench = Bench::new();
    bench.make_container();
    bench.fact(named(UID));
    let under = [format!("x/{ID}"), format!("pod{UID}/{OTHER_ID}"), format!("{ID}/{OTHER_ID}")];
    for (group, under) in (300..).zip(under) {
        bench.record(group, Body::CgroupMade { path: format!("{MANAGER}/{under}") });
        bench.record(group, exec(group as u32, 5));
        let owner = bench.events.last().unwrap().workload.clone().unwrap();
        assert_eq!((owner.unit.as_str(), owner.pod_uid.as_str()), ("user@1000.service", ""), "{under}");
    }
    // One of their own is what it says.
    bench.record(400, Body::CgroupMade { path: format!("{MANAGER}/libpod-{OTHER_ID}.scope") });
    bench.fact(Fact::Unknown { container_id: OTHER_ID.to_owned() });
    bench.record(400, exec(400, 5));
    assert_eq!(owner(&bench).0, OTHER_ID);
}

#[test]
fn ended_containers_are_kept_within_the_tables_bound() {
    let mut bench = Bench::new();
    for number in 0..30_u64 {
        let id = format!("{number:064x}");
        let group = 1000 + number;
        bench.record(group, Body::CgroupMade { path: format!("/kubepods/burstable/pod{UID}/{id}") });
        bench.fact(of(&id, "app"));
        bench.record(group, exec(number as u32 + 1, 5));
        bench.record(group, exit(number as u32 + 1, 5, Ending::Code(0)));
        bench.record(group, Body::CgroupRemoved);
        bench.fact(Fact::NoEnd { container_id: id });
    }
    assert!(bench.attributor.workloads().count() <= 10);
    assert!(bench.attributor.take_overflows().iter().all(|(_, count)| *count == 0));
    // The newest are still known, the oldest are not.
    bench.record(1029, exit(100, 9, Ending::Code(0)));
    assert_eq!(owner(&bench).1, "app");
    bench.record(1000, exit(101, 9, Ending::Code(0)));
    assert_eq!(owner(&bench).1, "");
}

#[test]
fn the_next_run_knows_of_an_end_that_is_still_to_be_told() {
    let mut bench = Bench::new();
    bench.make_container();
    bench.record(GROUP, exec(7, 5));
    bench.record(GROUP, exit(7, 5, Ending::Code(1)));
    bench.fact(named(UID));
    bench.record(GROUP + 1, Body::CgroupMade { path: format!("/kubepods/burstable/pod{UID}/{OTHER_ID}") });
    bench.fact(of(OTHER_ID, "app"));
    bench.record(GROUP + 1, exec(8, 6));
    assert!(!bench.types().contains(&ContainerStop), "the runtime has not said its word");
    let start = bench.events.iter().rfind(|event| event.event_type() == ContainerStart);
    let Detail::ContainerStart(start) = &start.unwrap().detail else { panic!() };
    assert_eq!((start.restarts_seen, start.last_end.as_ref().unwrap().code), (1, Some(1)));
    assert!(start.since_last_end_ns.is_some());
}

#[test]
fn what_was_removed_makes_room() {
    let mut bench = Bench::new();
    for n in 0..30 {
        let path = format!("/system.slice/unit{n}.service");
        bench.record(1000 + n, Body::CgroupMade { path });
        bench.record(1000 + n, Body::CgroupRemoved);
    }
    assert_eq!(bench.attributor.take_overflows()[0].1, 0);
}

#[test]
fn the_machine_is_never_removed() {
    let mut bench = Bench::new();
    // Where no cgroups are mounted, nobody finds the path of the first one.
    bench.act(|attributor, now, out| attributor.cgroup(1, None, now, out));
    bench.record(1, exec(7, 5));
    let hosts: Vec<_> = bench.attributor.workloads().collect();
    assert!(hosts.len() == 1 && hosts[0].removed.is_none(), "{hosts:?}");
    assert_eq!(bench.events[0].workload.as_ref().unwrap().id, hosts[0].workload.id);
}
