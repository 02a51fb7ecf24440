//! TLS of the HTTP server: its certificate, and whose clients' it asks for. Read again when the files change.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::credentials::{CredentialsError, Stamps, authorities, certificates, private_key, stamps};

/// The files that TLS takes; all of them PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpFiles {
    /// The certificate, then those that lead to its authority.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// Clients have to show a certificate that one of these authorities signed; `None`: they have not.
    pub(crate) client_ca: Option<PathBuf>,
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpTlsError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("the authorities in {} cannot verify clients", path.display())]
    Verifier { path: PathBuf, source: VerifierBuilderError },
    #[error("the certificate in {} and the key in {} are not usable together", cert.display(), key.display())]
    Pair { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// What the files say.
#[derive(Debug)]
pub(super) struct Certificates {
    files: HttpFiles,
    known: Stamps,
    config: Arc<ServerConfig>,
    /// What was wrong with newer ones, once it is told.
    told: String,
}

impl Certificates {
    /// Reads them.
    pub(super) fn read(files: HttpFiles) -> Result<Self, HttpTlsError> {
        // Before they are read, so that a change meanwhile shows later.
        let known = files.stamps();
        let config = Arc::new(files.config()?);
        Ok(Self { files, known, config, told: String::new() })
    }

    /// What they say, as of the last look.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Looks whether they have changed. What cannot be used is told, and what was read before that stays in force.
    pub(super) fn have_changed(&mut self) -> bool {
        let stamps = self.files.stamps();
        if stamps == self.known {
            return false;
        }
        match self.files.config() {
            Ok(config) => {
                log::info!("certificates of the HTTP server are read again: one of them changed");
                (self.config, self.known) = (Arc::new(config), stamps);
                self.told.clear();
                true
            }
            Err(error) => {
                // It is tried again: several files are seldom replaced in the same moment.
                let words = format!("{:#}", anyhow::Error::from(error));
                if words != self.told {
                    log::error!("HTTP server: {words}; what was read before stays in force");
                }
                self.told = words;
                false
            }
        }
    }
}

impl HttpFiles {
    fn config(&self) -> Result<ServerConfig, HttpTlsError> {
        let Self { cert, key, client_ca } = self;
        let provider = Arc::new(ring::default_provider());
        let pair = |source| HttpTlsError::Pair { cert: cert.clone(), key: key.clone(), source };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(pair)?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let failed = |source| HttpTlsError::Verifier { path: path.clone(), source };
                let roots = Arc::new(authorities(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                builder.with_client_cert_verifier(verifier.build().map_err(failed)?)
            }
        };
        let (chain, private) = (certificates(cert)?, private_key(key)?);
        let mut config = builder.with_single_cert(chain, private).map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that is taken up again would show no certificate, which may have been revoked by another authority's file.
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    fn stamps(&self) -> Stamps {
        let Self { cert, key, client_ca } = self;
        stamps([cert, key].into_iter().chain(client_ca).map(PathBuf::as_path))
    }
}
