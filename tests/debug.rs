//! What a debugging session sees: of its own pod all of it, as others measured it too, and of other pods nothing.

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{
    DebugPart, DebugRequest, Event, EventType, OpenFailure, PacketDrop, Signal, SignalEffect, SignalOrigin,
    TcpResponse,
};
use observer_tests::debugging::on_pod;
use observer_tests::{Container, Daemon, Debugging, Packets, Pod, Testbed};

/// What a pod's server waits for, in milliseconds: before it reads, and before it answers.
const WAIT: u64 = 40;
const WORK: u64 = 70;
/// How late a thread may be on a busy machine.
const LATE: u64 = 200;
const MS: u64 = 1_000_000;

const REQUESTS: usize = 5;

fn of(event: &Event, kind: EventType) -> bool {
    event.r#type() == kind
}

fn pod_of(event: &Event) -> &str {
    event.workload.as_ref().map_or("", |workload| workload.pod.as_str())
}

async fn server(pod: &Pod) -> Result<Container> {
    let (wait, work) = (WAIT.to_string(), WORK.to_string());
    let argv = ["workload", "serve", "--port", "8080", "--request", "1000", "--response", "2000"];
    let slow = ["--read-after-ms", &wait, "--answer-after-ms", &work];
    pod.container("serve", argv.into_iter().chain(slow)).start_until("listening").await
}

