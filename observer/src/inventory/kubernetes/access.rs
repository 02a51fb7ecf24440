//! The way to the API: the client, made anew where its rights are refused, and why something did not work.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::{Mutex as StdMutex, PoisonError};
use std::time::Duration;

use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::sync::{Mutex, Semaphore};

use super::ApiAccess;

/// How long the API may take until it begins to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take until there is a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Why the API did not tell what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    /// The kubeconfig, or the service account's files, cannot be used.
    #[error("its configuration cannot be used")]
    Config(#[source] Box<dyn Error + Send + Sync>),
    /// There is no way there, or it broke.
    #[error("cannot be reached")]
    Unreachable(#[source] Box<kube::Error>),
    /// It does not answer.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It says no.
    #[error("{code}: {message}")]
    Refused {
        /// The HTTP status, or that of a watch's error.
        code: u16,
        /// In its own words, cut.
        message: String,
    },
    /// What was asked for is too old to go on from.
    #[error("the version is too old")]
    Expired,
    /// The answer broke off.
    #[error("the answer broke off")]
    Broken(#[source] io::Error),
    /// What came is not what was asked for.
    #[error("what it sends is not understood: {0}")]
    Nonsense(String),
    /// More came than any object or page may have.
    #[error("it sends more than {0} bytes at once")]
    TooLarge(usize),
}

impl ApiError {
    /// The API is away: that says nothing about the version.
    pub(super) const fn is_outage(&self) -> bool {
        match self {
            // Without the right to ask, or while it has other troubles, no version would do. (504 is what it says of a
            // version that it has not come to yet.)
            Self::Refused { code: 401 | 403 | 429 | 500..=503, .. }
            | Self::Config(_)
            | Self::Unreachable(_)
            | Self::Silent(_)
            | Self::Broken(_) => true,
            Self::Refused { .. } | Self::Expired | Self::Nonsense(_) | Self::TooLarge(_) => false,
        }
    }

    /// The whole chain in one line.
    pub(super) fn explain(&self) -> String {
        let mut words = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            let more = error.to_string();
            // Some errors repeat what is behind them.
            if !words.contains(&more) {
                words = format!("{words}: {more}");
            }
            source = error.source();
        }
        clip(&words, 300)
    }
}

/// The beginning of a text that others wrote, on one line.
pub(super) fn clip(text: &str, most: usize) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect();
    one_line.trim().to_owned()
}

/// The client that all keepers share.
pub(super) struct Access {
    way: ApiAccess,
    client: Mutex<Option<Client>>,
    endpoint: StdMutex<String>,
    /// Who reads a page: one keeper at a time, so that no more than one is in memory.
    pub(super) reading: Semaphore,
}

impl Access {
    pub(super) fn new(access: ApiAccess) -> Self {
        let endpoint = match &access {
            ApiAccess::InCluster => "in-cluster".to_owned(),
            ApiAccess::Kubeconfig(path) => path.display().to_string(),
        };
        Self {
            way: access,
            client: Mutex::new(None),
            endpoint: StdMutex::new(endpoint),
            reading: Semaphore::new(1),
        }
    }

    /// The API's address, or where it is to be found as long as that is not known.
    pub(super) fn endpoint(&self) -> String {
        self.endpoint.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request; gives the answer whose body is still to come. Anything but success is an error.
    pub(super) async fn send(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Body>, ApiError> {
        let client = self.client().await?;
        let answer = client.send(request.map(Body::from));
        let answer = match tokio::time::timeout(ANSWER_LIMIT, answer).await {
            Ok(answer) => answer.map_err(|error| ApiError::Unreachable(Box::new(error)))?,
            Err(_elapsed) => return Err(ApiError::Silent(ANSWER_LIMIT)),
        };
        match answer.status().as_u16() {
            200 => Ok(answer),
            410 => Err(ApiError::Expired),
            code => {
                if code == 401 {
                    // Certificates and tokens are renewed in their files.
                    *self.client.lock().await = None;
                }
                let message = super::answer::refusal(answer.into_body()).await;
                Err(ApiError::Refused { code, message })
            }
        }
    }

    async fn client(&self) -> Result<Client, ApiError> {
        let mut held = self.client.lock().await;
        if let Some(client) = &*held {
            return Ok(client.clone());
        }
        let way = self.way.clone();
        // It reads files, and a kubeconfig may name a program that gives the token.
        let made = tokio::task::spawn_blocking(move || {
            tokio::runtime::Handle::current().block_on(async { connect(way).await })
        });
        let made = match tokio::time::timeout(ANSWER_LIMIT, made).await {
            Ok(made) => made.map_err(|error| ApiError::Config(Box::new(error)))?,
            Err(_elapsed) => return Err(ApiError::Silent(ANSWER_LIMIT)),
        };
        let (client, endpoint) = made?;
        *self.endpoint.lock().unwrap_or_else(PoisonError::into_inner) = endpoint;
        *held = Some(client.clone());
        Ok(client)
    }
}

/// Reads the configuration and makes a client; nothing is sent yet.
async fn connect(way: ApiAccess) -> Result<(Client, String), ApiError> {
    let mut config = match way {
        ApiAccess::InCluster => Config::incluster().map_err(|error| ApiError::Config(Box::new(error)))?,
        ApiAccess::Kubeconfig(path) => from_file(&path).await?,
    };
    config.connect_timeout = Some(CONNECT_LIMIT);
    // The keepers try again in their own time.
    config.default_retry = false;
    let endpoint = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let client = Client::try_from(config).map_err(|error| ApiError::Config(Box::new(error)))?;
    Ok((client, endpoint))
}

async fn from_file(path: &Path) -> Result<Config, ApiError> {
    let refused = |error| ApiError::Config(Box::new(error));
    let file = Kubeconfig::read_from(path).map_err(refused)?;
    Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_of_bounded_length() {
        let broken = ApiError::Broken(io::Error::other(format!("a\n{}", "b".repeat(10_000))));
        let words = broken.explain();
        assert!(words.starts_with("the answer broke off: a bbb") && words.len() <= 300, "{words}");
        assert_eq!(ApiError::Expired.explain(), "the version is too old");
    }
}
