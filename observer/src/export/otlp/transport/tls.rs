//! TLS with a receiver.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::config::exporters::{Receiver, Tls};
use crate::credentials::{CredentialsError, authorities, certificates, private_key};

/// As the receiver's files say; of one without TLS nothing is read.
pub(super) fn config(receiver: &Receiver) -> Result<ClientConfig, String> {
    let Tls { ca, own, server_name: _ } = &receiver.tls;
    let is_secured = receiver.endpoint.scheme_str() == Some("https");
    let roots = match ca {
        _ if !is_secured => RootCertStore::empty(),
        Some(path) => authorities(path).map_err(CredentialsError::words)?,
        None => trusted_here()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let Some((cert, key)) = own.as_ref().filter(|_| is_secured) else {
        return Ok(config.with_no_client_auth());
    };
    let private = private_key(key).map_err(CredentialsError::words)?;
    let chain = certificates(cert).map_err(CredentialsError::words)?;
    config
        .with_client_auth_cert(chain, private)
        .map_err(|error| format!("{} and {} are not usable together: {error}", cert.display(), key.display()))
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
