//! Listeners are listed with their queues, and what they drop is what the kernel counts of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Summed, Testbed, client, eventually};
use serde_json::Value;

/// The queue's length and its limit, as `ss` shows them of the namespace's one listener on a port.
fn shown(pod: &Pod, port: &str) -> Result<(u64, u64)> {
    let text = pod.netns().output("ss", ["-Htln", "sport", "=", port])?;
    ensure!(text.lines().count() == 1, "not one listener: {text}");
    let mut figures = text.split_whitespace().skip(1).map(str::parse);
    let mut next = || figures.next().context("too few figures")?.context("no number");
    Ok((next()?, next()?))
}

/// What the two listeners have dropped, as `ss` shows it of each (the `d` of its memory).
fn drops(pod: &Pod) -> Result<u64> {
    let mut sum = 0;
    for port in [":81", ":82"] {
        let text = pod.netns().output("ss", ["-Htlnm", "sport", "=", port])?;
        let (_, rest) = text.split_once(",d").with_context(|| format!("no drops in {text}"))?;
        sum += rest.split(')').next().context("no end")?.parse::<u64>()?;
    }
    Ok(sum)
}

fn number(line: &Value, field: &str) -> u64 {
    line[field].as_u64().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_seen_and_its_drops_are_the_kernels() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let server = testbed.pod("listeners", "server").run().await?;
    // One listener is older than the daemon, one is not.
    let older = server.container("older", ["workload", "listen-only", "--port", "81", "--backlog", "3"]);
    let older = older.start_until("listening").await?;
    let daemon = Daemon::on(testbed).start().await?;
    let status = client::json(daemon.socket(), ["status"]).await?;
    let before = status[0]["start_time"].as_str().context("no start")?.to_owned();
    let summed = Summed::start(&daemon, |tcp| tcp.listen_drops).await?;
    let newer = server.container("newer", ["workload", "listen-only", "--port", "82", "--backlog", "5"]);
    let newer = newer.start_until("listening").await?;
    let to = server.ip()?;
    // What the older one dropped before it was found is not counted.
    eventually(PATIENCE, "both to be listed", async || {
        let lines = client::json(daemon.socket(), ["connections", "--listeners", "-n", "listeners"]).await?;
        Ok(if lines.len() == 2 { Ok(()) } else { Err(lines) })
    })
    .await?;
    let callers = testbed.pod("listeners", "client").run().await?;
    for (name, port) in [("first", 81), ("second", 82)] {
        let to = format!("{to}:{port}");
        let argv = ["workload", "connect", "--to", &to, "--count", "10", "--parallel", "10"];
        // One after the other: of two handshakes that end at once, on two processors, both may find the last place.
        let argv = argv.into_iter().chain(["--rate", "20", "--timeout-ms", "2500", "--hold", "600"]);
        callers.container(name, argv).start().await?;
    }
    // Four and six wait; the rest give up.
    eventually(PATIENCE, "the calls that find no room to give up", async || {
        let queues = (shown(&server, ":81")?, shown(&server, ":82")?);
        let asking = callers.netns().output("ss", ["-Htn", "state", "syn-sent"])?;
        let counted = server.counters()?.get("ListenOverflows")? > 0;
        let full = queues == ((4, 3), (6, 5)) && asking.is_empty() && counted && drops(&server)? > 0;
        Ok(if full { Ok(()) } else { Err((queues, asking)) })
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(1)).await;

    // The kernel may still give up on a handshake; so its figure is read each time, after ours.
    let lines = eventually(PATIENCE, "all drops", async || {
        let lines = client::json(daemon.socket(), ["connections", "--listeners", "-n", "listeners"]).await?;
        let told: u64 = lines.iter().map(|line| number(line, "dropped")).sum();
        let drops = drops(&server)?;
        ensure!(told <= drops, "{told} told, {drops} by the kernel: {lines:?}");
        Ok(if told == drops && lines.len() == 2 { Ok(lines) } else { Err((told, drops, lines)) })
    })
    .await?;
    for (line, container, port, queue) in [(&lines[0], &newer, 82, 6), (&lines[1], &older, 81, 4)] {
        ensure!(line["workload"]["pod"] == server.name(), "{line}");
        ensure!(line["workload"]["container"] == container.name() && line["port"] == port, "{line}");
        ensure!(line["process"]["comm"] == "workload" && line["address"] == "::", "{line}");
        ensure!(number(line, "queue") == queue && number(line, "queue_limit") == queue - 1, "{line}");
        ensure!(number(line, "queue_most") == queue, "{line}");
        let waited = Duration::from_nanos(number(line, "oldest_wait_ns"));
        ensure!(waited > Duration::from_secs(2) && waited < Duration::from_mins(1), "{line}");
        // Not since the machine was started.
        ensure!(line["start_time"].as_str().is_some_and(|start| start > before.as_str()), "{line}");
        ensure!(line["adopted"].as_bool().unwrap_or(false) == (port == 81), "{line}");
    }
    let waiting = client::json(daemon.socket(), ["connections", "--pod", server.name()]).await?;
    let waiting = waiting.iter().filter(|line| {
        line["workload"]["pod"] == server.name() && line["flow"]["accepted"].as_bool() != Some(true)
    });
    ensure!(waiting.count() == 10, "each that waits says so");
    eventually(PATIENCE, "the summaries to tell the same", async || {
        let (told, drops) = (summed.of(&server), drops(&server)?);
        ensure!(told <= drops, "{told} told, {drops} by the kernel");
        Ok(if told == drops { Ok(()) } else { Err(told) })
    })
    .await?;
    callers.remove().await?;
    server.remove().await?;
    eventually(PATIENCE, "the list to be empty", async || {
        let lines = client::json(daemon.socket(), ["connections", "--listeners", "-n", "listeners"]).await?;
        Ok(if lines.is_empty() { Ok(()) } else { Err(lines) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn overflows_are_what_the_kernel_counts_in_the_namespace() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let summed = Summed::start(&daemon, |tcp| tcp.listen_overflows).await?;
    let server = testbed.pod("overflows", "server").run().await?;
    let argv = ["workload", "listen-only", "--port", "83", "--backlog", "2"];
    server.container("listener", argv).start_until("listening").await?;
    let callers = testbed.pod("overflows", "callers").run().await?;
    let to = format!("{}:83", server.ip()?);
    let argv = ["workload", "connect", "--to", &to, "--count", "30", "--parallel", "10"];
    let argv = argv.into_iter().chain(["--timeout-ms", "1500"]);
    // Three wait in the queue; what they sent is a FIN by then, and there they stay.
    callers.container("callers", argv).start().await?.wait().await?;

    let of_kernel = || -> Result<u64> { Ok(server.counters()?.get("ListenOverflows")? as u64) };
    let line = eventually(PATIENCE, "all overflows", async || {
        let lines = client::json(daemon.socket(), ["connections", "--listeners", "--pod", server.name()]);
        let lines = lines.await?;
        let (told, summed, kernel) =
            (lines.first().map_or(0, |line| number(line, "overflowed")), summed.of(&server), of_kernel()?);
        ensure!(told <= kernel && summed <= kernel, "{told} and {summed} told, {kernel} by the kernel");
        let all = kernel > 0 && [told, summed] == [kernel; 2];
        Ok(if all { Ok(lines[0].clone()) } else { Err((told, summed, kernel)) })
    })
    .await?;
    ensure!(number(&line, "dropped") >= number(&line, "overflowed"), "{line}");
    let mut table = client::command(daemon.socket(), ["connections", "--listeners", "--pod", server.name()])?;
    let table = String::from_utf8(table.output()?.stdout)?;
    ensure!(table.contains("OVERFLOWED"), "{table}");
    callers.remove().await?;
    server.remove().await
}
