//! Whose fault it is: each verdict from two real pods in that state, with the figures that show it.
#![allow(clippy::print_stdout, reason = "it shows what a reader is told")]

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Packets, Pod, SlowLink, Testbed, client, eventually};
use serde_json::Value;

/// Two pods under one daemon.
struct Pair {
    daemon: Daemon,
    server: Pod,
    client: Pod,
    /// What runs in the pods.
    running: Vec<Container>,
}

impl Pair {
    /// A pair of pods, and what the server runs until it says that it listens, if anything.
    async fn start(name: &str, serve: &[&str]) -> Result<Self> {
        let testbed = Testbed::shared().await?;
        let daemon = Daemon::on(testbed).start().await?;
        let server = testbed.pod("verdicts", &format!("{name}-server")).run().await?;
        let mut running = Vec::new();
        if !serve.is_empty() {
            let argv = ["workload"].into_iter().chain(serve.iter().copied());
            running.push(server.container("server", argv).start_until("listening").await?);
        }
        let client = testbed.pod("verdicts", &format!("{name}-client")).run().await?;
        Ok(Self { daemon, server, client, running })
    }

    /// The client connects to port 8080 of the server.
    async fn connect(&mut self, more: &[&str]) -> Result<()> {
        let to = format!("{}:8080", self.server.ip()?);
        self.connect_to(&to, more).await
    }

    async fn connect_to(&mut self, to: &str, more: &[&str]) -> Result<()> {
        let argv = ["workload", "connect", "--to", to].into_iter().chain(more.iter().copied());
        self.running
            .push(self.client.container(&format!("client{}", self.running.len()), argv).start().await?);
        Ok(())
    }

    /// Waits until the one edge of that pod has the verdict, and its evidence these figures; gives its diagnosis.
    async fn shows(&self, pod: &Pod, verdict: &str, figures: &[&str]) -> Result<Value> {
        self.shows_within(2 * PATIENCE, pod, verdict, figures).await
    }

    async fn shows_within(
        &self,
        patience: Duration,
        pod: &Pod,
        verdict: &str,
        figures: &[&str],
    ) -> Result<Value> {
        let name = format!("/{}", pod.name());
        eventually(patience, &format!("{name} to be {verdict}"), async || {
            let edges = client::json(self.daemon.socket(), ["explain", &name]).await?;
            let shows = |diagnosis: &&Value| {
                let evidence = diagnosis["evidence"].as_array().map_or(&[][..], Vec::as_slice);
                let has = |figure: &&str| evidence.iter().any(|one| one["figure"] == **figure);
                diagnosis["verdict"] == verdict && figures.iter().all(has)
            };
            let found = edges.iter().map(|edge| &edge["diagnosis"]).find(shows);
            Ok(found.cloned().ok_or(edges))
        })
        .await
    }

    /// What a reader is told of both pods.
    fn print(&self) -> Result<String> {
        let mut all = String::new();
        for pod in [&self.client, &self.server] {
            let name = format!("/{}", pod.name());
            let output = client::command(self.daemon.socket(), ["explain", &name])?.output()?;
            ensure!(output.status.success(), "{output:?}");
            all.push_str(&String::from_utf8(output.stdout)?);
        }
        println!("{all}");
        Ok(all)
    }

    async fn end(self) -> Result<()> {
        let Self { mut daemon, server, client, running: _ } = self;
        daemon.stop().await?;
        client.remove().await?;
        server.remove().await
    }

