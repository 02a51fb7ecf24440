//! Resets, sent and received.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_skc_to_tcp_sock};
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::budget::class;
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::tcp::{Reset, Socket, direction, role};

use crate::budget::take;
use crate::emit::{emit, header, now_ns};
use crate::fold;
use crate::kernel::{
    NET_INUM, NETDEV_INDEX, NETDEV_NET, RESET_HAS_REASON, SKB_DEV, SKB_HEAD, SKB_NETWORK_HEADER,
    SKB_TRANSPORT_HEADER, SOCK_FLAGS, SOCK_LINGER_TIME, SOCK_STATE, TCP_COPIED_SEQ, TCP_PROBES_OUT,
    TCP_RCV_NXT, TCP_RETRANSMITS,
};
use crate::maps::NETWORK;
use crate::socket::{
    INET, INET6, NO_SOCKET, NO_TASK, SOCK_DONE, cgroup_id, fill_ends, fill_owned, fill_tracked, state, track,
};

/// `SOCK_LINGER` in `sk_flags` (include/net/sock.h, `enum sock_flags`).
const SOCK_LINGER: u64 = 1 << 4;

/// `void tcp_receive_reset(struct sock *sk)`, 5.11 to 7.2. A reset that ends an attempt to connect
/// is told as that attempt's failure.
#[btf_tracepoint(function = "tcp_receive_reset")]
pub(crate) fn tcp_receive_reset(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Kernel = ctx.arg(0);
    // SAFETY: `sk` is typed by the hook and a full socket; the storage is this socket's, and tested.
    unsafe {
        let asks = match u32::from(SOCK_STATE.read(sk)) {
            state::SYN_SENT => true,
            // Both sides asked at the same time, or it is a listener's child.
            state::SYN_RECV => {
                let kept = track(sk, false);
                !kept.is_null() && (*kept).role == role::CLIENT
            }
            _ => false,
        };
        if asks {
            return 0;
        }
        let cgroup = cgroup_id(sk);
        if !take(cgroup, class::SEGMENTS, 1, now_ns()) {
            let mut socket = NO_SOCKET;
            fill_tracked(&raw mut socket, sk);
            fold::reset(&socket, direction::RECEIVED, cgroup);
            return 0;
        }
        emit::<Reset>(&NETWORK, Kind::Reset, |record| {
            fill_from_socket(record, sk);
            (*record).direction = direction::RECEIVED;
            (*record).reason = u32::MAX;
            (*record).answered = 0;
        });
    }
    0
}

/// `void tcp_send_reset(const struct sock *sk, const struct sk_buff *skb)`, with
/// `, const enum sk_rst_reason reason` from 6.10. `skb` is the segment that is answered, null where
/// the socket resets by itself; `sk` is null where no socket was found (told from 6.10 on), and may
/// be a request or a time-wait socket.
///
/// Kernels differ in whether their verifier knows that both may be null, so `skb` is only read by
/// helpers that check, and `sk` is tested first.
#[btf_tracepoint(function = "tcp_send_reset")]
pub(crate) fn tcp_send_reset(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Kernel = ctx.arg(0);
    let skb: *const Kernel = ctx.arg(1);
    // SAFETY: `sk` is typed, and tested, and read as a full socket only where its state says that it is one.
    unsafe {
        let cgroup = if is_full(sk) { cgroup_id(sk) } else { 0 };
        if !take(cgroup, class::SEGMENTS, 1, now_ns()) {
            let mut socket = NO_SOCKET;
            if is_full(sk) {
                fill_tracked(&raw mut socket, sk);
            }
            fill_from_segment(&raw mut socket, skb);
            fold::reset(&socket, direction::SENT, cgroup);
            return 0;
        }
    }
    emit::<Reset>(&NETWORK, Kind::Reset, |record| {
        // SAFETY: the record is ours; `sk` is typed, and tested, and read as a full socket only where
        // its state says that it is one.
        unsafe {
            (*record).direction = direction::SENT;
            (*record).reason = if RESET_HAS_REASON.is_on() { ctx.arg::<u64>(2) as u32 } else { u32::MAX };
            if sk.is_null() {
                fill_unowned(record);
            } else {
                match u32::from(SOCK_STATE.probe(sk, 0)) {
                    state::TIME_WAIT | state::NEW_SYN_RECV => {
                        fill_unowned(record);
                        fill_ends(&raw mut (*record).socket, sk);
                    }
                    _ => fill_from_socket(record, sk),
                }
            }
            (*record).answered = fill_from_segment(&raw mut (*record).socket, skb);
        }
    });
    0
}

