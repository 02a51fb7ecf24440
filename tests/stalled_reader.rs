//! A daemon that gets no processor for five seconds loses nothing of 20,000 events a second, with everything as it is
//! by default.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it tells what it measured, and when")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{GetStatusRequest, LossSource, Status};
use observer_tests::firings::Firings;
use observer_tests::losses::own;
use observer_tests::totals::Totals;
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Pod, Testbed, eventually};
use rustix::process::Signal;

/// How long the daemon stands still, if its events are made by then; else until they are.
const STALL: Duration = Duration::from_secs(5);
/// Each is four events: both ends are opened and closed.
const CONNECTIONS: u64 = 22_500;
/// Each is two events.
const EXECS: u64 = 5_000;
const BYTES: u64 = 100;

/// The figures of a pod that the generators know.
const CONNECTED: [&str; 4] = ["opened", "closed", "sent_bytes", "received_bytes"];

async fn status(daemon: &Daemon) -> Result<Status> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")
}

async fn storm(container: &Container, count: u64) -> Result<()> {
    let storm = container.exec(["workload", "exec-storm", "--count", &count.to_string()]).await?;
    ensure!(storm.code == 0 && storm.stdout.contains(&format!("\"spawned\":{count}")), "{storm:?}");
    Ok(())
}

async fn connect(container: &Container, to: &str) -> Result<()> {
    let (count, bytes) = (CONNECTIONS.to_string(), BYTES.to_string());
    let argv = ["workload", "connect", "--to", to, "--count", &count, "--parallel", "4", "--bytes", &bytes];
    let said = container.exec(argv.into_iter().chain(["--summary"])).await?;
    let sent = format!("\"connections\":{CONNECTIONS},\"errors\":0,\"sent\":{}", CONNECTIONS * BYTES);
    ensure!(said.code == 0 && said.stdout.contains(&sent), "{said:?}");
    Ok(())
}

/// Execs and exits in a pod so far, once they do not change any more.
async fn processes(totals: &Totals, pod: &Pod) -> Result<[u64; 2]> {
    let read = || {
        let sums = totals.of(pod);
        ["execs", "exits"].map(|name| sums.get(name).copied().unwrap_or(0))
    };
    eventually(PATIENCE, "no more processes", async || {
        let before = read();
        tokio::time::sleep(Duration::from_millis(2500)).await;
        Ok(if read() == before && before != [0, 0] { Ok(before) } else { Err(before) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn five_seconds_without_a_reader_lose_nothing() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let totals = Totals::start(&daemon).await?;
    let firings = Firings::start(&daemon)?;
    let server = testbed.pod("stall", "server").run().await?;
    let argv = ["workload", "serve", "--port", "8080", "--echo"];
    server.container("serve", argv).start_until("listening").await?;
    let (client, storms) =
        (testbed.pod("stall", "client").run().await?, testbed.pod("stall", "storms").run().await?);
    let connector = client.container("connector", ["workload", "pause"]).start().await?;
    let stormer = storms.container("stormer", ["workload", "pause"]).start().await?;
    client.netns().output("sh", ["-c", "echo 2000 65000 > /proc/sys/net/ipv4/ip_local_port_range"])?;
    let to = format!("{}:8080", server.ip()?);

    // What the runtime itself executes to get a program into a container.
    let before = processes(&totals, &storms).await?;
    storm(&stormer, 1).await?;
    let with_one = processes(&totals, &storms).await?;
    let beside = [0, 1].map(|of| with_one[of] - before[of] - 1);

    daemon.signal(Signal::STOP)?;
    let start = Instant::now();
    let (connected, stormed) = tokio::join!(connect(&connector, &to), storm(&stormer, EXECS));
    let made = start.elapsed();
    tokio::time::sleep(STALL.saturating_sub(made)).await;
    daemon.signal(Signal::CONT)?;
    println!("{} events while nobody read, made in {made:?}", 4 * CONNECTIONS + 2 * EXECS);
    connected?;
    stormed?;

    let (opened, bytes) = (CONNECTIONS, CONNECTIONS * BYTES);
    let expected = [opened, opened, bytes, bytes];
    eventually(PATIENCE, "all that was made to be told", async || {
        let told = [&client, &server].map(|pod| {
            let sums = totals.of(pod);
            CONNECTED.map(|name| sums.get(name).copied().unwrap_or(0))
        });
        // Where the kernel hides a change of state from all programs, nobody can tell of it.
        let hidden = firings.unseen()?;
        let exact = |told: &[u64; 4]| {
            let most = [hidden, hidden, hidden * BYTES, hidden * BYTES];
            (0..4).all(|of| (expected[of].saturating_sub(most[of])..=expected[of]).contains(&told[of]))
        };
        Ok(if told.iter().all(exact) { Ok(()) } else { Err((told, expected, hidden)) })
    })
    .await?;
    let after = processes(&totals, &storms).await?;
    let told = [0, 1].map(|of| after[of] - with_one[of]);
    ensure!(
        told == beside.map(|beside| EXECS + beside),
        "{told:?} execs and exits, of {EXECS}, {beside:?} beside"
    );

    let status = status(&daemon).await?;
    let in_rings: Vec<_> =
        own(&status).into_iter().filter(|loss| loss.source() != LossSource::Probe).collect();
    ensure!(in_rings.is_empty(), "{in_rings:?}");
    for ring in &status.rings {
        println!("{}: {} of {} bytes lost", ring.name, ring.lost, ring.size_bytes);
    }
    for pod in [server, client, storms] {
        pod.remove().await?;
    }
    Ok(())
}
