//! What the other end of an edge tells, where that is on another node that a relay asks.

use std::io;

use observer_proto::v1::{Diagnosis, FarEnd, Summary, TcpSummary, Verdict};

use super::super::color::Paint;
use super::super::label;
use super::super::look::Look;
use super::super::units::{duration, percent, plural, tight};
use super::{figure, name, paint};

/// Writes it as one line: who that is, what it looks like from there, the wait for accept() beside this side's handshakes.
pub(super) fn write_far_end(out: &mut dyn io::Write, look: &Look, edge: &Summary) -> io::Result<()> {
    let Some(far) = &edge.far_end else { return Ok(()) };
    let diagnosis = far.diagnosis.clone().unwrap_or_default();
    let who = format!("{}{}", label::owner(far.workload.as_ref()), label::on(&far.node_name));
    let verdict = diagnosis.verdict();
    // What it does not say is no verdict.
    let verdict = if verdict == Verdict::Unspecified {
        String::new()
    } else {
        format!(" {},", look.painter.paint(paint(verdict), name(verdict)))
    };
    writeln!(out, "  the other end, {who}:{verdict} {}", words(edge, far, &diagnosis).join(", "))?;
    if far.lost_events > 0 {
        let words = format!("  {} lost there: its figures may be too low", plural(far.lost_events, "event"));
        writeln!(out, "{}", look.painter.paint(Paint::Warning, words))?;
    }
    Ok(())
}

fn words(edge: &Summary, far: &FarEnd, diagnosis: &Diagnosis) -> Vec<String> {
    let tcp = far.tcp.clone().unwrap_or_default();
    let mut words = vec![format!("{} opened", tcp.opened), format!("{} live", tcp.live)];
    match accept_wait(&tcp) {
        Some(ns) => words.push(format!("not accepted for {} at the longest", duration(ns))),
        None => words.push("none waits for accept()".to_owned()),
    }
    let here = edge.tcp.as_ref().and_then(|tcp| tcp.handshake_latency.as_ref());
    if let Some(here) = here.filter(|here| here.count > 0) {
        words.push(format!("handshakes from here {} at the 99th percentile", duration(here.p99_ns)));
    }
    if tcp.sent_segments > 0 {
        let share = percent(tcp.retransmitted_segments, tcp.sent_segments);
        words.push(format!(
            "{} of its {} segments sent again ({})",
            tcp.retransmitted_segments,
            tcp.sent_segments,
            tight(&share)
        ));
    }
    if tcp.listen_drops > 0 {
        words.push(format!("its listener dropped {}", plural(tcp.listen_drops, "segment")));
    }
    if !matches!(diagnosis.verdict(), Verdict::Healthy | Verdict::Unspecified) {
        words.extend(diagnosis.evidence.iter().map(figure::words));
    }
    words
}

/// How long connections waited for accept() at the longest; `None` where none did.
pub(in super::super) fn accept_wait(tcp: &TcpSummary) -> Option<u64> {
    tcp.longest.as_ref().map(|longest| longest.accept_wait_ns).filter(|ns| *ns > 0)
}

#[cfg(test)]
mod tests {
    use observer_proto::v1::{Distribution, Standstill};

    use super::super::super::testing;
    use super::*;

    #[test]
    fn the_wait_for_accept_stands_beside_the_handshakes() {
        let handshakes = Distribution { count: 3, p99_ns: 142_000, ..Distribution::default() };
        let tcp = TcpSummary {
            opened: 4,
            live: 3,
            sent_segments: 400,
            retransmitted_segments: 12,
            longest: Some(Standstill { accept_wait_ns: 2_000_000_000, ..Standstill::default() }),
            ..TcpSummary::default()
        };
        let far = FarEnd {
            node_name: "node-b\u{1b}".to_owned(),
            workload: Some(testing::pod("shop", "redis-0", "redis")),
            tcp: Some(tcp),
            diagnosis: Some(Diagnosis { verdict: Verdict::Healthy.into(), ..Diagnosis::default() }),
            lost_events: 2,
        };
        let own = TcpSummary { handshake_latency: Some(handshakes), ..TcpSummary::default() };
        let edge = Summary { tcp: Some(own), far_end: Some(far), ..Summary::default() };
        let mut out = Vec::new();
        write_far_end(&mut out, &testing::look(), &edge).unwrap();
        let expected = "  the other end, shop/redis-0/redis [node-b\\x1b]: healthy, 4 opened, 3 live, not accepted for 2.0 s \
                        at the longest, handshakes from here 142 µs at the 99th percentile, 12 of its 400 segments sent \
                        again (3.0%)\n  2 events lost there: its figures may be too low\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let mut out = Vec::new();
        write_far_end(&mut out, &testing::look(), &Summary::default()).unwrap();
        assert!(out.is_empty());
    }
}
