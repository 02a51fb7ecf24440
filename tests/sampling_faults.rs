//! Sockets that close, and network namespaces that vanish, while the daemon reads the live sockets: nothing is counted
//! twice, nothing is missing, and nothing is amiss.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType, Filter, TcpSummary};
use observer_tests::firings::Firings;
use observer_tests::wait::PATIENCE;
use observer_tests::watch::{tcp, to_port};
use observer_tests::{Daemon, NetnsPair, Pod, Summed, Testbed, Watch, client, eventually};
use tokio::sync::Mutex;

/// One test at a time: what one makes, another one's daemon would tell of.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A figure's name, and where it is.
type Figure = (&'static str, fn(&TcpSummary) -> u64);

/// The figures of the summaries that must be those of the events.
const FIGURES: [Figure; 6] = [
    ("opened", |tcp| tcp.opened),
    ("closed", |tcp| tcp.closed),
    ("sent bytes", |tcp| tcp.sent_bytes),
    ("received bytes", |tcp| tcp.received_bytes),
    ("sent segments", |tcp| tcp.sent_segments),
    ("received segments", |tcp| tcp.received_segments),
];

/// It is no segment that is sent again: a machine that pauses has some of those.
fn is_first(event: &Event) -> bool {
    event.r#type() != EventType::TcpRetransmit
}

/// The same of one pod as its events tell them.
fn by_events(events: &[Event], pod: &Pod) -> [u64; 6] {
    let mut sums = [0; 6];
    let own = |event: &&Event| event.workload.as_ref().is_some_and(|own| own.pod == pod.name());
    for event in events.iter().filter(own) {
        match &event.detail {
            Some(Detail::TcpConnect(_) | Detail::TcpAccept(_)) => sums[0] += 1,
            Some(Detail::TcpClose(close)) => {
                let counters = close.counters.unwrap_or_default();
                let figures = [
                    1,
                    counters.sent_bytes,
                    counters.received_bytes,
                    counters.sent_segments,
                    counters.received_segments,
                ];
                sums[1..].iter_mut().zip(figures).for_each(|(sum, figure)| *sum += figure);
            }
            _ => {}
        }
    }
    sums
}

/// How many live connections are listed. The daemon reads them first.
async fn list(daemon: &Daemon, more: &[&str]) -> Result<usize> {
    // With whatever else runs on the machine, its answer may take its time.
    let args = ["connections", "--timeout", "30s"].iter().chain(more).copied();
    Ok(client::json(daemon.socket(), args).await?.len())
}

/// Has the daemon read the live sockets again and again, and lists them, until `stop`.
async fn keep_listing(daemon: &Daemon, stop: &AtomicBool) -> Result<usize> {
    let mut listed = 0;
    while !stop.load(Ordering::Relaxed) {
        listed += list(daemon, &["--port", "8080"]).await?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(listed)
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_close_while_they_are_read_are_counted_once() -> Result<()> {
    const COUNT: u64 = 4000;
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).with_room().start().await?;
    let ours = Filter { namespaces: vec!["closing".to_owned()], ..Filter::default() };
    let watch = Watch::filtered(&daemon, vec![ours], Vec::new()).await?;
    let mut summed = Vec::new();
    for (name, figure) in FIGURES {
        summed.push((name, Summed::start(&daemon, figure).await?));
    }
    let server = testbed.pod("closing", "server").run().await?;
    server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let asking = testbed.pod("closing", "client").run().await?;
    let to = format!("{}:8080", server.ip()?);
    let connect = ["workload", "connect", "--to", &to, "--summary", "--bytes", "300"];
    // Some end at once, and some live long enough to be read once or twice.
    let brief = ["--count", "3000", "--parallel", "4", "--interval-ms", "3"];
    let held = ["--count", "1000", "--parallel", "200", "--hold", "0.7", "--requests", "3"];
    let brief = asking.container("brief", connect.iter().chain(&brief).copied()).start().await?;
    let held = asking.container("held", connect.iter().chain(&held).copied()).start().await?;
    let stop = AtomicBool::new(false);
    let ends = async {
        let lines = (brief.output().await, held.output().await);
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok([lines.0?, lines.1?])
    };
    let (lines, listed) = tokio::join!(ends, keep_listing(&daemon, &stop));
    let (lines, listed) = (lines?, listed?);
    println!("{listed} live connections were listed meanwhile");
    ensure!(listed > 200, "nothing was read while it lived: {listed}");

    let total = |name: &str| lines.iter().flatten().filter_map(|line| line[name].as_u64()).sum::<u64>();
    ensure!(total("connections") == COUNT && total("errors") == 0, "{lines:?}");
    let ours = |event: &Event| {
        let own = event.workload.as_ref().is_some_and(|own| own.namespace == "closing");
        own && to_port(event, 8080) && is_first(event)
    };
    // Longer than elsewhere: on a busy machine the daemon is behind, as it reads all sockets twice a second.
    eventually(Duration::from_mins(2), "all events", async || {
        let count = watch.count(ours);
        Ok(if count >= 4 * COUNT as usize { Ok(()) } else { Err((count, watch.lost())) })
    })
    .await?;
    watch.settle(ours).await?;
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());
    let events = watch.events(ours);
    ensure!(events.len() == 4 * COUNT as usize, "{}", events.len());
    for pod in [&asking, &server] {
        let told = by_events(&events, pod);
        ensure!(told[..4] == [COUNT, COUNT, total("sent"), total("received")], "{}: {told:?}", pod.name());
        eventually(PATIENCE, "the summaries to tell the same", async || {
            let sums: Vec<u64> = summed.iter().map(|(_, summed)| summed.of(pod)).collect();
            let most = sums.iter().zip(told).all(|(sum, told)| *sum <= told);
            ensure!(most, "{}: summaries {sums:?}, events {told:?} ({FIGURES:?})", pod.name());
            Ok(if sums == told { Ok(()) } else { Err((sums, told)) })
        })
        .await?;
    }
    ensure!(list(&daemon, &["-n", "closing"]).await? == 0, "not all is gone");
    no_complaints(&daemon)?;
    asking.remove().await?;
    server.remove().await
}

/// The daemon has nothing to complain about.
fn no_complaints(daemon: &Daemon) -> Result<()> {
    let said = daemon.stderr();
    let complaint = said.lines().find(|line| line.contains("WARN") || line.contains("ERROR"));
    ensure!(complaint.is_none(), "{complaint:?}");
    Ok(())
}

/// Both ends of a connection between namespaces of their own, and its listener.
struct Held {
    pair: NetnsPair,
    ends: [TcpStream; 2],
    _listener: TcpListener,
}

impl Held {
    fn new(port: u16) -> Result<Self> {
        let pair = NetnsPair::new()?;
        for side in [pair.left(), pair.right()] {
            // A FIN whose answer is lost with the other namespace is sent again for 107 s by default.
            side.netns.output("sh", ["-c", "echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries"])?;
        }
        let to = SocketAddr::from((pair.right().ip, port));
        let listener = pair.right().netns.run(|| Ok(TcpListener::bind(to)?))?;
        let asking = pair.left().netns.run(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)?))?;
        let asked = listener.accept()?.0;
        Ok(Self { pair, ends: [asking, asked], _listener: listener })
    }

    /// Removes the namespaces' names first: then the sockets hold them until their end. Or the sockets first: then
    /// the namespaces go while the connection's end is still under way.
    fn remove(self, names_first: bool) {
        let Self { pair, ends, _listener } = self;
        if names_first {
            drop(pair);
            drop(ends);
        } else {
            drop(ends);
            drop(pair);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_vanish_leave_nothing_wrong() -> Result<()> {
    const ROUNDS: u16 = 40;
    let _alone = ALONE.lock().await;
    let daemon = Daemon::bare().start().await?;
    let firings = Firings::start(&daemon)?;
    let ports = (0..ROUNDS).map(|round| u32::from(9000 + round)).collect();
    let watch = Watch::filtered(&daemon, vec![Filter { ports, ..Filter::default() }], Vec::new()).await?;
    let stop = AtomicBool::new(false);
    // Namespaces come and go, some with their sockets alive for a while.
    let churn = tokio::task::spawn_blocking(|| -> Result<()> {
        let mut kept = Vec::new();
        for round in 0..ROUNDS {
            kept.push(Held::new(9000 + round)?);
            if kept.len() > 3 {
                kept.remove(0).remove(round % 2 == 0);
            }
        }
        for held in kept {
            held.remove(true);
        }
        Ok(())
    });
    let churn = async {
        let result = churn.await;
        stop.store(true, Ordering::Relaxed);
        result?
    };
    let restart = async {
        let mut starts = 0;
        while !stop.load(Ordering::Relaxed) {
            // It adopts what lives, and what is about to go.
            let mut other = Daemon::bare().start().await?;
            list(&other, &[]).await?;
            ensure!(other.stop().await?.success(), "{}", other.stderr());
            no_complaints(&other)?;
            starts += 1;
        }
        anyhow::Ok(starts)
    };
    let (churned, starts, listed) = tokio::join!(churn, restart, keep_listing(&daemon, &stop));
    churned?;
    listed?;
    println!("{} other daemons were started meanwhile", starts?);
    let (connect, accept) = ((EventType::TcpConnect, true), (EventType::TcpAccept, false));
    let expected = [connect, accept, (EventType::TcpClose, false), (EventType::TcpClose, true)];
    let mut missing = 0;
    for port in (0..ROUNDS).map(|round| 9000 + round) {
        let ours =
            |event: &Event| to_port(event, port) && is_first(event) && event.r#type() != EventType::TcpReset;
        let told = eventually(PATIENCE, "both ends' events", async || {
            let mut told: Vec<_> = Vec::new();
            for event in watch.events(ours) {
                told.push((event.r#type(), tcp(&event).context("no tcp")?.outgoing));
            }
            // What the kernel hides from all programs nobody can tell of.
            if told.len() as u64 + firings.unseen()? >= 4 {
                return Ok(Ok(told));
            }
            // Whether the end that is missing is still to come.
            let listed = client::json(daemon.socket(), ["connections", "--port", &port.to_string()]).await?;
            Ok(Err((told, listed, watch.lost())))
        })
        .await?;
        let once = |of: &(EventType, bool)| told.iter().filter(|one| *one == of).count() == 1;
        ensure!(told.iter().all(|one| expected.contains(one) && once(one)), "{port}: {told:?}");
        missing += (expected.len() - told.len()) as u64;
    }
    let hidden = firings.unseen()?;
    ensure!(missing <= hidden, "{missing} events are missing, {hidden} were hidden");
    ensure!(watch.lost().is_empty(), "{:?}", watch.lost());
    no_complaints(&daemon)
}