    fn slow_link(&self, one_way: Duration) -> Result<SlowLink> {
        let addresses = |pod: &Pod| anyhow::Ok([pod.ip()?]);
        let (left, right): ([IpAddr; 1], [IpAddr; 1]) = (addresses(&self.client)?, addresses(&self.server)?);
        SlowLink::between((self.client.netns(), &left), (self.server.netns(), &right), one_way)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_without_a_fault_is_healthy() -> Result<()> {
    let mut pair = Pair::start("healthy", &["serve", "--port", "8080"]).await?;
    pair.connect(&["--count", "1000000", "--interval-ms", "20", "--bytes", "3000"]).await?;
    let figures = ["retransmitted_segments", "failed", "handshake_latency_p50", "min_rtt"];
    pair.shows(&pair.client, "VERDICT_HEALTHY", &figures).await?;
    pair.shows(&pair.server, "VERDICT_HEALTHY", &["min_rtt"]).await?;
    let told = pair.print()?;
    ensure!(told.contains(&format!("-> verdicts/{}:8080  healthy", pair.server.name())), "{told}");
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_that_do_not_arrive_are_the_network_s_loss() -> Result<()> {
    let mut pair = Pair::start("loss", &["serve", "--port", "8080"]).await?;
    let loss = pair.server.lose(5, &Packets::data().to_port(8080))?;
    pair.connect(&["--count", "1000000", "--parallel", "4", "--bytes", "100000"]).await?;
    pair.shows(&pair.client, "VERDICT_NETWORK_LOSS", &["retransmitted_segments"]).await?;
    let figures = ["peer_retransmitted_segments"];
    pair.shows(&pair.server, "VERDICT_NETWORK_LOSS", &figures).await?;
    loss.stop()?;
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_takes_long_is_the_network_s_latency() -> Result<()> {
    let mut pair = Pair::start("latency", &["serve", "--port", "8080"]).await?;
    let slow = pair.slow_link(Duration::from_millis(5))?;
    pair.connect(&["--count", "1000000", "--interval-ms", "50", "--bytes", "1000"]).await?;
    let figures = ["handshake_latency_p50", "min_rtt"];
    let diagnosis = pair.shows(&pair.client, "VERDICT_NETWORK_LATENCY", &figures).await?;
    for evidence in diagnosis["evidence"].as_array().into_iter().flatten() {
        let value = evidence["value"].as_u64().unwrap_or(0);
        ensure!((10_000_000..60_000_000).contains(&value), "10 ms both ways together: {diagnosis}");
    }
    pair.shows(&pair.server, "VERDICT_NETWORK_LATENCY", &["min_rtt"]).await?;
    drop(slow);
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_accept_shows_on_both_sides() -> Result<()> {
    let mut pair = Pair::start("accept", &["listen-only", "--port", "8080", "--backlog", "20"]).await?;
    pair.connect(&["--count", "5", "--parallel", "5", "--send", "100", "--hold", "600"]).await?;
    let figures = ["peer_unaccepted", "peer_accept_wait"];
    pair.shows(&pair.client, "VERDICT_PEER_NOT_ACCEPTING", &figures).await?;
    pair.shows(&pair.server, "VERDICT_OWN_PROCESS_NOT_READING", &["unaccepted", "accept_wait"]).await?;
    let told = pair.print()?;
    ensure!(told.contains("not accepted for"), "{told}");
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_a_server_that_does_not_accept() -> Result<()> {
    let mut pair = Pair::start("full", &["listen-only", "--port", "8080", "--backlog", "3"]).await?;
    pair.connect(&["--count", "20", "--parallel", "20", "--hold", "600"]).await?;
    let figures = ["peer_queue", "peer_listen_overflows", "peer_unaccepted"];
    pair.shows(&pair.client, "VERDICT_PEER_NOT_ACCEPTING", &figures).await?;
    pair.shows(&pair.server, "VERDICT_OWN_PROCESS_NOT_READING", &["queue", "listen_overflows"]).await?;
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stopped_shows_on_both_sides() -> Result<()> {
    let mut pair = Pair::start("reading", &["serve", "--port", "8080", "--stall"]).await?;
    pair.connect(&["--send", "30000000", "--hold", "600"]).await?;
    let figures = ["peer_window_closed", "peer_window_closed_time", "peer_unread", "peer_unread_time"];
    pair.shows(&pair.client, "VERDICT_PEER_NOT_READING", &figures).await?;
    let figures = ["unread", "unread_time", "own_window_closed", "own_window_closed_time"];
    pair.shows(&pair.server, "VERDICT_OWN_PROCESS_NOT_READING", &figures).await?;
    let told = pair.print()?;
    ensure!(told.contains("own window closed for") && told.contains(" unread for "), "{told}");
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_send_buffer_too_small_for_the_way_is_our_own_fault() -> Result<()> {
    let mut pair = Pair::start("buffer", &["serve", "--port", "8080", "--sink"]).await?;
    let slow = pair.slow_link(Duration::from_millis(2))?;
    pair.connect(&["--send", "1000000000", "--send-buffer", "5000"]).await?;
    pair.shows(&pair.client, "VERDICT_OWN_SEND_BUFFER", &["send_buffer_limited_time"]).await?;
    drop(slow);
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_nobody_listens_on_refuses() -> Result<()> {
    let mut pair = Pair::start("refused", &[]).await?;
    pair.connect(&["--count", "1000000", "--interval-ms", "100"]).await?;
    pair.shows(&pair.client, "VERDICT_REFUSED", &["refused"]).await?;
    pair.shows(&pair.server, "VERDICT_REFUSED", &["peer_refused"]).await?;
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_answers_for_is_unreachable() -> Result<()> {
    let mut pair = Pair::start("unreachable", &["serve", "--port", "8080"]).await?;
    let loss = pair.server.lose(100, &Packets::syn())?;
    pair.connect(&[]).await?;
    // It still waits.
    pair.shows(&pair.client, "VERDICT_UNREACHABLE", &["connects_pending"]).await?;
    // Nobody has this address of the pods' own network: the kernel says so after three seconds.
    let IpAddr::V4(server) = pair.server.ip()? else { anyhow::bail!("no IPv4 address") };
    let [a, b, c, _] = server.octets();
    pair.connect_to(&format!("{a}.{b}.{c}.254:8080"), &[]).await?;
    pair.shows(&pair.client, "VERDICT_UNREACHABLE", &["host_unreachable"]).await?;
    loss.stop()?;
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_side_that_does_not_close_for_a_minute_is_at_fault() -> Result<()> {
    // It never accepts, and so never closes.
    let mut pair = Pair::start("close", &["listen-only", "--port", "8080", "--backlog", "5"]).await?;
    pair.connect(&[]).await?;
    let patience = Duration::from_mins(1) + 2 * PATIENCE;
    let figures = ["half_closed", "half_closed_time"];
    let verdict = "VERDICT_OWN_PROCESS_NOT_READING";
    let diagnosis = pair.shows_within(patience, &pair.server, verdict, &figures).await?;
    let evidence = diagnosis["evidence"].as_array().into_iter().flatten();
    let lasted = evidence.clone().find(|one| one["figure"] == "half_closed_time");
    let lasted = lasted.and_then(|one| one["value"].as_u64()).unwrap_or(0);
    ensure!(Duration::from_nanos(lasted) >= Duration::from_mins(1), "{diagnosis}");
    pair.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_figures_do_not_decide_is_unknown() -> Result<()> {
    let mut pair = Pair::start("unknown", &["serve", "--port", "8080"]).await?;
    let loss = pair.server.lose(100, &Packets::syn())?;
    let cancel = ["--nonblocking-cancel-ms", "100", "--count", "1000000", "--interval-ms", "100"];
    pair.connect(&cancel).await?;
    pair.shows(&pair.client, "VERDICT_UNKNOWN", &["cancelled"]).await?;
    loss.stop()?;
    pair.end().await
}
