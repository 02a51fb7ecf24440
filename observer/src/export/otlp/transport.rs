//! One request to a receiver, by gRPC or HTTP, and what its answer means.

mod answer;
mod grpc;
mod http;
mod tls;

use std::path::PathBuf;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, Uri, header};
use bytes::Bytes;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::body::Body;

pub(super) use self::answer::Answer;

/// An answer is no longer: it holds a number and a message.
const MOST_ANSWER: usize = 64 << 10;
/// A receiver that does not answer on an idle connection for so long is gone.
const KEEP_ALIVE: Duration = Duration::from_secs(20);

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Signal {
    Metrics,
    Logs,
    Traces,
}

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Grpc,
    Http,
}

/// A receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// Where; of HTTP the part before `/v1/traces`.
    pub(super) endpoint: Uri,
    pub(super) protocol: Protocol,
    pub(super) gzip: bool,
    /// A request takes no longer.
    pub(super) timeout: Duration,
    pub(super) tls: Tls,
}

/// What a receiver is trusted by, and we by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tls {
    /// Who signs receivers' certificates; `None`: whom the system trusts.
    pub(super) ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
    /// The name in the receiver's certificate, where it is not the endpoint's.
    pub(super) server_name: Option<String>,
}

type Connector = HttpsConnector<HttpConnector>;

/// A connection to a receiver, made when it is needed. What goes wrong with one is over with a new one of these.
pub(super) struct Transport {
    client: Client<Connector, Body>,
    destination: Destination,
    headers: HeaderMap,
    secrets: Vec<String>,
}

impl Signal {
    pub(super) const ALL: [Self; 3] = [Self::Metrics, Self::Logs, Self::Traces];

    /// In one word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Traces => "traces",
        }
    }
}

impl Transport {
    /// Reads the files of certificates. The error says what is wrong with them. What is in `headers` and called sensitive is
    /// told nowhere, not even where the receiver repeats it.
    pub(super) fn new(destination: Destination, mut headers: HeaderMap) -> Result<Self, String> {
        let secrets = secrets(&headers);
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("observer/", env!("CARGO_PKG_VERSION"))));
        let connector = connector(&destination)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_only(destination.protocol == Protocol::Grpc)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { client, destination, headers, secrets })
    }

    /// Sends one request of so many items.
    pub(super) async fn send(&self, signal: Signal, request: Bytes) -> Answer {
        let timeout = self.destination.timeout;
        let sending = async {
            match self.destination.protocol {
                Protocol::Grpc => self.call(signal, request).await,
                Protocol::Http => self.post(signal, request).await,
            }
        };
        let answer = tokio::time::timeout(timeout, sending).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            Answer::later(format!("no answer within {}", crate::units::duration(timeout.as_nanos() as u64)))
        });
        answer.without(&self.secrets)
    }
}

/// What of headers must not be seen: each value that is marked, and each word of it (`Bearer TOKEN`).
fn secrets(headers: &HeaderMap) -> Vec<String> {
    let values = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    let mut secrets: Vec<String> = values
        .flat_map(|value| std::iter::once(value).chain(value.split_whitespace()))
        .filter(|word| word.len() >= SHORTEST_SECRET)
        .map(str::to_owned)
        .collect();
    // The whole before its parts.
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.dedup();
    secrets
}

/// What is shorter is no secret, and cannot be told from a common word.
const SHORTEST_SECRET: usize = 4;

fn connector(destination: &Destination) -> Result<Connector, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(destination.timeout));
    let builder =
        HttpsConnectorBuilder::new().with_tls_config(tls::config(destination)?).https_or_http();
    let builder = match &destination.tls.server_name {
        Some(name) => {
            let fixed = ServerName::try_from(name.clone())
                .map_err(|error| format!("{name:?} is no name of a host: {error}"))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(fixed))
        }
        None => builder,
    };
    Ok(match destination.protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(http),
        Protocol::Http => builder.enable_http1().wrap_connector(http),
    })
}

/// An error with what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_words = cause.to_string();
        if !words.contains(&cause_words) {
            words = format!("{words}: {cause_words}");
        }
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests;
