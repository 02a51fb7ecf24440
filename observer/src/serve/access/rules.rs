//! The access file: which identity may see what.
//!
//! ```toml
//! [[allow]]
//! uids = [1000]                  # who: processes of these users, at the unix socket
//! gids = [993]                   # ... or of these groups
//! names = ["dns:ops.example"]    # ... or certificates with one of these names
//! loopback = true                # ... or whoever comes in plain text
//! namespaces = ["shop", "pay"]   # what: pods of these namespaces, or `all = true`
//! relay = true                   # and it may ask for others, who see no more than it does
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::{Identity, Scope};

/// The longest file; each rule is some hundred bytes.
const LONGEST_FILE_BYTES: u64 = 1024 * 1024;
/// Kinds of names in a certificate.
const KINDS: [&str; 4] = ["dns:", "uri:", "email:", "ip:"];

/// Why an access file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RulesError {
    #[error("cannot read the access file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the access file {} has more than {LONGEST_FILE_BYTES} bytes", .0.display())]
    TooLong(PathBuf),
    #[error("{}: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("{}: the {} rule: {what}", path.display(), ordinal(*at))]
    Rule { path: PathBuf, at: usize, what: String },
}

/// Who may see what. Without a file: root and the daemon's own user, and who comes in plain text where that was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The daemon's user.
    own_uid: u32,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rule {
    uids: Vec<u32>,
    gids: Vec<u32>,
    names: Vec<String>,
    loopback: bool,
    namespaces: BTreeSet<String>,
    all: bool,
    relay: bool,
}

impl Rules {
    /// Those of a file, if there is one.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, RulesError> {
        let own_uid = rustix::process::geteuid().as_raw();
        let Some(path) = path else { return Ok(Self { own_uid, rules: Vec::new() }) };
        let failed = |source| RulesError::Read { path: path.to_owned(), source };
        if std::fs::metadata(path).map_err(failed)?.len() > LONGEST_FILE_BYTES {
            return Err(RulesError::TooLong(path.to_owned()));
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Ok(Self { own_uid, rules: parse(path, &text)? })
    }

    /// What that client may see; `None` for nothing.
    pub(in crate::serve) fn scope(&self, identity: &Identity) -> Option<Scope> {
        if self.is_trusted(identity) {
            return Some(Scope::All);
        }
        let matching = || self.rules.iter().filter(|rule| rule.is_for(identity));
        if matching().any(|rule| rule.all) {
            return Some(Scope::All);
        }
        let namespaces: BTreeSet<_> = matching().flat_map(|rule| rule.namespaces.iter().cloned()).collect();
        (!namespaces.is_empty()).then(|| Scope::Namespaces(Arc::new(namespaces)))
    }

    /// It may ask for others, in their names.
    pub(in crate::serve) fn may_relay(&self, identity: &Identity) -> bool {
        self.is_trusted(identity) || self.rules.iter().any(|rule| rule.relay && rule.is_for(identity))
    }

    /// Who has no need of a rule: root, who may read the daemon's memory, the daemon's own user, and everybody of this
    /// machine where plain text was asked for and no rule says what that may see.
    fn is_trusted(&self, identity: &Identity) -> bool {
        match identity {
            Identity::Process { uid, .. } => *uid == 0 || *uid == self.own_uid,
            Identity::Loopback => !self.rules.iter().any(|rule| rule.loopback),
            Identity::Certificate(_) => false,
        }
    }
}

impl Rule {
    fn is_for(&self, identity: &Identity) -> bool {
        match identity {
            Identity::Process { uid, groups, pid: _ } => {
                self.uids.contains(uid) || groups.iter().any(|group| self.gids.contains(group))
            }
            Identity::Certificate(names) => names.iter().any(|name| self.names.contains(name)),
            Identity::Loopback => self.loopback,
        }
    }

    /// What is wrong with it.
    fn fault(&self) -> Option<String> {
        let nobody = self.uids.is_empty() && self.gids.is_empty() && self.names.is_empty() && !self.loopback;
        if nobody {
            return Some("it is for nobody: set uids, gids, names or loopback".to_owned());
        }
        if self.all != self.namespaces.is_empty() {
            return Some("set either `all = true` or namespaces, and not both".to_owned());
        }
        let is_name = |name: &&String| {
            !KINDS.iter().any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()))
        };
        if let Some(name) = self.names.iter().find(is_name) {
            return Some(format!(
                "names: {name:?} is not allowed: the kind and the name, such as `dns:oncall.example.com`, `uri:spiffe://\
                 example.com/oncall`, `email:me@example.com` or `ip:192.0.2.1`"
            ));
        }
        let empty = self.namespaces.iter().any(String::is_empty);
        empty.then(|| "namespaces: an empty name is not allowed".to_owned())
    }
}

fn parse(path: &Path, text: &str) -> Result<Vec<Rule>, RulesError> {
    let mut file: File = toml::from_str(text).map_err(|error| RulesError::Syntax {
        path: path.to_owned(),
        message: error.to_string().trim_end().to_owned(),
    })?;
    for (at, rule) in file.allow.iter_mut().enumerate() {
        // Names of hosts are the same in capitals.
        let hosts = rule.names.iter_mut().filter(|name| name.starts_with("dns:"));
        hosts.for_each(|name| name.make_ascii_lowercase());
        if let Some(what) = rule.fault() {
            return Err(RulesError::Rule { path: path.to_owned(), at: at + 1, what });
        }
    }
    Ok(file.allow)
}

fn ordinal(at: usize) -> String {
    let ending = match (at % 10, at % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{at}{ending}")
}
