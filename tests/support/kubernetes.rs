//! A Kubernetes API that speaks the list and watch protocol over HTTP on loopback: pages, versions, bookmarks, and
//! all that can go wrong with them. Its objects are k8s-openapi's.

mod known;
mod large;
mod objects;
mod serve;
mod store;
mod tls;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, fs};

use anyhow::{Context, Result};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::{ListableResource, Metadata};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::guardian::{Guardian, random};
use crate::wait::{PATIENCE, eventually};

pub use known::{objects, status};
pub use large::large_pod;
pub use objects::{endpoint_slice, node, pod, service};
pub use serve::{Asked, Fault};
use store::Store;

/// The node that a daemon of these tests is on.
pub const OWN_NODE: &str = "node-own";
/// Lists and watches that a daemon has: pods twice, nodes, services, endpoint slices.
pub const RESOURCES: usize = 5;
/// All that a daemon may have in memory with 10,000 pods.
pub const MOST_MEMORY: u64 = 60 << 20;

/// A running API. Dropping it takes it away.
pub struct KubernetesApi {
    address: SocketAddr,
    kubeconfig: PathBuf,
    shared: Arc<Shared>,
    server: Option<JoinHandle<()>>,
    tls: Option<TlsAcceptor>,
}

/// What the API and its connections have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Counts up with each change, for the watches.
    changed: watch::Sender<u64>,
    /// What goes wrong with the watches that are open.
    faults: broadcast::Sender<Fault>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) asked: Vec<Asked>,
    /// Requests are answered with this status instead.
    pub(crate) refusal: Option<u16>,
    /// Who does not show this token is nobody.
    pub(crate) token: Option<String>,
    /// Requests are not answered at all.
    pub(crate) silent: bool,
}

impl KubernetesApi {
    /// An API that knows no object but the daemon's own node.
    pub async fn start() -> Result<Self> {
        Self::start_with(false).await
    }

    /// The same, with TLS, for who has a token.
    pub async fn start_secure() -> Result<Self> {
        Self::start_with(true).await
    }

    async fn start_with(secure: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            faults: broadcast::Sender::new(64),
        });
        let kubeconfig = Guardian::shared()?.scratch("kubernetes")?.join("kubeconfig");
        let tls = secure.then(|| tls::acceptor(&kubeconfig.with_extension("pem"))).transpose()?;
        let server = Some(tokio::spawn(serve::accept(listener, tls.clone(), Arc::clone(&shared))));
        let api = Self { address, kubeconfig, shared, server, tls };
        api.new_token()?;
        api.put(&node(OWN_NODE, IpAddr::from([192, 0, 2, 254])))?;
        Ok(api)
    }

    /// Takes a new token from now on, which is in the kubeconfig file; without TLS there is none.
    pub fn new_token(&self) -> Result<()> {
        let token = self.tls.as_ref().map(|_tls| format!("token-{:016x}", random()));
        let text = config(
            self.address,
            token.as_deref().map(|token| (token, self.kubeconfig.with_extension("pem"))),
        );
        fs::write(&self.kubeconfig, text)?;
        self.state().token = token;
        Ok(())
    }

    /// A kubeconfig file that leads here.
    pub fn kubeconfig(&self) -> String {
        self.kubeconfig.display().to_string()
    }

    /// The arguments of a daemon that asks this API.
    pub fn daemon_args(&self) -> [String; 4] {
        ["--kubernetes".into(), self.kubeconfig(), "--node-name".into(), OWN_NODE.into()]
    }

    /// Creates an object, or replaces the one with the same name. It gets a UID if it has none.
    pub fn put<K>(&self, object: &K) -> Result<String>
    where
        K: ListableResource + Metadata<Ty = ObjectMeta> + Serialize,
    {
        let value = serde_json::to_value(object)?;
        let uid = self.state().store.put(&path::<K>(), value)?;
        self.shared.changed.send_modify(|count| *count += 1);
        Ok(uid)
    }

    /// Deletes an object.
    pub fn delete<K>(&self, namespace: &str, name: &str) -> Result<()>
    where
        K: ListableResource + Metadata<Ty = ObjectMeta>,
    {
        self.state().store.delete(&path::<K>(), namespace, name).context("no such object")?;
        self.shared.changed.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Forgets all versions but the present one: who wants to go on from an older one has to list again.
    pub fn compact(&self) {
        self.state().store.compact();
    }

    /// Does something to all watches that are open.
    pub fn fault(&self, fault: Fault) {
        // Without watches nothing goes wrong.
        let _ = self.shared.faults.send(fault);
    }

    /// Answers each request with this status from now on, or as it should.
    pub fn refuse(&self, status: Option<u16>) {
        self.state().refusal = status;
    }

    /// Answers no request from now on, or each.
    pub fn keep_silent(&self, silent: bool) {
        self.state().silent = silent;
    }

    /// How many watches are open.
    pub fn watches(&self) -> usize {
        self.shared.faults.receiver_count()
    }

    /// Waits until a daemon has all its watches open.
    pub async fn all_watched(&self) -> Result<()> {
        eventually(PATIENCE, "all watches to be open", async || {
            let open = self.watches();
            Ok(if open == RESOURCES { Ok(()) } else { Err(open) })
        })
        .await
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// Goes away with all its connections.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
            // Only once it has ended its port is free.
            let _ = server.await;
        }
    }

    /// Comes back at the same address.
    pub async fn come_back(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.server = Some(tokio::spawn(serve::accept(listener, self.tls.clone(), Arc::clone(&self.shared))));
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl fmt::Debug for KubernetesApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KubernetesApi").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for KubernetesApi {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The path of all objects of a kind.
fn path<K: ListableResource>() -> String {
    let group = if K::GROUP.is_empty() { "/api".to_owned() } else { format!("/apis/{}", K::GROUP) };
    format!("{group}/{}/{}", K::VERSION, K::URL_PATH_SEGMENT)
}

fn config(address: SocketAddr, secure: Option<(&str, PathBuf)>) -> String {
    let (cluster, user) = match secure {
        Some((token, certificate)) => (
            format!("server: 'https://{address}', certificate-authority: '{}'", certificate.display()),
            format!("token: {token}"),
        ),
        None => (format!("server: 'http://{address}'"), String::new()),
    };
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{{cluster}}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\n\
         users: [{{name: test, user: {{{user}}}}}]\n"
    )
}
