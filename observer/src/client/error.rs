//! What can go wrong between client and daemon: what was tried, what happened, what to do next.

use std::io;
use std::time::Duration;

use tonic::Code;

use super::connect::Server;
use super::escape::escape;
use crate::replay;

/// What to do where the daemon's certificate is not good.
const MISTRUST: &str = "Is the daemon's certificate of the authority in --tls-ca, and for that host? Name it with \
                        --tls-server-name if it has another name.";
/// What to do where the client's is not.
const MISTRUSTED: &str = "The daemon does not take this client's certificate: see whether it is expired, revoked or of another \
                          authority than the daemon's --tls-client-ca.";

/// A client's error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody could be reached.
    #[error("cannot reach the observer daemon at {server}: {}\n{}", reason(source), advice(server, source))]
    Unreachable {
        /// Who was asked.
        server: Server,
        /// Why not.
        source: io::Error,
    },
    /// It is not to be asked in that way.
    #[error("cannot ask {server}: {reason}")]
    Tls {
        /// Who was to be asked.
        server: Server,
        /// Why not.
        reason: String,
    },
    /// One of the two does not take the other one's certificate, or there is no TLS.
    #[error("cannot speak TLS with {server}: {}\n{}", escape(&source.to_string()), MISTRUST)]
    Certificates {
        /// Who was asked.
        server: Server,
        /// Why not.
        source: io::Error,
    },
    /// Somebody answered who does not speak gRPC.
    #[error("cannot talk to {server}: {source}\nIs that an observer daemon? Name another with --server.")]
    Handshake {
        /// Who was asked.
        server: Server,
        /// Why not.
        source: tonic::transport::Error,
    },
    /// The answer did not come in time.
    #[error("{call} at {server}: no answer within {} s\nIs the daemon overloaded? Wait longer with --timeout.", timeout.as_secs_f64())]
    TimedOut {
        /// What was asked.
        call: &'static str,
        /// Who was asked.
        server: Server,
        /// How long it had.
        timeout: Duration,
    },
    /// A file cannot be replayed.
    #[error("{}", escape(&.0.to_string()))]
    Replay(#[source] Box<replay::Error>),
    /// `--fields` names what is not there.
    #[error("--fields: {0}")]
    Fields(String),
    /// The daemon, or the connection to it, ended the call.
    #[error("{call} at {server}: {}\n{}", said(status), remedy(status))]
    Call {
        /// What was asked.
        call: &'static str,
        /// Who was asked.
        server: Server,
        /// What came back.
        status: Box<tonic::Status>,
    },
}

impl Error {
    /// The request itself was wrong.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Fields(_) | Self::Tls { .. } => true,
            Self::Call { status, .. } => status.code() == Code::InvalidArgument,
            Self::Unreachable { .. }
            | Self::Certificates { .. }
            | Self::Handshake { .. }
            | Self::Replay(_)
            | Self::TimedOut { .. } => false,
        }
    }

    /// The daemon was there, and is gone.
    pub(crate) fn is_hang_up(&self) -> bool {
        let Self::Call { status, .. } = self else { return false };
        std::error::Error::source(status).is_some()
            || matches!(status.code(), Code::Unavailable | Code::Cancelled)
    }

    /// A daemon is there and says no: asking again would not help.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::Tls { .. } | Self::Replay(_))
            || (matches!(self, Self::Call { .. }) && !self.is_hang_up())
    }
}

fn reason(error: &io::Error) -> String {
    const KNOWN: [(io::ErrorKind, &str); 4] = [
        (io::ErrorKind::NotFound, "no such file"),
        (io::ErrorKind::PermissionDenied, "permission denied"),
        (io::ErrorKind::ConnectionRefused, "nobody listens there"),
        (io::ErrorKind::TimedOut, "no answer in time"),
    ];
    let known = KNOWN.iter().find(|(kind, _)| *kind == error.kind());
    known.map_or_else(|| error.to_string(), |(_, words)| (*words).to_owned())
}

fn advice(server: &Server, error: &io::Error) -> &'static str {
    match (server, error.kind()) {
        (Server::Unix(_), io::ErrorKind::PermissionDenied) => {
            "Only root may open it, unless the daemon has an access file: try again with sudo."
        }
        (_, io::ErrorKind::TimedOut) => "Is the daemon overloaded? Wait longer with --timeout.",
        (Server::Unix(_), _) => "Start one with `observer daemon` as root, or name another with --server.",
        (Server::Secured { .. }, _) => {
            "Is the daemon started with --listen tls://, and its port open? Or name another with --server."
        }
        // Replayed, and not reached.
        (Server::File(_), _) => "Name another with --server.",
        (Server::Loopback(_), _) => {
            "Is the daemon started with --listen tcp:// and --insecure-loopback? Or name another with --server."
        }
    }
}

/// What the daemon said; a status that has a source was made on this side, of a broken connection.
fn said(status: &tonic::Status) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    if cause.is_some() {
        let mut last = String::new();
        while let Some(error) = cause {
            last = error.to_string();
            cause = error.source();
        }
        return format!("the connection broke: {}", escape(&last));
    }
    let message = if status.message().is_empty() { status.code().description() } else { status.message() };
    escape(message).into_owned()
}

fn remedy(status: &tonic::Status) -> &'static str {
    const ENDED: &str = "It ended or hangs, or is no observer daemon: see its log, then try again.";
    if std::error::Error::source(status).is_some() {
        // What TLS calls the other side's refusal, which in TLS 1.3 comes after the handshake.
        return if said(status).contains("fatal alert") { MISTRUSTED } else { ENDED };
    }
    match status.code() {
        Code::InvalidArgument => "The daemon refused the request: see --help for what is allowed.",
        Code::PermissionDenied | Code::Unauthenticated => {
            "Ask as somebody for whom there is a rule in the access file there, or as root on its machine."
        }
        Code::Unimplemented => {
            "The daemon does not know this call: is it older than this client? See `observer status`."
        }
        Code::ResourceExhausted => "A limit was reached: ask for less, or end other clients.",
        // What answers by HTTP alone has no words of its own.
        Code::Unavailable if !status.message().is_empty() && !status.message().contains("HTTP status") => {
            "It cannot answer that now: see `observer status` and its log, then try again."
        }
        Code::Unavailable | Code::Cancelled => ENDED,
        Code::FailedPrecondition | Code::NotFound => {
            "Ask for something else: it is not possible as things are."
        }
        Code::Ok
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::AlreadyExists
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => "See the daemon's log.",
    }
}

impl From<replay::Error> for Error {
    fn from(error: replay::Error) -> Self {
        Self::Replay(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answers_that_something_is_not_there_has_not_ended() {
        let nobody = tonic::Status::unavailable("no node is found: list : 0 daemons");
        assert!(remedy(&nobody).starts_with("It cannot answer that now"));
        let by_http =
            tonic::Status::unavailable("grpc-status header missing, mapped from HTTP status code 503");
        for ended in [by_http, tonic::Status::unavailable(""), tonic::Status::cancelled("Timeout expired")] {
            assert!(remedy(&ended).starts_with("It ended or hangs, or is no observer daemon"), "{ended:?}");
        }
    }
}
