//! Several nodes on one machine: each a daemon in a network namespace of its own, with its own address, that shows the pods
//! of one namespace alone; and what a relay needs to ask them.
//!
//! All daemons see the same kernel. That each has its own pods says its access file: what the relay may see there. So the
//! other end of a connection to another node is to it an address, as it would be on a machine of its own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use crate::authority::{Authority, Signed};
use crate::daemon::DaemonBuilder;
use crate::{Daemon, Pod, Testbed};

/// Where each daemon listens.
const PORT: u16 = 4246;
/// The name in the daemons' certificates.
const NAME: &str = "observer.test";

/// What all nodes have in common.
pub struct Nodes {
    folder: TempDir,
    /// Who signs the certificates of daemons, relays and clients.
    pub authority: Authority,
    relay: Signed,
    prefix: String,
}

/// One node.
pub struct Node {
    /// Its name.
    pub name: String,
    /// The namespace of its pods.
    pub namespace: String,
    /// What has its network namespace and its address.
    pub place: Pod,
    /// Its daemon.
    pub daemon: Daemon,
}

impl Nodes {
    /// None yet. Nobody else's pods are in namespaces that begin with this.
    pub fn new(prefix: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new(folder.path(), "authority")?;
        let relay = authority.sign("relay", "dns:relay.test")?;
        Ok(Self { folder, authority, relay, prefix: prefix.to_owned() })
    }

    /// Its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The namespace of a node's pods.
    pub fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// Starts a node, whose daemon gets further arguments.
    pub async fn start(&self, testbed: &Testbed, name: &str, more: Options<'_>) -> Result<Node> {
        let namespace = self.namespace(name);
        let place = testbed.pod(&format!("{}-nodes", self.prefix), name).run().await?;
        let daemon = self.daemon(testbed, name, &place, more)?.start().await?;
        Ok(Node { name: name.to_owned(), namespace, place, daemon })
    }

    /// The daemon of a node, not started yet.
    pub fn daemon(
        &self,
        testbed: &Testbed,
        name: &str,
        place: &Pod,
        more: Options<'_>,
    ) -> Result<DaemonBuilder> {
        let Options { authority, args, env, relays, further } = more;
        let own =
            authority.unwrap_or(&self.authority).sign(&format!("daemon-{name}"), &format!("dns:{NAME}"))?;
        let access = self.folder.path().join(format!("access-{name}.toml"));
        let rule = format!(
            "[[allow]]\nnames = [\"dns:relay.test\"]\nnamespaces = {:?}\nrelay = {relays}\n",
            [Some(self.namespace(name)), further.map(|name| self.namespace(name))]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        );
        fs::write(&access, rule)?;
        let flags: [(&str, &Path); 4] = [
            ("--access-file", &access),
            ("--tls-cert", &own.cert),
            ("--tls-key", &own.key),
            ("--tls-client-ca", &self.authority.ca),
        ];
        let mut builder = Daemon::on(testbed)
            .netns(place.netns())
            .args(["--node-name", name, "--triggers", "false"])
            .args(["--listen".to_owned(), format!("tls://{}:{PORT}", place.ip()?)])
            .args(args.iter().copied());
        for (flag, path) in flags {
            builder = builder.arg(flag).arg(path);
        }
        for (name, value) in env {
            builder = builder.env(name, value);
        }
        Ok(builder)
    }

    /// What a relay is told so that it can ask daemons.
    pub fn relay(&self) -> DaemonBuilder {
        self.relay_as(&self.relay)
    }

    /// The same of one with another certificate.
    pub fn relay_as(&self, own: &Signed) -> DaemonBuilder {
        Daemon::relay()
            .arg("--node-tls-ca")
            .arg(&self.authority.ca)
            .arg("--node-tls-cert")
            .arg(&own.cert)
            .arg("--node-tls-key")
            .arg(&own.key)
            .args(["--node-tls-name", NAME])
    }

    /// A file of the nodes'.
    pub fn file(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// What is particular to a node.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// Another authority for its certificate.
    pub authority: Option<&'a Authority>,
    /// Further arguments.
    pub args: &'a [&'a str],
    /// Variables of its environment.
    pub env: &'a [(&'a str, &'a str)],
    /// The relay may ask for others.
    pub relays: bool,
    /// The relay may see those of a further one as well, as [`Nodes::namespace`] names it.
    pub further: Option<&'a str>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self { authority: None, args: &[], env: &[], relays: true, further: None }
    }
}

impl Node {
    /// Where its daemon is asked.
    pub fn address(&self) -> Result<String> {
        Ok(format!("tls://{}:{PORT}", self.place.ip()?))
    }

    /// A pod of the node.
    pub async fn pod(&self, testbed: &Testbed, prefix: &str) -> Result<Pod> {
        testbed.pod(&self.namespace, prefix).run().await
    }
}
