//! Answers of name servers, on their way to a socket: the one program that sees packets, attached only if asked for.

use core::ptr::read_unaligned;

use aya_ebpf::bindings::{__sk_buff, BPF_RB_AVAIL_DATA, BPF_RB_RING_SIZE};
use aya_ebpf::helpers::generated::{
    bpf_ringbuf_output, bpf_ringbuf_query, bpf_skb_cgroup_id, bpf_skb_load_bytes,
};
use aya_ebpf::macros::{cgroup_skb, map};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::programs::SkBuffContext;
use observer_ebpf::budget::class;
use observer_ebpf::dns::{ANSWER_MAX, ANSWER_MIN, Answer};
use observer_ebpf::event::Kind;

use crate::budget::take;
use crate::emit::{count_lost, header, now_ns, wake};
use crate::fold;
use crate::maps::NETWORK;

/// `ETH_P_IP` and `ETH_P_IPV6`, as `skb->protocol` has them.
const IPV4: u32 = 0x0800_u16.to_be() as u32;
const IPV6: u32 = 0x86dd_u16.to_be() as u32;
/// `IPPROTO_UDP`.
const UDP: u8 = 17;
/// The port of name servers, as it stands in the packet.
const DOMAIN: u16 = 53_u16.to_be();
/// The length of the header of UDP.
const UDP_HEADER: usize = 8;
/// The lengths of the headers of IPv4, without options, and of IPv6.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// What lets the packet pass.
const PASS: i32 = 1;

/// A record with room for the answer.
#[repr(C)]
struct Scratch {
    answer: Answer,
    bytes: [u8; ANSWER_MAX],
}

/// Too large for the stack. Packets come to their sockets in soft interrupts, of which one at a time runs on a CPU.
#[map]
static DNS_SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);

/// Runs for each packet that comes to a socket of the cgroup it is attached to, or of one below, with the socket known
/// and the packet whole: fragments have been put together. 4.10 to 7.2.
#[cgroup_skb(ingress)]
pub(crate) fn dns_answers(ctx: SkBuffContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the context is the kernel's, and the verifier checks each access to it and to the packet.
    unsafe {
        let message = message(skb);
        if message != 0 {
            keep(skb, message);
        }
    }
    PASS
}

/// Where the message begins, if this is a datagram from a name server; else 0. What any other packet costs is spent
/// here. IPv6 with extension headers is passed over: to follow them would cost every packet that has some.
///
/// # Safety
/// `skb` is the program's context.
#[inline(always)]
unsafe fn message(skb: *mut __sk_buff) -> usize {
    // SAFETY: the packet is read up to its end, as tested; both headers are in its linear part, as UDP pulls them there.
    unsafe {
        let packet = (*skb).data as usize as *const u8;
        let end = (*skb).data_end as usize;
        if packet as usize + IPV4_HEADER + UDP_HEADER > end {
            return 0;
        }
        let udp_at = match (*skb).protocol {
            IPV4 if *packet.add(9) == UDP => usize::from(*packet & 0xf) * 4,
            IPV6 if *packet.add(6) == UDP => IPV6_HEADER,
            _ => return 0,
        };
        let udp = packet.add(udp_at);
        if udp as usize + UDP_HEADER > end || read_unaligned(udp.cast::<u16>()) != DOMAIN {
            return 0;
        }
        udp_at + UDP_HEADER
    }
}

/// Hands the message over, or the first part of a long one. It leaves half of the ring to connections, which nobody
/// shall be able to push out with datagrams.
///
/// # Safety
/// `skb` is the program's context.
#[inline(always)]
unsafe fn keep(skb: *mut __sk_buff, message: usize) {
    // SAFETY: the scratch is this CPU's own, and as long as is read into it; helpers check the rest.
    unsafe {
        let cgroup = bpf_skb_cgroup_id(skb);
        if !take(cgroup, class::NAMES, 1, now_ns()) {
            fold::count(cgroup, Kind::DnsAnswer, 0);
            return;
        }
        let whole = u64::from((*skb).len).wrapping_sub(message as u64);
        let ring = (&raw const NETWORK).cast_mut().cast();
        let filled = bpf_ringbuf_query(ring, u64::from(BPF_RB_AVAIL_DATA));
        if filled > bpf_ringbuf_query(ring, u64::from(BPF_RB_RING_SIZE)) / 2 {
            count_lost(Kind::DnsAnswer);
            return;
        }
        let Some(scratch) = DNS_SCRATCH.get_ptr_mut(0) else { return };
        let len = if whole > ANSWER_MAX as u64 { ANSWER_MAX as u64 } else { whole };
        if len < ANSWER_MIN as u64 {
            return;
        }
        let bytes = (&raw mut (*scratch).bytes).cast();
        if bpf_skb_load_bytes(skb.cast_const().cast(), message as u32, bytes, len as u32) < 0 {
            return;
        }
        let record = &raw mut (*scratch).answer;
        (*record).header = header(Kind::DnsAnswer, cgroup);
        (*record).len = len as u32;
        (*record).whole = whole as u32;
        let size = size_of::<Answer>() as u64 + len;
        if bpf_ringbuf_output(ring, record.cast(), size, wake()) < 0 {
            count_lost(Kind::DnsAnswer);
        }
    }
}
