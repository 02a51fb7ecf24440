//! A link with a delay. The kernel's own (netem) is a module that many machines lack, so packets go through two tunnel
//! devices and this process, which holds each of them back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_tun::Tun;

use crate::netns::Netns;

/// What the devices are called.
const DEVICE: &str = "slow0";
/// Packets under way in one direction; more are dropped, as by any link.
const QUEUE: usize = 4096;
const MTU: i32 = 1500;

/// Addresses of two namespaces that reach each other with a delay. It ends, and the old ways are used again, when it
/// is dropped: the kernel removes the devices and their routes.
#[derive(Debug)]
pub struct SlowLink {
    directions: [JoinHandle<()>; 2],
    /// Whether all that the left side sends is carried.
    opened: watch::Sender<bool>,
}

impl SlowLink {
    /// Takes over what the addresses of the two sides send to each other. Each packet travels for `one_way`.
    pub fn between(left: (&Netns, &[IpAddr]), right: (&Netns, &[IpAddr]), one_way: Duration) -> Result<Self> {
        let ends = [Arc::new(device(left.0, DEVICE)?), Arc::new(device(right.0, DEVICE)?)];
        for (near, far) in [(left, right), (right, left)] {
            for (own, other) in near.1.iter().zip(far.1) {
                let bits = if other.is_ipv4() { 32 } else { 128 };
                let (to, from) = (format!("{other}/{bits}"), own.to_string());
                near.0.output("ip", ["route", "replace", &to, "dev", DEVICE, "src", &from])?;
            }
        }
        let [left, right] = ends;
        let (opened, is_open) = watch::channel(true);
        Ok(Self {
            directions: [
                tokio::spawn(carry(Arc::clone(&left), Arc::clone(&right), one_way, is_open)),
                tokio::spawn(carry(right, left, one_way, watch::channel(true).1)),
            ],
            opened,
        })
    }

    /// From now on only the beginnings of connections are carried from the left side: what it sends later waits.
    pub fn hold(&self) {
        self.opened.send_replace(false);
    }

    /// What waits is carried, and all else as well.
    pub fn release(&self) {
        self.opened.send_replace(true);
    }
}

/// A packet that asks for a connection, of IPv4.
fn begins(packet: &[u8]) -> bool {
    const SYN: u8 = 2;
    let header = usize::from(packet.first().copied().unwrap_or_default() & 0xf) * 4;
    packet.get(header + 13).is_some_and(|flags| flags & SYN != 0)
}

impl Drop for SlowLink {
    fn drop(&mut self) {
        for direction in &self.directions {
            direction.abort();
        }
    }
}

/// A tunnel device in that namespace.
pub(crate) fn device(netns: &Netns, name: &str) -> Result<Tun> {
    let runtime = Handle::current();
    netns.run(|| {
        let _within = runtime.enter();
        let built = Tun::builder().name(name).mtu(MTU).up().build().context("cannot make a tunnel device")?;
        built.into_iter().next().context("no tunnel device was made")
    })
}

async fn carry(from: Arc<Tun>, to: Arc<Tun>, delay: Duration, mut is_open: watch::Receiver<bool>) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUE);
    let take = async {
        let mut buffer = [0; MTU as usize];
        while let Ok(length) = from.recv(&mut buffer).await {
            let packet = buffer[..length].to_vec();
            // A full queue drops the packet.
            let _ = sender.try_send((Instant::now() + delay, packet));
        }
    };
    let give = async {
        while let Some((due, packet)) = under_way.recv().await {
            sleep_until(due).await;
            // Whoever would open it is gone with the link.
            if !begins(&packet) && is_open.wait_for(|is_open| *is_open).await.is_err() {
                return;
            }
            if to.send(&packet).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = take => {}
        () = give => {}
    }
}
