//! Each way in which a connection is not established has its name and its time, and one that waits is told while it
//! does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType};
use observer_tests::raw::flags;
use observer_tests::wait::PATIENCE;
use observer_tests::watch::{ends, tcp, to_port};
use observer_tests::{Daemon, Loss, NetnsPair, Packets, RawPeer, Watch, workload};

const COUNT: usize = 3;

/// A failure's name, the port that it is provoked at, what the client itself says, and how long it takes.
struct Case {
    error: &'static str,
    port: u16,
    arguments: &'static [&'static str],
    own: &'static str,
    from: Duration,
    to: Duration,
}

const CASES: [Case; 5] = [
    Case {
        error: "refused",
        port: 9,
        arguments: &[],
        own: "refused",
        from: Duration::ZERO,
        to: Duration::from_millis(900),
    },
    Case {
        error: "host_unreachable",
        port: 10,
        arguments: &[],
        own: "host_unreachable",
        from: Duration::ZERO,
        to: Duration::from_secs(20),
    },
    Case {
        error: "net_unreachable",
        port: 11,
        arguments: &[],
        own: "network_unreachable",
        from: Duration::ZERO,
        to: Duration::from_secs(20),
    },
    Case {
        error: "timed_out",
        port: 12,
        arguments: &[],
        own: "timed_out",
        from: Duration::from_millis(2900),
        to: Duration::from_secs(20),
    },
    Case {
        error: "cancelled",
        port: 13,
        arguments: &["--nonblocking-cancel-ms", "1600"],
        own: "canceled",
        from: Duration::from_millis(1600),
        to: Duration::from_millis(2900),
    },
];

/// Has the namespace answer SYNs to two ports with ICMP messages.
fn reject(pair: &NetnsPair) -> Result<()> {
    let rules = "table inet refusals {\nchain wire {\ntype filter hook input priority 0; policy accept;\n\
                 tcp dport 10 reject with icmp type host-unreachable\n\
                 tcp dport 11 reject with icmp type net-unreachable\n}\n}";
    pair.right().netns.output("nft", [rules])?;
    // 1 s and 2 s: one that nobody answers ends after three.
    pair.left().netns.output("sh", ["-c", "echo 1 > /proc/sys/net/ipv4/tcp_syn_retries"])?;
    Ok(())
}

fn within(nanoseconds: u64, from: Duration, to: Duration) -> bool {
    (from..to).contains(&Duration::from_nanos(nanoseconds))
}

fn syn_retransmits(event: &Event) -> u32 {
    match &event.detail {
        Some(Detail::TcpConnectFailure(failure)) => failure.syn_retransmits,
        _ => 0,
    }
}

