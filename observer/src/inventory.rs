//! Facts about the node: what its containers are called, which addresses are whose, what runs already.
//!
//! [`start`] makes the tasks that ask (the container runtimes over CRI, the Kubernetes API, the machine's interfaces) and
//! send [`Fact`]s. [`cgroups`] and [`processes`] are read on demand and block for as long as that takes.

pub(crate) mod cgroups;
pub(crate) mod cluster;
pub(crate) mod conntrack;
pub(crate) mod cri;
pub(crate) mod engines;
pub(crate) mod host;
pub(crate) mod kubernetes;
pub(crate) mod netns;
pub(crate) mod overflows;
pub(crate) mod processes;
pub(crate) mod surroundings;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(crate) use cluster::ClusterFact;
pub(crate) use conntrack::{Translated, TranslationQuery};
pub(crate) use cri::CriEndpoint;
pub(crate) use engines::{EngineFact, Folders};

use crate::event::{ConnectionId, RuntimeEnd, WallTime};
use crate::status::IdentitySource;

/// Container ids that may wait to be looked up, and as many ends.
const LOOKUP_QUEUE: usize = 4096;
/// How often the machine's own addresses are read.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(10);

/// A fact about the node. The same one may be told again; the newest counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// What a runtime says of a container or of a pod's sandbox.
    Container(ContainerFact),
    /// What an engine's files say of a container that is in no pod.
    Engine(EngineFact),
    /// No runtime knows that id, or none answers. Should one know it later, a `Container` follows.
    Unknown {
        /// The id that was looked up.
        container_id: String,
    },
    /// What a runtime says of a container's end.
    Ended(EndFact),
    /// No runtime can say how that container ended. Should one be able to later, an `Ended` follows.
    NoEnd {
        /// The id that was asked for.
        container_id: String,
    },
    /// A pod's sandbox was removed or is not ready any more: its addresses no longer belong to it.
    PodGone {
        /// The sandbox's container id.
        sandbox_id: String,
    },
    /// Where a connection goes that was asked for.
    Translation {
        /// Which one.
        id: ConnectionId,
        /// The answer.
        answer: Translated,
    },
    /// This machine's own addresses, without loopback: all of them, sorted.
    HostAddresses(Vec<IpAddr>),
    /// The health of sources: all that are kept under that name.
    Sources(&'static str, Vec<IdentitySource>),
    /// What the Kubernetes API tells.
    Cluster(ClusterFact),
    /// Every runtime has told whom it has, or does not answer. Told once.
    Surveyed,
}

/// A container as its runtime knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContainerFact {
    /// The full id.
    pub(crate) container_id: String,
    /// It is the pod's own container, which holds its namespaces.
    pub(crate) sandbox: bool,
    /// The name within the pod; empty for a sandbox.
    pub(crate) name: String,
    /// The image by name where the runtime tells it, else by id; empty for a sandbox.
    pub(crate) image: String,
    /// Restarts before this run of the container; `None` for a sandbox.
    pub(crate) attempt: Option<u32>,
    /// Its pod.
    pub(crate) pod: Arc<PodFact>,
}

/// The end of a container as its runtime knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndFact {
    /// The full id.
    pub(crate) container_id: String,
    /// How it ended.
    pub(crate) end: RuntimeEnd,
}

/// A container that has ended, to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndLookup {
    /// The full id.
    pub(crate) container_id: String,
    /// The OOM killer ended it: runtimes hear of that before or after the end.
    pub(crate) oom_killed: bool,
}

/// A pod as its runtime knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodFact {
    /// The UID that Kubernetes gave it.
    pub(crate) uid: String,
    /// Its namespace in Kubernetes.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
    /// Its sandbox's container id.
    pub(crate) sandbox_id: String,
    /// Its labels, less those that only repeat the fields above.
    pub(crate) labels: BTreeMap<String, String>,
    /// Its own addresses; none on the host's network, and none when it is not ready.
    pub(crate) addresses: Vec<IpAddr>,
    /// It uses the host's network.
    pub(crate) host_network: bool,
    /// When its sandbox was made.
    pub(crate) created: Option<WallTime>,
    /// Its sandbox is up.
    pub(crate) ready: bool,
}

