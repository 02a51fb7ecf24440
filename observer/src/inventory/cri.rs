//! Container runtimes over CRI: who a container is, asked the moment it appears, and a regular survey.
//!
//! Each endpoint has a keeper (`runtime`) that connects, surveys and connects again. Lookups (`lookup`)
//! and ends of containers (`ends`) use whatever connection there is. Where the runtime has `GetContainerEvents`,
//! that is followed (`follow`) and the survey is rare; one without is enough.

mod client;
mod convert;
mod ends;
mod follow;
mod known;
mod lookup;
mod pending;
mod runtime;
mod sources;
mod survey;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use runtime::Runtime;
use sources::Sources;

use super::{EndLookup, Fact, Settings};

/// Where a container runtime listens: `unix:///path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CriEndpoint(PathBuf);

/// What is wrong with an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no CRI endpoint: expected unix:///absolute/path")]
pub(crate) struct CriEndpointError(String);

impl CriEndpoint {
    /// The places where containerd, CRI-O, k3s, k0s, MicroK8s and cri-dockerd listen by default.
    pub(crate) fn usual() -> Vec<Self> {
        [
            "/run/containerd/containerd.sock",
            "/run/crio/crio.sock",
            "/run/k3s/containerd/containerd.sock",
            "/run/k0s/containerd.sock",
            "/var/snap/microk8s/common/run/containerd.sock",
            "/run/cri-dockerd.sock",
        ]
        .map(|path| Self(path.into()))
        .into()
    }

    /// The socket's path.
    pub(crate) fn socket(&self) -> &Path {
        &self.0
    }
}

impl FromStr for CriEndpoint {
    type Err = CriEndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix://") {
            Some(path) if path.starts_with('/') && path.len() > 1 => Ok(Self(path.into())),
            Some(_) | None => Err(CriEndpointError(text.to_owned())),
        }
    }
}

impl fmt::Display for CriEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "unix://{}", self.0.display())
    }
}

/// What the core asks.
pub(super) struct Requests {
    /// Containers by id.
    pub(super) lookups: mpsc::Receiver<String>,
    /// Containers that have ended.
    pub(super) ends: mpsc::Receiver<EndLookup>,
}

/// Starts a keeper for each endpoint, and the lookups.
pub(super) fn spawn(
    settings: Settings,
    requests: Requests,
    facts: &mpsc::Sender<Fact>,
    tasks: &mut JoinSet<()>,
) {
    let runtimes: Arc<[Arc<Runtime>]> =
        settings.cri_endpoints.iter().map(|endpoint| Arc::new(Runtime::new(endpoint.clone()))).collect();
    let sources = Arc::new(Sources::new(settings.cri_endpoints, settings.cri_endpoints_given, facts.clone()));
    if runtimes.is_empty() {
        // Nobody else would say so.
        let sources = Arc::clone(&sources);
        tasks.spawn(async move { sources.report_nowhere().await });
    }
    for (index, runtime) in runtimes.iter().enumerate() {
        tasks.spawn(runtime::keep(Arc::clone(runtime), index, Arc::clone(&sources), facts.clone()));
    }
    tasks.spawn(lookup::serve(Arc::clone(&runtimes), requests.lookups, facts.clone()));
    tasks.spawn(ends::serve(runtimes, requests.ends, facts.clone()));
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
