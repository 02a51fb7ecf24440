//! Names of traces and spans, which whoever sees one end of the same thing works out alike.
//!
//! Both ends of a connection know its addresses and ports, and within half a round trip when it was established: the one
//! that asks when the answer to its SYN came, the other one when that was acknowledged. So a connection's trace is named by the
//! addresses and by the 64 s in which it was established, and both sides name each other's spans without a word between
//! them, also on two nodes. What was established within a second of the border of two such times may have another name on
//! the other side; a link to that name is told then (`neighbour`). Attempts that failed have no other side, and are named by their own
//! time and socket; and what does not leave the node has the node in its name.

use std::net::{IpAddr, SocketAddr};

use ring::digest::{Context, SHA256};

use crate::event::{ConnectionId, Tcp, WallTime};

/// Within this time the same ends are the same connection. They cannot be used again for 60 s after an end in order, mostly;
/// those that were used again after a reset have one name.
const PERIOD_NS: u64 = 64_000_000_000;
/// Clocks of nodes are no further apart, and half a round trip is no longer.
const SKEW_NS: u64 = 1_000_000_000;

/// W3C's flag of a trace that is told.
pub(super) const SAMPLED: u32 = 1;

/// A trace's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct TraceId(pub(super) [u8; 16]);

/// A span's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SpanId(pub(super) [u8; 8]);

/// Names a span among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SpanName {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

/// The two ends of a connection, the same seen from both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    /// The network namespace, where its addresses are of no other one.
    netns: u32,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    /// Of who sees it so.
    pub(super) const fn of(tcp: &Tcp) -> Self {
        if tcp.outgoing { Self::Client } else { Self::Server }
    }

    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

impl Ends {
    /// As packets have them where they arrive: of an address that is translated, who answers.
    pub(super) fn of(tcp: &Tcp) -> Self {
        let plain = |address: SocketAddr| (address.ip().to_canonical(), address.port());
        let (near, far) = (plain(tcp.local), plain(tcp.answering()));
        let (client, server) = if tcp.outgoing { (near, far) } else { (far, near) };
        let is_own = client.0.is_loopback() || server.0.is_loopback();
        Self { client, server, netns: if is_own { tcp.netns } else { 0 } }
    }

    /// The name of one side's span of a connection that was established at that time. Of one that does not leave the node, the
    /// node is named: others may have the same addresses.
    pub(super) fn span(&self, side: Side, established: WallTime, node_name: Option<&str>) -> SpanName {
        self.named(side, established.0 / PERIOD_NS, node_name)
    }

    /// The name of an attempt that failed at that time. Nobody else has to know it, and the same ends may be used for the next
    /// one at once.
    pub(super) fn attempt(&self, id: ConnectionId, failed: WallTime, node_name: &str) -> SpanName {
        let [client, server] = self.words();
        let about = [self.netns.to_string(), id.0.to_string(), failed.0.to_string()];
        let trace = trace(&["tcp attempt", &client, &server, node_name, &about[0], &about[1], &about[2]]);
        SpanName { trace, span: span(trace, Side::Client.word()) }
    }

    /// Both sides are in one network namespace, by loopback.
    pub(super) const fn is_loopback(&self) -> bool {
        self.netns != 0
    }

    /// The name that this side's span has where the other side has it in the time before or after.
    pub(super) fn neighbour(
        &self,
        side: Side,
        established: WallTime,
        node_name: Option<&str>,
    ) -> Option<SpanName> {
        let (period, within) = (established.0 / PERIOD_NS, established.0 % PERIOD_NS);
        let other = if within < SKEW_NS {
            period.checked_sub(1)?
        } else if within >= PERIOD_NS - SKEW_NS {
            period + 1
        } else {
            return None;
        };
        Some(self.named(side, other, node_name))
    }

    fn named(&self, side: Side, period: u64, node_name: Option<&str>) -> SpanName {
        let [client, server] = self.words();
        let (netns, period) = (self.netns.to_string(), period.to_string());
        let trace = trace(&["tcp", &client, &server, node_name.unwrap_or_default(), &netns, &period]);
        SpanName { trace, span: span(trace, side.word()) }
    }

    fn words(&self) -> [String; 2] {
        [self.client, self.server].map(|(address, port)| format!("{address} {port}"))
    }
}

/// The span of an incident.
pub(super) fn incident(id: &str, node_name: &str) -> SpanName {
    let trace = trace(&["incident", node_name, id]);
    SpanName { trace, span: span(trace, "incident") }
}

/// The trace that is about these, in that order.
pub(super) fn trace(about: &[&str]) -> TraceId {
    TraceId(hash(about))
}

/// A span of a trace, by a word that no other one has there.
pub(super) fn span(of: TraceId, word: &str) -> SpanId {
    let mut context = Context::new(&SHA256);
    context.update(&of.0);
    context.update(word.as_bytes());
    SpanId(first(context.finish().as_ref()))
}

fn hash(parts: &[&str]) -> [u8; 16] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(&[0]);
    }
    first(context.finish().as_ref())
}

