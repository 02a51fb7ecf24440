//! A relay finds the daemons behind a Service and behind a name, keeps them while nobody can be asked for them, and says what
//! it does not find.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use observer_tests::authority::Signed;
use observer_tests::guardian::Guardian;
use observer_tests::kubernetes::endpoint_slice;
use observer_tests::netns::Netns;
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, KubernetesApi, Lines, NameServer, Secured, client, eventually};
use serde_json::{Value, json};

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Who comes with the relay's certificate sees all, and may ask for others.
const RULES: &str = "[[allow]]\nnames = [\"dns:relay.example\"]\nall = true\nrelay = true\n";
/// Gives a program a network of its own, and a file in place of the machine's that says where names are asked for.
const ALONE: &str = "ip link set lo up && mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";

struct Relay {
    process: Lines,
    socket: PathBuf,
}

impl Relay {
    /// Starts one, by a program that becomes it.
    async fn start(launcher: &[&str], args: &[String]) -> Result<Self> {
        let socket = Guardian::shared()?.scratch("relay")?.join("relay.sock");
        let words: Vec<_> = launcher.iter().map(ToString::to_string).collect();
        let own = [client::observer()?.display().to_string(), "relay".to_owned(), "--listen".to_owned()];
        let words = [&words[..], &own, &[format!("unix://{}", socket.display())], args].concat();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
        let relay = Self { process: Lines::spawn("observer relay", command)?, socket };
        eventually(PATIENCE, "the relay to serve", async || {
            let serving = client::serving(&relay.socket).await;
            Ok(serving.map_err(|error| format!("{error:#}; it said: {}", relay.process.stderr())))
        })
        .await?;
        Ok(relay)
    }

    async fn status(&self) -> Result<Value> {
        let status = client::json(&self.socket, ["status"]).await?.pop().context("no status")?;
        Ok(status["relay"].clone())
    }

    /// Waits until the status of it is as wanted, and gives it.
    async fn until(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Result<Value> {
        eventually(PATIENCE, what, async || {
            let status = self.status().await?;
            Ok(if is_it(&status) { Ok(status) } else { Err(format!("{status:#}")) })
        })
        .await
    }

    /// Waits until a source says that.
    async fn says(&self, at: usize, healthy: bool, words: &str) -> Result<Value> {
        self.until(words, |status| {
            let source = &status["sources"][at];
            let message = source["message"].as_str().unwrap_or_default();
            (source["healthy"] == true) == healthy && message.contains(words)
        })
        .await
    }
}

/// What tells a relay to come as whoever has that certificate.
fn files(site: &Secured, own: &Signed) -> [String; 3] {
    let files = [("ca", &site.authority.ca), ("cert", &own.cert), ("key", &own.key)];
    files.map(|(name, path)| format!("--node-tls-{name}={}", path.display()))
}

/// Where the nodes are, and how.
fn nodes(status: &Value) -> Vec<(&str, &str)> {
    let nodes = status["nodes"].as_array().into_iter().flatten();
    nodes.filter_map(|node| Some((node["address"].as_str()?, node["state"].as_str()?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_behind_a_service_are_found_and_kept() -> Result<()> {
    let folder = Guardian::shared()?.scratch("certificates")?;
    let mut site = Secured::new(&folder, RULES)?;
    // What a daemon shows is the Service's name.
    site.server = site.authority.sign("node", "dns:nodes.observer.svc")?;
    let own = site.authority.sign("relay", "dns:relay.example")?;
    let daemon = Daemon::bare().args(site.args()).start().await?;
    let port = Secured::address(&daemon)?.port();
    let mut api = KubernetesApi::start().await?;
    let mut slice = endpoint_slice("observer", "nodes", LOCAL, port, true);
    slice.endpoints.as_mut().context("no endpoints")?[0].node_name = Some("node-1".to_owned());
    api.put(&slice)?;
    // Others' are of no matter.
    api.put(&endpoint_slice("observer", "other", IpAddr::from([127, 0, 0, 2]), port, true))?;
    api.put(&endpoint_slice("elsewhere", "nodes", IpAddr::from([127, 0, 0, 3]), port, true))?;
    let service = ["--nodes-service=observer/nodes".to_owned(), format!("--kubernetes={}", api.kubeconfig())];
    let relay = Relay::start(&[], &[&service[..], &files(&site, &own)].concat()).await?;
    let address = format!("tls://127.0.0.1:{port}");
    let only = [(address.as_str(), "NODE_STATE_CONNECTED")];
    let status = relay.until("the daemon to be asked", |status| nodes(status) == only).await?;
    let source =
        json!({ "name": "kubernetes", "endpoint": "observer/nodes", "healthy": true, "message": "1 daemon" });
    assert_eq!(status["sources"], json!([source]));
    // Without the API it is there all the same.
    api.stop().await;
    let status = relay.says(0, false, "cannot be reached").await?;
    assert_eq!(nodes(&status), only);
    api.come_back().await?;
    relay.says(0, true, "1 daemon").await?;
    api.delete::<EndpointSlice>("observer", "nodes-slice")?;
    relay.says(0, false, "the Service has no endpoint, or there is no such Service").await?;
    relay.until("no node to be left", |status| nodes(status).is_empty()).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_behind_a_name_are_found_and_kept() -> Result<()> {
    let resolver = Guardian::shared()?.scratch("resolver")?.join("resolv.conf");
    fs::write(&resolver, "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")?;
    let resolver = resolver.display().to_string();
    let alone = ["unshare", "--net", "--mount", "sh", "-c", ALONE, &resolver];
    let site = Secured::new(&Guardian::shared()?.scratch("certificates")?, RULES)?;
    let names = ["nodes", "nothing"].map(|name| format!("--nodes-dns={name}.relay.test:7443"));
    let relay = Relay::start(&alone, &[&names[..], &files(&site, &site.server)].concat()).await?;
    for at in [0, 1] {
        relay.says(at, false, "no name server has an answer").await?;
    }
    // Its network is there: it serves.
    let netns = Netns::of_process(relay.process.pid());
    let records =
        ["10.9.0.1", "10.9.0.2", "fd09::3"].map(|ip| format!("--host-record=nodes.relay.test,{ip}"));
    let names = [&records[..], &["--local=/relay.test/".to_owned()]].concat();
    let server = NameServer::start(&netns, LOCAL, &names).await?;
    let status = relay.says(0, true, "3 daemons").await?;
    let found = ["tls://10.9.0.1:7443", "tls://10.9.0.2:7443", "tls://[fd09::3]:7443"];
    let addresses = |status: &Value| -> Vec<String> {
        nodes(status).into_iter().map(|(address, _)| address.to_owned()).collect()
    };
    assert_eq!(addresses(&status), found);
    // A name that resolves to nothing.
    let status = relay.says(1, false, "no such name").await?;
    assert_eq!(status["sources"][1]["endpoint"], "nothing.relay.test:7443");
    // Without name servers all stay; when one is there again, what it says counts.
    drop(server);
    let status = relay.says(0, false, "no name server has an answer; from before: 3 daemons").await?;
    assert_eq!(addresses(&status), found);
    let _server = NameServer::start(&netns, LOCAL, &names[1..]).await?;
    let status = relay.says(0, true, "2 daemons").await?;
    assert_eq!(addresses(&status), found[1..]);
    Ok(())
}
