//! Proves that an outside address shows the name that the connection's own workload looked up, as far as the node saw the
//! name server's answer, and only if the daemon was asked to read those.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use observer_tests::events::{detail, is, nothing_lost, watch};
use observer_tests::wait::PATIENCE;
use observer_tests::{Container, Daemon, Lines, NameServer, Pod, Testbed, client, eventually};
use serde_json::Value;

/// Where the outside listens.
const PORT: u16 = 7300;

/// What is outside: a machine with addresses of its own, a server on each, and a name server.
struct Outside {
    pod: Pod,
    serving: Container,
    _names: NameServer,
    server: IpAddr,
}

impl Outside {
    /// Has `198.51.100.LOW` to `LOW + 3`, the same of 2001:db8::/32, and the names that `records` are.
    async fn new(testbed: &Testbed, namespace: &str, low: u8, records: &[String]) -> Result<Self> {
        let pod = testbed.pod(namespace, "outside").run().await?;
        let netns = pod.netns();
        for tail in low..low + 4 {
            netns.output("ip", ["address", "add", &format!("{}/32", v4(tail)), "dev", "lo"])?;
            netns.output("ip", ["address", "add", &format!("{}/128", v6(tail)), "dev", "lo", "nodad"])?;
        }
        let port = PORT.to_string();
        let serving = pod.container("serve", ["workload", "serve", "--port", &port]);
        let serving = serving.start_until("listening").await?;
        let server = v4(low);
        let names = NameServer::start(netns, server, records).await?;
        Ok(Self { pod, serving, _names: names, server })
    }

    /// A pod that reaches the outside, and asks this name server.
    async fn reach(&self, testbed: &Testbed, name: &str, server: IpAddr) -> Result<Pod> {
        let pod = testbed.pod(self.pod.namespace(), name).name_server(server).run().await?;
        let routes = [("198.51.100.0/24", self.pod.ip()?), ("2001:db8::/32", self.pod.ipv6()?)];
        for (network, gateway) in routes {
            pod.netns().output("ip", ["route", "add", network, "via", &gateway.to_string()])?;
        }
        Ok(pod)
    }

    async fn remove(self) -> Result<()> {
        self.serving.stop(Duration::ZERO).await?;
        self.pod.remove().await
    }
}

fn v4(tail: u8) -> IpAddr {
    IpAddr::from([198, 51, 100, tail])
}

fn v6(tail: u8) -> IpAddr {
    IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, tail.into()])
}

/// What somebody connects to, and what shall be shown: the address, and the name if there is one.
struct Case<'a> {
    to: &'a str,
    address: IpAddr,
    name: Option<&'a str>,
}

/// Has a container of the pod connect, and demands of its connect and its close that they show this.
async fn connect(lines: &Lines, pod: &Pod, container: &str, case: &Case<'_>) -> Result<()> {
    let to =
        if case.to.contains(':') { format!("[{}]:{PORT}", case.to) } else { format!("{}:{PORT}", case.to) };
    let run = pod.container(container, ["workload", "connect", "--to", &to, "--bytes", "5"]).start().await?;
    let printed = run.output().await?;
    // The C library has found that address.
    let remote = printed.last().and_then(|line| line["remote"].as_str()).context("not connected")?;
    ensure!(remote.parse::<std::net::SocketAddr>()?.ip() == case.address, "{to}: {printed:?}");
    for event_type in ["tcp_connect", "tcp_close"] {
        let is_it = |line: &Value| {
            let workload = &line["event"]["workload"];
            is(line, event_type) && workload["pod"] == pod.name() && workload["container"] == container
        };
        let line = lines.wait_for(&format!("{event_type} to {to}"), PATIENCE, is_it).await?;
        shows(&detail(&line)["tcp"]["destination"], case).with_context(|| line.to_string())?;
    }
    Ok(())
}

fn shows(destination: &Value, case: &Case<'_>) -> Result<()> {
    ensure!(destination["address"] == case.address.to_string(), "another address");
    ensure!(destination["kind"] == "PEER_KIND_OUTSIDE", "another kind");
    ensure!(destination["dns_name"].as_str() == case.name, "not {:?}", case.name);
    Ok(())
}

