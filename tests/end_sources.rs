//! Proves what is told of a container's end where the kernel or the runtime does not know of it, or not yet.

use anyhow::{Context, Result, ensure};
use observer_tests::ends::{agrees, stopped};
use observer_tests::events::{detail, is, is_of, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Testbed, client, eventually};
use rustix::process::Signal;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn without_the_kernels_word_the_runtimes_counts_and_without_both_it_vanished() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let blind = ["--disabled-hooks", "sched_process_exit"];
    // A busy runtime may take long to say its word.
    let told = Daemon::on(testbed).args(blind).args(["--attribution-hold", "10s"]).start().await?;
    let alone = Daemon::bare().args(blind).args(["--cri-endpoint", "none"]).start().await?;
    let (told_lines, alone_lines) = (watch(&told, ["-n", "unseen"]).await?, watch(&alone, []).await?);
    let pod = testbed.pod("unseen", "unseen").run().await?;
    let container = pod.container("unseen", ["workload", "exit", "9"]).start().await?;
    let exit = container.wait().await?;
    let stop = stopped(&told_lines, &pod, "unseen").await?;
    agrees(&stop, &exit)?;
    let of = detail(&stop);
    ensure!(of["kind"] == "END_KIND_ERROR" && of["code"] == 9, "{stop}");
    ensure!(of["sources"] == json!(["END_SOURCE_CRI"]), "{stop}");
    let is_it = |line: &Value| {
        is(line, "container_stop") && line["event"]["workload"]["container_id"] == container.id()
    };
    let stop = alone_lines.wait_for("its end", PATIENCE, is_it).await?;
    let of = detail(&stop);
    ensure!(of["kind"] == "END_KIND_VANISHED" && of.get("code").is_none(), "{stop}");
    ensure!(of.get("sources").is_none() && of["run_time_ns"].as_u64().is_some(), "{stop}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_was_away_completes_the_story_afterwards() -> Result<()> {
    let testbed = Testbed::start().await?;
    let daemon = Daemon::on(&testbed).start().await?;
    let lines = watch(&daemon, ["-n", "absent"]).await?;
    let pod = testbed.pod("absent", "absent").run().await?;
    let container = pod.container("late", ["sleep", "1000"]).start().await?;
    lines.wait_for("its start", PATIENCE, |line| is_of(line, "container_start", pod.name(), "late")).await?;
    let pid = rustix::process::Pid::from_raw(container.pid().await? as i32).context("no pid")?;
    testbed.stop_containerd()?;
    rustix::process::kill_process(pid, Signal::KILL)?;
    let stop = stopped(&lines, &pod, "late").await?;
    let of = detail(&stop);
    ensure!(of["sources"] == json!(["END_SOURCE_KERNEL"]) && of.get("runtime").is_none(), "{stop}");
    testbed.start_containerd().await?;
    let args = ["events", "--last", "1000", "-n", "absent", "-t", "container_stop"];
    let sequence = &stop["event"]["sequence"];
    let whole = eventually(PATIENCE, "the runtime's word in history", async || {
        let kept = client::json(daemon.socket(), args).await?;
        let kept =
            kept.into_iter().find(|line| line["event"]["sequence"] == *sequence).context("not kept")?;
        Ok(if detail(&kept).get("runtime").is_some() { Ok(kept) } else { Err(kept) })
    })
    .await?;
    ensure!(detail(&whole)["runtime"]["exit_code"] == 137, "{whole}");
    ensure!(
        detail(&whole)["kind"] == of["kind"] && whole["event"]["time"] == stop["event"]["time"],
        "{whole}"
    );
    // It was not sent twice.
    stopped(&lines, &pod, "late").await?;
    drop(container);
    pod.remove().await
}
