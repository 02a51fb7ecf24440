//! Segments sent again: data, SYN and FIN on one hook, SYN-ACK on another.

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::budget::{class, phase};
use observer_ebpf::event::{Hook, Kind};
use observer_ebpf::fields::Kernel;
use observer_ebpf::tcp::{Retransmit, cause, role};

use crate::budget::take;
use crate::emit::{emit, header, now_ns};
use crate::fold;
use crate::kernel::{
    Field, REQUEST_RETRANS, RETRANSMIT_HAS_ERROR, SKB_CB, SKB_LEN, TCP_BACKOFF, TCP_CA_STATE, TCP_CB_END_SEQ,
    TCP_CB_FLAGS, TCP_CB_FLAGS_WIDE, TCP_CB_SACKED, TCP_CB_SEGMENTS, TCP_PENDING_TIMER, TCP_RETRANSMITS,
    TCP_SND_NXT, TCP_TOTAL_RETRANS,
};
use crate::maps::{NETWORK, SENT_AGAIN, count_made_up};
use crate::socket::{NO_SOCKET, cgroup_id, fill_ends, fill_owned, fill_socket, fill_tracked, storage, track};

/// SYN and ACK in the TCP header's 13th byte.
const SYN_ACK: u32 = 0x12;
/// SYN and FIN in it.
const SYN: u32 = 0x02;
const FIN: u32 = 0x01;

/// `ICSK_TIME_LOSS_PROBE` (include/net/inet_connection_sock.h): the timer that is running out.
const LOSS_PROBE_TIMER: u8 = 5;
/// `TCP_CA_Recovery` and `TCP_CA_Loss` (include/uapi/linux/tcp.h).
const RECOVERY: u8 = 3;
const LOSS: u8 = 4;

/// `TCPCB_EVER_RETRANS` (include/net/tcp.h): the segment was sent again at some time.
const EVER_RETRANS: u8 = 0x80;

/// Writes down why, how often already, and since when.
///
/// # Safety
/// `record` is valid for writes; `sk` is typed and a full socket; `skb` is typed.
#[inline(always)]
unsafe fn fill_cause(record: *mut Retransmit, sk: *const Kernel, skb: *const Kernel) {
    // SAFETY: as promised to this function; the storage and the helper's result are tested.
    unsafe {
        let kept = track(sk, false);
        (*record).start_ns = if kept.is_null() { 0 } else { (*kept).start_ns };
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() {
            (*record).cause = cause::UNKNOWN;
            (*record).timeouts = 0;
            (*record).backoff = 0;
            return;
        }
        (*record).timeouts = u32::from(TCP_RETRANSMITS.read(tcp));
        (*record).backoff = u32::from(TCP_BACKOFF.read(tcp));
        (*record).cause = why(sk, skb);
    }
}

/// Why a segment is sent again: a [`cause`].
///
/// # Safety
/// `sk` is typed and a full socket; `skb` is typed.
#[inline(always)]
unsafe fn why(sk: *const Kernel, skb: *const Kernel) -> u32 {
    // SAFETY: as promised to this function; the helper's result is tested.
    unsafe {
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() {
            return cause::UNKNOWN;
        }
        // The probe's timer may still be set when an acknowledgement tells of a loss, and may run out during the repair
        // if the host was too busy to begin it. Only a probe sends the last segment: for an acknowledgement to tell that
        // one is lost, a later one has to have arrived.
        let probes = TCP_PENDING_TIMER.read(tcp) == LOSS_PROBE_TIMER;
        let is_last = control(skb, &TCP_CB_END_SEQ) == TCP_SND_NXT.read(tcp);
        match TCP_CA_STATE.read(tcp) & 0x1f {
            LOSS => cause::TIMEOUT,
            RECOVERY if !(probes && is_last) => cause::FAST,
            _ if probes => cause::TAIL_LOSS_PROBE,
            _ => cause::UNKNOWN,
        }
    }
}

