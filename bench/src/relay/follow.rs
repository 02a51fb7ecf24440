//! Clients of the relay and of simulated nodes. They read what they count and no more, as they share the processors.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use observer_proto::v1::{Lost, NodeStatus, WatchEventsRequest};
use observer_tests::authority::{Authority, Signed};
use observer_tests::channel;
use prost_types::Timestamp;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tonic::Request;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::nodes::address;
use super::tally::Tally;

const METHOD: &str = "/observer.v1.Observer/WatchEvents";
/// The name in the nodes' certificate.
pub(super) const NAME: &str = "observer.test";

/// What is read of a `WatchEventsResponse`: at most one of its payload's fields is set.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Told {
    #[prost(message, optional, tag = "1")]
    pub(super) event: Option<Happened>,
    #[prost(message, optional, tag = "2")]
    pub(super) lost: Option<Lost>,
    #[prost(message, optional, tag = "3")]
    pub(super) status: Option<NodeStatus>,
    #[prost(string, tag = "4")]
    pub(super) node_name: String,
}

/// What is read of an `Event`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Happened {
    #[prost(uint64, tag = "1")]
    pub(super) sequence: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) time: Option<Timestamp>,
}

/// A client, or several that are counted together. Dropping it ends it.
pub(super) struct Follower {
    tally: Arc<Mutex<Tally>>,
    tasks: Vec<AbortHandle>,
}

impl Follower {
    /// Follows the relay at a socket.
    pub(super) async fn of_relay(socket: &Path) -> Result<Self> {
        let mut follower = Self { tally: Arc::default(), tasks: Vec::new() };
        follower.follow(channel(socket).await?).await?;
        Ok(follower)
    }

    /// Follows these nodes without a relay.
    pub(super) async fn of_nodes(
        authority: &Authority,
        own: &Signed,
        numbers: impl Iterator<Item = usize>,
    ) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&authority.ca)?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(&own.cert)?],
                PrivateKeyDer::from_pem_file(&own.key)?,
            )?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsConnector::from(Arc::new(config));
        let mut follower = Self { tally: Arc::default(), tasks: Vec::new() };
        for number in numbers {
            let tls = tls.clone();
            let connector = tower::service_fn(move |_uri| {
                let tls = tls.clone();
                async move {
                    let stream = TcpStream::connect(address(number)).await?;
                    stream.set_nodelay(true)?;
                    let name = ServerName::try_from(NAME).map_err(std::io::Error::other)?;
                    tls.connect(name, stream).await.map(TokioIo::new)
                }
            });
            let endpoint = Endpoint::from_static("http://observer");
            follower.follow(endpoint.connect_with_connector(connector).await?).await?;
        }
        Ok(follower)
    }

    async fn follow(&mut self, channel: Channel) -> Result<()> {
        let mut client = tonic::client::Grpc::new(channel);
        client.ready().await?;
        let request = Request::new(WatchEventsRequest { follow: true, ..WatchEventsRequest::default() });
        let codec = ProstCodec::<WatchEventsRequest, Told>::default();
        let path = PathAndQuery::from_static(METHOD);
        let mut stream = client.server_streaming(request, path, codec).await?.into_inner();
        let tally = Arc::clone(&self.tally);
        let task = tokio::spawn(async move {
            loop {
                let why = match stream.message().await {
                    Ok(Some(told)) => {
                        lock(&tally).take(told);
                        continue;
                    }
                    Ok(None) => "a stream has ended".to_owned(),
                    Err(status) => status.to_string(),
                };
                lock(&tally).ended = Some(why);
                return;
            }
        });
        self.tasks.push(task.abort_handle());
        Ok(())
    }

    /// What it was told.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    /// Waits until it was told that so many nodes are connected; how long that took.
    pub(super) async fn wait_connected(&self, count: usize, patience: Duration) -> Result<Duration> {
        let began = Instant::now();
        loop {
            let connected = self.tally().connected();
            if connected == count {
                return Ok(began.elapsed());
            }
            let still = (began.elapsed() < patience).then_some(());
            still.with_context(|| format!("a stream has told of {connected} of {count} nodes alone"))?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}
