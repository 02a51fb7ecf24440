//! Addresses of the daemon: where it listens and where container runtimes answer.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::exporters::Http;
use super::setting::{Origin, Setting};
use super::{DEFAULT_SOCKET, Error};

/// The longest path that fits a socket's address, with the byte that ends it.
const MAX_SOCKET_PATH: usize = 107;

/// Where runtimes usually have their socket.
const USUAL_CRI_SOCKETS: [&str; 5] = [
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// A unix socket.
    Unix(PathBuf),
    /// Plain text on a loopback address.
    Loopback(SocketAddr),
    /// TLS, with certificates on both sides.
    Secured(SocketAddr),
}

impl fmt::Display for Listen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Loopback(address) => write!(out, "tcp://{address}"),
            Self::Secured(address) => write!(out, "tls://{address}"),
        }
    }
}

/// Where to ask for containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CriEndpoints {
    /// Nowhere: `none` was given.
    Off,
    /// At those of the usual places that are there.
    Usual(Vec<PathBuf>),
    /// At these, and they are expected to answer.
    Given(Vec<PathBuf>),
}

/// The places to listen at that were given on the command line.
pub(crate) fn listen_at(places: &[String], insecure: bool) -> Result<Vec<Listen>, Error> {
    listen(Some(&Setting { origin: Origin::Flag("listen"), values: places.to_vec() }), insecure)
}

/// The places to listen at.
pub(crate) fn listen(setting: Option<&Setting>, insecure: bool) -> Result<Vec<Listen>, Error> {
    const ALLOWED: &str = "unix:///path, tls://address:port with certificates, or tcp://127.0.0.1:port (plain text, loopback \
                           only) with --insecure-loopback";
    let Some(setting) = setting else {
        return Ok(unix_path(DEFAULT_SOCKET).map(Listen::Unix).into_iter().collect());
    };
    let one = |value: &String| {
        if let Some(path) = unix_path(value) {
            return Ok(Listen::Unix(path));
        }
        if let Some(address) = value.strip_prefix("tls://") {
            let address = address.parse().map(Listen::Secured);
            return address.map_err(|_no_address: std::net::AddrParseError| setting.refused(value, ALLOWED));
        }
        let address = value.strip_prefix("tcp://").and_then(|address| address.parse::<SocketAddr>().ok());
        match address {
            Some(address) if insecure && address.ip().is_loopback() => Ok(Listen::Loopback(address)),
            Some(_) | None => Err(setting.refused(value, ALLOWED)),
        }
    };
    if setting.values.is_empty() {
        return Err(setting.refused("", ALLOWED));
    }
    setting.values.iter().map(one).collect()
}

/// Where to serve HTTP.
pub(crate) fn http(setting: Option<&Setting>, secured: &Http) -> Result<Option<SocketAddr>, Error> {
    const ALLOWED: &str = "off, and an address with a port: 127.0.0.1:9966 or another one of loopback; any with tls_cert and tls_key \
                           in [http], or with insecure = true there";
    let Some(setting) = setting else { return Ok(None) };
    let text = setting.single(ALLOWED)?;
    if text == "off" {
        return Ok(None);
    }
    let address = text.parse::<SocketAddr>().ok();
    let may =
        |address: &SocketAddr| address.ip().is_loopback() || secured.files().is_some() || secured.insecure;
    address.filter(may).map(Some).ok_or_else(|| setting.refused(text, ALLOWED))
}

/// The runtimes to ask.
pub(crate) fn cri_endpoints(setting: Option<&Setting>) -> Result<CriEndpoints, Error> {
    const ALLOWED: &str = "unix:///path, several if need be, or `none` alone";
    let Some(setting) = setting else {
        return Ok(CriEndpoints::Usual(USUAL_CRI_SOCKETS.iter().map(PathBuf::from).collect()));
    };
    match setting.values.as_slice() {
        [none] if none == "none" => Ok(CriEndpoints::Off),
        [] => Err(setting.refused("", ALLOWED)),
        values => values
            .iter()
            .map(|value| unix_path(value).ok_or_else(|| setting.refused(value, ALLOWED)))
            .collect::<Result<_, _>>()
            .map(CriEndpoints::Given),
    }
}

/// The folders of engines: some, none, or (not given) the usual ones.
pub(crate) fn container_folders(setting: Option<&Setting>) -> Result<Option<Vec<PathBuf>>, Error> {
    const ALLOWED: &str = "/path, several if need be, or `none` alone";
    let Some(setting) = setting else { return Ok(None) };
    match setting.values.as_slice() {
        [none] if none == "none" => Ok(Some(Vec::new())),
        [] => Err(setting.refused("", ALLOWED)),
        values => values
            .iter()
            .map(|value| {
                let fits = value.starts_with('/') && !value.contains('\0');
                fits.then(|| PathBuf::from(value)).ok_or_else(|| setting.refused(value, ALLOWED))
            })
            .collect::<Result<_, _>>()
            .map(Some),
    }
}

/// The path of `unix:///path`, absolute and short enough for a socket.
pub(crate) fn unix_path(value: &str) -> Option<PathBuf> {
    let path = value.strip_prefix("unix://")?;
    let fits = path.starts_with('/') && path.len() > 1 && path.len() <= MAX_SOCKET_PATH;
    (fits && !path.contains('\0')).then(|| PathBuf::from(path))
}
