//! Tests of the selection: flags become filters, those after `--not` the deny filter.

use clap::Parser as _;

use super::*;

#[derive(Debug, clap::Parser)]
struct Events {
    #[command(flatten)]
    selection: Selection<true>,
}

#[derive(Debug, clap::Parser)]
struct Others {
    #[command(flatten)]
    selection: Selection<false>,
}

fn parse(flags: &str) -> Result<Selection<true>, String> {
    let words = ["events"].into_iter().chain(flags.split_whitespace());
    Events::try_parse_from(words).map(|events| events.selection).map_err(|error| error.to_string())
}

fn filter(change: impl FnOnce(&mut Filter)) -> Vec<Filter> {
    let mut filter = Filter::default();
    change(&mut filter);
    vec![filter]
}

#[test]
fn no_flag_is_no_filter() {
    assert_eq!(parse("").unwrap(), Selection::default());
    assert_eq!(parse("-A").unwrap(), Selection::default());
}

#[test]
fn flags_become_fields_of_one_filter() {
    let selection = parse(
        "-n shop --pod web/cart --from-pod /a --to-pod b/ --container app,db --workload ssh.service \
         -t tcp_connect,tcp_close --type oom_kill --ip 10.0.0.0/8 --ip ::1 --service web,data/db --port 53 --port 80,443,8000-8999 -l app=web,!canary -l tier --min-latency 50ms --failure-only",
    )
    .unwrap();
    let strings = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
    let expected = Filter {
        namespaces: strings(&["shop"]),
        pods: strings(&["web/cart"]),
        from_pods: strings(&["/a"]),
        to_pods: strings(&["b/"]),
        containers: strings(&["app", "db"]),
        workloads: strings(&["ssh.service"]),
        types: vec![6, 11, 3],
        ports: vec![53, 80, 443],
        addresses: strings(&["10.0.0.0/8", "::1"]),
        failure_only: true,
        node_names: Vec::new(),
        services: strings(&["web", "data/db"]),
        labels: strings(&["app=web,!canary", "tier"]),
        port_ranges: vec![PortRange { first: 8000, last: 8999 }],
        min_latency: Some(prost_types::Duration { seconds: 0, nanos: 50_000_000 }),
    };
    assert_eq!(selection, Selection { allow: vec![expected], deny: vec![], print_filters: false });
}

#[test]
fn what_stands_after_not_is_denied() {
    let selection = parse("-n shop --port 80 --not --port 53,54 -n kube-system --failure-only").unwrap();
    assert_eq!(selection.allow, filter(|f| (f.namespaces, f.ports) = (vec!["shop".to_owned()], vec![80])));
    let denied = filter(|f| {
        f.namespaces = vec!["kube-system".to_owned()];
        f.ports = vec![53, 54];
        f.failure_only = true;
    });
    assert_eq!(selection.deny, denied);
    let selection = parse("--failure-only --not -t tcp_retransmit").unwrap();
    assert_eq!(selection.allow, filter(|f| f.failure_only = true));
    assert_eq!(selection.deny, filter(|f| f.types = vec![9]));
    assert_eq!(parse("-A --not -n kube-system").unwrap().allow, []);
}

#[test]
fn a_namespace_qualifies_the_pods_beside_it() {
    let selection = parse("-n shop,web --pod cart --not --pod cart").unwrap();
    let shop = ["shop", "web"].map(str::to_owned).to_vec();
    let pods = ["shop/cart", "web/cart"].map(str::to_owned).to_vec();
    assert_eq!(selection.allow, filter(|f| (f.namespaces, f.pods) = (shop, pods)));
    assert_eq!(selection.deny, filter(|f| f.pods = vec!["cart".to_owned()]));
}

#[test]
fn wrong_values_are_named_with_what_is_allowed() {
    let error = parse("-t tcp_conect").unwrap_err();
    assert!(
        error.contains("'tcp_conect'") && error.contains("process_exec") && error.contains("tcp_close"),
        "{error}"
    );
    for (flags, allowed) in [
        ("--port 0", "ports from 1 to 65535"),
        ("--port 65536", "ports from 1 to 65535"),
        ("--port 90-80", "ranges such as 8000-8999"),
        ("--min-latency 0s", "durations above 0"),
        ("--ip 10.0.0", "prefixes such as 10.0.0.0/8"),
        ("--pod a/b/c", "namespace/prefix"),
        ("--pod /", "namespace/prefix"),
        ("--not", "no filter follows it"),
        ("--port 53 --not", "no filter follows it"),
        ("-A -n shop", "exclude each other"),
        ("--container=", "value"),
    ] {
        let error = parse(flags).unwrap_err();
        assert!(error.contains(allowed), "{flags}: {error}");
    }
}

#[test]
fn summaries_have_no_types() {
    assert!(Others::try_parse_from(["summary", "-t", "tcp_close"]).is_err());
    let selection = parse("-n shop -t tcp_close --not --port 53").unwrap().for_summaries();
    assert_eq!(selection.allow, filter(|f| f.namespaces = vec!["shop".to_owned()]));
    assert_eq!(selection.deny, filter(|f| f.ports = vec![53]));
    let selection = parse("-t tcp_close --not -n shop -t tcp_retransmit").unwrap().for_summaries();
    assert_eq!(selection, Selection::default());
}
