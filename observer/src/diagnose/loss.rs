//! Segments that were sent again: for a reason, or because they came late.

use crate::event::{RetransmitPhase, TcpSummary};

/// What was sent again on an edge; of times that follow one another these add up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// Segments that connections sent, those sent again included.
    pub(crate) sent: u64,
    /// Segments that connections sent again once they were established. Those of handshakes are no part of the segments
    /// that connections sent, and one that is not answered says nothing about the way: whoever is not there does not
    /// answer.
    pub(crate) again: u64,
    /// Of these, those that had arrived before.
    pub(crate) spurious: u64,
    /// How often segments overtook each other.
    pub(crate) reorderings: u64,
}

impl Loss {
    /// Of these figures.
    pub(crate) fn of(tcp: &TcpSummary) -> Self {
        let handshakes = sent_again(tcp, RetransmitPhase::Syn) + sent_again(tcp, RetransmitPhase::SynAck);
        Self {
            sent: tcp.sent_segments,
            again: tcp.retransmitted_segments.saturating_sub(handshakes),
            spurious: tcp.spurious_retransmits,
            reorderings: tcp.reorderings,
        }
    }

    /// Adds another time's.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { sent, again, spurious, reorderings } = other;
        self.sent += sent;
        self.again += again;
        self.spurious += spurious;
        self.reorderings += reorderings;
    }

    /// Segments that were sent again for a reason.
    pub(crate) const fn lost(&self) -> u64 {
        self.again.saturating_sub(self.spurious)
    }

    /// Segments overtook each other, and at least half of what was sent again had arrived already; a third where they did
    /// so more often than any was sent again, a tenth where twice as often. The other side tells of one such segment with
    /// each acknowledgement at most, so of many at once not all are told.
    pub(crate) const fn is_reordered(&self) -> bool {
        let part = match self.reorderings {
            many if many > 2 * self.again => 10,
            more if more > self.again => 3,
            _ => 2,
        };
        self.reorderings > 0 && self.spurious * part >= self.again
    }
}

/// Segments of that kind that were sent again, as events told them.
pub(super) fn sent_again(tcp: &TcpSummary, phase: RetransmitPhase) -> u64 {
    let of_phase = tcp.retransmits.iter().filter(|((of, _), _)| *of == phase);
    of_phase.map(|(_, segments)| segments).sum()
}
