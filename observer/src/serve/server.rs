//! The gRPC server: the sockets, the service with health and reflection, and an orderly end.

mod connections;
mod door;
#[cfg(test)]
mod fuzzed;
mod greeting;
mod requests;
mod security;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod unread;
mod visit;

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use observer_proto::served::incidents_server::IncidentsServer;
use observer_proto::served::observer_server::ObserverServer;
use observer_proto::v1::FILE_DESCRIPTOR_SET;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::service::Routes;
use tonic_health::ServingStatus;

use self::connections::Site;
pub(crate) use self::requests::LONGEST_REQUEST_BYTES;
use self::security::Security;
pub(crate) use self::security::SecurityFiles;
use self::socket::{BACKLOG, Socket};
pub(crate) use self::tls::{TlsError, TlsFiles};
use super::Service;
use super::access::{ClientLimits, Clients, RulesError};
use crate::credentials::Stamps;

/// The longest request of the standard services: a name.
const LONGEST_NAME_BYTES: usize = 4 * 1024;
/// The longest answer.
pub(crate) const LONGEST_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Clients of a listener at a time. Each listener has places of its own, so that those who come by TCP cannot take those of
/// the unix socket.
const CLIENTS: usize = 512;
/// Files that the daemon may have open, if it is left to it.
const FILES: u64 = 65_536;
/// At the end, clients that do not let go are left after this.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why the server cannot listen or serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("another daemon is listening on {}", .0.display())]
    Taken(PathBuf),
    #[error("{} is there and is not a socket; remove it or listen elsewhere", .0.display())]
    NotASocket(PathBuf),
    #[error("the folder of {} is read-only; in a pod, mount a folder of the node there", .0.display())]
    ReadOnly(PathBuf),
    #[error("listen on unix://{}", path.display())]
    Unix { path: PathBuf, source: io::Error },
    #[error("listen on {address}")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("{0} is not a loopback address, and plain text is for loopback only")]
    NotLoopback(SocketAddr),
    #[error("{0} needs TLS, and no certificates are given: set tls-cert, tls-key and tls-client-ca")]
    NoCertificates(SocketAddr),
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("offer reflection")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// The sockets, open and not yet served, so that a daemon finds out before it begins that another one
/// is there. A unix socket is removed when this or its server is dropped.
#[derive(Debug)]
pub(crate) struct Listeners {
    unix: Vec<Socket>,
    loopback: Vec<TcpListener>,
    secured: Vec<TcpListener>,
    files: SecurityFiles,
    /// What they say, and which versions of them.
    security: (Security, Stamps),
}

impl Listeners {
    /// Lets those in who may, as these files say.
    pub(crate) fn new(files: SecurityFiles) -> Result<Self, ServeError> {
        let security = files.read()?;
        Ok(Self { unix: Vec::new(), loopback: Vec::new(), secured: Vec::new(), files, security })
    }

    /// Listens on a unix socket, that only its owner may open where no rule is for others.
    pub(crate) fn unix(&mut self, path: &Path) -> Result<(), ServeError> {
        self.unix.push(Socket::bind(path, self.files.access.is_some())?);
        Ok(())
    }

    /// Listens for plain text, therefore on a loopback address alone. Returns where (port 0 is any).
    pub(crate) fn loopback(&mut self, address: SocketAddr) -> Result<SocketAddr, ServeError> {
        if !address.ip().is_loopback() {
            return Err(ServeError::NotLoopback(address));
        }
        listen(address, &mut self.loopback)
    }

    /// Listens for TLS with certificates on both sides. Returns where (port 0 is any).
    pub(crate) fn secured(&mut self, address: SocketAddr) -> Result<SocketAddr, ServeError> {
        if self.security.0.tls.is_none() {
            return Err(ServeError::NoCertificates(address));
        }
        listen(address, &mut self.secured)
    }

