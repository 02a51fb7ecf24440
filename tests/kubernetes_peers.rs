//! Who is at the other end of a connection, as the Kubernetes API tells: pods of other nodes, services, nodes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1 as core;
use observer_proto::v1::{Endpoint, Event, EventType, PeerKind};
use observer_tests::client::run;
use observer_tests::kubernetes::{endpoint_slice, node, pod, service};
use observer_tests::wait::PATIENCE;
use observer_tests::watch::{ends, tcp};
use observer_tests::{Daemon, KubernetesApi, NetnsPair, Watch, eventually};

const FAR_NODE: &str = "node-far";

/// The right side's addresses, more than one.
fn more_addresses(pair: &NetnsPair, count: u16) -> Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for number in 0..count {
        let mut segments = pair.right().ipv6.segments();
        segments[7] = 0x100 + number;
        let address = Ipv6Addr::from(segments);
        let text = format!("{address}/64");
        pair.right().netns.output("ip", ["address", "add", &text, "dev", "eth0", "nodad"])?;
        addresses.push(IpAddr::from(address));
    }
    Ok(addresses)
}

/// Knocks where nobody listens until the event tells what is wanted.
async fn knock(
    watch: &Watch,
    pair: &NetnsPair,
    to: SocketAddr,
    is_it: impl Fn(&Endpoint) -> bool,
) -> Result<()> {
    eventually(PATIENCE, &format!("{to} to be known"), async || {
        let asked = |event: &Event| tcp(event).is_some_and(|tcp| ends(tcp).1 == to.to_string());
        let before = watch.count(asked);
        let refused = pair.left().netns.run(|| Ok(TcpStream::connect_timeout(&to, PATIENCE)))?;
        ensure!(refused.is_err(), "somebody listens at {to}");
        watch.wait_count("knocks", before + 1, asked).await?;
        let events = watch.events(asked);
        let end = events.last().and_then(tcp).and_then(|tcp| tcp.destination.clone()).context("no end")?;
        Ok(if is_it(&end) { Ok(()) } else { Err(end) })
    })
    .await
}

/// Has a port of every node lead to the service.
fn on_nodes(service: &mut core::Service, port: u16) {
    let ports = service.spec.as_mut().and_then(|spec| spec.ports.as_mut());
    ports.into_iter().flatten().for_each(|one| one.node_port = Some(port.into()));
}

