//! How debugging sessions begin and end: what is attached meanwhile, and that nothing is left behind.

use std::fs::{self, File};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::incidents_client::IncidentsClient;
use observer_proto::v1::observer_client::ObserverClient;
use observer_proto::v1::{
    DebugEndReason, DebugPart, DebugRequest, EventType, Filter, GetIncidentRequest, ListIncidentsRequest,
    TriggerKind,
};
use observer_tests::debugging::{attached, on_pod};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Debugging, Lines, Pod, Testbed, client, eventually};
use rustix::process::{Pid, Signal, kill_process};

async fn resting(testbed: &Testbed) -> Result<Pod> {
    let pod = testbed.pod("sessions", "rests").run().await?;
    pod.container("rest", ["sleep", "1000"]).start().await?;
    Ok(pod)
}

/// Waits until these programs are attached, and no others.
async fn attached_again(daemon: &Daemon, expected: &[String]) -> Result<()> {
    eventually(PATIENCE, "the deeper programs to be gone", async || {
        let now = attached(daemon)?;
        Ok(if now == expected { Ok(()) } else { Err(now) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_attaches_what_it_needs_and_leaves_nothing_behind() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let pod = resting(testbed).await?;
    let before = attached(&daemon)?;
    ensure!(!before.iter().any(|name| name == "kfree_skb" || name == "signals_sent"), "{before:?}");

    // Its time is over.
    let request = DebugRequest {
        duration: Some(prost_types::Duration { seconds: 10, nanos: 0 }),
        parts: vec![DebugPart::Signals.into()],
        ..on_pod(&pod)
    };
    let debugging = Debugging::open(&daemon, request).await?;
    let mut with = before.clone();
    with.push("signals_sent".to_owned());
    with.sort();
    ensure!(attached(&daemon)? == with, "{:?}", attached(&daemon)?);
    let end = debugging.wait_end().await?;
    ensure!(end.reason() == DebugEndReason::TimeLimit, "{end:#?}");
    attached_again(&daemon, &before).await?;

    // Two of them, of which one ends: what the other one needs stays.
    let drops = DebugRequest { parts: vec![DebugPart::PacketDrops.into()], ..on_pod(&pod) };
    let both = DebugRequest {
        parts: vec![DebugPart::Signals.into(), DebugPart::PacketDrops.into()],
        ..on_pod(&pod)
    };
    let (one, other) = (Debugging::open(&daemon, drops).await?, Debugging::open(&daemon, both).await?);
    let of_both = attached(&daemon)?;
    ensure!(of_both.len() == before.len() + 2, "{of_both:?}");
    drop(other);
    let mut left = before.clone();
    left.push("kfree_skb".to_owned());
    left.sort();
    attached_again(&daemon, &left).await?;
    drop(one);
    attached_again(&daemon, &before).await?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_killed_takes_its_session_along() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let pod = resting(testbed).await?;
    let before = attached(&daemon)?;
    let name = format!("{}/{}", pod.namespace(), pod.name());
    let command = client::command(daemon.socket(), ["debug", &name, "--for", "1h", "-o", "json"])?;
    let mut lines = Lines::spawn("observer", command)?;
    lines
        .wait_for("the session", PATIENCE, |value: &serde_json::Value| value.get("session").is_some())
        .await?;
    ensure!(attached(&daemon)?.len() > before.len(), "nothing is attached");
    let pid = Pid::from_raw(lines.pid() as i32).context("no pid")?;
    kill_process(pid, Signal::KILL)?;
    ensure!(!lines.wait().await?.success(), "it was killed");
    attached_again(&daemon, &before).await?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_costs_too_much_ends() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let server = testbed.pod("sessions", "server").run().await?;
    server.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
    let client = testbed.pod("sessions", "client").run().await?;
    let before = attached(&daemon)?;
    let request = DebugRequest { max_cpu_share: Some(1e-7), ..on_pod(&server) };
    let debugging = Debugging::open(&daemon, request).await?;
    let to = format!("{}:8080", server.ip()?);
    let argv = ["workload", "connect", "--to", &to, "--bytes", "1000", "--requests", "10000"];
    client.container("ask", argv).start().await?.output().await?;
    let end = debugging.wait_end().await?;
    ensure!(end.reason() == DebugEndReason::CostLimit, "{end:#?}");
    let statistics = end.statistics.context("no statistics")?;
    ensure!(
        statistics.cpu_share > 1e-7 && statistics.cpu_time_ns > 0 && statistics.runs > 0,
        "{statistics:#?}"
    );
    attached_again(&daemon, &before).await?;
    server.remove().await?;
    client.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_come_join_and_the_number_of_sessions_is_bounded() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let pod = resting(testbed).await?;
    let debugging = Debugging::open(&daemon, on_pod(&pod)).await?;
    ensure!(debugging.session().workloads.len() == 1, "{:#?}", debugging.session());
    let later = pod.container("later", ["sleep", "1000"]).start().await?;
    debugging.wait_session("the new container", |session| session.workloads.len() == 2).await?;
    later.kill(Signal::USR2).await?;
    debugging
        .wait_events("its signals", 1, |event| {
            event.r#type() == EventType::Signal
                && event.workload.as_ref().is_some_and(|workload| workload.container == "later")
        })
        .await?;
    later.stop(Duration::ZERO).await?;
    debugging.wait_session("it to go", |session| session.workloads.len() == 1).await?;

    let mut more = Vec::new();
    for _ in 1..4 {
        more.push(Debugging::open(&daemon, on_pod(&pod)).await?);
    }
    let mut grpc = ObserverClient::new(daemon.channel().await?);
    let refused = grpc.debug(on_pod(&pod)).await.err().context("a fifth session")?;
    ensure!(refused.code() == tonic::Code::ResourceExhausted, "{refused}");
    drop(more);
    let nobody = Filter { pods: vec!["sessions/nobody".to_owned()], ..Filter::default() };
    let request = DebugRequest { allow: vec![nobody], ..DebugRequest::default() };
    let refused = eventually(PATIENCE, "room for a session", async || {
        let refused = grpc.clone().debug(request.clone()).await.err().context("nobody is watched")?;
        Ok(if refused.code() == tonic::Code::ResourceExhausted { Err(refused) } else { Ok(refused) })
    })
    .await?;
    ensure!(refused.code() == tonic::Code::NotFound, "{refused}");
    let refused = grpc.debug(DebugRequest::default()).await.err().context("everybody is watched")?;
    ensure!(refused.code() == tonic::Code::InvalidArgument, "{refused}");
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_command_with_a_summary() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let pod = resting(testbed).await?;
    let before = attached(&daemon)?;
    let name = format!("{}/{}", pod.namespace(), pod.name());
    let mut command = client::command(daemon.socket(), ["debug", &name])?;
    let file = daemon.dir().join("debug.txt");
    let mut child = command.stdout(File::create(&file)?).spawn()?;
    eventually(PATIENCE, "the session", async || {
        let now = attached(&daemon)?;
        Ok(if now.len() > before.len() { Ok(()) } else { Err(now) })
    })
    .await?;
    let container = pod.container("signalled", ["sleep", "1000"]).start().await?;
    let watch = Debugging::open(&daemon, on_pod(&pod)).await?;
    watch.wait_session("both", |session| session.workloads.len() == 2).await?;
    container.kill(Signal::USR2).await?;
    watch.wait_events("the signal", 1, |event| event.r#type() == EventType::Signal).await?;
    eventually(PATIENCE, "the command to show it", async || {
        let text = fs::read_to_string(&file)?;
        Ok(if text.contains("SIGUSR2") { Ok(()) } else { Err(text) })
    })
    .await?;
    kill_process(Pid::from_raw(child.id() as i32).context("no pid")?, Signal::INT)?;
    let status = tokio::task::spawn_blocking(move || child.wait()).await??;
    let text = fs::read_to_string(&file)?;
    ensure!(status.success(), "{status:?}: {text}");
    for words in ["watching", "session ended: by this client", "SIGNAL", "SIGUSR2"] {
        ensure!(text.contains(words), "no {words}: {text}");
    }
    drop(watch);
    attached_again(&daemon, &before).await?;
    pod.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_kept_as_an_incident() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let pod = testbed.pod("sessions", "kept").run().await?;
    let container = pod.container("rest", ["sleep", "1000"]).start().await?;
    let debugging = Debugging::open(&daemon, on_pod(&pod)).await?;
    container.kill(Signal::WINCH).await?;
    debugging.wait_events("the signal", 1, |event| event.r#type() == EventType::Signal).await?;
    drop(debugging);
    let mut grpc = IncidentsClient::new(daemon.channel().await?);
    let incident = eventually(PATIENCE, "the incident to tell what was seen", async || {
        let listed = grpc.clone().list_incidents(ListIncidentsRequest::default()).await?.into_inner();
        let of_session = listed.incidents.into_iter().find(|incident| {
            incident.firings.iter().any(|firing| {
                firing.kind() == TriggerKind::DebugSession && firing.reason.contains("1 signal")
            })
        });
        Ok(of_session.ok_or("none"))
    })
    .await?;
    ensure!(incident.title.contains(pod.name()), "{incident:#?}");
    let shown = grpc.get_incident(GetIncidentRequest { id: incident.id }).await?;
    let text = format!("{:#?}", shown.into_inner().timeline);
    ensure!(text.contains("a client watched closely"), "{text}");
    pod.remove().await
}
