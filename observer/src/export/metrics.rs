//! Metrics: the table of them, the series that windows are added up in, and Prometheus' formats of both.

pub(crate) mod distribution;
pub(crate) mod keeper;
pub(crate) mod labels;
pub(crate) mod own;
pub(crate) mod prometheus;
pub(crate) mod series;
pub(crate) mod settings;
pub(crate) mod subject;
pub(crate) mod table;
pub(crate) mod totals;