/// The pod on its node's network, which has that address, with a port there.
fn with_host_port(mut pod: core::Pod, node: IpAddr, port: u16) -> core::Pod {
    let port = core::ContainerPort { container_port: port.into(), ..core::ContainerPort::default() };
    let container =
        core::Container { name: "serve".to_owned(), ports: Some(vec![port]), ..core::Container::default() };
    if let Some(spec) = &mut pod.spec {
        (spec.host_network, spec.containers) = (Some(true), vec![container]);
    }
    if let Some(status) = &mut pod.status {
        (status.host_ip, status.pod_ip) = (Some(node.to_string()), Some(node.to_string()));
    }
    pod
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_side_is_told_by_the_cluster() -> Result<()> {
    let api = KubernetesApi::start().await?;
    let daemon = Daemon::bare().args(api.daemon_args()).start().await?;
    let watch = Watch::all(&daemon).await?;
    let follow = daemon.follow(["summary", "-f", "--window", "1s"])?;
    let pair = NetnsPair::new()?;
    let [far, cluster, external, behind, of_node] = more_addresses(&pair, 5)?[..] else {
        anyhow::bail!("five addresses")
    };
    api.put(&pod("kube-far", "web-0", FAR_NODE, &[far], Some(("StatefulSet", "web"))))?;
    let mut web = service("kube-shop", "web", Some(cluster), &[external], 8301);
    on_nodes(&mut web, 30_301);
    api.put(&web)?;
    api.put(&with_host_port(pod("kube-far", "exporter-x", FAR_NODE, &[], None), of_node, 8306))?;
    api.put(&service("kube-shop", "headless", None, &[], 8301))?;
    api.put(&endpoint_slice("kube-shop", "database", behind, 8302, false))?;
    api.put(&endpoint_slice("kube-shop", "pods", far, 8302, true))?;
    api.put(&node(FAR_NODE, of_node))?;
    api.put(&node("node-left", pair.left().ip.into()))?;

    let at = |address: IpAddr, port: u16| SocketAddr::from((address, port));
    let kind = |end: &Endpoint, kind: PeerKind| end.kind() == kind;
    knock(&watch, &pair, at(far, 8302), |end| {
        let owner = end.workload.as_ref().map(|workload| {
            (workload.pod.as_str(), workload.owner_kind.as_str(), workload.owner_name.as_str())
        });
        kind(end, PeerKind::Pod)
            && end.node_name == FAR_NODE
            && end.service.is_empty()
            && owner == Some(("web-0", "StatefulSet", "web"))
    })
    .await?;
    // Its own address is a service's on every port, one from outside on its port alone.
    for (to, is_service) in [
        (at(cluster, 8301), true),
        (at(cluster, 8309), true),
        (at(external, 8301), true),
        (at(external, 8309), false),
    ] {
        let (wanted, service) =
            if is_service { (PeerKind::Service, "kube-shop/web") } else { (PeerKind::Outside, "") };
        knock(&watch, &pair, to, |end| kind(end, wanted) && end.service == service).await?;
    }
    knock(&watch, &pair, at(behind, 8302), |end| {
        kind(end, PeerKind::Outside) && end.service == "kube-shop/database"
    })
    .await?;
    knock(&watch, &pair, at(of_node, 8303), |end| kind(end, PeerKind::Node) && end.node_name == FAR_NODE)
        .await?;

    // A port of a node leads to a service, or to a pod.
    knock(&watch, &pair, at(of_node, 30_301), |end| {
        kind(end, PeerKind::Service) && end.service == "kube-shop/web"
    })
    .await?;
    knock(&watch, &pair, at(of_node, 8306), |end| {
        let pod = end.workload.as_ref().map(|workload| workload.pod.as_str());
        kind(end, PeerKind::Pod) && end.node_name == FAR_NODE && pod == Some("exporter-x")
    })
    .await?;

    // Who asks is told as well, and his port is none of a service's.
    let to = SocketAddr::from((pair.right().ip, 8304));
    let listener = pair.right().netns.run(|| Ok(TcpListener::bind(to)?))?;
    let asking = pair.left().netns.run(|| Ok(TcpStream::connect(to)?))?;
    let accepted = |event: &Event| {
        event.r#type() == EventType::TcpAccept && tcp(event).is_some_and(|tcp| ends(tcp).1 == to.to_string())
    };
    watch.wait_count("the accept", 1, accepted).await?;
    let events = watch.events(accepted);
    let source = events[0].detail.as_ref().and(tcp(&events[0])).and_then(|tcp| tcp.source.as_ref());
    ensure!(
        source.is_some_and(|end| end.node_name == "node-left" && kind(end, PeerKind::Node)),
        "{source:?}"
    );
    drop((listener, asking));

    let text = async |args: &[&str]| {
        let output = run(daemon.socket(), args.iter().copied()).await?;
        ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let events = text(&["events", "-t", "tcp_connect_failure"]).await?;
    for words in [
        "-> kube-far/web-0:8302 tcp_connect_failure",
        "-> kube-shop/web:8301 (service) tcp_connect_failure",
        "-> kube-shop/database:8302 (endpoint) tcp_connect_failure",
        "-> node-far:8303 (node) tcp_connect_failure",
    ] {
        ensure!(events.contains(words), "no `{words}` in {events}");
    }
    let of_web = text(&["events", "--service", "kube-shop/web"]).await?;
    let all = ["web:8301 (", "web:30301 ("].iter().all(|port| of_web.contains(port));
    ensure!(all && of_web.lines().all(|line| line.contains("-> kube-shop/web:")), "{of_web}");
    ensure!(text(&["events", "--service", "shop/web"]).await?.is_empty());
    let of_shop = text(&["events", "-n", "kube-shop"]).await?;
    ensure!(of_shop.contains("kube-shop/web:8301") && !of_shop.contains("web-0"), "{of_shop}");
    for (service, port) in [("kube-shop/web", 8301), ("kube-shop/database", 8302)] {
        let is_edge = |line: &serde_json::Value| {
            let edge = &line["summary"]["edge"];
            edge["service"] == service && edge["port"] == port
        };
        follow.wait_for("an edge to a service", PATIENCE, is_edge).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_whose_it_was_then() -> Result<()> {
    let api = KubernetesApi::start().await?;
    let daemon = Daemon::bare().args(api.daemon_args()).start().await?;
    let watch = Watch::all(&daemon).await?;
    let pair = NetnsPair::new()?;
    let to = SocketAddr::from((pair.right().ip, 8311));
    let listener = pair.right().netns.run(|| Ok(TcpListener::bind(to)?))?;
    let of = |name: &'static str| pod("kube-then", name, FAR_NODE, &[to.ip()], None);
    let is = |end: &Endpoint, name: &str| end.workload.as_ref().is_some_and(|workload| workload.pod == name);
    let elsewhere = SocketAddr::from((pair.right().ip, 8312));
    let connect = || pair.left().netns.run(|| Ok(TcpStream::connect(to)?));

    api.put(&of("former"))?;
    knock(&watch, &pair, elsewhere, |end| is(end, "former")).await?;
    let first = connect()?;
    let held = listener.accept()?.0;
    api.delete::<core::Pod>("kube-then", "former")?;
    knock(&watch, &pair, elsewhere, |end| kind_is(end, PeerKind::Outside)).await?;
    let between = connect()?;
    let held_between = listener.accept()?.0;
    api.put(&of("latter"))?;
    knock(&watch, &pair, elsewhere, |end| is(end, "latter")).await?;
    let last = connect()?;
    let held_last = listener.accept()?.0;

    let locals =
        [first.local_addr()?, between.local_addr()?, last.local_addr()?].map(|local| local.to_string());
    drop((first, between, last, held, held_between, held_last));
    let closed = |event: &Event| {
        event.r#type() == EventType::TcpClose
            && tcp(event).is_some_and(|tcp| tcp.outgoing && ends(tcp).1 == to.to_string())
    };
    watch.wait_count("the ends", 3, closed).await?;
    let names: BTreeMap<String, Option<String>> = watch
        .events(closed)
        .iter()
        .filter_map(tcp)
        .map(|tcp| {
            let pod = tcp.destination.as_ref().and_then(|end| end.workload.as_ref());
            (ends(tcp).0, pod.map(|workload| workload.pod.clone()))
        })
        .collect();
    let told = locals.map(|local| names.get(&local).cloned().flatten());
    ensure!(told[0].as_deref() == Some("former") && told[2].as_deref() == Some("latter"), "{told:?}");
    // Between the two it was nobody's, as far as anybody knows.
    ensure!(told[1].as_deref() != Some("former"), "{told:?}");
    Ok(())
}

fn kind_is(end: &Endpoint, kind: PeerKind) -> bool {
    end.kind() == kind
}
