//! A unix socket that is this daemon's alone: never taken from a living daemon, always from a dead one.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, socket_with};

use super::ServeError;

/// Connections that may wait to be accepted.
pub(super) const BACKLOG: i32 = 1_024;

/// A bound socket. The lock beside it is held as long as this lives, so that of two daemons that start
/// at once only one touches the socket; the kernel gives it up with the process, however that ends.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    listener: UnixListener,
    _lock: File,
}

impl Socket {
    /// Where it is `shared`, everybody may connect: the access file says who may ask, and each is known by the kernel's word.
    pub(super) fn bind(path: &Path, shared: bool) -> Result<Self, ServeError> {
        let failed = |source| failed(path, source);
        if let Some(directory) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(failed)?;
        }
        let lock = lock(path)?;
        check_unused(path)?;
        remove(path).map_err(failed)?;
        let listener = listen(path, shared).map_err(failed)?;
        Ok(Self { path: path.to_owned(), listener, _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle for the runtime that this is called in.
    pub(super) fn listener(&self) -> io::Result<tokio::net::UnixListener> {
        tokio::net::UnixListener::from_std(self.listener.try_clone()?)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.path) {
            log::warn!("{} stays behind: {error}", self.path.display());
        }
    }
}

/// A listening socket that at no time others could open than those who may: a socket's own mode is that of
/// the file that it is bound to, less the umask.
fn listen(path: &Path, shared: bool) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    if shared {
        fs::set_permissions(path, Permissions::from_mode(0o666))?;
    }
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// What to tell. The root file system of a pod is read-only.
fn failed(path: &Path, source: io::Error) -> ServeError {
    if source.kind() == ErrorKind::ReadOnlyFilesystem {
        return ServeError::ReadOnly(path.to_owned());
    }
    ServeError::Unix { path: path.to_owned(), source }
}

/// Takes the lock beside the socket. Its file stays: to remove it would let two daemons hold two of them.
fn lock(path: &Path) -> Result<File, ServeError> {
    let failed = |source| failed(path, source);
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = options.open(name).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(ServeError::Taken(path.to_owned())),
        Err(error) => Err(failed(error.into())),
    }
}

/// Nobody answers at this path, and what is there, if anything, may be replaced.
fn check_unused(path: &Path) -> Result<(), ServeError> {
    let failed = |source| ServeError::Unix { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(ServeError::NotASocket(path.to_owned())),
        Ok(_) => {}
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            log::info!("replacing {}, which a daemon that died left behind", path.display());
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // It answers, or its queue is full: somebody lives there.
        Ok(_) => Err(ServeError::Taken(path.to_owned())),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ServeError::Taken(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
