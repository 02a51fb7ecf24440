//! Whom the client asks, and how.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::super::Error;
use crate::config::{self, DEFAULT_SOCKET};

/// How long is waited unless something else was asked for.
const USUAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Where a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// At a unix socket.
    Unix(PathBuf),
    /// At a loopback address, in plain text.
    Loopback(SocketAddr),
    /// At a port of any host: with TLS or, without a word on TLS, on this machine in plain text.
    Tcp {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
}

/// How TLS is spoken; nothing: as far as needed, by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// The authority that the daemon's certificate has to be of, in PEM.
    pub(crate) ca: Option<PathBuf>,
    /// The client's own certificate, in PEM.
    pub(crate) cert: Option<PathBuf>,
    /// Its key, in PEM.
    pub(crate) key: Option<PathBuf>,
    /// The name in the daemon's certificate, where that is not the host's.
    pub(crate) server_name: Option<String>,
}

/// Whom to ask, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Where the daemon is.
    pub(crate) server: Server,
    /// How TLS is spoken with it. A certificate never comes without its key.
    pub(crate) tls: Tls,
    /// How long the connection and each first answer may take.
    pub(crate) timeout: Duration,
}

/// What is asked in plain text.
pub(super) enum Plain {
    /// A unix socket.
    Unix(PathBuf),
    /// A port of this machine.
    Loopback(SocketAddr),
}

impl Tls {
    /// Nothing is said about it.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same with what it does not say from another one.
    pub(crate) fn or(self, other: Self) -> Self {
        let Self { ca, cert, key, server_name } = self;
        // A certificate and its key are of one place.
        let (cert, key) = if cert.is_some() || key.is_some() { (cert, key) } else { (other.cert, other.key) };
        Self { ca: ca.or(other.ca), cert, key, server_name: server_name.or(other.server_name) }
    }
}

impl Target {
    /// What can be asked without TLS.
    pub(super) fn in_plain_text(&self) -> Result<Plain, Error> {
        let Self { server, tls, timeout: _ } = self;
        let refused = |reason| Err(Error::Tls { server: server.clone(), reason });
        match server {
            Server::Unix(_) | Server::Loopback(_) if !tls.is_empty() => refused(
                "TLS is for tcp:// addresses alone: leave the TLS options out, or name such an address",
            ),
            Server::Unix(path) => Ok(Plain::Unix(path.clone())),
            Server::Loopback(address) => Ok(Plain::Loopback(*address)),
            Server::Tcp { .. } if !tls.is_empty() => refused("this version cannot speak TLS yet"),
            Server::Tcp { host, port } => match loopback(host) {
                Some(ip) => Ok(Plain::Loopback(SocketAddr::new(ip, *port))),
                None => refused(
                    "other machines are asked with TLS alone: give --tls-ca, --tls-cert and --tls-key",
                ),
            },
        }
    }
}

impl Server {
    /// What is allowed as an address.
    pub(crate) const ALLOWED: &str =
        "unix:///path, tcp://host:port and, on this machine only, http://127.0.0.1:port";
}

impl Default for Target {
    fn default() -> Self {
        Self { server: Server::default(), tls: Tls::default(), timeout: USUAL_TIMEOUT }
    }
}

impl Default for Server {
    fn default() -> Self {
        // The constant is a path, which a test holds on to.
        Self::Unix(config::unix_path(DEFAULT_SOCKET).unwrap_or_default())
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).ok_or_else(|| format!("allowed are {}", Self::ALLOWED))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Loopback(address) => write!(out, "http://{address}"),
            Self::Tcp { host, port } if host.contains(':') => write!(out, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(out, "tcp://{host}:{port}"),
        }
    }
}

fn parse(text: &str) -> Option<Server> {
    if text.starts_with("unix:") {
        return config::unix_path(text).map(Server::Unix);
    }
    if let Some(address) = text.strip_prefix("tcp://") {
        let (host, port) = host_and_port(address)?;
        return Some(Server::Tcp { host, port });
    }
    let (host, port) = host_and_port(text.strip_prefix("http://")?)?;
    loopback(&host).map(|ip| Server::Loopback(SocketAddr::new(ip, port)))
}

/// The parts of `host:port`, where a host is a name, an IPv4 address, or an IPv6 address in brackets.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.strip_suffix('/').unwrap_or(text).rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port > 0)?;
    if let Some(inner) = host.strip_prefix('[') {
        let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some((address.to_string(), port));
    }
    let letter = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
    (!host.is_empty() && host.chars().all(letter)).then(|| (host.to_owned(), port))
}

/// The address, if it is of this machine alone.
fn loopback(host: &str) -> Option<IpAddr> {
    if host == "localhost" {
        return Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    host.parse().ok().filter(IpAddr::is_loopback)
}
