//! What the command line says of where daemons are.

use std::fmt;
use std::str::FromStr;

use crate::client::Server;

/// The longest name in DNS, and the longest part of one.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;
/// The longest name of a port in Kubernetes.
const LONGEST_PORT: usize = 15;

/// A name in DNS, and the port at which a daemon listens at each of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsName {
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// A Service of Kubernetes whose endpoints are daemons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceName {
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// Where daemons listen; nothing: at the only port that the Service has.
    pub(crate) port: Option<Port>,
}

/// A port of the endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// As the Service calls it.
    Name(String),
    /// This one, whatever the Service says.
    Number(u16),
}

/// A daemon's own address: those of the client, but for a file.
pub(crate) fn parse_node(text: &str) -> Result<Server, String> {
    match text.parse() {
        Ok(Server::File(_)) | Err(_) => {
            Err("allowed are tls://HOST:PORT, and on this machine unix:///PATH and tcp://127.0.0.1:PORT"
                .to_owned())
        }
        Ok(server) => Ok(server),
    }
}

impl FromStr for DnsName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (host, port) = text.rsplit_once(':')?;
            let host = Some(host).filter(|host| is_host(host))?.to_ascii_lowercase();
            Some(Self { host, port: number(port)? })
        };
        parsed().ok_or_else(|| {
            "allowed is NAME:PORT, with a name of DNS such as observer.observer.svc and a port from 1 to 65535"
                .to_owned()
        })
    }
}

impl FromStr for ServiceName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = || {
            let (namespace, rest) = text.split_once('/')?;
            let (name, port) = match rest.split_once(':') {
                Some((name, port)) => (name, Some(port.parse().ok()?)),
                None => (rest, None),
            };
            let named = is_label(namespace) && is_label(name);
            named.then(|| Self { namespace: namespace.to_owned(), name: name.to_owned(), port })
        };
        parsed().ok_or_else(|| {
            "allowed is NAMESPACE/NAME or NAMESPACE/NAME:PORT, with names of Kubernetes such as observer/observer, and a \
             port's name or a number from 1 to 65535"
                .to_owned()
        })
    }
}

impl FromStr for Port {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(number) = number(text) {
            return Ok(Self::Number(number));
        }
        let is_name = is_label(text)
            && text.len() <= LONGEST_PORT
            && text.bytes().any(|letter| letter.is_ascii_lowercase());
        if is_name { Ok(Self::Name(text.to_owned())) } else { Err(()) }
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.namespace, self.name)?;
        match &self.port {
            None => Ok(()),
            Some(Port::Name(name)) => write!(out, ":{name}"),
            Some(Port::Number(number)) => write!(out, ":{number}"),
        }
    }
}

fn number(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|number| digits && *number > 0)
}

/// A name of DNS, with or without a point at its end.
fn is_host(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let letter = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_');
    let part = |part: &str| (1..=LONGEST_LABEL).contains(&part.len()) && part.bytes().all(letter);
    // An address is no name: `--node` is for these.
    let address =
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|digit| digit.is_ascii_digit()));
    name.len() <= LONGEST_NAME && name.split('.').all(part) && !address
}

/// A name as Kubernetes gives them to namespaces, Services and ports.
fn is_label(text: &str) -> bool {
    let letter = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().next_back()];
    text.len() <= LONGEST_LABEL
        && ends.into_iter().all(|end| end.is_some_and(letter))
        && text.bytes().all(|byte| letter(byte) || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_dns_have_a_port() {
        for (text, host, port) in [
            ("observer.observer.svc:4400", "observer.observer.svc", 4400),
            ("nodes:1", "nodes", 1),
            ("Nodes_1.example.:65535", "nodes_1.example.", 65535),
        ] {
            let name: DnsName = text.parse().unwrap();
            assert_eq!(name, DnsName { host: host.to_owned(), port });
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        let long = format!("{}:1", "a".repeat(64));
        for text in [
            "",
            "nodes",
            "nodes:",
            ":1",
            "nodes:0",
            "nodes:65536",
            "nodes:+1",
            "a..b:1",
            ".:1",
            "10.0.0.1:1",
            "[::1]:1",
            "::1:1",
            "a b:1",
            "tls://nodes:1",
            "a/b:1",
            &long,
        ] {
            let error = text.parse::<DnsName>().unwrap_err();
            assert!(error.starts_with("allowed is NAME:PORT"), "{text}: {error}");
        }
    }

    #[test]
    fn services_have_a_namespace_and_may_have_a_port() {
        let service = |port| ServiceName { namespace: "ns".to_owned(), name: "obs-1".to_owned(), port };
        for (text, port) in [
            ("ns/obs-1", None),
            ("ns/obs-1:4400", Some(Port::Number(4400))),
            ("ns/obs-1:grpc", Some(Port::Name("grpc".to_owned()))),
        ] {
            let parsed: ServiceName = text.parse().unwrap();
            assert_eq!(parsed, service(port));
            assert_eq!(parsed.to_string(), text);
        }
        for text in [
            "",
            "obs",
            "/obs",
            "ns/",
            "ns/obs:",
            "ns/obs:0",
            "ns/obs:65536",
            "ns/obs:70000",
            "ns/obs:a_b",
            "ns/obs:-a",
            "ns/obs/more",
            "Ns/obs",
            "ns/../pods",
            "ns/a.b",
            "-ns/obs",
            "ns/obs-",
            "ns/obs:a-name-that-is-long",
            "ns/a?b",
        ] {
            let error = text.parse::<ServiceName>().unwrap_err();
            assert!(error.starts_with("allowed is NAMESPACE/NAME"), "{text}: {error}");
        }
    }

    #[test]
    fn a_node_is_no_file() {
        assert_eq!(parse_node("tls://[::1]:4400").unwrap().to_string(), "tls://[::1]:4400");
        assert!(parse_node("unix:///run/a.sock").is_ok());
        for text in ["file:///a", "file://a", "tcp://10.0.0.1:1", "10.0.0.1:1", "tls://a", ""] {
            let error = parse_node(text).unwrap_err();
            assert!(error.starts_with("allowed are tls://") && !error.contains("file"), "{text}");
        }
    }
}
