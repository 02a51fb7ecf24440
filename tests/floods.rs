//! Proves that a container which does more than its budget of events is counted exactly, told as sums, and hides nobody.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::watch_events_response::Payload;
use observer_proto::v1::{Event, GetStatusRequest, WatchEventsRequest};
use observer_tests::firings::Firings;
use observer_tests::losses::own;
use observer_tests::totals::{Figures, Totals, of_events};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, Watch, eventually};

const NAMESPACE: &str = "floods";
/// What a container may have told of each kind in a second.
const BUDGET: &str = "100";
/// A flood may take so long.
const LONG: Duration = Duration::from_mins(5);
/// Events that are kept.
const KEPT: u32 = 1500;
/// Room for about so many.
const MEMORY: &str = "1MiB";
/// Connections of a flood.
const FLOOD: u64 = 8_000;
const BYTES: u64 = 100;
/// Connections of somebody else meanwhile.
const QUIET: u64 = 20;
/// Ports that are tried one after the other: more edges than are counted apart.
const PORTS: u64 = 3_000;
/// Execs of a storm.
const EXECS: u64 = 6_000;
/// How often it is tried to have a run in which the kernel hides nothing from programs.
const TRIES: u32 = 4;

/// A daemon with a small budget, and what it tells.
struct Setting {
    testbed: &'static Testbed,
    daemon: Daemon,
    firings: Firings,
    watch: Watch,
    totals: Totals,
}

impl Setting {
    async fn start() -> Result<Self> {
        let testbed = Testbed::shared().await?;
        let daemon =
            Daemon::on(testbed).args(["--event-budget", BUDGET, "--history-bytes", MEMORY]).start().await?;
        let firings = Firings::start(&daemon)?;
        let watch = Watch::all(&daemon).await?;
        let totals = Totals::start(&daemon).await?;
        Ok(Self { testbed, daemon, firings, watch, totals })
    }

    async fn pod(&self, name: &str) -> Result<Pod> {
        self.testbed.pod(NAMESPACE, name).run().await
    }

