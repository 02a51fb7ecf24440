//! Attempts to connect that were refused: the kernel drops their entries at once, and tells whoever listens to that.
//!
//! To listen costs the kernel a message for each connection that it drops, so it is done only while attempts are
//! refused: the first one of a while finds nothing, and the following ones do. The kernel itself leaves out
//! what was answered by more than a reset, which is nearly everything.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::conntrack::{ConntrackAttribute, ConntrackMessage};
use netlink_packet_netfilter::{NetfilterMessage, NetfilterMessageInner};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};
use socket2::{SockFilter, SockRef};

use super::table::{ANSWER_BYTES, Side, end};
use crate::event::BootTime;

/// `NFNLGRP_CONNTRACK_DESTROY`.
const DROPPED: u32 = 3;
/// So long nobody has to ask until it is listened no more: a minute.
const KEPT_NS: u64 = 60 * 1_000_000_000;
/// Refused attempts that are remembered.
const MOST_ENDS: usize = 4096;

/// What was refused of late, in the network namespace that this was made in.
#[derive(Default)]
pub(super) struct Refused {
    socket: Option<Socket>,
    /// By both ends as they were asked for: who refused.
    ends: HashMap<(SocketAddr, SocketAddr), SocketAddr>,
    asked: BootTime,
}

impl Refused {
    /// Who refused that attempt, if it is known.
    pub(super) fn destination(
        &mut self,
        local: SocketAddr,
        remote: SocketAddr,
        now: BootTime,
    ) -> io::Result<Option<SocketAddr>> {
        self.asked = now;
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => listen()?,
        };
        self.read(&socket)?;
        self.socket = Some(socket);
        Ok(self.ends.remove(&(local, remote)))
    }

    /// Listens no more if nothing was refused for a while.
    pub(super) fn rest(&mut self, now: BootTime) {
        if self.socket.is_some() && now.since_ns(self.asked) >= KEPT_NS {
            (self.socket, self.ends) = (None, HashMap::new());
        }
    }

    /// Takes in what was told meanwhile.
    fn read(&mut self, socket: &Socket) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(ANSWER_BYTES);
        loop {
            bytes.clear();
            match socket.recv(&mut bytes, 0) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Some found no room, and others have.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => continue,
                Err(error) => return Err(error),
            }
            let Ok(message) = NetlinkMessage::<NetfilterMessage>::deserialize(&bytes) else { continue };
            if let NetlinkPayload::InnerMessage(message) = message.payload
                && let NetfilterMessageInner::Conntrack(ConntrackMessage::Delete(attributes)) = message.inner
                && let Some((asked, refused)) = ends(&attributes)
            {
                if self.ends.len() >= MOST_ENDS {
                    self.ends.clear();
                }
                self.ends.insert(asked, refused);
            }
        }
    }
}

/// Both ends as they were asked for, and who answered.
fn ends(attributes: &[ConntrackAttribute]) -> Option<((SocketAddr, SocketAddr), SocketAddr)> {
    let (mut asked, mut refused) = (None, None);
    for attribute in attributes {
        if let ConntrackAttribute::CtaTupleOrig(tuples) = attribute {
            asked = end(tuples, Side::Source).zip(end(tuples, Side::Destination));
        } else if let ConntrackAttribute::CtaTupleReply(tuples) = attribute {
            refused = end(tuples, Side::Source);
        }
    }
    asked.zip(refused)
}

/// Has the kernel tell what it drops that was never answered, but by a reset.
fn listen() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.set_non_blocking(true)?;
    SockRef::from(&socket).attach_filter(&unanswered())?;
    socket.bind_auto()?;
    socket.add_membership(DROPPED)?;
    Ok(socket)
}

/// A program of the classic BPF: it lets pass the messages whose attribute `CTA_STATUS` is without `IPS_SEEN_REPLY`.
fn unanswered() -> [SockFilter; 9] {
    /// Headers before the first attribute: `nlmsghdr` and `nfgenmsg`.
    const HEADERS: u32 = 16 + 4;
    const CTA_STATUS: u32 = 3;
    const IPS_SEEN_REPLY: u32 = 1 << 1;
    /// Finds an attribute: `SKF_AD_OFF + SKF_AD_NLATTR`.
    const FIND: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR) as u32;
    /// The length of an attribute's own header.
    const HEADER: u32 = 4;
    let statement = |code: u32, operand| SockFilter::new(code as u16, 0, 0, operand);
    let jump = |code: u32, operand, then, or_else| SockFilter::new(code as u16, then, or_else, operand);
    [
        statement(libc::BPF_LD | libc::BPF_IMM, HEADERS),
        statement(libc::BPF_LDX | libc::BPF_IMM, CTA_STATUS),
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, FIND),
        jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 3, 0),
        statement(libc::BPF_MISC | libc::BPF_TAX, 0),
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_IND, HEADER),
        jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, IPS_SEEN_REPLY, 0, 1),
        statement(libc::BPF_RET | libc::BPF_K, 0),
        statement(libc::BPF_RET | libc::BPF_K, u32::MAX),
    ]
}
