//! A peer that no kernel is: it answers segments with whatever a test wants.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio_tun::Tun;

use crate::delay::device;
use crate::netns::Netns;

/// The device's name.
const DEVICE: &str = "raw0";
/// Lengths of an IPv4 and of a TCP header without options.
const IP_LENGTH: usize = 20;
const TCP_LENGTH: usize = 20;
/// `IPPROTO_TCP`.
const TCP: u8 = 6;

/// TCP flags, as in the header's 13th byte.
pub mod flags {
    /// The beginning.
    pub const SYN: u8 = 2;
    /// The end by force.
    pub const RST: u8 = 4;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

/// The other end of a tunnel device. The kernel removes the device when it is dropped.
pub struct RawPeer {
    device: Arc<Tun>,
}

/// What of a segment matters here.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    source: (Ipv4Addr, u16),
    destination: (Ipv4Addr, u16),
    /// The sequence number.
    pub sequence: u32,
    /// See [`flags`].
    pub flags: u8,
}

impl RawPeer {
    /// Stands for all of `network` (an address with a prefix, which becomes the namespace's own).
    pub fn start(netns: &Netns, network: &str) -> Result<Self> {
        let device = Arc::new(device(netns, DEVICE)?);
        netns.output("ip", ["address", "add", network, "dev", DEVICE])?;
        Ok(Self { device })
    }

    /// The next segment with these flags.
    pub async fn receive(&self, flags: u8) -> Result<Segment> {
        let mut buffer = [0; 1500];
        loop {
            let length = self.device.recv(&mut buffer).await.context("cannot read the tunnel device")?;
            if let Some(segment) = parse(&buffer[..length]).filter(|segment| segment.flags == flags) {
                return Ok(segment);
            }
        }
    }

    /// Sends a segment without data back to where that one came from.
    pub async fn answer(&self, to: Segment, sequence: u32, flags: u8) -> Result<()> {
        let answer = Segment { source: to.destination, destination: to.source, sequence, flags };
        let packet = build(answer, to.sequence.wrapping_add(1));
        let sent = self.device.send(&packet).await.context("cannot write to the tunnel device")?;
        ensure!(sent == packet.len(), "{sent} of {} bytes", packet.len());
        Ok(())
    }
}

fn parse(packet: &[u8]) -> Option<Segment> {
    let header = usize::from(packet.first()? & 15) * 4;
    if packet[0] >> 4 != 4 || packet.len() < header + TCP_LENGTH || packet[9] != TCP {
        return None;
    }
    let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let tcp = &packet[header..];
    let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    Some(Segment {
        source: (address(12), port(0)),
        destination: (address(16), port(2)),
        sequence: u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]),
        flags: tcp[13] & 63,
    })
}

fn build(segment: Segment, acknowledged: u32) -> Vec<u8> {
    let Segment { source, destination, sequence, flags } = segment;
    let acknowledged = if flags & flags::ACK == 0 { 0 } else { acknowledged };
    let mut tcp = Vec::with_capacity(TCP_LENGTH);
    tcp.extend(source.1.to_be_bytes());
    tcp.extend(destination.1.to_be_bytes());
    tcp.extend(sequence.to_be_bytes());
    tcp.extend(acknowledged.to_be_bytes());
    tcp.extend([(TCP_LENGTH as u8 / 4) << 4, flags]);
    // The window, the checksum, the urgent pointer.
    tcp.extend([0xff, 0xff, 0, 0, 0, 0]);
    let mut pseudo = [source.0.octets(), destination.0.octets()].concat();
    pseudo.extend([0, TCP, 0, TCP_LENGTH as u8]);
    let sum = checksum(&[pseudo, tcp.clone()].concat());
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());

    let mut packet = vec![0x45, 0, 0, (IP_LENGTH + TCP_LENGTH) as u8, 0, 0, 0x40, 0, 64, TCP, 0, 0];
    packet.extend(source.0.octets());
    packet.extend(destination.0.octets());
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(tcp);
    packet
}

/// The internet checksum (RFC 1071) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
