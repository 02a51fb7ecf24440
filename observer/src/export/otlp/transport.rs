//! One request to a receiver, by gRPC or HTTP, and what its answer means.

mod answer;
mod grpc;
mod http;
mod packed;
mod tls;

use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, header};
use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio_rustls::rustls::pki_types::ServerName;

pub(super) use self::answer::Answer;
pub(super) use self::packed::Packed;
use crate::config::exporters::{Protocol, Receiver};

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

type Connector = HttpsConnector<HttpConnector>;

/// A connection to a receiver, made when it is needed. What goes wrong with one is over with a new one of these.
pub(super) struct Transport {
    client: Client<Connector, Full<Bytes>>,
    receiver: Receiver,
    headers: HeaderMap,
    secrets: Vec<String>,
}

impl Signal {
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
    pub(super) fn new(receiver: Receiver, mut headers: HeaderMap) -> Result<Self, String> {
        let secrets = secrets(&headers);
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("observer/", env!("CARGO_PKG_VERSION"))));
        let connector = connector(&receiver)?;
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .http2_only(receiver.protocol == Protocol::Grpc)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .pool_max_idle_per_host(1)
            .build(connector);
        Ok(Self { client, receiver, headers, secrets })
    }

    /// Sends one request.
    pub(super) async fn send(&self, signal: Signal, request: Packed) -> Answer {
        let timeout = self.receiver.timeout;
        let sending = async {
            match self.receiver.protocol {
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
    let values =
        headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
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

fn connector(receiver: &Receiver) -> Result<Connector, String> {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(receiver.timeout));
    let builder = HttpsConnectorBuilder::new().with_tls_config(tls::config(receiver)?).https_or_http();
    let builder = match &receiver.tls.server_name {
        Some(name) => {
            let fixed = ServerName::try_from(name.clone())
                .map_err(|error| format!("{name:?} is no name of a host: {error}"))?;
            builder.with_server_name_resolver(FixedServerNameResolver::new(fixed))
        }
        None => builder,
    };
    Ok(match receiver.protocol {
        Protocol::Grpc => builder.enable_http2().wrap_connector(http),
        Protocol::Http => builder.enable_http1().wrap_connector(http),
    })
}

#[cfg(test)]
mod tests;
