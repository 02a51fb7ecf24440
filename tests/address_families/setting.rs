//! Pods that reach one another and the host in every kind of address, and what `ss` shows of each connection.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::guardian::random;
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Lines, Netns, Pod, Testbed, eventually, workload};

/// Where one end of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The pod that asks.
    Asking,
    /// The pod that is asked.
    Asked,
    /// A pod in the host's network namespace.
    Node,
    /// A process of the host.
    Host,
}

/// What one end is told of the other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Far {
    Pod(Place),
    Host,
    Loopback(Option<Place>),
    Unknown,
}

/// One connection, which is known by its port.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// Who asks, and who is asked.
    pub(crate) places: [Place; 2],
    /// What either is told of the other.
    pub(crate) far: [Far; 2],
    /// What the asking side calls the other.
    to: String,
    /// The listener takes IPv4 alone.
    v4_only: bool,
}

/// The pods, and the connections between them. The host's processes end with it, the pods' with [`Setting::hang_up`].
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) pods: [Pod; 3],
    pub(crate) cases: Vec<Case>,
    talking: Vec<Container>,
    serving: Vec<Lines>,
    host_talks: Vec<Lines>,
}

impl Setting {
    pub(crate) async fn new(testbed: &Testbed, namespace: &str) -> Result<Self> {
        let asking = testbed.pod(namespace, "asking").run().await?;
        let asked = testbed.pod(namespace, "asked").run().await?;
        let node = testbed.pod(namespace, "node").host_network().run().await?;
        let pods = [asking, asked, node];
        let cases = cases(testbed, &pods).await?;
        Ok(Self { pods, cases, talking: Vec::new(), serving: Vec::new(), host_talks: Vec::new() })
    }

    /// The ports of all connections, as a filter takes them.
    pub(crate) fn ports(&self) -> String {
        self.cases.iter().map(|case| case.port.to_string()).collect::<Vec<_>>().join(",")
    }

    pub(crate) fn pod(&self, place: Place) -> Option<&Pod> {
        match place {
            Place::Asking => Some(&self.pods[0]),
            Place::Asked => Some(&self.pods[1]),
            Place::Node => Some(&self.pods[2]),
            Place::Host => None,
        }
    }

    /// Makes all connections; they are held.
    pub(crate) async fn connect(&mut self) -> Result<()> {
        for place in [Place::Asked, Place::Node] {
            let pod = self.pod(place).context("no pod")?;
            let cases: Vec<&Case> = self.cases.iter().filter(|case| case.places[1] == place).collect();
            let script = script(cases.iter().map(|case| case.serve().join(" ")));
            let serve = pod.container("serve", ["sh", "-c", &script]).start().await?;
            for case in cases {
                serve.wait_json(case.name, |line| line["listening"] == case.port).await?;
            }
        }
        for case in self.cases.iter().filter(|case| case.places[1] == Place::Host) {
            let serve = case.serve();
            let serve = workload::on_host(serve.iter().skip(1).map(String::as_str))?;
            serve.wait_for("listening", PATIENCE, |line| line["listening"] == case.port).await?;
            self.serving.push(serve);
        }
        for place in [Place::Asking, Place::Asked, Place::Node] {
            let cases = self.cases.iter().filter(|case| case.places[0] == place);
            let script = script(cases.map(|case| case.talk().join(" ")));
            let pod = self.pod(place).context("no pod")?;
            let talk = pod.container("talk", ["sh", "-c", &script]).start().await?;
            self.talking.push(talk);
        }
        for case in self.cases.iter().filter(|case| case.places[0] == Place::Host) {
            let talk = case.talk();
            self.host_talks.push(workload::on_host(talk.iter().skip(1).map(String::as_str))?);
        }
        for case in &self.cases {
            eventually(PATIENCE, case.name, async || Ok(self.shown(case, 0))).await?;
            eventually(PATIENCE, case.name, async || Ok(self.shown(case, 1))).await?;
        }
        Ok(())
    }

    /// Ends all connections, from the asking side.
    pub(crate) async fn hang_up(&mut self) -> Result<()> {
        for talk in self.talking.drain(..) {
            talk.stop(Duration::ZERO).await?;
        }
        self.host_talks.clear();
        Ok(())
    }

