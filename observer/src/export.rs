//! Exporters: what happens, in the formats of other tools.

#[allow(dead_code, reason = "nothing is exported yet")]
pub(crate) mod metrics;
