//! What crosses nodes is told by the daemons of both: here their two ends become one. Pure.
//!
//! A connection's ends are found by its two addresses, as the packets have them ([`connections`]). An edge's ends are found by
//! who they are: each side's daemon names the other side's pod or its address, and whose that is is known of the pods' UIDs,
//! of the machines that nodes are, and of the addresses at which workloads are reached ([`Addresses`]).
//!
//! Nothing is joined that could be another's. Networks that know nothing of one another may use the same addresses, and what
//! source NAT hides (a pod that asks in its node's name) is told by one side as the machine's: then both ends stay, and nothing
//! is lost but that they are one. What is joined is told once, by the side that asked, with all that the other side says
//! of it beside it; so all sums over what a daemon told are the sums over what is told here.
//!
//! The result does not depend on the order of the nodes; what was joined once stays as it is.

mod address;
mod addresses;
mod connections;
mod edges;
mod ends;
mod judge;
mod peer;
mod verdicts;
mod who;

#[cfg(test)]
mod tests;

pub(crate) use self::addresses::Addresses;
pub(crate) use self::connections::connections;
pub(crate) use self::edges::edges;
pub(crate) use self::verdicts::verdicts;