    /// The source and the destination as `ss` shows them in the network namespace of the asking side (0) or the asked
    /// one (1), with the interface's index for its name.
    pub(crate) fn shown(&self, case: &Case, side: usize) -> Result<(String, String)> {
        let end = if side == 0 { "dport" } else { "sport" };
        let port = format!(":{}", case.port);
        let netns = self.netns(case, side);
        let text = netns.output("ss", ["-Htn", "state", "established", end, "=", &port])?;
        let mut lines = text.lines();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            anyhow::bail!("{}: not one connection on side {side}: {text:?}", case.name)
        };
        let mut ends = line.split_whitespace().skip(2).map(|end| plain(&netns, end));
        let (local, mut peer) = (ends.next().context("no local")??, ends.next().context("no peer")??);
        // The interface is the socket's: `ss` shows it with the local end alone.
        if let Some((_, interface)) = local.split_once('%') {
            peer = format!("{peer}%{interface}");
        }
        Ok(if side == 0 { (local, peer) } else { (peer, local) })
    }

    /// The address that a case's listener has, as `ss` shows it.
    pub(crate) fn listens(&self, case: &Case) -> Result<String> {
        let port = format!(":{}", case.port);
        let netns = self.netns(case, 1);
        let text = netns.output("ss", ["-Htln", "sport", "=", &port])?;
        let end = text.split_whitespace().nth(3).context("nobody listens")?;
        // Of both families, which it calls by a star.
        Ok(plain(&netns, end)?.replace('*', "::"))
    }

    pub(crate) fn netns(&self, case: &Case, side: usize) -> Netns {
        let own = || Netns::of_process(std::process::id());
        self.pod(case.places[side]).map_or_else(own, |pod| pod.netns().clone())
    }

    pub(crate) async fn remove(self) -> Result<()> {
        for pod in self.pods {
            // Boxed, as this is part of large futures.
            Box::pin(pod.remove()).await?;
        }
        Ok(())
    }
}

impl Case {
    fn serve(&self) -> Vec<String> {
        let mut argv: Vec<String> =
            ["workload", "serve", "--port", &self.port.to_string()].map(str::to_owned).into();
        argv.extend(self.v4_only.then(|| "--v4".to_owned()));
        argv
    }

    fn talk(&self) -> Vec<String> {
        let to = format!("{}:{}", self.to, self.port);
        ["workload", "connect", "--to", &to, "--bytes", "100", "--hold", "600"].map(str::to_owned).into()
    }
}

/// Runs all the commands at once.
fn script(commands: impl Iterator<Item = String>) -> String {
    commands.chain(["wait".to_owned()]).collect::<Vec<_>>().join(" & ")
}

