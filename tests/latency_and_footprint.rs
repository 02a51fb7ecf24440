//! How soon events reach a client, how soon the daemon is there, and what it costs.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it measures, and tells what it measured"
)]

use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{Event, EventType, GetStatusRequest, ListWorkloadsRequest, Status};
use observer_tests::wait::PATIENCE;
use observer_tests::watch::to_port;
use observer_tests::{Daemon, Testbed, Watch, eventually};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::const_new(());
const SAMPLES: usize = 200;
const CONTAINERS: usize = 50;

async fn status(daemon: &Daemon) -> Result<Status> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_a_waiting_client_within_100_ms() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let pod = testbed.pod("latency", "pod").run().await?;
    let serve = pod.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    let daemon = Daemon::on(testbed).start().await?;
    let watch = Watch::all(&daemon).await?;
    // At its start it waits for the runtime's list of containers.
    serve.exec(["true"]).await?;
    let is_ours = |event: &Event, kind| {
        event.r#type() == kind
            && event.workload.as_ref().is_some_and(|workload| workload.container_id == serve.id())
            && (kind == EventType::ProcessExec || to_port(event, 8080))
    };
    watch.wait_count("a first exec", 1, |event| is_ours(event, EventType::ProcessExec)).await?;
    let before = watch.arrivals().len();
    let count = SAMPLES.to_string();
    let storm = serve.exec(["workload", "exec-storm", "--count", &count, "--rate", "50"]).await?;
    ensure!(storm.code == 0, "{storm:?}");
    let argv = ["workload", "connect", "--to", "127.0.0.1:8080", "--count", &count, "--interval-ms", "20"];
    let connect = serve.exec(argv).await?;
    ensure!(connect.code == 0, "{connect:?}");

    for kind in [EventType::ProcessExec, EventType::TcpConnect] {
        let ours = |event: &Event| is_ours(event, kind);
        watch.wait_count("its events", SAMPLES, ours).await?;
        let mut delays = Vec::new();
        for arrival in watch.arrivals().iter().skip(before).filter(|arrival| ours(&arrival.event)) {
            let happened = SystemTime::try_from(arrival.event.time.context("no time")?)?;
            // Two clocks that are read one after the other may differ by a little.
            delays.push(arrival.at.duration_since(happened).unwrap_or_default());
        }
        delays.sort_unstable();
        let at = |percent: usize| delays[(delays.len() - 1) * percent / 100];
        let figures = format!("{}: p50 {:?} p99 {:?} max {:?}", kind.as_str_name(), at(50), at(99), at(100));
        println!("{figures}");
        ensure!(at(99) < Duration::from_millis(100), "{figures}");
    }
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_there_within_a_second_and_stays_small() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let mut pods = Vec::new();
    for _ in 0..5 {
        pods.push(testbed.pod("footprint", "pod").run().await?);
    }
    let start = Instant::now();
    let daemon = Daemon::on(testbed).start().await?;
    let serving = start.elapsed();
    let attached = Duration::from_nanos(status(&daemon).await?.attach_duration_ns);
    println!("attached after {attached:?}, served after {serving:?}");
    ensure!(
        attached < Duration::from_secs(1) && serving < Duration::from_secs(2),
        "{attached:?} {serving:?}"
    );

    let mut starts = JoinSet::new();
    for number in 0..CONTAINERS {
        let name = format!("c{number}");
        let builder = pods[number % pods.len()].container(&name, ["workload", "pause"]);
        let container = builder.create().await?;
        starts.spawn(async move { container.start().await });
    }
    for started in starts.join_all().await {
        started?;
    }
    let mut client = ObserverClient::new(daemon.channel().await?);
    let known = eventually(PATIENCE, "all containers to be known by name", || {
        let mut client = client.clone();
        async move {
            let list = client.list_workloads(ListWorkloadsRequest::default()).await?.into_inner().workloads;
            let named = |workload: &observer_proto::v1::Workload| {
                workload.namespace == "footprint" && !workload.container.is_empty() && !workload.sandbox
            };
            let known =
                list.iter().filter_map(|status| status.workload.as_ref()).filter(|it| named(it)).count();
            Ok(if known == CONTAINERS { Ok(known) } else { Err(known) })
        }
    })
    .await?;
    let (now, most) = daemon.memory()?;
    println!("{known} containers: {} KiB resident, {} KiB at most", now >> 10, most >> 10);
    ensure!(most < 40 << 20, "{now} bytes resident, {most} at most");

    // Nobody follows, and the containers sleep.
    let (start, before) = (Instant::now(), daemon.cpu()?);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let share = daemon.cpu()?.saturating_sub(before).as_secs_f64() / start.elapsed().as_secs_f64();
    println!("idle: {:.2} % of a core", share * 100.0);
    // The rest of the machine may not be idle, and all that it does passes the probes.
    ensure!(share < 0.02, "{:.2} % of a core", share * 100.0);
    drop(client.get_status(GetStatusRequest {}).await?);
    for pod in pods {
        pod.remove().await?;
    }
    Ok(())
}