/// It is no request and no time-wait socket.
#[inline(always)]
fn is_full(sk: *const Kernel) -> bool {
    !sk.is_null() && !matches!(u32::from(SOCK_STATE.probe(sk, 0)), state::TIME_WAIT | state::NEW_SYN_RECV)
}

/// The socket, its owner and its cgroup.
///
/// # Safety
/// `record` is valid for writes; `sk` is typed and a full socket.
#[inline(always)]
unsafe fn fill_from_socket(record: *mut Reset, sk: *const Kernel) {
    // SAFETY: as promised to this function.
    unsafe {
        (*record).header = header(Kind::Reset, cgroup_id(sk));
        fill_owned(&raw mut (*record).socket, &raw mut (*record).task, sk);
        let flags = SOCK_FLAGS.read(sk);
        (*record).linger_zero = u32::from(flags & SOCK_LINGER != 0 && SOCK_LINGER_TIME.read(sk) == 0);
        (*record).fin_received = u32::from(flags & SOCK_DONE != 0);
        (*record).reserved = 0;
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() {
            (*record).unread = 0;
            (*record).timeouts = 0;
            return;
        }
        (*record).unread = TCP_RCV_NXT.read(tcp).wrapping_sub(TCP_COPIED_SEQ.read(tcp));
        (*record).timeouts = u32::from(TCP_RETRANSMITS.read(tcp)) + u32::from(TCP_PROBES_OUT.read(tcp));
    }
}

/// No socket, no owner, no cgroup.
///
/// # Safety
/// `record` is valid for writes.
#[inline(always)]
unsafe fn fill_unowned(record: *mut Reset) {
    // SAFETY: as promised to this function.
    unsafe {
        (*record).header = header(Kind::Reset, 0);
        (*record).task = NO_TASK;
        (*record).socket = NO_SOCKET;
        (*record).unread = 0;
        (*record).timeouts = 0;
        (*record).linger_zero = 0;
        (*record).fin_received = 0;
        (*record).reserved = 0;
    }
}

/// The ends as in the segment that is answered, if there is one: a listener has only one end. Gives the
/// segment's TCP flags.
///
/// # Safety
/// `into` is valid for writes.
#[inline(always)]
unsafe fn fill_from_segment(into: *mut Socket, skb: *const Kernel) -> u32 {
    let null = core::ptr::null();
    let head: *const Kernel = SKB_HEAD.probe(skb, null);
    if head.is_null() {
        return 0;
    }
    let network = head.cast::<u8>().wrapping_add(usize::from(SKB_NETWORK_HEADER.probe(skb, 0)));
    let transport = head.cast::<u8>().wrapping_add(usize::from(SKB_TRANSPORT_HEADER.probe(skb, 0)));
    let mut ports = [0_u16; 2];
    let (mut version, mut flags) = (0_u8, 0_u8);
    // SAFETY: as promised to this function; the helper checks what it reads from.
    unsafe {
        bpf_probe_read_kernel((&raw mut ports).cast(), 4, transport.cast());
        bpf_probe_read_kernel((&raw mut version).cast(), 1, network.cast());
        bpf_probe_read_kernel((&raw mut flags).cast(), 1, transport.wrapping_add(13).cast());
        let local = (&raw mut (*into).local_address).cast::<[u8; 16]>();
        let remote = (&raw mut (*into).remote_address).cast::<[u8; 16]>();
        match version >> 4 {
            4 => {
                (*into).family = INET;
                *local = [0; 16];
                *remote = [0; 16];
                bpf_probe_read_kernel(remote.cast(), 4, network.wrapping_add(12).cast());
                bpf_probe_read_kernel(local.cast(), 4, network.wrapping_add(16).cast());
            }
            6 => {
                (*into).family = INET6;
                bpf_probe_read_kernel(remote.cast(), 16, network.wrapping_add(8).cast());
                bpf_probe_read_kernel(local.cast(), 16, network.wrapping_add(24).cast());
            }
            _ => return 0,
        }
        (*into).remote_port_be = ports[0];
        (*into).local_port = u16::from_be(ports[1]);
        let device: *const Kernel = SKB_DEV.probe(skb, null);
        if (*into).interface == 0 {
            (*into).interface = NETDEV_INDEX.probe(device, 0);
        }
        if (*into).netns == 0 {
            let net: *const Kernel = NETDEV_NET.probe(device, null);
            (*into).netns = NET_INUM.probe(net, 0);
        }
    }
    u32::from(flags)
}
