//! Addresses that mean the same on all nodes.

use std::net::{IpAddr, SocketAddr};

/// An address that may be another node's end: not one that each node, each network namespace or each link has its own of.
pub(super) fn crossing(address: &str) -> Option<IpAddr> {
    // With an interface behind it, it is none that is valid elsewhere, and does not parse.
    let ip = address.parse::<IpAddr>().ok()?.to_canonical();
    let stays = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    (!stays && !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast()).then_some(ip)
}

/// The same with its port.
pub(super) fn crossing_end(address: &str, port: u32) -> Option<SocketAddr> {
    let port = u16::try_from(port).ok().filter(|port| *port > 0)?;
    Some(SocketAddr::new(crossing(address)?, port))
}
