//! The life of a connection, from one hook: every change of a TCP socket's state.

use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::warn;
use observer_ebpf::budget::class;
use observer_ebpf::event::{Header, Hook, Kind};
use observer_ebpf::fields::Kernel;
use observer_ebpf::tcp::{Closed, Listening, Opened, Track, role};

use crate::budget::take;
use crate::emit::{count_lost, current, emit, fill_current, header, now_ns};
use crate::fold;
use crate::kernel::{SOCK_ERR, TCP_SRTT_US};
use crate::maps::{NETWORK, count_made_up};
use crate::socket::{NO_TASK, cgroup_id, fill_counters, fill_socket, state, track};
use crate::treated::{is_noted, note};

/// `void inet_sock_set_state(const struct sock *sk, const int oldstate, const int newstate)`,
/// 5.11 to 7.2. Called before the new state is written.
///
/// SYN_SENT and LISTEN are entered by the process itself; SYN_RECV, ESTABLISHED and most ends in an
/// interrupt, where the current task is anybody's.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state(ctx: BtfTracePointContext) -> i32 {
    let _news = treat(&ctx);
    note(&ctx);
    0
}

/// The same once more, for what the first one did not see.
///
/// The kernel leaves a program out that is already running on the CPU (`prog->active`): an interrupt in
/// the middle of it may run a backlog of packets, each with a change of state. A soft interrupt is not
/// interrupted by another one, so whatever finds one of the two running finds the other one idle. Where a process may be
/// replaced by another one in the middle of a program, both may be left out: so this one counts what it makes up for.
#[btf_tracepoint(function = "inet_sock_set_state")]
pub(crate) fn inet_sock_set_state_again(ctx: BtfTracePointContext) -> i32 {
    if !is_noted(&ctx) && treat(&ctx) {
        count_made_up(Hook::State);
    }
    0
}

/// Does what the change asks for, if anything; false if the socket's storage says that it was done already.
#[inline(always)]
fn treat(ctx: &BtfTracePointContext) -> bool {
    let sk: *const Kernel = ctx.arg(0);
    let old = ctx.arg::<u64>(1) as u32;
    let new = ctx.arg::<u64>(2) as u32;
    // SAFETY: `sk` is typed by the hook and a full socket; the storage is this socket's.
    unsafe {
        let kept = match new {
            state::SYN_SENT | state::LISTEN => make_track(ctx, sk),
            state::SYN_RECV if old == state::LISTEN => make_track(ctx, sk),
            state::ESTABLISHED | state::CLOSE_WAIT => track(sk, false),
            state::CLOSE if old != state::LISTEN => track(sk, false),
            _ => return true,
        };
        if kept.is_null() {
            return true;
        }
        if !is_news(kept, new) {
            return false;
        }
        match new {
            state::SYN_SENT => begin(sk, kept, role::CLIENT),
            state::LISTEN => begin(sk, kept, role::LISTENER),
            state::SYN_RECV => begin_child(kept),
            state::ESTABLISHED => established(sk, kept),
            state::CLOSE_WAIT => (*kept).half_closed_ns = now_ns(),
            _ => closed(sk, kept, old),
        }
        true
    }
}

/// Takes down that this change is treated; false if it was already. The socket is locked.
///
/// # Safety
/// `kept` is the socket's storage.
#[inline(always)]
unsafe fn is_news(kept: *mut Track, new: u32) -> bool {
    // SAFETY: as promised to this function.
    unsafe {
        if (*kept).treated == new {
            return false;
        }
        (*kept).treated = new;
    }
    true
}

/// The socket's storage, made if need be, else null; a socket without is counted.
///
/// # Safety
/// `sk` is typed and a full socket.
#[inline(always)]
unsafe fn make_track(ctx: &BtfTracePointContext, sk: *const Kernel) -> *mut Track {
    // SAFETY: as promised to this function. SCTP and DCCP run through the same hook.
    let kept = unsafe {
        if bpf_skc_to_tcp_sock(sk.cast_mut().cast()).is_null() {
            return core::ptr::null_mut();
        }
        track(sk, true)
    };
    if kept.is_null() {
        // The kernel's memory is short: say so, but not a thousand times.
        if count_lost(Kind::Untracked).is_multiple_of(1024) {
            warn!(ctx, "no kernel memory for a socket's storage: the connection is not tracked");
        }
    }
    kept
}

