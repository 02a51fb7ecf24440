//! Answers that are lists, within a message.

use observer_proto::Mask;
use prost::Message;

/// Clients refuse messages of more than 4 MiB unless told otherwise; this leaves room for the rest.
pub(super) const LONGEST_LIST_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// As many as fit into a message: those that do not are the least interesting ones, and the total tells
/// of them.
pub(crate) fn fitting<T: Message + Default>(listed: impl Iterator<Item = T>, mask: Option<&Mask>) -> Vec<T> {
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
