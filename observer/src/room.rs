//! The memory that the daemon may still take: whatever would grow with the load asks here first.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are left, shared by all that grow. As long as nobody has set them, there is no bound.
///
/// The bytes are measured anew four times a second; in between, each taking is an estimate.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<AtomicU64>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(u64::MAX)))
    }
}

impl Room {
    /// So much is left.
    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }

    /// Whether anything is left.
    pub(crate) fn is_left(&self) -> bool {
        self.left() > 0
    }

    /// How many pieces of that size are left.
    pub(crate) fn pieces(&self, bytes: usize) -> usize {
        let pieces = self.left() / bytes.max(1) as u64;
        usize::try_from(pieces).unwrap_or(usize::MAX)
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes so many bytes, if that leaves so many to others.
    pub(crate) fn take_leaving(&self, bytes: usize, others: u64) -> bool {
        self.left() >= others.saturating_add(bytes as u64) && self.take(bytes)
    }

    /// Takes so many bytes, if as many are left; else what is left is too little for anybody.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let left = self.left();
        if left == u64::MAX {
            return true;
        }
        let rest = left.checked_sub(bytes as u64);
        // Only the event loop's thread takes; others ask what is left.
        self.0.store(rest.unwrap_or(0), Ordering::Relaxed);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_shared_and_ends() {
        let room = Room::default();
        let same = room.clone();
        assert!(room.take(usize::MAX) && room.is_left());
        room.set(100);
        assert_eq!((same.pieces(30), same.pieces(200)), (3, 0));
        assert!(same.take(60) && same.is_left() && !same.take(60));
        assert!(!room.is_left() && !room.take(1));
        same.set(100);
        assert!(!same.take_leaving(51, 50) && same.take_leaving(50, 50) && same.left() == 50);
        same.set(1);
        assert!(room.take(1) && !room.is_left());
    }
}
