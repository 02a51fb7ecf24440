//! Answers that are lists, within a message, and refusals.

use observer_proto::Mask;
use prost::Message;
use tonic::Status;

use crate::filter::InvalidFilter;
use crate::trigger::Refused;

/// Clients refuse messages of more than 4 MiB unless told otherwise; this leaves room for the rest.
pub(super) const LONGEST_LIST_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// As many as fit into a message: those that do not are the least interesting ones, and the total tells
/// of them.
pub(super) fn fitting<T: Message + Default>(listed: impl Iterator<Item = T>, mask: Option<&Mask>) -> Vec<T> {
    let mut bytes = 0;
    listed
        .map(|one| masked(one, mask))
        .take_while(|one| {
            bytes += one.encoded_len() + 8;
            bytes <= LONGEST_LIST_BYTES
        })
        .collect()
}

/// What is wanted of it.
pub(super) fn masked<T: Message + Default>(one: T, mask: Option<&Mask>) -> T {
    match mask {
        Some(mask) => mask.apply(one),
        None => one,
    }
}

impl From<Refused> for Status {
    fn from(Refused { open }: Refused) -> Self {
        Self::resource_exhausted(format!(
            "{open} incidents are open that clients opened, as many as may be; close one, or wait a minute"
        ))
    }
}

impl From<InvalidFilter> for Status {
    fn from(error: InvalidFilter) -> Self {
        Self::invalid_argument(error.to_string())
    }
}
