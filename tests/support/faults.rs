//! Packet loss as on the wire: nftables in a namespace drops what arrives, before TCP sees it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::guardian::random;
use crate::netns::Netns;

/// Which arriving packets a loss applies to.
#[derive(Clone, Debug, Default)]
pub struct Packets {
    conditions: Vec<String>,
}

impl Packets {
    /// All of TCP.
    pub fn tcp() -> Self {
        Self::default().and("meta l4proto tcp")
    }

    /// First packets of connections.
    pub fn syn() -> Self {
        Self::default().and("tcp flags & (syn | ack) == syn")
    }

    /// Answers to them.
    pub fn syn_ack() -> Self {
        Self::default().and("tcp flags & (syn | ack) == (syn | ack)")
    }

    /// Packets that carry data: longer than any headers alone, and neither first nor last.
    pub fn data() -> Self {
        Self::default().and("tcp flags & (syn | fin | rst) == 0").and("meta length > 120")
    }

    /// Resets.
    pub fn rst() -> Self {
        Self::default().and("tcp flags & rst == rst")
    }

    /// Only those to a port.
    #[must_use]
    pub fn to_port(self, port: u16) -> Self {
        self.and(&format!("tcp dport {port}"))
    }

    /// Only those from a port.
    #[must_use]
    pub fn from_port(self, port: u16) -> Self {
        self.and(&format!("tcp sport {port}"))
    }

    /// Only those that an nftables expression matches too.
    #[must_use]
    pub fn and(mut self, expression: &str) -> Self {
        self.conditions.push(expression.to_owned());
        self
    }
}

/// A loss in force. It ends when this is dropped.
#[derive(Debug)]
pub struct Loss {
    netns: Netns,
    table: String,
}

impl Loss {
    /// Drops `percent` of the packets that match as they arrive in `netns`.
    pub fn start(netns: &Netns, percent: u8, packets: &Packets) -> Result<Self> {
        ensure!(percent <= 100, "{percent} % is more than all");
        let table = format!("observer_loss_{:08x}", random() as u32);
        let chance =
            if percent == 100 { String::new() } else { format!("numgen random mod 100 < {percent} ") };
        let conditions = packets.conditions.join(" ");
        let rules = format!(
            "table inet {table} {{\nchain wire {{\ntype filter hook prerouting priority raw; policy accept;\n\
             {conditions} {chance}counter drop\n}}\n}}"
        );
        netns.output("nft", [rules]).context("cannot set up a loss")?;
        Ok(Self { netns: netns.clone(), table })
    }

    /// How many packets it has dropped.
    pub fn dropped(&self) -> Result<u64> {
        let text = self.netns.output("nft", ["--json", "list", "table", "inet", &self.table])?;
        let listing: Value = serde_json::from_str(&text)?;
        let objects = listing["nftables"].as_array().context("nft listed nothing")?;
        let expressions = objects.iter().filter_map(|object| object["rule"]["expr"].as_array()).flatten();
        let counters = expressions.filter_map(|expression| expression["counter"]["packets"].as_u64());
        Ok(counters.sum())
    }

    /// Ends the loss and tells whether that worked.
    pub fn stop(self) -> Result<()> {
        // Dropping deletes it once more, in vain.
        self.netns.output("nft", ["delete", "table", "inet", &self.table])?;
        Ok(())
    }
}

impl Drop for Loss {
    fn drop(&mut self) {
        // With the namespace gone the table is gone as well.
        let _ = self.netns.output("nft", ["delete", "table", "inet", &self.table]);
    }
}
