//! Each connection is told exactly once on each side, of the right pods, with the figures that its ends measured.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType, PeerKind, Tcp, WorkloadKind};
use observer_tests::owners::{is_between, is_pod};
use observer_tests::watch::{ends, tcp};
use observer_tests::{Container, Daemon, Packets, Pod, SlowLink, Testbed, Watch, workload};
use rustix::process::{Pid, setpriority_process};
use serde_json::Value;
use tokio::sync::Mutex;

/// One test at a time: what one measures, another one would disturb.
static ALONE: Mutex<()> = Mutex::const_new(());
/// How long a packet travels on the slow link: what a system call and a wake-up add is little beside it.
const ONE_WAY: Duration = Duration::from_millis(5);

async fn server(testbed: &Testbed, namespace: &str, port: &str) -> Result<(Pod, Container)> {
    let pod = testbed.pod(namespace, "server").label("app", "server").run().await?;
    let serve = pod.container("serve", ["workload", "serve", "--port", port, "--log"]);
    let serve = serve.start_until("listening").await?;
    Ok((pod, serve))
}

/// Runs the workload's client in a container of a pod, to its end, whatever that is. What it measures shall be the
/// handshake, not how long the server that it wakes keeps the processor: so it goes before others.
async fn client(pod: &Pod, name: &str, to: &str, more: &[&str]) -> Result<(Container, Vec<Value>)> {
    let script = format!("sleep 2; exec workload connect --to {to} {}", more.join(" "));
    let container = pod.container(name, ["sh", "-c", script.as_str()]).start().await?;
    if let Some(pid) = Pid::from_raw(container.pid().await? as i32) {
        // Without the right to do so the measurement is only noisier.
        let _ = setpriority_process(Some(pid), -20);
    }
    container.wait().await?;
    let lines = container.json();
    Ok((container, lines))
}

/// Events of one type, by their source and destination; twice the same is an error.
fn by_ends(events: &[Event], kind: EventType) -> Result<BTreeMap<(String, String), Event>> {
    let mut found = BTreeMap::new();
    for event in events.iter().filter(|event| event.r#type() == kind) {
        let key = ends(tcp(event).context("no tcp")?);
        ensure!(found.insert(key, event.clone()).is_none(), "twice: {event:?}");
    }
    Ok(found)
}

/// What the clients measured themselves beside what the daemon told of the same connections.
struct Latencies(Vec<(u64, u64)>);

impl Latencies {
    /// The client's own figure has in it what comes before and after the handshake: the system call, the server's work
    /// on the last ACK where both share a processor, and the wake-up. So it is never shorter than the daemon's. Gives
    /// how many agree within 20 % or 50 µs.
    fn agreeing(&self, link: &str) -> Result<usize> {
        let mut over: Vec<i64> = self.0.iter().map(|(told, own)| *own as i64 - *told as i64).collect();
        over.sort_unstable();
        let near = self.0.iter().filter(|(told, own)| own.abs_diff(*told) <= (own / 5).max(50_000)).count();
        let at = |percent: usize| over[(over.len() - 1) * percent / 100] / 1000;
        println!(
            "{link}: the client's own latency is longer by p0 {} p50 {} p95 {} p100 {} µs; {near} of {} within 20 % or \
             50 µs",
            at(0),
            at(50),
            at(95),
            at(100),
            over.len()
        );
        ensure!(over[0] >= 0, "{link}: longer than what the client measured: {:?}", self.0);
        Ok(near)
    }
}

