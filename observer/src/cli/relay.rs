//! `observer relay`: answers for the daemons of many nodes.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use tokio::signal::unix::{SignalKind, signal};

use super::Usage;
use crate::client::{Server, Tls};
use crate::config::{self, Listen};
use crate::inventory::kubernetes::ApiAccess;
use crate::relay::find::{DnsName, ServiceName};
use crate::relay::{self, Settings, find};
use crate::serve::{ClientLimits, Listeners, SecurityFiles, TlsFiles};

/// The socket that it listens on unless told otherwise.
const DEFAULT_SOCKET: &str = "unix:///run/observer/relay.sock";

/// Flags of `observer relay`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Ask the daemon at this address: tls://host:port, or on this machine unix:///path and tcp://127.0.0.1:port; may be
    /// repeated
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = find::parse_node, help_heading = "Nodes")]
    node: Vec<Server>,
    /// Ask the daemons at all addresses of this name, by TLS: a headless Service of Kubernetes, say; may be repeated
    #[arg(long, value_name = "NAME:PORT", value_delimiter = ',', help_heading = "Nodes")]
    nodes_dns: Vec<DnsName>,
    /// Ask the daemons behind this Service, as the Kubernetes API names its endpoints, by TLS
    #[arg(long, value_name = "NAMESPACE/NAME[:PORT]", help_heading = "Nodes")]
    nodes_service: Option<ServiceName>,
    /// Ask the Kubernetes API as the service account of the relay's pod (auto), or as this kubeconfig file says
    #[arg(long, value_name = "auto|FILE", default_value = "auto", help_heading = "Nodes")]
    kubernetes: String,
    /// The authority that the daemons' certificates are of (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Nodes")]
    node_tls_ca: Option<PathBuf>,
    /// The relay's own certificate, which it shows to daemons (PEM). Their access files must let it ask for others
    /// (relay = true)
    #[arg(long, value_name = "FILE", help_heading = "Nodes")]
    node_tls_cert: Option<PathBuf>,
    /// The key of this certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Nodes")]
    node_tls_key: Option<PathBuf>,
    /// The name in the daemons' certificates, where that is not how they were found
    #[arg(long, value_name = "NAME", help_heading = "Nodes")]
    node_tls_name: Option<String>,
    /// Let a daemon take so long for the connection and for each first answer, 60s at the most
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = patience, help_heading = "Nodes")]
    node_timeout: Duration,
    /// Let an event wait so long for earlier ones of other nodes, 0s to 10s
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = merge_window, help_heading = "Nodes")]
    merge_window: Duration,
    /// Serve at unix:///path, at tls://address:port with certificates on both sides, or at tcp://127.0.0.1:port with
    /// --insecure-loopback; may be repeated [default: unix:///run/observer/relay.sock]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    listen: Vec<String>,
    /// Allow --listen tcp://: plain text, loopback only, every local user may connect
    #[arg(long)]
    insecure_loopback: bool,
    /// Who may see what, as the daemon's --access-file says: each daemon is asked for no more than that
    #[arg(long, value_name = "FILE")]
    access_file: Option<PathBuf>,
    /// The relay's certificate for tls://, in PEM. The files of certificates are read again when they change
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of this certificate, in PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// The authorities whose certificates clients must show, in PEM
    #[arg(long, value_name = "FILE")]
    tls_client_ca: Option<PathBuf>,
    /// What these authorities have revoked (CRL), in PEM
    #[arg(long, value_name = "FILE")]
    tls_client_crl: Option<PathBuf>,
    /// A client (user, certificate) may have so many streams at a time, 1 to 100000
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = streams())]
    max_client_streams: usize,
    /// A client may make so many calls in a second, 1 to 1000000
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    max_client_calls: u32,
    /// Log off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log: log::LevelFilter,
}

