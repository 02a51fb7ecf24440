//! Proves that reading name servers' answers changes nothing of the packets and drops none, whatever comes from their port,
//! and that odd answers do no harm to the others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use observer_tests::events::{detail, is, nothing_lost, watch};
use observer_tests::guardian::random;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Netns, NetnsPair, client, workload};
use rustix::process::Signal;
use serde_json::Value;

/// Where the outside listens.
const PORT: u16 = 7310;
/// In the header: a response that went well, and one that says that it is cut.
const WELL: u16 = 0x8180;
const CUT: u16 = 0x8380;
/// More addresses than one record has room for.
const MANY: u16 = 85;

/// A client and a server of datagrams, each in its namespace.
struct Datagrams {
    client: UdpSocket,
    server: UdpSocket,
}

impl Datagrams {
    fn between(client: &Netns, server: &Netns, at: SocketAddr) -> Result<Self> {
        let server = server.run(|| Ok(UdpSocket::bind(at)?))?;
        let any = if at.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let client = client.run(|| Ok(UdpSocket::bind(any)?))?;
        client.connect(at)?;
        for socket in [&client, &server] {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        Ok(Self { client, server })
    }

    /// The client asks, the server answers with this, and the client gets just that.
    fn answer(&self, message: &[u8]) -> Result<()> {
        let mut buffer = vec![0; 1 << 16];
        self.client.send(b"what?")?;
        let (_, from) = self.server.recv_from(&mut buffer).context("no question")?;
        self.server.send_to(message, from)?;
        let length = self.client.recv(&mut buffer).context("no answer")?;
        ensure!(buffer[..length] == *message, "{} bytes were sent, {length} came", message.len());
        Ok(())
    }
}

/// An answer as name servers write it: this name has these addresses.
fn answer(flags: u16, name: &str, addresses: &[Ipv4Addr]) -> Vec<u8> {
    let counts = [1, addresses.len() as u16, 0, 0];
    let mut message: Vec<u8> = [7, flags].into_iter().chain(counts).flat_map(u16::to_be_bytes).collect();
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    for address in addresses {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        message.extend(address.octets());
    }
    message
}

/// What nobody who keeps to the rules sends.
fn odd() -> Vec<Vec<u8>> {
    let whole = answer(WELL, "odd.example", &[Ipv4Addr::new(203, 0, 113, 200)]);
    // Bytes, of lengths around what is read and around what fits a packet.
    let lengths = [0, 1, 11, 12, 13, 100, 1023, 1024, 1025, 1472, 1473, 4000, 20_000];
    let mut all: Vec<Vec<u8>> =
        lengths.iter().map(|length| (0..*length).map(|_| random() as u8).collect()).collect();
    // A question instead of an answer, each count too large, names that point to themselves, a label that is too long.
    all.push([&[0, 7, 1, 0], &whole[4..]].concat());
    all.push([&whole[..4], &[0xff; 8], &whole[12..]].concat());
    all.push([&whole[..12], &[0xc0, 12, 0, 1, 0, 1]].concat());
    all.push([&whole[..29], &[0xc0, 29, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 200]].concat());
    all.push([&whole[..12], &[0x7f], &whole[13..]].concat());
    // Cut after each byte.
    all.extend((1..whole.len()).map(|length| whole[..length].to_vec()));
    all
}

/// Has somebody on the host connect to an address, and gives the name that is shown.
async fn shown(lines: &Lines, from: &Netns, address: Ipv4Addr) -> Result<Option<String>> {
    let to = format!("{address}:{PORT}");
    let mut asking = workload::in_netns(from, ["connect", "--to", &to])?;
    ensure!(asking.wait().await?.success(), "{}", asking.stderr());
    let pid = asking.pid();
    let is_it = |line: &Value| is(line, "tcp_connect") && line["event"]["process"]["pid"] == pid;
    let line = lines.wait_for(&format!("the connection to {to}"), PATIENCE, is_it).await?;
    let destination = &detail(&line)["tcp"]["destination"];
    ensure!(destination["address"] == address.to_string(), "{line}");
    Ok(destination["dns_name"].as_str().map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_a_name_server_comes_as_it_was_sent() -> Result<()> {
    let pair = NetnsPair::new()?;
    let (left, right) = (pair.left(), pair.right());
    let daemon = Daemon::bare().args(["--cri-endpoint", "none", "--dns"]).start().await?;
    let lines = watch(&daemon, []).await?;
    let outside = |tail: u16| Ipv4Addr::new(203, 0, 113, tail as u8);
    for tail in 1..=MANY + 5 {
        right.netns.output("ip", ["address", "add", &format!("{}/32", outside(tail)), "dev", "lo"])?;
    }
    left.netns.output("ip", ["route", "add", "203.0.113.0/24", "via", &right.ip.to_string()])?;
    let serving = workload::in_netns(&right.netns, ["serve", "--port", &PORT.to_string()])?;
    serving.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;

    let before = [left.netns.counters()?, right.netns.counters()?];
    let (v4, v6) = (IpAddr::from(right.ip), IpAddr::from(right.ipv6));
    let by_v4 = Datagrams::between(&left.netns, &right.netns, SocketAddr::new(v4, 53))?;
    let by_v6 = Datagrams::between(&left.netns, &right.netns, SocketAddr::new(v6, 53))?;
    let odd = odd();
    let mut sent = 0;
    for message in &odd {
        for datagrams in [&by_v4, &by_v6] {
            datagrams.answer(message).with_context(|| format!("{message:x?}"))?;
            sent += u64::from(message.len() >= 12);
        }
    }
    // Those with a name, after all that: whole, by IPv6, cut, too long to be read in full, and from another port.
    by_v4.answer(&answer(WELL, "whole.example", &[outside(1)]))?;
    by_v6.answer(&answer(WELL, "six.example", &[outside(2)]))?;
    by_v4.answer(&answer(CUT, "cut.example", &[outside(3)]))?;
    let many: Vec<Ipv4Addr> = (0..MANY).map(|number| outside(4 + number)).collect();
    by_v4.answer(&answer(WELL, "many.example", &many))?;
    let elsewhere = Datagrams::between(&left.netns, &right.netns, SocketAddr::new(v4, 54))?;
    elsewhere.answer(&answer(WELL, "elsewhere.example", &[outside(MANY + 5)]))?;
    for (netns, before) in [&left.netns, &right.netns].into_iter().zip(before) {
        let since = netns.counters()?.since(&before);
        for counter in ["Udp.InErrors", "Udp.RcvbufErrors", "Udp.InCsumErrors", "Ip.InDiscards"] {
            ensure!(since.get(counter)? == 0, "{counter}: {since:?}");
        }
    }

    let expected = [
        (1, Some("whole.example")),
        (2, Some("six.example")),
        (3, Some("cut.example")),
        (4, Some("many.example")),
        (60, Some("many.example")),
        (MANY + 3, None),
        (MANY + 5, None),
    ];
    for (tail, name) in expected {
        let shown = shown(&lines, &left.netns, outside(tail)).await?;
        ensure!(shown.as_deref() == name, "{tail}: {shown:?}, not {name:?}");
    }
    let status = client::run(daemon.socket(), ["status", "-o", "json"]).await?;
    let status: Value = serde_json::from_slice(&status.stdout)?;
    let sources = status["identity_sources"].as_array().context("no sources")?;
    let dns = sources.iter().find(|source| source["name"] == "dns").context("no source")?;
    let message = dns["message"].as_str().context("no message")?;
    let figures: Vec<u64> = message.split(' ').filter_map(|word| word.parse().ok()).collect();
    let &[seen, not_understood, _named] = figures.as_slice() else { anyhow::bail!("{message}") };
    // Others on this machine may ask as well.
    ensure!(seen >= sent + 4 && not_understood > 0 && not_understood <= seen - 4, "{message}, {sent} sent");
    nothing_lost(&lines)
}

/// Who floods the daemon with answers makes it lose answers, which it tells, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn answers_push_out_no_connections() -> Result<()> {
    const CONNECTIONS: usize = 200;
    const FLOOD: u64 = 2_000;
    let pair = NetnsPair::new()?;
    let (left, right) = (pair.left(), pair.right());
    let ring = ["--network-ring-bytes", "1MiB"];
    let daemon = Daemon::bare().args(["--cri-endpoint", "none", "--dns"]).args(ring).start().await?;
    let lines = watch(&daemon, []).await?;
    let port = PORT + 1;
    let serving = workload::in_netns(&right.netns, ["serve", "--port", &port.to_string()])?;
    serving.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;
    let datagrams =
        Datagrams::between(&left.netns, &right.netns, SocketAddr::new(IpAddr::from(right.ip), 53))?;
    let flood = answer(WELL, "flood.example", &[Ipv4Addr::new(203, 0, 113, 250); 64]);
    daemon.signal(Signal::STOP)?;
    for _ in 0..FLOOD {
        datagrams.answer(&flood)?;
    }
    let to = format!("{}:{port}", right.ip);
    let mut asking =
        workload::in_netns(&left.netns, ["connect", "--to", &to, "--count", &CONNECTIONS.to_string()])?;
    let asked = asking.wait().await;
    daemon.signal(Signal::CONT)?;
    ensure!(asked?.success(), "{}", asking.stderr());
    let of_port = |line: &Value| detail(line)["tcp"]["destination"]["port"] == port;
    for event_type in ["tcp_connect", "tcp_accept"] {
        lines
            .wait_count(event_type, PATIENCE, CONNECTIONS, |line| is(line, event_type) && of_port(line))
            .await?;
    }
    lines
        .wait_count("tcp_close", PATIENCE, 2 * CONNECTIONS, |line| is(line, "tcp_close") && of_port(line))
        .await?;
    let is_told = |line: &Value| line["lost"]["kind"] == "dns_answer";
    lines.wait_for("the loss", PATIENCE, is_told).await?;
    // Namespaces of others that no process is in cannot be searched for older connections.
    let is_own = |lost: &Value| lost["source"] != "LOSS_SOURCE_NETNS";
    let lost = lines.matching(|line| line.get("lost").is_some_and(is_own));
    ensure!(lost.iter().all(is_told), "{lost:#?}");
    let count: u64 = lost.iter().filter_map(|line| line["lost"]["count"].as_u64()).sum();
    // Half of the ring has room for some 500 of them.
    ensure!((FLOOD / 2..FLOOD).contains(&count), "{count} lost");
    Ok(())
}
