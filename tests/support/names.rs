//! A name server that this project did not write: dnsmasq, in a network namespace, with a test's own names.

use std::net::IpAddr;

use anyhow::Result;

use crate::lines::Lines;
use crate::netns::Netns;
use crate::wait::{PATIENCE, eventually};

/// A running dnsmasq. It ends when this is dropped.
#[derive(Debug)]
pub struct NameServer {
    process: Lines,
}

impl NameServer {
    /// Starts one that answers at an address of the namespace, and that knows what `args` say: `--host-record`,
    /// `--cname`, and `--server` to ask another one.
    pub async fn start(netns: &Netns, address: IpAddr, args: &[String]) -> Result<Self> {
        let mut command = netns.command("dnsmasq");
        command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"]);
        command.args([
            "--no-resolv",
            "--no-hosts",
            "--bind-interfaces",
            "--log-facility=-",
            "--cache-size=0",
        ]);
        command.arg(format!("--listen-address={address}")).args(args);
        let server = Self { process: Lines::spawn("dnsmasq", command)? };
        let end = if address.is_ipv4() { format!("{address}:53") } else { format!("[{address}]:53") };
        eventually(PATIENCE, "the name server to listen", async || {
            let sockets = netns.output("ss", ["-Hlun"])?;
            let listens = sockets.lines().any(|line| line.split_whitespace().nth(3) == Some(end.as_str()));
            Ok(if listens { Ok(()) } else { Err(format!("{sockets}{}", server.process.stderr())) })
        })
        .await?;
        Ok(server)
    }
}
