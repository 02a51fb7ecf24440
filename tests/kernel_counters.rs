//! Under a mixed load, what is told of a pod is what `nstat` shows in its namespace, kind by kind.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, Filter, ResetCause, ResetDirection, RetransmitPhase, TcpReset};
use observer_tests::firings::Firings;
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Loss, Packets, Pod, Summed, Testbed, Watch, client, eventually};

const NAMESPACE: &str = "kernel-counters";

/// What one pod does to the other, all at once: names, ports, and how.
const LOAD: [(&str, u16, &[&str]); 8] = [
    ("talk", 80, &["--count", "40", "--parallel", "10", "--bytes", "50000"]),
    ("linger", 80, &["--count", "10", "--bytes", "10", "--linger0"]),
    ("unread", 80, &["--count", "10", "--bytes", "10", "--unread"]),
    ("reset", 81, &["--count", "10", "--bytes", "10"]),
    ("refused", 9, &["--count", "10"]),
    ("silent", 12, &["--count", "5", "--parallel", "5"]),
    ("cancelled", 12, &["--count", "5", "--parallel", "5", "--nonblocking-cancel-ms", "500"]),
    ("queue", 82, &["--count", "10", "--parallel", "10", "--timeout-ms", "2500", "--hold", "3"]),
];

/// What nstat shows in the pod's namespace. A counter that it does not show is an error.
struct Nstat(BTreeMap<String, u64>);

impl Nstat {
    fn read(pod: &Pod) -> Result<Self> {
        // All, zeros too, and without a history of its own.
        let text = pod.netns().output("nstat", ["-asz"])?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let counter = |line: &str| {
            let mut words = line.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        };
        Ok(Self(lines.filter_map(counter).collect()))
    }

    fn get(&self, name: &str) -> Result<u64> {
        self.0.get(name).copied().with_context(|| format!("nstat has no {name}"))
    }
}

/// A pod that serves in all ways, and what it is told to have done.
struct Side {
    pod: Pod,
    /// Never accepts.
    full: Container,
    _losses: Vec<Loss>,
}

impl Side {
    async fn start(testbed: &Testbed, name: &str) -> Result<Self> {
        let pod = testbed.pod(NAMESPACE, name).run().await?;
        for (port, manner) in [("80", "--echo"), ("81", "--reset")] {
            let argv = ["workload", "serve", "--port", port, manner];
            pod.container(&format!("serve{port}"), argv).start_until("listening").await?;
        }
        let full = pod.container("full", ["workload", "listen-only", "--port", "82", "--backlog", "3"]);
        let full = full.start_until("listening").await?;
        // 1 s and 2 s: an attempt that nobody answers ends after three.
        pod.netns().output("sh", ["-c", "echo 1 > /proc/sys/net/ipv4/tcp_syn_retries"])?;
        let losses = vec![pod.lose(100, &Packets::syn().to_port(12))?, pod.lose(4, &Packets::data())?];
        Ok(Self { pod, full, _losses: losses })
    }

    /// What the listeners dropped, as `ss` shows it of each (the `d` of its memory).
    fn drops(&self) -> Result<u64> {
        let text = self.pod.netns().output("ss", ["-Htlnm"])?;
        let drops =
            text.split(",d").skip(1).map(|rest| rest.split(')').next().unwrap_or_default().parse::<u64>());
        drops.sum::<Result<_, _>>().context("no number of drops")
    }
}

/// Starts all of it in one pod; gives what is to end.
async fn load(from: &Pod, to: &Pod) -> Result<Vec<Container>> {
    let mut started = Vec::new();
    for (name, port, how) in LOAD {
        let to = format!("{}:{port}", to.ip()?);
        let argv = ["workload", "connect", "--to", &to].into_iter().chain(how.iter().copied());
        started.push(from.container(name, argv).start().await?);
    }
    Ok(started)
}

fn reset(event: &Event, direction: ResetDirection) -> Option<&TcpReset> {
    match &event.detail {
        Some(Detail::TcpReset(reset)) if reset.direction() == direction => Some(reset),
        _ => None,
    }
}