fn ends_of(event: &Event) -> Option<(String, String)> {
    tcp(event).map(ends)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_name_and_its_time() -> Result<()> {
    let pair = NetnsPair::new()?;
    reject(&pair)?;
    let silent = Packets::syn().and("tcp dport { 12, 13 }");
    let _loss = Loss::start(&pair.right().netns, 100, &silent)?;
    let daemon = Daemon::bare().start().await?;
    let watch = Watch::all(&daemon).await?;
    let netns = pair.left().netns.inode()?;
    let ours = |event: &Event| tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == netns);
    let (count, mut running) = (COUNT.to_string(), Vec::new());
    for case in &CASES {
        let to = format!("{}:{}", pair.right().ip, case.port);
        let argv = ["connect", "--to", &to, "--count", &count, "--parallel", &count];
        let argv = argv.into_iter().chain(case.arguments.iter().copied());
        running.push(workload::in_netns(&pair.left().netns, argv)?);
    }
    for (case, mut lines) in CASES.iter().zip(running) {
        lines.wait().await?;
        let said = lines.values();
        ensure!(
            said.len() == COUNT && said.iter().all(|line| line["error"] == case.own),
            "{}: {}",
            case.error,
            lines.account()
        );
        let failed = |event: &Event| {
            ours(event) && to_port(event, case.port) && event.r#type() == EventType::TcpConnectFailure
        };
        watch.wait_count("its failures", COUNT, failed).await?;
    }
    watch.settle(ours).await?;
    for Case { error, port, from, to, .. } in &CASES {
        let of = |kind: EventType| {
            watch.events(|event| ours(event) && to_port(event, *port) && event.r#type() == kind)
        };
        let failures = of(EventType::TcpConnectFailure);
        ensure!(failures.len() == COUNT, "{error}: {failures:#?}");
        for event in &failures {
            let Some(Detail::TcpConnectFailure(failure)) = &event.detail else { anyhow::bail!("{event:?}") };
            ensure!(failure.error == *error && within(failure.duration_ns(), *from, *to), "{failure:?}");
            ensure!(event.process.as_ref().context("no process")?.comm == "workload", "{event:?}");
        }
        // Those that last longer than a second are told while they wait, once. (An ICMP message that finds the socket
        // in use counts only at the next timeout; a SYN that its answer still holds cannot be sent again before that.)
        let timeouts = if error.ends_with("unreachable") { 2 } else { 1 };
        let latest = Duration::from_millis(500) + timeouts * Duration::from_secs(1);
        let pending = of(EventType::TcpConnectPending);
        let long = failures.iter().filter(|event| syn_retransmits(event) > 0);
        let long: BTreeMap<_, _> = long.map(|event| (ends_of(event), event.sequence)).collect();
        ensure!(pending.len() == long.len(), "{error}: {pending:#?} {failures:#?}");
        ensure!(from.is_zero() != (long.len() == COUNT) || error.ends_with("unreachable"), "{failures:#?}");
        for event in &pending {
            let Some(Detail::TcpConnectPending(pending)) = &event.detail else { anyhow::bail!("{event:?}") };
            ensure!(
                within(pending.waited_ns, Duration::from_millis(950), latest)
                    && (1..=timeouts).contains(&pending.syn_retransmits),
                "{pending:?}"
            );
            ensure!(long.get(&ends_of(event)).is_some_and(|end| event.sequence < *end), "{event:?} {long:?}");
        }
    }
    let all = watch.events(ours);
    let others = all.iter().filter(|event| {
        !matches!(
            event.r#type(),
            EventType::TcpConnectFailure | EventType::TcpConnectPending | EventType::TcpRetransmit
        )
    });
    ensure!(others.count() == 0, "a failure is told as nothing else: {all:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_in_the_middle_of_a_handshake_is_no_refusal() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = Daemon::bare().start().await?;
    let watch = Watch::all(&daemon).await?;
    let netns = &pair.left().netns;
    let inode = netns.inode()?;
    let peer = RawPeer::start(netns, "10.9.8.1/24")?;
    let mut lines = workload::in_netns(netns, ["connect", "--to", "10.9.8.7:80"])?;
    // Both sides ask at the same time; what was asked for then is taken back.
    let asked = peer.receive(flags::SYN).await?;
    peer.answer(asked, 1000, flags::SYN).await?;
    let answered = peer.receive(flags::SYN | flags::ACK).await?;
    peer.answer(answered, 1001, flags::RST).await?;
    lines.wait().await?;
    ensure!(lines.values()[0]["error"] == "reset", "{}", lines.account());

    let ours = |event: &Event| tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == inode);
    let failed = |event: &Event| ours(event) && event.r#type() == EventType::TcpConnectFailure;
    watch.wait_count("its failure", 1, failed).await?;
    watch.settle(ours).await?;
    let events = watch.events(ours);
    let Some(Detail::TcpConnectFailure(failure)) = &events[0].detail else { anyhow::bail!("{events:#?}") };
    ensure!(failure.error == "reset" && failure.errno == 104, "{failure:?}");
    // The reset that ended the attempt counts once: as its failure.
    ensure!(events.len() == 1, "{events:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_for_which_there_is_no_port_was_never_sent() -> Result<()> {
    let pair = NetnsPair::new()?;
    let daemon = Daemon::bare().start().await?;
    let watch = Watch::all(&daemon).await?;
    let (left, right) = (&pair.left().netns, &pair.right().netns);
    let serve = workload::in_netns(right, ["serve", "--port", "14"])?;
    serve.wait_for("the listener", PATIENCE, |line| line.get("listening").is_some()).await?;
    left.output("sh", ["-c", "echo 40000 40000 > /proc/sys/net/ipv4/ip_local_port_range"])?;
    let to = format!("{}:14", pair.right().ip);
    let _holds = workload::in_netns(left, ["connect", "--to", &to, "--hold", "600"])?;
    let inode = left.inode()?;
    let ours = |event: &Event| tcp(event).is_some_and(|tcp| u64::from(tcp.netns) == inode);
    let of = |kind: EventType| move |event: &Event| ours(event) && event.r#type() == kind;
    watch.wait_count("the one that has the port", 1, of(EventType::TcpConnect)).await?;

    let mut fails = workload::in_netns(left, ["connect", "--to", &to])?;
    fails.wait().await?;
    ensure!(fails.values()[0]["error"] == "no_free_port", "{}", fails.account());
    watch.wait_count("its failure", 1, of(EventType::TcpConnectFailure)).await?;
    let failures = watch.events(of(EventType::TcpConnectFailure));
    let Some(Detail::TcpConnectFailure(failure)) = &failures[0].detail else { anyhow::bail!("{failures:?}") };
    ensure!(failure.error == "not_sent" && failure.errno == 0, "{failure:?}");
    Ok(())
}
