//! What was lost, added up by kind and place.

use crate::event::Loss;

/// Two losses that are told as one.
pub(in crate::serve) fn same_kind(a: &Loss, b: &Loss) -> bool {
    (a.source, a.kind, a.cpu) == (b.source, b.kind, b.cpu)
}

/// Adds one loss to another of the same kind.
pub(in crate::serve) fn add(to: &mut Loss, loss: &Loss) {
    to.count += loss.count;
    to.since = to.since.min(loss.since);
    to.until = to.until.max(loss.until);
}
