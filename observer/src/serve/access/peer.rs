//! The process at the other end of a unix socket.

use std::io;
use std::os::fd::AsRawFd as _;

use tokio::net::UnixStream;

use super::Identity;

/// Room for so many groups is enough for nearly all.
const USUAL_GROUPS: usize = 64;
/// The kernel's own limit for a process (`NGROUPS_MAX`).
const MOST_GROUPS: usize = 65_536;

/// Who connected, as the kernel noted it then: `SO_PEERCRED` and `SO_PEERGROUPS` (socket(7), unix(7)).
pub(in crate::serve) fn process(stream: &UnixStream) -> io::Result<Identity> {
    let credentials = stream.peer_cred()?;
    let mut groups = vec![credentials.gid()];
    let further = match further_groups(stream, USUAL_GROUPS) {
        Err(error) if error.raw_os_error() == Some(libc::ERANGE) => further_groups(stream, MOST_GROUPS),
        result => result,
    };
    groups.extend(further?);
    let pid = credentials.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
    Ok(Identity::Process { uid: credentials.uid(), groups, pid })
}

/// Its groups beside the primary one; an error (`ERANGE`) where there are more. No library offers this option of sockets.
#[allow(unsafe_code, reason = "getsockopt with an option that no library knows")]
fn further_groups(stream: &UnixStream, most: usize) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; most];
    let mut length = libc::socklen_t::try_from(size_of_val(groups.as_slice())).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes to `groups`, which is as long, and the new length to `length`; both
    // live until it returns, and the descriptor is open.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    groups.truncate(length as usize / size_of::<u32>());
    Ok(groups)
}
