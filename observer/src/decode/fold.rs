//! What the probes added up, in our own types.

use observer_ebpf::budget::{CAUSES, CountKey, Sockets, SocketsKey, failure, phase};
use observer_ebpf::event::Kind;
use observer_ebpf::tcp::role;

use super::{DecodeError, Socket, tcp};
use crate::event::{Ending, ProcessSummary, RetransmitPhase, TcpSummary, error_name};

/// What of one cgroup was added up.
#[derive(Debug)]
pub(crate) struct Sum {
    /// The cgroup; 0 where the kernel knew none.
    pub(crate) cgroup_id: u64,
    pub(crate) of: SumOf,
    /// For how many records it stands, by the records' kinds.
    pub(crate) counts: Vec<(&'static str, u64)>,
}

/// What was added up.
#[derive(Debug)]
pub(crate) enum SumOf {
    /// Sockets with the same ends, but for the port of the side that asks, which is 0.
    Sockets {
        /// Stands for all of them.
        socket: Socket,
        /// The other ends differ; that of `socket` is none of them.
        many: bool,
        figures: Box<TcpSummary>,
    },
    Processes(ProcessSummary),
    /// What belongs to no figures.
    Other,
}

/// The errors of failed attempts, in the order of [`failure`]; the last one is any other.
const FAILURES: [&str; failure::COUNT - 1] =
    ["refused", "timed_out", "host_unreachable", "net_unreachable", "reset", "cancelled", "not_sent"];

/// The phases in the order of [`phase`].
const PHASES: [RetransmitPhase; phase::COUNT] =
    [RetransmitPhase::Syn, RetransmitPhase::SynAck, RetransmitPhase::Data, RetransmitPhase::Fin];

/// What sockets did.
pub(crate) fn sockets_sum(key: &SocketsKey, sum: &Sockets) -> Result<Sum, DecodeError> {
    let SocketsKey { cgroup_id, local_address, remote_address, netns, interface, port, .. } = *key;
    let (local_port, remote_port) = if key.role == role::CLIENT { (0, port) } else { (port, 0) };
    let socket = tcp::socket(&observer_ebpf::tcp::Socket {
        cookie: 0,
        local_address,
        remote_address,
        local_port,
        remote_port_be: remote_port.to_be(),
        family: key.family,
        state: 0,
        role: key.role as u8,
        netns,
        interface,
    })?;
    let failed = sum.failed.iter().sum();
    let [sent, received] = sum.resets;
    let mut figures = TcpSummary {
        opened: sum.opened,
        failed,
        closed: sum.closed,
        sent_bytes: sum.sent_bytes,
        received_bytes: sum.received_bytes,
        sent_segments: sum.sent_segments,
        received_segments: sum.received_segments,
        retransmitted_segments: sum.retransmitted_segments,
        spurious_retransmits: sum.spurious_retransmits,
        reorderings: sum.reorderings,
        resets_sent: sent,
        resets_received: received,
        folded: sum.opened + sum.closed + failed + sent + received + sum.retransmissions,
        ..TcpSummary::default()
    };
    for (index, &count) in sum.failed.iter().enumerate().filter(|(_, count)| **count > 0) {
        let error = FAILURES.get(index).copied().unwrap_or_else(|| error_name(u32::MAX));
        figures.failures.insert(error, count);
    }
    for (index, &segments) in sum.retransmits.iter().enumerate().filter(|(_, segments)| **segments > 0) {
        let cause = tcp::retransmit_cause((index % CAUSES) as u32);
        figures.retransmits.insert((PHASES[index / CAUSES], cause), segments);
    }
    let opened = if key.role == role::CLIENT { Kind::Connect } else { Kind::Accept };
    let counts = [
        (opened, sum.opened),
        (Kind::ConnectFailure, failed),
        (Kind::Close, sum.closed),
        (Kind::Retransmit, sum.retransmissions),
        (Kind::Reset, sent + received),
    ];
    let of = SumOf::Sockets { socket, many: key.many != 0, figures: Box::new(figures) };
    Ok(Sum { cgroup_id, of, counts: named(counts) })
}

/// How many there were of something else.
pub(crate) fn count_sum(key: &CountKey, count: u64) -> Result<Sum, DecodeError> {
    let kind = Kind::from_number(key.kind).ok_or(DecodeError::Impossible("fold"))?;
    let none = ProcessSummary { folded: count, ..ProcessSummary::default() };
    let of = if kind == Kind::Exec {
        SumOf::Processes(ProcessSummary { execs: count, ..none })
    } else if kind == Kind::Exit && key.status == u32::MAX {
        SumOf::Processes(ProcessSummary { other_exits: count, ..none })
    } else if kind == Kind::Exit {
        let ending = Ending::from_wait_status(key.status);
        SumOf::Processes(ProcessSummary { exits: [(ending, count)].into(), ..none })
    } else {
        SumOf::Other
    };
    Ok(Sum { cgroup_id: key.cgroup_id, of, counts: named([(kind, count)]) })
}

fn named<const N: usize>(counts: [(Kind, u64); N]) -> Vec<(&'static str, u64)> {
    counts.into_iter().filter(|(_, count)| *count > 0).map(|(kind, count)| (kind.name(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::RetransmitCause;

    #[test]
    fn a_sum_of_sockets_has_all_that_was_added_up() {
        let key = SocketsKey {
            cgroup_id: 7,
            local_address: [10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            remote_address: [10, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            port: 443,
            family: 2,
            role: role::CLIENT,
            ..SocketsKey::default()
        };
        let mut sum =
            Sockets { opened: 5, closed: 4, retransmissions: 2, resets: [1, 0], ..Sockets::default() };
        sum.failed[failure::TIMED_OUT] = 3;
        sum.failed[failure::OTHER] = 1;
        sum.retransmits[phase::DATA * CAUSES + 2] = 6;
        let told = sockets_sum(&key, &sum).unwrap();
        let SumOf::Sockets { socket, many: false, figures } = told.of else { panic!("{told:?}") };
        assert_eq!(socket.remote, "10.0.0.3:443".parse().unwrap());
        assert_eq!((socket.local, socket.outgoing), ("10.0.0.2:0".parse().unwrap(), Some(true)));
        assert_eq!((figures.opened, figures.closed, figures.failed, figures.folded), (5, 4, 4, 16));
        assert_eq!(figures.failures, [("timed_out", 3), ("other", 1)].into());
        assert_eq!(figures.retransmits, [((RetransmitPhase::Data, RetransmitCause::Fast), 6)].into());
        let counts = [
            ("tcp_connect", 5),
            ("tcp_connect_failure", 4),
            ("tcp_close", 4),
            ("tcp_retransmit", 2),
            ("tcp_reset", 1),
        ];
        assert_eq!(told.counts, counts);
    }

    #[test]
    fn exits_keep_their_status() {
        let key = CountKey { kind: Kind::Exit as u32, status: 3 << 8, ..CountKey::default() };
        let SumOf::Processes(sum) = count_sum(&key, 9).unwrap().of else { panic!() };
        assert_eq!((sum.exits, sum.other_exits, sum.folded), ([(Ending::Code(3), 9)].into(), 0, 9));
        let key = CountKey { status: u32::MAX, ..key };
        let SumOf::Processes(sum) = count_sum(&key, 9).unwrap().of else { panic!() };
        assert_eq!((sum.exits.len(), sum.other_exits), (0, 9));
        let key = CountKey { kind: 99, ..key };
        assert!(count_sum(&key, 9).is_err());
    }
}