/// Name, places, what either is told of the other, what the asking side calls the other, IPv4 alone.
type Row = (&'static str, [Place; 2], [Far; 2], String, bool);

async fn cases(testbed: &Testbed, [asking, asked, _]: &[Pod; 3]) -> Result<Vec<Case>> {
    use Far::{Host as ByHost, Loopback, Pod as Named, Unknown};
    use Place::{Asked, Asking, Host, Node};
    let (v4, v6) = (asked.ip()?, asked.ipv6()?);
    let link_local = link_local(asked.netns(), "eth0").await?;
    let (host_v4, host_v6) = (testbed.network().host(), testbed.network().host_v6());
    let bridge = testbed.network().bridge();
    let on_link =
        |netns: &Netns, interface: &str| anyhow::Ok(format!("[{link_local}%{}]", index(netns, interface)?));
    let host = Netns::of_process(std::process::id());
    // Before it has one, the host asks from another address.
    self::link_local(&host, bridge).await?;
    let pods = [Named(Asked), Named(Asking)];
    let here = [Loopback(Some(Asked)), Loopback(Some(Asked))];
    let own = [Named(Asked), Named(Asked)];
    let to_host = [ByHost, Named(Asking)];
    let from_host = [Named(Asked), ByHost];
    let nobodys = [Loopback(None), Loopback(None)];
    let rows: [Row; 18] = [
        ("IPv4", [Asking, Asked], pods, v4.to_string(), true),
        ("IPv6", [Asking, Asked], pods, format!("[{v6}]"), false),
        ("IPv4 to a listener of both", [Asking, Asked], pods, v4.to_string(), false),
        ("mapped, to a listener of both", [Asking, Asked], pods, format!("[::ffff:{v4}]"), false),
        ("mapped, to a listener of IPv4", [Asking, Asked], pods, format!("[::ffff:{v4}]"), true),
        ("link-local", [Asking, Asked], [Unknown; 2], on_link(asking.netns(), "eth0")?, false),
        ("loopback, IPv4", [Asked, Asked], here, "127.0.0.1".to_owned(), true),
        ("loopback, IPv6", [Asked, Asked], here, "[::1]".to_owned(), false),
        ("loopback, mapped", [Asked, Asked], here, "[::ffff:127.0.0.1]".to_owned(), false),
        ("own IPv4", [Asked, Asked], own, v4.to_string(), false),
        ("own link-local", [Asked, Asked], own, on_link(asked.netns(), "eth0")?, false),
        ("pod to host", [Asking, Host], to_host, host_v4.to_string(), false),
        ("pod to host, IPv6", [Asking, Host], to_host, format!("[{host_v6}]"), false),
        ("host to pod", [Host, Asked], from_host, v4.to_string(), false),
        ("host to pod, link-local", [Host, Asked], [Unknown; 2], on_link(&host, bridge)?, false),
        ("pod to the host's pod", [Asking, Node], to_host, host_v4.to_string(), false),
        ("the host's pod to a pod", [Node, Asked], from_host, v4.to_string(), false),
        ("the host's pod to the host", [Node, Host], nobodys, "127.0.0.1".to_owned(), false),
    ];
    let mut used = Vec::new();
    let case = |(name, places, far, to, v4_only): Row| {
        let port = free_port(&used)?;
        used.push(port);
        Ok(Case { name, port, places, far, to, v4_only })
    };
    rows.into_iter().map(case).collect()
}

/// A port that nobody listens on here, below those that the kernel gives to clients.
fn free_port(used: &[u16]) -> Result<u16> {
    let candidates = (0..1000).map(|_| 20_000 + (random() % 10_000) as u16);
    let free =
        |port: &u16| !used.contains(port) && TcpListener::bind(SocketAddr::from(([0_u16; 8], *port))).is_ok();
    candidates.into_iter().find(free).context("no free port")
}

/// The link-local address of an interface, once it may be used.
pub(crate) async fn link_local(netns: &Netns, interface: &str) -> Result<String> {
    eventually(PATIENCE, "a link-local address", async || {
        let text = netns.output("ip", ["-6", "-oneline", "address", "show", "dev", interface])?;
        let found = text.lines().find(|line| line.contains(" scope link") && !line.contains("tentative"));
        let address = found.and_then(|line| line.split_once("inet6 ")?.1.split('/').next());
        Ok(address.map(str::to_owned).ok_or(text.clone()))
    })
    .await
}

pub(crate) fn index(netns: &Netns, interface: &str) -> Result<u32> {
    let text = netns.output("ip", ["-oneline", "link", "show", "dev", interface])?;
    Ok(text.split(':').next().context("no index")?.parse()?)
}

/// `[::ffff:10.1.2.3]:80` is 10.1.2.3, and `[fe80::1]%eth0:80` is fe80::1%2.
fn plain(netns: &Netns, end: &str) -> Result<String> {
    let (address, _port) = end.rsplit_once(':').context("no port")?;
    let (address, interface) = address.split_once('%').unwrap_or((address, ""));
    let address = address.trim_matches(['[', ']']);
    let address = address.strip_prefix("::ffff:").unwrap_or(address);
    ensure!(!address.is_empty(), "no address: {end}");
    if interface.is_empty() || !address.starts_with("fe80:") {
        return Ok(address.to_owned());
    }
    let interface = interface.trim_matches(']');
    Ok(format!("{address}%{}", index(netns, interface)?))
}