/// Serves until Ctrl-C or SIGTERM.
pub(super) fn serve(args: &Args) -> anyhow::Result<ExitCode> {
    crate::daemon::start_logging(args.log);
    let settings = Settings {
        sources: sources(args)?,
        tls: Tls {
            ca: args.node_tls_ca.clone(),
            cert: args.node_tls_cert.clone(),
            key: args.node_tls_key.clone(),
            server_name: args.node_tls_name.clone(),
        },
        patience: args.node_timeout,
        merge_window: args.merge_window,
    };
    let limits = ClientLimits { streams: args.max_client_streams, calls_a_second: args.max_client_calls };
    let listeners = listen(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let ended = async move {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminated.recv() => {}
            }
        };
        Ok::<_, anyhow::Error>(relay::serve(settings, listeners, limits, ended).await?)
    })?;
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(ExitCode::SUCCESS)
}

fn sources(args: &Args) -> Result<find::Settings, Usage> {
    let service = args.nodes_service.clone().map(|name| Ok::<_, Usage>((api(&args.kubernetes)?, name)));
    let sources = find::Settings {
        nodes: args.node.clone(),
        dns: args.nodes_dns.clone(),
        service: service.transpose()?,
    };
    if sources == find::Settings::default() {
        return Err(Usage(
            "no node is named: say where daemons are with --node, --nodes-dns or --nodes-service".to_owned(),
        ));
    }
    let files = [&args.node_tls_ca, &args.node_tls_cert, &args.node_tls_key];
    let listed = args.node.iter().any(|server| matches!(server, Server::Secured { .. }));
    let secured = listed || !sources.dns.is_empty() || sources.service.is_some();
    if secured && files.iter().any(|file| file.is_none()) {
        return Err(Usage(
            "daemons at tls:// are asked with --node-tls-ca, --node-tls-cert and --node-tls-key".to_owned(),
        ));
    }
    Ok(sources)
}

/// Where the Kubernetes API is.
fn api(text: &str) -> Result<ApiAccess, Usage> {
    const NOT_HERE: &str = "--nodes-service: this is no pod with a service account, and KUBECONFIG names no file: say \
                            where the API is with --kubernetes FILE";
    match text {
        "auto" => ApiAccess::find().ok_or_else(|| Usage(NOT_HERE.to_owned())),
        file => Ok(ApiAccess::Kubeconfig(file.into())),
    }
}

fn listen(args: &Args) -> anyhow::Result<Listeners> {
    let places = if args.listen.is_empty() { vec![DEFAULT_SOCKET.to_owned()] } else { args.listen.clone() };
    let places = config::listen_at(&places, args.insecure_loopback)?;
    let tls = match (&args.tls_cert, &args.tls_key, &args.tls_client_ca) {
        (Some(cert), Some(key), Some(client_ca)) => Some(TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
            client_ca: client_ca.clone(),
            client_crl: args.tls_client_crl.clone(),
        }),
        (None, None, None) => None,
        (..) => return Err(Usage("--tls-cert, --tls-key and --tls-client-ca go together".to_owned()).into()),
    };
    let mut listeners = Listeners::new(SecurityFiles { access: args.access_file.clone(), tls })?;
    for place in places {
        let bound = match place {
            Listen::Unix(path) => {
                listeners.unix(&path)?;
                format!("unix://{}", path.display())
            }
            Listen::Loopback(address) => format!("tcp://{}", listeners.loopback(address)?),
            Listen::Secured(address) => format!("tls://{}", listeners.secured(address)?),
        };
        log::info!("the relay listens on {bound}");
    }
    Ok(listeners)
}

/// As many as the daemon's own setting may say.
fn streams() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=100_000)
}

fn patience(text: &str) -> Result<Duration, &'static str> {
    let allowed = |length: &Duration| !length.is_zero() && *length <= Duration::from_mins(1);
    config::parse_duration(text).filter(allowed).ok_or("allowed are durations above 0, up to `60s`")
}

fn merge_window(text: &str) -> Result<Duration, &'static str> {
    let allowed = |length: &Duration| *length <= Duration::from_secs(10);
    config::parse_duration(text).filter(allowed).ok_or("allowed are durations from `0s` to `10s`")
}
