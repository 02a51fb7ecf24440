//! Packets that the kernel drops, with its reason.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::macros::btf_tracepoint;
use aya_ebpf::programs::BtfTracePointContext;
use observer_ebpf::debug::{PacketDrop, found, watch};
use observer_ebpf::event::{Header, Kind};
use observer_ebpf::fields::Kernel;

use crate::emit::emit;
use crate::kernel::{
    DROP_HAS_SOCKET, NET_INUM, NETDEV_NET, SKB_DEV, SKB_HEAD, SKB_INCOMING, SKB_LEN, SKB_NETWORK_HEADER,
    SKB_PROTOCOL, SKB_SK, SOCK_FAMILY, SOCK_NET, SOCK_STATE,
};
use crate::maps::NETWORK;
use crate::socket::{INET, INET6, cgroup_id, state};
use crate::watched::{Watched, pass, watched, watched_netns};

/// `ETH_P_IP` and `ETH_P_IPV6`, as `skb->protocol` has them.
const IPV4: u16 = 0x0800_u16.to_be();
const IPV6: u16 = 0x86dd_u16.to_be();
/// `IPPROTO_TCP` and `IPPROTO_UDP`.
const TCP: u8 = 6;
const UDP: u8 = 17;
/// The length of the header of IPv6.
const IPV6_HEADER: usize = 40;

/// `void kfree_skb(struct sk_buff *skb, void *location, enum skb_drop_reason reason)`, 5.17 to 7.2, with
/// `, struct sock *rx_sk` from 6.11. `rx_sk` may be null.
#[btf_tracepoint(function = "kfree_skb")]
pub(crate) fn kfree_skb(ctx: BtfTracePointContext) -> i32 {
    let skb: *const Kernel = ctx.arg(0);
    // SAFETY: `skb` and the sockets are typed, and read as full sockets where their state says that they are some.
    unsafe {
        let mut sk: *const Kernel = SKB_SK.read(skb);
        if sk.is_null() && DROP_HAS_SOCKET.is_on() {
            sk = ctx.arg(3);
        }
        let (whose, netns, by) = if sk.is_null() {
            let netns = device_netns(skb);
            (watched_netns(netns, watch::DROPS), netns, found::NETNS)
        } else {
            let netns = NET_INUM.probe(SOCK_NET.probe(sk, core::ptr::null()), 0);
            let state = u32::from(SOCK_STATE.probe(sk, 0));
            let family = SOCK_FAMILY.probe(sk, 0);
            if family != INET && family != INET6 {
                // What processes of the machine tell each other, or the kernel.
                pass();
                return 0;
            }
            if state == state::TIME_WAIT || state == state::NEW_SYN_RECV {
                (watched_netns(netns, watch::DROPS), netns, found::NETNS)
            } else {
                (watched(cgroup_id(sk), watch::DROPS), netns, found::SOCKET)
            }
        };
        if let Some(seen) = whose {
            if seen.may_tell(Kind::PacketDrop) {
                tell(skb, ctx.arg::<u64>(2) as u32, netns, by, &seen);
            }
            seen.done();
        }
    }
    0
}

/// The network namespace of the device that has the packet; 0 where it is on none. In a queue of UDP, what stands there is
/// no device: each step is checked by a helper.
#[inline(always)]
fn device_netns(skb: *const Kernel) -> u32 {
    let device = SKB_DEV.probe(skb, core::ptr::null());
    NET_INUM.probe(NETDEV_NET.probe(device, core::ptr::null()), 0)
}

/// # Safety
/// `skb` is typed as an `sk_buff`.
#[inline(always)]
unsafe fn tell(skb: *const Kernel, reason: u32, netns: u32, by: u32, seen: &Watched) {
    emit::<PacketDrop>(&NETWORK, Kind::PacketDrop, |record| {
        // SAFETY: as promised to this function; the record is ours.
        unsafe {
            (*record).header = Header {
                time_ns: seen.now_ns,
                cgroup_id: seen.cgroup_id,
                kind: Kind::PacketDrop as u32,
                reserved: 0,
            };
            (*record).reason = reason;
            (*record).len = SKB_LEN.read(skb);
            (*record).netns = netns;
            (*record).incoming = SKB_INCOMING.read(skb);
            (*record).found = by;
            (*record).ethertype_be = SKB_PROTOCOL.read(skb);
            (*record).reserved = 0;
            fill_ends(record, skb);
        }
    });
}

/// The addresses and ports that the packet shows, as far as its headers are there.
///
/// # Safety
/// `record` is valid for writes.
#[inline(always)]
unsafe fn fill_ends(record: *mut PacketDrop, skb: *const Kernel) {
    // SAFETY: as promised to this function; a helper checks what is read.
    unsafe {
        (*record).source = [0; 16];
        (*record).destination = [0; 16];
        (*record).ports_be = [0; 2];
        (*record).family = 0;
        (*record).protocol = 0;
        (*record).tcp_flags = 0;
        let head: *const Kernel = SKB_HEAD.probe(skb, core::ptr::null());
        if head.is_null() {
            return;
        }
        let network = head.cast::<u8>().wrapping_add(usize::from(SKB_NETWORK_HEADER.probe(skb, 0)));
        let mut first = 0_u8;
        bpf_probe_read_kernel((&raw mut first).cast(), 1, network.cast());
        let source = (&raw mut (*record).source).cast();
        let destination = (&raw mut (*record).destination).cast();
        let protocol = (&raw mut (*record).protocol).cast();
        let transport = match ((*record).ethertype_be, first >> 4) {
            (IPV4, 4) => {
                (*record).family = INET;
                bpf_probe_read_kernel(protocol, 1, network.wrapping_add(9).cast());
                bpf_probe_read_kernel(source, 4, network.wrapping_add(12).cast());
                bpf_probe_read_kernel(destination, 4, network.wrapping_add(16).cast());
                network.wrapping_add(usize::from(first & 0xf) * 4)
            }
            (IPV6, 6) => {
                (*record).family = INET6;
                bpf_probe_read_kernel(protocol, 1, network.wrapping_add(6).cast());
                bpf_probe_read_kernel(source, 16, network.wrapping_add(8).cast());
                bpf_probe_read_kernel(destination, 16, network.wrapping_add(24).cast());
                network.wrapping_add(IPV6_HEADER)
            }
            _ => return,
        };
        let protocol = (*record).protocol;
        if protocol == TCP || protocol == UDP {
            bpf_probe_read_kernel((&raw mut (*record).ports_be).cast(), 4, transport.cast());
        }
        if protocol == TCP {
            let flags = (&raw mut (*record).tcp_flags).cast();
            bpf_probe_read_kernel(flags, 1, transport.wrapping_add(13).cast());
        }
    }
}