/// connect() or listen(), in the process that called it.
///
/// # Safety
/// `sk` is typed and a full socket; `kept` is its storage.
#[inline(always)]
unsafe fn begin(sk: *const Kernel, kept: *mut Track, role: u32) {
    // SAFETY: as promised to this function.
    unsafe {
        (*kept).start_ns = now_ns();
        (*kept).established_ns = 0;
        (*kept).half_closed_ns = 0;
        (*kept).adopted = 0;
        (*kept).folded = 0;
        (*kept).handshake_retrans = 0;
        (*kept).role = role;
        fill_current(&raw mut (*kept).task, current());
        if role == role::LISTENER {
            emit::<Listening>(&NETWORK, Kind::Listening, |listening| {
                (*listening).header = header(Kind::Listening, cgroup_id(sk));
                fill_socket(&raw mut (*listening).socket, sk, role);
                (*listening).task = (*kept).task;
            });
        }
    }
}

/// A listener's child, made when the handshake's last segment came. Its storage is a copy of the
/// listener's, if that one is tracked.
///
/// # Safety
/// `kept` is the socket's storage.
#[inline(always)]
unsafe fn begin_child(kept: *mut Track) {
    // SAFETY: as promised to this function.
    unsafe {
        if (*kept).role != role::LISTENER {
            (*kept).task = NO_TASK;
        }
        (*kept).start_ns = now_ns();
        (*kept).established_ns = 0;
        (*kept).adopted = 0;
        (*kept).folded = 0;
        (*kept).handshake_retrans = 0;
        (*kept).role = role::SERVER;
    }
}

/// # Safety
/// `sk` is typed and a full socket; `kept` is its storage.
#[inline(always)]
unsafe fn established(sk: *const Kernel, kept: *mut Track) {
    // SAFETY: as promised to this function.
    unsafe {
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        let srtt_us = if tcp.is_null() { 0 } else { TCP_SRTT_US.read(tcp) };
        let kind = if (*kept).role == role::CLIENT { Kind::Connect } else { Kind::Accept };
        let cgroup = cgroup_id(sk);
        let head = header(kind, cgroup);
        (*kept).established_ns = head.time_ns;
        // Its end is paid for as well: who was told of the one is told of the other.
        if !take(cgroup, class::CONNECTIONS, 2, head.time_ns) {
            if (*kept).role == role::SERVER {
                (*kept).handshake_retrans = fold::total_retrans(sk);
            }
            (*kept).folded = 1;
            fold::opened(sk, kept, cgroup);
            return;
        }
        emit::<Opened>(&NETWORK, kind, |opened| {
            (*opened).header = head;
            fill_socket(&raw mut (*opened).socket, sk, (*kept).role);
            (*opened).task = (*kept).task;
            (*opened).start_ns = (*kept).start_ns;
            (*opened).srtt_us = srtt_us;
            (*opened).reserved = 0;
        });
    }
}

/// The end, established before or not.
///
/// # Safety
/// `sk` is typed and a full socket; `kept` is its storage.
#[inline(always)]
unsafe fn closed(sk: *const Kernel, kept: *mut Track, old: u32) {
    // SAFETY: as promised to this function.
    unsafe {
        let kind = if (*kept).established_ns != 0 {
            Kind::Close
        } else if (*kept).role == role::CLIENT {
            Kind::ConnectFailure
        } else {
            // A listener's child that was never established: its listener counts it.
            return;
        };
        let head = header(kind, cgroup_id(sk));
        if (*kept).folded != 0 {
            fold::closed(sk, kept, head.cgroup_id);
        } else if kind as u32 == Kind::ConnectFailure as u32
            && !take(head.cgroup_id, class::CONNECTIONS, 1, head.time_ns)
        {
            fold::failed(sk, kept, head.cgroup_id);
        } else {
            emit_closed(sk, kept, head, kind, old);
        }
        // A socket may be used for another connect(): what it was is over.
        (*kept).established_ns = 0;
        (*kept).role = 0;
        (*kept).folded = 0;
    }
}

/// Tells the end of a connection or of an attempt.
///
/// # Safety
/// `sk` is typed and a full socket; `kept` is its storage.
#[inline(always)]
unsafe fn emit_closed(sk: *const Kernel, kept: *const Track, head: Header, kind: Kind, old: u32) {
    // SAFETY: as promised to this function; the record is ours.
    unsafe {
        emit::<Closed>(&NETWORK, kind, |closed| {
            (*closed).header = head;
            fill_socket(&raw mut (*closed).socket, sk, (*kept).role);
            (*closed).socket.state = old as u8;
            (*closed).task = (*kept).task;
            (*closed).start_ns = (*kept).start_ns;
            fill_counters(&raw mut (*closed).counters, sk);
            (*closed).error = SOCK_ERR.read(sk);
            (*closed).adopted = (*kept).adopted;
        });
    }
}
