//! Tests of restarts: counts, back-offs, crash loops and the table's bound.

use super::*;
use crate::event::Ending;
use crate::event::examples::pod;

const SECOND: u64 = 1_000_000_000;

fn restarts(capacity: usize) -> Restarts {
    Restarts::new(CrashLoop { ends: 3, window_ns: 600 * SECOND }, capacity)
}

/// A run of the container `app` of one pod; each run is a workload of its own.
fn run(id: u64) -> Workload {
    Workload { id: WorkloadId(id), pod_uid: "uid".to_owned(), ..(*pod(1, "shop", "cart")).clone() }
}

fn end(at: u64, code: u8) -> ContainerEnd {
    ContainerEnd {
        time: BootTime(at * SECOND),
        kind: if code == 0 { EndKind::Completed } else { EndKind::Error },
        ending: Some(Ending::Code(code)),
        code: Some(code.into()),
        run_time_ns: Some(SECOND),
        restarted_after_ns: None,
        reason: String::new(),
    }
}

fn at(seconds: u64) -> BootTime {
    BootTime(seconds * SECOND)
}

#[test]
fn restarts_are_counted_with_their_back_offs() {
    let mut restarts = restarts(10);
    assert_eq!(restarts.started(&run(1), at(1)), ContainerStart::default());
    restarts.ended(&run(1), end(2, 1));
    let second = restarts.started(&run(2), at(12));
    assert_eq!((second.restarts_seen, second.since_last_end_ns), (1, Some(10 * SECOND)));
    assert_eq!(second.last_end.unwrap().code, Some(1));
    // Its runtime's word came late, and takes nothing from what was known.
    restarts.ended(&run(1), ContainerEnd { reason: "Error".to_owned(), ..end(2, 1) });
    restarts.ended(&run(2), end(13, 2));
    let third = restarts.started(&run(3), at(33));
    assert_eq!((third.restarts_seen, third.since_last_end_ns), (2, Some(20 * SECOND)));
    let (_, first) = &restarts.runs.values().next().unwrap().ends[0];
    assert_eq!((first.reason.as_str(), first.restarted_after_ns), ("Error", Some(10 * SECOND)));
}

#[test]
fn other_containers_and_pods_are_others() {
    let mut restarts = restarts(10);
    restarts.started(&run(1), at(1));
    let sidecar = Workload { container: "proxy".to_owned(), ..run(2) };
    let other_pod = Workload { pod_uid: "other".to_owned(), ..run(3) };
    let no_pod = Workload { pod_uid: String::new(), container_id: "id".to_owned(), ..run(4) };
    for workload in [&sidecar, &other_pod, &no_pod] {
        assert_eq!(restarts.started(workload, at(2)).restarts_seen, 0);
    }
    assert_eq!(restarts.started(&Workload { id: WorkloadId(5), ..no_pod }, at(3)).restarts_seen, 1);
}

#[test]
fn a_run_whose_start_was_not_seen_counts_once() {
    let mut restarts = restarts(10);
    assert_eq!(restarts.ended(&run(1), end(1, 128)), 0);
    assert_eq!(restarts.ended(&run(1), end(1, 128)), 0);
    assert_eq!(restarts.ended(&run(2), end(2, 128)), 1);
    assert_eq!(restarts.started(&run(3), at(3)).restarts_seen, 2);
    // The end of an older run comes last.
    assert_eq!(restarts.ended(&run(0), end(2, 1)), 2);
}

#[test]
fn three_failures_within_the_window_are_a_crash_loop_and_told_once_in_it() {
    let mut restarts = restarts(10);
    let mut told = Vec::new();
    for (id, seconds) in [(1, 0), (2, 300), (3, 601), (4, 650), (5, 700), (6, 1249), (7, 1250)] {
        restarts.started(&run(id), at(seconds));
        restarts.ended(&run(id), end(seconds, 1));
        if let Some(crash_loop) = restarts.crash_loop(&run(id), at(seconds)) {
            told.push((id, crash_loop.failures, crash_loop.restarts_seen, crash_loop.ends.len()));
        }
    }
    assert_eq!(told, [(4, 3, 3, 3), (7, 3, 6, 3)], "the third within 600 s, and again a window later");
}

#[test]
fn ends_in_order_and_ends_that_nobody_saw_are_no_crash_loop() {
    let mut restarts = restarts(10);
    for id in 1..10 {
        let kind = if id % 2 == 0 { EndKind::Completed } else { EndKind::Vanished };
        restarts.ended(&run(id), ContainerEnd { kind, ..end(id, 0) });
        assert_eq!(restarts.crash_loop(&run(id), at(id)), None);
    }
    restarts.ended(&run(10), end(10, 1));
    restarts.ended(&run(11), end(11, 1));
    assert_eq!(restarts.crash_loop(&run(11), at(11)), None);
    restarts.ended(&run(12), ContainerEnd { kind: EndKind::StartError, ..end(12, 128) });
    let crash_loop = restarts.crash_loop(&run(12), at(12)).unwrap();
    let standing = |restarts: &Restarts, id, seconds| {
        let Standing { ended, crash_loop } = restarts.standing(&run(id), at(seconds));
        (ended.map(|end| end.kind), crash_loop)
    };
    assert_eq!(standing(&restarts, 12, 13), (Some(EndKind::StartError), true));
    assert_eq!(standing(&restarts, 11, 13), (None, false), "another run came after it");
    assert_eq!(standing(&restarts, 12, 12 + 600), (Some(EndKind::StartError), false), "that is long ago");
    let kinds: Vec<_> = crash_loop.ends.iter().map(|end| end.kind).collect();
    assert_eq!(kinds, [EndKind::Error, EndKind::Error, EndKind::StartError]);
}

#[test]
fn the_table_keeps_what_runs_and_is_bounded() {
    let mut restarts = restarts(2);
    let named = |id: u64| Workload { container: format!("c{id}"), ..run(id) };
    restarts.started(&named(1), at(1));
    restarts.started(&named(2), at(2));
    assert_eq!(restarts.started(&named(3), at(3)).restarts_seen, 0);
    assert_eq!((restarts.len(), restarts.take_overflow()), (2, 1), "both run");
    restarts.ended(&named(1), end(4, 1));
    restarts.started(&named(4), at(5));
    assert_eq!((restarts.len(), restarts.take_overflow()), (2, 0), "one did not");
    restarts.ended(&named(4), end(6, 1));
    restarts.expire(at(6 + 15 * 60));
    assert_eq!(restarts.len(), 1, "the second still runs, for however long");
}
