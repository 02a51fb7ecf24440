//! Folding: what a cgroup does beyond its budget is added up exactly, by edge as far as there is room, and told as a sum.

use aya_ebpf::bindings::BPF_NOEXIST;
use aya_ebpf::helpers::generated::bpf_skc_to_tcp_sock;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap};
use observer_ebpf::budget::{CAUSES, COUNTS_MAX, CountKey, SOCKETS_MAX, Sockets, SocketsKey, failure, phase};
use observer_ebpf::event::Kind;
use observer_ebpf::fields::Kernel;
use observer_ebpf::tcp::{Socket, Track, direction, role};

use crate::budget::{add, take_edge};
use crate::emit::{count_lost, now_ns};
use crate::kernel::{SOCK_ERR, TCP_TOTAL_RETRANS};
use crate::socket::{NO_COUNTERS, NO_SOCKET, fill_counters, fill_socket};

/// What sockets did. The daemon takes an old generation away once no probe adds to it any more.
#[map]
static FOLDED_SOCKETS: HashMap<SocketsKey, Sockets> = HashMap::with_max_entries(SOCKETS_MAX, 0);

/// All else, as counts.
#[map]
static FOLDED: HashMap<CountKey, u64> = HashMap::with_max_entries(COUNTS_MAX, 0);

/// The generation that is current.
#[map]
static GENERATION: Array<u32> = Array::with_max_entries(1, 0);

/// In the read-only data: too large for the stack.
static NO_SOCKETS: Sockets = Sockets {
    opened: 0,
    closed: 0,
    failed: [0; failure::COUNT],
    sent_bytes: 0,
    received_bytes: 0,
    sent_segments: 0,
    received_segments: 0,
    retransmitted_segments: 0,
    spurious_retransmits: 0,
    reorderings: 0,
    resets: [0; 2],
    retransmits: [0; phase::COUNT * CAUSES],
    retransmissions: 0,
};

#[inline(always)]
fn generation() -> u32 {
    // SAFETY: the map's only value, which the daemon writes whole.
    GENERATION.get_ptr(0).map_or(0, |generation| unsafe { generation.read_volatile() })
}

/// Counts something that has no socket; as lost where there is no room at all.
#[inline(always)]
pub(crate) fn count(cgroup_id: u64, kind: Kind, status: u32) {
    let mut key = CountKey { cgroup_id, kind: kind as u32, status, generation: generation(), reserved: 0 };
    if count_with(&key) {
        return;
    }
    key.status = u32::MAX;
    if !count_with(&key) {
        count_lost(kind);
    }
}

#[inline(always)]
fn count_with(key: &CountKey) -> bool {
    if FOLDED.get_ptr_mut(key).is_none() {
        // Another CPU may have been first: what is there counts.
        let _ = FOLDED.insert(key, 0, u64::from(BPF_NOEXIST));
    }
    let Some(found) = FOLDED.get_ptr_mut(key) else { return false };
    // SAFETY: the map's value.
    unsafe { add(found, 1) };
    true
}

/// Where what such sockets do is added up: by their edge, else with other edges of the cgroup.
#[inline(always)]
fn sockets(socket: &Socket, cgroup_id: u64) -> Option<*mut Sockets> {
    let own = u32::from(socket.role);
    let port = if own == role::CLIENT { u16::from_be(socket.remote_port_be) } else { socket.local_port };
    let mut key = SocketsKey {
        cgroup_id,
        local_address: socket.local_address,
        remote_address: socket.remote_address,
        netns: socket.netns,
        interface: socket.interface,
        port,
        family: socket.family,
        role: own,
        many: 0,
        generation: generation(),
    };
    if let Some(found) = FOLDED_SOCKETS.get_ptr_mut(key) {
        return Some(found);
    }
    if take_edge(cgroup_id, now_ns())
        && let Some(made) = make(&key)
    {
        return Some(made);
    }
    key.remote_address = [0; 16];
    key.interface = 0;
    key.port = 0;
    key.many = 1;
    FOLDED_SOCKETS.get_ptr_mut(key).or_else(|| make(&key))
}

#[inline(always)]
fn make(key: &SocketsKey) -> Option<*mut Sockets> {
    let nothing = &NO_SOCKETS;
    let _ = FOLDED_SOCKETS.insert(key, nothing, u64::from(BPF_NOEXIST));
    FOLDED_SOCKETS.get_ptr_mut(key)
}

