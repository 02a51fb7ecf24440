//! What was recorded is seen as it would have been live, by whoever may see some of it, through any filters.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree as _;
use prost::Message as _;

use super::told::{NODE, events, filters, told, workloads};
use crate::event::{Detail, Event, ExecOrigin};
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

/// Events, of which some execs came from outside.
fn entered() -> impl Strategy<Value = Event> {
    (events(), option::of(workloads())).prop_map(|(mut event, of)| {
        if let (Detail::ProcessExec(exec), Some(of)) = (&mut event.detail, of) {
            exec.origin = ExecOrigin::Namespaces { of, kinds: vec!["mnt"] };
        }
        event
    })
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
