//! The daemon: its parts put together in reading order, from the first check to the last goodbye.

mod adopt;
mod core;
mod input;
mod keeper;
pub(crate) mod memory;
mod seed;

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::config::{Access, Certificates, Config, CriEndpoints, KubernetesApi, Listen};
use crate::event::Now;
use crate::export::{self, Bound, HttpError, Link};
use crate::inventory::kubernetes::{self, ApiAccess};
use crate::inventory::{self, CriEndpoint, cgroups, host, surroundings};
use crate::privileges::{Privileges, PrivilegesError, Wants};
use crate::probe::{Features, FeaturesError, Loaded, ProbeError, RingSizes};
use crate::record::{self, Recorder};
use crate::room::Room;
use crate::serve::{Book, ClientLimits, Listeners, Request, SecurityFiles, ServeError, Service, TlsFiles};
use crate::status::{Capability, Missing};

use self::core::{Core, Parts};
use self::input::Inputs;

/// Calls of clients that may wait for the event loop.
const REQUESTS_QUEUED: usize = 256;
/// Facts that may wait for the event loop.
const FACTS_QUEUED: usize = 1024;
/// Threads that serve clients; the event loop has one of its own.
const SERVING_THREADS: usize = 2;
/// How long the server may take to say goodbye to its clients.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// Capabilities are missing.
    #[error("cannot load probes: this process lacks {missing}; run it as root, or grant these capabilities")]
    Privileges {
        /// Their names.
        missing: String,
    },
    /// Privileges could not be given up.
    #[error(transparent)]
    Drop(#[from] PrivilegesError),
    /// The kernel cannot be examined.
    #[error(transparent)]
    Features(#[from] FeaturesError),
    /// The probes cannot be loaded.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// It cannot listen.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// It cannot serve HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// An address of a runtime is none.
    #[error("a container runtime's address is not usable: {0}")]
    Endpoint(String),
    /// The system refused threads, signals or descriptors.
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(config: &Config) -> Result<(), DaemonError> {
    let started = host::now();
    memory::limit();
    start_logging(config.log);
    // First the socket: a second daemon must not touch the kernel at all.
    let listeners = listen(config)?;
    let bound = config.http_listen.map(|address| Bound::new(address, &config.exporters.http)).transpose()?;
    let mut privileges = Privileges::begin(wants(config))?;
    let missing = privileges.missing_for_loading();
    if !missing.is_empty() {
        return Err(DaemonError::Privileges { missing: missing.join(" and ") });
    }
    for Capability { name, missing } in surroundings::hidden(config.kubernetes == KubernetesApi::Auto) {
        let Some(Missing { reason, consequence, remedy }) = missing else { continue };
        log::warn!("{name} is missing: {reason}: {consequence}; to do: {remedy}");
    }
    let features = Features::examine(&host::kernel_release())?;
    let sizes = RingSizes { process: config.process_ring_bytes, network: config.network_ring_bytes };
    let dns = config.dns.then(cgroups::root);
    let mut loaded =
        Loaded::load(&features, sizes, config.event_budget, &config.disabled_hooks, dns.as_deref())?;
    // While there is no other thread: those that loaded have ended.
    privileges.loaded(|| loaded.try_reading())?;
    memory::release();
    for refused in &loaded.refused {
        // What a kernel does not have for debugging sessions is told where somebody asks: it is nothing to act on at each start.
        let level = if refused.is_for_sessions() { log::Level::Debug } else { log::Level::Warn };
        log::log!(level, "{} is not attached: {}", refused.program, refused.reason);
    }
    let attach_duration_ns = host::now().boot.since_ns(started.boot);
    log::info!("probes attached after {} ms", attach_duration_ns / 1_000_000);

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SERVING_THREADS)
        .enable_all()
        .build()
        .map_err(DaemonError::Runtime)?;
    let inventory = inventory_settings(config)?;
    let recorder = start_recorder(config, started)?;
    let result = runtime.block_on(async {
        let (requests_sender, requests) = mpsc::channel(REQUESTS_QUEUED);
        let (facts_sender, facts) = mpsc::channel(FACTS_QUEUED);
        let handle = inventory::start(inventory, facts_sender);
        let stop = stop_signal()?;
        let book = Book::default();
        let parts = Parts {
            config,
            features: &features,
            loaded,
            privileges: privileges.capabilities(),
            inventory: handle,
            book: book.clone(),
            started,
            attach_duration_ns,
        };
        let reader = recorder.as_ref().map(Recorder::reader);
        let mut core = Core::new(parts)?;
        core.record(recorder).map_err(DaemonError::Runtime)?;
        core.seed();
        memory::release();

        let link = link(config, started, &requests_sender, &book, core.memory.room());
        let exporting = export::start(&config.exporters, bound, &link, &core.exporters);
        let (goodbye, farewell) = oneshot::channel::<()>();
        let service = Service::new(serve_settings(config, started), requests_sender)
            .recorded(reader)
            .with_incidents(book);
        let server = tokio::spawn(listeners.serve(service.routes(), client_limits(config), async {
            let _told_or_gone = farewell.await.is_ok();
        }));
        core.run(&mut Inputs::new(stop, requests, facts)).await;
        // The probes go first, then the clients.
        drop(core);
        let _still_there = goodbye.send(()).is_ok();
        let (ended, ()) = tokio::join!(tokio::time::timeout(FAREWELL, server), exporting.finish());
        match ended {
            Ok(Ok(result)) => result.map_err(DaemonError::from),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// Starts the flight recorder, where it is wanted. Its thread comes after privileges were given up: they are a thread's own.
fn start_recorder(config: &Config, started: Now) -> Result<Option<Recorder>, DaemonError> {
    let Some(folder) = config.record_dir.clone() else { return Ok(None) };
    let limits = record::Limits { bytes: config.record_bytes, age_ns: config.record_age.as_nanos() as u64 };
    let settings = record::Settings { folder, limits, start: started.wall, disk: record::Disk::Real };
    Recorder::start(settings).map(Some).map_err(DaemonError::Runtime)
}

/// What needs privileges.
fn wants(config: &Config) -> Wants {
    Wants { conntrack: config.conntrack, dns: config.dns, enter_namespaces: config.enter_namespaces }
}

/// Logs from that level on, to the standard error.
pub(crate) fn start_logging(level: log::LevelFilter) {
    // What goes wrong with the Kubernetes API is told in the status; its client's own words would repeat it.
    let started = env_logger::Builder::new()
        .filter_level(level)
        .filter_module("kube_client", log::LevelFilter::Off)
        // Whoever may connect could fill the log with its warnings.
        .filter_module("h2", log::LevelFilter::Error)
        .try_init();
    if started.is_err() {
        log::debug!("somebody logs already");
    }
}

fn listen(config: &Config) -> Result<Listeners, ServeError> {
    let Access { file, tls } = config.access.clone();
    let tls = tls.map(|Certificates { cert, key, client_ca, client_crl }| TlsFiles {
        cert,
        key,
        client_ca,
        client_crl,
    });
    let mut listeners = Listeners::new(SecurityFiles { access: file, tls })?;
    for address in &config.listen {
        match address {
            Listen::Unix(path) => listeners.unix(path)?,
            Listen::Loopback(address) => {
                let bound = listeners.loopback(*address)?;
                log::info!("every user of this machine may connect to {bound}");
            }
            Listen::Secured(address) => {
                let bound = listeners.secured(*address)?;
                log::info!("clients with certificates may connect to {bound}");
            }
        }
    }
    Ok(listeners)
}

fn inventory_settings(config: &Config) -> Result<inventory::Settings, DaemonError> {
    let (paths, given) = match &config.cri_endpoints {
        CriEndpoints::Off => (&[][..], true),
        CriEndpoints::Usual(paths) => (paths.as_slice(), false),
        CriEndpoints::Given(paths) => (paths.as_slice(), true),
    };
    let cri_endpoints = paths
        .iter()
        .map(|path| format!("unix://{}", path.display()).parse::<CriEndpoint>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| DaemonError::Endpoint(error.to_string()))?;
    let container_folders = match &config.container_folders {
        Some(folders) => inventory::Folders::Given(folders.clone()),
        None => inventory::Folders::Usual,
    };
    let access = match &config.kubernetes {
        KubernetesApi::Off => None,
        KubernetesApi::Auto => ApiAccess::find(),
        KubernetesApi::Kubeconfig(path) => Some(ApiAccess::Kubeconfig(path.clone())),
    };
    let kubernetes =
        access.map(|access| kubernetes::Settings { access, node_name: config.node_name.clone() });
    Ok(inventory::Settings {
        cri_endpoints,
        cri_endpoints_given: given,
        container_folders,
        conntrack: config.conntrack,
        enter_namespaces: config.enter_namespaces,
        kubernetes,
    })
}

fn serve_settings(config: &Config, started: Now) -> crate::serve::Settings {
    crate::serve::Settings {
        start_time: started.wall,
        window: config.window,
        queue_capacity: config.subscriber_queue,
        queue_bytes: config.subscriber_queue_bytes,
        ..crate::serve::Settings::new(config.node_name.clone())
    }
}

/// The daemon as exporters reach it.
fn link(config: &Config, started: Now, requests: &mpsc::Sender<Request>, book: &Book, room: Room) -> Link {
    Link {
        requests: requests.clone(),
        book: book.clone(),
        node_name: config.node_name.as_str().into(),
        start_time: started.wall,
        window: config.window,
        queue: (config.subscriber_queue, config.subscriber_queue_bytes),
        streams: Arc::default(),
        room,
        stopping: CancellationToken::new(),
    }
}

fn client_limits(config: &Config) -> ClientLimits {
    ClientLimits { streams: config.max_client_streams, calls_a_second: config.max_client_calls }
}

/// Ends with the first SIGTERM or SIGINT.
fn stop_signal() -> Result<oneshot::Receiver<()>, DaemonError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Runtime)?;
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _core_is_there = sender.send(()).is_ok();
    });
    Ok(receiver)
}