    /// Waits until a pod's summaries tell these figures; false where they do not and the kernel hid something.
    async fn reaches(&self, pod: &Pod, expected: &[(&'static str, u64)]) -> Result<bool> {
        let reached = eventually(PATIENCE, "the sums of the pod's summaries", async || {
            let (own, edges) = (self.totals.of(pod), self.totals.of_edges(pod));
            let is = |sums: &Figures, of_edges: bool| {
                let figures =
                    expected.iter().filter(|(name, _)| !of_edges || !["execs", "exits"].contains(name));
                figures.clone().all(|(name, count)| sums.get(name).copied().unwrap_or(0) == *count)
            };
            Ok(if is(&own, false) && is(&edges, true) { Ok(()) } else { Err((own, edges)) })
        })
        .await;
        match reached {
            Ok(()) => Ok(true),
            Err(_) if self.firings.unseen()? > 0 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What was told of a pod one by one and as sums, by type.
    fn told(&self, pod: &Pod) -> BTreeMap<String, u64> {
        let mut told = BTreeMap::new();
        for event in self.watch.events(|event| is_of(event, pod)) {
            *told.entry(event.r#type().as_str_name().to_owned()).or_default() += 1;
        }
        for folded in self.watch.folded() {
            if folded.workload.as_ref().is_some_and(|workload| workload.pod == pod.name()) {
                for count in folded.events {
                    *told.entry(count.r#type).or_default() += count.count;
                }
            }
        }
        told
    }

    /// What a new subscriber gets of the past.
    async fn kept(&self) -> Result<Vec<Event>> {
        let request = WatchEventsRequest { last: KEPT, follow: false, ..WatchEventsRequest::default() };
        let mut client = ObserverClient::new(self.daemon.channel().await?);
        let mut stream = client.watch_events(request).await?.into_inner();
        let mut kept = Vec::new();
        while let Some(message) = stream.message().await? {
            if let Some(Payload::Event(event)) = message.payload {
                kept.push(event);
            }
        }
        Ok(kept)
    }

    /// Nothing is lost, and the status tells what was only counted.
    async fn nothing_is_lost(&self, of: &str) -> Result<()> {
        let mut client = ObserverClient::new(self.daemon.channel().await?);
        let status =
            client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
        ensure!(own(&status).is_empty(), "lost: {:?}", status.losses);
        let folded = status.folded_events.iter().find(|count| count.r#type == of);
        ensure!(folded.is_some_and(|count| count.count > 0), "{of}: {:?}", status.folded_events);
        Ok(())
    }
}

fn is_of(event: &Event, pod: &Pod) -> bool {
    event.workload.as_ref().is_some_and(|workload| workload.pod == pod.name())
}

/// One flood of connections; false where the kernel hid something.
async fn flood() -> Result<bool> {
    let it = Setting::start().await?;
    let (server, client, quiet) = (it.pod("server").await?, it.pod("flood").await?, it.pod("quiet").await?);
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    let _serve = serve.start_until("listening").await?;
    let calm = it.pod("calm").await?;
    let calm_serve = calm.container("serve", ["workload", "serve", "--port", "8080"]);
    let _calm_serve = calm_serve.start_until("listening").await?;
    let (to, count, bytes) = (format!("{}:8080", server.ip()?), FLOOD.to_string(), BYTES.to_string());
    let argv = ["workload", "connect", "--to", &to, "--count", &count, "--parallel", "4", "--bytes", &bytes];
    let flood = client.container("flood", argv.into_iter().chain(["--summary"])).start().await?;
    let (to, count) = (format!("{}:8080", calm.ip()?), QUIET.to_string());
    let argv = ["workload", "connect", "--to", &to, "--count", &count, "--interval-ms", "50"];
    let other =
        quiet.container("other", argv.into_iter().chain(["--bytes", &bytes, "--summary"])).start().await?;
    for done in [&flood, &other] {
        let exit = done.wait_for(LONG).await?;
        ensure!(exit.code == 0, "{exit:?} {:?}", done.log());
    }

    let figures = |count: u64| {
        let bytes = count * BYTES;
        [
            ("opened", count),
            ("closed", count),
            ("sent_bytes", bytes),
            ("received_bytes", bytes),
            ("failed", 0),
        ]
    };
    for (pod, count) in [(&client, FLOOD), (&server, FLOOD), (&quiet, QUIET), (&calm, QUIET)] {
        if !it.reaches(pod, &figures(count)).await? {
            return Ok(false);
        }
    }
    it.watch.settle(|_| true).await?;
    for (pod, opened) in [(&client, "tcp_connect"), (&server, "tcp_accept")] {
        let (told, one_by_one) = (it.told(pod), it.watch.count(|event| is_of(event, pod)) as u64);
        ensure!(told[opened] == FLOOD && told["tcp_close"] == FLOOD, "{opened}: {told:?}");
        ensure!(one_by_one < FLOOD, "{one_by_one} of {} are told one by one", 2 * FLOOD);
    }
    for pod in [&quiet, &calm] {
        let told = of_events(&it.watch.events(|event| is_of(event, pod)));
        ensure!((told["opened"], told["closed"]) == (QUIET, QUIET), "{told:?}");
        let kept = of_events(it.kept().await?.iter().filter(|event| is_of(event, pod)));
        ensure!((kept["opened"], kept["closed"]) == (QUIET, QUIET), "in memory: {kept:?}");
    }
    it.nothing_is_lost("tcp_connect").await?;
    Ok(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_connections_is_counted_and_hides_nobody() -> Result<()> {
    for _ in 0..TRIES {
        if Box::pin(flood()).await? {
            return Ok(());
        }
    }
    bail!("the kernel hid something in each of {TRIES} runs")
}

/// One scan of ports on which nobody listens; false where the kernel hid something.
async fn scan() -> Result<bool> {
    let it = Setting::start().await?;
    let (target, scanner) = (it.pod("target").await?, it.pod("scanner").await?);
    let (to, count) = (target.ip()?.to_string(), PORTS.to_string());
    let argv = ["workload", "scan", "--to", &to, "--first", "20000", "--count", &count];
    let exit = scanner.container("scan", argv).start().await?.wait_for(LONG).await?;
    ensure!(exit.code == 0, "{exit:?}");
    if !it.reaches(&scanner, &[("failed", PORTS), ("failures", PORTS), ("opened", 0)]).await?
        || !it.reaches(&target, &[("resets_sent", PORTS)]).await?
    {
        return Ok(false);
    }
    it.watch.settle(|_| true).await?;
    let (asked, answered) = (it.told(&scanner), it.told(&target));
    ensure!(
        asked["tcp_connect_failure"] == PORTS && answered["tcp_reset"] == PORTS,
        "{asked:?} {answered:?}"
    );
    it.nothing_is_lost("tcp_connect_failure").await?;
    Ok(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_of_more_ports_than_edges_is_counted() -> Result<()> {
    for _ in 0..TRIES {
        if Box::pin(scan()).await? {
            return Ok(());
        }
    }
    bail!("the kernel hid something in each of {TRIES} runs")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_execs_is_counted_beside_the_containers_own_story() -> Result<()> {
    let it = Setting::start().await?;
    let pod = it.pod("storm").await?;
    let argv = ["workload", "exec-storm", "--count", &EXECS.to_string()];
    let exit = pod.container("storm", argv).start().await?.wait_for(LONG).await?;
    ensure!(exit.code == 0, "{exit:?}");
    // The storm itself is executed and exits too; the pod's sandbox is executed and stays.
    let expected = [("execs", EXECS + 2), ("exits", EXECS + 1)];
    ensure!(it.reaches(&pod, &expected).await?, "execs and exits are hidden from nobody");
    it.watch.settle(|_| true).await?;
    let told = it.told(&pod);
    ensure!(told["process_exec"] == EXECS + 2 && told["process_exit"] == EXECS + 1, "{told:?}");
    let events = it.watch.events(|event| is_of(event, &pod));
    let first = events.iter().filter(
        |event| matches!(&event.detail, Some(Detail::ProcessExit(exit)) if exit.container_first_process),
    );
    ensure!(first.count() == 1, "the end of the container's first process is not told");
    let stops = events.iter().filter(|event| matches!(event.detail, Some(Detail::ContainerStop(_))));
    ensure!(stops.count() == 1, "the container's end is not told");
    it.nothing_is_lost("process_exec").await
}
