//! The bridge of a testbed, on a subnet that nothing else on the machine uses.

use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::guardian::{Guardian, lock};

/// Addresses of one subnet: enough for a thousand pods, one after the other or at once.
const PREFIX_LEN: u32 = 22;

/// A bridge that the host has an address on, so that it reaches the pods and they reach it.
#[derive(Debug)]
pub struct Network {
    bridge: String,
    base: Ipv4Addr,
}

impl Network {
    /// Makes the bridge, on the first subnet below 10.192.0.0/10 that no route covers.
    pub(super) fn create(guardian: &Guardian) -> Result<Self> {
        let _lock = lock()?;
        let used = routes()?;
        let base = (0..1 << (PREFIX_LEN - 10))
            .map(|number: u32| u32::from(Ipv4Addr::new(10, 192, 0, 0)) + (number << (32 - PREFIX_LEN)))
            .find(|base| !used.iter().any(|route| overlap(*route, (*base, PREFIX_LEN))))
            .context("every subnet below 10.192.0.0/10 is used")?;
        let network = Self { bridge: format!("obt{}", guardian.id()), base: base.into() };
        let name = network.bridge.as_str();
        guardian.own_link(name)?;
        // Without an address of its own a bridge takes its ports', and peers would have to learn it anew.
        let mac = format!("02:0b:{}", pairs(guardian.id()));
        ip(&["link", "add", "name", name, "address", &mac, "type", "bridge"])?;
        ip(&["address", "add", &format!("{}/{PREFIX_LEN}", network.host()), "dev", name])?;
        ip(&["address", "add", &format!("{}/64", network.host_v6()), "dev", name, "nodad"])?;
        ip(&["link", "set", name, "up"])?;
        Ok(network)
    }

    /// The bridge's name.
    pub fn bridge(&self) -> &str {
        &self.bridge
    }

    /// The host's address on the bridge.
    pub fn host(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// The host's IPv6 address on the bridge.
    pub fn host_v6(&self) -> String {
        format!("{}1", self.base_v6())
    }

    /// An address of the subnet that nobody has: to it nothing but address resolution goes out.
    pub fn nobody(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + (1 << (32 - PREFIX_LEN)) - 2)
    }

    /// The pods' subnet.
    pub fn subnet(&self) -> String {
        format!("{}/{PREFIX_LEN}", self.base)
    }

    /// The pods' IPv6 subnet.
    pub fn subnet_v6(&self) -> String {
        format!("{}/64", self.base_v6())
    }

    fn base_v6(&self) -> String {
        let [_, second, third, _] = self.base.octets();
        format!("fd0b:5e7e:{second:x}:{third:x}::")
    }
}

/// The IPv4 destinations that the machine knows, as base and prefix length.
fn routes() -> Result<Vec<(u32, u32)>> {
    let text = ip(&["-4", "-oneline", "route", "show", "table", "all"])?;
    Ok(text.split_whitespace().filter_map(destination).collect())
}

fn destination(word: &str) -> Option<(u32, u32)> {
    let (address, length) = word.split_once('/').unwrap_or((word, "32"));
    Some((address.parse::<Ipv4Addr>().ok()?.into(), length.parse().ok()?))
}

fn overlap(a: (u32, u32), b: (u32, u32)) -> bool {
    let length = a.1.min(b.1);
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    length > 0 && a.0 & mask == b.0 & mask
}

/// Hexadecimal digits as the bytes of a hardware address.
fn pairs(digits: &str) -> String {
    let bytes: Vec<&str> = (0..digits.len() / 2).map(|byte| &digits[byte * 2..byte * 2 + 2]).collect();
    bytes.join(":")
}

/// Runs `ip` and returns what it prints.
pub(crate) fn ip(args: &[&str]) -> Result<String> {
    let output =
        Command::new("ip").args(args).output().context("cannot run ip: it is in Debian's iproute2")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
