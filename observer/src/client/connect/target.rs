//! Whom the client asks, and how.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

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
    /// At a port of any host, by TLS.
    Secured {
        /// A name or an address, without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// Nobody: a file that was exported is replayed within the client.
    File(PathBuf),
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

impl Server {
    /// What is allowed as an address.
    pub(crate) const ALLOWED: &str = "unix:///path, tls://host:port, on this machine only tcp://127.0.0.1:port, and file://path for a recording";
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
            Self::Loopback(address) => write!(out, "tcp://{address}"),
            Self::Secured { host, port } if host.contains(':') => write!(out, "tls://[{host}]:{port}"),
            Self::Secured { host, port } => write!(out, "tls://{host}:{port}"),
            Self::File(path) => write!(out, "file://{}", path.display()),
        }
    }
}

fn parse(text: &str) -> Option<Server> {
    if text.starts_with("unix:") {
        return config::unix_path(text).map(Server::Unix);
    }
    if let Some(path) = text.strip_prefix("file://") {
        // Relative ones as well: a file is most often in the folder that one is in.
        return (!path.is_empty()).then(|| Server::File(path.into()));
    }
    if let Some(address) = text.strip_prefix("tls://") {
        let (host, port) = host_and_port(address)?;
        return Some(Server::Secured { host, port });
    }
    let plain = text.strip_prefix("tcp://").or_else(|| text.strip_prefix("http://"))?;
    let (host, port) = host_and_port(plain)?;
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
