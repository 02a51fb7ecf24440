//! Whether a connection is being answered, and which answer that is.

use std::sync::atomic::{AtomicU64, Ordering};

/// Odd while an answer is made or read: each begins and ends with the next number.
#[derive(Debug, Default)]
pub(super) struct Busy(AtomicU64);

impl Busy {
    /// An answer begins.
    pub(super) fn begin(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// It is read, or given up.
    pub(super) fn end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the answer that there is now; another one has another.
    pub(super) fn answer(&self) -> Option<u64> {
        let number = self.0.load(Ordering::Relaxed);
        (number % 2 == 1).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_another() {
        let busy = Busy::default();
        assert_eq!(busy.answer(), None);
        busy.begin();
        let first = busy.answer();
        assert!(first.is_some() && first == busy.answer());
        busy.end();
        assert_eq!(busy.answer(), None);
        busy.begin();
        assert!(busy.answer().is_some() && busy.answer() != first, "scrapes back to back are not one");
    }
}
