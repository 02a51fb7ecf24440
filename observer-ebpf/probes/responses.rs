//! How long a process takes to answer: data comes on a connection, the process reads it, the process sends.
//!
//! Each of the three steps has several hooks, of which the daemon attaches the best one that the kernel has.

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::macros::{btf_tracepoint, fentry};
use aya_ebpf::programs::{BtfTracePointContext, FEntryContext};
use observer_ebpf::debug::{Exchange, Response, watch};
use observer_ebpf::event::{Header, Kind};
use observer_ebpf::fields::Kernel;
use observer_ebpf::tcp::role;

use crate::emit::{current, emit, fill_current};
use crate::kernel::{
    SKB_CB, SOCK_FAMILY, SOCK_FLAGS, SOCK_STATE, TCP_CB_END_SEQ, TCP_CB_SEQ, TCP_COPIED_SEQ, TCP_RCV_NXT,
};
use crate::maps::{EXCHANGES, NETWORK};
use crate::retransmit::control;
use crate::socket::{INET, INET6, SOCK_DONE, cgroup_id, fill_tracked, state, storage, track};
use crate::watched::{Watched, pass, watched};

/// `void sk_data_ready(const struct sock *sk)`, 6.2 to 7.2: the process is told that there is something to read. Of
/// sockets of all kinds.
#[btf_tracepoint(function = "sk_data_ready")]
pub(crate) fn sk_data_ready(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Kernel = ctx.arg(0);
    // SAFETY: `sk` is typed by the hook, and read as one of TCP where it is one.
    unsafe {
        if let Some(seen) = watched(cgroup_id(sk), watch::RESPONSES) {
            if unread(sk) > 0 {
                ready(sk, &seen);
            }
            seen.done();
        }
    }
    0
}

/// `void tcp_probe(struct sock *sk, struct sk_buff *skb)`, 5.11 to 7.2: a segment has come on an established
/// connection, and is about to be treated.
#[btf_tracepoint(function = "tcp_probe")]
pub(crate) fn tcp_probe(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Kernel = ctx.arg(0);
    // SAFETY: both are typed by the hook.
    unsafe {
        if let Some(seen) = watched(cgroup_id(sk), watch::RESPONSES) {
            if brings_data(sk, ctx.arg(1)) {
                ready(sk, &seen);
            }
            seen.done();
        }
    }
    0
}

/// `void tcp_rcv_space_adjust(struct sock *sk)`, 5.11 to 7.2: the process has read, from as many segments as it took.
#[btf_tracepoint(function = "tcp_rcv_space_adjust")]
pub(crate) fn tcp_rcv_space_adjust(ctx: BtfTracePointContext) -> i32 {
    let sk: *const Kernel = ctx.arg(0);
    // SAFETY: `sk` is typed by the hook.
    unsafe {
        if let Some(seen) = watched(cgroup_id(sk), watch::RESPONSES) {
            if let Some(owed) = owed(sk, &seen) {
                if (*owed).read_ns == 0 {
                    (*owed).read_ns = seen.now_ns;
                }
                (*owed).last_read_ns = seen.now_ns;
                (*owed).reads += 1;
            }
            seen.done();
        }
    }
    0
}

/// `void tcp_sendmsg_locked(const struct sock *sk, const struct msghdr *msg, const struct sk_buff *skb, int size_goal)`,
/// 6.16 to 7.2: the process sends, and nothing of it is taken yet.
#[btf_tracepoint(function = "tcp_sendmsg_locked")]
pub(crate) fn tcp_sendmsg_locked(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the argument is typed by the hook.
    unsafe { answers(ctx.arg(0), false) };
    0
}

/// `int tcp_sendmsg(struct sock *sk, struct msghdr *msg, size_t size)`: the same where that may be hooked (6.1 to 7.2).
#[fentry(function = "tcp_sendmsg")]
pub(crate) fn tcp_sendmsg(ctx: FEntryContext) -> i32 {
    // SAFETY: the argument is typed by the hook.
    unsafe { answers(ctx.arg(0), false) };
    0
}

/// `void sock_send_length(struct sock *sk, int ret, int flags)`, 6.3 to 7.2: a call that sends has ended. Of sockets of
/// all kinds.
#[btf_tracepoint(function = "sock_send_length")]
pub(crate) fn sock_send_length(ctx: BtfTracePointContext) -> i32 {
    if ctx.arg::<u64>(1) as i32 > 0 {
        // SAFETY: the argument is typed by the hook.
        unsafe { answers(ctx.arg(0), true) };
    } else {
        pass();
    }
    0
}

/// Bytes that have come and that the process has not read; 0 of what is no connection.
///
/// # Safety
/// `sk` is typed as a `sock` and a full socket.
#[inline(always)]
unsafe fn unread(sk: *const Kernel) -> u32 {
    // SAFETY: as promised to this function; the helper's result is typed and tested.
    unsafe {
        let family = SOCK_FAMILY.read(sk);
        if (family != INET && family != INET6) || u32::from(SOCK_STATE.read(sk)) == state::LISTEN {
            return 0;
        }
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() {
            return 0;
        }
        let fin = u32::from(SOCK_FLAGS.read(sk) & SOCK_DONE != 0);
        let all = TCP_RCV_NXT.read(tcp).wrapping_sub(TCP_COPIED_SEQ.read(tcp)).wrapping_sub(fin);
        // Where the FIN itself was read, less than nothing is left.
        if all > i32::MAX as u32 { 0 } else { all }
    }
}

