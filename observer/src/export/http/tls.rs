//! TLS of the HTTP server: its certificate, and whose clients' it asks for. Read again when the files change.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};

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
    #[error("cannot read {what} from {}", path.display())]
    Read { what: &'static str, path: PathBuf, source: pem::Error },
    #[error("{} holds no certificates", .0.display())]
    Empty(PathBuf),
    #[error("{} is not usable as an authority", path.display())]
    Authority { path: PathBuf, source: rustls::Error },
    #[error("the authorities in {} cannot verify clients", path.display())]
    Verifier { path: PathBuf, source: VerifierBuilderError },
    #[error("the certificate in {} and the key in {} are not usable together", cert.display(), key.display())]
    Pair { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// What tells one version of the files from another.
type Stamps = Vec<Option<[i64; 4]>>;

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
                let mut roots = RootCertStore::empty();
                for authority in certificates(path)? {
                    let failed = |source| HttpTlsError::Authority { path: path.clone(), source };
                    roots.add(authority).map_err(failed)?;
                }
                let failed = |source| HttpTlsError::Verifier { path: path.clone(), source };
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(failed)?)
            }
        };
        let chain = certificates(cert)?;
        let failed = |source| HttpTlsError::Read { what: "a private key", path: key.clone(), source };
        let private = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
        let mut config = builder.with_single_cert(chain, private).map_err(pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A session that is taken up again would show no certificate, which may have been revoked by another authority's file.
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Through links: those of Kubernetes' volumes are links.
    fn stamps(&self) -> Stamps {
        let stamp = |path: &PathBuf| {
            let found = std::fs::metadata(path).ok()?;
            Some([found.dev() as i64, found.ino() as i64, found.mtime(), found.mtime_nsec()])
        };
        [&self.cert, &self.key].into_iter().chain(&self.client_ca).map(stamp).collect()
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpTlsError> {
    let failed = |source| HttpTlsError::Read { what: "certificates", path: path.to_owned(), source };
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(HttpTlsError::Empty(path.to_owned())) } else { Ok(found) }
}
