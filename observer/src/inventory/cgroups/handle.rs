//! A cgroup's path by its id alone: the id is the file handle of its directory.
#![allow(unsafe_code, reason = "no safe wrapper of open_by_handle_at is at hand")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::PathBuf;

/// The kernel's `FILEID_KERNFS`: the handle is the node's 64-bit id.
const FILEID_KERNFS: i32 = 0xfe;

/// The kernel's `struct file_handle` with a kernfs id behind it.
#[repr(C)]
struct KernfsHandle {
    handle_bytes: u32,
    handle_type: i32,
    /// Eight bytes that need no alignment of their own, as in the kernel's struct.
    id: [u8; 8],
}

/// The path of the directory `id` in the mount that `mount` is open in. It needs CAP_DAC_READ_SEARCH;
/// ESTALE says that there is no such directory any more.
pub(super) fn path(mount: &File, id: u64) -> io::Result<PathBuf> {
    let handle = KernfsHandle { handle_bytes: 8, handle_type: FILEID_KERNFS, id: id.to_ne_bytes() };
    // SAFETY: The kernel reads `handle_bytes` bytes behind the head of a `struct file_handle`, which is
    // what `KernfsHandle` is, and writes nothing; it lives until the call returns.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_open_by_handle_at,
            mount.as_raw_fd(),
            &raw const handle,
            libc::O_PATH | libc::O_CLOEXEC,
        )
    };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The call made this descriptor just now, so nobody else owns it.
    let directory = unsafe { OwnedFd::from_raw_fd(fd) };
    let path = std::fs::read_link(format!("/proc/self/fd/{}", directory.as_raw_fd()))?;
    if path.as_os_str().to_string_lossy().ends_with(" (deleted)") {
        return Err(io::Error::from_raw_os_error(libc::ESTALE));
    }
    Ok(path)
}