/// Reads a member of `tcp_skb_cb`, which lies in `sk_buff.cb`.
///
/// # Safety
/// `skb` is typed as an `sk_buff`.
#[inline(always)]
pub(crate) unsafe fn control<T: Copy>(skb: *const Kernel, member: &'static Field<T>) -> T {
    let offset = SKB_CB.offset_of() + member.offset_of();
    // SAFETY: the verifier allows any aligned read inside `cb`, which is scratch space.
    unsafe { core::ptr::read_volatile(skb.cast::<u8>().add(offset).cast::<T>()) }
}

/// The segment's TCP flags: a byte, and two with the accurate ECN of later kernels.
///
/// # Safety
/// `skb` is typed as an `sk_buff`.
#[inline(always)]
pub(crate) unsafe fn flags(skb: *const Kernel) -> u32 {
    // SAFETY: as promised to this function.
    unsafe {
        if TCP_CB_FLAGS_WIDE.is_present() {
            u32::from(control(skb, &TCP_CB_FLAGS_WIDE)) & 0xff
        } else {
            u32::from(control(skb, &TCP_CB_FLAGS))
        }
    }
}

/// `void tcp_retransmit_skb(const struct sock *sk, const struct sk_buff *skb)`, with `, int err` from
/// 6.14. Runs once RetransSegs was counted; before 6.14 not where the segment could not be sent, from then on also where
/// nothing was sent or counted, see `is_news`.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn tcp_retransmit_skb(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's arguments are a full socket and a segment.
    if unsafe { is_news(ctx.arg(0), ctx.arg(1), true) } {
        tell(&ctx);
    }
    0
}

/// The same once more, for what the first one did not see; see `inet_sock_set_state_again`. Here a process that sends
/// again is interrupted by another socket's timer or by its packets.
#[btf_tracepoint(function = "tcp_retransmit_skb")]
pub(crate) fn tcp_retransmit_skb_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the hook's arguments are a full socket and a segment.
    if unsafe { is_news(ctx.arg(0), ctx.arg(1), false) } {
        count_made_up(Hook::Retransmit);
        tell(&ctx);
    }
    0
}

/// Takes down that these segments are told; false if they were already, and `otherwise` where the kernel's memory is
/// too short to know. The socket is locked, and each time it has sent more segments again than the last time.
///
/// From 6.14 the hook also tells of a segment that was not sent, mostly since its last copy still waits on this host
/// (`EBUSY`). Whatever was sent again is marked before the hook runs; by the sum alone that would pass for news on a
/// socket that was born with the SYN-ACKs that were sent again for it.
///
/// # Safety
/// `sk` is typed and a full socket; `skb` is typed.
#[inline(always)]
unsafe fn is_news(sk: *const Kernel, skb: *const Kernel, otherwise: bool) -> bool {
    // SAFETY: as promised to this function; the helpers' results are typed and tested.
    unsafe {
        if RETRANSMIT_HAS_ERROR.is_on() && control(skb, &TCP_CB_SACKED) & EVER_RETRANS == 0 {
            return false;
        }
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        let told = storage(&SENT_AGAIN, sk, true);
        if tcp.is_null() || told.is_null() {
            return otherwise;
        }
        let total = TCP_TOTAL_RETRANS.read(tcp);
        let is_news = *told != total;
        *told = total;
        is_news
    }
}

