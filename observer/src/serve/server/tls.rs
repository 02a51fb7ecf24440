//! Mutual TLS: the daemon shows its certificate, and whoever comes must show one that an authority of ours signed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::credentials::{CredentialsError, authorities, certificates, private_key, several};

/// The files that TLS takes; all of them PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The daemon's certificate, then those that lead to its authority.
    pub(crate) cert: PathBuf,
    /// Its key.
    pub(crate) key: PathBuf,
    /// The authorities that sign clients' certificates.
    pub(crate) client_ca: PathBuf,
    /// What these authorities have revoked.
    pub(crate) client_crl: Option<PathBuf>,
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    #[error("the authorities in {} cannot verify clients", path.display())]
    Verifier { path: PathBuf, source: VerifierBuilderError },
    #[error("the certificate in {} and the key in {} are not usable together", cert.display(), key.display())]
    Pair { cert: PathBuf, key: PathBuf, source: rustls::Error },
}

/// TLS as the files say.
#[derive(Clone, Debug)]
pub(in crate::serve) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl TlsFiles {
    /// All of them.
    pub(in crate::serve) fn paths(&self) -> impl Iterator<Item = &Path> {
        let Self { cert, key, client_ca, client_crl } = self;
        [cert, key, client_ca].into_iter().chain(client_crl).map(PathBuf::as_path)
    }

    /// Reads them.
    pub(in crate::serve) fn read(&self) -> Result<Tls, TlsError> {
        let Self { cert, key, client_ca, client_crl } = self;
        let provider = Arc::new(ring::default_provider());
        let roots = Arc::new(authorities(client_ca)?);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider));
        if let Some(path) = client_crl {
            let lists = several::<CertificateRevocationListDer<'static>>("revocation lists", path)?;
            // An authority that has no list has revoked nothing.
            verifier = verifier
                .with_crls(lists)
                .only_check_end_entity_revocation()
                .allow_unknown_revocation_status();
        }
        let verifier =
            verifier.build().map_err(|source| TlsError::Verifier { path: client_ca.clone(), source })?;
        let (chain, private) = (certificates(cert)?, private_key(key)?);
        let pair = |source| TlsError::Pair { cert: cert.clone(), key: key.clone(), source };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(pair)?
            .with_client_cert_verifier(Arc::clone(&verifier))
            .with_single_cert(chain, private)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A session that is taken up again would show no certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Tls { config: Arc::new(config), verifier })
    }
}

impl Tls {
    /// A client's certificate, followed by those that lead to its authority, is good at that moment.
    pub(super) fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> io::Result<()> {
        let (own, others) = chain
            .split_first()
            .ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "no certificate was shown"))?;
        let verified = self.verifier.verify_client_cert(own, others, now);
        verified.map(drop).map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))
    }
}
