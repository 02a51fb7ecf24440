//! `[syslog.NAME]`: what happens as messages to syslog or the systemd journal.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::select::{self, List, Selection, selection};

/// Where systemd's journal takes messages.
pub(crate) const JOURNAL: &str = "/run/systemd/journal/socket";

/// One exporter of messages.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Syslog {
    /// Where to.
    pub(crate) address: Address,
    #[serde(default)]
    allow: List,
    #[serde(default)]
    deny: List,
    /// Events, with what was lost and what was only counted.
    #[serde(default = "super::yes")]
    pub(crate) events: bool,
    /// Incidents that are opened and closed.
    #[serde(default = "super::yes")]
    pub(crate) incidents: bool,
    /// What is in a message.
    #[serde(default)]
    pub(crate) format: Format,
    /// What syslog files them under.
    #[serde(default)]
    pub(crate) facility: Facility,
    /// What matters less is left out.
    #[serde(default)]
    pub(crate) min_severity: Severity,
}

impl Syslog {
    /// What it takes.
    pub(crate) fn selection(&self) -> Selection {
        selection(&self.allow, &self.deny)
    }

    /// What is wrong with all of it together.
    pub(super) fn check(&self) -> Result<(), String> {
        if !(self.events || self.incidents) {
            return Err("it would send nothing: set one of events and incidents".to_owned());
        }
        select::check(&self.selection())
    }
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Address {
    /// The journal's socket.
    Journal(PathBuf),
    /// A unix socket of datagrams, such as `/dev/log`.
    Unix(PathBuf),
    /// A host and a port.
    Udp(String),
    Tcp(String),
}

const ALLOWED: &str =
    "`journal`, the path of a unix socket such as `/dev/log`, `udp://host:port` and `tcp://host:port`";

impl TryFrom<String> for Address {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let path = |path: &str| {
            let fits = Path::new(path).is_absolute() && path.len() <= 107 && !path.contains('\0');
            fits.then(|| PathBuf::from(path))
        };
        let host = |of: &str| {
            let (host, port) = of.rsplit_once(':')?;
            let is_name =
                !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || "/@?#".contains(c));
            let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
            (is_name && is_port && !host.contains(char::is_control)).then(|| of.to_owned())
        };
        let address = if text == "journal" {
            Some(Self::Journal(JOURNAL.into()))
        } else if let Some(rest) = text.strip_prefix("journal://") {
            path(rest).map(Self::Journal)
        } else if let Some(rest) = text.strip_prefix("udp://") {
            host(rest).map(Self::Udp)
        } else if let Some(rest) = text.strip_prefix("tcp://") {
            host(rest).map(Self::Tcp)
        } else {
            path(text.strip_prefix("unix://").unwrap_or(&text)).map(Self::Unix)
        };
        address.ok_or_else(|| format!("`{text}` is not allowed; allowed are {ALLOWED}"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journal(path) if path == Path::new(JOURNAL) => out.write_str("journal"),
            Self::Journal(path) => write!(out, "journal://{}", path.display()),
            Self::Unix(path) => write!(out, "{}", path.display()),
            Self::Udp(host) => write!(out, "udp://{host}"),
            Self::Tcp(host) => write!(out, "tcp://{host}"),
        }
    }
}

/// What is in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// What `observer events` shows in a line.
    #[default]
    Text,
    /// What it shows with `-o json`.
    Json,
}

/// What syslog files messages under, by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Facility {
    Kern = 0,
    User = 1,
    Mail = 2,
    #[default]
    Daemon = 3,
    Auth = 4,
    Syslog = 5,
    Lpr = 6,
    News = 7,
    Uucp = 8,
    Cron = 9,
    Authpriv = 10,
    Ftp = 11,
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

/// How much a message matters, by syslog's number; what matters most comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Containers that were killed for memory or crash again and again, incidents.
    Err = 3,
    /// What failed, and what was lost.
    Warning = 4,
    /// What may be a sign of that: segments that were sent again, say.
    #[default]
    Notice = 5,
    /// Everything else.
    Info = 6,
}