#[inline(always)]
fn tell(ctx: &BtfTracePointContext) {
    let sk: *const Kernel = ctx.arg(0);
    let skb: *const Kernel = ctx.arg(1);
    // SAFETY: `sk` (a full socket) and `skb` are typed by the hook.
    let cgroup = unsafe { cgroup_id(sk) };
    if !take(cgroup, class::SEGMENTS, 1, now_ns()) {
        // SAFETY: as above.
        return unsafe { fold_data(sk, skb, cgroup) };
    }
    // SAFETY: as above.
    unsafe { count_handshake(sk, skb) };
    emit::<Retransmit>(&NETWORK, Kind::Retransmit, |record| {
        // SAFETY: the record is ours; `sk` (a full socket) and `skb` are typed by the hook.
        unsafe {
            (*record).header = header(Kind::Retransmit, cgroup);
            fill_owned(&raw mut (*record).socket, &raw mut (*record).task, sk);
            (*record).segments = u32::from(control(skb, &TCP_CB_SEGMENTS));
            (*record).payload_len = SKB_LEN.read(skb);
            (*record).tcp_flags = flags(skb);
            fill_cause(record, sk, skb);
        }
    });
}

/// A client's SYN that is told is counted with that.
///
/// # Safety
/// `sk` is typed and a full socket; `skb` is typed.
#[inline(always)]
unsafe fn count_handshake(sk: *const Kernel, skb: *const Kernel) {
    // SAFETY: as promised to this function; the storage is this socket's, and tested.
    unsafe {
        if flags(skb) & SYN_ACK == SYN {
            let kept = track(sk, false);
            if !kept.is_null() {
                (*kept).handshake_retrans += u32::from(control(skb, &TCP_CB_SEGMENTS));
            }
        }
    }
}

/// Adds segments up that were sent again.
///
/// # Safety
/// `sk` is typed and a full socket; `skb` is typed.
#[inline(always)]
unsafe fn fold_data(sk: *const Kernel, skb: *const Kernel, cgroup: u64) {
    let mut socket = NO_SOCKET;
    // SAFETY: as promised to this function; the storage is this socket's, and tested.
    unsafe {
        fill_tracked(&raw mut socket, sk);
        let flags = flags(skb);
        let phase = match flags & SYN_ACK {
            SYN_ACK => phase::SYN_ACK,
            SYN => phase::SYN,
            _ if flags & FIN != 0 && SKB_LEN.read(skb) == 0 => phase::FIN,
            _ => phase::DATA,
        };
        let segments = u64::from(control(skb, &TCP_CB_SEGMENTS));
        fold::retransmitted(&socket, segments, phase, why(sk, skb), cgroup);
    }
}

/// `void tcp_retransmit_synack(const struct sock *sk, const struct request_sock *req)`, 5.11 to 7.2.
/// `sk` is the listener; the ends are the request's.
#[btf_tracepoint(function = "tcp_retransmit_synack")]
pub(crate) fn tcp_retransmit_synack(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Kernel = ctx.arg(0);
    let request: *const Kernel = ctx.arg(1);
    // SAFETY: `sk` (a full socket) and `request` are typed by the hook.
    unsafe {
        let cgroup = cgroup_id(sk);
        if !take(cgroup, class::SEGMENTS, 1, now_ns()) {
            let mut socket = NO_SOCKET;
            fill_socket(&raw mut socket, sk, role::SERVER);
            fill_ends(&raw mut socket, request);
            fold::retransmitted(&socket, 1, phase::SYN_ACK, cause::TIMEOUT, cgroup);
            return 0;
        }
    }
    emit::<Retransmit>(&NETWORK, Kind::Retransmit, |record| {
        // SAFETY: the record is ours; `sk` (a full socket) and `request` are typed by the hook.
        unsafe {
            (*record).header = header(Kind::Retransmit, cgroup_id(sk));
            fill_owned(&raw mut (*record).socket, &raw mut (*record).task, sk);
            (*record).socket.role = role::SERVER as u8;
            fill_ends(&raw mut (*record).socket, request);
            (*record).segments = 1;
            (*record).payload_len = 0;
            (*record).tcp_flags = SYN_ACK;
            (*record).cause = cause::TIMEOUT;
            (*record).timeouts = u32::from(REQUEST_RETRANS.read(request)) + 1;
            (*record).backoff = 0;
            (*record).start_ns = 0;
        }
    });
    0
}