/// The segment has payload that comes next.
///
/// # Safety
/// `sk` is typed as a `sock`, `skb` as an `sk_buff`.
#[inline(always)]
unsafe fn brings_data(sk: *const Kernel, skb: *const Kernel) -> bool {
    // SAFETY: as promised to this function; the helper's result is typed and tested.
    unsafe {
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() || !TCP_CB_SEQ.is_present() || SKB_CB.offset_of() == 0 {
            return false;
        }
        let next = TCP_RCV_NXT.read(tcp);
        let (seq, end) = (control(skb, &TCP_CB_SEQ), control(skb, &TCP_CB_END_SEQ));
        // A FIN alone is one number as well.
        let fin = crate::retransmit::flags(skb) & 1;
        let (before, news) = (next.wrapping_sub(seq) as i32, end.wrapping_sub(fin).wrapping_sub(next) as i32);
        before >= 0 && news > 0
    }
}

/// Something is to be answered: from now on, unless something already was.
///
/// # Safety
/// `sk` is typed and a full socket of TCP.
#[inline(always)]
unsafe fn ready(sk: *const Kernel, seen: &Watched) {
    // SAFETY: as promised to this function; the storages are this socket's, and tested. The socket is locked.
    unsafe {
        let kept = track(sk, false);
        // What comes to who asked for the connection is an answer itself.
        if !kept.is_null() && (*kept).role == role::CLIENT {
            return;
        }
        let owed = storage(&EXCHANGES, sk, true);
        if owed.is_null() {
            return;
        }
        let since = seen.value >> watch::BITS;
        if (*owed).ready_ns == 0 || (*owed).since != since {
            begin(owed, sk, seen.now_ns);
            (*owed).since = since;
            (*owed).waited = 0;
        }
        (*owed).last_ready_ns = seen.now_ns;
    }
}

/// # Safety
/// `owed` is the socket's storage; `sk` is typed and a full socket.
#[inline(always)]
unsafe fn begin(owed: *mut Exchange, sk: *const Kernel, ready_ns: u64) {
    // SAFETY: as promised to this function; the helper's result is typed and tested.
    unsafe {
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        (*owed).ready_ns = ready_ns;
        (*owed).read_ns = 0;
        (*owed).last_read_ns = 0;
        (*owed).reads = 0;
        (*owed).read_seq = if tcp.is_null() { 0 } else { TCP_COPIED_SEQ.read(tcp) };
    }
}

/// What the process owes on that socket since it is watched.
///
/// # Safety
/// `sk` is typed as a `sock` and a full socket.
#[inline(always)]
unsafe fn owed(sk: *const Kernel, seen: &Watched) -> Option<*mut Exchange> {
    // SAFETY: as promised to this function; the storage is this socket's, and tested.
    unsafe {
        let owed = storage(&EXCHANGES, sk, false);
        if owed.is_null() || (*owed).ready_ns == 0 || (*owed).since != seen.value >> watch::BITS {
            return None;
        }
        Some(owed)
    }
}

/// The process sends: what it owed is answered.
///
/// # Safety
/// `sk` is typed as a `sock` and a full socket.
#[inline(always)]
unsafe fn answers(sk: *const Kernel, at_end: bool) {
    // SAFETY: as promised to this function.
    unsafe {
        if let Some(seen) = watched(cgroup_id(sk), watch::RESPONSES) {
            if let Some(owed) = owed(sk, &seen) {
                tell(sk, owed, &seen, at_end);
                let last_ready_ns = (*owed).last_ready_ns;
                begin(owed, sk, if unread(sk) > 0 { last_ready_ns } else { 0 });
                (*owed).waited = 1;
            }
            seen.done();
        }
    }
}

/// # Safety
/// `sk` is typed as a `sock` and a full socket; `owed` is its storage.
#[inline(always)]
unsafe fn tell(sk: *const Kernel, owed: *const Exchange, seen: &Watched, at_end: bool) {
    if !seen.may_tell(Kind::Response) {
        return;
    }
    emit::<Response>(&NETWORK, Kind::Response, |record| {
        // SAFETY: as promised to this function; the record is ours, and the helper's result tested.
        unsafe {
            let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
            let read = if tcp.is_null() { 0 } else { TCP_COPIED_SEQ.read(tcp) };
            (*record).header = Header {
                time_ns: seen.now_ns,
                cgroup_id: seen.cgroup_id,
                kind: Kind::Response as u32,
                reserved: 0,
            };
            fill_tracked(&raw mut (*record).socket, sk);
            fill_current(&raw mut (*record).task, current());
            (*record).exchange = *owed;
            (*record).read_bytes = read.wrapping_sub((*owed).read_seq);
            (*record).at_end = u32::from(at_end);
        }
    });
}