    /// Serves the two services of these routes until `shutdown` is done, then ends in order: health says so, no new call is taken, and
    /// open ones have a moment to end. The event loop ends its streams by `Subscribers::stop`.
    pub(crate) async fn serve(
        self,
        routes: Routes,
        limits: ClientLimits,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), ServeError> {
        let Self { unix, loopback, secured, files, security: (security, known) } = self;
        let (health, health_service) = tonic_health::server::health_reporter();
        let health_service = health_service.max_decoding_message_size(LONGEST_NAME_BYTES);
        health.set_serving::<ObserverServer<Service>>().await;
        health.set_serving::<IncidentsServer<Service>>().await;
        let routes = reflected(routes)?.add_service(health_service).prepare();
        let (stop, stopping) = watch::channel(false);
        let (changes, security) = watch::channel(Arc::new(security));
        let following = tokio::spawn(files.follow(known, changes));
        let most = places(unix.len() + loopback.len() + secured.len());
        let site = Site { routes, security, clients: Clients::new(limits), most, stopping };
        let mut servers = JoinSet::new();
        for socket in &unix {
            let failed = |source| ServeError::Unix { path: socket.path().to_owned(), source };
            let incoming = UnixListenerStream::new(socket.listener().map_err(failed)?);
            servers.spawn(connections::serve(door::Unix, incoming, site.clone()));
        }
        for listener in loopback {
            servers.spawn(connections::serve(door::Loopback, incoming(listener)?, site.clone()));
        }
        for listener in secured {
            servers.spawn(connections::serve(door::Secured, incoming(listener)?, site.clone()));
        }
        shutdown.await;
        health.set_not_serving::<ObserverServer<Service>>().await;
        health.set_not_serving::<IncidentsServer<Service>>().await;
        // The empty name is the whole server.
        health.set_service_status("", ServingStatus::NotServing).await;
        stop.send_replace(true);
        let all = async { while servers.join_next().await.is_some() {} };
        if tokio::time::timeout(FAREWELL, all).await.is_err() {
            log::info!("left clients that did not let go within {} s", FAREWELL.as_secs());
        }
        following.abort();
        drop(unix);
        Ok(())
    }
}

/// Serves one client that is connected already, a process of the same user, until it goes.
pub(crate) async fn serve_one(service: Service, client: UnixStream) {
    let Ok(routes) = reflected(service.routes()) else { return };
    let Ok((security, _)) = SecurityFiles::default().read() else { return };
    let (_never, stopping) = watch::channel(false);
    let (_same, security) = watch::channel(Arc::new(security));
    let clients = Clients::new(ClientLimits::default());
    let site = Site { routes: routes.prepare(), security, clients, most: 4, stopping };
    let incoming = tokio_stream::once(Ok(client)).chain(tokio_stream::pending());
    connections::serve(door::Unix, incoming, site).await;
}

/// Listens at an address, for one of these lists.
fn listen(address: SocketAddr, list: &mut Vec<TcpListener>) -> Result<SocketAddr, ServeError> {
    let failed = |source| ServeError::Tcp { address, source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    // It does already, with 128.
    rustix::net::listen(&listener, BACKLOG).map_err(|error| failed(error.into()))?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    list.push(listener);
    Ok(bound)
}

fn incoming(listener: TcpListener) -> Result<TcpListenerStream, ServeError> {
    let address = listener.local_addr().unwrap_or_else(|_unknown| SocketAddr::from(([127, 0, 0, 1], 0)));
    tokio::net::TcpListener::from_std(listener)
        .map_err(|source| ServeError::Tcp { address, source })
        .map(TcpListenerStream::new)
}

/// With reflection, both versions: older clients (grpcio's for Python) know v1alpha only.
fn reflected(routes: Routes) -> Result<Routes, ServeError> {
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let (v1, v1alpha) = (reflection().build_v1()?, reflection().build_v1alpha()?);
    Ok(routes
        .add_service(v1.max_decoding_message_size(LONGEST_NAME_BYTES))
        .add_service(v1alpha.max_decoding_message_size(LONGEST_NAME_BYTES)))
}

/// How many clients each of so many listeners may have: with all of them, and half as many who have yet to speak, more than
/// half of the files that the daemon may have open are left for the rest of it. Takes as many files as it may have, since
/// shells and systemd give 1,024 only.
fn places(listeners: usize) -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.map_or(FILES, |maximum| maximum.min(FILES));
    let files = match current {
        Some(current) if current < wanted => {
            let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
            if raised.is_ok() { wanted } else { current }
        }
        current => current.unwrap_or(u64::MAX),
    };
    let each = files / 4 / listeners.max(1) as u64;
    usize::try_from(each).map_or(CLIENTS, |each| each.min(CLIENTS))
}
