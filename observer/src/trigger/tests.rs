//! What fires, what does not, and what belongs together.

mod edges;
mod incidents;

use std::sync::Arc;

use super::node::*;
use super::tuning::SECOND;
use super::*;
use crate::event::examples::pod;
use crate::event::{
    BootTime, ContainerCrashLoop, ContainerEnd, ContainerStart, ContainerStop, EndKind, Ending, OomKill,
    Origin, ProcessExec, SIGKILL, Shortage, Stalled, TcpSummary, WallTime,
};

const KILLED: Ending = Ending::Signal { signal: SIGKILL, core_dumped: false };

fn oom() -> Detail {
    let shortage = Shortage::Cgroup { path: "/k".into(), limit_bytes: 64 << 20, usage_bytes: 64 << 20 };
    Detail::OomKill(OomKill { resident_bytes: Some(63 << 20), shortage })
}

#[test]
fn an_oom_crash_loop_is_one_incident_that_is_named_for_its_container() {
    let mut node = Node::new();
    let cart = pod(7, "shop", "cart-7d9f");
    for run in 0..3 {
        node.happens(&cart, None, Detail::ContainerStart(ContainerStart::default()));
        node.seconds(10, |_, _| {});
        node.happens(&cart, Some(process(12, "java")), oom());
        if run == 0 {
            let title = "shop/cart-7d9f: process java of container app killed for memory (limit 64 MiB)";
            assert_eq!(node.titles(), [title]);
        }
        let stop = ContainerStop { oom_killed: true, ..stop(KILLED, node.now.boot) };
        node.happens(&cart, None, Detail::ContainerStop(stop));
    }
    assert_eq!(node.titles(), ["shop/cart-7d9f: container app killed for memory (limit 64 MiB)"]);
    let end = ContainerEnd {
        time: node.now.boot,
        kind: EndKind::OomKilled,
        ending: Some(KILLED),
        code: None,
        run_time_ns: None,
        restarted_after_ns: None,
        reason: String::new(),
    };
    let ends = vec![end];
    let crash_loop = ContainerCrashLoop { failures: 3, window_ns: 600 * SECOND, restarts_seen: 2, ends };
    node.happens(&cart, None, Detail::ContainerCrashLoop(crash_loop));
    assert_eq!(
        node.titles(),
        ["shop/cart-7d9f: container app killed for memory (limit 64 MiB), again and again"]
    );
    let [incident] = node.incidents.open() else { panic!("{:?}", node.titles()) };
    let counts: Vec<_> = incident.firings.iter().map(|one| (one.fired.kind, one.count)).collect();
    let expected =
        [(TriggerKind::OomKill, 3), (TriggerKind::ContainerFailure, 3), (TriggerKind::CrashLoop, 1)];
    assert_eq!(counts, expected);
    // A minute after the last of it it is closed, and the same opens no other one for a while.
    node.seconds(61, |_, _| {});
    assert_eq!((node.titles().len(), node.closed.len()), (0, 1));
    node.happens(&cart, Some(process(13, "java")), oom());
    assert!(node.titles().is_empty(), "it cools down");
    node.seconds(601, |_, _| {});
    node.happens(&cart, Some(process(13, "java")), oom());
    assert_eq!(node.titles().len(), 1);
}

#[test]
fn ends_that_were_asked_for_are_none() {
    let lives = Lives::default();
    let cart = pod(7, "shop", "cart");
    let now = BootTime(100 * SECOND);
    let asked = |comm| Some(sent(15, Origin::Outside, comm, BootTime(90 * SECOND)));
    let killed = |origin, comm| Some(sent(SIGKILL, origin, comm, now));
    let of = |stop: &ContainerStop| containers::stopped(&cart, stop, &lives).map(|fired| fired.title);
    let error = stop(Ending::Code(1), now);
    assert_eq!(of(&error).as_deref(), Some("shop/cart: container app failed with exit code 1"));
    assert_eq!(of(&stop(Ending::Code(0), now)), None);
    assert_eq!(of(&ContainerStop { asked_by: asked("runc"), ..error.clone() }), None);
    assert_eq!(of(&ContainerStop { asked_by: asked("containerd-shim"), ..error.clone() }), None);
    assert!(of(&ContainerStop { asked_by: asked("bash"), ..error.clone() }).is_some());
    let by = |origin, comm| of(&ContainerStop { killed_by: killed(origin, comm), ..stop(KILLED, now) });
    assert_eq!(by(Origin::Outside, "runc"), None);
    assert_eq!(
        by(Origin::Outside, "python3").as_deref(),
        Some("shop/cart: container app killed from outside (SIGKILL from python3)")
    );
    assert_eq!(
        by(Origin::Container, "sh").as_deref(),
        Some("shop/cart: container app killed from within (SIGKILL from sh)")
    );
    let out_of_grace = ContainerStop {
        asked_by: asked("runc"),
        killed_by: killed(Origin::Outside, "runc"),
        ..stop(KILLED, now)
    };
    assert_eq!(of(&out_of_grace), None);
    assert_eq!(of(&ContainerStop { time: now, ..ContainerStop::default() }), None, "nobody knows");
    let crash = stop(Ending::Signal { signal: 11, core_dumped: true }, now);
    assert_eq!(of(&crash).as_deref(), Some("shop/cart: container app crashed (SIGSEGV, core dumped)"));
    let long_ago = Some(sent(15, Origin::Outside, "runc", BootTime(1)));
    let later = ContainerStop { asked_by: long_ago, ..stop(Ending::Code(1), BootTime(1_000 * SECOND)) };
    assert!(of(&later).is_some(), "that was about something else");
}

