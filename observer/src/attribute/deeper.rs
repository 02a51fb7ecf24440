//! What debugging sessions see, with its owners.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Arc;

use super::{Attributor, Moment, Output};
use crate::decode::{Answered, Body, Dropped, Signalled};
use crate::event::{BootTime, Detail, OpenFailure, PacketDrop, Sender, Signal, TcpResponse, WorkloadId};

/// `SIGCHLD`, which the kernel sends for the child that ended.
const SIGCHLD: u8 = 17;
/// `SI_TIMER` (include/uapi/asm-generic/siginfo.h): a timer ran out, whoever runs at that moment.
const SI_TIMER: i32 = -2;
/// `ETH_P_ARP`.
const ARP: u16 = 0x0806;
/// `IPPROTO_TCP`, `IPPROTO_UDP`, `IPPROTO_ICMP` and `IPPROTO_ICMPV6`.
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

impl Attributor {
    /// The kernel's names for its reasons to drop a packet.
    pub(crate) fn name_drops(&mut self, reasons: &HashMap<u32, String>) {
        self.drop_reasons = reasons.iter().map(|(&n, name)| (n, Arc::from(name.as_str()))).collect();
    }

    /// The cgroups that belong to one of these workloads, each with its own: all are gone through, once.
    pub(crate) fn cgroups_of<'a>(
        &'a self,
        ids: &'a BTreeSet<WorkloadId>,
    ) -> impl Iterator<Item = (u64, WorkloadId)> + 'a {
        self.identities.cgroups_of(ids)
    }

    /// A workload's cgroup below the hierarchy's root.
    pub(crate) fn path_of(&self, id: WorkloadId) -> Option<&str> {
        let known = self.identities.get(id);
        (known.workload.id == id).then_some(known.cgroup_path.as_str())
    }

    /// The machine's own network namespace.
    pub(crate) const fn host_netns(&self) -> u32 {
        self.settings.host_namespaces.net
    }

    /// A record that a debugging session asked for.
    pub(super) fn deeper(&mut self, body: Body, at: Moment, out: &mut Output) {
        match body {
            Body::Answered(answered) => self.response(&answered, at, out),
            Body::Dropped(dropped) => {
                let drop = self.packet_drop(&dropped);
                self.emit(None, at, Detail::PacketDrop(drop), out);
            }
            Body::Signalled(signalled) => self.any_signal(&signalled, at, out),
            Body::OpenFailed { task, path, path_truncated, errno } => {
                let path = OsString::from_vec(path);
                let failure = OpenFailure { path, path_truncated, errno };
                self.emit_task(Some(&task), at, Detail::OpenFailure(failure), out);
            }
            Body::Exec(_)
            | Body::Exit { .. }
            | Body::Oom { .. }
            | Body::Signal { .. }
            | Body::Answer(_)
            | Body::Listening { .. }
            | Body::CgroupMade { .. }
            | Body::CgroupRemoved
            | Body::Established { .. }
            | Body::Ended { .. }
            | Body::Retransmit { .. }
            | Body::Reset { .. } => {}
        }
    }

    /// What who asked for a connection sends after he got something is no answer.
    fn response(&mut self, answered: &Answered, at: Moment, out: &mut Output) {
        let Answered { socket, task, ready, read, reads, read_bytes, queued, at_end } = answered;
        let tcp = self.tcp(socket, at);
        if tcp.outgoing {
            return;
        }
        let since = |moment: BootTime| at.time.since_ns(moment);
        let detail = Detail::TcpResponse(TcpResponse {
            tcp,
            latency_ns: since(*ready),
            wait_ns: read.map(|[first, _]| first.since_ns(*ready)),
            work_ns: read.map(|[_, last]| since(last)),
            read_bytes: u64::from(*read_bytes),
            reads: *reads,
            queued: *queued,
            at_end: *at_end,
        });
        self.emit_task(Some(task), at, detail, out);
    }

    fn packet_drop(&self, dropped: &Dropped) -> PacketDrop {
        let Dropped {
            reason,
            ethertype,
            protocol,
            ends,
            ports,
            tcp_flags,
            length,
            netns,
            incoming,
            has_socket,
        } = dropped;
        let name = match (ends, *protocol, *ethertype) {
            (Some(_), TCP, _) => "tcp".to_owned(),
            (Some(_), UDP, _) => "udp".to_owned(),
            (Some(_), ICMP, _) => "icmp".to_owned(),
            (Some(_), ICMPV6, _) => "icmpv6".to_owned(),
            (Some(_), other, _) => format!("ip-{other}"),
            (None, _, ARP) => "arp".to_owned(),
            (None, _, 0) => String::new(),
            (None, _, other) => format!("{other:#06x}"),
        };
        PacketDrop {
            reason: self.drop_reason(*reason),
            protocol: name,
            ends: *ends,
            ports: (ends.is_some() && matches!(*protocol, TCP | UDP)).then_some(*ports),
            tcp_flags: (ends.is_some() && *protocol == TCP).then_some(*tcp_flags),
            length: *length,
            incoming: *incoming,
            netns: *netns,
            has_socket: *has_socket,
        }
    }

    /// The name of a reason; of a subsystem that does not tell its own, its name with the number.
    fn drop_reason(&self, number: u32) -> Arc<str> {
        if let Some(name) = self.drop_reasons.get(&number) {
            return Arc::clone(name);
        }
        match self.drop_reasons.get(&(number & 0xffff_0000)) {
            Some(subsystem) if number >> 16 != 0 => format!("{subsystem}_{}", number & 0xffff).into(),
            Some(_) | None => format!("REASON_{number}").into(),
        }
    }

    fn any_signal(&mut self, signalled: &Signalled, at: Moment, out: &mut Output) {
        let Signalled { receiver, sender, sender_cgroup, signal, effect, code, to_thread } = signalled;
        let by_kernel = code.is_none_or(|code| code > 0 || code == SI_TIMER);
        // In an interrupt, what runs has nothing to do with it; a child that ended has.
        let is_known = !by_kernel || *signal == SIGCHLD;
        let receiving = self.identities.owner_of(at.cgroup_id);
        let sender = is_known.then(|| Sender {
            process: self.processes.of(sender),
            workload: Some(Arc::clone(
                &self.identities.get(self.identities.owner_of(*sender_cgroup)).workload,
            )),
            origin: self.identities.origin(receiving, *sender_cgroup),
        });
        let detail = Detail::Signal(Signal {
            number: *signal,
            effect: *effect,
            to_thread: *to_thread,
            by_kernel,
            code: *code,
            sender,
        });
        // A thread's own name is none of the process.
        let known = self.processes.known(receiver.key).map(Arc::clone);
        let process = known.unwrap_or_else(|| self.processes.of(receiver));
        self.emit(Some(process), at, detail, out);
    }
}
