//! TLS with a receiver.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::exporters::{Receiver, Tls};

/// As the receiver's files say; of one without TLS nothing is read.
pub(super) fn config(receiver: &Receiver) -> Result<ClientConfig, String> {
    let Tls { ca, own, server_name: _ } = &receiver.tls;
    let is_secured = receiver.endpoint.scheme_str() == Some("https");
    let roots = match ca {
        _ if !is_secured => RootCertStore::empty(),
        Some(path) => given(path)?,
        None => trusted_here()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some((cert, key)) = own.as_ref().filter(|_| is_secured) else {
        return Ok(config.with_no_client_auth());
    };
    let private = PrivateKeyDer::from_pem_file(key)
        .map_err(|error| format!("cannot read a private key from {}: {error}", key.display()))?;
    config
        .with_client_auth_cert(certificates(cert)?, private)
        .map_err(|error| format!("{} and {} are not usable together: {error}", cert.display(), key.display()))
}

fn given(path: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots
            .add(authority)
            .map_err(|error| format!("{} is not usable as an authority: {error}", path.display()))?;
    }
    Ok(roots)
}

/// Whom the system trusts, or `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
fn trusted_here() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, _unusable) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        return Err(
            "the system trusts no authority (is ca-certificates installed?); tls_ca names one".to_owned()
        );
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |error| format!("cannot read certificates from {}: {error}", path.display());
    let found: Vec<_> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<_, _>>().map_err(failed)?;
    if found.is_empty() { Err(format!("{} holds no certificates", path.display())) } else { Ok(found) }
}
