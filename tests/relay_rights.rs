//! Who may see what through a relay: no more than he, the relay and the daemon each allow, by every call.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use observer_tests::client::observer;
use observer_tests::nodes::{Nodes, Options};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, eventually};

const RULES: &str = r#"
[[allow]]
names = ["dns:ops.test"]
all = true

[[allow]]
names = ["dns:some.test"]
namespaces = ["relay-rights-ra"]

[[allow]]
names = ["dns:other.test"]
namespaces = ["relay-elsewhere"]
"#;

/// What clients ask, each to its end.
const COMMANDS: [&[&str]; 7] = [
    &["workloads"],
    &["connections"],
    &["connections", "--listeners"],
    &["events", "--last", "1000"],
    &["summary"],
    &["explain"],
    &["incident", "list"],
];

/// A relay that serves by TLS.
struct Site {
    nodes: Nodes,
    relay: Daemon,
    at: String,
}

impl Site {
    async fn start(nodes: Nodes, addresses: [String; 2]) -> Result<Self> {
        let namespaces: Vec<_> = (0..1_000).map(|number| format!("namespace-{number:04}")).collect();
        let many = format!("[[allow]]\nnames = [\"dns:many.test\"]\nnamespaces = {namespaces:?}\n");
        let access = nodes.file("relay-access.toml", &format!("{RULES}\n{many}"))?;
        let server = nodes.authority.sign("relay-server", "ip:127.0.0.1")?;
        let mut builder = nodes.relay().args(["--listen", "tls://127.0.0.1:0"]);
        for address in addresses {
            builder = builder.args(["--node".to_owned(), address]);
        }
        let files = [
            ("--access-file", &access),
            ("--tls-cert", &server.cert),
            ("--tls-key", &server.key),
            ("--tls-client-ca", &nodes.authority.ca),
        ];
        for (flag, path) in files {
            builder = builder.arg(flag).arg(path);
        }
        let relay = builder.start().await?;
        let said = relay.stderr();
        let line =
            said.lines().find_map(|line| line.split_once("listens on tls://")).context("no address")?;
        let at = line.1.trim().to_owned();
        Ok(Self { nodes, relay, at })
    }

    /// Asks as whoever has that name.
    fn ask(&self, who: &str, command: &[&str]) -> Result<Output> {
        let own = self.nodes.authority.sign(&format!("client-{}", who.replace(':', "-")), who)?;
        let output = Command::new(observer()?)
            .args(command)
            .args(["-o", "json", "--server", &format!("tls://{}", self.at)])
            .arg("--tls-ca")
            .arg(&self.nodes.authority.ca)
            .arg("--tls-cert")
            .arg(&own.cert)
            .arg("--tls-key")
            .arg(&own.key)
            .env("XDG_CONFIG_HOME", "/nowhere")
            .output()?;
        Ok(output)
    }
}

async fn serving(pod: &Pod) -> Result<()> {
    pod.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_hold_from_end_to_end() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let nodes = Nodes::new("relay-rights")?;
    // The relay may see two namespaces of one node, and may not ask for others at the other one.
    let node = Options { further: Some("secret"), ..Options::default() };
    let node = nodes.start(testbed, "ra", node).await?;
    let strict = nodes.start(testbed, "rb", Options { relays: false, ..Options::default() }).await?;
    let own = node.pod(testbed, "own").await?;
    let secret = testbed.pod(&nodes.namespace("secret"), "hidden").label("secret", "label").run().await?;
    let elsewhere = strict.pod(testbed, "strict").await?;
    for pod in [&own, &secret, &elsewhere] {
        serving(pod).await?;
    }
    for (name, from, to) in [("out", &own, &secret), ("out", &secret, &own), ("within", &own, &own)] {
        let to = format!("{}:8080", to.ip()?);
        let argv = ["workload", "connect", "--to", &to, "--bytes", "100", "--hold", "600"];
        from.container(name, argv).start().await?;
    }
    let site = Site::start(nodes, [node.address()?, strict.address()?]).await?;
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    // Who may see all sees what the relay may see.
    eventually(PATIENCE, "both namespaces", || async {
        let output = site.ask("dns:ops.test", &["connections"])?;
        let seen = text(&output).contains(own.name()) && text(&output).contains(secret.name());
        Ok(if seen { Ok(()) } else { Err(format!("{} {}", text(&output), said(&output))) })
    })
    .await?;
    for command in COMMANDS {
        let all = site.ask("dns:ops.test", command)?;
        let some = site.ask("dns:some.test", command)?;
        let none = site.ask("dns:other.test", command)?;
        for output in [&all, &some, &none] {
            ensure!(!text(output).contains(elsewhere.name()), "{command:?}: {}", text(output));
        }
        for hidden in [secret.name(), "secret"] {
            ensure!(!text(&some).contains(hidden), "{command:?} tells of {hidden}: {}", text(&some));
        }
        ensure!(text(&none).is_empty() || !text(&none).contains(own.name()), "{command:?}: {}", text(&none));
        if command != ["incident", "list"] {
            ensure!(text(&all).contains(secret.name()), "{command:?}: {} {}", text(&all), said(&all));
            ensure!(text(&some).contains(own.name()), "{command:?}: {} {}", text(&some), said(&some));
        }
    }
    let log = node.daemon.stderr();
    for line in [
        "client=dns:ops.test:via:dns:relay.test call=ListWorkloads allowed sees=",
        "client=dns:some.test:via:dns:relay.test call=WatchEvents allowed sees=relay-rights-ra",
        "client=dns:other.test:via:dns:relay.test call=Explain refused",
    ] {
        ensure!(log.contains(line), "{line}: {log}");
    }
    ensure!(strict.daemon.stderr().contains("call=ListWorkloads refused code=PermissionDenied"));
    // More than a daemon takes of headers is refused before it ends the connection that all clients share.
    for command in COMMANDS {
        let output = site.ask("dns:many.test", command)?;
        ensure!(!output.status.success(), "{command:?}: {}", text(&output));
        ensure!(said(&output).contains("what you may see are 1000 namespaces"), "{}", said(&output));
    }
    let status = site.ask("dns:many.test", &["status"])?;
    let status: serde_json::Value = serde_json::from_str(&text(&status))?;
    let nodes = status["relay"]["nodes"].as_array().context("no nodes")?;
    ensure!(nodes.len() == 2 && nodes.iter().all(|node| node["connects"] == 1), "{nodes:?}");
    // Nobody else's certificate may ask for others, whatever it says.
    let output = site.ask("dns:nobody.test", &["workloads"])?;
    ensure!(!output.status.success() && said(&output).contains("may see nothing here"), "{}", said(&output));
    drop(site.relay);
    for pod in [own, secret, elsewhere] {
        pod.remove().await?;
    }
    for one in [node, strict] {
        drop(one.daemon);
        one.place.remove().await?;
    }
    Ok(())
}
