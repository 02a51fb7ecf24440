//! `[http]`: TLS of the place where metrics are asked for. Where that is says `http_listen`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::export::HttpFiles;

/// How the HTTP server is secured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Http {
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    tls_client_ca: Option<PathBuf>,
    /// Plain text also where others than this machine may connect.
    pub(crate) insecure: bool,
}

impl Http {
    /// The files of certificates, where TLS is wanted.
    pub(crate) fn files(&self) -> Option<HttpFiles> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(HttpFiles { cert, key, client_ca: self.tls_client_ca.clone() })
    }

    /// What is wrong with all of it together.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { tls_cert, tls_key, tls_client_ca, insecure: _ } = self;
        match (tls_cert, tls_key, tls_client_ca) {
            (Some(_), None, _) | (None, Some(_), _) => Err("tls_cert and tls_key go together".to_owned()),
            (None, None, Some(_)) => Err("tls_client_ca needs tls_cert and tls_key".to_owned()),
            (Some(_), Some(_), _) | (None, None, None) => Ok(()),
        }
    }
}
