//! What came last, and what is shown of it: less while the view is paused.

/// A value that is replaced as newer ones come, unless it is to stay.
#[derive(Debug)]
pub(super) struct Held<T> {
    shown: Option<T>,
    next: Option<T>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { shown: None, next: None }
    }
}

impl<T> Held<T> {
    /// Takes a newer one in. The first one is shown even while paused: there is nothing that could stay.
    pub(super) fn put(&mut self, value: T, paused: bool) {
        if paused && self.shown.is_some() {
            self.next = Some(value);
        } else {
            (self.shown, self.next) = (Some(value), None);
        }
    }

    /// Shows the newest one again.
    pub(super) fn go_on(&mut self) {
        if let Some(next) = self.next.take() {
            self.shown = Some(next);
        }
    }

    /// What is shown.
    pub(super) const fn get(&self) -> Option<&T> {
        self.shown.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_paused_only_the_first_one_is_shown() {
        let mut held = Held::default();
        held.put(1, true);
        held.put(2, true);
        assert_eq!(held.get(), Some(&1));
        held.go_on();
        held.go_on();
        assert_eq!(held.get(), Some(&2));
        held.put(3, false);
        held.go_on();
        assert_eq!(held.get(), Some(&3));
    }
}
