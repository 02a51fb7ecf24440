//! What stands still on live connections, and for how long.

use super::{BootTime, Connection, Flow, TcpState};

/// What makes no progress for so long stands still: a second, less what a reading may come early.
pub(crate) const STALL_NS: u64 = 900_000_000;
/// A side that does not close for so long after the other did is held open: 1 min.
pub(crate) const HELD_NS: u64 = 60_000_000_000;
/// So many timeouts in a row are no single loss any more: nobody answers.
const UNANSWERED: u32 = 2;

/// What readings have found of a connection, one after the other. As exact as readings are frequent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalls {
    /// The first of the readings up to now that found data, and that nothing was read of it since.
    pub(crate) unread: Option<BootTime>,
    /// The first of the readings up to now that found our own window closed.
    pub(crate) own_window_closed: Option<BootTime>,
    /// The first of the readings up to now that found the other side's window closed, and something to
    /// send. The kernel's own time (`icsk_probes_tstamp`) begins anew with each answered probe.
    pub(crate) peer_window_closed: Option<BootTime>,
    /// The last reading that found it waiting for accept().
    pub(crate) waited: Option<BootTime>,
    /// The first reading that found it accepted.
    pub(crate) accepted: Option<BootTime>,
}

/// For how long each of these lasts, in nanoseconds; 0 where it is not so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_field_names, reason = "the unit belongs to each of them")]
pub(crate) struct Standstill {
    /// There is data, and our process reads nothing.
    pub(crate) unread_ns: u64,
    /// Our process has not accepted it since the handshake.
    pub(crate) unaccepted_ns: u64,
    /// Our own window is closed.
    pub(crate) own_window_closed_ns: u64,
    /// The other side's closed window is asked for.
    pub(crate) peer_window_closed_ns: u64,
    /// The other side has closed its half, and our process keeps the other one open.
    pub(crate) half_closed_ns: u64,
}

/// How many connections stand still, each for [`STALL_NS`] at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stalled {
    /// There is data that our process does not read.
    pub(crate) unread: u32,
    /// Our process has not accepted them.
    pub(crate) unaccepted: u32,
    /// Our own window is closed.
    pub(crate) own_window_closed: u32,
    /// The other side's window is closed.
    pub(crate) peer_window_closed: u32,
    /// The other side has closed its half at least [`HELD_NS`] ago.
    pub(crate) half_closed: u32,
    /// What we sent was sent again for nothing at least twice.
    pub(crate) unanswered: u32,
}

impl Stalls {
    /// Takes the next reading over.
    pub(crate) fn read(&mut self, before: Option<&Flow>, flow: &Flow, waits: bool, now: BootTime) {
        let nothing_read = before.is_some_and(|before| before.read_sequence == flow.read_sequence);
        self.unread = match self.unread {
            _ if flow.unread_bytes == 0 => None,
            Some(since) if nothing_read => Some(since),
            Some(_) | None => Some(now),
        };
        let lasting = |since: Option<BootTime>, is_so| since.or(Some(now)).filter(|_| is_so);
        self.own_window_closed = lasting(self.own_window_closed, flow.own_window_bytes == 0);
        let peer_closed = flow.peer_window_bytes == 0 && flow.unsent_bytes > 0;
        self.peer_window_closed = lasting(self.peer_window_closed, peer_closed);
        if waits {
            self.waited = Some(now);
        } else if flow.accepted {
            self.accepted = self.accepted.or(Some(now));
        }
    }
}

impl Connection {
    /// Our process has not called accept() for it, as of the last reading.
    pub(crate) fn waits_for_accept(&self) -> bool {
        waits_for_accept(self.tcp.outgoing, self.state, self.flow.as_ref())
    }

    /// For how long things stand still.
    pub(crate) fn standstill(&self, now: BootTime) -> Standstill {
        let lasts = |since: Option<BootTime>| since.map_or(0, |since| now.since_ns(since));
        let held = self.half_closed.filter(|_| self.state == TcpState::CLOSE_WAIT);
        Standstill {
            unread_ns: lasts(self.stalls.unread),
            unaccepted_ns: lasts(Some(self.start).filter(|_| self.waits_for_accept())),
            own_window_closed_ns: lasts(self.stalls.own_window_closed),
            peer_window_closed_ns: self.peer_window_closed_ns(now).unwrap_or(0),
            half_closed_ns: lasts(held),
        }
    }

    /// For how long the other side's window has been closed: as the kernel has asked for it, or as
    /// readings have found it.
    pub(crate) fn peer_window_closed_ns(&self, now: BootTime) -> Option<u64> {
        peer_window_closed_ns(self.flow.as_ref(), &self.stalls, now)
    }

    /// What of it counts as standing still.
    pub(crate) fn stalled(&self, now: BootTime) -> Stalled {
        self.stalled_of(&self.standstill(now))
    }

