//! What opens incidents, what joins them, and how many there may be.

use super::*;
use crate::event::Ancestor;

#[test]
fn what_always_fails_hides_nothing_else() {
    let mut node = Node::new();
    let (a, optional, db) = (pod(1, "shop", "a"), pod(2, "shop", "optional"), pod(3, "shop", "db"));
    let refused = failing("refused", 4);
    node.seconds(1_100, |node, _| node.edge(&a, &optional, &refused));
    assert_eq!(node.all(), ["shop/a -> shop/optional:8080: connects fail (refused)"], "it is told once");
    assert!(node.titles().is_empty(), "it lasted for too long");
    node.seconds(40, |node, _| {
        node.edge(&a, &optional, &refused);
        node.edge(&a, &db, &well(4));
    });
    node.seconds(10, |node, _| {
        node.edge(&a, &optional, &refused);
        node.edge(&a, &db, &refused);
    });
    assert_eq!(node.titles(), ["shop/a -> shop/db:8080: connects fail (refused)"]);
}

#[test]
fn what_found_no_room_is_told_once_there_is_some() {
    let mut node = Node::new();
    let fails = |node: &mut Node, id| {
        let workload = pod(id, "shop", &format!("p{id}"));
        node.happens(&workload, None, Detail::ContainerStop(stop(Ending::Code(1), node.now.boot)));
    };
    (0..33).for_each(|id| fails(&mut node, id));
    assert_eq!((node.titles().len(), node.incidents.take_refused(node.now.boot)), (32, 1));
    node.seconds(61, |_, _| {});
    fails(&mut node, 32);
    assert_eq!(node.titles(), ["shop/p32: container app failed with exit code 1"]);
}

fn watched(id: u64) -> Fired {
    let workload = pod(id, "ci", &format!("w{id}"));
    Fired {
        kind: TriggerKind::DebugSession,
        grade: Grade::Watched,
        time: at(10_000).boot,
        title: format!("ci/w{id}: watched"),
        reason: String::new(),
        workload,
        edge: None,
        evidence: Vec::new(),
    }
}

#[test]
fn sessions_and_clients_take_no_place_of_triggers() {
    let mut node = Node::new();
    for id in 100..140 {
        let _opened = node.incidents.fired(watched(id), node.now).is_some();
    }
    assert_eq!(node.titles().len(), 16);
    for id in 0..16 {
        let workload = pod(id, "shop", &format!("p{id}"));
        node.incidents.open_by_hand(&[workload], Default::default(), node.now).unwrap();
    }
    for id in 0..60 {
        let workload = pod(id, "shop", &format!("p{id}"));
        node.happens(&workload, None, Detail::ContainerStop(stop(Ending::Code(1), node.now.boot)));
    }
    assert_eq!(node.titles().len(), 64);
    let refused = node.incidents.open_by_hand(&[], Default::default(), node.now).unwrap_err();
    assert_eq!(refused, Refused::TooMany(16), "what a trigger joined is still the client's");
}

#[test]
fn who_closes_one_has_not_opened_it() {
    let mut node = Node::new();
    let words = |who: &str, note: &str| (who.to_owned(), note.to_owned());
    let opened = node.incidents.open_by_hand(&[], words("uid:1", "slow\nsince noon"), node.now).unwrap();
    assert_eq!(opened.title, "the node: slow");
    let (who, note) = words("uid:2", "over");
    let closed = node.incidents.close(&opened.id, who, note, node.now).unwrap();
    assert_eq!([closed.client.as_str(), closed.note.as_str()], ["uid:1", "slow\nsince noon"]);
    assert_eq!([closed.closed_by.as_str(), closed.closing_note.as_str()], ["uid:2", "over"]);
}

#[test]
fn what_is_beyond_the_last_is_counted_apart_and_names_nothing() {
    let mut node = Node::new();
    let db = pod(1, "shop", "db");
    node.seconds(40, |node, _| (2..62).for_each(|id| node.edge(&pod(id, "shop", "web"), &db, &well(4))));
    node.seconds(6, |node, _| {
        (2..62).for_each(|id| node.edge(&pod(id, "shop", "web"), &db, &failing("refused", 4)));
    });
    let [incident] = node.incidents.open() else { panic!("{:?}", node.titles()) };
    let most = incident.firings.iter().map(|firing| firing.count).max().unwrap();
    assert_eq!(incident.firings.len(), 48);
    assert_eq!(incident.firings_omitted, 12 * most, "{most}");
    node.happens(&db, None, Detail::ContainerStop(stop(Ending::Code(1), node.now.boot)));
    let incident = &node.incidents.open()[0];
    assert_eq!(incident.title, "shop/db: container app failed with exit code 1");
    let last = incident.firings.last().unwrap();
    assert_eq!((incident.firings.len(), last.fired.kind), (48, TriggerKind::ContainerFailure));
}

#[test]
fn probes_push_out_nobody_who_entered() {
    let mut node = Node::new();
    let cart = pod(7, "shop", "cart-7d9f");
    let exec = || ProcessExec { origin: ExecOrigin::Entered, ..ProcessExec::default() };
    node.happens(&cart, Some(process(77, "sh")), Detail::ProcessExec(exec()));
    for pid in 1_000..1_100 {
        node.happens(&cart, Some(process(pid, "probe")), Detail::ProcessExec(exec()));
        let exit = crate::event::examples::exited(Ending::Code(0));
        node.happens(&cart, Some(process(pid, "probe")), Detail::ProcessExit(exit));
    }
    let ancestor = Ancestor { key: process(77, "sh").key, comm: "sh".into(), binary: "/bin/sh".into() };
    let kill = ProcessExec { ancestors: vec![ancestor], ..ProcessExec::default() };
    node.happens(&cart, Some(process(78, "kill")), Detail::ProcessExec(kill));
    let killed = process(78, "kill");
    let exit = crate::event::examples::exited(Ending::Code(0));
    node.happens(&cart, Some(killed.clone()), Detail::ProcessExit(exit));
    let now = node.now.boot;
    let mut killed_by = sent(SIGKILL, Origin::Container, "kill", now);
    killed_by.sender = Arc::new(killed);
    let stop = ContainerStop { killed_by: Some(killed_by), ..stop(KILLED, now) };
    node.happens(&cart, None, Detail::ContainerStop(stop));
    let title = "shop/cart-7d9f: container app killed by somebody who entered it (SIGKILL from kill)";
    assert_eq!(node.titles(), [title]);
}
