//! Proves that a connection to a Service's address shows who answers for it, where the kernel translates it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use observer_tests::events::{detail, is, nothing_lost, watch};
use observer_tests::guardian::random;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Lines, Netns, NetnsPair, Packets, Testbed, client, workload};
use serde_json::Value;

/// Connections made to one Service.
const COUNT: usize = 20;

/// Has what goes to `service` answered by one of `backends`, by chance, as kube-proxy would.
fn translate(netns: &Netns, hook: &str, service: SocketAddr, backends: &[(IpAddr, u16)]) -> Result<()> {
    let (service, port) = (service.ip(), service.port());
    let (family, name) = if service.is_ipv4() { ("ip", "svc4") } else { ("ip6", "svc6") };
    // What is there already may be added again.
    netns.output("nft", ["add", "table", family, name])?;
    let priority = if hook == "output" { "-100" } else { "dstnat" };
    let chain = format!("{{ type nat hook {hook} priority {priority} ; }}");
    netns.output("nft", ["add", "chain", family, name, "services", &chain])?;
    let bracketed = |(address, port): &(IpAddr, u16)| match address {
        IpAddr::V4(_) => format!("{address}:{port}"),
        IpAddr::V6(_) => format!("[{address}]:{port}"),
    };
    for (number, backend) in backends.iter().enumerate() {
        // Each rule takes its share of what the ones before it left.
        let left = backends.len() - number;
        let share = if left == 1 { String::new() } else { format!("numgen random mod {left} == 0 ") };
        let to = bracketed(backend);
        let rule = format!("{family} daddr {service} tcp dport {port} {share}dnat to {to}");
        let words: Vec<&str> =
            ["add", "rule", family, name, "services"].into_iter().chain(rule.split(' ')).collect();
        netns.output("nft", words)?;
    }
    Ok(())
}