/// What [`start`] needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Where runtimes may be found.
    pub(crate) cri_endpoints: Vec<CriEndpoint>,
    /// Somebody named these endpoints, so that each one that is absent is worth a word. Of the usual
    /// places most are always absent.
    pub(crate) cri_endpoints_given: bool,
    /// Where engines keep their files.
    pub(crate) container_folders: Folders,
    /// The kernel's connection tracking is asked where connections go.
    pub(crate) conntrack: bool,
    /// Other network namespaces than this process's are entered.
    pub(crate) enter_namespaces: bool,
    /// The Kubernetes API, where it is to be asked.
    pub(crate) kubernetes: Option<kubernetes::Settings>,
}

/// The running tasks; they stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Handle {
    lookups: mpsc::Sender<String>,
    end_lookups: mpsc::Sender<EndLookup>,
    engines: mpsc::Sender<String>,
    translations: Option<conntrack::Queries>,
    asks_cluster: bool,
    _tasks: JoinSet<()>,
}

impl Handle {
    /// Asks the runtimes for a container. The answer is a [`Fact::Container`] or [`Fact::Unknown`].
    /// False where too many are being asked for already; such a one gets no answer.
    pub(crate) fn lookup(&self, container_id: &str) -> bool {
        self.lookups.try_send(container_id.to_owned()).is_ok()
    }

    /// Asks the runtimes how a container ended. The answer is a [`Fact::Ended`], maybe a second one, or a
    /// [`Fact::NoEnd`]. False where too many are being asked for already; such a one gets no answer.
    pub(crate) fn look_up_end(&self, lookup: EndLookup) -> bool {
        self.end_lookups.try_send(lookup).is_ok()
    }

    /// The same for a container that is in no pod, as far as its cgroup tells: the engines' files are looked at first.
    pub(crate) fn lookup_alone(&self, container_id: &str) -> bool {
        self.engines.try_send(container_id.to_owned()).is_ok()
    }

    /// Asks where a connection goes. The answer is a [`Fact::Translation`]; false where there will be none.
    pub(crate) fn translate(&self, query: TranslationQuery) -> bool {
        self.translations.as_ref().is_some_and(|queries| queries.try_send(query).is_ok())
    }

    /// The Kubernetes API is asked for the cluster's objects: each kind of them is [listed](ClusterFact::Listed).
    pub(crate) const fn asks_cluster(&self) -> bool {
        self.asks_cluster
    }
}

/// Starts the tasks on the current tokio runtime.
pub(crate) fn start(settings: Settings, facts: mpsc::Sender<Fact>) -> Handle {
    let (lookups, requests) = mpsc::channel(LOOKUP_QUEUE);
    let (end_lookups, ends) = mpsc::channel(LOOKUP_QUEUE);
    let (engines, engine_requests) = mpsc::channel(LOOKUP_QUEUE);
    let mut tasks = JoinSet::new();
    let asks_cluster = settings.kubernetes.is_some();
    if let Some(kubernetes) = settings.kubernetes.clone() {
        kubernetes::spawn(kubernetes, &facts, &mut tasks);
    }
    let folders = settings.container_folders.clone();
    let translations = settings.conntrack.then(|| conntrack::start(facts.clone(), settings.enter_namespaces));
    engines::spawn(folders, engine_requests, lookups.clone(), facts.clone(), &mut tasks);
    cri::spawn(settings, cri::Requests { lookups: requests, ends }, &facts, &mut tasks);
    tasks.spawn(watch_addresses(facts));
    Handle { lookups, end_lookups, engines, translations, asks_cluster, _tasks: tasks }
}

/// Sends the machine's addresses, at once and then whenever they changed.
async fn watch_addresses(facts: mpsc::Sender<Fact>) {
    let mut told = None;
    let mut ticks = tokio::time::interval(ADDRESS_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match tokio::task::spawn_blocking(host::addresses).await {
            Ok(Ok(addresses)) => {
                if told.as_ref() != Some(&addresses) {
                    told = Some(addresses.clone());
                    if facts.send(Fact::HostAddresses(addresses)).await.is_err() {
                        return;
                    }
                }
            }
            Ok(Err(error)) => log::warn!("the machine's addresses: {error}"),
            Err(error) => log::warn!("the machine's addresses: {error}"),
        }
    }
}
