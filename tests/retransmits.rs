//! Segments sent again are told as the kernel counts them: exactly, for each network namespace and phase.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType, RetransmitCause, RetransmitPhase};
use observer_tests::firings::Firings;
use observer_tests::wait::PATIENCE;
use observer_tests::watch::tcp;
use observer_tests::{Container, Daemon, Loss, Packets, Pod, Summed, Testbed, Watch, eventually};

/// Retransmitted segments by pod, and by phase.
type Segments = BTreeMap<(String, &'static str), u64>;

fn retransmitted(events: &[Event]) -> Result<Segments> {
    let mut sums = Segments::new();
    for event in events {
        let Some(Detail::TcpRetransmit(detail)) = &event.detail else { continue };
        ensure!(detail.phase() != RetransmitPhase::Unspecified && detail.segments > 0, "{event:?}");
        let pod = event.workload.as_ref().context("no workload")?.pod.clone();
        *sums.entry((pod, detail.phase().as_str_name())).or_default() += u64::from(detail.segments);
    }
    Ok(sums)
}

/// Segments of one pod's events by what the kernel calls their cause: fast retransmits, and those of handshakes.
fn by_kernel_counter(events: &[Event], pod: &Pod) -> Result<BTreeMap<&'static str, u64>> {
    let mut sums = BTreeMap::from([("TCPFastRetrans", 0), ("TCPSynRetrans", 0)]);
    for event in events {
        let Some(Detail::TcpRetransmit(detail)) = &event.detail else { continue };
        if event.workload.as_ref().context("no workload")?.pod != pod.name() {
            continue;
        }
        let counter = match (detail.phase(), detail.cause()) {
            (RetransmitPhase::Syn | RetransmitPhase::SynAck, RetransmitCause::Timeout) => "TCPSynRetrans",
            (_, RetransmitCause::Fast) => "TCPFastRetrans",
            // The kernel counts these with others: timeouts with what follows them, probes with those of new data.
            (_, RetransmitCause::Timeout) => "timeout",
            (_, RetransmitCause::TailLossProbe) => "tail loss probe",
            (_, RetransmitCause::Unspecified) => anyhow::bail!("no cause: {event:?}"),
        };
        *sums.entry(counter).or_default() += u64::from(detail.segments);
    }
    Ok(sums)
}

/// The phases in which segments were sent again.
type Phases = BTreeSet<&'static str>;

/// Segments that one firing of a hook may tell of: as many as one buffer has.
const SEGMENTS: u64 = 64;
/// Runs in which the kernel may hide firings of hooks, one after the other.
const RUNS: usize = 4;
/// Short connections, all at once.
const SMALL: [&str; 6] = ["--count", "20", "--parallel", "20", "--bytes", "100"];

/// One of twenty connections may lose nine SYNs in a row, and waits twice as long after each of them.
const UNLUCKY: Duration = Duration::from_mins(3);

/// Two pods under one daemon.
struct Setting {
    // Dropped first, so that a failed test ends its streams before its daemon.
    watch: Watch,
    summed: Summed,
    /// The same, as the events told them.
    by_kind: Summed,
    firings: Firings,
    daemon: Daemon,
    server: Pod,
    client: Pod,
}

impl Setting {
    async fn start() -> Result<Self> {
        let testbed = Testbed::shared().await?;
        let daemon = Daemon::on(testbed).start().await?;
        let firings = Firings::start(&daemon)?;
        let watch = Watch::all(&daemon).await?;
        let summed = Summed::start(&daemon, |tcp| tcp.retransmitted_segments).await?;
        let by_kind = Summed::start(&daemon, |tcp| tcp.retransmits.iter().map(|kind| kind.segments).sum());
        let by_kind = by_kind.await?;
        let server = testbed.pod("retransmits", "server").run().await?;
        server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
        let client = testbed.pod("retransmits", "client").run().await?;
        Ok(Self { watch, summed, by_kind, firings, daemon, server, client })
    }

    /// Starts the client.
    async fn connects(&self, more: &[&str]) -> Result<Container> {
        let to = format!("{}:8080", self.server.ip()?);
        let argv = ["workload", "connect", "--to", &to].into_iter().chain(more.iter().copied());
        self.client.container("connect", argv).start().await
    }

