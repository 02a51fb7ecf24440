//! The flight recorder: what is kept of what was told.

pub(crate) mod export;
