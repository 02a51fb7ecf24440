//! Windows: events become the figures of workloads and edges. Pure and bounded.

mod histogram;

pub(crate) use histogram::Histogram;
