//! Nothing of the observer runs per packet: neither by where the kernel says that its programs are attached, nor by how
//! often they run while segments pass.
#![allow(clippy::print_stdout, reason = "it tells what it measured")]

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::GetStatusRequest;
use observer_proto::v1::observer_client::ObserverClient;
use observer_tests::firings::count_runs;
use observer_tests::{Daemon, Testbed, loaded};
use serde_json::Value;

/// What a connection, a process or a container does a few times in its life, or when something goes wrong; never what
/// each segment does.
const HOOKS: [&str; 13] = [
    "cgroup_mkdir",
    "cgroup_rmdir",
    "inet_sock_set_state",
    "inet_sock_set_state",
    "mark_victim",
    "sched_process_exec",
    "sched_process_exit",
    "signal_generate",
    "tcp_receive_reset",
    "tcp_retransmit_skb",
    "tcp_retransmit_skb",
    "tcp_retransmit_synack",
    "tcp_send_reset",
];
/// Loaded, and attached while a debugging session asks for them, at no other time: `debug_sessions.rs` sees to that.
const DEEPER: [&str; 14] = [
    "do_sys_openat2",
    "exit_creat",
    "exit_open",
    "exit_openat",
    "exit_openat2",
    "kfree_skb",
    "signals_sent",
    "sk_data_ready",
    "sock_send_length",
    "sys_exit",
    "tcp_probe",
    "tcp_rcv_space_adjust",
    "tcp_sendmsg",
    "tcp_sendmsg_locked",
];
/// These run when the daemon reads them, and at no other time.
const ITERATORS: [&str; 3] = ["bpf_sk_storage_map", "task_file", "tcp"];

/// How much is sent in one connection.
const BYTES: u64 = 300_000_000;
/// The fewest segments that this takes on an Ethernet.
const SEGMENTS: u64 = BYTES / 1460;
/// Other tests' processes and connections are seen as well, but not each time.
const ROUNDS: u32 = 5;

/// The daemon's programs, by the kernel's ids.
fn programs(daemon: &Daemon) -> Result<BTreeMap<Option<u64>, Value>> {
    Ok(loaded::programs(daemon)?.into_iter().map(|program| (program["id"].as_u64(), program)).collect())
}

/// Asked for names, it has one program that sees packets, on their way in and beside whatever others there are, and
/// that goes with the daemon, however that ends.
#[tokio::test(flavor = "multi_thread")]
async fn asked_for_names_one_program_sees_packets() -> Result<()> {
    let mut daemon = Daemon::bare().arg("--dns").start().await?;
    let programs = programs(&daemon)?;
    let seeing: Vec<&Value> = programs.values().filter(|program| program["type"] != "tracing").collect();
    let [program] = seeing.as_slice() else { anyhow::bail!("{seeing:#?}") };
    ensure!(program["type"] == "cgroup_skb" && program["name"] == "dns_answers", "{program}");
    let links = || -> Result<Vec<Value>> {
        Ok(loaded::list("link")?.into_iter().filter(|link| link["prog_id"] == program["id"]).collect())
    };
    let attached = links()?;
    let [link] = attached.as_slice() else { anyhow::bail!("{attached:#?}") };
    ensure!(link["type"] == "cgroup" && link["attach_type"] == "cgroup_inet_ingress", "{link}");
    daemon.kill().await?;
    observer_tests::eventually(observer_tests::wait::PATIENCE, "the link to go", async || {
        let left = links()?;
        Ok(if left.is_empty() { Ok(()) } else { Err(left) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_is_attached_to_what_packets_do() -> Result<()> {
    let daemon = Daemon::bare().start().await?;
    let programs = programs(&daemon)?;
    // No socket operations, traffic control, XDP, socket filters, or programs on a cgroup's sockets and packets.
    ensure!(programs.values().all(|program| program["type"] == "tracing"), "{programs:#?}");

    let links =
        loaded::list("link")?.into_iter().filter(|link| programs.contains_key(&link["prog_id"].as_u64()));
    let mut hooks = Vec::new();
    for link in links {
        let (kind, text) = (link["type"].as_str().context("no type")?, |field| link[field].as_str());
        match (kind, text("tp_name"), text("target_name")) {
            ("raw_tracepoint", Some(hook), _) => hooks.push(hook.to_owned()),
            ("iter", _, Some(target)) => ensure!(ITERATORS.contains(&target), "{link}"),
            _ => anyhow::bail!("an unexpected link: {link}"),
        }
    }
    hooks.sort();
    ensure!(hooks == HOOKS, "{hooks:#?}");
    // Those for older sockets and for the rest: two over tracked sockets, one over sockets, one over files.
    let deeper = |program: &&Value| {
        program["name"].as_str().is_some_and(|name| {
            // The kernel keeps 15 characters of a name.
            DEEPER.iter().any(|deeper| deeper.starts_with(name))
        })
    };
    let others = programs.values().filter(|program| !deeper(program)).count();
    ensure!(others == HOOKS.len() + 4, "{programs:#?}");
    Ok(())
}

/// How often each program on a hook has run.
async fn runs(daemon: &Daemon) -> Result<BTreeMap<String, u64>> {
    let mut client = ObserverClient::new(daemon.channel().await?);
    let status = client.get_status(GetStatusRequest {}).await?.into_inner().status.context("no status")?;
    // Iterators run when the daemon reads them, once for each socket that there is.
    let hooked = status.probes.into_iter().filter(|probe| !probe.hook.starts_with("iter/"));
    Ok(hooked.map(|probe| (probe.name, probe.run_count)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_program_runs_for_the_segments_of_a_connection() -> Result<()> {
    let _counting = count_runs()?;
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("hooks", "server").run().await?;
    let serve = server.container("serve", ["workload", "serve", "--port", "8080", "--sink"]);
    serve.start_until("listening").await?;
    let sender = testbed.pod("hooks", "sender").run().await?;
    // Else one packet would be up to 64 KiB of segments.
    sender.netns().output("ip", ["link", "set", "dev", "eth0", "gso_max_segs", "1"])?;
    let (to, bytes) = (format!("{}:8080", server.ip()?), BYTES.to_string());

    let mut round = 1;
    loop {
        let (before, counters) = (runs(&daemon).await?, (sender.counters()?, server.counters()?));
        let argv = ["workload", "connect", "--to", &to, "--send", &bytes, "--receive", "0"];
        sender.container(&format!("connect{round}"), argv).start().await?.output().await?;
        let sent = sender.counters()?.since(&counters.0).get("OutSegs")? as u64;
        let received = server.counters()?.since(&counters.1).get("InSegs")? as u64;
        ensure!(sent > SEGMENTS && received > SEGMENTS, "{sent} segments sent, {received} received");
        let grown: BTreeMap<String, u64> = runs(&daemon)
            .await?
            .into_iter()
            .map(|(name, count)| (name.clone(), count - before[&name]))
            .collect();
        println!("{sent} segments sent, {received} received; programs ran {grown:?} times");
        ensure!(grown["inet_sock_set_state"] > 0, "the kernel does not count: {grown:?}");
        // What runs for each segment does so at least as often as there are some; all else has another cause.
        if grown.values().all(|count| *count < SEGMENTS / 2) {
            break;
        }
        ensure!(round < ROUNDS, "{sent} segments sent, {received} received: {grown:#?}");
        round += 1;
    }
    sender.remove().await?;
    server.remove().await
}
