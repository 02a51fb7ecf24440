//! Proves what is told of a container's runs: when one is ready, restarts with their back-offs, and crash loops.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::events::{detail, is, is_of, nothing_lost, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, client};
use serde_json::Value;

/// A busy runtime may take long to say its word.
const PATIENT: [&str; 2] = ["--attribution-hold", "10s"];
const MS: u64 = 1_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_ready_with_its_first_listening_socket() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(PATIENT).start().await?;
    let lines = watch(&daemon, ["-n", "readiness"]).await?;
    let pod = testbed.pod("readiness", "ready").run().await?;
    let script = "sleep 0.3; workload serve --port 7071 --v4 & sleep 2; exec workload serve --port 7072";
    let server = pod.container("server", ["sh", "-c", script]).start().await?;
    pod.container("job", ["true"]).start().await?.wait().await?;
    server.wait_json("both ports", |line| line["listening"] == 7072).await?;
    let is_ready =
        |line: &Value| is(line, "container_ready") && line["event"]["workload"]["pod"] == pod.name();
    let ready = lines.wait_for("readiness", PATIENCE, is_ready).await?;
    ensure!(is_of(&ready, "container_ready", pod.name(), "server"), "{ready}");
    let of = detail(&ready);
    ensure!(of["port"] == 7071 && of["address"] == "0.0.0.0", "{ready}");
    let start = lines
        .wait_for("its start", PATIENCE, |line| is_of(line, "container_start", pod.name(), "server"))
        .await?;
    let after = of["since_start_ns"].as_u64().context("no time")?;
    ensure!((300 * MS..20_000 * MS).contains(&after), "{ready}");
    let time = |line: &Value| line["event"]["time"].as_str().map(str::to_owned);
    ensure!(time(&start) < time(&ready), "{start} {ready}");
    // The second port is in the list of listeners; readiness was told once, and never of the job.
    observer_tests::eventually(PATIENCE, "both listeners", async || {
        let listeners =
            client::json(daemon.socket(), ["connections", "--listeners", "-n", "readiness"]).await?;
        Ok(if listeners.len() == 2 { Ok(()) } else { Err(listeners) })
    })
    .await?;
    ensure!(lines.matching(is_ready).len() == 1, "{:#?}", lines.matching(is_ready));
    let known = client::json(daemon.socket(), ["workloads", "-n", "readiness"]).await?;
    let known = known.iter().find(|line| line["workload"]["container"] == "server").context("not listed")?;
    ensure!(known["ready_after_ns"] == of["since_start_ns"], "{known} {ready}");
    nothing_lost(&lines)?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn restarts_are_counted_and_a_crash_loop_is_told_with_its_ends() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).args(PATIENT).start().await?;
    let lines = watch(&daemon, ["-n", "looping"]).await?;
    let pod = testbed.pod("looping", "looping").run().await?;
    // A job that ends in order again and again is none.
    for attempt in 0..4 {
        let job = pod.container("job", ["true"]).attempt(attempt).start().await?;
        job.wait().await?;
        job.remove().await?;
    }
    let back_offs = [100_u64, 300, 600];
    for (attempt, back_off) in (0..).zip(back_offs) {
        let argv = ["workload", "exit", ["11", "12", "13"][attempt as usize]];
        let container = pod.container("app", argv).attempt(attempt).start().await?;
        container.wait().await?;
        // As the kubelet does, longer each time.
        tokio::time::sleep(Duration::from_millis(back_off)).await;
    }
    // In back-off it is listed, once, and so is the job that has done its work.
    let listed = async |name: &str, is_it: &dyn Fn(&Value) -> bool| {
        observer_tests::eventually(PATIENCE, &format!("{name} in the list"), async || {
            let mut known = client::json(daemon.socket(), ["workloads", "-n", "looping"]).await?;
            known.retain(|line| line["workload"]["container"] == name);
            let found = known.len() == 1 && is_it(&known[0]);
            Ok(if found { Ok(()) } else { Err(known) })
        })
        .await
    };
    let ended = |line: &Value| line["state"] == "CONTAINER_STATE_ENDED";
    let rests = |line: &Value| {
        ended(line)
            && line["crash_loop"] == true
            && line["restarts_seen"] == 2
            && line["last_end"]["code"] == 13
    };
    listed("app", &rests).await?;
    let is_done = |line: &Value| {
        ended(line) && line["crash_loop"] != true && line["last_end"]["kind"] == "END_KIND_COMPLETED"
    };
    listed("job", &is_done).await?;
    let text = client::run(daemon.socket(), ["workloads", "-n", "looping"]).await?;
    let text = String::from_utf8(text.stdout)?;
    ensure!(text.contains("crash loop, ended ") && text.contains("error: code 13 after "), "{text}");
    pod.container("app", ["sleep", "1000"]).attempt(3).start().await?;
    let is_last = |line: &Value| {
        is_of(line, "container_start", pod.name(), "app") && line["event"]["workload"]["restart_count"] == 3
    };
    lines.wait_for("the last start", PATIENCE, is_last).await?;
    let starts = lines.matching(|line| is_of(line, "container_start", pod.name(), "app"));
    ensure!(starts.len() == 4, "{starts:#?}");
    for (number, start) in (0_u64..).zip(&starts) {
        let of = detail(start);
        let counts = (of["restarts_seen"].as_u64(), start["event"]["workload"]["restart_count"].as_u64());
        ensure!(counts.0.unwrap_or(0) == number && counts.1.unwrap_or(0) == number, "{start}");
        if number > 0 {
            let back_off = of["since_last_end_ns"].as_u64().context("no back-off")?;
            ensure!(back_off >= back_offs[number as usize - 1] * MS, "{start}");
            ensure!(of["last_end"]["code"] == 10 + number, "{start}");
        }
    }
    let is_loop = |line: &Value| is(line, "container_crash_loop");
    let told = lines.wait_for("the crash loop", PATIENCE, is_loop).await?;
    ensure!(is_of(&told, "container_crash_loop", pod.name(), "app"), "{told}");
    let of = detail(&told);
    ensure!(of["failures"] == 3 && of["restarts_seen"] == 2, "{told}");
    let ends = of["ends"].as_array().context("no ends")?;
    let codes: Vec<_> = ends.iter().filter_map(|end| end["code"].as_u64()).collect();
    ensure!(codes == [11, 12, 13], "{told}");
    ensure!(ends.iter().all(|end| end["kind"] == "END_KIND_ERROR" && end["reason"] == "Error"), "{told}");
    for (end, back_off) in ends.iter().zip(&back_offs[..2]) {
        ensure!(end["restarted_after_ns"].as_u64().is_some_and(|ns| ns >= back_off * MS), "{told}");
    }
    ensure!(ends[2].get("restarted_after_ns").is_none(), "{told}");
    let position = |found: &Value| lines.values().iter().position(|line| line == found);
    let third = |line: &Value| is_of(line, "container_stop", pod.name(), "app") && detail(line)["code"] == 13;
    let third = lines.wait_for("the third end", PATIENCE, third).await?;
    ensure!(position(&third) < position(&told), "a crash loop is told after the end that completes it");
    ensure!(lines.matching(is_loop).len() == 1, "{:#?}", lines.matching(is_loop));
    let runs = |line: &Value| {
        let again = line["restarts_seen"] == 3 && line["last_end"]["code"] == 13;
        line["state"] == "CONTAINER_STATE_RUNNING" && line["crash_loop"] == true && again
    };
    listed("app", &runs).await?;
    let text =
        client::run(daemon.socket(), ["events", "--last", "1000", "-t", "container_crash_loop"]).await?;
    let text = String::from_utf8(text.stdout)?;
    ensure!(text.contains("3 failed ends within 10 min") && text.contains("code 13"), "{text}");
    pod.remove().await
}
