//! Who asks, and what they may see: nobody anything, unless a rule says so.

mod caller;
mod certificate;
mod clients;
#[cfg(test)]
mod fuzzed;
mod identity;
mod peer;
mod relayed;
mod rules;
#[cfg(test)]
mod tests;

pub(crate) use self::caller::Caller;
pub(super) use self::certificate::names;
pub(crate) use self::clients::{ClientLimits, Clients, Seat};
pub(super) use self::identity::Identity;
pub(super) use self::peer::process;
pub(super) use self::relayed::named;
pub(crate) use self::relayed::{CALLER, told};
pub(crate) use self::rules::{Rules, RulesError};
pub(crate) use crate::filter::Scope;