/// An end of a connection as the workload writes it.
fn text(end: &Value) -> String {
    let (address, port) = (end["address"].as_str().unwrap_or_default(), &end["port"]);
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Of each connection of a type of event: who asked, and who answered as the event says.
fn told(lines: &Lines, event_type: &str, service: IpAddr) -> Result<BTreeMap<String, String>> {
    let to_service = |line: &Value| {
        let tcp = &detail(line)["tcp"];
        is(line, event_type)
            && tcp["outgoing"] == true
            && tcp["destination"]["address"] == service.to_string()
    };
    let mut told = BTreeMap::new();
    for line in lines.matching(to_service) {
        let tcp = &detail(&line)["tcp"];
        ensure!(tcp["destination"]["port"] == 80, "{line}");
        let before = told.insert(text(&tcp["source"]), text(&tcp["backend"]));
        ensure!(before.is_none(), "told twice: {line}");
    }
    Ok(told)
}

/// Of the edges to a Service, all windows together: connections opened and closed, by who answers.
fn summed(follow: &Lines, service: IpAddr) -> BTreeMap<String, [u64; 2]> {
    let mut sums: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for line in follow.matching(|line| line["summary"]["edge"]["address"] == service.to_string()) {
        let (edge, tcp) = (&line["summary"]["edge"], &line["summary"]["tcp"]);
        let sum = sums.entry(text(&edge["backend"])).or_default();
        for (sum, figure) in sum.iter_mut().zip(["opened", "closed"]) {
            *sum += tcp[figure].as_u64().unwrap_or(0);
        }
    }
    // One whose backend is learnt late is on an edge without one until it moves, which leaves nothing there.
    sums.retain(|_, sum| *sum != [0, 0]);
    sums
}

/// Who refuses is forgotten by the kernel at once. Where it happens again, the observer listens for that.
async fn refused(
    lines: &Lines,
    follow: &Lines,
    pair: &NetnsPair,
    service: SocketAddr,
    behind: SocketAddr,
) -> Result<()> {
    translate(&pair.right().netns, "prerouting", service, &[(behind.ip(), behind.port())])?;
    let is_it = |line: &Value| {
        is(line, "tcp_connect_failure") && text(&detail(line)["tcp"]["destination"]) == service.to_string()
    };
    let names = |line: &Value| text(&detail(line)["tcp"]["backend"]) == behind.to_string();
    observer_tests::eventually(PATIENCE, "who refuses to be known", async || {
        let before = lines.matching(is_it).len();
        let asked = pair.left().netns.run(|| Ok(TcpStream::connect_timeout(&service, PATIENCE)))?;
        ensure!(asked.is_err(), "somebody listens at {behind}");
        lines.wait_count("refusals", PATIENCE, before + 1, is_it).await?;
        let last = lines.matching(is_it).pop().context("no event")?;
        Ok(if names(&last) { Ok(()) } else { Err(last) })
    })
    .await?;
    let all = lines.matching(is_it).len() as u64;
    let named = lines.matching(|line| is_it(line) && names(line)).len() as u64;
    observer_tests::eventually(PATIENCE, "the edges of both", async || {
        let of = |by: &dyn Fn(&Value) -> bool| -> u64 {
            let of_it = |line: &Value| {
                let edge = &line["summary"]["edge"];
                text(edge) == service.to_string() && by(&edge["backend"])
            };
            let failed = |line: Value| line["summary"]["tcp"]["failed"].as_u64().unwrap_or(0);
            follow.matching(of_it).into_iter().map(failed).sum()
        };
        let told = [of(&|backend| text(backend) == behind.to_string()), of(&Value::is_null)];
        let expected = [named, all - named];
        Ok(if told == expected { Ok(()) } else { Err((told, expected)) })
    })
    .await
}

/// A daemon that has the right side for its node, on which two servers answer for a Service of each family.
#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_own_rules() -> Result<()> {
    let pair = NetnsPair::new()?;
    let (left, right) = (pair.left(), pair.right());
    let daemon = Daemon::bare().args(["--cri-endpoint", "none"]).netns(&right.netns).start().await?;
    let lines = watch(&daemon, []).await?;
    let follow = daemon.follow(["summary", "-f", "--window", "1s"])?;
    follow.wait_for("a window", PATIENCE, |line| line.get("window_end").is_some()).await?;
    let mut servers = Vec::new();
    for port in ["8001", "8002"] {
        let server = workload::in_netns(&right.netns, ["serve", "--port", port, "--log"])?;
        server.wait_for("it to listen", PATIENCE, |line| line.get("listening").is_some()).await?;
        servers.push(server);
    }
    let tail = random() as u16;
    let services: [(IpAddr, IpAddr); 2] = [
        (format!("10.96.{}.{}", tail >> 8, tail & 0xff).parse()?, right.ip.into()),
        (format!("fd96::{tail:x}").parse()?, right.ipv6.into()),
    ];
    for (service, node) in services {
        translate(&right.netns, "prerouting", SocketAddr::new(service, 80), &[(node, 8001), (node, 8002)])?;
        left.netns.output("ip", ["route", "add", &service.to_string(), "via", &node.to_string()])?;
        let to = if service.is_ipv4() { format!("{service}:80") } else { format!("[{service}]:80") };
        let count = COUNT.to_string();
        let connect = ["connect", "--to", &to, "--count", &count, "--bytes", "10"];
        let mut asking = workload::in_netns(&left.netns, connect)?;
        ensure!(asking.wait().await?.success(), "{}", asking.stderr());

        // The truth is what the servers accepted, each under its own address.
        let mut truth = BTreeMap::new();
        let client_ip = if service.is_ipv4() { left.ip.to_string() } else { format!("[{}]", left.ipv6) };
        let is_it = |line: &Value| {
            line["accepted"].as_str().is_some_and(|from| from.starts_with(&format!("{client_ip}:")))
        };
        let accepted = observer_tests::eventually(PATIENCE, "all connections to be served", async || {
            let accepted: Vec<Value> = servers.iter().flat_map(|server| server.matching(is_it)).collect();
            Ok(if accepted.len() >= COUNT { Ok(accepted) } else { Err(accepted) })
        })
        .await?;
        for line in accepted {
            let of = |key: &str| line[key].as_str().map(str::to_owned).context("no end");
            truth.insert(of("accepted")?, of("local")?);
        }
        ensure!(truth.len() == COUNT, "{truth:#?}");
        for event_type in ["tcp_connect", "tcp_close"] {
            let what = format!("{event_type} to {service}");
            observer_tests::eventually(PATIENCE, &what, async || {
                let told = told(&lines, event_type, service)?;
                Ok(if told.len() >= COUNT { Ok(()) } else { Err(told.len()) })
            })
            .await?;
            let told = told(&lines, event_type, service)?;
            ensure!(told == truth, "{what}: {told:#?}, not {truth:#?}");
        }
        // Each backend has an edge of its own, and each connection is on one of them, once.
        let mut counted: BTreeMap<String, [u64; 2]> = BTreeMap::new();
        for backend in truth.into_values() {
            let [opened, closed] = counted.entry(backend).or_default();
            (*opened, *closed) = (*opened + 1, *closed + 1);
        }
        let what = format!("summaries of {service}");
        observer_tests::eventually(PATIENCE, &what, async || {
            let summed = summed(&follow, service);
            let told = summed.values().fold(0, |sum, [_, closed]| sum + closed);
            ensure!(told <= COUNT as u64, "{summed:?}, but {counted:?}");
            Ok(if summed == counted { Ok(()) } else { Err((summed, counted.clone())) })
        })
        .await?;
    }
    for (service, node) in services {
        refused(&lines, &follow, &pair, SocketAddr::new(service, 81), SocketAddr::new(node, 8009)).await?;
    }
    // A reader sees it in the line, and the status who told it.
    let shown = client::run(daemon.socket(), ["events", "--last", "1000", "-t", "tcp_connect"]).await?;
    let shown = String::from_utf8(shown.stdout)?;
    let line = shown.lines().find(|line| line.contains(&format!("{}:80", services[0].0)));
    ensure!(line.is_some_and(|line| line.contains(":80 -> host:800")), "{shown}");
    let status = client::run(daemon.socket(), ["status", "-o", "json"]).await?;
    let status: Value = serde_json::from_slice(&status.stdout)?;
    let sources = status["identity_sources"].as_array().context("no sources")?;
    let conntrack = sources.iter().find(|source| source["name"] == "conntrack").context("no conntrack")?;
    ensure!(conntrack["healthy"] == true, "{conntrack}");
    nothing_lost(&lines)
}

