//! Resets are told as often as the kernel counts them, on the side that sent them, each with its cause.

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType, ResetCause, ResetDirection, TcpReset};
use observer_tests::watch::tcp;
use observer_tests::{Daemon, Pod, Testbed, Watch};

/// Pods that talk, one way of ending at a time.
struct Setting {
    watch: Watch,
    _daemon: Daemon,
    server: Pod,
    client: Pod,
}

fn reset(event: &Event) -> Option<&TcpReset> {
    match &event.detail {
        Some(Detail::TcpReset(reset)) => Some(reset),
        _ => None,
    }
}

fn of(pod: &Pod, direction: ResetDirection) -> Result<impl Fn(&Event) -> bool + use<>> {
    let netns = pod.netns().inode()?;
    Ok(move |event: &Event| {
        tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == netns)
            && reset(event).is_some_and(|reset| reset.direction() == direction)
    })
}

impl Setting {
    async fn start() -> Result<Self> {
        let testbed = Testbed::shared().await?;
        let daemon = Daemon::on(testbed).start().await?;
        let watch = Watch::all(&daemon).await?;
        let server = testbed.pod("resets", "server").run().await?;
        for (port, mode) in [("80", "--echo"), ("81", "--reset")] {
            let argv = ["workload", "serve", "--port", port, mode];
            server.container(&format!("serve{port}"), argv).start_until("listening").await?;
        }
        let client = testbed.pod("resets", "client").run().await?;
        Ok(Self { watch, _daemon: daemon, server, client })
    }

    /// Five connections with a way of ending; gives the resets that the sender's side told since, which are as many
    /// as its kernel counted.
    async fn resets(&self, name: &str, sender: &Pod, port: u16, more: &[&str]) -> Result<Vec<Event>> {
        let before = sender.counters()?.get("OutRsts")?;
        let sent = of(sender, ResetDirection::Sent)?;
        let seen = self.watch.sequences(&sent);
        let to = format!("{}:{port}", self.server.ip()?);
        let argv = ["workload", "connect", "--to", &to, "--count", "5"];
        let argv = argv.into_iter().chain(more.iter().copied());
        self.client.container(name, argv).start().await?.wait().await?;
        self.watch.settle(&sent).await?;
        let events = self.watch.events(|event| sent(event) && !seen.contains(&event.sequence));
        let counted = sender.counters()?.get("OutRsts")? - before;
        ensure!(events.len() as i64 == counted, "{name}: {counted} sent by the kernel, told {events:#?}");
        ensure!(!events.is_empty(), "{name}: no reset");
        Ok(events)
    }

    async fn end(self) -> Result<()> {
        let Self { watch, server, client, _daemon: daemon } = self;
        drop((watch, daemon));
        server.remove().await?;
        client.remove().await
    }
}

fn all_are(events: &[Event], cause: ResetCause, pod: Option<&Pod>) -> Result<()> {
    for event in events {
        let told = reset(event).context("no reset")?;
        ensure!(told.cause() == cause, "not {cause:?}: {event:?}");
        let owner = event.workload.as_ref().map(|workload| workload.pod.as_str());
        ensure!(owner == pod.map(Pod::name), "{event:?}");
        ensure!(event.process.is_some() == (pod.is_some() && !told.no_socket), "{event:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_has_its_cause_and_its_sender() -> Result<()> {
    let setting = Setting::start().await?;
    let (server, client) = (&setting.server, &setting.client);
    let linger = setting.resets("linger", client, 80, &["--bytes", "10", "--linger0"]).await?;
    ensure!(linger.len() == 5, "{linger:#?}");
    all_are(&linger, ResetCause::LingerZero, Some(client))?;
    // What was received is told on the other side, without a cause.
    let received = of(server, ResetDirection::Received)?;
    setting.watch.wait_count("the same on the other side", 5, &received).await?;
    for event in setting.watch.events(&received) {
        ensure!(reset(&event).is_some_and(|reset| reset.cause() == ResetCause::Unspecified), "{event:?}");
    }

    let unread = setting.resets("unread", client, 80, &["--bytes", "10", "--unread"]).await?;
    ensure!(unread.len() == 5, "{unread:#?}");
    all_are(&unread, ResetCause::UnreadData, Some(client))?;

    // A closed port: the kernel answers, and no process is to blame. The attempt itself is told once, as a failure.
    let refused = setting.resets("refused", server, 9, &[]).await?;
    ensure!(refused.len() == 5, "{refused:#?}");
    for event in &refused {
        let told = reset(event).context("no reset")?;
        ensure!(told.cause() == ResetCause::NoListener && told.no_socket, "{event:?}");
        ensure!(event.process.is_none(), "{event:?}");
    }
    let own = client.netns().inode()?;
    let attempts = |event: &Event| {
        tcp(event).is_some_and(|tcp| {
            u64::from(tcp.netns) == own && tcp.destination.as_ref().is_some_and(|end| end.port == 9)
        })
    };
    setting.watch.wait_count("the failures", 5, attempts).await?;
    ensure!(setting.watch.count(attempts) == 5, "{:#?}", setting.watch.events(attempts));
    for event in setting.watch.events(attempts) {
        ensure!(event.r#type() == EventType::TcpConnectFailure, "{event:?}");
    }

    // The server's process resets what it accepts.
    let reset_by_server = setting.resets("reset", server, 81, &["--bytes", "10"]).await?;
    let from_process: Vec<_> = reset_by_server.into_iter().filter(|event| event.process.is_some()).collect();
    ensure!(from_process.len() == 5, "{from_process:#?}");
    for event in &from_process {
        let cause = reset(event).context("no reset")?.cause();
        ensure!(matches!(cause, ResetCause::LingerZero | ResetCause::UnreadData), "{event:?}");
    }
    setting.end().await
}