/// What the events of a pod add up to, by the counters' names.
fn told(events: &[Event]) -> BTreeMap<&'static str, u64> {
    let count = |is_it: &dyn Fn(&Event) -> bool| events.iter().filter(|event| is_it(event)).count() as u64;
    let failed = |is_it: fn(&str) -> bool| {
        count(
            &|event| matches!(&event.detail, Some(Detail::TcpConnectFailure(failure)) if is_it(&failure.error)),
        )
    };
    let caused = |causes: &[ResetCause]| {
        count(&|event| {
            reset(event, ResetDirection::Sent).is_some_and(|reset| causes.contains(&reset.cause()))
        })
    };
    let retransmitted = |is_it: fn(RetransmitPhase) -> bool| {
        let segments = |event: &Event| match &event.detail {
            Some(Detail::TcpRetransmit(detail)) if is_it(detail.phase()) => u64::from(detail.segments),
            _ => 0,
        };
        events.iter().map(segments).sum()
    };
    let open = |state: &str| matches!(state, "ESTABLISHED" | "CLOSE_WAIT");
    let met = count(&|event| reset(event, ResetDirection::Received).is_some_and(|reset| open(&reset.state)));
    let timed_out =
        count(&|event| matches!(&event.detail, Some(Detail::TcpClose(close)) if close.error == "timed_out"));
    let aborted = [ResetCause::UnreadData, ResetCause::LingerZero, ResetCause::Aborted];
    BTreeMap::from([
        (
            "TcpActiveOpens",
            count(&|event| matches!(event.detail, Some(Detail::TcpConnect(_)))) + failed(|_| true),
        ),
        ("TcpPassiveOpens", count(&|event| matches!(event.detail, Some(Detail::TcpAccept(_))))),
        // An attempt that its process gives up has not failed, to the kernel.
        ("TcpAttemptFails", failed(|error| error != "cancelled")),
        // Connections whose two halves were not closed yet, reset by the other side or by this one.
        ("TcpEstabResets", met + caused(&aborted)),
        ("TcpOutRsts", count(&|event| reset(event, ResetDirection::Sent).is_some())),
        ("TcpRetransSegs", retransmitted(|_| true)),
        (
            "TcpExtTCPSynRetrans",
            retransmitted(|phase| matches!(phase, RetransmitPhase::Syn | RetransmitPhase::SynAck)),
        ),
        ("TcpExtTCPAbortOnClose", caused(&[ResetCause::UnreadData])),
        ("TcpExtTCPAbortOnData", caused(&[ResetCause::LingerZero, ResetCause::DataAfterClose])),
        ("TcpExtTCPAbortOnTimeout", failed(|error| error == "timed_out") + timed_out),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mixed_load_is_told_as_nstat_shows_it() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).with_room().start().await?;
    let firings = Firings::start(&daemon)?;
    let filter = Filter { namespaces: vec![NAMESPACE.to_owned()], ..Filter::default() };
    let watch = Watch::filtered(&daemon, vec![filter], Vec::new()).await?;
    let dropped = Summed::start(&daemon, |tcp| tcp.listen_drops).await?;
    let sides = [Side::start(testbed, "left").await?, Side::start(testbed, "right").await?];
    let mut running = load(&sides[0].pod, &sides[1].pod).await?;
    running.extend(load(&sides[1].pod, &sides[0].pod).await?);
    for container in &running {
        container.wait().await?;
    }
    for side in &sides {
        let all = eventually(PATIENCE, "all drops of the listeners", async || {
            let (told, drops) = (dropped.of(&side.pod), side.drops()?);
            Ok(if told == drops { Ok(()) } else { Err((told, drops)) })
        });
        if let Err(error) = all.await {
            let listed =
                client::json(daemon.socket(), ["connections", "--listeners", "-n", NAMESPACE]).await?;
            bail!("{error}; lost {:?}; listed are {listed:#?}", watch.lost());
        }
        let (told, nstat) = (dropped.of(&side.pod), Nstat::read(&side.pod)?);
        // A listener's own counter has what the namespace's have, and more.
        let (overflows, drops) = (nstat.get("TcpExtListenOverflows")?, nstat.get("TcpExtListenDrops")?);
        println!("{}: {overflows} overflows, {drops} drops, {told} told", side.pod.name());
        ensure!(0 < overflows && overflows <= drops && drops <= told, "{overflows} {drops} {told}");
        // What waits there is never accepted.
        side.full.stop(Duration::ZERO).await?;
    }
    // A FIN that nobody hears is sent again after twice the time each time.
    eventually(4 * PATIENCE, "all connections to be closed", async || {
        let filter = ["-Htan", "exclude", "listening", "exclude", "time-wait"];
        let open = sides[0].pod.netns().output("ss", filter)? + &sides[1].pod.netns().output("ss", filter)?;
        Ok(if open.is_empty() { Ok(()) } else { Err(open) })
    })
    .await?;
    // A daemon that gets no processor on a busy machine may pause between events.
    eventually(PATIENCE, "the events to tell the same", async || {
        watch.settle(|_| true).await?;
        // What the kernel hid from the probes, and what the daemon says that it has lost.
        let slack = firings.unseen()? + watch.lost().iter().map(|lost| lost.count).sum::<u64>();
        for Side { pod, .. } in &sides {
            let own = |event: &Event| event.workload.as_ref().is_some_and(|owner| owner.pod == pod.name());
            let (told, nstat) = (told(&watch.events(own)), Nstat::read(pod)?);
            println!("{}: {told:?}, {slack} unseen", pod.name());
            for (name, told) in told {
                let counted = match name {
                    // The kernel counts a reset of what another pod asks for as well.
                    "TcpAttemptFails" => nstat.get(name)? - nstat.get("TcpExtEmbryonicRsts")?,
                    _ => nstat.get(name)?,
                };
                if told == 0 || told.abs_diff(counted) > slack {
                    return Ok(Err(format!("{name}: told {told}, nstat shows {counted}, {slack} unseen")));
                }
            }
        }
        Ok(Ok(()))
    })
    .await?;
    drop((watch, dropped));
    let [left, right] = sides;
    left.pod.remove().await?;
    right.pod.remove().await
}
