//! Records and samples of TCP sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use observer_ebpf::live;
use observer_ebpf::tcp::{self, Closed, Listening, Opened, Reset, Retransmit, cause, direction, role};

use super::{Body, DecodeError, Known, Reading, Situation, Socket, Task, Tick, fixed, task};
use crate::event::{
    BootTime, Busy, ConnectionId, Counters, Flow, Queue, QueueSample, ResetDirection, RetransmitCause,
    RetransmitPhase, Sample, TcpState,
};

/// `AF_INET` and `AF_INET6` on Linux.
const INET: u16 = 2;
const INET6: u16 = 10;

/// FIN, SYN and ACK in the TCP header's 13th byte.
const FIN: u32 = 0x01;
const SYN: u32 = 0x02;
const ACK: u32 = 0x10;

pub(super) fn established(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (opened, _): (Opened, _) = fixed(bytes)?;
    Ok(Body::Established {
        socket: socket(&opened.socket)?,
        task: known_task(&opened.task),
        start: BootTime(opened.start_ns),
        rtt_ns: eighths_of_us(opened.srtt_us),
    })
}

pub(super) fn listening(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (listening, _): (Listening, _) = fixed(bytes)?;
    Ok(Body::Listening { socket: socket(&listening.socket)?, task: known_task(&listening.task) })
}

pub(super) fn ended(bytes: &[u8], established: bool, tick: Tick) -> Result<Body, DecodeError> {
    let (closed, _): (Closed, _) = fixed(bytes)?;
    Ok(Body::Ended {
        socket: socket(&closed.socket)?,
        task: known_task(&closed.task),
        start: (closed.adopted == 0).then_some(BootTime(closed.start_ns)),
        established,
        counters: counters(&closed.counters, tick),
        errno: closed.error,
    })
}

pub(super) fn retransmit(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (retransmit, _): (Retransmit, _) = fixed(bytes)?;
    let flags = retransmit.tcp_flags;
    let phase = match (flags & SYN != 0, flags & ACK != 0) {
        (true, true) => RetransmitPhase::SynAck,
        (true, false) => RetransmitPhase::Syn,
        (false, _) if flags & FIN != 0 && retransmit.payload_len == 0 => RetransmitPhase::Fin,
        (false, _) => RetransmitPhase::Data,
    };
    Ok(Body::Retransmit {
        socket: socket(&retransmit.socket)?,
        task: known_task(&retransmit.task),
        phase,
        cause: retransmit_cause(retransmit.cause),
        timeouts: retransmit.timeouts,
        backoff: retransmit.backoff,
        segments: retransmit.segments,
        start: moment(retransmit.start_ns),
    })
}

pub(super) const fn retransmit_cause(number: u32) -> RetransmitCause {
    match number {
        cause::TIMEOUT => RetransmitCause::Timeout,
        cause::FAST => RetransmitCause::Fast,
        cause::TAIL_LOSS_PROBE => RetransmitCause::TailLossProbe,
        _ => RetransmitCause::Unknown,
    }
}

pub(super) fn reset(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (reset, _): (Reset, _) = fixed(bytes)?;
    let direction = match reset.direction {
        direction::SENT => ResetDirection::Sent,
        direction::RECEIVED => ResetDirection::Received,
        _ => return Err(DecodeError::Impossible("tcp_reset")),
    };
    Ok(Body::Reset {
        socket: socket(&reset.socket)?,
        task: known_task(&reset.task),
        direction,
        reason: (reset.reason != u32::MAX).then_some(reset.reason),
        situation: Situation {
            // A FIN takes one number of the sequence space and cannot be read.
            unread: reset.unread > reset.fin_received,
            linger_zero: reset.linger_zero != 0,
            unanswered: reset.timeouts > 0,
            answers: (reset.answered != 0).then_some(reset.answered & (SYN | ACK) == SYN),
        },
    })
}

/// A reading of a live socket.
pub(crate) fn sample(sample: &live::Sample, tick: Tick) -> Reading {
    let id = ConnectionId(sample.cookie);
    if sample.role == role::LISTENER {
        let live::Flow { queue: waiting, queue_limit: limit, queue_drops: dropped, .. } = sample.flow;
        return Reading::Listener(QueueSample { id, queue: Queue { waiting, limit, dropped } });
    }
    Reading::Connection(Sample {
        id,
        state: TcpState(sample.state as u8),
        half_closed: moment(sample.half_closed_ns),
        counters: counters(&sample.counters, tick),
        flow: flow(&sample.flow, sample.counters.fin_received != 0, tick),
    })
}

/// Who a live socket is.
pub(crate) fn known(known: &live::Known) -> Result<Known, DecodeError> {
    let track = &known.track;
    Ok(Known {
        cgroup_id: known.cgroup_id,
        socket: socket(&known.socket)?,
        task: known_task(&track.task),
        since: BootTime(track.start_ns),
        adopted: track.adopted != 0,
        half_closed: moment(track.half_closed_ns),
        listens: u32::from(known.socket.role) == role::LISTENER,
        dropped: track.drops,
    })
}

