//! A runtime's own helpers, which enter a container's cgroup to prepare it and are none of the container's processes.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::event::Process;

/// The runtime executes itself again: `runc init` does so from a sealed copy while its parent moves it into the
/// container's cgroup, before or after. A container's first program cannot have such a path: descriptors of the
/// runtime are closed when it is executed, and `/proc/self/exe` would be the runtime itself.
pub(super) fn is_its_binary(binary: &OsStr) -> bool {
    let binary = binary.as_bytes();
    binary == b"/proc/self/exe"
        || [&b"/dev/fd/"[..], b"/proc/self/fd/"].iter().any(|folder| binary.starts_with(folder))
}

/// A process that executed the runtime alone, or nothing and has a name that runtimes give their helpers: runc's
/// (`runc:[0:PARENT]`, `runc:[1:CHILD]` in libcontainer/nsenter/nsexec.c), youki's, crun's.
pub(super) fn is_helper(process: &Process) -> bool {
    let name = process.comm.as_str();
    is_its_binary(&process.binary)
        || process.binary.is_empty()
            && (name.starts_with("runc:[") || name.starts_with("youki:[") || name == "crun")
}
