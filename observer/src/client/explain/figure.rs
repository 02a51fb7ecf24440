//! A figure that led to a verdict, in words.

use observer_proto::v1::{Evidence, Unit};

use super::super::escape::escape;
use super::super::units::{bytes, duration, percent, plural, tight};

/// A figure in words.
pub(crate) fn words(evidence: &Evidence) -> String {
    let Evidence { figure, value, of, unit: _ } = evidence;
    let value = *value;
    let whole = of.unwrap_or(0);
    let attempts = |how: &str| format!("{value} of {} to connect {how}", plural(whole, "attempt"));
    let connections = |what: &str| format!("{} now {what}", plural(value, "connection"));
    let lasted = |what: &str| format!("{what} for {} at the longest", duration(value));
    let again = |whose: &str| {
        let share = if value == 0 { String::new() } else { format!(" ({})", tight(&percent(value, whole))) };
        format!("{value} of {whole} segments{whose} sent again{share}")
    };
    let limited = |what: &str| {
        format!("{what} was the limit for {} of {} with something to send", duration(value), duration(whole))
    };
    match figure.as_str() {
        "refused" => attempts("refused"),
        "peer_refused" => format!("we refused {value} of its {}", plural(whole, "attempt")),
        "timed_out" => attempts("without any answer"),
        "host_unreachable" => attempts("ended by `host unreachable`"),
        "net_unreachable" => attempts("ended by `network unreachable`"),
        "cancelled" => attempts("given up by the process"),
        "not_sent" => attempts("failed before anything was sent"),
        "reset" => attempts("reset"),
        "failed" | "connect_failures" => attempts("failed"),
        "connects_pending" => format!("{} to connect still without an answer", plural(value, "attempt")),
        "retransmitted_segments" => again(""),
        "peer_retransmitted_segments" => again(" of the peer"),
        "reorderings" => format!("segments overtook each other {}", plural(value, "time")),
        "spurious_retransmits" => format!("{value} of them for nothing"),
        "syn_retransmits" if of.is_some() => {
            format!("{} sent again for {}", plural(value, "SYN"), plural(whole, "connection"))
        }
        "syn_retransmits" => format!("an attempt still waits: {} sent again", plural(value, "SYN")),
        "syn_ack_retransmits" => {
            format!("{} sent again for {}", plural(value, "SYN-ACK"), plural(whole, "connection"))
        }
        "unanswered" => format!("{value} of {} now without an answer", plural(whole, "connection")),
        "deepest_backoff" => format!("timeouts doubled {}", plural(value, "time")),
        "unread" => connections("with data that our process does not read"),
        "unread_time" => lasted("nothing read"),
        "unaccepted" => connections("that our process has not accepted"),
        "accept_wait" => lasted("not accepted"),
        "own_window_closed" => connections("with our own window closed"),
        "own_window_closed_time" => lasted("own window closed"),
        "half_closed" => connections("that the peer closed and our process did not"),
        "half_closed_time" => lasted("not closed"),
        "peer_window_closed" => connections("with the peer's window closed"),
        "peer_window_closed_time" => lasted("peer's window closed"),
        "peer_unread" => connections("with data that the peer's process does not read"),
        "peer_unread_time" => lasted("nothing read there"),
        "peer_unaccepted" => connections("that the peer's process has not accepted"),
        "peer_accept_wait" => lasted("not accepted there"),
        "queue" => format!("{value} waiting in our listener's queue for {whole}"),
        "peer_queue" => format!("{value} waiting in the peer's queue for {whole}"),
        "listen_drops" => format!("our listener dropped {}", plural(value, "segment")),
        "peer_listen_drops" => format!("the peer's listener dropped {}", plural(value, "segment")),
        "listen_overflows" => format!("our listener dropped {} for a full queue", plural(value, "segment")),
        "peer_listen_overflows" => {
            format!("the peer's listener dropped {} for a full queue", plural(value, "segment"))
        }
        "peer_window_limited_time" => limited("the peer's window"),
        "send_buffer_limited_time" => limited("our send buffer"),
        "handshake_latency_p50" => format!("half of the handshakes within {}", duration(value)),
        "min_rtt" => format!("shortest round trip {}", duration(value)),
        "rtt_p50" => format!("half of the round trips within {}", duration(value)),
        "resets" => format!("{value} resets for {} that ended", plural(whole, "connection")),
        "live" => format!("{} alive, and nothing sent", plural(value, "connection")),
        "lost_events" => format!("{} lost on the node", plural(value, "event")),
        "memory_limit" => format!("limit {}", bytes(value)),
        "memory_usage" => format!("{} charged", bytes(value)),
        "resident_memory" => format!("{} resident", bytes(value)),
        "exit_code" => format!("exit {value}"),
        "signal" => format!("signal {value}"),
        "run_time" => format!("ran for {}", duration(value)),
        "back_off" => format!("back after {}", duration(value)),
        "ready_after" => format!("ready after {}", duration(value)),
        "restarts" => plural(value, "restart"),
        "failed_ends" => plural(value, "failed end"),
        "connects_unanswered" if of.is_some() => attempts("got no answer"),
        "connects_unanswered" => format!("{} got no answer", plural(value, "connect")),
        "lost_segments" if of.is_some() => again(""),
        "lost_segments" => format!("{} sent again", plural(value, "segment")),
        "resets_of_server" => format!("{} reset by the server", plural(value, "connection")),
        "handshake_latency_p90" => format!("nine in ten connects within {}", duration(value)),
        "usual_handshake_latency_p90" | "usual_rtt_p90" => format!("usually within {}", duration(value)),
        "rtt_p90" => format!("nine in ten round trips within {}", duration(value)),
        "connections" => plural(value, "connection"),
        "executed" => format!("executed {}", plural(value, "time")),
        other => {
            let told = if evidence.unit() == Unit::Nanoseconds { duration(value) } else { value.to_string() };
            let part = of.map_or_else(String::new, |whole| format!(" of {whole}"));
            format!("{}: {told}{part}", escape(other))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(figure: &str, value: u64, of: Option<u64>, unit: Unit) -> Evidence {
        Evidence { figure: figure.to_owned(), value, of, unit: unit.into() }
    }

    #[test]
    fn figures_that_a_newer_daemon_tells_are_told_as_they_are() {
        let newer = evidence("new\x1b_time", 5_000, Some(7), Unit::Nanoseconds);
        assert_eq!(words(&newer), "new\\x1b_time: 5.0 µs of 7");
    }

    #[test]
    fn one_and_many() {
        let words = |value, of| words(&evidence("refused", value, Some(of), Unit::Count));
        assert_eq!(words(1, 1), "1 of 1 attempt to connect refused");
        assert_eq!(words(2, 7), "2 of 7 attempts to connect refused");
    }
}
