//! Facts about the node: what its containers are called, which addresses are whose, what runs already.

pub(crate) mod cgroups;
pub(crate) mod host;
pub(crate) mod processes;
