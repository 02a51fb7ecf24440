//! Where a simulated node is asked: by TLS with certificates of both sides, at an address of its own.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use observer_proto::v1::observer_server::ObserverServer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tonic::service::Routes;
use tower::Service as _;

use super::node::Node;
use super::service::Service;

/// Where daemons are asked.
const PORT: u16 = 4246;
/// By which metadata a daemon says that it heeded whom a call is for.
const CALLER: &str = "observer-caller-bin";
/// What may wait in a stream, as with a daemon.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// The files that TLS takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Files {
    /// The authority of both sides
    #[arg(long)]
    pub(crate) ca: PathBuf,
    /// The nodes' certificate
    #[arg(long)]
    pub(crate) cert: PathBuf,
    /// Its key
    #[arg(long)]
    pub(crate) key: PathBuf,
}

impl Files {
    /// What accepts TLS.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca)?)?;
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![CertificateDer::from_pem_file(&self.cert)?],
                PrivateKeyDer::from_pem_file(&self.key)?,
            )?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.send_tls13_tickets = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// A node's address.
pub(crate) fn address(number: usize) -> SocketAddr {
    let ip = Ipv4Addr::new(127, 87, (number / 250) as u8, (number % 250 + 1) as u8);
    SocketAddr::new(IpAddr::V4(ip), PORT)
}

/// Serves a node for as long as its door is open, and again when it opens again. Where it closes, all connections break.
pub(super) async fn serve(
    node: Arc<Node>,
    number: usize,
    tls: TlsAcceptor,
    mut open: watch::Receiver<bool>,
    mut listening: Option<tokio::sync::oneshot::Sender<()>>,
) -> Result<()> {
    let routes = Routes::new(ObserverServer::new(Service(node)))
        .add_service(tonic_health::server::health_reporter().1)
        .prepare();
    loop {
        open.wait_for(|open| *open).await?;
        let at = address(number);
        let listener = TcpListener::bind(at).await.with_context(|| format!("cannot listen at {at}"))?;
        if let Some(listening) = listening.take() {
            let _nobody_waits = listening.send(()).is_err();
        }
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let (stream, _) = accepted?;
                    connections.spawn(visit(stream, tls.clone(), routes.clone()));
                    while connections.try_join_next().is_some() {}
                }
                closed = open.wait_for(|open| !*open) => {
                    closed?;
                    break;
                }
            }
        }
        connections.shutdown().await;
    }
}

async fn visit(stream: TcpStream, tls: TlsAcceptor, routes: Routes) {
    let _no_matter = stream.set_nodelay(true).is_err();
    // Whoever goes away at once is none of a daemon's troubles.
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let heeded = request.headers().get(CALLER).cloned();
        let answer = routes.clone().call(request);
        async move {
            let mut answer = answer.await?;
            if let Some(heeded) = heeded {
                answer.headers_mut().insert(CALLER, heeded);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new()).max_send_buf_size(SEND_BUFFER_BYTES);
    let _ended =
        http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service)).await.is_err();
}