fn number(line: &Value, field: &str) -> Result<u64> {
    line[field].as_u64().with_context(|| format!("no {field} in {line}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_connection_is_told_once_on_both_sides() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let watch = Watch::all(&daemon).await?;
    let (server_pod, serve) = server(testbed, "attribution", "8080").await?;
    let client_pod = testbed.pod("attribution", "client").run().await?;

    let pods = (&client_pod, &server_pod, &serve);
    let v4 = format!("{}:8080", server_pod.ip()?);
    let v6 = format!("[{}]:8080", server_pod.ipv6()?);
    one_round(&watch, pods, "near4", &v4, 200).await?.agreeing("bridge, IPv4")?;
    one_round(&watch, pods, "near6", &v6, 50).await?.agreeing("bridge, IPv6")?;

    let addresses = |pod: &Pod| anyhow::Ok([pod.ip()?, pod.ipv6()?]);
    let _slow = SlowLink::between(
        (client_pod.netns(), &addresses(&client_pod)?),
        (server_pod.netns(), &addresses(&server_pod)?),
        ONE_WAY,
    )?;
    for (name, to) in [("far4", &v4), ("far6", &v6)] {
        let latencies = one_round(&watch, pods, name, to, 100).await?;
        let agreeing = latencies.agreeing(name)?;
        // A client that has to wait for a processor measures that as well: a few may.
        ensure!(agreeing * 10 >= latencies.0.len() * 9, "{name}: {:?}", latencies.0);
        let shortest = latencies.0.iter().map(|(told, _)| *told).min().context("none")?;
        ensure!(u128::from(shortest) >= 2 * ONE_WAY.as_nanos(), "{name}: {:?}", latencies.0);
    }
    server_pod.remove().await?;
    client_pod.remove().await
}

/// So many connections, each checked on both sides; gives the kernel's and the client's own latency of each.
async fn one_round(
    watch: &Watch,
    (client_pod, server_pod, serve): (&Pod, &Pod, &Container),
    name: &str,
    to: &str,
    count: usize,
) -> Result<Latencies> {
    let ours = [client_pod.netns().inode()?, server_pod.netns().inode()?];
    let ours = |event: &Event| tcp(event).is_some_and(|tcp| ours.contains(&u64::from(tcp.netns)));
    let seen = watch.sequences(ours);
    let more = ["--count", &count.to_string(), "--bytes", "3000", "--interval-ms", "2"];
    let (container, lines) = client(client_pod, name, to, &more).await?;
    ensure!(lines.len() == count && lines.iter().all(|line| line.get("error").is_none()), "{lines:?}");
    watch.settle(ours).await?;
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());
    let events = watch.events(|event| ours(event) && !seen.contains(&event.sequence));
    let connects = by_ends(&events, EventType::TcpConnect)?;
    let accepts = by_ends(&events, EventType::TcpAccept)?;
    let (from_client, from_server): (Vec<_>, Vec<_>) = events
        .into_iter()
        .filter(|event| event.r#type() == EventType::TcpClose)
        .partition(|event| tcp(event).is_some_and(|tcp| tcp.outgoing));
    let client_closes = by_ends(&from_client, EventType::TcpClose)?;
    let server_closes = by_ends(&from_server, EventType::TcpClose)?;
    let told = [connects.len(), accepts.len(), client_closes.len(), server_closes.len()];
    ensure!(told == [count; 4], "{name}: {told:?} instead of {count} each");
    let served: BTreeMap<String, Value> = serve
        .json()
        .into_iter()
        .filter_map(|line| Some((line["accepted"].as_str()?.to_owned(), line)))
        .collect();
    let mut latencies = Vec::new();
    for line in &lines {
        let local = line["local"].as_str().context("no local")?.to_owned();
        let own = served.get(&local).with_context(|| format!("the server did not see {local}"))?;
        let key = (local, to.to_owned());
        let event = connects.get(&key).with_context(|| format!("no connect {key:?}"))?;
        is_between(event, client_pod, &container, server_pod, true)?;
        if let Some(Detail::TcpConnect(connect)) = &event.detail {
            latencies.push((connect.handshake_latency_ns, number(line, "connect_ns")?));
        }
        let process = event.process.as_ref().context("no process")?;
        ensure!(process.comm == "workload", "{process:?}");
        let event = accepts.get(&key).with_context(|| format!("no accept {key:?}"))?;
        is_between(event, server_pod, serve, client_pod, false)?;

        let close = client_closes.get(&key).with_context(|| format!("no close {key:?}"))?;
        is_between(close, client_pod, &container, server_pod, true)?;
        bytes_are(close, number(line, "sent")?, number(line, "received")?)?;
        let close = server_closes.get(&key).with_context(|| format!("no close {key:?}"))?;
        is_between(close, server_pod, serve, client_pod, false)?;
        bytes_are(close, number(own, "sent")?, number(own, "received")?)?;
    }
    Ok(Latencies(latencies))
}

fn bytes_are(event: &Event, sent: u64, received: u64) -> Result<()> {
    let Some(Detail::TcpClose(close)) = &event.detail else { anyhow::bail!("no close: {event:?}") };
    let counters = close.counters.as_ref().context("no counters")?;
    ensure!(
        (counters.sent_bytes, counters.received_bytes) == (sent, received),
        "{sent} {received} {close:?}"
    );
    ensure!(close.error.is_empty() && counters.rtt_ns.is_some(), "{close:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn connects_that_fail_say_why() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let watch = Watch::all(&daemon).await?;
    let (server_pod, _serve) = server(testbed, "failures", "8080").await?;
    let client_pod = testbed.pod("failures", "client").run().await?;
    let netns = client_pod.netns().inode()?;
    let ours = |event: &Event| tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == netns);

    let refused = format!("{}:9", server_pod.ip()?);
    let (first, lines) = client(&client_pod, "refused", &refused, &["--count", "5"]).await?;
    ensure!(lines.iter().all(|line| line["error"] == "refused") && lines.len() == 5, "{lines:?}");
    let loss = server_pod.lose(100, &Packets::syn())?;
    let canceled = format!("[{}]:8080", server_pod.ipv6()?);
    let more = ["--count", "5", "--nonblocking-cancel-ms", "20"];
    let (second, lines) = client(&client_pod, "canceled", &canceled, &more).await?;
    ensure!(lines.iter().all(|line| line["error"] == "canceled") && lines.len() == 5, "{lines:?}");
    drop(loss);

    watch.settle(ours).await?;
    let events = watch.events(ours);
    ensure!(events.len() == 10, "each is told once, as a failure: {events:#?}");
    for (to, error, errno, container) in
        [(refused, "refused", libc::ECONNREFUSED, first), (canceled, "cancelled", 0, second)]
    {
        let events: Vec<_> =
            events.iter().filter(|event| tcp(event).is_some_and(|tcp| ends(tcp).1 == to)).collect();
        ensure!(events.len() == 5, "{to}: {events:?}");
        for event in events {
            is_between(event, &client_pod, &container, &server_pod, true)?;
            let Some(Detail::TcpConnectFailure(failure)) = &event.detail else { anyhow::bail!("{event:?}") };
            ensure!(failure.error == error && failure.errno == errno as u32, "{failure:?}");
            let least = if errno == 0 { Duration::from_millis(20) } else { Duration::ZERO };
            ensure!(Duration::from_nanos(failure.duration_ns()) >= least, "{failure:?}");
        }
    }
    server_pod.remove().await?;
    client_pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn loopback_and_the_host_are_told_apart() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let watch = Watch::all(&daemon).await?;
    let (pod, serve) = server(testbed, "near", "8080").await?;
    let own = |tcp: &Tcp, side: bool| {
        let end = if side == tcp.outgoing { &tcp.source } else { &tcp.destination };
        end.clone().unwrap_or_default()
    };
    for to in ["127.0.0.1:8080", "[::1]:8080"] {
        let name = if to.starts_with('[') { "lo6" } else { "lo4" };
        let (container, lines) = client(&pod, name, to, &["--bytes", "10"]).await?;
        let ends_of = (lines[0]["local"].as_str().context("no local")?.to_owned(), to.to_owned());
        let ours = |event: &Event| tcp(event).is_some_and(|tcp| ends(tcp) == ends_of);
        watch.wait_count("loopback's events", 4, ours).await?;
        watch.settle(ours).await?;
        let events = watch.events(ours);
        ensure!(events.len() == 4, "{events:#?}");
        for event in &events {
            let tcp = tcp(event).context("no tcp")?;
            is_pod(event.workload.as_ref(), &pod)?;
            let name = event.workload.as_ref().map(|workload| workload.container.as_str());
            let right = if tcp.outgoing { container.name() } else { serve.name() };
            ensure!(name == Some(right), "{event:?}");
            ensure!(own(tcp, false).kind() == PeerKind::Loopback, "{event:?}");
        }
    }

    let to = format!("{}:8080", pod.ip()?);
    let lines = workload::on_host(["connect", "--to", &to, "--bytes", "10"])?.output().await?;
    let ends_of = (lines[0]["local"].as_str().context("no local")?.to_owned(), to);
    let ours = |event: &Event| tcp(event).is_some_and(|tcp| ends(tcp) == ends_of);
    watch.wait_count("the host's events", 4, ours).await?;
    watch.settle(ours).await?;
    let events = watch.events(ours);
    ensure!(events.len() == 4, "{events:#?}");
    for event in &events {
        let tcp = tcp(event).context("no tcp")?;
        let far = own(tcp, false);
        if tcp.outgoing {
            let kind = event.workload.as_ref().context("no workload")?.kind();
            ensure!(matches!(kind, WorkloadKind::Host | WorkloadKind::Unit), "{event:?}");
            is_pod(far.workload.as_ref(), &pod)?;
        } else {
            is_pod(event.workload.as_ref(), &pod)?;
            ensure!(far.kind() == PeerKind::Host, "{event:?}");
        }
    }
    pod.remove().await
}
