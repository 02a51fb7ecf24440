//! What all TCP probes read of a socket: its storage, its ends, its cgroup, its counters.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_jiffies64, bpf_sk_storage_get, bpf_skc_to_tcp_sock,
};
use observer_ebpf::fields::Kernel;
use observer_ebpf::process::Task;
use observer_ebpf::tcp::{Counters, Socket, Track};

use crate::kernel::{
    CGROUP_KN, KERNFS_NODE_ID, NET_INUM, SOCK_CGROUP, SOCK_FAMILY, SOCK_FLAGS, SOCK_INTERFACE,
    SOCK_LOCAL_PORT, SOCK_LOCAL_V4, SOCK_LOCAL_V6, SOCK_NET, SOCK_REMOTE_PORT, SOCK_REMOTE_V4,
    SOCK_REMOTE_V6, SOCK_STATE, TCP_BYTES_RECEIVED, TCP_BYTES_RETRANS, TCP_BYTES_SENT, TCP_CHRONO_START,
    TCP_CHRONO_STAT, TCP_CHRONO_TYPE, TCP_DELIVERED, TCP_DELIVERED_CE, TCP_DSACK_DUPS, TCP_LOCAL_PORT_BE,
    TCP_MDEV_US, TCP_MIN_RTT, TCP_REORD_SEEN, TCP_SEGS_IN, TCP_SEGS_OUT, TCP_SRTT_US, TCP_TOTAL_RETRANS,
};
use crate::maps::{SOCKETS, SocketStorage};

/// `AF_INET`.
pub(crate) const INET: u16 = 2;
/// `AF_INET6`.
pub(crate) const INET6: u16 = 10;

/// The states of include/net/tcp_states.h that the probes ask for.
pub(crate) mod state {
    pub(crate) const ESTABLISHED: u32 = 1;
    pub(crate) const SYN_SENT: u32 = 2;
    pub(crate) const SYN_RECV: u32 = 3;
    pub(crate) const TIME_WAIT: u32 = 6;
    pub(crate) const CLOSE: u32 = 7;
    pub(crate) const CLOSE_WAIT: u32 = 8;
    pub(crate) const LISTEN: u32 = 10;
    pub(crate) const NEW_SYN_RECV: u32 = 12;
}

/// `SOCK_DONE` in `sk_flags`: a FIN was received (net/ipv4/tcp_input.c, `tcp_fin`).
pub(crate) const SOCK_DONE: u64 = 1 << 1;

/// The socket's storage, made where it is missing if `create`. Null where there is none.
///
/// # Safety
/// `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn track(sk: *const Kernel, create: bool) -> *mut Track {
    // SAFETY: as promised to this function.
    unsafe { storage(&SOCKETS, sk, create) }
}

/// What a map keeps on the socket, zeroed and made where it is missing if `create`. Null where there is none.
///
/// # Safety
/// `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn storage<Value>(
    map: &'static SocketStorage<Value>,
    sk: *const Kernel,
    create: bool,
) -> *mut Value {
    let map = core::ptr::from_ref(map).cast_mut().cast::<c_void>();
    // SAFETY: as promised to this function; the helper tests for full sockets itself.
    unsafe { bpf_sk_storage_get(map, sk.cast_mut().cast(), core::ptr::null_mut(), u64::from(create)).cast() }
}

/// The id of the cgroup that made the socket; never the current task's, which in an interrupt is
/// anybody's.
///
/// # Safety
/// `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn cgroup_id(sk: *const Kernel) -> u64 {
    // SAFETY: as promised to this function; each hop stays typed, and is null-safe.
    unsafe {
        let cgroup: *const Kernel = SOCK_CGROUP.read(sk);
        if cgroup.is_null() {
            return 0;
        }
        KERNFS_NODE_ID.read(CGROUP_KN.read(cgroup))
    }
}

/// Writes the socket's ends, state and namespace down. `sk` may be a request or a time-wait socket:
/// only what all of them share (`sock_common`) is read.
///
/// # Safety
/// `into` is valid for writes; `sk` is typed as a structure that begins with `sock_common`.
#[allow(clippy::cast_ptr_alignment, reason = "the addresses lie at multiples of 8 in `Socket`")]
#[inline(always)]
pub(crate) unsafe fn fill_ends(into: *mut Socket, sk: *const Kernel) {
    // SAFETY: as promised to this function.
    unsafe {
        let family = SOCK_FAMILY.read(sk);
        (*into).family = family;
        (*into).state = SOCK_STATE.read(sk);
        (*into).local_port = SOCK_LOCAL_PORT.read(sk);
        (*into).remote_port_be = SOCK_REMOTE_PORT.read(sk);
        (*into).netns = NET_INUM.read(SOCK_NET.read(sk));
        (*into).interface = SOCK_INTERFACE.read(sk);
        let local = (&raw mut (*into).local_address).cast::<[u64; 2]>();
        let remote = (&raw mut (*into).remote_address).cast::<[u64; 2]>();
        if family == INET6 && SOCK_LOCAL_V6.is_present() && SOCK_REMOTE_V6.is_present() {
            *local = SOCK_LOCAL_V6.read(sk);
            *remote = SOCK_REMOTE_V6.read(sk);
        } else {
            *local = [u64::from(SOCK_LOCAL_V4.read(sk)), 0];
            *remote = [u64::from(SOCK_REMOTE_V4.read(sk)), 0];
        }
    }
}

