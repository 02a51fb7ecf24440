//! Proves the testbed itself: pods that talk, ends told apart, losses counted, and nothing left behind.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "it measures and tells")]

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Loss, NetnsPair, Packets, Pod, Testbed, client, eventually, workload};
use rustix::process::Signal;
use tokio::task::JoinSet;

async fn server(testbed: &Testbed) -> Result<Pod> {
    let pod = testbed.pod("testbed", "server").run().await?;
    pod.container("serve", ["workload", "serve", "--port", "8080", "--log"]).start_until("listening").await?;
    Ok(pod)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pods_talk_over_both_protocols() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let server = server(testbed).await?;
    let client = testbed.pod("testbed", "client").label("app", "client").run().await?;
    for (name, to) in [("v4", format!("{}:8080", server.ip()?)), ("v6", format!("[{}]:8080", server.ipv6()?))]
    {
        let argv = ["workload", "connect", "--to", &to, "--count", "5", "--bytes", "200000"];
        let lines = client.container(name, argv).start().await?.output().await?;
        ensure!(lines.len() == 5, "{lines:?}");
        for line in lines {
            ensure!(line["sent"] == 200_000 && line["received"] == 200_000, "{line}");
            let connect_ns = line["connect_ns"].as_u64().context("no connect_ns")?;
            ensure!((1_000..1_000_000_000).contains(&connect_ns), "{line}");
            ensure!(line["remote"] == to.as_str(), "{line}");
        }
    }
    // The host reaches a pod as well.
    let to = format!("{}:8080", server.ip()?);
    let lines = workload::on_host(["connect", "--to", &to, "--bytes", "10"])?.output().await?;
    ensure!(lines[0]["received"] == 10, "{lines:?}");
    server.remove().await?;
    client.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_told_apart() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let pod = testbed.pod("testbed", "ends").run().await?;
    for (name, argv, code) in [
        ("zero", ["workload", "exit", "0"], 0),
        ("three", ["workload", "exit", "3"], 3),
        ("term", ["workload", "kill-self", "TERM"], 143),
    ] {
        let exit = pod.container(name, argv).start().await?.wait().await?;
        ensure!(exit.code == code, "{name}: {exit:?}");
    }
    let exit = pod.container("segfault", ["workload", "segfault"]).start().await?.wait().await?;
    ensure!(exit.code == 139, "{exit:?}");
    let argv = ["workload", "threads", "--code", "7", "--after-ms", "50"];
    let exit = pod.container("leader", argv).start().await?.wait().await?;
    ensure!(exit.code == 7, "{exit:?}");

    let sleeper = pod.container("sleeper", ["workload", "sleep", "1000"]).start().await?;
    sleeper.kill(Signal::KILL).await?;
    let killed = sleeper.wait().await?;
    ensure!(killed.code == 137 && killed.reason == "Error", "{killed:?}");

    let hungry = pod
        .container("hungry", ["sh", "-c", "sleep 1; exec workload eat-memory 512"])
        .memory_limit(32 << 20)
        .start()
        .await?;
    // The runtime hears of the kill and of the end in either order.
    eventually(PATIENCE, "an OOM kill", async || {
        let exit = hungry.wait().await?;
        Ok(if exit.code == 137 && exit.reason == "OOMKilled" { Ok(()) } else { Err(exit) })
    })
    .await?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_process_that_is_not_the_first() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let pod = testbed.pod("testbed", "shared").share_processes().run().await?;
    let container = pod.container("quit", ["workload", "kill-self", "KILL"]).start().await?;
    let exit = container.wait().await?;
    ensure!(exit.code == 137 && container.log().is_empty(), "{exit:?} {:?}", container.log());
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn loss_makes_the_kernel_retransmit() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let server = server(testbed).await?;
    let client = testbed.pod("testbed", "client").run().await?;
    let to = format!("{}:8080", server.ip()?);

    let (before, loss) = (client.counters()?, server.lose(10, &Packets::data().to_port(8080))?);
    let argv = ["workload", "connect", "--to", &to, "--bytes", "1000", "--requests", "200"];
    client.container("data", argv).start().await?.output().await?;
    let grown = client.counters()?.since(&before);
    ensure!(grown.get("RetransSegs")? >= 1 && loss.dropped()? >= 1, "{grown:?}");
    ensure!(grown.get("TCPSynRetrans")? == 0, "{grown:?}");
    loss.stop()?;

    let (before, loss) = (client.counters()?, server.lose(100, &Packets::syn())?);
    let argv = ["workload", "connect", "--to", &to, "--timeout-ms", "3500"];
    let timed_out = client.container("syn", argv).start().await?;
    ensure!(timed_out.wait().await?.code == 1);
    ensure!(timed_out.json()[0]["error"] == "timed_out", "{:?}", timed_out.log());
    ensure!(client.counters()?.since(&before).get("TCPSynRetrans")? >= 1);
    ensure!(loss.dropped()? >= 2);
    drop(loss);
    client.container("again", ["workload", "connect", "--to", &to]).start().await?.output().await?;
    server.remove().await?;
    client.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_short_lives() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let start = Instant::now();
    let pod = testbed.pod("testbed", "short").run().await?;
    println!("a pod's start: {:?}", start.elapsed());
    let pod = Arc::new(pod);
    let start = Instant::now();
    let mut lives = JoinSet::new();
    for number in 0..20 {
        let pod = Arc::clone(&pod);
        lives.spawn(async move {
            let container = pod.container(&format!("c{number}"), ["workload", "exit", "0"]).start().await?;
            let exit = container.wait().await?;
            container.remove().await?;
            anyhow::Ok(exit)
        });
    }
    for exit in lives.join_all().await {
        let exit = exit?;
        ensure!(exit.code == 0 && exit.reason == "Completed", "{exit:?}");
    }
    println!("a container's whole life, with others beside it: {:?}", start.elapsed() / 20);
    let start = Instant::now();
    let container = pod.container("alone", ["workload", "exit", "0"]).create().await?;
    let created = start.elapsed();
    container.start().await?;
    let started = start.elapsed();
    container.wait().await?;
    let ended = start.elapsed();
    container.remove().await?;
    println!(
        "alone: created {created:?}, started {started:?}, ended {ended:?}, removed {:?}",
        start.elapsed()
    );
    Arc::into_inner(pod).context("the pod is still used")?.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_a_container() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let pod = testbed.pod("testbed", "exec").run().await?;
    let container = pod.container("sleep", ["sleep", "1000"]).start().await?;
    let result = container.exec(["sh", "-c", "echo out; echo err >&2; exit 5"]).await?;
    ensure!(
        (result.code, result.stdout.as_str(), result.stderr.as_str()) == (5, "out\n", "err\n"),
        "{result:?}"
    );
    let storm = container.exec(["workload", "exec-storm", "--count", "50", "--rate", "500"]).await?;
    ensure!(storm.stdout.contains("\"spawned\":50,\"failed\":0"), "{storm:?}");
    let pid = container.pid().await?;
    let cgroup = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let own = format!("/kubepods/burstable/pod{}/{}", pod.uid(), container.id());
    ensure!(cgroup.contains(&own), "{cgroup}");
    container.stop(Duration::ZERO).await?;
    ensure!(container.wait().await?.code == 137);
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_without_containers_talk_and_fail() -> Result<()> {
    let pair = NetnsPair::new()?;
    let (left, right) = (pair.left(), pair.right());
    let silent = workload::in_netns(&right.netns, ["listen-only", "--port", "81", "--backlog", "1"])?;
    silent.wait_for("listening", PATIENCE, |line| line["listening"] == 81).await?;
    let serve = workload::in_netns(&right.netns, ["serve", "--port", "80", "--log"])?;
    serve.wait_for("listening", PATIENCE, |line| line["listening"] == 80).await?;

    let to = format!("{}:80", right.ip);
    for (ends, error) in [("--linger0", true), ("--unread", true), ("--summary", false)] {
        let before = left.netns.counters()?;
        workload::in_netns(&left.netns, ["connect", "--to", &to, "--bytes", "10", ends])?.output().await?;
        let resets = left.netns.counters()?.since(&before).get("OutRsts")?;
        ensure!(resets == i64::from(error), "{ends}: {resets} resets");
    }
    let v6 = format!("[{}]:80", right.ipv6);
    workload::in_netns(&left.netns, ["connect", "--to", &v6])?.output().await?;

    let refused = format!("{}:9", right.ip);
    let mut lines = workload::in_netns(&left.netns, ["connect", "--to", &refused])?;
    lines.wait().await?;
    ensure!(lines.values()[0]["error"] == "refused", "{}", lines.account());

    let full = format!("{}:81", right.ip);
    let argv =
        ["connect", "--to", &full, "--count", "4", "--parallel", "4", "--timeout-ms", "300", "--hold", "1"];
    // One after the other: of handshakes whose answers all wait together, all would be let in.
    let argv = argv.into_iter().chain(["--rate", "20"]);
    let mut lines = workload::in_netns(&left.netns, argv)?;
    lines.wait().await?;
    // A queue of one holds two; where the last steps of two handshakes are taken at once, on two processors, even three.
    let timed_out = lines.matching(|line| line["error"] == "timed_out").len();
    ensure!(matches!(timed_out, 1 | 2), "{}", lines.account());
    ensure!(right.netns.counters()?.get("ListenOverflows")? > 0);

    let _loss = Loss::start(&right.netns, 100, &Packets::syn())?;
    let mut lines =
        workload::in_netns(&left.netns, ["connect", "--to", &to, "--nonblocking-cancel-ms", "50"])?;
    lines.wait().await?;
    ensure!(lines.values()[0]["error"] == "canceled", "{}", lines.account());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_outlive_a_restart_of_containerd() -> Result<()> {
    let start = Instant::now();
    let testbed = Testbed::start().await?;
    println!("a testbed's start: {:?}", start.elapsed());
    let server = server(&testbed).await?;
    testbed.stop_containerd()?;
    ensure!(testbed.cri().await.is_err());
    let to = format!("{}:8080", server.ip()?);
    workload::on_host(["connect", "--to", &to])?.output().await?;
    ensure!(client::serving(&testbed.socket()).await.is_err());
    testbed.start_containerd().await?;
    // containerd has the same health service that the daemon's start is waited for with.
    client::serving(&testbed.socket()).await?;
    let pod = testbed.pod("testbed", "client").run().await?;
    pod.container("connect", ["workload", "connect", "--to", &to]).start().await?.output().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_does_not_come_up_is_told() -> Result<()> {
    let result = Daemon::bare().binary("/bin/ls").arg("/no-such-folder").start().await;
    let error = format!("{:#}", result.err().context("it came up")?);
    ensure!(error.contains("ended at once") && error.contains("--listen"), "{error}");

    let mut daemon = Daemon::bare().binary("/usr/bin/env").arg("unused").spawn()?;
    ensure!(!daemon.wait().await?.success() && !daemon.running());
    Ok(())
}
