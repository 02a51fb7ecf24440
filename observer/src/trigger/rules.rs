//! The rules of edges: what of the last half minute is a burst, and what is just noise.

use super::edges::{Sums, Watched};
use super::fired::{Fired, FiredEdge, Grade, TriggerKind};
use super::latency::Slow;
use super::lives::Lives;
use super::names;
use super::tuning::{SECOND, Tuning};
use crate::diagnose::{Evidence, count, part, time};
use crate::event::{BootTime, EdgeSummary, PeerKind};
use crate::units::{duration, percent, plural};

/// A burst goes on for so many seconds at least: what is over sooner (a server that is replaced) is none.
const LEAST_SECONDS: u16 = 4;
/// Attempts that nobody answers count more: each of them has waited for a second.
const UNANSWERED: u64 = 5;
/// Fewer lost segments are an accident.
const FEW_LOST: u64 = 10;
/// Timeouts in a row of a connection after which nobody is there: 6 s of silence.
const SILENT_BACKOFF: u32 = 4;

/// An edge in the second that has ended.
pub(super) struct Subject<'a> {
    pub(super) of: FiredEdge,
    pub(super) summary: &'a EdgeSummary,
    pub(super) watched: &'a Watched,
    pub(super) now: BootTime,
}

impl Subject<'_> {
    fn fired(
        &self,
        (kind, grade): (TriggerKind, Grade),
        title: String,
        reason: String,
        evidence: Vec<Evidence>,
    ) -> Fired {
        Fired {
            kind,
            grade,
            time: self.now,
            title,
            reason,
            workload: self.summary.workload.clone(),
            edge: Some(Box::new(self.of.clone())),
            evidence,
        }
    }

    fn name(&self) -> String {
        names::edge(&self.summary.workload, &self.of)
    }
}

/// Attempts to connect fail, or nobody answers them.
pub(super) fn connect_failures(subject: &Subject<'_>, tuning: &Tuning) -> Option<Fired> {
    let Sums { attempts, failed, unanswered, failing_seconds, .. } = subject.watched.sums();
    let lately = subject.watched.lately();
    let bad = failed + unanswered;
    let many = bad >= tuning.connect_failures || unanswered >= UNANSWERED;
    let most = (lately.failed + lately.unanswered) * 2 >= lately.attempts.max(1);
    if !many || !most || lately.failed + lately.unanswered == 0 || failing_seconds < LEAST_SECONDS {
        return None;
    }
    // What has not worked for long may still be about to start.
    if !subject.watched.has_worked(subject.now)
        && subject.watched.failing_ns(subject.now) < tuning.start_up_ns
    {
        return None;
    }
    let how = how_they_fail(failed, unanswered, subject.watched.error);
    let name = subject.name();
    let all = attempts.max(bad);
    let reason = format!("{bad} of {} to connect {name} {how} within 30 s", plural(all, "attempt"));
    let mut evidence = vec![part("connect_failures", failed, all)];
    if unanswered > 0 {
        evidence.push(part("connects_unanswered", unanswered, all));
    }
    let title = format!("{name}: connects {how}");
    Some(subject.fired((TriggerKind::ConnectFailures, Grade::Failing), title, reason, evidence))
}

fn how_they_fail(failed: u64, unanswered: u64, error: Option<&str>) -> String {
    if unanswered > failed {
        return "are not answered".to_owned();
    }
    error.map_or_else(|| "fail".to_owned(), |error| format!("fail ({})", error.replace('_', " ")))
}

/// Segments do not arrive.
pub(super) fn retransmits(subject: &Subject<'_>, tuning: &Tuning, lives: &Lives) -> Option<Fired> {
    let loss = subject.watched.sums().loss;
    let lately = subject.watched.lately().loss;
    let [a, b] = names::sides(&subject.summary.workload, &subject.of);
    let kind = (TriggerKind::Retransmits, Grade::Bad);
    let bad = |loss: &crate::diagnose::Loss| loss.lost() * 100 >= tuning.lost_percent * loss.sent.max(1);
    if loss.lost() >= FEW_LOST && lately.lost() > 0 && bad(&loss) && bad(&lately) && !loss.is_reordered() {
        let share = percent(loss.lost(), loss.sent);
        let reason = format!(
            "{} of {} segments between {a} and {b} were sent again for a reason within 30 s ({share})",
            loss.lost(),
            loss.sent
        );
        let evidence = vec![part("lost_segments", loss.lost(), loss.sent)];
        return Some(subject.fired(kind, format!("{a} <-> {b}: {share} of segments lost"), reason, evidence));
    }
    let tcp = &subject.summary.tcp;
    let silent = u64::from(tcp.stalled.unanswered.saturating_sub(tcp.stalled.peer_window_closed));
    let ended = subject.summary.answerer().workload.as_ref().is_some_and(|peer| lives.has_ended(peer.id));
    if tcp.deepest_backoff < SILENT_BACKOFF || ended || !is_silence(subject, silent) {
        return None;
    }
    let evidence =
        vec![part("unanswered", silent, tcp.live), count("deepest_backoff", tcp.deepest_backoff.into())];
    let reason = format!(
        "nothing is answered any more on {} of {} between {a} and {b}",
        silent,
        plural(tcp.live, "connection")
    );
    Some(subject.fired(kind, format!("{a} <-> {b}: nothing is answered any more"), reason, evidence))
}