/// Writes everything of a full socket down.
///
/// # Safety
/// `into` is valid for writes; `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn fill_socket(into: *mut Socket, sk: *const Kernel, role: u32) {
    // SAFETY: as promised to this function.
    unsafe {
        fill_ends(into, sk);
        // `skc_num` is taken away before the state CLOSE is told; `inet_sport` stays.
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if !tcp.is_null() {
            (*into).local_port = u16::from_be(TCP_LOCAL_PORT_BE.read(tcp));
        }
        (*into).cookie = bpf_get_socket_cookie(sk.cast_mut().cast());
        (*into).role = role as u8;
    }
}

/// Writes a full socket and the process of its storage down, if it has one.
///
/// # Safety
/// `into` and `task` are valid for writes; `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn fill_owned(into: *mut Socket, task: *mut Task, sk: *const Kernel) {
    // SAFETY: as promised to this function; the storage is this socket's, and tested.
    unsafe {
        let kept = track(sk, false);
        if kept.is_null() {
            fill_socket(into, sk, 0);
            *task = NO_TASK;
        } else {
            fill_socket(into, sk, (*kept).role);
            *task = (*kept).task;
        }
    }
}

/// Writes a full socket down with what its storage says it is.
///
/// # Safety
/// `into` is valid for writes; `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn fill_tracked(into: *mut Socket, sk: *const Kernel) {
    // SAFETY: as promised to this function; the storage is this socket's, and tested.
    unsafe {
        let kept = track(sk, false);
        fill_socket(into, sk, if kept.is_null() { 0 } else { (*kept).role });
    }
}

/// No process is known.
pub(crate) const NO_TASK: Task = Task { start_ns: 0, tgid: 0, uid: 0, comm: [0; 16] };

/// No socket.
pub(crate) const NO_SOCKET: Socket = Socket {
    cookie: 0,
    local_address: [0; 16],
    remote_address: [0; 16],
    local_port: 0,
    remote_port_be: 0,
    family: 0,
    state: 0,
    role: 0,
    netns: 0,
    interface: 0,
};

/// Nothing is counted.
pub(crate) const NO_COUNTERS: Counters = Counters {
    bytes_sent: 0,
    bytes_retrans: 0,
    bytes_received: 0,
    segs_out: 0,
    segs_in: 0,
    total_retrans: 0,
    srtt_us: 0,
    mdev_us: 0,
    min_rtt_us: u32::MAX,
    fin_received: 0,
    delivered: 0,
    delivered_ce: 0,
    dsack_dups: 0,
    reord_seen: 0,
    busy: [0; 3],
};

/// Writes the socket's counters down; zeros where it is no TCP socket.
///
/// # Safety
/// `into` is valid for writes; `sk` is typed as a `sock` and a full socket.
#[inline(always)]
pub(crate) unsafe fn fill_counters(into: *mut Counters, sk: *const Kernel) {
    // SAFETY: as promised to this function; the helper's result is typed and tested.
    unsafe {
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() {
            *into = NO_COUNTERS;
            return;
        }
        (*into).bytes_sent = TCP_BYTES_SENT.read(tcp);
        (*into).bytes_retrans = TCP_BYTES_RETRANS.read(tcp);
        (*into).bytes_received = TCP_BYTES_RECEIVED.read(tcp);
        (*into).segs_out = TCP_SEGS_OUT.read(tcp);
        (*into).segs_in = TCP_SEGS_IN.read(tcp);
        (*into).total_retrans = TCP_TOTAL_RETRANS.read(tcp);
        (*into).srtt_us = TCP_SRTT_US.read(tcp);
        (*into).mdev_us = TCP_MDEV_US.read(tcp);
        (*into).min_rtt_us = TCP_MIN_RTT.read(tcp);
        (*into).fin_received = u32::from(SOCK_FLAGS.read(sk) & SOCK_DONE != 0);
        (*into).delivered = TCP_DELIVERED.read(tcp);
        (*into).delivered_ce = TCP_DELIVERED_CE.read(tcp);
        (*into).dsack_dups = TCP_DSACK_DUPS.read(tcp);
        (*into).reord_seen = TCP_REORD_SEEN.read(tcp);
        (*into).busy = busy(tcp);
    }
}

/// Jiffies busy, limited by the other side's window and by our send buffer, as
/// `tcp_get_info_chrono_stats` (net/ipv4/tcp.c) has them: each includes what came before it in that
/// order, and the span that is still open.
///
/// # Safety
/// `tcp` is typed as a `tcp_sock`.
#[inline(always)]
unsafe fn busy(tcp: *const Kernel) -> [u32; 3] {
    // SAFETY: as promised to this function; the helper reads a counter.
    unsafe {
        let mut spans = TCP_CHRONO_STAT.read(tcp);
        let open = (bpf_jiffies64() as u32).wrapping_sub(TCP_CHRONO_START.read(tcp));
        match TCP_CHRONO_TYPE.read(tcp) & 3 {
            1 => spans[0] += open,
            2 => spans[1] += open,
            3 => spans[2] += open,
            _ => {}
        }
        [spans[0] + spans[1] + spans[2], spans[1], spans[2]]
    }
}
