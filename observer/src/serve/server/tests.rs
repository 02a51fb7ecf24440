//! Where the server listens, and whose socket it is.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use super::*;

#[test]
fn plain_text_is_for_loopback_only() {
    let mut listeners = Listeners::new(SecurityFiles::default()).unwrap();
    let error = listeners.loopback(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap_err();
    assert!(matches!(error, ServeError::NotLoopback(_)), "{error}");
    assert_ne!(listeners.loopback(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap().port(), 0);
}

#[test]
fn a_socket_is_private_and_goes_with_its_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/observer.sock");
    let socket = Socket::bind(&path, false).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(UnixStream::connect(&path).is_ok());
    drop(socket);
    assert!(!path.exists());
    let _shared = Socket::bind(&path, true).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
}

#[test]
fn a_living_daemons_socket_is_left_alone_and_a_dead_ones_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("observer.sock");
    let first = Socket::bind(&path, false).unwrap();
    let error = Socket::bind(&path, false).unwrap_err();
    assert_eq!(error.to_string(), format!("another daemon is listening on {}", path.display()));
    assert!(UnixStream::connect(&path).is_ok(), "the first one is unharmed");
    drop(first);
    // One that knows no lock.
    let other = UnixListener::bind(&path).unwrap();
    assert!(matches!(Socket::bind(&path, false), Err(ServeError::Taken(_))));
    assert!(UnixStream::connect(&path).is_ok());
    drop(other);
    assert!(path.exists(), "a dead daemon's socket stays");
    let again = Socket::bind(&path, false).unwrap();
    assert!(UnixStream::connect(&path).is_ok());
    drop(again);
    fs::write(&path, "precious").unwrap();
    assert!(matches!(Socket::bind(&path, false), Err(ServeError::NotASocket(_))));
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}