fn moment(time_ns: u64) -> Option<BootTime> {
    (time_ns != 0).then_some(BootTime(time_ns))
}

fn flow(raw: &live::Flow, fin_received: bool, tick: Tick) -> Flow {
    Flow {
        // A FIN takes one number of the sequence space and cannot be read.
        unread_bytes: u64::from(raw.unread).saturating_sub(u64::from(fin_received)),
        read_sequence: raw.read_seq,
        unacknowledged_bytes: u64::from(raw.unacked),
        unsent_bytes: u64::from(raw.unsent),
        peer_window_bytes: u64::from(raw.peer_window),
        own_window_bytes: u64::from(raw.own_window),
        congestion_window: raw.congestion_window,
        mss: raw.mss,
        pacing_rate: raw.pacing_rate,
        // As tcp_compute_delivery_rate (net/ipv4/tcp.c).
        delivery_rate: (raw.rate_delivered != 0 && raw.rate_interval_us != 0).then(|| {
            u64::from(raw.rate_delivered) * u64::from(raw.mss) * 1_000_000 / u64::from(raw.rate_interval_us)
        }),
        window_closed_ns: (raw.probing != 0).then(|| tick.nanoseconds(raw.probing)).flatten(),
        timeouts: u32::from(raw.retransmits),
        backoff: u32::from(raw.backoff),
        accepted: raw.accepted != 0,
    }
}

/// The kernel's counters in our units.
fn counters(raw: &tcp::Counters, tick: Tick) -> Counters {
    Counters {
        sent_bytes: raw.bytes_sent.saturating_sub(raw.bytes_retrans),
        // A FIN takes one number of the sequence space and carries nothing.
        received_bytes: raw.bytes_received.saturating_sub(u64::from(raw.fin_received)),
        sent_segments: u64::from(raw.segs_out),
        received_segments: u64::from(raw.segs_in),
        retransmitted_segments: u64::from(raw.total_retrans),
        rtt_ns: eighths_of_us(raw.srtt_us),
        min_rtt_ns: (raw.min_rtt_us != u32::MAX).then_some(u64::from(raw.min_rtt_us) * 1000),
        rtt_variation_ns: (raw.srtt_us != 0).then_some(u64::from(raw.mdev_us) * 250),
        delivered_segments: u64::from(raw.delivered),
        congested_segments: u64::from(raw.delivered_ce),
        spurious_retransmits: u64::from(raw.dsack_dups),
        reorderings: u64::from(raw.reord_seen),
        busy: busy(raw.busy, tick),
    }
}

fn busy([all, peer_window, send_buffer]: [u32; 3], tick: Tick) -> Option<Busy> {
    Some(Busy {
        total_ns: tick.nanoseconds(all)?,
        peer_window_limited_ns: tick.nanoseconds(peer_window)?,
        send_buffer_limited_ns: tick.nanoseconds(send_buffer)?,
    })
}

fn eighths_of_us(srtt: u32) -> Option<u64> {
    (srtt != 0).then_some(u64::from(srtt) * 125)
}

fn known_task(raw: &observer_ebpf::process::Task) -> Option<Task> {
    (raw.tgid != 0).then(|| task(raw))
}

/// An address of that family.
pub(super) fn address(family: u16, bytes: [u8; 16]) -> Option<IpAddr> {
    match family {
        INET => Some(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]).into()),
        INET6 => Some(Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

pub(super) fn socket(raw: &tcp::Socket) -> Result<Socket, DecodeError> {
    let end = |bytes: [u8; 16], port: u16| match raw.family {
        INET => Ok((Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3]), port).into()),
        INET6 => Ok(end_v6(Ipv6Addr::from(bytes), port, raw.interface)),
        _ => Err(DecodeError::Impossible("socket")),
    };
    let outgoing = match u32::from(raw.role) {
        role::CLIENT => Some(true),
        role::SERVER | role::LISTENER => Some(false),
        _ => None,
    };
    Ok(Socket {
        cookie: raw.cookie,
        local: end(raw.local_address, raw.local_port)?,
        remote: end(raw.remote_address, u16::from_be(raw.remote_port_be))?,
        netns: raw.netns,
        state: (raw.state != 0).then_some(TcpState(raw.state)),
        outgoing,
    })
}

/// An IPv4 connection on an IPv6 socket is an IPv4 connection. A link-local address says something on one link only, so
/// that is told with it.
fn end_v6(address: Ipv6Addr, port: u16, interface: u32) -> SocketAddr {
    match IpAddr::V6(address).to_canonical() {
        IpAddr::V6(address) => {
            let scope = if address.is_unicast_link_local() { interface } else { 0 };
            SocketAddrV6::new(address, port, 0, scope).into()
        }
        IpAddr::V4(address) => (address, port).into(),
    }
}
