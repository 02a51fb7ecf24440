//! What decides who may come in and what they may see, read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::super::access::{Identity, Rules, Scope};
use super::ServeError;
use super::tls::{Tls, TlsFiles};
use crate::credentials::{Stamps, stamps};

/// The files are looked at so often.
const INTERVAL: Duration = Duration::from_secs(1);

/// Where it is written who may come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SecurityFiles {
    /// The access file.
    pub(crate) access: Option<PathBuf>,
    /// For TLS.
    pub(crate) tls: Option<TlsFiles>,
}

/// What these files say.
#[derive(Clone, Debug, Default)]
pub(in crate::serve) struct Security {
    pub(super) rules: Rules,
    pub(super) tls: Option<Tls>,
}

/// What they say now.
pub(super) type Current = watch::Receiver<Arc<Security>>;

impl Security {
    /// It may ask for others.
    pub(super) fn may_relay(&self, identity: &Identity) -> bool {
        self.rules.may_relay(identity)
    }

    /// What that client may see; `None` for nothing.
    pub(super) fn scope(&self, identity: &Identity) -> Option<Scope> {
        self.rules.scope(identity)
    }
}

impl SecurityFiles {
    /// What they say, and which versions of them: looked at before they are read, so that a change meanwhile shows later.
    pub(super) fn read(&self) -> Result<(Security, Stamps), ServeError> {
        let stamps = self.stamps();
        Ok((Security { rules: self.rules()?, tls: self.certificates()? }, stamps))
    }

    fn rules(&self) -> Result<Rules, ServeError> {
        Ok(Rules::read(self.access.as_deref())?)
    }

    fn certificates(&self) -> Result<Option<Tls>, ServeError> {
        Ok(self.tls.as_ref().map(TlsFiles::read).transpose()?)
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        self.access.as_deref().into_iter().chain(self.tls.iter().flat_map(TlsFiles::paths))
    }

    /// Reads the files again whenever one of them is not the version that is known. What cannot be used is told, and what
    /// was read of that before stays in force, of the rules or of the certificates. Ends when nobody wants to know any more.
    pub(super) async fn follow(self, mut known: Stamps, sender: watch::Sender<Arc<Security>>) {
        let mut told = String::new();
        let mut timer = tokio::time::interval(INTERVAL);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => {}
                () = sender.closed() => return,
            }
            let stamps = self.stamps();
            if stamps == known {
                continue;
            }
            let mut wrong = Vec::new();
            let mut security = Security::clone(&sender.borrow());
            match self.rules() {
                Ok(rules) => security.rules = rules,
                Err(error) => wrong.push(error),
            }
            match self.certificates() {
                Ok(tls) => security.tls = tls,
                Err(error) => wrong.push(error),
            }
            sender.send_replace(Arc::new(security));
            let words: Vec<_> =
                wrong.into_iter().map(|error| format!("{:#}", anyhow::Error::from(error))).collect();
            let words = words.join("; ");
            if words.is_empty() {
                log::info!("certificates and the access file are read again: one of them changed");
                known = stamps;
            } else if words != told {
                // It is tried again: several files are seldom replaced in the same moment.
                log::error!("{words}; what was read before stays in force");
            }
            told = words;
        }
    }

    fn stamps(&self) -> Stamps {
        stamps(self.paths())
    }
}
