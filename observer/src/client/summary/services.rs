//! Edges that lead to one Service by way of several backends: a row for the whole above those of the parts.

use std::cmp::Ordering;
use std::collections::HashMap;

use observer_proto::v1::{Distribution, Edge, Stalled, Summary, TcpSummary, Workload};

use super::super::label;

/// A row of a table of edges.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) summary: Summary,
    pub(super) part: Part,
}

/// What a row is of all that leads to one address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it, an edge as it was told.
    Only,
    /// The sum of the rows that follow.
    Sum,
    /// One of those that follow their sum.
    OneOf,
}

/// The rows of edges, in their order but with the parts of a sum below it, at the place of the first one.
pub(super) fn rows(edges: &[&Summary]) -> Vec<Row> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Vec<&Summary>> = Vec::new();
    for edge in edges {
        let at = *places.entry(whole(edge)).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(edge),
            None => groups.push(vec![edge]),
        }
    }
    let mut rows = Vec::with_capacity(edges.len());
    for group in groups {
        let part = if group.len() == 1 {
            Part::Only
        } else {
            rows.push(Row { summary: sum(&group), part: Part::Sum });
            Part::OneOf
        };
        rows.extend(group.into_iter().map(|edge| Row { summary: edge.clone(), part }));
    }
    rows
}

/// What edges have in common that differ in who answers, and in nothing else.
fn whole(summary: &Summary) -> String {
    let who = |workload: &Option<Workload>| {
        let workload = workload.as_ref();
        let ids = workload.map(|of| (of.cgroup_id, of.pod_uid.clone(), of.container_id.clone()));
        (label::owner(workload), ids)
    };
    let edge = summary.edge.clone().unwrap_or_default();
    let Edge { kind, address, port, outgoing, workload, service, node_name, backend: _, dns_name: _ } = &edge;
    let peer = (kind, address, port, outgoing, who(workload), service, node_name);
    format!("{:?} {:?} {peer:?}", summary.node_name, who(&summary.workload))
}

/// The sum of edges, as far as tables show it.
fn sum(parts: &[&Summary]) -> Summary {
    let whole = parts[0];
    let mut sum = TcpSummary::default();
    let mut still = Stalled::default();
    for tcp in parts.iter().filter_map(|part| part.tcp.as_ref()) {
        sum.opened += tcp.opened;
        sum.failed += tcp.failed;
        sum.closed += tcp.closed;
        sum.live += tcp.live;
        sum.sent_bytes += tcp.sent_bytes;
        sum.received_bytes += tcp.received_bytes;
        sum.sent_segments += tcp.sent_segments;
        sum.retransmitted_segments += tcp.retransmitted_segments;
        sum.resets_sent += tcp.resets_sent;
        sum.resets_received += tcp.resets_received;
        sum.handshake_latency = merged(sum.handshake_latency, tcp.handshake_latency.as_ref());
        sum.rtt = merged(sum.rtt, tcp.rtt.as_ref());
        if let Some(Stalled {
            unread,
            unaccepted,
            own_window_closed,
            peer_window_closed,
            half_closed,
            unanswered,
        }) = tcp.stalled
        {
            still.unread += unread;
            still.unaccepted += unaccepted;
            still.own_window_closed += own_window_closed;
            still.peer_window_closed += peer_window_closed;
            still.half_closed += half_closed;
            still.unanswered += unanswered;
        }
    }
    sum.stalled = Some(still);
    let edge = whole.edge.clone().map(|edge| Edge { backend: None, ..edge });
    Summary { edge, tcp: Some(sum), diagnosis: None, far_end: None, ..whole.clone() }
}

