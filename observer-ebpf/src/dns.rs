//! Records of answers of the domain name system.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;

/// The most bytes of an answer that a record carries. Of a longer one, the first of its addresses are there.
pub const ANSWER_MAX: usize = 1024;

/// The shortest message: its header.
pub const ANSWER_MIN: usize = 12;

/// A datagram came from the port of name servers. `len` bytes of what it holds follow.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Answer {
    /// The header; its cgroup is that of the socket which it came to.
    pub header: Header,
    /// Bytes that follow.
    pub len: u32,
    /// Bytes that it holds.
    pub whole: u32,
}

const _: () = assert!(size_of::<Answer>() == 32);