async fn ask(client: &Pod, name: &str, server: &Pod) -> Result<()> {
    let (to, requests) = (format!("{}:8080", server.ip()?), REQUESTS.to_string());
    let argv =
        ["workload", "connect", "--to", &to, "--send", "1000", "--receive", "2000", "--requests", &requests];
    client.container(name, argv).start().await?.output().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_takes_as_long_as_its_server_waited_and_worked() -> Result<()> {
    let testbed = Testbed::shared().await?;
    // Each hook that may serve a step has its turn.
    for without in [&[][..], &["sk_data_ready", "tcp_sendmsg_locked"]] {
        let mut daemon = Daemon::on(testbed);
        for hook in without {
            daemon = daemon.args(["--disabled-hooks", hook]);
        }
        let daemon = daemon.start().await?;
        let (watched, other) =
            (testbed.pod("debug", "slow").run().await?, testbed.pod("debug", "other").run().await?);
        let client = testbed.pod("debug", "client").run().await?;
        let (_serves, _other) = (server(&watched).await?, server(&other).await?);
        let debugging = Debugging::open(&daemon, on_pod(&watched)).await?;
        let hooks: Vec<_> = debugging.session().parts.into_iter().flat_map(|part| part.hooks).collect();
        ensure!(!hooks.iter().any(|hook| without.iter().any(|left| hook.ends_with(left))), "{hooks:?}");
        ask(&client, "ask-other", &other).await?;
        ask(&client, "ask", &watched).await?;
        let is_response = |event: &Event| of(event, EventType::TcpResponse);
        let seen = debugging.wait_events("responses", REQUESTS, is_response).await?;
        ensure!(seen.len() == REQUESTS, "{seen:#?}");
        for event in &seen {
            ensure!(pod_of(event) == watched.name(), "{event:#?}");
            let Some(Detail::TcpResponse(response)) = &event.detail else { anyhow::bail!("{event:#?}") };
            let TcpResponse { latency_ns, wait_ns, work_ns, read_bytes, tcp, queued, .. } = response;
            let (wait, work) = (wait_ns.context("no wait")?, work_ns.context("no work")?);
            ensure!((WAIT * MS..(WAIT + LATE) * MS).contains(&wait), "{response:#?}");
            ensure!((WORK * MS..(WORK + LATE) * MS).contains(&work), "{response:#?}");
            ensure!(*latency_ns >= wait + work && *latency_ns < wait + work + LATE * MS, "{response:#?}");
            ensure!(*read_bytes == 1000 && !queued, "{response:#?}");
            let tcp = tcp.as_ref().context("no connection")?;
            ensure!(
                !tcp.outgoing && tcp.destination.as_ref().is_some_and(|end| end.port == 8080),
                "{tcp:#?}"
            );
        }
        let others = debugging.events(|event| pod_of(event) != watched.name());
        ensure!(others.is_empty(), "{others:#?}");
        drop(debugging);
        for pod in [watched, other, client] {
            pod.remove().await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn all_signals_are_told_with_who_sent_them() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let (watched, other) =
        (testbed.pod("debug", "sent").run().await?, testbed.pod("debug", "not").run().await?);
    let [receiver, unseen] = [&watched, &other].map(|pod| pod.container("rest", ["sleep", "1000"]));
    let (receiver, unseen) = (receiver.start().await?, unseen.start().await?);
    let (pid, unseen_pid) = (receiver.pid().await?, unseen.pid().await?);
    let debugging = Debugging::open(&daemon, on_pod(&watched)).await?;
    let send = |pid: u32, name: &str| -> Result<u32> {
        let sender =
            std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).spawn()?;
        let id = sender.id();
        ensure!(sender.wait_with_output()?.status.success(), "kill -{name}");
        Ok(id)
    };
    // Nothing comes of any of them: one is ignored by default, the other one by the first process of a namespace.
    send(unseen_pid, "WINCH")?;
    let winch = send(pid, "WINCH")?;
    let user = send(pid, "USR1")?;
    // From within.
    ensure!(receiver.exec(["kill", "-CONT", "1"]).await?.code == 0, "kill");
    let seen = debugging
        .wait_events(
            "SIGCONT",
            1,
            |event| matches!(&event.detail, Some(Detail::Signal(s)) if s.signal_name == "SIGCONT"),
        )
        .await?;
    let told = |name: &str| -> Result<(Event, Signal)> {
        let found = debugging.events(|event| {
            matches!(&event.detail, Some(Detail::Signal(signal)) if signal.signal_name == name)
                && event.process.as_ref().is_some_and(|process| process.pid == pid)
        });
        let [event] = found.as_slice() else { anyhow::bail!("{name}: {found:#?}") };
        let Some(Detail::Signal(signal)) = event.detail.clone() else { anyhow::bail!("{event:#?}") };
        Ok((event.clone(), signal))
    };
    for (name, sender) in [("SIGWINCH", winch), ("SIGUSR1", user)] {
        let (event, signal) = told(name)?;
        ensure!(pod_of(&event) == watched.name(), "{event:#?}");
        ensure!(signal.sender.as_ref().is_some_and(|process| process.pid == sender), "{signal:#?}");
        ensure!(signal.effect() == SignalEffect::Ignored && !signal.by_kernel, "{signal:#?}");
        ensure!(signal.origin() == SignalOrigin::Outside, "{signal:#?}");
    }
    let (_, signal) = told("SIGCONT")?;
    ensure!(signal.origin() == SignalOrigin::Container && signal.sender.is_some(), "{seen:#?}");
    let others = debugging.events(|event| pod_of(event) != watched.name());
    ensure!(others.is_empty(), "{others:#?}");
    watched.remove().await?;
    other.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_opened_are_told_with_the_error() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let (watched, other) =
        (testbed.pod("debug", "opens").run().await?, testbed.pod("debug", "not").run().await?);
    let [reader, unseen] = [&watched, &other].map(|pod| pod.container("rest", ["sleep", "1000"]));
    let (reader, unseen) = (reader.start().await?, unseen.start().await?);
    // On this machine it may be had at a cost alone.
    let request = DebugRequest {
        parts: vec![DebugPart::OpenFailures.into()],
        costly_open_failures: true,
        ..on_pod(&watched)
    };
    let debugging = Debugging::open(&daemon, request).await?;
    for container in [&unseen, &reader] {
        let said = container.exec(["cat", "/no such file", "/bin/cat/below"]).await?;
        ensure!(said.code != 0 && said.stderr.contains("/no such file"), "{said:?}");
        ensure!(container.exec(["cat", "/etc/hostname"]).await?.code == 0, "cat");
    }
    let failures = |event: &Event| match &event.detail {
        Some(Detail::OpenFailure(failure))
            if failure.path.starts_with("/no such") || failure.path.contains("below") =>
        {
            Some(failure.clone())
        }
        _ => None,
    };
    let seen = debugging.wait_events("failed opens", 2, |event| failures(event).is_some()).await?;
    let found: Vec<OpenFailure> = seen.iter().filter_map(failures).collect();
    let short: Vec<_> = found.iter().map(|one| (one.path.as_str(), one.error.as_str(), one.errno)).collect();
    ensure!(short == [("/no such file", "ENOENT", 2), ("/bin/cat/below", "ENOTDIR", 20)], "{found:#?}");
    for event in &seen {
        ensure!(event.process.as_ref().is_some_and(|process| process.comm == "cat"), "{event:#?}");
    }
    // Where each system call of the machine comes there, each is counted as what it costs: this one opens nothing.
    if debugging.session().parts.iter().any(|part| part.hooks.iter().any(|hook| hook == "tp_btf/sys_exit")) {
        const CALLS: u64 = 200_000;
        for _call in 0..CALLS {
            let _parent = rustix::process::getppid();
        }
        debugging.wait_statistics("the calls of others", |one| one.other_runs >= CALLS).await?;
    }
    // What could be opened is not told.
    let opened = debugging
        .events(|event| matches!(&event.detail, Some(Detail::OpenFailure(f)) if f.path == "/etc/hostname"));
    ensure!(opened.is_empty(), "{opened:#?}");
    let others = debugging.events(|event| pod_of(event) != watched.name());
    ensure!(others.is_empty(), "{others:#?}");
    watched.remove().await?;
    other.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_packets_are_told_with_the_kernels_reason_and_as_often_as_others_count_them() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let (watched, other) =
        (testbed.pod("debug", "drops").run().await?, testbed.pod("debug", "not").run().await?);
    let client = testbed.pod("debug", "client").run().await?;
    for pod in [&watched, &other] {
        pod.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    }
    let request = DebugRequest { parts: vec![DebugPart::PacketDrops.into()], ..on_pod(&watched) };
    let debugging = Debugging::open(&daemon, request).await?;
    let losses = [&watched, &other].map(|pod| pod.lose(100, &Packets::tcp().to_port(8081)));
    let [loss, _other] = losses;
    let loss = loss?;
    for (at, pod) in [&other, &watched].into_iter().enumerate() {
        let ip = pod.ip()?.to_string();
        // Nobody listens there: the kernel drops each SYN for want of a socket, and answers with a reset.
        let argv = ["workload", "scan", "--to", &ip, "--first", "9000", "--count", "20"];
        client.container(&format!("scan{at}"), argv).start().await?.output().await?;
        // These never come to a socket.
        let to = format!("{ip}:8081");
        let argv = ["workload", "connect", "--to", &to, "--timeout-ms", "1500"];
        let exit = client.container(&format!("lost{at}"), argv).start().await?.wait().await?;
        ensure!(exit.code != 0, "{exit:?}");
    }
    let drop_of = |event: &Event| match &event.detail {
        Some(Detail::PacketDrop(drop)) => Some(drop.clone()),
        _ => None,
    };
    let port = |drop: &PacketDrop| drop.destination.as_ref().map_or(0, |end| end.port);
    let refused = |event: &Event| drop_of(event).is_some_and(|drop| (9000..9020).contains(&port(&drop)));
    let lost = |event: &Event| drop_of(event).is_some_and(|drop| port(&drop) == 8081);
    let counted = loss.dropped()? as usize;
    ensure!(counted > 0, "nothing was lost");
    let seen = debugging.wait_events("refused SYNs", 20, refused).await?;
    ensure!(seen.len() == 20, "{seen:#?}");
    for drop in seen.iter().filter_map(drop_of) {
        ensure!(drop.reason == "NO_SOCKET" && drop.protocol == "tcp" && drop.tcp_flags == "SYN", "{drop:#?}");
        ensure!(drop.incoming && !drop.has_socket, "{drop:#?}");
        ensure!(
            drop.source
                .as_ref()
                .is_some_and(|end| Some(&end.address) == client.ip().ok().map(|ip| ip.to_string()).as_ref()),
            "{drop:#?}"
        );
    }
    let seen = debugging.wait_events("lost SYNs", counted, lost).await?;
    ensure!(seen.len() == counted, "{} told, {counted} counted: {seen:#?}", seen.len());
    ensure!(seen.iter().filter_map(drop_of).all(|drop| drop.reason == "NETFILTER_DROP"), "{seen:#?}");
    let others = debugging.events(|event| pod_of(event) != watched.name());
    ensure!(others.is_empty(), "{others:#?}");
    for pod in [watched, other, client] {
        pod.remove().await?;
    }
    Ok(())
}
