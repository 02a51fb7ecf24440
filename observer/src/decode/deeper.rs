//! Records that debugging sessions ask for.

use std::net::IpAddr;

use observer_ebpf::debug::{self, OPEN_PATH_MAX, OpenFailure, PacketDrop, Response};

use super::tcp::{address, socket};
use super::{Body, DecodeError, Socket, Task, fixed, task};
use crate::event::{BootTime, SignalEffect};

/// A process began to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) socket: Socket,
    /// Who answers.
    pub(crate) task: Task,
    /// When the first data came that was not answered.
    pub(crate) ready: BootTime,
    /// When the process read first after that, and last; `None` where it did not.
    pub(crate) read: Option<[BootTime; 2]>,
    pub(crate) reads: u32,
    pub(crate) read_bytes: u32,
    /// The data had come before the last answer was given.
    pub(crate) queued: bool,
    /// The time is that of the end of the call which sent the answer.
    pub(crate) at_end: bool,
}

/// A packet was dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// The kernel's number of its reason.
    pub(crate) reason: u32,
    /// What the device says it is (`ETH_P_*`).
    pub(crate) ethertype: u16,
    /// The protocol above IP (`IPPROTO_*`), where there is one.
    pub(crate) protocol: u8,
    /// From where to where, where it shows that.
    pub(crate) ends: Option<[IpAddr; 2]>,
    pub(crate) ports: [u16; 2],
    pub(crate) tcp_flags: u8,
    pub(crate) length: u32,
    pub(crate) netns: u32,
    pub(crate) incoming: bool,
    pub(crate) has_socket: bool,
}

/// A process was sent a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Signalled {
    pub(crate) receiver: Task,
    /// Who was running.
    pub(crate) sender: Task,
    pub(crate) sender_cgroup: u64,
    pub(crate) signal: u8,
    pub(crate) effect: SignalEffect,
    /// `si_code`; `None` where the kernel gave none.
    pub(crate) code: Option<i32>,
    pub(crate) to_thread: bool,
}

pub(super) fn response(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (record, _): (Response, _) = fixed(bytes)?;
    let exchange = record.exchange;
    let read = (exchange.read_ns != 0)
        .then(|| [exchange.read_ns, exchange.last_read_ns.max(exchange.read_ns)].map(BootTime));
    Ok(Body::Answered(Box::new(Answered {
        socket: socket(&record.socket)?,
        task: task(&record.task),
        ready: BootTime(exchange.ready_ns),
        read,
        reads: exchange.reads,
        read_bytes: record.read_bytes,
        queued: exchange.waited != 0,
        at_end: record.at_end != 0,
    })))
}

pub(super) fn packet_drop(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (record, _): (PacketDrop, _) = fixed(bytes)?;
    let ends = if record.family == 0 {
        None
    } else {
        let end =
            |bytes: &[u8; 16]| address(record.family, *bytes).ok_or(DecodeError::Impossible("packet_drop"));
        Some([end(&record.source)?, end(&record.destination)?])
    };
    Ok(Body::Dropped(Box::new(Dropped {
        reason: record.reason,
        ethertype: u16::from_be(record.ethertype_be),
        protocol: record.protocol,
        ends,
        ports: record.ports_be.map(u16::from_be),
        tcp_flags: record.tcp_flags,
        length: record.len,
        netns: record.netns,
        incoming: record.incoming != 0,
        has_socket: record.found == debug::found::SOCKET,
    })))
}

pub(super) fn signal(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (record, _): (debug::SignalSent, _) = fixed(bytes)?;
    // `TRACE_SIGNAL_*` (include/trace/events/signal.h).
    let effect = match record.result {
        0 => SignalEffect::Delivered,
        1 => SignalEffect::Ignored,
        2 => SignalEffect::Pending,
        3 => SignalEffect::Lost,
        4 => SignalEffect::Bare,
        _ => return Err(DecodeError::Impossible("signal")),
    };
    Ok(Body::Signalled(Box::new(Signalled {
        receiver: task(&record.receiver),
        sender: task(&record.sender),
        sender_cgroup: record.sender_cgroup_id,
        signal: u8::try_from(record.signal).map_err(|_large| DecodeError::Impossible("signal"))?,
        effect,
        code: (record.code != debug::SignalSent::PRIVILEGED).then_some(record.code),
        to_thread: record.whole == 0,
    })))
}

pub(super) fn open_failure(bytes: &[u8]) -> Result<Body, DecodeError> {
    let (record, _): (OpenFailure, _) = fixed(bytes)?;
    let length = record.path_len as usize;
    let path = record.path.get(..length).ok_or(DecodeError::Impossible("open_failure"))?;
    Ok(Body::OpenFailed {
        task: task(&record.task),
        path: path.strip_suffix(&[0]).unwrap_or(path).to_vec(),
        path_truncated: length >= OPEN_PATH_MAX,
        errno: record.errno,
    })
}