    /// Runs the client under losses to its end, and compares.
    async fn run(&self, losses: Vec<Loss>, more: &[&str]) -> Result<([Phases; 2], bool)> {
        self.connects(more).await?.wait_for(UNLUCKY).await?;
        let dropped = losses.iter().map(Loss::dropped).sum::<Result<u64>>()?;
        println!("dropped {dropped}");
        drop(losses);
        self.compare().await
    }

    /// Compares what was told of all connections, once they are closed: events with each namespace's RetransSegs, and the
    /// summaries as well. Gives the phases that there were on the client's side and on the server's, and whether all
    /// could be compared: not where the kernel hid firings of hooks.
    async fn compare(&self) -> Result<([Phases; 2], bool)> {
        let ours = [self.client.netns().inode()?, self.server.netns().inode()?];
        let ours = |event: &Event| tcp(event).is_some_and(|tcp| ours.contains(&u64::from(tcp.netns)));
        // All that was opened is closed, on both sides: nothing is sent again after that.
        eventually(UNLUCKY, "all connections to be closed", async || {
            let opened = |event: &Event| {
                ours(event) && matches!(event.r#type(), EventType::TcpConnect | EventType::TcpAccept)
            };
            let opened = self.watch.count(opened);
            let closed = self.watch.count(|event| ours(event) && event.r#type() == EventType::TcpClose);
            let hidden = self.firings.unseen()? as usize;
            Ok(if opened > 0 && opened.abs_diff(closed) <= hidden { Ok(()) } else { Err((opened, closed)) })
        })
        .await?;
        self.watch.settle(ours).await?;
        ensure!(self.watch.lost().is_empty(), "{:?}", self.watch.lost());

        let sums = retransmitted(&self.watch.events(ours))?;
        let hidden = self.firings.unseen()?;
        println!("sent again {sums:?}, {hidden} firings of hooks hidden");
        let mut phases = [BTreeSet::new(), BTreeSet::new()];
        for (pod, phases) in [&self.client, &self.server].into_iter().zip(&mut phases) {
            let own = |(key, _): &(&(String, &'static str), &u64)| key.0 == pod.name();
            let told: u64 = sums.iter().filter(own).map(|(_, count)| count).sum();
            let kernel = pod.counters()?.get("RetransSegs")? as u64;
            phases.extend(sums.iter().filter(own).map(|(key, _)| key.1));
            if hidden > 0 {
                let missing = kernel.checked_sub(told).context("more than there were")?;
                ensure!(
                    missing <= hidden * SEGMENTS,
                    "{}: events tell {told}, the kernel {kernel}",
                    pod.name()
                );
                continue;
            }
            ensure!(told == kernel, "{}: events tell {told}, the kernel {kernel}: {sums:?}", pod.name());
            eventually(PATIENCE, "the summaries to tell the same", async || {
                let summed = [self.summed.of(pod), self.by_kind.of(pod)];
                let most = summed.iter().all(|sum| *sum <= kernel);
                ensure!(most, "{}: summaries tell {summed:?}, the kernel {kernel}", pod.name());
                Ok(if summed == [kernel; 2] { Ok(()) } else { Err((summed, kernel)) })
            })
            .await?;
            let causes = by_kernel_counter(&self.watch.events(ours), pod)?;
            println!("{}: {causes:?}", pod.name());
            for counter in ["TCPFastRetrans", "TCPSynRetrans"] {
                let kernel = pod.counters()?.get(counter)? as u64;
                ensure!(causes[counter] == kernel, "{}: {counter} {kernel}: {causes:?}", pod.name());
            }
        }
        Ok((phases, hidden == 0))
    }

    async fn end(self) -> Result<()> {
        let Self { watch, summed, by_kind, firings, mut daemon, server, client } = self;
        drop((watch, summed, by_kind, firings));
        daemon.stop().await?;
        server.remove().await?;
        client.remove().await
    }
}

/// Compares under losses, and again where the kernel hid something, a few times at most: then what it hid is the bound.
async fn compare(lose: impl Fn(&Setting) -> Result<Vec<Loss>>, more: &[&str]) -> Result<[Phases; 2]> {
    let mut compared = Default::default();
    for _ in 0..RUNS {
        let setting = Setting::start().await?;
        let exactly;
        (compared, exactly) = setting.run(lose(&setting)?, more).await?;
        setting.end().await?;
        if exactly {
            break;
        }
    }
    Ok(compared)
}

#[tokio::test(flavor = "multi_thread")]
async fn data_sent_again_is_counted_as_the_kernel_does() -> Result<()> {
    let lose = |setting: &Setting| {
        let server = setting.server.lose(5, &Packets::data().to_port(8080))?;
        Ok(vec![server, setting.client.lose(5, &Packets::data().from_port(8080))?])
    };
    let phases = compare(lose, &["--count", "20", "--parallel", "10", "--bytes", "300000"]).await?;
    let data = RetransmitPhase::Data.as_str_name();
    ensure!(phases.iter().all(|phases| phases.contains(data)), "{phases:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn first_segments_sent_again_are_counted_as_the_kernel_does() -> Result<()> {
    let lose = |setting: &Setting| Ok(vec![setting.server.lose(40, &Packets::syn())?]);
    let phases = compare(lose, &SMALL).await?;
    let only_syn = [BTreeSet::from([RetransmitPhase::Syn.as_str_name()]), BTreeSet::new()];
    ensure!(phases == only_syn, "{phases:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_them_sent_again_are_counted_as_the_kernel_does() -> Result<()> {
    let lose = |setting: &Setting| Ok(vec![setting.client.lose(40, &Packets::syn_ack())?]);
    let [_, server] = compare(lose, &SMALL).await?;
    ensure!(server == BTreeSet::from([RetransmitPhase::SynAck.as_str_name()]), "{server:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn last_segments_sent_again_are_counted_as_the_kernel_does() -> Result<()> {
    let fin = Packets::tcp().and("tcp flags & fin == fin");
    let lose = |setting: &Setting| Ok(vec![setting.server.lose(60, &fin)?]);
    let [client, _] = compare(lose, &SMALL).await?;
    ensure!(client.contains(RetransmitPhase::Fin.as_str_name()), "{client:?}");
    Ok(())
}

/// Where the kernel finds that a segment's last copy still waits in its own host's queue, it sends nothing, and runs the
/// hook all the same (from 6.14 on). A socket whose SYN-ACK was sent again has a sum that nothing was told of.
#[tokio::test(flavor = "multi_thread")]
async fn what_still_waits_on_its_host_is_not_told_as_sent_again() -> Result<()> {
    for _ in 0..RUNS {
        let setting = Setting::start().await?;
        let queue = |rate| {
            let shape = ["rate", rate, "burst", "3000", "limit", "1000000"];
            let argv = ["qdisc", "replace", "dev", "eth0", "root", "tbf"].into_iter().chain(shape);
            setting.server.netns().output("tc", argv)
        };
        // Else what waits is no longer the copy that the kernel looks for.
        setting.server.netns().output("ip", ["link", "set", "dev", "eth0", "gso_max_segs", "1"])?;
        queue("1kbit")?;
        let counted = async |counter: &str, least| {
            eventually(PATIENCE, counter, async || {
                let count = setting.server.counters()?.get(counter)?;
                Ok(if count >= least { Ok(()) } else { Err(count) })
            })
            .await
        };
        let loss = setting.client.lose(100, &Packets::syn_ack())?;
        let client = setting.connects(&["--bytes", "20000"]).await?;
        counted("RetransSegs", 1).await?;
        loss.stop()?;
        // The first one may be a probe of a tail loss, which looks before.
        counted("TCPSpuriousRtxHostQueues", 3).await?;
        queue("1gbit")?;
        client.wait_for(UNLUCKY).await?;
        let ([_, server], exactly) = setting.compare().await?;
        ensure!(server.contains(RetransmitPhase::SynAck.as_str_name()), "{server:?}");
        setting.end().await?;
        if exactly {
            break;
        }
    }
    Ok(())
}
