//! Why a reset was sent: by the kernel's reason, and by how it was around the socket where that says nothing.

use crate::decode::Situation;
use crate::event::ResetCause;

/// The cause of a reset that was sent. `reason` is the kernel's (`enum sk_rst_reason`, from 6.10 on; the
/// resets that a close sends have one from 6.12 on); `has_socket` says that the kernel sent it for one.
pub(super) fn cause(reason: Option<&str>, has_socket: bool, situation: Situation) -> ResetCause {
    match reason {
        Some("TCP_ABORT_ON_CLOSE") => ResetCause::UnreadData,
        Some("TCP_ABORT_ON_DATA") => ResetCause::DataAfterClose,
        Some("TCP_ABORT_ON_MEMORY") => ResetCause::OutOfMemory,
        Some("TCP_KEEPALIVE_TIMEOUT") => ResetCause::Timeout,
        Some("TCP_TIMEWAIT_SOCKET") => ResetCause::NoConnection,
        // These are the kernel's words for several things.
        _ => from_situation(has_socket, situation),
    }
}

fn from_situation(has_socket: bool, situation: Situation) -> ResetCause {
    let Situation { unread, linger_zero, unanswered, answers } = situation;
    match (has_socket, answers) {
        (false, Some(true)) => ResetCause::NoListener,
        (false, _) => ResetCause::NoConnection,
        (true, Some(_)) => ResetCause::Unexpected,
        // A close looks for unread data before it looks at the linger time (net/ipv4/tcp.c, `__tcp_close`).
        (true, None) if unread => ResetCause::UnreadData,
        (true, None) if linger_zero => ResetCause::LingerZero,
        (true, None) if unanswered => ResetCause::Timeout,
        (true, None) => ResetCause::Aborted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_from_the_kernels_reason_or_from_the_situation() {
        let none = Situation::default();
        let unread = Situation { unread: true, linger_zero: true, ..none };
        let linger = Situation { linger_zero: true, unanswered: true, ..none };
        let unanswered = Situation { unanswered: true, ..none };
        let syn = Situation { answers: Some(true), ..none };
        let data = Situation { answers: Some(false), unread: true, ..none };
        let cases = [
            (Some("NO_SOCKET"), false, syn, ResetCause::NoListener),
            (None, false, syn, ResetCause::NoListener),
            (Some("NO_SOCKET"), false, data, ResetCause::NoConnection),
            (Some("TCP_TIMEWAIT_SOCKET"), false, data, ResetCause::NoConnection),
            (Some("TCP_ABORT_ON_CLOSE"), true, none, ResetCause::UnreadData),
            (Some("NOT_SPECIFIED"), true, unread, ResetCause::UnreadData),
            (None, true, unread, ResetCause::UnreadData),
            (Some("TCP_STATE"), true, linger, ResetCause::LingerZero),
            (None, true, linger, ResetCause::LingerZero),
            (Some("TCP_KEEPALIVE_TIMEOUT"), true, none, ResetCause::Timeout),
            (None, true, unanswered, ResetCause::Timeout),
            (Some("TCP_ABORT_ON_MEMORY"), true, none, ResetCause::OutOfMemory),
            (Some("TCP_ABORT_ON_DATA"), true, data, ResetCause::DataAfterClose),
            (Some("TCP_STATE"), true, none, ResetCause::Aborted),
            (Some("TCP_STATE"), true, data, ResetCause::Unexpected),
        ];
        for (reason, has_socket, situation, expected) in cases {
            assert_eq!(cause(reason, has_socket, situation), expected, "{reason:?} {situation:?}");
        }
    }
}
