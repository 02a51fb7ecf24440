//! Nodes with pods, and a relay over them.

use anyhow::{Context, Result};
use observer_tests::client::json;
use observer_tests::nodes::{Node, Nodes, Options};
use observer_tests::wait::PATIENCE;
use observer_tests::{Daemon, Pod, Testbed, eventually};
use serde_json::Value;

/// Nodes with a pod each, in which a server runs; and a relay over them.
pub(crate) struct Site {
    /// The certificates and access files are there for as long as this is.
    _nodes: Nodes,
    pub(crate) each: Vec<Node>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) relay: Daemon,
}

impl Site {
    pub(crate) async fn new(testbed: &Testbed, prefix: &str, names: &[(&str, Options<'_>)]) -> Result<Self> {
        let each: Vec<_> = names.iter().map(|(name, options)| (testbed, *name, *options)).collect();
        Self::on(&each, prefix).await
    }

    /// Each node with the runtime and the network of its own testbed.
    pub(crate) async fn on(names: &[(&Testbed, &str, Options<'_>)], prefix: &str) -> Result<Self> {
        let nodes = Nodes::new(prefix)?;
        let (mut each, mut pods, mut relay) = (Vec::new(), Vec::new(), nodes.relay());
        for (testbed, name, options) in names {
            let node = nodes.start(testbed, name, *options).await?;
            let pod = node.pod(testbed, "server").await?;
            pod.container("serve", ["workload", "serve", "--port", "8080"]).start_until("listening").await?;
            relay = relay.args(["--node".to_owned(), node.address()?]);
            each.push(node);
            pods.push(pod);
        }
        let relay = relay.start().await?;
        Ok(Self { _nodes: nodes, each, pods, relay })
    }

    /// Waits until the relay says that of its nodes: their names and states.
    pub(crate) async fn states(&self, expected: &[(&str, &str)]) -> Result<Vec<Value>> {
        eventually(PATIENCE, "the states of the nodes", || async {
            let status = json(self.relay.socket(), ["status"]).await?.pop().context("no status")?;
            let nodes = status["relay"]["nodes"].as_array().cloned().unwrap_or_default();
            let is = |node: &Value, (name, state): (&str, &str)| {
                node["name"] == name && node["state"] == format!("NODE_STATE_{state}")
            };
            let all = nodes.len() == expected.len()
                && expected.iter().all(|one| nodes.iter().any(|node| is(node, *one)));
            Ok(if all { Ok(nodes) } else { Err(status["relay"].to_string()) })
        })
        .await
    }

    /// A pod connects to another one so many times.
    pub(crate) async fn connect(
        &self,
        from: usize,
        to: usize,
        name: &str,
        count: u32,
        hold_s: u32,
    ) -> Result<()> {
        let (to, count) = (format!("{}:8080", self.pods[to].ip()?), count.to_string());
        let hold = hold_s.to_string();
        let argv = ["workload", "connect", "--to", &to, "--count", &count, "--bytes", "100", "--hold", &hold];
        self.pods[from].container(name, argv).start().await?;
        Ok(())
    }

    pub(crate) async fn end(self) -> Result<()> {
        for pod in self.pods {
            pod.remove().await?;
        }
        for node in self.each {
            drop(node.daemon);
            node.place.remove().await?;
        }
        Ok(())
    }
}
