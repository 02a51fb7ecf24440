//! Filters that can never match: refused, as who waits for what never comes takes silence for health.

use itertools::Itertools as _;
use observer_proto::served as v1;

use super::InvalidFilter;
use super::compile::{invalid, of_ends};
use crate::event::EventType;

/// The first filter that can never match, with the reason.
pub(super) fn find(allow: &[v1::Filter], deny: &[v1::Filter]) -> Option<InvalidFilter> {
    let lists = [("allow", allow), ("deny", deny)];
    let each = lists.iter().flat_map(|(list, filters)| {
        filters.iter().enumerate().map(move |(at, filter)| (format!("{list}[{at}]"), filter))
    });
    let by_itself = each.into_iter().find_map(|(at, filter)| Some((at, reason(filter)?)));
    let refused = by_itself.or_else(|| {
        allow.iter().enumerate().find_map(|(at, filter)| {
            let by = deny.iter().position(|deny| leaves_out(deny, filter))?;
            let reason = format!("deny[{by}] leaves out all that it lets pass");
            Some((format!("allow[{at}]"), reason))
        })
    });
    refused.map(|(at, reason)| invalid(at, "a filter that can never match", reason))
}

/// Why a filter matches nothing, whatever happens.
fn reason(filter: &v1::Filter) -> Option<String> {
    let of = |number: &i32| EventType::ALL.into_iter().find(|of| *of as i32 == *number);
    let types = filter.types.iter().map(of).collect::<Option<Vec<_>>>()?;
    if types.is_empty() {
        return None;
    }
    // Each once, however often it is asked for.
    let names = || EventType::ALL.into_iter().filter(|of| types.contains(of)).map(EventType::name).join(", ");
    let none = |is: fn(EventType) -> bool| !types.iter().any(|of| is(*of));
    let set = of_ends(filter).into_iter().find(|(_, set)| *set);
    if let Some((field, _)) = set.filter(|_| none(is_of_connection)) {
        return Some(format!(
            "no {} is about a connection; leave `{field}` out, or ask for tcp_ types",
            names()
        ));
    }
    if filter.min_latency.is_some() && none(has_latency) {
        return Some(format!(
            "no {} has a latency; leave `min_latency` out, or ask for other types",
            names()
        ));
    }
    if filter.failure_only && none(may_fail) {
        return Some(format!(
            "no {} is a failure; leave `failure_only` out, or ask for other types",
            names()
        ));
    }
    None
}

/// Events of that type have two ends.
fn is_of_connection(of: EventType) -> bool {
    of.name().starts_with("tcp_")
}

/// Events of that type may have what `min_latency` asks for.
const fn has_latency(of: EventType) -> bool {
    use EventType::{TcpAccept, TcpClose, TcpConnect, TcpConnectFailure, TcpConnectPending, TcpResponse};
    matches!(of, TcpConnect | TcpAccept | TcpConnectFailure | TcpConnectPending | TcpClose | TcpResponse)
}

/// Events of that type may tell of something that went wrong.
const fn may_fail(of: EventType) -> bool {
    use EventType::{
        ContainerReady, ContainerStart, ProcessExec, Signal, TcpAccept, TcpConnect, TcpResponse,
    };
    !matches!(
        of,
        ProcessExec | ContainerStart | ContainerReady | TcpConnect | TcpAccept | TcpResponse | Signal
    )
}

/// Whatever `filter` matches, `deny` does: each field that it sets has all the values of the other one's.
fn leaves_out(deny: &v1::Filter, filter: &v1::Filter) -> bool {
    covers(&deny.namespaces, &filter.namespaces)
        && covers(&deny.pods, &filter.pods)
        && covers(&deny.from_pods, &filter.from_pods)
        && covers(&deny.to_pods, &filter.to_pods)
        && covers(&deny.containers, &filter.containers)
        && covers(&deny.workloads, &filter.workloads)
        && covers(&deny.types, &filter.types)
        && covers(&deny.addresses, &filter.addresses)
        && covers(&deny.node_names, &filter.node_names)
        && covers(&deny.services, &filter.services)
        && covers(&deny.labels, &filter.labels)
        && covers(&ports(deny), &ports(filter))
        && (!deny.failure_only || filter.failure_only)
        && (deny.min_latency.is_none() || deny.min_latency == filter.min_latency)
}

/// A field that is not set matches everything.
fn covers<T: PartialEq>(deny: &[T], allow: &[T]) -> bool {
    deny.is_empty() || (!allow.is_empty() && allow.iter().all(|value| deny.contains(value)))
}

/// The first and the last of each range.
fn ports(filter: &v1::Filter) -> Vec<(u32, u32)> {
    let ranges = filter.port_ranges.iter().map(|range| (range.first, range.last));
    filter.ports.iter().map(|&port| (port, port)).chain(ranges).collect()
}