async fn status(daemon: &Daemon) -> Result<Value> {
    let output = client::run(daemon.socket(), ["status", "-o", "json"]).await?;
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The part of a status that has this name.
fn named<'a>(status: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    status[list].as_array()?.iter().find(|one| one["name"] == name)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_show_the_names_that_they_looked_up() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).arg("--dns").start().await?;
    let lines = watch(&daemon, ["-n", "names"]).await?;
    let summaries = daemon.follow(["summary", "-f", "--window", "1s", "-n", "names"])?;
    let records = [
        format!("--host-record=www.shop.example,{}", v4(11)),
        format!("--host-record=six.shop.example,{}", v6(11)),
        "--cname=alias.shop.example,www.shop.example".to_owned(),
        format!("--host-record=other.example,{}", v4(11)),
    ];
    let outside = Outside::new(testbed, "names", 10, &records).await?;
    let asking = outside.reach(testbed, "asking", outside.server).await?;
    let other = outside.reach(testbed, "other", outside.server).await?;
    let known = v4(11);
    let case = |to, address, name| Case { to, address, name };
    let www = case("www.shop.example", known, Some("www.shop.example"));
    connect(&lines, &asking, "www", &www).await?;
    let six = case("six.shop.example", v6(11), Some("six.shop.example"));
    connect(&lines, &asking, "six", &six).await?;
    // The name is the one that was asked for, not the one that it stands for.
    let alias = case("alias.shop.example", known, Some("alias.shop.example"));
    connect(&lines, &asking, "alias", &alias).await?;
    connect(&lines, &other, "other", &case("other.example", known, Some("other.example"))).await?;
    // What a container looked up is no other one's name, nor that of another address.
    let (by_address, unknown) = (known.to_string(), v4(12).to_string());
    connect(&lines, &other, "address", &case(&by_address, known, None)).await?;
    connect(&lines, &asking, "unknown", &case(&unknown, v4(12), None)).await?;
    // Whoever is connected to has looked up nothing.
    let accepted =
        lines.matching(|line| is(line, "tcp_accept") && detail(line)["tcp"]["destination"]["port"] == PORT);
    ensure!(accepted.len() == 6, "{accepted:#?}");
    for line in &accepted {
        let tcp = &detail(line)["tcp"];
        ensure!(
            tcp["source"].get("dns_name").is_none() && tcp["destination"].get("dns_name").is_none(),
            "{line}"
        );
    }

    // A connection that lives shows it in the list, and a reader sees it in the line.
    let to = format!("www.shop.example:{PORT}");
    let hold = ["workload", "connect", "--to", &to, "--hold", "600"];
    let holding = asking.container("hold", hold).start().await?;
    let args = ["connections", "-o", "json", "--pod", "names/asking"];
    // What was found before its records were read goes without a name until they are.
    eventually(PATIENCE, "the connection in the list", async || {
        let text = String::from_utf8(client::run(daemon.socket(), args).await?.stdout)?;
        let is_it = |line: &Value| {
            let tcp = &line["tcp"];
            tcp["outgoing"] == true && shows(&tcp["destination"], &www).is_ok()
        };
        let found = text.lines().filter_map(|line| serde_json::from_str(line).ok()).any(|line| is_it(&line));
        Ok(if found { Ok(()) } else { Err(text) })
    })
    .await?;
    for command in
        [&["connections", "--pod", "names/asking"][..], &["events", "--last", "1000", "-n", "names"]]
    {
        let text = String::from_utf8(client::run(daemon.socket(), command.iter().copied()).await?.stdout)?;
        ensure!(text.contains(&format!("www.shop.example:{PORT} ({known})")), "{text}");
    }
    // An edge goes by the name of the last connection.
    let edge_of = |pod: &Pod, address: IpAddr, name: &str| {
        let (pod, address, name) = (pod.name().to_owned(), address.to_string(), name.to_owned());
        move |line: &Value| {
            let (edge, own) = (&line["summary"]["edge"], &line["summary"]["workload"]);
            own["pod"] == pod && edge["address"] == address && edge["dns_name"] == name
        }
    };
    for (pod, address, name) in [
        (&asking, known, "www.shop.example"),
        (&asking, v6(11), "six.shop.example"),
        (&other, known, "other.example"),
    ] {
        summaries.wait_for(&format!("the edge to {name}"), PATIENCE, edge_of(pod, address, name)).await?;
    }
    let status = status(&daemon).await?;
    let source = named(&status, "identity_sources", "dns").context("no source")?;
    ensure!(source["healthy"] == true, "{source}");
    let capability = named(&status, "capabilities", "dns_names").context("no capability")?;
    ensure!(capability["available"] == true, "{capability}");
    nothing_lost(&lines)?;
    holding.stop(Duration::ZERO).await?;
    for pod in [asking, other] {
        pod.remove().await?;
    }
    outside.remove().await
}

/// A resolver between a pod and the outside: the pod's own question has the pod's name, what the resolver asks for is the
/// resolver's.
#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_on_the_way_is_not_in_the_way() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).arg("--dns").start().await?;
    let lines = watch(&daemon, []).await?;
    let records = [format!("--host-record=far.resolved.example,{}", v4(31))];
    let outside = Outside::new(testbed, "resolver", 30, &records).await?;
    let local: IpAddr = "127.0.0.53".parse()?;
    let asking = outside.reach(testbed, "asking", local).await?;
    let forward = [format!("--server={}", outside.server)];
    let _resolver = NameServer::start(asking.netns(), local, &forward).await?;
    let name = Some("far.resolved.example");
    let case = Case { to: "far.resolved.example", address: v4(31), name };
    connect(&lines, &asking, "far", &case).await?;
    // The resolver is a process of the host here, and the host has asked for nothing else.
    let to = format!("{}:{PORT}", v4(31));
    let mut host = observer_tests::workload::in_netns(asking.netns(), ["connect", "--to", &to])?;
    ensure!(host.wait().await?.success(), "{}", host.stderr());
    let pid = host.pid();
    let is_it = |line: &Value| is(line, "tcp_connect") && line["event"]["process"]["pid"] == pid;
    let line = lines.wait_for("the host's connection", PATIENCE, is_it).await?;
    ensure!(line["event"]["workload"]["pod"].is_null(), "{line}");
    shows(&detail(&line)["tcp"]["destination"], &case).with_context(|| line.to_string())?;
    nothing_lost(&lines)?;
    asking.remove().await?;
    outside.remove().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_being_asked_nothing_is_read() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).start().await?;
    let lines = watch(&daemon, ["-n", "unasked"]).await?;
    let records = [format!("--host-record=www.unasked.example,{}", v4(51))];
    let outside = Outside::new(testbed, "unasked", 50, &records).await?;
    let asking = outside.reach(testbed, "asking", outside.server).await?;
    connect(&lines, &asking, "www", &Case { to: "www.unasked.example", address: v4(51), name: None }).await?;
    let status = status(&daemon).await?;
    for (list, name) in [
        ("identity_sources", "dns"),
        ("capabilities", "dns_names"),
        ("probes", "dns_answers"),
        ("tables", "dns_names"),
    ] {
        ensure!(named(&status, list, name).is_none(), "{list}: {name}");
    }
    asking.remove().await?;
    outside.remove().await
}
