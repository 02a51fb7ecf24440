//! The Kubernetes API: who the pods of this node belong to, and whose the addresses of the cluster are.
//!
//! Each resource has a keeper (`keep`) that lists it page by page and then follows it from that version on, again and
//! again. Nothing is held here but the version: what is told goes to the core at once.

mod access;
mod answer;
mod convert;
mod endpoints;
#[cfg(test)]
pub(crate) mod fake;
mod health;
mod keep;
mod owner;
mod pause;
mod query;
mod tell;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use self::access::Access;
pub(crate) use self::endpoints::{Endpoint, EndpointNews, Slice, follow_endpoints};
use self::health::Healths;
use super::Fact;
use super::cluster::Resource;

/// Where the API and the right to ask it come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ApiAccess {
    /// The service account of the pod that this daemon runs in.
    InCluster,
    /// A kubeconfig file.
    Kubeconfig(PathBuf),
}

/// Where a pod finds what it shows to the API.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

impl ApiAccess {
    /// What this process's surroundings offer: a service account, else the file that `KUBECONFIG` names.
    pub(crate) fn find() -> Option<Self> {
        if is_pod() && std::path::Path::new(TOKEN).exists() {
            return Some(Self::InCluster);
        }
        let file = std::env::var_os("KUBECONFIG").filter(|file| !file.is_empty())?;
        Some(Self::Kubeconfig(file.into()))
    }

    /// Whether this is a pod of Kubernetes that has nothing to show to the API.
    pub(super) fn lacks_token() -> bool {
        is_pod() && Self::find().is_none()
    }
}

/// Whether a kubelet started this: it tells every container where the API is.
fn is_pod() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// What [`spawn`] needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How to reach the API.
    pub(crate) access: ApiAccess,
    /// What the API calls this node.
    pub(crate) node_name: String,
}

/// Starts a keeper for each resource.
pub(super) fn spawn(settings: Settings, facts: &mpsc::Sender<Fact>, tasks: &mut JoinSet<()>) {
    let Settings { access, node_name } = settings;
    let access = Arc::new(Access::new(access));
    let healths = Arc::new(Healths::new(Arc::clone(&access), facts.clone()));
    let node_name: Arc<str> = node_name.into();
    for resource in Resource::ALL {
        let teller = tell::Facts::new(resource, &node_name, &healths, facts.clone());
        let query = query::Query::new(resource, &node_name);
        tasks.spawn(keep::Keeper::new(query, &access, teller).run());
    }
}
