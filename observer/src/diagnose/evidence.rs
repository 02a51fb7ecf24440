//! Figures as evidence.

use super::{Evidence, Unit};

/// It tells something.
pub(super) const fn is_something(evidence: &Evidence) -> bool {
    evidence.value > 0
}

/// So many.
pub(crate) const fn count(figure: &'static str, value: u64) -> Evidence {
    Evidence { figure, value, of: None, unit: Unit::Count }
}

/// So many of a whole.
pub(crate) const fn part(figure: &'static str, value: u64, whole: u64) -> Evidence {
    Evidence { figure, value, of: Some(whole), unit: Unit::Count }
}

/// So long, in nanoseconds.
pub(crate) const fn time(figure: &'static str, value: u64) -> Evidence {
    Evidence { figure, value, of: None, unit: Unit::Nanoseconds }
}

/// So long of a whole, in nanoseconds.
pub(super) const fn time_of(figure: &'static str, value: u64, whole: u64) -> Evidence {
    Evidence { figure, value, of: Some(whole), unit: Unit::Nanoseconds }
}

/// So many bytes.
pub(crate) const fn bytes(figure: &'static str, value: u64) -> Evidence {
    Evidence { figure, value, of: None, unit: Unit::Bytes }
}
