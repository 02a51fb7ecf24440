//! Records of cgroups: made and removed.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::event::Header;

/// The longest path that a [`Cgroup`] carries, its end mark included.
pub const PATH_MAX: usize = 512;

/// A cgroup of the version 2 hierarchy was made or removed. `path_len` bytes of its path follow.
#[derive(Clone, Copy, Debug, IntoBytes, FromBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Cgroup {
    /// The header; its cgroup is the one made or removed.
    pub header: Header,
    /// Bytes of the path that follow, its end mark included; [`PATH_MAX`] means that it may be cut.
    pub path_len: u32,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Cgroup>() == 32);
