//! TLS with a receiver.

use std::io;
use std::path::Path;
use std::sync::Arc;

use secrecy::zeroize::Zeroizing;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::exporters::{Receiver, Tls};
use crate::export::secret::content;

/// No file of certificates is longer: all authorities of a system are less than 1 MiB.
const MOST_BYTES: usize = 4 << 20;

/// As the receiver's files say; of one without TLS nothing is read. May wait for a disk.
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
    config
        .with_client_auth_cert(certificates(cert)?, private(key)?)
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
    let failed = |words: String| format!("cannot read certificates from {}: {words}", path.display());
    let text = whole(path).map_err(|error| failed(error.to_string()))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if found.is_empty() { Err(format!("{} holds no certificates", path.display())) } else { Ok(found) }
}

fn private(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let failed = |words: String| format!("cannot read a private key from {}: {words}", path.display());
    let text = whole(path).map_err(|error| failed(error.to_string()))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| failed(error.to_string()))
}

fn whole(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let text = content(path, MOST_BYTES + 1)?;
    if text.len() > MOST_BYTES { Err(io::Error::other("it is longer than 4 MiB")) } else { Ok(text) }
}
