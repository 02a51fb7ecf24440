//! A mergeable exponential histogram.

/// A distribution of durations in nanoseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {}
