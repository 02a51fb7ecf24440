//! The HTTP server: /metrics for Prometheus, /healthz and /readyz for whoever watches over the daemon.

mod answer;
mod busy;
#[cfg(test)]
mod churn;
mod connections;
mod negotiation;
mod ready;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use self::answer::Answers;
use self::connections::Connections;
use self::tls::Certificates;
pub(crate) use self::tls::{HttpFiles, HttpTlsError};
use super::metrics::keeper::Kept;
use super::metrics::settings::Settings;
use super::{Running, State};
use crate::config::exporters::Http;

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("listen on {address} (http_listen)")]
    Listen { address: SocketAddr, source: io::Error },
    #[error(
        "{0} is not a loopback address: http_listen needs tls_cert and tls_key in [http], or insecure = true there"
    )]
    NotLoopback(SocketAddr),
    #[error(transparent)]
    Tls(#[from] HttpTlsError),
}

/// A place to listen at, open and not served yet.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    certificates: Option<Certificates>,
}

impl Bound {
    /// Listens; in plain text on a loopback address alone, unless something else is wanted in so many words.
    pub(crate) fn new(address: SocketAddr, settings: &Http) -> Result<Self, HttpError> {
        let files = settings.files();
        if !address.ip().is_loopback() && files.is_none() && !settings.insecure {
            return Err(HttpError::NotLoopback(address));
        }
        let certificates = files.map(Certificates::read).transpose()?;
        let failed = |source| HttpError::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, certificates })
    }

    /// Where, as an address of the web.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/metrics", self.address)
    }
}

/// Starts it.
pub(super) fn start(bound: Bound, settings: &Settings, running: &mut Running) {
    let url = bound.url();
    log::info!("metrics are at {url}");
    let state = running.add(State::new("metrics", "metrics", url));
    let kept = Kept::new(settings, &running.link);
    let answers = Arc::new(Answers::new(kept.clone(), state.clone(), settings.native_histograms));
    let stopping = running.link.stopping.clone();
    // A backlog of windows is no short work: those who serve clients do not wait for it.
    running.on_thread(&state, kept.keep(state.clone()));
    let Bound { listener, certificates, .. } = bound;
    match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => {
            let connections = Connections::new(answers, certificates);
            running.tasks.spawn(connections.serve(listener, stopping));
        }
        Err(error) => drop(state.failed(&error)),
    }
}
