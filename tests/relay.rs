//! A relay over three nodes: one client sees all three, each connection once with both of its ends, and what is wrong with
//! one node is said and harms nobody else.

#[path = "relay/site.rs"]
mod site;

use anyhow::{Context, Result, ensure};
use observer_tests::client::{json, run};
use observer_tests::nodes::Options;
use observer_tests::wait::PATIENCE;
use observer_tests::{Lines, Packets, Pod, Testbed, eventually};
use rustix::process::Signal;
use serde_json::Value;
use site::Site;

/// Events of a type, by the node that tells them.
fn events(lines: &Lines, kind: &str, node: &str) -> Vec<Value> {
    lines.matching(|line| line["event"]["type"] == kind && line["node_name"] == node)
}

/// What is said of a node in a stream.
fn said(lines: &Lines, node: &str, state: &str) -> Vec<Value> {
    lines.matching(|line| {
        line["node_status"]["state"] == format!("NODE_STATE_{state}")
            && line["node_status"]["node_name"] == node
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_sees_all_nodes_and_each_connection_once() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let all = [("na", Options::default()), ("nb", Options::default()), ("nc", Options::default())];
    let site = Site::new(testbed, "relay-all", &all).await?;
    site.states(&[("na", "CONNECTED"), ("nb", "CONNECTED"), ("nc", "CONNECTED")]).await?;
    let socket = site.relay.socket();
    let stream = site.relay.follow(["events", "-f", "-t", "tcp_connect,tcp_accept,tcp_close"])?;
    stream.wait_count("greetings", PATIENCE, 3, |line| !line["node_status"]["node_name"].is_null()).await?;
    site.connect(0, 1, "out", 1, 600).await?;
    stream.wait_count("both ends", PATIENCE, 2, |line| line["event"]["type"].is_string()).await?;
    ensure!(events(&stream, "tcp_connect", "na").len() == 1, "{}", stream.account());
    ensure!(events(&stream, "tcp_accept", "nb").len() == 1, "{}", stream.account());

    // Once, with both ends: the client's handshake beside what the server's socket says.
    let connections = eventually(PATIENCE, "the joined connection", || async {
        let all = json(socket, ["connections", "--port", "8080"]).await?;
        Ok(if all.len() == 1 && all[0]["peer"].is_object() { Ok(all) } else { Err(format!("{all:?}")) })
    })
    .await?;
    let one = &connections[0];
    ensure!(one["node_name"] == "na" && one["peer"]["node_name"] == "nb", "{one}");
    ensure!(one["workload"]["pod"] == site.pods[0].name(), "{one}");
    ensure!(one["peer"]["workload"]["pod"] == site.pods[1].name(), "{one}");
    ensure!(one["tcp"]["outgoing"] == true && !one["handshake_latency_ns"].is_null(), "{one}");
    ensure!(one["peer"]["flow"].is_object(), "{one}");

    let workloads = json(socket, ["workloads", "-n", &site.each[2].namespace]).await?;
    ensure!(workloads.iter().all(|one| one["node_name"] == "nc") && !workloads.is_empty(), "{workloads:?}");
    let listeners = json(socket, ["connections", "--listeners", "--port", "8080"]).await?;
    ensure!(listeners.len() == 3, "{listeners:?}");

    // Filters by node are heeded, and those who are not asked are not missing.
    let own = json(socket, ["workloads", "--node-name", "nb"]).await?;
    ensure!(!own.is_empty() && own.iter().all(|one| one["node_name"] == "nb"), "{own:?}");

    // The past of all nodes is one, in the order of time.
    site.connect(1, 2, "more", 5, 0).await?;
    stream
        .wait_count("ends", PATIENCE, 5, |line| {
            line["event"]["type"] == "tcp_close" && line["node_name"] == "nc"
        })
        .await?;
    let begins = |line: &Value| ["tcp_connect", "tcp_accept"].iter().any(|one| line["event"]["type"] == *one);
    stream.wait_count("beginnings", PATIENCE, 12, begins).await?;
    let past = json(socket, ["events", "--last", "12", "-t", "tcp_connect,tcp_accept"]).await?;
    let times: Vec<_> = past.iter().filter_map(|line| line["event"]["time"].as_str()).collect();
    ensure!(times.len() == 12 && times.is_sorted(), "{times:?}");

    // A client that goes leaves no stream behind.
    let streams = async |each: Value| {
        eventually(PATIENCE, "the nodes' streams", || async {
            let status = json(socket, ["status"]).await?;
            let nodes = status[0].pointer("/relay/nodes").and_then(Value::as_array).context("no nodes")?;
            let all = nodes.len() == 3 && nodes.iter().all(|node| node["streams"] == each);
            Ok(if all { Ok(()) } else { Err(format!("{nodes:?}")) })
        })
        .await
    };
    streams(Value::from(1)).await?;
    drop(stream);
    streams(Value::Null).await?;
    site.end().await
}

/// Lets the pods of two testbeds reach each other by way of the host, as those of two nodes do.
fn route(testbeds: [&Testbed; 2], pods: &[Pod]) -> Result<()> {
    for testbed in testbeds {
        let setting = format!("/proc/sys/net/ipv4/conf/{}/forwarding", testbed.network().bridge());
        std::fs::write(&setting, "1").with_context(|| setting)?;
    }
    for (own, other, pod) in [(0, 1, &pods[0]), (1, 0, &pods[1])] {
        let (to, via) = (testbeds[other].network().subnet(), testbeds[own].network().host().to_string());
        pod.netns().output("ip", ["route", "add", &to, "via", &via])?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_between_nodes_is_one_edge() -> Result<()> {
    let (one, other) = (Testbed::shared().await?, Testbed::start().await?);
    let nodes = [(one, "ea", Options::default()), (&other, "eb", Options::default())];
    let site = Site::on(&nodes, "relay-edge").await?;
    route([one, &other], &site.pods)?;
    site.states(&[("ea", "CONNECTED"), ("eb", "CONNECTED")]).await?;
    let stream = site.relay.follow(["summary", "-f", "--window", "5s"])?;
    let both = |line: &Value| line["window_end"]["nodes"] == 2;
    stream.wait_for("a window of both", PATIENCE, both).await?;
    let to = format!("{}:8080", site.pods[1].ip()?);
    let argv = ["workload", "connect", "--to", &to, "--count", "20", "--rate", "4", "--bytes", "100"];
    site.pods[0].container("out", argv).start().await?;
    let of = |path: &str, is: &dyn Fn(&Value) -> bool| -> u64 {
        let count = |value: &Value| value.as_u64().unwrap_or(0);
        stream.matching(is).iter().filter_map(|line| line.pointer(path)).map(count).sum()
    };
    let asks = |line: &Value| line["node_name"] == "ea" && line["summary"]["edge"]["port"] == 8080;
    let joined = |line: &Value| asks(line) && line["summary"]["far_end"]["node_name"] == "eb";
    let alone = |line: &Value| line["node_name"] == "eb" && line["summary"]["edge"]["port"] == 8080;
    // A window of one node begins within a second of the other's: what is at the edge of both may be told in two.
    eventually(PATIENCE, "all connections, on both sides", || async {
        let own = of("/summary/tcp/opened", &asks);
        let far = of("/summary/far_end/tcp/opened", &joined) + of("/summary/tcp/opened", &alone);
        Ok(if (own, far) == (20, 20) { Ok(()) } else { Err(format!("{own} {far}: {}", stream.account())) })
    })
    .await?;
    let told = stream.matching(joined);
    let told = told.first().with_context(|| stream.account())?;
    let far = &told["summary"]["far_end"];
    ensure!(far["workload"]["pod"] == site.pods[1].name(), "{told}");
    ensure!(told["summary"]["edge"]["workload"]["pod"] == site.pods[1].name(), "{told}");
    ensure!(told["summary"]["tcp"]["handshake_latency"].is_object(), "{told}");
    // And so does who asks whose fault it is.
    let verdicts = eventually(PATIENCE, "the verdict", || async {
        let all = json(site.relay.socket(), ["explain", "--port", "8080"]).await?;
        let edges: Vec<_> =
            all.iter().filter_map(|line| line["edges"].as_array().cloned()).flatten().collect();
        let edges = if edges.is_empty() { all } else { edges };
        Ok(if edges.len() == 1 { Ok(edges) } else { Err(format!("{edges:?}")) })
    })
    .await?;
    ensure!(verdicts[0]["far_end"]["node_name"] == "eb", "{verdicts:?}");
    site.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_one_node_is_said_and_harms_nobody_else() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let preload = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
        .map(|folder| format!("{folder}/faketime/libfaketimeMT.so.1"));
    let preload =
        preload.iter().find(|path| std::path::Path::new(path).exists()).context("no libfaketime")?;
    let wrong =
        [("LD_PRELOAD", preload.as_str()), ("FAKETIME", "+3600s"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let wrong = Options { env: &wrong, ..Options::default() };
    let nodes = [
        ("killed", Options::default()),
        ("cut", Options::default()),
        ("stopped", Options::default()),
        ("wrong", wrong),
        ("well", Options::default()),
    ];
    let mut site = Site::new(testbed, "relay-harm", &nodes).await?;
    let connected: Vec<_> = nodes.iter().map(|(name, _)| (*name, "CONNECTED")).collect();
    let told = site.states(&connected).await?;
    let ahead = told.iter().find(|node| node["name"] == "wrong").context("no such node")?;
    ensure!(ahead["message"].as_str().is_some_and(|words| words.contains("3600.0 s ahead")), "{ahead}");
    let right = told.iter().filter(|node| node["name"] != "wrong");
    ensure!(right.clone().all(|node| node["message"] == "" || node["message"].is_null()), "{told:?}");

    let stream = site.relay.follow(["events", "-f", "-t", "tcp_accept"])?;
    stream
        .wait_count("greetings", PATIENCE, 5, |line| {
            line["node_status"]["state"] == "NODE_STATE_CONNECTED"
                && !line["node_status"]["node_name"].is_null()
        })
        .await?;
    // A clock that is wrong holds nothing up, and events keep their own times.
    site.connect(4, 3, "wrong", 1, 0).await?;
    site.connect(3, 4, "well", 1, 0).await?;
    stream.wait_count("both", PATIENCE, 2, |line| line["event"]["type"] == "tcp_accept").await?;

    site.each[0].daemon.kill().await?;
    let cut = site.each[1].place.lose(100, &Packets::tcp())?;
    site.each[2].daemon.signal(Signal::STOP)?;
    for (name, why) in [("killed", "broke"), ("cut", ""), ("stopped", "")] {
        stream
            .wait_for(&format!("that {name} is unavailable"), PATIENCE, |line| {
                line["node_status"]["state"] == "NODE_STATE_UNAVAILABLE"
                    && line["node_status"]["node_name"] == name
                    && line["node_status"]["message"].as_str().is_some_and(|words| words.contains(why))
            })
            .await?;
        ensure!(said(&stream, name, "UNAVAILABLE").len() <= 2, "{}", stream.account());
    }
    // The others go on.
    site.connect(4, 3, "again", 3, 0).await?;
    stream
        .wait_count("events of the others", PATIENCE, 5, |line| line["event"]["type"] == "tcp_accept")
        .await?;
    let lists = run(site.relay.socket(), ["workloads"]).await?;
    ensure!(lists.status.success(), "{lists:?}");

    // What happened while it was cut off is told when it is back, as the daemon has it in memory.
    site.connect(4, 1, "unseen", 2, 0).await?;
    cut.stop()?;
    site.each[2].daemon.signal(Signal::CONT)?;
    site.states(&[
        ("killed", "UNAVAILABLE"),
        ("cut", "CONNECTED"),
        ("stopped", "CONNECTED"),
        ("wrong", "CONNECTED"),
        ("well", "CONNECTED"),
    ])
    .await
    .or_else(|error| if error.to_string().contains("tls://") { Ok(Vec::new()) } else { Err(error) })?;
    stream
        .wait_count("events of the one that was cut off", PATIENCE, 2, |line| {
            line["event"]["type"] == "tcp_accept" && line["node_name"] == "cut"
        })
        .await?;
    let again = events(&stream, "tcp_accept", "cut").len();
    ensure!(again == 2, "{again}: {}", stream.account());
    ensure!(events(&stream, "tcp_accept", "wrong").len() == 4, "{}", stream.account());
    site.end().await
}
