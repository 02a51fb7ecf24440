//! How a live socket stands: its windows, its queues, its pace.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_skc_to_tcp_sock};
use observer_ebpf::fields::Kernel;
use observer_ebpf::live::Flow;

use crate::kernel::{
    SOCK_BACKLOG, SOCK_DROPS, SOCK_MAX_BACKLOG, SOCK_PACING_RATE, SOCK_SOCKET, TCP_BACKOFF, TCP_COPIED_SEQ,
    TCP_MSS, TCP_PROBES_OUT, TCP_PROBES_SINCE, TCP_RATE_DELIVERED, TCP_RATE_INTERVAL_US, TCP_RCV_NXT,
    TCP_RCV_WND, TCP_RETRANSMITS, TCP_SND_CWND, TCP_SND_NXT, TCP_SND_UNA, TCP_SND_WND, TCP_WRITE_SEQ,
};

/// Nothing is known.
pub(crate) const NO_FLOW: Flow = Flow {
    pacing_rate: 0,
    unread: 0,
    read_seq: 0,
    unacked: 0,
    unsent: 0,
    peer_window: 0,
    own_window: 0,
    congestion_window: 0,
    mss: 0,
    rate_delivered: 0,
    rate_interval_us: 0,
    probing: 0,
    queue: 0,
    queue_limit: 0,
    queue_drops: 0,
    retransmits: 0,
    backoff: 0,
    accepted: 0,
    reserved: [0; 5],
};

/// Writes down how a socket stands; zeros where it is no TCP socket.
///
/// # Safety
/// `into` is valid for writes; `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn fill_flow(into: *mut Flow, sk: *const Kernel) {
    // SAFETY: as promised to this function; the helper's result is typed and tested.
    unsafe {
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() {
            *into = NO_FLOW;
            return;
        }
        let (sent, read) = (TCP_SND_NXT.read(tcp), TCP_COPIED_SEQ.read(tcp));
        (*into).pacing_rate = SOCK_PACING_RATE.read(sk);
        (*into).unread = TCP_RCV_NXT.read(tcp).wrapping_sub(read);
        (*into).read_seq = read;
        (*into).unacked = sent.wrapping_sub(TCP_SND_UNA.read(tcp));
        (*into).unsent = TCP_WRITE_SEQ.read(tcp).wrapping_sub(sent);
        (*into).peer_window = TCP_SND_WND.read(tcp);
        (*into).own_window = TCP_RCV_WND.read(tcp);
        (*into).congestion_window = TCP_SND_CWND.read(tcp);
        (*into).mss = TCP_MSS.read(tcp);
        (*into).rate_delivered = TCP_RATE_DELIVERED.read(tcp);
        (*into).rate_interval_us = TCP_RATE_INTERVAL_US.read(tcp);
        (*into).probing = if TCP_PROBES_SINCE.is_present() && TCP_PROBES_OUT.read(tcp) != 0 {
            (bpf_jiffies64() as u32).wrapping_sub(TCP_PROBES_SINCE.read(tcp))
        } else {
            0
        };
        (*into).queue = SOCK_BACKLOG.read(sk);
        (*into).queue_limit = SOCK_MAX_BACKLOG.read(sk);
        (*into).queue_drops = drops(sk);
        (*into).retransmits = TCP_RETRANSMITS.read(tcp);
        (*into).backoff = TCP_BACKOFF.read(tcp);
        (*into).accepted = u8::from(!SOCK_SOCKET.read(sk).is_null());
        (*into).reserved = [0; 5];
    }
}

/// What a socket has dropped in its life; 0 where the kernel does not count it in one figure.
///
/// # Safety
/// `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn drops(sk: *const Kernel) -> u32 {
    // SAFETY: as promised to this function.
    unsafe { if SOCK_DROPS.is_present() { SOCK_DROPS.read(sk) } else { 0 } }
}
