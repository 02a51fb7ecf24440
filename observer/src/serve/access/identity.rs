//! Who a client is, as the kernel or a verified certificate says: never as it says itself.

use std::fmt;
use std::sync::Arc;

/// A client's identity.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::serve) enum Identity {
    /// The process that connected to a unix socket, as it was then.
    Process {
        uid: u32,
        /// The primary one first.
        groups: Vec<u32>,
        /// Nobody is known by it alone; it is for the audit.
        pid: u32,
    },
    /// The names of a certificate that was verified, each with its kind, such as `dns:oncall.example.com`.
    Certificate(Vec<String>),
    /// Somebody on this machine, in plain text.
    Loopback,
}

/// What limits and the audit call a client: all processes of a user are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::serve) struct Name(Arc<str>);

impl Identity {
    /// What limits and the audit call it.
    pub(in crate::serve) fn name(&self) -> Name {
        Name(match self {
            Self::Process { uid, .. } => format!("uid:{uid}").into(),
            // Whoever makes certificates chooses what is in there.
            Self::Certificate(names) if names.is_empty() => "a-certificate-without-names".into(),
            Self::Certificate(names) => {
                names.join("+").escape_debug().to_string().replace(' ', "\\u{20}").into()
            }
            Self::Loopback => "loopback".into(),
        })
    }

    /// Several clients have this identity, or one that could end the daemon anyway: all who come in plain text, root.
    pub(super) const fn is_many(&self) -> bool {
        match self {
            Self::Process { uid, .. } => *uid == 0,
            Self::Loopback => true,
            Self::Certificate(_) => false,
        }
    }

    /// The process, where it is one of this machine's.
    pub(in crate::serve) const fn pid(&self) -> Option<u32> {
        match self {
            Self::Process { pid, .. } => Some(*pid),
            Self::Certificate(_) | Self::Loopback => None,
        }
    }
}

impl Name {
    /// Of whom it asks for.
    pub(super) fn asking_for(&self, other: &str) -> Self {
        let other = other.escape_debug().to_string().replace(' ', "\\u{20}");
        Self(format!("{other}:via:{}", self.0).into())
    }

    /// Of whoever did not say.
    pub(super) fn unknown() -> Self {
        Self("unknown".into())
    }

    /// Of all for whom there is no rule: together they may not have more connections than one who has one.
    pub(super) fn without_a_rule() -> Self {
        Self("without-a-rule".into())
    }

    /// Of root.
    pub(super) fn root() -> Self {
        Self("uid:0".into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