/// What a pod translates itself, in its own network namespace, shows the pod behind it; the same connection as the
/// server's side sees it is told apart from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_pods_own_rules() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let daemon = Daemon::on(testbed).arg("--enter-namespaces").start().await?;
    let lines = watch(&daemon, ["-n", "svc"]).await?;
    let behind = testbed.pod("svc", "behind").run().await?;
    behind.container("serve", ["workload", "serve", "--port", "7100"]).start_until("listening").await?;
    let front = testbed.pod("svc", "front").run().await?;
    let service: IpAddr = format!("10.97.{}.7", random() as u8).parse()?;
    let to = format!("{service}:80");
    let dead: IpAddr = "10.98.0.9".parse()?;
    for (service, port) in [(service, 7100), (dead, 7199)] {
        front.netns().output("ip", ["route", "add", &service.to_string(), "dev", "eth0"])?;
        translate(front.netns(), "output", SocketAddr::new(service, 80), &[(behind.ip()?, port)])?;
    }
    let script = format!("workload connect --to {to} --count 3; exec workload connect --to {to} --hold 600");
    let container = front.container("ask", ["sh", "-c", script.as_str()]).start().await?;
    let is_it = |line: &Value| is(line, "tcp_connect") && line["event"]["workload"]["pod"] == front.name();
    let connects = lines.wait_count("connections", PATIENCE, 4, is_it).await?;
    for line in &connects {
        let tcp = &detail(line)["tcp"];
        ensure!(tcp["destination"]["address"] == service.to_string(), "{line}");
        let backend = &tcp["backend"];
        ensure!(backend["address"] == behind.ip()?.to_string() && backend["port"] == 7100, "{line}");
        ensure!(backend["kind"] == "PEER_KIND_POD" && backend["workload"]["pod"] == behind.name(), "{line}");
        ensure!(backend["workload"]["namespace"] == "svc", "{line}");
    }
    // What lives shows it as well, and is found by the pod that answers.
    let pattern = format!("svc/{}", behind.name());
    let args = ["connections", "-o", "json", "--to-pod", &pattern];
    let listed = observer_tests::eventually(PATIENCE, "the connection in the list", async || {
        let output = client::run(daemon.socket(), args).await?;
        let text = String::from_utf8(output.stdout)?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let outgoing = lines.into_iter().find(|line| line["tcp"]["outgoing"] == true);
        Ok(outgoing.ok_or(text))
    })
    .await?;
    ensure!(listed["tcp"]["backend"]["workload"]["pod"] == behind.name(), "{listed}");
    // Its other end is known, although that has another address.
    ensure!(listed["peer"]["state"] == "ESTABLISHED", "{listed}");

    // One that does not answer is named while it is waited for, and in the end.
    let _loss = behind.lose(100, &Packets::syn().to_port(7199))?;
    container.exec(["workload", "connect", "--to", &format!("{dead}:80"), "--timeout-ms", "2500"]).await?;
    for event_type in ["tcp_connect_pending", "tcp_connect_failure"] {
        let is_it = |line: &Value| {
            is(line, event_type) && detail(line)["tcp"]["destination"]["address"] == dead.to_string()
        };
        let line = lines.wait_for(event_type, PATIENCE, is_it).await?;
        let backend = &detail(&line)["tcp"]["backend"];
        ensure!(backend["port"] == 7199 && backend["workload"]["pod"] == behind.name(), "{line}");
    }
    // The verdict is on each backend, and has what this node knows of its side.
    let asking = format!("svc/{}", front.name());
    for (address, port, verdict) in [(service, 7100, "VERDICT_HEALTHY"), (dead, 7199, "VERDICT_UNREACHABLE")]
    {
        let is_it = |line: &&Value| {
            let edge = &line["edge"];
            let backend = &edge["backend"];
            edge["address"] == address.to_string()
                && backend["port"] == port
                && backend["workload"]["pod"] == behind.name()
                && line["diagnosis"]["verdict"] == verdict
        };
        observer_tests::eventually(PATIENCE, verdict, async || {
            let edges = client::json(daemon.socket(), ["explain", &asking]).await?;
            Ok(if edges.iter().any(|line| is_it(&line)) { Ok(()) } else { Err(edges) })
        })
        .await?;
    }
    nothing_lost(&lines)?;
    front.remove().await?;
    behind.remove().await
}