/// The first bytes, and never only zeros, which is no name.
fn first<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = *from;
    }
    if bytes.iter().all(|byte| *byte == 0) { [1; N] } else { bytes }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use super::*;
    use crate::event::{Backend, Peer, PeerKind, examples};

    fn both(client: &str, server: &str, netns: [u32; 2]) -> [Tcp; 2] {
        let [client, server]: [SocketAddr; 2] = [client.parse().unwrap(), server.parse().unwrap()];
        let tcp = |outgoing, local, remote, netns| Tcp {
            local,
            remote,
            netns,
            ..examples::tcp(1, outgoing, "1.1.1.1:1", None)
        };
        [tcp(true, client, server, netns[0]), tcp(false, server, client, netns[1])]
    }

    #[test]
    fn both_sides_agree() {
        let time = WallTime(10 * PERIOD_NS + PERIOD_NS / 2);
        let cases = [
            ("10.0.0.1:40000", "10.0.0.2:80", [5, 6]),
            ("[::ffff:10.0.0.1]:40000", "10.0.0.2:80", [5, 6]),
            ("[fe80::1%2]:40000", "[fe80::2%2]:80", [5, 6]),
        ];
        for (client, server, netns) in cases {
            let [asks, listens] = both(client, server, netns).map(|tcp| Ends::of(&tcp));
            assert_eq!(asks, listens, "{client}");
            let later = WallTime(time.0 + 50_000_000);
            let [asks, listens] =
                [asks.span(Side::Server, time, None), listens.span(Side::Server, later, None)];
            assert_eq!(asks, listens, "{client}");
        }
    }

    #[test]
    fn a_translated_address_is_who_answers() {
        let [mut asks, listens] = both("10.0.0.1:40000", "10.0.0.2:8080", [5, 6]);
        asks.remote = "10.96.0.1:80".parse().unwrap();
        asks.backend = Some(Arc::new(Backend { address: listens.local, peer: Peer::of(PeerKind::Pod) }));
        assert_eq!(Ends::of(&asks), Ends::of(&listens));
    }

    #[test]
    fn others_have_other_names() {
        let time = WallTime(10 * PERIOD_NS + PERIOD_NS / 2);
        let [one, _] = both("127.0.0.1:40000", "127.0.0.1:80", [5, 5]).map(|tcp| Ends::of(&tcp));
        let [other, _] = both("127.0.0.1:40000", "127.0.0.1:80", [6, 6]).map(|tcp| Ends::of(&tcp));
        let name = one.span(Side::Client, time, Some("node"));
        assert_ne!(name, other.span(Side::Client, time, Some("node")));
        assert_ne!(name, one.span(Side::Client, time, Some("another")));
        assert_ne!(name.trace, one.span(Side::Client, WallTime(time.0 + PERIOD_NS), Some("node")).trace);
        let server = one.span(Side::Server, time, Some("node"));
        assert_eq!(name.trace, server.trace);
        assert_ne!(name.span, server.span);
        assert_ne!(name, one.span(Side::Client, time, None));
        let attempt = |id, time| one.attempt(ConnectionId(id), WallTime(time), "node");
        assert_eq!(attempt(1, 5), attempt(1, 5));
        assert_eq!(
            BTreeSet::from([attempt(1, 5), attempt(1, 6), attempt(2, 5), name].map(|of| of.trace.0)).len(),
            4
        );
        assert_ne!(trace(&["ab", "c"]), trace(&["a", "bc"]));
    }

    /// Names must not change from version to version: nodes are not all of one.
    #[test]
    fn names_stay() {
        let [ends, _] = both("10.0.0.1:40000", "10.0.0.2:80", [5, 6]).map(|tcp| Ends::of(&tcp));
        let trace = |name: SpanName| format!("{:032x}", u128::from_be_bytes(name.trace.0));
        let span = |name: SpanName| format!("{:016x}", u64::from_be_bytes(name.span.0));
        let time = WallTime(10 * PERIOD_NS + PERIOD_NS / 2);
        let [client, server] = [Side::Client, Side::Server].map(|side| ends.span(side, time, None));
        let found = [trace(client), span(client), trace(server), span(server)];
        assert_eq!(
            found,
            [
                "ac0b2e6feafa1dd28bb20a9c387cb218",
                "625932db14fafffe",
                "ac0b2e6feafa1dd28bb20a9c387cb218",
                "4d745329e4fae76b",
            ]
        );
    }

    #[test]
    fn near_a_border_the_other_name_is_known() {
        let [ends, _] = both("10.0.0.1:40000", "10.0.0.2:80", [5, 6]).map(|tcp| Ends::of(&tcp));
        let border = 10 * PERIOD_NS;
        let neighbour = |time| ends.neighbour(Side::Client, WallTime(time), None);
        let name = |time| Some(ends.span(Side::Client, WallTime(time), None));
        assert_eq!(neighbour(border + 5), name(border - 5));
        assert_eq!(neighbour(border - 5), name(border + 5));
        assert_eq!(neighbour(border + PERIOD_NS / 2), None);
    }
}
