//! Calls that a relay makes for somebody else: what it says of him can only take away.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use http::HeaderMap;
use observer_proto::v1;
use prost::Message as _;
use ring::digest::{SHA256, digest};

use super::{Caller, Scope};

/// The metadata that says for whom a call is, and that it was heeded.
pub(crate) const CALLER: &str = "observer-caller-bin";
/// The longest name of a client.
const LONGEST_NAME: usize = 512;
/// So many characters of a longer one are told, of four bytes at the most.
const BEGINNING: usize = 100;

/// The caller for this call: whoever the relay asks for. `None` where it asks for itself.
pub(in crate::serve) fn named(headers: &HeaderMap, relay: &Arc<Caller>) -> Option<Arc<Caller>> {
    let text = headers.get(CALLER)?;
    let decoded = STANDARD_NO_PAD.decode(text).or_else(|_padded| STANDARD.decode(text));
    let told = decoded.ok().and_then(|bytes| v1::Caller::decode(bytes.as_slice()).ok());
    // Whoever cannot be understood sees nothing.
    let told = told.filter(|told| !told.name.is_empty() && told.name.len() <= LONGEST_NAME);
    let v1::Caller { name, sees_all, namespaces } = told.unwrap_or_default();
    let asked = match (sees_all, namespaces.is_empty()) {
        (true, _) => Some(Scope::All),
        (false, true) => None,
        (false, false) => Some(Scope::Namespaces(Arc::new(namespaces.into_iter().collect()))),
    };
    Some(Arc::new(relay.asking_for(&name, asked.as_ref())))
}

/// What a relay tells a daemon of who asks.
pub(crate) fn told(name: &str, scope: &Scope) -> Vec<u8> {
    let (sees_all, namespaces) = match scope {
        Scope::All => (true, Vec::new()),
        Scope::Namespaces(namespaces) => (false, namespaces.iter().cloned().collect()),
    };
    v1::Caller { name: short(name), sees_all, namespaces }.encode_to_vec()
}

/// A name that is not too long. Long ones may have their beginning in common, and are others all the same.
fn short(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let beginning: String = name.chars().take(BEGINNING).collect();
    let digest = digest(&SHA256, name.as_bytes());
    let digits = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("{beginning}~{}", digits.collect::<String>())
}

/// What both may see; `None` for nothing.
pub(super) fn both(one: &Scope, other: &Scope) -> Option<Scope> {
    match (one, other) {
        (Scope::All, scope) | (scope, Scope::All) => Some(scope.clone()),
        (Scope::Namespaces(one), Scope::Namespaces(other)) => {
            let common: BTreeSet<_> = one.intersection(other).cloned().collect();
            (!common.is_empty()).then(|| Scope::Namespaces(Arc::new(common)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(of: &[&str]) -> Scope {
        Scope::Namespaces(Arc::new(of.iter().map(|&name| name.to_owned()).collect()))
    }

    #[test]
    fn nobody_sees_more_by_a_relay_than_either_may() {
        assert_eq!(both(&Scope::All, &Scope::All), Some(Scope::All));
        assert_eq!(both(&Scope::All, &scope(&["shop"])), Some(scope(&["shop"])));
        assert_eq!(both(&scope(&["shop"]), &Scope::All), Some(scope(&["shop"])));
        assert_eq!(both(&scope(&["shop", "pay"]), &scope(&["pay", "data"])), Some(scope(&["pay"])));
        assert_eq!(both(&scope(&["shop"]), &scope(&["data"])), None);
    }

    #[test]
    fn long_names_stay_apart() {
        let long = |end: &str| format!("uri:spiffe://example.com/{}/{end}", "x".repeat(1_000));
        let (one, other) = (short(&long("one")), short(&long("other")));
        assert!(one != other && one.starts_with("uri:spiffe://example.com/xxx"), "{one}");
        assert!(one.len() <= LONGEST_NAME && short(&"\u{10ffff}".repeat(500)).len() <= LONGEST_NAME);
        assert_eq!(short(&long("one")), one);
        let usual = "x".repeat(LONGEST_NAME);
        assert_eq!(short(&usual), usual);
    }
}
