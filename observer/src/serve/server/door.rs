//! How a client comes in by each kind of socket, and who it is then.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::server::TlsStream;

use super::security::Security;
use crate::serve::access::{self, Identity};

/// A client that was refused may take so long to hear of it.
const LEAVE: Duration = Duration::from_secs(1);
/// A certificate that was good when its client came in is verified again so often.
const VERIFIED_EACH: Duration = Duration::from_secs(5);

/// A kind of socket.
pub(super) trait Door: Send + Sync + 'static {
    /// What is accepted.
    type Raw: Send + 'static;
    /// What is served.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Finds out who comes.
    fn enter(
        &self,
        raw: Self::Raw,
        security: &Security,
    ) -> impl Future<Output = io::Result<(Self::Stream, Guest)>> + Send;
}

/// Who came in.
#[derive(Debug)]
pub(super) struct Guest {
    pub(super) identity: Identity,
    /// What it has shown.
    chain: Vec<CertificateDer<'static>>,
}

impl Guest {
    /// Done when it is to be asked again, as certificates end with time; never for those without.
    pub(super) async fn until_asked_again(&self) {
        match self.identity {
            Identity::Certificate(_) => tokio::time::sleep(VERIFIED_EACH).await,
            Identity::Process { .. } | Identity::Loopback => std::future::pending().await,
        }
    }

    /// It could come in now as well: nothing that it has shown is revoked or expired.
    pub(super) fn is_welcome(&self, security: &Security) -> bool {
        let Identity::Certificate(_) = self.identity else { return true };
        security.tls.as_ref().is_some_and(|tls| tls.verify(&self.chain, now()).is_ok())
    }
}

/// A unix socket.
pub(super) struct Unix;

impl Door for Unix {
    type Raw = UnixStream;
    type Stream = UnixStream;

    async fn enter(&self, raw: UnixStream, _security: &Security) -> io::Result<(UnixStream, Guest)> {
        let identity = access::process(&raw)?;
        Ok((raw, Guest { identity, chain: Vec::new() }))
    }
}

/// Plain text over loopback.
pub(super) struct Loopback;

impl Door for Loopback {
    type Raw = TcpStream;
    type Stream = TcpStream;

    async fn enter(&self, raw: TcpStream, _security: &Security) -> io::Result<(TcpStream, Guest)> {
        // What is small is not held back for the answer to what went before.
        raw.set_nodelay(true)?;
        Ok((raw, Guest { identity: Identity::Loopback, chain: Vec::new() }))
    }
}

/// TLS, with certificates on both sides.
pub(super) struct Secured;

impl Door for Secured {
    type Raw = TcpStream;
    type Stream = TlsStream<TcpStream>;

    async fn enter(&self, raw: TcpStream, security: &Security) -> io::Result<(TlsStream<TcpStream>, Guest)> {
        raw.set_nodelay(true)?;
        let tls = security.tls.as_ref().ok_or_else(|| io::Error::other("no TLS is set up"))?;
        let accepted = TlsAcceptor::from(Arc::clone(&tls.config)).accept(raw).into_fallible().await;
        let stream = match accepted {
            Ok(stream) => stream,
            Err((error, raw)) => {
                take_leave(raw).await;
                return Err(error);
            }
        };
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let chain: Vec<_> = shown.iter().map(|one| one.clone().into_owned()).collect();
        tls.verify(&chain, now())?;
        let names = chain.first().map(|own| access::names(own)).unwrap_or_default();
        Ok((stream, Guest { identity: Identity::Certificate(names), chain }))
    }
}

/// Ends a connection so that the other side gets what was said last: closed with something unread, it would be reset, and
/// the reason be lost with it.
async fn take_leave(mut raw: TcpStream) {
    // It may be gone.
    let _gone = raw.shutdown().await.is_err();
    let mut rest = [0; 1024];
    let drained = async { while raw.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {} };
    let _late = tokio::time::timeout(LEAVE, drained).await.is_err();
}

#[allow(clippy::disallowed_methods, reason = "certificates are valid by the wall clock")]
fn now() -> UnixTime {
    UnixTime::since_unix_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default())
}
