//! Connections and listeners that are older than the daemon are followed from when it came, and what opens while it
//! begins is told of whom it is between.
#![allow(clippy::disallowed_methods, reason = "a daemon waits for its runtime for a time")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType};
use observer_tests::guardian::Guardian;
use observer_tests::wait::PATIENCE;
use observer_tests::watch::{tcp, to_port};
use observer_tests::{Daemon, NetnsPair, Packets, Pod, Testbed, Watch, client, eventually, workload};
use rustix::process::Signal;
use serde_json::Value;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;

async fn listed(daemon: &Daemon, port: &str, count: usize) -> Result<Vec<Value>> {
    eventually(PATIENCE, "the older connections to be listed", async || {
        let lines = client::json(daemon.socket(), ["connections", "--port", port]).await?;
        Ok(if lines.len() == count { Ok(lines) } else { Err(lines) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn older_connections_of_pods_are_theirs_and_counted_from_now_on() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let server = testbed.pod("adoption", "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080"]);
    let serve = serve.start_until("listening").await?;
    let holder = testbed.pod("adoption", "holder").run().await?;
    let to = format!("{}:8080", server.ip()?);
    // Talks before the daemon is there and after it came.
    let argv = ["workload", "connect", "--to", &to, "--bytes", "5000", "--hold", "600"];
    let connect = holder.container("connect", argv).start().await?;
    eventually(PATIENCE, "the older connection", async || {
        let shown = holder.netns().output("ss", ["-Htn", "state", "established", "dport", "=", ":8080"])?;
        Ok(if shown.is_empty() { Err(()) } else { Ok(()) })
    })
    .await?;

    let daemon = Daemon::on(testbed).start().await?;
    let watch = Watch::all(&daemon).await?;
    for line in listed(&daemon, "8080", 2).await? {
        ensure!(line["adopted"] == true && line["handshake_latency_ns"].is_null(), "{line}");
        let outgoing = line["tcp"]["outgoing"].as_bool().unwrap_or(false);
        let (pod, container) = if outgoing { (&holder, &connect) } else { (&server, &serve) };
        let own = &line["workload"];
        ensure!(own["pod"] == pod.name() && own["container"] == container.name(), "{line}");
        ensure!(line["process"]["comm"] == "workload", "{line}");
        ensure!(line["tcp"]["source"]["workload"]["pod"] == holder.name(), "{line}");
        ensure!(line["tcp"]["destination"]["workload"]["pod"] == server.name(), "{line}");
        ensure!(line["counters"]["sent_bytes"] == 5000 && line["flow"]["accepted"] == true, "{line}");
    }
    connect.stop(Duration::ZERO).await?;
    let closes = |event: &Event| event.r#type() == EventType::TcpClose && to_port(event, 8080);
    watch.wait_count("both ends of it", 2, closes).await?;
    for event in watch.events(closes) {
        let Some(Detail::TcpClose(close)) = &event.detail else { anyhow::bail!("{event:?}") };
        ensure!(close.duration_ns.is_none(), "its start was not seen: {event:?}");
        ensure!(close.counters.as_ref().context("no counters")?.sent_bytes == 5000, "{event:?}");
    }
    // A connection that comes to the older listener is an ordinary one.
    let argv = ["workload", "connect", "--to", &to, "--bytes", "10"];
    holder.container("later", argv).start().await?.wait().await?;
    let accepts = |event: &Event| event.r#type() == EventType::TcpAccept && to_port(event, 8080);
    watch.wait_count("the later one", 1, accepts).await?;
    let accept = &watch.events(accepts)[0];
    ensure!(accept.workload.as_ref().is_some_and(|own| own.container == serve.name()), "{accept:?}");
    ensure!(accept.process.as_ref().is_some_and(|process| process.comm == "workload"), "{accept:?}");
    server.remove().await?;
    holder.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_no_process_holds_are_found_in_their_namespace() -> Result<()> {
    let pair = NetnsPair::new()?;
    let (left, right) = (pair.left(), pair.right());
    // It never accepts: the other end is in its queue, and nobody has a descriptor of it.
    let serve = workload::in_netns(&right.netns, ["listen-only", "--port", "81", "--backlog", "5"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"] == 81).await?;
    let to = format!("{}:81", right.ip);
    let _connect = workload::in_netns(&left.netns, ["connect", "--to", &to, "--hold", "60"])?;
    eventually(PATIENCE, "the older connection", async || {
        let shown = right.netns.output("ss", ["-Htn", "state", "established", "sport", "=", ":81"])?;
        Ok(if shown.is_empty() { Err(()) } else { Ok(()) })
    })
    .await?;
    let daemon = Daemon::bare().arg("--enter-namespaces").start().await?;
    let lines = listed(&daemon, "81", 2).await?;
    let accepted = |outgoing: bool| {
        lines
            .iter()
            .find(|line| line["tcp"]["outgoing"].as_bool().unwrap_or(false) == outgoing)
            .map(|line| line["flow"]["accepted"] == true)
    };
    ensure!(accepted(true) == Some(true) && accepted(false) == Some(false), "{lines:#?}");
    // One that may enter no namespace has the end that a process holds, and says that there are others.
    let outside = Daemon::bare().start().await?;
    let lines = listed(&outside, "81", 1).await?;
    ensure!(lines[0]["tcp"]["outgoing"] == true, "{lines:#?}");
    eventually(PATIENCE, "namespaces that were not searched", async || {
        let status = client::json(outside.socket(), ["status"]).await?;
        let losses = status[0]["losses"].as_array().cloned().unwrap_or_default();
        let told = losses.iter().any(|loss| loss["source"] == "LOSS_SOURCE_NETNS" && loss["count"] != 0);
        Ok(if told { Ok(()) } else { Err(losses) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn retransmits_of_older_connections_are_told() -> Result<()> {
    let pair = NetnsPair::new()?;
    let (left, right) = (pair.left(), pair.right());
    let serve = workload::in_netns(&right.netns, ["serve", "--port", "80"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"] == 80).await?;
    let to = format!("{}:80", right.ip);
    let argv = ["connect", "--to", &to, "--bytes", "10", "--hold", "600"];
    let mut connect = workload::in_netns(&left.netns, argv)?;
    eventually(PATIENCE, "the older connection", async || {
        let shown = left.netns.output("ss", ["-Htn", "state", "established", "dport", "=", ":80"])?;
        Ok(if shown.is_empty() { Err(()) } else { Ok(()) })
    })
    .await?;
    let daemon = Daemon::bare().start().await?;
    let watch = Watch::all(&daemon).await?;
    listed(&daemon, "80", 2).await?;
    let before = left.netns.counters()?.get("RetransSegs")?;
    let loss = observer_tests::Loss::start(&right.netns, 100, &Packets::tcp().to_port(80))?;
    connect.signal(Signal::KILL)?;
    let netns = left.netns.inode()?;
    let again = |event: &Event| {
        event.r#type() == EventType::TcpRetransmit
            && tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == netns)
    };
    watch.wait_count("its FIN to be sent again twice", 2, again).await?;
    drop(loss);
    connect.wait().await?;
    eventually(PATIENCE, "as many as the kernel counts", async || {
        let kernel = left.netns.counters()?.get("RetransSegs")? - before;
        let told = watch.count(again) as i64;
        Ok(if told == kernel { Ok(()) } else { Err((told, kernel)) })
    })
    .await?;
    for event in watch.events(again) {
        ensure!(tcp(&event).is_some_and(|tcp| tcp.outgoing), "{event:?}");
    }
    Ok(())
}

/// Connections that are opened while nobody knows the pods.
const EARLY: usize = 3;
/// The daemon gives a runtime 2 s for an answer: this early it still waits for it.
const SOON: Duration = Duration::from_millis(1500);

/// A daemon whose runtime's first answer comes after some connections to the server, and how long after its start that was.
async fn begin(testbed: &Testbed, server: &Pod) -> Result<(Daemon, Duration)> {
    let path = Guardian::shared()?.scratch("slow")?.join("slow.sock");
    let (listener, runtime) = (UnixListener::bind(&path)?, testbed.socket());
    let (answer, answers) = oneshot::channel::<()>();
    tokio::spawn(async move {
        let mut answers = Some(answers);
        while let Ok((mut stream, _)) = listener.accept().await {
            if let Some(answers) = answers.take() {
                answers.await?;
            }
            let mut runtime = UnixStream::connect(&runtime).await?;
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut stream, &mut runtime).await });
        }
        anyhow::Ok(())
    });
    let endpoint = format!("unix://{}", path.display());
    let args = ["--cri-endpoint", &endpoint, "--attribution-hold", "10s"];
    let start = Instant::now();
    let daemon = Daemon::bare().args(args).start().await?;
    let accepted = || server.netns().counters()?.get("PassiveOpens");
    let before = accepted()?;
    eventually(PATIENCE, "connections while nobody knows the pods", async || {
        let since = accepted()? - before;
        Ok(if since >= EARLY as i64 { Ok(()) } else { Err(since) })
    })
    .await?;
    ensure!(answer.send(()).is_ok(), "nobody stands between the daemon and its runtime");
    Ok((daemon, start.elapsed()))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_opens_before_the_runtime_has_told_of_its_pods_is_between_these() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let server = testbed.pod("beginning", "server").run().await?;
    server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let caller = testbed.pod("beginning", "caller").run().await?;
    let to = format!("{}:8080", server.ip()?);
    let argv = ["workload", "connect", "--to", &to, "--count", "1000000", "--interval-ms", "10"];
    caller.container("connect", argv).start().await?;
    let daemon = eventually(2 * PATIENCE, "a daemon that began in time", async || {
        let (daemon, after) = begin(testbed, &server).await?;
        Ok(if after < SOON { Ok(daemon) } else { Err(after) })
    })
    .await?;
    let args = ["events", "--all", "-n", "beginning", "-t", "tcp_connect"];
    let told = eventually(PATIENCE, "those connections to be told", async || {
        let mut told = client::json(daemon.socket(), args).await?;
        told.retain(|line| line.get("event").is_some());
        Ok(if told.len() >= EARLY { Ok(told) } else { Err(told.len()) })
    })
    .await?;
    for line in told.iter().take(EARLY) {
        let tcp = &line["event"]["tcp_connect"]["tcp"];
        ensure!(tcp["destination"]["workload"]["pod"] == server.name(), "{line}");
        ensure!(line["event"]["workload"]["pod"] == caller.name(), "{line}");
    }
    caller.remove().await?;
    server.remove().await
}