    /// The same, where it is known for how long things stand still.
    pub(crate) fn stalled_of(&self, standstill: &Standstill) -> Stalled {
        let Standstill {
            unread_ns,
            unaccepted_ns,
            own_window_closed_ns,
            peer_window_closed_ns,
            half_closed_ns,
        } = *standstill;
        let stalls = |lasts_ns: u64| u32::from(lasts_ns >= STALL_NS);
        Stalled {
            unread: stalls(unread_ns),
            unaccepted: stalls(unaccepted_ns),
            own_window_closed: stalls(own_window_closed_ns),
            peer_window_closed: stalls(peer_window_closed_ns),
            half_closed: u32::from(half_closed_ns >= HELD_NS),
            unanswered: u32::from(self.flow.is_some_and(|flow| flow.timeouts >= UNANSWERED)),
        }
    }

    /// Something of it is remarkable: segments were sent again, or something stands still.
    pub(crate) fn is_troubled(&self, now: BootTime) -> bool {
        self.counters.retransmitted_segments > 0 || self.stalled(now) != Stalled::default()
    }
}

/// A connection that was asked for from outside and that nobody has accepted.
pub(crate) fn waits_for_accept(outgoing: bool, state: TcpState, flow: Option<&Flow>) -> bool {
    let may_wait = matches!(state, TcpState::ESTABLISHED | TcpState::CLOSE_WAIT);
    !outgoing && may_wait && flow.is_some_and(|flow| !flow.accepted)
}

/// See [`Connection::peer_window_closed_ns`].
pub(crate) fn peer_window_closed_ns(flow: Option<&Flow>, stalls: &Stalls, now: BootTime) -> Option<u64> {
    let asked = flow.and_then(|flow| flow.window_closed_ns);
    asked.max(stalls.peer_window_closed.map(|since| now.since_ns(since)))
}

impl Standstill {
    /// The longer of each.
    pub(crate) fn merge(&mut self, other: &Self) {
        let Self { unread_ns, unaccepted_ns, own_window_closed_ns, peer_window_closed_ns, half_closed_ns } =
            other;
        self.unread_ns = self.unread_ns.max(*unread_ns);
        self.unaccepted_ns = self.unaccepted_ns.max(*unaccepted_ns);
        self.own_window_closed_ns = self.own_window_closed_ns.max(*own_window_closed_ns);
        self.peer_window_closed_ns = self.peer_window_closed_ns.max(*peer_window_closed_ns);
        self.half_closed_ns = self.half_closed_ns.max(*half_closed_ns);
    }
}

impl Stalled {
    /// Takes one connection's change into the sums.
    pub(crate) fn change(&mut self, before: &Self, after: &Self) {
        let Self { unread, unaccepted, own_window_closed, peer_window_closed, half_closed, unanswered } =
            self;
        let step = |sum: &mut u32, of: fn(&Self) -> u32| *sum = (*sum + of(after)).saturating_sub(of(before));
        step(unread, |of| of.unread);
        step(unaccepted, |of| of.unaccepted);
        step(own_window_closed, |of| of.own_window_closed);
        step(peer_window_closed, |of| of.peer_window_closed);
        step(half_closed, |of| of.half_closed);
        step(unanswered, |of| of.unanswered);
    }

    /// Nothing stands still.
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn flow(unread_bytes: u64, read_sequence: u32) -> Flow {
        Flow { unread_bytes, read_sequence, own_window_bytes: 1, accepted: true, ..Flow::default() }
    }

    #[test]
    fn unread_lasts_until_something_is_read() {
        let mut stalls = Stalls::default();
        let readings = [
            (flow(0, 5), None),
            (flow(9, 5), Some(2)),
            (flow(99, 5), Some(2)),
            (flow(90, 14), Some(4)),
            (flow(90, 14), Some(4)),
            (flow(0, 104), None),
            (flow(1, 104), Some(7)),
        ];
        let mut before = None;
        for (second, (flow, since)) in (1..).zip(&readings) {
            stalls.read(before, flow, false, BootTime(second * SECOND));
            assert_eq!(stalls.unread, since.map(|since: u64| BootTime(since * SECOND)), "second {second}");
            before = Some(flow);
        }
        assert_eq!((stalls.waited, stalls.accepted), (None, Some(BootTime(SECOND))));
    }

    #[test]
    fn own_window_and_accept() {
        let mut stalls = Stalls::default();
        let closed = Flow { own_window_bytes: 0, accepted: false, ..flow(0, 0) };
        stalls.read(None, &closed, true, BootTime(1));
        stalls.read(Some(&closed), &closed, true, BootTime(2));
        assert_eq!((stalls.own_window_closed, stalls.waited), (Some(BootTime(1)), Some(BootTime(2))));
        stalls.read(Some(&closed), &flow(0, 0), false, BootTime(3));
        assert_eq!((stalls.own_window_closed, stalls.accepted), (None, Some(BootTime(3))));
    }
}
