//! What was recorded is seen as it would have been live, by whoever may see some of it, through any filters.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use prost::Message as _;

use super::told::{NODE, events, filters, told, workloads};
use crate::event::examples::{event, pod};
use crate::event::{
    BootTime, Detail, Event, ExecOrigin, Memo, Origin, Process, ProcessKey, Sender, Signal, SignalEffect,
    Workload,
};
use crate::filter::{Cache, Purpose, Scope, Seen};
use crate::serve::Filters;
use crate::wire;

/// What some client may see.
fn scopes() -> impl Strategy<Value = Scope> {
    select(vec![&["shop"][..], &["data"], &["shop", "data"], &["other"]])
        .prop_map(|names| Scope::Namespaces(Arc::new(names.iter().map(|name| (*name).to_owned()).collect())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]
    #[test]
    fn what_was_recorded_is_seen_as_it_would_have_been_live(
        event in entered(),
        scope in option::of(scopes()),
        allow in vec(filters(), 0..3),
        deny in vec(filters(), 0..2),
    ) {
        let Ok(compiled) = Filters::compile(allow.clone(), deny.clone(), Purpose::Events, NODE) else { return Ok(()) };
        let scope = scope.unwrap_or_default();
        let compiled = compiled.within(scope.clone());
        let live = compiled.event(&event).then(|| scope.event(&event).map(|event| told(&event))).flatten();
        let recorded = wire::event(&event, NODE).encode_to_vec();
        let seen = compiled.encoded_event(&recorded, &mut Cache::default()).map(|seen| match seen {
            Seen::Whole => told(&event),
            Seen::Part(part) => *part,
        });
        prop_assert_eq!(live, seen, "{:?} {:?} {:?} {:#?}", scope, allow, deny, told(&event));
        let time = event.time;
        prop_assert_eq!(crate::filter::time(&recorded), time);
    }
}

/// Events, of which some execs came from outside, and some signals from somebody else.
fn entered() -> impl Strategy<Value = Event> {
    (events(), option::of(workloads())).prop_map(|(mut event, of)| {
        match (&mut event.detail, of) {
            (Detail::ProcessExec(exec), Some(of)) => {
                exec.origin = ExecOrigin::Namespaces { of, kinds: vec!["mnt"] };
            }
            (Detail::Signal(signal), of) => signal.sender = Some(sender(of)),
            _ => {}
        }
        event
    })
}

fn sender(workload: Option<Arc<Workload>>) -> Sender {
    let process = Process {
        key: ProcessKey { pid: 77, start: BootTime(1) },
        parent_pid: 1,
        uid: Some(0),
        gid: None,
        comm: "kill".into(),
        binary: "/bin/kill".into(),
        told: Memo::default(),
    };
    Sender { process: Arc::new(process), workload, origin: Origin::Outside }
}

#[test]
fn a_sender_who_is_hidden_is_not_told() {
    let detail = |workload| {
        Detail::Signal(Signal {
            number: 9,
            effect: SignalEffect::Delivered,
            to_thread: false,
            by_kernel: false,
            code: Some(0),
            sender: Some(sender(workload)),
        })
    };
    let (web, db) = (pod(1, "shop", "web-1"), pod(2, "data", "db-1"));
    let told = |scope: &[&str], from: &Arc<Workload>| {
        let names = scope.iter().map(|name| (*name).to_owned()).collect();
        let event = event(&web, 1, detail(Some(Arc::clone(from))));
        let seen = Scope::Namespaces(Arc::new(names)).event(&event).map(|event| event.detail.clone());
        seen.map(|detail| matches!(detail, Detail::Signal(Signal { sender: Some(_), .. })))
    };
    assert_eq!(told(&["shop"], &db), Some(false));
    assert_eq!(told(&["shop"], &web), Some(true));
    assert_eq!(told(&["shop", "data"], &db), Some(true));
    assert_eq!(told(&["data"], &db), None);
}

/// Scopes hide all, nothing and parts.
#[test]
fn scopes_hide_all_nothing_and_parts() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = [0; 3];
    for _ in 0..3_000 {
        let (event, scope) = (entered(), scopes()).new_tree(&mut runner).unwrap().current();
        let compiled = Filters::default().within(scope);
        let recorded = wire::event(&event, NODE).encode_to_vec();
        let place = match compiled.encoded_event(&recorded, &mut Cache::default()) {
            None => 0,
            Some(Seen::Whole) => 1,
            Some(Seen::Part(_)) => 2,
        };
        counts[place] += 1;
    }
    assert!(counts.iter().all(|count| *count > 20), "{counts:?}");
}
