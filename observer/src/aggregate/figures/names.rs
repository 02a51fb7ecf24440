//! The names of edges to outside addresses.

use super::{Figures, Place};
use crate::event::Tcp;

impl Figures {
    /// A connection was made: an edge goes by the name that the last one of its connections was made by.
    pub(in crate::aggregate) fn named(&mut self, place: Place, tcp: &Tcp) {
        let Some(name) = &tcp.peer.dns_name else { return };
        if let Some(slot) = place.edge.and_then(|at| self.edges.get_mut(at))
            && slot.peer.dns_name.as_ref() != Some(name)
        {
            slot.peer.dns_name = Some(name.clone());
            self.live_changed = true;
        }
    }
}
