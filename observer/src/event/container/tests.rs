//! Each kind of end, from what the kernel and the runtime say of it.

use super::super::{BootTime, Memo, ProcessKey};
use super::*;

fn sent(signal: u8, origin: Origin) -> SignalSent {
    let key = ProcessKey { pid: 1, start: BootTime(1) };
    let sender = Process {
        key,
        parent_pid: 0,
        uid: None,
        gid: None,
        comm: String::new(),
        binary: "".into(),
        told: Memo::default(),
    };
    SignalSent { signal, ignored: false, origin, sender: Arc::new(sender), time: BootTime(1) }
}

fn said(reason: &str, exit_code: i32) -> RuntimeEnd {
    RuntimeEnd { reason: reason.to_owned(), exit_code, ..RuntimeEnd::default() }
}

fn seen(ending: Ending) -> ContainerStop {
    ContainerStop { ending: Some(ending), executed: true, ..ContainerStop::default() }
}

fn signal(signal: u8) -> Ending {
    Ending::Signal { signal, core_dumped: false }
}

#[test]
fn the_kernel_tells_the_kind() {
    assert_eq!(seen(Ending::Code(0)).kind(), EndKind::Completed);
    assert_eq!(seen(Ending::Code(137)).kind(), EndKind::Error, "a code above 128 is still a code");
    assert_eq!(seen(signal(15)).kind(), EndKind::Signalled);
    assert_eq!(seen(Ending::Signal { signal: 11, core_dumped: true }).kind(), EndKind::CoreDumped);
    let oom = ContainerStop { oom_killed: true, ..seen(signal(9)) };
    assert_eq!(oom.kind(), EndKind::OomKilled);
    // The runtime's word does not change it: here a child was killed, and the first process exited by itself.
    let child = ContainerStop { runtime: Some(said("OOMKilled", 0)), ..seen(Ending::Code(0)) };
    assert_eq!(child.kind(), EndKind::Completed);
    assert!(child.sources_disagree());
}

#[test]
fn a_kill_after_a_request_from_outside_is_one_after_the_grace_period() {
    let asked = ContainerStop { asked_by: Some(sent(15, Origin::Outside)), ..seen(signal(9)) };
    assert_eq!(asked.kind(), EndKind::KilledAfterGrace, "the sender of the SIGKILL was not seen");
    let killed = |origin| ContainerStop { killed_by: Some(sent(9, origin)), ..asked.clone() };
    assert_eq!(killed(Origin::Outside).kind(), EndKind::KilledAfterGrace);
    assert_eq!(killed(Origin::Pod).kind(), EndKind::Signalled, "somebody else was quicker");
    assert_eq!(ContainerStop { asked_by: None, ..killed(Origin::Outside) }.kind(), EndKind::Signalled);
    let obeyed = ContainerStop { ending: Some(signal(15)), ..asked };
    assert_eq!(obeyed.kind(), EndKind::Signalled);
}

#[test]
fn what_the_kernel_did_not_see_the_runtime_tells() {
    let unseen = |executed, end| ContainerStop { executed, runtime: end, ..ContainerStop::default() };
    assert_eq!(unseen(true, None).kind(), EndKind::Vanished);
    assert_eq!(unseen(false, Some(said("StartError", 128))).kind(), EndKind::StartError);
    assert_eq!(
        unseen(false, Some(said("Error", 1))).kind(),
        EndKind::StartError,
        "it never executed anything"
    );
    assert_eq!(unseen(false, Some(said("Completed", 0))).kind(), EndKind::Completed, "the exec was lost");
    assert_eq!(unseen(true, Some(said("Error", 3))).kind(), EndKind::Error);
    assert_eq!(unseen(true, Some(said("OOMKilled", 137))).kind(), EndKind::OomKilled);
    assert_eq!(unseen(true, Some(said("Error", 3))).code(), Some(3));
    assert!(!unseen(true, Some(said("Error", 3))).sources_disagree(), "one source alone");
}

#[test]
fn sources_disagree_where_codes_or_the_oom_killer_differ() {
    let disagree = |ending, oom_killed, end| {
        ContainerStop { oom_killed, runtime: end, ..seen(ending) }.sources_disagree()
    };
    assert!(!disagree(Ending::Code(3), false, Some(said("Error", 3))));
    assert!(!disagree(signal(9), false, Some(said("Error", 137))));
    assert!(!disagree(signal(9), true, Some(said("OOMKilled", 137))));
    assert!(disagree(signal(9), true, Some(said("Error", 137))));
    assert!(disagree(Ending::Code(3), false, Some(said("Unknown", 255))));
}
