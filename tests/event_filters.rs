//! Filters let exactly those events pass, or stay, that they describe.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use observer_proto::v1::event::Detail;
use observer_proto::v1::{Event, EventType, Filter, PortRange, Workload};
use observer_tests::watch::{tcp, to_port};
use observer_tests::{Daemon, Pod, Testbed, Watch};

async fn server(testbed: &Testbed, namespace: &str, port: &str) -> Result<Pod> {
    let pod = testbed.pod(namespace, "server").label("tier", namespace).run().await?;
    pod.container("serve", ["workload", "serve", "--port", port]).start_until("listening").await?;
    Ok(pod)
}

async fn connect(pod: &Pod, name: &str, to: &str) -> Result<()> {
    let argv = ["workload", "connect", "--to", to, "--count", "20", "--bytes", "100"];
    pod.container(name, argv).start().await?.output().await?;
    Ok(())
}

/// Some handshakes and round trips take longer, and some do not.
const LEAST: Duration = Duration::from_micros(30);

/// What `min_latency` asks of an event.
#[allow(clippy::wildcard_enum_match_arm, reason = "all other types have none")]
fn latency_ns(event: &Event) -> Option<u64> {
    match event.detail.as_ref()? {
        Detail::TcpConnect(connect) => Some(connect.handshake_latency_ns),
        Detail::TcpAccept(accept) => accept.handshake_latency_ns,
        Detail::TcpClose(close) => close.counters?.rtt_ns,
        Detail::TcpConnectFailure(failure) => failure.duration_ns,
        Detail::TcpConnectPending(pending) => Some(pending.waited_ns),
        _ => None,
    }
}

type Matches = Box<dyn Fn(&Event) -> bool>;

/// Filters with what they mean, said in another way.
fn filters(shop: &Pod, other: &Pod) -> Result<Vec<(Filter, Matches)>> {
    let of_pod = |name: String| move |workload: &Workload| workload.pod == name;
    let either = |is_it: Box<dyn Fn(&Workload) -> bool>| -> Matches {
        Box::new(move |event| {
            let ends =
                tcp(event).map(|tcp| [tcp.source.clone(), tcp.destination.clone()]).unwrap_or_default();
            let far = ends.into_iter().flatten().filter_map(|end| end.workload);
            event.workload.clone().into_iter().chain(far).any(|workload| is_it(&workload))
        })
    };
    let end = |is_it: fn(&(String, u32), &str) -> bool, value: String| -> Matches {
        Box::new(move |event| {
            let ends =
                tcp(event).map(|tcp| [tcp.source.clone(), tcp.destination.clone()]).unwrap_or_default();
            ends.into_iter().flatten().any(|end| is_it(&(end.address, end.port), &value))
        })
    };
    let (namespace, name) = (shop.namespace().to_owned(), other.name().to_owned());
    let address = shop.ip()?.to_string();
    Ok(vec![
        (
            Filter { namespaces: vec![namespace.clone()], ..Filter::default() },
            either(Box::new(move |workload| workload.namespace == namespace)),
        ),
        (
            Filter { pods: vec![format!("/{name}")], ..Filter::default() },
            either(Box::new(of_pod(name.clone()))),
        ),
        (
            Filter { to_pods: vec![format!("{}/{name}", other.namespace())], ..Filter::default() },
            Box::new(move |event| {
                let to = tcp(event).and_then(|tcp| tcp.destination.as_ref()?.workload.as_ref());
                to.is_some_and(|workload| workload.pod == name)
            }),
        ),
        (
            Filter { ports: vec![8081], ..Filter::default() },
            end(|(_, port), value| port.to_string() == value, "8081".to_owned()),
        ),
        (
            Filter { labels: vec!["tier in (filter-shop, none), !canary".to_owned()], ..Filter::default() },
            either(Box::new(|workload| {
                workload.labels.get("tier").is_some_and(|tier| tier == "filter-shop")
            })),
        ),
        (
            Filter { port_ranges: vec![PortRange { first: 8081, last: 8099 }], ..Filter::default() },
            end(|(_, port), _| (8081..=8099).contains(port), String::new()),
        ),
        (
            Filter { min_latency: Some(LEAST.try_into()?), ..Filter::default() },
            Box::new(|event| latency_ns(event).is_some_and(|ns| u128::from(ns) >= LEAST.as_nanos())),
        ),
        (
            Filter { addresses: vec![format!("{address}/32")], ..Filter::default() },
            end(|(address, _), value| address == value, address),
        ),
        (
            Filter {
                types: vec![EventType::TcpAccept.into(), EventType::ProcessExec.into()],
                ..Filter::default()
            },
            Box::new(|event| matches!(event.r#type(), EventType::TcpAccept | EventType::ProcessExec)),
        ),
        (
            Filter { ports: vec![8081], types: vec![EventType::TcpClose.into()], ..Filter::default() },
            Box::new(|event| event.r#type() == EventType::TcpClose && to_port(event, 8081)),
        ),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_pass_exactly_what_they_say() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let shop = server(testbed, "filter-shop", "8080").await?;
    let other = server(testbed, "filter-other", "8081").await?;
    let client_pod = testbed.pod("filter-client", "client").run().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let all = Watch::all(&daemon).await?;
    let mut watches = Vec::new();
    for (filter, matches) in filters(&shop, &other)? {
        let allowed = Watch::filtered(&daemon, vec![filter.clone()], Vec::new()).await?;
        let denied = Watch::filtered(&daemon, Vec::new(), vec![filter.clone()]).await?;
        watches.push((filter, matches, allowed, denied));
    }
    let begun = all.sequences(|_| true);
    let newest = begun.last().copied().unwrap_or(0);
    for (name, to) in [("shop", format!("{}:8080", shop.ip()?)), ("other", format!("{}:8081", other.ip()?))] {
        connect(&client_pod, name, &to).await?;
    }
    let to = format!("[{}]:8080", shop.ipv6()?);
    connect(&client_pod, "shop6", &to).await?;
    let ours = [&shop, &other, &client_pod].map(|pod| pod.name().to_owned());
    let ours = |event: &Event| {
        event.sequence > newest
            && event.workload.as_ref().is_some_and(|workload| ours.contains(&workload.pod))
    };
    all.settle(ours).await?;
    let expected = all.events(ours);
    ensure!(expected.len() >= 240, "{}", expected.len());
    for (filter, matches, allowed, denied) in watches {
        let (pass, stay): (Vec<_>, Vec<_>) = expected.iter().partition(|event| matches(event));
        let numbers =
            |events: Vec<&Event>| events.iter().map(|event| event.sequence).collect::<BTreeSet<_>>();
        ensure!(!pass.is_empty() && !stay.is_empty(), "{filter:?} tells nothing apart");
        ensure!(allowed.sequences(ours) == numbers(pass), "{filter:?} lets others pass");
        ensure!(denied.sequences(ours) == numbers(stay), "{filter:?} denies others");
        ensure!(allowed.events(|event| event.sequence > newest).iter().all(&matches), "{filter:?}");
    }
    shop.remove().await?;
    other.remove().await?;
    client_pod.remove().await
}