#[test]
fn who_entered_and_killed_is_said() {
    let mut node = Node::new();
    let cart = pod(7, "shop", "cart-7d9f");
    let exec = ProcessExec { origin: ExecOrigin::Entered, ..ProcessExec::default() };
    node.happens(&cart, Some(process(77, "sh")), Detail::ProcessExec(exec));
    let now = node.now.boot;
    let killed_by = Some(sent(SIGKILL, Origin::Container, "sh", now));
    let stop = ContainerStop { killed_by, ..stop(KILLED, now) };
    node.happens(&cart, None, Detail::ContainerStop(stop));
    let title = "shop/cart-7d9f: container app killed by somebody who entered it (SIGKILL from sh)";
    assert_eq!(node.titles(), [title]);
}

#[test]
fn connects_that_fail_after_they_worked() {
    let mut node = Node::new();
    let (web, db, other) = (pod(1, "shop", "web"), pod(2, "shop", "db"), pod(3, "shop", "api"));
    node.seconds(40, |node, _| node.edge(&web, &db, &well(10)));
    node.seconds(3, |node, _| node.edge(&web, &db, &failing("refused", 10)));
    assert!(node.titles().is_empty(), "a server may be replaced");
    node.seconds(4, |node, _| node.edge(&web, &db, &failing("refused", 10)));
    assert_eq!(node.titles(), ["shop/web -> shop/db:8080: connects fail (refused)"]);
    // Another one who cannot connect to the same is the same trouble.
    node.seconds(61, |node, _| {
        node.edge(&web, &db, &failing("refused", 10));
        node.edge(&other, &db, &failing("refused", 10));
    });
    assert_eq!(node.titles(), ["shop/web -> shop/db:8080: connects fail (refused)"]);
    assert_eq!(node.incidents.open()[0].firings.len(), 2);
    // And what is about others is another one.
    let (a, b) = (pod(11, "pay", "a"), pod(12, "pay", "b"));
    node.seconds(31, |node, _| {
        node.edge(&web, &db, &failing("refused", 10));
        node.edge(&a, &b, &well(2));
    });
    let waits = TcpSummary { pending: 1, ..TcpSummary::default() };
    node.seconds(9, |node, _| node.edge(&a, &b, &waits));
    assert_eq!(node.titles()[1], "pay/a -> pay/b:8080: connects are not answered");
}

#[test]
fn segments_lost_for_a_reason() {
    let lossy = |again, spurious, reorderings| TcpSummary {
        retransmitted_segments: again,
        sent_segments: 100,
        spurious_retransmits: spurious,
        reorderings,
        ..well(1)
    };
    for (tcp, fires) in [(lossy(12, 0, 0), true), (lossy(12, 10, 20), false), (lossy(2, 0, 0), false)] {
        let mut node = Node::new();
        let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
        node.seconds(5, |node, _| node.edge(&a, &b, &tcp));
        let title = "shop/a <-> shop/b:8080: 12% of segments lost";
        assert_eq!(node.titles(), if fires { vec![title] } else { vec![] }, "{tcp:?}");
    }
    // Nothing is answered any more by somebody who still is there.
    let silent = TcpSummary {
        stalled: Stalled { unanswered: 1, ..Stalled::default() },
        deepest_backoff: 5,
        live: 1,
        ..TcpSummary::default()
    };
    let mut node = Node::new();
    let (a, b) = (pod(1, "shop", "a"), pod(2, "shop", "b"));
    node.seconds(1, |node, _| node.edge(&a, &b, &silent));
    assert_eq!(node.titles(), ["shop/a <-> shop/b:8080: nothing is answered any more"]);
    let mut node = Node::new();
    node.happens(&b, None, Detail::ContainerStop(stop(Ending::Code(0), node.now.boot)));
    node.seconds(1, |node, _| node.edge(&a, &b, &silent));
    assert!(node.titles().is_empty(), "whoever has ended answers nothing");
}
