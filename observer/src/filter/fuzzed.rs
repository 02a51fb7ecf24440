//! Filters of any text, compiled for each purpose and asked for events of all kinds.
//!
//! An input is a line for each value: a field's name and the value. `allow` and `deny` begin a filter.

use observer_proto::served as v1;

use super::*;
use crate::event::examples::{accept, close, connect, counters, event, host, pod, tcp};

const WORDS: [&str; 44] = [
    "allow\n",
    "deny\n",
    "\nnamespaces ",
    "\npods ",
    "\nfrom_pods ",
    "\nto_pods ",
    "\ncontainers ",
    "\nworkloads ",
    "\ntypes ",
    "\nports ",
    "\naddresses ",
    "\nfailure_only",
    "\nnode_names ",
    "\nservices ",
    "\nlabels ",
    "\nport_ranges ",
    "\nmin_latency ",
    "shop",
    "shop/web",
    "/web",
    "shop/",
    "*",
    "node-1",
    "app",
    "25",
    "80",
    "5432",
    "65535",
    "65536",
    "10.0.0.2",
    "10.0.0.0/8",
    "::/0",
    "::ffff:10.0.0.2",
    "/33",
    "app=web",
    "app in (web, db)",
    "app notin (web)",
    "!app",
    "app!=",
    ",",
    "(",
    ")",
    "-1",
    "999999999",
];

/// The filters that an input describes: those to allow and those to deny.
fn described(input: &[u8]) -> [Vec<v1::Filter>; 2] {
    let text = String::from_utf8_lossy(input);
    let (mut lists, mut list) = ([Vec::new(), Vec::new()], 0);
    for line in text.lines() {
        let (name, value) = line.split_once(' ').unwrap_or((line, ""));
        if let Some(begun) = ["allow", "deny"].iter().position(|one| *one == name) {
            list = begun;
            lists[list].push(v1::Filter::default());
        }
        let Some(filter) = lists[list].last_mut() else { continue };
        let text = || value.to_owned();
        let [first, second] = {
            let mut numbers = value.split(' ').map(|number| number.parse::<i64>().unwrap_or_default());
            [numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()]
        };
        match name {
            "namespaces" => filter.namespaces.push(text()),
            "pods" => filter.pods.push(text()),
            "from_pods" => filter.from_pods.push(text()),
            "to_pods" => filter.to_pods.push(text()),
            "containers" => filter.containers.push(text()),
            "workloads" => filter.workloads.push(text()),
            "types" => filter.types.push(first as i32),
            "ports" => filter.ports.push(first as u32),
            "addresses" => filter.addresses.push(text()),
            "failure_only" => filter.failure_only = true,
            "node_names" => filter.node_names.push(text()),
            "services" => filter.services.push(text()),
            "labels" => filter.labels.push(text()),
            "port_ranges" => {
                filter.port_ranges.push(v1::PortRange { first: first as u32, last: second as u32 });
            }
            "min_latency" => {
                filter.min_latency = Some(prost_types::Duration { seconds: first, nanos: second as i32 });
            }
            _ => {}
        }
    }
    lists
}

fn compile(allow: &[v1::Filter], deny: &[v1::Filter], purpose: Purpose) -> Option<Filters> {
    let compiled = Filters::compile(allow.to_vec(), deny.to_vec(), purpose, "node-1");
    if let Err(error) = &compiled {
        let said = error.to_string();
        assert!(said.len() < 2_000 && !said.contains(char::is_control), "{said:?}");
    }
    compiled.ok()
}

#[test]
fn fuzz_filters() {
    let (web, db, host) = (pod(1, "shop", "web"), pod(2, "data", "db"), host(3));
    let events: Vec<Event> = [(&web, Some(&db)), (&db, None), (&host, Some(&web))]
        .into_iter()
        .flat_map(|(of, peer)| {
            let [out, into] = ["10.0.0.2:5432", "[2001:db8::1]:80"].map(|remote| tcp(1, true, remote, peer));
            let details = [connect(&out), accept(&into), close(&out, counters(3, 1)), connect(&into)];
            details.map(|detail| event(of, 5, detail))
        })
        .collect();
    crate::fuzz::run("filters", &WORDS, |input| {
        let [allow, deny] = described(input);
        for purpose in [Purpose::Summaries, Purpose::Connections, Purpose::Workloads] {
            let Some(filters) = compile(&allow, &deny, purpose) else { continue };
            filters.workload(&web);
        }
        if let Some(filters) = compile(&allow, &deny, Purpose::Events) {
            let _passing = events.iter().filter(|event| filters.event(event)).count();
        }
        // What a filter lets pass it denies as well.
        for filter in allow.iter().chain(&deny).take(8) {
            let one = std::slice::from_ref(filter);
            let (allowed, denied) = (compile(one, &[], Purpose::Events), compile(&[], one, Purpose::Events));
            if let (Some(allowed), Some(denied)) = (allowed, denied) {
                assert!(events.iter().all(|event| allowed.event(event) != denied.event(event)), "{filter:?}");
            }
        }
    });
}
