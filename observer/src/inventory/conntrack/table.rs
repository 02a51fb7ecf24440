//! The table of tracked connections of one network namespace: one entry by the end of a connection that asked.

use std::io;
use std::net::{IpAddr, SocketAddr};

use netlink_packet_core::{NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
};
use netlink_sys::{Socket, protocols::NETLINK_NETFILTER};

/// An answer is some hundred bytes long.
pub(super) const ANSWER_BYTES: usize = 8192;

/// A connection to the table.
pub(super) struct Table {
    socket: Socket,
}

impl Table {
    /// Opens the table of the network namespace that the calling thread is in.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_NETFILTER)?;
        // The kernel answers before the question is sent off, so nothing is ever waited for.
        socket.set_non_blocking(true)?;
        Ok(Self { socket })
    }

    /// Where the packets go that a TCP connection sends; `None` where it is not tracked.
    pub(super) fn destination(
        &self,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> io::Result<Option<SocketAddr>> {
        self.socket.send(&question(local, remote), 0)?;
        let mut bytes = Vec::with_capacity(ANSWER_BYTES);
        self.socket.recv(&mut bytes, 0)?;
        let message = NetlinkMessage::<NetfilterMessage>::deserialize(&bytes).map_err(io::Error::other)?;
        if let NetlinkPayload::Error(error) = message.payload {
            let error = error.to_io();
            return if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) };
        }
        if let NetlinkPayload::InnerMessage(message) = message.payload
            && let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = message.inner
        {
            return Ok(answering_end(&attributes));
        }
        Err(io::ErrorKind::InvalidData.into())
    }
}

/// Asks for the entry of the connection between these ends.
fn question(local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = if remote.is_ipv4() { NetfilterProtoFamily::IPv4 } else { NetfilterProtoFamily::IPv6 };
    let ends = ConntrackAttribute::CtaTupleOrig(vec![
        Tuple::Ip(vec![IPTuple::SourceAddress(local.ip()), IPTuple::DestinationAddress(remote.ip())]),
        Tuple::Proto(vec![
            ProtoTuple::Protocol(Protocol::Tcp),
            ProtoTuple::SourcePort(local.port()),
            ProtoTuple::DestinationPort(remote.port()),
        ]),
    ]);
    let message =
        NetfilterMessage::new(NetfilterHeader::new(family, 0, 0), ConntrackMessage::Get(vec![ends]));
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST;
    let mut message = NetlinkMessage::new(header, NetlinkPayload::from(message));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// Where the answers come from.
fn answering_end(attributes: &[ConntrackAttribute]) -> Option<SocketAddr> {
    let reply = attributes.iter().find_map(|attribute| {
        if let ConntrackAttribute::CtaTupleReply(tuples) = attribute { Some(tuples) } else { None }
    })?;
    end(reply, Side::Source)
}

/// One of the two ends of a direction.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Source,
    Destination,
}

/// An end of one direction of a connection.
pub(super) fn end(tuples: &[Tuple], side: Side) -> Option<SocketAddr> {
    let (mut address, mut port): (Option<IpAddr>, Option<u16>) = (None, None);
    for tuple in tuples {
        if let Tuple::Ip(ends) = tuple {
            address = ends.iter().find_map(|end| match (end, side) {
                (IPTuple::SourceAddress(address), Side::Source)
                | (IPTuple::DestinationAddress(address), Side::Destination) => Some(*address),
                _ => None,
            });
        } else if let Tuple::Proto(ends) = tuple {
            port = ends.iter().find_map(|end| match (end, side) {
                (ProtoTuple::SourcePort(port), Side::Source)
                | (ProtoTuple::DestinationPort(port), Side::Destination) => Some(*port),
                _ => None,
            });
        }
    }
    Some(SocketAddr::new(address?, port?))
}