/// A connection was established that is not told.
///
/// # Safety
/// `sk` is typed and a full socket; `kept` is its storage.
#[inline(always)]
pub(crate) unsafe fn opened(sk: *const Kernel, kept: *const Track, cgroup_id: u64) {
    let mut socket = NO_SOCKET;
    // SAFETY: as promised to this function; what is found is the map's value.
    unsafe {
        let kind = if (*kept).role == role::CLIENT { Kind::Connect } else { Kind::Accept };
        fill_socket(&raw mut socket, sk, (*kept).role);
        let Some(sockets) = sockets(&socket, cgroup_id) else {
            count_lost(kind);
            return;
        };
        add(&raw mut (*sockets).opened, 1);
    }
}

/// A connection ended whose opening was not told, and neither is its end.
///
/// # Safety
/// `sk` is typed and a full socket; `kept` is its storage.
#[inline(always)]
pub(crate) unsafe fn closed(sk: *const Kernel, kept: *const Track, cgroup_id: u64) {
    let mut socket = NO_SOCKET;
    let mut counters = NO_COUNTERS;
    // SAFETY: as promised to this function; what is found is the map's value.
    unsafe {
        fill_socket(&raw mut socket, sk, (*kept).role);
        let Some(sockets) = sockets(&socket, cgroup_id) else {
            count_lost(Kind::Close);
            return;
        };
        fill_counters(&raw mut counters, sk);
        add(&raw mut (*sockets).closed, 1);
        // As decode has them of one that is told.
        add(&raw mut (*sockets).sent_bytes, counters.bytes_sent.wrapping_sub(counters.bytes_retrans));
        let fin = u64::from(counters.fin_received);
        add(&raw mut (*sockets).received_bytes, counters.bytes_received.wrapping_sub(fin));
        add(&raw mut (*sockets).sent_segments, u64::from(counters.segs_out));
        add(&raw mut (*sockets).received_segments, u64::from(counters.segs_in));
        // Those of the handshake are counted as they happen.
        let again = counters.total_retrans.wrapping_sub((*kept).handshake_retrans);
        add(&raw mut (*sockets).retransmitted_segments, u64::from(again));
        add(&raw mut (*sockets).spurious_retransmits, u64::from(counters.dsack_dups));
        add(&raw mut (*sockets).reorderings, u64::from(counters.reord_seen));
    }
}

/// An attempt failed that is not told.
///
/// # Safety
/// `sk` is typed and a full socket; `kept` is its storage.
#[inline(always)]
pub(crate) unsafe fn failed(sk: *const Kernel, kept: *const Track, cgroup_id: u64) {
    let mut socket = NO_SOCKET;
    let mut counters = NO_COUNTERS;
    // SAFETY: as promised to this function; what is found is the map's value.
    unsafe {
        fill_socket(&raw mut socket, sk, (*kept).role);
        let Some(sockets) = sockets(&socket, cgroup_id) else {
            count_lost(Kind::ConnectFailure);
            return;
        };
        fill_counters(&raw mut counters, sk);
        let how = failure::of(SOCK_ERR.read(sk), counters.segs_out > 0) & (failure::COUNT - 1);
        add((&raw mut (*sockets).failed).cast::<u64>().add(how), 1);
        // What was told of them was counted then.
        let again = counters.total_retrans.wrapping_sub((*kept).handshake_retrans);
        add(&raw mut (*sockets).retransmitted_segments, u64::from(again));
    }
}

/// Segments were sent again and that is not told.
#[inline(always)]
pub(crate) fn retransmitted(socket: &Socket, segments: u64, phase: usize, cause: u32, cgroup_id: u64) {
    let Some(sockets) = sockets(socket, cgroup_id) else {
        count_lost(Kind::Retransmit);
        return;
    };
    let index = (phase * CAUSES + cause as usize) & (phase::COUNT * CAUSES - 1);
    // SAFETY: what is found is the map's value.
    unsafe {
        add((&raw mut (*sockets).retransmits).cast::<u64>().add(index), segments);
        add(&raw mut (*sockets).retransmissions, 1);
    }
}

/// A reset was sent or received and that is not told.
#[inline(always)]
pub(crate) fn reset(socket: &Socket, way: u32, cgroup_id: u64) {
    let Some(sockets) = sockets(socket, cgroup_id) else {
        count_lost(Kind::Reset);
        return;
    };
    let index = usize::from(way == direction::RECEIVED);
    // SAFETY: what is found is the map's value.
    unsafe { add((&raw mut (*sockets).resets).cast::<u64>().add(index), 1) };
}

/// Segments that a socket has sent again so far.
///
/// # Safety
/// `sk` is typed and a full socket.
#[inline(always)]
pub(crate) unsafe fn total_retrans(sk: *const Kernel) -> u32 {
    // SAFETY: as promised to this function; the helper's result is typed and tested.
    unsafe {
        let tcp: *const Kernel = bpf_skc_to_tcp_sock(sk.cast_mut().cast()).cast_const().cast();
        if tcp.is_null() { 0 } else { TCP_TOTAL_RETRANS.read(tcp) }
    }
}
