//! Which connection is a daemon's, where it is found at several addresses: one of each family, say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use prost_types::Timestamp;

/// A daemon: its node's name, and when it was started.
type Daemon = (Arc<str>, Option<(i64, i32)>);

/// The daemons that are connected, and where.
#[derive(Debug, Default)]
pub(in crate::relay) struct Claims(Mutex<HashMap<Daemon, String>>);

/// A daemon is asked at one address for as long as this is there.
#[derive(Debug)]
pub(super) struct Claim {
    claims: Arc<Claims>,
    daemon: Daemon,
}

impl Claims {
    /// Claims a daemon for an address; else the address where it is asked already.
    pub(super) fn claim(
        self: &Arc<Self>,
        name: &Arc<str>,
        start: Option<Timestamp>,
        address: &str,
    ) -> Result<Claim, String> {
        let daemon = (Arc::clone(name), start.map(|start| (start.seconds, start.nanos)));
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(daemon.clone()) {
            Entry::Occupied(taken) => return Err(taken.get().clone()),
            Entry::Vacant(free) => free.insert(address.to_owned()),
        };
        Ok(Claim { claims: Arc::clone(self), daemon })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.claims.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.daemon);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_asked_at_one_address_at_a_time() {
        let claims = Arc::new(Claims::default());
        let start = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let claim = |name: &str, seconds, address| claims.claim(&name.into(), start(seconds), address);
        let first = claim("a", 1, "tls://10.0.0.1:1").unwrap();
        assert_eq!(claim("a", 1, "tls://[fd00::1]:1").unwrap_err(), "tls://10.0.0.1:1");
        // Another node may have the same name by mistake, and is another daemon.
        assert!(claim("a", 2, "tls://10.0.0.2:1").is_ok() && claim("b", 1, "tls://10.0.0.3:1").is_ok());
        drop(first);
        assert!(claim("a", 1, "tls://[fd00::1]:1").is_ok());
    }
}
