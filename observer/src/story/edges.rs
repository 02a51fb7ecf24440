//! Who could not connect to whom, whose connections were reset, between whom segments were lost.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashSet};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, ResetDirection, RetransmitPhase, Tcp, TimelineKind, Workload};

use super::about::About;
use super::line::{At, Group, Line, Moment, PEER, count, part};
use super::names;
use super::windows::Windows;
use crate::units::{duration, percent, plural};

/// Edges that are followed at a time.
const MOST_EDGES: usize = 512;
/// Fewer segments that were sent again are no news.
const FEW_SEGMENTS: u64 = 3;

/// The edges that an incident's workloads are an end of.
#[derive(Debug, Default)]
pub(super) struct Edges {
    edges: HashMap<(String, String), Edge>,
}

/// One edge, from who asks to who is asked, as both ends told of it.
#[derive(Debug, Default)]
pub(super) struct Edge {
    client: String,
    server: String,
    workload: Option<Workload>,
    /// What tells who is asked apart.
    server_key: Option<String>,
    connected: Group,
    failed: BTreeMap<String, Group>,
    unanswered: Group,
    given_up: Group,
    /// Connections that were made before the first one that failed, and the first after the last.
    connected_before: u64,
    again: Option<At>,
    /// As the server's side told of them, and as the client's did.
    resets: [Group; 2],
    reset_cause: Option<&'static str>,
    /// Segments that the server's side sent again, and the client's.
    lost: [Group; 2],
    broken: Group,
}

impl Edges {
    pub(super) fn hear(&mut self, event: &Event, tcp: &Tcp, at: At, about: &About) {
        let owner = event.workload.as_ref();
        if !about.has_end(owner, tcp) {
            return;
        }
        let key = (names::client(tcp, owner), names::server(tcp, owner));
        if self.edges.len() >= MOST_EDGES && !self.edges.contains_key(&key) {
            return;
        }
        let edge = self.edges.entry(key.clone()).or_insert_with(|| {
            let server = if tcp.outgoing { names::far(tcp) } else { owner };
            let server_key = server.map(names::key);
            Edge { client: key.0, server: key.1, server_key, ..Edge::default() }
        });
        edge.hear(event, tcp, at);
    }

    /// Whom the workloads of the incident could not connect to.
    pub(super) fn failing_servers(&self) -> HashSet<&str> {
        let failing = self.edges.values().filter(|edge| edge.has_failed());
        failing.filter_map(|edge| edge.server_key.as_deref()).collect()
    }

    pub(super) fn lines(&self, windows: &Windows) -> Vec<Line> {
        let mut lines = Vec::new();
        for edge in self.edges.values() {
            edge.attempts(&mut lines);
            edge.resets(&mut lines);
            edge.losses(windows, &mut lines);
        }
        lines
    }
}

impl Edge {
    fn hear(&mut self, event: &Event, tcp: &Tcp, at: At) {
        let side = usize::from(tcp.outgoing);
        if self.workload.is_none() || tcp.outgoing {
            self.workload.clone_from(&event.workload);
        }
        match &event.detail {
            Some(Detail::TcpConnect(_)) => {
                self.connected.add(at);
                if self.has_failed() && self.again.is_none() {
                    self.again = Some(at);
                }
            }
            Some(Detail::TcpConnectPending(pending)) => {
                self.fails();
                // It began to wait when it was asked for.
                let at = At { moment: at.moment.before(pending.waited_ns), ..at };
                self.unanswered.add(at);
            }
            Some(Detail::TcpConnectFailure(failure)) => match failure.error.as_str() {
                // The process gave up, or nothing was sent: what it waited for is told as pending.
                "cancelled" | "not_sent" => {}
                "timed_out" => {
                    self.fails();
                    self.given_up.add(at);
                }
                error => {
                    self.fails();
                    self.failed.entry(error.to_owned()).or_default().add(at);
                }
            },
            Some(Detail::TcpReset(reset)) => {
                let by_server = match reset.direction() {
                    ResetDirection::Received => tcp.outgoing,
                    ResetDirection::Sent => !tcp.outgoing && !reset.no_socket,
                    ResetDirection::Unspecified => false,
                };
                if by_server && let Some(resets) = self.resets.get_mut(side) {
                    resets.add(at);
                    self.reset_cause = reset_cause(reset.cause()).or(self.reset_cause);
                }
            }
            Some(Detail::TcpRetransmit(retransmit)) => {
                let of_data = matches!(retransmit.phase(), RetransmitPhase::Data | RetransmitPhase::Fin);
                if of_data && let Some(lost) = self.lost.get_mut(side) {
                    lost.add_many(at, retransmit.segments.into());
                }
            }
            Some(Detail::TcpClose(close)) if close.error == "timed_out" => self.broken.add(at),
            Some(
                Detail::TcpClose(_)
                | Detail::TcpAccept(_)
                | Detail::ProcessExec(_)
                | Detail::ProcessExit(_)
                | Detail::OomKill(_)
                | Detail::ContainerStart(_)
                | Detail::ContainerStop(_)
                | Detail::ContainerReady(_)
                | Detail::ContainerCrashLoop(_)
                | Detail::TcpResponse(_)
                | Detail::PacketDrop(_)
                | Detail::Signal(_)
                | Detail::OpenFailure(_),
            )
            | None => {}
        }
    }

    fn has_failed(&self) -> bool {
        !self.failed.is_empty() || !self.unanswered.is_empty() || !self.given_up.is_empty()
    }

