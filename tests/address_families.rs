//! Connections in every kind of address, between pods, in a pod and with the host: told once on each side, as `ss` shows
//! their ends there, of the right workloads.

#[path = "address_families/setting.rs"]
mod setting;

use anyhow::{Result, ensure};
use observer_tests::events::{self, detail, is};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Testbed, client, eventually};
use serde_json::Value;
use setting::{Case, Far, Place, Setting, index, link_local};
use tokio::sync::Mutex;

/// One test at a time: both look for free ports of the host.
static ALONE: Mutex<()> = Mutex::const_new(());

/// The line's connection is a case's.
fn of<'a>(tcp: &'a Value, case: &Case) -> Option<&'a Value> {
    (tcp["destination"]["port"] == case.port).then_some(tcp)
}

/// Which of a case's sides this is: 0 asks, 1 is asked.
fn side(tcp: &Value) -> usize {
    usize::from(!tcp["outgoing"].as_bool().unwrap_or(false))
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// Demands that the ends are those that `ss` showed, and that both are attributed as the case has it.
fn is_right(
    setting: &Setting,
    case: &Case,
    shown: &[(String, String); 2],
    own: &Value,
    tcp: &Value,
) -> Result<()> {
    let side = side(tcp);
    let (source, destination) = (&tcp["source"], &tcp["destination"]);
    let told = (text(source, "address").to_owned(), text(destination, "address").to_owned());
    ensure!(told == shown[side], "{}: {told:?} is told, {:?} shown: {tcp}", case.name, shown[side]);
    ensure!(tcp["netns"] == setting.netns(case, side).inode()?, "{}: {tcp}", case.name);
    let container = if side == 0 { "talk" } else { "serve" };
    match setting.pod(case.places[side]) {
        Some(pod) => {
            let right = text(own, "pod") == pod.name() && text(own, "container") == container;
            ensure!(right && own["kind"] == "WORKLOAD_KIND_POD", "{}: {own}", case.name);
        }
        None => ensure!(
            text(own, "pod").is_empty()
                && matches!(text(own, "kind"), "WORKLOAD_KIND_HOST" | "WORKLOAD_KIND_UNIT"),
            "{}: {own}",
            case.name
        ),
    }
    let far = if side == 0 { destination } else { source };
    is_far(setting, case, side, text(far, "kind"), &far["workload"])
}

/// Demands that the other end is told as the case has it.
fn is_far(setting: &Setting, case: &Case, side: usize, kind: &str, workload: &Value) -> Result<()> {
    let (right, pod): (_, Option<Place>) = match case.far[side] {
        Far::Pod(place) => ("PEER_KIND_POD", Some(place)),
        Far::Host => ("PEER_KIND_HOST", None),
        Far::Loopback(place) => ("PEER_KIND_LOOPBACK", place),
        Far::Unknown => ("", None),
    };
    let pod = pod.and_then(|place| setting.pod(place)).map_or("", |pod| pod.name());
    ensure!(
        kind == right && text(workload, "pod") == pod,
        "{}, side {side}: {kind:?} {workload}, not {right:?} {pod:?}",
        case.name
    );
    Ok(())
}

fn both_shown(setting: &Setting, case: &Case) -> Result<[(String, String); 2]> {
    Ok([setting.shown(case, 0)?, setting.shown(case, 1)?])
}

/// Demands that both ends are listed as they should be.
async fn are_listed(daemon: &Daemon, setting: &Setting, adopted: bool) -> Result<Vec<[(String, String); 2]>> {
    let mut all = Vec::new();
    for case in &setting.cases {
        let shown = both_shown(setting, case)?;
        let port = case.port.to_string();
        let lines = eventually(PATIENCE, case.name, async || {
            let lines = client::json(daemon.socket(), ["connections", "--port", &port]).await?;
            let talked = |line: &Value| line["counters"]["sent_bytes"] == 100;
            Ok(if lines.len() == 2 && lines.iter().all(talked) { Ok(lines) } else { Err(lines) })
        })
        .await?;
        ensure!(side(&lines[0]["tcp"]) != side(&lines[1]["tcp"]), "{}: {lines:#?}", case.name);
        for line in &lines {
            is_right(setting, case, &shown, &line["workload"], &line["tcp"])?;
            ensure!(line["adopted"].as_bool().unwrap_or(false) == adopted, "{}: {line}", case.name);
        }
        let lines = client::json(daemon.socket(), ["connections", "--listeners", "--port", &port]).await?;
        ensure!(lines.len() == 1, "{}: {lines:#?}", case.name);
        let pod = setting.pod(case.places[1]).map_or("", |pod| pod.name());
        let address = setting.listens(case)?;
        ensure!(text(&lines[0]["workload"], "pod") == pod, "{}: {}", case.name, lines[0]);
        ensure!(text(&lines[0], "address") == address, "{}: not {address}: {}", case.name, lines[0]);
        all.push(shown);
    }
    Ok(all)
}

/// Demands one event of this type on the sides given, and no more.
async fn are_told(
    events: &Lines,
    setting: &Setting,
    shown: &[[(String, String); 2]],
    kind: &str,
    sides: &[usize],
) -> Result<()> {
    for (case, shown) in setting.cases.iter().zip(shown) {
        let ours = |line: &Value| is(line, kind) && of(&detail(line)["tcp"], case).is_some();
        let what = format!("{kind} of {}", case.name);
        let lines = events.wait_count(&what, PATIENCE, sides.len(), ours).await?;
        let mut found: Vec<usize> = lines.iter().map(|line| side(&detail(line)["tcp"])).collect();
        found.sort_unstable();
        ensure!(found == sides, "{what}: {lines:#?}");
        for line in &lines {
            is_right(setting, case, shown, &line["event"]["workload"], &detail(line)["tcp"])?;
        }
    }
    Ok(())
}

/// Demands that each connection is in one edge on each side, opened once in all windows together.
async fn are_summed(summaries: &Lines, setting: &Setting, shown: &[[(String, String); 2]]) -> Result<()> {
    for (case, shown) in setting.cases.iter().zip(shown) {
        for side in [0, 1] {
            let ours = |line: &Value| {
                let edge = &line["summary"]["edge"];
                edge["port"] == case.port && edge["outgoing"].as_bool().unwrap_or(false) == (side == 0)
            };
            let opened = |line: &Value| line["summary"]["tcp"]["opened"].as_u64().unwrap_or(0);
            let closed = |line: &Value| line["summary"]["tcp"]["closed"].as_u64().unwrap_or(0);
            let lines = eventually(PATIENCE, "the edges", async || {
                let lines = summaries.matching(ours);
                let sums: (u64, u64) = (lines.iter().map(opened).sum(), lines.iter().map(closed).sum());
                ensure!(sums.0 <= 1 && sums.1 <= 1, "{}, side {side}: {lines:#?}", case.name);
                Ok(if sums == (1, 1) { Ok(lines) } else { Err(sums) })
            })
            .await?;
            for line in lines {
                let (edge, own) = (&line["summary"]["edge"], &line["summary"]["workload"]);
                let pod = setting.pod(case.places[side]).map_or("", |pod| pod.name());
                ensure!(text(own, "pod") == pod, "{}: {line}", case.name);
                is_far(setting, case, side, text(edge, "kind"), &edge["workload"])?;
                let far = if side == 0 { &shown[side].1 } else { &shown[side].0 };
                let address = if edge.get("workload").is_some() { "" } else { far.as_str() };
                ensure!(text(edge, "address") == address, "{}: not {address:?}: {line}", case.name);
            }
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_are_told_right_in_every_family() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let mut setting = Setting::new(testbed, "families").await?;
    let ports = setting.ports();
    let events = events::watch(&daemon, ["--port", &ports]).await?;
    let summaries = daemon.follow(["summary", "-f", "--window", "1s", "--port", &ports])?;
    summaries.wait_for("a window", PATIENCE, |line| line.get("window_end").is_some()).await?;
    setting.connect().await?;
    let shown = are_listed(&daemon, &setting, false).await?;
    are_told(&events, &setting, &shown, "tcp_connect", &[0]).await?;
    are_told(&events, &setting, &shown, "tcp_accept", &[1]).await?;
    setting.hang_up().await?;
    are_told(&events, &setting, &shown, "tcp_close", &[0, 1]).await?;
    are_summed(&summaries, &setting, &shown).await?;
    // By now whatever came twice has come.
    are_told(&events, &setting, &shown, "tcp_connect", &[0]).await?;
    are_told(&events, &setting, &shown, "tcp_accept", &[1]).await?;
    are_told(&events, &setting, &shown, "tcp_close", &[0, 1]).await?;
    events::nothing_lost(&events)?;
    Box::pin(setting.remove()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_daemon_is_told_right_in_every_family() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let mut setting = Setting::new(testbed, "older-families").await?;
    setting.connect().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let events = events::watch(&daemon, ["--port", &setting.ports()]).await?;
    let shown = are_listed(&daemon, &setting, true).await?;
    setting.hang_up().await?;
    are_told(&events, &setting, &shown, "tcp_close", &[0, 1]).await?;
    events::nothing_lost(&events)?;
    Box::pin(setting.remove()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_listens_to_is_told_with_the_same_ends_on_both_sides() -> Result<()> {
    let _alone = ALONE.lock().await;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let events = events::watch(&daemon, ["--port", "81,82,83,84"]).await?;
    let asking = testbed.pod("refused-families", "asking").run().await?;
    let asked = testbed.pod("refused-families", "asked").run().await?;
    let (v4, v6) = (asked.ip()?.to_string(), asked.ipv6()?.to_string());
    let link_local = link_local(asked.netns(), "eth0").await?;
    // What is asked for, and what that is called on either side.
    let there = format!("{link_local}%{}", index(asking.netns(), "eth0")?);
    let here = format!("{link_local}%{}", index(asked.netns(), "eth0")?);
    let rows = [
        (81, v4.clone(), &v4, &v4),
        (82, format!("[::ffff:{v4}]"), &v4, &v4),
        (83, format!("[{v6}]"), &v6, &v6),
        (84, format!("[{there}]"), &there, &here),
    ];
    let dial =
        |(port, to, ..): &(u16, String, &String, &String)| format!("workload connect --to {to}:{port}; ");
    let script: String = rows.iter().map(dial).collect();
    asking.container("talk", ["sh", "-c", &script]).start().await?.wait().await?;
    for (port, to, there, here) in &rows {
        for (kind, pod, address) in [("tcp_connect_failure", &asking, there), ("tcp_reset", &asked, here)] {
            let netns = pod.netns().inode()?;
            let end = |line: &Value| {
                let tcp = &detail(line)["tcp"];
                let ours = |end: &&Value| end["port"] == *port;
                [&tcp["source"], &tcp["destination"]]
                    .into_iter()
                    .find(ours)
                    .map(|end| text(end, "address").to_owned())
            };
            let ours =
                |line: &Value| is(line, kind) && detail(line)["tcp"]["netns"] == netns && end(line).is_some();
            let lines = events.wait_count(to, PATIENCE, 1, ours).await?;
            ensure!(lines.len() == 1 && end(&lines[0]).as_ref() == Some(*address), "{to}: {lines:#?}");
        }
    }
    events::nothing_lost(&events)?;
    asking.remove().await?;
    asked.remove().await
}