/// So many silent connections are the other side's, and not one client that has gone without a word. Of somebody on
/// this node it is known when he ends; of others it takes several, and half of all at least.
fn is_silence(subject: &Subject<'_>, silent: u64) -> bool {
    let edge = &subject.of.edge;
    let kind = edge.backend.map_or(edge.kind, |backend| backend.kind);
    // Who comes from somewhere else may go anywhere.
    if kind == PeerKind::Outside && !edge.outgoing {
        return false;
    }
    if is_near(kind) { silent > 0 } else { silent > 1 && silent * 2 >= subject.summary.tcp.live }
}

/// The server resets connections. What a client resets is the client's own doing.
pub(super) fn resets(subject: &Subject<'_>, tuning: &Tuning) -> Option<Fired> {
    let Sums { resets, closed, reset_seconds, .. } = subject.watched.sums();
    let lately = subject.watched.lately();
    let most = lately.resets > 0 && lately.resets * 2 >= lately.closed;
    if resets < tuning.resets || !most || reset_seconds < LEAST_SECONDS {
        return None;
    }
    let [client, server] = names::sides(&subject.summary.workload, &subject.of);
    let reason = format!(
        "{server} reset {resets} of {} of {client} that ended within 30 s",
        plural(closed, "connection")
    );
    let evidence = vec![part("resets_of_server", resets, closed)];
    let title = format!("{client} -> {server}: connections are reset");
    Some(subject.fired((TriggerKind::Resets, Grade::Bad), title, reason, evidence))
}

/// Connections are not accepted, or what arrived is not read.
pub(super) fn stall(subject: &Subject<'_>, tuning: &Tuning, lives: &Lives) -> Option<Fired> {
    let tcp = &subject.summary.tcp;
    let own = names::whole(&subject.summary.workload);
    let port = subject.of.edge.port;
    let kind = TriggerKind::Stall;
    let waits = tcp.longest.unaccepted_ns;
    let young = lives.is_young(subject.summary.workload.id, subject.now, tuning.start_up_ns);
    if waits >= tuning.unaccepted_ns && (subject.watched.served || !young) {
        let now = u64::from(tcp.stalled.unaccepted).max(1);
        let reason = format!(
            "{} to {own}:{port} not accepted by its process, the oldest after {}",
            plural(now, "connection"),
            duration(waits)
        );
        let evidence = vec![count("unaccepted", now), time("accept_wait", waits)];
        let title = format!("{own} does not accept connections on :{port}");
        return Some(subject.fired((kind, Grade::Stuck), title, reason, evidence));
    }
    let unread = tcp.longest.unread_ns;
    // What nobody has accepted nobody reads either, and is told above.
    if unread < tuning.unread_ns || waits > 0 {
        return None;
    }
    let now = u64::from(tcp.stalled.unread).max(1);
    let from = names::peer(subject.summary.answerer(), subject.of.edge.address);
    let reason = format!(
        "{own} reads nothing of what {from} sent on {} of port {port} for {}",
        plural(now, "connection"),
        duration(unread)
    );
    let evidence = vec![count("unread", now), time("unread_time", unread)];
    let title = format!("{own} does not read what {from} sends (port {port})");
    Some(subject.fired((kind, Grade::Bad), title, reason, evidence))
}

/// Connects or round trips take longer than they used to.
pub(super) fn slow(subject: &Subject<'_>, [handshake, rtt]: [Option<Slow>; 2]) -> Option<Fired> {
    let (what, names, Slow { now_ns, usual_ns }) = match (handshake, rtt) {
        (Some(slow), _) => ("connects", ["handshake_latency_p90", "usual_handshake_latency_p90"], slow),
        (None, Some(slow)) => ("round trips", ["rtt_p90", "usual_rtt_p90"], slow),
        (None, None) => return None,
    };
    let name = subject.name();
    let (now, usual) = (duration(now_ns), duration(usual_ns));
    let title = format!("{name}: {what} take {now}, usually {usual}");
    let reason = format!(
        "of the {what} of {name} one in ten took {now} or more, twice in a row; it was {usual} before"
    );
    let evidence = vec![time(names[0], now_ns), time(names[1], usual_ns)];
    Some(subject.fired((TriggerKind::Latency, Grade::Slow), title, reason, evidence))
}

/// How much slower than usual is more than an accident, in nanoseconds: for handshakes within the node and to elsewhere.
pub(super) const fn handshake_floor_ns(near: bool) -> u64 {
    if near { SECOND / 100 } else { SECOND / 20 }
}

/// The same for round trips, which hold for how long the other side delays its acknowledgements: 40 ms are nothing, and
/// 200 ms may be a slow client.
pub(super) const RTT_FLOOR_NS: u64 = SECOND / 10;

/// The other side is on this node.
pub(super) const fn is_near(kind: PeerKind) -> bool {
    matches!(kind, PeerKind::Pod | PeerKind::Host | PeerKind::Loopback)
}