    /// An attempt failed: what succeeded before the first one is remembered, and nothing has succeeded since.
    fn fails(&mut self) {
        if !self.has_failed() {
            self.connected_before = self.connected.count;
        }
        self.again = None;
    }

    fn attempts(&self, lines: &mut Vec<Line>) {
        let Self { client, server, connected_before, .. } = self;
        let before = match connected_before {
            0 => String::new(),
            1 => "; one before had succeeded".to_owned(),
            many => format!("; the {many} before had succeeded"),
        };
        let unanswered = if self.unanswered.is_empty() { &self.given_up } else { &self.unanswered };
        if let Some(first) = unanswered.first {
            let (n, lasted) = (unanswered.count, within(unanswered));
            let text = match n {
                1 => format!("{client} connects to {server} and gets no answer{before}"),
                _ => format!(
                    "{client} gets no answer from {server}: {n} connects wait in vain{lasted}{before}"
                ),
            };
            lines.push(self.line(first, text, unanswered).with([count("connects_unanswered", n)]));
        }
        for (error, group) in &self.failed {
            let Some(first) = group.first else { continue };
            let (n, lasted, why) = (group.count, within(group), reason(error));
            let text = match n {
                1 => format!("{client} cannot connect to {server}: {why}{before}"),
                _ => format!("{client} cannot connect to {server}: {n} attempts fail{lasted}, {why}{before}"),
            };
            lines.push(self.line(first, text, group).with([part(
                "connect_failures",
                n,
                n + connected_before,
            )]));
        }
        let bad = unanswered.count + self.failed.values().map(|group| group.count).sum::<u64>();
        if let Some(again) = self.again.filter(|_| bad > 1) {
            let text = format!("{client} connects to {server} again");
            let line = Line::new(again.moment, TimelineKind::Consequence, text).of(self.workload.as_ref());
            lines.push(line.made_of(&Group::of(again)).weighs(bad));
        }
    }

    fn resets(&self, lines: &mut Vec<Line>) {
        let Self { client, server, .. } = self;
        let Some(resets) = self.resets.iter().max_by_key(|group| group.count) else { return };
        let Some(first) = resets.first else { return };
        let cause = self.reset_cause.map_or_else(String::new, |cause| format!(": {cause}"));
        let (n, lasted) = (plural(resets.count, "connection"), within(resets));
        let text = format!("{server} resets {n} of {client}{lasted}{cause}");
        lines.push(self.line(first, text, resets).with([count("resets_of_server", resets.count)]));
    }

    fn losses(&self, windows: &Windows, lines: &mut Vec<Line>) {
        let Self { client, server, lost: [of_server, of_client], .. } = self;
        let mut all = of_server.clone();
        all.merge(of_client);
        if let Some(first) = all.first.filter(|_| all.count >= FEW_SEGMENTS) {
            let whole = windows.loss(client, server);
            let share = whole.map_or_else(String::new, |loss| {
                format!(", {} of all that were sent", percent(loss.lost(), loss.sent))
            });
            let each = match (of_client.count, of_server.count) {
                (0, _) => format!(" by {server}"),
                (_, 0) => format!(" by {client}"),
                (a, b) => format!(" ({a} by {client}, {b} by {server})"),
            };
            let (n, lasted) = (all.count, within(&all));
            let text = format!(
                "segments between {client} and {server} get lost: {n} sent again{lasted}{each}{share}"
            );
            let evidence = match whole {
                Some(loss) => part("lost_segments", loss.lost(), loss.sent),
                None => count("lost_segments", n),
            };
            lines.push(self.line(first, text, &all).with([evidence]));
        }
        if let Some(first) = self.broken.first {
            let n = plural(self.broken.count, "connection");
            let text = format!("{n} between {client} and {server} broke: nothing was answered for too long");
            let line = Line::new(first, TimelineKind::Consequence, text).of(self.workload.as_ref());
            lines.push(line.made_of(&self.broken).weighs(self.broken.count));
        }
    }

    fn line(&self, at: Moment, text: String, events: &Group) -> Line {
        let line = Line::new(at, TimelineKind::Symptom, text).of(self.workload.as_ref());
        line.made_of(events).may_be(PEER).asks(self.server_key.as_ref()).weighs(events.count)
    }
}

/// ` within 25 s`, where it lasted.
fn within(group: &Group) -> String {
    match group.lasted_ns() {
        0..1_000_000 => String::new(),
        ns => format!(" within {}", duration(ns)),
    }
}

/// Why an attempt failed, in words.
fn reason(error: &str) -> String {
    match error {
        "refused" => "refused, as nobody listens there".to_owned(),
        "reset" => "reset before they were made".to_owned(),
        "host_unreachable" => "the host is unreachable".to_owned(),
        "net_unreachable" => "the network is unreachable".to_owned(),
        other => other.replace('_', " "),
    }
}

fn reset_cause(cause: observer_proto::v1::ResetCause) -> Option<&'static str> {
    use observer_proto::v1::ResetCause as Cause;
    match cause {
        Cause::Unspecified => None,
        Cause::NoListener => Some("nobody listens there"),
        Cause::NoConnection => Some("it knows of no such connection"),
        Cause::UnreadData => Some("it closes them with data that it has not read"),
        Cause::LingerZero => Some("its process wants it so (linger 0)"),
        Cause::DataAfterClose => Some("data comes after it has closed"),
        Cause::Timeout => Some("nothing was answered for too long"),
        Cause::OutOfMemory => Some("the kernel is short of memory for sockets"),
        Cause::Aborted => Some("its process aborts them"),
        Cause::Unexpected => Some("segments come that do not fit"),
    }
}