/// Two distributions of the same scale as one.
fn merged(sum: Option<Distribution>, more: Option<&Distribution>) -> Option<Distribution> {
    let (Some(one), Some(more)) = (&sum, more) else { return sum.or_else(|| more.cloned()) };
    let offset = one.offset.min(more.offset);
    let mut buckets = Vec::new();
    for of in [one, more] {
        let first = of.offset.abs_diff(offset) as usize;
        buckets.resize(buckets.len().max(first + of.buckets.len()), 0);
        for (bucket, count) in buckets[first..].iter_mut().zip(&of.buckets) {
            *bucket += count;
        }
    }
    let mut merged = Distribution {
        count: one.count + more.count,
        sum_ns: one.sum_ns.saturating_add(more.sum_ns),
        min_ns: one.min_ns.min(more.min_ns),
        max_ns: one.max_ns.max(more.max_ns),
        scale: one.scale,
        offset,
        buckets,
        zero_count: one.zero_count + more.zero_count,
        ..Distribution::default()
    };
    [merged.p50_ns, merged.p90_ns, merged.p99_ns] = [50, 90, 99].map(|percent| percentile(&merged, percent));
    Some(merged)
}

/// What that share of the values does not exceed, within half a bucket.
fn percentile(of: &Distribution, percent: u64) -> u64 {
    let rank = of.count.saturating_mul(percent).div_ceil(100).max(1);
    let mut seen = of.zero_count;
    match rank.cmp(&of.count) {
        _ if rank <= seen => return 0,
        Ordering::Less => {}
        Ordering::Equal | Ordering::Greater => return of.max_ns,
    }
    for (index, count) in (of.offset..).zip(&of.buckets) {
        seen += count;
        if rank <= seen {
            let seconds = ((f64::from(index) + 0.5) * (-f64::from(of.scale)).exp2()).exp2();
            let middle = (1e9 * seconds).round() as u64;
            return middle.clamp(of.min_ns, of.max_ns);
        }
    }
    of.max_ns
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::Endpoint;

    use super::super::super::testing;
    use super::*;

    fn edge(opened: u64, backend: Option<&str>) -> Summary {
        let backend = backend.map(|pod| Endpoint {
            workload: Some(testing::pod("shop", pod, "")),
            port: 8080,
            ..Endpoint::default()
        });
        Summary {
            edge: Some(Edge {
                service: "shop/web".to_owned(),
                port: 80,
                outgoing: true,
                backend,
                ..Edge::default()
            }),
            tcp: Some(TcpSummary { opened, ..TcpSummary::default() }),
            ..Summary::default()
        }
    }

    #[test]
    fn the_parts_of_a_sum_stand_below_it() {
        let mut other = edge(9, None);
        other.edge.as_mut().unwrap().port = 443;
        let all = [edge(1, Some("web-1")), other, edge(2, Some("web-0")), edge(4, None)];
        let rows = rows(&all.iter().collect::<Vec<_>>());
        let told: Vec<_> =
            rows.iter().map(|row| (row.part, row.summary.tcp.as_ref().unwrap().opened)).collect();
        let part = Part::OneOf;
        assert_eq!(told, [(Part::Sum, 7), (part, 1), (part, 2), (part, 4), (Part::Only, 9)]);
        assert_eq!(rows[0].summary.edge.as_ref().unwrap().backend, None);
    }

    #[test]
    fn distributions_add_up_as_the_daemon_would_have_it() {
        // 100 values in bucket -637, around 1,029 ns, one around 1,051, and 100 around 1,146.
        let low = Distribution {
            count: 101,
            min_ns: 1_030,
            max_ns: 1_060,
            scale: 5,
            offset: -637,
            buckets: vec![100, 1],
            ..Distribution::default()
        };
        let high = Distribution {
            count: 100,
            min_ns: 1_150,
            max_ns: 1_160,
            scale: 5,
            offset: -632,
            buckets: vec![100],
            ..Distribution::default()
        };
        let one = merged(Some(low.clone()), Some(&high)).unwrap();
        let other = merged(Some(high), Some(&low)).unwrap();
        assert_eq!(one, other);
        assert_eq!((one.count, one.offset, &one.buckets[..]), (201, -637, &[100, 1, 0, 0, 0, 100][..]));
        assert_eq!((one.p50_ns, one.p90_ns, one.p99_ns), (1_051, 1_146, 1_146));
        assert_eq!(merged(None, Some(&low)).unwrap(), low);
    }
}
