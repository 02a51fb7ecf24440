//! TLS, with certificates on both sides.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;

use super::Tls;
use crate::credentials::{CredentialsError, authorities, certificates, private_key};

/// TLS as the client's files say, with one daemon.
pub(super) struct Secured {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Secured {
    /// Reads the files. The error is what is wrong with them, in words.
    pub(super) fn read(host: &str, tls: &Tls) -> Result<Self, String> {
        const WHOLE: &str = "a daemon is asked by TLS with --tls-ca, --tls-cert and --tls-key, or with a context that has \
                             them";
        let Tls { ca: Some(ca), cert: Some(cert), key: Some(key), server_name } = tls else {
            return Err(WHOLE.to_owned());
        };
        let roots = authorities(ca).map_err(CredentialsError::words)?;
        let private = private_key(key).map_err(CredentialsError::words)?;
        let chain = certificates(cert).map_err(CredentialsError::words)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, private)
            .map_err(|error| {
                format!("{} and {} are not usable together: {error}", cert.display(), key.display())
            })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Daemons let no session be taken up again: there is nothing to be kept for that.
        config.resumption = Resumption::disabled();
        let name = server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|error| format!("{name:?} is no name of a host: {error}"))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Speaks TLS over a connection that is open.
    pub(super) async fn connect(self, socket: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name, socket).await
    }
}
