//! Where an exporter of OTLP sends to, checked.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};

use super::{Compression, Otlp, Protocol};
use crate::export::secret::Secret;

/// A receiver.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Receiver {
    /// Where; of HTTP the part before `/v1/traces`. Without user and password.
    pub(crate) endpoint: Uri,
    pub(crate) protocol: Protocol,
    pub(crate) gzip: bool,
    /// A request takes no longer.
    pub(crate) timeout: Duration,
    pub(crate) tls: Tls,
    /// Headers that anybody may see.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// Those that nobody may see.
    pub(crate) secrets: Vec<(HeaderName, Secret)>,
}

/// What a receiver is trusted by, and we by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Who signs receivers' certificates; `None`: whom the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub(crate) own: Option<(PathBuf, PathBuf)>,
    /// The name in the receiver's certificate, where it is not the endpoint's.
    pub(crate) server_name: Option<String>,
}

pub(super) fn of(otlp: &Otlp) -> Result<Receiver, String> {
    let preset = otlp.preset;
    let usual = preset.map_or(Protocol::Grpc, super::Preset::protocol);
    let protocol = otlp.protocol.unwrap_or(usual);
    if otlp.endpoint.is_none()
        && let Some(preset) = preset.filter(|preset| protocol == Protocol::Http && !preset.has_http())
    {
        return Err(format!("protocol: {} has HTTP at other paths; leave it out for gRPC", preset.name()));
    }
    let endpoint = otlp.endpoint.as_deref().or(preset.map(|preset| preset.endpoint(protocol)));
    let endpoint = endpoint.ok_or("endpoint or preset is missing")?;
    let endpoint = parsed(endpoint, protocol)?;
    let is_secured = endpoint.scheme() == Some(&Scheme::HTTPS);
    let tls = tls(otlp, is_secured)?;
    if !is_secured && !otlp.insecure && !is_here(&endpoint) {
        return Err(format!(
            "endpoint: {endpoint} is another machine in plain text; use https://, or say insecure = true"
        ));
    }
    let secrets = secrets(otlp)?;
    let header = preset.and_then(super::Preset::token).filter(|_| otlp.endpoint.is_none());
    if let Some(header) = header.filter(|header| !secrets.iter().any(|(name, _)| name == header)) {
        return Err(format!(
            "the token is missing: name its file as header_files = {{ {header} = \"/path\" }}, or a variable of the \
             environment as header_env = {{ {header} = \"NAME\" }}"
        ));
    }
    let headers = otlp.headers.iter().map(|(name, value)| {
        let value = HeaderValue::from_str(value).map_err(|_invalid| {
            format!("headers: the value of {name} is not allowed; allowed are lines of text")
        })?;
        Ok((open(named(name)?)?, value))
    });
    Ok(Receiver {
        endpoint,
        protocol,
        gzip: otlp.compression == Compression::Gzip,
        timeout: otlp.timeout,
        tls,
        headers: headers.collect::<Result<_, String>>()?,
        secrets,
    })
}

fn parsed(text: &str, protocol: Protocol) -> Result<Uri, String> {
    // What is wrong is not repeated: somebody may have written a password.
    const ALLOWED: &str = "endpoint: allowed are addresses such as https://collector:4317";
    let uri: Uri = text.parse().map_err(|_invalid: http::uri::InvalidUri| ALLOWED.to_owned())?;
    let authority = uri.authority().ok_or(ALLOWED)?;
    if authority.as_str().contains('@') {
        return Err(
            "endpoint: names and passwords have no place in it; put them into a header in a file".to_owned()
        );
    }
    if uri.query().is_some() {
        return Err("endpoint: a query (`?...`) has no place in it".to_owned());
    }
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(ALLOWED.to_owned());
    }
    if protocol == Protocol::Grpc && uri.path() != "/" && !uri.path().is_empty() {
        return Err(
            "endpoint: gRPC has no path; leave it out, or use protocol = \"http/protobuf\"".to_owned()
        );
    }
    Ok(uri)
}

/// Nothing leaves the machine for it.
fn is_here(endpoint: &Uri) -> bool {
    let host = endpoint.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tls(otlp: &Otlp, is_secured: bool) -> Result<Tls, String> {
    let Otlp { tls_ca, tls_cert, tls_key, tls_server_name, .. } = otlp;
    let any = tls_ca.is_some() || tls_cert.is_some() || tls_key.is_some() || tls_server_name.is_some();
    if any && !is_secured {
        return Err("tls_ca, tls_cert, tls_key and tls_server_name are for https:// alone".to_owned());
    }
    let own = match (tls_cert, tls_key) {
        (Some(cert), Some(key)) => Some((cert.clone(), key.clone())),
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => {
            return Err("tls_cert and tls_key belong together: name both or none".to_owned());
        }
    };
    if let Some(name) = tls_server_name
        && tokio_rustls::rustls::pki_types::ServerName::try_from(name.as_str()).is_err()
    {
        return Err(format!("tls_server_name: `{name}` is no name of a host"));
    }
    Ok(Tls { ca: tls_ca.clone(), own, server_name: tls_server_name.clone() })
}

fn secrets(otlp: &Otlp) -> Result<Vec<(HeaderName, Secret)>, String> {
    let mut secrets = Vec::new();
    for (name, path) in &otlp.header_files {
        secrets.push((named(name)?, Secret::File(path.clone())));
    }
    for (name, variable) in &otlp.header_env {
        secrets.push((named(name)?, Secret::Env(variable.clone())));
    }
    let all = otlp.headers.keys().chain(otlp.header_files.keys()).chain(otlp.header_env.keys());
    let mut seen = std::collections::BTreeSet::new();
    match all.map(|name| name.to_ascii_lowercase()).find(|name| !seen.insert(name.clone())) {
        Some(twice) => Err(format!("the header {twice} is there twice")),
        None => Ok(secrets),
    }
}

/// The name of a header that is not ours to set.
fn named(name: &str) -> Result<HeaderName, String> {
    let taken = [
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "grpc-accept-encoding",
        "grpc-encoding",
        "grpc-timeout",
        "host",
        "te",
        "transfer-encoding",
    ];
    let named = HeaderName::try_from(name).ok().filter(|name| !taken.contains(&name.as_str()));
    named.ok_or_else(|| format!("`{name}` is not allowed as a header's name"))
}

/// The name of a header that anybody may see: none of those that have tokens.
fn open(name: HeaderName) -> Result<HeaderName, String> {
    let text = name.as_str();
    let is_secret = ["authorization", "proxy-authorization", "cookie"].contains(&text)
        || ["-token", "-key"].iter().any(|end| text.ends_with(end));
    if is_secret {
        return Err(format!(
            "headers: the value of {text} is a secret; name its file in header_files, or a variable in header_env"
        ));
    }
    Ok(name)
}
